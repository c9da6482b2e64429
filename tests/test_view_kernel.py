"""The built view over a real session: what Python sends is shown, and both sides agree on selections."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import ORIGIN, PATIENCE_MS, serve_view
from tests.test_view_matrix import listed, shown_rows
from tests.test_view_messages import ask
from tests.view_session import TEXTS, opened
from text_lloom.widget.view import ConceptView

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Joined = Callable[[ConceptView], "Page"]


def _sent(view: ConceptView) -> dict[str, dict[str, Any]]:
    """The traits of a view as they travel."""
    traits = {name: getattr(view, name) for name in view.traits(sync=True) if not name.startswith("_")}
    traits = {
        name: value for name, value in traits.items() if isinstance(value, (dict, list, str, int, bytes))
    }
    packed = {n: base64.b64encode(v).decode() for n, v in traits.items() if isinstance(v, bytes)}
    plain = {n: v for n, v in traits.items() if not isinstance(v, bytes) and n not in ("layout", "tabbable")}
    return {"json": json.loads(json.dumps(plain)), "bytes": packed}


@pytest.fixture
def join(browser: Browser) -> Iterator[Joined]:
    """Shows a view in a page that talks to it."""
    pages: list[tuple[Page, list[str]]] = []

    def show(view: ConceptView) -> Page:
        def answer(message: dict[str, Any]) -> dict[str, Any]:
            kind = message.pop("kind")
            reply = ask(view, kind, **{name: value for name, value in message.items() if name != "id"})
            buffers = [base64.b64encode(buffer).decode() for buffer in reply.buffers]
            return {"content": reply.content, "buffers": buffers, "traits": _sent(view)}

        def written(state: dict[str, Any], chosen: list[str]) -> None:
            view.set_trait("state", state)
            view.set_trait("chosen", chosen)

        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append((page, errors))
        serve_view(page)
        page.expose_function("pythonTraits", lambda: _sent(view))
        page.expose_function("pythonAnswer", answer)
        page.expose_function("pythonWritten", written)
        page.goto(f"{ORIGIN}/page/kernel.html")
        page.wait_for_selector(".lloom-root")
        return page

    yield show
    for page, errors in pages:
        page.close()
        assert errors == []


def concept_id(view: ConceptView, name: str) -> str:
    return next(concept["id"] for concept in view.concepts if concept["name"] == name)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"threshold": 0.75},
        {"show": "non-matches", "doc_sort": {"by": "text", "descending": True}},
        {"show": "all", "doc_sort": {"by": "column:likes", "descending": True}},
        {"show": "all", "doc_sort": {"by": "id", "descending": True}, "query": "BUS"},
        {"show": "all", "query": "strasse"},
        {"show": "all", "columns": {"likes": {"min": 10, "max": 60}, "area": {"values": ["South", None]}}},
        {"show": "all", "columns": {"sent": {"min": 1714694400000}}, "doc_sort": {"by": "column:sent"}},
        {"show": "all", "scores": [0.75, None]},
        {"concept": "outliers", "doc_sort": {"by": "column:area"}},
        {"concept": None, "slices": [0, None], "doc_sort": {"by": "slice", "descending": True}},
    ],
    ids=lambda state: ",".join(state) or "default",
)
def test_view_and_python_select_the_same_documents(state: dict[str, Any], join: Joined) -> None:
    session = opened()
    view = session.vis(slice_col="area")
    page = join(view)
    wanted = {"concept": concept_id(view, "High fares"), **state}
    page.evaluate(
        "state => { window.lloom.model.set('state', state); window.lloom.model.save_changes() }", wanted
    )
    page.wait_for_function("!document.querySelector('.lloom-documents-title').innerText.includes('looking')")
    expected = view.selected()["doc_id"].tolist()
    page.wait_for_function(
        "n => document.querySelector('.lloom-documents-title').innerText.startsWith(`${n} of 8 `)",
        arg=len(expected),
    )
    found = shown_rows(page) if expected else []
    assert [f"d{row}" for row in found] == expected


def test_documents_are_shown_as_they_are(join: Joined) -> None:
    view = opened().vis(slice_col="area")
    page = join(view)
    page.get_by_role("rowheader", name="Late buses").click()
    page.locator(".lloom-row-text").first.wait_for()
    marks = page.locator(".lloom-row mark").all_inner_texts()
    assert "bus is late every single morning 😀" in marks
    assert "خط الحافلات متأخر دائمًا" in marks
    page.locator('.lloom-row[data-row="0"]').click()
    assert page.locator(".lloom-pane-text").inner_text() == TEXTS[0]
    assert page.locator(".lloom-pane-text mark").inner_text() == "bus is late every single morning 😀"


def test_the_matrix_has_the_counts_of_python(join: Joined) -> None:
    view = opened().vis(slice_col="area")
    page = join(view)
    page.get_by_role("tab", name="Matrix").click()
    assert page.locator(".lloom-matrix-concept").count() == 3
    for at, concept in enumerate(view.counts.concepts):
        row = [int(n) for n in view.counts.counts[at]]
        cells = page.locator(f'.lloom-matrix-cell[data-concept="{concept.id}"]')
        words = [cell.get_attribute("aria-label") or "" for cell in cells.all()]
        assert [int(text.split(": ")[1].split(" of ")[0]) for text in words] == row


def test_what_is_done_in_the_view_is_done_in_the_session(join: Joined) -> None:
    session = opened()
    view = session.vis(slice_col="area")
    page = join(view)
    page.get_by_role("rowheader", name="High fares").click()
    page.get_by_role("searchbox", name="Search the texts").fill("ticket")
    page.wait_for_function("document.querySelector('.lloom-documents-title').innerText.startsWith('1 of')")
    assert view.state["concept"] == concept_id(view, "High fares")
    assert view.state["query"] == "ticket"
    assert view.selected()["doc_id"].tolist() == ["d5"]
    page.get_by_role("grid", name="Documents").focus()
    page.keyboard.press("n")
    page.locator(".lloom-row .lloom-sign").wait_for()
    assert session.labels()["verdict"].tolist() == ["wrong"]
    assert listed(page) == "1 of 8 documents"
