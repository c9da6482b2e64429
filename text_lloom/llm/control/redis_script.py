"""The Lua script that enforces limits on a Redis server (`redis_limits.lua`), its request and its reply."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
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

SCRIPT = (Path(__file__).parent / "redis_limits.lua").read_text(encoding="utf-8")
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class WindowState(NamedTuple):
    """How far a window is used up, and in how many seconds its first entry expires."""

    used: int
    until_first: float


class ScriptReply(NamedTuple):
    """What the script replies. While Redis is away, `StartLog` grants starts in the same form.

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
        starts: Name, age in seconds and tokens of each start that the server must learn.
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
