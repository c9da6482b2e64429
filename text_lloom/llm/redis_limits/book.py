"""What one process started, on its own clock, and what of it Redis is yet to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from text_lloom.llm.limits import Window

__all__ = ["Book", "Start", "State", "length_of"]

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
