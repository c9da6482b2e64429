"""The view in a browser: no key goes elsewhere than where its user means it, however late answers come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.view_talk import concept_names, edits, trait, wait_for_sent

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

CONCEPT = {"concept": "concept-0"}
SELECT = {"tab": "select"}


def focused(page: Page) -> str:
    """Class and words of what has the focus."""
    return str(
        page.evaluate(
            """(() => {
                const at = document.activeElement;
                return `${at.className} ${at.getAttribute("aria-label") ?? at.textContent}`;
            })()"""
        )
    )


def rename(page: Page, index: int) -> None:
    page.locator(f'[data-concept="concept-{index}"]').get_by_role("button", name="Edit").click()
    page.keyboard.press("End")
    page.keyboard.type("!")
    page.keyboard.press("Enter")
    page.locator(".lloom-editor").wait_for(state="detached")


def test_undo_pressed_twice_goes_two_steps_and_keeps_the_focus(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    before = concept_names(page)
    rename(page, 0)
    rename(page, 1)
    page.get_by_role("button", name="Undo: rename “Public").wait_for()
    page.evaluate("window.lloom.model.late = 200")
    page.locator(".lloom-undo button").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo", exact=True).wait_for()
    page.keyboard.press("Enter")
    assert [edit["action"] for edit in edits(page)[2:]] == ["undo", "undo"]
    assert concept_names(page) == before
    assert "Undo" in focused(page)


def test_exporting_keeps_the_focus(open_view: OpenView) -> None:
    page = open_view(docs=100)
    page.evaluate("window.lloom.model.late = 1500")  # so that it lasts while a busy machine looks
    button = page.locator(".lloom-export > button")
    button.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for_sent(page, "export")
    page.wait_for_timeout(50)  # what is disabled loses the focus with the next frame
    assert focused(page).startswith("lloom-button Exporting")
    page.keyboard.press("Enter")
    page.locator(".lloom-export-done", has_text="Saved").wait_for()
    assert focused(page).startswith("lloom-button Export")
    assert page.get_by_role("menu").count() == 0


def test_an_edit_kept_twice_is_made_once(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    page.evaluate("window.lloom.model.late = 200")
    page.locator('[data-concept="concept-0"]').get_by_role("button", name="Edit").click()
    page.keyboard.type("Cost of ")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")
    page.locator(".lloom-editor").wait_for(state="detached")
    assert len(edits(page)) == 1


def test_a_price_is_that_of_what_is_written(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    page.locator('[data-concept="concept-0"]').get_by_role("button", name="Edit").click()
    editor = page.locator(".lloom-editor")
    editor.get_by_label("Criterion").fill("Does it?")
    editor.get_by_role("button", name="Save and re-score, ").wait_for()
    # Read before the next frame: what was estimated for other words is gone by then.
    told = page.evaluate(
        """async () => {
            const field = document.querySelector(".lloom-editor textarea");
            field.value = "Does it not?";
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
            for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
            return [...document.querySelectorAll(".lloom-editor button")].map((button) => button.textContent);
        }"""
    )
    assert "Save and re-score" in told


@pytest.mark.parametrize("leave", ["Escape", "Enter"])
def test_the_list_has_the_keys_again_once_a_note_is_written(open_view: OpenView, leave: str) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.evaluate("window.lloom.model.late = 200")
    page.locator(".lloom-table").focus()
    page.keyboard.press("e")
    page.keyboard.type("why")
    page.keyboard.press(leave)
    page.keyboard.press("j")
    page.keyboard.press("n")
    wait_for_sent(page, "edit", 2 if leave == "Enter" else 1)
    last = edits(page)[-1]
    assert (last["verdict"], last["note"]) == ("wrong", "")
    assert "lloom-table" in focused(page)
    if leave == "Enter":
        assert (edits(page)[0]["verdict"], edits(page)[0]["note"]) == ("unsure", "why")
        assert edits(page)[0]["row"] != last["row"]


def test_a_note_in_the_pane_gives_the_keys_back(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.locator(".lloom-row").first.click()
    page.locator(".lloom-pane .lloom-labels").wait_for()
    page.keyboard.press("e")
    page.keyboard.type("why")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.locator(".lloom-pane").wait_for(state="detached")
    assert edits(page)[0]["note"] == "why"


def test_no_score_is_judged_of_a_document_that_left_the_list(open_view: OpenView) -> None:
    page = open_view(docs=200, state=CONCEPT)
    page.locator(".lloom-table").focus()
    page.evaluate("window.lloom.model.set('state', { concept: 'concept-0', show: 'non-matches' })")
    page.get_by_text("Judge the scores").wait_for()
    page.keyboard.press("y")
    page.keyboard.press("j")
    page.keyboard.press("n")
    wait_for_sent(page, "edit")
    [edit] = edits(page)
    assert edit["verdict"] == "wrong"


def test_the_end_of_the_documents_keeps_the_keys(open_view: OpenView) -> None:
    page = open_view(docs=200, state=CONCEPT)
    page.locator(".lloom-row").nth(1).click()
    previous = page.get_by_role("button", name="Previous document")
    previous.press("Enter")
    page.wait_for_function("document.querySelector('.lloom-pane-head button').ariaDisabled === 'true'")
    before = trait(page, "state")["document"]
    page.keyboard.press("Enter")
    assert trait(page, "state")["document"] == before
    assert "Previous document" in focused(page)


@pytest.mark.parametrize("tab", ["overview", "select"])
def test_removing_a_concept_keeps_the_focus_in_the_view(open_view: OpenView, tab: str) -> None:
    page = open_view(docs=100, state={"tab": tab, "concept": "concept-1"})
    page.evaluate("window.lloom.model.late = 100")
    page.get_by_role("button", name="Remove…").first.click()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    assert page.evaluate("document.querySelector('.lloom-root').contains(document.activeElement)")


def test_what_python_or_another_view_opens_leaves_the_keys_where_they_are(open_view: OpenView) -> None:
    page = open_view(docs=100, two=1, state=CONCEPT)
    first = page.locator(".lloom-root").first
    first.locator(".lloom-row").first.click()
    page.locator(".lloom-pane").nth(1).wait_for()
    assert first.evaluate("root => root.contains(document.activeElement)")
    page.keyboard.press("Escape")
    page.evaluate("document.body.prepend(Object.assign(document.createElement('input'), { id: 'cell' }))")
    cell = page.locator("#cell")
    cell.focus()
    page.evaluate("window.lloom.model.set('state', { concept: 'concept-0', document: 3 })")
    page.locator(".lloom-pane").nth(1).wait_for()
    page.keyboard.type("df.head()")
    assert cell.input_value() == "df.head()"


def test_a_reset_ends_what_is_still_being_typed(open_view: OpenView) -> None:
    page = open_view(docs=100, state={"query": "bus"})
    field = page.get_by_label("Search the texts")
    field.press("End")
    page.keyboard.type("es")
    page.get_by_role("button", name="Reset filters").click()
    assert field.input_value() == ""
    page.wait_for_timeout(300)  # longer than the pause after which a search is sent
    assert trait(page, "state").get("query", "") == ""


def test_a_reset_from_elsewhere_ends_what_is_still_being_typed(open_view: OpenView) -> None:
    page = open_view(docs=100, state={"query": "bus"})
    page.get_by_label("Search the texts").press("End")
    page.keyboard.type("es")
    page.evaluate("window.lloom.model.set('state', {})")
    page.wait_for_timeout(300)  # longer than the pause after which a search is sent
    assert trait(page, "state").get("query", "") == ""


def test_the_panel_is_named_by_its_tab(open_view: OpenView) -> None:
    page = open_view(docs=50)
    tab = page.get_by_role("tab", name="Matrix")
    tab.click()
    page.get_by_role("tabpanel", name="Matrix").wait_for()
    panel = tab.get_attribute("aria-controls")
    assert panel is not None
    assert panel == page.get_by_role("tabpanel").get_attribute("id")


def test_what_stood_beside_a_removed_filter_gets_the_focus(open_view: OpenView) -> None:
    page = open_view(docs=100, state={**CONCEPT, "query": "bus", "slices": [1, 2]})
    page.get_by_role("button", name="Remove filter Energy prices").press("Enter")
    assert "Remove filter office" in focused(page)
    page.keyboard.press("Enter")
    assert "Remove filter “bus”" in focused(page)
    page.keyboard.press("Enter")
    page.locator(".lloom-chip").first.wait_for(state="detached")
    assert page.evaluate("document.activeElement.closest('.lloom-documents-head') !== null")


def test_a_note_that_was_not_taken_is_there_to_be_written_on(open_view: OpenView) -> None:
    page = open_view(docs=100, state=CONCEPT, refuse="edit")
    page.locator(".lloom-table").focus()
    page.keyboard.press("e")
    page.keyboard.type("only jokes")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    page.keyboard.press("e")
    assert page.get_by_label("Why").input_value() == "only jokes"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("e")
    assert page.get_by_label("Why").input_value() == ""


def test_the_concept_that_is_looked_at_comes_first_in_a_document(open_view: OpenView) -> None:
    page = open_view(docs=100, concepts=30, state={"concept": "concept-20", "show": "non-matches"})
    page.locator(".lloom-row").first.click()
    page.locator(".lloom-pane-concept").first.wait_for()
    names = page.locator(".lloom-pane-name").all_inner_texts()
    assert names[0] == page.locator(".lloom-detail-name").inner_text()
