"""Clusters of embedded texts: communities of their nearest-neighbour graph; every text is in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from text_lloom.analysis.neighbours import nearest_neighbours, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DistinctRows", "cluster_means", "find_communities", "fold_identical"]

_EDGE_RATIO = 0.6
_ISOLATION_RATIO = 0.85
_FIRST_RESOLUTION = 1.0
_SEARCH_ROUNDS = 1
_FINAL_ROUNDS = 3
_GROWTH_FROM = 1_000
_MOST_GROWTH = 3.0
_STEPS_WITHOUT_GAIN = 2
_SKETCH_DIMENSIONS = 24
_SKETCH_CELL = 0.02


@dataclass(frozen=True, slots=True)
class _Graph:
    """Symmetric links between rows, in CSR format; a weight is the sum of both directions."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float64]

    @property
    def n(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True, slots=True)
class _Forest:
    """Single-linkage tree of the rows: its joins, (n - trees,), the strongest first.

    `usual` is the median strength of a row's weakest link; weaker links count as far in this corpus.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    strength: NDArray[np.float64]
    usual: float


@dataclass(frozen=True, slots=True)
class _Links:
    """The nearest neighbours as a graph for communities and as a forest for isolated groups."""

    graph: _Graph
    forest: _Forest


@dataclass(frozen=True, slots=True)
class DistinctRows:
    """The distinct rows of a matrix.

    Attributes:
        first: (m,) the number of one row of each group of equal rows.
        inverse: (n,) for each row, the position of its group in `first`.
        counts: (m,) rows in each group.
    """

    first: NDArray[np.int64]
    inverse: NDArray[np.int64]
    counts: NDArray[np.int64]


def find_communities(
    vectors: NDArray[np.float32],
    *,
    random_state: int = 0,
    min_size: int = 2,
    neighbours: int = 10,
) -> NDArray[np.int64]:
    """Cluster embedded texts so that every one of them belongs to a cluster.

    Rows that are equal up to rounding are treated as one. The distinct rows form a graph of nearest
    neighbours by cosine similarity, and Leiden (Traag, Waltman & van Eck 2019,
    doi:10.1038/s41598-019-41695-z) finds communities at a range of resolutions. Of these partitions, the
    one with the shortest description of the graph under the planted-partition model is taken (Zhang &
    Peixoto 2020, doi:10.1103/PhysRevResearch.2.043271), so a cloud without structure stays one cluster and
    more topics give more clusters. Small groups far from everything else then get their own clusters.

    Args:
        vectors: (n, d) float32 embeddings; rows of zeros are allowed, n may be 0.
        random_state: Seed; equal input and seed give equal labels.
        min_size: The fewest rows of a cluster; members of smaller ones join the nearest cluster.
        neighbours: The most links that a row makes, at least 1.

    Returns:
        (n,) int64 labels 0..k-1, the largest cluster first, ties by first row. Never -1.

    Raises:
        ValueError: If `vectors` is not two-dimensional and finite, or a setting is below 1.

    Example:
        >>> import numpy as np
        >>> rows = np.array([[1, 0], [1, 0.1], [1, 0.05], [0, 1], [0.1, 1]], dtype=np.float32)
        >>> find_communities(rows).tolist()
        [0, 0, 0, 1, 1]
    """
    if min_size < 1 or neighbours < 1:
        raise ValueError(f"min_size and neighbours must be at least 1, but are {min_size} and {neighbours}.")
    units = unit_rows(vectors)
    labels = np.full(len(units), -1, dtype=np.int64)
    filled = np.flatnonzero(units.any(axis=1))
    if len(filled):
        distinct = fold_identical(units[filled])
        points = units[filled][distinct.first]
        links = _link(points, neighbours, random_state)
        communities = _choose_partition(links.graph, random_state)
        communities = _set_apart_isolated(links.forest, communities, max(3, min_size), neighbours + 1)
        communities = _dissolve_small(points, distinct.counts, communities, min_size)
        labels[filled] = communities[distinct.inverse]
    return _label_by_size(labels, min_size)


def fold_identical(units: NDArray[np.float32]) -> DistinctRows:
    """Find the rows that differ by more than rounding, in an order that does not depend on the input's.

    Equal texts embedded in different batches differ in their last digits. A random projection, rounded to
    a coarse grid, finds them without comparing pairs. Sorting by the projection makes the result
    independent of the order of the rows.

    Args:
        units: (n, d) rows of length 1, n at least 1.

    Returns:
        The distinct rows.
    """
    d = units.shape[1]
    if d > _SKETCH_DIMENSIONS:
        rng = np.random.default_rng(0)
        basis = rng.normal(size=(d, _SKETCH_DIMENSIONS)).astype(np.float32)
        sketch = units @ basis
    else:
        sketch = units
    grid = np.floor(sketch / _SKETCH_CELL + 0.5).astype(np.int32)
    order = np.lexsort(grid.T)
    changes = np.ones(len(order), dtype=bool)
    changes[1:] = (grid[order[1:]] != grid[order[:-1]]).any(axis=1)
    groups = np.cumsum(changes) - 1
    inverse = np.empty(len(order), dtype=np.int64)
    inverse[order] = groups
    return DistinctRows(order[changes], inverse, np.bincount(inverse))


def _link(points: NDArray[np.float32], neighbours: int, random_state: int) -> _Links:
    from scipy import sparse

    n = len(points)
    # With a constant number of links, communities would have a constant size, however many texts a
    # topic has.
    growth = min(_MOST_GROWTH, max(1.0, (n / _GROWTH_FROM) ** (1 / 3)))
    k = min(round(neighbours * growth), max(2, int(np.ceil(np.sqrt(n)))))
    found = nearest_neighbours(points, k, random_state=random_state)
    k = found.indices.shape[1]
    if k == 0:
        none = np.empty(0)
        graph = _Graph(np.zeros(n + 1, np.int64), none.astype(np.int32), none)
        return _Links(graph, _Forest(none.astype(np.int64), none.astype(np.int64), none, 0.0))
    # Any two texts of one corpus have similar embeddings, so only a similarity above that of two random
    # rows is evidence for a common topic.
    total = points.sum(axis=0, dtype=np.float64)
    background = float((total @ total - n) / (n * (n - 1)))
    strength = np.maximum(0.0, (found.similarities - background) / max(1e-9, 1 - background))
    strength = np.where(found.indices >= 0, strength, 0.0).astype(np.float64)
    where = (np.repeat(np.arange(n), k), found.indices.clip(0).ravel())
    ties = sparse.csr_matrix((strength.ravel(), where), shape=(n, n))
    forest = _grow_forest(sparse.csr_matrix(ties.maximum(ties.T)), float(np.median(strength[:, -1])))
    # A row of a rare topic has few true neighbours; without this, the rest of its k links would tie it to
    # topics that are only the nearest ones.
    strength[strength < _EDGE_RATIO * strength[:, :1]] = 0.0
    directed = sparse.csr_matrix((strength.ravel(), where), shape=(n, n))
    links = sparse.csr_matrix(directed + directed.T)
    links.eliminate_zeros()
    links.sort_indices()
    graph = _Graph(
        links.indptr.astype(np.int64),
        links.indices.astype(np.int32),
        links.data.astype(np.float64),
    )
    return _Links(graph, forest)


def _grow_forest(ties: Any, usual: float) -> _Forest:
    from scipy.sparse.csgraph import minimum_spanning_tree

    ties.eliminate_zeros()
    costs = ties.copy()
    # The spanning tree takes a cost of 0 for no edge, so even the strongest link must cost a little.
    costs.data = 2.0 - np.minimum(costs.data, 1.0)
    tree = minimum_spanning_tree(costs).tocoo()
    order = np.argsort(tree.data, kind="stable")
    return _Forest(
        tree.row[order].astype(np.int64),
        tree.col[order].astype(np.int64),
        2.0 - tree.data[order],
        usual,
    )


def _choose_partition(graph: _Graph, random_state: int) -> NDArray[np.int64]:
    """The Leiden partition with the shortest description, over doubling resolutions, then finer ones."""
    if len(graph.weights) == 0:
        return np.arange(graph.n, dtype=np.int64)

    def length_at(resolution: float) -> float:
        return _description_length(graph, _leiden(graph, resolution, random_state, _SEARCH_ROUNDS))

    whole = np.zeros(graph.n, dtype=np.int64)
    shortest, best = _description_length(graph, whole), 0.0
    resolution, without_gain = _FIRST_RESOLUTION, 0
    while without_gain < _STEPS_WITHOUT_GAIN and resolution < 4 * graph.n:
        length = length_at(resolution)
        if length < shortest:
            shortest, best, without_gain = length, resolution, 0
        elif resolution > 2:
            without_gain += 1
        resolution *= 2
    if best == 0.0:
        return whole
    for nearby in (best * 2**-0.5, best * 2**0.5):
        length = length_at(nearby)
        if length < shortest:
            shortest, best = length, nearby
    return _leiden(graph, best, random_state, _FINAL_ROUNDS)


def _leiden(graph: _Graph, resolution: float, random_state: int, rounds: int) -> NDArray[np.int64]:
    from graspologic_native import leiden_csr

    _, found = leiden_csr(
        graph.indptr,
        graph.indices,
        graph.weights,
        graph.n,
        resolution=resolution,
        iterations=rounds,
        seed=random_state,
    )
    return np.fromiter((found[row] for row in range(graph.n)), dtype=np.int64, count=graph.n)


def _description_length(graph: _Graph, partition: NDArray[np.int64]) -> float:
    """Nats to write down the partition and, given it, which rows are linked."""
    from scipy.special import gammaln

    def choices(of: float, taken: float) -> float:
        return float(gammaln(of + 1) - gammaln(taken + 1) - gammaln(of - taken + 1))

    n = graph.n
    sizes = np.bincount(partition)
    sizes = sizes[sizes > 0].astype(np.float64)
    source = np.repeat(partition, np.diff(graph.indptr))
    edges = len(graph.indices) / 2
    inside = float((source == partition[graph.indices]).sum()) / 2
    pairs = n * (n - 1) / 2
    pairs_inside = float((sizes * (sizes - 1) / 2).sum())
    given_partition = choices(pairs_inside, inside) + choices(pairs - pairs_inside, edges - inside)
    which_density = float(np.log(edges + 1)) if len(sizes) > 1 else 0.0
    of_partition = float(gammaln(n + 1) - gammaln(sizes + 1).sum()) + choices(n - 1, len(sizes) - 1)
    return given_partition + which_density + of_partition


def _set_apart_isolated(
    forest: _Forest, partition: NDArray[np.int64], smallest: int, largest: int
) -> NDArray[np.int64]:
    """Give small groups that are close together and far from everything else their own clusters.

    A resolution chosen for the whole corpus misses topics of a few rows. They show in the single-linkage
    tree: such a group is complete at a strong link, and joins the rest at a link that is weaker than usual
    in this corpus.
    """
    labels = partition.copy()
    fresh = int(partition.max(initial=-1)) + 1
    root = list(range(len(partition)))
    members: list[list[int]] = [[row] for row in root]
    closed = [np.inf] * len(root)

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    joins = zip(forest.left.tolist(), forest.right.tolist(), forest.strength.tolist(), strict=True)
    for one, other, strength in joins:
        left, right = find(one), find(other)
        for group in (left, right):
            rows = members[group]
            if (
                smallest <= len(rows) <= largest
                and strength <= min(_ISOLATION_RATIO * closed[group], forest.usual)
                and (partition[rows] == partition[rows[0]]).all()
            ):
                labels[rows] = fresh
                fresh += 1
        if len(members[left]) < len(members[right]):
            left, right = right, left
        root[right] = left
        members[left].extend(members[right])
        members[right] = []
        closed[left] = strength
    return labels


def _dissolve_small(
    points: NDArray[np.float32],
    counts: NDArray[np.int64],
    partition: NDArray[np.int64],
    min_size: int,
) -> NDArray[np.int64]:
    """Move the members of clusters below `min_size` rows to the cluster with the nearest mean."""
    _, partition = np.unique(partition, return_inverse=True)
    sizes = np.bincount(partition, weights=counts)
    kept = np.flatnonzero(sizes >= min_size)
    if len(kept) == len(sizes):
        return partition.astype(np.int64)
    if len(kept) == 0:
        return np.zeros(len(points), dtype=np.int64)
    means = cluster_means(points, partition, len(sizes))[kept]
    loose = np.flatnonzero(sizes[partition] < min_size)
    labels = partition.astype(np.int64)
    labels[loose] = kept[np.argmax(points[loose] @ means.T, axis=1)]
    return labels


def cluster_means(
    units: NDArray[np.float32], labels: NDArray[np.int64], n_clusters: int
) -> NDArray[np.float32]:
    """Direction of each cluster.

    Args:
        units: (n, d) rows of length 1.
        labels: (n,) labels 0..n_clusters-1.
        n_clusters: Number of clusters.

    Returns:
        (n_clusters, d) float32 rows of length 1 (0 if members cancel out or there are none).
    """
    from scipy import sparse

    n = len(units)
    membership = sparse.csr_matrix(
        (np.ones(n, dtype=np.float32), (labels, np.arange(n))), shape=(n_clusters, n)
    )
    return unit_rows(np.asarray(membership @ units))


def _label_by_size(labels: NDArray[np.int64], min_size: int) -> NDArray[np.int64]:
    """Number clusters by size; rows without a cluster form one, or join the largest if they are few."""
    if len(labels) == 0:
        return labels
    unplaced = labels == -1
    names, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    if unplaced.any() and len(names) > 1 and sizes[0] < min_size:
        largest = names[1 + np.lexsort((first[1:], -sizes[1:]))[0]]
        return _label_by_size(np.where(unplaced, largest, labels), min_size)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(names))
    return rank[inverse]
