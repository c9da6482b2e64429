"""Running a user's call function so that it never stops the event loop.

Many call functions are `async def` around a blocking client. Such a coroutine ends without ever
suspending, after a noticeable time; it never needed the loop, so later calls can run on worker threads.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar, cast

__all__ = ["CallRunner"]

T = TypeVar("T")

_BLOCKED_SECONDS = 0.02


class CallRunner(Generic[T]):
    """Calls a plain, an async, or a blocking async function, on the loop or on worker threads.

    A plain function always runs on worker threads. An async function runs on the loop until a call ends
    without suspending after more than 20 ms; from then on it runs on worker threads.

    Args:
        function: The function to call.
        threads: The largest number of worker threads, which is the concurrency of blocking calls.
    """

    def __init__(self, function: Callable[..., T | Awaitable[T]], *, threads: int) -> None:
        self._function = function
        self._threads = threads
        self._blocking = not inspect.iscoroutinefunction(inspect.unwrap(_plain(function)))
        self._pool: ThreadPoolExecutor | None = None
        self._local = threading.local()

    @property
    def blocking(self) -> bool:
        """Whether calls run on worker threads."""
        return self._blocking

    async def __call__(self, *args: object) -> T:
        """Call the function."""
        if self._blocking:
            return await self._on_thread(args)
        result = self._function(*args)
        if not inspect.iscoroutine(result):
            return await result if inspect.isawaitable(result) else result
        return await self._watch(result)

    async def _watch(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, noticing whether it blocks."""
        started = time.perf_counter()
        try:
            first = work.send(None)
        except StopIteration as stop:
            if time.perf_counter() - started > _BLOCKED_SECONDS:
                self._blocking = True
            result: T = stop.value
            return result
        return await _resume(work, first)

    async def _on_thread(self, args: tuple[object, ...]) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="lloom-call")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, args)

    def _call(self, args: tuple[object, ...]) -> T:
        result = self._function(*args)
        if inspect.isawaitable(result):
            return cast("T", self._runner().run(_awaited(result)))
        return result

    def _runner(self) -> asyncio.Runner:
        """The thread's own loop: a client that binds itself to a loop finds the same one again."""
        runner = getattr(self._local, "runner", None)
        if runner is None:
            runner = self._local.runner = asyncio.Runner()
        return runner


def _plain(function: Callable[..., object]) -> Callable[..., object]:
    """The function behind `functools.partial` or an object with `__call__`."""
    while hasattr(function, "func"):
        function = function.func
    is_function = inspect.isfunction(function) or inspect.ismethod(function)
    if is_function or inspect.isbuiltin(function) or inspect.isclass(function):
        return function
    call: Callable[..., object] = getattr(function, "__call__", function)  # noqa: B004
    return call


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
