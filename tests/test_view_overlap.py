"""Overlap in a browser: what concepts share, and the way from a pair to its documents and to merging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.view_talk import edits, trait

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

OVERLAP = {"tab": "overlap"}


def shared(page: Page, a: int, b: int, lowest: int = 4) -> dict[str, int]:
    """Documents that match both, and either, counted from the corpus."""
    counts: dict[str, int] = page.evaluate(
        """([a, b, lowest]) => {
          const { scores, documents } = window.lloom.corpus;
          const n = documents.length;
          let [both, either] = [0, 0];
          for (let row = 0; row < n; row++) {
            const [x, y] = [scores[a * n + row], scores[b * n + row]];
            if (x === 255 || y === 255) continue;
            both += x >= lowest && y >= lowest;
            either += x >= lowest || y >= lowest;
          }
          return { both, either };
        }""",
        [a, b, lowest],
    )
    return counts


def test_cells_count_common_documents_and_follow_the_threshold(open_view: OpenView) -> None:
    page = open_view(docs=400, state=OVERLAP)
    cell = page.locator('[data-cell="1 0"]')
    counts = shared(page, 1, 0)
    assert cell.inner_text() == str(counts["both"])
    jaccard = counts["both"] / counts["either"]
    assert cell.get_attribute("aria-label") == (
        f"Public transport and Energy prices: {counts['both']} in common, Jaccard {jaccard:.2f}"
    )
    page.evaluate("window.lloom.model.set('state', { tab: 'overlap', threshold: 0.75 })")
    lower = shared(page, 1, 0, 3)
    assert lower["both"] > counts["both"]
    page.wait_for_function(
        "n => document.querySelector('[data-cell=\"1 0\"]').textContent === String(n)", arg=lower["both"]
    )


def test_a_pair_opens_exactly_its_documents(open_view: OpenView) -> None:
    page = open_view(docs=400, state=OVERLAP)
    page.locator('[data-cell="2 1"]').click()
    state = trait(page, "state")
    assert (state["concept"], state["also"]) == ("concept-1", ["concept-2"])
    both = shared(page, 1, 2)["both"]
    page.get_by_text(f"{both} of 400 documents").wait_for()
    pair = page.get_by_role("group", name="Chosen pair")
    assert pair.inner_text().startswith(f"{both} documents in both")
    pair.get_by_role("button", name="Clear").click()
    page.get_by_text("400 of 400 documents").wait_for()


def test_merge_these_two_leads_to_the_merge_dialog(open_view: OpenView) -> None:
    page = open_view(docs=400, state=OVERLAP)
    page.locator('[data-cell="2 1"]').click()
    page.get_by_role("button", name="Merge these two…").click()
    dialog = page.get_by_role("dialog", name="Merge concepts")
    assert dialog.get_by_role("checkbox", checked=True).count() == 2
    dialog.get_by_role("button", name="Merge 2 concepts").click()
    dialog.wait_for(state="detached")
    assert edits(page)[0]["concept_ids"] == ["concept-1", "concept-2"]
    page.wait_for_function("document.querySelectorAll('.lloom-grid tbody tr').length === 6")
    page.get_by_role("button", name="Undo: merge").click()
    page.wait_for_function("document.querySelectorAll('.lloom-grid tbody tr').length === 8")


def test_arrows_walk_the_triangle(open_view: OpenView) -> None:
    page = open_view(docs=200, state=OVERLAP)
    assert page.locator(".lloom-grid [tabindex='0']").count() == 1
    page.locator('[data-cell="1 0"]').focus()
    where = "document.activeElement.dataset.cell"
    for key, cell in [
        ("ArrowDown", "2 0"),
        ("ArrowRight", "2 1"),
        ("ArrowRight", "2 1"),
        ("ArrowUp", "2 1"),
        ("ArrowDown", "3 1"),
        ("End", "3 2"),
        ("Home", "3 0"),
        ("ArrowUp", "2 0"),
    ]:
        page.keyboard.press(key)
        assert page.evaluate(where) == cell, key
    page.keyboard.press("Enter")
    assert trait(page, "state")["also"] == ["concept-2"]


def test_the_most_alike_pairs_are_listed_first(open_view: OpenView) -> None:
    page = open_view(docs=400, concepts=12, state=OVERLAP)
    figures = page.locator(".lloom-pair-figures").all_inner_texts()
    shares = [float(text.split("%")[0]) for text in figures]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    page.get_by_role("button", name="Show 12 pairs").click()
    assert page.locator(".lloom-pair").count() == 12
    page.locator(".lloom-pair").first.click()
    page.get_by_role("group", name="Chosen pair").wait_for()


def test_one_concept_has_nothing_to_compare(open_view: OpenView) -> None:
    page = open_view(docs=100, concepts=1, state=OVERLAP)
    page.get_by_text("Nothing to compare yet").wait_for()


def test_sixty_concepts_scroll_inside_the_panel(open_view: OpenView) -> None:
    page = open_view(docs=300, concepts=60, width=360, state=OVERLAP)
    assert page.locator(".lloom-grid-cell").count() == 60 * 59 // 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_editing_merging_is_not_offered(open_view: OpenView) -> None:
    page = open_view(docs=200, state=OVERLAP, editable="no")
    page.locator('[data-cell="1 0"]').click()
    page.get_by_role("group", name="Chosen pair").wait_for()
    assert page.get_by_role("button", name="Merge these two…").count() == 0
