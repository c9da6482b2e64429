"""Prevalence: how many documents match each concept, over all documents and by slice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt
from numbers import Real
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from text_lloom.errors import InputError, UnknownName
from text_lloom.scores import OUTLIER_CRITERIA, OUTLIER_NAME, text_series

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from text_lloom.analysis.slices import Slices
    from text_lloom.concept import Concept
    from text_lloom.scores import ScoreTable

__all__ = [
    "EXPORT_COLUMNS",
    "ConceptCount",
    "Grid",
    "NormBy",
    "OutlierCounts",
    "SliceCounts",
    "check_norm",
    "check_threshold",
    "count_by_slice",
    "count_matches",
    "export_frame",
]

NormBy: TypeAlias = Literal["concept", "slice"]
EXPORT_COLUMNS: Final = (
    "concept",
    "criteria",
    "summary",
    "rep_examples",
    "prevalence",
    "n_matches",
    "highlights",
)
_MOST_EXAMPLES = 5
_Z_95 = NormalDist().inv_cdf(0.975)


class ConceptCount(NamedTuple):
    """How many documents match a concept.

    Attributes:
        concept: The concept.
        n_matches: Documents whose score reaches the threshold.
        n_scored: Documents that have a score.
        prevalence: Matches as a share of the scored documents; `NaN` when none is scored.
        low: Lower end of the 95 % Wilson score interval of the prevalence.
        high: Upper end.
    """

    concept: Concept
    n_matches: int
    n_scored: int
    prevalence: float
    low: float
    high: float


class OutlierCounts(NamedTuple):
    """Documents that were scored and match no concept.

    Attributes:
        counts: Outliers in each slice, integers of shape `(s,)`.
        scored: Documents with a score on any of the concepts in each slice, shape `(s,)`.
        total: Outliers overall.
        total_scored: Documents with a score on any of the concepts overall.
    """

    counts: NDArray[np.intp]
    scored: NDArray[np.intp]
    total: int
    total_scored: int


class Grid(NamedTuple):
    """Figures of concepts (and outliers, last) for all documents (first column) and each slice.

    All have the shape `(k, 1 + s)`, or `(k + 1, 1 + s)` with outliers.

    Attributes:
        matches: Matching documents.
        scored: Documents with a score.
        values: The counts or shares that `norm_by` asks for; `NaN` for a share of nothing.
    """

    matches: NDArray[np.intp]
    scored: NDArray[np.intp]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class SliceCounts:
    """Matches of concepts by slice, overall figures, and outliers.

    Attributes:
        concepts: The `k` concepts, in order.
        slices: The `s` slices, or `None` when the documents are not sliced (`s` = 0).
        threshold: The lowest score that is a match.
        n_documents: All documents, in a slice or not.
        counts: Matching documents, integers of shape `(k, s)`.
        scored: Documents with a score on the concept, shape `(k, s)`.
        slice_sizes: Documents in each slice, shape `(s,)`.
        concept_totals: Matching documents overall, shape `(k,)`.
        concept_scored: Documents with a score on the concept overall, shape `(k,)`.
        outliers: The documents that match none of the concepts; `None` if `include_outliers` was false.
    """

    concepts: tuple[Concept, ...]
    slices: Slices | None
    threshold: float
    n_documents: int
    counts: NDArray[np.intp]
    scored: NDArray[np.intp]
    slice_sizes: NDArray[np.intp]
    concept_totals: NDArray[np.intp]
    concept_scored: NDArray[np.intp]
    outliers: OutlierCounts | None = None

    def normalised(self, norm_by: NormBy | None) -> NDArray[np.float64]:
        """The counts by slice in another measure, shape `(k, s)`.

        Args:
            norm_by: `concept` gives the share of the concept's matches that fall in each slice (a row
                adds up to 1 if every document is in a slice); `slice` the share of the slice's scored
                documents that match; `None` the counts themselves.

        Returns:
            `NaN` for a share of nothing: a concept without matches, a slice without scored documents.

        Raises:
            UnknownName: When `norm_by` is anything else.
        """
        return _share(self.counts, self.concept_totals[:, None], self.scored, norm_by)

    def grid(self, norm_by: NormBy | None) -> Grid:
        """The figures as a table shows them: all documents in the first column, outliers in the last row.

        With `concept` the share of all documents is always 1, so the first column has counts.

        Raises:
            UnknownName: When `norm_by` is neither `concept`, `slice` nor `None`.
        """
        counts, scored = self.counts, self.scored
        totals, total_scored = self.concept_totals, self.concept_scored
        if self.outliers is not None:
            counts, scored = (
                np.vstack([counts, self.outliers.counts]),
                np.vstack([scored, self.outliers.scored]),
            )
            totals = np.append(totals, self.outliers.total)
            total_scored = np.append(total_scored, self.outliers.total_scored)
        overall = _share(totals, totals, total_scored, None if norm_by == "concept" else norm_by)
        return Grid(
            np.column_stack([totals, counts]),
            np.column_stack([total_scored, scored]),
            np.column_stack([overall, _share(counts, totals[:, None], scored, norm_by)]),
        )


def count_matches(
    table: ScoreTable, concepts: Sequence[Concept], *, threshold: float = 1.0
) -> list[ConceptCount]:
    """Prevalence of each concept with a 95 % interval, in the order of `concepts`.

    The interval is Wilson's (1927), which is valid for small samples and for shares near 0 and 1. It shows
    the uncertainty due to the size of the sample, not the errors of scoring.

    Raises:
        InputError: When `threshold` is not above 0 and at most 1.
    """
    check_threshold(threshold)
    counted = []
    for concept in concepts:
        scores = table.scores(concept)
        n_scored = int((~np.isnan(scores)).sum())
        n_matches = int((scores >= threshold).sum())
        low, high = _wilson(n_matches, n_scored)
        share = n_matches / n_scored if n_scored else nan
        counted.append(ConceptCount(concept, n_matches, n_scored, share, low, high))
    return counted


def count_by_slice(
    table: ScoreTable,
    concepts: Sequence[Concept],
    slices: Slices | None,
    *,
    threshold: float = 1.0,
    include_outliers: bool = True,
) -> SliceCounts:
    """Count matching documents by concept and slice.

    Args:
        table: The scores.
        concepts: Which concepts, in which order; two may share a name.
        slices: From `slice_documents` on the same corpus, or `None` for the overall figures only.
        threshold: The lowest score that is a match.
        include_outliers: Also count the documents that match none of `concepts`.

    Raises:
        InputError: When `threshold` is not above 0 and at most 1, or the slices are of another corpus.
    """
    check_threshold(threshold)
    n = len(table.corpus)
    if slices is not None and len(slices.members) != n:
        raise InputError(
            f"The slices have {len(slices.members)} documents, the scores have {n}. Slice the same corpus."
        )
    matched = [table.matches(concept, threshold=threshold) for concept in concepts]
    scored = [~np.isnan(table.scores(concept)) for concept in concepts]
    return SliceCounts(
        concepts=tuple(concepts),
        slices=slices,
        threshold=threshold,
        n_documents=n,
        counts=_stacked([_per_slice(rows, slices) for rows in matched], slices),
        scored=_stacked([_per_slice(rows, slices) for rows in scored], slices),
        slice_sizes=_per_slice(np.ones(n, bool), slices),
        concept_totals=np.asarray([rows.sum() for rows in matched], dtype=np.intp),
        concept_scored=np.asarray([rows.sum() for rows in scored], dtype=np.intp),
        outliers=_count_outliers(table, concepts, slices, threshold) if include_outliers else None,
    )


def export_frame(
    table: ScoreTable,
    concepts: Sequence[Concept],
    *,
    threshold: float = 1.0,
    include_outliers: bool = False,
    n_highlights: int = 3,
    random_state: int = 0,
) -> pd.DataFrame:
    """The export table: one row per concept, even if two have the same name or nothing matches.

    Args:
        table: The scores.
        concepts: Which concepts, in which order.
        threshold: The lowest score that is a match.
        include_outliers: Add a last row for the documents that match none of `concepts`.
        n_highlights: The most highlights per concept, a random sample of those of the matching documents.
            It does not depend on the other concepts.
        random_state: Seed of the sample.

    Returns:
        Columns: `concept` (name), `criteria`, `summary`, `rep_examples` (list of at most five texts),
        `prevalence` (float64, matches per scored document rounded to 2 decimals, `NaN` = not scored),
        `n_matches` (int64), `highlights` (list of str, in document order).

    Raises:
        InputError: When `threshold` is not above 0 and at most 1.
    """
    import pandas as pd

    corpus = table.corpus
    rows: list[tuple[object, ...]] = []
    for count in count_matches(table, concepts, threshold=threshold):
        concept = count.concept
        known = [i for i in concept.example_ids if i in corpus.position][:_MOST_EXAMPLES]
        highlights = table.highlights(concept)
        matching = np.flatnonzero(table.matches(concept, threshold=threshold)).tolist()
        quoted = list(dict.fromkeys(highlights[row] for row in matching if highlights[row].strip()))
        draw = random.Random(f"{random_state} {concept.name} {concept.criteria}")
        taken = sorted(draw.sample(range(len(quoted)), min(n_highlights, len(quoted))))
        rows.append(
            (
                concept.name,
                concept.criteria,
                concept.summary,
                [corpus.text_of(i) for i in known],
                round(count.prevalence, 2),
                count.n_matches,
                [quoted[i] for i in taken],
            )
        )
    if include_outliers:
        _, _, total, scored = _count_outliers(table, concepts, None, threshold)
        share = round(total / scored, 2) if scored else nan
        rows.append((OUTLIER_NAME, OUTLIER_CRITERIA, "", [], share, total, []))
    frame = pd.DataFrame(rows, columns=list(EXPORT_COLUMNS), dtype=object)
    for column in ("concept", "criteria", "summary"):
        frame[column] = text_series(frame[column].tolist())
    return frame.astype({"prevalence": "float64", "n_matches": "int64"})


def _count_outliers(
    table: ScoreTable, concepts: Sequence[Concept], slices: Slices | None, threshold: float
) -> OutlierCounts:
    outlying = table.outliers(concepts, threshold=threshold)
    scored = np.zeros(len(table.corpus), bool)
    for concept in concepts:
        scored |= ~np.isnan(table.scores(concept))
    by_slice, scored_by_slice = _per_slice(outlying, slices), _per_slice(scored, slices)
    return OutlierCounts(by_slice, scored_by_slice, int(outlying.sum()), int(scored.sum()))


def check_norm(norm_by: object) -> None:
    """Refuse an unknown measure.

    Raises:
        UnknownName: When `norm_by` is neither `concept`, `slice` nor `None`.
    """
    if norm_by not in (None, "concept", "slice"):
        raise UnknownName(norm_by, ["concept", "slice", "None"], what="norm_by")


def check_threshold(threshold: float) -> None:
    """Refuse a threshold outside the range of scores.

    Raises:
        InputError: When it is not above 0 and at most 1.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 < threshold <= 1:
        raise InputError(f"threshold={threshold!r} must be above 0 and at most 1, such as .5 or 1.")


