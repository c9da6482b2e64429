"""What the local engine answers to each kind of task."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.local import LocalEngine
from text_lloom.local.reading import Reader
from text_lloom.local.stopwords import FUNCTION_WORDS
from text_lloom.local.words import key_of
from text_lloom.quotes import QuoteMatch
from text_lloom.tasks import (
    Candidate,
    FilterQuotes,
    Item,
    MatchConcepts,
    Pattern,
    ReviewMerge,
    ReviewRemove,
    Scored,
    ScoreDocuments,
    SelectConcepts,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
)
from text_lloom.tasks.base import ReplySchema, Stage, Task, Template

_TRANSPORT = [
    "The night bus never comes on time. I stood at the stop for forty minutes in the rain.",
    "Our night bus was cancelled twice this week and the drivers don't know why.",
    "Late buses again! The timetable says every ten minutes, in truth it is every thirty.",
    "A late bus means I miss the start of my shift, and my manager doesn't care about the timetable.",
    "Bus drivers deserve better pay, then maybe the night bus would come on time.",
    "The timetable at the stop is a work of fiction, the bus is late every single day.",
]
_FOOD = [
    "The school canteen serves cold pasta three days out of five. My daughter comes home hungry.",
    "School meals should be free for every child, no questions asked.",
    "Free school meals were the only hot food my brother got last winter.",
    "Why is the canteen queue so long that children skip lunch?",
    "The new canteen menu has fresh vegetables and the children actually eat them.",
]
_RENT = [
    "My landlord raised the rent by two hundred and won't fix the mould in the bathroom.",
    "Mould on every wall, and the landlord says to open a window. The rent went up anyway.",
    "We pay half our wages as rent for a damp flat.",
    "A rent cap would help us stay in this town, my landlord wants a third more.",
    "The damp flat made my son ill, black mould behind his bed.",
]
_OTHER = [
    "Nice pictures of the harbour at sunset!",
    "Has anybody seen a grey cat near the library?",
    "Our choir meets on Thursdays, new voices are welcome.",
    "The concert in the park was wonderful, thank you to the volunteers.",
    "lol ok",
    "😀😀😀",
    "The library opens at nine.",
    "Happy birthday to the fire brigade, a hundred years old!",
]
CORPUS = [*_TRANSPORT, *_FOOD, *_RENT, *_OTHER]

ODD = [
    pytest.param("", id="empty"),
    pytest.param(" \n ", id="blank"),
    pytest.param("😀😀😀", id="emoji"),
    pytest.param("ok", id="one-word"),
    pytest.param("the the the", id="function-words"),
    pytest.param("12345", id="number"),
    pytest.param("{name} {0} %s {{}}", id="braces"),
    pytest.param("<p>Late <b>bus</b> &amp; rude driver</p>", id="html"),
    pytest.param("\x00\x01 bell\x07 rings", id="control-characters"),
    pytest.param("公交车总是晚点，司机态度也不好。", id="chinese"),
    pytest.param("バスはいつも遅れる。運転手は親切です", id="japanese"),
    pytest.param("الحافلة تتأخر دائما ولا أحد يعتذر", id="arabic"),
    pytest.param("Автобус всегда опаздывает, и никто не извиняется", id="russian"),
    pytest.param("Der Bus kommt immer zu spät, und keiner sagt etwas", id="german"),
    pytest.param("lone \ud800 surrogate", id="surrogate"),
    pytest.param("x" * 3000, id="one-long-word"),
    pytest.param("bus " * 1000, id="one-word-repeated"),
    pytest.param("The stop has no roof. " * 500, id="one-sentence-repeated"),
]


def quotes(
    text: str, n: int = 3, *, seed: str | None = None, background: list[str] | None = None
) -> list[str]:
    found = LocalEngine(background or []).solve([FilterQuotes("d", text, n, seed)])[0]
    assert isinstance(found, list)
    return found


def bullets(text: str, **settings: str | int | None) -> list[str]:
    found = LocalEngine(CORPUS).solve([SummarizeDocument("d", text, **settings)])[0]  # type: ignore[arg-type]
    assert isinstance(found, list)
    return found


def patterns(lines: list[str], n: int | None = None, seed: str | None = None) -> list[Pattern]:
    items = tuple(Item(number, line) for number, line in enumerate(lines))
    found = LocalEngine(CORPUS).solve([SynthesizeConcepts(items, n, seed=seed)])[0]
    assert isinstance(found, list)
    return found


def scores(
    concept: Concept,
    texts: list[str],
    *,
    background: list[str] = CORPUS,
    examples: tuple[str, ...] = (),
    get_highlights: bool = True,
) -> list[Scored]:
    documents = tuple(Document(number, text) for number, text in enumerate(texts))
    task = ScoreDocuments(documents, (concept,), get_highlights, (examples,) if examples else ())
    found = LocalEngine(background).solve([task])[0]
    assert isinstance(found, list)
    return found


class TestQuotes:
    LONG = (
        "Good morning to you all. The landlord of our block has not repaired the heating since November. "
        "I am seventy-three and I sleep in my coat. We wrote four letters to the landlord about the heating, "
        "and four times there was no answer! See https://example.org/letters for copies. The rent, however, "
        "was raised in January without a word about repairs. Kind regards"
    )

    def test_are_passages_of_the_document_in_order(self) -> None:
        found = quotes(self.LONG)
        places = [self.LONG.index(quote) for quote in found]
        assert len(found) == 3
        assert places == sorted(places)

    def test_prefer_content_to_greetings(self) -> None:
        assert not any("Good morning" in quote or "Kind regards" in quote for quote in quotes(self.LONG, 2))

    def test_do_not_repeat_a_point(self) -> None:
        text = "The lift is broken. The lift is broken again. Nobody cleans the stairs of this house."
        found = quotes(text, 2)
        assert any("stairs" in quote for quote in found)
        assert sum("lift" in quote for quote in found) <= 1

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_at_most_as_many_as_asked_for(self, n: int) -> None:
        assert 1 <= len(quotes(self.LONG, n)) <= n

    def test_seed_comes_first(self) -> None:
        text = " ".join([_RENT[0], _FOOD[0], _TRANSPORT[0]])
        assert "canteen" in quotes(text, 1, seed="school meals and the canteen", background=CORPUS)[0]

    def test_long_sentences_are_cut(self) -> None:
        text = "We asked for a crossing, because the children run over the road, " * 20
        assert all(len(quote) <= 300 and quote in text for quote in quotes(text))

    @pytest.mark.parametrize("text", ODD)
    def test_odd_text(self, text: str) -> None:
        found = quotes(text)
        assert all(quote and quote in text for quote in found)
        assert bool(found) == bool(text.strip())


class TestBullets:
    def test_are_readable_fragments(self) -> None:
        assert bullets(_TRANSPORT[0])[0] == "night bus never comes on time"

    @pytest.mark.parametrize("text", CORPUS)
    def test_occur_in_the_text_and_carry_content(self, text: str) -> None:
        for bullet in bullets(text):
            assert bullet in " ".join(text.split())
            assert len(bullet.split()) <= 8

    @pytest.mark.parametrize(("asked", "most"), [("2-4", 4), (1, 1), ("1", 1), ("3", 3)])
    def test_number(self, asked: str | int, most: int) -> None:
        assert 1 <= len(bullets(" ".join(_RENT), n_bullets=asked)) <= most

    def test_do_not_end_with_function_words(self) -> None:
        for text in _TRANSPORT + _FOOD + _RENT:
            for bullet in bullets(text):
                assert bullet.split()[-1].lower() not in {"the", "a", "of", "and", "to", "for", "my", "is"}

    @pytest.mark.parametrize("text", ODD)
    def test_odd_text(self, text: str) -> None:
        found = bullets(text)
        assert all(bullet.strip() for bullet in found)
        assert bool(found) == bool(text.strip())

    def test_markup_is_left_out(self) -> None:
        assert "<" not in " ".join(bullets("<p>The <b>night</b> bus is late</p>"))


class TestPatterns:
    LINES: ClassVar = _TRANSPORT + _FOOD + _RENT

    def test_find_the_themes(self) -> None:
        found = patterns(self.LINES, 3)
        named = [pattern.name.lower() for pattern in found]
        assert len(found) == 3
        assert any("bus" in name or "timetable" in name for name in named)
        assert any("canteen" in name or "meals" in name or "child" in name for name in named)
        assert any(
            "rent" in name or "landlord" in name or "mould" in name or "flat" in name for name in named
        )

    @pytest.mark.parametrize("n", [None, 1, 3, 8])
    def test_names_read_like_names(self, n: int | None) -> None:
        for pattern in patterns(self.LINES, n):
            words = pattern.name.split()
            assert 1 <= len(words) <= 4
            assert words[0][0].isupper()
            assert words[-1][0].isupper()
            assert words[0].lower() not in FUNCTION_WORDS["en"]
            assert words[-1].lower() not in FUNCTION_WORDS["en"]
            assert all(one.lower() != other.lower() for one, other in pairwise(words))
            assert all(len(word) > 1 for word in words)

    def test_words_of_names_occur_in_the_corpus(self) -> None:
        known = {key for text in CORPUS for key in Reader()(text).content_keys()}
        for pattern in patterns(self.LINES, 8):
            assert {key_of(word) for word in pattern.name.split() if word != "and"} <= known

    def test_the_same_idea_has_the_same_name_in_every_request(self) -> None:
        one = {pattern.name: pattern.criteria for pattern in patterns(self.LINES[:9], 4)}
        other = {pattern.name: pattern.criteria for pattern in patterns(self.LINES[3:], 6)}
        assert one.keys() & other.keys()
        assert all(one[name] == other[name] for name in one.keys() & other.keys())

    def test_lines_that_show_nothing_of_the_corpus_are_read_by_themselves(self) -> None:
        found = patterns(["quince jelly recipe", "a jar of quince jelly", "quince jelly on toast"])
        assert [pattern.name for pattern in found] == ["Quince Jelly"]

    def test_criteria_are_questions(self) -> None:
        for pattern in patterns(self.LINES):
            assert pattern.criteria.startswith("Does the text ")
            assert pattern.criteria.endswith("?")

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_have_two_items_and_are_no_more_than_asked_for(self, n: int) -> None:
        found = patterns(self.LINES, n)
        assert 1 <= len(found) <= n
        for pattern in found:
            assert len(pattern.items) >= 2
            assert all(0 <= position < len(self.LINES) for position in pattern.items)

    def test_seed_steers(self) -> None:
        name = patterns(self.LINES, 1, seed="damp and mould in flats")[0].name.lower()
        assert "mould" in name or "damp" in name or "flat" in name or "landlord" in name or "rent" in name

    def test_lines_of_one_document_are_no_pattern(self) -> None:
        items = (Item(1, "quince jelly recipe"), Item(1, "quince jelly jars"), Item(2, "harbour sunset"))
        assert LocalEngine(CORPUS).solve([SynthesizeConcepts(items)]) == [[]]

    @pytest.mark.parametrize("lines", [[], ["bus"], ["", ""], ["😀", "😀"], ["and", "the"]], ids=str)
    def test_nothing_to_find(self, lines: list[str]) -> None:
        assert patterns(lines) == []


def candidate(name: str, criteria: str, support: int, *evidence: str) -> Candidate:
    return Candidate(Concept(name, criteria, id=name), support, evidence)


LATE = candidate(
    "Late Buses", "Does the text discuss late buses, in terms such as timetable?", 6, "bus is late"
)
NIGHT = candidate(
    "Late Night Bus", "Does the text discuss late buses at night?", 3, "bus is late", "night bus"
)
MEALS = candidate(
    "School Meals", "Does the text discuss school meals, in terms such as canteen?", 5, "canteen"
)
MOULD = candidate("Mould and Rent", "Does the text discuss mould and rent?", 4, "black mould behind his bed")
EMPTY = candidate("Quince Jelly", "Does the text discuss quince jelly?", 0)


class TestReview:
    def test_remove_takes_what_has_no_evidence(self) -> None:
        removed = LocalEngine(CORPUS).solve([ReviewRemove((LATE, MEALS, EMPTY))])[0]
        assert [removal.concept_id for removal in removed] == ["Quince Jelly"]  # type: ignore[attr-defined]

    def test_remove_takes_what_fits_everything(self) -> None:
        texts = [
            f"The bus report, number {word}"
            for word in ["one", "two", "red", "blue", "green", "grey", "oak", "elm", "ash", "fir"]
        ]
        everywhere = candidate("Bus Report", "Does the text discuss the bus report?", 9, "bus report")
        removed = LocalEngine(texts).solve([ReviewRemove((everywhere, MEALS))])[0]
        assert [removal.concept_id for removal in removed] == ["Bus Report"]  # type: ignore[attr-defined]

    def test_remove_never_takes_all(self) -> None:
        assert LocalEngine(CORPUS).solve([ReviewRemove((EMPTY,))]) == [[]]

    def test_merge_joins_what_says_the_same(self) -> None:
        groups = LocalEngine(CORPUS).solve([ReviewMerge((MEALS, NIGHT, LATE, MOULD))])[0]
        assert isinstance(groups, list)
        assert [set(group.concept_ids) for group in groups] == [{"Late Buses", "Late Night Bus"}]
        assert groups[0].name == "Late Buses"
        assert groups[0].criteria.startswith("Does the text ")
        assert groups[0].criteria.endswith("?")
        assert len(groups[0].criteria) < 200

    def test_merge_does_not_join_strangers_to_reach_a_target(self) -> None:
        groups = LocalEngine(CORPUS).solve([ReviewMerge((LATE, MEALS, MOULD), target=1)])[0]
        assert groups == []

    def test_merge_does_not_chain(self) -> None:
        chain = [
            candidate(f"{a} {b}".title(), f"Does the text discuss {a} {b}?", 3)
            for a, b in pairwise(["bus", "driver", "pay", "rent", "landlord", "mould", "flat", "town"])
        ]
        groups = LocalEngine(CORPUS).solve([ReviewMerge(tuple(chain))])[0]
        assert isinstance(groups, list)
        assert all(len(group.concept_ids) <= 3 for group in groups)

    def test_merge_joins_what_the_same_documents_show(self) -> None:
        rent = candidate("Rent", "Does the text discuss rent?", 3)
        landlords = candidate("Rent and Landlords", "Does the text discuss rent or landlords?", 4)
        groups = LocalEngine(CORPUS).solve([ReviewMerge((MEALS, rent, landlords))])[0]
        assert isinstance(groups, list)
        assert [set(group.concept_ids) for group in groups] == [{"Rent", "Rent and Landlords"}]

    def test_select_adds_what_is_not_covered_yet(self) -> None:
        buses = candidate("Buses", "Does the text discuss buses?", 9)
        chosen = LocalEngine(CORPUS).solve([SelectConcepts((buses, LATE, NIGHT, MEALS, MOULD), 3)])[0]
        assert isinstance(chosen, list)
        assert {"School Meals", "Mould and Rent"} <= set(chosen)

    def test_select_prefers_support_and_distinctness(self) -> None:
        chosen = LocalEngine(CORPUS).solve([SelectConcepts((NIGHT, LATE, MEALS, EMPTY), 2)])[0]
        assert isinstance(chosen, list)
        assert set(chosen) == {"Late Buses", "School Meals"}

    @pytest.mark.parametrize("n", [1, 3, 10])
    def test_select_gives_distinct_ids(self, n: int) -> None:
        chosen = LocalEngine(CORPUS).solve([SelectConcepts((LATE, MEALS, MOULD), n)])[0]
        assert isinstance(chosen, list)
        assert len(chosen) == len(set(chosen)) == min(n, 3)

    def test_match(self) -> None:
        found = (NIGHT, candidate("Cat Pictures", "Does the text discuss cat pictures?", 2, "grey cat"))
        assert LocalEngine(CORPUS).solve([MatchConcepts(found, (MEALS, LATE))]) == [
            {"Late Night Bus": "Late Buses"}
        ]


class TestScores:
    LATE: ClassVar = Concept("Late Buses", "Does the text say that buses are late?", id="late")

    def test_matches_the_documents_that_say_so(self) -> None:
        entries = scores(self.LATE, CORPUS)
        by_text = {text: entry.judgement.score for text, entry in zip(CORPUS, entries, strict=True)}
        assert by_text[_TRANSPORT[2]] == by_text[_TRANSPORT[3]] == by_text[_TRANSPORT[5]] == 1.0
        assert all(by_text[text] <= 0.25 for text in (*_RENT, *_OTHER))
        assert set(by_text.values()) <= {1.0, 0.75, 0.5, 0.25, 0.0}

    def test_words_about_the_same_subject_count_for_words_of_a_phrase(self) -> None:
        concept = Concept("Unreliable Buses", "Does the text complain that buses are late?", id="u")
        texts = ["Every bus was cancelled today.", "The night bus is late again.", "The bus has new seats."]
        assert [entry.judgement.score == 1.0 for entry in scores(concept, texts)] == [True, True, False]

    def test_half_of_a_phrase_is_no_match(self) -> None:
        concept = Concept("School Meals", "Does the text discuss school meals?", id="m")
        found = [e.judgement.score for e in scores(concept, ["The school has a new roof.", _FOOD[1]])]
        assert found[0] <= 0.25
        assert found[1] == 1.0

    def test_listed_words_about_the_same_subject_match_by_themselves(self) -> None:
        concept = Concept(
            "Rent and Landlords",
            "Does the text discuss rent and landlords, in terms such as tenants?",
            id="r",
        )
        text = "Tenants have no say in this town."
        assert scores(concept, [text], background=[*CORPUS, text])[0].judgement.score == 1.0

    def test_one_entry_per_document_and_concept(self) -> None:
        concepts = (self.LATE, Concept("Rent", "Does the text mention rent?", id="rent"))
        documents = tuple(Document(number, text) for number, text in enumerate(CORPUS))
        entries = LocalEngine(CORPUS).solve([ScoreDocuments(documents, concepts)])[0]
        assert isinstance(entries, list)
        assert [(e.doc_id, e.concept_id) for e in entries] == [
            (d.id, c.id) for d in documents for c in concepts
        ]

    def test_unknown_words_match_nothing(self) -> None:
        concept = Concept("Quantum Gravity", "Does the text discuss gluons?", id="q")
        assert {entry.judgement.score for entry in scores(concept, CORPUS)} == {0.0}
        assert {entry.judgement.score for entry in scores(concept, CORPUS, examples=tuple(_RENT))} <= {
            0.0,
            0.25,
            0.5,
        }

    def test_inflected_and_derived_words_count(self) -> None:
        concept = Concept("Criticism of Landlords", "Does the text criticize landlords?", id="c")
        text = "They criticized the landlord in public, and the critics were many."
        found = scores(concept, [text, "The cat sleeps."], background=[*CORPUS, text])
        assert [entry.judgement.score for entry in found] == [1.0, 0.0]

    def test_rationale_names_the_evidence(self) -> None:
        entries = scores(self.LATE, [_TRANSPORT[2], _OTHER[0]])
        assert entries[0].judgement.rationale == 'Keyword evidence: "Late", "buses".'
        assert entries[1].judgement.rationale == "No keyword of the concept occurs."

    def test_highlights_are_exact(self) -> None:
        for text, entry in zip(CORPUS, scores(self.LATE, CORPUS), strict=True):
            judgement = entry.judgement
            if judgement.score >= 0.5:
                assert judgement.match is QuoteMatch.EXACT
                assert judgement.highlight
                assert judgement.highlight in text
            else:
                assert (judgement.highlight, judgement.match) == ("", QuoteMatch.NONE)

    def test_highlight_is_the_passage_with_the_evidence(self) -> None:
        text = f"{_OTHER[3]} {_RENT[2]} Every bus is late, and nobody says sorry. {_FOOD[4]}"
        assert scores(self.LATE, [text])[0].judgement.highlight == "Every bus is late, and nobody says sorry."

    def test_no_highlights_when_not_asked_for(self) -> None:
        assert all(not e.judgement.highlight for e in scores(self.LATE, CORPUS, get_highlights=False))

    def test_examples_find_documents_that_name_the_concept_otherwise(self) -> None:
        concept = Concept("Housing Costs", "Does the text discuss what housing costs?", id="h")
        plain = [entry.judgement.score for entry in scores(concept, _RENT)]
        taught = [entry.judgement.score for entry in scores(concept, _RENT, examples=(_RENT[0], _RENT[3]))]
        assert sum(taught) > sum(plain)

    def test_do_not_depend_on_what_is_asked_together(self) -> None:
        rent = Concept("Rent and Mould", "Does the text mention rent or mould?", id="rent")
        engine = LocalEngine(CORPUS)
        documents = tuple(Document(number, text) for number, text in enumerate(CORPUS))
        together = engine.solve([ScoreDocuments(documents, (self.LATE, rent))])[0]
        apart = [
            entry
            for document in documents
            for concept in (self.LATE, rent)
            for entry in LocalEngine(CORPUS).solve([ScoreDocuments((document,), (concept,))])[0]  # type: ignore[attr-defined]
        ]
        assert together == apart

    @pytest.mark.parametrize("text", ODD)
    def test_odd_text(self, text: str) -> None:
        for concept in (self.LATE, Concept("😀", "Does the text?"), Concept("", "")):
            judgement = scores(concept, [text])[0].judgement
            assert judgement.score in {0.0, 0.25, 0.5, 0.75, 1.0}
            assert judgement.highlight in text


class TestSummary:
    def test_speaks_of_what_recurs(self) -> None:
        concept = Concept("Late Buses", "Does the text discuss late buses?")
        text = LocalEngine(CORPUS).solve([SummarizeConcept(concept, tuple(_TRANSPORT))])[0]
        assert isinstance(text, str)
        assert text.startswith("Matching documents s")
        assert "bus" in text.lower()
        assert len(text) < 500

    def test_without_passages(self) -> None:
        assert LocalEngine().solve([SummarizeConcept(Concept("Cats", "Cats?"), ())]) == [
            "No passage shows Cats."
        ]


class TestEmbeddings:
    def test_rows_have_length_one_and_blank_texts_none(self) -> None:
        vectors = LocalEngine(CORPUS).embed([*CORPUS, "", "  ", "zyxwv qqq"])
        lengths = np.linalg.norm(vectors, axis=1)
        assert vectors.dtype == np.float32
        assert vectors.shape[1] <= 100
        assert np.allclose(lengths[: len(CORPUS)], 1, atol=1e-5)
        assert lengths[-3:].tolist() == pytest.approx([0, 0, 1], abs=1e-5)

    @pytest.mark.parametrize("background", [[], CORPUS], ids=["alone", "with-background"])
    @pytest.mark.parametrize("n", [0, 1, 2, 3])
    def test_few_texts(self, n: int, background: list[str]) -> None:
        vectors = LocalEngine(background).embed(CORPUS[:n])
        assert vectors.shape[0] == n
        assert np.isfinite(vectors).all()

    def test_texts_about_the_same_are_near(self) -> None:
        vectors = LocalEngine(CORPUS).embed(["night bus late", "bus timetable", "mould in the flat"])
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1

    def test_equal_from_call_to_call(self) -> None:
        one, other = LocalEngine(CORPUS), LocalEngine(CORPUS)
        assert np.array_equal(one.embed(CORPUS), other.embed(CORPUS))
        assert np.allclose(one.embed(CORPUS[3:4]), one.embed(CORPUS)[3:4], atol=1e-5)


class TestEngine:
    def test_tasks_of_all_kinds_in_one_call(self) -> None:
        tasks = [
            SummarizeDocument(1, _FOOD[0]),
            ScoreDocuments(
                (Document(1, _FOOD[0]),), (Concept("Meals", "Does the text mention meals?", id="m"),)
            ),
            FilterQuotes(1, _FOOD[0]),
            ScoreDocuments((), ()),
        ]
        engine = LocalEngine(CORPUS)
        assert engine.solve(tasks) == [engine.solve([task])[0] for task in tasks]

    def test_same_input_same_answers(self) -> None:
        tasks = [
            *(FilterQuotes(n, text) for n, text in enumerate(CORPUS)),
            *(SummarizeDocument(n, text) for n, text in enumerate(CORPUS)),
            SynthesizeConcepts(tuple(Item(n, text) for n, text in enumerate(CORPUS)), seed="rent"),
            ReviewMerge((LATE, NIGHT, MEALS, MOULD), target=2),
        ]
        assert LocalEngine(CORPUS).solve(tasks) == LocalEngine(CORPUS).solve(tasks)

    def test_works_without_background(self) -> None:
        assert quotes(_RENT[0])
        items = tuple(Item(n, text) for n, text in enumerate(_TRANSPORT + _RENT))
        found = LocalEngine().solve([SynthesizeConcepts(items, 2)])[0]
        assert isinstance(found, list)
        assert len(found) == 2

    def test_answers_do_not_depend_on_other_tasks(self) -> None:
        engine = LocalEngine(CORPUS)
        alone = engine.solve([SummarizeDocument(1, _RENT[1])])
        assert engine.solve([SummarizeDocument(n, text) for n, text in enumerate(_RENT)])[1:2] == alone

    def test_unknown_task_is_refused(self) -> None:
        @dataclass(frozen=True)
        class Sing(Task[str]):
            step: ClassVar[str] = "sing"
            stage: ClassVar[Stage] = "map"
            template: ClassVar[Template] = Template("", (), ())
            reply: ClassVar[type[ReplySchema]] = ReplySchema
            expected_tokens: ClassVar[int] = 1

            def prompt(self) -> str:
                return "sing"

            def read(self, reply: ReplySchema) -> str:
                return ""

        with pytest.raises(TypeError, match="cannot answer Sing"):
            LocalEngine().solve([Sing()])

    def test_importing_it_loads_no_heavy_package(self) -> None:
        heavy = "{'sklearn', 'scipy', 'pandas'} & set(sys.modules)"
        code = f"import sys, text_lloom.local.engine; print(sorted({heavy}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
