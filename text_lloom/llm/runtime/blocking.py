"""Calls of functions that block: worker threads for them, and how to tell that a function blocks.

`Workers` makes blocking calls on daemon threads, so that a call which never returns neither uses up a thread
nor holds up the end of the process. `CallRunner` calls a plain or async function on the event loop or on such
threads, whichever the function needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import itertools
import os
import queue
import threading
import time
import types
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Generic, NamedTuple, TypeVar, cast

from text_lloom.errors import ModelSetupError

__all__ = ["CallRunner", "TimeLimit", "Workers", "time_limit"]

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

_MOST_HUNG = 1000
_BLOCKED_SECONDS = 0.02


class TimeLimit(NamedTuple):
    """The time-out of a call: the timer that ends it, and how long it may take."""

    timer: asyncio.Timeout
    seconds: float


time_limit: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)
"""The time-out of the current call; it stands still while the call waits for a thread."""


class CallRunner(Generic[T]):
    """Calls a plain, an async, or a blocking async function, on the loop or on worker threads.

    A plain function always runs on worker threads; if it returns a coroutine, that is awaited on the loop.
    A coroutine runs on the loop until one ends without suspending after more than 20 ms; from then on they
    run on worker threads. Once one has suspended, all stay on the loop, as their client may be bound to it.

    Attributes:
        threads: The largest number of worker threads, which is the concurrency of blocking calls.
    """

    def __init__(self, function: Callable[..., T | Awaitable[T]], *, threads: int) -> None:
        self._function = function
        self.threads = threads
        self._is_plain = not inspect.iscoroutinefunction(_plain(function))
        self._coroutines_block = False
        self._coroutines_suspend = False
        self._workers: Workers | None = None
        self._local = threading.local()

    @property
    def blocking(self) -> bool:
        """Whether calls run on worker threads."""
        return self._is_plain or self._coroutines_block

    async def __call__(self, *args: object) -> T:
        """Call the function."""
        result = await self._on_thread(self._call, args) if self.blocking else self._function(*args)
        if inspect.iscoroutine(result):
            if self._coroutines_block:  # another call has shown it meanwhile
                return await self._on_thread(self._finish, result)
            return await self._watch(result)
        return await result if inspect.isawaitable(result) else result

    async def _watch(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, noticing whether it blocks."""
        started = time.perf_counter()
        try:
            first = work.send(None)
        except BaseException as ended:
            is_slow = time.perf_counter() - started > _BLOCKED_SECONDS
            if is_slow and not self._coroutines_suspend:
                self._coroutines_block = True
            if not isinstance(ended, StopIteration):
                raise
            result: T = ended.value
            return result
        self._coroutines_suspend = True
        return await _resume(work, first)

    async def _on_thread(self, function: Callable[[A], R], argument: A) -> R:
        if self._workers is None or not self._workers.is_own:
            self._workers = Workers(self.threads, "lloom-call")
            weakref.finalize(self, self._workers.close).atexit = False
        loop, limit = asyncio.get_running_loop(), time_limit.get()

        def starts() -> None:
            if limit is not None:
                loop.call_soon_threadsafe(_restart, limit)

        work = self._workers.submit(functools.partial(function, argument), on_start=starts)
        if work.is_queued and limit is not None:
            _set_timer(limit, None)
        try:
            return await asyncio.wrap_future(work.future)
        except asyncio.CancelledError:
            self._workers.abandon(work)
            work.future.add_done_callback(_discard)
            raise

    def _call(self, args: tuple[object, ...]) -> T | Awaitable[T]:
        try:
            result = self._function(*args)
        except StopIteration as error:  # a future cannot carry it to the loop
            raise RuntimeError(f"the call function raised StopIteration({error})") from error
        if self._coroutines_block and inspect.isawaitable(result):
            return self._finish(cast("Awaitable[T]", result))
        return result

    def _finish(self, work: Awaitable[T]) -> T:
        """Run a coroutine on the thread's own loop, the same one for all calls on this thread."""
        loop: _ThreadLoop | None = getattr(self._local, "loop", None)
        if loop is None:
            loop = self._local.loop = _ThreadLoop()
        return loop.run(work)


class Workers:
    """A bounded number of daemon threads that make blocking calls.

    A call that nobody waits for any more cannot be stopped; its thread no longer counts, and ends with it.
    `most` is the largest number of threads whose calls somebody waits for.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._pid = os.getpid()
        self._numbers = itertools.count()
        self._works: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._idle = self._hung = self._backlog = 0

    @property
    def is_own(self) -> bool:
        """Whether the threads are those of this process; a forked child has none of its parent's."""
        return self._pid == os.getpid()

    def submit(self, call: Callable[[], T], *, on_start: Callable[[], object]) -> _Call[T]:
        """Have a thread make a call, in the current context.

        `on_start` is called on the thread if the call had to wait for it.

        Raises:
            ModelSetupError: When 1000 calls hang already.
        """
        context = contextvars.copy_context()
        work: _Call[T] = _Call(lambda: context.run(call), on_start)
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

    def abandon(self, work: _Call[Any]) -> None:
        """Nobody waits for a call any more: free its place for another one."""
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


class _Call(Generic[T]):
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


class _ThreadLoop:
    """The event loop of a worker thread, closed when the thread ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(_awaited(work))

    def __del__(self) -> None:
        self._loop.close()


def _plain(function: Callable[..., object]) -> Callable[..., object]:
    """The function behind `functools.partial` or an object with `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    is_function = inspect.isfunction(function) or inspect.ismethod(function)
    if is_function or inspect.isbuiltin(function) or inspect.isclass(function):
        return function
    call: Callable[..., object] = getattr(function, "__call__", function)  # noqa: B004
    return call


def _restart(limit: TimeLimit) -> None:
    """Start the time of a call now."""
    _set_timer(limit, asyncio.get_running_loop().time() + limit.seconds)


def _set_timer(limit: TimeLimit, when: float | None) -> None:
    if not limit.timer.expired():
        with contextlib.suppress(RuntimeError):  # the call is over
            limit.timer.reschedule(when)


def _discard(ended: Future[Any]) -> None:
    """Close a coroutine that nobody waits for any more."""
    if not ended.cancelled() and ended.exception() is None and inspect.iscoroutine(ended.result()):
        ended.result().close()


async def _awaited(result: Awaitable[T]) -> T:
    return await result


@types.coroutine
def _resume(work: Coroutine[Any, Any, T], first: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has already been started and has yielded `first`."""
    yielded = first
    while True:
        thrown: BaseException | None = None
        sent: object = None
        try:
            sent = yield yielded
        except BaseException as error:
            thrown = error
        try:
            yielded = work.send(sent) if thrown is None else work.throw(thrown)
        except StopIteration as stop:
            result: T = stop.value
            return result
