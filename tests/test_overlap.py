"""Which concepts share documents: the table that `l.overlap()` gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL
from text_lloom.analysis.overlap import OVERLAP_COLUMNS, overlap_frame
from text_lloom.concept import Concept
from text_lloom.corpus import Corpus
from text_lloom.scores import Judgement, ScoreTable

TEXTS = (
    "The bus is late every morning, and the fare went up again.",
    "Late again, and nobody tells us why.",
    "Buses bunch up: three at once, then none.",
    "A ticket costs more than my phone.",
    "Fares are too high for families.",
    "I like the new benches.",
)
NAN = float("nan")
LATE, FARES, BENCHES = (
    Concept("Late buses", "Does the text say that buses run late?"),
    Concept("High fares", "Does the text say that fares are too high?"),
    Concept("Benches", "Does the text mention benches?"),
)
SCORES = {
    "Late buses": [1.0, 1.0, 0.75, 0.0, NAN, 0.0],
    "High fares": [1.0, 0.0, 0.75, 1.0, 1.0, 0.25],
    "Benches": [0.0, 0.0, 0.0, 0.0, 0.0, NAN],
}


@pytest.fixture
def table() -> ScoreTable:
    corpus = Corpus.from_frame(pd.DataFrame({"text": TEXTS}), text_col="text")
    table = ScoreTable(corpus)
    for concept in (LATE, FARES, BENCHES):
        for row, score in enumerate(SCORES[concept.name]):
            if not np.isnan(score):
                table.put(concept, row, Judgement(score))
    return table


def test_each_pair_counts_the_documents_that_have_a_score_on_both(table: ScoreTable) -> None:
    [pair] = overlap_frame(table, [LATE, FARES]).to_dict("records")
    assert pair == {
        "concept_id_1": LATE.id,
        "concept_name_1": "Late buses",
        "concept_id_2": FARES.id,
        "concept_name_2": "High fares",
        "n_1": 2,
        "n_2": 2,  # the document without a score on late buses says nothing of the pair
        "n_both": 1,
        "share_1": 1 / 2,
        "share_2": 1 / 2,
        "jaccard": 1 / 3,
    }


def test_a_lower_threshold_matches_more(table: ScoreTable) -> None:
    [pair] = overlap_frame(table, [FARES, LATE], threshold=0.75).to_dict("records")
    assert (pair["concept_name_1"], pair["concept_name_2"]) == ("High fares", "Late buses")
    assert (pair["n_1"], pair["n_2"], pair["n_both"]) == (3, 3, 2)
    assert (pair["share_1"], pair["share_2"], pair["jaccard"]) == (2 / 3, 2 / 3, 2 / 4)
    [low] = overlap_frame(table, [FARES, LATE], threshold=0.25).to_dict("records")
    assert (low["n_1"], low["n_2"], low["n_both"]) == (4, 3, 2)


def test_shares_are_of_each_concept_s_own_documents(table: ScoreTable) -> None:
    both = Concept("Traffic", "Is it about traffic?")
    for row, score in enumerate([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]):
        table.put(both, row, Judgement(score))
    [pair] = overlap_frame(table, [LATE, both]).to_dict("records")
    assert (pair["n_1"], pair["n_2"], pair["n_both"]) == (2, 3, 2)
    assert (pair["share_1"], pair["share_2"], pair["jaccard"]) == (1.0, 2 / 3, 2 / 3)


def test_the_pairs_that_share_most_come_first_and_those_without_matches_last(table: ScoreTable) -> None:
    alike = Concept("Delays", "Is anything late?")
    for row, score in enumerate([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]):
        table.put(alike, row, Judgement(score))
    empty = Concept("Noise", "Is it noisy?")
    frame = overlap_frame(table, [BENCHES, empty, FARES, LATE, alike])
    assert len(frame) == 10
    shown = list(zip(frame["concept_name_1"], frame["concept_name_2"], strict=True))
    assert shown[:3] == [("Late buses", "Delays"), ("High fares", "Late buses"), ("High fares", "Delays")]
    assert frame["jaccard"][0] == 1.0
    assert shown[-1] == ("Noise", "Delays")
    assert frame["jaccard"][:6].is_monotonic_decreasing
    nothing = frame[frame["concept_name_1"].eq("Benches") & frame["concept_name_2"].eq("Noise")].iloc[0]
    assert (nothing["n_1"], nothing["n_2"], nothing["n_both"]) == (0, 0, 0)
    assert nothing[["share_1", "share_2", "jaccard"]].isna().all()
    assert frame.index.tolist() == list(range(10))


@pytest.mark.parametrize("concepts", [[], [LATE], [LATE, FARES]], ids=["none", "one", "two"])
def test_columns_and_types_are_the_same_however_few_pairs(table: ScoreTable, concepts: list[Concept]) -> None:
    frame = overlap_frame(table, concepts)
    assert tuple(frame.columns) == OVERLAP_COLUMNS
    assert len(frame) == (len(concepts) == 2)
    assert [frame[name].dtype.name for name in ("n_1", "n_2", "n_both")] == ["int64"] * 3
    assert [frame[name].dtype.name for name in ("share_1", "share_2", "jaccard")] == ["float64"] * 3


def test_a_session_shows_the_overlap_of_its_selected_concepts(comments: pd.DataFrame) -> None:
    session = wb.lloom(comments, "text", "doc_id", **LOCAL)
    late = session.add_concept("Late buses", "Does the text say that buses run late?")
    fares = session.add_concept("High fares", "Does the text say that fares are too high?")
    session.sync.score()
    frame = session.overlap()
    assert set(frame["concept_id_1"]) | set(frame["concept_id_2"]) == {late.id, fares.id}
