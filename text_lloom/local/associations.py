"""Which words of a corpus occur together more often than by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from text_lloom.local.reading import Reading
from text_lloom.local.statistics import WEAK_KEYS, CorpusStatistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Associate", "Associations"]

_WINDOW = 40
_MOST_TERMS = 4_000
_MOST_UNITS = 40_000
_SIGNIFICANT = 10.83
_LEAST_NPMI = 0.2


class Associate(NamedTuple):
    """A word that often occurs together with another one.

    Attributes:
        key: The word.
        together: Number of passages that have both words.
        npmi: Normalised pointwise mutual information of the two, up to 1.
        towards: Share of the associate's passages that have the other word, too.
        away: Share of the other word's passages that have the associate.
    """

    key: str
    together: int
    npmi: float
    towards: float
    away: float


class Associations:
    """Significant co-occurrence of words in passages of a few sentences.

    Two words are associated when the log-likelihood ratio (Dunning 1993, "Accurate methods for the
    statistics of surprise and coincidence") passes p < .001 and normalised PMI (Bouma 2009) is not low.

    Args:
        readings: The documents.
        statistics: Their counts.
        fewest: Words in fewer documents than this are ignored.
    """

    def __init__(self, readings: Sequence[Reading], statistics: CorpusStatistics, *, fewest: int) -> None:
        self._readings = readings
        self._statistics = statistics
        self._fewest = fewest
        self._known: dict[str, list[Associate]] = {}

    def of(self, key: str) -> list[Associate]:
        """The words associated with a word, the closest first."""
        if key not in self._known:
            self._known[key] = self._associates(key)
        return self._known[key]

    @cached_property
    def _terms(self) -> list[str]:
        frequency = self._statistics.document_frequency
        kept = [k for k, n in frequency.items() if n >= self._fewest and k not in WEAK_KEYS]
        return sorted(kept, key=lambda k: (-frequency[k], k))[:_MOST_TERMS]

    @cached_property
    def _column(self) -> dict[str, int]:
        return {key: column for column, key in enumerate(self._terms)}

    @cached_property
    def _units(self) -> Any:
        """A matrix of the passages (rows) and the terms (columns) that they contain."""
        from scipy import sparse

        indptr, indices = [0], []
        for reading in self._readings:
            window: set[int] = set()
            n_tokens = 0
            for position, sentence in enumerate(reading.sentences):
                window.update(
                    self._column[token.key]
                    for token in sentence.tokens
                    if token.content and token.key in self._column
                )
                n_tokens += len(sentence.tokens)
                if n_tokens >= _WINDOW or position == len(reading.sentences) - 1:
                    indices.extend(sorted(window))
                    indptr.append(len(indices))
                    window, n_tokens = set(), 0
            if len(indptr) > _MOST_UNITS:
                break
        shape = (len(indptr) - 1, max(1, len(self._terms)))
        return sparse.csr_matrix(([1] * len(indices), indices, indptr), shape=shape, dtype="int32")

    @cached_property
    def _by_term(self) -> Any:
        return self._units.T.tocsr()

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        import numpy as np

        return np.asarray(self._units.sum(axis=0), dtype=np.int64).ravel()

    def _associates(self, key: str) -> list[Associate]:
        column = self._column.get(key)
        if column is None:
            return []
        n = self._units.shape[0]
        together = (self._by_term[column] @ self._units).tocoo()
        found: list[tuple[float, Associate]] = []
        own = int(self._counts[column])
        for other, both in sorted(zip(together.col.tolist(), together.data.tolist(), strict=True)):
            count = int(self._counts[other])
            if other == column or both < self._fewest:
                continue
            ratio = both * n / (own * count)
            if ratio <= 1 or both == n:
                continue
            npmi = math.log(ratio) / -math.log(both / n)
            if npmi < _LEAST_NPMI or _log_likelihood(both, own, count, n) < _SIGNIFICANT:
                continue
            towards = both / count
            worth = npmi * math.sqrt(both) * (0.3 + towards)
            found.append((-worth, Associate(self._terms[other], both, npmi, towards, both / own)))
        found.sort()
        return [associate for _, associate in found]


def _log_likelihood(both: int, first: int, second: int, n: int) -> float:
    """Twice the log-likelihood ratio of a 2 x 2 table against independence."""
    observed = (both, first - both, second - both, n - first - second + both)
    expected = (
        first * second / n,
        first * (n - second) / n,
        (n - first) * second / n,
        (n - first) * (n - second) / n,
    )
    return 2 * sum(o * math.log(o / e) for o, e in zip(observed, expected, strict=True) if o > 0 and e > 0)
