"""The documents of a session: which rows become documents, and what they are called."""

from __future__ import annotations

import warnings
from decimal import Decimal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL
from text_lloom.corpus import Corpus, Document
from text_lloom.errors import ColumnNotFound, DuplicateIds, EmptyCorpus, InputError

TEXTS = [
    "The 40 bus is late every single morning.",
    "Twenty minutes in the rain, and no bus.",
    "A monthly ticket costs more than my phone.",
    "Fares went up again.",
]


def corpus_of(texts: list[object], **columns: object) -> Corpus:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Corpus.from_frame(pd.DataFrame({"text": texts, **columns}), text_col="text")


def test_documents_come_in_the_order_of_the_frame_with_their_ids() -> None:
    frame = pd.DataFrame({"text": TEXTS, "key": ["d", "a", "c", "b"], "area": ["N", "S", "N", "S"]})
    corpus = Corpus.from_frame(frame, text_col="text", id_col="key")
    assert list(corpus) == [Document(i, text) for i, text in zip("dacb", TEXTS, strict=True)]
    assert len(corpus) == 4
    assert [corpus.position[i] for i in "abcd"] == [1, 3, 2, 0]
    assert corpus.text_of("c") == TEXTS[2]
    assert corpus.metadata_cols == ["area"]
    assert (corpus.text_col, corpus.id_col) == ("text", "key")
    with pytest.raises(KeyError):
        corpus.text_of("e")


def test_the_frame_of_the_user_is_left_as_it_is() -> None:
    frame = pd.DataFrame({"text": [*TEXTS[:3], 7]}, index=[3, 3, 1, 0])
    before = frame.copy()
    with pytest.warns(UserWarning, match="are numbers"):
        corpus = Corpus.from_frame(frame, text_col="text")
    pd.testing.assert_frame_equal(frame, before)
    assert corpus.ids == [0, 1, 2, 3]
    assert corpus.frame.index.tolist() == [0, 1, 2, 3]
    assert corpus.frame.columns.tolist() == ["id", "text"]


