"""Numbers as users write them: Python's or numpy's, but neither truth values nor infinities."""

from __future__ import annotations

import math
from numbers import Real

from text_lloom.errors import InputError

__all__ = ["finite_number", "whole_number"]


def finite_number(value: object) -> float | None:
    """The number, or `None` for anything that is no finite number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def whole_number(value: object, *, what: str) -> int:
    """A whole number of at least 1.

    Raises:
        InputError: When it is something else; names `what`.
    """
    number = finite_number(value)
    if number is None or number < 1 or number != int(number):
        raise InputError(f"{what}={value!r} must be a whole number of at least 1.")
    return int(number)
