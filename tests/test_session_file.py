"""Session files: everything comes back exactly, and nothing in a file can do harm."""

import datetime as dt
import hashlib
import io
import json
import math
import pickle
import uuid
import zipfile
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from text_lloom.concept import Codebook, Concept
from text_lloom.corpus import Corpus
from text_lloom.errors import FileProblem, InputError
from text_lloom.labels import Label
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.step_state import Failure
from text_lloom.quotes import QuoteMatch
from text_lloom.scores import Judgement, ScoreTable
from text_lloom.storage.columns import frame_from_table, frame_to_table
from text_lloom.storage.session import SessionState, read_session, write_session
from text_lloom.storage.values import json_bytes, parse_json, read_value, write_value

TEXTS = [
    "Der Bus kam „wieder“ zu spät {immer}.",
    "خط الحافلات متأخر دائمًا\nمرتين",
    "NUL \x00, CR \r, emoji 👩‍👩‍👧, half \ud83d",
    "=1+1; nan; NA; None",
]


def corpus_of(texts=TEXTS, ids=None, **columns):
    ids = list(range(len(texts))) if ids is None else ids
    frame = pd.DataFrame({"doc_id": ids, "text": pd.Series(texts, dtype=object)} | columns)
    return Corpus.from_frame(frame, text_col="text", id_col="doc_id")


def full_state(corpus=None):
    corpus = corpus_of() if corpus is None else corpus
    book = Codebook()
    late = book.add(
        "Late buses", "Do buses run late? ", example_ids=corpus.ids[:2], active=True, seed="transport"
    )
    odd = book.add("Outlier", "Is it {odd} \ud83d?", example_ids=corpus.ids[1:])
    book.extend([Concept(" Fares ", "  Are fares named?\n", corpus.ids[:1], summary="Three do.")])
    fares = list(book.values())[-1]
    gone = book.add("Gone", "Is it gone?")
    table = ScoreTable(corpus)
    for concept in (late, fares, odd, gone):
        table.put(
            concept, corpus.ids[0], Judgement(0.75, "why \x00", "zu spät", QuoteMatch.FUZZY, "zu spaet")
        )
    table.put(late, corpus.ids[-1], Judgement(0.0))
    table.put(fares, corpus.ids[1], Judgement(math.nan, "not said"))
    book.edit(odd.id, "Is it strange?")
    book.remove(gone.id, note="no use")
    book.merge([late.id, fares.id], name="Buses")
    book.undo()
    return SessionState(
        corpus=corpus,
        codebook=book,
        table=table,
        quotes={i: [text[:5], text[:1]] for i, text in zip(corpus.ids, corpus.texts, strict=True)},
        bullets={corpus.ids[0]: [], "elsewhere": ["kept"]},
        support={late.id: 2},
        attempts=(
            Attempt("score", "m", 1.7e9, 0.25, 10, 2, 0.001, "answer"),
            Attempt("score", "m", 1.7e9, 0.5, 10, 0, None, "transient error", estimated=True),
        ),
        step_seconds=[("distill", "2024-05-01T10:00:00", 1.25)],
        failures=(
            Failure("score", tuple(corpus.ids[:2]), (late.id,), "BadAnswer", "no \ud83d JSON", 3, 0.002),
        ),
        settings={"seed": "transport", "params": {"filter_n_quotes": 2, "rate": [1, 0.5]}, "none": None},
    )


def assert_same_state(one, other):
    pd.testing.assert_frame_equal(one.corpus.frame, other.corpus.frame, check_exact=True)
    pd.testing.assert_frame_equal(one.corpus.set_aside, other.corpus.set_aside, check_exact=True)
    assert (one.corpus.text_col, one.corpus.id_col) == (other.corpus.text_col, other.corpus.id_col)
    assert kinds(one.corpus.ids) == kinds(other.corpus.ids)
    assert one.codebook.to_json(write_id=write_value) == other.codebook.to_json(write_id=write_value)
    assert one.codebook.events == other.codebook.events
    for a, b in zip(one.codebook.values(), other.codebook.values(), strict=True):
        assert a == b
        assert kinds(a.example_ids) == kinds(b.example_ids)
    for a, b in zip(one.table.columns(), other.table.columns(), strict=True):
        np.testing.assert_array_equal(a.score, b.score)
        assert replace(a, score=b.score) == b
    for name in ("quotes", "bullets", "support", "attempts", "step_seconds", "failures", "settings"):
        assert getattr(one, name) == getattr(other, name)
    assert kinds(list(one.quotes)) == kinds(list(other.quotes))


