"""Budgets in US dollars or tokens that are kept, up to what cannot be known before a reply is there."""

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
"""How many times its estimate a request may cost when none of its kind has been settled."""
_MARGIN = 2.0
"""How many times the dearest so far the requests in flight may cost each, should replies grow."""
_TOGETHER = "batch"


def _is_amount(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) >= 0


class Reservation(NamedTuple):
    """What is set aside for one attempt.

    Attributes:
        amount: The estimate, in the budget's unit.
        wary: What it would be with a long reply.
        kind: Attempts of one kind are off their estimates alike.
        is_bound: The amount is the most that the attempt can cost.
    """

    amount: float
    wary: float
    kind: Hashable
    is_bound: bool


@dataclass(slots=True)
class _Kind:
    """What is known of the attempts of one kind: how many times their estimate they cost."""

    is_bound: bool
    held: float = 0.0
    wary: float = 0.0
    settled: int = 0
    factors: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    seen: float = 1.0

    def worst(self, amount: float, wary: float) -> float:
        """What is in flight, and an attempt more, may cost."""
        if self.is_bound:
            return self.seen * (self.held + amount)
        factor = max(_MARGIN * self.seen if self.settled else 1.0, _UNKNOWN / (1 + self.settled))
        return max(factor * (self.held + amount), self.wary + wary)

    def learn(self, factor: float) -> None:
        self.settled += 1
        self.factors.append(factor)
        self.seen = max(1.0, factor) if factor >= self.seen else max(1.0, *self.factors)


class Budget:
    """Money that requests may cost in all.

    Before each attempt its cost is set aside, after it what it really cost is booked. How long a reply
    will be is not known before, unless `max_tokens` bounds it. So an attempt joins those in flight only if
    there is room for all of them even if each has a long reply, and if each costs twice as much as the
    dearest of the last 200 of its kind did, compared with its estimate (a hundred times the estimate at
    first, less with each that is settled); otherwise it waits for one of them to end. Alone, it goes ahead
    if what the dearest cost fits. So the budget is passed only by replies that are longer than all that,
    and then by those few that are in flight.

    Must be used on one event loop.

    Args:
        usd: The budget in US dollars.
        spent: What has been spent of it already.

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
        """The amount as a number.

        Raises:
            InputError: When it is none, or below 0.
        """
        if not _is_amount(usd):
            raise InputError(f"budget={usd!r} must be a number of US dollars, 0 or more.")
        return float(usd)

    @property
    def remaining(self) -> float:
        """US dollars that are neither spent nor set aside."""
        return self.usd - self.spent - sum(kind.held * kind.seen for kind in self._kinds.values())

    async def take(
        self, amount: float, *, wary: float = 0.0, kind: Hashable = None, is_bound: bool = False
    ) -> Reservation:
        """Set the cost of the next attempt aside, after waiting for others to end if need be.

        Args:
            amount: Its estimated cost, or the most that it can cost.
            wary: What it would cost with a long reply.
            kind: Attempts of one kind are off their estimates alike, such as those of one step and model.
            is_bound: Whether it cannot cost more.

        Raises:
            BudgetReached: When it would pass the budget; nothing is set aside then.
        """
        known = self._kinds.setdefault((kind, is_bound), _Kind(is_bound))
        waited = False
        while amount > 0 and self._in_flight and not self._has_room(known, amount, wary):
            await self._turn(first=waited)
            waited = True
        try:
            self._check(amount * known.seen)
            self._in_flight += 1
            known.held += amount
            known.wary += wary
        finally:
            if waited:
                self._wake()
        return Reservation(amount, wary, kind, is_bound)

    def give_back(self, taken: Reservation, spent: float) -> None:
        """Book what an attempt really cost in place of what `take` set aside for it."""
        self._in_flight -= 1
        self._book(taken, spent)
        self._wake()

    def reserve(self, usd: float) -> None:
        """Set aside what requests will cost that nobody waits for, such as those of a batch.

        Raises:
            BudgetReached: When it would pass the budget; nothing is set aside then.
        """
        known = self._kinds.setdefault((_TOGETHER, True), _Kind(is_bound=True))
        self._check(usd * known.seen)
        known.held += usd

    def settle(self, reserved: float, spent: float) -> None:
        """Book what such requests really cost in place of what `reserve` set aside for them."""
        self._book(Reservation(reserved, 0.0, _TOGETHER, is_bound=True), spent)

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

    def _has_room(self, known: _Kind, amount: float, wary: float) -> bool:
        """Whether another attempt fits beside those in flight, if they turn out dear."""
        others = sum(kind.worst(0.0, 0.0) for kind in self._kinds.values() if kind is not known)
        return self.spent + others + known.worst(amount, wary) <= self.usd + _ROUNDING

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
        known.wary = max(0.0, known.wary - taken.wary)
        self.spent += spent
        if spent and taken.amount:
            known.learn(spent / taken.amount)

    def shown(self, amount: float) -> str:
        """An amount with its unit."""
        return dollars(amount)


class TokenBudget(Budget):
    """Tokens that requests may take in all; the only budget for models whose price is unknown.

    Args:
        tokens: The budget in tokens, of prompts and replies together.
        spent: What has been spent of it already.
    """

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
