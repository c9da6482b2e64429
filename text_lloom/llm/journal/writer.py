"""The thread that writes the journal: whatever is queued while it writes goes in its next transaction.

A reply that comes alone is written at once. When replies come fast, each write first gathers for some
milliseconds, so that many replies share one transaction: at a thousand a second that more than halves the
processor time per reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from text_lloom.llm.journal.keeper import Keeper
from text_lloom.llm.journal.rows import ReplyRow, Row, as_text

__all__ = ["Writer"]

_MOST_AT_ONCE = 4096
_GATHER_SECONDS = 0.01
_WRITES_UNGATHERED = 50
_PRUNE_EVERY_BYTES = 64_000_000
_FLUSH_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class _Writing:
    """Rows on their way to the disk, and who waits for them."""

    rows: Sequence[Row]
    loop: asyncio.AbstractEventLoop
    written: asyncio.Future[None]


class _Nudge:
    """Has the thread write down what was used."""


class _Stop:
    """Ends the thread."""


_Work: TypeAlias = _Writing | threading.Event | _Nudge | _Stop
_Works: TypeAlias = "queue.SimpleQueue[_Work]"


class Writer:
    """Queues rows and has a thread write them.

    Args:
        keeper: Does the writing.
        prune: Removes what is past the limits, a little per step.
    """

    def __init__(self, keeper: Keeper, prune: Callable[[], Iterator[int]]) -> None:
        self._keeper, self._prune = keeper, prune
        self.abandon()

    def abandon(self) -> None:
        """In a forked child, and at first: nothing queued, no thread."""
        self._lock = threading.Lock()
        self._works: _Works | None = None
        self._thread: threading.Thread | None = None
        self._pending: dict[str, _Writing] = {}
        self._since_pruned = _PRUNE_EVERY_BYTES

    async def write(self, rows: Sequence[Row]) -> None:
        """Write rows; returns once they are written. They are written even if this call is cancelled."""
        loop = asyncio.get_running_loop()
        writing = _Writing(rows, loop, loop.create_future())
        if not self._queue(writing):
            self._write([writing])
        await writing.written

    async def settle(self, key: str) -> bool:
        """Wait until a reply that is on its way to the disk can be read; whether there was one."""
        if key not in self._pending:
            return False
        await self.write(())
        return True

    def nudge(self) -> None:
        """Have what was used written down soon."""
        self._queue(_Nudge())

    def flush(self) -> None:
        """Wait until all that is queued is written."""
        done = threading.Event()
        if self._works is not None and self._queue(done):
            done.wait(_FLUSH_SECONDS)
        else:
            self._keeper.keep(at_once=True)

    def close(self) -> None:
        """Write all that is queued and end the thread; it starts again when there is more to write."""
        with self._lock:
            works, thread = self._works, self._thread
            self._works = self._thread = None
            if works is not None:
                works.put(_Stop())
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FLUSH_SECONDS)
        self._since_pruned = _PRUNE_EVERY_BYTES  # not before: the thread that ends may still be pruning

    def _queue(self, work: _Work) -> bool:
        """Hand work to the thread; `False` when there can be none, as while the interpreter shuts down."""
        with self._lock:
            if self._works is None:
                works: _Works = queue.SimpleQueue()
                thread = threading.Thread(target=self._run, args=(works,), name="lloom-journal", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._works, self._thread = works, thread
            if isinstance(work, _Writing):
                for row in work.rows:
                    if isinstance(row, ReplyRow):
                        self._pending[as_text(row.key)] = work
            self._works.put(work)
        return True

    def _run(self, works: _Works) -> None:
        last_write = 0.0
        gather_after = 0
        while True:
            waiting = [works.get()]
            gather_after = max(0, gather_after - 1)
            gathers = (
                isinstance(waiting[0], _Writing)
                and not gather_after
                and time.monotonic() - last_write < _GATHER_SECONDS
            )
            if gathers:
                time.sleep(_GATHER_SECONDS)
                # Whoever puts one reply after the other gains nothing by waiting.
                if works.empty():
                    gather_after = _WRITES_UNGATHERED
            with contextlib.suppress(queue.Empty):
                while len(waiting) < _MOST_AT_ONCE:
                    waiting.append(works.get_nowait())
            writings = [work for work in waiting if isinstance(work, _Writing)]
            if writings:
                self._write(writings)
                last_write = time.monotonic()
            if len(writings) < len(waiting):
                self._keeper.keep(at_once=True)
            for work in waiting:
                if isinstance(work, threading.Event):
                    work.set()
            if any(isinstance(work, _Stop) for work in waiting):
                return
            if self._since_pruned >= _PRUNE_EVERY_BYTES:
                self._since_pruned = 0
                self._prune_between(works)

    def _prune_between(self, works: _Works) -> None:
        """Prune, but let whoever waits for a write go first."""
        for _ in self._prune():
            if not works.empty():
                self._since_pruned = _PRUNE_EVERY_BYTES
                return

    def _write(self, writings: Sequence[_Writing]) -> None:
        rows = [row for writing in writings for row in writing.rows]
        try:
            self._keeper.keep(rows)
        finally:
            with self._lock:
                for writing in writings:
                    for row in writing.rows:
                        if isinstance(row, ReplyRow):
                            key = as_text(row.key)
                            if self._pending.get(key) is writing:
                                del self._pending[key]
            self._since_pruned += sum(row.size for row in rows)
            by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
            for writing in writings:
                by_loop.setdefault(writing.loop, []).append(writing.written)
            for loop, futures in by_loop.items():
                with contextlib.suppress(RuntimeError):  # the loop may have been closed meanwhile
                    loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
