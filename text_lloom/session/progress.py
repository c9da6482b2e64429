"""Shows progress: a bar on a terminal, an updated line in a notebook, log lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from text_lloom.llm.control.usage import total

if TYPE_CHECKING:
    from text_lloom.llm.dispatch.step_state import Run

__all__ = ["Meter", "ProgressState", "StepProgress"]

_LABELS = {
    "distill_filter": "Distill-filter",
    "distill_summarize": "Distill-summarize",
    "cluster": "Cluster",
    "synthesize": "Synthesize",
    "review_remove": "Review (remove)",
    "review_merge": "Review (merge)",
    "review_select": "Select",
    "score": "Score",
    "summarize_concept": "Summarize",
    "auto_eval": "Evaluate",
    "map": "Map",
}
_CLOSED_STREAM = (OSError, ValueError)
"""Errors of a closed stream; they must not end a step."""
_LOG_SECONDS = 5.0
_NOTEBOOK_SECONDS = 0.3


class ProgressState(NamedTuple):
    """The progress of a step.

    Attributes:
        label: The name of the step for users.
        done: Tasks that are answered or have failed.
        total: All tasks of the step.
        seconds: Since the step began.
        requests: Attempts that reached a model.
        tokens: Tokens of prompts and replies.
        usd: US dollars so far, without requests of unknown price.
        unpriced: Requests of unknown price.
        cached: Answers from the cache.
        failed: Tasks that could not be answered.
        waited: Seconds that requests waited for a rate limit, per request.
    """

    label: str
    done: int
    total: int
    seconds: float
    requests: int
    tokens: int
    usd: float
    unpriced: int
    cached: int
    failed: int
    waited: float

    def describe(self) -> str:
        """The state in one line; zero figures are left out."""
        parts = [f"{self.label} {self.done:,}/{self.total:,}"]
        if self.requests and self.tokens:
            parts.append(f"{self.requests / max(self.seconds, 1e-3):,.0f} requests/s")
            parts.append(f"{self.tokens:,} tokens")
        if self.usd:
            projected = self.usd * self.total / self.done if self.done else 0.0
            parts.append(f"${self.usd:,.4f} of about ${max(projected, self.usd):,.4f}")
        if self.unpriced:
            parts.append("price unknown")
        if self.cached:
            parts.append(f"{self.cached:,} from the cache")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.waited >= 0.1:
            parts.append(f"waiting {self.waited:.1f} s for the rate limit")
        return ", ".join(parts)


class Meter:
    """Computes the state of a step from its run; other steps of the run do not count."""

    def __init__(self, run: Run, step: str, total: int) -> None:
        self.step = step
        self._run, self._label, self._total = (
            run,
            _LABELS.get(step, step.replace("_", " ").capitalize()),
            total,
        )
        self._rows, self._failures = len(run.ledger), self._failed()
        self._waited = run.waited
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._requests = self._tokens = self._unpriced = self._cached = 0
        self._usd = 0.0
        self.done = 0

    def state(self) -> ProgressState:
        """The current state."""
        with self._lock:
            self._add_new_rows()
            return ProgressState(
                label=self._label,
                done=self.done,
                total=self._total,
                seconds=time.monotonic() - self._began,
                requests=self._requests,
                tokens=self._tokens,
                usd=self._usd,
                unpriced=self._unpriced,
                cached=self._cached,
                failed=max(0, self._failed() - self._failures),
                waited=(self._run.waited - self._waited) / max(1, self._requests),
            )

    def _add_new_rows(self) -> None:
        """Add the new rows of the ledger; reading all rows each time would be slow in a long step."""
        rows = self._run.ledger.since(self._rows)
        self._rows += len(rows)
        new = total(row for row in rows if row.step == self.step)
        self._requests += new.requests
        self._tokens += new.in_tokens + new.out_tokens
        self._usd += new.usd
        self._unpriced += new.unpriced
        self._cached += new.cached

    def _failed(self) -> int:
        return sum(failure.step == self.step for failure in list(self._run.failures))


class _Display(Protocol):
    def show(self, state: ProgressState) -> None: ...

    def close(self, state: ProgressState) -> None: ...


class StepProgress:
    """Shows the progress of each step of a run.

    Args:
        run_of: Returns the run; called when a step begins.
    """

    def __init__(self, run_of: Callable[[], Run]) -> None:
        self._run_of = run_of
        self._steps: list[_Step] = []
        self._watchers: list[Callable[[Meter, threading.Event], object]] = []

    @property
    def current(self) -> ProgressState | None:
        """The state of the running step that began last."""
        steps = list(self._steps)
        return steps[-1].meter.state() if steps else None

    def watch(self, watcher: Callable[[Meter, threading.Event], object]) -> None:
        """Call `watcher` when a step begins, with its meter and an event that is set at its end.

        It is called on the event-loop thread and must return at once.
        """
        self._watchers.append(watcher)

    def start(self, step: str, total: int) -> None:
        """Begin a step of `total` tasks; it is the step of the caller's context until it ends."""
        meter, display, ended = Meter(self._run_of(), step, total), _display(), threading.Event()
        begun = _Step(meter, display, ended, _own_step.get())
        self._steps.append(begun)
        _own_step.set(begun)
        interval = _interval(display)
        if interval is not None:
            threading.Thread(
                target=_refresh, args=(meter, display, ended, interval), daemon=True, name="lloom-progress"
            ).start()
        for watcher in self._watchers:
            watcher(meter, ended)

    def advance(self, n: int = 1) -> None:
        """Count `n` more tasks of the caller's step as done."""
        step = _own_step.get()
        if step in self._steps:
            step.meter.done += n

    def finish(self) -> None:
        """End the caller's step."""
        step = _own_step.get()
        if step in self._steps:
            self._steps.remove(step)
            _own_step.set(step.outer)
            step.ended.set()
            with suppress(*_CLOSED_STREAM):
                step.display.close(step.meter.state())