def kinds(values):
    return [(type(value), value) for value in values]


def round_trip(folder, state):
    path = write_session(folder / "session", state)
    back = read_session(path)
    again = write_session(folder / "again.lloom", back)
    assert again.read_bytes() == path.read_bytes()
    return back


def test_labels_and_the_map_come_back(tmp_path):
    ids = [uuid.UUID(int=i) for i in range(4)]
    state = full_state(corpus_of(ids=ids))
    late, odd = list(state.codebook)[:2]
    at = "2026-01-02T03:04:05+00:00"
    labels = (
        Label(ids[2], late, "wrong", "it is \u201elate\u201c", 0.75, "Do buses run late? ", at),
        Label(ids[0], odd, "right", "", 0.0, "Is it {odd}?", at),
    )
    layout = np.array([[0.5, -1.0], [2.0, 3.0], [0.0, 0.25], [1.0, 1.5]], np.float32)
    back = round_trip(tmp_path, replace(state, labels=labels, layout=layout))
    assert back.labels == labels
    assert kinds([label.doc_id for label in back.labels]) == kinds([ids[2], ids[0]])
    np.testing.assert_array_equal(back.layout, layout)
    (unscored,) = round_trip(tmp_path, replace(state, labels=(replace(labels[0], score=math.nan),))).labels
    assert math.isnan(unscored.score)
    plain = round_trip(tmp_path, state)
    assert (plain.labels, plain.layout) == ((), None)


ID_KINDS = {
    "int": [1, 2, 3, 4],
    "negative": [-1, 0, 2**62, -(2**62)],
    "float": [0.5, 1.0, -0.25, 1e300],
    "str": ["007", "7", "é", "{id}\n"],
    "half characters": pd.Series(["\ud83d", "\ude00", "\ud83d\ude00", "x"], dtype=object),
    "mixed": [1, "1", 2.5, ("a", 1)],
    "timestamp": pd.date_range("2024-05-01", periods=4, freq="h"),
    "zoned": pd.date_range("2024-05-01", periods=4, freq="h", tz="Europe/Berlin"),
    "date": [dt.date(2024, 5, day) for day in range(1, 5)],
    "uuid": [uuid.UUID(int=i) for i in range(4)],
    "bool and none-like": [True, False, "None", "nan"],
    "category": pd.Categorical(["b", "a", "d", "c"]),
    "nullable": pd.array([1, 2, 3, 2**60 + 1], dtype="Int64"),
}


@pytest.mark.parametrize("ids", ID_KINDS.values(), ids=ID_KINDS)
def test_a_whole_session_comes_back(tmp_path, ids):
    state = full_state(corpus_of(ids=ids))
    back = round_trip(tmp_path, state)
    assert_same_state(state, back)


def test_stale_scores_stay_stale_and_fresh_ones_fresh(tmp_path):
    state = full_state()
    back = round_trip(tmp_path, state)
    late, odd, fares = back.codebook.values()
    assert back.table.scores(late)[0] == 0.75
    assert back.table.scores(fares)[0] == 0.75
    assert np.isnan(back.table.scores(odd)).all()
    back.codebook.undo()
    pd.testing.assert_frame_equal(
        back.table.to_frame([late, odd, fares], quotes=True),
        state.table.to_frame([late, odd, fares], quotes=True),
    )


