"""Grouping documents by a metadata column."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
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
    slices = slice_documents(corpus_of(pd.Series(dates)), "value")
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


def test_lists_and_too_few_bins_are_refused() -> None:
    with pytest.raises(InputError, match="one value per document"):
        slice_documents(corpus_of([["a"], ["b"]]), "value")
    with pytest.raises(InputError, match="max_slice_bins"):
        slice_documents(corpus_of([1, 2]), "value", max_slice_bins=0)


def test_importing_the_room_does_not_import_pandas() -> None:
    rooms = "text_lloom.analysis.slices, text_lloom.analysis.prevalence, text_lloom.widget.report"
    check = f"import sys, {rooms}; sys.exit('pandas' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=ROOT).returncode == 0
