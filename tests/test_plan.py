"""The plan of synthesis requests: bounded, similar items together, as many concepts as there are."""

from itertools import pairwise

import numpy as np
import pytest

from text_lloom.analysis.communities import find_communities
from text_lloom.operators.plan import SynthesisRequest, plan_requests


def topics(sizes, *, seed=0, features=64, spread=0.6):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), features))
    topic = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = centres[topic] + spread * rng.normal(size=(len(topic), features))
    return rows.astype(np.float32), topic


def plan(vectors, **settings):
    return plan_requests(vectors, find_communities(vectors), **settings)


def shown(requests):
    return [row for request in requests for row in request.items]


def asked(requests):
    return sum(request.n_concepts for request in requests)


def nameable(requests, topic):
    """Topics a perfect model names: seen twice in a request, no more of them than it asks for."""
    found = set()
    for request in requests:
        names, counts = np.unique(topic[list(request.items)], return_counts=True)
        often = np.lexsort((names, -counts))[: request.n_concepts]
        found.update(names[often][counts[often] >= 2].tolist())
    return found


@pytest.mark.parametrize("sizes", [[3], [40], [41], [30] * 20, [200, 150, 50, 10, 4, 3]], ids=str)
def test_every_item_is_shown_once_and_requests_are_bounded(sizes):
    vectors, topic = topics(sizes)
    requests = plan(vectors)
    assert sorted(shown(requests)) == list(range(len(topic)))
    assert all(1 <= len(request.items) <= 40 for request in requests)
    assert all(request.n_concepts >= 1 for request in requests)


def test_nothing_to_show_gives_no_request():
    assert plan_requests(np.empty((0, 8), dtype=np.float32), np.empty(0, dtype=np.int64)) == []


def test_one_item_is_still_asked_about():
    expected = [SynthesisRequest(cluster_id=0, items=(0,), n_concepts=1)]
    assert plan(np.ones((1, 8), dtype=np.float32)) == expected


def test_same_input_and_seed_give_the_same_requests():
    vectors, _ = topics([200] * 15, spread=1.0)
    labels = find_communities(vectors)
    first = plan_requests(vectors, labels, random_state=4)
    assert first == plan_requests(vectors, labels, random_state=4)


def test_small_clusters_share_requests():
    vectors, _ = topics([5] * 60)
    requests = plan(vectors)
    assert len(requests) <= 12
    assert all(request.n_concepts >= 5 for request in requests if len(request.items) >= 35)


def test_a_request_is_told_the_cluster_most_of_it_comes_from():
    vectors, _ = topics([30, 6])
    labels = find_communities(vectors)
    (request,) = plan_requests(vectors, labels)
    assert np.bincount(labels[list(request.items)]).argmax() == request.cluster_id


def test_items_of_a_cluster_stand_side_by_side():
    vectors, _ = topics([12] * 10)
    labels = find_communities(vectors)
    for request in plan_requests(vectors, labels):
        run = labels[list(request.items)]
        assert (np.diff(run) != 0).sum() + 1 == len(set(run.tolist()))


def test_a_homogeneous_cluster_is_asked_for_little():
    same, _ = topics([38], spread=0.3)
    mixed, _ = topics([6] * 6, spread=0.3)
    one_cluster = np.zeros(38, dtype=np.int64)
    (of_same,) = plan_requests(same, one_cluster)
    (of_mixed,) = plan_requests(mixed, one_cluster[:36])
    assert of_same.n_concepts <= 2
    assert of_mixed.n_concepts == 6


def test_requests_and_concepts_grow_with_the_topics():
    plans = [plan(topics([15] * n_topics)[0]) for n_topics in (4, 12, 36)]
    assert [len(a) < len(b) for a, b in pairwise(plans)] == [True, True]
    for requests, n_topics in zip(plans, (4, 12, 36), strict=True):
        assert n_topics <= asked(requests) <= 4 * n_topics


@pytest.mark.parametrize("n", [200, 500, 1_000, 3_000])
def test_every_topic_can_be_named_however_many_documents(n):
    rng = np.random.default_rng(n)
    sizes = rng.multinomial(n - 20, np.full(25, 1 / 25)).tolist() + [4] * 5
    vectors, topic = topics(sizes, spread=0.6)
    assert len(nameable(plan(vectors, target=30), topic)) == 30


