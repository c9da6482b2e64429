"""The files of a run: one row per document for spreadsheets, and nothing of the user's is overwritten."""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from python_calamine import CalamineWorkbook

import text_lloom.workbench as wb
from tests.test_cli import assert_refused, lloom, posts, posts_csv
from tests.view_session import LOCAL
from text_lloom.errors import FileProblem
from text_lloom.storage.sheets import write_sheet

__all__ = ["posts", "posts_csv"]

RUN = ['=HYPERLINK("http://example.org";"win")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "＝1+1"]
HARMLESS = ["late = bad", "-5", "+44 20 7946 0000", "a-b", "'quoted'", ""]


def cells(path: Path) -> list[list[object]]:
    return CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()


# --- tables for spreadsheet programs -------------------------------------------------------------------


@pytest.mark.parametrize("text", RUN)
def test_cells_that_a_spreadsheet_would_run_are_text(tmp_path: Path, text: str) -> None:
    frame = pd.DataFrame({"text": [text, "spät"], text: [1, 2]})
    content = write_sheet(frame, tmp_path / "t.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    read = pd.read_csv(io.BytesIO(content))
    assert read["text"].tolist() == [f"'{text}", "spät"]
    assert list(read.columns) == ["text", f"'{text}"]
    path = write_sheet(frame, tmp_path / "t.xlsx")
    assert cells(path)[1][0] == text
    with zipfile.ZipFile(path) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


@pytest.mark.parametrize("text", HARMLESS)
def test_other_cells_are_written_as_they_are(tmp_path: Path, text: str) -> None:
    path = write_sheet(pd.DataFrame({"text": [text], "id": [1]}), tmp_path / "t.csv")
    assert pd.read_csv(path, dtype=str, keep_default_na=False)["text"].tolist() == [text]


def test_values_keep_their_types_in_a_sheet(tmp_path: Path) -> None:
    day = dt.datetime(2024, 5, 1, 10, 30)
    frame = pd.DataFrame(
        {
            "score": [0.75, np.nan],
            "open": [True, False],
            "day": [pd.Timestamp(day), pd.NaT],
            "old": [dt.date(1890, 1, 1), None],
            "long id": [2**60 + 1, 1],
            "list": [["Bus", "Car"], []],
            "odd": pd.Series(["a\ud83db\x00\x0bc", "_x000D_"], dtype=object),
        }
    )
    header, first, second = cells(write_sheet(frame, tmp_path / "deep" / "t.xlsx"))
    assert header == list(frame.columns)
    assert first[:6] == [0.75, True, day, "1890-01-01", str(2**60 + 1), '["Bus", "Car"]']
    assert str(first[6]).startswith("a?b")
    assert second[:4] == ["", False, "", ""]
    assert second[6] == "_x000D_"


def test_texts_that_no_cell_holds_are_cut_and_counted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["late " * 10_000, "short"]})
    with pytest.warns(UserWarning, match="1 texts are longer than a cell"):
        path = write_sheet(frame, tmp_path / "t.xlsx")
    assert len(str(cells(path)[1][0])) == 32_767
    with pytest.raises(FileProblem, match=r"\.csv or \.xlsx"):
        write_sheet(frame, tmp_path / "t.json")
    wide = pd.DataFrame(np.zeros((1, 16_385)))
    with pytest.raises(FileProblem, match=r"16,384 columns.*Write \.csv"):
        write_sheet(wide, tmp_path / "w.xlsx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.xlsx"]


def test_documents_have_all_their_columns_and_one_per_concept(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "key": ["a", "b"],
            "text": ["The bus was late.", "=1+1 is a sum"],
            "Late": [1, 2],
            "area": ["N", None],
        }
    )
    session = wb.lloom(frame, "text", "key", *LOCAL.values(), cache=False)
    for name in ("Late", "Late", "=Sum"):
        session.concepts.add(name, f"Does the text mention that a bus is late? ({name})", active=True)
    session.sync.score(confirm=False)
    documents = session.export_documents(tmp_path / "d.csv")
    assert list(documents.columns) == [*frame.columns, "Late_", "Late__", "=Sum"]
    assert documents[list(frame.columns)].equals(session.in_df[list(frame.columns)])
    scores = session.get_score_df()["score"].to_numpy().reshape(3, 2)
    np.testing.assert_array_equal(documents[["Late_", "Late__", "=Sum"]].to_numpy().T, scores)
    read = pd.read_csv(tmp_path / "d.csv")
    assert read["text"].tolist() == ["The bus was late.", "'=1+1 is a sum"]
    assert read.columns[-1] == "'=Sum"