def _wilson(n_matches: int, n_scored: int) -> tuple[float, float]:
    if not n_scored:
        return nan, nan
    share, z2 = n_matches / n_scored, _Z_95**2
    middle = share + z2 / (2 * n_scored)
    half = _Z_95 * sqrt(share * (1 - share) / n_scored + z2 / (4 * n_scored**2))
    scale = 1 + z2 / n_scored
    low = 0.0 if n_matches == 0 else (middle - half) / scale
    high = 1.0 if n_matches == n_scored else (middle + half) / scale
    return low, high


def _per_slice(rows: NDArray[np.bool_], slices: Slices | None) -> NDArray[np.intp]:
    if slices is None:
        return np.zeros(0, np.intp)
    return slices.count(rows)


def _stacked(rows: Sequence[NDArray[np.intp]], slices: Slices | None) -> NDArray[np.intp]:
    return np.vstack(rows) if rows else np.zeros((0, 0 if slices is None else len(slices)), np.intp)


def _share(
    counts: NDArray[np.intp], totals: NDArray[np.intp], scored: NDArray[np.intp], norm_by: NormBy | None
) -> NDArray[np.float64]:
    if norm_by is None:
        return counts.astype(np.float64)
    check_norm(norm_by)
    whole = np.broadcast_to(totals if norm_by == "concept" else scored, counts.shape)
    shares = np.full(counts.shape, nan)
    np.divide(counts, whole, out=shares, where=whole > 0)
    return shares
