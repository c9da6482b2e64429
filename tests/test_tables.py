"""Tables: what is read is what is in the file, and what cannot be read is refused with a way on."""

import gzip
import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from text_lloom.errors import FileProblem
from text_lloom.storage.codebook import read_codebook, write_codebook
from text_lloom.storage.tables import read_table, write_table

TEXTS = [
    'The 7:40 was late again, "again", and again.',
    "خط الحافلات متأخر دائمًا\nمرتين في الأسبوع",
    "Fares {up} 👩‍👩‍👧 by 3 €; see `notes`\r\nand\ttabs",
    "a carriage\rreturn, a \x00 NUL, a\u2028separator",
    '=HYPERLINK("http://example.org")',
    " padded ",
]


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path, **options):
    with pytest.raises(FileProblem) as caught:
        read_table(path, **options)
    return str(caught.value)


def test_importing_these_modules_loads_no_pandas():
    code = (
        "import sys, text_lloom.storage.tables, text_lloom.storage.session, text_lloom.storage.codebook;"
        "assert not {'pandas', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("fields", "dtype", "values"),
    [
        pytest.param(["3", "-12", "0"], "int64", [3, -12, 0], id="whole numbers"),
        pytest.param(["3", "", "5"], "float64", [3.0, None, 5.0], id="whole numbers with a gap"),
        pytest.param(["3", "1.50"], "float64", [3.0, 1.5], id="numbers"),
        pytest.param(["1e-05", "2"], "float64", [1e-05, 2.0], id="numbers as Python prints them"),
        pytest.param(["True", "False"], "bool", [True, False], id="truth values"),
        pytest.param(["007", "12"], "str", ["007", "12"], id="leading zeros"),
        pytest.param(["+4420", "12"], "str", ["+4420", "12"], id="phone numbers"),
        pytest.param(["12e5", "3456"], "str", ["12e5", "3456"], id="ids that look like exponents"),
        pytest.param(
            ["NA", "None", "null", "nan", ""], "str", ["NA", "None", "null", "nan", None], id="words"
        ),
        pytest.param([str(2**64), "1"], "str", [str(2**64), "1"], id="longer than int64"),
        pytest.param([str(2**53 + 1), ""], "str", [str(2**53 + 1), None], id="long id with a gap"),
        pytest.param([str(2**53 + 1), "0.5"], "str", [str(2**53 + 1), "0.5"], id="long id among numbers"),
        pytest.param([str(2**63 - 1), "1"], "int64", [2**63 - 1, 1], id="largest int64"),
        pytest.param(["2024-05-01", "2024-05-02"], "str", ["2024-05-01", "2024-05-02"], id="dates"),
        pytest.param(["True", ""], "str", ["True", None], id="truth values with a gap"),
        pytest.param([" 5", "6"], "str", [" 5", "6"], id="spaces"),
        pytest.param(["", ""], "str", [None, None], id="nothing at all"),
    ],
)
def test_column_types_of_csv(tmp_path, fields, dtype, values):
    rows = "".join(f"x,{field}\n" for field in fields)
    column = read_table(put(tmp_path, "t.csv", f"text,field\n{rows}"))["field"]
    assert str(column.dtype) == (dtype if dtype != "str" or pd.__version__ >= "3" else "object")
    assert [None if pd.isna(value) else value for value in column.tolist()] == values


def test_types_can_be_left_alone(tmp_path):
    frame = read_table(put(tmp_path, "t.csv", "id,ok\n12,True\n"), infer_types=False)
    assert frame.iloc[0].tolist() == ["12", "True"]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.TAB", "t.jsonl", "t.ndjson", "t.json", "t.parquet"])
@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
def test_texts_come_back_to_the_letter(tmp_path, name, gz):
    if gz and name.endswith("parquet"):
        pytest.skip("Parquet is compressed within")
    frame = pd.DataFrame({"doc": ["007", "NA", "None", "nan", "null", "x"], "text": TEXTS, "n": range(6)})
    path = write_table(frame, tmp_path / "new" / "folder" / (f"{name}.gz" if gz else name))
    pd.testing.assert_frame_equal(read_table(path), frame)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


