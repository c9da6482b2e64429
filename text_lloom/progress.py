"""Progress bars for the steps of a session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["BarProgress"]

_LABELS = {
    "distill_filter": "Distill-filter",
    "distill_summarize": "Distill-summarize",
    "cluster": "Cluster",
    "synthesize": "Synthesize",
    "review_remove": "Review (remove)",
    "review_merge": "Review (merge)",
    "review_select": "Select",
    "score": "Score",
    "summarize_concept": "Summarize concepts",
    "auto_eval": "Evaluate",
}


class BarProgress:
    """One bar per step, on a terminal; silent where there is none."""

    def __init__(self) -> None:
        self._bars: list[tuple[RichProgress, TaskID]] = []

    def start(self, step: str, total: int) -> None:
        """A step of `total` questions begins."""
        if not (sys.stderr is not None and sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        bar = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        bar.start()
        self._bars.append((bar, bar.add_task(_LABELS.get(step, step), total=total)))

    def advance(self, n: int = 1) -> None:
        """`n` more questions have an answer or have failed."""
        if self._bars:
            bar, task = self._bars[-1]
            bar.advance(task, n)

    def finish(self) -> None:
        """The step has ended."""
        if self._bars:
            bar, _ = self._bars.pop()
            bar.stop()
