"""What readers say of scores, and how far the scores agree with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

import pandas as pd
import pytest

from text_lloom.concept import Concept
from text_lloom.corpus import Corpus
from text_lloom.errors import InputError, UnknownName
from text_lloom.labels import Label, Labels, Verdict, agreement
from text_lloom.scores import Judgement, ScoreTable

TEXTS = [f"The {number} bus is late every single morning." for number in range(40, 70)]


@pytest.fixture
def corpus() -> Corpus:
    return Corpus.from_frame(pd.DataFrame({"text": TEXTS}), text_col="text")


@pytest.fixture
def late() -> Concept:
    return Concept("Late buses", "Does the text say that buses are late?")


@pytest.fixture
def table(corpus: Corpus, late: Concept) -> ScoreTable:
    table = ScoreTable(corpus)
    for row in range(28):
        table.put(late, row, Judgement(1.0 if row % 2 else 0.75))
    return table


def labelled(table: ScoreTable, concept: Concept, verdicts: list[Verdict]) -> Labels:
    labels = Labels()
    for row, verdict in enumerate(verdicts):
        labels.put(row, concept, verdict, "", table=table)
    return labels


def test_a_label_notes_the_score_and_the_criterion_that_were_judged(table: ScoreTable, late: Concept) -> None:
    labels = Labels()
    label = labels.put(2, late, "wrong", "  it is the 42 ", table=table)
    assert label is not None
    assert (label.doc_id, label.concept_id, label.verdict, label.note) == (
        2,
        late.id,
        "wrong",
        "it is the 42",
    )
    assert (label.score, label.criteria) == (0.75, late.criteria)
    at = datetime.fromisoformat(label.at)
    assert at.utcoffset() == timedelta(0)
    assert at.microsecond == 0
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    assert list(labels) == [label]


def test_there_is_one_label_per_document_and_concept_the_last_one_last(
    table: ScoreTable, late: Concept
) -> None:
    labels = labelled(table, late, ["right", "wrong"])
    labels.put(0, Concept("Other", "Is it other?"), "right", "", table=table)
    labels.put(0, late, "unsure", "", table=table)
    assert len(labels) == 3
    assert [(label.doc_id, label.verdict) for label in labels] == [(1, "wrong"), (0, "right"), (0, "unsure")]
    assert labels.put(1, late, None, "", table=table) is None
    assert [label.doc_id for label in labels] == [0, 0]
    assert labels.put(1, late, None, "", table=table) is None, "there is none to take away"
    assert list(Labels(labels)) == list(labels)


@pytest.mark.parametrize(
    ("doc_id", "verdict", "note", "told"),
    [
        (0, "correct", "", "verdict"),
        (99, "right", "", "document id"),
        ([0], "right", "", "document id"),
        (0, "right", None, "note=None must be text"),
    ],
    ids=["verdict", "unknown document", "list", "note"],
)
def test_what_is_no_label_is_refused_and_the_earlier_one_kept(
    table: ScoreTable, late: Concept, doc_id: Any, verdict: Any, note: Any, told: str
) -> None:
    labels = labelled(table, late, ["right"])
    with pytest.raises((UnknownName, InputError), match=told):
        labels.put(doc_id, late, verdict, note, table=table)
    assert [label.verdict for label in labels] == ["right"]


def test_agreement_is_the_share_of_right_ones_among_the_decided(table: ScoreTable, late: Concept) -> None:
    found = agreement(labelled(table, late, ["right", "right", "wrong", "unsure", "right"]), late, table)
    assert (found.n_labelled, found.n_right, found.n_wrong, found.n_unsure) == (5, 3, 1, 1)
    assert (found.n_outdated, found.agreement) == (0, 0.75)


def test_without_a_decided_label_there_is_no_agreement(table: ScoreTable, late: Concept) -> None:
    found = agreement(labelled(table, late, ["unsure"]), late, table)
    assert isnan(found.agreement)
    assert (found.n_labelled, found.n_unsure) == (1, 1)
    only_wrong = agreement(labelled(table, late, ["wrong"]), late, table)
    assert only_wrong.agreement == 0.0


def test_labels_of_other_concepts_do_not_count(table: ScoreTable, late: Concept) -> None:
    labels = labelled(table, late, ["right"])
    labels.put(1, Concept("Other", "Is it other?"), "wrong", "", table=table)
    assert agreement(labels, late, table).n_labelled == 1


def test_a_label_about_another_score_or_criterion_is_outdated(table: ScoreTable, late: Concept) -> None:
    labels = labelled(table, late, ["right", "wrong", "right"])
    table.put(late, 0, Judgement(0.0))
    found = agreement(labels, late, table)
    assert (found.n_labelled, found.n_right, found.n_wrong, found.n_outdated) == (3, 1, 1, 1)
    late.criteria = "Does the text say that trams are late?"
    found = agreement(labels, late, table)
    assert (found.n_labelled, found.n_outdated, found.n_right) == (3, 3, 0)
    assert isnan(found.agreement)


def test_a_label_of_a_document_without_a_score_holds_until_there_is_one(
    table: ScoreTable, late: Concept
) -> None:
    labels = Labels()
    labels.put(29, late, "wrong", "", table=table)
    assert agreement(labels, late, table).n_outdated == 0
    table.put(late, 29, Judgement(1.0))
    assert agreement(labels, late, table).n_outdated == 1


@pytest.mark.parametrize(
    ("right", "wrong", "unsure", "small"),
    [(10, 9, 0, True), (10, 10, 0, False), (19, 0, 5, True), (0, 20, 0, False)],
)
def test_an_agreement_on_fewer_than_twenty_decided_labels_is_marked(
    table: ScoreTable, late: Concept, right: int, wrong: int, unsure: int, small: bool
) -> None:
    verdicts: list[Verdict] = ["right"] * right + ["wrong"] * wrong + ["unsure"] * unsure  # type: ignore[assignment]
    assert agreement(labelled(table, late, verdicts), late, table).is_small is small


def test_labels_as_a_frame(table: ScoreTable, late: Concept) -> None:
    gone = Concept("Gone", "Is it gone?")
    labels = labelled(table, late, ["right"])
    labels.put(3, gone, "unsure", "which?", table=table)
    labels.put(1, late, "wrong", "", table=table)
    table.put(late, 1, Judgement(0.0))
    frame = labels.to_frame([late], table)
    assert frame.columns.tolist() == [
        *("id", "concept_id", "concept_name", "verdict", "note", "score", "current", "at")
    ]
    assert frame["id"].tolist() == [0, 3, 1]
    assert frame["id"].dtype.kind == "i"
    assert frame["concept_id"].tolist() == [late.id, gone.id, late.id]
    assert [None if pd.isna(name) else name for name in frame["concept_name"]] == [
        "Late buses",
        None,
        "Late buses",
    ]
    assert frame["verdict"].tolist() == ["right", "unsure", "wrong"]
    assert frame["note"].tolist() == ["", "which?", ""]
    assert frame["score"].tolist()[::2] == [0.75, 1.0]
    assert isnan(frame["score"][1])
    assert frame["score"].dtype == "float64"
    assert frame["current"].tolist() == [True, False, False]
    assert frame["current"].dtype == bool
    assert frame["at"].tolist() == [label.at for label in labels]


def test_a_frame_without_labels_has_its_columns(table: ScoreTable, late: Concept) -> None:
    empty, full = Labels().to_frame([late], table), labelled(table, late, ["right"]).to_frame([late], table)
    assert len(empty) == 0
    assert empty.columns.tolist() == full.columns.tolist()
    assert (empty["score"].dtype, empty["current"].dtype) == (full["score"].dtype, full["current"].dtype)


def test_an_id_column_that_is_called_like_ours_keeps_out_of_the_way() -> None:
    frame = pd.DataFrame({"note": ["a", "b"], "text": TEXTS[:2]})
    corpus = Corpus.from_frame(frame, text_col="text", id_col="note")
    table, concept = ScoreTable(corpus), Concept("Late buses", "Are buses late?")
    labels = Labels(
        [Label("b", concept.id, "right", "sure", 1.0, concept.criteria, "2026-01-02T03:04:05+00:00")]
    )
    shown = labels.to_frame([concept], table)
    assert (shown["note_"][0], shown["note"][0]) == ("b", "sure")