cells = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "jsonl", "json", "parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
def test_any_text_survives(tmp_path, suffix, rows):
    frame = pd.DataFrame(rows, columns=["first", "the text"])
    read = read_table(write_table(frame, tmp_path / f"t.{suffix}"), infer_types=False)
    pd.testing.assert_frame_equal(read, frame)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(numbers=st.lists(st.floats(allow_infinity=False), min_size=1, max_size=6))
def test_numbers_survive_csv(tmp_path, numbers):
    frame = pd.DataFrame({"text": ["t"] * len(numbers), "score": [0.5, *numbers[1:]]})
    pd.testing.assert_frame_equal(read_table(write_table(frame, tmp_path / "t.csv")), frame, check_exact=True)


def test_lists_are_json_text_in_csv_and_lists_in_jsonl(tmp_path):
    frame = pd.DataFrame({"concept": ["Late buses"], "highlights": [["„zu spät“", "late"]]})
    csv_cell = read_table(write_table(frame, tmp_path / "t.csv"))["highlights"][0]
    assert csv_cell == '["„zu spät“", "late"]'
    assert read_table(write_table(frame, tmp_path / "t.jsonl"))["highlights"][0] == ["„zu spät“", "late"]
    assert list(read_table(write_table(frame, tmp_path / "t.parquet"))["highlights"][0]) == [
        "„zu spät“",
        "late",
    ]


def test_arrays_and_times_are_written_readably(tmp_path):
    frame = pd.DataFrame(
        {"v": [np.array([1.5, np.nan])], "at": [pd.Timestamp("2024-05-01 10:00")], "no": [pd.NaT]}
    )
    lines = write_table(frame, tmp_path / "t.csv").read_text().splitlines()
    assert lines == ["v,at,no", '"[1.5, null]",2024-05-01 10:00:00,']
    record = json.loads(write_table(frame, tmp_path / "t.jsonl").read_text())
    assert record == {"v": [1.5, None], "at": "2024-05-01T10:00:00", "no": None}


def test_equal_tables_make_equal_files(tmp_path):
    frame = pd.DataFrame({"text": TEXTS})
    one, two = (write_table(frame, tmp_path / name) for name in ("a.csv.gz", "b.csv.gz"))
    assert one.read_bytes() == two.read_bytes()


def test_json_keeps_long_numbers_and_strings_apart(tmp_path):
    lines = '{"id": 9007199254740993, "n": 1, "s": "1"}\n\n{"n": null, "s": "null"}\n'
    frame = read_table(put(tmp_path, "t.jsonl", lines))
    assert frame["id"][0] == 2**53 + 1
    assert frame["n"].dtype == "float64"
    assert frame["s"].tolist() == ["1", "null"]


def test_half_characters_survive_json_lines_but_not_csv(tmp_path):
    frame = read_table(put(tmp_path, "t.jsonl", '{"text": "broken \\ud83d emoji"}'))
    assert frame["text"][0] == "broken \ud83d emoji"
    assert read_table(write_table(frame, tmp_path / "u.jsonl"))["text"][0] == "broken \ud83d emoji"
    with pytest.raises(FileProblem, match=r"half a character.*\.jsonl"):
        write_table(frame, tmp_path / "u.csv")
    with pytest.raises(FileProblem):
        write_table(frame, tmp_path / "u.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.jsonl", "u.jsonl"]


def test_byte_order_mark_crlf_and_blank_lines(tmp_path):
    frame = read_table(put(tmp_path, "t.csv", b"\xef\xbb\xbfid,text\r\n1,a\r\n\r\n2,b\r\n"))
    assert frame.to_dict("list") == {"id": [1, 2], "text": ["a", "b"]}


def test_long_documents(tmp_path):
    text = "late bus " * 100_000
    assert read_table(put(tmp_path, "t.csv", f'id,text\n1,"{text}"\n'))["text"][0] == text


