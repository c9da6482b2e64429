"""How many requests of a model are in flight: a fixed number, or as many as the provider takes.

Without a limit from the user the number adapts: it doubles while all slots are in use and calls succeed,
until the first sign of overload; from then on it grows by one per round. A sign of overload cuts it by
a fifth, once per episode. (Additive increase, multiplicative decrease: Chiu & Jain 1989.)
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Gate"]

_START = 32
_CEILING = 256
_CUT = 0.8
_COOL_DOWN = 5.0
_FULL = 0.8


class Gate:
    """Admits a bounded number of holders, first come, first served.

    Must be used on one event loop.

    Args:
        concurrency: A fixed number of holders, or `None` to adapt.
        ceiling: The largest number when adapting; 256 when not given.
    """

    def __init__(self, concurrency: int | None = None, *, ceiling: int | None = None) -> None:
        ceiling = _CEILING if ceiling is None else ceiling
        self.limit = concurrency if concurrency is not None else min(_START, ceiling)
        self.ceiling = concurrency if concurrency is not None else ceiling
        self._adapts = concurrency is None
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._slow_start = True
        self._successes = 0
        self._cool_until = 0.0

    @property
    def in_flight(self) -> int:
        """Holders at this moment."""
        return self._in_flight

    async def __aenter__(self) -> None:
        if self._in_flight < self.limit and not self._waiters:
            self._in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def succeeded(self) -> None:
        """A call went through: grow, if the slots are really in use."""
        loop = asyncio.get_running_loop()
        if not self._adapts or loop.time() < self._cool_until or self._in_flight < _FULL * self.limit:
            return
        self._successes += 1
        if self._successes < self.limit:
            return
        self._successes = 0
        grown = self.limit * 2 if self._slow_start else self.limit + 1
        self.limit = min(self.ceiling, grown)
        self._admit()

    def cap(self, most: int) -> None:
        """Never admit more than that from now on."""
        self.ceiling = min(self.ceiling, most)
        self.limit = min(self.limit, most)

    def overloaded(self, retry_after: float | None = None) -> None:
        """The provider asked to slow down: cut, once per episode."""
        now = asyncio.get_running_loop().time()
        if not self._adapts or now < self._cool_until:
            return
        self._cool_until = now + max(_COOL_DOWN, retry_after or 0.0)
        self._slow_start, self._successes = False, 0
        self.limit = max(1, int(self.limit * _CUT))

    def _leave(self) -> None:
        self._in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiters and self._in_flight < self.limit:
            turn = self._waiters.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
