"""What a view asks of the session behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from text_lloom.analysis.slices import Slices
    from text_lloom.analysis.splitting import SplitPart
    from text_lloom.widget.snapshot import Progress, Snapshot

__all__ = ["Draft", "Host", "ScoringEstimate", "ViewOptions"]


class Draft(NamedTuple):
    """A concept that is not there yet, such as one with a changed criterion."""

    name: str
    criteria: str


class ScoringEstimate(NamedTuple):
    """What scoring will take.

    Attributes:
        n_docs: Documents that have to be scored.
        n_requests: Questions that will be asked.
        usd_low: US dollars at least, as far as prices are known.
        usd_high: US dollars at most, as far as prices are known.
        known: Whether all prices are known.
        free: Whether it is known to cost nothing.
    """

    n_docs: int
    n_requests: int
    usd_low: float
    usd_high: float
    known: bool
    free: bool


@dataclass(frozen=True, eq=False)
class ViewOptions:
    """How a view was opened.

    Attributes:
        title: What it is called.
        slices: The documents' groups, or `None`.
        shown_columns: Columns shown with the documents at first.
        show_highlights: Whether passages are marked.
        include_outliers: Whether the outliers are a row.
    """

    title: str = "Concepts"
    slices: Slices | None = None
    shown_columns: tuple[str, ...] = ()
    show_highlights: bool = True
    include_outliers: bool = True


class Host(Protocol):
    """A session, as a view knows it. All methods may be called from any thread."""

    def snapshot(self, options: ViewOptions) -> Snapshot:
        """The state of this moment."""

    def progress(self) -> Progress | None:
        """The step that runs now."""

    def rename(self, concept_id: str, name: str) -> Sequence[str]:
        """Give a concept another name; like all edits, gives the ids of what came of it."""

    def change_criteria(self, concept_id: str, criteria: str) -> Sequence[str]:
        """Give a concept another criterion."""

    def merge(self, concept_ids: Sequence[str], name: str, criteria: str) -> Sequence[str]:
        """Replace concepts by one."""

    def split(self, concept_id: str, parts: Sequence[SplitPart]) -> Sequence[str]:
        """Replace a concept by several."""

    def remove(self, concept_ids: Sequence[str]) -> Sequence[str]:
        """Take concepts out."""

    def add(self, name: str, criteria: str) -> Sequence[str]:
        """Add a concept."""

    def undo(self) -> Sequence[str]:
        """Take the last change back."""

    def redo(self) -> Sequence[str]:
        """Do again what was undone last."""

    def label(self, row: int, concept_id: str, verdict: str | None, note: str) -> Sequence[str]:
        """Keep what a reader says of a score."""

    def choose(self, concept_ids: Sequence[str]) -> Sequence[str]:
        """Select concepts for scoring."""

    def estimate(self, concept_ids: Sequence[str], drafts: Sequence[Draft]) -> ScoringEstimate:
        """What scoring these would take."""

    def propose_split(self, concept_id: str) -> Sequence[SplitPart]:
        """Parts that a concept could be split into."""

    def start_scoring(self, concept_ids: Sequence[str], confirmed_usd: float | None) -> None:
        """Start scoring, and come back at once."""

    def cancel(self) -> None:
        """End the scoring that runs."""

    def layout(self, *, patience: float) -> NDArray[np.float32] | None:
        """Places of the documents on the map, worked out once; `None` when there is nothing to lay out.

        Raises:
            TimeoutError: When it is not there after `patience` seconds; it is still being worked out.
        """
