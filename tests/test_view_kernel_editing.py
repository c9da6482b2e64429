"""The built view over a real session: concepts are changed, compared, mapped and saved from the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tests.test_view_export import set_clipboard
from tests.test_view_kernel import concept_id, join
from tests.test_view_live import until
from tests.view_session import SCORES, documents, opened, put

if TYPE_CHECKING:
    from tests.test_view_kernel import Joined

__all__ = ["join"]

NAMES = "window.lloom.model.get('concepts').map(({ name }) => name)"


def test_rename_merge_and_undo_reach_the_codebook(join: Joined) -> None:
    session = opened()
    view = session.vis(slice_col="area")
    page = join(view)
    page.get_by_role("tab", name="Select").click()
    late = page.locator(f'[data-concept="{concept_id(view, "Late buses")}"]')
    late.get_by_role("button", name="Edit").click()
    page.locator(".lloom-editor").get_by_label("Name").fill("Buses that come late")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo").wait_for()
    assert [c.name for c in session.concepts.values()] == ["Buses that come late", "High fares"]
    page.locator(".lloom-card").first.get_by_role("button", name="Merge…").click()
    dialog = page.get_by_role("dialog", name="Merge concepts")
    dialog.get_by_role("checkbox", name="High fares").check()
    dialog.get_by_label("Name").fill("Bad service")
    dialog.get_by_text("Score 8 documents").wait_for()
    dialog.get_by_role("button", name="Merge 2 concepts").click()
    dialog.wait_for(state="detached")
    [merged] = session.concepts.values()
    assert merged.name == "Bad service"
    assert len(merged.merged_from) == 2
    for left in (2, 2):
        page.get_by_role("group", name="Undo and redo").get_by_role("button").first.click()
        page.wait_for_function(f"n => {NAMES}.length === n", arg=left)
    page.wait_for_function(f"{NAMES}[0] === 'Late buses'")
    assert session.get_score_df()["score"].notna().sum() == 15


def test_a_new_criterion_is_priced_scored_and_shown(join: Joined) -> None:
    session = opened()
    view = session.vis(slice_col="area")
    page = join(view)
    page.get_by_role("tab", name="Select").click()
    page.locator(".lloom-card").first.get_by_role("button", name="Edit").click()
    page.locator(".lloom-editor").get_by_label("Criterion").fill("Does the text speak of bikes and lanes?")
    page.get_by_role("button", name="Save and re-score, free").click()
    page.locator(".lloom-editor").wait_for(state="detached")
    concept = next(iter(session.concepts.values()))
    assert concept.criteria == "Does the text speak of bikes and lanes?"
    until(lambda: view.concepts[0]["scored"])
    scores = session.get_score_df()
    assert scores[scores["concept_id"] == concept.id]["score"].notna().all()


def test_add_split_and_remove_reach_the_codebook(join: Joined) -> None:
    texts = [f"The {bus} bus is late again on {day}." for bus in (12, 40) for day in ("Monday", "Friday")] * 4
    texts += [f"Trains to the coast are cancelled in week {week}." for week in range(12)]
    frame = pd.DataFrame({"doc_id": range(len(texts)), "text": texts})
    session = opened({"Transport": [1.0] * len(texts)}, {}, frame)
    page = join(session.vis())
    page.get_by_role("tab", name="Select").click()
    page.get_by_role("button", name="Add a concept").click()
    dialog = page.get_by_role("dialog", name="Add a concept")
    dialog.get_by_label("Name").fill("Trains")
    dialog.get_by_label("Criterion").fill("Does the text speak of trains?")
    dialog.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_function(f"{NAMES}.includes('Trains')")
    page.locator(".lloom-card").first.get_by_role("button", name="Split…").click()
    dialog = page.get_by_role("dialog", name="Split “Transport”")
    dialog.get_by_label("Part 1: Name").fill("First half")
    dialog.get_by_role("button", name="Split into").click()
    dialog.wait_for(state="detached")
    names = [c.name for c in session.concepts.values()]
    assert names[0] == "First half"
    assert names[-1] == "Trains"
    assert "Transport" not in names
    page.locator(".lloom-card").last.get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    page.wait_for_function(f"!{NAMES}.includes('Trains')")
    assert [c.name for c in session.concepts.values()] == names[:-1]


def test_what_is_chosen_is_what_the_session_scores(join: Joined) -> None:
    session = opened()
    page = join(session.select())
    page.get_by_role("checkbox", name="Select High fares").uncheck()
    page.get_by_text("1 of 2 concepts selected").wait_for()
    page.evaluate("window.pythonTraits()")  # what was written before has arrived when this is answered
    until(lambda: [c.name for c in session.concepts.active] == ["Late buses"])


def test_overlap_has_the_counts_of_python_and_selects_the_same(join: Joined) -> None:
    session = opened()
    view = session.vis(slice_col="area")
    page = join(view)
    page.get_by_role("tab", name="Overlap").click()
    page.locator('[data-cell="1 0"]').click()
    both = [
        f"d{row}" for row in range(8) if SCORES["Late buses"][row] >= 1 and SCORES["High fares"][row] >= 1
    ]
    [pair] = session.overlap().to_dict("records")
    assert page.locator('[data-cell="1 0"]').inner_text() == str(len(both)) == str(pair["n_both"])
    told = page.get_by_role("group", name="Chosen pair").inner_text()
    assert f"Jaccard {pair['jaccard']:.2f}" in told
    assert f"{pair['n_1']} matches" in told
    assert (pair["n_1"], pair["n_2"]) == (
        3,
        3,
    )  # the last document matches one, and has no score on the other
    page.wait_for_function(
        "n => document.querySelector('.lloom-documents-title').innerText.startsWith(`${n} of`)", arg=len(both)
    )
    assert view.selected()["doc_id"].tolist() == both


def test_a_lasso_selects_the_same_documents_in_python(join: Joined) -> None:
    frame = pd.concat([documents().assign(doc_id=[f"{k}-{n}" for n in range(8)]) for k in range(5)])
    session = opened({"Late buses": [1.0, 0.0, 0.5, 0.75] * 10}, {}, frame.reset_index(drop=True))
    view = session.vis(slice_col="area")
    page = join(view)
    page.get_by_role("tab", name="Map").click()
    page.locator(".lloom-map-canvas").wait_for()
    page.get_by_role("button", name="Lasso").click()
    box = page.locator(".lloom-map-canvas").bounding_box()
    assert box is not None
    corners = [(0.02, 0.02), (0.7, 0.05), (0.6, 0.7), (0.05, 0.6)]
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(x, y, steps=5)
    page.mouse.up()
    page.locator(".lloom-map-lasso").wait_for()
    n = len(view.selected())
    assert 0 < n < 40
    page.wait_for_function(
        "n => document.querySelector('.lloom-documents-title').innerText.startsWith(`${n} of`)", arg=n
    )


def test_the_selection_is_downloaded_as_a_table(join: Joined) -> None:
    session = opened()
    page = join(session.vis(slice_col="area"))
    page.get_by_role("rowheader", name="High fares").click()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="CSV of the selection").click()
    table = pd.read_csv(Path(download.value.path()))
    assert set(table["doc_id"]) == {"d2", "d3", "d5"}


def test_copied_python_gets_the_same_selection(join: Joined) -> None:
    session = opened()
    view = session.vis(slice_col="area")
    page = join(view)
    set_clipboard(page, "async (text) => { window.copied = text; }")
    page.get_by_role("rowheader", name="High fares").click()
    page.get_by_role("button", name="Export").click()
    page.get_by_role("menuitem", name="Copy as Python").click()
    page.get_by_text("Copied", exact=True).wait_for()
    scope = {"l": session}
    exec(page.evaluate("window.copied"), scope)
    assert (
        scope["view"].selected()["doc_id"].tolist()
        == view.selected()["doc_id"].tolist()
        == ["d2", "d3", "d5"]
    )


def test_labels_and_notes_reach_the_session(join: Joined) -> None:
    session = opened()
    page = join(session.vis(slice_col="area"))
    page.get_by_role("rowheader", name="Late buses").click()
    page.locator(".lloom-table").focus()
    for key in ["y", "j", "n", "e"]:
        page.keyboard.press(key)
    page.keyboard.type("came after all")
    page.keyboard.press("Enter")
    page.locator(".lloom-labels-note", has_text="came after all").wait_for()
    labels = session.labels()
    assert labels["verdict"].tolist() == ["right", "wrong"]
    assert labels["note"].tolist() == ["", "came after all"]


def test_agreement_counts_the_same_labels_as_python(join: Joined) -> None:
    session = opened()
    for row, verdict in enumerate(["right", "right", "wrong", "unsure"]):
        session.label(f"d{row}", "Late buses", verdict)
    concept = next(iter(session.concepts.values()))
    put(session, concept, [0.0, *SCORES["Late buses"][1:]])
    [counted] = session.agreement().to_dict("records")
    assert (counted["n_right"], counted["n_wrong"], counted["n_outdated"]) == (1, 1, 1)
    page = join(session.vis(slice_col="area"))
    page.get_by_role("rowheader", name="Late buses").click()
    agreement = page.locator(".lloom-labelbar .lloom-agreement")
    agreement.wait_for()
    text = agreement.text_content() or ""
    assert text.startswith("50% right (1 of 2 judged")
    assert text.endswith(", 1 unsure, 1 outdated few labels")
