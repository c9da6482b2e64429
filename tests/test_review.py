"""Review: what is taken out, merged, and left out beyond the target; and which concepts are chosen."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

import pandas as pd
import pytest

import text_lloom.concept_induction as ci
from tests.view_session import LOCAL, documents
from text_lloom import workbench as wb
from text_lloom.concept import Codebook, Concept
from text_lloom.llm import RetryPolicy
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.operators.review import Review, merge_identical, review_concepts, select_concepts
from text_lloom.tasks import Candidate, MergeGroup, Removal, ReviewMerge, ReviewRemove
from text_lloom.testing import FunctionModel, HashEmbedModel, TaskModel

SUBJECTS = ["Late buses", "High fares", "Bike lanes", "Parked cars", "Night buses", "Rude drivers"]


def candidate(name: str, support: int = 2, *, first: int = 0, evidence: Sequence[str] = ()) -> Candidate:
    """A concept with the documents d<first>, d<first + 1> and so on as examples."""
    examples = [f"d{n}" for n in range(first, first + support)]
    concept = Concept(name, f"Does the text speak of {name.lower()}?", example_ids=[*examples], id=name)
    return Candidate(concept, support, tuple(evidence))


def many(n: int) -> list[Candidate]:
    return [candidate(f"Complaint {n:02d}", 2, first=2 * n) for n in range(n)]


def reviewed(
    candidates: Sequence[Candidate],
    *,
    remove: Callable[[ReviewRemove], list[Removal]] = lambda _: [],
    merge: Callable[[ReviewMerge], list[MergeGroup]] = lambda _: [],
    target: int | None = None,
) -> tuple[Review, TaskModel]:
    model = TaskModel({"review_remove": remove, "review_merge": merge})
    review = review_concepts(
        candidates, model, codebook=Codebook(), embedder=HashEmbedModel(), target=target, run=Run()
    )
    return asyncio.run(review), model


def names(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.concept.name for candidate in candidates]


def group(name: str, *ids: str) -> MergeGroup:
    return MergeGroup(ids, name, f"Does the text speak of {name.lower()}?")


# --- what is left --------------------------------------------------------------------------------------


def test_the_best_supported_come_first_and_equal_ones_keep_their_order() -> None:
    candidates = [candidate(name, n) for name, n in zip(SUBJECTS, [2, 5, 3, 5, 2, 3], strict=True)]
    review, _ = reviewed(candidates)
    assert names(review.candidates) == [
        *("High fares", "Parked cars", "Bike lanes", "Rude drivers", "Late buses", "Night buses")
    ]
    assert review.beyond_target == []


def test_what_is_beyond_the_target_is_the_least_supported() -> None:
    candidates = [candidate(name, n) for name, n in zip(SUBJECTS, [2, 5, 3, 4, 6, 1], strict=True)]
    review, _ = reviewed(candidates, target=4)
    assert names(review.candidates) == ["Night buses", "High fares", "Parked cars", "Bike lanes"]
    assert names(review.beyond_target) == ["Late buses", "Rude drivers"]


def test_a_log_tells_what_became_of_each_concept() -> None:
    candidates = [candidate(name, n) for name, n in zip(SUBJECTS, [2, 5, 3, 4, 6, 1], strict=True)]
    concepts = {c.concept.id: c.concept for c in candidates}
    frame = pd.DataFrame(
        [
            {"key": i, "body": f"Comment {i}", "theme_id": c.id, "theme_name": c.name}
            for c in concepts.values()
            for i in c.example_ids
        ]
    )

    def remove(_: ReviewRemove) -> list[Removal]:
        return [Removal("Rude drivers", "one driver on one day")]

    def merge(task: ReviewMerge) -> list[MergeGroup]:
        known = {"Late buses", "Night buses"} <= set(task.concept_ids)
        return [group("Buses", "Late buses", "Night buses")] if known else []

    model = TaskModel({"review_remove": remove, "review_merge": merge})
    found = asyncio.run(ci.review(concepts, frame, model, "theme", target=3))
    assert [concept.name for concept in found.concepts.values()] == ["Buses", "High fares", "Parked cars"]
    assert found.log == [
        "Removed 'Rude drivers': one driver on one day",
        "Merged 2 concepts into 'Buses'",
        "Left out 'Bike lanes': beyond the target",
    ]
    assert list(found.concept_df.columns[:2]) == ["key", "body"]
    assert found.concept_df["theme_name"].unique().tolist() == ["Buses", "High fares", "Parked cars"]


# --- taking out ----------------------------------------------------------------------------------------


def test_what_is_taken_out_is_listed_with_its_reason() -> None:
    review, _ = reviewed(
        [candidate(name) for name in SUBJECTS],
        remove=lambda _: [Removal("Bike lanes", "off the subject"), Removal("Late buses", "every text")],
    )
    assert [(concept.name, reason) for concept, reason in review.removed] == [
        ("Late buses", "every text"),
        ("Bike lanes", "off the subject"),
    ]
    assert names(review.candidates) == ["High fares", "Parked cars", "Night buses", "Rude drivers"]


def test_a_review_that_would_leave_nothing_takes_nothing_out() -> None:
    review, _ = reviewed(
        [candidate(name) for name in SUBJECTS],
        remove=lambda task: [Removal(i, "dull") for i in task.concept_ids],
    )
    assert names(review.candidates) == SUBJECTS
    assert review.removed == []


def test_a_single_concept_is_not_reviewed() -> None:
    review, model = reviewed([candidate("Late buses")], target=1)
    assert names(review.candidates) == ["Late buses"]
    assert model.tasks == []


@pytest.mark.parametrize(("n", "sizes"), [(40, [40]), (41, [20, 21]), (80, [40, 40]), (81, [27, 27, 27])])
def test_no_more_than_forty_concepts_are_shown_at_once(n: int, sizes: list[int]) -> None:
    _, model = reviewed(many(n))
    for kind in (ReviewRemove, ReviewMerge):
        asked = [task for task in model.tasks if isinstance(task, kind)]
        assert sorted(len(task.candidates) for task in asked) == sizes
        assert {i for task in asked for i in task.concept_ids} == {c.concept.id for c in many(n)}


def test_requests_that_fail_leave_their_concepts_as_they_are() -> None:
    def reply(prompt: str) -> object:
        if "Name the concepts to take out" in prompt:
            return {"remove": [{"concept": "C1", "reason": "every text"}]}
        return "I would rather not."

    model = FunctionModel(reply)
    run = Run(policy=RetryPolicy(attempts=1))
    review = asyncio.run(
        review_concepts([candidate(name) for name in SUBJECTS], model, codebook=Codebook(), run=run)
    )
    assert names(review.candidates) == SUBJECTS[1:]
    assert {failure.step for failure in review.failures} == {"review_merge"}
    assert review.failures == run.failures
    broken = FunctionModel(lambda prompt: {"merge": []} if "Group the concepts" in prompt else "No.")
    review = asyncio.run(
        review_concepts([candidate(name) for name in SUBJECTS], broken, codebook=Codebook(), run=Run())
    )
    assert names(review.candidates) == SUBJECTS
    assert [failure.step for failure in review.failures] == ["review_remove"]


# --- merging -------------------------------------------------------------------------------------------


def test_a_merged_concept_has_the_documents_and_the_evidence_of_all() -> None:
    late = candidate(
        "Late buses", 3, evidence=["late again", "no bus came", *(f"late {n}" for n in range(9))]
    )
    never = candidate("No buses", 3, first=2, evidence=["waited in vain", "no bus came", "never on time"])
    never.concept.active, never.concept.merged_from = True, ["Older"]
    late.concept.seed = "public transport"
    other = candidate("High fares", 4)

    def merge(task: ReviewMerge) -> list[MergeGroup]:
        known = {"Late buses", "No buses"} <= set(task.concept_ids)
        return [group("Unreliable buses", "Late buses", "No buses")] if known else []

    review, _ = reviewed([late, other, never], merge=merge)
    one = next(c for c in review.candidates if c.concept.name == "Unreliable buses")
    assert one.concept.example_ids == ["d0", "d1", "d2", "d3", "d4"]
    assert one.support == 5
    assert one.concept.merged_from == ["Late buses", "Older", "No buses"]
    assert (one.concept.active, one.concept.seed) == (True, "public transport")
    assert one.concept.criteria == "Does the text speak of unreliable buses?"
    assert one.evidence == (
        *("late again", "waited in vain", "no bus came", "late 0", "never on time", "late 1", "late 2"),
        "late 3",
    )
    assert names(review.candidates) == ["Unreliable buses", "High fares"]
    assert [found.name for found in review.merged] == ["Unreliable buses"]


def test_merging_goes_on_for_four_rounds_while_it_finds_something() -> None:
    def two_first(task: ReviewMerge) -> list[MergeGroup]:
        return [group(f"{len(task.candidates)} left", *task.concept_ids[:2])]

    review, model = reviewed(many(12), merge=two_first)
    asked = [len(task.candidates) for task in model.tasks if isinstance(task, ReviewMerge)]
    assert asked == [12, 11, 10, 9]
    assert len(review.candidates) == 8
    assert [found.name for found in review.merged] == ["12 left", "11 left", "10 left", "9 left"]
    _, idle = reviewed(many(12))
    assert sum(isinstance(task, ReviewMerge) for task in idle.tasks) == 1


def test_merging_towards_a_target_stops_there() -> None:
    def merge(task: ReviewMerge) -> list[MergeGroup]:
        if task.target is None:
            return []
        ids = task.concept_ids
        return [
            group("Four", *ids[:4]),
            group("Three", *ids[4:7]),
            group("Two", *ids[7:9]),
            group("Last", *ids[9:11]),
        ]

    review, model = reviewed(many(12), merge=merge, target=9)
    assert [found.name for found in review.merged] == ["Four"]
    assert len(review.candidates) == 9
    assert review.beyond_target == []
    assert [task.target for task in model.tasks if isinstance(task, ReviewMerge)] == [None, 9]


def test_a_group_too_large_for_the_target_is_passed_over() -> None:
    def merge(task: ReviewMerge) -> list[MergeGroup]:
        if task.target is None:
            return []
        ids = task.concept_ids
        return [group("Four", *ids[:4]), group("Two", *ids[4:6])]

    review, _ = reviewed(many(12), merge=merge, target=10)
    assert [found.name for found in review.merged] == ["Two", "Two"]
    assert len(review.candidates) == 10


def test_merging_towards_a_target_is_tried_three_times() -> None:
    def merge(task: ReviewMerge) -> list[MergeGroup]:
        return [] if task.target is None else [group("Two", *task.concept_ids[:2])]

    review, model = reviewed(many(12), merge=merge, target=4)
    towards = [len(t.candidates) for t in model.tasks if isinstance(t, ReviewMerge) and t.target is not None]
    assert towards == [12, 11, 10]
    assert (len(review.candidates), len(review.beyond_target)) == (4, 5)
    _, idle = reviewed(many(12), target=4)
    assert [t.target for t in idle.tasks if isinstance(t, ReviewMerge)] == [None, 4]
    _, enough = reviewed(many(4), target=4)
    assert [t.target for t in enough.tasks if isinstance(t, ReviewMerge)] == [None]


def test_the_target_is_shared_out_over_the_requests() -> None:
    _, model = reviewed(many(90), target=40)
    asked = [t for t in model.tasks if isinstance(t, ReviewMerge) and t.target is not None]
    assert len(asked) == 3
    assert all(t.target == math.ceil(40 * len(t.candidates) / 90) for t in asked)


def test_concepts_of_one_name_and_alike_ones_are_shown_together() -> None:
    subjects = [f"{word} {n}" for word in ("bus", "fare", "lane") for n in range(15)]
    mixed = [subjects[(7 * at) % len(subjects)] for at in range(len(subjects))]
    candidates = []
    for at, name in enumerate([*mixed, *mixed]):
        word = name.split()[0] if at < 45 else {"bus": "fare", "fare": "lane", "lane": "bus"}[name.split()[0]]
        criteria = f"Does the text speak of {word} {word} {word} {name}, version {at // 45}?"
        concept = Concept(name.upper() if at >= 45 else name, criteria, example_ids=[at], id=f"c{at}")
        candidates.append(Candidate(concept, 1))
    _, model = reviewed(candidates)
    asked = [task for task in model.tasks if isinstance(task, ReviewMerge)]
    assert len(asked) == 3
    shown = [[c.concept.name.lower() for c in task.candidates] for task in asked]
    assert all(names.count(name) == 2 for names in shown for name in names), "both of a name stand together"
    assert [len({name.split()[0] for name in names}) for names in shown] == [1, 1, 1]


def test_candidates_worded_alike_are_one_without_asking() -> None:
    first = Candidate(Concept("Late buses", "Is a bus late?", example_ids=["d1", "d2"], id="a"), 2, ("late",))
    second = Candidate(
        Concept("LATE BUSES", "is a bus late?", example_ids=["d2", "d3"], id="b"), 2, ("slow",)
    )
    other = Candidate(Concept("Late buses", "Is a bus ever late?", example_ids=["d4"], id="c"), 1)
    one, left = merge_identical([first, other, second], Codebook())
    assert (one.concept.name, one.concept.criteria) == ("Late buses", "Is a bus late?")
    assert one.concept.merged_from == ["a", "b"]
    assert (one.concept.example_ids, one.support, one.evidence) == (["d1", "d2", "d3"], 3, ("late", "slow"))
    assert left is other


# --- choosing ------------------------------------------------------------------------------------------


def chosen(reply: object, n: int = 3) -> tuple[list[str], FunctionModel]:
    candidates = [candidate(name, k) for name, k in zip(SUBJECTS, [2, 5, 3, 4, 6, 1], strict=True)]
    model = FunctionModel(lambda _: reply)
    run = Run(policy=RetryPolicy(attempts=1))
    return asyncio.run(select_concepts(candidates, model, max_concepts=n, seed=None, run=run)), model


def test_chosen_concepts_come_best_first() -> None:
    ids, _ = chosen({"select": ["C6", "C1", "C3", "C2"]})
    assert ids == ["Rude drivers", "Late buses", "Bike lanes"]


def test_too_few_chosen_are_filled_up_with_the_best_supported() -> None:
    ids, _ = chosen({"select": ["C6", "C5"]}, 4)
    assert ids == ["Rude drivers", "Night buses", "High fares", "Parked cars"]


def test_without_a_usable_answer_the_best_supported_are_taken() -> None:
    ids, _ = chosen("I cannot choose.")
    assert ids == ["Night buses", "High fares", "Parked cars"]


@pytest.mark.parametrize("n", [6, 7])
def test_nothing_is_asked_where_all_can_be_taken(n: int) -> None:
    ids, model = chosen({"select": ["C6"]}, n)
    assert ids == SUBJECTS
    assert model.requests == []


def test_a_session_chooses_by_the_documents_that_support_a_concept() -> None:
    model = FunctionModel(lambda _: "I cannot choose.")
    session = wb.lloom(documents(), "text", "doc_id", **{**LOCAL, "synth_model": model})
    for n, name in enumerate(SUBJECTS[:4]):
        session.concepts.add(
            name,
            f"Does it speak of {name.lower()}?",
            example_ids=[f"d{k}" for k in range(n + 1)],
            active=n == 0,
        )
    with pytest.warns(UserWarning, match="review_select: 1 requests could not be answered"):
        session.sync.select_auto(2)
    assert [concept.name for concept in session.concepts.active] == ["Bike lanes", "Parked cars"]
    assert "[4]" in model.prompts[0]


# --- known concepts ------------------------------------------------------------------------------------


def test_known_concepts_that_were_found_again_are_counted() -> None:
    known = {
        "k1": {"name": "Delays", "prompt": "Is a bus late?"},
        "k2": {"name": "Prices", "prompt": "Is a fare high?"},
        "k3": {"name": "Noise", "prompt": "Is it loud?"},
    }
    found = [candidate(name).concept for name in SUBJECTS[:4]]
    matches = [
        {"concept": "C1", "known": "K1"},
        {"concept": "C2", "known": "K2"},
        {"concept": "C4", "known": "K1"},
    ]
    model = FunctionModel(lambda _: {"matches": matches})
    coverage = asyncio.run(ci.auto_eval(known, found, model))
    assert coverage.matches == {"k1": ["Late buses", "Parked cars"], "k2": ["High fares"], "k3": []}
    assert coverage.coverage == pytest.approx(2 / 3)
    assert coverage.precision == pytest.approx(3 / 4)
    nothing = asyncio.run(ci.auto_eval(known, [], model))
    assert (nothing.coverage, nothing.precision, nothing.matches) == (
        0.0,
        0.0,
        {"k1": [], "k2": [], "k3": []},
    )
    assert len(model.requests) == 1
