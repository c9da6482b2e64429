"""Generation parameters: the names that models share, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from text_lloom.errors import InputError

__all__ = ["COMMON_PARAMS", "as_params", "with_params"]

COMMON_PARAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "temperature": "how varied replies are; 0 is the least",
        "top_p": "sample among the likeliest tokens that together have this probability",
        "top_k": "sample among this many of the likeliest tokens",
        "max_tokens": "longest reply, in tokens",
        "stop": "texts that end a reply",
        "seed": "seed of sampling, where the provider has one",
        "presence_penalty": "above 0: fewer tokens that have occurred",
        "frequency_penalty": "above 0: fewer tokens that have occurred often",
        "reasoning_effort": "how long a reasoning model may think",
    }
)
"""Parameters that providers share under one name, with what they do."""


def as_params(given: object, *, what: str = "params") -> dict[str, Any]:
    """Parameters as a user gives them.

    Raises:
        InputError: When they are no names and values.
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InputError(f"{what}={given!r}: expected names and values, such as {{'temperature': 0.3}}.")
    return dict(given)


def with_params(args: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments, with those that were given together as `params={…}`.

    Raises:
        InputError: When one is given in both ways.
    """
    given = args.pop("params", None)
    if given is None:
        return args
    together = as_params(given)
    if twice := sorted(set(args) & set(together)):
        raise InputError(f"The parameter {twice[0]!r} is given twice, by itself and in params.")
    return args | together
