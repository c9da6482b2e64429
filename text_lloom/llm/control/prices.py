"""Prices and context windows of models, from the `genai-prices` snapshot; nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from text_lloom.errors import InputError
from text_lloom.llm.options import finite_number

__all__ = [
    "CacheShares",
    "Price",
    "dollars",
    "known_cache_shares",
    "known_context_window",
    "known_price",
    "nearest_model",
    "parse_cost",
    "per_million",
]

_PROBE_TOKENS = 1000
_ROUNDING = 1e-9
_MOST_USD = 0.001
"""The highest price of a token in US dollars; the dearest models cost less than that."""
_FOUR_DIGITS = 0.001
"""US dollars below which four digits are too few."""


class Price(NamedTuple):
    """US dollars per token of input and of output."""

    input: float
    output: float

    def of(self, in_tokens: int, out_tokens: int) -> float:
        """US dollars for that many tokens."""
        return in_tokens * self.input + out_tokens * self.output


class CacheShares(NamedTuple):
    """What tokens of a prompt cost that a provider reads from its cache or writes to it.

    Attributes:
        read: As a share of the price of input.
        write: As a share of the price of input.
    """

    read: float = 1.0
    write: float = 1.0


def dollars(usd: float) -> str:
    """An amount as text: whole cents with two digits, others with four or six."""
    if abs(round(usd, 2) - usd) < _ROUNDING:
        return f"${usd:,.2f}"
    return f"${usd:,.4f}" if usd >= _FOUR_DIGITS else f"${usd:,.6f}"


def per_million(input: float, output: float | None = None) -> Price:  # noqa: A002 - the name in `Price`
    """A price as price lists print it: `cost=per_million(0.15, 0.6)`.

    Args:
        input: US dollars per million tokens of input.
        output: US dollars per million tokens of output; as for input when not given.
    """
    return Price(input / 1_000_000, (input if output is None else output) / 1_000_000)


def parse_cost(cost: object) -> Price | None:
    """A price from what a user may write.

    Args:
        cost: `(input, output)` in USD per token (see `per_million`), one number for both, or `None` for
            unknown.

    Raises:
        InputError: For anything else, for negative prices, and for more than $0.001 a token, which is a
            price per thousand or per million tokens.
    """
    if cost is None:
        return None
    if finite_number(cost) is not None:
        cost = (cost, cost)
    if isinstance(cost, Sequence) and not isinstance(cost, str) and 1 <= len(cost) <= 2:
        numbers = [number for part in cost if (number := finite_number(part)) is not None and number >= 0]
        if len(numbers) == len(cost):
            if max(numbers) > _MOST_USD:
                shown = ", ".join(f"{number:g}" for number in numbers)
                raise InputError(
                    f"cost={shown} would be ${max(numbers):,g} for each token. Prices are US dollars per "
                    f"token; from a price list per million tokens, write cost=per_million({shown}), with "
                    f"`from text_lloom.llm import per_million`."
                )
            return Price(numbers[0], numbers[-1])
    raise InputError(
        f"cost={cost!r}: expected (input, output) in USD per token, such as per_million(0.15, 0.6), or one "
        f"number for both."
    )


@lru_cache(maxsize=512)
def known_price(model: str, provider: str | None = None) -> Price | None:
    """The list price of a model, or `None` when the snapshot does not know it."""
    from genai_prices import Usage, calc_price

    def usd(usage: Usage) -> float:
        return float(calc_price(usage, model_ref=model, provider_id=provider).total_price)

    try:
        return Price(
            usd(Usage(input_tokens=_PROBE_TOKENS)) / _PROBE_TOKENS,
            usd(Usage(output_tokens=_PROBE_TOKENS)) / _PROBE_TOKENS,
        )
    except LookupError:
        return None


@lru_cache(maxsize=512)
def known_cache_shares(model: str) -> CacheShares:
    """What cached tokens of a model cost; the full price when the snapshot does not know the model.

    The shares hold whoever sells the model, so they are looked up by its name alone.
    """
    from genai_prices import Usage, calc_price

    def usd(name: str, **cached: int) -> float:
        return float(calc_price(Usage(input_tokens=_PROBE_TOKENS, **cached), model_ref=name).total_price)

    for name in dict.fromkeys((model, model.rpartition("/")[2], model.rpartition(":")[2])):
        try:
            full = usd(name)
            read, written = (
                usd(name, cache_read_tokens=_PROBE_TOKENS),
                usd(name, cache_write_tokens=_PROBE_TOKENS),
            )
        except LookupError:
            continue
        if full:
            return CacheShares(read / full, written / full)
    return CacheShares()


@lru_cache(maxsize=512)
def known_context_window(model: str, provider: str | None = None) -> int | None:
    """The context window of a model in tokens, or `None` when the snapshot does not know it."""
    from genai_prices import Usage, calc_price

    try:
        return calc_price(Usage(input_tokens=1), model_ref=model, provider_id=provider).model.context_window
    except LookupError:
        return None


@lru_cache(maxsize=512)
def nearest_model(model: str) -> str | None:
    """The name in the snapshot that is nearest to that of a model, `None` when none is near."""
    from genai_prices import data_snapshot

    names = {entry.id for provider in data_snapshot.get_snapshot().providers for entry in provider.models}
    close = get_close_matches(model, sorted(names - {model}), n=1, cutoff=0.85)
    return close[0] if close else None
