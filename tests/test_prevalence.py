"""Prevalence, counts by slice and the export table."""

from __future__ import annotations

from math import isnan

import numpy as np
import pandas as pd
import pytest

from text_lloom.analysis.prevalence import EXPORT_COLUMNS, count_by_slice, count_matches, export_frame
from text_lloom.analysis.slices import Slices, slice_documents
from text_lloom.concept import Concept
from text_lloom.corpus import Corpus
from text_lloom.errors import InputError, UnknownName
from text_lloom.scores import OUTLIER_CRITERIA, OUTLIER_NAME, Judgement, ScoreTable

ROWS = [
    ("n1", "The bus never comes on Sundays.", "north"),
    ("n2", "Fares doubled and the bus is still late.", "north"),
    ("n3", "I like the new benches.", "north"),
    ("s1", "Late again, and nobody says why.", "south"),
    ("s2", "Tickets cost half a day's wage.", "south"),
    ("x1", "No opinion.", "All"),
]
LATE = [1.0, 1.0, 0.0, 1.0, 0.25, 0.0]
DEAR = [0.0, 0.75, 0.0, 0.0, 1.0, np.nan]


@pytest.fixture
def corpus() -> Corpus:
    frame = pd.DataFrame(ROWS, columns=["id", "text", "area"])
    return Corpus.from_frame(frame, text_col="text", id_col="id")


@pytest.fixture
def concepts() -> list[Concept]:
    return [
        Concept(
            "Late buses", "Does the text say that buses are late?", ["n1", "s1", "gone"], "Buses run late."
        ),
        Concept("High fares", "Does the text say that fares are high?", ["s2"]),
    ]


@pytest.fixture
def table(corpus: Corpus, concepts: list[Concept]) -> ScoreTable:
    table = ScoreTable(corpus)
    for concept, scores in zip(concepts, (LATE, DEAR), strict=True):
        for document, score in zip(corpus, scores, strict=True):
            if not np.isnan(score):
                table.put(
                    concept, document.id, Judgement(score, "Because.", document.text[:12] if score else "")
                )
    return table


@pytest.fixture
def slices(corpus: Corpus) -> Slices:
    return slice_documents(corpus, "area")


def test_prevalence_is_of_the_scored_documents(table: ScoreTable, concepts: list[Concept]) -> None:
    late, dear = count_matches(table, concepts)
    assert (late.n_matches, late.n_scored, late.prevalence) == (3, 6, 0.5)
    assert (dear.n_matches, dear.n_scored, dear.prevalence) == (1, 5, 0.2)
    assert late.concept is concepts[0]


def test_a_lower_threshold_matches_more(table: ScoreTable, concepts: list[Concept]) -> None:
    assert [count.n_matches for count in count_matches(table, concepts, threshold=0.75)] == [3, 2]
    assert [count.n_matches for count in count_matches(table, concepts, threshold=0.25)] == [4, 2]


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_that_no_score_has_is_refused(
    table: ScoreTable, concepts: list[Concept], threshold: float
) -> None:
    with pytest.raises(InputError, match="threshold"):
        count_matches(table, concepts, threshold=threshold)


