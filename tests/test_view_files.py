"""What leaves a view as a file: the page, the table and the JSON; and what they leave out."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.test_view_messages import AnsweredMessage, ask
from tests.view_session import NAN, SCORES, TEXTS, documents, opened
from text_lloom.errors import InputError


class Page:
    """A page as its script reads it: the traits, and the blocks of data by name."""

    def __init__(self, html: bytes | str) -> None:
        self.html = html if isinstance(html, str) else html.decode()
        found = re.findall(
            r"<script type='application/(json|octet-stream;base64)' id='lloom-([^']+)'>(.*?)</script>",
            self.html,
        )
        self.traits: dict[str, Any] = next(json.loads(text) for _, name, text in found if name == "traits")
        self.blobs = {
            name.removeprefix("blob-"): gzip.decompress(base64.b64decode(text))
            for _, name, text in found
            if name.startswith("blob-")
        }

    def block(self, number: int = 0) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.blobs[f"docs-{number}"])
        return content

    def codes(self) -> list[list[int]]:
        n = self.traits["about"]["n_docs"]
        return np.frombuffer(self.blobs["scores"], np.uint8).reshape(-1, n).tolist()


def page_of(session: wb.lloom, folder: Path, **options: Any) -> Page:
    return Page(session.export_html(folder / "page.html", **options).read_bytes())


@pytest.fixture
def session() -> wb.lloom:
    session = opened()
    session._quotes = {"d0": ["nobody tells us why"], "d5": ["my phone and my gym"]}
    session._bullets = {"d0": ["blames the operator"]}
    return session


# --- the page ------------------------------------------------------------------------------------------


def test_a_page_holds_all_documents_with_what_was_judged(session: wb.lloom, tmp_path: Path) -> None:
    page = page_of(session, tmp_path, slice_col="area", title="Buses & fares <2024>")
    block = page.block()
    assert block["ids"] == [f"d{n}" for n in range(8)]
    assert block["texts"] == TEXTS
    assert block["bullets"] == [["blames the operator"], *[[] for _ in range(7)]]
    assert [len(spans) for spans in block["quotes"]] == [1, 0, 0, 0, 0, 1, 0, 0]
    assert block["meta"]["area"] == ["North", "South", "North", "", "North", "South", "South", "North"]
    assert block["meta"]["likes"] == ["0", "10", "20", "30", "", "50", "60", "70"]
    assert block["meta"]["sent"][0] == "2024-05-01"
    late, fares = block["judgements"]
    assert (late["concept"], late["rows"]) == (0, list(range(8)))
    assert (fares["concept"], fares["rows"]) == (1, list(range(7)))
    assert fares["rationales"][:3] == ["Because 0.", "Because 0.", "Because 1."]
    assert fares["unverified"] == [3]
    assert [len(spans) for spans in late["spans"]] == [1, 0, 1, 1, 0, 0, 0, 0]
    assert page.codes() == [[4, 4, 3, 4, 0, 0, 0, 4], [0, 0, 4, 4, 0, 4, 0, 255]]
    assert np.frombuffer(page.blobs["slice_codes"], "<u2").tolist() == [0, 1, 0, 2, 0, 1, 1, 0]
    assert "<title>Buses &amp; fares &lt;2024&gt;</title>" in page.html
    assert page.traits["about"]["title"] == "Buses & fares <2024>"
    assert page.traits["state"] == {"threshold": 1.0, "tab": "matrix"}
    assert {name: page.traits[name] for name in ("protocol", "kind", "editable", "theme")} == {
        "protocol": 1,
        "kind": "view",
        "editable": False,
        "theme": "auto",
    }
    assert (page.traits["progress"], page.traits["notice"]) == (None, None)
    assert "sample" not in page.traits
    local = page.traits["local"]
    assert (local["block"], local["blocks"], local["texts"], local["map"]) == (2000, 1, True, None)
    assert [(column["name"], column["kind"]) for column in local["columns"]] == [
        *(("area", "category"), ("likes", "number"), ("sent", "date"), ("remark", "category")),
        *(("@id", "text"), ("@text", "text")),
    ]
    assert local["columns"][0]["labels"] == ["North", "South"]
    likes = np.frombuffer(page.blobs[local["columns"][1]["blob"]], "<f8")
    np.testing.assert_array_equal(likes, [0, 10, 20, 30, NAN, 50, 60, 70])


def test_a_page_without_text_holds_none(session: wb.lloom, tmp_path: Path) -> None:
    page = page_of(session, tmp_path, include_text=False)
    block = page.block()
    assert (block["texts"], block["bullets"], block["quotes"], block["judgements"]) == (None, None, None, [])
    assert block["meta"]["area"][0] == "North"
    assert page.traits["local"]["texts"] is False
    assert "@text" not in [column["name"] for column in page.traits["local"]["columns"]]
    everything = page.html + "".join(blob.decode("latin-1") for blob in page.blobs.values())
    assert page.codes()[0] == [4, 4, 3, 4, 0, 0, 0, 4]
    assert "Because 1." not in everything
    assert "every single morning" not in "".join(b.decode("latin-1") for b in page.blobs.values())


@pytest.mark.parametrize(
    ("most", "rows"),
    [
        *((1, [0]), (2, [0, 7]), (3, [0, 4, 7]), (7, [0, 1, 2, 4, 5, 6, 7])),
        *((8, list(range(8))), (99, list(range(8)))),
    ],
    ids=str,
)
def test_a_sample_is_evenly_spaced_and_says_so(
    session: wb.lloom, tmp_path: Path, most: int, rows: list[int]
) -> None:
    places = session.map_layout()[["x", "y"]].to_numpy(np.float32)
    page = page_of(session, tmp_path, max_docs=most, slice_col="area")
    about = page.traits["about"]
    assert about["n_docs"] == len(rows)
    assert about["sample"] == (None if most >= 8 else {"shown": most, "of": 8})
    assert page.block()["ids"] == [f"d{row}" for row in rows]
    assert page.codes()[0] == [[4, 4, 3, 4, 0, 0, 0, 4][row] for row in rows]
    assert np.frombuffer(page.blobs["slice_codes"], "<u2").tolist() == [
        [0, 1, 0, 2, 0, 1, 1, 0][r] for r in rows
    ]
    np.testing.assert_array_equal(np.frombuffer(page.blobs["map"], "<f4").reshape(-1, 2), places[rows])
    assert page.traits["local"]["map"] == "map"


def test_a_sample_of_none_is_refused(session: wb.lloom, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_docs"):
        session.export_html(tmp_path / "page.html", max_docs=0)
    assert not (tmp_path / "page.html").exists()


def test_many_documents_come_in_blocks(tmp_path: Path) -> None:
    n = 2001
    frame = pd.DataFrame({"doc_id": range(n), "text": [f"Bus number {i} was late." for i in range(n)]})
    page = page_of(opened({"Late buses": [0.0] * (n - 1) + [1.0]}, {}, frame), tmp_path)
    assert page.traits["local"]["blocks"] == 2
    assert len(page.block(0)["ids"]) == 2000
    assert (page.block(1)["ids"], page.block(1)["texts"]) == (["2000"], ["Bus number 2000 was late."])
    assert page.block(1)["judgements"][0]["rows"] == [0]


def test_a_large_page_is_written_with_a_warning(
    session: wb.lloom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text_lloom.widget.export.LARGE_PAGE", 1000)
    with pytest.warns(UserWarning, match=r"max_docs= for a sample of the 8 documents"):
        session.export_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()


def test_text_cannot_end_the_data_of_a_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>&\u2028"
    session = opened({evil: [1.0] * 8}, {})
    page = page_of(session, tmp_path, title=evil)
    assert page.traits["about"]["title"] == evil
    assert "alert(1)</script>" not in page.html.replace(r"\u003c/script\u003e", "")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page.html)
    assert policy is not None
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert policy[1].count("sha256-") >= 2


def test_the_page_opens_at_the_threshold_it_was_written_with(session: wb.lloom, tmp_path: Path) -> None:
    page = page_of(session, tmp_path, threshold=0.75, cols_to_show=["likes"])
    assert page.traits["state"] == {"threshold": 0.75, "tab": "overview"}
    assert page.traits["about"]["shown_columns"] == ["likes"]


# --- downloads -----------------------------------------------------------------------------------------


def downloaded(session: wb.lloom, kind: str, scope: str, **state: Any) -> AnsweredMessage:
    view = session.vis()
    view.state = state
    reply = ask(view, "export", format=kind, scope=scope)
    assert reply["ok"], reply.content
    return reply


def test_the_table_of_all_documents_has_their_columns_and_scores(session: wb.lloom) -> None:
    reply = downloaded(session, "csv", "all")
    assert (reply["file_name"], reply["mime"]) == ("lloom-documents.csv", "text/csv")
    frame = pd.read_csv(io.BytesIO(reply.buffers[0]))
    assert list(frame.columns) == [*documents().columns, "Late buses", "High fares"]
    assert frame["text"].tolist() == TEXTS
    np.testing.assert_array_equal(frame["High fares"], SCORES["High fares"])


def test_the_table_of_a_selection_has_its_documents_in_its_order(session: wb.lloom) -> None:
    late = next(iter(session.concepts))
    reply = downloaded(session, "csv", "selection", concept=late, doc_sort={"by": "id", "descending": True})
    assert reply["file_name"] == "lloom-selection.csv"
    frame = pd.read_csv(io.BytesIO(reply.buffers[0]), keep_default_na=False)
    assert frame["doc_id"].tolist() == ["d7", "d3", "d1", "d0"]
    assert list(frame.columns)[-2:] == ["rationale", "highlight"]
    assert frame["highlight"].tolist()[-1] == "bus is late every single morning 😀"


def test_the_json_of_a_selection_has_concepts_and_documents(session: wb.lloom) -> None:
    late, fares = session.concepts.values()
    reply = downloaded(session, "json", "selection", concept=fares.id, doc_sort={"by": "row"})
    assert (reply["file_name"], reply["mime"]) == ("lloom-selection.json", "application/json")
    content = json.loads(reply.buffers[0])
    assert [concept["id"] for concept in content["concepts"]] == [late.id, fares.id]
    assert [document["id"] for document in content["documents"]] == ["d2", "d3", "d5"]
    first = content["documents"][0]
    assert first["text"] == TEXTS[2]
    assert first["metadata"]["likes"] == "20"
    assert first["scores"] == [
        {"concept_id": late.id, "score": 0.75, "rationale": "Because 0.75.", "highlight": "the bus is late"},
        {
            "concept_id": fares.id,
            "score": 1.0,
            "rationale": "Because 1.",
            "highlight": "Café prices went up 👩‍👩‍👧",
        },
    ]
    whole = downloaded(session, "json", "all")
    assert whole["file_name"] == "lloom-documents.json"
    documents_ = json.loads(whole.buffers[0])["documents"]
    assert len(documents_) == 8
    assert [score["concept_id"] for score in documents_[7]["scores"]] == [late.id], "one was not scored"


def test_a_page_of_a_selection_is_a_sample_in_the_order_of_the_corpus(session: wb.lloom) -> None:
    late = next(iter(session.concepts))
    state = {"concept": late, "document": 3, "doc_sort": {"by": "id", "descending": True}}
    reply = downloaded(session, "html", "selection", **state)
    assert (reply["file_name"], reply["mime"]) == ("lloom-view.html", "text/html")
    page = Page(reply.buffers[0])
    assert page.block()["ids"] == ["d0", "d1", "d3", "d7"]
    assert page.traits["about"]["sample"] == {"shown": 4, "of": 8}
    assert "document" not in page.traits["state"], "rows of a sample are others"
    assert page.traits["state"]["concept"] == late
    whole = Page(downloaded(session, "html", "all", **state).buffers[0])
    assert whole.traits["state"]["document"] == 3
    assert whole.traits["about"]["sample"] is None
