"""Human labels: what readers say about single scores, and how well the scores agree with them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from text_lloom.errors import InputError, UnknownName
from text_lloom.scores import text_series

if TYPE_CHECKING:
    import pandas as pd

    from text_lloom.concept import Concept
    from text_lloom.scores import ScoreTable

__all__ = [
    "FEW_LABELS",
    "VERDICTS",
    "ConceptAgreement",
    "Label",
    "Labels",
    "Verdict",
    "agreement",
    "check_verdict",
    "is_current",
]

Verdict: TypeAlias = Literal["right", "wrong", "unsure"]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
FEW_LABELS: Final = 20
"""An agreement based on fewer decided labels than this is marked as small."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a reader says about the score of one document on one concept.

    Attributes:
        doc_id: The document.
        concept_id: The concept.
        verdict: `right`, `wrong` or `unsure`.
        note: Why, in the reader's words.
        score: The score that was judged; `NaN` if there was none.
        criteria: The criterion at that time.
        at: When, ISO 8601 in UTC.
    """

    doc_id: Hashable
    concept_id: str
    verdict: Verdict
    note: str
    score: float
    criteria: str
    at: str


@dataclass(frozen=True, slots=True)
class ConceptAgreement:
    """How well the scores of a concept agree with its labels.

    Attributes:
        n_labelled: Documents with a label.
        n_right: Labels `right` on the present score.
        n_wrong: Labels `wrong`.
        n_unsure: Labels `unsure`.
        n_outdated: Labels about another score or criterion than the present one; not in the other counts.
        agreement: `n_right` as a share of `n_right + n_wrong`; `NaN` if both are 0.
    """

    n_labelled: int
    n_right: int
    n_wrong: int
    n_unsure: int
    n_outdated: int
    agreement: float

    @property
    def is_small(self) -> bool:
        """Whether it is based on fewer than 20 decided labels."""
        return self.n_right + self.n_wrong < FEW_LABELS


class Labels:
    """The labels of a session: at most one per document and concept, in the order in which they were set."""

    def __init__(self, labels: Iterable[Label] = ()) -> None:
        self._labels: dict[tuple[Hashable, str], Label] = {}
        for label in labels:
            self._labels[label.doc_id, label.concept_id] = label

    def __len__(self) -> int:
        return len(self._labels)

    def __repr__(self) -> str:
        return f"<Labels: {len(self)}>"

    def __iter__(self) -> Iterator[Label]:
        return iter(list(self._labels.values()))

    def put(
        self, doc_id: Hashable, concept: Concept, verdict: Verdict | None, note: str, *, table: ScoreTable
    ) -> Label | None:
        """Label the present score of a document; replaces an earlier label, and `None` removes it.

        Raises:
            UnknownName: When the verdict or the document does not exist.
            InputError: When the note is not text.
        """
        check_verdict(verdict)
        if not isinstance(note, str):
            raise InputError(f"note={note!r} must be text.")
        if not isinstance(doc_id, Hashable) or doc_id not in table.corpus.position:
            raise UnknownName(doc_id, table.corpus.ids[:1000], what="document id")
        self._labels.pop((doc_id, concept.id), None)
        if verdict is None:
            return None
        score = table.judgement(concept, doc_id).score
        at = datetime.now(UTC).isoformat(timespec="seconds")
        label = Label(doc_id, concept.id, verdict, note.strip(), score, concept.criteria, at)
        self._labels[doc_id, concept.id] = label
        return label

    def to_frame(self, concepts: Sequence[Concept], table: ScoreTable) -> pd.DataFrame:
        """One row per label.

        Returns:
            Columns: the corpus' id column (its values), `concept_id`, `concept_name` (`None` for removed
            concepts), `verdict`, `note`, `score` (the score that was judged, float64), `current` (whether
            score and criterion are still the same), `at`.
        """
        import pandas as pd

        by_id = {concept.id: concept for concept in concepts}
        id_col = table.corpus.id_col
        names = ["concept_id", "concept_name", "verdict", "note", "score", "current", "at"]
        rows = [
            [
                label.doc_id,
                label.concept_id,
                by_id[label.concept_id].name if label.concept_id in by_id else None,
                label.verdict,
                label.note,
                label.score,
                label.concept_id in by_id and is_current(label, by_id[label.concept_id], table),
                label.at,
            ]
            for label in self
        ]
        columns = [id_col if id_col not in names else f"{id_col}_", *names]
        frame = pd.DataFrame(rows, columns=columns, dtype=object)
        for name in ("concept_id", "concept_name", "verdict", "note", "at"):
            frame[name] = text_series(frame[name].tolist())
        ids = frame[columns[0]].infer_objects()
        return frame.assign(**{columns[0]: ids}).astype({"score": "float64", "current": "bool"})


def agreement(labels: Iterable[Label], concept: Concept, table: ScoreTable) -> ConceptAgreement:
    """How well the present scores of a concept agree with its labels.

    A label is about the score that the reader saw. If the score or the criterion has changed since, the
    label counts as outdated.
    """
    own = [label for label in labels if label.concept_id == concept.id]
    current = [label for label in own if is_current(label, concept, table)]
    right, wrong, unsure = (sum(label.verdict == verdict for label in current) for verdict in VERDICTS)
    share = right / (right + wrong) if right + wrong else math.nan
    return ConceptAgreement(len(own), right, wrong, unsure, len(own) - len(current), share)


def is_current(label: Label, concept: Concept, table: ScoreTable) -> bool:
    """Whether a label is about the present score and criterion."""
    if label.criteria != concept.criteria:
        return False
    score = table.judgement(concept, label.doc_id).score
    return score == label.score or (math.isnan(score) and math.isnan(label.score))


def check_verdict(verdict: object) -> None:
    """Refuse anything but a verdict or `None`.

    Raises:
        UnknownName: Lists the verdicts.
    """
    if verdict is not None and verdict not in VERDICTS:
        raise UnknownName(verdict, VERDICTS, what="verdict")
