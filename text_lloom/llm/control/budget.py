"""Budgets in US dollars or tokens, enforced as far as costs are known in advance."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from numbers import Real
from typing import NamedTuple

from text_lloom.errors import BudgetReached, InputError
from text_lloom.llm.control.prices import dollars

__all__ = ["Budget", "Reservation", "TokenBudget"]

_ROUNDING = 1e-12
_REMEMBERED = 200
_UNKNOWN = 100.0
"""How many times its estimate a request may cost before any of its kind has ended."""
_MARGIN = 2.0
"""How many times as much as the dearest so far each request in flight may cost."""
_BATCH = "batch"


class Reservation(NamedTuple):
    """What is set aside for one attempt.

    Attributes:
        amount: The estimate, in the budget's unit.
        if_long: The estimate for a long reply.
        kind: Attempts of one kind are off their estimates alike.
        is_bound: The amount is the most that the attempt can cost.
    """

    amount: float
    if_long: float
    kind: Hashable
    is_bound: bool


class Budget:
    """Money that requests may cost in all.

    `take` sets the cost of an attempt aside before it starts, `give_back` books what it really cost. The
    length of a reply is not known before, unless `max_tokens` bounds it. So an attempt joins those in flight
    only if all of them fit in two cases: each has a long reply, or each costs twice as many times its
    estimate as the dearest of the last 200 of its kind (a hundred times at first, less with each that has
    ended). Otherwise it waits for one of them to end. Alone, it starts if it fits at the factor of the
    dearest. So only replies that are longer than all that can pass the budget, and only by the few attempts
    that are in flight.

    Must be used on one event loop.

    Args:
        usd: The budget in US dollars.
        spent: US dollars that are spent already.

    Attributes:
        usd: The budget; may be changed while it is in use.
        spent: What has been spent, estimated where the provider reports no tokens.
    """

    _name = "budget"

    def __init__(self, usd: float, *, spent: float = 0.0) -> None:
        self.usd = self.checked(usd)
        self.spent = spent
        self._kinds: dict[tuple[Hashable, bool], _Kind] = {}
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @classmethod
    def checked(cls, usd: float) -> float:
        """The amount as a float.

        Raises:
            InputError: When it is not a number, or is below 0.
        """
        if not _is_amount(usd):
            raise InputError(f"budget={usd!r} must be a number of US dollars, 0 or more.")
        return float(usd)

    @property
    def remaining(self) -> float:
        """US dollars that are neither spent nor set aside."""
        return self.usd - self.spent - sum(kind.held * kind.dearest for kind in self._kinds.values())

    async def take(
        self, amount: float, *, if_long: float = 0.0, kind: Hashable = None, is_bound: bool = False
    ) -> Reservation:
        """Set the cost of the next attempt aside, after waiting for others to end if need be.

        Args:
            amount: Its estimated cost, or the most that it can cost.
            if_long: What it would cost with a long reply.
            kind: Attempts of one kind are off their estimates alike, such as those of one step and model.
            is_bound: Whether it cannot cost more than `amount`.

        Raises:
            BudgetReached: When it would pass the budget; nothing is set aside then.
        """
        known = self._kinds.setdefault((kind, is_bound), _Kind(is_bound))
        waited = False
        while amount > 0 and self._in_flight and not self._has_room(known, amount, if_long):
            await self._turn(first=waited)
            waited = True
        try:
            self._check(amount * known.dearest)
            self._in_flight += 1
            known.held += amount
            known.held_if_long += if_long
        finally:
            if waited:
                self._wake()
        return Reservation(amount, if_long, kind, is_bound)

    def give_back(self, taken: Reservation, spent: float) -> None:
        """Book what an attempt really cost in place of what `take` set aside for it."""
        self._in_flight -= 1
        self._book(taken, spent)
        self._wake()

    def reserve(self, usd: float) -> None:
        """Set aside what the requests of a batch will cost.

        Raises:
            BudgetReached: When it would pass the budget; nothing is set aside then.
        """
        known = self._kinds.setdefault((_BATCH, True), _Kind(is_bound=True))
        self._check(usd * known.dearest)
        known.held += usd

    def settle(self, reserved: float, spent: float) -> None:
        """Book what the requests of a batch really cost in place of what `reserve` set aside."""
        self._book(Reservation(reserved, 0.0, _BATCH, is_bound=True), spent)

    async def _turn(self, *, first: bool) -> None:
        """Wait until an attempt has ended, in order of arrival."""
        turn = asyncio.get_running_loop().create_future()
        if first:
            self._waiters.appendleft(turn)
        else:
            self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _has_room(self, known: _Kind, amount: float, if_long: float) -> bool:
        """Whether another attempt fits beside those in flight at the worst."""
        others = sum(kind.worst(0.0, 0.0) for kind in self._kinds.values() if kind is not known)
        return self.spent + others + known.worst(amount, if_long) <= self.usd + _ROUNDING

    def _check(self, likely: float) -> None:
        if likely > 0 and likely > self.remaining + _ROUNDING:
            raise BudgetReached(
                f"The {self._name} of {self.shown(self.usd)} is reached: {self.shown(self.spent)} "
                f"spent, and the next request may cost {self.shown(likely)}. What was answered is kept; "
                f"raise the budget and call again to go on."
            )

    def _book(self, taken: Reservation, spent: float) -> None:
        known = self._kinds.setdefault((taken.kind, taken.is_bound), _Kind(taken.is_bound))
        known.held = max(0.0, known.held - taken.amount)
        known.held_if_long = max(0.0, known.held_if_long - taken.if_long)
        self.spent += spent
        if spent and taken.amount:
            known.learn(spent / taken.amount)

    def shown(self, amount: float) -> str:
        """An amount with its unit."""
        return dollars(amount)


class TokenBudget(Budget):
    """Tokens of prompts and replies that requests may take in all; works without a known price, too."""

    _name = "token budget"

    def __init__(self, tokens: float, *, spent: float = 0.0) -> None:
        super().__init__(tokens, spent=spent)

    @classmethod
    def checked(cls, usd: float) -> float:
        if not _is_amount(usd) or math.isinf(usd):
            raise InputError(
                f"token_budget={usd!r} must be a number of tokens, 0 or more; None for no limit."
            )
        return float(usd)

    def shown(self, amount: float) -> str:
        return f"{amount:,.0f} tokens"


@dataclass(slots=True)
class _Kind:
    """What is known of the attempts of one kind.

    Attributes:
        held: What is set aside for those in flight.
        held_if_long: The same for long replies.
        settled: How many have ended.
        factors: How many times their estimate the latest ones cost.
        dearest: The largest of these factors, at least 1.
    """

    is_bound: bool
    held: float = 0.0
    held_if_long: float = 0.0
    settled: int = 0
    factors: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    dearest: float = 1.0

    def worst(self, amount: float, if_long: float) -> float:
        """What those in flight and one more attempt may cost."""
        if self.is_bound:
            return self.dearest * (self.held + amount)
        factor = max(_MARGIN * self.dearest if self.settled else 1.0, _UNKNOWN / (1 + self.settled))
        return max(factor * (self.held + amount), self.held_if_long + if_long)

    def learn(self, factor: float) -> None:
        self.settled += 1
        self.factors.append(factor)
        self.dearest = max(1.0, factor) if factor >= self.dearest else max(1.0, *self.factors)


def _is_amount(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) >= 0
