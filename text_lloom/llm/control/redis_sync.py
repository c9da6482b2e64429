"""The task of one process that asks Redis for all who wait, and its connection."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from text_lloom.errors import InputError, MissingPackage, ModelUnavailable
from text_lloom.llm.control.redis_script import (
    SCRIPT,
    SHA,
    Book,
    Queue,
    Reply,
    Start,
    Waiter,
    keys_of,
    read_reply,
    spans_of,
    write_request,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["CHUNK", "Line", "Service"]

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


_SETTLE_SECONDS = 0.05
_LONGEST_SLEEP = {"tokens": 1.0, "requests": 5.0}


class Service:
    """Calls when a call is due: tells Redis the news, asks for those who wait, hands out what is granted.

    Args:
        book: What this process started.
        queue: Those who wait.
        line: The connection to Redis.
        on_outage: What to do while Redis is away.
        share: How many processes divide the limits among them while Redis is away.
        retry_seconds: How often to look whether Redis is back.

    Attributes:
        outage: Why there is no Redis; `None` while it answers.
        warning: What the next caller is to be warned of.
        probing: The task that looks whether Redis is back.
        gap: Seconds between a call that left somebody waiting and the next, at least.
        news_delay: Seconds by which news may wait for more news.
    """

    def __init__(
        self,
        book: Book,
        queue: Queue,
        line: Line,
        *,
        on_outage: Literal["local", "fail"],
        share: int,
        retry_seconds: float,
    ) -> None:
        self._book = book
        self._queue = queue
        self._line = line
        self._on_outage = on_outage
        self._share = share
        self._retry_seconds = retry_seconds
        shortest = book.shortest
        self.gap = min(max(shortest / 200, 0.005), 0.05)
        self.news_delay = min(_SETTLE_SECONDS, shortest / 4)
        self._longest_sleep = _LONGEST_SLEEP["tokens" if book.weighed else "requests"]

        self._call_at = math.inf
        self._alarm = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self.probing: asyncio.Task[None] | None = None
        self.outage: str | None = None
        self.warning: str | None = None
        self._closed = False

    def call_in(self, seconds: float) -> None:
        """See to it that the next call is no later than that."""
        due = asyncio.get_running_loop().time() + seconds
        if due < self._call_at:
            self._call_at = due
            self._alarm.set()
        if self._serving is None and not self._closed:
            self._serving = asyncio.get_running_loop().create_task(self._serve())
            self._serving.add_done_callback(self._served)

    def give_back(self, name: str) -> None:
        """Return a start that is not used."""
        self._book.give_back(name)
        self.call_in(self.news_delay)

    async def aclose(self) -> None:
        """Send what is not sent yet and close the connection."""
        while self._serving is not None or self._has_news():
            self.call_in(0.0)
            if self._serving is None:
                break
            ended = self._serving
            await asyncio.wait({ended})
            await asyncio.sleep(0)  # its callback runs first
            if ended.cancelled() or ended.exception() is not None:
                break
        self._closed = True
        if self.probing is not None:
            self.probing.cancel()
            await asyncio.wait({self.probing})
        await self._line.aclose()

    def _has_news(self) -> bool:
        return not self.outage and self._book.has_news()

    async def _serve(self) -> None:
        """Call when a call is due, until nobody waits and nothing is left to tell."""
        loop = asyncio.get_running_loop()
        while self._queue or self._has_news():
            if self._call_at > loop.time():
                self._alarm.clear()
                self._call_at = min(self._call_at, loop.time() + self._longest_sleep)
                timer = loop.call_at(self._call_at, self._alarm.set)
                try:
                    await self._alarm.wait()
                finally:
                    timer.cancel()
            else:
                await self._exchange()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving, self._call_at = None, math.inf
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._queue.fail_all(error)
        elif self._queue or self._has_news():  # they came when the task had just looked for the last time
            self.call_in(0.0)

    async def _exchange(self) -> None:
        """One call: tell the news, ask for those who wait, hand out what is granted."""
        from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

        loop = asyncio.get_running_loop()
        self._call_at = math.inf
        self._book.prune(loop.time())
        if self._is_alone():
            reply = self._ask_book()
        else:
            try:
                reply = await self._line.ask(self._queue)
            except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
                self._book.changed.clear()
                self._book.dropped.clear()
                self._book.pause_is_news = False
                self._queue.fail_all(
                    ModelUnavailable(f"Redis at {self._line.place} refuses this user: {error}")
                )
                return
            except (RedisError, OSError) as error:
                was_away = self.outage is not None
                self._lose(f"Redis at {self._line.place} does not answer ({type(error).__name__}: {error})")
                if self._on_outage == "fail":
                    self.outage = (
                        f"{self.outage}, and the rate limit is shared through it. Start it, or keep the "
                        f"limit in each process meanwhile with on_outage='local'."
                    )
                    self._queue.fail_all(ModelUnavailable(self.outage))
                    return
                if not was_away:
                    self.warning = (
                        f"{self.outage}. Until it does, this process keeps its rate limit by itself"
                        + (f", at 1/{self._share} of it." if self._share > 1 else ".")
                    )
                reply = self._ask_book()
            else:
                self.outage = None
        self._hand_out(reply)
        if self._queue:
            done = reply.granted == len(reply.asked)
            wait = 0.0 if done else max(reply.wait, self.gap) + random.uniform(0.0, self.gap)
            self.call_in(min(wait, self._longest_sleep))
        elif self._has_news():
            self.call_in(0.0 if len(self._book.changed) >= CHUNK else self.news_delay)

    def _is_alone(self) -> bool:
        """Whether to do without Redis: it is away, and looked for in the background."""
        return self.outage is not None and self._on_outage == "local" and self.probing is not None

    def _hand_out(self, reply: Reply) -> None:
        now = asyncio.get_running_loop().time()
        for waiter in reply.asked[: reply.granted]:
            self._book.starts[waiter.name] = Start(now, waiter.tokens, waiter.asked_at)
            if waiter in self._queue:
                self._queue.leave(waiter)
            if waiter.granted.done():
                self.give_back(waiter.name)
            else:
                waiter.granted.set_result(reply.server_time)

    def _ask_book(self) -> Reply:
        now = asyncio.get_running_loop().time()
        asked = self._queue.next_waiters()
        paused = max(self._book.paused_until - now, 0.0)
        granted, wait = self._book.grant([waiter.tokens for waiter in asked], self._share, now)
        if paused:
            granted, wait = 0, max(paused, wait)
        return Reply(asked, granted, min(wait, self._retry_seconds), None, paused, [])

    def _lose(self, reason: str) -> None:
        self.outage = reason
        self._book.retell()
        if self.probing is None:
            self.probing = asyncio.get_running_loop().create_task(self._look_for_redis())

    async def _look_for_redis(self) -> None:
        """Look every few seconds, as long as anybody waits or there is something to tell."""
        from redis.exceptions import RedisError

        try:
            while True:
                await asyncio.sleep(self._retry_seconds)
                try:
                    await self._line.ping()
                except (RedisError, OSError):
                    self._book.prune(asyncio.get_running_loop().time())
                    if not self._queue and not self._book.starts:
                        return
                else:
                    self.outage = self.warning = None
                    self._book.retell()
                    self.call_in(0.0)
                    return
        finally:
            self.probing = None
