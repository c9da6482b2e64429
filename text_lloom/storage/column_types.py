"""Infers the types of columns that were read as text or JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["column_of_fields", "column_of_json", "column_of_text", "may_be_thousands"]

_INTEGER: Final = re.compile(r"-?[1-9][0-9]{0,18}|0").fullmatch
_NUMBER: Final = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-][0-9]+)?").fullmatch
_DECIMAL_COMMA: Final = re.compile(
    r"-?((0|[1-9][0-9]*|[1-9][0-9]{0,2}(\.[0-9]{3})+)(,[0-9]+)?|,[0-9]+)"
).fullmatch
_THOUSANDS: Final = re.compile(r"-?[1-9][0-9]{0,2}(,[0-9]{3})").fullmatch
_TRUTH_VALUES: Final = (
    {"True": True, "False": False},
    {"true": True, "false": False},
    {"TRUE": True, "FALSE": False},
)
_EXACT_IN_FLOAT: Final = 2**53


def column_of_text(fields: Sequence[str | None]) -> pd.Series:
    """A column of text, `None` where a field is missing; dtype `str` (object before pandas 3)."""
    import pandas as pd

    try:
        return pd.Series(fields, dtype=pd.Series([""]).dtype)
    except UnicodeEncodeError:  # Arrow text cannot hold lone surrogates
        return pd.Series(fields, dtype=object)


def may_be_thousands(fields: Sequence[str | None]) -> bool:
    """Whether the fields are numbers whose commas can be read in two ways, as in `1,250`."""
    present = [field for field in fields if field is not None]
    with_comma = [field for field in present if "," in field]
    return bool(with_comma) and all(map(_THOUSANDS, with_comma)) and all(map(_DECIMAL_COMMA, present))


def column_of_fields(fields: Sequence[str | None], *, decimal_comma: bool = False) -> pd.Series:
    """A column of text fields as int64, float64 or bool if every field has that type, else as text.

    Whole numbers with missing fields are float64. Numbers that would lose digits, leading zeros or
    signs stay text, as do truth values with missing fields. With `decimal_comma`, `1.234,5` is a number.
    """
    import pandas as pd

    if decimal_comma and _have_decimal_commas(fields):
        fields = [field and field.replace(".", "").replace(",", ".") for field in fields]
    present = [field for field in fields if field is not None]
    complete = len(present) == len(fields)
    if not present:
        return column_of_text(fields)
    for meaning in _TRUTH_VALUES:
        if complete and all(field in meaning for field in present):
            return pd.Series([meaning[field] for field in present], dtype="bool")
    if not all(map(_NUMBER, present)):
        return column_of_text(fields)
    whole = [int(field) for field in present if _INTEGER(field)]
    if complete and len(whole) == len(present) and min(whole) >= -(2**63) and max(whole) < 2**63:
        return pd.Series(whole, dtype="int64")
    if all(_fits_float(field) for field in present):
        return pd.Series([float("nan") if f is None else float(f) for f in fields], dtype="float64")
    return column_of_text(fields)


def column_of_json(values: Sequence[object]) -> pd.Series:
    """A column of JSON values: text, int64, float64 or bool if all have that type, else objects."""
    import pandas as pd

    kinds = {type(value) for value in values}
    if kinds <= {str, type(None)}:
        return column_of_text(cast("Sequence[str | None]", values))
    if kinds == {bool} or kinds == {int} or kinds == {float}:
        return pd.Series(values)
    if kinds <= {int, float, type(None)} and all(_fits_float(str(value)) for value in values):
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype=object)


def _have_decimal_commas(fields: Sequence[str | None]) -> bool:
    present = [field for field in fields if field is not None]
    return any("," in field for field in present) and all(map(_DECIMAL_COMMA, present))


def _fits_float(number: str) -> bool:
    """Whether a whole number keeps its digits as a float."""
    digits = number.lstrip("-")
    return not digits.isdigit() or (len(digits) < 17 and int(digits) <= _EXACT_IN_FLOAT)
