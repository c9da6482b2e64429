"""Rate limits that several processes and machines keep together, through Redis.

One Lua script looks at all windows and takes from all of them at once, on the clock of the Redis server.
A window holds one entry per request, with its weight, so that a request of 50,000 tokens costs what a
request of one token costs. Per process one task talks to the server: it asks for all who wait in one
call, in order, and sleeps as long as the server says.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import secrets
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from text_lloom.errors import InputError, LloomError, MissingPackage, PermanentError
from text_lloom.llm.limits import RateStatus, Window
from text_lloom.llm.numeric import finite_number, whole_number

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["SharedLimiter", "SharedSlot", "shared_limiter"]

_URL, _SHARE, _ON_OUTAGE = "LLOOM_REDIS_URL", "LLOOM_REDIS_SHARE", "LLOOM_REDIS_ON_OUTAGE"
_MARGIN, _MARGIN_SHARE = 0.02, 0.01
_BATCH = 128
_CHUNK = 500
_CONNECT_SECONDS, _REPLY_SECONDS, _RETRY_SECONDS = 1.0, 2.0, 3.0
_SETTLE_SECONDS = 0.05
_STALE_TRIES = 3
_LONGEST_SLEEP = {"tokens": 1.0, "requests": 5.0}

_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local ask = cjson.decode(ARGV[1])

-- Lua writes large numbers as 1.7e+15
local function text(number) return string.format('%.0f', number) end

local windows = {}
for i, given in ipairs(ask.windows) do
  windows[i] = {amount = given[1], length = given[2], weighed = given[3],
                starts = KEYS[2 * i], weights = KEYS[2 * i + 1]}
end

local function add_to_total(w, tokens)
  if tokens ~= 0 then redis.call('HINCRBY', w.weights, 'total', text(tokens)) end
end

local function weights_of(w, names)
  local weights = redis.call('HMGET', w.weights, unpack(names))
  for i, weight in ipairs(weights) do weights[i] = tonumber(weight or 0) or 0 end
  return weights
end

local function expire(w)
  if not w.weighed then
    redis.call('ZREMRANGEBYSCORE', w.starts, '-inf', text(now))
    return
  end
  repeat
    local names = redis.call('ZRANGEBYSCORE', w.starts, '-inf', text(now), 'LIMIT', 0, 500)
    if #names > 0 then
      local freed = 0
      for _, weight in ipairs(weights_of(w, names)) do freed = freed + weight end
      redis.call('HDEL', w.weights, unpack(names))
      redis.call('ZREM', w.starts, unpack(names))
      add_to_total(w, -freed)
    end
  until #names < 500
end

local function drop(w, name)
  if redis.call('ZREM', w.starts, name) == 1 and w.weighed then
    add_to_total(w, -weights_of(w, {name})[1])
    redis.call('HDEL', w.weights, name)
  end
end

local function put(w, name, expiry, weight)
  local known = redis.call('ZSCORE', w.starts, name)
  redis.call('ZADD', w.starts, text(math.max(expiry, tonumber(known or 0))), name)
  if w.weighed then
    local before = known and weights_of(w, {name})[1] or 0
    redis.call('HSET', w.weights, name, text(weight))
    add_to_total(w, weight - before)
  end
  w.touched = true
end

-- How long until so much is free; walks 64 entries at most, then the client asks again.
local function until_free(w, excess)
  if not w.weighed then
    local entry = redis.call('ZRANGE', w.starts, excess - 1, excess - 1, 'WITHSCORES')
    return (tonumber(entry[2]) or now + w.length) - now
  end
  local entries = redis.call('ZRANGE', w.starts, 0, 63, 'WITHSCORES')
  local names = {}
  for i = 1, #entries, 2 do names[#names + 1] = entries[i] end
  if #names == 0 then return w.length end
  local last
  for i, weight in ipairs(weights_of(w, names)) do
    last = tonumber(entries[2 * i]) - now
    excess = excess - weight
    if excess <= 0 then break end
  end
  return last
end

for _, w in ipairs(windows) do
  expire(w)
  for _, name in ipairs(ask.dropped) do drop(w, name) end
  for _, start in ipairs(ask.starts) do
    local expiry = now - start[2] + w.length
    if expiry > now then put(w, start[1], expiry, start[3]) end
  end
  if w.weighed then
    w.used = tonumber(redis.call('HGET', w.weights, 'total') or 0)
  else
    w.used = redis.call('ZCARD', w.starts)
  end
end

local paused = tonumber(redis.call('GET', KEYS[1]) or 0)
if now + ask.pause > paused and ask.pause > 0 then
  paused = now + ask.pause
  redis.call('SET', KEYS[1], text(paused), 'PX', text(math.ceil(ask.pause / 1000)))
end
paused = math.max(paused - now, 0)

local granted, wait = 0, paused
for _, asked in ipairs(ask.asked) do
  for _, w in ipairs(windows) do
    local excess = w.used + (w.weighed and asked[2] or 1) - w.amount
    if excess > 0 then wait = math.max(wait, until_free(w, excess)) end
  end
  if wait > 0 then break end
  for _, w in ipairs(windows) do
    put(w, asked[1], now + w.length, asked[2])
    w.used = w.used + (w.weighed and asked[2] or 1)
  end
  granted = granted + 1
end

local reply = {granted, math.ceil(wait), now, paused}
for _, w in ipairs(windows) do
  if w.touched then
    local milliseconds = text(math.ceil(w.length / 1000) + 1000)
    redis.call('PEXPIRE', w.starts, milliseconds)
    if w.weighed then redis.call('PEXPIRE', w.weights, milliseconds) end
  end
  local first = redis.call('ZRANGE', w.starts, 0, 0, 'WITHSCORES')
  reply[#reply + 1] = w.used
  reply[#reply + 1] = (tonumber(first[2]) or now) - now
end
return reply
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True, eq=False)
class _Waiter:
    number: int
    tokens: int
    granted: asyncio.Future[float | None]
    name: str = ""
    asked_at: float = 0.0


@dataclass(slots=True)
class _Start:
    at: float
    tokens: int
    told: float
    """Redis has it as started no earlier than that."""


class _State(NamedTuple):
    used: int
    until_first: float


class _Reply(NamedTuple):
    asked: list[_Waiter]
    granted: int
    wait: float
    server_time: float | None
    paused: float
    states: list[_State]


@dataclass(slots=True)
class _Book:
    """The starts of this process, on its own clock: what to tell a Redis that forgot or was away."""

    windows: tuple[Window, ...]
    margin: float | None
    starts: dict[str, _Start] = field(default_factory=dict)

    def prune(self, now: float) -> None:
        longest = max((_length(window, self.margin) for window in self.windows), default=0.0)
        while self.starts:
            name, start = next(iter(self.starts.items()))
            if start.at + longest > now:
                return
            del self.starts[name]

    def live(self, window: Window, now: float) -> list[tuple[float, int]]:
        """Seconds until expiry and weight of what is in a window, oldest first."""
        length = _length(window, self.margin)
        left = [(start.at + length - now, start) for start in self.starts.values()]
        weighed = window.unit == "tokens"
        return [(seconds, start.tokens if weighed else 1) for seconds, start in left if seconds > 0]

    def states(self, now: float) -> list[_State]:
        lives = [self.live(window, now) for window in self.windows]
        return [
            _State(sum(weight for _, weight in live), min((left for left, _ in live), default=0.0))
            for live in lives
        ]

    def grant(self, asked: Sequence[int], share: int, now: float) -> tuple[int, float]:
        """How many of these weights may start within a share of the limits, and how long the next waits."""
        lives = [self.live(window, now) for window in self.windows]
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
                    wait = max(wait, _length(window, self.margin))
            if wait > 0:
                return n, wait
            used = [total + weight for total, weight in zip(used, weights, strict=True)]
        return len(asked), 0.0


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
        self._share = whole_number(share, what="share")
        self._on_outage = on_outage
        self._client: Redis = _client(address)
        self._place = _without_password(address)
        self._keys = _keys(key, self.windows)
        self._spans = [
            [w.amount, math.ceil(_length(w, margin) * 1e6), w.unit == "tokens"] for w in self.windows
        ]
        self._book = _Book(self.windows, margin)
        self._allowed_delay = min((_length(w, margin) - w.seconds for w in self.windows), default=0.0)
        shortest = min((window.seconds for window in self.windows), default=1.0)
        self._stale = max(shortest / 2, self._allowed_delay)
        self._gap = min(max(shortest / 200, 0.005), 0.05)
        self._news_delay = min(_SETTLE_SECONDS, shortest / 4)
        self._weighed = any(window.unit == "tokens" for window in self.windows)
        self._longest_sleep = _LONGEST_SLEEP["tokens" if self._weighed else "requests"]

        self._waiters: deque[_Waiter] = deque()
        self._changed: set[str] = set()
        self._dropped: set[str] = set()
        self._paused_until = 0.0
        self._pause_is_news = False
        self._process, self._count = secrets.token_hex(6), 0
        self._call_at = math.inf
        self._alarm = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._outage: str | None = None
        self._warning: str | None = None
        self._closing = self._closed = False

    async def acquire(self, tokens: int = 0) -> SharedSlot:
        """Wait for a start.

        Args:
            tokens: Tokens to reserve in token windows.

        Raises:
            InputError: When the request is larger than a token limit, and so could never start.
            PermanentError: When Redis refuses the user, or is away and `on_outage="fail"`.
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
        if self._outage and self._on_outage == "fail" and self._probing is not None:
            raise PermanentError(self._outage)
        self._count += 1
        waiter = _Waiter(self._count, max(0, int(tokens)), loop.create_future())
        for tries_left in reversed(range(_STALE_TRIES)):
            self._enqueue(waiter)
            try:
                server_time = await waiter.granted
            except asyncio.CancelledError:
                self._leave(waiter)
                raise
            if loop.time() - waiter.asked_at <= self._stale or not tries_left:
                break
            self._give_back(waiter.name)
            waiter.granted = loop.create_future()
        self.moved(waiter.name, waiter.tokens)
        if self._warning is not None:
            warning, self._warning = self._warning, None
            warnings.warn(warning, UserWarning, stacklevel=2)
        return SharedSlot(self, waiter.name, waiter.tokens, server_time)

    def pause(self, seconds: float) -> None:
        """Start nothing for that long, in any process."""
        until = asyncio.get_running_loop().time() + seconds
        if seconds > 0 and until > self._paused_until:
            self._paused_until, self._pause_is_news = until, True
            self._call_in(self._gap)

    def moved(self, name: str, tokens: int) -> None:
        """Count a start from now on. See `SharedSlot.sent`."""
        start = self._book.starts.setdefault(name, _Start(-math.inf, tokens, -math.inf))
        start.at = asyncio.get_running_loop().time()
        if start.at - start.told > self._allowed_delay:
            self._changed.add(name)
            self._call_in(self._news_delay)

    def settle(self, name: str, tokens: int) -> None:
        """Correct the tokens of a start. See `SharedSlot.settle`."""
        start = self._book.starts.get(name)
        if start is None or not self._weighed or start.tokens == tokens:
            return
        start.tokens = tokens
        self._changed.add(name)
        self._call_in(self._news_delay)

    async def status(self) -> list[RateStatus]:
        """The state of every window over all processes; of this process alone while Redis is away."""
        now = asyncio.get_running_loop().time()
        paused = self._paused_until - now
        self._book.prune(now)
        states = self._book.states(now)
        if not self._outage:
            from redis.exceptions import RedisError

            try:
                changed = [name for name in islice(self._changed, _CHUNK) if name in self._book.starts]
                dropped = list(islice(self._dropped, _CHUNK))
                reply = await self._send(changed, dropped, [], 0.0, whole=True)
            except (RedisError, OSError):
                pass
            else:
                paused, states = max(paused, reply.paused), reply.states
        found = []
        for window, (used, until_first) in zip(self.windows, states, strict=True):
            left = max(0, window.amount - used)
            wait = max(paused, 0.0 if left else until_first, 0.0)
            found.append(RateStatus(window, used, left, wait, len(self._waiters)))
        return found

    async def aclose(self) -> None:
        """Send what is not sent yet and close the connection. Whoever waits gets an error."""
        self._closing = True
        self._fail_all(LloomError("This rate limiter was closed."))
        while self._serving is not None or self._has_news():
            self._call_in(0.0)
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
        await self._client.aclose()

    # --- the queue of this process -------------------------------------------------------------------

    def _enqueue(self, waiter: _Waiter) -> None:
        if not self._waiters or self._waiters[-1].number < waiter.number:
            self._waiters.append(waiter)
        else:
            place = next(i for i, other in enumerate(self._waiters) if other.number > waiter.number)
            self._waiters.insert(place, waiter)
        if self._waiters[0] is waiter:
            self._call_in(0.0)

    def _leave(self, waiter: _Waiter) -> None:
        """A caller was cancelled: before it was granted a start, or between the grant and its resuming."""
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            self._give_back(waiter.name)
        elif waiter in self._waiters:
            was_first = self._waiters[0] is waiter
            self._waiters.remove(waiter)
            if was_first:
                self._call_in(self._gap)

    def _give_back(self, name: str) -> None:
        self._book.starts.pop(name, None)
        self._changed.discard(name)
        self._dropped.add(name)
        self._call_in(self._news_delay)

    def _fail_all(self, error: BaseException) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.granted.done():
                waiter.granted.set_exception(error)

    # --- the task that talks to Redis ----------------------------------------------------------------

    def _call_in(self, seconds: float) -> None:
        """See to it that the next call is no later than that."""
        due = asyncio.get_running_loop().time() + seconds
        if due < self._call_at:
            self._call_at = due
            self._alarm.set()
        if self._serving is None and not self._closed:
            self._serving = asyncio.get_running_loop().create_task(self._serve())
            self._serving.add_done_callback(self._served)

    def _has_news(self) -> bool:
        return not self._outage and bool(self._changed or self._dropped or self._pause_is_news)

    async def _serve(self) -> None:
        """Call when a call is due, until nobody waits and nothing is left to tell."""
        loop = asyncio.get_running_loop()
        while self._waiters or self._has_news():
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
            self._fail_all(error)
        elif self._waiters or self._has_news():  # they came when the task had just looked for the last time
            self._call_in(0.0)

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
                reply = await self._ask_redis()
            except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
                self._changed.clear()
                self._dropped.clear()
                self._pause_is_news = False
                self._fail_all(PermanentError(f"Redis at {self._place} refuses this user: {error}"))
                return
            except (RedisError, OSError) as error:
                was_away = self._outage is not None
                self._lose(f"Redis at {self._place} does not answer ({type(error).__name__}: {error})")
                if self._on_outage == "fail":
                    self._outage = (
                        f"{self._outage}, and the rate limit is shared through it. Start it, or keep the "
                        f"limit in each process meanwhile with on_outage='local'."
                    )
                    self._fail_all(PermanentError(self._outage))
                    return
                if not was_away:
                    self._warning = (
                        f"{self._outage}. Until it does, this process keeps its rate limit by itself"
                        + (f", at 1/{self._share} of it." if self._share > 1 else ".")
                    )
                reply = self._ask_book()
            else:
                self._outage = None
        self._hand_out(reply)
        if self._waiters:
            done = reply.granted == len(reply.asked)
            wait = 0.0 if done else max(reply.wait, self._gap) + random.uniform(0.0, self._gap)
            self._call_in(min(wait, self._longest_sleep))
        elif self._has_news():
            self._call_in(0.0 if len(self._changed) >= _CHUNK else self._news_delay)

    def _is_alone(self) -> bool:
        """Whether to do without Redis: it is away, and looked for in the background."""
        return self._outage is not None and self._on_outage == "local" and self._probing is not None

    def _hand_out(self, reply: _Reply) -> None:
        now = asyncio.get_running_loop().time()
        for waiter in reply.asked[: reply.granted]:
            self._book.starts[waiter.name] = _Start(now, waiter.tokens, waiter.asked_at)
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if waiter.granted.done():
                self._give_back(waiter.name)
            else:
                waiter.granted.set_result(reply.server_time)

    def _next_waiters(self) -> list[_Waiter]:
        """Those to ask for, each under a new name, since a call that failed may have been carried out."""
        while self._waiters and self._waiters[0].granted.done():
            self._waiters.popleft()
        asked = list(islice(self._waiters, _BATCH))
        now = asyncio.get_running_loop().time()
        for waiter in asked:
            self._count += 1
            waiter.name, waiter.asked_at = f"{self._process}{self._count:x}", now
        return asked

    def _ask_book(self) -> _Reply:
        now = asyncio.get_running_loop().time()
        asked = self._next_waiters()
        paused = max(self._paused_until - now, 0.0)
        granted, wait = self._book.grant([waiter.tokens for waiter in asked], self._share, now)
        if paused:
            granted, wait = 0, max(paused, wait)
        return _Reply(asked, granted, min(wait, _RETRY_SECONDS), None, paused, [])

    def _lose(self, reason: str) -> None:
        self._outage = reason
        self._retell()
        if self._probing is None:
            self._probing = asyncio.get_running_loop().create_task(self._look_for_redis())

    async def _look_for_redis(self) -> None:
        """Look every few seconds, as long as anybody waits or there is something to tell."""
        from redis.exceptions import RedisError

        try:
            while True:
                await asyncio.sleep(_RETRY_SECONDS)
                try:
                    await self._client.ping()
                except (RedisError, OSError):
                    self._book.prune(asyncio.get_running_loop().time())
                    if not self._waiters and not self._book.starts:
                        return
                else:
                    self._outage = self._warning = None
                    self._retell()
                    self._call_in(0.0)
                    return
        finally:
            self._probing = None

    def _retell(self) -> None:
        """Tell everything anew: a Redis that was away may have forgotten what it was told."""
        self._changed.update(self._book.starts)
        self._pause_is_news = True

    async def _ask_redis(self) -> _Reply:
        from redis.exceptions import ConnectionError as NoConnection
        from redis.exceptions import NoScriptError

        loop = asyncio.get_running_loop()
        whole = False
        for tries_left in (2, 1, 0):
            changed = [name for name in islice(self._changed, _CHUNK) if name in self._book.starts]
            told, dropped = set(islice(self._changed, _CHUNK)), set(islice(self._dropped, _CHUNK))
            # Nothing is asked for before everything is told.
            asked = [] if len(self._changed) > _CHUNK else self._next_waiters()
            self._changed -= told
            pause, self._pause_is_news = self._pause_is_news, False
            seconds = self._paused_until - loop.time() if pause else 0.0
            try:
                return await self._send(changed, dropped, asked, seconds, whole=whole)
            except BaseException as error:
                self._changed |= told
                self._dropped.update(waiter.name for waiter in asked)
                dropped = set()
                self._pause_is_news |= pause
                if not tries_left or not isinstance(error, (NoScriptError, NoConnection)):
                    raise
                if not isinstance(error, NoScriptError):
                    await self._client.connection_pool.disconnect()
                whole = isinstance(error, NoScriptError)
                self._retell()
            finally:
                self._dropped -= dropped
        raise AssertionError("unreachable")

    async def _send(
        self,
        changed: Sequence[str],
        dropped: Iterable[str],
        asked: list[_Waiter],
        pause: float,
        *,
        whole: bool = False,
    ) -> _Reply:
        now = asyncio.get_running_loop().time()
        starts = [(name, self._book.starts[name]) for name in changed]
        for _, start in starts:
            start.told = start.at
        request = json.dumps(
            {
                "windows": self._spans,
                "dropped": list(dropped),
                "starts": [[name, int((now - start.at) * 1e6), start.tokens] for name, start in starts],
                "asked": [[waiter.name, waiter.tokens] for waiter in asked],
                "pause": max(0, math.ceil(pause * 1e6)),
            }
        )
        run: Any = self._client.eval if whole else self._client.evalsha
        found = await run(_SCRIPT if whole else _SHA, len(self._keys), *self._keys, request)
        granted, wait, server_time, paused, *rest = (int(number) for number in found)
        states = [_State(used, first / 1e6) for used, first in zip(rest[::2], rest[1::2], strict=True)]
        return _Reply(asked, granted, wait / 1e6, server_time / 1e6, paused / 1e6, states)