def test_the_history_can_be_walked_on(tmp_path):
    back = round_trip(tmp_path, full_state())
    assert back.codebook.redo().kind == "merge"
    assert [c.name for c in back.codebook.values()] == ["Buses", "Outlier"]
    assert back.codebook.undo().kind == "merge"
    assert back.codebook.undo().note == "no use"
    assert len(back.codebook) == 4


def test_rows_that_were_set_aside_come_back(tmp_path):
    frame = pd.DataFrame({"doc_id": ["a", "b", "c"], "text": ["Late.", None, "  "], "n": [1, 2, 3]})
    with pytest.warns(UserWarning, match="have no text"):
        corpus = Corpus.from_frame(frame, text_col="text", id_col="doc_id")
    state = SessionState(corpus, Codebook(), ScoreTable(corpus))
    back = round_trip(tmp_path, state)
    assert_same_state(state, back)
    assert back.corpus.set_aside["doc_id"].tolist() == ["b", "c"]


COLUMNS = {
    "bool": [True, False, True, False],
    "int8": np.array([1, -2, 3, 4], dtype="int8"),
    "uint64": np.array([0, 2**64 - 1, 1, 2], dtype="uint64"),
    "float32": np.array([0.1, np.nan, np.inf, -0.0], dtype="float32"),
    "float16": np.array([0.1, np.nan, 1, 2], dtype="float16"),
    "float64": [0.1, np.nan, -np.inf, 5e-324],
    "complex": np.array([1j, 2, 3, 4]),
    "datetime ns": pd.DatetimeIndex(["2024-05-01", None, "1700-01-01", "2024-05-01 10:00:00.123456789"]),
    "datetime s": np.array(["2024-05-01", "NaT", "9999-12-31", "0001-01-01"], dtype="datetime64[s]"),
    "zone": pd.date_range("2024-10-27", periods=4, freq="h", tz="Europe/Berlin"),
    "offset": pd.date_range(
        "2024-10-27", periods=4, freq="h", tz=dt.timezone(dt.timedelta(hours=5, minutes=30))
    ),
    "utc": pd.date_range("2024-10-27", periods=4, freq="h", tz="UTC").as_unit("ms"),
    "timedelta": pd.TimedeltaIndex(["1 day", None, "3 ns", "-4 h"]),
    "category": pd.Categorical(["b", None, "a", "b"], categories=["c", "b", "a"], ordered=True),
    "category of numbers": pd.Categorical([3, 1, 3, 2]),
    "category of times": pd.Categorical(pd.date_range("2024-05-01", periods=4, tz="UTC")),
    "category of objects": pd.Categorical(pd.Series([(1, 2), "a", None, 3.5], dtype=object)),
    "bins": pd.cut([1, 5, 9, 2], 3),
    "empty category": pd.Categorical([None] * 4),
    "interval": pd.interval_range(0, 4),
    "period": pd.period_range("2024-01", periods=4, freq="M"),
    "Int64": pd.array([1, None, 2**60 + 1, -1], dtype="Int64"),
    "Float32": pd.array([0.1, None, 2, 3], dtype="Float32"),
    "boolean": pd.array([True, None, False, True], dtype="boolean"),
    "str": pd.Series(["a", None, "NA", ""]),
    "string": pd.array(["a", None, "NA", "\x00"], dtype="string"),
    "python string": pd.array(["a", None, "NA", "\x00"], dtype=pd.StringDtype("python")),
    "arrow": pd.array([1, None, 3, 4], dtype=pd.ArrowDtype(pa.int16())),
    "arrow text": pd.array(["a", None, "b", ""], dtype=pd.ArrowDtype(pa.string())),
    "arrow lists": pd.array([["a"], None, [], ["b", "c"]], dtype=pd.ArrowDtype(pa.list_(pa.string()))),
    "sparse": pd.arrays.SparseArray([0, 0, 1, 0]),
    "text with None": pd.Series(["a", None, "nan", "None"], dtype=object),
    "text with nan": pd.Series(["a", np.nan, "nan", ""], dtype=object),
    "text with NA": pd.Series(["a", pd.NA, "<NA>", ""], dtype=object),
    "all None": pd.Series([None] * 4, dtype=object),
    "missing in every way": pd.Series([None, np.nan, pd.NA, pd.NaT], dtype=object),
    "numbers and text": pd.Series([1, "1", 1.0, True], dtype=object),
    "whole numbers": pd.Series([2**70, -1, 0, 1], dtype=object),
    "containers": pd.Series([["a", 1], {"k": [1, {2: "x"}]}, ("t", (1,)), {3, 1}], dtype=object),
    "frozen sets": pd.Series([frozenset({1, "a"}), frozenset(), frozenset({(1, 2)}), None], dtype=object),
    "numpy scalars": pd.Series([np.int8(1), np.float32(0.1), np.bool_(True), np.uint64(2)], dtype=object),
    "times": pd.Series(
        [
            dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
            dt.date(2024, 5, 1),
            dt.time(10, 30),
            dt.timedelta(days=-1, microseconds=3),
        ],
        dtype=object,
    ),
    "moments": pd.Series(
        [dt.datetime(2024, 5, 1, 10), dt.datetime(2024, 5, 1, tzinfo=dt.UTC), None, dt.datetime.min],
        dtype=object,
    ),
    "rare": pd.Series([Decimal("1.10"), uuid.UUID(int=7), b"\x00\xff", 1 + 2j], dtype=object),
    "pandas scalars": pd.Series(
        [pd.Timestamp("2024", tz="Asia/Tokyo"), pd.Timedelta("1 ns"), pd.Period("2024Q1"), pd.Interval(0, 1)],
        dtype=object,
    ),
}


