"""Positions of documents on the map: documents with similar embeddings are close to each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from text_lloom.analysis.neighbours import nearest_neighbours, unit_rows
from text_lloom.normal_form import MARKS, readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["lay_out", "word_vectors"]

_NEIGHBOURS: Final = 15
_FEW: Final = 8
_MANY: Final = 5000
_EARLY_ROUNDS: Final = 125
_ROUNDS: Final = 250
_DIMENSIONS: Final = 100
_MOST_WORDS: Final = 40_000
_COMMON: Final = 0.5
# Words of two characters or more; in scripts without spaces, each character is a word.
_WORD: Final = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|(?:[^\W_][" + MARKS + r"]*){2,}"


def lay_out(vectors: NDArray[np.float32], *, random_state: int = 0) -> NDArray[np.float32]:
    """Compute positions in the plane for embedded documents.

    Uses t-SNE (van der Maaten & Hinton 2008) over a graph of the 15 nearest neighbours with uniform weights,
    started from the first two principal components (Kobak & Berens 2019, doi:10.1038/s41467-019-13056-x),
    by openTSNE, whose time grows linearly with the number of documents. The map shows which documents are
    close to each other, not how far apart groups are.

    Args:
        vectors: (n, d) embeddings; a row of zeros gets no position.
        random_state: Seed; equal input and seed give equal positions.

    Returns:
        (n, 2) float32, centred, within -1 and 1; `NaN` for rows of zeros.
    """
    places = np.full((len(vectors), 2), np.nan, np.float32)
    units = unit_rows(vectors)
    filled = np.flatnonzero(units.any(axis=1))
    if len(filled):
        points = units[filled]
        found = (
            _principal(points, random_state) if len(points) < _FEW else _neighbour_map(points, random_state)
        )
        found -= (found.max(axis=0) + found.min(axis=0)) / 2
        places[filled] = found / (np.abs(found).max() or 1.0)
    return places


def word_vectors(texts: Sequence[str], *, random_state: int = 0) -> NDArray[np.float32]:
    """Embeddings of many texts from their words: TF-IDF reduced by SVD (Deerwester et al. 1990).

    About ten times as fast as those of the local engine, which also use word pairs and parts of words.

    Args:
        texts: The texts.
        random_state: Seed.

    Returns:
        (n, d) float32 with d at most 100; a text without known words has a row of zeros.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigh = TfidfVectorizer(
        preprocessor=lambda text: readable(text).lower(),
        token_pattern=_WORD,
        min_df=2,
        max_df=_COMMON,
        max_features=_MOST_WORDS,
        sublinear_tf=True,
        dtype=np.float32,
    )
    try:
        weighted = weigh.fit_transform(texts)
    except ValueError:  # no word is in several texts but not in all
        return np.zeros((len(texts), 1), np.float32)
    k = min(_DIMENSIONS, weighted.shape[1] - 1, len(texts) - 1)
    if k < 2:
        return np.asarray(weighted.toarray(), np.float32)
    reduced = TruncatedSVD(k, n_iter=3, random_state=random_state).fit_transform(weighted)
    return np.asarray(reduced, np.float32)


def _principal(points: NDArray[np.float32], random_state: int) -> NDArray[np.float64]:
    """The first two principal components; zeros if all points are equal."""
    from sklearn.decomposition import PCA

    found = np.zeros((len(points), 2))
    k = min(2, len(points), points.shape[1])
    with warnings.catch_warnings():
        # If all points are equal, there is no variance to explain.
        warnings.simplefilter("ignore", RuntimeWarning)
        found[:, :k] = PCA(k, svd_solver="randomized", random_state=random_state).fit_transform(points)
    return np.nan_to_num(found)


def _neighbour_map(points: NDArray[np.float32], random_state: int) -> NDArray[np.float64]:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import Uniform
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    k = min(_NEIGHBOURS, len(points) - 1)
    found = nearest_neighbours(points, k, random_state=random_state)
    known = found.indices >= 0
    # A row of a small cell may have fewer neighbours; its nearest one is repeated for the missing ones.
    indices = np.where(known, found.indices, found.indices[:, :1]).astype(np.int32)
    distances = 1.0 - np.where(known, found.similarities, found.similarities[:, :1]).astype(np.float64)
    start = _principal(points, random_state)
    # t-SNE cannot separate points that start at the same position.
    spread = np.std(start[:, 0]) or 1.0
    noise = np.random.default_rng(random_state).normal(0, 0.01, start.shape)
    start = 1e-4 * (start / spread + noise)
    affinities = Uniform(knn_index=PrecomputedNeighbors(indices, distances), k_neighbors=k)
    embedding = TSNEEmbedding(
        start,
        affinities,
        negative_gradient_method="fft" if len(points) > _MANY else "bh",
        n_jobs=1,
        random_state=random_state,
    )
    exaggeration = min(12.0, max(1.0, len(points) / 10))
    embedding = embedding.optimize(_EARLY_ROUNDS, exaggeration=exaggeration, momentum=0.5)
    embedding = embedding.optimize(_ROUNDS, exaggeration=1.0, momentum=0.8)
    return np.asarray(embedding, dtype=np.float64)