@pytest.mark.parametrize("target", [5, 20, 80])
def test_total_asked_for_keeps_to_the_target(target):
    vectors, _ = topics([20] * 40, spread=0.8)
    requests = plan(vectors, target=target)
    assert 2 * target <= asked(requests) <= max(4 * target, len(requests))


@pytest.mark.parametrize("n_concepts", [1, 3])
def test_user_bound_holds_for_each_cluster(n_concepts):
    vectors, _ = topics([150, 100, 30, 8, 8], spread=0.8)
    labels = find_communities(vectors)
    requests = plan_requests(vectors, labels, n_concepts=n_concepts)
    assert set(labels[shown(requests)]) == set(labels)
    assert asked(requests) <= n_concepts * (labels.max() + 1)
    for request in requests:
        clusters = set(labels[list(request.items)].tolist())
        assert request.n_concepts <= n_concepts * len(clusters)


def test_copies_are_shown_a_few_times_only():
    vectors, _ = topics([20, 20, 20])
    with_copies = np.vstack([vectors, np.repeat(vectors[:1], 300, axis=0)])
    rows = shown(plan(with_copies))
    copies = [row for row in rows if row == 0 or row >= 60]
    assert len(copies) == 2
    assert len(rows) <= 61


def test_large_corpora_show_part_of_every_cluster():
    sizes = [1_500] * 6 + [8] * 6
    vectors, topic = topics(sizes, features=32, spread=0.5)
    requests = plan(vectors)
    rows = shown(requests)
    assert len(rows) == len(set(rows))
    assert len(rows) <= 5_000
    assert np.bincount(topic[rows]).min() >= 4
    assert nameable(requests, topic) == set(range(12))


def test_requests_grow_more_slowly_than_large_corpora():
    def count(n):
        vectors, topic = topics([n // 20] * 20, features=16)
        return len(plan_requests(vectors, topic))

    assert count(20_000) <= 4 * count(2_000)


def test_where_only_some_are_shown_different_documents_come_first():
    rng = np.random.default_rng(0)
    vectors = (np.ones(16) + 0.5 * rng.normal(size=(9_000, 16))).astype(np.float32)
    document_of = [0] * 4_500 + list(range(1, 4_501))
    labels = np.repeat(np.arange(3), 3_000)[rng.permutation(9_000)]
    rows = shown(plan_requests(vectors, labels, document_of=document_of, target=10))
    assert len({document_of[row] for row in rows}) > 0.6 * len(rows)


def test_thousands_of_tiny_clusters_are_packed():
    vectors, topic = topics([2] * 2_500, features=32)
    requests = plan_requests(vectors, topic, target=20)
    assert len(requests) <= 250
    assert asked(requests) <= max(80, len(requests))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_items": 0}, "max_items"),
        ({"n_concepts": 0}, "n_concepts"),
        ({"target": 0}, "target"),
        ({"document_of": [1]}, "one entry per item"),
    ],
    ids=["max_items", "n_concepts", "target", "document_of"],
)
def test_unusable_settings_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        plan_requests(np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.int64), **settings)


def test_groups_of_one_document_add_no_concept_to_ask_for():
    vectors, topic = topics([6] * 4, spread=0.3)
    labels = np.zeros(24, dtype=np.int64)
    [apart] = plan_requests(vectors, labels)
    assert apart.n_concepts == 4
    [of_one_each] = plan_requests(vectors, labels, document_of=topic)
    assert of_one_each.n_concepts == 1
    first_two = np.where(topic < 2, topic, 4 + np.arange(24))
    [of_two] = plan_requests(vectors, labels, document_of=first_two)
    assert of_two.n_concepts == 2


