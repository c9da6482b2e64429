"""The Lua script that enforces limits on a Redis server, its request and its reply."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from text_lloom.llm.control.rate_limits import Window

__all__ = [
    "SCRIPT",
    "SHA",
    "ScriptReply",
    "WindowState",
    "decode_reply",
    "encode_request",
    "script_keys",
    "script_windows",
    "seconds_counted",
]

_MARGIN, _MARGIN_SHARE = 0.02, 0.01

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


class WindowState(NamedTuple):
    """How far a window is used up, and in how many seconds its first entry expires."""

    used: int
    until_first: float


class ScriptReply(NamedTuple):
    """What the script replies; a process answers itself in the same form while Redis is away.

    Attributes:
        granted: How many of the requested starts may begin.
        wait: Seconds until the next one may.
        server_time: Seconds since 1970 on the server, `None` without it.
        paused: Seconds for which nothing starts.
        states: One per window.
    """

    granted: int
    wait: float
    server_time: float | None
    paused: float
    states: list[WindowState]


def seconds_counted(window: Window, margin: float | None) -> float:
    """How long a start counts in a window."""
    extra = _MARGIN + _MARGIN_SHARE * window.seconds if margin is None else margin
    return window.seconds + extra


def script_keys(key: str, windows: Sequence[Window]) -> list[str]:
    """The Redis keys: the pause, then entries and weights of each window.

    They leave out the amounts, so that processes with different amounts for the same time still count each
    other's starts.
    """
    base = f"lloom:limit:{hashlib.sha256(key.encode()).hexdigest()}"
    keys = [f"{base}:pause"]
    for window in windows:
        name = f"{base}:{window.unit}:{window.seconds!r}"
        keys += [name, f"{name}:weights"]
    return keys


def script_windows(windows: Sequence[Window], margin: float | None) -> list[list[Any]]:
    """The windows as the script takes them: amount, microseconds, whether tokens are counted."""
    return [[w.amount, math.ceil(seconds_counted(w, margin) * 1e6), w.unit == "tokens"] for w in windows]


def encode_request(
    windows: list[list[Any]],
    starts: Iterable[tuple[str, float, int]],
    dropped: Iterable[str],
    asked: Iterable[tuple[str, int]],
    pause: float,
) -> str:
    """The argument of the script.

    Args:
        windows: As from `script_windows`.
        starts: Name, age in seconds and tokens of each start that the server is told of.
        dropped: Names of starts that the server forgets.
        asked: Name and tokens of each start that is requested.
        pause: Seconds for which nothing starts.
    """
    return json.dumps(
        {
            "windows": windows,
            "dropped": list(dropped),
            "starts": [[name, int(age * 1e6), tokens] for name, age, tokens in starts],
            "asked": list(asked),
            "pause": max(0, math.ceil(pause * 1e6)),
        }
    )


def decode_reply(found: Iterable[Any]) -> ScriptReply:
    """The reply of the script."""
    granted, wait, server_time, paused, *rest = (int(number) for number in found)
    states = [WindowState(used, first / 1e6) for used, first in zip(rest[::2], rest[1::2], strict=True)]
    return ScriptReply(granted, wait / 1e6, server_time / 1e6, paused / 1e6, states)
