"""Concepts that the local engine finds in the bundled comments, from end to end as a newcomer does."""

from __future__ import annotations

import csv
from collections import Counter
from importlib.resources import files

import pandas as pd
import pytest

import text_lloom.workbench as wb
from text_lloom.concept import Concept
from text_lloom.local import LocalEngine
from text_lloom.local.associations import Associations
from text_lloom.local.evidence import terms_of
from text_lloom.local.kin import kin_of, subjects
from text_lloom.local.reading import Reader, without_repeats
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.local.stopwords import FUNCTION_WORDS
from text_lloom.local.words import key_of
from text_lloom.tasks import Item, SynthesizeConcepts


def comments() -> list[str]:
    path = files("text_lloom") / "data" / "transport_comments.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def session() -> wb.lloom:
    texts = comments()
    session = wb.lloom(pd.DataFrame({"id": range(len(texts)), "text": texts}), "text", "id")
    session.sync.gen_auto(8, debug=False)
    return session


@pytest.fixture(scope="module")
def matches(session: wb.lloom) -> pd.DataFrame:
    table = session.get_score_df()
    return table[table["score"] == 1.0]


@pytest.fixture(scope="module")
def concepts(session: wb.lloom) -> list[Concept]:
    return [session.concepts[concept_id] for concept_id in session.concepts]


def test_eight_concepts_cover_more_than_half_of_the_documents(matches: pd.DataFrame) -> None:
    assert matches["concept_id"].nunique() == 8
    assert matches["id"].nunique() >= 100


def test_concepts_are_neither_rare_nor_everywhere(matches: pd.DataFrame) -> None:
    counts = matches.groupby("concept_id").size()
    assert counts.between(5, 50).all()


def test_names_are_words_of_the_corpus_without_stop_words_at_the_ends(concepts: list[Concept]) -> None:
    known = {key for text in comments() for key in Reader()(text).content_keys()}
    for concept in concepts:
        words = concept.name.split()
        assert 1 <= len(words) <= 5
        assert {key_of(word) for word in words if word.lower() not in FUNCTION_WORDS["en"]} <= known
        assert words[0].lower() not in FUNCTION_WORDS["en"]
        assert words[-1].lower() not in FUNCTION_WORDS["en"]


def test_listed_words_are_about_the_subject_or_go_along_with_it(concepts: list[Concept]) -> None:
    reader = Reader()
    readings = reader.all(comments())
    statistics = CorpusStatistics(readings)
    associations = Associations(readings, statistics, fewest=2)
    for concept in concepts:
        named, asked, listed = terms_of(concept, reader)
        assert not asked
        for key in listed:
            assert statistics.document_frequency[key] >= 2
            near = {associate.key for name in named for associate in associations.of(name)}
            assert key in near or any(key in kin_of(name) for name in named)


def test_names_that_join_two_words_join_words_of_one_subject(concepts: list[Concept]) -> None:
    joined = [concept.name.split(" and ") for concept in concepts if " and " in concept.name]
    assert len(joined) >= 5
    about_one_subject = sum(key_of(second) in kin_of(key_of(first)) for first, second in joined)
    assert about_one_subject >= 0.8 * len(joined)


def test_highlights_have_the_evidence(matches: pd.DataFrame, concepts: list[Concept]) -> None:
    reader = Reader()
    wanted = {concept.id: {key for keys in terms_of(concept, reader) for key in keys} for concept in concepts}
    columns = (matches[name].astype(str) for name in ("concept_id", "highlight", "text"))
    for concept_id, highlight, text in zip(*columns, strict=True):
        keys = set(reader(highlight).content_keys())
        assert highlight in text
        assert any(key in wanted[concept_id] or kin_of(key) & wanted[concept_id] for key in keys)


def test_concepts_do_not_depend_on_which_requests_are_asked_together() -> None:
    texts = comments()
    tasks = [
        SynthesizeConcepts(tuple(Item(n, text) for n, text in enumerate(texts[at : at + 30])), 4)
        for at in range(0, 200, 30)
    ]
    engine = LocalEngine(texts)
    assert engine.solve(tasks) == [LocalEngine(texts).solve([task])[0] for task in tasks]


def test_subjects_list_each_word_once() -> None:
    counts = Counter(key for subject in subjects() for key in subject.keys)
    assert {key for key, count in counts.items() if count > 1} == set()
    assert not counts.keys() & FUNCTION_WORDS["en"]


def test_associates_occur_together_more_often_than_by_chance() -> None:
    texts = [f"The harbour crane stands by the quay, day {n}." for n in range(8)]
    texts += [f"A dog barked in the garden, night {n}." for n in range(8)]
    readings = Reader().all(texts)
    associations = Associations(readings, CorpusStatistics(readings), fewest=2)
    found = {associate.key for associate in associations.of(key_of("crane"))}
    assert key_of("quay") in found
    assert key_of("dog") not in found


def test_sentences_of_many_documents_are_left_out() -> None:
    notice = "Permission to copy this work for personal use is granted without a fee to everyone."
    texts = [
        "The station needs a lift, for wheelchairs and for prams and for everybody who has a suitcase.",
        "Our bus has been late on each of the last nine mornings and nobody at the depot will say why.",
        "They closed the library in spring, then the swimming pool, and now the youth club is to go too.",
        "My street floods whenever it rains for an hour because the drains have not been cleared for years.",
    ]
    readings = without_repeats(Reader().all([f"{text} {notice}" for text in texts]))
    assert [reading.text[: reading.sentences[-1].end] for reading in readings] == texts


def test_copies_of_whole_documents_are_read() -> None:
    readings = Reader().all(["The bus was late again this morning and nobody said why."] * 5)
    assert without_repeats(readings) == readings
