"""Grouping documents by a metadata column."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import text_lloom
from text_lloom.analysis.slices import Slices, slice_documents
from text_lloom.corpus import Corpus
from text_lloom.errors import ColumnNotFound, InputError

ROOT = Path(text_lloom.__file__).parents[1]
TEXTS = (
    "The night bus stopped running last winter and nobody told us.",
    "I cycle to the mill every day and the lane is full of glass.",
    "Parking at the clinic costs more than the prescription.",
)


def corpus_of(values: object, name: str = "value") -> Corpus:
    column = values if isinstance(values, pd.Series) else pd.Series(values)
    texts = [TEXTS[i % len(TEXTS)] for i in range(len(column))]
    return Corpus.from_frame(pd.DataFrame({"text": texts, name: column}), text_col="text")


def sizes(slices: Slices) -> dict[str, int]:
    return dict(zip(slices.labels, slices.sizes.tolist(), strict=True))


def labels_by_row(slices: Slices) -> list[str | None]:
    return [slices.labels[number] if number >= 0 else None for number in slices.members.tolist()]


def test_numbers_fall_into_bins_of_about_equal_size_with_minimum_and_maximum() -> None:
    ages = np.random.default_rng(0).integers(18, 90, 200)
    slices = slice_documents(corpus_of(ages), "value")
    assert slices.kind == "numeric"
    assert len(slices) == 5
    assert (slices.members >= 0).all()
    assert all(30 <= size <= 50 for size in slices.sizes)
    assert slices.labels[0].startswith(f"{ages.min()} – ")
    assert slices.labels[-1].endswith(f" – {ages.max()}")


def test_the_label_of_a_whole_number_bin_says_exactly_what_is_in_it() -> None:
    ages = np.random.default_rng(1).integers(18, 90, 150)
    for age, label in zip(ages, labels_by_row(slice_documents(corpus_of(ages), "value")), strict=True):
        low, _, high = (label or "").partition(" – ")
        assert int(low) <= age <= int(high or low)


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_there_are_never_more_bins_than_asked_for(most: int) -> None:
    income = np.random.default_rng(2).lognormal(10, 1, 300)
    slices = slice_documents(corpus_of(income), "value", max_slice_bins=most)
    assert len(slices) == most
    assert slices.sizes.sum() == 300
    assert (slices.sizes > 0).all()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0] * 90 + list(range(1, 11)), id="mostly zero"),
        pytest.param([0.1234567] * 90 + [0.2 + i / 7 for i in range(10)], id="mostly one fraction"),
        pytest.param([3] * 5 + [8] * 80 + [9, 10, 11, 12, 13, 14], id="mostly one in the middle"),
        pytest.param([1.5e-9 * i for i in range(40)], id="tiny"),
        pytest.param([-2.5 * i for i in range(40)], id="negative"),
    ],
)
def test_skewed_numbers_leave_no_document_out_and_no_bin_empty(values: list[float]) -> None:
    slices = slice_documents(corpus_of(values), "value")
    assert (slices.sizes > 0).all()
    assert slices.sizes.sum() == len(values)
    assert 2 <= len(slices) <= 5
    assert len(set(slices.labels)) == len(slices.labels)
    assert not any(bracket in label for label in slices.labels for bracket in "()[]")


def test_a_value_that_fills_a_bin_alone_gets_its_own() -> None:
    slices = slice_documents(corpus_of([0] * 90 + list(range(1, 11))), "value")
    assert sizes(slices)["0"] == 90


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        pytest.param([3, 1, 2, 3, 5], ["1", "2", "3", "5"], id="ratings"),
        pytest.param([2.0, None, 1.0], ["1", "2", "missing"], id="whole floats because of a gap"),
        pytest.param([0.0, 0.5, 1.0] * 4, ["0", "0.5", "1"], id="recurring fractions"),
        pytest.param(pd.Series([2, 1, pd.NA], dtype="Int64"), ["1", "2", "missing"], id="nullable"),
        pytest.param([4.2], ["4.2"], id="a single value"),
        pytest.param([1_500_000, 2_000_000], ["1,500,000", "2,000,000"], id="large whole numbers"),
        pytest.param([0.1 + 0.2, 0.5] * 2, ["0.3", "0.5"], id="fractions with a rounding error"),
    ],
)
def test_few_numbers_are_categories_in_order(values: object, labels: list[str]) -> None:
    slices = slice_documents(corpus_of(values), "value")
    assert list(slices.labels) == labels
    assert slices.kind == "category"


def test_infinite_values_stay_in_the_outermost_bins() -> None:
    slices = slice_documents(corpus_of([np.inf, -np.inf, *np.linspace(0.1, 9.9, 50)]), "value")
    assert slices.labels[0].startswith("≤ ")
    assert slices.labels[-1].startswith("> ")
    assert slices.members[0] == len(slices) - 1
    assert slices.members[1] == 0


def test_bounds_are_closed_on_the_right_and_the_first_on_the_left_too() -> None:
    slices = slice_documents(corpus_of([0, 10, 10.5, 50]), "value", slice_bounds=[0, 10, 50])
    assert labels_by_row(slices) == ["0 – 10", "0 – 10", "10 – 50", "10 – 50"]
    assert slices.n_outside == 0


def test_values_outside_the_bounds_are_slices_of_their_own() -> None:
    slices = slice_documents(corpus_of([-5, 3, 30, 99, 100, None]), "value", slice_bounds=[0, 10, 50])
    assert sizes(slices) == {"< 0": 1, "0 – 10": 1, "10 – 50": 1, "> 50": 2, "missing": 1}
    assert slices.n_outside == 3


def test_bounds_keep_an_empty_interval_that_was_asked_for() -> None:
    slices = slice_documents(corpus_of([1, 2, 60]), "value", slice_bounds=[0, 10, 50, 100])
    assert sizes(slices) == {"0 – 10": 2, "10 – 50": 0, "50 – 100": 1}


def test_bounds_may_be_infinite() -> None:
    bounds = [-float("inf"), 0, 12500, float("inf")]
    slices = slice_documents(corpus_of([-1, 0, 1, 1e9]), "value", slice_bounds=bounds)
    assert labels_by_row(slices) == ["≤ 0", "≤ 0", "0 – 12,500", "> 12,500"]


@pytest.mark.parametrize("bounds", [[0, 10, 5], [0, 0], [5], [], [0, float("nan"), 3], ["low", "high"]])
def test_bounds_that_do_not_increase_are_refused(bounds: list[float]) -> None:
    with pytest.raises(InputError, match="increasing numbers"):
        slice_documents(corpus_of([1, 2, 3]), "value", slice_bounds=bounds)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["a", "b"], id="text"),
        pytest.param([True, False], id="booleans"),
        pytest.param(pd.date_range("2024-01-01", periods=3), id="dates"),
    ],
)
def test_bounds_for_a_column_without_numbers_are_refused(values: object) -> None:
    with pytest.raises(InputError, match="needs a numeric column"):
        slice_documents(corpus_of(pd.Series(values)), "value", slice_bounds=[0, 1])


def test_text_is_sorted_naturally_and_missing_comes_last() -> None:
    slices = slice_documents(corpus_of(["10 km", "9 km", None, "", "  ", "zone 1", "10 km "]), "value")
    assert sizes(slices) == {"9 km": 1, "10 km": 2, "zone 1": 1, "missing": 3}


def test_special_labels_do_not_swallow_values_of_the_same_name() -> None:
    slices = slice_documents(corpus_of(["All", "missing", None, "other"]), "value")
    assert labels_by_row(slices) == ["All", "missing", "(missing)", "other"]


def test_ordered_categories_keep_their_order_and_absent_ones_are_left_out() -> None:
    levels = pd.Categorical(["high", "low", "mid"], ["low", "mid", "high", "extreme"], ordered=True)
    assert slice_documents(corpus_of(levels), "value").labels == ("low", "mid", "high")


def test_booleans() -> None:
    slices = slice_documents(corpus_of([True, False, None, True]), "value")
    assert sizes(slices) == {"False": 1, "True": 2, "missing": 1}


def test_of_many_categories_the_largest_are_kept() -> None:
    towns = [f"town {i}" for i in range(60)] + ["town 59"] * 3 + [None]
    with pytest.warns(UserWarning, match="'other' is the largest one, with 21 documents of 21 values"):
        slices = slice_documents(corpus_of(towns), "value")
    assert len(slices) == 41
    assert slices.labels[-2:] == ("other", "missing")
    assert sizes(slices)["town 59"] == 4
    assert slices.sizes.sum() == len(towns)


@pytest.mark.parametrize(
    ("dates", "labels"),
    [
        pytest.param(
            pd.date_range("2024-03-01", periods=3), ["2024-03-01", "2024-03-02", "2024-03-03"], id="d"
        ),
        pytest.param(
            pd.date_range("2025-02-03", periods=14), ["week of 2025-02-03", "week of 2025-02-10"], id="w"
        ),
        pytest.param(pd.date_range("2025-01-01", "2025-03-30"), ["2025-01", "2025-02", "2025-03"], id="m"),
        pytest.param(pd.date_range("2024-10-01", "2025-06-30"), ["2024 Q4", "2025 Q1", "2025 Q2"], id="q"),
        pytest.param(
            pd.date_range("2019-01-01", "2022-12-31", freq="D"), ["2019", "2020", "2021", "2022"], id="y"
        ),
        pytest.param(
            pd.date_range("1953-06-01", "1998-06-01", freq="YS-JUN"),
            ["1953 – 1959", "1960 – 1969", "1970 – 1979", "1980 – 1989", "1990 – 1998"],
            id="spans of years",
        ),
    ],
)
def test_dates_fall_into_the_finest_periods_that_fit(dates: pd.DatetimeIndex, labels: list[str]) -> None:
    slices = slice_documents(corpus_of(pd.Series(dates)), "value", max_slice_bins=5)
    assert list(slices.labels) == labels
    assert slices.sizes.sum() == len(dates)
    assert slices.kind == "category"


@pytest.mark.parametrize(
    "dates",
    [
        pytest.param(["2024-01-05", "2024-02-07T08:00", None], id="ISO text"),
        pytest.param([dt.date(2024, 1, 5), dt.date(2024, 2, 7), None], id="date objects"),
        pytest.param(
            pd.to_datetime(["2024-01-05", "2024-02-07", None]).tz_localize("Asia/Tokyo"), id="with zone"
        ),
        pytest.param(["2024-01-05T23:30:00-05:00", "2024-02-07T00:10:00+09:00", None], id="mixed offsets"),
    ],
)
def test_dates_of_any_kind_are_dates(dates: object) -> None:
    slices = slice_documents(corpus_of(pd.Series(dates)), "value")
    assert labels_by_row(slices) == ["2024-01-05", "2024-02-07", "missing"]


def test_an_unknown_column_is_named_with_the_nearest() -> None:
    with pytest.raises(ColumnNotFound, match="Did you mean 'party'"):
        slice_documents(corpus_of(["x", "y"], "party"), "patry")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([Decimal("1"), Decimal("2"), None], ["1", "2", "missing"]),
        ([1, 2.5, None, 2.5, 1, None], ["1", "2.5", "missing"]),
        ([3, None, 1], ["1", "3", "missing"]),
        (["2024-01-05", None, "2024-02-07"], ["2024-01-05", "2024-02-07", "missing"]),
        (["2024-01-05 ", "", " 2024-02-07"], ["2024-01-05", "2024-02-07", "missing"]),
        ([dt.datetime(2024, 1, 5, 9), None], ["2024-01-05", "missing"]),
        ([pd.Period("2024-01-05", "D"), None], ["2024-01-05", "missing"]),
        (["2024-13-45", "2024-02-07"], ["2024-02-07", "2024-13-45"]),
        (["2024-01-05", "soon"], ["2024-01-05", "soon"]),
        (["2024", "2023"], ["2023", "2024"]),
        ([1.5, "north", True], ["1.5", "north", "True"]),
        ([20_000.0, "north", None], ["20,000", "north", "missing"]),
        (["", None], ["missing"]),
    ],
    ids=[
        *("decimals", "mixed numbers", "whole numbers", "ISO text", "ISO text with spaces", "datetimes"),
        *("periods", "no dates", "a word among dates", "years as text", "mixed", "numbers among words"),
        "nothing",
    ],
)  # fmt: skip
def test_a_column_of_objects_is_what_its_values_are(values: list[object], labels: list[str]) -> None:
    slices = slice_documents(corpus_of(pd.Series(values, dtype=object)), "value")
    assert sorted(slices.labels, key=labels.index) == list(slices.labels) == labels


def test_dates_among_objects_with_their_own_zones_fall_on_their_own_days() -> None:
    west, east = dt.timezone(dt.timedelta(hours=-5)), dt.timezone(dt.timedelta(hours=9))
    values = [dt.datetime(2024, 1, 5, 23, 30, tzinfo=west), dt.datetime(2024, 1, 7, 0, 10, tzinfo=east), None]
    slices = slice_documents(corpus_of(pd.Series(values, dtype=object)), "value")
    assert labels_by_row(slices) == ["2024-01-05", "2024-01-07", "missing"]


@pytest.mark.parametrize("zone", ["Z", "+09:00", "+0900", "-05:00"])
def test_the_zone_of_a_date_in_text_does_not_move_its_day(zone: str) -> None:
    slices = slice_documents(corpus_of([f"2024-01-05T23:30:00{zone}", f"2024-01-06T00:10:00{zone}"]), "value")
    assert labels_by_row(slices) == ["2024-01-05", "2024-01-06"]


@pytest.mark.parametrize(
    ("values", "most", "kind"),
    [
        ([0.1, 0.2, 0.35], 5, "numeric"),
        ([0.1, 0.2, 0.35] * 2, 5, "category"),
        ([1, 2, 3, 4, 5], 5, "category"),
        ([1, 2, 3, 4, 5, 6], 5, "numeric"),
        ([1, 2, 3], 2, "numeric"),
        ([float(2**53), float(2**53 + 2), 0.0], 5, "numeric"),
    ],
    ids=["fractions once", "fractions twice", "five", "six", "more than asked for", "beyond whole numbers"],
)
def test_few_values_are_categories_if_whole_or_recurring(values: list[float], most: int, kind: str) -> None:
    assert slice_documents(corpus_of(values), "value", max_slice_bins=most).kind == kind


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (list(range(1, 11)), ["1 – 2", "3 – 4", "5 – 6", "7 – 8", "9 – 10"]),
        ([n / 10 for n in range(1, 11)], ["0.1 – 0.28", "0.28 – 0.46", "0.46 – 0.64", "0.64 – 0.82",
                                          "0.82 – 1"]),
        ([n * 1000 for n in range(1, 21)], ["1000 – 4800", "4801 – 8600", "8601 – 12,400", "12,401 – 16,200",
                                            "16,201 – 20,000"]),
        ([0] * 90 + list(range(1, 11)), ["0", "1 – 3", "4 – 5", "6 – 7", "8 – 10"]),
        ([-n for n in range(1, 11)], ["-10 – -9", "-8 – -7", "-6 – -5", "-4 – -3", "-2 – -1"]),
    ],
    ids=["whole", "tenths", "thousands", "many zeros", "negative"],
)  # fmt: skip
def test_intervals_of_numbers_are_readable(values: list[float], labels: list[str]) -> None:
    slices = slice_documents(corpus_of(values), "value")
    assert list(slices.labels) == labels
    for value, label in zip(values, labels_by_row(slices), strict=True):
        low, _, high = (label or "").replace(",", "").partition(" – ")
        assert float(low) <= value <= float(high or low)


def test_many_of_one_value_leave_the_rest_in_bins_of_about_equal_size() -> None:
    slices = slice_documents(corpus_of([0] * 60 + list(range(1, 41))), "value", max_slice_bins=5)
    assert slices.labels[0] == "0"
    assert slices.sizes.tolist() == [60, 10, 10, 10, 10]


def test_nearly_equal_fractions_are_told_apart() -> None:
    slices = slice_documents(corpus_of([0.123456789, 0.123456788] * 3), "value")
    assert list(slices.labels) == ["0.123456788", "0.123456789"]
    assert slices.sizes.tolist() == [3, 3]


def test_infinite_edges_are_said_in_words_that_hold() -> None:
    slices = slice_documents(corpus_of([np.inf, -np.inf, *range(1, 41)]), "value", max_slice_bins=2)
    assert list(slices.labels) == ["≤ 20", "> 20"]
    assert slices.sizes.tolist() == [21, 21]
    upper = slice_documents(corpus_of([-1, 5, np.inf]), "value", slice_bounds=[0, np.inf])
    assert labels_by_row(upper) == ["< 0", "≥ 0", "≥ 0"]
    assert upper.n_outside == 1
    assert slice_documents(corpus_of([np.inf, np.inf, 1.0, np.nan]), "value").labels == (
        "1",
        "inf",
        "missing",
    )


def test_bounds_leave_missing_values_missing() -> None:
    slices = slice_documents(corpus_of([-5, None, 5, 200]), "value", slice_bounds=[0, 10, 100])
    assert labels_by_row(slices) == ["< 0", "missing", "0 – 10", "> 100"]
    assert slices.n_outside == 2
    only_above = slice_documents(corpus_of([None, 5, 200]), "value", slice_bounds=[0, 10])
    assert labels_by_row(only_above) == ["missing", "0 – 10", "> 10"]
    assert slice_documents(corpus_of([10, 10.5]), "value", slice_bounds=(0, 10, 20)).kind == "numeric"


@pytest.mark.parametrize(
    ("years", "most", "labels"),
    [
        ([1950, 1961, 1972, 1983, 1999], 3, ["1950 – 1959", "1960 – 1979", "1980 – 1999"]),
        ([1998, 1999, 2000, 2001], 2, ["1998 – 1999", "2000 – 2001"]),
        ([1700, 1800, 1900, 2000], 2, ["1700 – 1999", "2000"]),
        ([1700, 1800, 1900, 2000], 1, ["1700 – 2000"]),
    ],
)
def test_many_years_fall_into_round_spans(years: list[int], most: int, labels: list[str]) -> None:
    dates = pd.Series([dt.datetime(year, 6, 1) for year in years])
    slices = slice_documents(corpus_of(dates), "value", max_slice_bins=most)
    assert list(slices.labels) == labels
    assert (slices.sizes > 0).all()


def test_years_with_gaps_leave_missing_dates_missing() -> None:
    dates = pd.Series(pd.to_datetime([f"{year}-06-01" for year in range(1950, 2000, 7)] + [None]))
    slices = slice_documents(corpus_of(dates), "value")
    assert slices.labels[-1] == "missing"
    assert slices.sizes[-1] == 1
    assert slices.sizes.sum() == 9


def test_exactly_forty_categories_are_kept_and_of_more_the_most_frequent() -> None:
    forty = [f"town {i}" for i in range(40)]
    assert len(slice_documents(corpus_of(forty), "value")) == 40
    towns = [*forty, "town 40", *[f"town {i}" for i in range(2, 41)]]
    slices = slice_documents(corpus_of(towns), "value")
    assert len(slices) == 40
    assert slices.labels[-1] == "other"
    assert list(slices.labels[:2]) == ["town 2", "town 3"]
    assert sizes(slices)["other"] == 2
    with pytest.warns(UserWarning, match="max_slice_bins=42"):
        named = slice_documents(corpus_of([*towns, *["other"] * 3]), "value")
    assert named.labels[-1] == "(other)"
    assert sizes(named)["other"] == 3


def test_spaces_within_a_value_do_not_tell_it_apart() -> None:
    slices = slice_documents(corpus_of(["North  side", "North side", " North\tside "]), "value")
    assert sizes(slices) == {"North side": 3}
    levels = pd.Categorical(["b  b", "a", "b b"], ["b  b", "b b", "a"])
    assert sizes(slice_documents(corpus_of(levels), "value")) == {"b b": 2, "a": 1}


def test_letter_case_decides_only_between_equals() -> None:
    slices = slice_documents(corpus_of(["south", "North", "north", "South"]), "value")
    assert slices.labels == ("North", "north", "South", "south")


def test_the_slice_of_each_document_cannot_be_changed() -> None:
    slices = slice_documents(corpus_of(["a", "b"]), "value")
    with pytest.raises(ValueError, match="read-only"):
        slices.members[0] = 1
    assert slices.column == "value"
    assert len(slices) == 2


@pytest.mark.parametrize(
    ("values", "row", "kind"),
    [(["a", [["b"]]], 1, "list"), ([{"a": 1}, "b"], 0, "dict"), (["a", "b", {("c",)}], 2, "tuple")],
)
def test_values_that_are_several_are_refused_with_their_row(
    values: list[object], row: int, kind: str
) -> None:
    with pytest.raises(InputError, match=f"slice_col='value': row {row} holds a {kind}"):
        slice_documents(corpus_of(pd.Series(values, dtype=object)), "value")


def test_a_column_that_is_no_name_is_refused() -> None:
    with pytest.raises(ColumnNotFound, match="slice_col"):
        slice_documents(corpus_of(["a"]), ["value"])  # type: ignore[arg-type]


def test_lists_and_too_few_bins_are_refused() -> None:
    with pytest.raises(InputError, match="among its answers"):
        slice_documents(corpus_of([["a"], [["b"]]]), "value")
    with pytest.raises(InputError, match="max_slice_bins"):
        slice_documents(corpus_of([1, 2]), "value", max_slice_bins=0)


def test_importing_these_modules_does_not_import_pandas() -> None:
    modules = "text_lloom.analysis.slices, text_lloom.analysis.prevalence, text_lloom.widget.report"
    check = f"import sys, {modules}; sys.exit('pandas' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=ROOT).returncode == 0
