"""The view inside a shadow root, as marimo shows widgets: focus, menus, dialogs, keys and the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.view_talk import concept_names, sent, trait

if TYPE_CHECKING:
    from tests.browser import OpenView

FOCUSED = "document.getElementById('view').shadowRoot.activeElement"


def test_dialogs_give_focus_back(open_view: OpenView) -> None:
    page = open_view(docs=100, shadow=1, state={"tab": "select"})
    page.get_by_role("button", name="Add a concept").click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.keyboard.type("Parks")
    assert dialog.get_by_label("Name").input_value() == "Parks"
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert page.evaluate(f"{FOCUSED}.textContent") == "Add a concept"


def test_the_export_menu_takes_clicks(open_view: OpenView) -> None:
    page = open_view(docs=100, shadow=1)
    page.get_by_role("button", name="Export").click()
    with page.expect_download():
        page.get_by_role("menuitem", name="JSON").click()
    assert sent(page, "export") == [{"format": "json", "scope": "all"}]
    page.get_by_role("button", name="Export").click()
    page.get_by_role("menu").wait_for()
    page.mouse.click(5, 5)
    page.get_by_role("menu").wait_for(state="detached")


def test_the_map_takes_the_wheel_once_it_has_focus(open_view: OpenView) -> None:
    page = open_view(docs=200, shadow=1, state={"tab": "map", "lasso": [[0, -9], [9, -9], [9, 9], [0, 9]]})
    lasso = page.locator(".lloom-map-lasso")
    before = lasso.get_attribute("points") or ""
    page.locator(".lloom-map-canvas").hover(position={"x": 10, "y": 10})
    page.locator(".lloom-map-canvas").focus()
    page.mouse.wheel(0, -200)
    page.locator(f'.lloom-map-lasso:not([points="{before}"])').wait_for()


def test_scores_are_judged_and_concepts_renamed(open_view: OpenView) -> None:
    page = open_view(docs=200, shadow=1, state={"concept": "concept-1"})
    page.locator(".lloom-table").focus()
    page.keyboard.press("y")
    page.keyboard.press("e")
    page.keyboard.type("yes, buses")
    page.keyboard.press("Enter")
    page.locator(".lloom-labels-note", has_text="yes, buses").wait_for()
    assert [label["verdict"] for label in trait(page, "labels")] == ["right"]
    page.get_by_role("region", name="Concept", exact=True).get_by_role("button", name="Edit").click()
    page.locator(".lloom-editor").get_by_label("Name").fill("Buses")
    page.keyboard.press("Enter")
    page.locator(".lloom-editor").wait_for(state="detached")
    assert concept_names(page)[1] == "Buses"
