"""Rate limits that several processes and machines keep together, through Redis: the limiter itself."""

from __future__ import annotations

import asyncio
import math
import os
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from text_lloom.errors import InputError, LloomError, ModelUnavailable
from text_lloom.llm.control.rate_limits import RateStatus, Window
from text_lloom.llm.control.redis_script import Book, Queue, Start, Waiter, length_of
from text_lloom.llm.control.redis_sync import Line, Service
from text_lloom.llm.options import finite_number, whole_number

__all__ = ["SharedLimiter", "SharedSlot", "shared_limiter"]

_URL, _SHARE, _ON_OUTAGE = "LLOOM_REDIS_URL", "LLOOM_REDIS_SHARE", "LLOOM_REDIS_ON_OUTAGE"
_REPLY_SECONDS, _RETRY_SECONDS = 2.0, 3.0
_STALE_TRIES = 3


class SharedSlot:
    """A granted start.

    `sent` moves it to the moment at which the request really left, `settle` replaces the reserved tokens
    by those really used.

    Attributes:
        server_time: Seconds since 1970 on the Redis server at the grant; `None` when it was away.
    """

    __slots__ = ("_limiter", "_name", "_tokens", "server_time")

    def __init__(self, limiter: SharedLimiter, name: str, tokens: int, server_time: float | None) -> None:
        self._limiter = limiter
        self._name = name
        self._tokens = tokens
        self.server_time = server_time

    def sent(self) -> None:
        """The request leaves now: connecting took its time since the start was granted."""
        self._limiter.moved(self._name, self._tokens)

    def settle(self, tokens: int) -> None:
        """Put the tokens that the reply reports in place of those reserved. Sent within 50 ms."""
        self._tokens = max(0, int(tokens))
        self._limiter.settle(self._name, self._tokens)


