"""How a process shares one journal file: a thread that writes it, and locks for its readers.

`Writer` queues rows and has its thread write them in groups. `SharedFile` does the reading and writing, holds
rows in memory while the file cannot be used, and replaces a damaged file.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import queue
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from text_lloom.llm.cache.file import (
    EntryId,
    JournalFile,
    JournalRow,
    NotAJournal,
    ReplyRow,
    as_text,
    entry_id,
    is_corrupt,
)

__all__ = ["SharedFile", "Writer"]

T = TypeVar("T")

_MOST_AT_ONCE = 4096
_GATHER_SECONDS = 0.01
_WRITES_UNGATHERED = 50
_PRUNE_EVERY_BYTES = 64_000_000
_FLUSH_SECONDS = 30.0
_DAY = 86_400.0
_RETRY_SECONDS = 10.0
_UNSAVED_BYTES = 256_000_000
_PRUNE_TO = 0.9
_PAUSE_SECONDS = 5.0
_USES_PER_WRITE = 1000

# SQLite's errors for a value that it cannot take, such as a number of more than 64 bits.
_UNSTORABLE = (OverflowError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class Writer:
    """Queues rows and has a thread write them to a file.

    `prune` removes what is past the limits, a little per step.
    """

    def __init__(self, file: SharedFile, prune: Callable[[], Iterator[int]]) -> None:
        self._file, self._prune = file, prune
        self.abandon()

    def abandon(self) -> None:
        """Start with an empty queue and no thread; also in a forked child."""
        self._lock = threading.Lock()
        self._queue: _Queue | None = None
        self._thread: threading.Thread | None = None
        self._pending: dict[str, _Writing] = {}
        self._since_pruned = _PRUNE_EVERY_BYTES

    async def write(self, rows: Sequence[JournalRow]) -> None:
        """Write rows; returns once they are written. They are written even if this call is cancelled."""
        loop = asyncio.get_running_loop()
        writing = _Writing(rows, loop, loop.create_future())
        if not self._put(writing):
            self._write([writing])
        await writing.written

    async def settle(self, key: str) -> bool:
        """Wait until a reply on its way to the disk can be read; returns whether there was one."""
        if key not in self._pending:
            return False
        await self.write(())
        return True

    def save_uses(self) -> None:
        """Have the thread save which entries were used."""
        self._put(_Order.SAVE_USES)

    def flush(self) -> None:
        """Wait until all that is queued is written."""
        done = threading.Event()
        if self._queue is not None and self._put(done):
            done.wait(_FLUSH_SECONDS)
        else:
            self._file.write(at_once=True)

    def close(self) -> None:
        """Write all that is queued and end the thread; it starts again when there is more to write."""
        with self._lock:
            works, thread = self._queue, self._thread
            self._queue = self._thread = None
            if works is not None:
                works.put(_Order.STOP)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FLUSH_SECONDS)
        self._since_pruned = _PRUNE_EVERY_BYTES  # not before: the thread that ends may still be pruning

    def _put(self, work: _Work) -> bool:
        """Hand work to the thread; `False` when none can start, as while the interpreter shuts down."""
        with self._lock:
            if self._queue is None:
                works: _Queue = queue.SimpleQueue()
                thread = threading.Thread(target=self._run, args=(works,), name="lloom-journal", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._queue, self._thread = works, thread
            if isinstance(work, _Writing):
                for row in work.rows:
                    if isinstance(row, ReplyRow):
                        self._pending[as_text(row.key)] = work
            self._queue.put(work)
        return True

    def _run(self, works: _Queue) -> None:
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
                # A caller that writes one reply after the other gains nothing by waiting.
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
                self._file.write(at_once=True)
            for work in waiting:
                if isinstance(work, threading.Event):
                    work.set()
            if _Order.STOP in waiting:
                return
            if self._since_pruned >= _PRUNE_EVERY_BYTES:
                self._since_pruned = 0
                self._prune_between(works)

    def _prune_between(self, works: _Queue) -> None:
        """Prune until somebody waits for a write."""
        for _ in self._prune():
            if not works.empty():
                self._since_pruned = _PRUNE_EVERY_BYTES
                return

    def _write(self, writings: Sequence[_Writing]) -> None:
        rows = [row for writing in writings for row in writing.rows]
        try:
            self._file.write(rows)
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


class SharedFile:
    """A journal file as all threads of a process use it.

    Attributes:
        unsaved: Rows that could not be written.
        problem: The last problem with the file, `None` if there was none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsaved: dict[EntryId, JournalRow] = {}
        self.problem: str | None = None
        self._warned: set[str] = set()
        self._unsaved_bytes = 0
        self._file: JournalFile | None = None
        self._readable: JournalFile | None = None
        self._retry_at = 0.0
        self._used: set[EntryId] = set()
        self._paused: list[threading.RLock] = []
        # A thread that takes both takes the write lock first.
        self.write_lock = threading.RLock()
        self.read_lock = threading.RLock()

    def pause(self) -> None:
        """Wait for the reads and writes under way, and allow no further ones until `resume`."""
        self._paused = [
            lock for lock in (self.write_lock, self.read_lock) if lock.acquire(timeout=_PAUSE_SECONDS)
        ]

    def resume(self) -> None:
        """Allow reads and writes again."""
        for lock in reversed(self._paused):
            lock.release()
        self._paused = []

    def abandon(self) -> JournalFile | None:
        """In a forked child: forget the file and the locks; returns the inherited file."""
        file, self._file = self._file, None
        self._readable = None
        self._used, self._paused = set(), []
        self.write_lock, self.read_lock = threading.RLock(), threading.RLock()
        return file

    def file(self) -> JournalFile | None:
        """The open file, `None` while it cannot be used."""
        with self.write_lock:
            return self._opened()

    def read(self, reading: Callable[[JournalFile], T]) -> T | None:
        """Read from the file; `None` when that does not work."""
        if self._file is None:
            self.file()
        try:
            with self.read_lock:
                file = self._file or self._readable
                return None if file is None else reading(file)
        except sqlite3.Error as error:
            problem = error
        with self.write_lock:
            if file is self._readable:
                self._close_readable()
                self._report(problem)
            elif file is self._file:
                if is_corrupt(problem):
                    self._set_aside(problem)
                else:
                    self._report(problem)
        return None

    def use(self, entry: EntryId, last_used: float) -> bool:
        """Note that an entry was used, at most once a day; returns whether to save the uses now."""
        if time.time() - last_used < _DAY:
            return False
        self._used.add(entry)
        return len(self._used) % _USES_PER_WRITE == 0

    def write(self, rows: Iterable[JournalRow] = (), *, at_once: bool = False) -> None:
        """Write rows and which entries were used, or hold the rows in memory when that fails.

        Args:
            rows: Replies and vectors.
            at_once: Try to write the rows that are held in memory even if that failed a moment ago.
        """
        rows = list(rows)
        with self.write_lock:
            if at_once:
                self._retry_at = min(self._retry_at, time.monotonic())
            file = self._opened()
            if file is None or (self.unsaved and time.monotonic() < self._retry_at):
                self._hold(rows)
                return
            try:
                self._write(file, rows)
            except _UNSTORABLE:
                self._write_each(file, rows)
            except sqlite3.Error as error:
                if is_corrupt(error) and (file := self._set_aside(error)) is not None:
                    with contextlib.suppress(sqlite3.Error):
                        self._write(file, rows)
                        return
                self._hold(rows)
                self._put_off(error)

    def prune(self, *, max_bytes: int, max_age_days: float) -> Iterator[int]:
        """Remove entries past the limits in steps of up to 500; yields how many each step removed.

        Past `max_bytes`, the longest unused entries go until a tenth of it is free.
        """
        target = max_bytes
        while True:
            with self.write_lock:
                file = self._opened()
                if file is None:
                    return
                try:
                    if file.size() > max_bytes:
                        target = int(_PRUNE_TO * max_bytes)
                    removed = file.prune(last_used_before=time.time() - max_age_days * _DAY, to_bytes=target)
                except sqlite3.Error as error:
                    if is_corrupt(error):
                        self._set_aside(error)
                    return
            if not removed:
                return
            yield removed

    def forget(self, matches: Callable[[JournalRow], bool]) -> int:
        """Drop rows that are held in memory; returns how many."""
        with self.write_lock:
            dropped = [entry for entry, row in self.unsaved.items() if matches(row)]
            for entry in dropped:
                self._unsaved_bytes -= self.unsaved.pop(entry).size
            return len(dropped)

    def close(self) -> None:
        """Write what is left, and close the file."""
        if self._used or self.unsaved:
            self.write(at_once=True)
        with self.write_lock, self.read_lock:
            file, self._file = self._file, None
            self._retry_at = 0.0
            self._close_readable()
            if file is not None:
                file.close()

    def _opened(self) -> JournalFile | None:
        """The file, opened if need be. Needs the write lock."""
        if self._file is not None:
            if self._file.is_in_place():
                return self._file
            with self.read_lock:
                self._file.close()
                self._file = None
                self._retry_at = 0.0
        if time.monotonic() < self._retry_at:
            return None
        try:
            self._file = JournalFile.open(self.path)
        except (sqlite3.Error, OSError) as error:
            self._open_for_reading()
            self._put_off(error)
        except NotAJournal as error:
            self._retry_at = float("inf")
            self._report(error)
        else:
            self._close_readable()
            if self._file.replaced is not None:
                self._report_damage(self._file.replaced)
        return self._file

    def _open_for_reading(self) -> None:
        """Open the file so that it can at least be read, as on a full or a read-only disk."""
        if self._readable is None:
            with contextlib.suppress(sqlite3.Error, OSError, NotAJournal), self.read_lock:
                self._readable = JournalFile(self.path, read_only=True)

    def _close_readable(self) -> None:
        with self.read_lock:
            readable, self._readable = self._readable, None
            if readable is not None:
                readable.close()

    def _write(self, file: JournalFile, rows: list[JournalRow]) -> None:
        used = list(self._used)
        if not (rows or used or self.unsaved):
            return
        file.write([*self.unsaved.values(), *rows], used)
        self._used.difference_update(used)
        self.unsaved.clear()
        self._unsaved_bytes = 0

    def _write_each(self, file: JournalFile, rows: list[JournalRow]) -> None:
        """Write rows one by one, so that a row which SQLite cannot store does not stop the others."""
        rows = [*self.unsaved.values(), *rows]
        self.unsaved.clear()
        self._unsaved_bytes = 0
        for row in rows:
            try:
                file.write([row])
            except _UNSTORABLE as error:
                self._report(error)
            except sqlite3.Error as error:
                self._hold([row])
                self._put_off(error)

    def _hold(self, rows: Iterable[JournalRow]) -> None:
        for row in rows:
            entry = entry_id(row)
            if entry in self.unsaved:
                self._unsaved_bytes -= self.unsaved.pop(entry).size
            self.unsaved[entry] = row
            self._unsaved_bytes += row.size
        while self._unsaved_bytes > _UNSAVED_BYTES:
            self._unsaved_bytes -= self.unsaved.pop(next(iter(self.unsaved))).size

    def _put_off(self, error: sqlite3.Error | OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        self._report(error)

    def _set_aside(self, error: sqlite3.Error) -> JournalFile | None:
        """Rename a damaged file and start a new one. Needs the write lock."""
        file = self._file
        if file is None:
            return None
        with self.read_lock:
            self._file = None
            try:
                aside = file.set_aside()
            except OSError:
                self._put_off(error)
                return None
        if aside is not None:
            self._report_damage(aside)
        return self._opened()

    def _report(self, problem: Exception) -> None:
        if isinstance(problem, NotAJournal):
            consequence = "It is left alone, and replies of this run are held in memory only"
        else:
            consequence = "Replies are held in memory until they can be written"
        self.problem = f"The journal {self.path} cannot be used: {problem}. {consequence}."
        self._warn(str(problem), self.problem)

    def _report_damage(self, aside: Path) -> None:
        self.problem = (
            f"The journal {self.path} was damaged. It was renamed to {aside.name}, and a new one was started."
        )
        self._warn(aside.name, self.problem)

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            # A filter that turns warnings into errors must not stop the writer.
            with contextlib.suppress(UserWarning):
                warnings.warn(text, UserWarning, stacklevel=2)


@dataclass(slots=True, eq=False)
class _Writing:
    """Rows on their way to the disk, and who waits for them."""

    rows: Sequence[JournalRow]
    loop: asyncio.AbstractEventLoop
    written: asyncio.Future[None]


class _Order(enum.Enum):
    SAVE_USES = enum.auto()
    STOP = enum.auto()


_Work: TypeAlias = _Writing | threading.Event | _Order
_Queue: TypeAlias = "queue.SimpleQueue[_Work]"


def _resolve(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
