"""Plans the requests of Synthesize: which items each shows, and how many concepts it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from text_lloom.analysis.communities import cluster_means, fold_identical
from text_lloom.analysis.neighbours import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FULLY_SHOWN", "SynthesisRequest", "plan_requests"]

FULLY_SHOWN = 2_000
"""Corpora up to this many items are shown whole; above, the share shown shrinks."""

_LEAST_SHOWN = 4
_MOST_SHOWN = 2_000
_GROUP = 4
_ITEMS_PER_CONCEPT = 5
_FEWEST_ITEMS_PER_CONCEPT = 3
_SEPARATION = 0.12
_COPIES_SHOWN = 2
_COPY_SIMILARITY = 0.985
_MOST_LINKED = 2_000
_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """One request: which concepts do these items share?

    Attributes:
        cluster_id: The cluster most of the items belong to.
        items: Row numbers shown, similar ones side by side.
        n_concepts: Most concepts to ask for, at least 1.
    """

    cluster_id: int
    items: tuple[int, ...]
    n_concepts: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """Items of one cluster that go into one request.

    `supported` is how many concepts their structure supports, `allowance` how many the caller
    permits.
    """

    cluster: int
    items: NDArray[np.int64]
    supported: int
    allowance: int


def plan_requests(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    max_items: int = 40,
    n_concepts: int | None = None,
    target: int | None = None,
    document_of: Sequence[int] | None = None,
    random_state: int = 0,
) -> list[SynthesisRequest]:
    """Plan the requests that find concepts in a clustered corpus.

    Neighbouring small clusters share a request and large ones are cut along their own structure,
    so that similar items are always seen together. Requests grow with the items up to
    `FULLY_SHOWN` and with their square root beyond; then every cluster still shows some items,
    taken in groups of near neighbours spread over the cluster.

    Args:
        vectors: (n, d) float32 embeddings of the items.
        labels: (n,) cluster of each item, 0..k-1; negative ones are not shown.
        max_items: Most items in one request, at least 1.
        n_concepts: Most concepts asked of any one cluster over all its requests; None lets the
            structure of the items decide.
        target: The wanted number of concepts. Two to four times as many are requested in total, if there
            are enough items; None derives the total from the structure.
        document_of: (n,) document each item comes from; items of different documents are
            preferred where only some are shown. None makes each item a document.
        random_state: Seed; equal input and seed give equal requests.

    Returns:
        The requests, neighbouring clusters next to each other.

    Raises:
        ValueError: If lengths differ or a setting is below 1.
    """
    units = unit_rows(vectors)
    labels = np.asarray(labels, dtype=np.int64)
    documents = np.asarray(range(len(units)) if document_of is None else document_of, dtype=np.int64)
    if not len(units) == len(labels) == len(documents):
        raise ValueError(
            f"vectors, labels and document_of must have one entry per item, got {len(units)}, "
            f"{len(labels)} and {len(documents)}."
        )
    for name, setting in (("max_items", max_items), ("n_concepts", n_concepts), ("target", target)):
        if setting is not None and setting < 1:
            raise ValueError(f"{name} must be at least 1, got {setting}.")
    placed = np.flatnonzero(labels >= 0)
    if len(placed) == 0:
        return []
    names, dense = np.unique(labels[placed], return_inverse=True)
    means = cluster_means(units[placed], dense, len(names))
    members = np.split(placed[np.argsort(dense, kind="stable")], np.cumsum(np.bincount(dense))[:-1])
    clusters = [_without_copies(units, rows, documents) for rows in members]
    sizes = np.array([len(rows) for rows in clusters], dtype=np.int64)
    quota = _quota(sizes, _shown_in_total(int(sizes.sum()), max_items, target))
    if n_concepts is not None:
        quota = np.minimum(quota, n_concepts * max_items)
    pieces: list[_Piece] = []
    for cluster in _tree_order(means):
        shown = _sample(units, clusters[cluster], int(quota[cluster]), documents, random_state)
        parts = _cut(units, _without_close_copies(units, shown), max_items, n_concepts)
        for part, allowance in zip(parts, _shares(n_concepts, len(parts)), strict=True):
            supported = min(allowance, _count_groups(units[part], documents[part]))
            pieces.append(_Piece(int(names[cluster]), part, supported, allowance))
    packs = _pack(pieces, max_items)
    asked = _ask(packs, target)
    return [
        SynthesisRequest(
            cluster_id=max(pack, key=lambda piece: len(piece.items)).cluster,
            items=tuple(int(row) for piece in pack for row in piece.items),
            n_concepts=number,
        )
        for pack, number in zip(packs, asked, strict=True)
    ]


def _shown_in_total(n: int, max_items: int, target: int | None) -> int:
    most = n if n <= FULLY_SHOWN else int(np.sqrt(FULLY_SHOWN * n))
    if target is not None:
        most = min(most, max(2 * target, 25) * max_items)
    return max(1, most)


def _quota(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Items shown of each cluster: all if they fit, else by the square root of its size."""
    sizes = np.minimum(sizes, _MOST_SHOWN)
    if sizes.sum() <= total:
        return sizes

    def share(scale: float) -> NDArray[np.int64]:
        wanted = np.maximum(_LEAST_SHOWN, np.floor(scale * np.sqrt(sizes))).astype(np.int64)
        return np.minimum(sizes, wanted)

    low, high = 0.0, float(np.sqrt(sizes.max()))
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle).sum() <= total else (low, middle)
    return share(low)


