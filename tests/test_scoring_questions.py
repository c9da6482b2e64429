"""Scoring in a session: which questions are asked, what becomes of bad replies, what is summed up."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL, NAN, documents, put
from text_lloom.errors import AuthenticationFailed, LloomError
from text_lloom.llm import LocalModel
from text_lloom.scores import Judgement
from text_lloom.tasks import Scored, ScoreDocuments, SummarizeConcept
from text_lloom.testing import FunctionModel, TaskModel


def judged(task: ScoreDocuments, score: float = 1.0) -> list[Scored]:
    return [Scored(d, c, Judgement(score, f"{d} says so.")) for d in task.doc_ids for c in task.concept_ids]


def model_of(score: Any = judged, summary: Any = lambda _: "They say so.") -> TaskModel:
    return TaskModel({"score": score, "summarize_concept": summary})


def session_with(
    model: Any, frame: pd.DataFrame | None = None, n_concepts: int = 3, **options: Any
) -> wb.lloom:
    models = {**LOCAL, "score_model": model}
    session = wb.lloom(documents() if frame is None else frame, "text", "doc_id", **models, **options)
    for name in ("Late buses", "High fares", "Bike lanes")[:n_concepts]:
        session.concepts.add(name, f"Does the text speak of {name.lower()}?", active=True)
    return session


def asked(model: TaskModel) -> list[ScoreDocuments]:
    return [task for task in model.tasks if isinstance(task, ScoreDocuments)]


def summed_up(model: TaskModel) -> list[SummarizeConcept]:
    return [task for task in model.tasks if isinstance(task, SummarizeConcept)]


# --- questions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        pytest.param({}, [(1, 3)] * 8, id="default"),
        pytest.param({"batch_size": 3}, [(3, 3), (3, 3), (2, 3)], id="documents"),
        pytest.param({"concepts_per_call": 2}, [(1, 2), (1, 1)] * 8, id="concepts"),
        pytest.param({"batch_size": 5, "concepts_per_call": 2}, [(5, 2), (5, 1), (3, 2), (3, 1)], id="both"),
        pytest.param({"batch_size": 8, "concepts_per_call": 3}, [(8, 3)], id="all-at-once"),
    ],
)
def test_a_question_is_about_as_much_as_was_wanted(
    options: dict[str, Any], shapes: list[tuple[int, int]]
) -> None:
    model = model_of()
    scores = session_with(model).sync.score(**options)
    assert [(len(task.documents), len(task.concepts)) for task in asked(model)] == shapes
    pairs = [(d, c) for task in asked(model) for d in task.doc_ids for c in task.concept_ids]
    assert len(pairs) == len(set(pairs)) == 24
    assert scores is not None
    assert scores["score"].tolist() == [1.0] * 24
    assert scores["rationale"].tolist() == [f"d{n} says so." for n in range(8)] * 3


def test_by_default_eight_concepts_share_a_question() -> None:
    model = model_of()
    session = session_with(model)
    for n in range(6):
        session.concepts.add(f"Complaint {n}", f"Is it complaint {n}?", active=True)
    session.sync.score()
    assert [len(task.concepts) for task in asked(model)] == [8, 1] * 8


def test_only_what_has_no_score_yet_is_asked() -> None:
    model = model_of()
    session = session_with(model, n_concepts=2)
    late, fares = session.concepts.values()
    put(session, late, [1, NAN, 0, 0, 0, NAN, 0, 0])
    put(session, fares, [0, NAN, NAN, 0, 0, 0, 0, 0])
    session.sync.score(batch_size=4)
    assert [(task.doc_ids, task.concept_ids) for task in asked(model)] == [
        (("d1",), (late.id, fares.id)),
        (("d2",), (fares.id,)),
        (("d5",), (late.id,)),
    ]
    model.tasks.clear()
    session.sync.score()
    assert asked(model) == []
    session.sync.score(ignore_existing=False, batch_size=8)
    assert [(len(task.documents), len(task.concepts)) for task in asked(model)] == [(8, 2)]


def test_up_to_six_examples_of_each_concept_go_with_a_question() -> None:
    model = model_of()
    session = session_with(model, n_concepts=2)
    late, fares = session.concepts.values()
    late.example_ids = ["d7", "gone", *(f"d{n}" for n in range(7))]
    fares.example_ids = ["d5"]
    session.sync.score(batch_size=8)
    texts = documents()["text"].tolist()
    [task] = asked(model)
    assert task.examples == (tuple(texts[n] for n in (7, 0, 1, 2, 3, 4)), (texts[5],))


def test_quotes_are_not_asked_for_where_none_are_wanted() -> None:
    model = model_of()
    session_with(model).sync.score(get_highlights=False, batch_size=8)
    assert [task.get_highlights for task in asked(model)] == [False]


@pytest.mark.parametrize("name", ["batch_size", "concepts_per_call"])
def test_sizes_below_one_are_refused(name: str) -> None:
    sizes: dict[str, Any] = {name: 0}
    with pytest.raises(LloomError, match=name):
        session_with(model_of()).sync.score(**sizes)


# --- bad replies ---------------------------------------------------------------------------------------


def entries(prompt: str) -> list[dict[str, str]]:
    labels = [
        list(dict.fromkeys(re.findall(pattern, prompt)))
        for pattern in (r'<document label="(D\d+)">', r"(?m)^(C\d+)\. ")
    ]
    return [
        {"document": d, "concept": c, "rationale": "It says so.", "answer": "A"}
        for d in labels[0]
        for c in labels[1]
    ]


def reply_in_pieces(prompt: str) -> object:
    """Good replies about one document and one concept; none at all about fares in Mill Lane."""
    if "<passages>" in prompt:
        return {"summary": "They say so."}
    wanted = entries(prompt)
    if len(wanted) > 1 or ("Mill Lane" in prompt and "High fares" in prompt):
        return "I would rather not."
    return {"results": wanted}


def test_a_question_without_a_usable_reply_is_asked_in_single_pieces() -> None:
    model = FunctionModel(reply_in_pieces)
    session = session_with(model, n_concepts=2)
    with pytest.warns(UserWarning, match="score: 1 requests could not be answered"):
        scores = session.sync.score(batch_size=4)
    assert scores is not None
    missing = scores.loc[scores["score"].isna(), ["doc_id", "concept_name"]].to_numpy().tolist()
    assert missing == [["d4", "High fares"]]
    failures = session.failures()
    assert failures["doc_ids"].tolist() == [("d4",)]
    assert failures["concept_ids"].tolist() == [(list(session.concepts)[1],)]
    single = {
        (text, name)
        for prompt in model.prompts
        if prompt.count("<document label=") == 1
        for text in documents()["text"]
        for name in ("Late buses", "High fares")
        if text in prompt and name in prompt
    }
    assert len(single) == 16


@pytest.mark.filterwarnings("ignore:score. 1 requests could not be answered")
def test_what_stops_the_single_pieces_leaves_the_whole_question_among_the_failures() -> None:
    def reply(prompt: str) -> object:
        if len(entries(prompt)) > 1:
            return "I would rather not."
        raise AuthenticationFailed("the key was revoked")

    session = session_with(FunctionModel(reply), n_concepts=2)
    with pytest.raises(LloomError, match="the key was revoked"):
        session.sync.score(batch_size=8)
    whole = [f for f in session.failures().to_dict("records") if len(f["doc_ids"]) == 8]
    assert len(whole) == 1
    assert whole[0]["kind"] == "BadAnswer"
    assert not session.table


# --- summaries -----------------------------------------------------------------------------------------


def lines(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"doc_id": range(n), "text": [f"Comment {i:02d}: the bus was late. " * 12 for i in range(n)]}
    )


@pytest.mark.parametrize(("n", "first", "last"), [(10, 0, 9), (24, 0, 23), (60, 0, 59)])
def test_a_summary_is_made_of_passages_from_all_over_the_matching_documents(
    n: int, first: int, last: int
) -> None:
    model = model_of()
    session_with(model, lines(n), n_concepts=1).sync.score()
    [task] = summed_up(model)
    numbers = [int(passage[8:10]) for passage in task.passages]
    assert len(numbers) == min(n, 24)
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (first, last)
    assert max(b - a for a, b in itertools.pairwise(numbers)) <= -(-n // 23)
    assert {len(passage) for passage in task.passages} == {300}
    assert task.reasons == tuple(f"{number} says so." for number in numbers)


def test_a_summary_reads_highlights_of_clear_matches_alone() -> None:
    def score(task: ScoreDocuments) -> list[Scored]:
        [document], [concept] = task.documents, task.concept_ids
        value = {"d0": 1.0, "d1": 0.75, "d2": 1.0}.get(str(document.id), 0.0)
        highlight = "the bus is late" if document.id == "d2" else ""
        return [Scored(document.id, concept, Judgement(value, "", highlight))]

    model = model_of(score)
    session = session_with(model, n_concepts=1)
    session.sync.score()
    [task] = summed_up(model)
    assert task.passages == (documents()["text"][0], "the bus is late")
    assert next(iter(session.concepts.values())).summary == "They say so."


def test_a_summary_goes_when_nothing_matches_any_more() -> None:
    now: dict[str, float] = {}

    def score(task: ScoreDocuments) -> list[Scored]:
        return [s._replace(judgement=Judgement(now.get(s.concept_id, 1.0))) for s in judged(task)]

    session = session_with(model_of(score), n_concepts=2)
    session.sync.score()
    assert [concept.summary for concept in session.concepts.values()] == ["They say so."] * 2
    now[next(iter(session.concepts))] = 0.75
    session.sync.score(ignore_existing=False)
    assert [concept.summary for concept in session.concepts.values()] == ["", "They say so."]
    assert session.export_df()["summary"].tolist() == ["", "They say so."]


def test_a_summary_that_fails_leaves_the_old_one() -> None:
    said = iter(["Buses are late."])

    def reply(prompt: str) -> object:
        return {"summary": next(said, "")} if "<passages>" in prompt else {"results": entries(prompt)}

    session = session_with(FunctionModel(reply), n_concepts=1)
    session.sync.score()
    with pytest.warns(UserWarning, match="summarize_concept: 1 requests could not be answered"):
        session.sync.score(ignore_existing=False)
    assert [concept.summary for concept in session.concepts.values()] == ["Buses are late."]


# --- quotes instead of documents -----------------------------------------------------------------------


def test_highlights_found_in_quotes_are_shown_where_they_stand_in_the_documents() -> None:
    texts = [
        f"Every week, the {n} bus is late again.  And nobody tells\nus why, says my neighbour."
        for n in range(8)
    ]
    frame = pd.DataFrame({"doc_id": [f"d{n}" for n in range(8)], "text": texts})

    def quotes(task: Any) -> list[str]:
        return [task.text[12:35], task.text[task.text.index("And") : task.text.index("why") + 3]]

    def score(task: ScoreDocuments) -> list[Scored]:
        [document], [concept] = task.documents, task.concept_ids
        return [Scored(document.id, concept, Judgement(1.0, "", "is late again\nAnd nobody tells"))]

    model = model_of(score)
    reader = TaskModel({"distill_filter": quotes}, fallback=LocalModel())
    session = wb.lloom(frame, "text", "doc_id", **{**LOCAL, "distill_model": reader, "score_model": model})
    session.sync.gen(params={"filter_n_quotes": 3}, debug=False)
    session.sync.score(list(session.concepts)[:1], score_on="quotes", concepts_per_call=1)
    assert asked(model)[0].documents[0].text == "the 0 bus is late again\nAnd nobody tells\nus why"
    shown = session.get_score_df()
    assert all(quote in text for quote, text in zip(shown["highlight"], shown["text"], strict=True))
    assert all(quote.startswith("is late again") and "nobody" in quote for quote in shown["highlight"])
