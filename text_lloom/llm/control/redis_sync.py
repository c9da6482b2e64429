"""How one process shares its limits with others through Redis.

`StartLog` holds the starts of this process, `WaitQueue` the callers that wait for one. `RedisSync` is a task
that sends the news to Redis, asks it for the callers that wait and hands out the starts that it grants. While
Redis is away, the log grants starts by itself.
"""

from __future__ import annotations

import asyncio
import math
import random
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from text_lloom.errors import InputError, MissingPackage, ModelUnavailable
from text_lloom.llm.control.rate_limits import Window
from text_lloom.llm.control.redis_script import (
    SCRIPT,
    SHA,
    ScriptReply,
    WindowState,
    decode_reply,
    encode_request,
    script_keys,
    script_windows,
    seconds_counted,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisSync", "Start", "StartLog", "WaitQueue", "Waiter"]

_CHUNK = 500
_BATCH = 128
_CONNECT_SECONDS = 1.0
_NEWS_SECONDS = 0.05
_LONGEST_SLEEP = {"tokens": 1.0, "requests": 5.0}


@dataclass(slots=True)
class Start:
    """A start that was granted."""

    at: float
    tokens: int
    known_since: float
    """In Redis, the start is no earlier than that."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller that waits. The name is that of its start, if the call that asks for it is granted."""

    number: int
    tokens: int
    granted: asyncio.Future[float | None]
    name: str = ""
    asked_at: float = 0.0


@dataclass(slots=True)
class StartLog:
    """The starts of this process by its own clock, and what Redis does not know of them yet.

    Attributes:
        starts: By name.
        changed: Names of starts that Redis must learn.
        dropped: Names of starts that Redis must forget.
        pause_is_news: Redis must learn `paused_until`.
    """

    windows: tuple[Window, ...]
    margin: float | None
    starts: dict[str, Start] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    paused_until: float = 0.0
    pause_is_news: bool = False

    @property
    def shortest(self) -> float:
        """Seconds of the shortest window."""
        return min((window.seconds for window in self.windows), default=1.0)

    @property
    def counts_tokens(self) -> bool:
        """Whether any window counts tokens."""
        return any(window.unit == "tokens" for window in self.windows)

    def has_news(self) -> bool:
        """Whether Redis must learn or forget anything."""
        return bool(self.changed or self.dropped or self.pause_is_news)

    def repeat_all(self) -> None:
        """Send everything to Redis again, which may have lost it while it was away."""
        self.changed.update(self.starts)
        self.pause_is_news = True

    def give_back(self, name: str) -> None:
        """Forget a start that is not used, here and in Redis."""
        self.starts.pop(name, None)
        self.changed.discard(name)
        self.dropped.add(name)

    def prune(self, now: float) -> None:
        """Forget the starts that have left every window."""
        longest = max((seconds_counted(window, self.margin) for window in self.windows), default=0.0)
        while self.starts:
            name, start = next(iter(self.starts.items()))
            if start.at + longest > now:
                return
            del self.starts[name]

    def states(self, now: float) -> list[WindowState]:
        """The state of every window, counting this process alone."""
        lives = [self._live(window, now) for window in self.windows]
        return [
            WindowState(sum(weight for _, weight in live), min((left for left, _ in live), default=0.0))
            for live in lives
        ]

    def grant(self, asked: Sequence[int], share: int, now: float) -> tuple[int, float]:
        """How many of these requests (in tokens) fit into 1/`share` of the limits; seconds until the next."""
        lives = [self._live(window, now) for window in self.windows]
        used = [sum(weight for _, weight in live) for live in lives]
        for n, tokens in enumerate(asked):
            weights = [tokens if window.unit == "tokens" else 1 for window in self.windows]
            wait = 0.0
            for i, window in enumerate(self.windows):
                # A request may be larger than a share, though not than the limit.
                amount = max(window.amount // share, weights[i])
                excess = used[i] + weights[i] - amount
                for seconds, weight in lives[i]:
                    if excess <= 0:
                        break
                    wait, excess = max(wait, seconds), excess - weight
                if excess > 0:
                    wait = max(wait, seconds_counted(window, self.margin))
            if wait > 0:
                return n, wait
            used = [total + weight for total, weight in zip(used, weights, strict=True)]
        return len(asked), 0.0

    def _live(self, window: Window, now: float) -> list[tuple[float, int]]:
        """Seconds until expiry and weight of what is in a window, oldest first."""
        length = seconds_counted(window, self.margin)
        left = [(start.at + length - now, start) for start in self.starts.values()]
        in_tokens = window.unit == "tokens"
        return [(seconds, start.tokens if in_tokens else 1) for seconds, start in left if seconds > 0]


class WaitQueue:
    """The callers that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()
        self._process, self._count = secrets.token_hex(6), 0

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._waiters

    def newcomer(self, tokens: int) -> Waiter:
        """A caller that has just come, not in the queue yet."""
        self._count += 1
        return Waiter(self._count, max(0, int(tokens)), asyncio.get_running_loop().create_future())

    def enter(self, waiter: Waiter) -> bool:
        """Put a waiter at its place by order of arrival; returns whether that is the front."""
        if not self._waiters or self._waiters[-1].number < waiter.number:
            self._waiters.append(waiter)
        else:
            place = next(i for i, other in enumerate(self._waiters) if other.number > waiter.number)
            self._waiters.insert(place, waiter)
        return self._waiters[0] is waiter

    def leave(self, waiter: Waiter) -> bool:
        """Remove a waiter; returns whether it was at the front."""
        was_first = self._waiters[0] is waiter
        self._waiters.remove(waiter)
        return was_first

    def next_waiters(self) -> list[Waiter]:
        """The first waiters, each under a new name, since a call that failed may have been carried out."""
        while self._waiters and self._waiters[0].granted.done():
            self._waiters.popleft()
        asked = list(islice(self._waiters, _BATCH))
        now = asyncio.get_running_loop().time()
        for waiter in asked:
            self._count += 1
            waiter.name, waiter.asked_at = f"{self._process}{self._count:x}", now
        return asked

    def fail_all(self, error: BaseException) -> None:
        """End the waiting of all with an error."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.granted.done():
                waiter.granted.set_exception(error)


class RedisSync:
    """Calls Redis when a call is due: sends the news, asks for the waiting callers, hands out the grants.

    The arguments are those of `SharedLimiter`; `reply_seconds` is how long to wait for a reply of Redis,
    `retry_seconds` how often to look whether it is back.

    Attributes:
        log: The starts of this process.
        queue: The callers that wait.
        outage: Why there is no Redis; `None` while it answers.
        warning: What the next caller is to be warned of.
        is_looking: Whether a task looks whether Redis is back.
        gap: Seconds between a call that left somebody waiting and the next, at least.
        news_delay: Seconds by which news may wait for more news.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        windows: tuple[Window, ...],
        margin: float | None,
        on_outage: Literal["local", "fail"],
        share: int,
        reply_seconds: float,
        retry_seconds: float,
    ) -> None:
        self.log = StartLog(windows, margin)
        self.queue = WaitQueue()
        self._connection = _Connection(url, key=key, log=self.log, reply_seconds=reply_seconds)
        self._on_outage = on_outage
        self._share = share
        self._retry_seconds = retry_seconds
        shortest = self.log.shortest
        self.gap = min(max(shortest / 200, 0.005), 0.05)
        self.news_delay = min(_NEWS_SECONDS, shortest / 4)
        self._longest_sleep = _LONGEST_SLEEP["tokens" if self.log.counts_tokens else "requests"]
        self._call_at = math.inf
        self._alarm = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self.outage: str | None = None
        self.warning: str | None = None
        self._closed = False

    @property
    def is_looking(self) -> bool:
        """Whether a task looks whether Redis is back."""
        return self._probing is not None

    def call_in(self, seconds: float) -> None:
        """Have the next call no later than that."""
        due = asyncio.get_running_loop().time() + seconds
        if due < self._call_at:
            self._call_at = due
            self._alarm.set()
        if self._serving is None and not self._closed:
            self._serving = asyncio.get_running_loop().create_task(self._serve())
            self._serving.add_done_callback(self._served)

    def give_back(self, name: str) -> None:
        """Return a start that is not used."""
        self.log.give_back(name)
        self.call_in(self.news_delay)

    async def look(self) -> ScriptReply:
        """The state of the windows in Redis, counting the news."""
        return await self._connection.look()

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
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})
        await self._connection.aclose()

    def _has_news(self) -> bool:
        return not self.outage and self.log.has_news()

    async def _serve(self) -> None:
        """Call when a call is due, until no caller waits and no news is left."""
        loop = asyncio.get_running_loop()
        while self.queue or self._has_news():
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
            self.queue.fail_all(error)
        elif self.queue or self._has_news():  # they came after the last look of the task
            self.call_in(0.0)

    async def _exchange(self) -> None:
        """One call: send the news, ask for the waiting callers, hand out the grants."""
        from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

        loop = asyncio.get_running_loop()
        self._call_at = math.inf
        self.log.prune(loop.time())
        if self.outage is not None and self._on_outage == "local" and self.is_looking:
            exchange = self._ask_log()
        else:
            try:
                exchange = await self._connection.ask(self.queue)
            except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
                self.log.changed.clear()
                self.log.dropped.clear()
                self.log.pause_is_news = False
                self.queue.fail_all(
                    ModelUnavailable(f"Redis at {self._connection.place} refuses this user: {error}")
                )
                return
            except (RedisError, OSError) as error:
                was_away = self.outage is not None
                self._lose(
                    f"Redis at {self._connection.place} does not answer ({type(error).__name__}: {error})"
                )
                if self._on_outage == "fail":
                    self.outage = (
                        f"{self.outage}, and the rate limit is shared through it. Start it, or keep the "
                        f"limit in each process meanwhile with on_outage='local'."
                    )
                    self.queue.fail_all(ModelUnavailable(self.outage))
                    return
                if not was_away:
                    self.warning = (
                        f"{self.outage}. Until it does, this process keeps its rate limit by itself"
                        + (f", at 1/{self._share} of it." if self._share > 1 else ".")
                    )
                exchange = self._ask_log()
            else:
                self.outage = None
        self._hand_out(exchange)
        if self.queue:
            reply = exchange.reply
            done = reply.granted == len(exchange.asked)
            wait = 0.0 if done else max(reply.wait, self.gap) + random.uniform(0.0, self.gap)
            self.call_in(min(wait, self._longest_sleep))
        elif self._has_news():
            self.call_in(0.0 if len(self.log.changed) >= _CHUNK else self.news_delay)

    def _hand_out(self, exchange: _Exchange) -> None:
        now = asyncio.get_running_loop().time()
        for waiter in exchange.asked[: exchange.reply.granted]:
            self.log.starts[waiter.name] = Start(now, waiter.tokens, waiter.asked_at)
            if waiter in self.queue:
                self.queue.leave(waiter)
            if waiter.granted.done():
                self.give_back(waiter.name)
            else:
                waiter.granted.set_result(exchange.reply.server_time)

    def _ask_log(self) -> _Exchange:
        now = asyncio.get_running_loop().time()
        asked = self.queue.next_waiters()
        paused = max(self.log.paused_until - now, 0.0)
        granted, wait = self.log.grant([waiter.tokens for waiter in asked], self._share, now)
        if paused:
            granted, wait = 0, max(paused, wait)
        return _Exchange(asked, ScriptReply(granted, min(wait, self._retry_seconds), None, paused, []))

    def _lose(self, reason: str) -> None:
        self.outage = reason
        self.log.repeat_all()
        if self._probing is None:
            self._probing = asyncio.get_running_loop().create_task(self._look_for_redis())

    async def _look_for_redis(self) -> None:
        """Look every few seconds, as long as a caller waits or a start counts."""
        from redis.exceptions import RedisError

        try:
            while True:
                await asyncio.sleep(self._retry_seconds)
                try:
                    await self._connection.ping()
                except (RedisError, OSError):
                    self.log.prune(asyncio.get_running_loop().time())
                    if not self.queue and not self.log.starts:
                        return
                else:
                    self.outage = self.warning = None
                    self.log.repeat_all()
                    self.call_in(0.0)
                    return
        finally:
            self._probing = None


class _Exchange(NamedTuple):
    """The waiters that a call asked for, and the reply to it."""

    asked: list[Waiter]
    reply: ScriptReply


class _Connection:
    """The connection to Redis, which sends the news of the log and asks for the waiting callers.

    Raises:
        InputError: When the address cannot be used.
        MissingPackage: Without the package `redis`.
    """

    def __init__(self, url: str, *, key: str, log: StartLog, reply_seconds: float) -> None:
        self._client: Redis = _client(url, reply_seconds)
        self.place = _without_password(url)
        self._keys = script_keys(key, log.windows)
        self._windows = script_windows(log.windows, log.margin)
        self._log = log

    async def ask(self, queue: WaitQueue) -> _Exchange:
        """One call with the news and the waiting callers; repeated if the script or connection is gone."""
        from redis.exceptions import ConnectionError as NoConnection
        from redis.exceptions import NoScriptError

        loop, log = asyncio.get_running_loop(), self._log
        whole = False
        for tries_left in (2, 1, 0):
            changed = [name for name in islice(log.changed, _CHUNK) if name in log.starts]
            sent, dropped = set(islice(log.changed, _CHUNK)), set(islice(log.dropped, _CHUNK))
            # Starts are requested only once Redis knows all others.
            asked = [] if len(log.changed) > _CHUNK else queue.next_waiters()
            log.changed -= sent
            pause, log.pause_is_news = log.pause_is_news, False
            seconds = log.paused_until - loop.time() if pause else 0.0
            try:
                return _Exchange(asked, await self._send(changed, dropped, asked, seconds, whole=whole))
            except BaseException as error:
                log.changed |= sent
                log.dropped.update(waiter.name for waiter in asked)
                dropped = set()
                log.pause_is_news |= pause
                if not tries_left or not isinstance(error, (NoScriptError, NoConnection)):
                    raise
                if not isinstance(error, NoScriptError):
                    await self._client.connection_pool.disconnect()
                whole = isinstance(error, NoScriptError)
                log.repeat_all()
            finally:
                log.dropped -= dropped
        raise AssertionError("unreachable")

    async def look(self) -> ScriptReply:
        """One call that asks for no start."""
        changed = [name for name in islice(self._log.changed, _CHUNK) if name in self._log.starts]
        dropped = list(islice(self._log.dropped, _CHUNK))
        return await self._send(changed, dropped, [], 0.0, whole=True)

    async def ping(self) -> None:
        await self._client.ping()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _send(
        self,
        changed: Sequence[str],
        dropped: Iterable[str],
        asked: list[Waiter],
        pause: float,
        *,
        whole: bool,
    ) -> ScriptReply:
        """Run the script, by its hash or as a `whole`."""
        now = asyncio.get_running_loop().time()
        starts = []
        for name in changed:
            start = self._log.starts[name]
            start.known_since = start.at
            starts.append((name, now - start.at, start.tokens))
        requested = [(waiter.name, waiter.tokens) for waiter in asked]
        request = encode_request(self._windows, starts, dropped, requested, pause)
        run: Any = self._client.eval if whole else self._client.evalsha
        return decode_reply(await run(SCRIPT if whole else SHA, len(self._keys), *self._keys, request))


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
