"""The codebook: order, merging, splitting, undoing, and what is written down of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from text_lloom import Codebook, Concept
from text_lloom.errors import InputError, UnknownName

LATE = ("Late buses", "Does the text say that buses run late?")
FARES = ("High fares", "Does the text say that fares are too high?")
LANES = ("Unsafe lanes", "Does the text say that bicycle lanes are not safe?")
NOISE = ("Noise at night", "Does the text complain about noise at night?")


@pytest.fixture
def book() -> Codebook:
    book = Codebook()
    book.add(*LATE, example_ids=["d1", "d2"], seed="transport")
    book.add(*FARES, example_ids=["d2", "d3"], active=True, seed="money")
    book.add(*LANES, example_ids=["d4"])
    book.add(*NOISE)
    return book


def names(book: Codebook) -> list[str]:
    return [concept.name for concept in book.values()]


def by_name(book: Codebook, name: str) -> Concept:
    return next(concept for concept in book.values() if concept.name == name)


def ids(book: Codebook) -> list[str]:
    return list(book)


# --- reading -------------------------------------------------------------------------------------------


def test_a_codebook_is_an_ordered_mapping_from_id_to_concept(book: Codebook) -> None:
    assert names(book) == ["Late buses", "High fares", "Unsafe lanes", "Noise at night"]
    assert len(book) == 4
    assert [book[i].id for i in book] == ids(book)
    assert "no-such-id" not in book
    with pytest.raises(KeyError):
        book["no-such-id"]


def test_only_what_is_selected_is_active(book: Codebook) -> None:
    assert [concept.name for concept in book.active] == ["High fares"]
    by_name(book, "Noise at night").active = True
    assert [concept.name for concept in book.active] == ["High fares", "Noise at night"]
    assert len(book.events) == 4, "selecting is not a change of the codebook"


def test_an_unknown_id_is_refused_with_those_that_exist(book: Codebook) -> None:
    first = ids(book)[0]
    with pytest.raises(UnknownName, match="Late buses"):
        book.find("no-such-id")
    assert book.find(first).name == "Late buses"


def test_a_concept_brings_its_own_fields(book: Codebook) -> None:
    late, fares, lanes, _ = book.values()
    assert (late.seed, late.active, late.example_ids) == ("transport", False, ["d1", "d2"])
    assert (fares.seed, fares.active, fares.example_ids) == ("money", True, ["d2", "d3"])
    assert (lanes.seed, lanes.summary, lanes.merged_from) == (None, "", [])
    assert late.prompt == late.criteria == LATE[1]


def test_two_concepts_of_one_name_have_different_ids_and_the_same_in_every_session() -> None:
    books = [Codebook() for _ in range(2)]
    made = [[book.add(*LATE).id, book.add(*LATE).id] for book in books]
    assert made[0] == made[1]
    assert made[0][0] != made[0][1]


def test_the_examples_of_a_new_concept_are_its_own() -> None:
    given = ["d1"]
    concept = Codebook().add(*LATE, example_ids=given)
    given.append("d2")
    assert concept.example_ids == ["d1"]


def test_an_id_that_is_taken_is_refused_and_nothing_changes(book: Codebook) -> None:
    twin = Concept("Twin", "Is it a twin?", id=ids(book)[0])
    with pytest.raises(InputError, match="already has a concept"):
        book.extend([twin])
    assert len(book) == 4


# --- changing ------------------------------------------------------------------------------------------


def test_several_concepts_are_added_as_one_change(book: Codebook) -> None:
    book.extend([Concept("Benches", "Are there benches?"), Concept("Trees", "Are there trees?")], note="more")
    assert names(book)[-2:] == ["Benches", "Trees"]
    assert (book.events[-1].kind, book.events[-1].note) == ("add", "more")
    book.undo()
    assert names(book) == ["Late buses", "High fares", "Unsafe lanes", "Noise at night"]
    book.redo()
    assert names(book)[-2:] == ["Benches", "Trees"]


def test_a_new_name_keeps_place_criterion_and_summary(book: Codebook) -> None:
    fares = by_name(book, "High fares")
    fares.summary = "Families pay too much."
    renamed = book.rename(fares.id, "  Dear tickets ", note="their word")
    assert names(book) == ["Late buses", "Dear tickets", "Unsafe lanes", "Noise at night"]
    assert (renamed.id, renamed.criteria, renamed.summary) == (fares.id, FARES[1], "Families pay too much.")
    assert renamed.active
    assert (book.events[-1].kind, book.events[-1].note) == ("rename", "their word")


def test_a_new_criterion_drops_the_summary_and_undoing_brings_it_back(book: Codebook) -> None:
    fares = by_name(book, "High fares")
    fares.summary = "Families pay too much."
    edited = book.edit(fares.id, " Does the text say that families cannot afford fares? ", note="narrower")
    assert edited.criteria == "Does the text say that families cannot afford fares?"
    assert edited.summary == ""
    assert (edited.name, edited.active) == ("High fares", True)
    assert (book.events[-1].kind, book.events[-1].note) == ("edit", "narrower")
    edited.summary = "Families cannot afford it."
    book.undo()
    assert book[fares.id].criteria == FARES[1]
    assert book[fares.id].summary == "Families pay too much."
    book.redo()
    assert book[fares.id].summary == "Families cannot afford it."


def test_a_summary_written_after_a_new_name_survives_its_undoing(book: Codebook) -> None:
    renamed = book.rename(by_name(book, "High fares").id, "Dear tickets")
    renamed.summary = "Families pay too much."
    renamed.active = False
    book.undo()
    fares = by_name(book, "High fares")
    assert fares.summary == "Families pay too much."
    assert not fares.active, "the selection stays as it is"


@pytest.mark.parametrize("text", ["", "   ", None, 7], ids=repr)
def test_blank_names_and_criteria_are_refused(book: Codebook, text: Any) -> None:
    first = ids(book)[0]
    with pytest.raises(InputError, match="name must be text and not blank"):
        book.rename(first, text)
    with pytest.raises(InputError, match="criterion must be text and not blank"):
        book.edit(first, text)
    with pytest.raises(InputError, match="needs a name and a criterion"):
        Concept.from_dict({"name": text if isinstance(text, str) else "", "prompt": LATE[1]})
    with pytest.raises(InputError, match="needs a name and a criterion"):
        Concept.from_dict({"name": "Late buses", "prompt": text if isinstance(text, str) else ""})
    assert len(book.events) == 4


# --- merging and splitting -----------------------------------------------------------------------------


def test_merging_takes_name_place_and_seed_of_the_first_in_the_codebook(book: Codebook) -> None:
    """The order of the arguments does not matter."""
    late, fares, lanes, _ = ids(book)
    merged = book.merge([lanes, fares, late, lanes], note="all of traffic")
    assert (merged.name, merged.criteria, merged.seed) == (*LATE, "transport")
    assert names(book) == ["Late buses", "Noise at night"]
    assert merged.id not in (late, fares, lanes)
    assert merged.merged_from == [late, fares, lanes]
    assert merged.example_ids == ["d1", "d2", "d3", "d4"]
    assert merged.active, "one of them was selected"
    assert (book.events[-1].kind, book.events[-1].note) == ("merge", "all of traffic")


def test_a_merged_concept_is_selected_only_if_one_of_its_parts_was(book: Codebook) -> None:
    late, _, lanes, noise = ids(book)
    assert not book.merge([noise, lanes]).active
    assert names(book) == ["Late buses", "High fares", "Unsafe lanes"]
    assert not book.find(late).active


def test_merging_may_give_a_name_and_a_criterion(book: Codebook) -> None:
    _, fares, lanes, _ = ids(book)
    merged = book.merge([lanes, fares], name="Traffic", criteria="Is it about traffic?")
    assert (merged.name, merged.criteria) == ("Traffic", "Is it about traffic?")
    assert names(book) == ["Late buses", "Traffic", "Noise at night"]


def test_what_was_merged_before_is_remembered(book: Codebook) -> None:
    late, fares, lanes, _ = ids(book)
    once = book.merge([late, fares])
    twice = book.merge([once.id, lanes])
    assert twice.merged_from == [late, fares, once.id, lanes]


@pytest.mark.parametrize("chosen", [[], [0], [1, 1]], ids=["none", "one", "one twice"])
def test_merging_needs_two_different_concepts(book: Codebook, chosen: list[int]) -> None:
    with pytest.raises(InputError, match="at least two different concepts"):
        book.merge([ids(book)[at] for at in chosen])
    assert len(book) == 4


def test_undoing_a_merge_brings_all_parts_back_to_their_places(book: Codebook) -> None:
    before, (late, _, lanes, noise) = ids(book), ids(book)
    merged = book.merge([noise, late, lanes])
    assert names(book) == ["Late buses", "High fares"]
    book.undo()
    assert ids(book) == before
    book.redo()
    assert ids(book) == [merged.id, before[1]]


def test_splitting_puts_the_parts_where_the_whole_was(book: Codebook) -> None:
    fares = by_name(book, "High fares")
    parts = book.split(
        fares.id,
        [("Dear for families", "Do families pay too much?"), ("Dear for students", "Do students?")],
        example_ids=[["d9"]],
        note="two groups",
    )
    assert names(book) == [
        "Late buses",
        "Dear for families",
        "Dear for students",
        "Unsafe lanes",
        "Noise at night",
    ]
    assert [part.criteria for part in parts] == ["Do families pay too much?", "Do students?"]
    assert [part.example_ids for part in parts] == [["d9"], ["d2", "d3"]]
    assert all(part.active and part.seed == "money" for part in parts)
    assert len({part.id for part in parts} | {fares.id}) == 3
    assert (book.events[-1].kind, book.events[-1].note) == ("split", "two groups")
    book.undo()
    assert names(book)[1] == "High fares"
    assert len(book) == 4


def test_parts_of_what_is_not_selected_are_not_selected(book: Codebook) -> None:
    parts = book.split(ids(book)[0], [("Late by day", "Late by day?"), ("Late by night", "Late by night?")])
    assert not any(part.active for part in parts)
    with pytest.raises(InputError, match="at least two parts"):
        book.split(parts[0].id, [("One", "Only one?")])


# --- taking out, undoing, redoing ----------------------------------------------------------------------


def test_what_was_taken_out_comes_back_to_its_place(book: Codebook) -> None:
    gone = book.remove(ids(book)[1], note="no use")
    assert gone.name == "High fares"
    assert names(book) == ["Late buses", "Unsafe lanes", "Noise at night"]
    assert (book.events[-1].kind, book.events[-1].note) == ("remove", "no use")
    event = book.undo()
    assert event is not None
    assert event.kind == "remove"
    assert names(book) == ["Late buses", "High fares", "Unsafe lanes", "Noise at night"]


def test_several_are_taken_out_as_one_change(book: Codebook) -> None:
    late, _, lanes, noise = ids(book)
    gone = book.remove_all([noise, late, noise, lanes], note="off topic")
    assert [concept.name for concept in gone] == ["Noise at night", "Late buses", "Unsafe lanes"]
    assert names(book) == ["High fares"]
    assert (book.events[-1].kind, book.events[-1].note) == ("remove", "off topic")
    book.undo()
    assert names(book) == ["Late buses", "High fares", "Unsafe lanes", "Noise at night"]
    assert book.remove_all([]) == []
    assert len(book.events) == 4, "taking nothing out is no change"


def test_what_was_taken_out_in_another_order_comes_back_in_its_own(book: Codebook) -> None:
    late, fares, *_ = ids(book)
    before = ids(book)
    book.remove_all([fares, late])
    book.undo()
    assert ids(book) == before


def test_changes_are_undone_from_the_last_and_redone_in_order(book: Codebook) -> None:
    late = ids(book)[0]
    book.rename(late, "Slow buses")
    book.rename(late, "Slow trams")
    assert [book.undo(), book.undo()][-1] is not None
    assert names(book)[0] == "Late buses"
    assert [event.kind for event in book.undone] == ["rename", "rename"]
    book.redo()
    assert names(book)[0] == "Slow buses"
    book.redo()
    assert names(book)[0] == "Slow trams"
    assert book.redo() is None
    assert book.undone == ()


def test_a_new_change_ends_what_could_be_redone(book: Codebook) -> None:
    late = ids(book)[0]
    book.rename(late, "Slow buses")
    book.undo()
    book.rename(late, "Tardy buses")
    assert book.redo() is None
    assert names(book)[0] == "Tardy buses"
    book.undo()
    assert names(book)[0] == "Late buses"


@pytest.mark.parametrize(
    "change",
    [
        lambda book, first, second: book.add(*LATE),
        lambda book, first, second: book.extend([Concept(*LATE)]),
        lambda book, first, second: book.rename(first, "Slow buses"),
        lambda book, first, second: book.edit(first, "Is it slow?"),
        lambda book, first, second: book.merge([first, second]),
        lambda book, first, second: book.split(first, [LATE, FARES]),
        lambda book, first, second: book.remove(first),
        lambda book, first, second: book.remove_all([first, second]),
    ],
    ids=["add", "extend", "rename", "edit", "merge", "split", "remove", "remove all"],
)
def test_a_change_without_a_reason_has_none(book: Codebook, change: Any) -> None:
    change(book, *ids(book)[:2])
    assert len(book.events) == 5
    assert book.events[-1].note == ""


def test_nothing_to_undo_or_redo_is_nothing() -> None:
    book = Codebook([Concept(*LATE)])
    assert book.undo() is None
    assert book.redo() is None
    assert len(book) == 1


def test_every_change_says_when_in_utc(book: Codebook) -> None:
    at = datetime.fromisoformat(book.events[0].at)
    assert at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    assert at.microsecond == 0


# --- as JSON -------------------------------------------------------------------------------------------


def test_a_codebook_comes_back_from_json_with_its_history(book: Codebook) -> None:
    late, fares, lanes, _ = ids(book)
    book.merge([late, fares], name="Verkehr – zu spät & teuer", note="Grüße")
    book.rename(lanes, "Bike lanes")
    book.undo()
    text = book.to_json()
    back = Codebook.from_json(text)
    assert back.to_json() == text
    assert list(back.values()) == list(book.values())
    assert back.events == book.events
    assert back.undone == book.undone
    assert "zu spät" in text, "letters stay readable"
    assert back.redo() is not None
    assert names(back)[1] == "Bike lanes"
    back.undo()
    back.undo()
    assert names(back)[:2] == ["Late buses", "High fares"]
    assert back.add(*NOISE).id == book.add(*NOISE).id, "ids go on where they were"


def test_ids_of_documents_that_json_does_not_know_are_written_as_told() -> None:
    book = Codebook()
    book.add(*LATE, example_ids=[("ward", 7)])
    text = book.to_json(write_id=lambda i: "/".join(map(str, i)))  # type: ignore[call-overload]
    assert json.loads(text)["concepts"][0]["example_ids"] == ["ward/7"]
    assert json.loads(text)["events"][0]["added"][0][1]["example_ids"] == ["ward/7"]

    def read(value: object) -> tuple[str, int]:
        ward, number = str(value).split("/")
        return ward, int(number)

    back = Codebook.from_json(text, read_id=read)
    assert next(iter(back.values())).example_ids == [("ward", 7)]
    assert back.events == book.events


def test_the_json_says_what_it_is(book: Codebook) -> None:
    content = json.loads(book.to_json())
    assert (content["format"], content["version"], content["made"]) == ("lloom-codebook", 1, 4)
    assert [concept["name"] for concept in content["concepts"]] == names(book)
    assert content["concepts"][1] == {
        "id": ids(book)[1],
        "name": "High fares",
        "prompt": FARES[1],
        "summary": "",
        "example_ids": ["d2", "d3"],
        "active": True,
        "seed": "money",
        "merged_from": [],
    }


def test_a_plain_list_of_names_and_criteria_is_a_codebook() -> None:
    listed = [{"name": " Late buses ", "criteria": LATE[1]}, {"name": "High fares", "prompt": FARES[1]}]
    for content in (listed, {"concepts": listed}):
        book = Codebook.from_json(json.dumps(content))
        assert names(book) == ["Late buses", "High fares"]
        assert [concept.criteria for concept in book.values()] == [LATE[1], FARES[1]]
        assert book.undo() is None
        assert len({book.add(*LATE).id, *book}) == 3


def test_ids_of_a_file_that_does_not_count_go_on_after_its_concepts(book: Codebook) -> None:
    content = json.loads(book.to_json())
    del content["made"]
    assert Codebook.from_json(json.dumps(content)).add(*NOISE).id == book.add(*NOISE).id


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: Late buses", "JSON text"),
        ('"Late buses"', "neither"),
        ('["Late buses"]', "neither"),
        ('{"codes": []}', "neither"),
        ('[{"name": "Late buses"}]', "needs a name and a criterion"),
    ],
    ids=["YAML", "text", "list of text", "other object", "no criterion"],
)
def test_other_json_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Codebook.from_json(text)


def test_a_concept_from_plain_values() -> None:
    fields = {
        "name": " Late buses ",
        "prompt": f" {LATE[1]} ",
        "example_ids": ("d1", 7),
        "summary": "They are.",
        "active": True,
        "seed": 3,
        "merged_from": [1, "two"],
        "id": "late",
    }
    concept = Concept.from_dict(fields)
    assert concept == Concept(*LATE, ["d1", 7], "They are.", True, "3", ["1", "two"], "late")
    assert Concept.from_dict(concept.to_dict()) == concept
    bare = Concept.from_dict({"name": "Late buses", "criteria": LATE[1], "example_ids": "d1"})
    assert (bare.example_ids, bare.summary, bare.active, bare.seed, bare.merged_from) == (
        [],
        "",
        False,
        None,
        [],
    )
    assert bare.id != Concept.from_dict({"name": "Late buses", "criteria": LATE[1]}).id


def test_the_plain_values_of_a_concept_are_copies() -> None:
    concept = Concept(*LATE, ["d1"], merged_from=["old"])
    fields = concept.to_dict()
    fields["example_ids"].append("d2")
    fields["merged_from"].append("older")
    assert (concept.example_ids, concept.merged_from) == (["d1"], ["old"])


def test_the_wording_of_a_stored_concept_is_not_touched() -> None:
    """Scores are bound to the wording of a criterion."""
    book = Codebook([Concept(" Late  buses ", "Is it late? \n")])
    [back] = Codebook.from_json(book.to_json()).values()
    assert (back.name, back.criteria) == (" Late  buses ", "Is it late? \n")
