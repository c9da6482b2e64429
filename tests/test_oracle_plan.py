"""What a perfect model could find on real corpora: the losses that clustering and planning cause.

The oracle knows the gold class of each text. When asked to synthesize, it names classes with at least two
texts in the prompt, but never more than the prompt asks for. Embeddings are TF-IDF + SVD, the weakest that
users will have.
"""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from text_lloom.analysis.communities import find_communities
from text_lloom.operators.plan import plan_requests

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "data"

pytestmark = [
    pytest.mark.corpora,
    pytest.mark.skipif(not CORPORA.is_dir(), reason=f"the real corpora are not at {CORPORA}"),
]


def embed(texts):
    weights = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)
    size = min(100, min(weights.shape) - 1)
    return TruncatedSVD(size, random_state=0).fit_transform(weights).astype(np.float32)


def codes(names):
    return np.unique(names, return_inverse=True)[1]


@pytest.fixture(scope="module")
def banking77():
    rows = []
    for part in ("train", "test"):
        with (CORPORA / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            rows.extend((row["text"], row["category"]) for row in csv.DictReader(file))
    return np.array([text for text, _ in rows], dtype=object), codes([name for _, name in rows])


@pytest.fixture(scope="module")
def goemotions():
    with (CORPORA / "goemotions" / "train.tsv").open(encoding="utf-8") as file:
        rows = [line.split("\t")[:2] for line in file]
    single = [(text, label) for text, label in rows if "," not in label]
    return np.array([text for text, _ in single], dtype=object), codes([label for _, label in single])


def sample(corpus, n, seed):
    texts, gold = corpus
    rows = np.random.default_rng(seed).permutation(len(gold))[:n]
    return texts[rows], gold[rows]


def name_classes(requests, gold, documents, rng=None):
    """Documents cited for each class the oracle names; random choice of names with `rng`."""
    cited = {}
    for request in requests:
        shown = {}
        for item in request.items:
            shown.setdefault(int(gold[item]), set()).add(int(documents[item]))
        named = sorted((name for name in shown if len(shown[name]) > 1), key=lambda c: -len(shown[c]))
        if rng is not None:
            rng.shuffle(named)
        for name in named[: request.n_concepts]:
            cited.setdefault(name, set()).update(shown[name])
    return cited


def oracle(texts, gold, *, target, documents=None, seed=0, adversarial=False):
    documents = np.arange(len(texts)) if documents is None else documents
    vectors = embed(texts)
    labels = find_communities(vectors, random_state=seed)
    requests = plan_requests(
        vectors, labels, target=target, document_of=documents.tolist(), random_state=seed
    )
    rng = np.random.default_rng(seed) if adversarial else None
    return requests, name_classes(requests, gold, documents, rng)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("adversarial", [False, True], ids=["frequent-first", "random-order"])
def test_a_thousand_queries_give_nearly_all_intents(banking77, seed, adversarial):
    texts, gold = sample(banking77, 1_000, seed)
    requests, cited = oracle(texts, gold, target=80, seed=seed, adversarial=adversarial)
    assert len(cited) >= 66
    assert sum(request.n_concepts for request in requests) <= 320
    assert len(requests) <= 45


def test_nothing_is_lost_as_documents_grow(banking77):
    found = []
    for n in (200, 500, 1_000, 3_000):
        texts, gold = sample(banking77, n, 0)
        found.append(len(oracle(texts, gold, target=80)[1]))
    assert all(after >= before for before, after in pairwise(found)), found
    assert found[-1] >= 74


def test_top_concepts_by_support_are_distinct_and_the_frequent_classes(banking77):
    texts, gold = sample(banking77, 1_000, 0)
    _, cited = oracle(texts, gold, target=20)
    counts = np.bincount(gold)
    frequent = set(np.argsort(-counts)[:30].tolist())
    top = sorted(cited, key=lambda name: -len(cited[name]))[:20]
    assert len(top) == 20
    assert len(frequent & set(top)) >= 12


@pytest.mark.parametrize("n", [200, 500, 1_000])
def test_broad_classes_of_several_intents_are_found_with_a_small_target(banking77, n):
    texts, gold = sample(banking77, n, 1)
    broad = gold % 20
    requests, cited = oracle(texts, broad, target=20)
    assert len(cited) >= 18
    assert sum(request.n_concepts for request in requests) <= max(80, len(requests))


def test_documents_of_several_items_each(banking77):
    texts, gold = banking77
    rng = np.random.default_rng(0)
    of_document = rng.integers(0, 77, 400)
    rows = np.concatenate([rng.choice(np.flatnonzero(gold == name), 3, False) for name in of_document])
    documents = np.repeat(np.arange(400), 3)
    _, cited = oracle(texts[rows], gold[rows], target=80, documents=documents)
    present = int((np.bincount(of_document, minlength=77) >= 2).sum())
    assert len(cited) >= 0.85 * present


def test_classes_that_are_not_topics_are_mostly_found(goemotions):
    texts, gold = sample(goemotions, 1_000, 0)
    present = int((np.bincount(gold) >= 2).sum())
    _, cited = oracle(texts, gold, target=30)
    assert len(cited) >= 0.6 * present
