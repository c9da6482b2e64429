"""The private event-loop thread on which all model work of the process runs.

Clients are bound to the loop on which they first worked, and notebooks, scripts and servers all have
loops of their own. With one loop for all model work `await l.gen()`, several `asyncio.run` calls in a
row and plain synchronous calls share clients, limits and connections.
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


class _Job(Generic[T]):
    """A coroutine on the portal's loop: its result, and when it has really ended."""

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


class _EventLoopThread:
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


async def _awaited(closing: Callable[[], Awaitable[object]]) -> None:
    with contextlib.suppress(Exception):
        await closing()


_portal: _EventLoopThread | None = None
_lock = threading.Lock()


def _current() -> _EventLoopThread:
    """The process' portal; a forked child gets one of its own."""
    global _portal
    with _lock:
        if _portal is None or _portal.pid != os.getpid():
            _portal = _EventLoopThread()
        return _portal


class Stop:
    """Ends a piece of work on the portal's loop early, without an error, when another thread asks for it."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._asked = False

    @property
    def is_possible(self) -> bool:
        """Whether there is work under way that can be ended."""
        return self._task is not None

    def ask(self) -> bool:
        """End the work; `False` when there is none."""
        task = self._task
        if task is None:
            return False
        self._asked = True
        task.get_loop().call_soon_threadsafe(task.cancel)
        return True

    @contextlib.asynccontextmanager
    async def window(self) -> AsyncIterator[StopWindow]:
        """The work that may be ended: a cancellation that was asked for ends the block and is noted."""
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
    """How a piece of work came to its end; `stopped` when it was asked to."""

    stopped = False


def start(work: Coroutine[Any, Any, T], on_end: Callable[[BaseException | None], object]) -> None:
    """Start a coroutine on the portal's loop and come back at once.

    Args:
        work: What to do.
        on_end: Called on the portal's thread with the error that ended it, or `None`.
    """
    job = _Job(_current().loop, work)

    def ended(result: concurrent.futures.Future[T]) -> None:
        on_end(asyncio.CancelledError() if result.cancelled() else result.exception())

    job.result.add_done_callback(ended)


async def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the portal's loop and await its result from the caller's loop.

    Cancelling the caller cancels the work, and returns once the work has put its results away.
    """
    portal = _current()
    if threading.current_thread() is portal.thread:
        return await work
    job = _Job(portal.loop, work)
    try:
        return await asyncio.shield(asyncio.wrap_future(job.result))
    except asyncio.CancelledError:
        job.cancel()
        await asyncio.get_running_loop().run_in_executor(None, _wait_for_end, portal, job)
        raise


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the portal's loop and wait for its result, also inside a running loop.

    An interrupt (Ctrl-C) cancels the work, and is raised once the work has put its results away.
    """
    portal = _current()
    if threading.current_thread() is portal.thread:
        work.close()
        raise RuntimeError("run_sync cannot be called from a model's own call function; await instead.")
    job = _Job(portal.loop, work)
    try:
        while not job.ended.wait(_POLL_SECONDS):  # where a lock cannot be interrupted, as on Windows
            pass
        return job.result.result()
    except KeyboardInterrupt:
        job.cancel()
        _wait_for_end(portal, job)
        raise


def _wait_for_end(portal: _EventLoopThread, job: _Job[Any]) -> None:
    """Wait until work that was cancelled has put its results away, unless a call function blocks the loop.

    The first call of an `async` function around a blocking client does; then they are put away after it.
    """
    answers = threading.Event()
    portal.loop.call_soon_threadsafe(answers.set)
    if answers.wait(_BLOCKED_SECONDS):
        job.ended.wait(_CLEANUP_SECONDS)


def is_event_loop_thread() -> bool:
    """Whether this is the thread on which model work runs."""
    return _portal is not None and threading.current_thread() is _portal.thread


def close_with(owner: object, closing: Callable[[], Awaitable[object]]) -> None:
    """Have a client closed, on the portal's loop, when its owner is gone or the process ends."""
    portal = _current()
    token = id(closing)
    portal.open[token] = closing
    weakref.finalize(owner, portal.close, token).atexit = False


_SECONDS = 0.02


class Cooperative:
    """Lets others on the loop have theirs, every 20 ms."""

    def __init__(self) -> None:
        self._ends = time.perf_counter() + _SECONDS

    async def maybe_yield(self) -> None:
        """Let others go on if this turn is over."""
        if time.perf_counter() > self._ends:
            await asyncio.sleep(0)
            self._ends = time.perf_counter() + _SECONDS