def shown(value):
    """A value as text; sets list their members in an order of their own, which hashes decide."""
    return repr(sorted(map(repr, value)) if isinstance(value, (set, frozenset)) else value)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_columns_of_any_type_come_back(tmp_path, values, recwarn):
    series = pd.Series(values)
    corpus = corpus_of(meta=series)
    back = round_trip(tmp_path, SessionState(corpus, Codebook(), ScoreTable(corpus))).corpus.frame["meta"]
    assert [str(w.message) for w in recwarn] == []
    assert back.dtype == series.dtype
    if series.dtype == object:
        assert [(type(a), shown(a)) for a in back] == [(type(a), shown(a)) for a in series]
    else:
        pd.testing.assert_series_equal(back, series, check_names=False, check_exact=True)


def test_arrays_in_cells_come_back():
    frame = pd.DataFrame({"v": [np.array([1.5, np.nan], np.float32), np.array(["a", None], object)]})
    back = frame_from_table(frame_to_table(frame).table)
    assert [v.dtype for v in back["v"]] == [np.float32, object]
    np.testing.assert_array_equal(back["v"][0], frame["v"][0])
    assert back["v"][1].tolist() == ["a", None]


def test_column_names_of_any_kind_come_back(tmp_path):
    corpus = corpus_of()
    frame = corpus.frame.assign(**{"1": 1.5, "e\x00": 2, "manifest.json": 3}).rename(
        columns={"text": "../text"}
    )
    frame[1], frame[("a", 2)], frame[None] = 4, 5, 6
    corpus = Corpus.from_frame(frame, text_col="../text", id_col="doc_id")
    back = round_trip(tmp_path, SessionState(corpus, Codebook(), ScoreTable(corpus))).corpus
    pd.testing.assert_frame_equal(back.frame, corpus.frame)


class Opinion:
    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


def test_own_objects_become_text_with_a_warning(tmp_path):
    corpus = corpus_of(meta=pd.Series([Opinion(t) for t in "abcd"], dtype=object))
    with pytest.warns(UserWarning, match="'meta'"):
        path = write_session(tmp_path / "s", SessionState(corpus, Codebook(), ScoreTable(corpus)))
    assert read_session(path).corpus.frame["meta"].tolist() == ["a", "b", "c", "d"]


