"""How many requests of a model are in flight: a fixed number, or as many as the provider takes.

Without a limit from the user the number adapts: it doubles while all slots are in use and calls succeed,
until the first sign of overload; from then on it grows by one per round. A sign of overload cuts it by
a fifth, once per episode. (Additive increase, multiplicative decrease: Chiu & Jain 1989.)

A model that has answered before and answers no request any more is down. Then one request at a time is sent
to see whether it is back: in turn one that failed and a new one, which may succeed. When the model is back,
the number doubles again from a small one. If it soon goes down once more, the number doubles only up to half
of what it was. (Slow start: Jacobson 1988.)
"""

from __future__ import annotations

import asyncio
import math
from collections import deque

__all__ = ["AdaptiveConcurrency"]

_START = 32
_CEILING = 256
_CUT = 0.8
_COOL_DOWN = 5.0
_FULL = 0.8
_LEAST_AWAY = 8
_AGAIN = 120.0
_DOWN_FAILURES, _DOWN_REQUESTS, _DOWN_ROUNDS = 8, 4, 4
"""A model is down after this many failures in a row of this many requests; if it asks to slow down, only when
this many rounds failed."""


class AdaptiveConcurrency:
    """Gives a bounded number of slots to requests, first come, first served.

    A request whose attempt failed gives its slot up and comes back. Requests that come back go first, and
    while as many are away as may be in flight, no new one gets a slot. Must be used on one event loop.

    Args:
        concurrency: A fixed number of slots, or `None` to adapt.
        ceiling: The largest number when adapting; 256 when not given.
    """

    def __init__(self, concurrency: int | None = None, *, ceiling: int | None = None) -> None:
        ceiling = _CEILING if ceiling is None else ceiling
        self.limit = concurrency if concurrency is not None else min(_START, ceiling)
        self.ceiling = concurrency if concurrency is not None else ceiling
        self._adapts = concurrency is None
        self._in_flight = self._away = 0
        self._new: deque[asyncio.Future[None]] = deque()
        self._returning: deque[asyncio.Future[None]] = deque()
        self._threshold = self._uncut = self.ceiling
        self._cut_at = self._closed_at = -math.inf
        self._successes = 0
        self._cool_until = 0.0
        self._failures = self._rounds = 0
        self._failing: set[int] = set()
        self._round_began = 0.0
        self._has_replied = False
        self._failing_since = 0.0
        self._down_since: float | None = None
        self._newcomers_turn = False

    @property
    def in_flight(self) -> int:
        """Requests that hold a slot."""
        return self._in_flight

    @property
    def is_down(self) -> bool:
        """Whether the model answers no request at the moment."""
        return self._down_since is not None

    @property
    def has_newcomers(self) -> bool:
        """Whether a request waits for its first slot."""
        return any(not turn.done() for turn in self._new)

    @property
    def failing_for(self) -> float:
        """Seconds since calls began to fail, with no success since; 0 when the last call succeeded."""
        return asyncio.get_running_loop().time() - self._failing_since if self._failures else 0.0

    async def enter(self, *, again: bool = False) -> None:
        """Wait for a slot; `again` when the request was away."""
        if self._has_room(again=again) and not self._returning and (again or not self._new):
            self._in_flight += 1
        else:
            turn = asyncio.get_running_loop().create_future()
            (self._returning if again else self._new).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.leave()
                raise
        if again:
            self.end_backoff()

    def leave(self) -> None:
        """Give the slot up."""
        self._in_flight -= 1
        self._admit()

    async def __aenter__(self) -> None:
        await self.enter()

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def begin_backoff(self) -> None:
        """A request is about to leave; it comes back by `enter(again=True)`, or gives up by `end_backoff`."""
        self._away += 1

    def end_backoff(self) -> None:
        """A request that was away is back, or has given up."""
        self._away -= 1
        self._admit()

    def succeeded(self, began: float | None = None) -> None:
        """A call that began at that loop time went through: grow, if the slots are really in use."""
        now = asyncio.get_running_loop().time()
        self.replied(now if began is None else began)
        if not self._adapts or now < self._cool_until or self._in_flight < _FULL * self.limit:
            return
        self._successes += 1
        if self._successes < self.limit:
            return
        self._successes = 0
        grown = min(self._threshold, self.limit * 2) if self.limit < self._threshold else self.limit + 1
        self.limit = min(self.ceiling, grown)
        self._admit()

    def replied(self, began: float) -> None:
        """The model replied, whatever it said, to a call that began at that loop time."""
        self._has_replied = True
        self._failures = 0
        self._failing.clear()
        if began >= self._round_began:
            self._rounds = 0
        if self._down_since is not None and began >= self._down_since:
            self._down_since = None
            self._admit()

    def failed(self, request: int, began: float, *, limited: bool = False) -> int:
        """A call failed, perhaps by the fault of the model.

        Args:
            request: Identifies the request.
            began: When the call began, in loop time.
            limited: Whether the provider asked to slow down.

        Returns:
            How many rounds in a row have failed, if this is the first failure of one; else 0. Calls that
            began before the last round had failed belong to that round.
        """
        now = asyncio.get_running_loop().time()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        self._failing.add(request)
        is_first = began >= self._round_began
        if is_first:
            self._round_began = now
            self._rounds += 1
        if (
            self._down_since is None
            and self._has_replied
            and self._failures >= _DOWN_FAILURES
            and len(self._failing) >= _DOWN_REQUESTS
            and (self._rounds >= _DOWN_ROUNDS or not limited)
        ):
            self.mark_down()
            is_first = True
        return self._rounds if is_first else 0

    def mark_down(self) -> None:
        """Send one request at a time from now on, until a call goes through that begins later."""
        if self._down_since is not None:
            return
        self._down_since = self._round_began = asyncio.get_running_loop().time()
        if self._adapts:
            if self._down_since - self._closed_at < _AGAIN:  # it was not a passing outage
                self._threshold = max(1, self.limit // 2)
            elif self._cut_at >= self._failing_since:  # what looked like overload was not
                self._threshold = self._uncut
            self.limit = min(self.limit, self._threshold, _START)
            self._successes = 0
        self._closed_at = self._down_since
        self._newcomers_turn = True

    def cap(self, most: int) -> None:
        """Have at most that many slots from now on."""
        self.ceiling = min(self.ceiling, most)
        self.limit = min(self.limit, most)

    def overloaded(self, retry_after: float | None = None) -> None:
        """The provider asked to slow down: cut, once per episode."""
        now = asyncio.get_running_loop().time()
        if not self._adapts or now < self._cool_until:
            return
        self._cool_until = now + max(_COOL_DOWN, retry_after or 0.0)
        self._successes = 0
        self._uncut, self._cut_at = self._threshold, now
        self.limit = self._threshold = max(1, int(self.limit * _CUT))

    def _has_room(self, *, again: bool) -> bool:
        if self._in_flight >= (self.limit if self._down_since is None else 1):
            return False
        return again or self._down_since is not None or self._away < max(self.limit, _LEAST_AWAY)

    def _admit(self) -> None:
        is_newcomers = self._down_since is not None and self._newcomers_turn
        for again in (False, True) if is_newcomers else (True, False):
            waiting = self._returning if again else self._new
            while waiting and self._has_room(again=again):
                turn = waiting.popleft()
                if not turn.done():
                    self._in_flight += 1
                    self._newcomers_turn = again
                    turn.set_result(None)
