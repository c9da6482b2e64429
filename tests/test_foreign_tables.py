"""Tables as spreadsheet, survey and statistics programs write them: read, or refused with what to pass."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import xlsxwriter

from tests.test_cli import assert_refused, lloom
from text_lloom.errors import FileProblem, MissingPackage
from text_lloom.storage.tables import read_table

LATE, DEAR = "Der Bus kam, wieder, zu spät", "Die Fahrkarte kostet; zu viel"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(FileProblem) as caught:
        read_table(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


def workbook(path: Path, sheets: dict[str, list[list[object]]], hidden: tuple[str, ...] = ()) -> Path:
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
            if name in hidden:
                sheet.hide()
    return path


# --- separators and decimal marks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("t.csv", f"ID;Antwort\n1;{LATE}\n2;Ja\n".encode("utf-8-sig"), id="Excel in Europe"),
        pytest.param("t.csv", f"ID\tAntwort\n1\t{LATE}\n2\tJa\n", id="tabs in .csv"),
        pytest.param("t.csv", f"ID|Antwort\n1|{LATE}\n2|Ja\n", id="pipes"),
        pytest.param("t.csv", f"sep=;\r\nID;Antwort\r\n1;{LATE}\r\n2;Ja\r\n", id="Excel's own line"),
        pytest.param("t.tsv", f'ID,Antwort\n1,"{LATE}"\n2,Ja\n', id="commas in .tsv"),
        pytest.param("t.csv", f"ID\tAntwort\n1\t{LATE}\n2\tJa\n".encode("utf-16"), id="Excel's Unicode text"),
        pytest.param("t.csv", f"ID;Antwort\n1;{LATE}\n2;Ja\n".encode("utf-32"), id="UTF-32"),
        pytest.param("t.csv.gz", gzip.compress(f"ID;Antwort\n1;{LATE}\n2;Ja\n".encode()), id="gz"),
    ],
)
def test_the_separator_is_found(tmp_path: Path, name: str, content: str | bytes) -> None:
    frame = read_table(put(tmp_path, name, content))
    assert frame.to_dict("list") == {"ID": [1, 2], "Antwort": [LATE, "Ja"]}


def test_two_separators_that_fit_are_both_named(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", "Name, first;Age, years\nMeier, Eva;30, about\n")
    assert "Pass separator=';' or separator=','" in refusal(path)
    assert list(read_table(path, separator=";").columns) == ["Name, first", "Age, years"]


def test_one_column_of_text_stays_one_column(tmp_path: Path) -> None:
    frame = read_table(put(tmp_path, "t.csv", "comment\nLate; very late.\nDear; too dear.\n"))
    assert frame["comment"].tolist() == ["Late; very late.", "Dear; too dear."]


def test_a_tab_can_be_named_in_words(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", "a,b\tc\n1,2\t3\n")
    assert list(read_table(path, separator="tab").columns) == ["a,b", "c"]
    assert list(read_table(path, separator="\\t").columns) == ["a,b", "c"]


def test_decimal_commas(tmp_path: Path) -> None:
    frame = read_table(put(tmp_path, "t.csv", "id;note;sum;codes\n1;2,5;1.234,50;1,3\n2;;7;1,3,4\n"))
    assert frame["note"].tolist()[0] == 2.5
    assert frame["sum"].tolist() == [1234.5, 7.0]
    assert frame["codes"].tolist() == ["1,3", "1,3,4"]


def test_commas_that_may_be_thousands_are_asked_about(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", "id;n\n1;1,250\n2;3,000\n")
    with pytest.warns(UserWarning, match=r"column 'n'.*Pass decimal=','"):
        assert read_table(path)["n"].tolist() == ["1,250", "3,000"]
    assert read_table(path, decimal=",")["n"].tolist() == [1.25, 3.0]
    assert read_table(path, decimal=".")["n"].tolist() == ["1,250", "3,000"]
    assert "decimal=';'" in refusal(path, decimal=";")
    quoted = put(tmp_path, "q.csv", 'id,n\n1,"2,5"\n')
    assert read_table(quoted)["n"].tolist() == ["2,5"]
    assert read_table(quoted, decimal=",")["n"].tolist() == [2.5]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Schöne Grüße aus München, là-bas"),
        ("cp1250", "Autobus znów się spóźnił, źle"),
        ("cp1251", "Автобус опоздал опять, и очень дорого"),
        ("cp1253", "Το λεωφορείο άργησε πάλι"),
        ("cp1256", "تأخرت الحافلة مرة أخرى"),
        ("shift_jis", "バスがまた遅れました。とても困ります"),
        ("big5", "公車又遲到了，非常不方便"),
        ("euc_kr", "버스가 또 늦었어요"),
        ("koi8_r", "Автобус опоздал опять, и очень дорого. Снова"),
    ],
)
def test_the_likeliest_encoding_is_proposed_first(tmp_path: Path, encoding: str, text: str) -> None:
    rows = "".join(f"{i};{text}\n" for i in range(9))
    path = put(tmp_path, "t.csv", f"id;text\n{rows}".encode(encoding))
    assert f"--encoding {encoding})" in refusal(path)
    assert read_table(path, encoding=encoding)["text"].tolist() == [text] * 9


# --- headers -------------------------------------------------------------------------------------------

QUALTRICS = (
    'StartDate,ResponseId,Q1\nStart Date,Response ID,"What bothers you,\nabove all?"\n'
    '"{""ImportId"":""startDate"",""timeZone"":""Europe/Berlin""}","{""ImportId"":""_recordId""}",'
    '"{""ImportId"":""QID1_TEXT""}"\n2024-05-01 10:00:00,R_1,The bus is late\n'
)
TAB_QUALTRICS = (
    "StartDate\tQ1\tQ2\nStart Date\tWhat bothers you?\tMore?\n"
    '"{""ImportId"":""startDate""}"\t"{""ImportId"":""QID1""}"\t"{""ImportId"":""QID2""}"\n'
    "2024-05-01\tThe bus, again\tNo\n"
)


@pytest.mark.parametrize(
    ("name", "content", "columns", "skipped"),
    [
        pytest.param("t.csv", "Survey\n\nid,text\n1,late\n2,dear\n", ["id", "text"], "line 3", id="title"),
        pytest.param(
            "t.csv",
            "Umfrage;;\nStand:;Mai;\n;;\nID;Antwort;Ort\n1;spät;N\n2;teuer;S\n",
            ["ID", "Antwort", "Ort"],
            "'Umfrage'",
            id="padded titles",
        ),
        pytest.param("t.csv", QUALTRICS, ["StartDate", "ResponseId", "Q1"], "import ids", id="Qualtrics"),
        pytest.param(
            "t.tsv",
            TAB_QUALTRICS.encode("utf-16"),
            ["StartDate", "Q1", "Q2"],
            "import ids",
            id="Qualtrics TSV",
        ),
        pytest.param(
            "t.csv", "id,text\n1,late\nid,text\n1,dear\n", ["id", "text"], "1 copy", id="joined files"
        ),
        pytest.param(
            "t.csv",
            "Respondent ID,Date,Which do you use?,,Tell us more\n"
            ",,Bus,Train,Open-Ended Response\n7,May,Bus,,late\n",
            ["Respondent ID", "Date", "Which do you use?: Bus", "Which do you use?: Train", "Tell us more"],
            "second row",
            id="SurveyMonkey",
        ),
    ],
)
def test_what_stands_around_a_table_is_skipped_and_said(
    tmp_path: Path, name: str, content: str | bytes, columns: list[str], skipped: str
) -> None:
    with pytest.warns(UserWarning, match=skipped):
        frame = read_table(put(tmp_path, name, content))
    assert list(frame.columns) == columns
    cells = {str(cell) for row in frame.itertuples(index=False) for cell in row}
    assert not any("ImportId" in cell or cell in {"Open-Ended Response", "id", "Why?"} for cell in cells)
    assert len(frame) == (1 if "Q" in columns[-1] or "Tell" in columns[-1] else 2)


def test_the_header_can_be_named(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", "1,2\na,b\n3,late\n")
    assert read_table(path, header_row=2).to_dict("list") == {"a": [3], "b": ["late"]}
    assert "header_row=9" in refusal(path, header_row=9)
    torn = put(tmp_path, "u.csv", "1\n2,3,4\nid,text\n7,late\n")
    assert "pass header_row=" in refusal(torn)
    assert read_table(torn, header_row=3)["text"].tolist() == ["late"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(",text\nx,late\ny,dear\n", id="an index of text"),
        pytest.param("id,text\na,\nb,late\n", id="gaps in the first row"),
        pytest.param("text\nlate\ntext\n", id="one column that has its name as a value"),
    ],
)
def test_an_ordinary_header_stays_the_header(tmp_path: Path, content: str) -> None:
    frame = read_table(put(tmp_path, "t.csv", content))
    assert frame.columns[-1] == "text"
    assert len(frame) == 2


# --- spreadsheets --------------------------------------------------------------------------------------


def test_a_sheet_has_its_types(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["id", "text", "share", "open", "day", "code"],
        [1, "late", 0.5, True, pd.Timestamp("2024-05-01").to_pydatetime(), "007"],
        [2, "=1+1", None, False, None, "12"],
    ]
    path = tmp_path / "t.xlsx"
    with xlsxwriter.Workbook(
        path, {"default_date_format": "yyyy-mm-dd", "strings_to_formulas": False}
    ) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    frame = read_table(path)
    assert frame["id"].tolist() == [1, 2]
    assert frame["text"].tolist() == ["late", "=1+1"]
    assert frame["share"].tolist()[0] == 0.5
    assert frame["share"].isna().tolist() == [False, True]
    assert frame["open"].tolist() == [True, False]
    assert frame["day"].tolist() == [pd.Timestamp("2024-05-01"), pd.NaT]
    assert frame["code"].tolist() == ["007", "12"]


def test_the_sheets_that_are_not_read_are_named(tmp_path: Path) -> None:
    table: list[list[object]] = [["id", "text"], [1, "late"]]
    sheets = {"Empty": [], "Secret": table, "Mai": table, "Juni": [["id", "text"], [2, "dear"]]}
    path = workbook(tmp_path / "t.xlsx", sheets, hidden=("Secret",))
    with pytest.warns(UserWarning, match=r"the sheets 'Juni' \(pass sheet="):
        assert read_table(path)["text"].tolist() == ["late"]
    assert read_table(path, sheet="Juni")["text"].tolist() == ["dear"]
    assert read_table(path, sheet=4)["text"].tolist() == ["dear"]
    assert "'Mai', 'Juni'" in refusal(path, sheet="July")
    assert "is empty" in refusal(path, sheet="Empty")


def test_titles_question_texts_and_repeated_headers_of_a_sheet(tmp_path: Path) -> None:
    titled: list[list[object]] = [["Survey"], [], ["id", "text"], [1, "late"], ["id", "text"], [2, "dear"]]
    path = workbook(tmp_path / "t.xlsx", {"A": titled})
    with pytest.warns(UserWarning, match=r"'Survey'.*1 copy of the header"):
        assert read_table(path)["text"].tolist() == ["late", "dear"]
    export: list[list[object]] = [["Q1", "Q2"], ["Why?", "Who?"], ['{"ImportId":"a"}', '{"ImportId":"b"}']]
    with pytest.warns(UserWarning, match="import ids"):
        frame = read_table(workbook(tmp_path / "q.xlsx", {"A": [*export, ["late", "Eva"]]}))
    assert frame.to_dict("list") == {"Q1": ["late"], "Q2": ["Eva"]}
    with pytest.warns(UserWarning, match="1 copy"):
        assert read_table(path, header_row=3, infer_types=False)["id"].tolist() == ["1", "2"]


ODS = """<?xml version="1.0" encoding="UTF-8"?><office:document-content office:version="1.2"
 xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>
