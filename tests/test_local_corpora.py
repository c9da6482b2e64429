"""The local engine on real corpora: names that can be shown, scores that separate, speed."""

from __future__ import annotations

import csv
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.local import LocalEngine
from text_lloom.local.evidence import terms_of
from text_lloom.local.reading import Reader
from text_lloom.local.stopwords import FUNCTION_WORDS
from text_lloom.tasks import (
    Candidate,
    FilterQuotes,
    Item,
    ReviewMerge,
    ScoreDocuments,
    SelectConcepts,
    SummarizeDocument,
    SynthesizeConcepts,
)

pytestmark = pytest.mark.corpora

CORPORA = [
    pytest.param("lloom4/political_fb_posts_100.csv", "text", id="posts"),
    pytest.param("lloom4/toxicity_feminism_200.csv", "comment", id="comments"),
    pytest.param("lloom4/uist_abstracts_210.csv", "text", id="abstracts"),
    pytest.param("lloom4/neurips_statements_150.csv", "text", id="statements"),
    pytest.param("banking77/test.csv", "text", id="queries"),
]


def read(path: Path, column: str) -> list[str]:
    csv.field_size_limit(10_000_000)
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


@dataclass(frozen=True)
class Run:
    """What the engine made of a corpus."""

    texts: list[str]
    quotes: list[list[str]]
    bullets: list[list[str]]
    concepts: list[Concept]
    scores: np.ndarray


