"""The connection of one limiter to Redis, and the calls over it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from text_lloom.errors import InputError, MissingPackage
from text_lloom.llm.redis_limits.book import Book
from text_lloom.llm.redis_limits.script import (
    SCRIPT,
    SHA,
    Reply,
    keys_of,
    read_reply,
    spans_of,
    write_request,
)
from text_lloom.llm.redis_limits.waiting import Queue, Waiter

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["CHUNK", "Line"]

CHUNK = 500
_CONNECT_SECONDS = 1.0


class Line:
    """The connection to Redis: tells what is new in a book and asks for those who wait.

    Args:
        url: Where Redis is.
        key: What shares the limit.
        book: What this process started.
        reply_seconds: How long to wait for a reply.

    Raises:
        InputError: When the address cannot be used.
        MissingPackage: Without the package `redis`.
    """

    def __init__(self, url: str, *, key: str, book: Book, reply_seconds: float) -> None:
        self._client: Redis = _client(url, reply_seconds)
        self.place = _without_password(url)
        self._keys = keys_of(key, book.windows)
        self._spans = spans_of(book.windows, book.margin)
        self._book = book

    async def ask(self, queue: Queue) -> Reply:
        """One call with the news, for those who wait; again when the script or the connection is gone."""
        from redis.exceptions import ConnectionError as NoConnection
        from redis.exceptions import NoScriptError

        loop, book = asyncio.get_running_loop(), self._book
        whole = False
        for tries_left in (2, 1, 0):
            changed = [name for name in islice(book.changed, CHUNK) if name in book.starts]
            told, dropped = set(islice(book.changed, CHUNK)), set(islice(book.dropped, CHUNK))
            # Nothing is asked for before everything is told.
            asked = [] if len(book.changed) > CHUNK else queue.next_waiters()
            book.changed -= told
            pause, book.pause_is_news = book.pause_is_news, False
            seconds = book.paused_until - loop.time() if pause else 0.0
            try:
                return await self._send(changed, dropped, asked, seconds, whole=whole)
            except BaseException as error:
                book.changed |= told
                book.dropped.update(waiter.name for waiter in asked)
                dropped = set()
                book.pause_is_news |= pause
                if not tries_left or not isinstance(error, (NoScriptError, NoConnection)):
                    raise
                if not isinstance(error, NoScriptError):
                    await self._client.connection_pool.disconnect()
                whole = isinstance(error, NoScriptError)
                book.retell()
            finally:
                book.dropped -= dropped
        raise AssertionError("unreachable")

    async def look(self) -> Reply:
        """One call that asks for nobody: the state of the windows, counting the news."""
        changed = [name for name in islice(self._book.changed, CHUNK) if name in self._book.starts]
        dropped = list(islice(self._book.dropped, CHUNK))
        return await self._send(changed, dropped, [], 0.0, whole=True)

    async def ping(self) -> None:
        """Raises while Redis is away."""
        await self._client.ping()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _send(
        self,
        changed: Sequence[str],
        dropped: Iterable[str],
        asked: list[Waiter],
        pause: float,
        *,
        whole: bool = False,
    ) -> Reply:
        now = asyncio.get_running_loop().time()
        starts = [(name, self._book.starts[name]) for name in changed]
        for _, start in starts:
            start.told = start.at
        request = write_request(self._spans, starts, dropped, asked, pause, now)
        run: Any = self._client.eval if whole else self._client.evalsha
        found = await run(SCRIPT if whole else SHA, len(self._keys), *self._keys, request)
        return read_reply(found, asked)


def _client(url: str, reply_seconds: float) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise MissingPackage("redis", extra="redis", purpose="A shared rate limit") from None
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=reply_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise InputError(f"The address of Redis {_without_password(url)!r} cannot be used: {error}") from None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
