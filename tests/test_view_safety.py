"""Hostile text in a browser: whatever a corpus carries is shown as text, and runs nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

ROOT = Path(__file__).resolve().parents[1]


def nothing_ran(page: Page) -> bool:
    """No payload ran, and no element that one would make is in the page."""
    found: bool = page.evaluate(
        """() => window.__ran === undefined
          && document.querySelector('#view :is(script, img, iframe, object, embed, style, link, a)') === null
          && [...document.querySelectorAll('#view *')].every((element) =>
               [...element.attributes].every(({ name, value }) =>
                 !name.startsWith('on') && !(name === 'style' && /url|expression|script/i.test(value))))"""
    )
    return found


def test_hostile_strings_are_text_in_every_tab(open_view: OpenView) -> None:
    page = open_view(docs=80, concepts=8, hostile=1, state={"concept": "concept-1"})
    for tab in ("Matrix", "Overview", "Overlap", "Select", "History", "Overview"):
        page.get_by_role("tab", name=tab).click()
        assert nothing_ran(page), tab
    assert "<script>window.__ran='title'</script>" in page.locator(".lloom-title").inner_text()
    assert (
        "<img src=x onerror=\"window.__ran = 'onerror'\"> Public transport"
        in page.locator(".lloom-detail-name").inner_text()
    )


def test_hostile_documents_are_literal_in_the_list_and_the_pane(open_view: OpenView) -> None:
    page = open_view(docs=80, hostile=1, width=1700, state={"concept": "concept-0", "show": "all"})
    row = page.locator(".lloom-row[data-row]").first
    row.locator(".lloom-row-text").wait_for()
    number = int(row.get_attribute("data-row") or 0)
    payload = page.evaluate("(row) => window.lloom.corpus.documents[row].text.slice(0, 20)", number)
    assert payload.split()[0] in row.inner_text()
    row.click()
    pane = page.get_by_role("complementary", name="Document")
    pane.locator(".lloom-pane-text").wait_for()
    text = page.evaluate("(row) => window.lloom.corpus.documents[row].text", number)
    assert pane.locator(".lloom-pane-text").inner_text() == text
    assert "<img src=x onerror=\"window.__ran='column'\">" in pane.locator("dt").all_inner_texts()
    assert nothing_ran(page)


def test_hostile_columns_slices_and_queries(open_view: OpenView) -> None:
    page = open_view(docs=80, hostile=1, state={"tab": "matrix", "concept": "concept-2"})
    page.get_by_role("button", name="Filter", exact=True).click()
    page.locator(".lloom-filters input[type=checkbox]").nth(7).check()
    page.get_by_role("searchbox", name="Search the texts").fill("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Columns").click()
    page.locator(".lloom-matrix-cell").first.hover()
    assert page.locator(".lloom-tip").inner_text().startswith("<")
    assert nothing_ran(page)


@pytest.mark.parametrize(
    "state",
    [
        {
            "tab": "<img>",
            "concept": ["x"],
            "columns": {"__proto__": {"values": ["x"]}, "constructor": {"min": 1}},
        },
        {
            "doc_sort": {"by": "column:__proto__"},
            "shown_columns": ["__proto__", "toString"],
            "slices": ["a", -1],
        },
        {"threshold": "1; color: red", "lasso": [[1, 2], ["x", 1], None], "document": 10**9, "slice": 99},
    ],
    ids=["types", "prototype", "values"],
)
def test_a_wrong_state_does_no_harm(open_view: OpenView, state: dict[str, object]) -> None:
    page = open_view(docs=60, state=state)
    assert page.locator(".lloom-documents-title").inner_text().endswith("of 60 documents")
    assert nothing_ran(page)


def test_the_styles_stay_inside_the_root() -> None:
    text = re.sub(
        r"/\*.*?\*/", "", (ROOT / "text_lloom" / "widget" / "static" / "widget.css").read_text(), flags=re.S
    )
    selectors = [part.strip() for part in re.findall(r"(?:^|[{}])([^{}@;]+)\{", text)]
    steps = re.compile(r"^(from|to|\d+(\.\d+)?%)$")
    outside = [
        s for s in selectors for one in s.split(",") if ".lloom-" not in s and not steps.match(one.strip())
    ]
    assert len(selectors) > 100
    assert outside == []


def test_the_bundle_reaches_for_no_network() -> None:
    for name in ("widget.js", "standalone.js", "widget.css"):
        text = (ROOT / "text_lloom" / "widget" / "static" / name).read_text()
        hosts = set(re.findall(r"(?:https?:)?//([\w-]+\.[\w.-]+)", text)) - {"www.w3.org"}
        assert hosts == set(), name
        assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|importScripts|@import", text), name
