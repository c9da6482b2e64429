"""The private event-loop thread on which all model work of the process runs.

Clients are bound to the loop on which they first worked, and notebooks, scripts and servers all have
loops of their own. With one loop for all model work `await l.gen()`, several `asyncio.run` calls in a
row and plain synchronous calls share clients, limits and connections.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["run_async", "run_sync"]

T = TypeVar("T")

_CLEANUP_SECONDS = 5.0


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


class _Portal:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.pid = os.getpid()
        self.thread = threading.Thread(target=self._run, name="lloom-models", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


_portal: _Portal | None = None
_lock = threading.Lock()


def _current() -> _Portal:
    """The process' portal; a forked child gets one of its own."""
    global _portal
    with _lock:
        if _portal is None or _portal.pid != os.getpid():
            _portal = _Portal()
        return _portal


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
        await asyncio.get_running_loop().run_in_executor(None, job.ended.wait, _CLEANUP_SECONDS)
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
        return job.result.result()
    except KeyboardInterrupt:
        job.cancel()
        job.ended.wait(_CLEANUP_SECONDS)
        raise
