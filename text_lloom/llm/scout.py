"""Letting one request go ahead, so that the others profit from what it finds out about a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from text_lloom.llm.wire import on_sent

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
        if kind in self._back:
            return await call()
        place = (id(asyncio.get_running_loop()), kind)
        out = self._out.get(place)
        if out is None:
            out = self._out[place] = asyncio.Event()
            try:
                return await call()
            finally:
                self._back.add(kind)
                del self._out[place]
                out.set()
        try:
            async with asyncio.timeout(self._patience):
                await out.wait()
        except TimeoutError:
            self._back.add(kind)
        if (sent := on_sent.get()) is not None:  # its place in a rate limit counts from now
            sent()
        return await call()
