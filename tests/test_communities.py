"""Communities: every row is placed, the number of clusters follows the data, rare groups stay."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from text_lloom.analysis.communities import cluster_means, find_communities, fold_identical
from text_lloom.analysis.neighbours import nearest_neighbours, unit_rows
from text_lloom.errors import InputError, MissingPackage, UnknownName
from text_lloom.operators.cluster import cluster_vectors


def topics(sizes, *, seed=0, features=64, spread=0.6):
    """Rows of Gaussian topics of the given sizes, shuffled, with the topic of each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), features))
    topic = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = centres[topic] + spread * rng.normal(size=(len(topic), features))
    return rows.astype(np.float32), topic


def assert_well_numbered(labels, n):
    assert labels.shape == (n,)
    assert labels.dtype == np.int64
    if n:
        sizes = np.bincount(labels)
        assert labels.min() == 0
        assert (sizes > 0).all()
        assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 12])
def test_any_number_of_rows_is_fully_labelled(n):
    vectors = np.random.default_rng(n).normal(size=(n, 16)).astype(np.float32)
    assert_well_numbered(find_communities(vectors), n)


@pytest.mark.parametrize("n_topics", [1, 3, 12, 40])
def test_number_of_clusters_follows_the_data(n_topics):
    vectors, topic = topics([25] * n_topics)
    labels = find_communities(vectors)
    assert_well_numbered(labels, len(topic))
    assert adjusted_rand_score(topic, labels) > 0.97


def test_a_shapeless_cloud_stays_one_cluster():
    vectors = np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32)
    assert find_communities(vectors).max() == 0


def test_equal_sizes_are_ordered_by_first_row():
    rows = [[0, 1, 0], [1, 0, 0], [0, 1, 0.1], [1, 0, 0.1], [0, 1, 0.05], [1, 0, 0.05]]
    assert find_communities(np.array(rows, dtype=np.float32)).tolist() == [0, 1, 0, 1, 0, 1]


def test_a_rare_coherent_topic_keeps_its_own_cluster():
    vectors, topic = topics([120, 120, 120, 120, 4])
    labels = find_communities(vectors)
    rare = labels[topic == 4]
    assert len(set(rare)) == 1
    assert (labels == rare[0]).sum() == 4


def test_same_input_and_seed_give_the_same_labels():
    vectors, _ = topics([30] * 8, spread=1.2)
    first = find_communities(vectors, random_state=3)
    assert (first == find_communities(vectors, random_state=3)).all()


def test_row_order_changes_nothing_but_numbering():
    vectors, _ = topics([30] * 8, spread=1.2)
    order = np.random.default_rng(1).permutation(len(vectors))
    straight, shuffled = find_communities(vectors), find_communities(vectors[order])
    assert adjusted_rand_score(straight[order], shuffled) == 1.0


def test_scale_of_rows_does_not_matter():
    vectors, _ = topics([20] * 5)
    factors = np.random.default_rng(0).uniform(0.1, 10, size=(len(vectors), 1)).astype(np.float32)
    assert adjusted_rand_score(find_communities(vectors), find_communities(vectors * factors)) == 1.0


@pytest.mark.parametrize("noise", [0.0, 1e-6], ids=["exact", "last-digits"])
def test_hundreds_of_copies_of_one_text_stay_together_and_disturb_nothing(noise):
    vectors, topic = topics([30] * 6)
    copies = np.repeat(vectors[:1], 400, axis=0)
    copies = copies + noise * np.random.default_rng(0).normal(size=copies.shape).astype(np.float32)
    labels = find_communities(np.vstack([vectors, copies]).astype(np.float32))
    assert len(set(labels[len(vectors) :])) == 1
    assert labels[-1] == labels[0]
    assert adjusted_rand_score(topic, labels[: len(vectors)]) > 0.97


def test_two_texts_repeated_many_times_are_two_clusters():
    vectors = np.repeat(np.eye(2, 8, dtype=np.float32), 200, axis=0)
    assert find_communities(vectors).tolist() == [0] * 200 + [1] * 200


@pytest.mark.parametrize("n", [1, 2, 300])
def test_rows_that_are_all_equal_are_one_cluster(n):
    assert find_communities(np.ones((n, 8), dtype=np.float32)).tolist() == [0] * n


def test_empty_texts_are_labelled_too():
    vectors, _ = topics([30, 20, 20])
    one = vectors.copy()
    one[5] = 0
    labels = find_communities(one)
    assert_well_numbered(labels, len(one))
    assert labels[5] == 0
    many = np.vstack([vectors, np.zeros((6, 64), dtype=np.float32)])
    labels = find_communities(many)
    assert set(np.flatnonzero(labels == labels[-1])) == set(range(len(vectors), len(many)))
    assert find_communities(np.zeros((3, 4), dtype=np.float32)).tolist() == [0, 0, 0]


def test_a_loose_row_joins_the_nearest_cluster():
    vectors, topic = topics([30, 30])
    away = vectors[topic == 1].mean(axis=0) + 3 * np.random.default_rng(5).normal(size=64)
    labels = find_communities(np.vstack([vectors, away[None]]).astype(np.float32))
    assert labels[-1] == labels[np.flatnonzero(topic == 1)[0]]


