"""Cluster: groups items of similar meaning by their embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from text_lloom.analysis.communities import find_communities
from text_lloom.errors import InputError, MissingPackage, UnknownName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ClusterMethod", "cluster_vectors"]

ClusterMethod = Literal["communities", "hdbscan"]


def cluster_vectors(
    vectors: NDArray[np.float32],
    *,
    method: ClusterMethod = "communities",
    min_cluster_size: int | None = None,
    random_state: int = 0,
) -> NDArray[np.int64]:
    """Cluster embedded items.

    Args:
        vectors: Shape `(n, d)`, one row per item.
        method: `"communities"` (k-nearest-neighbour graph and Leiden; puts every item into a cluster)
            or `"hdbscan"` (UMAP to five dimensions, then HDBSCAN; needs the extra `umap`).
        min_cluster_size: The smallest cluster; 2 for communities, a hundredth of the items (at least 5)
            for HDBSCAN when not given.
        random_state: Seed.

    Returns:
        Shape `(n,)`: cluster of each item, largest cluster first. HDBSCAN gives -1 to items
        that it puts into no cluster.

    Raises:
        MissingPackage: When the packages for `"hdbscan"` are not installed.
        UnknownName: For another method.
    """
    if min_cluster_size is not None and min_cluster_size < 1:
        raise InputError(f"min_cluster_size={min_cluster_size!r} must be at least 1.")
    if method == "communities":
        return find_communities(vectors, random_state=random_state, min_size=min_cluster_size or 2)
    if method == "hdbscan":
        return _hdbscan(vectors, min_cluster_size, random_state)
    raise UnknownName(method, ("communities", "hdbscan"), what="clustering method")


def _hdbscan(
    vectors: NDArray[np.float32], min_cluster_size: int | None, random_state: int
) -> NDArray[np.int64]:
    import numpy as np

    try:
        import hdbscan
        import umap
    except ImportError:
        raise MissingPackage("umap-learn and hdbscan", extra="umap", purpose="method='hdbscan'") from None
    n = len(vectors)
    if n < 10:
        return find_communities(vectors, random_state=random_state)
    reduced = umap.UMAP(
        n_neighbors=min(15, n - 1),
        n_components=min(5, n - 2),
        min_dist=0.0,
        metric="cosine",
        random_state=random_state,
        n_jobs=1,
    ).fit_transform(vectors)
    size = min_cluster_size or max(5, n // 100)
    labels = hdbscan.HDBSCAN(min_cluster_size=min(size, n // 2), metric="euclidean").fit_predict(reduced)
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(labels >= 0, rank[np.maximum(labels, 0)], -1).astype(np.int64)
