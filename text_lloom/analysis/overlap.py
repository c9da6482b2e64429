"""Overlap: how many documents concepts share, which shows those that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from text_lloom.concept import Concept
    from text_lloom.scores import ScoreTable

__all__ = ["OVERLAP_COLUMNS", "overlap_frame"]

OVERLAP_COLUMNS: Final = (
    "concept_id_1",
    "concept_name_1",
    "concept_id_2",
    "concept_name_2",
    "n_1",
    "n_2",
    "n_both",
    "share_1",
    "share_2",
    "jaccard",
)


def overlap_frame(table: ScoreTable, concepts: Sequence[Concept], *, threshold: float = 1.0) -> pd.DataFrame:
    """How many documents each pair of concepts shares, among those with a score on both.

    Args:
        table: The scores.
        concepts: Which concepts.
        threshold: The lowest score that is a match.

    Returns:
        One row per pair, the largest `jaccard` first: ids and names, `n_1` and `n_2` (documents that match
        each), `n_both` (that match both), `share_1` and `share_2` (`n_both` as a share of each), `jaccard`
        (as a share of the documents that match either; Jaccard 1912). `NaN` if nothing matches. Documents
        without a score on both concepts are not counted.
    """
    import pandas as pd

    matches, scored = np.zeros((2, len(concepts), len(table.corpus)), np.float32)
    for at, concept in enumerate(concepts):
        matches[at] = table.matches(concept, threshold=threshold)
        scored[at] = ~np.isnan(table.scores(concept))
    shared = np.rint(matches @ matches.T).astype(np.int64)
    own = np.rint(matches @ scored.T).astype(np.int64)
    rows = []
    for i, j in combinations(range(len(concepts)), 2):
        one, other, both = int(own[i, j]), int(own[j, i]), int(shared[i, j])
        either = one + other - both
        first, second = concepts[i], concepts[j]
        rows.append(
            (
                *(first.id, first.name, second.id, second.name, one, other, both),
                *(_share(both, one), _share(both, other), _share(both, either)),
            )
        )
    frame = pd.DataFrame(rows, columns=list(OVERLAP_COLUMNS))
    frame = frame.astype(dict.fromkeys(("n_1", "n_2", "n_both"), "int64"))
    frame = frame.astype(dict.fromkeys(("share_1", "share_2", "jaccard"), "float64"))
    return frame.sort_values("jaccard", ascending=False, kind="stable", ignore_index=True)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