def at_angles(*degrees):
    """Rows of two numbers that point in these directions."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def groups_of(vectors, labels, **settings):
    requests = plan_requests(vectors, np.array(labels, dtype=np.int64), **settings)
    return [sorted(request.items) for request in requests]


TWO_TRIPLES = at_angles(0, 90, 13, 103, 26, 116)


@pytest.mark.parametrize(
    ("settings", "shown_together"),
    [
        pytest.param({"max_items": 6}, [[0, 1, 2, 3, 4, 5]], id="all-fit"),
        pytest.param({"max_items": 5}, [[0, 2, 4], [1, 3, 5]], id="cut-where-they-part"),
        pytest.param({"max_items": 3}, [[0, 2, 4], [1, 3, 5]], id="just-fit"),
        pytest.param({"max_items": 2}, [[0, 2], [1, 3], [4], [5]], id="cut-again"),
        pytest.param({"max_items": 1}, [[0], [1], [2], [3], [4], [5]], id="one-each"),
    ],
)
def test_a_large_cluster_is_cut_where_its_items_part(settings, shown_together):
    cut = groups_of(TWO_TRIPLES, [0] * 6, **settings)
    assert len(cut) == len(shown_together)
    if settings["max_items"] != 2:
        assert sorted(cut) == shown_together
    assert all({row % 2 for row in rows} in ({0}, {1}) for rows in cut) or settings["max_items"] == 6


def test_a_cluster_with_few_concepts_to_ask_for_is_cut_into_no_more_parts():
    vectors = at_angles(*range(0, 170, 17))
    few = plan_requests(vectors, np.zeros(10, dtype=np.int64), max_items=4, n_concepts=2)
    assert [len(request.items) for request in few] == [4, 4]
    assert [request.n_concepts for request in few] == [1, 1]
    assert len(plan_requests(vectors, np.zeros(10, dtype=np.int64), max_items=4)) == 3


def test_neighbouring_clusters_share_a_request():
    vectors = at_angles(0, 15, 90, 105, 30, 45, 135, 150)
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    shared = groups_of(vectors, labels, max_items=4)
    assert sorted(shared) == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert len(groups_of(vectors, labels, max_items=3)) == 4
    assert groups_of(vectors, labels, max_items=8) == [list(range(8))]
    assert groups_of(vectors, [-1, -1, 7, 7, 7, 7, -1, -1]) == [[2, 3, 4, 5]]
    [request] = plan_requests(vectors, np.array([-1, -1, 7, 7, 7, 7, -1, -1]))
    assert request.cluster_id == 7


@pytest.mark.parametrize(
    ("document_of", "expected"),
    [
        pytest.param(None, [[0, 1, 5]], id="copies-of-several-documents"),
        pytest.param([0, 0, 0, 0, 0, 1], [[0, 5]], id="copies-within-one"),
        pytest.param([0, 0, 1, 1, 2, 3], [[0, 2, 5]], id="some-of-each"),
    ],
)
def test_two_copies_of_an_item_are_shown_and_one_of_each_document(document_of, expected):
    vectors = at_angles(0, 0, 0, 0, 0, 60)
    assert groups_of(vectors, [0] * 6, document_of=document_of) == expected


def test_items_that_are_almost_copies_are_shown_twice():
    assert groups_of(at_angles(0, 3, 6, 9, 60), [0] * 5) == [[0, 1, 4]]
    assert groups_of(at_angles(0, 11, 22, 33, 60), [0] * 5) == [[0, 1, 2, 3, 4]], "these are not"


@pytest.mark.parametrize(
    ("n", "target", "asked_for"),
    [
        pytest.param(12, None, 1, id="by-structure"),
        pytest.param(12, 1, 2, id="twice-the-target"),
        pytest.param(12, 10, 4, id="a-third-of-the-items"),
        pytest.param(14, 10, 4, id="a-third-rounded-down"),
        pytest.param(6, 10, 2, id="a-third-of-few-items"),
    ],
)
def test_a_target_has_more_asked_of_what_holds_together(n, target, asked_for):
    vectors = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32) + 1.0
    [request] = plan_requests(vectors, np.zeros(n, dtype=np.int64), target=target)
    assert request.n_concepts == asked_for


@pytest.mark.parametrize(("target", "total"), [(None, 8), (1, 4), (2, 8), (3, 8)])
def test_a_target_has_less_asked_of_many_groups(target, total):
    vectors, topic = topics([6] * 8, spread=0.3)
    labels = (topic >= 4).astype(np.int64)
    requests = plan_requests(vectors, labels, max_items=24, target=target)
    assert len(requests) == 2
    assert asked(requests) == total
    assert [request.n_concepts for request in requests] == [total // 2] * 2


def test_what_one_cluster_may_be_asked_for_is_shared_out_over_its_parts():
    vectors, _ = topics([6] * 8, spread=0.3)
    requests = plan_requests(vectors, np.zeros(48, dtype=np.int64), max_items=24, n_concepts=4)
    assert [request.n_concepts for request in requests] == [2, 1, 1]
    assert asked(plan_requests(vectors, np.zeros(48, dtype=np.int64), max_items=24, n_concepts=99)) == 8


def test_one_concept_for_five_items_is_asked_for_at_most():
    vectors, _ = topics([2] * 5, spread=0.2)
    [request] = plan_requests(vectors, np.zeros(10, dtype=np.int64))
    assert request.n_concepts == 2
