"""Embeddings of texts: TF-IDF of words, word pairs and pieces of words, reduced by SVD."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import WEAK_KEYS
from text_lloom.normal_form import readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Embedder", "features_of", "scale_rows"]

_DIMENSIONS = 100
_MOST_ROWS = 20_000
_MOST_FEATURES = 40_000
_PIECE = 4
_PIECE_WEIGHT = 0.25
_PAIR_WEIGHT = 0.7
_WEAK_WEIGHT = 0.5


def features_of(reading: Reading) -> dict[str, float]:
    """Features of a text and how often each occurs, before weighting.

    Features are keys of words, pairs of neighbouring words as `a b`, and pieces of words as `~piec`. The
    pieces make misspelt and derived words similar to the right ones.
    """
    counts: Counter[str] = Counter()
    for sentence in reading.sentences:
        previous = ""
        for token in sentence.tokens:
            if not token.content:
                if not token.tight:
                    previous = ""
                continue
            key = token.key
            counts[key] += 1
            if previous:
                counts[f"{previous} {key}"] += 1
            if len(key) > _PIECE:
                for at in range(len(key) - _PIECE + 1):
                    counts["~" + key[at : at + _PIECE]] += 1
            previous = key
    found: dict[str, float] = {}
    for feature, count in counts.items():
        value = 1.0 + np.log(count)
        if feature.startswith("~"):
            value *= _PIECE_WEIGHT
        elif " " in feature:
            value *= _PAIR_WEIGHT
        elif feature in WEAK_KEYS:
            value *= _WEAK_WEIGHT
        found[feature] = float(value)
    return found


def scale_rows(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows of length 1, rows of zeros as they are."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled = np.divide(rows, norms, out=np.zeros_like(rows, dtype=np.float64), where=norms > 1e-9)
    return np.asarray(scaled, dtype=np.float32)


class Embedder:
    """Turns texts into vectors; words that occur together in a corpus get similar directions.

    Latent semantic analysis (Deerwester et al. 1990), fitted once.

    Args:
        texts: Texts to learn from; sentences and bullets work better than long documents.
        reader: Reads the texts.
    """

    def __init__(self, texts: Sequence[str], reader: Reader) -> None:
        self._reader = reader
        step = max(1, -(-len(texts) // _MOST_ROWS))
        rows = [features_of(reader(text)) for text in texts[::step]]
        frequency: Counter[str] = Counter()
        for row in rows:
            frequency.update(row.keys())
        smallest = 2 if len(rows) >= 10 else 1
        kept = sorted(
            (feature for feature, count in frequency.items() if count >= smallest),
            key=lambda feature: (-frequency[feature], feature),
        )[:_MOST_FEATURES]
        self._column = {feature: column for column, feature in enumerate(kept)}
        counts = np.array([frequency[feature] for feature in kept], dtype=np.float64)
        self._idf = np.log((1 + len(rows)) / (1 + counts)) + 1.0 if kept else counts
        self._svd = self._fit(rows)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row per text, of length 1; a row of zeros for a blank text."""
        vectors = self.known(texts)
        lost = np.flatnonzero(~vectors.any(axis=1))
        for row in lost.tolist():
            vectors[row] = self._spelt(texts[row], vectors.shape[1])
        return vectors

    def known(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As a call, but a text without any word of the corpus also gets a row of zeros."""
        return self._project([features_of(self._reader(text)) for text in texts])

    def _fit(self, rows: Sequence[dict[str, float]]) -> Any:
        from sklearn.decomposition import TruncatedSVD
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        matrix = self._matrix(rows)
        filled = int((np.diff(matrix.indptr) > 0).sum())
        dimensions = min(_DIMENSIONS, filled - 1, matrix.shape[1] - 1)
        if dimensions < 2:
            return None
        # On matrices this narrow several BLAS threads mostly wait for each other. Equal texts have no
        # variance, so the share of each column in it divides zero by zero.
        with threadpool_limits(1), np.errstate(divide="ignore", invalid="ignore"):
            return TruncatedSVD(dimensions, n_iter=4, random_state=0).fit(matrix)

    def _project(self, rows: Sequence[dict[str, float]]) -> NDArray[np.float32]:
        if self._svd is None:
            # There is too little text for SVD, so words are hashed into a fixed number of columns.
            vectors = np.zeros((len(rows), _DIMENSIONS))
            for position, row in enumerate(rows):
                for feature, value in row.items():
                    vectors[position, zlib.crc32(feature.encode()) % _DIMENSIONS] += value
            return scale_rows(vectors)
        if not rows:
            return np.zeros((0, self._svd.n_components), dtype=np.float32)
        return scale_rows(self._svd.transform(self._matrix(rows)))

    def _matrix(self, rows: Sequence[dict[str, float]]) -> Any:
        from scipy import sparse

        indptr: list[int] = [0]
        indices: list[int] = []
        values: list[float] = []
        for row in rows:
            found = sorted((self._column[f], v) for f, v in row.items() if f in self._column)
            weighted = [value * self._idf[column] for column, value in found]
            norm = float(np.sqrt(sum(value * value for value in weighted))) or 1.0
            indices.extend(column for column, _ in found)
            values.extend(value / norm for value in weighted)
            indptr.append(len(indices))
        shape = (len(rows), max(1, len(self._column)))
        return sparse.csr_matrix((values, indices, indptr), shape=shape, dtype=np.float64)

    def _spelt(self, text: str, dimensions: int) -> NDArray[np.float32]:
        """A vector from the spelling of a text without known words."""
        plain = " ".join(readable(text).casefold().split())
        vector = np.zeros((1, dimensions))
        for size in (1, 2, 3):
            for at in range(len(plain) - size + 1):
                code = zlib.crc32(plain[at : at + size].encode("utf-8", "surrogatepass"))
                vector[0, code % dimensions] += 1.0 if code & 0x10000 else -1.0
        if plain and not vector.any():
            vector[0, 0] = 1.0
        row: NDArray[np.float32] = scale_rows(vector)[0]
        return row
