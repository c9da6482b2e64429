"""How each task reads a model's reply: the answer, or the feedback that the model gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import BadAnswer, InputError
from text_lloom.quotes import QuoteMatch
from text_lloom.tasks import (
    Candidate,
    FilterQuotes,
    Item,
    MapDocument,
    MatchConcepts,
    ReviewMerge,
    ReviewRemove,
    ScoreDocuments,
    SelectConcepts,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
    Task,
)
from text_lloom.tasks.form import form_of

TEXTS = [
    "The 40 bus is late every single morning and nobody tells us why.",
    "A monthly ticket costs more than my phone and my gym together.",
]
LATE = Concept("Late buses", "Does the text say that a bus is late?", id="late")
FARES = Concept("High fares", "Does the text say that fares are too high?", id="fares")
LANES = Concept("Bike lanes", "Does the text ask for bike lanes?", id="lanes")
CANDIDATES = tuple(Candidate(concept, n) for n, concept in enumerate((LATE, FARES, LANES), 3))


def read(task: Task[Any], reply: object) -> Any:
    return task.parse(reply if isinstance(reply, str) else json.dumps(reply))


# --- scores --------------------------------------------------------------------------------------------


def scoring(n_documents: int = 1, *concepts: Concept, get_highlights: bool = True) -> ScoreDocuments:
    documents = tuple(Document(f"k{n}", TEXTS[n]) for n in range(n_documents))
    return ScoreDocuments(documents, concepts or (LATE,), get_highlights=get_highlights)


def entry(
    answer: str = "A", *, document: object = "D1", concept: object = "C1", **more: object
) -> dict[str, Any]:
    return {"document": document, "concept": concept, "rationale": "It says so.", "answer": answer, **more}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        *[(letter, score) for letter, score in zip("ABCDE", (1.0, 0.75, 0.5, 0.25, 0.0), strict=True)],
        ("b", 0.75),
        ("(C)", 0.5),
        ("  D - comes close", 0.25),
        ("E: another subject", 0.0),
    ],
)
def test_a_letter_stands_for_a_score(answer: str, score: float) -> None:
    [scored] = read(scoring(), {"results": [entry(answer)]})
    assert (scored.doc_id, scored.concept_id, scored.judgement.score) == ("k0", "late", score)


@pytest.mark.parametrize("answer", ["F", "", "Absolutely", "Enough", "1"])
def test_what_is_no_letter_is_refused(answer: str) -> None:
    with pytest.raises(BadAnswer, match="answer"):
        read(scoring(), {"results": [entry(answer)]})


def test_quotes_are_left_out_where_none_were_asked_for() -> None:
    reply = {"results": [entry(quote="The 40 bus is late")]}
    [with_quote] = read(scoring(), reply)
    assert with_quote.judgement.highlight == "The 40 bus is late"
    assert with_quote.judgement.match is QuoteMatch.EXACT
    [without] = read(scoring(get_highlights=False), reply)
    assert (without.judgement.highlight, without.judgement.claimed) == ("", "")
    assert without.judgement.score == 1.0


def test_a_quote_that_does_not_stand_in_the_document_is_unverified() -> None:
    [scored] = read(scoring(), {"results": [entry(highlight="Trams are wonderful here, says everyone")]})
    assert scored.judgement.match is QuoteMatch.UNVERIFIED
    assert scored.judgement.claimed == "Trams are wonderful here, says everyone"


def test_scores_come_by_document_and_concept_whatever_the_order_of_the_reply() -> None:
    task = scoring(2, LATE, FARES)
    results = [
        entry("A", document="D2", concept="C2"),
        entry("B", document=1, concept="2"),
        entry("C", document="2", concept="C1: Late buses"),
        entry("D", document="D1", concept="C1", rationale=" It  hints\nat it. "),
        entry("D", document="D1", concept="C1"),
        entry("E", document="D3", concept="C1"),
    ]
    found = [(s.doc_id, s.concept_id, s.judgement.score) for s in read(task, {"results": results})]
    assert found == [("k0", "late", 0.25), ("k0", "fares", 0.75), ("k1", "late", 0.5), ("k1", "fares", 1.0)]
    assert read(task, {"results": results})[0].judgement.rationale == "It hints at it."
    assert len(read(task, {"pattern_results": results})) == 4


def test_missing_scores_are_named() -> None:
    with pytest.raises(BadAnswer, match=r"2 of 4 entries are missing: D1 on C2, D2 on C1\."):
        read(scoring(2, LATE, FARES), {"results": [entry(), entry(document="D2", concept="C2")]})


def test_a_score_of_one_document_on_one_concept_needs_no_labels() -> None:
    [scored] = read(scoring(), {"results": [{"answer": "B"}]})
    assert (scored.judgement.score, scored.judgement.rationale) == (0.75, "")


# --- quotes and bullets --------------------------------------------------------------------------------


def test_quotes_are_exact_passages_each_once_in_the_order_of_the_reply() -> None:
    task = FilterQuotes("k0", TEXTS[0])
    quotes = ["nobody tells us why", " ", "the 40  bus is late", "nobody tells us why", "Trams are wonderful"]
    assert read(task, {"quotes": quotes}) == ["nobody tells us why", "The 40 bus is late"]
    assert read(task, {"relevant_quotes": quotes[:1]}) == ["nobody tells us why"]
    assert read(task, quotes[:1]) == ["nobody tells us why"], "a bare list is taken for the one field"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        pytest.param(
            {"quotes": ["Trams are wonderful here"]}, "None of these passages stands", id="invented"
        ),
        pytest.param({"quotes": ["  "]}, "The list of quotes is empty", id="blank"),
        pytest.param({"quotes": []}, "The list of quotes is empty", id="empty"),
        pytest.param({"passages": []}, "quotes: Field required", id="other-key"),
        pytest.param("There are none.", "Expected a JSON object", id="prose"),
        pytest.param([["late"], "late"], "does not follow the requested form", id="list-of-lists"),
    ],
)
def test_a_reply_without_a_passage_is_told_why(reply: object, told: str) -> None:
    with pytest.raises(BadAnswer, match=told):
        read(FilterQuotes("k0", TEXTS[0]), reply)


def test_nothing_may_be_found_where_a_seed_or_a_prompt_of_the_user_s_narrows_the_search() -> None:
    assert read(FilterQuotes("k0", TEXTS[0], seed="trams"), {"quotes": []}) == []
    own = FilterQuotes("k0", TEXTS[0]).with_template(FilterQuotes.template)
    assert read(own, {"quotes": []}) == []
    with pytest.raises(BadAnswer, match="None of these passages"):
        read(FilterQuotes("k0", TEXTS[0], seed="trams"), {"quotes": ["Trams are wonderful here"]})
    assert read(SummarizeDocument("k0", TEXTS[0], seed="trams"), {"bullets": []}) == []


@pytest.mark.parametrize(
    ("n_bullets", "most"), [(1, 4), ("2-4", 8), (3, 6), ("1-2", 4)], ids=["1", "2-4", "3", "1-2"]
)
def test_far_too_many_bullets_are_cut(n_bullets: int | str, most: int) -> None:
    task = SummarizeDocument("k0", TEXTS[0], n_bullets)
    assert read(task, {"bullets": [f"point {n}" for n in range(20)]}) == [f"point {n}" for n in range(most)]


def test_bullets_lose_their_marks_and_blank_ones() -> None:
    task = SummarizeDocument("k0", TEXTS[0])
    bullets = ["- blames  the\noperator", "•  wants reasons", "", "* ", "fears -10 degrees"]
    assert read(task, {"bullet_points": bullets}) == [
        "blames the operator",
        "wants reasons",
        "fears -10 degrees",
    ]
    with pytest.raises(BadAnswer, match="The list of bullets is empty"):
        read(task, {"bullets": ["", "- "]})


# --- patterns ------------------------------------------------------------------------------------------


def pattern(name: str = "Late buses", prompt: str = "Is it late?", lines: object = (1, 2)) -> dict[str, Any]:
    return {"name": name, "prompt": prompt, "example_ids": lines}


ITEMS = tuple(Item(f"k{n}", f"the bus came {n} minutes late") for n in range(5))


@pytest.mark.parametrize(
    ("lines", "items"),
    [
        pytest.param([1, 5], (0, 4), id="first-and-last"),
        pytest.param([0, 1, 6, 2, -1], (0, 1), id="lines-that-are-not-there"),
        pytest.param([3, 1, 3, "1", "2."], (2, 0, 1), id="twice-and-as-text"),
        pytest.param([], (), id="none"),
    ],
)
def test_lines_are_numbered_from_one(lines: list[object], items: tuple[int, ...]) -> None:
    [found] = read(SynthesizeConcepts(ITEMS, 3), {"patterns": [pattern(lines=lines)]})
    assert found.items == items


def test_more_patterns_than_were_asked_for_are_cut() -> None:
    reply = {"concepts": [pattern(f"  Idea\n{n} ", f"Is it  {n}? ") for n in range(4)]}
    two = read(SynthesizeConcepts(ITEMS, 2), reply)
    assert [(found.name, found.criteria) for found in two] == [("Idea 0", "Is it 0?"), ("Idea 1", "Is it 1?")]
    assert len(read(SynthesizeConcepts(ITEMS), reply)) == 4
    assert read(SynthesizeConcepts(ITEMS), {"patterns": []}) == []


@pytest.mark.parametrize("empty", [{"name": " "}, {"prompt": ""}], ids=["name", "criterion"])
def test_a_pattern_needs_a_name_and_a_criterion(empty: dict[str, str]) -> None:
    with pytest.raises(BadAnswer, match='needs a "name" and a "prompt"'):
        read(SynthesizeConcepts(ITEMS, 2), {"patterns": [pattern(), {**pattern(), **empty}]})


# --- review --------------------------------------------------------------------------------------------


def test_concepts_are_taken_out_by_their_labels() -> None:
    remove = [
        {"concept": "C3", "reason": "one day"},
        {"concept": "1"},
        {"concept": "C3", "reason": "one day only"},
    ]
    assert [tuple(found) for found in read(ReviewRemove(CANDIDATES), {"remove": remove})] == [
        ("lanes", "one day only"),
        ("late", ""),
    ]
    assert read(ReviewRemove(CANDIDATES), {"remove": []}) == []
    with pytest.raises(BadAnswer, match="takes out every concept"):
        read(ReviewRemove(CANDIDATES), {"remove": [{"concept": f"C{n}"} for n in (1, 2, 3)]})
    [alone] = read(ReviewRemove(CANDIDATES[:1]), {"remove": [{"concept": "C1"}]})
    assert alone.concept_id == "late"


@pytest.mark.parametrize("label", ["C0", "C4"])
@pytest.mark.parametrize(
    ("task", "reply"),
    [
        pytest.param(ReviewRemove(CANDIDATES), '{"remove": [{"concept": "LABEL"}]}', id="remove"),
        pytest.param(
            ReviewMerge(CANDIDATES), '{"merge": [{"concepts": ["C1", "LABEL"], "name": "n", "prompt": "p"}]}',
            id="merge",
        ),
        pytest.param(SelectConcepts(CANDIDATES, 2), '{"select": ["C1", "LABEL"]}', id="select"),
        pytest.param(
            MatchConcepts(CANDIDATES, CANDIDATES[:1]), '{"matches": [{"concept": "LABEL", "known": "K1"}]}',
            id="match",
        ),
    ],
)  # fmt: skip
def test_labels_that_are_not_there_are_told(task: Task[Any], reply: str, label: str) -> None:
    with pytest.raises(BadAnswer, match=f"There is no {label}: use the labels C1 to C3"):
        read(task, reply.replace("LABEL", label))


def test_a_concept_is_merged_into_one_group() -> None:
    groups = [
        {"concepts": ["C2", "C1", "C2"], "name": " Buses ", "prompt": " Is it about buses? "},
        {"concepts": ["C1", "C3"], "name": "Roads", "prompt": "Is it about roads?"},
        {"concepts": ["C3"], "name": "", "criteria": ""},
    ]
    [found] = read(ReviewMerge(CANDIDATES), {"merge": groups})
    assert tuple(found) == (("fares", "late"), "Buses", "Is it about buses?")
    with pytest.raises(BadAnswer, match='Every group needs a "name" and a "prompt"'):
        read(ReviewMerge(CANDIDATES), {"merge": [{**groups[0], "prompt": " "}]})
    with pytest.raises(BadAnswer, match='Every group needs a "name" and a "prompt"'):
        read(ReviewMerge(CANDIDATES), {"merge": [{**groups[0], "name": " "}]})


def test_no_more_concepts_are_chosen_than_were_asked_for() -> None:
    task = SelectConcepts(CANDIDATES, 2)
    assert read(task, {"select": ["C3", "C3", 1, "C2"]}) == ["lanes", "late"]
    assert read(task, {"selected": ["C2"]}) == ["fares"]
    with pytest.raises(BadAnswer, match="No concept was chosen"):
        read(task, {"select": []})


def test_found_concepts_are_matched_with_known_ones() -> None:
    known = (
        Candidate(Concept("Delays", "Is it late?", id="k-delays")),
        Candidate(Concept("Noise", "Is it loud?", id="k-noise")),
    )
    matches = [{"concept": "C1", "known": "K1"}, {"concept": "C3", "known": "K2"}]
    assert read(MatchConcepts(CANDIDATES, known), {"matches": matches}) == {
        "late": "k-delays",
        "lanes": "k-noise",
    }
    for label in ("K0", "K3"):
        with pytest.raises(BadAnswer, match=f"There is no {label}: use the labels K1 to K2"):
            read(MatchConcepts(CANDIDATES, known), {"matches": [{"concept": "C1", "known": label}]})


def test_a_summary_is_one_line_of_text() -> None:
    task = SummarizeConcept(LATE, ("the bus is late",))
    assert read(task, {"summary": " Buses are\n late. "}) == "Buses are late."
    with pytest.raises(BadAnswer, match='"summary" is empty'):
        read(task, {"summary": " \n"})


# --- of any kind ---------------------------------------------------------------------------------------


def test_an_answer_in_a_few_words_is_text() -> None:
    task = MapDocument("k0", TEXTS[0], "Which bus?")
    assert task.parse("  the 40 \n") == "the 40"
    with pytest.raises(BadAnswer, match="The answer is empty"):
        task.parse(" \n")


@pytest.mark.parametrize(
    ("task", "units"),
    [
        pytest.param(FilterQuotes("k0", TEXTS[0], 5), 5, id="quotes"),
        pytest.param(SummarizeDocument("k0", TEXTS[0], "2-4"), 4, id="bullets"),
        pytest.param(SynthesizeConcepts(ITEMS, 3), 3, id="patterns"),
        pytest.param(SynthesizeConcepts(ITEMS), 5, id="any-number-of-patterns"),
        pytest.param(scoring(2, LATE, FARES, LANES), 6, id="scores"),
        pytest.param(ReviewRemove(CANDIDATES), 1, id="removals"),
        pytest.param(ReviewMerge(CANDIDATES * 2), 3, id="groups"),
        pytest.param(ReviewMerge(CANDIDATES[:1]), 1, id="one-group"),
        pytest.param(SelectConcepts(CANDIDATES, 2), 2, id="choice"),
        pytest.param(MatchConcepts(CANDIDATES, CANDIDATES[:1]), 3, id="matches"),
    ],
)
def test_the_length_of_a_reply_is_foreseen(task: Task[Any], units: int) -> None:
    assert task.answer_units() == units


def test_a_long_reply_without_json_is_told_by_its_beginning() -> None:
    told = "The buses are late and the fares are high. " * 9
    with pytest.raises(BadAnswer) as raised:
        read(scoring(), told)
    assert str(raised.value) == f"Expected a JSON object, but got: {told[:120] + '…'!r}"


def test_at_most_five_problems_of_a_reply_are_told() -> None:
    with pytest.raises(BadAnswer) as raised:
        read(scoring(), {"results": [{"answer": "F"}] * 8})
    assert str(raised.value).count("answer: ") == 5
    assert "results.0.answer: " in str(raised.value)


def test_documents_asked_about_keep_their_order_when_texts_are_cut() -> None:
    cut = scoring(2, LATE).with_texts(["The 40 bus", "A monthly"])
    assert [(document.id, document.text) for document in cut.documents] == [
        ("k0", "The 40 bus"),
        ("k1", "A monthly"),
    ]
    items = SynthesizeConcepts((*ITEMS[:2], ITEMS[0])).with_texts(["late", "later", "latest"])
    assert [item.text for item in items.items] == ["late", "later", "latest"]
    assert items.doc_ids == ("k0", "k1")


# --- exact schemas -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "good", "bad"),
    [
        pytest.param(
            SummarizeDocument("k0", TEXTS[0]), {"bullets": ["late"]}, [{"bullets": []}, {"bullets": [" "]}],
            id="bullets",
        ),
        pytest.param(SummarizeDocument("k0", TEXTS[0], seed="trams"), {"bullets": []}, [{}], id="no-bullets"),
        pytest.param(
            SynthesizeConcepts(ITEMS, 2), {"patterns": [pattern(lines=[1, 5])]},
            [{"patterns": [pattern(lines=[1])]}, {"patterns": [pattern(lines=[1, 6])]},
             {"patterns": [pattern(lines=[0, 1])]}, {"patterns": [pattern("", lines=[1, 2])]}],
            id="patterns",
        ),
        pytest.param(
            ReviewRemove(CANDIDATES), {"remove": [{"concept": "C3", "reason": ""}]},
            [{"remove": [{"concept": "C4", "reason": ""}]}, {"remove": [{"concept": "C1"}]}], id="remove",
        ),
        pytest.param(
            ReviewMerge(CANDIDATES), {"merge": [{"concepts": ["C1", "C3"], "name": "n", "prompt": "p"}]},
            [{"merge": [{"concepts": ["C1"], "name": "n", "prompt": "p"}]}], id="merge",
        ),
        pytest.param(
            SelectConcepts(CANDIDATES, 2), {"select": ["C3"]}, [{"select": []}, {"select": ["C0"]}],
            id="select",
        ),
        pytest.param(
            SummarizeConcept(LATE, ("late",)), {"summary": "Late."}, [{"summary": " "}, {"text": "Late."}],
            id="summary",
        ),
        pytest.param(
            scoring(), {"results": [entry(quote="")]},
            [{"results": []}, {"results": [entry("F", quote="")]}, {"results": [entry()]},
             {"results": [entry(quote="", document="D2")]}, {"results": [entry(quote="")] * 2}],
            id="score",
        ),
        pytest.param(
            scoring(get_highlights=False), {"results": [entry()]}, [{"results": [entry(quote="")]}],
            id="score-without-quotes",
        ),
    ],
)  # fmt: skip
def test_an_exact_schema_takes_replies_that_fit_and_no_others(
    task: Task[Any], good: dict[str, Any], bad: list[dict[str, Any]]
) -> None:
    schema = Draft202012Validator(dict(task.exact_schema() or {}))
    assert schema.is_valid(good)
    task.parse(json.dumps(good))
    assert [schema.is_valid(reply) for reply in bad] == [False] * len(bad)


@pytest.mark.parametrize(("n", "is_exact"), [(8, True), (9, False)])
def test_a_schema_with_a_part_per_entry_has_at_most_sixty_four(n: int, is_exact: bool) -> None:
    documents = tuple(Document(f"k{i}", TEXTS[0]) for i in range(n))
    concepts = tuple(Concept(f"Idea {i}", f"Is it {i}?", id=f"c{i}") for i in range(8))
    task = ScoreDocuments(documents, concepts)
    assert (task.exact_schema() is not task.schema()) == is_exact
    five = ScoreDocuments(tuple(Document(f"k{i}", TEXTS[0]) for i in range(13)), concepts[:5])
    assert five.exact_schema() is five.schema(), "sixty-five are too many"


class Remark(BaseModel):
    """What is said, and what is said in answer to it."""

    said: str
    answers: list[Remark] = []


def test_a_form_that_refers_to_itself_is_an_object() -> None:
    form = form_of(Remark)
    assert form is not None
    value = form.read('{"said": "late", "answers": [{"said": "again"}]}')
    assert isinstance(value, Remark)
    assert value.answers[0].said == "again"


def test_a_schema_that_refers_to_what_is_not_in_it_is_refused() -> None:
    bus = {"type": "object", "properties": {"line": {"$ref": "#/$defs/Line"}}}
    with pytest.raises(InputError, match=r"refers to '#/\$defs/Line', which is not in it"):
        form_of(bus)
    form = form_of(bus | {"$defs": {"Line": {"type": "integer"}}})
    assert form is not None
    assert form.read('{"line": 40}') == {"line": 40}
    with pytest.raises(BadAnswer, match="line: 'forty' is not of type 'integer'"):
        form.read('{"line": "forty"}')