# --- what is there already -----------------------------------------------------------------------------


@pytest.fixture
def out(posts_csv: Path, tmp_path: Path) -> Path:
    assert lloom("run", posts_csv, *QUICK, "--out", tmp_path / "out").exit_code == 0
    return tmp_path / "out"


QUICK = ("--text-col", "text", "--id-col", "key", "--max-concepts", 1)


def test_a_run_writes_one_row_per_document(out: Path, posts: pd.DataFrame) -> None:
    documents = pd.read_csv(out / "documents.csv")
    assert documents[list(posts.columns)].equals(posts)
    [concept] = pd.read_parquet(out / "scores.parquet")["concept_name"].unique()
    assert list(documents.columns) == [*posts.columns, concept]
    assert cells(out / "documents.xlsx")[0] == list(documents.columns)


def test_results_that_nobody_changed_are_replaced(out: Path, posts_csv: Path) -> None:
    result = lloom("run", posts_csv, *QUICK, "--out", out)
    assert result.exit_code == 0, result.output


def relabel(out: Path) -> None:
    session = wb.load(out / "session.lloom", **LOCAL)
    concept = next(iter(session.concepts.values()))
    session.label(session.corpus.ids[0], concept.id, "right")
    session.save(out, "session")


def rename(out: Path) -> None:
    session = wb.load(out / "session.lloom", **LOCAL)
    session.rename(next(iter(session.concepts)), "Another name")
    session.save(out, "session")


def edit_codebook(out: Path) -> None:
    path = out / "codebook.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"name"', '"name" '), encoding="utf-8")


def annotate(out: Path) -> None:
    with (out / "documents.csv").open("a", encoding="utf-8") as file:
        file.write("note to self\n")


def forget_the_run(out: Path) -> None:
    (out / ".lloom-run.json").write_text(json.dumps([]), encoding="utf-8")


@pytest.mark.parametrize("command", ["run", "score"])
@pytest.mark.parametrize("change", [relabel, rename, edit_codebook, annotate, forget_the_run])
def test_work_of_the_user_is_not_overwritten(
    out: Path, posts_csv: Path, tmp_path: Path, change: object, command: str
) -> None:
    book = tmp_path / "book.csv"
    book.write_text("name,criteria\nLate,Is a bus late?\n", encoding="utf-8")
    change(out)  # type: ignore[operator]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (tmp_path / "out-2").mkdir()
    arguments = ["run", posts_csv] if command == "run" else ["score", book, posts_csv]
    options = QUICK if command == "run" else QUICK[:4]
    refused = lloom(*arguments, *options, "--out", out)
    assert_refused(refused, f"--out {tmp_path / 'out-3'}", "--force", "changed")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert lloom(*arguments, *options, "--out", out, "--force").exit_code == 0
    assert (out / "session.lloom").read_bytes() != before["session.lloom"]


def test_the_table_of_a_run_is_never_overwritten(posts: pd.DataFrame, tmp_path: Path) -> None:
    posts.to_csv(tmp_path / "documents.csv", index=False)
    refused = lloom("run", tmp_path / "documents.csv", *QUICK, "--out", tmp_path, "--force")
    assert_refused(refused, "would replace", "documents.csv")


def test_a_file_of_the_user_s_that_is_named_like_a_result_is_kept(posts_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    out.mkdir()
    (out / "scores.csv").write_text("my own\n", encoding="utf-8")
    assert_refused(lloom("run", posts_csv, *QUICK, "--out", out), "scores.csv", f"--out {out}-2")
    assert (out / "scores.csv").read_text(encoding="utf-8") == "my own\n"
