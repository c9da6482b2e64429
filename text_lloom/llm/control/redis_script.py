"""The Lua script that keeps limits on a Redis server, its request and reply, and the queue of waiters."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from text_lloom.llm.control.rate_limits import Window

__all__ = [
    "SCRIPT",
    "SHA",
    "Book",
    "Queue",
    "Reply",
    "Start",
    "State",
    "Waiter",
    "keys_of",
    "length_of",
    "read_reply",
    "spans_of",
    "write_request",
]

_MARGIN, _MARGIN_SHARE = 0.02, 0.01


@dataclass(slots=True)
class Start:
    """A start that was granted."""

    at: float
    tokens: int
    told: float
    """Redis has it as started no earlier than that."""


class State(NamedTuple):
    """How far a window is used up."""

    used: int
    until_first: float


@dataclass(slots=True)
class Book:
    """The starts of this process, on its own clock: what to tell a Redis that forgot or was away."""

    windows: tuple[Window, ...]
    margin: float | None
    starts: dict[str, Start] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    """Starts that Redis is to be told of."""
    dropped: set[str] = field(default_factory=set)
    """Names that Redis is to forget."""
    paused_until: float = 0.0
    pause_is_news: bool = False

    @property
    def shortest(self) -> float:
        """Seconds of the shortest window."""
        return min((window.seconds for window in self.windows), default=1.0)

    @property
    def weighed(self) -> bool:
        """Whether any window counts tokens."""
        return any(window.unit == "tokens" for window in self.windows)

    def has_news(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.changed or self.dropped or self.pause_is_news)

    def retell(self) -> None:
        """Tell everything anew: a Redis that was away may have forgotten what it was told."""
        self.changed.update(self.starts)
        self.pause_is_news = True

    def give_back(self, name: str) -> None:
        """Forget a start that is not used, here and in Redis."""
        self.starts.pop(name, None)
        self.changed.discard(name)
        self.dropped.add(name)

    def prune(self, now: float) -> None:
        """Forget the starts that are in no window any more."""
        longest = max((length_of(window, self.margin) for window in self.windows), default=0.0)
        while self.starts:
            name, start = next(iter(self.starts.items()))
            if start.at + longest > now:
                return
            del self.starts[name]

    def live(self, window: Window, now: float) -> list[tuple[float, int]]:
        """Seconds until expiry and weight of what is in a window, oldest first."""
        length = length_of(window, self.margin)
        left = [(start.at + length - now, start) for start in self.starts.values()]
        weighed = window.unit == "tokens"
        return [(seconds, start.tokens if weighed else 1) for seconds, start in left if seconds > 0]

    def states(self, now: float) -> list[State]:
        """The state of every window, counting this process alone."""
        lives = [self.live(window, now) for window in self.windows]
        return [
            State(sum(weight for _, weight in live), min((left for left, _ in live), default=0.0))
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
                    wait = max(wait, length_of(window, self.margin))
            if wait > 0:
                return n, wait
            used = [total + weight for total, weight in zip(used, weights, strict=True)]
        return len(asked), 0.0


def length_of(window: Window, margin: float | None) -> float:
    """How long an entry stays in a window."""
    extra = _MARGIN + _MARGIN_SHARE * window.seconds if margin is None else margin
    return window.seconds + extra


_BATCH = 128


@dataclass(slots=True, eq=False)
class Waiter:
    """One who waits. The name is that of its start, if the call that asks for it is granted."""

    number: int
    tokens: int
    granted: asyncio.Future[float | None]
    name: str = ""
    asked_at: float = 0.0


class Queue:
    """Those who wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()
        self._process, self._count = secrets.token_hex(6), 0

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._waiters

    def newcomer(self, tokens: int) -> Waiter:
        """One who came last, not in the queue yet."""
        self._count += 1
        return Waiter(self._count, max(0, int(tokens)), asyncio.get_running_loop().create_future())

    def enter(self, waiter: Waiter) -> bool:
        """Put one where it belongs; whether that is the front."""
        if not self._waiters or self._waiters[-1].number < waiter.number:
            self._waiters.append(waiter)
        else:
            place = next(i for i, other in enumerate(self._waiters) if other.number > waiter.number)
            self._waiters.insert(place, waiter)
        return self._waiters[0] is waiter

    def leave(self, waiter: Waiter) -> bool:
        """Take one out; whether it was at the front."""
        was_first = self._waiters[0] is waiter
        self._waiters.remove(waiter)
        return was_first

    def next_waiters(self) -> list[Waiter]:
        """Those to ask for, each under a new name, since a call that failed may have been carried out."""
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


SCRIPT = """
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
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Reply(NamedTuple):
    """What the script replies; the book of a process replies in the same form while Redis is away."""

    asked: list[Waiter]
    granted: int
    wait: float
    server_time: float | None
    paused: float
    states: list[State]


def keys_of(key: str, windows: Sequence[Window]) -> list[str]:
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


def spans_of(windows: Sequence[Window], margin: float | None) -> list[list[Any]]:
    """The windows as the script takes them: amount, microseconds, whether tokens are counted."""
    return [[w.amount, math.ceil(length_of(w, margin) * 1e6), w.unit == "tokens"] for w in windows]


def write_request(
    spans: list[list[Any]],
    starts: Iterable[tuple[str, Start]],
    dropped: Iterable[str],
    asked: Iterable[Waiter],
    pause: float,
    now: float,
) -> str:
    """The argument of the script."""
    return json.dumps(
        {
            "windows": spans,
            "dropped": list(dropped),
            "starts": [[name, int((now - start.at) * 1e6), start.tokens] for name, start in starts],
            "asked": [[waiter.name, waiter.tokens] for waiter in asked],
            "pause": max(0, math.ceil(pause * 1e6)),
        }
    )


def read_reply(found: Iterable[Any], asked: list[Waiter]) -> Reply:
    """The reply of the script to a request for these waiters."""
    granted, wait, server_time, paused, *rest = (int(number) for number in found)
    states = [State(used, first / 1e6) for used, first in zip(rest[::2], rest[1::2], strict=True)]
    return Reply(asked, granted, wait / 1e6, server_time / 1e6, paused / 1e6, states)
