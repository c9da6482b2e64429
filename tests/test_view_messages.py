"""What a view is sent and answered: traits, pages, documents, searches, edits; from any thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.view_session import NAN, QUOTES, TEXTS, documents, opened
from text_lloom.quotes import Span
from text_lloom.widget.download import File
from text_lloom.widget.folding import find_hits, fold
from text_lloom.widget.spans import excerpt, merge_spans, utf16_spans
from text_lloom.widget.view import ConceptView


class AnsweredMessage(Mapping[str, Any]):
    """The reply to a message, with its buffers."""

    def __init__(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.content, self.buffers = content, buffers

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __iter__(self) -> Any:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)


def ask(view: ConceptView, kind: str, timeout: float = 30.0, **arguments: Any) -> AnsweredMessage:
    """Send a message as a front end does and wait for its reply."""
    arrived, replies = threading.Event(), []

    def send(content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        replies.append(AnsweredMessage(json.loads(json.dumps(content, allow_nan=False)), buffers or []))
        arrived.set()

    view.send = send
    view._handle_custom_msg({"id": "q-1", "kind": kind, **arguments}, [])
    assert arrived.wait(timeout), f"{kind} was not answered"
    [reply] = replies
    assert reply["id"] == "q-1"
    return reply


def as_javascript(text: str, span: list[int]) -> str:
    """A part of a text as JavaScript cuts it."""
    units = text.encode("utf-16-le")
    return units[2 * span[0] : 2 * span[1]].decode("utf-16-le")


# --- traits --------------------------------------------------------------------------------------------


def test_scores_are_sent_as_codes_concept_by_concept() -> None:
    view = opened().vis(slice_col="area")
    codes = np.frombuffer(view.scores, np.uint8).reshape(2, 8)
    assert codes.tolist() == [[4, 4, 3, 4, 0, 0, 0, 4], [0, 0, 4, 4, 0, 4, 0, 255]]
    members = np.frombuffer(view.slice_codes, "<u2")
    labels = view.slices["labels"]
    assert [labels[i] for i in members] == [
        *("North", "South", "North", "missing", "North", "South", "South", "North")
    ]
    assert [concept["id"] for concept in view.concepts] == view.score_ids
    assert view.about["columns"] == [
        {"name": "area", "kind": "category", "labels": ["North", "South"]},
        {"name": "likes", "kind": "number"},
        {"name": "sent", "kind": "date"},
        {"name": "remark", "kind": "category", "labels": [f"Remark number {n}" for n in range(8)]},
    ]


def test_scores_of_another_criterion_do_not_show_until_it_is_undone() -> None:
    session = opened()
    view = session.vis()
    [late, fares] = view.score_ids
    session.change_criteria("Late buses", "Does the text say that buses run late?")
    assert view.score_ids == [fares]
    assert len(view.scores) == 8
    shown = {concept["id"]: concept for concept in view.concepts}
    assert (shown[late]["stale"], shown[late]["scored"]) == (True, False)
    assert ask(view, "estimate", concept_ids=[late])["n_docs"] == 8
    session.undo()
    assert view.score_ids == [late, fares]
    assert not any(concept["stale"] for concept in view.concepts)


def test_what_is_sent_for_many_documents_stays_small() -> None:
    n = 5000
    frame = pd.DataFrame(
        {"doc_id": range(n), "text": [f"The bus {i} was late again. " * 9 for i in range(n)]}
    )
    session = opened({f"Concept {c}": [1.0] * n for c in range(4)}, {}, frame)
    view = session.vis()
    state = view.get_state()
    sent = {
        key: value if isinstance(value, bytes) else json.dumps(value).encode()
        for key, value in state.items()
        if not key.startswith("_") and key not in ("layout", "comm")
    }
    assert len(sent["scores"]) == 4 * n
    assert sum(len(value) for name, value in sent.items() if name != "scores") < 300_000
    assert len(sent["sample"]) < 260_000


# --- pages and documents -------------------------------------------------------------------------------


def test_highlights_and_hits_are_counted_as_javascript_does() -> None:
    view = opened().vis()
    [late, fares] = view.score_ids
    rows = ask(view, "rows", rows=[3, 0, 2], concept=late, query="BUS")["rows"]
    assert [row["row"] for row in rows] == [3, 0, 2]
    marked = [[as_javascript(row["text"], span) for span in row["spans"]] for row in rows]
    assert marked == [
        ["خط الحافلات متأخر دائمًا"],
        ["bus is late every single morning 😀"],
        ["the bus is late"],
    ]
    hits = [[as_javascript(row["text"], span) for span in row["hits"]] for row in rows]
    assert hits == [[], ["bus"], ["bus", "bus"]]
    assert rows[1]["rationale"] == "Because 1."
    assert rows[2]["meta"] == {
        "area": "North",
        "likes": "20",
        "sent": "2024-05-03",
        "remark": "Remark number 2",
    }
    [family] = ask(view, "rows", rows=[2], concept=fares)["rows"]
    assert as_javascript(family["text"], family["spans"][0]) == QUOTES["High fares"][2]
    [arabic] = ask(view, "rows", rows=[3], concept=fares)["rows"]
    assert (arabic["spans"], arabic["verified"]) == ([], False)


def test_a_long_text_is_cut_around_what_is_marked_in_it() -> None:
    words = [f"word{n}😀" for n in range(2000)]
    words[1500] = "HERE it stands 👩‍👩‍👧"
    frame = documents().assign(text=[" ".join(words), *TEXTS[1:]])
    view = opened({"Long": [1] * 8}, {"Long": ["HERE it stands 👩‍👩‍👧"]}, frame).vis()
    [row] = ask(view, "rows", rows=[0], concept=view.score_ids[0])["rows"]
    assert row["cut"]
    assert 500 < len(row["text"]) < 700
    assert as_javascript(row["text"], row["spans"][0]) == "HERE it stands 👩‍👩‍👧"
    assert row["text"].startswith("word")
    whole = ask(view, "document", row=0)["document"]
    assert whole["text"] == frame["text"][0]
    assert as_javascript(whole["text"], whole["scores"][0]["spans"][0]) == "HERE it stands 👩‍👩‍👧"


def test_a_whole_document_has_every_score() -> None:
    session = opened()
    session._quotes["d2"] = ["the bus is late, too", "Café prices"]
    session._bullets["d2"] = ["prices up", "bus late"]
    view = session.vis()
    document = ask(view, "document", row=2, query="café")["document"]
    assert [(s["concept_id"], s["score"]) for s in document["scores"]] == list(
        zip(view.score_ids, [0.75, 1.0], strict=True)
    )
    assert [as_javascript(document["text"], span) for span in document["quotes"]] == [
        "Café prices",
        "the bus is late, too",
    ]
    assert [as_javascript(document["text"], span) for span in document["hits"]] == ["Café"]
    assert document["bullets"] == ["prices up", "bus late"]
    unscored = ask(view, "document", row=7)["document"]["scores"]
    assert [s["score"] for s in unscored] == [1.0, None]


def test_half_a_character_keeps_its_place() -> None:
    frame = documents()
    frame["text"] = pd.Series(["half \ud83d then the bus 😀 came", *TEXTS[1:]], dtype=object)
    view = opened({"Bus": [1] * 8}, {"Bus": ["the bus 😀"]}, frame).vis()
    [row] = ask(view, "rows", rows=[0], concept=view.score_ids[0])["rows"]
    assert row["text"] == "half \ufffd then the bus 😀 came"
    assert as_javascript(row["text"], row["spans"][0]) == "the bus 😀"


awkward = st.text(st.sampled_from(list("ab 😀👩\u200dé\u0301\u05d0İßﬁ\n\u1100\u1161")), max_size=60)


@settings(max_examples=200, deadline=None)
@given(text=awkward, bounds=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4))
def test_spans_in_utf_16_mark_the_same_text(text: str, bounds: list[tuple[int, int]]) -> None:
    spans = merge_spans(Span(*sorted((min(a, len(text)), min(b, len(text))))) for a, b in bounds)
    counted = utf16_spans(text, spans)
    assert [as_javascript(text, span) for span in counted] == [text[a:b] for a, b in spans]
    part = excerpt(text, spans, longest=20)
    for span, (a, b) in zip(
        utf16_spans(text, spans, part),
        [(max(a, part.start), min(b, part.end)) for a, b in spans if a < part.end and b > part.start],
        strict=True,
    ):
        assert as_javascript(text[part.start : part.end], span) == text[a:b]


@settings(max_examples=200, deadline=None)
@given(text=awkward, query=awkward.filter(lambda query: fold(query)))
def test_a_hit_is_a_place_where_the_folded_query_stands(text: str, query: str) -> None:
    hits = find_hits(query, text)
    assert all(fold(query).strip() in fold(text[a:b]) for a, b in hits)
    assert hits == merge_spans(hits)


def test_search_finds_rows_in_any_spelling() -> None:
    view = opened().vis()
    found = np.frombuffer(ask(view, "search", query="  CAFE\u0301 PRICES ").buffers[0], "<u4")
    assert found.tolist() == [2]
    assert len(np.frombuffer(ask(view, "search", query=" ").buffers[0], "<u4")) == 8


def test_a_long_export_is_told_to_be_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    told, seen, done = [], threading.Event(), threading.Event()
    view = opened().vis()

    def send(content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        told.append(content)
        (done if "ok" in content else seen).set()

    def slow(*_: Any, **__: Any) -> Any:
        assert seen.wait(30), "nothing was said while the file was made"
        return File("study.html", "text/html", b"<html>")

    monkeypatch.setattr("text_lloom.widget.view._STILL_WORKING_INTERVAL", 0.01)
    monkeypatch.setattr("text_lloom.widget.download.download", slow)
    view.send = send
    view._handle_custom_msg({"id": "q-1", "kind": "export", "format": "html", "scope": "all"}, [])
    assert done.wait(30)
    assert told[0] == {"id": "q-1", "pending": True}
    [answer] = [content for content in told if "ok" in content]
    assert (answer["ok"], answer["file_name"]) == (True, "study.html")


def test_columns_are_sent_as_numbers_labels_or_ranks() -> None:
    view = opened().vis()
    likes = np.frombuffer(ask(view, "column", name="likes").buffers[0], "<f8")
    np.testing.assert_array_equal(likes, [0, 10, 20, 30, NAN, 50, 60, 70])
    sent = np.frombuffer(ask(view, "column", name="sent").buffers[0], "<f8")
    assert sent[0] == pd.Timestamp("2024-05-01").timestamp() * 1000
    assert np.isnan(sent[7])
    area = ask(view, "column", name="area")
    assert (area["kind"], area["labels"]) == ("category", ["North", "South"])
    assert np.frombuffer(area.buffers[0], "<u2").tolist() == [0, 1, 0, 65535, 0, 1, 1, 0]
    ranks = np.frombuffer(ask(view, "column", name="@text").buffers[0], "<u4")
    assert sorted(range(8), key=lambda row: ranks[row]) == sorted(range(8), key=lambda row: fold(TEXTS[row]))


def test_the_map_is_the_same_each_time_and_comes_with_the_session(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import text_lloom.workbench as wb
    from tests.view_session import LOCAL

    monkeypatch.setattr("text_lloom.widget.handlers._LAYOUT_TIMEOUT", 120.0)
    session = opened()
    reply = ask(session.vis(), "map")
    places = np.frombuffer(reply.buffers[0], "<f4").reshape(-1, 2)
    assert reply["ready"]
    assert np.nanmax(np.abs(places)) <= 1
    np.testing.assert_array_equal(places, opened().map_layout()[["x", "y"]].to_numpy())
    again = wb.load(session.save(tmp_path, "s"), **LOCAL)
    assert again._layout is not None
    np.testing.assert_array_equal(again._layout, places)


def test_a_map_that_takes_long_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    session, go_on = opened(), threading.Event()
    view, lay_out = session.vis(), session._lay_out

    def slow() -> Any:
        assert go_on.wait(30)
        return lay_out()

    monkeypatch.setattr(session, "_lay_out", slow)
    monkeypatch.setattr("text_lloom.widget.handlers._LAYOUT_TIMEOUT", 0.05)
    reply = ask(view, "map")
    assert (reply["ready"], reply["pending"]) == (False, True)
    go_on.set()
    monkeypatch.setattr("text_lloom.widget.handlers._LAYOUT_TIMEOUT", 30.0)
    assert ask(view, "map")["ready"]


# --- answers that say what is wrong --------------------------------------------------------------------

WRONG = {
    "kind": ({"kind": "roows"}, "Did you mean 'rows'"),
    "no-kind": ({}, "Unknown kind of message"),
    "row": ({"kind": "rows", "rows": [8], "concept": None}, "no document in row 8"),
    "row-text": ({"kind": "document", "row": "3"}, "no document in row '3'"),
    "row-true": ({"kind": "document", "row": True}, "no document in row True"),
    "too-many": ({"kind": "rows", "rows": [0] * 1001, "concept": None}, "at most 1,000"),
    "column": ({"kind": "column", "name": "lieks"}, "Did you mean 'likes'"),
    "query": ({"kind": "search"}, "query must be text"),
    "matching": ({"kind": "matching", "name": "remrak", "contains": "4"}, "Did you mean 'remark'"),
    "matching-number": ({"kind": "matching", "name": "remark", "contains": 4}, "must be text"),
    "edit": ({"kind": "edit", "action": "renam"}, "Did you mean 'rename'"),
    "concept": (
        {"kind": "edit", "action": "rename", "concept_id": "x", "name": "y"},
        "Unknown concept 'x'",
    ),
    "name": ({"kind": "edit", "action": "add", "name": " ", "criteria": "?"}, "needs a name"),
    "merge": (
        {"kind": "edit", "action": "merge", "concept_ids": [], "name": "a", "criteria": "b"},
        "at least two",
    ),
    "verdict": (
        {"kind": "edit", "action": "label", "row": 0, "verdict": "good"},
        "'right', 'wrong', 'unsure'|right",
    ),
    "format": ({"kind": "export", "format": "xls", "scope": "all"}, "csv"),
    "cancel": ({"kind": "cancel"}, "no scoring under way"),
}


@pytest.mark.parametrize(("request_", "told"), WRONG.values(), ids=WRONG)
def test_a_bad_message_is_answered_with_what_is_wrong(request_: dict[str, Any], told: str) -> None:
    session = opened()
    view = session.vis()
    before = session.concepts.to_json()
    reply = ask(view, request_.pop("kind", None), **request_)
    assert not reply["ok"]
    assert any(part in reply["error"] for part in told.split("|"))
    assert session.concepts.to_json() == before


def test_an_error_that_nobody_foresaw_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened()
    view = session.vis()
    monkeypatch.setattr(session, "rename", lambda *_: 1 / 0)
    reply = ask(view, "edit", action="rename", concept_id=view.score_ids[0], name="x")
    assert (reply["ok"], reply["error"]) == (False, "ZeroDivisionError: division by zero")


# --- edits ---------------------------------------------------------------------------------------------


def test_edits_of_the_view_and_of_the_session_are_one_history() -> None:
    session = opened()
    view = session.vis()
    [late, fares] = view.score_ids
    assert ask(view, "edit", action="rename", concept_id=late, name="Buses late")["ok"]
    session.change_criteria(fares, "Does the text say that fares are high?", note="clearer")
    [added] = ask(view, "edit", action="add", name="Cycling", criteria="Is it about bikes?")["concept_ids"]
    [merged] = ask(
        view, "edit", action="merge", concept_ids=[fares, added], name="Both", criteria="Is it one of both?"
    )["concept_ids"]
    assert [event["text"] for event in view.history["events"]][2:] == [
        "Rename “Late buses” to “Buses late”",
        "Change the criterion of “High fares” (clearer)",
        "Add “Cycling”",
        "Merge “High fares” and “Cycling” into “Both”",
    ]
    assert [concept["name"] for concept in view.concepts] == ["Buses late", "Both"]
    assert session.concepts[merged].merged_from == [fares, added]
    assert view.history["undo"] == "Merge “High fares” and “Cycling” into “Both”"
    assert ask(view, "edit", action="undo")["ok"]
    assert view.history["redo"] == "Merge “High fares” and “Cycling” into “Both”"
    session.redo()
    assert [concept["name"] for concept in view.concepts] == ["Buses late", "Both"]
    assert ask(view, "edit", action="remove", concept_ids=[late, merged])["ok"]
    assert view.concepts == []
    session.undo()
    assert [concept["name"] for concept in view.concepts] == ["Buses late", "Both"]


def test_a_split_is_proposed_and_then_made() -> None:
    texts = [
        *(f"The bus to the station was late {n} minutes in the rain again." for n in (5, 9, 12, 20, 31)),
        *(f"A monthly ticket costs {n} pounds, the fares went up." for n in (40, 50, 61, 70, 99)),
    ]
    frame = pd.DataFrame({"doc_id": range(10), "text": texts})
    session = opened({"Transport": [1] * 10}, {}, frame)
    view = session.vis()
    [whole] = view.score_ids
    parts = ask(view, "split", concept_id=whole)["parts"]
    assert parts == ask(view, "split", concept_id=whole)["parts"], "the same each time"
    assert sorted(part["n"] for part in parts) == [5, 5]
    assert {frozenset(row < 5 for row in part["rows"]) for part in parts} == {
        frozenset([True]),
        frozenset([False]),
    }
    assert len(session.concepts) == 1, "proposing changes nothing"
    made = ask(view, "edit", action="split", concept_id=whole, parts=parts)["concept_ids"]
    assert [session.concepts[i].name for i in made] == [part["name"] for part in parts]
    assert session.concepts[made[0]].example_ids == parts[0]["rows"]
    assert list(session.concepts) == made


def test_choosing_concepts_chooses_what_is_scored() -> None:
    session = opened()
    view = session.select()
    [late, fares] = view.score_ids
    assert view.chosen == [late, fares]
    view.set_state({"chosen": [fares]})
    assert [concept.id for concept in session.concepts.active] == [fares]
    session.select("Late buses")
    assert view.chosen == [late]
    assert ask(view, "edit", action="choose", concept_ids=[])["ok"]
    assert session.concepts.active == []


def test_labels_reach_the_session_and_every_view() -> None:
    session = opened()
    view, other = session.vis(), session.vis(slice_col="area")
    late = view.score_ids[0]
    for row, verdict in ((0, "right"), (1, "wrong"), (2, "unsure")):
        assert ask(
            view, "edit", action="label", row=row, concept_id=late, verdict=verdict, note=f"note {row}"
        )["ok"]
    labels = session.labels()
    assert labels["doc_id"].tolist() == ["d0", "d1", "d2"]
    assert labels["verdict"].tolist() == ["right", "wrong", "unsure"]
    assert labels["score"].tolist() == [1.0, 1.0, 0.75]
    assert [label["note"] for label in other.labels] == ["note 0", "note 1", "note 2"]
    [row] = session.agreement().to_dict("records")
    assert (row["n_right"], row["n_wrong"], row["n_unsure"], row["agreement"], row["is_small"]) == (
        *(1, 1, 1, 0.5),
        True,
    )
    assert ask(view, "edit", action="label", row=1, concept_id=late, verdict=None, note="")["ok"]
    assert len(session.labels()) == 2


# --- threads -------------------------------------------------------------------------------------------


def test_questions_on_other_threads_are_answered_while_concepts_change() -> None:
    session = opened()
    view = session.vis()
    late, done = view.score_ids[0], threading.Event()
    problems: list[object] = []

    def change() -> None:
        for n in range(30):
            session.rename(late, f"Name {n}")
            session.change_criteria(late, f"Criterion {n}?")
            session.undo()
        done.set()

    def read() -> None:
        from text_lloom.widget.handlers import RequestContext, answer

        while not done.is_set():
            context = RequestContext(view.snapshot, dict(view.state), session._host, view._options, "l.vis()")
            for kind, arguments in (
                ("rows", {"rows": [0, 1, 2], "concept": late}),
                ("document", {"row": 2}),
                ("search", {"query": "bus"}),
                ("matching", {"name": "remark", "contains": "number"}),
                ("column", {"name": "area"}),
                ("python", {}),
            ):
                reply = answer({"id": 1, "kind": kind, **arguments}, context)
                if not reply.content["ok"]:
                    problems.append(reply.content)

    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(change), pool.submit(read), pool.submit(read)]
        for each in work:
            each.result(timeout=60)
    assert problems == []
    assert session.concepts[late].name == "Name 29"
    assert view.concepts[0]["name"] == "Name 29"
