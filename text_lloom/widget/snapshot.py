"""An immutable copy of what a view shows, which any thread can read."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from text_lloom.quotes import encodable
from text_lloom.scores import Judgement
from text_lloom.widget.columns import Columns
from text_lloom.widget.folding import fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text_lloom.analysis.slices import Slices
    from text_lloom.concept import Concept
    from text_lloom.corpus import Corpus
    from text_lloom.labels import Label
    from text_lloom.scores import ScoreTable

__all__ = ["NOT_SCORED", "Change", "CorpusReader", "History", "Progress", "Snapshot", "copied", "score_codes"]

NOT_SCORED: Final = 255


class CorpusReader:
    """The documents of a corpus, with cached folded texts, columns and searches."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.columns = Columns(corpus, self.folded)
        self._lock = threading.RLock()
        self._folded: list[str] | None = None
        self._last: tuple[str, NDArray[np.uint32]] | None = None

    def search(self, query: str) -> NDArray[np.uint32]:
        """Rows of the documents whose folded text contains the folded query; all for a blank one."""
        needle = fold(query)
        if not needle:
            return np.arange(len(self.corpus), dtype=np.uint32)
        with self._lock:
            if self._last is not None and self._last[0] == needle:
                return self._last[1]
            found = [row for row, text in enumerate(self.folded()) if needle in text]
            self._last = (needle, np.asarray(found, dtype=np.uint32))
            return self._last[1]

    def folded(self) -> list[str]:
        """The folded texts."""
        with self._lock:
            if self._folded is None:
                self._folded = [fold(text) for text in self.corpus.texts]
            return self._folded

    def text(self, row: int) -> str:
        """A text without lone surrogates, which cannot be sent."""
        return encodable(self.corpus.texts[row])

    def id(self, row: int) -> str:
        """An id as text."""
        return encodable(str(self.corpus.ids[row]))


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the history: the kind of change, its time (ISO 8601), and a description."""

    kind: str
    at: str
    text: str


@dataclass(frozen=True, slots=True)
class History:
    """The changes to the concepts, and what undo and redo will do, in words."""

    undo: str | None = None
    redo: str | None = None
    events: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the running step.

    Attributes:
        step: The step in words.
        done: Questions answered or failed.
        total: All questions.
        failures: Questions that could not be answered.
        usd: US dollars spent so far.
        seconds: Seconds since it started.
        cancellable: Whether `cancel` can stop it.
    """

    step: str
    done: int
    total: int
    failures: int
    usd: float
    seconds: float
    cancellable: bool


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a session as a view shows it.

    Attributes:
        reader: The documents.
        concepts: Copies of the concepts, in codebook order.
        score_ids: Ids of the concepts in `codes`, in its order.
        codes: Scores times four, uint8 of shape `(concepts, documents)`, 255 = not scored.
        table: The score table, for rationales and highlights.
        slices: The slices of the documents, or `None`.
        quotes: Quotes of the Distill step, by document id.
        bullets: Bullets, by document id.
        support: Documents that were cited for a concept, by its id.
        stale: Ids of concepts whose scores were made with another criterion.
        labels: Human labels.
        history: Changes to the concepts.
        layout: Positions on the map, float32 of shape `(documents, 2)`, `NaN` = none; `None` if not computed.
        models: The models that see the documents, in words.
        title: The title of the view.
        shown_columns: Columns shown with the documents at first.
        show_highlights: Whether highlights are marked.
        include_outliers: Whether the matrix has a row for the outliers.
        sample_of: The size of the corpus that these documents are a sample of; `None` if they are all.
    """

    reader: CorpusReader
    concepts: tuple[Concept, ...]
    score_ids: tuple[str, ...]
    codes: NDArray[np.uint8]
    table: ScoreTable
    slices: Slices | None = None
    quotes: Mapping[Hashable, Sequence[str]] = field(default_factory=dict)
    bullets: Mapping[Hashable, Sequence[str]] = field(default_factory=dict)
    support: Mapping[str, int] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()
    labels: tuple[Label, ...] = ()
    history: History = field(default_factory=History)
    layout: NDArray[np.float32] | None = None
    models: tuple[str, ...] = ()
    title: str = "Concepts"
    shown_columns: tuple[str, ...] = ()
    show_highlights: bool = True
    include_outliers: bool = True
    sample_of: int | None = None

    @property
    def corpus(self) -> Corpus:
        """The documents."""
        return self.reader.corpus

    @cached_property
    def by_id(self) -> Mapping[str, Concept]:
        """The concepts by id."""
        return {concept.id: concept for concept in self.concepts}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Position in `codes` by concept id."""
        return {concept_id: i for i, concept_id in enumerate(self.score_ids)}

    def codes_of(self, concept_id: str) -> NDArray[np.uint8]:
        """The codes of one concept, all 255 if it is not scored."""
        at = self.position.get(concept_id)
        return np.full(len(self.corpus), NOT_SCORED, np.uint8) if at is None else self.codes[at]

    def judgement(self, concept_id: str, row: int) -> Judgement:
        """The judgement of a document on a concept; an empty one if the snapshot has no score."""
        concept = self.by_id.get(concept_id)
        if concept is None or self.codes_of(concept_id)[row] == NOT_SCORED:
            return Judgement(float("nan"))
        return self.table.judgement(concept, self.corpus.ids[row])


def score_codes(table: ScoreTable, concepts: Sequence[Concept]) -> NDArray[np.uint8]:
    """Scores times four as uint8 of shape `(concepts, documents)`, 255 = not scored."""
    codes = np.full((len(concepts), len(table.corpus)), NOT_SCORED, np.uint8)
    for at, concept in enumerate(concepts):
        scores = table.scores(concept)
        scored = ~np.isnan(scores)
        codes[at, scored] = np.clip(np.rint(scores[scored] * 4), 0, 4).astype(np.uint8)
    codes.flags.writeable = False
    return codes


def copied(concepts: Sequence[Concept]) -> tuple[Concept, ...]:
    """Copies of concepts, which later changes of the session do not affect."""
    return tuple(
        replace(c, example_ids=list(c.example_ids), merged_from=list(c.merged_from)) for c in concepts
    )
