"""Concepts edited by hand: merged, split, renamed, removed, labelled; changes taken back and redone."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL, NAN, documents, opened, put
from text_lloom.errors import InputError, UnknownName
from text_lloom.testing import FunctionModel

LANES = "Does the text ask for safe bike lanes?"


@pytest.fixture
def session() -> wb.lloom:
    """Late buses and High fares, both scored, and Bike lanes, not chosen and not scored."""
    session = opened()
    session.add_concept("Bike lanes", LANES, ex_ids=["d6", "d4"])
    for concept in session.concepts.values():
        concept.active = concept.name != "Bike lanes"
    late, fares, _ = session.concepts.values()
    late.example_ids, late.summary = ["d0", "d6"], "Buses come late or not at all."
    fares.summary = "Fares go up."
    return session


def names(session: wb.lloom) -> list[str]:
    return [concept.name for concept in session.concepts.values()]


def scores_of(session: wb.lloom, name: str) -> list[float]:
    frame = session.get_score_df()
    return [-1.0 if score != score else score for score in frame.loc[frame["concept_name"] == name, "score"]]


# --- merging -------------------------------------------------------------------------------------------


def test_a_merged_concept_takes_the_place_of_the_one_that_stands_first(session: wb.lloom) -> None:
    late, fares, lanes = session.concepts.values()
    merged = session.merge(["Bike lanes", "High fares"])
    assert names(session) == ["Late buses", "High fares"]
    assert merged.criteria == fares.criteria
    assert merged.merged_from == [fares.id, lanes.id]
    assert merged.id not in (late.id, fares.id, lanes.id)
    assert (merged.active, merged.summary) == (True, "")


def test_examples_of_merged_concepts_are_listed_once_in_the_order_of_the_codebook(session: wb.lloom) -> None:
    merged = session.merge(["Bike lanes", "Late buses"], name="Getting about", criteria="Is it about moving?")
    assert merged.example_ids == ["d0", "d6", "d4"]
    assert (merged.name, merged.criteria) == ("Getting about", "Is it about moving?")
    assert names(session) == ["Getting about", "High fares"]


def test_merging_what_was_merged_keeps_the_whole_descent(session: wb.lloom) -> None:
    late, fares, lanes = (concept.id for concept in session.concepts.values())
    both = session.merge(["Late buses", "High fares"], name="Buses")
    every = session.merge(["Bike lanes", "Buses"])
    assert every.merged_from == [late, fares, both.id, lanes]
    assert every.name == "Buses"


def test_concepts_that_nobody_chose_stay_unchosen_when_merged(session: wb.lloom) -> None:
    session.add_concept("Parked cars", "Do cars park in the way?")
    for concept in session.concepts.values():
        concept.active = False
    assert not session.merge(["Bike lanes", "Parked cars"]).active
    assert session.concepts.active == []


@pytest.mark.parametrize(
    "given", [["Late buses"], ["Late buses", "Late buses"], []], ids=["one", "one-twice", "none"]
)
def test_a_merge_needs_two_different_concepts(session: wb.lloom, given: list[str]) -> None:
    n_events = len(session.concepts.events)
    with pytest.raises(InputError, match=rf"at least two different concepts, but got {len(set(given))}\."):
        session.merge(given)
    assert len(session.concepts.events) == n_events


# --- undo and redo -------------------------------------------------------------------------------------


def test_an_undone_merge_brings_back_places_scores_and_summaries(session: wb.lloom) -> None:
    before, scores = list(session.concepts.values()), scores_of(session, "Late buses")
    merged = session.merge(["Late buses", "Bike lanes"], name="Moving", note="one subject")
    undone = session.undo()
    assert undone is not None
    assert (undone.kind, undone.note) == ("merge", "one subject")
    assert list(session.concepts.values()) == before
    assert scores_of(session, "Late buses") == scores
    redone = session.redo()
    assert redone is not None
    assert redone.kind == "merge"
    assert names(session) == ["Moving", "High fares"]
    assert next(iter(session.concepts)) == merged.id
    assert session.redo() is None


def test_a_new_edit_leaves_nothing_to_redo(session: wb.lloom) -> None:
    session.rename("High fares", "Dear tickets")
    session.undo()
    session.rename("High fares", "Costly tickets")
    assert session.redo() is None
    assert names(session) == ["Late buses", "Costly tickets", "Bike lanes"]
    session.undo()
    assert names(session) == ["Late buses", "High fares", "Bike lanes"]


def test_several_changes_are_undone_last_first_and_redone_first_first(session: wb.lloom) -> None:
    session.rename("Late buses", "Late", note="shorter")
    session.change_criteria("High fares", "Does the text say that fares are high?", note="plainer")
    session.remove("Bike lanes", note="no use")
    assert [event.note for event in session.concepts.events[-3:]] == ["shorter", "plainer", "no use"]
    kinds = [event.kind for event in (session.undo(), session.undo(), session.undo()) if event]
    assert kinds == ["remove", "edit", "rename"]
    assert names(session) == ["Late buses", "High fares", "Bike lanes"]
    kinds = [event.kind for event in (session.redo(), session.redo(), session.redo()) if event]
    assert kinds == ["rename", "edit", "remove"]
    assert names(session) == ["Late", "High fares"]


def test_nothing_is_undone_where_nothing_was_done() -> None:
    session = wb.lloom(documents(), "text", "doc_id")
    assert session.undo() is None
    assert session.redo() is None


def test_a_new_criterion_has_no_summary_until_it_is_undone(session: wb.lloom) -> None:
    changed = session.change_criteria("Late buses", "  Does the text say that a bus came late?\n")
    assert changed.criteria == "Does the text say that a bus came late?"
    assert changed.summary == ""
    assert changed.active
    assert scores_of(session, "Late buses") == [-1.0] * 8
    session.undo()
    late = next(iter(session.concepts.values()))
    assert late.summary == "Buses come late or not at all."
    assert scores_of(session, "Late buses") == [1.0, 1.0, 0.75, 1.0, 0.0, 0.0, 0.0, 1.0]


def test_what_no_edit_changed_outlasts_an_undo(session: wb.lloom) -> None:
    session.rename("High fares", "Dear tickets")
    renamed = next(c for c in session.concepts.values() if c.name == "Dear tickets")
    renamed.summary, renamed.active = "Tickets cost too much.", False
    session.undo()
    back = next(c for c in session.concepts.values() if c.name == "High fares")
    assert (back.summary, back.active) == ("Tickets cost too much.", False)
    session.redo()
    again = next(c for c in session.concepts.values() if c.name == "Dear tickets")
    assert (again.summary, again.active) == ("Tickets cost too much.", False)


def test_concepts_removed_together_come_back_together_in_their_places(session: wb.lloom) -> None:
    gone = session.remove("High fares", "Late buses", "High fares")
    assert [concept.name for concept in gone] == ["High fares", "Late buses"]
    assert names(session) == ["Bike lanes"]
    session.undo()
    assert names(session) == ["Late buses", "High fares", "Bike lanes"]
    session.redo()
    assert names(session) == ["Bike lanes"]
    n_events = len(session.concepts.events)
    assert session.remove() == []
    assert len(session.concepts.events) == n_events, "removing nothing is no change"


# --- splitting -----------------------------------------------------------------------------------------


def test_parts_are_found_in_long_quotes_rather_than_in_whole_documents() -> None:
    quotes = [
        *(f"The bus to the station was late {n} minutes in the rain again." for n in (5, 9, 12, 20, 31)),
        *(f"A monthly ticket costs {n} pounds, the fares went up." for n in (40, 50, 61, 70, 99)),
    ]
    around = [
        "The library on the hill opened its garden, and children read novels under the apple trees.",
        "Our football team lost the cup final, though the goalkeeper saved two penalties in the storm.",
    ]
    texts = [f"{around[n % 2]} {quote} {around[n % 2]} {around[n % 2]}" for n, quote in enumerate(quotes)]
    frame = pd.DataFrame({"doc_id": range(10), "text": texts})
    halves = {frozenset(range(5)), frozenset(range(5, 10))}
    by_quote = opened({"Transport": [1.0] * 10}, {"Transport": quotes}, frame).propose_split("Transport")
    assert {frozenset(part.rows) for part in by_quote} == halves
    short = [quote.split(" ")[1] for quote in quotes]
    by_text = opened({"Transport": [1.0] * 10}, {"Transport": short}, frame).propose_split("Transport")
    assert {frozenset(part.rows) for part in by_text} != halves


def test_parts_stand_where_the_whole_stood(session: wb.lloom) -> None:
    whole = next(iter(session.concepts.values()))
    parts = session.split(
        "Late buses",
        [("Late", "Does it say that a bus was late?"), ("Cancelled", "Does it say that no bus came?")],
        note="two complaints",
    )
    assert names(session) == ["Late", "Cancelled", "High fares", "Bike lanes"]
    assert [part.example_ids for part in parts] == [["d0", "d6"]] * 2
    assert all(part.active for part in parts)
    assert len({whole.id, *(part.id for part in parts)}) == 3
    event = session.undo()
    assert event is not None
    assert (event.kind, event.note) == ("split", "two complaints")
    assert names(session) == ["Late buses", "High fares", "Bike lanes"]


def test_a_part_with_rows_has_their_documents_as_examples(session: wb.lloom) -> None:
    late, cancelled = session.split(
        "Late buses",
        [("Late", "Does it say that a bus was late?", [0, 2]), ("None", "Does it say that no bus came?", [])],  # type: ignore[list-item]
    )
    assert late.example_ids == ["d0", "d2"]
    assert cancelled.example_ids == ["d0", "d6"]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        pytest.param([("Late", "Was it late?")], "at least two parts, but got 1", id="one"),
        pytest.param(["Late", "None"], "pairs of name and criterion", id="names"),
        pytest.param([("Late",), ("None", "No bus?")], "pairs of name and criterion", id="no-criterion"),
    ],
)
def test_what_is_no_split_is_refused(session: wb.lloom, parts: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(InputError, match=told):
        session.split("Late buses", parts)
    assert names(session) == ["Late buses", "High fares", "Bike lanes"]


def test_only_a_concept_with_scores_under_its_criterion_has_proposals(session: wb.lloom) -> None:
    with pytest.raises(InputError, match="'Bike lanes' is not scored"):
        session.propose_split("Bike lanes")
    session.change_criteria("Late buses", "Does the text say that a bus came late?")
    with pytest.raises(InputError, match="'Late buses' is not scored"):
        session.propose_split("Late buses")


def test_proposed_parts_name_documents_that_match() -> None:
    texts = [
        *(f"The library on street {n} is a quiet place to read." for n in range(4)),
        *(f"The bus to the station was late {n} minutes in the rain again." for n in (5, 9, 12, 20, 31)),
        *(f"A monthly ticket costs {n} pounds, the fares went up." for n in (40, 50, 61, 70, 99)),
    ]
    frame = pd.DataFrame({"doc_id": [f"k{n}" for n in range(14)], "text": texts})
    session = opened({"Transport": [0.0] * 4 + [1.0] * 10}, {}, frame)
    parts = session.propose_split("Transport")
    assert {frozenset(part.rows) for part in parts} == {frozenset(range(4, 9)), frozenset(range(9, 14))}
    made = session.split("Transport", parts)
    assert [concept.name for concept in made] == [part.name for part in parts]
    assert [concept.example_ids for concept in made] == [[f"k{row}" for row in part.rows] for part in parts]


# --- adding and editing with scores --------------------------------------------------------------------


def test_an_added_concept_is_chosen_and_keeps_its_examples(session: wb.lloom) -> None:
    added = session.add_concept(
        "Road safety", "Does it call a road unsafe?", ex_ids=["d4"], note="for the mayor"
    )
    assert names(session)[-1] == "Road safety"
    assert (added.active, added.example_ids) == (True, ["d4"])
    assert session.concepts.events[-1].note == "for the mayor"
    assert added.id not in session.table


@pytest.mark.parametrize(
    ("ex_ids", "error", "told"),
    [
        pytest.param("d4", InputError, "must be a list of document ids", id="text"),
        pytest.param(["d4", "d99"], UnknownName, "d99", id="unknown"),
        pytest.param([["d4"]], UnknownName, "ex_ids", id="list"),
    ],
)
def test_examples_that_are_no_documents_change_nothing(
    session: wb.lloom, ex_ids: list[str], error: type[Exception], told: str
) -> None:
    n_events = len(session.concepts.events)
    with pytest.raises(error, match=told):
        session.add_concept("Road safety", "Does it call a road unsafe?", ex_ids=ex_ids)
    with pytest.raises(error, match=told):
        session.sync.edit("Late buses", name="Late", ex_ids=ex_ids)
    assert names(session) == ["Late buses", "High fares", "Bike lanes"]
    assert len(session.concepts.events) == n_events


def test_an_edit_of_what_was_scored_scores_anew_and_of_what_was_not_does_not(session: wb.lloom) -> None:
    assert session.sync.edit("Bike lanes", prompt="Does the text ask for a bike lane?", ex_ids=["d6"]) is None
    lanes = list(session.concepts.values())[-1]
    assert (lanes.criteria, lanes.example_ids) == ("Does the text ask for a bike lane?", ["d6"])
    assert lanes.id not in session.table
    scored = session.sync.edit("Late buses", name="Late", prompt="Does the text say that a bus is late?")
    assert scored is not None
    assert scored["concept_name"].unique().tolist() == ["Late"]
    assert scored["concept_prompt"].unique().tolist() == ["Does the text say that a bus is late?"]
    assert len(scored) == 8
    kinds = [event.kind for event in session.concepts.events]
    assert kinds[-3:] == ["edit", "rename", "edit"]


def test_a_concept_whose_scoring_is_refused_is_not_added() -> None:
    model = FunctionModel(lambda _: "{}", name="house-model", cost=None)
    session = wb.lloom(documents(), "text", "doc_id", budget=1.0, **{**LOCAL, "score_model": model})
    with pytest.raises(InputError, match="The price of house-model is unknown"):
        session.sync.add("Road safety", "Does it call a road unsafe?")
    assert names(session) == []
    assert model.requests == []


@pytest.mark.parametrize("get_highlights", [True, False], ids=["with-quotes", "without"])
def test_quotes_are_asked_for_as_the_caller_says(get_highlights: bool) -> None:
    entry = {"document": "D1", "concept": "C1", "rationale": "It says so.", "answer": "A"}
    model = FunctionModel(
        lambda prompt: {"results": [entry]} if "D1" in prompt else {"summary": "Roads are unsafe."}
    )
    session = wb.lloom(documents(), "text", "doc_id", **{**LOCAL, "score_model": model})
    session.sync.add("Road safety", "Does it call a road unsafe?", get_highlights=get_highlights)
    asked = [prompt for prompt in model.prompts if "D1" in prompt]
    assert {'"quote"' in prompt for prompt in asked} == {get_highlights}
    session.sync.edit("Road safety", prompt="Is a road called dangerous?", get_highlights=get_highlights)
    again = [prompt for prompt in model.prompts if "Is a road called dangerous?" in prompt and "D1" in prompt]
    assert len(again) == 8
    assert {'"quote"' in prompt for prompt in again} == {get_highlights}


def test_adding_and_editing_score_one_concept_and_leave_the_others() -> None:
    entry = {"document": "D1", "concept": "C1", "rationale": "It says so.", "answer": "A"}
    model = FunctionModel(
        lambda prompt: {"results": [entry]} if "D1" in prompt else {"summary": "Roads are unsafe."}
    )
    session = wb.lloom(documents(), "text", "doc_id", **{**LOCAL, "score_model": model})
    session.add_concept("Late buses", "Does the text say that a bus is late?")
    session.sync.add("Road safety", "Does it call a road unsafe?")
    session.sync.edit("Road safety", prompt="Is a road called dangerous?")
    assert not any("Late buses" in prompt for prompt in model.prompts)
    assert scores_of(session, "Road safety") == [1.0] * 8
    assert [concept.id in session.table for concept in session.concepts.values()] == [False, True]


def test_an_edit_that_changes_nothing_leaves_no_trace(session: wb.lloom) -> None:
    late = next(iter(session.concepts.values()))
    n_events = len(session.concepts.events)
    session.sync.edit("Late buses", name="Late buses", prompt=late.criteria)
    assert len(session.concepts.events) == n_events
    assert scores_of(session, "Late buses") == [1.0, 1.0, 0.75, 1.0, 0.0, 0.0, 0.0, 1.0]


# --- labels --------------------------------------------------------------------------------------------


def test_agreement_counts_labels_of_concepts_that_have_some(session: wb.lloom) -> None:
    for doc_id, verdict in {
        "d0": "right",
        "d1": "right",
        "d2": "wrong",
        "d3": "right",
        "d4": "unsure",
    }.items():
        session.label(doc_id, "Late buses", verdict)  # type: ignore[arg-type]
    frame = session.agreement()
    assert frame["concept_name"].tolist() == ["Late buses"]
    row = frame.iloc[0]
    counts = {name: row[name] for name in ("n_labelled", "n_right", "n_wrong", "n_unsure", "n_outdated")}
    assert counts == {"n_labelled": 5, "n_right": 3, "n_wrong": 1, "n_unsure": 1, "n_outdated": 0}
    assert row["agreement"] == 0.75
    assert row["is_small"]
    session.label("d2", "Late buses", None)
    session.label("d3", "Late buses", "right", "it means the same stop")
    assert dict(zip(session.labels()["doc_id"], session.labels()["note"], strict=True))["d3"] == (
        "it means the same stop"
    )
    assert session.agreement()["agreement"].tolist() == [1.0]
    assert session.labels()["doc_id"].tolist() == ["d0", "d1", "d4", "d3"]


@pytest.mark.parametrize(("n", "is_small"), [(19, True), (20, False)])
def test_agreement_on_few_labels_is_marked_as_small(n: int, is_small: bool) -> None:
    frame = pd.DataFrame(
        {"doc_id": range(24), "text": [f"The {i} bus was late by {i} minutes." for i in range(24)]}
    )
    session = opened({"Late buses": [1.0] * 24}, {}, frame)
    for doc_id in range(n):
        session.label(doc_id, "Late buses", "right")
    for doc_id in range(n, 24):
        session.label(doc_id, "Late buses", "unsure")
    assert session.agreement()["is_small"].tolist() == [is_small]


def test_agreement_without_labels_is_an_empty_table(session: wb.lloom) -> None:
    frame = session.agreement()
    assert frame.empty
    assert list(frame.columns) == [
        *("concept_id", "concept_name", "n_labelled", "n_right", "n_wrong", "n_unsure", "n_outdated"),
        *("agreement", "is_small"),
    ]


# --- the map -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id_col", "columns"), [("x", ["x", "x_", "y"]), ("y", ["y", "x", "y_"])])
def test_the_map_keeps_the_name_of_the_id_column(id_col: str, columns: list[str]) -> None:
    frame = documents().rename(columns={"doc_id": id_col})
    session = wb.lloom(frame, "text", id_col)
    places = session.map_layout()
    assert list(places.columns) == columns
    assert places[id_col].tolist() == [f"d{n}" for n in range(8)]
    numbers = places.drop(columns=id_col).to_numpy()
    assert np.nanmax(np.abs(numbers)) <= 1.0


def test_overlap_looks_at_scores_from_the_threshold_on() -> None:
    session = opened({"Late buses": [1, 1, 0.75, 0, NAN, 0, 0, 0], "High fares": [1, 0.75, 1, 0, 0, 0, 0, 0]})
    assert session.overlap()["n_both"].tolist() == [1]
    assert session.overlap(threshold=0.75)["n_both"].tolist() == [3]


def test_the_history_of_a_codebook_survives_its_json(session: wb.lloom) -> None:
    session.merge(["Late buses", "Bike lanes"], note="one subject")
    session.rename("High fares", "Dear tickets")
    session.undo()
    content = json.loads(session.concepts.to_json())
    assert [event["kind"] for event in content["events"]] == ["add", "add", "add", "merge"]
    assert [event["kind"] for event in content["undone"]] == ["rename"]


def test_scores_set_meanwhile_are_not_taken_back(session: wb.lloom) -> None:
    changed = session.change_criteria("Late buses", "Does the text say that a bus came late?")
    put(session, changed, [0.5] * 8)
    session.undo()
    assert scores_of(session, "Late buses") == [-1.0] * 8
    session.redo()
    assert scores_of(session, "Late buses") == [0.5] * 8
