"""Getting out of the view in a browser: files, Python code, and what a host without a clipboard gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.view_talk import sent

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView


def open_menu(page: Page) -> None:
    page.get_by_role("button", name="Export").click()
    page.get_by_role("menu", name="Export").wait_for()


def set_clipboard(page: Page, write: str) -> None:
    """Let the page write to a clipboard that is the given function."""
    page.evaluate(
        f"void Object.defineProperty(navigator, 'clipboard', {{ value: {{ writeText: {write} }} }})"
    )


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("CSV of the selection", {"format": "csv", "scope": "selection"}),
        ("JSON of the selection", {"format": "json", "scope": "selection"}),
        ("Web page", {"format": "html", "scope": "all"}),
    ],
)
def test_a_file_is_downloaded(open_view: OpenView, item: str, message: dict[str, str]) -> None:
    page = open_view(docs=100, state={"concept": "concept-1"})
    open_menu(page)
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=item).click()
    assert sent(page, "export") == [message]
    assert download.value.suggested_filename == f"concepts.{message['format']}"
    assert Path(download.value.path()).read_text(encoding="utf-8") == "post_id,score\n"
    page.get_by_text(f"Saved concepts.{message['format']}").wait_for()


def test_the_selection_is_counted_and_left_out_where_it_is_everything(open_view: OpenView) -> None:
    page = open_view(docs=100, state={"concept": "concept-1"})
    n = page.locator(".lloom-documents-title").inner_text().split(" ")[0]
    open_menu(page)
    assert f"{n} documents" in page.get_by_role("menuitem", name="CSV of the selection").inner_text()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="All documents").click()
    open_menu(page)
    assert page.get_by_role("menuitem", name="CSV of the selection").count() == 0
    assert "100 documents" in page.get_by_role("menuitem", name="CSV").inner_text()


def test_copy_as_python(open_view: OpenView) -> None:
    page = open_view(docs=100)
    set_clipboard(page, "async (text) => { window.copied = text; }")
    open_menu(page)
    page.get_by_role("menuitem", name="Copy as Python").click()
    page.get_by_text("Copied", exact=True).wait_for()
    assert "view.selected()" in page.evaluate("window.copied")


def test_where_the_clipboard_is_closed_the_code_is_shown(open_view: OpenView) -> None:
    page = open_view(docs=100)
    set_clipboard(page, "async () => { throw new Error('no'); }")
    open_menu(page)
    page.get_by_role("menuitem", name="Copy as Python").click()
    dialog = page.get_by_role("dialog", name="Copy as Python")
    assert "view.selected()" in dialog.get_by_role("textbox").input_value()


def test_the_menu_works_by_keyboard(open_view: OpenView) -> None:
    page = open_view(docs=100)
    page.get_by_role("button", name="Export").focus()
    page.keyboard.press("Enter")
    focused = "document.activeElement.firstChild.textContent"
    assert page.evaluate(focused) == "Copy as Python"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "CSV"
    page.keyboard.press("End")
    assert page.evaluate(focused) == "Web page"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "Copy as Python"
    page.keyboard.press("Escape")
    assert page.get_by_role("menu").count() == 0
    assert page.evaluate("document.activeElement.getAttribute('aria-haspopup')") == "menu"


def test_a_refused_export_is_told(open_view: OpenView) -> None:
    page = open_view(docs=100)
    page.evaluate("window.lloom.model.answer = () => ({ error: 'No space left to write the table.' })")
    open_menu(page)
    page.get_by_role("menuitem", name="JSON").click()
    assert "No space left" in page.get_by_role("alert").inner_text()
