"""Nearest neighbours by cosine similarity: exact up to 20,000 rows, approximate above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EXACT_ROWS", "Neighbours", "nearest_neighbours", "unit_rows"]

EXACT_ROWS = 20_000
"""Up to this many rows all pairs are compared; above, only rows of nearby cells."""

_BLOCK_ENTRIES = 8_000_000
_PROBED_CELLS = 8
_SAMPLE_PER_CELL = 64


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest other rows of each row, the most similar first.

    Attributes:
        indices: (n, k) int64, row numbers; -1 where a row has fewer than k neighbours.
        similarities: (n, k) float32, cosine similarities; -inf where the index is -1.
    """

    indices: NDArray[np.int64]
    similarities: NDArray[np.float32]


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale every row to length 1; rows of zeros stay zero.

    Args:
        vectors: (n, d) finite numbers.

    Returns:
        (n, d) float32.

    Raises:
        ValueError: If `vectors` is not two-dimensional or holds NaN or infinite values.
    """
    matrix = np.ascontiguousarray(vectors, dtype=np.float32)
    if matrix.ndim != 2:
        raise ValueError(f"vectors must have two dimensions (rows, features), but have {matrix.shape}.")
    if not np.isfinite(matrix).all():
        rows = np.flatnonzero(~np.isfinite(matrix).all(axis=1))[:5].tolist()
        raise ValueError(
            f"vectors hold NaN or infinite values (rows {rows}, at most five shown); "
            "embed those texts again or drop them."
        )
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0.0)
    scaled = matrix / np.where(largest > 0, largest, 1)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def nearest_neighbours(
    units: NDArray[np.float32], k: int, *, random_state: int = 0, exact_rows: int = EXACT_ROWS
) -> Neighbours:
    """Find each row's k most similar other rows.

    Up to `exact_rows`, blocks of rows are compared with all rows. Above, k-means divides the rows into
    cells of about the square root of n rows, and each row is compared with those of the nearest few cells
    (an inverted file index; Jégou, Douze & Schmid 2011, doi:10.1109/TPAMI.2010.57). Work and memory stay
    bounded.

    Args:
        units: (n, d) float32 rows of length 1 (or 0).
        k: Neighbours per row, at most n - 1.
        random_state: Seed of the cells; has no effect on the exact search.
        exact_rows: The largest n with an exact search.

    Returns:
        The neighbours, (n, k).
    """
    n = len(units)
    k = max(0, min(k, n - 1))
    indices = np.full((n, k), -1, dtype=np.int64)
    similarities = np.full((n, k), -np.inf, dtype=np.float32)
    if k:
        rows = np.arange(n)
        if n <= exact_rows:
            _search(units, rows, rows, indices, similarities)
        else:
            _search_cells(units, indices, similarities, random_state)
    return Neighbours(indices, similarities)


def _search_cells(
    units: NDArray[np.float32],
    indices: NDArray[np.int64],
    similarities: NDArray[np.float32],
    random_state: int,
) -> None:
    from sklearn.cluster import KMeans

    n = len(units)
    n_cells = int(np.sqrt(n))
    rng = np.random.default_rng(random_state)
    sample = np.sort(rng.choice(n, min(n, n_cells * _SAMPLE_PER_CELL), replace=False))
    kmeans = KMeans(n_cells, init="random", n_init=1, max_iter=8, random_state=random_state)
    centres = unit_rows(kmeans.fit(units[sample]).cluster_centers_)

    probed = min(_PROBED_CELLS, n_cells)
    probes = np.empty((n, probed), dtype=np.int64)
    step = max(1, _BLOCK_ENTRIES // n_cells)
    for start in range(0, n, step):
        nearness = units[start : start + step] @ centres.T
        probes[start : start + step] = _largest(nearness, probed)
    home = probes[:, 0]

    largest_cell = 8 * n // n_cells
    for cell in range(n_cells):
        members = np.flatnonzero(home == cell)
        if len(members) == 0:
            continue
        queries = np.flatnonzero((probes == cell).any(axis=1))
        # A very large cell (one topic with most of the corpus) would take quadratic time. So each query
        # searches one random part of it; members of the cell search their own part.
        parts = -(-len(members) // largest_cell)
        member_part = rng.permutation(len(members)) % parts
        query_part = rng.integers(0, parts, len(queries))
        query_part[np.searchsorted(queries, members)] = member_part
        for part in range(parts):
            _search(
                units,
                queries[query_part == part],
                members[member_part == part],
                indices,
                similarities,
            )


def _search(
    units: NDArray[np.float32],
    queries: NDArray[np.int64],
    candidates: NDArray[np.int64],
    indices: NDArray[np.int64],
    similarities: NDArray[np.float32],
) -> None:
    """Improve the neighbours of `queries`, in place, with those among `candidates`."""
    k = indices.shape[1]
    among = units[candidates]
    step = max(1, _BLOCK_ENTRIES // len(candidates))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        found = units[block] @ among.T
        found[block[:, None] == candidates[None, :]] = -np.inf
        best = _largest(found, min(k, len(candidates)))
        known = np.hstack([similarities[block], np.take_along_axis(found, best, axis=1)])
        where = np.hstack([indices[block], candidates[best]])
        order = _largest(known, k)
        similarities[block] = np.take_along_axis(known, order, axis=1)
        where = np.take_along_axis(where, order, axis=1)
        indices[block] = np.where(np.isfinite(similarities[block]), where, -1)


def _largest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns of each row's k largest values, the largest first."""
    if k < values.shape[1]:
        columns = np.argpartition(values, -k, axis=1)[:, -k:]
    else:
        columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(columns, order, axis=1), dtype=np.int64)
