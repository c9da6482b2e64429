"""Worker threads that a call which never comes back does not use up, and that no exit waits for."""

from __future__ import annotations

import contextvars
import itertools
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from text_lloom.errors import ModelSetupError

__all__ = ["Work", "Workers"]

T = TypeVar("T")

_MOST_HUNG = 1000


class Work(Generic[T]):
    """A call on its way through the workers.

    Attributes:
        future: Gets what it returns or raises.
        is_queued: All workers were busy when it came.
    """

    __slots__ = ("_call", "_on_start", "future", "is_abandoned", "is_queued", "is_running")

    def __init__(self, call: Callable[[], T], on_start: Callable[[], object]) -> None:
        self._call = call
        self._on_start = on_start
        self.future: Future[T] = Future()
        self.is_queued = self.is_running = self.is_abandoned = False

    def do(self) -> None:
        """Make the call, on this thread."""
        if self.is_queued:
            self._on_start()
        try:
            result = self._call()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Workers:
    """A bounded number of daemon threads that make blocking calls.

    A call that nobody waits for any more cannot be stopped; its thread no longer counts, and ends with it.

    Args:
        most: The largest number of threads whose calls somebody waits for.
        name: Of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._pid = os.getpid()
        self._numbers = itertools.count()
        self._works: queue.SimpleQueue[Work[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._idle = self._hung = self._backlog = 0

    @property
    def is_own(self) -> bool:
        """Whether the threads are those of this process; a forked child has none of its parent's."""
        return self._pid == os.getpid()

    def submit(self, call: Callable[[], T], *, on_start: Callable[[], object]) -> Work[T]:
        """Have a thread make a call, in the current context.

        Args:
            call: What to call.
            on_start: Called on the thread if the call had to wait for it.

        Raises:
            ModelSetupError: When 1000 calls hang already.
        """
        context = contextvars.copy_context()
        work: Work[T] = Work(lambda: context.run(call), on_start)
        with self._lock:
            if self._hung >= _MOST_HUNG:
                raise ModelSetupError(
                    f"{self._hung} calls of the call function hang although their time is up, so no further "
                    f"one is made. Give its client a time-out of its own."
                )
            if self._idle:
                self._idle -= 1
            elif self._threads - self._hung < self._most:
                self._start()
            else:
                self._backlog += 1
                work.is_queued = True
            self._works.put(work)
        return work

    def abandon(self, work: Work[Any]) -> None:
        """Nobody waits for a call any more: let another one have its place."""
        with self._lock:
            if work.future.cancel() or not work.is_running:
                return
            work.is_abandoned = True
            self._hung += 1
            if self._backlog:
                self._backlog -= 1
                self._start()

    def close(self) -> None:
        """End the threads, each after what it does."""
        with self._lock:
            for _ in range(self._threads):
                self._works.put(None)

    def _start(self) -> None:
        self._threads += 1
        name = f"{self._name}_{next(self._numbers)}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (work := self._works.get()) is not None:
            with self._lock:
                work.is_running = work.future.set_running_or_notify_cancel()
            if work.is_running:
                work.do()
            with self._lock:
                work.is_running = False
                if work.is_abandoned:
                    self._hung -= 1
                    self._threads -= 1
                    return
                if self._backlog:
                    self._backlog -= 1
                else:
                    self._idle += 1
            del work
