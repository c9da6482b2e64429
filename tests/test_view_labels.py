"""Correcting scores in a browser: verdicts by keyboard and mouse, notes, agreement with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.view_talk import edits, trait, wait_for_sent

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

CONCEPT = {"concept": "concept-2"}


def listed_rows(page: Page) -> list[int]:
    """Rows of the first documents of the list."""
    return [
        int(row) for row in page.locator(".lloom-row").evaluate_all("rows => rows.map((r) => r.dataset.row)")
    ]


def test_scores_are_judged_with_the_keyboard(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.locator(".lloom-table").focus()
    first, second, third = listed_rows(page)[:3]
    for key in ["y", "j", "n", "j", "u"]:
        page.keyboard.press(key)
    page.wait_for_function("window.lloom.model.get('labels').length === 3")
    verdicts = [(edit["action"], edit["row"], edit["concept_id"], edit["verdict"]) for edit in edits(page)]
    assert verdicts == [
        ("label", first, "concept-2", "right"),
        ("label", second, "concept-2", "wrong"),
        ("label", third, "concept-2", "unsure"),
    ]
    page.keyboard.press("k")
    page.keyboard.press("n")
    page.wait_for_function("window.lloom.model.get('labels').length === 2")
    assert edits(page)[-1] == {
        "action": "label",
        "row": second,
        "concept_id": "concept-2",
        "verdict": None,
        "note": "",
    }


@pytest.mark.parametrize("width", [360, 1280])
def test_the_document_that_a_key_judges_is_in_sight(open_view: OpenView, width: int) -> None:
    page = open_view(docs=2000, width=width, state=CONCEPT)
    page.locator(".lloom-example-text").first.wait_for()
    page.locator(".lloom-table").focus()
    page.keyboard.press("n")
    sign = page.locator(".lloom-row .lloom-sign")
    sign.wait_for()
    frame, box = page.locator(".lloom-reader").bounding_box(), sign.bounding_box()
    assert frame is not None
    assert box is not None
    assert frame["y"] <= box["y"] <= frame["y"] + frame["height"]


def test_verdicts_stand_beside_the_model_score(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.locator(".lloom-table").focus()
    page.keyboard.press("n")
    row = page.locator(".lloom-row").first
    row.get_by_role("img", name="Judged: wrong").wait_for()
    assert row.locator(".lloom-cell-score").inner_text().split() == ["1", "✗"]


def test_a_note_says_why(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.locator(".lloom-table").focus()
    page.keyboard.press("n")
    page.keyboard.press("e")
    page.keyboard.type("only jokes about yuns")
    page.keyboard.press("Enter")
    page.wait_for_function("(window.lloom.model.get('labels')[0]?.note ?? '') !== ''")
    [label] = trait(page, "labels")
    assert (label["verdict"], label["note"]) == ("wrong", "only jokes about yuns")
    assert len(edits(page)) == 2
    page.locator(".lloom-labels-note", has_text="only jokes about yuns").wait_for()


def test_nothing_typed_is_lost_while_the_kernel_answers(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.evaluate("window.lloom.model.late = 2500")  # so that it lasts while a busy machine types
    page.locator(".lloom-table").focus()
    page.keyboard.press("y")
    page.keyboard.press("e")
    page.keyboard.type("a clear case")
    page.keyboard.press("Enter")
    assert trait(page, "labels") == []
    page.locator(".lloom-labels-note", has_text="a clear case").wait_for()
    [label] = trait(page, "labels")
    assert (label["verdict"], label["note"]) == ("right", "a clear case")
    assert len(edits(page)) == 2


def test_a_verdict_pressed_twice_is_taken_away_however_late_the_kernel_is(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.evaluate("window.lloom.model.late = 300")
    page.locator(".lloom-table").focus()
    page.keyboard.press("y")
    page.keyboard.press("y")
    wait_for_sent(page, "edit", 2)
    assert [edit["verdict"] for edit in edits(page)] == ["right", None]


def test_changing_a_verdict_keeps_its_note(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.locator(".lloom-table").focus()
    page.keyboard.press("e")
    page.keyboard.type("irony?")
    page.keyboard.press("Enter")
    page.wait_for_function("window.lloom.model.get('labels')[0]?.verdict === 'unsure'")
    page.get_by_role("group", name="Is this score right?").get_by_role("button", name="Wrong").click()
    page.wait_for_function("window.lloom.model.get('labels')[0]?.verdict === 'wrong'")
    assert trait(page, "labels")[0]["note"] == "irony?"


def test_a_document_is_judged_in_its_pane_on_any_concept(open_view: OpenView) -> None:
    page = open_view(docs=300, state={**CONCEPT, "document": 5})
    pane = page.get_by_role("complementary", name="Document")
    pane.get_by_role("button", name="Vaccination").click()
    pane.get_by_role("button", name="Unsure").click()
    page.wait_for_function("window.lloom.model.get('labels').length === 1")
    assert edits(page)[0] | {"note": ""} == {
        "action": "label",
        "row": 5,
        "concept_id": "concept-4",
        "verdict": "unsure",
        "note": "",
    }


def test_agreement_has_counts_an_interval_and_a_mark_where_it_rests_on_few(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.locator(".lloom-table").focus()
    for key in "yjyjyjn":
        page.keyboard.press(key)
    page.wait_for_function("window.lloom.model.get('labels').length === 4")
    agreement = page.locator(".lloom-labelbar .lloom-agreement")
    assert agreement.text_content() == "75% right (3 of 4 judged, 95% interval 30%–95%) few labels"
    many = [
        {"row": row, "concept_id": "concept-2", "verdict": "right", "note": "", "score": 1, "current": True}
        for row in range(40)
    ]
    page.evaluate("labels => window.lloom.model.set('labels', labels)", many)
    page.get_by_text("100% right").wait_for()
    assert "few labels" not in agreement.inner_text()
    page.get_by_role("tab", name="Select").click()
    assert "100% right" in page.locator('[data-concept="concept-2"]').inner_text()


def test_letters_typed_into_the_search_field_judge_nothing(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.get_by_role("searchbox").first.press_sequentially("funny")
    assert edits(page) == []


def test_a_page_that_cannot_be_edited_shows_labels_and_takes_none(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT, editable="no")
    row = listed_rows(page)[0]
    label = {
        "row": row,
        "concept_id": "concept-2",
        "verdict": "right",
        "note": "clear",
        "score": 1,
        "current": True,
    }
    page.evaluate("label => window.lloom.model.set('labels', [label])", label)
    page.get_by_role("img", name="Judged: right. clear").wait_for()
    page.locator(".lloom-table").focus()
    page.keyboard.press("n")
    assert edits(page) == []
    assert page.get_by_role("button", name="Wrong").count() == 0
