"""Dates in text: the forms that exports use, tried over a whole column."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from text_lloom.errors import InputError, UnknownName

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DateOrder", "Dates", "SliceUnit", "check_date_order", "check_slice_unit", "read_dates"]

DateOrder: TypeAlias = Literal["day", "month", "year"]
SliceUnit: TypeAlias = Literal["day", "week", "month", "quarter", "year"]

_ISO_DATE: Final = r"\d{4}-\d{2}-\d{2}(?:[T ]\S.*)?"
_LONGEST: Final = 80
_LAST_YEAR_OF_2000S: Final = 68  # as POSIX reads years of two digits
_MONTH_NAMES: Final = (
    "january januar januari jänner janvier enero gennaio janeiro jan janv ene gen",
    "february februar februari feber février febrero febbraio fevereiro feb febr févr fev",
    "march märz maerz maart mars marzo março mar mär mrz mrt",
    "april avril abril aprile apr avr abr",
    "may mai mei mayo maggio maio mag",
    "june juni juin junio giugno junho jun giu",
    "july juli juillet julio luglio julho jul juil lug",
    "august augustus août aout agosto aug ago",
    "september septembre septiembre settembre setembro sep sept set",
    "october oktober octobre octubre ottobre outubro oct okt ott out",
    "november novembre noviembre novembro nov",
    "december dezember décembre diciembre dicembre dezembro dec dez déc dic",
)
_MONTH_OF: Final = {name: i for i, names in enumerate(_MONTH_NAMES, 1) for name in names.split()}
_NAME = rf"(?P<name>{'|'.join(sorted(_MONTH_OF, key=len, reverse=True))})\.?"
_WEEKDAYS = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "mon",
    "tue",
    "tues",
    "wed",
    "thu",
    "thur",
    "thurs",
    "fri",
    "sat",
    "sun",
    "montag",
    "dienstag",
    "mittwoch",
    "donnerstag",
    "freitag",
    "samstag",
    "sonnabend",
    "sonntag",
    "mo",
    "di",
    "mi",
    "do",
    "fr",
    "sa",
    "so",
    "lundi",
    "mardi",
    "mercredi",
    "jeudi",
    "vendredi",
    "samedi",
    "dimanche",
    "lunes",
    "martes",
    "miércoles",
    "jueves",
    "viernes",
    "sábado",
    "domingo",
]
_WEEKDAY = rf"(?:(?:{'|'.join(sorted(_WEEKDAYS, key=len, reverse=True))})\.?,? )?"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
_ZONE_NAME = r"z|utc|gmt|wes?t|ces?t|mes?z|ees?t|bst|ist|jst|[ecmp][sd]t"
_ZONE = rf"(?: ?(?:{_ZONE_NAME}|(?:utc|gmt)?[+-]\d{{1,2}}(?::?\d{{2}})?))?"
_OF_DAY = rf"{_CLOCK}(?: ?(?P<half>[ap])\.?m\.?)?(?: uhr)?{_ZONE}(?: \([^)]*\))?"
_TIME = rf"(?:(?:t|,? (?:at |um |à )?){_OF_DAY})?{_ZONE}"
_YEAR = r"(?P<year>\d{4})"
_ANY_YEAR = r"(?P<year>\d{4}|\d{2})"
_DAY = r"(?P<day>\d{1,2})"
_MONTH = r"(?P<month>\d{1,2})"
_NTH = r"(?:\.|st|nd|rd|th|er)?"
_SEPARATOR = r"(?P<mark> ?[./-] ?)"
_WEEK = r"(?:calendar week|week|woche|kw|cw|wk|w)\.? ?(?P<week>\d{1,2})"
_QUARTER = r"(?:q|quarter |quartal )(?P<quarter>[1-4])"
_OLD_QUARTER = r"(?P<quarter>[1-4])(?:st|nd|rd|th|\.) (?:quarter|quartal)"


class Dates(NamedTuple):
    """The dates of a column.

    Attributes:
        stamps: Time stamps without a zone, `NaT` where the value is missing. A week is its Thursday, which
            lies in the week's own year (ISO 8601); a month or quarter is its first day.
        unit: What a value names: a day, or a longer period.
    """

    stamps: pd.Series[pd.Timestamp]
    unit: SliceUnit


class _Form(NamedTuple):
    """A way to write a date; `order` where the same text can be read in another order."""

    pattern: re.Pattern[str]
    unit: SliceUnit = "day"
    order: DateOrder | None = None


def _form(pattern: str, unit: SliceUnit = "day", order: DateOrder | None = None) -> _Form:
    return _Form(re.compile(pattern), unit, order)


_FORMS: Final = (
    _form(rf"{_WEEKDAY}{_YEAR}{_SEPARATOR}{_MONTH}(?P=mark){_DAY}\.?{_TIME}"),
    _form(rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d)t(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?{_ZONE}"),
    _form(rf"{_YEAR} ?年 ?{_MONTH} ?月 ?{_DAY} ?日{_TIME}"),
    _form(rf"{_WEEKDAY}{_DAY}{_SEPARATOR}{_MONTH}(?P=mark){_ANY_YEAR}{_TIME}", order="day"),
    _form(rf"{_WEEKDAY}{_MONTH}{_SEPARATOR}{_DAY}(?P=mark){_ANY_YEAR}{_TIME}", order="month"),
    _form(rf"{_WEEKDAY}(?P<year>\d{{2}}){_SEPARATOR}{_MONTH}(?P=mark){_DAY}{_TIME}", order="year"),
    _form(rf"{_WEEKDAY}{_DAY}{_NTH}[ -]?(?:of |de )?{_NAME}(?:,? (?:de )?|-){_ANY_YEAR}{_TIME}"),
    _form(rf"{_WEEKDAY}{_NAME} {_DAY}(?:st|nd|rd|th)?,? {_YEAR}{_TIME}"),
    _form(rf"{_WEEKDAY}{_NAME} {_DAY} {_CLOCK}{_ZONE} {_YEAR}"),
    _form(rf"{_YEAR}[ -]{_NAME}[ -]{_DAY}{_TIME}"),
    _form(rf"{_NAME}(?:,? (?:de )?|[-/]){_YEAR}", "month"),
    _form(rf"{_YEAR}[ /-]{_NAME}", "month"),
    _form(rf"{_YEAR} ?年 ?{_MONTH} ?月", "month"),
    _form(rf"{_YEAR}[./-](?P<month>\d\d)", "month"),
    _form(rf"(?P<month>\d\d?)[./-]{_YEAR}", "month"),
    _form(rf"{_YEAR}[ /,-]{{0,2}}{_WEEK}(?:-?(?P<weekday>[1-7]))?", "week"),
    _form(rf"{_WEEK}[ /,-]{{1,2}}{_YEAR}", "week"),
    _form(rf"{_YEAR}[ /,-]{{0,2}}{_QUARTER}", "quarter"),
    _form(rf"{_QUARTER}[ /,-]{{0,2}}{_YEAR}", "quarter"),
    _form(rf"{_OLD_QUARTER} {_YEAR}", "quarter"),
)  # fmt: skip


def check_date_order(date_order: object) -> None:
    """Refuse an unknown order.

    Raises:
        UnknownName: When `date_order` is neither `day`, `month`, `year` nor `None`.
    """
    if date_order is not None and date_order not in get_args(DateOrder):
        raise UnknownName(date_order, list(get_args(DateOrder)), what="date_order")


def check_slice_unit(slice_unit: object) -> None:
    """Refuse an unknown unit.

    Raises:
        UnknownName: When `slice_unit` is neither `None` nor a unit.
    """
    if slice_unit is not None and slice_unit not in get_args(SliceUnit):
        raise UnknownName(slice_unit, list(get_args(SliceUnit)), what="slice_unit")


def read_dates(
    values: pd.Series[Any], column: object, *, date_order: DateOrder | None = None
) -> Dates | None:
    """The dates of a column of text, if all its values are dates in one form.

    Args:
        values: Texts and missing values.
        column: Its name, for the error message.
        date_order: What comes first in dates such as `03/04/2023`.

    Returns:
        `None` when no form fits all values.

    Raises:
        InputError: When two orders fit all values and give different dates, or when `date_order` does
            not fit a value.
    """
    import pandas as pd

    texts = [
        "" if gone else " ".join(unicodedata.normalize("NFC", str(value)).split())
        for value, gone in zip(values.tolist(), values.isna().tolist(), strict=True)
    ]
    distinct = list(dict.fromkeys(filter(None, texts)))
    if not distinct or any(len(text) > _LONGEST or not re.search(r"\d", text) for text in distinct):
        return None
    if all(re.fullmatch(_ISO_DATE, text) for text in distinct):
        zoneless = [re.sub(r"(?:Z|[+-]\d{2}:?\d{2})$", "", text) for text in texts]
        stamps = pd.to_datetime(pd.Series(zoneless), format="ISO8601", errors="coerce")
        if not (stamps.isna().to_numpy() & np.asarray([text != "" for text in texts])).any():
            return Dates(stamps.set_axis(values.index), "day")
    read = _in_one_form(distinct, column, date_order)
    if read is None:
        return None
    moments, unit = read
    moment_of = dict(zip(distinct, moments, strict=True))
    found = np.asarray([moment_of.get(text, "NaT") for text in texts], dtype="datetime64[s]")
    return Dates(pd.Series(found, index=values.index), unit)


def _in_one_form(
    texts: Sequence[str], column: object, date_order: DateOrder | None
) -> tuple[list[dt.datetime], SliceUnit] | None:
    folded = [text.casefold() for text in texts]
    orders: dict[DateOrder, list[dt.datetime]] = {}
    for form in _FORMS:
        moments = _moments(folded, form)
        if moments is None or (form.unit == "month" and _are_seasons(folded)):
            continue
        if form.order is None:
            return moments, form.unit
        orders[form.order] = moments
    if not orders:
        return None
    if date_order is not None:
        if date_order not in orders:
            raise InputError(
                f"date_order={date_order!r} does not fit all values of the column {str(column)!r}, such as "
                f"{texts[0]!r}. Pass date_order={next(iter(orders))!r}, or leave it out."
            )
        return orders[date_order], "day"
    return _only_order(texts, orders, column), "day"


def _only_order(
    texts: Sequence[str], orders: dict[DateOrder, list[dt.datetime]], column: object
) -> list[dt.datetime]:
    """The one reading that fits; dots stand between day, month and year, in this order."""
    if {"day", "month"} <= orders.keys() and all(text.count(".") >= 2 for text in texts):
        del orders["month"]
    if len(orders) > 1 and "year" in orders:
        first, last = (
            {part[end] for text in texts if (part := re.findall(r"\d+", text)[:3])} for end in (0, 2)
        )
        if len(last) <= len(first):  # years vary less than days
            del orders["year"]
    readings = list(orders.values())
    if all(reading == readings[0] for reading in readings):
        return readings[0]
    row = next(i for i in range(len(texts)) if len({reading[i] for reading in readings}) > 1)
    ways = " or ".join(f"{found[row]:%Y-%m-%d} (date_order={order!r})" for order, found in orders.items())
    raise InputError(
        f"The dates of the column {str(column)!r} can be read in {len(orders)} ways: {texts[row]!r} is "
        f"{ways}. Pass date_order= with what comes first."
    )


def _moments(texts: Sequence[str], form: _Form) -> list[dt.datetime] | None:
    moments = []
    for text in texts:
        match = form.pattern.fullmatch(text)
        if match is None:
            return None
        try:
            moments.append(_moment({name: part for name, part in match.groupdict().items() if part}))
        except ValueError:
            return None
    return moments


def _moment(parts: dict[str, str]) -> dt.datetime:
    """The moment that the parts of a match name.

    Raises:
        ValueError: When there is no such day or time.
    """
    year = int(parts["year"])
    if len(parts["year"]) == 2:
        year += 2000 if year <= _LAST_YEAR_OF_2000S else 1900
    if "week" in parts:
        return dt.datetime.fromisocalendar(year, int(parts["week"]), int(parts.get("weekday", 4)))
    if "quarter" in parts:
        return dt.datetime(year, 3 * int(parts["quarter"]) - 2, 1)
    month = _MONTH_OF[parts["name"]] if "name" in parts else int(parts["month"])
    hour = int(parts.get("hour", 0))
    if "half" in parts:
        if not 1 <= hour <= 12:
            raise ValueError(f"There is no hour {hour} on a clock of twelve.")
        hour = hour % 12 + (12 if parts["half"] == "p" else 0)
    clock = (hour, int(parts.get("minute", 0)), int(parts.get("second", 0)))
    return dt.datetime(year, month, int(parts.get("day", 1)), *clock)


def _are_seasons(texts: Sequence[str]) -> bool:
    """Whether `2009/10` and the like are years and the years after them, not months."""
    spans = [re.fullmatch(r"\d\d(\d\d)[./-](\d\d)", text) for text in texts]
    return all(span is not None and int(span[2]) == (int(span[1]) + 1) % 100 for span in spans)
