"""Proposes how to split a concept: groups of its documents, named by their distinctive words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from text_lloom.analysis.communities import find_communities
from text_lloom.local.embedding import Embedder
from text_lloom.local.naming import fitness, joined, noun_form, title
from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import WEAK_KEYS, CorpusStatistics
from text_lloom.local.words import key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SplitPart", "propose_parts"]

_MOST_TEXTS: Final = 5000
_MOST_PARTS: Final = 5
_LEAST_SHARE: Final = 0.05
_EXAMPLES: Final = 5
_TERMS: Final = 4


class SplitPart(NamedTuple):
    """A part into which a concept may be split.

    Attributes:
        name: Its name.
        criteria: Its criterion.
        rows: Rows of documents that show it, the most typical first.
        n: How many of the concept's documents belong to it.
    """

    name: str
    criteria: str
    rows: tuple[int, ...] = ()
    n: int = 0


def propose_parts(
    passages: Sequence[str], rows: Sequence[int], *, name: str, criteria: str, random_state: int = 0
) -> list[SplitPart]:
    """Groups of the documents of a concept, without a model; equal input gives equal parts.

    The parts are communities in the passages' TF-IDF and SVD embeddings. If there is only one, k-means
    gives two to four parts, with the best silhouette (Rousseeuw 1987). A part is named by words that its
    passages use more often than those of the other parts.

    Args:
        passages: The passage of each document that shows the concept: the highlight, or the text.
        rows: The row of the document of each passage.
        name: The concept's name, whose words are not used in the names of parts.
        criteria: Its criterion, which each part narrows.
        random_state: Seed.

    Returns:
        Two to five parts, the largest first; empty if there are fewer than four documents, or if no words
        distinguish two parts.
    """
    step = max(1, -(-len(passages) // _MOST_TEXTS))
    passages, rows = passages[::step], rows[::step]
    if len(passages) < 4:
        return []
    reader = Reader()
    vectors = Embedder(passages, reader)(passages)
    groups = _groups(vectors, random_state)
    readings = reader.all(passages)
    statistics = CorpusStatistics(readings)
    used = {key_of(word) for word in name.split()}
    parts = []
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == group)
        terms = _telling_terms(members, readings, statistics, without=used)
        if not terms:
            continue
        used.update(key_of(word) for term in terms[:2] for word in term.split())
        middle = vectors[members].mean(axis=0)
        typical = members[np.argsort(-(vectors[members] @ middle), kind="stable")][:_EXAMPLES]
        further = f", in terms such as {joined(terms[2:])}" if terms[2:] else ""
        parts.append(
            SplitPart(
                f"{name}: {title(joined(terms[:2], 'and'))}",
                f"{criteria} Only texts that are about {joined(terms[:2])}{further}.",
                tuple(rows[at] for at in typical.tolist()),
                len(members) * step,
            )
        )
    return parts if len(parts) >= 2 else []


def _groups(vectors: NDArray[np.float32], random_state: int) -> NDArray[np.int64]:
    """A group number for each row, the largest group first."""
    least = max(2, round(_LEAST_SHARE * len(vectors)))
    found = find_communities(vectors, random_state=random_state, min_size=least)
    if found.max() > 0:
        return np.minimum(found, _MOST_PARTS - 1)
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    best, highest = found, -1.0
    for k in range(2, 5):
        if len(np.unique(vectors, axis=0)) <= k:
            break
        groups = KMeans(k, n_init=4, random_state=random_state).fit_predict(vectors)
        if np.bincount(groups).min() < 2:
            continue
        value = float(
            silhouette_score(vectors, groups, sample_size=min(1000, len(vectors)), random_state=random_state)
        )
        if value > highest:
            best, highest = groups.astype(np.int64), value
    order = np.argsort(-np.bincount(best), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    numbered: NDArray[np.int64] = rank[best]
    return numbered


def _telling_terms(
    members: NDArray[np.int64],
    readings: Sequence[Reading],
    statistics: CorpusStatistics,
    *,
    without: set[str],
) -> list[str]:
    """Words that more of the members use than of the rest, the most distinctive first."""
    inside: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    chosen = set(members.tolist())
    for at, reading in enumerate(readings):
        keys = set(reading.content_keys())
        everywhere.update(keys)
        if at in chosen:
            inside.update(keys)
    n_inside, n_outside = len(chosen), max(1, len(readings) - len(chosen))
    scores = {}
    for key, count in inside.items():
        gain = count / n_inside - (everywhere[key] - count) / n_outside
        if count >= 2 and gain > 0 and key not in without and key not in WEAK_KEYS:
            surface = noun_form(key, statistics)
            quality = fitness(surface, statistics)
            if quality >= 0.3:
                scores[surface] = gain * quality
    return sorted(scores, key=lambda surface: (-scores[surface], surface))[:_TERMS]
