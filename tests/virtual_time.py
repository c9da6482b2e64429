"""An event loop on which waiting takes no time, so that hours pass in a moment."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["in_virtual_time"]

T = TypeVar("T")


class _Clock(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Where a loop would wait, time jumps to its next timer."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("Nothing is left that could happen: somebody waits for ever.")
        if timeout > 0:
            due = self.loop._scheduled[0]._when
            self.loop.now = max(self.loop.now + timeout, due)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        clock = _Clock()
        clock.loop = self
        super().__init__(clock)

    def time(self) -> float:
        return self.now


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