@pytest.mark.parametrize(("n_matches", "n"), [(0, 20), (3, 20), (20, 20), (1, 1), (40, 200)])
def test_the_interval_is_wilsons(n_matches: int, n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    corpus = Corpus.from_frame(pd.DataFrame({"text": ["The tram was full."] * n}), text_col="text")
    concept, table = Concept("Full trams", "Is the tram full?"), ScoreTable(corpus)
    for i in range(n):
        table.put(concept, i, Judgement(1.0 if i < n_matches else 0.0))
    [count] = count_matches(table, [concept])
    expected = stats.binomtest(n_matches, n).proportion_ci(method="wilson")
    assert (count.low, count.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert count.low <= count.prevalence <= count.high


def test_an_unscored_concept_has_no_prevalence(table: ScoreTable) -> None:
    [count] = count_matches(table, [Concept("Noise", "Is it noisy?")])
    assert (count.n_matches, count.n_scored) == (0, 0)
    assert isnan(count.prevalence)
    assert isnan(count.low)
    assert isnan(count.high)


def test_counts_by_slice(table: ScoreTable, concepts: list[Concept], slices: Slices) -> None:
    counts = count_by_slice(table, concepts, slices)
    assert slices.labels == ("All", "north", "south")
    assert counts.counts.tolist() == [[0, 2, 1], [0, 0, 1]]
    assert counts.slice_sizes.tolist() == [1, 3, 2]
    assert counts.concept_totals.tolist() == [3, 1]
    assert counts.n_documents == 6
    assert counts.outliers is not None
    assert counts.outliers.counts.tolist() == [1, 1, 0]
    assert counts.outliers.total == 2


def test_a_slice_called_all_is_not_the_overall_column(
    table: ScoreTable, concepts: list[Concept], slices: Slices
) -> None:
    grid = count_by_slice(table, concepts, slices).grid(None)
    assert grid.matches.tolist() == [[3, 0, 2, 1], [1, 0, 0, 1], [2, 1, 1, 0]]
    assert grid.scored[0].tolist() == [6, 1, 3, 2]


def test_by_concept_gives_the_share_of_the_matches_in_each_slice(
    table: ScoreTable, concepts: list[Concept], slices: Slices
) -> None:
    shares = count_by_slice(table, concepts, slices).normalised("concept")
    np.testing.assert_allclose(shares, [[0, 2 / 3, 1 / 3], [0, 0, 1]])


def test_by_slice_gives_the_share_of_the_scored_documents_that_match(
    table: ScoreTable, concepts: list[Concept], slices: Slices
) -> None:
    counts = count_by_slice(table, concepts, slices)
    np.testing.assert_allclose(counts.normalised("slice"), [[0, 2 / 3, 1 / 2], [np.nan, 0, 1 / 2]])
    np.testing.assert_allclose(counts.grid("slice").values[:, 0], [3 / 6, 1 / 5, 2 / 6])


def test_not_normalised_gives_the_counts(table: ScoreTable, concepts: list[Concept], slices: Slices) -> None:
    counts = count_by_slice(table, concepts, slices)
    assert counts.normalised(None).tolist() == counts.counts.tolist()
    assert counts.normalised(None).dtype == np.float64


def test_a_concept_without_matches_has_no_shares_by_concept(table: ScoreTable, slices: Slices) -> None:
    counts = count_by_slice(table, [Concept("Noise", "Is it noisy?")], slices)
    assert np.isnan(counts.normalised("concept")).all()
    assert counts.outliers is not None
    assert counts.outliers.total == 0


def test_an_unknown_normalisation_is_refused(
    table: ScoreTable, concepts: list[Concept], slices: Slices
) -> None:
    counts = count_by_slice(table, concepts, slices)
    with pytest.raises(UnknownName, match="Did you mean 'slice'"):
        counts.normalised("slices")  # type: ignore[arg-type]


def test_without_slices_and_outliers_only_the_totals_are_left(
    table: ScoreTable, concepts: list[Concept]
) -> None:
    counts = count_by_slice(table, concepts, None, include_outliers=False)
    assert counts.counts.shape == (2, 0)
    assert counts.outliers is None
    assert counts.grid("slice").values.tolist() == [[0.5], [0.2]]


def test_documents_in_no_slice_still_count_overall(table: ScoreTable, concepts: list[Concept]) -> None:
    some = Slices("wave", ("first",), np.array([0, 0, -1, -1, -1, -1]), 0, "category")
    counts = count_by_slice(table, concepts, some)
    assert counts.counts.tolist() == [[2], [0]]
    assert counts.concept_totals.tolist() == [3, 1]


def test_slices_of_another_corpus_are_refused(table: ScoreTable, concepts: list[Concept]) -> None:
    with pytest.raises(InputError, match="Slice the same corpus"):
        count_by_slice(table, concepts, Slices("wave", ("first",), np.array([0, 0]), 0, "category"))


def test_concepts_of_one_name_are_counted_apart(table: ScoreTable, corpus: Corpus, slices: Slices) -> None:
    twins = [Concept("Late buses", "Is a bus late?"), Concept("Late buses", "Is anything late?")]
    table.put(twins[0], "n1", Judgement(1.0))
    table.put(twins[1], "s1", Judgement(1.0))
    table.put(twins[1], "s2", Judgement(1.0))
    assert count_by_slice(table, twins, slices).counts.tolist() == [[0, 1, 0], [0, 0, 2]]
    assert export_frame(table, twins)["n_matches"].tolist() == [1, 2]


def test_the_export_table(table: ScoreTable, concepts: list[Concept]) -> None:
    frame = export_frame(table, concepts)
    assert tuple(frame.columns) == EXPORT_COLUMNS
    assert list(frame.columns) == [
        "concept",
        "criteria",
        "summary",
        "rep_examples",
        "prevalence",
        "n_matches",
        "highlights",
    ]
    late = frame.iloc[0]
    assert late["concept"] == "Late buses"
    assert late["summary"] == "Buses run late."
    assert late["rep_examples"] == [ROWS[0][1], ROWS[3][1]]
    assert late["prevalence"] == 0.5
    assert late["n_matches"] == 3
    assert late["highlights"] == [ROWS[i][1][:12] for i in (0, 1, 3)]
    assert frame["n_matches"].dtype == np.int64


def test_the_export_has_a_row_for_a_concept_without_scores_and_for_outliers(
    table: ScoreTable, concepts: list[Concept]
) -> None:
    frame = export_frame(table, [*concepts, Concept("Outlier", "Is it odd?")], include_outliers=True)
    assert frame["concept"].tolist() == ["Late buses", "High fares", "Outlier", OUTLIER_NAME]
    assert isnan(frame["prevalence"][2])
    assert frame["n_matches"].tolist() == [3, 1, 0, 2]
    assert frame["criteria"][3] == OUTLIER_CRITERIA
    assert frame["prevalence"][3] == 0.33


def test_an_export_of_no_concepts_has_the_columns() -> None:
    corpus = Corpus.from_frame(pd.DataFrame({"text": ["The tram was full."]}), text_col="text")
    frame = export_frame(ScoreTable(corpus), [], include_outliers=True)
    assert frame["n_matches"].tolist() == [0]
    assert tuple(export_frame(ScoreTable(corpus), []).columns) == EXPORT_COLUMNS


def test_highlights_are_drawn_by_seed_and_not_by_the_other_concepts() -> None:
    texts = [f"Bus number {i} was late on the hill." for i in range(40)]
    corpus = Corpus.from_frame(pd.DataFrame({"text": texts}), text_col="text")
    table, late, hill = (
        ScoreTable(corpus),
        Concept("Late", "Is it late?"),
        Concept("Hill", "Is it on a hill?"),
    )
    for document in corpus:
        for concept in (late, hill):
            table.put(concept, document.id, Judgement(1.0, "", document.text))
    both, alone = export_frame(table, [hill, late]), export_frame(table, [late])
    assert both["highlights"][1] == alone["highlights"][0]
    assert len(alone["highlights"][0]) == 3
    assert set(alone["highlights"][0]) <= set(texts)
    draws = {tuple(export_frame(table, [late], random_state=seed)["highlights"][0]) for seed in range(5)}
    assert len(draws) > 1
    assert export_frame(table, [late], n_highlights=0)["highlights"][0] == []


def test_highlights_of_documents_that_do_not_match_are_not_shown(corpus: Corpus) -> None:
    table, concept = ScoreTable(corpus), Concept("Late buses", "Is a bus late?")
    table.put(concept, "n1", Judgement(1.0, "", "never comes"))
    table.put(concept, "n2", Judgement(0.5, "", "still late"))
    table.put(concept, "s1", Judgement(1.0, "", ""))
    assert export_frame(table, [concept])["highlights"][0] == ["never comes"]


def test_highlights_come_in_the_order_of_the_documents_and_once_each() -> None:
    texts = [f"Bus number {i} was late on the hill." for i in range(40)]
    corpus = Corpus.from_frame(pd.DataFrame({"text": texts}), text_col="text")
    table, late = ScoreTable(corpus), Concept("Late", "Is it late?")
    for document in corpus:
        table.put(late, document.id, Judgement(1.0, "", document.text))
    for seed in range(4):
        shown = export_frame(table, [late], n_highlights=8, random_state=seed)["highlights"][0]
        assert shown == sorted(shown, key=texts.index)
        assert len(set(shown)) == 8
    assert export_frame(table, [late], n_highlights=99)["highlights"][0] == texts
    for document in corpus:
        table.put(late, document.id, Judgement(1.0, "", "was late"))
    assert export_frame(table, [late], n_highlights=8)["highlights"][0] == ["was late"]


def test_blank_highlights_are_left_out(corpus: Corpus) -> None:
    table, concept = ScoreTable(corpus), Concept("Late buses", "Is a bus late?")
    for doc_id, quote in (("n1", "  "), ("n2", "still late"), ("s1", "")):
        table.put(concept, doc_id, Judgement(1.0, "", quote))
    assert export_frame(table, [concept])["highlights"][0] == ["still late"]


def test_at_most_five_examples_are_shown_in_the_order_of_the_concept(corpus: Corpus) -> None:
    concept = Concept("All of it", "Is it anything?", ["x1", "gone", "s2", "s1", "n3", "n2", "n1"])
    shown = export_frame(ScoreTable(corpus), [concept])["rep_examples"][0]
    assert shown == [ROWS[i][1] for i in (5, 4, 3, 2, 1)]


def test_prevalence_in_the_export_has_two_decimals_and_follows_the_threshold(
    table: ScoreTable, concepts: list[Concept]
) -> None:
    third = Concept("Anything", "Is it anything?")
    for doc_id, score in (("n1", 1.0), ("n2", 0.0), ("n3", 0.5)):
        table.put(third, doc_id, Judgement(score))
    assert export_frame(table, [third])["prevalence"].tolist() == [0.33]
    frame = export_frame(table, [third, concepts[1]], threshold=0.5, include_outliers=True)
    assert frame["prevalence"].tolist() == [0.67, 0.4, 0.2]
    assert frame["n_matches"].tolist() == [2, 2, 1]
    assert frame["summary"].tolist() == ["", "", ""]
    assert frame["rep_examples"][2] == frame["highlights"][2] == []


def test_the_share_of_outliers_is_of_the_scored_documents(corpus: Corpus) -> None:
    table, concept = ScoreTable(corpus), Concept("Late buses", "Is a bus late?")
    for doc_id, score in (("n1", 1.0), ("n2", 0.0), ("n3", 0.25), ("s1", 0.0)):
        table.put(concept, doc_id, Judgement(score))
    row = export_frame(table, [concept], include_outliers=True).iloc[-1]
    assert (row["n_matches"], row["prevalence"]) == (3, 0.75)
    counts = count_by_slice(table, [concept], None).outliers
    assert counts is not None
    assert (counts.total, counts.total_scored) == (3, 4)


def test_outliers_are_counted_by_slice_and_shown_last(
    table: ScoreTable, concepts: list[Concept], slices: Slices
) -> None:
    counts = count_by_slice(table, concepts, slices, threshold=0.75)
    assert counts.threshold == 0.75
    assert counts.concepts == tuple(concepts)
    assert counts.slices is slices
    assert counts.scored.tolist() == [[1, 3, 2], [0, 3, 2]]
    assert counts.concept_scored.tolist() == [6, 5]
    assert counts.outliers is not None
    assert counts.outliers.counts.tolist() == [1, 1, 0]
    assert counts.outliers.scored.tolist() == [1, 3, 2]
    assert counts.outliers.total_scored == 6
    grid = counts.grid("slice")
    assert grid.scored.tolist() == [[6, 1, 3, 2], [5, 0, 3, 2], [6, 1, 3, 2]]
    np.testing.assert_allclose(
        grid.values, [[3 / 6, 0, 2 / 3, 1 / 2], [2 / 5, np.nan, 1 / 3, 1 / 2], [2 / 6, 1, 1 / 3, 0]]
    )


def test_by_concept_the_first_column_has_counts(
    table: ScoreTable, concepts: list[Concept], slices: Slices
) -> None:
    grid = count_by_slice(table, concepts, slices).grid("concept")
    np.testing.assert_allclose(grid.values, [[3, 0, 2 / 3, 1 / 3], [1, 0, 0, 1], [2, 1 / 2, 1 / 2, 0]])
    assert grid.values.dtype == np.float64
    alone = count_by_slice(table, concepts, slices, include_outliers=False).grid("concept")
    assert alone.values.shape == (2, 4)


def test_counts_of_no_concepts_have_their_shape(table: ScoreTable, slices: Slices) -> None:
    counts = count_by_slice(table, [], slices)
    assert counts.counts.shape == counts.scored.shape == (0, 3)
    assert counts.counts.dtype == counts.scored.dtype == np.intp
    assert counts.normalised("concept").shape == (0, 3)
    assert count_by_slice(table, [], None, include_outliers=False).grid(None).values.shape == (0, 1)


@pytest.mark.parametrize("threshold", [True, "1", None, [1.0]], ids=repr)
def test_a_threshold_that_is_no_number_is_refused(table: ScoreTable, threshold: object) -> None:
    with pytest.raises(InputError, match="threshold"):
        count_by_slice(table, [], None, threshold=threshold)  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [1, 0.001, np.float32(0.75)], ids=repr)
def test_any_threshold_above_nothing_is_taken(
    table: ScoreTable, concepts: list[Concept], threshold: float
) -> None:
    assert count_matches(table, concepts, threshold=threshold)[0].n_matches >= 3