def shared_limiter(windows: Sequence[Window], *, key: object) -> SharedLimiter | None:
    """The shared limiter that the environment asks for; `None` when it names no Redis.

    `LLOOM_REDIS_URL` says where Redis is, `LLOOM_REDIS_ON_OUTAGE` (`local` or `fail`) and `LLOOM_REDIS_SHARE`
    are the arguments `on_outage` and `share` of `SharedLimiter`.

    Args:
        windows: The limits to keep.
        key: What shares the limit; its `repr` must be alike in all processes.

    Raises:
        InputError: When one of these cannot be used.
        MissingPackage: Without the package `redis`.
    """
    if not windows or not os.environ.get(_URL):
        return None
    share, on_outage = os.environ.get(_SHARE) or "1", os.environ.get(_ON_OUTAGE) or "local"
    if not share.isdecimal():
        raise InputError(f"{_SHARE}={share!r} must be a whole number of at least 1.")
    policy: Any = on_outage
    return SharedLimiter(windows, key=repr(key), share=int(share), on_outage=policy)


def _length(window: Window, margin: float | None) -> float:
    """How long an entry stays in a window."""
    extra = _MARGIN + _MARGIN_SHARE * window.seconds if margin is None else margin
    return window.seconds + extra


def _keys(key: str, windows: Sequence[Window]) -> list[str]:
    """The Redis keys: the pause, then entries and weights of each window.

    Amounts are no part of them, so that processes with different amounts for the same time still count
    each other's starts.
    """
    base = f"lloom:limit:{hashlib.sha256(key.encode()).hexdigest()}"
    keys = [f"{base}:pause"]
    for window in windows:
        name = f"{base}:{window.unit}:{window.seconds!r}"
        keys += [name, f"{name}:weights"]
    return keys


def _client(url: str) -> Redis:
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
            socket_timeout=_REPLY_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise InputError(f"The address of Redis {_without_password(url)!r} cannot be used: {error}") from None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
