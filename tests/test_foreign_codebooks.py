"""Codebooks of other programs: read, or refused with the columns that were found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import xlsxwriter

import text_lloom.workbench as wb
from tests.test_cli import assert_refused, lloom
from tests.view_session import LOCAL
from text_lloom.errors import FileProblem

LATE = "Passenger says that a bus came late"
DEAR = "About the price of a ticket"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> list[tuple[str, str]]:
    return [(concept.name, concept.criteria) for concept in wb.load_codebook(path).values()]


FLAT = [("Late buses", LATE), ("Fares", DEAR)]
NESTED = [("Service > Late buses", LATE), ("Fares", DEAR)]


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        pytest.param(
            "tag,description,number of highlights",
            [f"Late buses,{LATE},4", f"Fares,{DEAR},7"],
            FLAT,
            id="Taguette",
        ),
        pytest.param(
            "Code,Memo", [f"Service > Late buses,{LATE}", f"Fares,{DEAR}"], NESTED, id="MAXQDA paths"
        ),
        pytest.param(
            "Color;Parent code;Code;Code memo;Frequency",
            [f"#f00;Service;Late buses;{LATE};3", f"#0f0;;Fares;{DEAR};3"],
            NESTED,
            id="MAXQDA parents",
        ),
        pytest.param(
            "Name,Description,Files,References",
            [f"Codes\\\\Service\\\\Late buses,{LATE},3,4", f"Codes\\\\Fares,{DEAR},1,1"],
            NESTED,
            id="NVivo",
        ),
        pytest.param(
            "name,memo,owner,date,category,color",
            [f"Late buses,{LATE},me,2024-05-01,Service,#f00", f"Fares,{DEAR},me,2024-05-01,,#0f0"],
            NESTED,
            id="QualCoder",
        ),
        pytest.param(
            "Code,Comment,Code Group 1,Grounded",
            [f"Late buses,{LATE},x,3", f"Fares,{DEAR},,2"],
            FLAT,
            id="ATLAS.ti",
        ),
        pytest.param(
            "code_id,code_name,code_description,code_color",
            [f"1,Late buses,{LATE},red", f"2,Fares,{DEAR},blue"],
            FLAT,
            id="requal",
        ),
        pytest.param(
            "Path\tCode\tComment",
            [f"Service > Late buses\tLate buses\t{LATE}", f"Fares\tFares\t{DEAR}"],
            NESTED,
            id="paths and names",
        ),
        pytest.param(
            "Code,Description,Memo",
            [f"Late buses,,{LATE}", f"Fares,{DEAR},to do"],
            FLAT,
            id="two descriptions",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_codebooks_of_other_programs(
    tmp_path: Path, header: str, rows: list[str], expected: list[tuple[str, str]], kind: str
) -> None:
    path = tmp_path / f"book.{kind}"
    separator = next(mark for mark in ";\t," if mark in header)
    if kind == "csv":
        put(tmp_path, "book.csv", "\n".join([header, *rows, ""]))
    else:
        with xlsxwriter.Workbook(path) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate([header, *rows]):
                sheet.write_row(number, 0, row.split(separator))
    assert read(path) == expected
    assert list(wb.load_codebook(path)) == list(wb.load_codebook(path))


QDC = """<?xml version="1.0" encoding="utf-8"?>
<CodeBook xmlns="urn:QDA-XML:codebook:1.0" origin="X"><Codes>
<Code guid="1" name="Service" isCodable="false"><Description>All of the service</Description>
 <Code guid="2" name="Late buses" isCodable="true"><Description>%s &amp; was seen</Description></Code></Code>