def _without_copies(
    units: NDArray[np.float32], rows: NDArray[np.int64], documents: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Leave out all but a few identical items, and those repeated within one document."""
    group = fold_identical(units[rows]).inverse
    _, once = np.unique(np.stack([group, documents[rows]]), axis=1, return_index=True)
    once.sort()
    order = once[np.argsort(group[once], kind="stable")]
    starts = np.searchsorted(group[order], group[order])
    return np.sort(rows[order[np.arange(len(order)) - starts < _COPIES_SHOWN]])


def _without_close_copies(units: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out all but a few of each set of items that say the same in almost the same words."""
    close = units[rows] @ units[rows].T >= _COPY_SIMILARITY
    if int(close.sum()) == len(rows):
        return rows
    kept: list[int] = []
    for at in range(len(rows)):
        if int(close[at, kept].sum()) < _COPIES_SHOWN:
            kept.append(at)
    return rows[kept]


def _sample(
    units: NDArray[np.float32],
    rows: NDArray[np.int64],
    most: int,
    documents: NDArray[np.int64],
    random_state: int,
) -> NDArray[np.int64]:
    """Small groups of near neighbours, one around the middle of each part of the cluster."""
    if len(rows) <= most:
        return rows
    from sklearn.cluster import KMeans

    n_parts = max(1, most // _GROUP)
    kmeans = KMeans(n_parts, init="random", n_init=1, max_iter=10, random_state=random_state)
    home = kmeans.fit_predict(units[rows])
    nearness = np.einsum("ij,ij->i", units[rows], kmeans.cluster_centers_[home])
    repeated = np.zeros(len(rows), dtype=bool)
    seen: set[tuple[int, int]] = set()
    for at in np.argsort(-nearness, kind="stable").tolist():
        key = (int(home[at]), int(documents[rows[at]]))
        repeated[at] = key in seen
        seen.add(key)
    order = np.lexsort((-nearness, repeated, home))
    rank = np.empty(len(rows), dtype=np.int64)
    rank[order] = np.arange(len(rows)) - np.searchsorted(home[order], home[order])
    return np.sort(rows[np.argsort(rank, kind="stable")[:most]])


def _tree_order(vectors: NDArray[np.float32]) -> list[int]:
    """Row numbers in the leaf order of an average-linkage tree: neighbours side by side."""
    n = len(vectors)
    if n <= 2:
        return list(range(n))
    if n > _MOST_LINKED:
        return _tree_order_of_many(vectors)
    from scipy.cluster.hierarchy import leaves_list

    return [int(row) for row in leaves_list(_tree(vectors))]


def _tree_order_of_many(vectors: NDArray[np.float32]) -> list[int]:
    from sklearn.cluster import KMeans

    kmeans = KMeans(_MOST_LINKED // 8, init="random", n_init=1, max_iter=10, random_state=0)
    home = kmeans.fit_predict(vectors)
    ordered: list[int] = []
    for part in _tree_order(np.asarray(kmeans.cluster_centers_, dtype=np.float32)):
        rows = np.flatnonzero(home == part)
        if len(rows) <= _MOST_LINKED:
            ordered.extend(int(rows[at]) for at in _tree_order(vectors[rows]))
        else:
            ordered.extend(rows.tolist())
    return ordered


def _tree(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distances = np.clip(1.0 - vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    condensed = squareform((distances + distances.T) / 2, checks=False)
    return np.asarray(linkage(condensed, method="average"), dtype=np.float64)


def _cut(
    units: NDArray[np.float32], rows: NDArray[np.int64], max_items: int, most_parts: int | None
) -> list[NDArray[np.int64]]:
    """Cut one cluster's items into parts of at most `max_items`, along its own tree.

    Where that would leave more than `most_parts`, parts are filled up in tree order instead.
    """
    n = len(rows)
    if n <= 2:
        return [rows[at : at + max_items] for at in range(0, n, max_items)]
    tree = _tree(units[rows])
    leaves: list[list[int]] = [[row] for row in range(n)]
    for left, right in tree[:, :2].astype(int).tolist():
        leaves.append(leaves[left] + leaves[right])
    parts: list[list[int]] = []
    stack = [2 * n - 2]
    while stack:
        node = stack.pop()
        if len(leaves[node]) > max_items:
            left, right = tree[node - n, :2].astype(int).tolist()
            stack.extend((right, left))
        elif parts and len(parts[-1]) + len(leaves[node]) <= max_items:
            parts[-1] = parts[-1] + leaves[node]
        else:
            parts.append(leaves[node])
    if most_parts is not None and len(parts) > most_parts:
        parts = [leaves[-1][at : at + max_items] for at in range(0, n, max_items)]
    return [rows[part] for part in parts]


def _shares(n_concepts: int | None, n_parts: int) -> list[int]:
    """Divide what one cluster may be asked for over its parts."""
    if n_concepts is None:
        return [_NO_LIMIT] * n_parts
    whole, left = divmod(n_concepts, n_parts)
    return [whole + (part < left) for part in range(n_parts)]


def _pack(pieces: list[_Piece], max_items: int) -> list[list[_Piece]]:
    """Put neighbouring pieces into one request as long as they fit."""
    packs: list[list[_Piece]] = []
    room = 0
    for piece in pieces:
        if packs and len(piece.items) <= room:
            packs[-1].append(piece)
            room -= len(piece.items)
        else:
            packs.append([piece])
            room = max_items - len(piece.items)
    return packs


def _count_groups(units: NDArray[np.float32], documents: NDArray[np.int64]) -> int:
    """How many groups from at least two documents there are, judged by the mean silhouette.

    The cut of the average-linkage tree with the widest mean silhouette counts (Rousseeuw 1987,
    doi:10.1016/0377-0427(87)90125-7); where none separates the items they are one group.
    """
    n = len(units)
    if n < 4:
        return 1
    from scipy.cluster.hierarchy import cut_tree

    distances = np.clip(1.0 - units.astype(np.float64) @ units.T.astype(np.float64), 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    best, groups = _SEPARATION, 1
    cuts = cut_tree(_tree(units), n_clusters=np.arange(2, n // 2 + 1))
    for labels in cuts.T:
        width = _silhouette(distances, labels)
        if width > best:
            of_document = np.unique(np.stack([labels, documents]), axis=1)[0]
            best, groups = width, int((np.bincount(of_document) >= 2).sum())
    return max(1, min(groups, -(-n // _ITEMS_PER_CONCEPT)))


def _silhouette(distances: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    member = np.eye(int(labels.max()) + 1)[labels]
    sizes = member.sum(axis=0)
    sums = distances @ member
    own = sizes[labels]
    within = sums[np.arange(len(labels)), labels] / np.maximum(1, own - 1)
    between = np.where(member > 0, np.inf, sums / sizes).min(axis=1)
    width = (between - within) / np.maximum(np.maximum(between, within), 1e-12)
    return float(np.where(own > 1, width, 0.0).mean())


def _ask(packs: list[list[_Piece]], target: int | None) -> list[int]:
    """Concepts to ask for in each request; with a target, two to four times as many in total.

    Scaling keeps what each cluster contributes at one where it can, so that a rare topic packed
    beside others is still asked for.
    """
    supported = np.array([sum(piece.supported for piece in pack) for pack in packs])
    allowed = np.array([sum(piece.allowance for piece in pack) for pack in packs])
    total = int(supported.sum())
    wanted = supported.astype(np.float64)
    if target is not None and total > 4 * target:
        clusters = np.array([len({piece.cluster for piece in pack}) for pack in packs])
        floor = clusters * min(1.0, 4 * target / float(clusters.sum()))
        spare = float((supported - floor).sum())
        wanted = floor + (supported - floor) * (4 * target - float(floor.sum())) / spare
    elif target is not None and total < 2 * target:
        items = np.array([sum(len(piece.items) for piece in pack) for pack in packs])
        most = np.maximum(supported, items // _FEWEST_ITEMS_PER_CONCEPT)
        spare = float((most - supported).sum())
        share = min(1.0, (2 * target - total) / spare) if spare else 0.0
        wanted = supported + (most - supported) * share
    asked = np.maximum(1, np.floor(wanted).astype(np.int64))
    left = round(float(wanted.sum())) - int(asked.sum())
    most_cut = np.argsort(np.floor(wanted) - wanted, kind="stable")
    asked[most_cut[: max(0, left)]] += 1
    return [max(1, int(number)) for number in np.minimum(asked, allowed)]
