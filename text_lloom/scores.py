"""The score table: documents × concepts, stored in columns; gives the frames of LLooM."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from text_lloom.concept import Concept
from text_lloom.errors import InputError
from text_lloom.quotes import QuoteMatch

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from text_lloom.corpus import Corpus

__all__ = [
    "ANSWER_SCORES",
    "OUTLIER_CRITERIA",
    "OUTLIER_NAME",
    "Judgement",
    "ScoreColumn",
    "ScoreTable",
    "text_series",
]

ANSWER_SCORES: Final = {"A": 1.0, "B": 0.75, "C": 0.5, "D": 0.25, "E": 0.0}
OUTLIER_NAME: Final = "Outlier"
OUTLIER_CRITERIA: Final = "Did the document match none of the scored concepts?"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The score of one document on one concept.

    Attributes:
        score: 1, .75, .5, .25 or 0; `NaN` when not scored.
        rationale: Why, in a sentence.
        highlight: The passage that shows the concept, as the document has it; `""` if there is none.
        match: How the passage was found in the document.
        claimed: The quote as the model gave it.
    """

    score: float
    rationale: str = ""
    highlight: str = ""
    match: QuoteMatch = QuoteMatch.NONE
    claimed: str = ""


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """All judgements on one concept; item `i` of every column is about document `i`.

    Attributes:
        concept_id: The concept.
        criteria: Its criterion when it was scored.
        score: Scores, float32, shape `(documents,)`, `NaN` where not scored.
        rationale: Rationales, `""` where there is none.
        highlight: Highlights, `""` where there is none.
        match: How each highlight was found in its document.
        claimed: The quotes as the model gave them.
    """

    concept_id: str
    criteria: str
    score: NDArray[np.float32]
    rationale: list[str]
    highlight: list[str]
    match: list[QuoteMatch]
    claimed: list[str]


@dataclass(slots=True)
class _Column:
    """The judgements of all documents on one concept, and the criterion when they were made."""

    criteria: str
    score: NDArray[np.float32]
    rationale: list[str]
    highlight: list[str]
    match: list[QuoteMatch]
    claimed: list[str] = field(default_factory=list)


