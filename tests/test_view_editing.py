"""Working on concepts in place, in a browser: the messages sent, the traits that follow, undo and redo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.view_talk import concept_names, edits, sent, trait, wait_for_sent

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser import OpenView

SELECT = {"tab": "select"}


def card(page: Page, k: int) -> Locator:
    return page.locator(f'[data-concept="concept-{k}"]')


def start_editing(page: Page, k: int) -> Locator:
    card(page, k).get_by_role("button", name="Edit").click()
    return page.locator(".lloom-editor")


def test_renaming_keeps_the_scores_and_costs_nothing(open_view: OpenView) -> None:
    page = open_view(docs=200, state=SELECT)
    editor = start_editing(page, 0)
    assert page.evaluate("document.activeElement.value") == "Energy prices"
    editor.get_by_label("Name").fill("Cost of energy")
    editor.get_by_text("The scores stay").wait_for()
    page.keyboard.press("Enter")
    editor.wait_for(state="detached")
    assert edits(page) == [{"action": "rename", "concept_id": "concept-0", "name": "Cost of energy"}]
    assert concept_names(page)[0] == "Cost of energy"
    assert trait(page, "concepts")[0]["scored"] is True
    assert all(not message.get("drafts") for message in sent(page, "estimate"))


def test_a_changed_criterion_shows_its_price_before_anything_is_spent(open_view: OpenView) -> None:
    page = open_view(docs=200, state=SELECT)
    editor = start_editing(page, 1)
    editor.get_by_label("Criterion").fill("Does the text speak of buses?")
    editor.get_by_text("Re-score 200 documents").wait_for()
    assert "about $0.12–0.20" in editor.inner_text()
    draft = {"name": "Public transport", "criteria": "Does the text speak of buses?"}
    assert sent(page, "estimate")[-1] == {"concept_ids": [], "drafts": [draft]}
    assert edits(page) == []
    editor.get_by_role("button", name="Save", exact=True).click()
    editor.wait_for(state="detached")
    assert edits(page) == [
        {"action": "criteria", "concept_id": "concept-1", "criteria": "Does the text speak of buses?"}
    ]
    assert sent(page, "score") == []
    assert "Criterion changed" in card(page, 1).inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Edit"


@pytest.mark.parametrize("leave", ["Escape", "Enter"])
def test_the_form_in_the_detail_gives_the_focus_back(open_view: OpenView, leave: str) -> None:
    page = open_view(docs=200, state={"concept": "concept-0"})
    detail = page.locator(".lloom-detail")
    detail.get_by_role("button", name="Edit").click()
    detail.get_by_label("Name").fill("Cost of energy")
    page.keyboard.press(leave)
    detail.locator(".lloom-editor").wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "Edit"
    assert len(edits(page)) == (leave == "Enter")


def test_rescoring_is_asked_for_by_its_own_button(open_view: OpenView) -> None:
    page = open_view(docs=200, state=SELECT)
    editor = start_editing(page, 1)
    editor.get_by_label("Criterion").fill("Does the text speak of buses?")
    editor.get_by_role("button", name="Save and re-score, about $0.12–0.20").click()
    assert wait_for_sent(page, "score") == [{"concept_ids": ["concept-1"], "confirmed_usd": 0.2}]
    editor.wait_for(state="detached")
    assert trait(page, "concepts")[1]["scored"] is True


def test_ctrl_enter_keeps_the_edit_and_does_not_run_a_cell(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    page.evaluate(
        "document.addEventListener('keydown', (event) => { if (event.ctrlKey) window.leaked = event.key })"
    )
    editor = start_editing(page, 0)
    editor.get_by_label("Criterion").fill("Does the text speak of heating?")
    page.keyboard.press("Control+Enter")
    editor.wait_for(state="detached")
    assert [edit["action"] for edit in edits(page)] == ["criteria"]
    assert page.evaluate("window.leaked") != "Enter"


def test_an_empty_name_is_refused_and_escape_leaves_all_as_it_was(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    editor = start_editing(page, 0)
    editor.get_by_label("Name").fill("  ")
    editor.get_by_text("A concept needs a name.").wait_for()
    assert editor.get_by_role("button", name="Save", exact=True).is_disabled()
    page.keyboard.press("Escape")
    editor.wait_for(state="detached")
    assert edits(page) == []


def test_merging_three_concepts(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    card(page, 0).get_by_role("button", name="Merge…").click()
    dialog = page.get_by_role("dialog", name="Merge concepts")
    dialog.get_by_text("Merging needs at least two concepts.").wait_for()
    dialog.get_by_role("checkbox", name="Public transport").check()
    dialog.get_by_role("checkbox", name="Climate action").check()
    dialog.get_by_role("button", name="Climate action").click()
    dialog.get_by_label("Name").fill("Energy and climate")
    dialog.get_by_role("button", name="Merge 3 concepts").click()
    dialog.wait_for(state="detached")
    assert edits(page) == [
        {
            "action": "merge",
            "concept_ids": ["concept-0", "concept-1", "concept-6"],
            "name": "Energy and climate",
            "criteria": "Does the text call for or reject measures against climate change?",
        }
    ]
    assert concept_names(page)[0] == "Energy and climate"
    assert len(concept_names(page)) == 6
    assert "merged from 3" in page.locator('[data-concept="made-1"]').inner_text()


def test_concepts_to_merge_with_are_listed_by_what_they_share(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    card(page, 0).get_by_role("button", name="Merge…").click()
    dialog = page.get_by_role("dialog")
    shared = dialog.locator(".lloom-tick-told").all_inner_texts()
    assert shared[0].endswith("matches")
    assert all(text.endswith("in common") for text in shared[1:])
    both = page.evaluate(
        """() => {
          const { scores } = window.lloom.corpus;
          const rows = Array.from({ length: 300 }, (_, row) => row);
          return rows.filter((row) => scores[row] === 4 && scores[300 + row] === 4).length;
        }"""
    )
    told = dialog.locator("li", has_text="Public transport").locator(".lloom-tick-told").inner_text()
    assert told.startswith(f"{both} document")


def test_a_split_is_proposed_changed_and_only_then_done(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    card(page, 2).get_by_role("button", name="Split…").click()
    dialog = page.get_by_role("dialog", name="Split “Housing costs”")
    dialog.get_by_text("Part 2", exact=True).wait_for()
    assert edits(page) == []
    dialog.get_by_label("Part 1: Name").fill("Rents")
    dialog.get_by_label("Part 2: Name").fill("Mortgages")
    dialog.get_by_label("Part 2: Criterion").fill("Does the text speak of mortgages?")
    dialog.get_by_role("button", name="Split into 2").click()
    dialog.wait_for(state="detached")
    [edit] = edits(page)
    assert (edit["action"], edit["concept_id"]) == ("split", "concept-2")
    assert [part["name"] for part in edit["parts"]] == ["Rents", "Mortgages"]
    assert edit["parts"][1]["criteria"] == "Does the text speak of mortgages?"
    assert edit["parts"][0]["rows"]
    assert concept_names(page)[2:4] == ["Rents", "Mortgages"]


def test_a_part_that_is_left_out_is_not_made(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    card(page, 2).get_by_role("button", name="Split…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Leave out part 2").click()
    dialog.get_by_text("A split needs at least two parts.").wait_for()
    dialog.get_by_role("button", name="Add a part").click()
    dialog.get_by_label("Part 2: Name").fill("Shelters")
    dialog.get_by_label("Part 2: Criterion").fill("Does the text speak of shelters?")
    dialog.get_by_role("button", name="Split into 2").click()
    dialog.wait_for(state="detached")
    assert [part["name"] for part in edits(page)[0]["parts"]] == ["Housing costs: part 1", "Shelters"]


def test_removing_asks_first(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    card(page, 3).get_by_role("button", name="Remove…").click()
    dialog = page.get_by_role("dialog", name="Remove “Trust in elections”?")
    dialog.wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert edits(page) == []
    assert page.evaluate("document.activeElement.textContent") == "Remove…"
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Remove").click()
    dialog.wait_for(state="detached")
    assert edits(page) == [{"action": "remove", "concept_ids": ["concept-3"]}]
    assert "Trust in elections" not in concept_names(page)
    assert "concept-3" not in trait(page, "chosen")


def test_undo_and_redo_name_what_they_do(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    assert page.get_by_role("group", name="Undo and redo").count() == 0
    editor = start_editing(page, 0)
    editor.get_by_label("Name").fill("Fuel")
    editor.get_by_role("button", name="Save", exact=True).click()
    undo = page.get_by_role("button", name="Undo: rename “Energy prices” to “Fuel”")
    undo.click()
    redo = page.get_by_role("button", name="Redo: rename “Energy prices” to “Fuel”")
    redo.wait_for()
    assert concept_names(page)[0] == "Energy prices"
    redo.click()
    undo.wait_for()
    assert concept_names(page)[0] == "Fuel"
    assert [edit["action"] for edit in edits(page)] == ["rename", "undo", "redo"]


def test_undoing_a_merge_brings_scores_back(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    before = page.evaluate("[...new Uint8Array(window.lloom.model.get('scores').buffer)].join()")
    card(page, 0).get_by_role("button", name="Merge…").click()
    page.get_by_role("dialog").get_by_role("checkbox", name="Public transport").check()
    page.get_by_role("dialog").get_by_role("button", name="Merge 2 concepts").click()
    page.get_by_role("button", name="Undo: merge").click()
    page.wait_for_function("window.lloom.model.get('score_ids').length === 8")
    assert page.evaluate("[...new Uint8Array(window.lloom.model.get('scores').buffer)].join()") == before


def test_history_lists_what_was_done_newest_first(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    editor = start_editing(page, 0)
    editor.get_by_label("Name").fill("Fuel")
    editor.get_by_role("button", name="Save", exact=True).click()
    editor.wait_for(state="detached")
    page.get_by_role("tab", name="History").click()
    events = page.locator(".lloom-event-text").all_inner_texts()
    assert events[0] == "rename “Energy prices” to “Fuel”"
    page.get_by_role("button", name="Undo: rename").click()
    page.locator(".lloom-event-text", has_text="Undid: rename “Energy prices” to “Fuel”").wait_for()


def test_a_refused_edit_says_why_and_can_be_tried_again(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    page.evaluate(
        """() => {
          const answer = window.lloom.model.answer;
          window.lloom.model.answer = (message, model) => {
            if (message.kind !== "edit") return answer(message, model);
            window.lloom.model.answer = answer;
            return { error: "A concept of that name is being scored." };
          };
        }"""
    )
    editor = start_editing(page, 0)
    editor.get_by_label("Name").fill("Fuel")
    editor.get_by_role("button", name="Save", exact=True).click()
    alert = editor.get_by_role("alert")
    assert "A concept of that name is being scored." in alert.inner_text()
    assert editor.get_by_label("Name").input_value() == "Fuel"
    alert.get_by_role("button", name="Try again").click()
    page.wait_for_function("window.lloom.model.get('concepts')[0].name === 'Fuel'")


def test_a_busy_kernel_is_told_with_a_way_to_retry(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    page.clock.install()
    page.evaluate("window.lloom.answer = window.lloom.model.answer; window.lloom.model.answer = () => null")
    card(page, 2).get_by_role("button", name="Split…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Looking for groups").wait_for()
    page.clock.run_for(31_000)
    dialog.get_by_text("The kernel is busy").wait_for()
    page.clock.resume()
    page.evaluate("void (window.lloom.model.answer = window.lloom.answer)")
    dialog.get_by_role("button", name="Retry").click()
    dialog.get_by_text("Part 1", exact=True).wait_for()


def test_focus_stays_in_a_dialog_and_goes_back(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    page.get_by_role("button", name="Add a concept").click()
    dialog = page.get_by_role("dialog")
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
    for _ in range(8):
        page.keyboard.press("Tab")
        inside = (
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "Add a concept"


def test_a_concept_is_edited_where_its_documents_are_read(open_view: OpenView) -> None:
    page = open_view(docs=100, state={"concept": "concept-1"})
    detail = page.get_by_role("region", name="Concept", exact=True)
    detail.get_by_role("button", name="Edit").click()
    detail.get_by_label("Name").fill("Buses and trains")
    detail.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Buses and trains").wait_for()
    assert edits(page)[0]["action"] == "rename"


def test_an_edit_takes_back_nothing_that_was_changed_elsewhere(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    editor = start_editing(page, 1)
    editor.get_by_label("Criterion").fill("Is it about trains?")
    page.evaluate(
        """() => {
          const { model } = window.lloom;
          const rename = (item) => (item.id === "concept-1" ? { ...item, name: "Trains" } : item);
          model.set("concepts", model.get("concepts").map(rename));
        }"""
    )
    page.wait_for_function("document.querySelector('.lloom-editor input').value === 'Trains'")
    editor.get_by_role("button", name="Save", exact=True).click()
    editor.wait_for(state="detached")
    assert edits(page) == [
        {"action": "criteria", "concept_id": "concept-1", "criteria": "Is it about trains?"}
    ]
