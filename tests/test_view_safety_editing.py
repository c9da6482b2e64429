"""Hostile text where concepts are changed, compared and mapped: dialogs, legends, tips, notes, history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.test_view_safety import nothing_ran
from tests.view_talk import concept_names, trait

if TYPE_CHECKING:
    from tests.browser import OpenView

IMAGE = "<img src=x onerror=\"window.__ran='typed'\">"


def test_cards_and_every_dialog_show_names_and_criteria_as_text(open_view: OpenView) -> None:
    page = open_view(docs=80, hostile=1, state={"tab": "select"})
    card = page.locator('[data-concept="concept-1"]')
    card.locator(".lloom-card-examples li").first.wait_for()
    assert concept_names(page)[1] in card.inner_text()
    for button in ["Edit", "Merge…", "Split…", "Remove…"]:
        card.get_by_role("button", name=button, exact=True).click()
        if button == "Split…":
            page.get_by_text("Part 2", exact=True).wait_for()
        assert nothing_ran(page), button
        page.get_by_role("button", name="Cancel", exact=True).click()


def test_what_is_typed_is_text_everywhere_it_appears(open_view: OpenView) -> None:
    page = open_view(docs=80, state={"tab": "select"})
    page.locator('[data-concept="concept-0"]').get_by_role("button", name="Edit").click()
    page.locator(".lloom-editor").get_by_label("Name").fill(IMAGE)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Undo: rename").wait_for()
    assert concept_names(page)[0] == IMAGE
    page.locator('[data-concept="concept-0"] .lloom-card-name', has_text=IMAGE).wait_for()
    for tab in ("History", "Overlap", "Matrix", "Overview"):
        page.get_by_role("tab", name=tab).click()
        assert IMAGE in page.locator(".lloom-root").inner_text(), tab
        assert nothing_ran(page), tab


def test_a_note_is_text(open_view: OpenView) -> None:
    page = open_view(docs=80, state={"concept": "concept-1"})
    page.locator(".lloom-table").focus()
    page.keyboard.press("e")
    page.keyboard.type(IMAGE)
    page.keyboard.press("Enter")
    page.locator(".lloom-labels-note", has_text=IMAGE).wait_for()
    assert trait(page, "labels")[0]["note"] == IMAGE
    assert nothing_ran(page)


def test_the_map_shows_hostile_groups_and_documents_as_text(open_view: OpenView) -> None:
    page = open_view(docs=300, hostile=1, state={"tab": "map"})
    canvas = page.locator(".lloom-map-canvas")
    assert concept_names(page)[0] in page.locator(".lloom-map-legend").inner_text()
    for step in range(40):
        canvas.hover(position={"x": 40 + 10 * step, "y": 60 + 5 * step})
        if page.locator(".lloom-map-tip").count():
            break
    page.wait_for_function("document.querySelector('.lloom-map-tip-text')?.innerText.length > 5")
    for value in page.locator(".lloom-map-color option").evaluate_all(
        "options => options.map((o) => o.value)"
    ):
        page.locator(".lloom-map-color select").select_option(value)
        assert nothing_ran(page), value


def test_a_pair_of_hostile_concepts(open_view: OpenView) -> None:
    page = open_view(docs=200, hostile=1, state={"tab": "overlap"})
    page.locator('[data-cell="1 0"]').click()
    names = concept_names(page)
    assert names[0] in page.get_by_role("group", name="Chosen pair").inner_text()
    assert f"{names[1]} and {names[0]}" in (
        page.locator('[data-cell="1 0"]').get_attribute("aria-label") or ""
    )
    assert nothing_ran(page)


def test_an_error_message_is_text(open_view: OpenView) -> None:
    page = open_view(docs=80, state={"tab": "select"})
    page.evaluate("text => { window.lloom.model.answer = () => ({ error: text }) }", IMAGE)
    page.locator('[data-concept="concept-0"]').get_by_role("button", name="Split…").click()
    assert IMAGE in page.get_by_role("dialog").get_by_role("alert").inner_text()
    assert nothing_ran(page)
