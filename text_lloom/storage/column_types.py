"""Infers the types of columns that were read as text or JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["column_of_fields", "column_of_json", "column_of_text"]

_INTEGER: Final = re.compile(r"-?[1-9][0-9]{0,18}|0").fullmatch
_NUMBER: Final = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-][0-9]+)?").fullmatch
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


def column_of_fields(fields: Sequence[str | None]) -> pd.Series:
    """A column of text fields as int64, float64 or bool if every field has that type, else as text.

    Whole numbers with missing fields are float64. Numbers that would lose digits, leading zeros or
    signs stay text, as do truth values with missing fields.
    """
    import pandas as pd

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


def _fits_float(number: str) -> bool:
    """Whether a whole number keeps its digits as a float."""
    digits = number.lstrip("-")
    return not digits.isdigit() or (len(digits) < 17 and int(digits) <= _EXACT_IN_FLOAT)
