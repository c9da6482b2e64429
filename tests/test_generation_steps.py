"""Generation: what each step is asked for, what it gets of the step before, what is kept where one fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL
from text_lloom.errors import StepFailed
from text_lloom.llm import LocalModel
from text_lloom.tasks import (
    FilterQuotes,
    MergeGroup,
    Pattern,
    ReviewMerge,
    ReviewRemove,
    SummarizeDocument,
    SynthesizeConcepts,
)
from text_lloom.testing import FunctionModel, TaskModel

SUBJECTS = ["The bus is late.", "Fares are high.", "Bike lanes are full.", "The library is quiet."]
PARAMS = {"filter_n_quotes": 2, "summ_n_bullets": 2, "synth_n_concepts": 8, "target_n_concepts": 8}


def corpus(n: int = 24) -> pd.DataFrame:
    texts = [f"{SUBJECTS[i % 4]} So says neighbour {i}, who has lived here for long." for i in range(n)]
    return pd.DataFrame({"key": [f"k{i:02d}" for i in range(n)], "text": texts})


def quotes(task: FilterQuotes) -> list[str]:
    return [task.text[: task.text.index(".") + 1]]


def bullets(task: SummarizeDocument) -> list[str]:
    return [task.text.split(".")[0].lower()]


def patterns(task: SynthesizeConcepts) -> list[Pattern]:
    """One concept for each text that several lines have."""
    lines: dict[str, list[int]] = {}
    for n, item in enumerate(task.items):
        lines.setdefault(item.text, []).append(n)
    return [
        Pattern(text, f"Does it say that {text}?", tuple(at)) for text, at in lines.items() if len(at) > 1
    ]


def model_of(**answers: Any) -> TaskModel:
    given = {
        "distill_filter": quotes,
        "distill_summarize": bullets,
        "synthesize": patterns,
        "review_remove": lambda _: [],
        "review_merge": lambda _: [],
    }
    return TaskModel(given | answers, fallback=LocalModel())


def generated(model: Any, frame: pd.DataFrame | None = None, **options: Any) -> wb.lloom:
    models = {**LOCAL, "distill_model": model, "synth_model": model}
    session = wb.lloom(corpus() if frame is None else frame, "text", "key", **models)
    options = {"params": PARAMS, "debug": False, **options}
    session.sync.gen(**options)
    return session


def asked(model: TaskModel, kind: type) -> Sequence[Any]:
    return [task for task in model.tasks if isinstance(task, kind)]


def test_each_step_gets_what_the_step_before_found() -> None:
    model = model_of()
    session = generated(model, seed="public transport")
    filtering, summing_up = asked(model, FilterQuotes), asked(model, SummarizeDocument)
    assert [task.doc_id for task in filtering] == corpus()["key"].tolist()
    assert {(task.n_quotes, task.seed) for task in filtering} == {(2, "public transport")}
    assert [task.text for task in summing_up] == [SUBJECTS[n % 4] for n in range(24)]
    assert {(task.n_bullets, task.n_words, task.seed) for task in summing_up} == {
        (2, "up to 12", "public transport")
    }
    shown = [item for task in asked(model, SynthesizeConcepts) for item in task.items]
    assert {item.text for item in shown} == {subject.lower().rstrip(".") for subject in SUBJECTS}
    assert {task.seed for task in asked(model, SynthesizeConcepts)} == {"public transport"}
    assert {task.seed for task in [*asked(model, ReviewRemove), *asked(model, ReviewMerge)]} == {
        "public transport"
    }
    late = next(c for c in session.concepts.values() if c.name == "the bus is late")
    assert set(late.example_ids) <= {f"k{n:02d}" for n in range(0, 24, 4)}
    assert late.seed == "public transport"
    assert [c.name for c in session.concept_history[0]] == [c.name for c in session.concepts.values()]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"params": {**PARAMS, "filter_n_quotes": 1}}, id="one-quote"),
        pytest.param({"params": {**PARAMS, "filter_n_quotes": 0}}, id="no-quote"),
        pytest.param({"custom_prompts": {"distill_filter": None}}, id="left-out"),
    ],
)
def test_documents_that_are_not_filtered_are_summed_up_whole(options: dict[str, Any]) -> None:
    model = model_of()
    generated(model, **options)
    assert asked(model, FilterQuotes) == []
    assert [task.text for task in asked(model, SummarizeDocument)] == corpus()["text"].tolist()


def test_quotes_are_grouped_as_they_are_where_bullets_are_left_out() -> None:
    model = model_of()
    generated(model, custom_prompts={"distill_summarize": None})
    assert asked(model, SummarizeDocument) == []
    assert {i.text for task in asked(model, SynthesizeConcepts) for i in task.items} == set(SUBJECTS)


def test_no_more_concepts_are_asked_for_than_the_target_allows() -> None:
    model = model_of()
    texts = [f"{word} {word} {n // 6} {word}" for n in range(60) for word in ("bus", "fare", "lane", "park")]
    frame = pd.DataFrame({"key": range(240), "text": texts})
    generated(model, frame, params={**PARAMS, "filter_n_quotes": 0, "target_n_concepts": 1})
    few = asked(model, SynthesizeConcepts)
    assert sum(task.n_concepts for task in few) <= max(4, len(few))
    model.tasks.clear()
    generated(model, frame, params={**PARAMS, "filter_n_quotes": 0, "target_n_concepts": 40})
    many = asked(model, SynthesizeConcepts)
    assert sum(task.n_concepts for task in many) > sum(task.n_concepts for task in few)


def test_at_most_as_many_concepts_per_cluster_as_the_parameter_says() -> None:
    model = model_of()
    generated(model, params={**PARAMS, "synth_n_concepts": 1})
    assert {task.n_concepts for task in asked(model, SynthesizeConcepts)} <= set(range(1, 5))
    assert sum(task.n_concepts for task in asked(model, SynthesizeConcepts)) <= 4


def test_a_document_whose_request_fails_is_represented_by_its_beginning() -> None:
    long = "The bus is late. " * 60
    frame = corpus()
    frame.loc[0, "text"] = long

    def reply(prompt: str) -> object:
        document = prompt.partition("<document>\n")[2] or prompt.partition("<text>\n")[2]
        if document.startswith("The bus is late. The bus"):
            return "I would rather not."
        if "<document>" in prompt:
            return {"quotes": [document[:12]]}
        if "<text>" in prompt:
            return {"bullets": [document.split("\n")[0]]}
        return {"patterns": [{"name": "Late", "prompt": "Is it late?", "example_ids": [1, 2, 3, 4, 5, 6]}]}

    model = FunctionModel(reply)
    with pytest.warns(UserWarning, match="could not be answered"):
        session = generated(model, frame, auto_review=False)
    [excerpt] = session._quotes["k00"]
    assert excerpt == long[:600]
    assert session._bullets["k00"] == [long[:600]]
    assert list(session._quotes) == frame["key"].tolist()
    assert set(session.failures()["step"]) == {"distill_filter", "distill_summarize"}


@pytest.mark.filterwarnings("ignore:distill_filter. 5 requests could not be answered")
def test_a_step_of_which_every_request_fails_stops_the_generation() -> None:
    model = FunctionModel(lambda _: "I would rather not.")
    with pytest.raises(StepFailed, match=r"distill_filter: all 5 requests failed\. The last one: "):
        generated(model, corpus(5))


@pytest.mark.parametrize(
    ("seed", "told"),
    [
        pytest.param("trams", "nothing was found in the documents that has to do with 'trams'", id="seed"),
        pytest.param(None, r"nothing was found in the documents\.", id="no-seed"),
    ],
)
def test_documents_in_which_nothing_is_found_are_told(seed: str | None, told: str) -> None:
    with pytest.raises(StepFailed, match=told):
        generated(model_of(distill_filter=lambda _: [], distill_summarize=lambda _: []), seed=seed)


def test_clusters_that_share_nothing_are_told() -> None:
    with pytest.raises(StepFailed, match="found no concept that several documents share"):
        generated(model_of(synthesize=lambda _: []))


def test_a_pattern_of_one_document_is_left_out_unless_it_is_the_only_one() -> None:
    def of_one(task: SynthesizeConcepts) -> list[Pattern]:
        first = task.items[0].doc_id
        own = tuple(n for n, item in enumerate(task.items) if item.doc_id == first)
        everything = tuple(range(len(task.items)))
        return [
            Pattern("One neighbour", "Is it he?", own),
            Pattern("Complaints", "Does it complain?", everything),
        ]

    session = generated(model_of(synthesize=of_one))
    assert {concept.name for concept in session.concepts.values()} == {"Complaints"}
    alone = generated(
        model_of(distill_summarize=lambda task: task.text.split(". "), synthesize=of_one),
        corpus(1).assign(
            text=["The bus is late. Fares are high. Bike lanes are full. The library is quiet."]
        ),
        params={**PARAMS, "filter_n_quotes": 0},
    )
    assert "One neighbour" in {concept.name for concept in alone.concepts.values()}


def test_without_review_only_concepts_worded_alike_are_put_together() -> None:
    model = model_of()
    session = generated(model, auto_review=False)
    assert asked(model, ReviewRemove) == asked(model, ReviewMerge) == []
    names = [concept.name for concept in session.concepts.values()]
    assert sorted(names) == sorted({subject.lower().rstrip(".") for subject in SUBJECTS})


def test_a_further_synthesis_finds_concepts_of_concepts_with_their_documents() -> None:
    def all_in_one(task: SynthesizeConcepts) -> list[Pattern]:
        if ": " not in task.items[0].text:
            return patterns(task)
        return [Pattern("City life", "Is it about the city?", tuple(range(len(task.items))))]

    model = model_of(synthesize=all_in_one)
    session = generated(model, n_synth=2)
    [city] = session.concepts.values()
    first = session.concept_history[0]
    assert len(first) == 4
    assert sorted(city.merged_from) == sorted(concept.id for concept in first)
    assert sorted(city.example_ids) == sorted({i for concept in first for i in concept.example_ids})
    assert session.vis().concepts[0]["support"] == len(city.example_ids)
    second = [task for task in asked(model, SynthesizeConcepts) if ": " in task.items[0].text]
    assert {item.text for task in second for item in task.items} == {f"{c.name}: {c.criteria}" for c in first}
    assert list(session.concept_history) == [0, 1]


def test_each_further_synthesis_wants_three_quarters_of_the_concepts() -> None:
    def keep_all(task: ReviewMerge) -> list[MergeGroup]:
        return []

    names = [f"subject{n} subject{n} subject{n}" for n in range(40)]
    frame = pd.DataFrame({"key": range(160), "text": [names[n % 40] for n in range(160)]})

    def two_by_two(task: SynthesizeConcepts) -> list[Pattern]:
        if ": " not in task.items[0].text:
            return patterns(task)
        pairs = [(at, at + 1) for at in range(len(task.items) - 1)]
        return [
            Pattern(f"{task.items[a].text[:40]} {a}", f"Is it {task.items[a].text} {a}?", (a, b))
            for a, b in pairs
        ]

    model = model_of(synthesize=two_by_two, review_merge=keep_all)
    session = generated(
        model, frame, n_synth=2, params={**PARAMS, "filter_n_quotes": 0, "target_n_concepts": 10}
    )
    assert len(session.concept_history[0]) == 10
    assert len(session.concept_history[1]) == len(session.concepts) == 7


def test_a_further_synthesis_that_finds_nothing_leaves_the_concepts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def once(task: SynthesizeConcepts) -> list[Pattern]:
        return patterns(task) if ": " not in task.items[0].text else []

    session = generated(model_of(synthesize=once), n_synth=2, debug=True)
    assert len(session.concepts) == 4
    shown = capsys.readouterr().out
    assert "The concepts of synthesis 1 stay, since the next one gave none" in shown
    assert "Distill-filter: 24 quotes from 24 documents" in shown
    assert "Distill-summarize: 24 bullets from 24 documents" in shown
    assert "Synthesize: 4 concepts" in shown
    assert "Review: 4 concepts kept, 0 removed, 0 merged into 0, 0 beyond the target" in shown


def test_a_new_generation_replaces_what_was_generated_and_nothing_else() -> None:
    model = model_of()
    session = generated(model)
    session.add_concept("Own idea", "Is it mine?")
    first = set(session.concepts)
    session.sync.gen(params=PARAMS, debug=False)
    names = [concept.name for concept in session.concepts.values()]
    assert names.count("Own idea") == 1
    assert len(names) == 5
    assert len(first & set(session.concepts)) == 1
