"""How related texts are to the seed of a study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from text_lloom.local.embedding import Embedder
from text_lloom.local.reading import Reader
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.local.words import root_of

__all__ = ["SeedRelation"]

_MEANING = 0.6


class SeedRelation:
    """Relatedness of texts to a seed: shared words, and words that occur together with the seed's.

    Args:
        seed: What the study is about, in a few words.
        statistics: Weights of words, and which occur together.
        reader: Reads texts.
        embedder: Gives the direction of a text's meaning in the corpus.
    """

    def __init__(self, seed: str, statistics: CorpusStatistics, reader: Reader, embedder: Embedder) -> None:
        self._reader = reader
        self._embedder = embedder
        keys = dict.fromkeys(reader(seed).content_keys())
        self._weights: dict[str, float] = {root_of(key): 1.0 for key in keys}
        for key in keys:
            for rank, other in enumerate(statistics.associates([key], 12)):
                self._weights.setdefault(root_of(other), 0.5 - 0.025 * rank)
        self._direction = embedder([seed])[0]

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """One value between 0 and 1 per text."""
        if not texts:
            return []
        vectors = self._embedder(texts)
        near = np.clip(vectors @ self._direction, 0.0, 1.0) if vectors.size else np.zeros(len(texts))
        return [
            min(1.0, self._shared(text) + _MEANING * float(meaning))
            for text, meaning in zip(texts, near, strict=True)
        ]

    def _shared(self, text: str) -> float:
        roots = {root_of(key) for key in self._reader(text).content_keys()}
        return min(1.0, sum(sorted((self._weights.get(root, 0.0) for root in roots), reverse=True)[:3]))
