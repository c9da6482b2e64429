"""Numbers as users write them: Python's or numpy's, but neither truth values nor infinities."""

from __future__ import annotations

import math
from numbers import Integral, Real

from text_lloom.errors import InputError

__all__ = ["finite_number", "positive_seconds", "whole_number"]


def finite_number(value: object) -> float | None:
    """The number, or `None` for anything that is no finite number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def whole_number(value: object, *, what: str, least: int = 1) -> int:
    """A whole number of at least `least`, as Python's `int`; also of one that is written as 3.0.

    Raises:
        InputError: When it is something else; names `what`.
    """
    number: int | None = None
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
    elif (real := finite_number(value)) is not None and real.is_integer():
        number = int(real)
    if number is None or number < least:
        raise InputError(f"{what}={value!r} must be a whole number of at least {least}.")
    return number


def positive_seconds(value: object, *, what: str) -> float:
    """A time above 0, as Python's `float`.

    Raises:
        InputError: When it is something else; names `what`.
    """
    seconds = finite_number(value)
    if seconds is None or seconds <= 0:
        raise InputError(f"{what}={value!r} must be a positive number of seconds.")
    return seconds
