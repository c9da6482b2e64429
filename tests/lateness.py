"""How late a busy machine wakes a sleeping thread, measured in the same run as the times under test."""

from __future__ import annotations

import threading
import time

__all__ = ["Lateness"]

_SLEEP = 0.005


class Lateness:
    """While the block lasts, a thread sleeps and notes how much too late it was woken.

    Attributes:
        worst: The longest delay, in seconds.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lateness", daemon=True)

    def __enter__(self) -> Lateness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            time.sleep(_SLEEP)
            self.worst = max(self.worst, time.monotonic() - began - _SLEEP)