@dataclass(frozen=True, eq=False, slots=True)
class _Step:
    """A running step: its figures, its display, and the step in which it began."""

    meter: Meter
    display: _Display
    ended: threading.Event
    outer: _Step | None


_own_step: ContextVar[_Step | None] = ContextVar("lloom_step", default=None)
"""The step of the current task; several steps can run at once, each with its own bar."""


def _refresh(meter: Meter, display: _Display, ended: threading.Event, interval: float) -> None:
    while not ended.wait(interval):
        with suppress(*_CLOSED_STREAM):
            display.show(meter.state())


def _interval(display: _Display) -> float | None:
    return {"_Notebook": _NOTEBOOK_SECONDS, "_Terminal": 0.1, "_Log": _LOG_SECONDS}[type(display).__name__]


def _display() -> _Display:
    shell = sys.modules.get("IPython")
    ipython = shell.get_ipython() if shell is not None else None
    if ipython is not None and getattr(ipython, "kernel", None) is not None:
        return _Notebook()
    with suppress(*_CLOSED_STREAM):
        if sys.stderr is not None and sys.stderr.isatty():
            return _Terminal()
    return _Log()


class _Terminal:
    """A progress bar; one line remains at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def show(self, state: ProgressState) -> None:
        self._bar.update(self._task, total=state.total, completed=state.done, description=state.describe())

    def close(self, state: ProgressState) -> None:
        try:
            self.show(state)
        finally:
            self._bar.stop()


class _Notebook:
    """One line of text under the cell, updated in place; quick steps print nothing."""

    def __init__(self) -> None:
        self._handle: object | None = None

    def show(self, state: ProgressState) -> None:
        from IPython.display import display

        content = {"text/plain": state.describe()}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content, raw=True)  # type: ignore[attr-defined]

    def close(self, state: ProgressState) -> None:
        if self._handle is not None:
            self.show(state)


class _Log:
    """A line every few seconds, for files and pipes; quick steps print nothing."""

    def __init__(self) -> None:
        self._shown = False

    def show(self, state: ProgressState) -> None:
        self._shown = True
        print(state.describe(), file=sys.stderr, flush=True)

    def close(self, state: ProgressState) -> None:
        if self._shown:
            self.show(state)
