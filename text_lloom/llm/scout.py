"""Letting one request go ahead, so that the others profit from what it finds out about a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from text_lloom.errors import FormRefused

__all__ = ["Scout"]

T = TypeVar("T")

_PATIENCE = 0.25


class Scout:
    """Sends the first request of a kind ahead.

    What a server refuses (a schema, a parameter) is known from its first refusal, which comes at once. If
    all requests of a step were sent by then, each would be refused and sent again.

    Args:
        patience: Seconds that the others wait at most. A real answer may take longer than a refusal.
    """

    def __init__(self, *, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._back: set[Hashable] = set()
        self._first: dict[Hashable, asyncio.Event] = {}
        self._out: set[Hashable] = set()

    async def wait(self, kind: Hashable) -> None:
        """Wait until the first request of a kind is back, or be the first; before a start is asked for.

        Args:
            kind: What may be refused for all requests of the kind.
        """
        place = _place(kind)
        while kind not in self._back:
            first = self._first.get(place)
            if first is None:
                self._first[place] = asyncio.Event()
                return
            try:
                async with asyncio.timeout(self._patience):
                    await first.wait()
            except TimeoutError:
                self._back.add(kind)

    async def ahead(self, kind: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, after the first call of its kind has come back.

        When the service refuses the form of the first, the next one is the first again.

        Args:
            kind: What may be refused for all requests of the kind.
            call: Makes the call.
        """
        place = _place(kind)
        if kind not in self._back and place in self._out:
            await self.wait(kind)
        if kind in self._back:
            return await call()
        first = self._first.setdefault(place, asyncio.Event())
        self._out.add(place)
        is_back = True
        try:
            return await call()
        except FormRefused:
            is_back = False
            raise
        finally:
            if is_back:
                self._back.add(kind)
            self._out.discard(place)
            self._first.pop(place, None)
            first.set()


def _place(kind: Hashable) -> Hashable:
    """A kind on this event loop."""
    return (id(asyncio.get_running_loop()), kind)