def test_own_objects_as_ids_become_text_everywhere(tmp_path):
    state = full_state(corpus_of(ids=pd.Series([Opinion(t) for t in "abcd"], dtype=object)))
    with pytest.warns(UserWarning, match="'doc_id'"):
        path = write_session(tmp_path / "s", state)
    back = read_session(path)
    assert back.corpus.ids == ["a", "b", "c", "d"]
    assert list(back.quotes) == ["a", "b", "c", "d"]
    assert next(iter(back.codebook.values())).example_ids == ["a", "b"]
    assert back.failures[0].doc_ids == ("a", "b")
    twins = corpus_of(ids=pd.Series([Opinion("a") for _ in TEXTS], dtype=object))
    with pytest.raises(InputError, match="cannot tell them apart"):
        write_session(tmp_path / "t", SessionState(twins, Codebook(), ScoreTable(twins)))


texts = st.text(st.characters(exclude_categories=[]), max_size=30)
full_texts = texts.filter(str.strip)
scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.decimals()),
    *(st.dates(), st.datetimes(timezones=st.none() | st.timezones()), st.timedeltas()),
    *(texts, st.binary(max_size=5), st.uuids()),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(texts, inner, max_size=3),
    ),
)


@settings(deadline=None)
@given(value=values)
def test_any_value_survives(value):
    back = read_value(parse_json(json_bytes(write_value(value))))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


id_lists = st.one_of(
    st.lists(ids, min_size=1, max_size=5, unique=True)
    for ids in (
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.datetimes(),
        texts,
        st.one_of(st.integers(), texts, st.tuples(texts, st.integers())),
    )
)


@st.composite
def states(draw):
    ids = draw(id_lists)
    bodies = draw(st.lists(full_texts, min_size=len(ids), max_size=len(ids)))
    frame = pd.DataFrame(
        {
            "id": pd.Series(ids, dtype=object if isinstance(ids[0], str) else None),
            "body": pd.Series(bodies, dtype=object),
        }
    )
    corpus = Corpus.from_frame(frame, text_col="body", id_col="id")
    book, table = Codebook(), ScoreTable(corpus)
    some_ids = st.lists(st.sampled_from(corpus.ids), max_size=3)
    for _ in range(draw(st.integers(0, 6))):
        known = list(book)
        action = draw(
            st.sampled_from(["add", "rename", "edit", "merge", "split", "remove", "undo", "redo", "put"])
        )
        match action:
            case "undo":
                book.undo()
            case "redo":
                book.redo()
            case "rename" if known:
                book.rename(known[-1], draw(full_texts))
            case "edit" if known:
                book.edit(known[-1], draw(full_texts))
            case "merge" if len(known) > 1:
                book.merge(known[:2], note=draw(texts))
            case "split" if known:
                book.split(known[0], [(draw(full_texts), draw(full_texts)), ("b", "Is it b?")])
            case "remove" if known:
                book.remove(known[0])
            case "put" if known:
                score = draw(st.sampled_from([1.0, 0.75, 0.5, 0.25, 0.0, math.nan]))
                match = draw(st.sampled_from(QuoteMatch))
                judged = Judgement(score, draw(texts), draw(texts), match, draw(texts))
                table.put(book[known[-1]], draw(st.sampled_from(corpus.ids)), judged)
            case _:
                book.add(draw(full_texts), draw(full_texts), example_ids=draw(some_ids), note=draw(texts))
    quotes = draw(st.dictionaries(st.sampled_from(corpus.ids), st.lists(texts, max_size=2)))
    return SessionState(corpus, book, table, quotes=quotes, settings={"seed": draw(texts)})


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)
@given(state=states())
def test_any_session_survives(tmp_path, state):
    assert_same_state(state, round_trip(tmp_path, state))


def test_suffix_is_added_and_may_be_left_out(tmp_path):
    path = write_session(tmp_path / "new" / "study.v2", full_state())
    assert path == tmp_path / "new" / "study.v2.lloom"
    assert len(read_session(tmp_path / "new" / "study.v2").corpus) == 4
    assert write_session(path, full_state()) == path
    assert [p.name for p in path.parent.iterdir()] == ["study.v2.lloom"]