<Code guid="3" name="Ärger" isCodable="true"><Description>Anger</Description></Code>
<Code guid="4" name="To do" isCodable="true"/></Codes><Sets/></CodeBook>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "utf-16"])
def test_refi_codebooks(tmp_path: Path, encoding: str) -> None:
    text = (QDC % LATE).replace('encoding="utf-8"', f'encoding="{encoding.removesuffix("-sig")}"')
    with pytest.warns(UserWarning, match="1 of 3 codes have no description and are left out: 'To do'"):
        book = read(put(tmp_path, "book.qdc", text.encode(encoding)))
    assert book == [("Service > Late buses", f"{LATE} & was seen"), ("Ärger", "Anger")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(
            '<!DOCTYPE CodeBook [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
            + (QDC % "&a;").partition("?>")[2],
            "DOCTYPE",
            id="entity of a file",
        ),
        pytest.param(
            '<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>',
            "DOCTYPE",
            id="entities that grow",
        ),
        pytest.param("<html><body/></html>", "its root is 'html'", id="another root"),
        pytest.param("<CodeBook><Codes/></CodeBook>", "its root is 'CodeBook' of ''", id="no namespace"),
        pytest.param((QDC % LATE)[:200], "not XML", id="cut"),
        pytest.param(
            '<CodeBook xmlns="urn:QDA-XML:codebook:1.0"><Codes/></CodeBook>', "holds no concepts", id="empty"
        ),
        pytest.param(
            '<CodeBook xmlns="urn:QDA-XML:codebook:1.0"><Codes><Code name="a"/></Codes></CodeBook>',
            "none of its 1 codes has a description",
            id="bare",
        ),
    ],
)
def test_refi_codebooks_that_are_refused(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(FileProblem, match=told):
        wb.load_codebook(put(tmp_path, "book.qdc", content))


@pytest.mark.parametrize("header", ["name", "name,notes", "Titel,Text", "description,color"])
def test_the_columns_that_were_found_are_named(tmp_path: Path, header: str) -> None:
    row = ",".join("x" for _ in header.split(","))
    with pytest.raises(FileProblem) as caught:
        wb.load_codebook(put(tmp_path, "book.csv", f"{header}\n{row}\n"))
    assert ", ".join(repr(name) for name in header.split(",")) in str(caught.value)
    assert "'tag' and 'description'" in str(caught.value)


def test_the_concepts_of_a_codebook_are_added_to_a_session(tmp_path: Path) -> None:
    path = put(tmp_path, "book.csv", f"tag,description\nLate buses,{LATE}\nFares,{DEAR}\n")
    session = wb.lloom(pd.DataFrame({"text": ["Late again", "Too dear"]}), "text", None, *LOCAL.values())
    session.add_concept("Bikes", "Is it about bikes?")
    assert [concept.name for concept in session.add_codebook(path)] == ["Late buses", "Fares"]
    assert [concept.name for concept in session.concepts.active] == ["Bikes", "Late buses", "Fares"]
    assert session.add_codebook(wb.load_codebook(path)) == []
    session.undo()
    assert [concept.name for concept in session.concepts.values()] == ["Bikes"]
    chosen = wb.load_codebook(path)
    next(iter(chosen.values())).active = True
    assert [concept.active for concept in session.add_codebook(chosen)] == [True, False]


def test_score_reads_them_and_names_its_own_options(tmp_path: Path) -> None:
    table = put(tmp_path, "p.csv", "id,text\n1,The bus was late again\n2,Too dear\n")
    out = ["--text-col", "text", "--id-col", "id", "--out", tmp_path / "out"]
    latin = put(tmp_path, "book.csv", f"Bericht|x\n\nCode|Memo\nVerspätung|{LATE}\n".encode("cp1252"))
    assert_refused(
        lloom("score", latin, table, *out), "--codebook-encoding='cp1252'", "--codebook-encoding cp1252"
    )
    result = lloom(
        "score", latin, table, *out, "--codebook-encoding", "cp1252", "--codebook-separator", "|",
        "--codebook-header-row", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert pd.read_parquet(tmp_path / "out" / "scores.parquet")["concept_name"].unique() == ["Verspätung"]
    with xlsxwriter.Workbook(tmp_path / "book.xlsx") as book:
        for name in ("A", "B"):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, ["Code", "Memo"])
            sheet.write_row(1, 0, [f"Late {name}", LATE])
    result = lloom("score", tmp_path / "book.xlsx", table, *out)
    assert result.exit_code == 0, result.output
    assert "(pass --codebook-sheet= to read" in result.stderr
    assert_refused(lloom("score", tmp_path / "book.xlsx", table, *out, "--codebook-sheet", "C"), "'A', 'B'")
