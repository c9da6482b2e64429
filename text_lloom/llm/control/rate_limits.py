"""Rate limits: what a user may write, and the limiter that enforces them.

A window limit `(n, seconds)` means: never more than `n` starts in any window of that many seconds, and no
other waiting. A granted start is counted from the moment at which the caller resumes, so that a busy event
loop cannot bunch starts.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Literal, NamedTuple, TypeAlias

from text_lloom.errors import InputError
from text_lloom.llm.options import finite_number, whole_number

__all__ = [
    "Limiter",
    "RateLimit",
    "RateLimitSpec",
    "RateStatus",
    "Slot",
    "Unit",
    "Window",
    "check_fits",
    "parse_rate_limit",
]

Unit: TypeAlias = Literal["requests", "tokens"]
RateLimitSpec: TypeAlias = object
"""`(n, seconds)`, `"300/10 seconds; 5000 per hour"`, items of the `limits` package, a list of these, or a
mapping with the keys `requests`, `tokens`, `concurrency` and `ceiling`."""

_MARGIN_SHARE, _LONGEST_MARGIN = 0.015, 0.05
_KEYS = ("requests", "tokens", "concurrency", "ceiling")
_ZERO = re.compile(r"(?<![\d.])0+(?![\d.])")


class Window(NamedTuple):
    """At most `amount` requests or tokens in any window of `seconds`."""

    amount: int
    seconds: float
    unit: Unit


@dataclass(frozen=True, slots=True)
class RateLimit:
    """All limits of a model.

    Attributes:
        windows: The window limits, all of which hold.
        concurrency: A fixed number of requests in flight; `None` adapts to the provider.
        ceiling: The largest number of requests in flight when adapting.
    """

    windows: tuple[Window, ...] = ()
    concurrency: int | None = None
    ceiling: int | None = None


class RateStatus(NamedTuple):
    """The state of one window limit.

    Attributes:
        window: The limit.
        used: Requests or tokens in the current window.
        remaining: Requests or tokens that are left.
        seconds_until_free: 0 when something is free now.
        waiting: Requests that wait for this limiter.
    """

    window: Window
    used: int
    remaining: int
    seconds_until_free: float
    waiting: int


class Slot:
    """A granted start."""

    __slots__ = ("_entries", "_limiter")

    def __init__(self, limiter: Limiter, entries: list[tuple[_WindowUsage, list[float]]]) -> None:
        self._limiter = limiter
        self._entries = entries

    def sent(self) -> None:
        """Count the start from now on, since the request leaves only now that a connection is open."""
        self._entries = [(usage, self._limiter.restart(usage, entry)) for usage, entry in self._entries]

    def settle(self, tokens: int) -> None:
        """Replace the reserved tokens by those that the reply reports."""
        settled = False
        for usage, entry in self._entries:
            if usage.window.unit == "tokens" and usage.holds(entry):
                usage.total += tokens - entry[1]
                entry[1] = tokens
                settled = True
        if settled:
            self._limiter.grant_waiting()


class Limiter:
    """Grants starts first come, first served, within all windows at once.

    Must be used on one event loop.

    Args:
        windows: The limits to enforce.
        margin: Seconds added to each window, because some requests take longer to arrive than others; 1.5 %
            of the window, at most 50 ms, when not given.
    """

    def __init__(self, windows: Sequence[Window], *, margin: float | None = None) -> None:
        self._usages = [_WindowUsage(window) for window in windows]
        self._margin = margin
        self._waiters: deque[_Waiter] = deque()
        self._held: list[float] = [0.0] * len(self._usages)
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, tokens: int = 0) -> Slot:
        """Wait for a start, and reserve tokens in the token windows.

        Raises:
            InputError: When the request is larger than a token limit, and so could never start.
        """
        check_fits(tokens, [usage.window for usage in self._usages])
        loop = asyncio.get_running_loop()
        waiter = _Waiter(tokens, loop.create_future())
        self._waiters.append(waiter)
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self._release(waiter)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            self._grant()
            raise
        return self._stamp(waiter)

    def pause(self, seconds: float) -> None:
        """Grant no start for that long."""
        loop = asyncio.get_running_loop()
        self._paused_until = max(self._paused_until, loop.time() + seconds)

    def grant_waiting(self) -> None:
        """Grant starts to the requests that fit by now."""
        if self._waiters:
            self._grant()

    def status(self, now: float) -> list[RateStatus]:
        """The state of every window at loop time `now`."""
        states = []
        for usage in self._usages:
            usage.expire(now)
            left = usage.window.amount - usage.total
            wait = usage.entries[0][0] - now if left < 1 and usage.entries else 0.0
            wait = max(wait, self._paused_until - now, 0.0)
            states.append(RateStatus(usage.window, int(usage.total), int(left), wait, len(self._waiters)))
        return states

    def _grant(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for usage in self._usages:
            usage.expire(now)
        while self._waiters and now >= self._paused_until and self._has_room(self._waiters[0]):
            waiter = self._waiters.popleft()
            if waiter.granted.done():
                continue
            for i, usage in enumerate(self._usages):
                self._held[i] += _weight(usage, waiter)
            waiter.granted.set_result(None)
        self._schedule(loop, now)

    def _has_room(self, waiter: _Waiter) -> bool:
        return all(
            usage.total + self._held[i] + _weight(usage, waiter) <= usage.window.amount
            for i, usage in enumerate(self._usages)
        )

    def _schedule(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Have `_grant` called when the first waiter may fit, and not earlier."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiters:
            return
        wake = self._paused_until
        for i, usage in enumerate(self._usages):
            excess = usage.total + self._held[i] + _weight(usage, self._waiters[0]) - usage.window.amount
            for expiry, weight in usage.entries:
                if excess <= 0:
                    break
                excess -= weight
                wake = max(wake, expiry)
        if wake > now:
            self._timer = loop.call_at(wake, self._grant)

    def _release(self, waiter: _Waiter) -> None:
        for i, usage in enumerate(self._usages):
            self._held[i] -= _weight(usage, waiter)

    def restart(self, usage: _WindowUsage, entry: list[float]) -> list[float]:
        """Replace an entry by one that starts now."""
        if not usage.holds(entry):
            usage.total += entry[1]
        later = [self._expiry(usage, asyncio.get_running_loop().time()), entry[1]]
        entry[1] = 0.0
        usage.entries.append(later)
        return later

    def _expiry(self, usage: _WindowUsage, now: float) -> float:
        seconds = usage.window.seconds
        margin = min(_MARGIN_SHARE * seconds, _LONGEST_MARGIN) if self._margin is None else self._margin
        return now + seconds + margin

    def _stamp(self, waiter: _Waiter) -> Slot:
        now = asyncio.get_running_loop().time()
        self._release(waiter)
        stamped = []
        for usage in self._usages:
            entry = [self._expiry(usage, now), float(_weight(usage, waiter))]
            usage.entries.append(entry)
            usage.total += entry[1]
            stamped.append((usage, entry))
        if self._waiters and self._timer is None:
            self._grant()
        return Slot(self, stamped)


def parse_rate_limit(spec: RateLimitSpec) -> RateLimit:
    """A rate limit from what a user may write; see `RateLimitSpec`.

    Raises:
        InputError: When it cannot be read, or an amount or a time is not positive.
    """
    if spec is None:
        return RateLimit()
    if isinstance(spec, RateLimit):
        return spec
    if isinstance(spec, Mapping):
        unknown = [key for key in spec if key not in _KEYS]
        if unknown:
            raise InputError(f"rate_limit: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}.")
        windows = _windows(spec.get("requests"), "requests") + _windows(spec.get("tokens"), "tokens")
        bounds = {
            name: None if spec.get(name) is None else whole_number(spec.get(name), what=name)
            for name in ("concurrency", "ceiling")
        }
        return RateLimit(tuple(windows), bounds["concurrency"], bounds["ceiling"])
    return RateLimit(tuple(_windows(spec, "requests")))


def check_fits(tokens: int, windows: Sequence[Window]) -> None:
    """Refuse a request that is larger than a token limit, and so could never start.

    Raises:
        InputError: Names the limit.
    """
    for window in windows:
        if window.unit == "tokens" and tokens > window.amount:
            raise InputError(
                f"A request of about {tokens:,} tokens can never start under the limit of "
                f"{window.amount:,} tokens per {window.seconds:g} s. Raise the token limit "
                f"or shorten the documents."
            )


@dataclass(slots=True)
class _WindowUsage:
    """What is in one window: pairs of expiry and weight in order of expiry, and the sum of the weights."""

    window: Window
    entries: deque[list[float]] = field(default_factory=deque)
    total: float = 0.0

    def holds(self, entry: list[float]) -> bool:
        """Whether an entry has not expired yet."""
        return bool(self.entries) and self.entries[0][0] <= entry[0]

    def expire(self, now: float) -> None:
        while self.entries and self.entries[0][0] <= now:
            self.total -= self.entries.popleft()[1]


@dataclass(slots=True)
class _Waiter:
    tokens: int
    granted: asyncio.Future[None]


def _weight(usage: _WindowUsage, waiter: _Waiter) -> int:
    return 1 if usage.window.unit == "requests" else waiter.tokens


def _windows(spec: object, unit: Unit) -> list[Window]:
    if spec is None:
        return []
    if isinstance(spec, str):
        return _parse_text(spec, unit)
    amount, expiry = getattr(spec, "amount", None), getattr(spec, "get_expiry", None)
    if amount is not None and callable(expiry):
        return [_window(amount, expiry(), unit, spec)]
    if isinstance(spec, Sequence) and not isinstance(spec, bytes):
        if len(spec) == 2 and all(isinstance(part, Real) for part in spec):
            return [_window(spec[0], spec[1], unit, spec)]
        if spec:
            return [window for part in spec for window in _windows(part, unit)]
    raise InputError(
        f"rate_limit={spec!r}: expected (requests, seconds) such as (300, 10), or text such as "
        f"'300/10 seconds' or '100 per minute; 5000 per hour'."
    )


def _parse_text(text: str, unit: Unit) -> list[Window]:
    from limits import parse_many

    try:
        items = [] if _ZERO.search(text) else parse_many(text)
    except ValueError:
        items = []
    if not items:
        raise InputError(
            f"rate_limit={text!r} cannot be read. Write for example '300/10 seconds', '100 per minute', or "
            f"several joined by ';', with numbers of at least 1. Units are second, minute, hour, day, month "
            f"and year."
        )
    return [_window(item.amount, item.get_expiry(), unit, text) for item in items]


def _window(amount: object, seconds: object, unit: Unit, spec: object) -> Window:
    number, period = finite_number(amount), finite_number(seconds)
    if number is None or period is None or number < 1 or period <= 0:
        raise InputError(f"rate_limit={spec!r}: the amount must be at least 1 and the time positive.")
    return Window(int(number), period, unit)