<table:table table:name="A">%s</table:table></office:spreadsheet></office:body></office:document-content>"""


def test_opendocument(tmp_path: Path) -> None:
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
            for cell in row
        )
        + "</table:table-row>"
        for row in [("id", "text"), ("a", "late")]
    )
    with zipfile.ZipFile(tmp_path / "t.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", ODS % rows)
        manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
        archive.writestr("META-INF/manifest.xml", manifest)
    assert read_table(tmp_path / "t.ods").to_dict("list") == {"id": ["a"], "text": ["late"]}


def test_a_web_page_that_is_named_like_a_sheet(tmp_path: Path) -> None:
    assert "web page" in refusal(put(tmp_path, "t.xls", "<html><table><tr><td>id</td></tr></table></html>"))
    assert "name it .csv or .tsv" in refusal(put(tmp_path, "u.xls", "id\ttext\n1\tlate\n"))


# --- other containers ----------------------------------------------------------------------------------


def test_the_one_table_of_an_archive(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("export/", "")
        archive.writestr("export/posts.csv", "id;text\n1;late\n")
        archive.writestr("__MACOSX/export/._posts.csv", "x")
        archive.writestr("readme.txt", "Hello")
    path = put(tmp_path, "posts.zip", packed.getvalue())
    assert read_table(path)["text"].tolist() == ["late"]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.csv", "id,text\n")
    assert "2 tables ('export/posts.csv', 'more.csv')" in refusal(path)
    assert "cannot be unpacked" in refusal(put(tmp_path, "broken.zip", b"PK\x03\x04abc"))


@pytest.mark.parametrize("suffix", [".feather", ".arrow"])
def test_arrow_files_and_their_index(tmp_path: Path, suffix: str) -> None:
    import pyarrow as pa

    frame = pd.DataFrame({"text": ["late"]}, index=pd.Index(["R1"], name="respondent"))
    table = pa.Table.from_pandas(frame)
    path = tmp_path / f"t{suffix}"
    if suffix == ".feather":
        writer = pa.ipc.new_file(path, table.schema)
    else:
        writer = pa.ipc.new_stream(path, table.schema)
    with writer:
        writer.write_table(table)
    assert read_table(path).to_dict("list") == {"respondent": ["R1"], "text": ["late"]}
    assert "cannot be read as Arrow" in refusal(put(tmp_path, "u.arrow", "id,text\n"))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"id": {"0": 1, "1": 2}, "text": {"0": "late", "1": "dear"}}, id="pandas"),
        pytest.param({"columns": ["id", "text"], "data": [[1, "late"], [2, "dear"]]}, id="split"),
        pytest.param({"id": [1, 2], "text": ["late", "dear"]}, id="columns"),
        pytest.param(
            {"total": 2, "items": [{"id": 1, "text": "late"}, {"id": 2, "text": "dear"}]}, id="service"
        ),
    ],
)
def test_other_layouts_of_json(tmp_path: Path, content: object) -> None:
    frame = read_table(put(tmp_path, "t.json", json.dumps(content)))
    assert frame.to_dict("list") == {"id": [1, 2], "text": ["late", "dear"]}


@pytest.mark.parametrize("suffix", [".sav", ".zsav", ".dta"])
def test_value_labels_of_statistics_programs(tmp_path: Path, suffix: str) -> None:
    import pyreadstat

    frame = pd.DataFrame({"text": ["late", "dear", "ok"], "often": [2, 1, None], "agree": [1, 4, 7]})
    labels = {"often": {1: "never", 2: "always"}, "agree": {1: "not at all", 7: "very much"}}
    path = tmp_path / f"t{suffix}"
    if suffix == ".dta":
        pyreadstat.write_dta(frame, path, variable_value_labels=labels)
    else:
        pyreadstat.write_sav(frame, path, variable_value_labels=labels, compress=suffix == ".zsav")
    with pytest.warns(UserWarning, match="'agree' have no label"):
        read = read_table(path)
    assert read["text"].tolist() == ["late", "dear", "ok"]
    assert read["often"].cat.categories.tolist() == ["never", "always"]
    assert read["often"].astype(object).tolist()[:2] == ["always", "never"]
    assert read["agree"].tolist() == [1, 4, 7]


def test_sas_files_and_a_missing_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyreadstat

    pyreadstat.write_xport(pd.DataFrame({"TEXT": ["late"]}), tmp_path / "t.xpt")
    assert read_table(tmp_path / "t.xpt")["TEXT"].tolist() == ["late"]
    assert "cannot be read as a .sav file" in refusal(put(tmp_path, "t.sav", "id,text\n"))
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(MissingPackage, match=r"text_lloom\[statistics\]"):
        read_table(tmp_path / "t.xpt")


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    assert "sheet='A' does not apply" in refusal(put(tmp_path, "t.csv", "id,text\n1,a\n"), sheet="A")
    lines = put(tmp_path, "t.jsonl", '{"id": 1}\n')
    assert "separator=';' does not apply" in refusal(lines, separator=";")
    assert "header_row=2 does not apply" in refusal(lines, header_row=2)


# --- the command line ----------------------------------------------------------------------------------


def test_every_option_of_reading_is_one_of_the_command_line(tmp_path: Path) -> None:
    rows = "".join(f"{i}|Der Bus {i} kam; zu spät|1,{i}00\n" for i in range(8))
    path = put(tmp_path, "t.csv", f"Bericht|x|y\n1|2|3\nID|Antwort|Note\n{rows}".encode("cp1252"))
    out = ["--text-col", "Antwort", "--id-col", "ID", "--max-concepts", 1, "--out", tmp_path / "out"]
    assert_refused(lloom("run", path, *out), "--encoding='cp1252'")
    result = lloom(
        "run", path, *out, "--encoding", "cp1252", "--separator", "|", "--decimal", ",", "--header-row", 3
    )
    assert result.exit_code == 0, result.output
    assert len(pd.read_parquet(tmp_path / "out" / "scores.parquet")) == 8
    ambiguous = put(tmp_path, "u.csv", "Name, first;Age, years\nMeier, Eva;30, about\n")
    assert_refused(lloom("run", ambiguous, *out), "--separator=';'", "--separator=','")
    table: list[list[object]] = [["ID", "Antwort"], *([i, f"The bus {i} is late"] for i in range(8))]
    sheets = workbook(tmp_path / "t.xlsx", {"Mai": table, "Juni": table})
    result = lloom("run", sheets, *out)
    assert result.exit_code == 0, result.output
    assert "'Juni' (pass --sheet= to read" in result.stderr
    result = lloom("run", sheets, *out, "--sheet", "Juni")
    assert result.exit_code == 0, result.output
    assert "--sheet" not in result.stderr
