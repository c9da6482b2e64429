"""The public methods of a session: their names in messages, and a warning of one that nobody awaited."""

from __future__ import annotations

import asyncio
import functools
import inspect
import warnings
import weakref
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any, Protocol, TypeVar

__all__ = ["PendingCalls", "public_verbs"]

S = TypeVar("S", bound=type)


class PendingCalls:
    """The coroutines that methods of a session have returned, to warn of those that nobody awaits."""

    def __init__(self) -> None:
        self._made: list[tuple[str, weakref.ref[Coroutine[Any, Any, Any]]]] = []

    def add(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Note the coroutine that a method returns."""
        self._made.append((name, weakref.ref(work)))

    def warn(self) -> None:
        """Warn, once, of the coroutines made before the one that is running now that have not begun.

        Those that are the work of a task will begin by themselves.
        """
        states = [(name, work, _state(work)) for name, ref in self._made if (work := ref()) is not None]
        running = [at for at, (_, _, state) in enumerate(states) if state == inspect.CORO_RUNNING]
        before, after = states[: running[-1]] if running else states, states[running[-1] :] if running else []
        scheduled = _scheduled()
        forgotten = [(n, w) for n, w, s in before if s == inspect.CORO_CREATED and id(w) not in scheduled]
        told = {id(work) for _, work in forgotten}
        self._made = [
            (name, weakref.ref(work))
            for name, work, state in (*before, *after)
            if state == inspect.CORO_CREATED and id(work) not in told
        ]
        for name, _ in forgotten:
            warnings.warn(
                f"An earlier l.{name}(…) was not awaited, so it has done nothing. Write "
                f"`await l.{name}(…)` in a notebook, or `l.sync.{name}(…)` in a script.",
                stacklevel=3,
            )


def public_verbs(cls: S) -> S:
    """Have the public methods of a class, also those that it inherits, go by the name of the class.

    Python's own messages then name `lloom.merge`, whatever base class defines it. Coroutines are noted in
    `_pending`, and every other method first warns of those that were not awaited.
    """
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_"):
            method.__qualname__ = f"{cls.__name__}.{name}"
            setattr(
                cls, name, _noted(name, method) if inspect.iscoroutinefunction(method) else _warned(method)
            )
    return cls


class _HasPending(Protocol):
    _pending: PendingCalls


def _noted(name: str, method: FunctionType) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: _HasPending, *args: Any, **kwargs: Any) -> Any:
        work = method(self, *args, **kwargs)
        self._pending.add(name, work)
        return work

    if hasattr(inspect, "markcoroutinefunction"):  # from Python 3.12 on
        inspect.markcoroutinefunction(call)
    return call


def _warned(method: FunctionType) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: _HasPending, *args: Any, **kwargs: Any) -> Any:
        self._pending.warn()
        return method(self, *args, **kwargs)

    return call


def _state(work: Coroutine[Any, Any, Any]) -> str:
    return inspect.getcoroutinestate(work)


def _scheduled() -> set[int]:
    """Ids of the coroutines that are the work of a task of this thread's loop."""
    try:
        return {id(task.get_coro()) for task in asyncio.all_tasks()}
    except RuntimeError:  # no loop runs on this thread
        return set()
