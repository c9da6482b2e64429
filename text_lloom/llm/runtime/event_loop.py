"""The private event-loop thread on which all model work of the process runs.

Clients are bound to the loop on which they first worked, and notebooks, scripts and servers all have loops of
their own. With one loop for all model work, `await l.gen()`, several `asyncio.run` calls in a row and plain
synchronous calls share clients, limits and connections.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["Cooperative", "Stop", "close_with", "is_event_loop_thread", "run_async", "run_sync", "start"]

T = TypeVar("T")

_BLOCKED_SECONDS = 0.5
_CLEANUP_SECONDS = 5.0
_POLL_SECONDS = 0.2
_TURN_SECONDS = 0.02

_thread: _EventLoopThread | None = None
_thread_lock = threading.Lock()


async def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the private loop and await its result from the caller's loop.

    Cancelling the caller cancels the work, and returns once the work has stored its results.
    """
    current = _current()
    if threading.current_thread() is current.thread:
        return await work
    job = _Job(current.loop, work)
    try:
        return await asyncio.shield(asyncio.wrap_future(job.result))
    except asyncio.CancelledError:
        job.cancel()
        await asyncio.get_running_loop().run_in_executor(None, _wait_for_end, current, job)
        raise


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the private loop and wait for its result, also inside a running loop.

    An interrupt (Ctrl-C) cancels the work, and is raised once the work has stored its results.
    """
    current = _current()
    if threading.current_thread() is current.thread:
        work.close()
        raise RuntimeError("run_sync cannot be called from a model's own call function; await instead.")
    job = _Job(current.loop, work)
    try:
        while not job.ended.wait(_POLL_SECONDS):  # where a lock cannot be interrupted, as on Windows
            pass
        return job.result.result()
    except KeyboardInterrupt:
        job.cancel()
        _wait_for_end(current, job)
        raise


def start(work: Coroutine[Any, Any, T], on_end: Callable[[BaseException | None], object]) -> None:
    """Start a coroutine on the private loop and return at once.

    `on_end` is called on the thread of that loop, with the error that ended the work or `None`.
    """
    job = _Job(_current().loop, work)

    def ended(result: concurrent.futures.Future[T]) -> None:
        on_end(asyncio.CancelledError() if result.cancelled() else result.exception())

    job.result.add_done_callback(ended)


def is_event_loop_thread() -> bool:
    """Whether this is the thread on which model work runs."""
    return _thread is not None and threading.current_thread() is _thread.thread


def close_with(owner: object, closing: Callable[[], Awaitable[object]]) -> None:
    """Have a client closed, on the private loop, when its owner is gone or the process ends."""
    current = _current()
    token = id(closing)
    current.open[token] = closing
    weakref.finalize(owner, current.close, token).atexit = False


class Cooperative:
    """Lets other tasks of the loop run every 20 ms during a long computation."""

    def __init__(self) -> None:
        self._ends = time.perf_counter() + _TURN_SECONDS

    async def maybe_yield(self) -> None:
        """Let other tasks run if the last time was more than 20 ms ago."""
        if time.perf_counter() > self._ends:
            await asyncio.sleep(0)
            self._ends = time.perf_counter() + _TURN_SECONDS


class Stop:
    """Ends a piece of work early, without an error, when another thread asks for it."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._asked = False

    @property
    def is_possible(self) -> bool:
        """Whether work is under way that can be ended."""
        return self._task is not None

    def ask(self) -> bool:
        """End the work; returns `False` when there is none."""
        task = self._task
        if task is None:
            return False
        self._asked = True
        task.get_loop().call_soon_threadsafe(task.cancel)
        return True

    @contextlib.asynccontextmanager
    async def window(self) -> AsyncIterator[StopWindow]:
        """A block of work that may be ended: `ask` cancels it, and the result says so."""
        outcome = StopWindow()
        self._task, self._asked = asyncio.current_task(), False
        try:
            yield outcome
        except asyncio.CancelledError:
            if not self._asked or self._task is None or self._task.uncancel():
                raise
            outcome.stopped = True
        finally:
            self._task = None


class StopWindow:
    """How a piece of work ended; `stopped` if it was asked to."""

    stopped = False


class _EventLoopThread:
    """The thread with the private loop, and what is to be closed on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.pid = os.getpid()
        self.open: dict[int, Callable[[], Awaitable[object]]] = {}
        self.thread = threading.Thread(target=self._run, name="lloom-models", daemon=True)
        self.thread.start()
        atexit.register(self._shut_down)

    def close(self, token: int) -> None:
        """Close one client, without waiting."""
        closing = self.open.pop(token, None)
        if closing is not None and self.pid == os.getpid():
            self.loop.call_soon_threadsafe(lambda: self.loop.create_task(_awaited(closing)))

    def _shut_down(self) -> None:
        """Close what is still open when the process ends."""
        if self.pid != os.getpid() or not self.open:
            return
        closings, self.open = list(self.open.values()), {}

        async def all_closed() -> None:
            await asyncio.wait([asyncio.ensure_future(_awaited(closing)) for closing in closings])

        ended = asyncio.run_coroutine_threadsafe(all_closed(), self.loop)
        with contextlib.suppress(concurrent.futures.TimeoutError):
            ended.result(_CLEANUP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit):  # raised by a call function; its caller gets it, too
                continue


class _Job(Generic[T]):
    """A coroutine on the private loop: its result, and whether it has really ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        self.result: concurrent.futures.Future[T] = concurrent.futures.Future()
        self.ended = threading.Event()
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        context = contextvars.copy_context()

        def start() -> None:
            self._task = loop.create_task(work, context=context)
            self._task.add_done_callback(self._finish)

        loop.call_soon_threadsafe(start)

    def cancel(self) -> None:
        def stop() -> None:
            if self._task is not None:
                self._task.cancel()

        self._loop.call_soon_threadsafe(stop)

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.result.cancel()
            self.result.set_running_or_notify_cancel()
        elif (error := task.exception()) is not None:
            self.result.set_exception(error)
        else:
            self.result.set_result(task.result())
        self.ended.set()


def _current() -> _EventLoopThread:
    """The thread of this process; a forked child gets one of its own."""
    global _thread
    with _thread_lock:
        if _thread is None or _thread.pid != os.getpid():
            _thread = _EventLoopThread()
        return _thread


def _wait_for_end(current: _EventLoopThread, job: _Job[Any]) -> None:
    """Wait until work that was cancelled has stored its results, unless a call function blocks the loop.

    The first call of an `async` function around a blocking client does; the results are stored after it.
    """
    answers = threading.Event()
    current.loop.call_soon_threadsafe(answers.set)
    if answers.wait(_BLOCKED_SECONDS):
        job.ended.wait(_CLEANUP_SECONDS)


async def _awaited(closing: Callable[[], Awaitable[object]]) -> None:
    with contextlib.suppress(Exception):
        await closing()