def test_settings_without_json_type_are_named(tmp_path):
    state = replace(full_state(), settings={"model": object()})
    with pytest.raises(InputError, match="'model'"):
        write_session(tmp_path / "s", state)
    assert list(tmp_path.iterdir()) == []


def test_scores_of_another_corpus_are_refused(tmp_path):
    state = full_state()
    with pytest.raises(InputError, match="1 documents"):
        write_session(tmp_path / "s", replace(state, table=ScoreTable(corpus_of(["one"]))))


@pytest.fixture
def path(tmp_path):
    return write_session(tmp_path / "session.lloom", full_state())


def changed(path, *, drop=(), extra=(), honest=True, manifest=None, **members):
    """The file with other members; `honest` checksums fit them."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("__", "."): value for name, value in members.items()}
    listed = json.loads(content["manifest.json"])
    if honest:
        listed["members"] = {
            name: {"sha256": hashlib.sha256(value).hexdigest()} for name, value in content.items()
        }
    content["manifest.json"] = json.dumps(listed | (manifest or {})).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in [*content.items(), *extra]:
            if name not in drop:
                archive.writestr(name, value)
    return path


def refusal(path, **options):
    with pytest.raises(FileProblem) as caught:
        read_session(path, **options)
    return str(caught.value)


class Harm:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code was run')",))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["session.pkl", "session.lloom"])
def test_pickles_are_refused_and_not_run(tmp_path, protocol, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Harm(), protocol=protocol))
    message = refusal(path)
    if protocol >= 2 or name.endswith("pkl"):
        assert "never loaded" in message
        assert "To move on" in message


def test_a_pickle_within_is_not_run(path):
    for member in ("codebook.json", "corpus.parquet", "distilled.json", "settings.json"):
        assert "damaged" in refusal(changed(path, **{member.replace(".", "__"): pickle.dumps(Harm())}))


@pytest.mark.parametrize("content", [b"", b"doc_id,text\n1,a\n", b"PK\x03\x04 not a zip at all"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "s.lloom"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{str(path)!r} is ")


def test_missing_files_and_folders(tmp_path, path):
    assert "Did you mean" in refusal(tmp_path / "sesion.lloom")
    assert "is a folder" in refusal(tmp_path)


def test_another_zip_is_refused(tmp_path):
    for members in ({"a.txt": "x"}, {"manifest.json": "[]"}, {"manifest.json": '{"format": "else"}'}):
        with zipfile.ZipFile(tmp_path / "s.lloom", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        assert "zip archive, but" in refusal(tmp_path / "s.lloom")


def test_newer_versions_say_what_to_install(path):
    message = refusal(changed(path, manifest={"version": 2, "package_version": "9.1"}))
    assert "9.1" in message
    assert "pip install -U text_lloom" in message


@pytest.mark.parametrize("version", [0, -1, "1", None, True])
def test_odd_versions_are_refused(path, version):
    if version is not True:
        assert "format version" in refusal(changed(path, manifest={"version": version}))


@pytest.mark.parametrize("member", ["corpus.parquet", "codebook.json", "scores.parquet", "settings.json"])
def test_missing_and_changed_members_are_refused(tmp_path, path, member):
    whole = path.read_bytes()
    assert member in refusal(changed(path, drop=[member]))
    path.write_bytes(whole)
    message = refusal(changed(path, honest=False, **{member.replace(".", "__"): b"{}"}))
    assert f"{member} does not fit its checksum" in message


def test_a_flipped_bit_and_a_cut_file_are_found(path):
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("corpus.parquet").header_offset + 200
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert "damaged" in refusal(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("codebook.json", b"[" * 100_000),
        ("codebook.json", b'{"concepts": [{"name": "a"}]}'),
        ("codebook.json", b'{"concepts": [], "events": 3}'),
        ("distilled.json", b'{"quotes": [[{"timestamp": ["x", "ns", "../../etc"]}, []]], "bullets": []}'),
        ("distilled.json", b'{"quotes": [[{"row": 99}, []]], "bullets": []}'),
        ("distilled.json", b'{"quotes": [[[1], []]], "bullets": []}'),
        ("distilled.json", b'{"quotes": [["a", [1]]], "bullets": []}'),
        ("distilled.json", b'{"quotes": [[{"eval": ["1"]}, []]], "bullets": []}'),
        ("failures.json", b'[{"step": 1}]'),
        ("failures.json", b"[]"),
        ("settings.json", b"null"),
        ("settings.json", b"\xff"),
        ("corpus.parquet", b"PAR1 nothing PAR1"),
        ("manifest.json", b"{"),
    ],
)
def test_malformed_members_are_refused(path, member, content):
    if member == "manifest.json":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, content)
    else:
        changed(path, **{member.replace(".", "__"): content})
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    "manifest", [{"counts": None}, {"counts": {}}, {"id_col": "nowhere"}, {"members": 3}]
)
def test_malformed_manifests_are_refused(path, manifest):
    assert "damaged" in refusal(changed(path, manifest=manifest))


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_counts_that_do_not_fit_are_refused(path):
    with zipfile.ZipFile(path) as archive:
        table = pq.read_table(io.BytesIO(archive.read("corpus.parquet")))
    longer = pa.concat_tables([table] * 1000)
    assert "4000 rows, but 4 are declared" in refusal(changed(path, corpus__parquet=parquet(longer)))


def test_scores_of_unknown_documents_are_refused(path):
    with zipfile.ZipFile(path) as archive:
        table = pq.read_table(io.BytesIO(archive.read("scores.parquet")))
    for row in (-1, 4):
        moved = table.set_column(1, "row", pa.array([row] * table.num_rows, pa.int64()))
        assert "documents that it does not have" in refusal(changed(path, scores__parquet=parquet(moved)))


def test_ids_that_occur_twice_are_refused(path):
    with zipfile.ZipFile(path) as archive:
        table = pq.read_table(io.BytesIO(archive.read("corpus.parquet")))
    twins = table.set_column(0, "doc_id", pa.array([7] * table.num_rows, pa.int64()))
    assert "not unique" in refusal(changed(path, corpus__parquet=parquet(twins)))


def test_bombs_are_refused_before_they_unpack(path):
    bomb = json.dumps({"quotes": [], "bullets": [], "x": "0" * 50_000_000}).encode()
    changed(path, distilled__json=bomb)
    assert path.stat().st_size < 200_000
    message = refusal(path, max_bytes=10_000_000)
    assert "max_bytes=" in message
    assert len(read_session(path).corpus) == 4


def test_a_manifest_that_is_far_too_long_is_refused(path):
    changed(path, manifest={"note": "0" * 2_000_000})
    assert "more than the limit of 1,048,576" in refusal(path)


def test_small_tables_that_stand_for_huge_ones_are_refused(path):
    with zipfile.ZipFile(path) as archive:
        table = pq.read_table(io.BytesIO(archive.read("corpus.parquet")))
    n = 20_000
    huge = pa.table(
        {"doc_id": pa.array(range(n)), "text": pa.array(["x" * 10_000] * n, pa.large_string())}
    ).replace_schema_metadata(table.schema.metadata)
    counts = {"documents": n, "set_aside": 0, "concepts": 3, "scores": 6, "attempts": 2, "failures": 1}
    changed(path, corpus__parquet=parquet(huge), manifest={"counts": counts})
    assert path.stat().st_size < 1_000_000
    assert "max_bytes=" in refusal(path, max_bytes=20_000_000)


def test_other_names_in_the_archive_do_not_matter(tmp_path, path):
    changed(path, extra=[("../outside.txt", b"x"), ("/etc/outside", b"x"), ("big", b"0" * 20_000_000)])
    assert len(read_session(path, max_bytes=1_000_000).corpus) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["session.lloom"]
    assert not (tmp_path.parent / "outside.txt").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused(path):
    assert "2 times" in refusal(changed(path, extra=[("codebook.json", b"{}")]))