class SharedLimiter:
    """Grants starts within all windows at once, over all processes that use the same Redis and key.

    Never more than `n` starts (or tokens) fall in any window over all processes. Starts are granted first
    come, first served within a process; between processes whoever asks first when something is free.

    A start is entered with the server's time. The caller resumes later, by the way back and by what its
    event loop does meanwhile; a window is therefore taken `margin` longer than stated, and a caller that
    resumes later than that has its entry moved to the time at which it really resumed. One that resumes
    later than half of the shortest window gives its start back and asks again.

    When Redis does not answer within 1 to 2 seconds: with `on_outage="local"` a warning says so once,
    and this process keeps the limits by itself, each divided by `share`, counting what it started before;
    every 3 seconds it looks whether Redis is back, and then enters there what it started meanwhile. So
    `share` processes keep the limit even without Redis; with more of them, or with `share` left at 1,
    they may together pass it until Redis is back. With `on_outage="fail"` requests end with an error.

    Must be used on one event loop, to which its connection is bound.

    Args:
        windows: The limits to keep.
        url: Where Redis is, such as `redis://host:6379/0`, `rediss://...` or `unix://...`. Without it, the
            environment variable `LLOOM_REDIS_URL`.
        key: What shares the limit. Only its SHA-256 is stored.
        margin: Seconds by which a window is taken longer than stated; 20 ms and a hundredth of the window
            when not given.
        on_outage: What to do while Redis is away.
        share: How many processes divide the limits among them while Redis is away.

    Raises:
        InputError: When an argument cannot be used, or no URL is known.
        MissingPackage: Without the package `redis`.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        *,
        key: str,
        url: str | None = None,
        margin: float | None = None,
        on_outage: Literal["local", "fail"] = "local",
        share: int = 1,
    ) -> None:
        if on_outage not in ("local", "fail"):
            raise InputError(f"on_outage={on_outage!r} must be 'local' or 'fail'.")
        if margin is not None and ((seconds := finite_number(margin)) is None or seconds < 0):
            raise InputError(f"margin={margin!r} must be a number of seconds, 0 or more.")
        address = url or os.environ.get(_URL)
        if not address:
            raise InputError(f"A shared limit needs url=, or the environment variable {_URL}.")
        amounts: dict[tuple[Literal["requests", "tokens"], float], int] = {}
        for window in windows:
            kind = (window.unit, float(window.seconds))
            amounts[kind] = min(window.amount, amounts.get(kind, window.amount))
        self.windows = tuple(Window(amount, length, unit) for (unit, length), amount in amounts.items())
        share = whole_number(share, what="share")
        self._on_outage = on_outage
        self._book = Book(self.windows, margin)
        self._queue = Queue()
        self._line = Line(address, key=key, book=self._book, reply_seconds=_REPLY_SECONDS)
        self._service = Service(
            self._book,
            self._queue,
            self._line,
            on_outage=on_outage,
            share=share,
            retry_seconds=_RETRY_SECONDS,
        )
        self._allowed_delay = min((length_of(w, margin) - w.seconds for w in self.windows), default=0.0)
        self._stale = max(self._book.shortest / 2, self._allowed_delay)
        self._closing = False

    async def acquire(self, tokens: int = 0) -> SharedSlot:
        """Wait for a start.

        Args:
            tokens: Tokens to reserve in token windows.

        Raises:
            InputError: When the request is larger than a token limit, and so could never start.
            ModelUnavailable: When Redis refuses the user, or is away and `on_outage="fail"`.
        """
        for window in self.windows:
            if window.unit == "tokens" and tokens > window.amount:
                raise InputError(
                    f"A request of about {tokens:,} tokens can never start under the limit of "
                    f"{window.amount:,} tokens per {window.seconds:g} s. Raise the token limit "
                    f"or shorten the documents."
                )
        if self._closing:
            raise LloomError("This rate limiter was closed.")
        loop = asyncio.get_running_loop()
        if self._service.outage and self._on_outage == "fail" and self._service.probing is not None:
            raise ModelUnavailable(self._service.outage)
        waiter = self._queue.newcomer(tokens)
        for tries_left in reversed(range(_STALE_TRIES)):
            if self._queue.enter(waiter):
                self._service.call_in(0.0)
            try:
                server_time = await waiter.granted
            except asyncio.CancelledError:
                self._leave(waiter)
                raise
            if loop.time() - waiter.asked_at <= self._stale or not tries_left:
                break
            self._service.give_back(waiter.name)
            waiter.granted = loop.create_future()
        self.moved(waiter.name, waiter.tokens)
        if self._service.warning is not None:
            warning, self._service.warning = self._service.warning, None
            warnings.warn(warning, UserWarning, stacklevel=2)
        return SharedSlot(self, waiter.name, waiter.tokens, server_time)

    def pause(self, seconds: float) -> None:
        """Start nothing for that long, in any process."""
        until = asyncio.get_running_loop().time() + seconds
        if seconds > 0 and until > self._book.paused_until:
            self._book.paused_until, self._book.pause_is_news = until, True
            self._service.call_in(self._service.gap)

    def moved(self, name: str, tokens: int) -> None:
        """Count a start from now on. See `SharedSlot.sent`."""
        start = self._book.starts.setdefault(name, Start(-math.inf, tokens, -math.inf))
        start.at = asyncio.get_running_loop().time()
        if start.at - start.told > self._allowed_delay:
            self._book.changed.add(name)
            self._service.call_in(self._service.news_delay)

    def settle(self, name: str, tokens: int) -> None:
        """Correct the tokens of a start. See `SharedSlot.settle`."""
        start = self._book.starts.get(name)
        if start is None or not self._book.weighed or start.tokens == tokens:
            return
        start.tokens = tokens
        self._book.changed.add(name)
        self._service.call_in(self._service.news_delay)

    async def status(self) -> list[RateStatus]:
        """The state of every window over all processes; of this process alone while Redis is away."""
        now = asyncio.get_running_loop().time()
        paused = self._book.paused_until - now
        self._book.prune(now)
        states = self._book.states(now)
        if not self._service.outage:
            from redis.exceptions import RedisError

            try:
                reply = await self._line.look()
            except (RedisError, OSError):
                pass
            else:
                paused, states = max(paused, reply.paused), reply.states
        found = []
        for window, (used, until_first) in zip(self.windows, states, strict=True):
            left = max(0, window.amount - used)
            wait = max(paused, 0.0 if left else until_first, 0.0)
            found.append(RateStatus(window, used, left, wait, len(self._queue)))
        return found

    async def aclose(self) -> None:
        """Send what is not sent yet and close the connection. Whoever waits gets an error."""
        self._closing = True
        self._queue.fail_all(LloomError("This rate limiter was closed."))
        await self._service.aclose()

    def _leave(self, waiter: Waiter) -> None:
        """A caller was cancelled: before it was granted a start, or between the grant and its resuming."""
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            self._service.give_back(waiter.name)
        elif waiter in self._queue and self._queue.leave(waiter):
            self._service.call_in(self._service.gap)


def shared_limiter(windows: Sequence[Window], *, key: object, url: str | None = None) -> SharedLimiter | None:
    """The shared limiter that a model or the environment asks for; `None` when neither names a Redis.

    `LLOOM_REDIS_URL` says where Redis is, `LLOOM_REDIS_ON_OUTAGE` (`local` or `fail`) and `LLOOM_REDIS_SHARE`
    are the arguments `on_outage` and `share` of `SharedLimiter`.

    Args:
        windows: The limits to keep.
        key: What shares the limit; its `repr` must be alike in all processes.
        url: Where Redis is, in place of `LLOOM_REDIS_URL`.

    Raises:
        InputError: When one of these cannot be used.
        MissingPackage: Without the package `redis`.
    """
    if not windows or not (url or os.environ.get(_URL)):
        return None
    share, on_outage = os.environ.get(_SHARE) or "1", os.environ.get(_ON_OUTAGE) or "local"
    if not share.isdecimal():
        raise InputError(f"{_SHARE}={share!r} must be a whole number of at least 1.")
    policy: Any = on_outage
    return SharedLimiter(windows, key=repr(key), url=url, share=int(share), on_outage=policy)
