"""Time slices of dates as exports write them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from text_lloom.analysis.slices import as_dates, slice_documents
from text_lloom.cli import app
from text_lloom.corpus import Corpus
from text_lloom.errors import InputError, UnknownName

REMARKS = (
    "The ferry left early and the pier was closed.",
    "Our street has no lamps since the storm.",
    "The library opens on Sundays now, which helps.",
)


def corpus_of(dates: list[str | None]) -> Corpus:
    texts = [f"{REMARKS[i % 3]} ({i})" for i in range(len(dates))]
    return Corpus.from_frame(pd.DataFrame({"text": texts, "date": dates}), text_col="text")


def days(dates: list[str | None]) -> list[str | None]:
    slices = slice_documents(corpus_of(dates), "date")
    return [slices.labels[number] for number in slices.members.tolist()]


@pytest.mark.parametrize(
    "dates",
    [
        pytest.param(["14.03.2023", "2.4.2023"], id="German"),
        pytest.param(["14.03.23", "02.04.23"], id="German, short year"),
        pytest.param(["14/03/2023 09:30", "02/04/2023 18:05"], id="day first with a time"),
        pytest.param(["3/14/2023 9:30:00 AM", "4/2/2023 6:05:10 PM"], id="month first with a time"),
        pytest.param(["03-14-2023", "04-02-2023"], id="month first, dashes"),
        pytest.param(["2023/3/14", "2023/4/2"], id="year first"),
        pytest.param(["2023-03-14 23:30:00 UTC", "2023-04-02 00:10:00 UTC"], id="named zone"),
        pytest.param(["14. März 2023", "2. April 2023"], id="German, long"),
        pytest.param(["Dienstag, 14. März 2023 um 9:30 Uhr", "So, 2. Apr. 2023"], id="German, weekday"),
        pytest.param(["March 14, 2023", "April 2nd, 2023"], id="English, long"),
        pytest.param(["14-Mar-2023", "02-Apr-2023"], id="abbreviated"),
        pytest.param(["14 mars 2023", "2 avril 2023"], id="French"),
        pytest.param(["14 de marzo de 2023", "2 de abril de 2023"], id="Spanish"),
        pytest.param(["Tue, 14 Mar 2023 23:59:00 -0500", "Sun, 02 Apr 2023 00:01:00 +0900"], id="mail"),
        pytest.param(["Tue Mar 14 23:59:00 +0000 2023", "Sun Apr 02 00:01:00 +0000 2023"], id="posts"),
        pytest.param(["2023年3月14日", "2023年4月2日"], id="Japanese"),
    ],
)
def test_dates_in_one_form_are_days(dates: list[str | None]) -> None:
    assert days([*dates, None, " "]) == ["2023-03-14", "2023-04-02", "missing", "missing"]


@pytest.mark.parametrize(
    ("dates", "labels"),
    [
        (["Apr 2023", "Dec 2022"], ["2022-12", "2023-04"]),
        (["Dezember 2022", "April 2023"], ["2022-12", "2023-04"]),
        (["04/2023", "12/2022"], ["2022-12", "2023-04"]),
        (["2023-W14", "2022-W52"], ["week of 2022-12-26", "week of 2023-04-03"]),
        (["KW 14/2023", "KW 52/2022"], ["week of 2022-12-26", "week of 2023-04-03"]),
        (["2023 Q2", "2022 Q4"], ["2022 Q4", "2023 Q2"]),
        (["Q2/2023", "Q4/2022"], ["2022 Q4", "2023 Q2"]),
        (["2. Quartal 2023", "4. Quartal 2022"], ["2022 Q4", "2023 Q2"]),
    ],
)
def test_values_that_name_a_period_are_slices_of_that_period(
    dates: list[str | None], labels: list[str]
) -> None:
    assert list(slice_documents(corpus_of(dates), "date").labels) == labels


@pytest.mark.parametrize(
    "dates",
    [
        pytest.param(["14.03.2023", "soon"], id="a word"),
        pytest.param(["31.02.2023", "14.03.2023"], id="no such day"),
        pytest.param(["14/03/2023", "03/14/2023"], id="two orders in one column"),
        pytest.param(["14 Mar 2023", "2023-W14"], id="two forms"),
        pytest.param(["2009/10", "2010/11", "2011/12"], id="seasons"),
        pytest.param(["1.2.3", "1.10.0"], id="versions"),
        pytest.param(["44999", "45000"], id="numbers of days"),
        pytest.param(["Room 3", "Room 14"], id="rooms"),
    ],
)
def test_anything_else_stays_a_category(dates: list[str | None]) -> None:
    slices = slice_documents(corpus_of(dates), "date")
    assert set(slices.labels) == set(dates)


@pytest.mark.parametrize("dates", [["03/04/2023", "05/06/2023"], ["3-4-23", "5-6-23"], ["03/04/2023 10:15"]])
def test_dates_that_fit_in_two_orders_ask_for_the_order(dates: list[str | None]) -> None:
    corpus = corpus_of(dates)
    with pytest.raises(InputError, match=r"date_order='day'.* or .*date_order='month'"):
        slice_documents(corpus, "date")
    day, month = (slice_documents(corpus, "date", date_order=order) for order in ("day", "month"))
    assert day.labels[0] == "2023-04-03"
    assert month.labels[0] == "2023-03-04"


def test_short_years_that_can_come_first_ask_for_the_order() -> None:
    corpus = corpus_of(["23-04-15", "23-04-16", "23-05-01"])
    with pytest.raises(InputError, match="date_order='year'"):
        slice_documents(corpus, "date")
    assert slice_documents(corpus, "date", date_order="year").labels[0] == "2023-04-15"


def test_the_same_day_in_both_orders_is_not_asked_about() -> None:
    assert days(["05/05/2023", "06/06/2023"]) == ["2023-05-05", "2023-06-06"]


def test_an_order_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="Pass date_order='day'"):
        slice_documents(corpus_of(["14/03/2023"]), "date", date_order="month")
    with pytest.raises(UnknownName, match="date_order"):
        slice_documents(corpus_of(["14/03/2023"]), "date", date_order="dmy")  # type: ignore[arg-type]


def test_units_are_chosen_for_up_to_24_slices_or_as_asked() -> None:
    corpus = corpus_of([f"{day:%d.%m.%Y}" for day in pd.date_range("2022-01-01", "2023-06-30")])
    assert len(slice_documents(corpus, "date")) == 18
    assert len(slice_documents(corpus, "date", slice_unit="quarter")) == 6
    assert len(slice_documents(corpus, "date", slice_unit="week")) == 79
    assert slice_documents(corpus, "date", slice_unit="year").labels == ("2022", "2023")
    assert len(slice_documents(corpus, "date", max_slice_bins=100)) == 79
    with pytest.raises(InputError, match="max_slice_bins=79"):
        slice_documents(corpus, "date", slice_unit="week", max_slice_bins=20)


def test_a_unit_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="slice_unit='month' or a longer unit"):
        slice_documents(corpus_of(["Apr 2023"]), "date", slice_unit="week")
    with pytest.raises(InputError, match="slice_unit needs a column of dates"):
        slice_documents(corpus_of(["north", "south"]), "date", slice_unit="week")
    with pytest.raises(UnknownName, match="slice_unit"):
        slice_documents(corpus_of(["Apr 2023"]), "date", slice_unit="decade")  # type: ignore[arg-type]


def test_times_of_day_are_read() -> None:
    found = as_dates(pd.Series(["3/14/2023 12:05 AM", "3/14/2023 12:05 PM"]))
    assert found.dt.to_pydatetime().tolist() == [
        dt.datetime(2023, 3, 14, 0, 5),
        dt.datetime(2023, 3, 14, 12, 5),
    ]


def test_the_command_line_asks_for_the_order_and_takes_it(tmp_path: Path) -> None:
    table = tmp_path / "remarks.csv"
    frame = pd.DataFrame({"text": [f"{REMARKS[i % 3]} {i}" for i in range(12)], "on": ["03/04/2023"] * 12})
    frame.to_csv(table, index=False)
    call = ["run", str(table), "--text-col", "text", "--out", str(tmp_path / "out"), "--slice", "on", "--yes"]
    asked = CliRunner().invoke(app, call)
    assert asked.exit_code == 1
    assert "--date-order" in asked.output
    done = CliRunner().invoke(app, [*call, "--date-order", "month", "--slice-unit", "month"])
    assert done.exit_code == 0, done.output
    assert "2023-03" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
