"""The interface through which a view uses its session."""

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
    """A concept that is not in the codebook yet, such as one with a changed criterion."""

    name: str
    criteria: str


class ScoringEstimate(NamedTuple):
    """What scoring will cost.

    Attributes:
        n_docs: Documents that will be scored.
        n_requests: Questions that will be asked.
        usd_low: Lowest cost in US dollars, as far as prices are known.
        usd_high: Highest cost in US dollars, as far as prices are known.
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
    """The options of a view.

    Attributes:
        title: Its title.
        slices: The slices of the documents, or `None`.
        shown_columns: Columns shown with the documents at first.
        show_highlights: Whether highlights are marked.
        include_outliers: Whether the matrix has a row for the outliers.
    """

    title: str = "Concepts"
    slices: Slices | None = None
    shown_columns: tuple[str, ...] = ()
    show_highlights: bool = True
    include_outliers: bool = True


class Host(Protocol):
    """A session, as a view uses it. All methods are thread-safe."""

    def snapshot(self, options: ViewOptions) -> Snapshot:
        """The present state of the session."""

    def progress(self) -> Progress | None:
        """The running step; `None` if nothing runs."""

    def rename(self, concept_id: str, name: str) -> Sequence[str]:
        """Rename a concept. All edits return the ids of the resulting concepts."""

    def change_criteria(self, concept_id: str, criteria: str) -> Sequence[str]:
        """Give a concept another criterion."""

    def merge(self, concept_ids: Sequence[str], name: str, criteria: str) -> Sequence[str]:
        """Replace concepts by one."""

    def split(self, concept_id: str, parts: Sequence[SplitPart]) -> Sequence[str]:
        """Replace a concept by several."""

    def remove(self, concept_ids: Sequence[str]) -> Sequence[str]:
        """Remove concepts."""

    def add(self, name: str, criteria: str) -> Sequence[str]:
        """Add a concept."""

    def undo(self) -> Sequence[str]:
        """Undo the last change."""

    def redo(self) -> Sequence[str]:
        """Redo the change that was undone last."""

    def label(self, row: int, concept_id: str, verdict: str | None, note: str) -> Sequence[str]:
        """Store what a reader says about a score."""

    def choose(self, concept_ids: Sequence[str]) -> Sequence[str]:
        """Select concepts for scoring."""

    def estimate(self, concept_ids: Sequence[str], drafts: Sequence[Draft]) -> ScoringEstimate:
        """What scoring these concepts will cost."""

    def propose_split(self, concept_id: str) -> Sequence[SplitPart]:
        """Parts that a concept could be split into."""

    def start_scoring(self, concept_ids: Sequence[str], confirmed_usd: float | None) -> None:
        """Start scoring and return at once."""

    def cancel(self) -> None:
        """Stop the running scoring."""

    def layout(self, *, patience: float) -> NDArray[np.float32] | None:
        """Positions of the documents on the map, computed once; `None` if there are too few documents.

        Raises:
            TimeoutError: After `patience` seconds; the computation goes on.
        """