def test_named_index_of_parquet_becomes_a_column(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"]}, index=pd.Index(["x", "y"], name="doc_id"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["doc_id", "text"]


def test_header_only_is_a_table_without_rows(tmp_path):
    frame = read_table(put(tmp_path, "t.csv", "id,text\n"))
    assert (list(frame.columns), len(frame)) == (["id", "text"], 0)


def test_a_table_of_one_column_is_a_table(tmp_path):
    frame = read_table(put(tmp_path, "t.csv", 'comment\nThe bus is late.\n"Fares, too"\n'))
    assert list(frame.columns) == ["comment"]
    assert frame["comment"].tolist() == ["The bus is late.", "Fares, too"]
    numbers = read_table(put(tmp_path, "n.tsv", "share\n0.5\n1\n"))
    assert (numbers["share"].dtype, numbers["share"].tolist()) == ("float64", [0.5, 1.0])


def test_numbers_with_gaps_are_floats_whatever_they_look_like(tmp_path):
    frame = read_table(put(tmp_path, "t.csv", "id,n,big\n1,,9007199254740992\n2,,\n3,5,1\n"))
    assert frame["n"].dtype == frame["big"].dtype == "float64"
    assert frame["big"].tolist()[0] == 2.0**53
    assert frame["n"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("line", "dtype", "values"),
    [
        pytest.param([1, 2, None], "float64", [1.0, 2.0, None], id="numbers with a gap"),
        pytest.param([1, 2.5], "float64", [1.0, 2.5], id="numbers"),
        pytest.param([True, False], "bool", [True, False], id="truth values"),
        pytest.param([True, None], "object", [True, None], id="truth values with a gap"),
        pytest.param([1, "1"], "object", [1, "1"], id="numbers and text"),
        pytest.param([2**53 + 1, None], "object", [2**53 + 1, None], id="a long number with a gap"),
        pytest.param([[1], {"a": 2}], "object", [[1], {"a": 2}], id="lists and objects"),
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_column_types_of_json(tmp_path, line, dtype, values, suffix):
    records = [{"id": n, "value": value} for n, value in enumerate(line)]
    text = json.dumps(records) if suffix == ".json" else "\n".join(map(json.dumps, records))
    column = read_table(put(tmp_path, f"t{suffix}", text))["value"]
    assert column.dtype == dtype
    assert [None if value is None or value != value else value for value in column.tolist()] == values


def test_uneven_lines_are_named_up_to_three(tmp_path):
    few = refusal(put(tmp_path, "t.csv", "id,text\n1\n2,a\n3,a,b\n4,a,b,c\n"))
    assert "line 2 has 1, line 4 has 3, line 5 has 4. A field" in few
    many = refusal(put(tmp_path, "t.csv", "id,text\n1\n2,a\n3,a,b\n4,a,b,c\n5\n6\n"))
    assert "line 2 has 1, line 4 has 3, line 5 has 4, and more. A field" in many


@pytest.mark.parametrize("separator", [";", "|", "\t"])
def test_the_separator_that_a_header_looks_to_have_is_named(tmp_path, separator):
    torn = put(tmp_path, "torn.csv", f"id{separator}text\n1{separator}late\n2\n")
    assert f"Pass separator={separator!r}" in refusal(torn)
    path = put(tmp_path, "t.csv", f"id{separator}text\n1{separator}late\n")
    assert read_table(path).to_dict("list") == {"id": [1], "text": ["late"]}
    assert list(read_table(path, separator=",").columns) == [f"id{separator}text"]
    assert read_table(path, separator=separator)["text"].tolist() == ["late"]


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n"])
def test_what_cannot_separate_is_refused(tmp_path, separator):
    assert "cannot separate fields" in refusal(put(tmp_path, "t.csv", "id,text\n1,a\n"), separator=separator)


def test_an_encoding_is_proposed_with_the_word_that_it_would_read(tmp_path):
    told = refusal(put(tmp_path, "t.csv", "id,text\n1,Grüße aus Zürich\n".encode("cp1252")))
    assert "byte 0xfc" in told
    assert "encoding='cp1252' would read 'Grüße'" in told
    assert "--encoding cp1252" in told
    assert told.count("would read") <= 4


def test_a_new_file_keeps_the_permissions_of_the_old_one(tmp_path):
    path = write_table(pd.DataFrame({"text": ["late"]}), tmp_path / "t.csv")
    path.chmod(0o640)
    write_table(pd.DataFrame({"text": ["later"]}), path)
    assert path.stat().st_mode & 0o777 == 0o640
    assert read_table(path)["text"].tolist() == ["later"]


def test_index_column_of_a_pandas_export_gets_a_name(tmp_path):
    assert list(read_table(put(tmp_path, "t.csv", ",text\n0,a\n")).columns) == ["Unnamed: 0", "text"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("t.csv", b"", ["is empty"], id="empty"),
        pytest.param("t.csv", b" \n\n", ["is empty"], id="blank"),
        pytest.param("t.csv", b"\xef\xbb\xbf\n", ["is empty"], id="only a mark"),
        pytest.param("t.parquet", b"", ["is empty"], id="empty Parquet"),
        pytest.param("t.csv.gz", b"", ["is empty"], id="empty gz"),
        pytest.param("t.docx", b"x", ["'.docx'", ".csv", ".parquet"], id="unknown suffix"),
        pytest.param("table", b"x", ["no suffix", ".csv"], id="no suffix"),
        pytest.param("t.txt", b"x", ["'.txt'", "rename"], id="txt"),
        pytest.param("t.xlsx", b"PK", ["Save the sheet as CSV"], id="Excel"),
        pytest.param("t.pkl", pickle.dumps([1]), ["never loaded"], id="pickle"),
        pytest.param("t.csv", b"PK\x03\x04abc", ["Excel"], id="Excel named csv"),
        pytest.param("t.csv", b"PAR1abc", ["name it .parquet"], id="Parquet named csv"),
        pytest.param("t.csv", gzip.compress(b"a,b\n1,2\n"), ["add .gz"], id="gz named csv"),
        pytest.param("t.csv.gz", b"a,b\n1,2\n", ["not a whole gzip", "drop .gz"], id="csv named gz"),
        pytest.param("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99)[:30], ["not a whole gzip"], id="cut gz"),
        pytest.param("t.csv", "id,text\n1,caf\xe9\n".encode("cp1252"), ["position 13", "line 2"], id="where"),
        pytest.param(
            "t.csv", "id,text\n1,caf\xe9\n".encode("cp1252"), ["--encoding cp1252", "'café'"], id="cp1252"
        ),
        pytest.param("t.csv", "id,text\n1,a\n".encode("utf-16-le"), ["utf-16-le"], id="utf-16 without mark"),
        pytest.param(
            "t.csv", "id,text\n1,a\n2,b,c\n3\n", ["2 fields", "line 3 has 3", "line 4 has 1"], id="ragged"
        ),
        pytest.param("t.csv", 'id,text\n1,"a\nb"\n2,x,y\n', ["line 4 has 3"], id="ragged after a line break"),
        pytest.param("t.csv", 'id,text\n1,a\n2,"never closed\n', ["line 3"], id="open quotation mark"),
        pytest.param("t.csv", "id;text\n1;a\n2\n", ["separator=';'"], id="semicolons"),
        pytest.param("t.csv", "id,text,id\n1,a,2\n", ["several columns", "'id'"], id="repeated column"),
        pytest.param("t.jsonl", '{"a": 1}\n{"a": \n', ["line 2 is not JSON"], id="broken line"),
        pytest.param("t.jsonl", '{"a": 1}\n[1]\n', ["line 2 is a list"], id="line that is no object"),
        pytest.param("t.jsonl", '[\n{"a": 1}]', ["line 1", "name the file .json"], id="list named jsonl"),
        pytest.param("t.json", '{"a": 1}\n{"a": 2}', ["name it .jsonl"], id="jsonl named json"),
        pytest.param("t.json", '{"rows": []}', ["is an object", "list of objects"], id="object"),
        pytest.param("t.json", '[{"a": 1}, 2]', ["item 1", "a number"], id="list of numbers"),
        pytest.param("t.json", "[" * 100_000, ["not JSON"], id="nested without end"),
        pytest.param("t.parquet", b"id,text\n1,a\n", ["cannot be read as Parquet", ".csv"], id="no Parquet"),
    ],
)
def test_refusals_tell_what_is_wrong(tmp_path, name, content, told):
    message = refusal(put(tmp_path, name, content))
    for part in told:
        assert part in message


def test_missing_file_names_the_nearest(tmp_path):
    put(tmp_path, "Posts_2024.csv", "a\n")
    assert "Did you mean" in refusal(tmp_path / "posts2024.csv")
    assert "Posts_2024.csv" in refusal(tmp_path / "posts2024.csv")
    assert "no folder" in refusal(tmp_path / "nowhere" / "posts.csv")


def test_folder_is_refused_and_its_files_named(tmp_path):
    put(tmp_path, "posts.csv", "a\n")
    message = refusal(tmp_path)
    assert "is a folder" in message
    assert "'posts.csv'" in message


def test_encoding_is_used_as_given(tmp_path):
    path = put(tmp_path, "t.csv", "id,text\n1,caf\xe9\n".encode("cp1252"))
    assert read_table(path, encoding="cp1252")["text"][0] == "café"
    assert "not a text encoding" in refusal(path, encoding="cp-nonsense")
    assert "not a text encoding" in refusal(path, encoding="base64")
    assert "not ascii text" in refusal(path, encoding="ascii")


def test_separator_is_used_as_given(tmp_path):
    path = put(tmp_path, "t.csv", "id;text\n1;a, b\n")
    assert read_table(path, separator=";")["text"][0] == "a, b"
    assert "one character" in refusal(path, separator=";;")
    assert list(read_table(put(tmp_path, "u.csv", "a;b\nx\n"), separator=",").columns) == ["a;b"]


def test_writing_refuses_what_cannot_be_written(tmp_path):
    frame = pd.DataFrame({"text": ["a"]})
    with pytest.raises(FileProblem, match="unknown suffix"):
        write_table(frame, tmp_path / "t.xlsx")
    with pytest.raises(FileProblem, match="several columns"):
        write_table(pd.DataFrame([[1, 2]], columns=["a", "a"]), tmp_path / "t.csv")
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(FileProblem, match="is a folder"):
        write_table(frame, tmp_path / "t.csv")
    put(tmp_path, "file", "x")
    with pytest.raises(FileProblem, match="cannot be written"):
        write_table(frame, tmp_path / "file" / "t.csv")
    with pytest.raises(FileProblem, match="mixed"):
        write_table(pd.DataFrame({"mixed": [1, "a", b"x"]}), tmp_path / "t.parquet")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    path = put(tmp_path, "t.csv", "old\n")
    path.chmod(0o640)
    with pytest.raises(FileProblem):
        write_table(pd.DataFrame({"text": ["fine", "\ud83d"]}, dtype=object), path)
    assert path.read_text() == "old\n"
    write_table(pd.DataFrame({"text": ["new"]}), path)
    assert path.read_text() == "text\nnew\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_stays_a_link(tmp_path):
    target = put(tmp_path, "real.csv", "old\n")
    (tmp_path / "link.csv").symlink_to(target)
    write_table(pd.DataFrame({"text": ["new"]}), tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert target.read_text() == "text\nnew\n"


def concepts_of(book):
    return [concept.to_dict() for concept in book.values()]


@pytest.fixture
def book():
    from text_lloom.concept import Codebook

    made = Codebook()
    made.add("2024", "Is it about 2024?", example_ids=["007", 7, 7.5, True], active=True, seed="1.50")
    made.add("Spät, „zu spät“", "Does it say that\nbuses run late?", example_ids=[])
    twin = made.add("2024", "Is it about the year 2024, {really}?")
    made.rename(twin.id, "True")
    made.edit(twin.id, "Is it true?")
    made.undo()
    return made


def test_codebook_with_its_history(tmp_path, book):
    read = read_codebook(write_codebook(tmp_path / "book.json", book))
    assert concepts_of(read) == concepts_of(book)
    assert read.events == book.events
    assert read.to_json() == book.to_json()
    assert read.redo().kind == "edit"
    assert [read.undo().kind for _ in range(5)] == ["edit", "rename", "add", "add", "add"]
    assert len(read) == 0


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_codebook_as_a_table(tmp_path, book, suffix):
    read = read_codebook(write_codebook(tmp_path / f"book.{suffix}", book))
    assert concepts_of(read) == concepts_of(book)


@pytest.mark.parametrize("name", ["book.csv", "book.json"])
def test_a_codebook_in_another_encoding_is_read_as_named(tmp_path, name):
    rows = "name,criteria\nTüren,Fallen Türen zu?\n"
    listed = '[{"name": "Türen", "criteria": "Fallen Türen zu?"}]'
    path = put(tmp_path, name, (rows if name.endswith("csv") else listed).encode("cp1252"))
    with pytest.raises(FileProblem, match="not utf-8"):
        read_codebook(path)
    [concept] = read_codebook(path, encoding="cp1252").values()
    assert (concept.name, concept.criteria) == ("Türen", "Fallen Türen zu?")


def test_codebook_with_other_ids_is_written_as_text(tmp_path, book):
    book.add(
        "Times", "Is it dated?", example_ids=[pd.Timestamp("2024-05-01"), np.int64(4), ("a", 1), "\ud83d"]
    )
    read = read_codebook(write_codebook(tmp_path / "book.json", book))
    assert list(read.values())[-1].example_ids == ["2024-05-01T00:00:00", 4, "('a', 1)", "\ud83d"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "b.json",
            '[{"name": "Late", "prompt": "Is it late?"}, {"name": "Early", "criteria": "Is it early?"}]',
        ),
        (
            "b.json",
            '{"concepts": [{"name": "Late", "prompt": "Is it late?"},'
            ' {"name": "Early", "prompt": "Is it early?"}]}',
        ),
        ("b.csv", "Concept,Definition\nLate,Is it late?\nEarly,Is it early?\n"),
        ("b.tsv", "name\tprompt\tnotes\nLate\tIs it late?\tx\nEarly\tIs it early?\t\n"),
        (
            "b.jsonl",
            '{"concept": "Late", "criteria": "Is it late?"}\n{"name": "Early", "prompt": "Is it early?"}\n',
        ),
    ],
    ids=["list", "object", "csv", "tsv", "jsonl"],
)
def test_codebooks_that_others_wrote(tmp_path, name, content):
    read = read_codebook(put(tmp_path, name, content))
    assert [(c.name, c.criteria) for c in read.values()] == [
        ("Late", "Is it late?"),
        ("Early", "Is it early?"),
    ]
    assert len(set(read)) == 2


def test_new_ids_are_the_same_each_time_and_stay_free(tmp_path):
    path = put(tmp_path, "b.csv", "name,criteria\nLate,Is it late?\nLate,Is it late?\n")
    read = read_codebook(path)
    assert list(read) == list(read_codebook(path))
    read.add("Late", "Is it late?")
    assert len(set(read)) == 3


def test_exported_concept_table_is_a_codebook(tmp_path):
    path = put(
        tmp_path, "b.csv", "concept,criteria,summary,rep_examples,prevalence\nLate,Is it late?,S,[],0.5\n"
    )
    (concept,) = read_codebook(path).values()
    assert (concept.summary, concept.example_ids) == ("S", [])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("b.json", "{", "not JSON", id="no JSON"),
        pytest.param("b.json", '"text"', "not a codebook", id="a text"),
        pytest.param("b.json", "[1]", "not a codebook", id="numbers"),
        pytest.param("b.json", "[]", "no concepts", id="no concepts"),
        pytest.param("b.json", '[{"name": "Late"}]', "item 1", id="no criterion"),
        pytest.param("b.json", '{"concepts": [], "events": [{}]}', "event log", id="broken events"),
        pytest.param("b.csv", "name,criteria\nLate,\n", "row 1", id="empty criterion"),
        pytest.param("b.csv", "title,text\nLate,x\n", "name and a criterion", id="other columns"),
        pytest.param("b.csv", "name,concept,criteria\nA,B,C\n", "mean the same", id="two names"),
        pytest.param(
            "b.csv", "name,criteria,examples\nA,B,the bus\n", "JSON list of ids", id="examples as text"
        ),
        pytest.param("b.csv", "id,name,criteria\n1,A,B\n1,C,D\n", "already has", id="same id twice"),
        pytest.param("b.docx", "x", "suffix", id="suffix"),
    ],
)
def test_codebook_refusals(tmp_path, name, content, told):
    with pytest.raises(FileProblem, match=told):
        read_codebook(put(tmp_path, name, content))