def run(texts: list[str]) -> Run:
    from sklearn.cluster import KMeans

    engine = LocalEngine(texts)
    quotes = engine.solve([FilterQuotes(n, text) for n, text in enumerate(texts)])
    bullets = engine.solve([SummarizeDocument(n, "\n".join(q)) for n, q in enumerate(quotes)])  # type: ignore[arg-type]
    items = [Item(n, bullet) for n, found in enumerate(bullets) for bullet in found]  # type: ignore[attr-defined]
    vectors = engine.embed([item.text for item in items])
    labels = KMeans(max(2, len(items) // 40), n_init=1, random_state=0).fit_predict(vectors)
    groups = [
        [items[row] for row in np.flatnonzero(labels == label)[:40]] for label in range(labels.max() + 1)
    ]
    found = engine.solve([SynthesizeConcepts(tuple(group), 3) for group in groups])
    candidates = []
    for group, patterns in zip(groups, found, strict=True):
        for pattern in patterns:  # type: ignore[attr-defined]
            evidence = tuple(group[position].text for position in pattern.items)
            concept = Concept(pattern.name, pattern.criteria, id=f"c{len(candidates)}")
            candidates.append(Candidate(concept, len(evidence), evidence))
    merged = engine.solve([ReviewMerge(tuple(candidates))])[0]
    absorbed = {i for group in merged for i in group.concept_ids[1:]}  # type: ignore[attr-defined]
    left = tuple(candidate for candidate in candidates if candidate.concept.id not in absorbed)
    chosen = engine.solve([SelectConcepts(left, 8)])[0]
    concepts = [c.concept for c in left if c.concept.id in chosen]  # type: ignore[operator]
    documents = tuple(Document(n, text) for n, text in enumerate(texts))
    scored = engine.solve([ScoreDocuments(documents, tuple(concepts))])[0]
    values = np.array([entry.judgement.score for entry in scored])  # type: ignore[attr-defined]
    return Run(texts, quotes, bullets, concepts, values.reshape(len(texts), len(concepts)))  # type: ignore[arg-type]


_RUNS: dict[str, Run] = {}


@pytest.fixture
def result(request: pytest.FixtureRequest, corpora: Path) -> Run:
    name, column = request.param
    if name not in _RUNS:
        _RUNS[name] = run(read(corpora / name, column))
    return _RUNS[name]


every_corpus = pytest.mark.parametrize(
    "result", [pytest.param(tuple(corpus.values), id=corpus.id) for corpus in CORPORA], indirect=True
)


@every_corpus
def test_quotes_and_bullets(result: Run) -> None:
    for text, quotes, bullets in zip(result.texts, result.quotes, result.bullets, strict=True):
        assert quotes
        assert all(quote in text for quote in quotes)
        assert bullets
        assert all(0 < len(bullet) <= 160 for bullet in bullets)


@every_corpus
def test_names_can_be_shown(result: Run) -> None:
    assert len(result.concepts) == 8
    assert len({concept.name for concept in result.concepts}) == 8
    for concept in result.concepts:
        words = concept.name.lower().replace("-", " ").split()
        assert 1 <= len(words) <= 5
        assert words[0] not in FUNCTION_WORDS["en"]
        assert words[-1] not in FUNCTION_WORDS["en"]
        assert len(set(words)) == len(words)
        assert not any(word.isdigit() or word in {"http", "https", "www", "com"} for word in words)
        assert concept.criteria.startswith("Does the text ")


@every_corpus
def test_names_and_criteria_are_made_of_words_of_the_corpus(result: Run) -> None:
    reader = Reader()
    having = Counter(key for text in result.texts for key in set(reader(text).content_keys()))
    for concept in result.concepts:
        named, asked, listed = terms_of(concept, reader)
        assert named
        assert not asked
        assert all(having[key] >= 2 for key in (*named, *listed))
        assert len(listed) <= 6


@every_corpus
def test_scores_separate(result: Run) -> None:
    matched = (result.scores == 1.0).mean(axis=0)
    assert (matched > 0).all()
    assert (matched <= 0.25).all()
    assert (result.scores == 0).mean() > 0.5
    assert (matched >= 0.01).mean() >= 0.5


def test_scores_find_labelled_intents(corpora: Path) -> None:
    texts = read(corpora / "banking77/test.csv", "text")
    labels = np.array(read(corpora / "banking77/test.csv", "category"))
    names = [
        "exchange_rate",
        "lost_or_stolen_card",
        "verify_my_identity",
        "cash_withdrawal_charge",
        "age_limit",
    ]
    concepts = tuple(
        Concept(name.replace("_", " ").title(), f"Does the text ask about {name.replace('_', ' ')}?", id=name)
        for name in names
    )
    documents = tuple(Document(n, text) for n, text in enumerate(texts))
    scored = LocalEngine(texts).solve([ScoreDocuments(documents, concepts)])[0]
    values = np.array([e.judgement.score for e in scored]).reshape(len(texts), -1)  # type: ignore[attr-defined]
    for column, name in enumerate(names):
        relevant = labels == name
        assert values[relevant, column].mean() > 5 * values[~relevant, column].mean(), name


def test_speed(corpora: Path) -> None:
    """At most 120 times as long as counting the words twenty times: some 5,000 texts a minute, or more."""
    texts = read(corpora / "banking77/test.csv", "text")
    concepts = tuple(
        Concept(name, f"Does the text discuss {name.lower()}?")
        for name in (
            "Card Payment",
            "Exchange Rate",
            "Lost Card",
            "Top Up Limit",
            "Refund",
            "Cash Withdrawal",
            "Identity Check",
            "Pending Transfer",
            "PIN Code",
            "Extra Fee",
        )
    )
    start = time.process_time()
    for _ in range(20):
        for text in texts:
            Counter(re.findall(r"\w+", text.lower()))
    counting = time.process_time() - start
    engine = LocalEngine(texts)
    start = time.process_time()
    quotes = engine.solve([FilterQuotes(n, text) for n, text in enumerate(texts)])
    bullets = engine.solve([SummarizeDocument(n, "\n".join(q)) for n, q in enumerate(quotes)])  # type: ignore[arg-type]
    engine.embed([bullet for found in bullets for bullet in found])  # type: ignore[attr-defined]
    engine.solve([ScoreDocuments((Document(n, text),), concepts) for n, text in enumerate(texts)])
    assert time.process_time() - start < 120 * counting