@pytest.mark.parametrize(
    ("taken", "made"),
    [
        ([], "id"),
        (["id"], "doc_id"),
        (["id", "doc_id"], "lloom_id"),
        (["id", "doc_id", "lloom_id"], "lloom_id_1"),
        (["id", "doc_id", "lloom_id", "lloom_id_1", "lloom_id_2"], "lloom_id_3"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} taken",
)
def test_the_numbers_get_a_column_of_a_name_that_is_free(taken: list[str], made: str) -> None:
    corpus = corpus_of(TEXTS, **{name: list("wxyz") for name in taken})
    assert corpus.id_col == made
    assert corpus.ids == [0, 1, 2, 3]
    assert corpus.frame.columns[0] == made
    assert corpus.is_numbered


def test_documents_with_ids_of_the_user_are_not_numbered() -> None:
    by_name = Corpus.from_frame(
        pd.DataFrame({"key": list("wxyz"), "text": TEXTS}), text_col="text", id_col="key"
    )
    assert not by_name.is_numbered
    for ids in ([1, 2, 3, 4], ["0", "1", "2", "3"], [0.5, 1.0, 2.0, 3.0]):
        frame = pd.DataFrame({"id": ids, "text": TEXTS})
        assert not Corpus.from_frame(frame, text_col="text", id_col="id").is_numbered
    other_name = pd.DataFrame({"number": [0, 1, 2, 3], "text": TEXTS})
    assert not Corpus.from_frame(other_name, text_col="text", id_col="number").is_numbered
    behind = pd.DataFrame({"text": TEXTS, "id": [0, 1, 2, 3]})
    assert not Corpus.from_frame(behind, text_col="text", id_col="id").is_numbered


def test_rows_without_text_keep_their_number() -> None:
    corpus = corpus_of([TEXTS[0], "  \n", TEXTS[2], None])
    assert corpus.ids == [0, 2]
    assert corpus.set_aside["id"].tolist() == [1, 3]
    assert corpus.set_aside.index.tolist() == [0, 1]
    assert corpus.is_numbered, "those that were set aside count"
    assert corpus.position == {0: 0, 2: 1}


def test_other_documents_of_a_session_with_a_blank_row_are_numbered_by_themselves() -> None:
    frame = pd.DataFrame({"text": [TEXTS[0], "", TEXTS[2], TEXTS[3]]})
    with pytest.warns(UserWarning, match=r"1 of 4 rows have no text in 'text' and are left out \(id: 1\)"):
        session = wb.lloom(frame, "text", **LOCAL)
    session.add_concept("Late buses", "Does the text say that buses are late?")
    session.sync.score()
    with pytest.warns(UserWarning, match="rows have no text"):
        other = session.sync.score(df=pd.DataFrame({"text": ["A bus came.", " ", "It rained."]}))
    assert other is not None
    assert other["id"].tolist() == [0, 2]


def test_a_long_list_of_rows_is_cut() -> None:
    with pytest.warns(
        UserWarning, match=r"12 of 14 rows .*\(id: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … \(2 more\)\)"
    ):
        Corpus.from_frame(pd.DataFrame({"text": [*TEXTS[:2], *[""] * 12]}), text_col="text")
    with pytest.warns(UserWarning, match=r"10 of 12 rows .*\(id: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\)"):
        Corpus.from_frame(pd.DataFrame({"text": [*TEXTS[:2], *[""] * 10]}), text_col="text")


def test_numbers_of_any_kind_are_read_as_text() -> None:
    corpus = corpus_of([TEXTS[0], Decimal("2.50"), 3, None])
    assert corpus.texts == [TEXTS[0], "2.50", "3"]
    assert corpus.frame["text"].tolist() == [TEXTS[0], "2.50", "3"]
    assert corpus.ids == [0, 1, 2]


def test_ids_are_needed_only_where_there_is_text() -> None:
    frame = pd.DataFrame({"key": ["a", None, "c"], "text": [TEXTS[0], None, TEXTS[2]]})
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        corpus = Corpus.from_frame(frame, text_col="text", id_col="key")
    assert corpus.ids == ["a", "c"]


def test_repeated_ids_of_rows_without_text_do_not_matter() -> None:
    frame = pd.DataFrame({"key": ["a", "a", "c"], "text": [TEXTS[0], " ", TEXTS[2]]})
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        assert Corpus.from_frame(frame, text_col="text", id_col="key").ids == ["a", "c"]
    frame["text"] = TEXTS[:3]
    with pytest.raises(DuplicateIds, match="'a'"):
        Corpus.from_frame(frame, text_col="text", id_col="key")


@pytest.mark.parametrize(
    ("frame", "error", "told"),
    [
        (pd.DataFrame({"text": []}), EmptyCorpus, "no rows"),
        (pd.DataFrame({"text": ["", None]}), EmptyCorpus, "all 2 are missing or blank"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), InputError, r"same name: text\. Rename"),
        (pl.DataFrame({"text": TEXTS}).lazy(), InputError, r"Call \.collect\(\)"),
        ("comments.csv", InputError, r"pd\.read_csv"),
        (TEXTS, InputError, "plain list of texts"),
    ],
    ids=["no rows", "blank", "repeated columns", "lazy", "path", "list"],
)
def test_what_is_no_frame_of_documents_is_refused(frame: object, error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        Corpus.from_frame(frame, text_col="text")  # type: ignore[arg-type]


def test_where_text_is_instead_is_said() -> None:
    frame = pd.DataFrame({"likes": [1, 2, 3], "text": [*TEXTS[:2], None], "area": ["N", None, None]})
    with pytest.raises(InputError, match=r"holds no text but int\. Columns with text: text\."):
        Corpus.from_frame(frame, text_col="likes")
    with pytest.raises(InputError, match=r"No other column has text"):
        Corpus.from_frame(frame[["likes"]], text_col="likes")


@pytest.mark.parametrize(
    ("value", "way_on"),
    [(b"bytes", r"\.str\.decode\('utf-8'\)"), (["a", "list"], r"\.map\(str\)")],
    ids=["bytes", "list"],
)
def test_a_value_that_is_no_text_is_refused_with_its_row(value: object, way_on: str) -> None:
    frame = pd.DataFrame({"text": pd.Series([TEXTS[0], 5, value], dtype=object)})
    with pytest.raises(InputError, match=f"Row 2 of text_col='text' is not text.*{way_on}"):
        Corpus.from_frame(frame, text_col="text")


def test_named_levels_of_the_index_are_columns() -> None:
    frame = pd.DataFrame({"text": TEXTS, "area": list("NSNS")}, index=pd.Index(list("abcd"), name="key"))
    corpus = Corpus.from_frame(frame, text_col="text", id_col="key")
    assert corpus.ids == list("abcd")
    assert corpus.metadata_cols == ["area"]
    assert frame.columns.tolist() == ["text", "area"]
    grouped = frame.set_index(pd.MultiIndex.from_product([["x", "y"], [1, 2]], names=["wave", None]))
    assert Corpus.from_frame(grouped, text_col="text").frame.columns.tolist() == [
        "id",
        "wave",
        "text",
        "area",
    ]
    dated = frame.set_index(pd.date_range("2024-05-01", periods=4, name="day"))
    assert Corpus.from_frame(dated, text_col="text").frame["day"].tolist() == dated.index.tolist()
    ids = frame.rename_axis("id")
    assert Corpus.from_frame(ids, text_col="text").id_col == "doc_id"
    table = pa.Table.from_pandas(frame)
    assert Corpus.from_frame(table, text_col="text", id_col="key").ids == list("abcd")


def test_a_column_wins_over_a_level_of_the_index_of_its_name() -> None:
    frame = pd.DataFrame({"key": list("abcd"), "text": TEXTS}, index=pd.Index([9, 9, 9, 9], name="key"))
    assert Corpus.from_frame(frame, text_col="text", id_col="key").ids == list("abcd")
    texts = pd.Series(TEXTS, name="text", index=pd.Index(list("abcd"), name="key")).to_frame()
    assert Corpus.from_frame(texts.groupby("key").first(), text_col="text", id_col="key").ids == list("abcd")


def test_columns_that_are_not_there_are_named_by_role() -> None:
    frame = pd.DataFrame({"text": TEXTS})
    with pytest.raises(ColumnNotFound, match="text_col='txt'"):
        Corpus.from_frame(frame, text_col="txt")
    with pytest.raises(ColumnNotFound, match="id_col='key'"):
        Corpus.from_frame(frame, text_col="text", id_col="key")
    with pytest.raises(ColumnNotFound, match="text_col"):
        Corpus.from_frame(frame, text_col=["text"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="both 'text'"):
        Corpus.from_frame(frame, text_col="text", id_col="text")
