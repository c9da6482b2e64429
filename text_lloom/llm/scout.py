"""Letting one request go ahead, so that the others profit from what it finds out about a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from text_lloom.errors import FormRefused

__all__ = ["Scout"]

T = TypeVar("T")

_PATIENCE = 1.0


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
        self._out: dict[Hashable, asyncio.Event] = {}

    async def ahead(self, kind: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, after the first call of its kind has come back.

        Args:
            kind: What may be refused for all requests of the kind.
            call: Makes the call.
        """
        place = (id(asyncio.get_running_loop()), kind)
        while kind not in self._back:
            out = self._out.get(place)
            if out is None:
                return await self._go(place, kind, call)
            try:
                async with asyncio.timeout(self._patience):
                    await out.wait()
            except TimeoutError:
                self._back.add(kind)
        return await call()

    async def _go(self, place: tuple[int, Hashable], kind: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Make the first call; when the service refuses its form, the next one is the first again."""
        out = self._out[place] = asyncio.Event()
        is_back = True
        try:
            return await call()
        except FormRefused:
            is_back = False
            raise
        finally:
            if is_back:
                self._back.add(kind)
            del self._out[place]
            out.set()
