"""Usage: the ledger with one row per attempt, its sums, and trackers of what this process spends."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GLOBAL_COSTS",
    "Attempt",
    "CostTracker",
    "Ledger",
    "Outcome",
    "Totals",
    "total",
    "track_costs",
    "with_lost",
]

T = TypeVar("T")

Outcome = Literal[
    "answer", "cached", "bad answer", "rate limited", "transient error", "permanent error", "cancelled"
]
Reporter: TypeAlias = "Callable[[CostTracker], object]"

_DTYPES = {
    "step": "str",
    "model": "str",
    "at": "float64",
    "seconds": "float64",
    "in_tokens": "int64",
    "out_tokens": "int64",
    "usd": "float64",
    "outcome": "str",
    "estimated": "bool",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a request.

    Attributes:
        step: The step that asked.
        model: Name of the model.
        at: When it started, seconds since the epoch.
        seconds: How long it took.
        in_tokens: Tokens of the prompt.
        out_tokens: Tokens of the reply.
        usd: Cost in US dollars, `None` when the price is unknown.
        outcome: How it ended. A `cached` one costs nothing; whether one that was `cancelled` or timed out
            costs anything is not known.
        estimated: The tokens are our estimate, because the provider reported none.
    """

    step: str
    model: str
    at: float
    seconds: float
    in_tokens: int
    out_tokens: int
    usd: float | None
    outcome: Outcome
    estimated: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether it may have been answered and billed, though no reply came."""
        return self.estimated and not self.in_tokens and self.outcome in ("cancelled", "transient error")


class Totals(NamedTuple):
    """Sums over attempts.

    Attributes:
        requests: Attempts that reached a model.
        answers: Attempts that gave an answer, cached ones included.
        in_tokens: Tokens of prompts that reached a model.
        out_tokens: Tokens of replies from a model.
        usd: US dollars, as far as prices are known.
        unpriced: Requests whose price is unknown.
        cached: Answers that came from the cache.
    """

    requests: int
    answers: int
    in_tokens: int
    out_tokens: int
    usd: float
    unpriced: int
    cached: int


class Ledger:
    """An append-only list of attempts; summaries are views of it."""

    def __init__(self, attempts: Iterable[Attempt] = ()) -> None:
        self._attempts = list(attempts)
        self._listeners: list[Callable[[Attempt], None]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._attempts)

    def __repr__(self) -> str:
        return f"<Ledger: {len(self)} attempts>"

    def add(self, attempt: Attempt) -> None:
        """Record an attempt."""
        with self._lock:
            self._attempts.append(attempt)
        _record(attempt)
        for listener in self._listeners:
            _notify(listener, attempt)

    def listen(self, listener: Callable[[Attempt], None]) -> None:
        """Have `listener` called with every further attempt."""
        self._listeners.append(listener)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """All attempts, oldest first."""
        with self._lock:
            return tuple(self._attempts)

    def since(self, n: int) -> list[Attempt]:
        """All attempts but the first `n`, oldest first."""
        with self._lock:
            return self._attempts[n:]

    def totals(self, *, step: str | None = None, since: int = 0) -> Totals:
        """Sums over all attempts, or over those of a step, or over those after the first `since`."""
        return total(a for a in self.since(since) if step is None or a.step == step)

    def to_frame(self) -> pd.DataFrame:
        """One row per attempt, columns as in `Attempt`; `usd` is NaN where the price is unknown."""
        import pandas as pd

        rows = self.attempts
        columns = {name: [getattr(row, name) for row in rows] for name in Attempt.__dataclass_fields__}
        return pd.DataFrame(columns).astype(_DTYPES)


class CostTracker:
    """Adds up attempts, and reports each time a further amount has been spent.

    Its attributes `usd`, `requests`, `unpriced`, `in_tokens`, `out_tokens` and `cached` are sums as in
    `Totals`.

    Args:
        report_every: US dollars between two reports; `None` for none.
        on_report: Called with the tracker; prints a line when not given.
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
        known = [f"${self.usd:,.4f}"] if self.usd or not self.unpriced else []
        unknown = [f"{self.unpriced} requests of unknown price"] if self.unpriced else []
        cost = " + ".join([*known, *unknown])
        return f"<costs: {cost}, {self.requests} requests, {self.cached} from the cache>"

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
            _notify(listener, attempt)
        if due:
            for reporter in self._reporters:
                _notify(reporter, self)


def total(attempts: Iterable[Attempt]) -> Totals:
    """Sums over attempts."""
    requests = answers = in_tokens = out_tokens = unpriced = cached = 0
    usd = 0.0
    for attempt in attempts:
        if attempt.outcome == "cached":
            cached += 1
            answers += 1
            continue
        requests += 1
        answers += attempt.outcome == "answer"
        in_tokens += attempt.in_tokens
        out_tokens += attempt.out_tokens
        usd += attempt.usd or 0.0
        unpriced += attempt.usd is None
    return Totals(requests, answers, in_tokens, out_tokens, usd, unpriced, cached)


def with_lost(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts, where one whose reply was lost has the mean tokens of its step and model.

    It may have been billed, so a budget counts it.
    """
    attempts = list(attempts)
    taken: dict[tuple[str, str], list[int]] = {}
    for attempt in attempts:
        if attempt.outcome in ("answer", "bad answer"):
            for about in ((attempt.step, attempt.model), ("", attempt.model)):
                sums = taken.setdefault(about, [0, 0, 0])
                sums[:] = sums[0] + 1, sums[1] + attempt.in_tokens, sums[2] + attempt.out_tokens
    return [_as_taken(attempt, taken) if attempt.is_lost else attempt for attempt in attempts]


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


def _as_taken(lost: Attempt, taken: Mapping[tuple[str, str], Sequence[int]]) -> Attempt:
    n, in_tokens, out_tokens = taken.get((lost.step, lost.model)) or taken.get(("", lost.model)) or (1, 0, 0)
    return replace(lost, in_tokens=-(-in_tokens // n), out_tokens=-(-out_tokens // n))


def _notify(listener: Callable[[T], object], about: T) -> None:
    """Call a listener; its failure must not lose an answer."""
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


def _record(attempt: Attempt) -> None:
    """Count an attempt in the process' tracker and in those of the current context."""
    GLOBAL_COSTS.add(attempt)
    for tracker in _active.get():
        tracker.add(attempt)


def _print_report(tracker: CostTracker) -> None:
    print(f"Spent so far: {tracker!r}")


GLOBAL_COSTS = CostTracker()
"""Everything that this process has spent; set `report_every` to get reports."""
_active: ContextVar[tuple[CostTracker, ...]] = ContextVar("lloom_cost_trackers", default=())
