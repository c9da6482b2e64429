"""The overview and the matrix in a browser: what is drawn, what is clicked, how the keyboard moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

MATRIX = {"tab": "matrix"}


def listed(page: Page) -> str:
    """How many of how many documents are listed."""
    return page.locator(".lloom-documents-title").inner_text()


def true_rows(page: Page, concept: int, slice_number: int | None, code: int = 4) -> list[int]:
    """Rows that match a concept, counted from the corpus itself."""
    rows: list[int] = page.evaluate(
        """([k, slice, from]) => {
          const { scores, sliceCodes, documents } = window.lloom.corpus;
          const n = documents.length;
          return documents.map(({ row }) => row).filter((row) => {
            const code = scores[k * n + row];
            return code !== 255 && code >= from && (slice === null || sliceCodes[row] === slice);
          });
        }""",
        [concept, slice_number, code],
    )
    return rows


def shown_rows(page: Page) -> list[int]:
    """Rows of the documents that are listed, found by scrolling through the whole list."""
    rows: list[int] = page.evaluate(
        """async () => {
          const frame = document.querySelector(".lloom-reader");
          const seen = new Map();
          const total = Number(document.querySelector(".lloom-table").getAttribute("aria-rowcount")) - 1;
          for (let top = 0; seen.size < total && top <= frame.scrollHeight; top += 300) {
            frame.scrollTop = top;
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
            for (const row of document.querySelectorAll(".lloom-row"))
              seen.set(Number(row.getAttribute("aria-rowindex")), Number(row.dataset.row));
          }
          return [...seen].sort(([a], [b]) => a - b).map(([, row]) => row);
        }"""
    )
    return rows


def test_overview_counts_every_concept_and_the_outliers(open_view: OpenView) -> None:
    page = open_view(docs=300, concepts=14)
    bars = page.locator(".lloom-bar-row[data-concept]")
    assert bars.count() == 15
    counts = [
        int(t.replace(",", "")) for t in page.locator("[data-concept] .lloom-bar-count").all_inner_texts()
    ]
    assert counts[:-1] == sorted(counts[:-1], reverse=True)
    assert counts[0] == len(true_rows(page, 0, None))
    bars.last.click()
    assert listed(page) == f"{counts[-1]} of 300 documents"
    assert page.get_by_role("heading", name="Outliers").is_visible()


def test_a_bar_opens_its_concept(open_view: OpenView) -> None:
    page = open_view(docs=300)
    page.get_by_role("button", name="Housing costs").click()
    assert page.get_by_role("heading", name="Housing costs").is_visible()
    assert page.locator(".lloom-criteria").inner_text().startswith("Does the text complain about rents")
    assert listed(page) == f"{len(true_rows(page, 2, None))} of 300 documents"
    assert page.evaluate("window.lloom.model.get('state').concept") == "concept-2"


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_cell_opens_exactly_its_documents(open_view: OpenView, by: str) -> None:
    page = open_view(docs=300, state={**MATRIX, "query": "bus", "scores": [1]})
    cell = page.locator('[data-concept="concept-1"][data-slice="2"]')
    words = cell.get_attribute("aria-label")
    if by == "mouse":
        cell.click()
    else:
        cell.focus()
        page.keyboard.press("Enter")
    expected = true_rows(page, 1, 2)
    page.wait_for_function(
        "n => document.querySelector('.lloom-documents-title').innerText.startsWith(`${n} of`)",
        arg=len(expected),
    )
    assert sorted(shown_rows(page)) == expected
    assert words is not None
    assert words.startswith(f"Public transport, slice Governor: {len(expected)} of ")
    assert cell.get_attribute("aria-selected") == "true"
    chips = page.locator(".lloom-active-filters .lloom-chip-text").all_inner_texts()
    assert chips == ["Public transport", "office: Governor"]


def test_headers_open_the_concept_and_the_slice(open_view: OpenView) -> None:
    page = open_view(docs=300, state=MATRIX)
    page.get_by_role("rowheader", name="Vaccination").click()
    assert page.evaluate(
        "[window.lloom.model.get('state').concept, window.lloom.model.get('state').slice]"
    ) == [
        "concept-4",
        None,
    ]
    page.get_by_role("columnheader", name="Slice House").click()
    size = page.evaluate("window.lloom.corpus.sliceCodes.filter((code) => code === 1).length")
    assert listed(page) == f"{size} of 300 documents"
    assert page.get_by_role("heading", name="House", exact=True).is_visible()


def test_the_area_of_a_circle_is_proportional_and_zero_draws_nothing(open_view: OpenView) -> None:
    page = open_view(docs=120, concepts=12, state=MATRIX)
    cells: list[list[float | None]] = page.evaluate(
        """() => [...document.querySelectorAll('.lloom-matrix-cell')].map((cell) => [
          Number(/: ([\\d,]+) of/.exec(cell.ariaLabel)[1].replaceAll(',', '')),
          cell.querySelector('circle') ? Number(cell.querySelector('circle').getAttribute('r')) : null,
        ])"""
    )
    assert any(n == 0 for n, _ in cells)
    assert all((radius is None) == (n == 0) for n, radius in cells)
    areas = [radius**2 / n for n, radius in cells if radius is not None and n]
    assert max(areas) == pytest.approx(min(areas), rel=0.01)


def test_normalising_is_switched_in_the_view(open_view: OpenView) -> None:
    page = open_view(docs=300, state={**MATRIX, "matrix": "heat"})
    cell = page.locator('[data-concept="concept-0"][data-slice="0"]')
    count = cell.inner_text()
    page.get_by_role("button", name="% of slice").click()
    assert cell.inner_text().endswith("%")
    page.get_by_role("button", name="% of concept").click()
    words = cell.get_attribute("aria-label")
    assert words is not None
    assert words.endswith("of all that match")
    page.get_by_role("button", name="Counts").click()
    assert cell.inner_text() == count
    page.get_by_role("button", name="Circles").click()
    assert cell.locator("circle").count() == 1


def test_rows_are_sorted_by_name_and_by_a_slice(open_view: OpenView) -> None:
    page = open_view(docs=300, state=MATRIX)
    names = page.locator(".lloom-matrix-name")
    choice = page.locator(".lloom-panel select")
    choice.select_option("name")
    assert names.all_inner_texts()[:-1] == sorted(names.all_inner_texts()[:-1])
    choice.select_option("slice:3")
    shares = page.evaluate(
        """() => [...document.querySelectorAll('[data-slice="3"]')].map((cell) => {
          const [, n, all] = /: ([\\d,]+) of ([\\d,]+)/.exec(cell.ariaLabel);
          return Number(n.replaceAll(',', '')) / Number(all.replaceAll(',', ''));
        })"""
    )[:-1]
    assert shares == sorted(shares, reverse=True)
    assert names.all_inner_texts()[-1] == "Outliers"


def test_arrows_move_through_the_grid_and_show_values(open_view: OpenView) -> None:
    page = open_view(docs=300, state=MATRIX)
    page.locator('[data-concept="concept-0"][data-slice="0"]').focus()
    assert "slice Senate" in page.locator(".lloom-tip").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = "document.activeElement.ariaLabel"
    assert page.evaluate(focused).startswith("Public transport, slice House: ")
    assert page.locator(".lloom-tip").inner_text() == page.evaluate(focused)
    page.keyboard.press("Control+Home")
    assert page.evaluate(focused).startswith("Energy prices: ")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused).startswith("Energy prices: ")
    assert page.locator(".lloom-matrix-table [tabindex='0']").count() == 1
    page.locator('[data-concept="concept-3"][data-slice="1"]').hover()
    assert "Trust in elections, slice House" in page.locator(".lloom-tip").inner_text()


@pytest.mark.parametrize(("concepts", "slices"), [(2, 2), (60, 8)], ids=["two", "sixty"])
def test_few_and_many_concepts_fit(open_view: OpenView, concepts: int, slices: int) -> None:
    page = open_view(docs=400, concepts=concepts, slices=slices, state=MATRIX)
    assert page.locator(".lloom-matrix-concept").count() == concepts + 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".lloom-body").bounding_box()["height"] <= 761  # type: ignore[index]


def test_headers_stay_in_sight_while_the_matrix_scrolls(open_view: OpenView) -> None:
    page = open_view(docs=400, concepts=60, slices=8, width=1000, state=MATRIX)
    frame = page.locator(".lloom-matrix-scroll")
    frame.evaluate("(frame) => { frame.scrollTop = 600; frame.scrollLeft = 100 }")
    inside = page.evaluate(
        """() => {
          const box = (element) => element.getBoundingClientRect();
          const frame = box(document.querySelector('.lloom-matrix-scroll'));
          const head = box(document.querySelector('.lloom-matrix-slice:nth-child(5)'));
          const names = [...document.querySelectorAll('.lloom-matrix-concept')].map(box);
          return Math.abs(head.top - frame.top) < 2
            && names.every(({ left }) => Math.abs(left - frame.left) < 2);
        }"""
    )
    assert inside
    assert frame.evaluate("(frame) => frame.scrollTop") == 600


def test_without_slices_the_matrix_says_how_to_get_them(open_view: OpenView) -> None:
    page = open_view(docs=60, slices=0, state=MATRIX)
    assert "l.vis(slice_col=" in page.locator(".lloom-panel .lloom-empty").inner_text()
