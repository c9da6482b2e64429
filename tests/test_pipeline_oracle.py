"""What the pipeline can find at all: every model is replaced by one that knows the gold classes.

The oracle names the classes with at least two documents in the prompt, but never more than the prompt asks
for, and merges concepts of one class. Distillation and embeddings are the local engine's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from text_lloom import workbench as wb
from text_lloom.llm import LocalModel
from text_lloom.tasks import MergeGroup, Pattern, ReviewMerge, SynthesizeConcepts
from text_lloom.testing import TaskModel

pytestmark = pytest.mark.corpora


def oracle(gold: Mapping[Hashable, str]) -> TaskModel:
    """A model that knows the class of every document."""

    def synthesize(task: SynthesizeConcepts) -> list[Pattern]:
        shown: dict[str, dict[Hashable, list[int]]] = {}
        for position, item in enumerate(task.items):
            shown.setdefault(gold[item.doc_id], {}).setdefault(item.doc_id, []).append(position)
        named = [
            Pattern(
                name, f"Does the text ask about {name}?", tuple(p for at in documents.values() for p in at)
            )
            for name, documents in sorted(shown.items(), key=lambda pair: (-len(pair[1]), pair[0]))
            if len(documents) >= 2
        ]
        return named[: task.n_concepts]

    def merge(task: ReviewMerge) -> list[MergeGroup]:
        groups: dict[str, list[str]] = {}
        for candidate in task.candidates:
            groups.setdefault(candidate.concept.name, []).append(candidate.concept.id)
        return [
            MergeGroup(tuple(ids), name, f"Does the text ask about {name}?")
            for name, ids in groups.items()
            if len(ids) > 1
        ]

    answers = {"synthesize": synthesize, "review_merge": merge, "review_remove": lambda _: []}
    return TaskModel(answers, fallback=LocalModel())


def found_classes(texts: pd.DataFrame, *, target: int, **params: int) -> list[str]:
    """Class names of the concepts that a session generates with a perfect model."""
    documents = texts.reset_index(drop=True).rename_axis("row").reset_index()
    gold = dict(zip(documents["row"].tolist(), documents["category"].tolist(), strict=True))
    model = oracle(gold)
    session = wb.lloom(documents, "text", "row", model, "local", model, model)
    session.sync.gen(params={"target_n_concepts": target, **params}, debug=False)
    return [concept.name for concept in session.concepts.values()]


@pytest.fixture(scope="module")
def queries(corpora: Path) -> pd.DataFrame:
    folder = corpora / "banking77"
    return pd.concat([pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")], ignore_index=True)


def test_default_target_gives_distinct_concepts(queries: pd.DataFrame) -> None:
    names = found_classes(queries.sample(1000, random_state=1), target=20)
    assert len(names) == 20
    assert len(set(names)) >= 18


@pytest.mark.parametrize("seed", [1, 2])
def test_most_of_77_classes_are_found_when_80_are_asked_for(queries: pd.DataFrame, seed: int) -> None:
    names = found_classes(queries.sample(1000, random_state=seed), target=80)
    assert len(set(names)) >= 66
    assert len(names) == len(set(names)), "equal concepts from different requests were not merged"


@pytest.mark.slow
def test_nothing_is_lost_as_the_corpus_grows(queries: pd.DataFrame) -> None:
    shuffled = queries.sample(3000, random_state=3)
    found = {}
    for n in (200, 500, 1000, 3000):
        part = shuffled.head(n)
        present = sum(count >= 2 for count in Counter(part["category"]).values())
        found[n] = (len(set(found_classes(part, target=80))), present)
    assert found[200][0] >= 0.75 * found[200][1], found
    assert found[500][0] >= found[200][0], found
    assert found[1000][0] >= found[500][0] - 1, found
    assert found[3000][0] >= found[1000][0] - 1, found


@pytest.mark.parametrize("n", [200, 1000, 3000], ids=["200", "1000", "3000"])
def test_broad_classes_are_found_at_any_size(queries: pd.DataFrame, n: int) -> None:
    broad = sorted(queries["category"].unique())
    merged = queries.assign(category=queries["category"].map(lambda name: f"group {broad.index(name) % 20}"))
    names = found_classes(merged.sample(n, random_state=4), target=20)
    assert len(set(names)) >= 17


def test_documents_of_several_sentences(queries: pd.DataFrame) -> None:
    """Long documents: three queries of one class each."""
    parts = queries.sample(1500, random_state=5).sort_values("category", kind="stable")
    rows = []
    for category, group in parts.groupby("category", sort=True):
        texts = group["text"].tolist()
        for at in range(0, len(texts) - 2, 3):
            rows.append({"text": " ".join(texts[at : at + 3]), "category": category})
    documents = pd.DataFrame(rows)
    names = found_classes(documents, target=80)
    present = sum(count >= 2 for count in Counter(documents["category"]).values())
    assert len(set(names)) >= 0.85 * present
