"""How tokens are chosen: generation parameters as users give them, checked and made ready."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from text_lloom.errors import InputError
from text_lloom.llm.numeric import finite_number, whole_number

__all__ = ["Sampling", "sampling_of", "stops_of"]

_RANGES: Final = (
    ("temperature", 0.0, 100.0),
    ("top_p", 0.0, 1.0),
    ("top_k", 0.0, 1e9),
    ("min_p", 0.0, 1.0),
    ("repetition_penalty", 0.01, 100.0),
    ("seed", 0.0, 2.0**63),
)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest.
        top_p: Only the likeliest tokens that together have this probability.
        top_k: Only so many of the likeliest tokens.
        min_p: Only tokens of at least this share of the likeliest one's probability.
        repetition_penalty: Above 1 discourages tokens that stand in the text already.
        seed: Of the random choices.
    """

    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int = 0


def sampling_of(params: Mapping[str, object]) -> Callable[[int], Sampling]:
    """How the n-th reply to a request is sampled.

    Raises:
        InputError: When a parameter's value cannot be used.
    """
    numbers: dict[str, float] = {}
    for name, low, high in _RANGES:
        value = params.get(name)
        if value is None:
            continue
        number = finite_number(value)
        if number is None or not low <= number <= high:
            raise InputError(f"{name}={value!r} must be a number from {low:g} to {high:g}.")
        numbers[name] = number
    stops_of(params.get("stop"))
    if params.get("max_tokens") is not None:
        whole_number(params["max_tokens"], what="max_tokens")
    seed = int(numbers["seed"]) if "seed" in numbers else int.from_bytes(os.urandom(4), "big")
    top_k = numbers.get("top_k")

    def of(n: int) -> Sampling:
        return Sampling(
            numbers.get("temperature", 0.0),
            numbers.get("top_p"),
            None if top_k is None else int(top_k),
            numbers.get("min_p"),
            numbers.get("repetition_penalty"),
            (seed + n) % 2**63,
        )

    return of


def stops_of(value: object) -> tuple[str, ...]:
    """The strings before which a reply ends.

    Raises:
        InputError: When they are no texts.
    """
    if value is None:
        return ()
    stops = (value,) if isinstance(value, str) else value
    if isinstance(stops, (list, tuple)) and all(isinstance(stop, str) and stop for stop in stops):
        return tuple(stops)
    raise InputError(f"stop={value!r} must be a text or a list of texts, none of them empty.")
