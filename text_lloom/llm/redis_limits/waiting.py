"""Those of one process who wait for a start: first come, first served."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass
from itertools import islice

__all__ = ["Queue", "Waiter"]

_BATCH = 128


@dataclass(slots=True, eq=False)
class Waiter:
    """One who waits. The name is that of its start, if the call that asks for it is granted."""

    number: int
    tokens: int
    granted: asyncio.Future[float | None]
    name: str = ""
    asked_at: float = 0.0


class Queue:
    """Those who wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()
        self._process, self._count = secrets.token_hex(6), 0

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._waiters

    def newcomer(self, tokens: int) -> Waiter:
        """One who came last, not in the queue yet."""
        self._count += 1
        return Waiter(self._count, max(0, int(tokens)), asyncio.get_running_loop().create_future())

    def enter(self, waiter: Waiter) -> bool:
        """Put one where it belongs; whether that is the front."""
        if not self._waiters or self._waiters[-1].number < waiter.number:
            self._waiters.append(waiter)
        else:
            place = next(i for i, other in enumerate(self._waiters) if other.number > waiter.number)
            self._waiters.insert(place, waiter)
        return self._waiters[0] is waiter

    def leave(self, waiter: Waiter) -> bool:
        """Take one out; whether it was at the front."""
        was_first = self._waiters[0] is waiter
        self._waiters.remove(waiter)
        return was_first

    def next_waiters(self) -> list[Waiter]:
        """Those to ask for, each under a new name, since a call that failed may have been carried out."""
        while self._waiters and self._waiters[0].granted.done():
            self._waiters.popleft()
        asked = list(islice(self._waiters, _BATCH))
        now = asyncio.get_running_loop().time()
        for waiter in asked:
            self._count += 1
            waiter.name, waiter.asked_at = f"{self._process}{self._count:x}", now
        return asked

    def fail_all(self, error: BaseException) -> None:
        """End the waiting of all with an error."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.granted.done():
                waiter.granted.set_exception(error)
