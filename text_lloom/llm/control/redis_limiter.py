"""Rate limits that several processes and machines share through Redis."""

from __future__ import annotations

import asyncio
import math
import os
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from text_lloom.errors import InputError, LloomError, ModelUnavailable
from text_lloom.llm.control.rate_limits import RateStatus, Unit, Window, check_fits
from text_lloom.llm.control.redis_script import seconds_counted
from text_lloom.llm.control.redis_sync import RedisSync, Start, Waiter
from text_lloom.llm.options import finite_number, whole_number

__all__ = ["SharedLimiter", "SharedSlot", "shared_limiter"]

_URL, _SHARE, _ON_OUTAGE = "LLOOM_REDIS_URL", "LLOOM_REDIS_SHARE", "LLOOM_REDIS_ON_OUTAGE"
_REPLY_SECONDS, _RETRY_SECONDS = 2.0, 3.0
_STALE_TRIES = 3


class SharedSlot:
    """A granted start.

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
        """Count the start from now on, since the request leaves only now that a connection is open."""
        self._limiter.restart(self._name, self._tokens)

    def settle(self, tokens: int) -> None:
        """Replace the reserved tokens by those that the reply reports; Redis knows within 50 ms."""
        self._tokens = max(0, int(tokens))
        self._limiter.settle(self._name, self._tokens)


class SharedLimiter:
    """Grants starts within all windows at once, over all processes that use the same Redis and key.

    Never more than `n` starts (or tokens) fall in any window over all processes. Within a process, starts are
    granted first come, first served; between processes, to the one that asks first when something is free.

    A start is entered with the server's time. The caller resumes later, by the way back and by what its event
    loop does meanwhile; a window is therefore taken `margin` longer than stated, and a caller that resumes
    later than that has its entry moved to the time at which it really resumed. One that resumes later than
    half of the shortest window gives its start back and asks again.

    When Redis does not answer within 1 to 2 seconds, `on_outage="local"` warns once, and this process
    enforces the limits by itself, each divided by `share`, counting what it started before. Every 3 seconds
    it looks whether Redis is back, and then enters there what it started meanwhile. So `share` processes stay
    within the limit even without Redis; more of them, or a `share` left at 1, may together pass it until
    Redis is back. With `on_outage="fail"` requests end with an error.

    Must be used on one event loop, to which its connection is bound.

    Args:
        windows: The limits to enforce.
        url: Where Redis is, such as `redis://host:6379/0`, `rediss://...` or `unix://...`. Without it, the
            environment variable `LLOOM_REDIS_URL`.
        key: What shares the limit. Only its SHA-256 is stored.
        margin: Seconds added to each window; 20 ms and a hundredth of the window when not given.
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
        amounts: dict[tuple[Unit, float], int] = {}
        for window in windows:
            kind = (window.unit, float(window.seconds))
            amounts[kind] = min(window.amount, amounts.get(kind, window.amount))
        self.windows = tuple(Window(amount, length, unit) for (unit, length), amount in amounts.items())
        self._on_outage = on_outage
        self._sync = RedisSync(
            address,
            key=key,
            windows=self.windows,
            margin=margin,
            on_outage=on_outage,
            share=whole_number(share, what="share"),
            reply_seconds=_REPLY_SECONDS,
            retry_seconds=_RETRY_SECONDS,
        )
        self._log, self._queue = self._sync.log, self._sync.queue
        self._allowed_delay = min((seconds_counted(w, margin) - w.seconds for w in self.windows), default=0.0)
        self._stale = max(self._log.shortest / 2, self._allowed_delay)
        self._closing = False

    async def acquire(self, tokens: int = 0) -> SharedSlot:
        """Wait for a start, and reserve tokens in the token windows.

        Raises:
            InputError: When the request is larger than a token limit, and so could never start.
            ModelUnavailable: When Redis refuses the user, or is away and `on_outage="fail"`.
        """
        check_fits(tokens, self.windows)
        if self._closing:
            raise LloomError("This rate limiter was closed.")
        loop, sync = asyncio.get_running_loop(), self._sync
        if sync.outage and self._on_outage == "fail" and sync.is_looking:
            raise ModelUnavailable(sync.outage)
        waiter = self._queue.newcomer(tokens)
        for tries_left in reversed(range(_STALE_TRIES)):
            if self._queue.enter(waiter):
                sync.call_in(0.0)
            try:
                server_time = await waiter.granted
            except asyncio.CancelledError:
                self._leave(waiter)
                raise
            if loop.time() - waiter.asked_at <= self._stale or not tries_left:
                break
            sync.give_back(waiter.name)
            waiter.granted = loop.create_future()
        self.restart(waiter.name, waiter.tokens)
        if sync.warning is not None:
            warning, sync.warning = sync.warning, None
            warnings.warn(warning, UserWarning, stacklevel=2)
        return SharedSlot(self, waiter.name, waiter.tokens, server_time)

    def pause(self, seconds: float) -> None:
        """Grant no start for that long, in any process."""
        until = asyncio.get_running_loop().time() + seconds
        if seconds > 0 and until > self._log.paused_until:
            self._log.paused_until, self._log.pause_is_news = until, True
            self._sync.call_in(self._sync.gap)

    def restart(self, name: str, tokens: int) -> None:
        """Count a start from now on. See `SharedSlot.sent`."""
        start = self._log.starts.setdefault(name, Start(-math.inf, tokens, -math.inf))
        start.at = asyncio.get_running_loop().time()
        if start.at - start.known_since > self._allowed_delay:
            self._log.changed.add(name)
            self._sync.call_in(self._sync.news_delay)

    def settle(self, name: str, tokens: int) -> None:
        """Correct the tokens of a start. See `SharedSlot.settle`."""
        start = self._log.starts.get(name)
        if start is None or not self._log.counts_tokens or start.tokens == tokens:
            return
        start.tokens = tokens
        self._log.changed.add(name)
        self._sync.call_in(self._sync.news_delay)

    async def status(self) -> list[RateStatus]:
        """The state of every window over all processes; of this process alone while Redis is away."""
        now = asyncio.get_running_loop().time()
        paused = self._log.paused_until - now
        self._log.prune(now)
        states = self._log.states(now)
        if not self._sync.outage:
            from redis.exceptions import RedisError

            try:
                reply = await self._sync.look()
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
        """Send what is not sent yet and close the connection. Waiting callers get an error."""
        self._closing = True
        self._queue.fail_all(LloomError("This rate limiter was closed."))
        await self._sync.aclose()

    def _leave(self, waiter: Waiter) -> None:
        """A caller was cancelled: before it was granted a start, or between the grant and its resuming."""
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            self._sync.give_back(waiter.name)
        elif waiter in self._queue and self._queue.leave(waiter):
            self._sync.call_in(self._sync.gap)


def shared_limiter(windows: Sequence[Window], *, key: object, url: str | None = None) -> SharedLimiter | None:
    """The shared limiter that a model or the environment asks for; `None` when neither names a Redis.

    `LLOOM_REDIS_URL` says where Redis is, `LLOOM_REDIS_ON_OUTAGE` (`local` or `fail`) and `LLOOM_REDIS_SHARE`
    are the arguments `on_outage` and `share` of `SharedLimiter`.

    Args:
        windows: The limits to enforce.
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
