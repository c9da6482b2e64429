"""Long work on the event loop in turns, so that other steps go on and a cancellation is heard."""

from __future__ import annotations

import asyncio
import time

__all__ = ["Turns"]

_SECONDS = 0.02


class Turns:
    """Lets others on the loop have theirs, every 20 ms."""

    def __init__(self) -> None:
        self._ends = time.perf_counter() + _SECONDS

    async def give_way(self) -> None:
        """Let others go on if this turn is over."""
        if time.perf_counter() > self._ends:
            await asyncio.sleep(0)
            self._ends = time.perf_counter() + _SECONDS
