"""Calls that end only once so many of them are in flight: shows concurrency by counting, not by time."""

from __future__ import annotations

import asyncio
import threading
import time

__all__ = ["PATIENCE", "Crowd"]

PATIENCE = 60.0
"""Seconds after which a test fails; far more than any machine needs."""
_BLOCKS = 0.05


class Crowd:
    """Counts calls that run at the same time: each one waits until `size` calls have started.

    Only the first call ends before, after 50 ms. It blocks if the others do, which shows that an `async`
    function blocks.

    Args:
        size: How many calls have to come, with the first one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.came = 0
        self._lock = threading.Lock()
        self._is_complete = threading.Event()

    @property
    def is_complete(self) -> bool:
        """Whether so many calls were in flight at a time."""
        return self._is_complete.is_set()

    def meet(self) -> None:
        """Come, and wait for the others on this thread.

        Raises:
            TimeoutError: When they do not come.
        """
        if self._is_first():
            time.sleep(_BLOCKS)
        elif not self._is_complete.wait(PATIENCE):
            raise TimeoutError(f"{self.came} of {self.size} calls came")

    async def meet_async(self) -> None:
        """Come, and wait for the others on this event loop.

        Raises:
            TimeoutError: When they do not come.
        """
        if self._is_first():
            await asyncio.sleep(_BLOCKS)
            return
        async with asyncio.timeout(PATIENCE):
            while not self.is_complete:
                await asyncio.sleep(0.005)

    def _is_first(self) -> bool:
        with self._lock:
            self.came += 1
            if self.came == self.size:
                self._is_complete.set()
            return self.came == 1
