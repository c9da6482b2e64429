"""Tracking what models cost across sessions.

from text_lloom.llm import track_costs

with track_costs(report_every=1.0) as costs:
    l.sync.gen()
    l.sync.score()
print(costs.usd, costs.requests)
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from text_lloom.llm.usage import Attempt

__all__ = ["GLOBAL_COSTS", "CostTracker", "record", "tell", "track_costs"]

T = TypeVar("T")
Reporter: TypeAlias = "Callable[[CostTracker], object]"


class CostTracker:
    """Adds up attempts, and reports each time a further amount has been spent.

    Args:
        report_every: US dollars between two reports; `None` for none.
        on_report: Called with the tracker; prints a line when not given.

    Attributes:
        usd: US dollars so far, as far as prices are known.
        requests: Attempts that reached a model.
        unpriced: Requests whose price is unknown.
        in_tokens: Tokens of prompts.
        out_tokens: Tokens of replies.
        cached: Answers that came from the cache and cost nothing.
    """

    def __init__(self, *, report_every: float | None = None, on_report: Reporter | None = None) -> None:
        self.usd = 0.0
        self.requests = self.unpriced = self.in_tokens = self.out_tokens = self.cached = 0
        self.report_every = report_every
        self._reporters: list[Reporter] = [on_report or _print_report]
        self._listeners: list[Callable[[Attempt], object]] = []
        self._reported = 0.0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        unknown = f" + {self.unpriced} requests of unknown price" if self.unpriced else ""
        return f"<costs: ${self.usd:,.4f}{unknown}, {self.requests} requests, {self.cached} from the cache>"

    def add_callback(self, callback: Callable[[Attempt], object]) -> None:
        """Have `callback` called with every attempt, once per request however many replies it has."""
        self._listeners.append(callback)

    def add(self, attempt: Attempt) -> None:
        """Count one attempt."""
        with self._lock:
            if attempt.outcome == "cached":
                self.cached += 1
            else:
                self.requests += 1
                self.unpriced += attempt.usd is None
                self.usd += attempt.usd or 0.0
                self.in_tokens += attempt.in_tokens
                self.out_tokens += attempt.out_tokens
            due = self.report_every is not None and self.usd - self._reported >= self.report_every
            if due:
                self._reported = self.usd
        for listener in self._listeners:
            tell(listener, attempt)
        if due:
            for reporter in self._reporters:
                tell(reporter, self)


def tell(listener: Callable[[T], object], about: T) -> None:
    """Call a listener; one that fails must not cost the answer that it is told of."""
    try:
        listener(about)
    except Exception as error:
        # A filter that turns warnings into errors must not end the step, either.
        with suppress(UserWarning):
            warnings.warn(
                f"A function that listens to costs failed with {type(error).__name__}: {error}. The "
                f"work goes on.",
                UserWarning,
                stacklevel=2,
            )


def _print_report(tracker: CostTracker) -> None:
    print(f"Spent so far: {tracker!r}")


GLOBAL_COSTS = CostTracker()
"""Everything that this process has spent; set `report_every` to be told."""

_active: ContextVar[tuple[CostTracker, ...]] = ContextVar("lloom_cost_trackers", default=())


@contextmanager
def track_costs(
    *, report_every: float | None = None, on_report: Reporter | None = None
) -> Iterator[CostTracker]:
    """Track what is spent by the work that is started inside the `with` block.

    That is work of the same thread or task, and of tasks made from it; a thread that is started inside has
    to open a block of its own.

    Args:
        report_every: US dollars between two reports; `None` for none.
        on_report: Called with the tracker; prints a line when not given.
    """
    tracker = CostTracker(report_every=report_every, on_report=on_report)
    token = _active.set((*_active.get(), tracker))
    try:
        yield tracker
    finally:
        _active.reset(token)


def record(attempt: Attempt) -> None:
    """Count an attempt in the process' tracker and in those of the current context."""
    GLOBAL_COSTS.add(attempt)
    for tracker in _active.get():
        tracker.add(attempt)