@pytest.mark.parametrize("min_size", [2, 5, 15])
def test_no_cluster_is_smaller_than_asked(min_size):
    vectors, _ = topics([60, 60, 10, 4, 3, 2])
    assert np.bincount(find_communities(vectors, min_size=min_size)).min() >= min_size


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        (np.zeros(5, dtype=np.float32), "two dimensions"),
        (np.array([[1, 2], [np.nan, 1]], dtype=np.float32), r"rows \[1\]"),
    ],
    ids=["flat", "nan"],
)
def test_unusable_vectors_are_refused(vectors, told):
    with pytest.raises(ValueError, match=told):
        find_communities(vectors)


def test_settings_below_one_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        find_communities(np.eye(3, dtype=np.float32), min_size=0)


def test_neighbours_by_cells_are_nearly_those_of_the_exact_search():
    vectors, _ = topics([100] * 40, spread=1.0)
    units = unit_rows(vectors)
    exact = nearest_neighbours(units, 10)
    coarse = nearest_neighbours(units, 10, exact_rows=0)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.indices, coarse.indices, strict=True)]
    assert np.mean(shared) > 9
    assert (coarse.indices != np.arange(len(units))[:, None]).all()
    assert (np.diff(coarse.similarities, axis=1) <= 0).all()


def test_neighbours_by_cells_survive_one_overfull_cell():
    rng = np.random.default_rng(0)
    dense = np.ones((3_000, 16)) + 0.01 * rng.normal(size=(3_000, 16))
    units = unit_rows(np.vstack([dense, rng.normal(size=(1_000, 16))]).astype(np.float32))
    found = nearest_neighbours(units, 5, exact_rows=0)
    assert (found.indices >= 0).all()
    assert np.median(found.similarities[:3_000, -1]) > 0.999


