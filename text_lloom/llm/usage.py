"""What was asked of models and what it cost: one row per attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from text_lloom.llm.costs import record, tell

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Attempt", "Ledger", "Outcome", "Totals", "total", "with_lost"]

Outcome = Literal[
    "answer", "cached", "bad answer", "rate limited", "transient error", "permanent error", "cancelled"
]

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
        outcome: How it ended. `cached` costs nothing; one that was `cancelled` or got no reply in time may
            have, which is not known.
        estimated: The tokens are our estimate, because the provider reported none; for one without a
            reply, of what it may have taken.
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

    def add(self, attempt: Attempt) -> None:
        """Record an attempt."""
        with self._lock:
            self._attempts.append(attempt)
        record(attempt)
        for listener in self._listeners:
            tell(listener, attempt)

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
    """The attempts, with tokens for those whose reply got lost: what others of their step and model took.

    They may have been billed, so a budget counts them.
    """
    attempts = list(attempts)
    taken: dict[tuple[str, str], list[int]] = {}
    for attempt in attempts:
        if attempt.outcome in ("answer", "bad answer"):
            for about in ((attempt.step, attempt.model), ("", attempt.model)):
                sums = taken.setdefault(about, [0, 0, 0])
                sums[:] = sums[0] + 1, sums[1] + attempt.in_tokens, sums[2] + attempt.out_tokens
    return [_as_taken(attempt, taken) if attempt.is_lost else attempt for attempt in attempts]


def _as_taken(lost: Attempt, taken: Mapping[tuple[str, str], Sequence[int]]) -> Attempt:
    n, in_tokens, out_tokens = taken.get((lost.step, lost.model)) or taken.get(("", lost.model)) or (1, 0, 0)
    return replace(lost, in_tokens=-(-in_tokens // n), out_tokens=-(-out_tokens // n))
