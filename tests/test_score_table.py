"""The table of scores: what is recorded, under which criterion, and the frame that comes out of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from text_lloom.concept import Concept
from text_lloom.corpus import Corpus
from text_lloom.errors import ColumnNotFound, InputError
from text_lloom.operators.loop import loop, refine, refine_ids
from text_lloom.quotes import QuoteMatch
from text_lloom.scores import Judgement, ScoreTable

TEXTS = [
    "The 40 bus is late every single morning.",
    "Twenty minutes in the rain, and no bus.",
    "A monthly ticket costs more than my phone.",
    "Fares went up again.",
]
FULL = Judgement(1.0, "It says so.", "is late", QuoteMatch.NORMALISED, "IS LATE")


@pytest.fixture
def corpus() -> Corpus:
    frame = pd.DataFrame({"doc_id": [30, 10, 20, 40], "text": TEXTS, "area": list("NSNS")})
    return Corpus.from_frame(frame, text_col="text", id_col="doc_id")


@pytest.fixture
def late() -> Concept:
    return Concept("Late buses", "Does the text say that buses are late?", seed="transport")


@pytest.fixture
def fares() -> Concept:
    return Concept("High fares", "Does the text say that fares are high?")


@pytest.fixture
def table(corpus: Corpus, late: Concept, fares: Concept) -> ScoreTable:
    table = ScoreTable(corpus)
    table.put(late, 30, FULL)
    table.put(late, 10, Judgement(0.75, "Nearly.", "no bus", QuoteMatch.EXACT, "no bus"))
    table.put(late, 20, Judgement(0.0, "It is about tickets."))
    table.put(fares, 20, Judgement(0.25, "", "costs", QuoteMatch.EXACT, "costs"))
    return table


def test_a_judgement_comes_back_as_it_was_recorded(table: ScoreTable, late: Concept, fares: Concept) -> None:
    assert table.judgement(late, 30) == FULL
    nothing = table.judgement(fares, 30)
    assert np.isnan(nothing.score)
    assert (nothing.rationale, nothing.highlight, nothing.match, nothing.claimed) == ("", "", "none", "")
    assert np.isnan(table.judgement(Concept("Noise", "Is it noisy?"), 30).score)
    np.testing.assert_array_equal(table.scores(late), np.array([1.0, 0.75, 0.0, np.nan], np.float32))
    assert table.rationales(late) == ["It says so.", "Nearly.", "It is about tickets.", ""]
    assert table.highlights(late) == ["is late", "no bus", "", ""]


def test_a_later_judgement_takes_the_place_of_an_earlier_one(table: ScoreTable, late: Concept) -> None:
    table.put(late, 30, Judgement(0.5))
    assert table.judgement(late, 30) == Judgement(0.5)


def test_documents_match_from_the_threshold_on(table: ScoreTable, late: Concept) -> None:
    assert table.matches(late).tolist() == [True, False, False, False]
    assert table.matches(late, threshold=0.75).tolist() == [True, True, False, False]
    assert table.matches(late, threshold=0.0).tolist() == [True, True, True, False], "no score is no match"


def test_outliers_were_scored_and_match_nothing(table: ScoreTable, late: Concept, fares: Concept) -> None:
    assert table.outliers([late, fares]).tolist() == [False, True, True, False]
    assert table.outliers([late, fares], threshold=0.75).tolist() == [False, False, True, False]
    assert table.outliers([late, fares], threshold=0.25).tolist() == [False, False, False, False]
    assert table.outliers([]).tolist() == [False] * 4


def test_what_is_left_to_score(table: ScoreTable, late: Concept, fares: Concept) -> None:
    assert table.unscored(late) == [3]
    assert table.unscored(fares) == [0, 1, 3]
    assert table.unscored(Concept("Noise", "Is it noisy?")) == [0, 1, 2, 3]


def test_scores_under_another_criterion_do_not_show(table: ScoreTable, late: Concept) -> None:
    assert not table.is_stale(late)
    before, late.criteria = late.criteria, "Does the text say that trams are late?"
    assert table.is_stale(late)
    assert np.isnan(table.scores(late)).all()
    assert (table.highlights(late), table.rationales(late)) == ([""] * 4, [""] * 4)
    assert np.isnan(table.judgement(late, 30).score)
    assert table.unscored(late) == [0, 1, 2, 3]
    late.criteria = before
    assert table.judgement(late, 30) == FULL, "they hold again with their criterion"


def test_scoring_under_another_criterion_starts_anew(table: ScoreTable, late: Concept) -> None:
    late.criteria = "Does the text say that trams are late?"
    table.put(late, 40, Judgement(1.0))
    np.testing.assert_array_equal(table.scores(late), np.array([np.nan, np.nan, np.nan, 1.0], np.float32))
    assert not table.is_stale(late)
    assert not table.is_stale(Concept("Noise", "Is it noisy?"))


def test_dropped_scores_are_gone(table: ScoreTable, late: Concept, fares: Concept) -> None:
    assert table.concept_ids == [late.id, fares.id]
    table.drop(late.id)
    table.drop("never scored")
    assert table.concept_ids == [fares.id]
    assert late.id not in table
    assert fares.id in table
    assert len(table) == 1
    assert table.unscored(late) == [0, 1, 2, 3]


def test_what_is_read_is_a_copy(table: ScoreTable, late: Concept) -> None:
    table.scores(late)[:] = 0.0
    table.highlights(late).clear()
    table.rationales(late).clear()
    [column, _] = table.columns()
    column.score[:] = 0.0
    for texts in (column.rationale, column.highlight, column.match, column.claimed):
        texts.clear()
    assert table.judgement(late, 30) == FULL


def test_a_table_comes_back_from_its_columns(table: ScoreTable, corpus: Corpus, late: Concept) -> None:
    late.criteria = "Does the text say that trams are late?"
    columns = table.columns()
    assert [column.criteria for column in columns] == [
        "Does the text say that buses are late?",
        "Does the text say that fares are high?",
    ]
    back = ScoreTable.restore(corpus, columns)
    assert back.is_stale(late), "stale ones too"
    late.criteria = columns[0].criteria
    assert [back.judgement(late, i) for i in (30, 10, 20)] == [table.judgement(late, i) for i in (30, 10, 20)]
    columns[0].rationale[0] = "changed"
    columns[0].score[0] = 0.0
    assert back.judgement(late, 30) == FULL, "it has copies"
    assert back.scores(late).dtype == np.float32


@pytest.mark.parametrize("part", ["score", "rationale", "highlight", "match", "claimed"])
def test_columns_of_another_corpus_are_refused(table: ScoreTable, corpus: Corpus, part: str) -> None:
    from dataclasses import replace

    [column, _] = table.columns()
    short = replace(column, **{part: getattr(column, part)[:3]})
    with pytest.raises(InputError, match="but the corpus has 4"):
        ScoreTable.restore(corpus, [short])


def test_the_frame_has_a_row_per_document_and_concept(
    table: ScoreTable, late: Concept, fares: Concept
) -> None:
    frame = table.to_frame([fares, late])
    assert frame.columns.tolist() == [
        *("doc_id", "text", "concept_id", "concept_name", "concept_prompt"),
        *("score", "rationale", "highlight", "concept_seed"),
    ]
    assert frame["doc_id"].tolist() == [30, 10, 20, 40] * 2
    assert frame["text"].tolist() == TEXTS * 2
    assert frame["concept_name"].tolist() == ["High fares"] * 4 + ["Late buses"] * 4
    assert frame["concept_id"].tolist() == [fares.id] * 4 + [late.id] * 4
    assert frame["concept_prompt"].tolist() == [fares.criteria] * 4 + [late.criteria] * 4
    np.testing.assert_array_equal(frame["score"], [np.nan, np.nan, 0.25, np.nan, 1.0, 0.75, 0.0, np.nan])
    assert frame["score"].dtype == np.float64
    assert frame["rationale"].tolist()[4:] == table.rationales(late)
    assert frame["highlight"].tolist()[4:] == table.highlights(late)
    assert frame["concept_seed"].tolist() == [None] * 4 + ["transport"] * 4
    assert frame.index.tolist() == list(range(8))


def test_the_frame_may_say_how_quotes_were_found(table: ScoreTable, late: Concept) -> None:
    frame = table.to_frame([late], quotes=True)
    assert frame.columns.tolist()[-2:] == ["highlight_match", "highlight_claimed"]
    assert frame["highlight_match"].tolist() == ["normalised", "exact", "none", "none"]
    assert all(type(match) is str for match in frame["highlight_match"])
    assert frame["highlight_claimed"].tolist() == ["IS LATE", "no bus", "", ""]


def test_a_frame_of_no_concepts_has_the_same_columns(table: ScoreTable, late: Concept) -> None:
    for quotes in (False, True):
        empty, full = (table.to_frame(concepts, quotes=quotes) for concepts in ([], [late]))
        assert len(empty) == 0
        assert empty.columns.tolist() == full.columns.tolist()
        assert empty.dtypes.tolist() == full.dtypes.tolist()


def test_names_of_the_user_are_kept_where_they_clash_with_ours() -> None:
    frame = pd.DataFrame({"score": ["a", "b"], "rationale": TEXTS[:2], "highlight": ["x", "y"]})
    corpus = Corpus.from_frame(frame, text_col="rationale", id_col="score")
    table, late = ScoreTable(corpus), Concept("Late buses", "Are buses late?")
    table.put(late, "a", FULL)
    scored = table.to_frame([late])
    assert scored["score"].tolist() == ["a", "b"]
    assert scored["rationale"].tolist() == TEXTS[:2]
    assert scored["score_"][0] == 1.0
    assert scored["rationale_"].tolist() == ["It says so.", ""]
    assert scored["highlight"].tolist() == ["is late", ""], "other columns are not in the table"


def test_text_with_half_an_emoji_can_be_shown(corpus: Corpus, late: Concept) -> None:
    table = ScoreTable(corpus)
    table.put(late, 30, Judgement(1.0, "late \ud83d", "is late", claimed="\ud83d"))
    frame = table.to_frame([late], quotes=True)
    assert frame["rationale"][0] == "late \ud83d"
    assert frame["highlight_claimed"][0] == "\ud83d"


def scores_of(shares: dict[str, int], n: int = 20) -> pd.DataFrame:
    """Scores of `n` documents, the first `count` of which match each concept."""
    return pd.DataFrame(
        [
            {"doc_id": f"d{row}", "text": f"Bus {row}", "concept_id": name, "score": float(row < count)}
            for name, count in shares.items()
            for row in range(n)
        ]
    )


def test_concepts_are_generic_from_three_quarters_and_rare_below_a_twentieth() -> None:
    frame = scores_of({"all": 20, "generic": 15, "common": 14, "scarce": 1, "rare": 0})
    found = refine_ids(frame)
    assert (found.generic, found.rare) == (["all", "generic"], ["rare"])
    concepts = {name: name.upper() for name in ("all", "generic", "common", "scarce", "rare", "unscored")}
    given = dict(concepts)
    kept = {"common": "COMMON", "scarce": "SCARCE", "unscored": "UNSCORED"}
    assert refine(frame, concepts) == kept
    assert concepts == given
    assert list(refine(frame, concepts, generic_threshold=0.7)) == ["scarce", "unscored"]
    assert "scarce" not in refine(frame, concepts, rare_threshold=0.06)
    assert "rare" in refine(frame, concepts, rare_threshold=0)


def test_refining_counts_scored_pairs_from_the_threshold_on(capsys: pytest.CaptureFixture[str]) -> None:
    frame = scores_of({"late": 20, "fares": 10})
    frame.loc[frame["score"] == 1.0, "score"] = 0.75
    assert refine_ids(frame) == ([], ["late", "fares"])
    assert refine_ids(frame, threshold=0.75) == (["late"], [])
    frame.loc[(frame["concept_id"] == "fares") & (frame["score"] == 0.0), "score"] = np.nan
    assert refine_ids(frame, threshold=0.75).generic == ["late", "fares"]
    assert capsys.readouterr().out == ""
    assert list(refine(frame, {"late": 1, "x": 2}, 0.75, debug=True)) == ["x"]
    assert capsys.readouterr().out == "Generic concepts: ['late', 'fares']. Rare concepts: none.\n"
    refine(frame, {}, debug=True)
    assert capsys.readouterr().out == "Generic concepts: none. Rare concepts: ['late', 'fares'].\n"
    with pytest.raises(ColumnNotFound, match="concept_id"):
        refine_ids(frame.drop(columns="concept_id"))
    with pytest.raises(ColumnNotFound, match="score"):
        refine_ids(frame.drop(columns="score"))


def test_documents_that_no_specific_concept_covers_are_looped_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = scores_of({"generic": 10, "late": 9, "fares": 2})
    left = loop(frame, "text", "doc_id")
    assert left is not None
    assert list(left.columns) == ["doc_id", "text"]
    assert list(left.index) == list(range(11))
    assert left["doc_id"].tolist() == [f"d{row}" for row in range(9, 20)]
    assert left["text"].tolist() == [f"Bus {row}" for row in range(9, 20)]
    assert capsys.readouterr().out == ""
    assert len(loop(frame, "text", "doc_id", debug=True, generic_threshold=0.51)) == 10  # type: ignore[arg-type]
    assert capsys.readouterr().out == "10 of 20 documents match no specific concept.\n"
    assert loop(frame.assign(score=0.9), "text", "doc_id") is None, "all documents are left"
    assert loop(frame, "text", "doc_id", generic_threshold=0.45) is not None
    assert loop(scores_of({"x": 20}), "text", "doc_id", generic_threshold=1.1) is None, "none is left"
    frame.loc[frame["concept_id"] == "late", "score"] *= 0.75
    nearly = loop(frame, "text", "doc_id", threshold=0.75)
    assert nearly is not None
    assert len(nearly) == 11
    with pytest.raises(ColumnNotFound, match="body"):
        loop(frame, "body", "doc_id")
    with pytest.raises(ColumnNotFound, match="number"):
        loop(frame, "text", "number")
