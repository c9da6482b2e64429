"""The standalone page and the fallback in a browser: the same documents, no request, nothing that runs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.browser import PATIENCE_MS
from tests.view_session import LOCAL, NAN, TEXTS, documents, opened
from text_lloom.errors import FileProblem, InputError
from text_lloom.quotes import locate_quote
from text_lloom.scores import Judgement
from text_lloom.widget.export import LARGE_PAGE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OPEN = Callable[[Path], "Page"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OPEN]:
    """Opens a file; afterwards it must have had no error and asked for nothing but itself."""
    pages: list[tuple[Page, list[str], list[str]]] = []

    def opened_page(path: Path) -> Page:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))
        pages.append((page, errors, asked))
        page.goto(path.as_uri())
        return page

    yield opened_page
    for page, errors, asked in pages:
        page.close()
        assert errors == []
        assert [url for url in asked if not url.startswith(("file://", "blob:", "data:"))] == []
        assert len(asked) == 1


def blob(page: str, name: str) -> bytes:
    """A block of data of a page, unpacked."""
    found = re.search(rf"id='lloom-blob-{name}'>([^<]*)</script>", page)
    assert found, name
    return gzip.decompress(base64.b64decode(found[1]))


def traits(page: str) -> dict[str, Any]:
    found = re.search(r"id='lloom-traits'>([^<]*)</script>", page)
    assert found
    parsed: dict[str, Any] = json.loads(found[1])
    return parsed


# --- what is in the file -------------------------------------------------------------------------------


def test_a_page_holds_the_documents_once_and_says_what_may_run(tmp_path: Path) -> None:
    session = opened()
    session.map_layout()
    page = session.export_html(tmp_path / "page.html", slice_col="area", title="A <b> study").read_text(
        "utf-8"
    )
    content = traits(page)
    assert (content["editable"], content["about"]["title"]) == (False, "A <b> study")
    assert "<title>A &lt;b&gt; study</title>" in page
    block = json.loads(blob(page, "docs-0"))
    assert block["texts"] == TEXTS
    assert block["meta"]["likes"] == ["0", "10", "20", "30", "", "50", "60", "70"]
    fares = next(told for told in block["judgements"] if told["concept"] == 1)
    assert fares["rows"] == [0, 1, 2, 3, 4, 5, 6], "the last one is not scored"
    assert fares["unverified"] == [3]
    assert np.frombuffer(blob(page, "scores"), np.uint8).reshape(2, 8)[1].tolist() == [
        0,
        0,
        4,
        4,
        0,
        4,
        0,
        255,
    ]
    assert len(blob(page, "map")) == 8 * 8
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    [script] = re.findall(r"<script type='module'>(.*?)</script>", page, re.S)
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    for kind, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy.split(kind)[1].split(";")[0]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "connect-src" not in policy


def test_equal_sessions_make_equal_pages_but_for_the_time(tmp_path: Path) -> None:
    one, other = (
        re.sub(r'"(made_at|at)":"[^"]*"', "", opened().export_html(tmp_path / name).read_text("utf-8"))
        for name in ("a.html", "b.html")
    )
    assert one == other


def test_a_page_can_be_a_sample_or_leave_the_texts_out(tmp_path: Path) -> None:
    session = opened()
    page = session.export_html(tmp_path / "sample.html", max_docs=3, slice_col="area").read_text("utf-8")
    assert traits(page)["about"]["sample"] == {"shown": 3, "of": 8}
    assert json.loads(blob(page, "docs-0"))["ids"] == ["d0", "d4", "d7"]
    assert np.frombuffer(blob(page, "scores"), np.uint8).reshape(2, 3)[0].tolist() == [4, 0, 4]
    bare = session.export_html(tmp_path / "bare.html", include_text=False).read_text("utf-8")
    block = json.loads(blob(bare, "docs-0"))
    assert block["texts"] is None
    assert block["judgements"] == []
    assert not any(text[:20] in bare for text in TEXTS)
    with pytest.raises(InputError, match="max_docs=0"):
        session.export_html(tmp_path / "x.html", max_docs=0)
    with pytest.raises(InputError, match="Nothing is scored yet"):
        opened({}).export_html(tmp_path / "x.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem, match="cannot be written"):
        session.export_html(tmp_path / "file" / "page.html")


def test_a_large_page_is_written_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LARGE_PAGE == 50_000_000
    monkeypatch.setattr("text_lloom.widget.export.LARGE_PAGE", 1000)
    with pytest.warns(UserWarning, match=r"max_docs=.*include_text=False"):
        opened().export_html(tmp_path / "large.html")


# --- in a browser --------------------------------------------------------------------------------------


def row_ids(page: Page, n: int) -> list[str]:
    """Ids of the first documents listed."""
    page.wait_for_selector(".lloom-row-id")
    ids = [text.strip() for text in page.locator(".lloom-row-id").all_inner_texts()]
    return ids[:n]


STATES: dict[str, dict[str, Any]] = {
    "concept": {"concept": 0},
    "threshold": {"concept": 0, "threshold": 0.75},
    "cell": {"concept": 0, "slice": 0},
    "non-matches": {"concept": 1, "show": "non-matches"},
    "outliers": {"concept": "outliers"},
    "also": {"concept": 0, "also": [1]},
    "query": {"query": "BUS is  late"},
    "query-folded": {"query": "strasse"},
    "query-rtl": {"query": "الحافلات"},
    "columns": {"columns": {"area": {"values": ["South", None]}, "likes": {"min": 20}}},
    "contains": {"columns": {"remark": {"contains": "NUMBER  6"}}},
    "contains-number": {"columns": {"likes": {"contains": "0", "max": 20}, "area": {"contains": "TH"}}},
    "contains-nothing": {"columns": {"area": {"contains": " \n"}}},
    "text-values": {"columns": {"remark": {"values": ["Remark number 4", None]}}},
    "dates": {"columns": {"sent": {"max": 1714694400000}}},
    "sorted": {"doc_sort": {"by": "column:likes", "descending": True}},
    "by-text": {"doc_sort": {"by": "text"}},
    "lasso": {"lasso": [[-2, -2], [0, -2], [0, 2], [-2, 2]]},
    "not-scored": {"concept": 1, "show": "all", "scores": [None]},
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_page_selects_what_python_selects(state: dict[str, Any], open_page: OPEN, tmp_path: Path) -> None:
    session = opened()
    session.map_layout()
    view = session.vis(slice_col="area")
    ids = view.score_ids
    if isinstance(state.get("concept"), int):
        state = {**state, "concept": ids[state["concept"]]}
    view.state = {**state, "also": [ids[i] for i in state.get("also", ())], "tab": "matrix"}
    selected = view.selected()["doc_id"].tolist()
    page = open_page(view.to_html(tmp_path / "page.html"))
    page.wait_for_function(
        "n => document.querySelector('.lloom-documents-title')?.textContent.startsWith(`${n} of 8`)",
        arg=len(selected),
    )
    if selected:
        assert row_ids(page, len(selected)) == selected


def test_a_page_opens_whole_documents(open_page: OPEN, tmp_path: Path) -> None:
    view = opened().vis()
    view.state = {"concept": view.score_ids[1], "document": 2}
    page = open_page(view.to_html(tmp_path / "page.html"))
    page.wait_for_selector(".lloom-pane-text")
    assert page.locator(".lloom-pane-text").inner_text() == TEXTS[2]
    assert page.locator(".lloom-pane-text mark").all_inner_texts() == ["Café prices went up 👩‍👩‍👧"]


# --- hostile text --------------------------------------------------------------------------------------

ATTACKS = [
    "<script>window.__ran = 1</script>",
    "<img src=x onerror=\"window.__ran = 'img'\">",
    "</script><script>window.__ran = 2</script>",
    "\"><svg onload='window.__ran = 3'></svg>",
    '<a href="javascript:window.__ran = 4">click</a>',
    "<style>body{display:none}</style><!-- ",
    "']]>\u2028--></style></title><iframe srcdoc='<script>parent.__ran = 5</script>'></iframe>",
    "{{constructor.constructor('window.__ran = 6')()}} ${window.__ran = 7} %3Cscript%3E",
]
MADE = "iframe, img, object, embed, [onerror], [onload], [href^='javascript']"
SAFE = f"""() => ({{
    ran: window.__ran ?? null,
    hidden: getComputedStyle(document.body).display === 'none',
    made: document.querySelectorAll("{MADE}").length,
}})"""


def hostile_session() -> wb.lloom:
    """A session of which every text, id, name, criterion, value and column name is an attack."""
    n = len(ATTACKS)
    frame = pd.DataFrame(
        {
            f"id {ATTACKS[0]}": [f"{number} {attack}" for number, attack in enumerate(ATTACKS)],
            f"text {ATTACKS[1]}": [f"The bus is late {attack} and wet." for attack in ATTACKS],
            ATTACKS[2]: [*ATTACKS[:2], *ATTACKS[:2], *ATTACKS[2:6]],
            f"number {ATTACKS[3]}": range(n),
        }
    )
    text_col, id_col = frame.columns[1], frame.columns[0]
    session = wb.lloom(frame, text_col, id_col, **LOCAL)
    for number, attack in enumerate(ATTACKS):
        concept = session.concepts.add(
            f"Name {attack}", f"Criterion {attack}", active=True, seed=attack, note=attack,
            example_ids=session.corpus.ids[:3],
        )  # fmt: skip
        concept.summary = f"Summary {attack}"
        for row, text in enumerate(session.corpus.texts):
            quote = locate_quote(text[4:-3] if row % 2 else f"made up {attack}", text)
            score = 1.0 if (row + number) % 2 else 0.5
            judgement = Judgement(score, f"Rationale {attack}", quote.text, quote.match, quote.claimed)
            session.table.put(concept, session.corpus.ids[row], judgement)
        session._bullets[session.corpus.ids[number]] = [attack]
        session._quotes[session.corpus.ids[number]] = [attack]
    session.label(session.corpus.ids[1], session.concepts.active[0].id, "wrong", ATTACKS[1])
    return session


def test_hostile_text_is_shown_as_text_in_a_page(open_page: OPEN, tmp_path: Path) -> None:
    session = hostile_session()
    session.map_layout()
    column = session.corpus.metadata_cols[0]
    view = session.vis(slice_col=column, cols_to_show=session.corpus.metadata_cols)
    concept = view.score_ids[0]
    view.state = {"concept": concept, "tab": "matrix", "document": 1, "query": "<img"}
    page = open_page(view.to_html(tmp_path / "page.html"))
    page.wait_for_selector(".lloom-pane-text")
    seen = page.inner_text("body")
    for tab in ("overview", "map", "overlap", "select", "history"):
        page.click(f"[data-tab={tab}]")
        page.wait_for_timeout(150)
        seen += page.inner_text("body")
    assert page.evaluate(SAFE) == {"ran": None, "hidden": False, "made": 0}
    for attack in ATTACKS:
        shown = " ".join(attack.split())
        assert f"Name {shown}" in " ".join(seen.split()), "names are shown as they are"
    assert f"The bus is late {ATTACKS[1]} and wet." in seen


def test_hostile_text_is_shown_as_text_in_a_saved_notebook(open_page: OPEN, tmp_path: Path) -> None:
    session = hostile_session()
    column = session.corpus.metadata_cols[0]
    for number, view in enumerate((session.vis(slice_col=column), session.select())):
        html = view._repr_mimebundle_()[0]["text/html"]
        assert len(html) < 200_000
        file = tmp_path / f"notebook-{number}.html"
        file.write_text(f"<!doctype html><meta charset=utf-8><body>{html}</body>", encoding="utf-8")
        page = open_page(file)
        assert page.evaluate(SAFE) == {"ran": None, "hidden": False, "made": 0}
        seen = " ".join(page.inner_text("body").split())
        assert all(f"Name {' '.join(attack.split())}" in seen for attack in ATTACKS)


def test_a_page_without_scripts_shows_the_matrix(browser: Browser, tmp_path: Path) -> None:
    path = opened().export_html(tmp_path / "page.html", slice_col="area")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    seen = page.inner_text("body")
    assert "Late buses" in seen
    assert "North" in seen
    context.close()


def test_documents_and_metadata_of_every_kind_are_read(open_page: OPEN, tmp_path: Path) -> None:
    frame = documents().assign(
        money=[1.5, 2.25, NAN, 1e9, -3, 0, 7, 8],
        flag=[True, False] * 4,
        when=pd.date_range("2024-01-01", periods=8, tz="Europe/Berlin"),
        lists=[[1, 2]] * 8,
    )
    view = opened(frame=frame).vis(cols_to_show=["money", "flag", "when", "lists"])
    assert [column["kind"] for column in view.about["columns"]] == [
        *("category", "number", "date", "category", "number", "category", "date", "category")
    ]
    page = open_page(view.to_html(tmp_path / "page.html"))
    page.wait_for_selector(".lloom-root")