def test_importing_the_module_loads_nothing_heavy():
    code = (
        "import sys, text_lloom.analysis.communities, text_lloom.operators.plan\n"
        "print([name for name in ('sklearn', 'scipy', 'graspologic_native') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def brute_force(units, k):
    found = units @ units.T
    np.fill_diagonal(found, -np.inf)
    order = np.argsort(-found, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(found, order, axis=1)


@pytest.mark.parametrize("k", [1, 4, 29, 30, 99])
def test_the_exact_search_finds_the_nearest_others_in_order(k):
    vectors, _ = topics([10] * 3, spread=1.0)
    found = nearest_neighbours(unit_rows(vectors), k)
    indices, similarities = brute_force(unit_rows(vectors), min(k, 29))
    assert found.indices.tolist() == indices.tolist()
    np.testing.assert_allclose(found.similarities, similarities, atol=1e-6)
    assert (found.indices.dtype, found.similarities.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize(
    ("n", "k", "shape"), [(0, 3, (0, 0)), (1, 3, (1, 0)), (5, 0, (5, 0)), (3, 5, (3, 2))]
)
def test_there_are_no_more_neighbours_than_other_rows(n, k, shape):
    assert nearest_neighbours(np.ones((n, 2), np.float32), k).indices.shape == shape


def test_a_search_in_blocks_finds_what_one_in_a_piece_finds(monkeypatch):
    vectors, _ = topics([10] * 5, spread=1.0)
    units = unit_rows(vectors)
    whole = nearest_neighbours(units, 6)
    monkeypatch.setattr("text_lloom.analysis.neighbours._BLOCK_ENTRIES", 130)
    parts = nearest_neighbours(units, 6)
    assert whole.indices.tolist() == parts.indices.tolist()


def test_rows_are_scaled_whatever_their_size():
    rows = np.array([[3e37, 4e37], [3e-37, 4e-37], [0, 0], [-3, 4]], dtype=np.float32)
    units = unit_rows(rows)
    np.testing.assert_allclose(units, [[0.6, 0.8], [0.6, 0.8], [0, 0], [-0.6, 0.8]], atol=1e-4)
    assert unit_rows(np.array([[3, 4]])).dtype == np.float32
    with pytest.raises(ValueError, match=r"rows \[0, 1, 2, 3, 4\]"):
        unit_rows(np.full((9, 2), np.inf, np.float32))


@pytest.mark.parametrize("features", [8, 24, 25, 200])
def test_equal_rows_are_folded_and_can_be_unfolded(features):
    rng = np.random.default_rng(0)
    distinct = unit_rows(rng.normal(size=(20, features)).astype(np.float32))
    which = rng.integers(0, 20, size=100)
    units = distinct[which]
    folded = fold_identical(units)
    np.testing.assert_array_equal(units[folded.first][folded.inverse], units)
    assert len(folded.first) == len(set(which.tolist()))
    assert folded.counts.tolist() == np.bincount(folded.inverse).tolist()
    assert folded.counts.sum() == 100


def test_the_direction_of_a_cluster_is_that_of_its_members():
    units = unit_rows(np.array([[1, 0], [0, 1], [0, -1], [-1, 0], [1, 0]], dtype=np.float32))
    means = cluster_means(units, np.array([0, 0, 2, 3, 3]), 4)
    np.testing.assert_allclose(means, [[0.7071, 0.7071], [0, 0], [0, -1], [0, 0]], atol=1e-4)


def test_members_of_clusters_that_are_too_small_join_the_nearest():
    vectors, topic = topics([40, 40, 3], spread=0.3)
    closer = 0.8 * vectors[topic == 1].mean(axis=0) + 0.2 * vectors[topic == 2]
    vectors[topic == 2] = closer
    labels = find_communities(vectors, min_size=5)
    assert len(set(labels)) == 2
    assert set(labels[topic == 2]) == set(labels[topic == 1])


def test_nothing_but_small_clusters_is_one_cluster():
    vectors, _ = topics([3, 3, 3], spread=0.1)
    assert find_communities(vectors, min_size=20).tolist() == [0] * 9
    assert find_communities(np.eye(4, dtype=np.float32), min_size=1).max() >= 0


def test_many_texts_of_few_topics_stay_in_few_clusters():
    vectors, topic = topics([700] * 3)
    labels = find_communities(vectors)
    assert labels.max() == 2
    assert adjusted_rand_score(topic, labels) > 0.97


@pytest.fixture
def hdbscan_calls(monkeypatch):
    """Stands in for the packages of the extra `umap`; keeps what they are given."""
    calls = {"labels": [2, 2, -1, 0, 1, 1, 1, 0, 1, 2, 2, 2]}

    def maker(name):
        class Made:
            def __init__(self, **options):
                calls[name] = options

            def fit_transform(self, rows):
                return rows[:, : calls[name]["n_components"]]

            def fit_predict(self, rows):
                calls["reduced"] = rows
                return np.array(calls["labels"])

        return Made

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=maker("umap")))
    monkeypatch.setitem(sys.modules, "hdbscan", SimpleNamespace(HDBSCAN=maker("hdbscan")))
    return calls


def test_hdbscan_numbers_clusters_by_size_and_leaves_noise_out(hdbscan_calls):
    rows, _ = topics([12])
    labels = cluster_vectors(rows, method="hdbscan", random_state=7)
    assert labels.tolist() == [0, 0, -1, 2, 1, 1, 1, 2, 1, 0, 0, 0]
    assert labels.dtype == np.int64
    assert hdbscan_calls["umap"] == {
        "n_neighbors": 11,
        "n_components": 5,
        "min_dist": 0.0,
        "metric": "cosine",
        "random_state": 7,
        "n_jobs": 1,  # other numbers make the result depend on the machine
    }
    assert hdbscan_calls["hdbscan"] == {"min_cluster_size": 5, "metric": "euclidean"}
    assert hdbscan_calls["reduced"].shape == (12, 5)
    hdbscan_calls["labels"] = [-1] * 12
    assert cluster_vectors(rows, method="hdbscan").tolist() == [-1] * 12


@pytest.mark.parametrize(
    ("n", "given", "size"), [(12, 3, 3), (12, 40, 6), (12, None, 5), (700, None, 7), (799, None, 7)]
)
def test_hdbscan_clusters_have_a_hundredth_of_the_items_or_five(hdbscan_calls, n, given, size):
    hdbscan_calls["labels"] = [0] * n
    cluster_vectors(topics([n])[0], method="hdbscan", min_cluster_size=given)
    assert hdbscan_calls["hdbscan"]["min_cluster_size"] == size
    assert isinstance(hdbscan_calls["hdbscan"]["min_cluster_size"], int)
    assert hdbscan_calls["umap"]["n_neighbors"] == min(15, n - 1)


def test_few_items_are_clustered_without_hdbscan(hdbscan_calls):
    rows, _ = topics([5, 4])
    np.testing.assert_array_equal(
        cluster_vectors(rows, method="hdbscan", random_state=3), find_communities(rows, random_state=3)
    )
    assert "umap" not in hdbscan_calls
    hdbscan_calls["labels"] = [0] * 10
    cluster_vectors(topics([10])[0], method="hdbscan")
    assert hdbscan_calls["umap"]["n_components"] == 5


def test_communities_keep_to_the_smallest_size_given():
    rows, _ = topics([30, 20, 3])
    np.testing.assert_array_equal(
        cluster_vectors(rows, random_state=2), find_communities(rows, random_state=2)
    )
    np.testing.assert_array_equal(
        cluster_vectors(rows, min_cluster_size=8), find_communities(rows, min_size=8)
    )
    assert np.bincount(cluster_vectors(rows, min_cluster_size=8)).min() >= 8


def test_unusable_clustering_settings_are_refused(monkeypatch):
    rows, _ = topics([12])
    with pytest.raises(InputError, match="min_cluster_size=0 must be at least 1"):
        cluster_vectors(rows, min_cluster_size=0)
    with pytest.raises(UnknownName, match=r"kmeans.*communities.*hdbscan"):
        cluster_vectors(rows, method="kmeans")
    monkeypatch.setitem(sys.modules, "hdbscan", None)
    with pytest.raises(MissingPackage, match="umap-learn and hdbscan"):
        cluster_vectors(rows, method="hdbscan")