class ScoreTable:
    """Scores of all documents on concepts.

    The table stores the criterion with which a concept was scored. If the concept has another criterion
    now, its column is stale and not shown.

    Args:
        corpus: The documents; row `i` of every column is document `i`.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._columns: dict[str, _Column] = {}

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"<ScoreTable: {len(self.corpus)} documents, {len(self)} scored concepts>"

    def __contains__(self, concept_id: object) -> bool:
        return concept_id in self._columns

    @property
    def concept_ids(self) -> list[str]:
        """Ids of the concepts with scores, in the order in which they were first scored."""
        return list(self._columns)

    def columns(self) -> list[ScoreColumn]:
        """Copies of all columns, stale ones too, in the order in which they were first scored."""
        return [
            ScoreColumn(
                concept_id=concept_id,
                criteria=column.criteria,
                score=column.score.copy(),
                rationale=list(column.rationale),
                highlight=list(column.highlight),
                match=list(column.match),
                claimed=list(column.claimed),
            )
            for concept_id, column in self._columns.items()
        ]

    @classmethod
    def restore(cls, corpus: Corpus, columns: Iterable[ScoreColumn]) -> ScoreTable:
        """The inverse of `columns()`.

        Raises:
            InputError: When a column does not have one item per document.
        """
        table = cls(corpus)
        for column in columns:
            parts = (column.score, column.rationale, column.highlight, column.match, column.claimed)
            if any(len(part) != len(corpus) for part in parts):
                raise InputError(
                    f"The scores of concept {column.concept_id!r} are about {len(column.score)} documents, "
                    f"but the corpus has {len(corpus)}."
                )
            table._columns[column.concept_id] = _Column(
                criteria=column.criteria,
                score=column.score.astype(np.float32),
                rationale=list(column.rationale),
                highlight=list(column.highlight),
                match=list(column.match),
                claimed=list(column.claimed),
            )
        return table

    def put(self, concept: Concept, doc_id: Hashable, judgement: Judgement) -> None:
        """Record a judgement; it replaces an earlier one."""
        column, row = self._column(concept), self.corpus.position[doc_id]
        column.rationale[row] = judgement.rationale
        column.highlight[row] = judgement.highlight
        column.match[row] = judgement.match
        column.claimed[row] = judgement.claimed
        # The score is written last, so that another thread that sees it also finds the rest.
        column.score[row] = judgement.score

    def is_stale(self, concept: Concept) -> bool:
        """Whether a concept has scores that were made with another criterion."""
        column = self._columns.get(concept.id)
        return column is not None and column.criteria != concept.criteria

    def drop(self, concept_id: str) -> None:
        """Delete the scores of a concept."""
        self._columns.pop(concept_id, None)

    def scores(self, concept: Concept) -> NDArray[np.float32]:
        """Scores of all documents on a concept, shape `(documents,)`, `NaN` where not scored."""
        column = self._fresh(concept)
        return np.full(len(self.corpus), np.nan, np.float32) if column is None else column.score.copy()

    def matches(self, concept: Concept, *, threshold: float = 1.0) -> NDArray[np.bool_]:
        """Which documents reach `threshold` on a concept, shape `(documents,)`."""
        scores = self.scores(concept)
        return ~np.isnan(scores) & (scores >= threshold)

    def outliers(self, concepts: Iterable[Concept], *, threshold: float = 1.0) -> NDArray[np.bool_]:
        """Which documents were scored on at least one of `concepts` and match none of them."""
        matched, scored = (np.zeros(len(self.corpus), bool) for _ in range(2))
        for concept in concepts:
            matched |= self.matches(concept, threshold=threshold)
            scored |= ~np.isnan(self.scores(concept))
        return scored & ~matched

    def unscored(self, concept: Concept) -> list[int]:
        """Row numbers of the documents that have no score on a concept yet."""
        rows: list[int] = np.flatnonzero(np.isnan(self.scores(concept))).tolist()
        return rows

    def highlights(self, concept: Concept) -> list[str]:
        """Highlights of all documents on a concept, `""` where there is none."""
        column = self._fresh(concept)
        return [""] * len(self.corpus) if column is None else list(column.highlight)

    def judgement(self, concept: Concept, doc_id: Hashable) -> Judgement:
        """The judgement of one document on one concept; its score is `NaN` if there is none."""
        column, row = self._fresh(concept), self.corpus.position[doc_id]
        if column is None:
            return Judgement(float("nan"))
        return Judgement(
            float(column.score[row]),
            column.rationale[row],
            column.highlight[row],
            column.match[row],
            column.claimed[row],
        )

    def rationales(self, concept: Concept) -> list[str]:
        """Rationales of all documents on a concept, `""` where there is none."""
        column = self._fresh(concept)
        return [""] * len(self.corpus) if column is None else list(column.rationale)

    def to_frame(self, concepts: Sequence[Concept], *, quotes: bool = False) -> pd.DataFrame:
        """One row per document and concept: `len(corpus) × len(concepts)` rows, concept by concept.

        Args:
            concepts: Which concepts, in which order.
            quotes: Add `highlight_match` (exact, normalised, fuzzy, unverified, none) and
                `highlight_claimed` (the quote as the model gave it).

        Returns:
            Columns: the corpus' id column (its dtype), its text column, `concept_id`, `concept_name`,
            `concept_prompt`, `score` (float64, `NaN` = not scored), `rationale`, `highlight`,
            `concept_seed`. If the user's frame already has such a name, ours gets a trailing underscore.
        """
        import pandas as pd

        frames = [self._concept_frame(concept, quotes=quotes) for concept in concepts]
        if frames:
            return pd.concat(frames, ignore_index=True)
        return self._concept_frame(Concept("", ""), quotes=quotes).iloc[:0]

    def documents_frame(self, concepts: Sequence[Concept]) -> pd.DataFrame:
        """One row per document.

        Args:
            concepts: Which concepts, in which order.

        Returns:
            All columns of the corpus' frame, then a float64 column of scores per concept, named like the
            concept (`NaN` = not scored). A name that is taken gets underscores.
        """
        import pandas as pd

        frame = self.corpus.frame.reset_index(drop=True)
        taken: set[object] = {*frame.columns, *map(str, frame.columns)}
        scores: dict[str, object] = {}
        for concept in concepts:
            name = concept.name
            while name in taken:
                name += "_"
            taken.add(name)
            scores[name] = self.scores(concept).astype(np.float64)
        return pd.concat([frame, pd.DataFrame(scores, index=frame.index)], axis=1)

    def _concept_frame(self, concept: Concept, *, quotes: bool) -> pd.DataFrame:
        import pandas as pd

        corpus, n = self.corpus, len(self.corpus)
        column = self._fresh(concept) or _empty_column(concept.criteria, n)
        ours: dict[str, object] = {
            "concept_id": [concept.id] * n,
            "concept_name": text_series([concept.name] * n),
            "concept_prompt": text_series([concept.criteria] * n),
            "score": column.score.astype(np.float64),
            "rationale": text_series(column.rationale),
            "highlight": text_series(column.highlight),
            "concept_seed": pd.Series([concept.seed] * n, dtype=object),
        }
        if quotes:
            ours["highlight_match"] = [str(match) for match in column.match]
            ours["highlight_claimed"] = text_series(column.claimed)
        taken = {corpus.id_col, corpus.text_col}
        named = {_unused(name, taken): values for name, values in ours.items()}
        theirs = {c: corpus.frame[c].reset_index(drop=True) for c in (corpus.id_col, corpus.text_col)}
        return pd.DataFrame(theirs | named)

    def _column(self, concept: Concept) -> _Column:
        column = self._columns.get(concept.id)
        if column is None or column.criteria != concept.criteria:
            column = self._columns[concept.id] = _empty_column(concept.criteria, len(self.corpus))
        return column

    def _fresh(self, concept: Concept) -> _Column | None:
        column = self._columns.get(concept.id)
        return column if column is not None and column.criteria == concept.criteria else None


def text_series(texts: Sequence[str]) -> pd.Series[str]:
    """Texts as a column, with pandas' dtype for text, or with dtype object if that cannot hold them.

    Arrow cannot store lone surrogates, which occur in text that was cut inside an emoji.
    """
    import pandas as pd

    try:
        return pd.Series(texts)
    except UnicodeEncodeError:
        return pd.Series(texts, dtype=object)


def _unused(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _empty_column(criteria: str, n: int) -> _Column:
    return _Column(
        criteria=criteria,
        score=np.full(n, np.nan, np.float32),
        rationale=[""] * n,
        highlight=[""] * n,
        match=[QuoteMatch.NONE] * n,
        claimed=[""] * n,
    )
