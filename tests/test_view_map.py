"""The map in a browser: drawn dots, lasso, colours, links to the other filters, keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.view_talk import sent, trait

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

MAP = {"tab": "map"}


def open_map(open_view: OpenView, **query: object) -> Page:
    page = open_view(**{"docs": 400, "state": MAP, **query})
    page.locator(".lloom-map-canvas").wait_for()
    return page


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Drag across the canvas; points are shares of its width and height."""
    box = page.locator(".lloom-map-canvas").bounding_box()
    assert box is not None
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=6)
    page.mouse.up()


def selected(page: Page) -> int:
    return int(page.locator(".lloom-documents-title").inner_text().split(" ")[0].replace(",", ""))


def wait_for_listed(page: Page, text: str) -> None:
    """Wait until the list of documents says so many of how many."""
    page.locator(".lloom-documents-title", has_text=re.compile(f"^{text}$")).wait_for()


def within(page: Page, polygon: list[list[float]]) -> int:
    """How many documents lie within a polygon, by the even-odd rule."""
    n: int = page.evaluate(
        """async (polygon) => {
          const { buffers } = await window.lloom.model.answer({ kind: "map" }, window.lloom.model);
          const places = new Float32Array(buffers[0].buffer);
          let n = 0;
          for (let row = 0; row < places.length / 2; row++) {
            const [x, y] = [places[2 * row], places[2 * row + 1]];
            let inside = false;
            for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
              const [[xi, yi], [xj, yj]] = [polygon[i], polygon[j]];
              if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
            }
            n += inside;
          }
          return n;
        }""",
        polygon,
    )
    return n


def colours(page: Page) -> int:
    """How many different colours the canvas shows."""
    n: int = page.evaluate(
        """() => {
          const canvas = document.querySelector(".lloom-map-canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const words = new Uint32Array(data.buffer);
          const seen = new Map();
          for (const word of words) seen.set(word, (seen.get(word) ?? 0) + 1);
          return [...seen.values()].filter((count) => count > 40).length;
        }"""
    )
    return n


def test_every_group_is_drawn_in_its_colour(open_view: OpenView) -> None:
    page = open_map(open_view)
    page.wait_for_function("document.querySelectorAll('.lloom-map-legend-item').length === 9")
    counts = [int(text) for text in page.locator(".lloom-map-legend-n").all_inner_texts()]
    assert sum(counts) == 400
    for _ in range(50):
        if colours(page) >= 9:
            break
        page.wait_for_timeout(50)
    assert colours(page) >= 9


def test_a_lasso_selects_what_lies_within_and_is_part_of_the_state(open_view: OpenView) -> None:
    page = open_map(open_view)
    page.get_by_role("button", name="Lasso").click()
    drag(page, (0.5, 0.05), (0.95, 0.05), (0.95, 0.6), (0.5, 0.6), (0.5, 0.05))
    polygon = trait(page, "state")["lasso"]
    assert 3 <= len(polygon) < 15
    n = within(page, polygon)
    assert 0 < n < 400
    page.wait_for_function(
        "n => document.querySelector('.lloom-documents-title').innerText.startsWith(n + ' of')", arg=str(n)
    )
    page.locator(".lloom-map-lasso").wait_for()
    page.get_by_role("button", name="Clear lasso").click()
    wait_for_listed(page, "400 of 400 documents")


def test_a_lasso_that_is_set_from_outside_is_drawn_and_selects(open_view: OpenView) -> None:
    polygon = [[0.0, -9.0], [9.0, -9.0], [9.0, 9.0], [0.0, 9.0]]
    page = open_map(open_view, state={**MAP, "lasso": polygon})
    n = within(page, polygon)
    wait_for_listed(page, f"{n} of 400 documents")
    page.locator(".lloom-map-lasso").wait_for()


def test_shift_draws_a_lasso_whatever_the_tool(open_view: OpenView) -> None:
    page = open_map(open_view)
    page.keyboard.down("Shift")
    drag(page, (0.1, 0.1), (0.5, 0.1), (0.5, 0.9), (0.1, 0.9))
    page.keyboard.up("Shift")
    n = within(page, trait(page, "state")["lasso"])
    assert 0 < n < 400
    wait_for_listed(page, f"{n} of 400 documents")


def test_the_map_and_the_other_filters_narrow_each_other(open_view: OpenView) -> None:
    page = open_map(open_view, state={**MAP, "lasso": [[0, -9], [9, -9], [9, 9], [0, 9]]})
    before = selected(page)
    page.get_by_role("searchbox").fill("bus")
    page.wait_for_function(
        "n => parseInt(document.querySelector('.lloom-documents-title').innerText) < n", arg=before
    )
    status = page.locator(".lloom-map [role=status]").inner_text()
    assert status == f"{selected(page)} of 400 documents"


def test_dragging_moves_and_the_buttons_zoom(open_view: OpenView) -> None:
    page = open_map(open_view, state={**MAP, "lasso": [[0, -9], [9, -9], [9, 9], [0, 9]]})
    box = page.locator(".lloom-map-lasso")
    before = box.get_attribute("points")
    drag(page, (0.5, 0.5), (0.6, 0.5))
    moved = box.get_attribute("points")
    assert moved != before
    assert trait(page, "state")["lasso"] == [[0, -9], [9, -9], [9, 9], [0, 9]]
    page.get_by_role("button", name="Zoom in").click()
    assert box.get_attribute("points") != moved
    page.get_by_role("button", name="All", exact=True).click()
    page.wait_for_function(
        "p => document.querySelector('.lloom-map-lasso').getAttribute('points') === p", arg=before
    )


def test_the_wheel_scrolls_the_notebook_until_the_map_has_focus(open_view: OpenView) -> None:
    page = open_map(open_view, state={**MAP, "lasso": [[0, -9], [9, -9], [9, 9], [0, 9]]})
    lasso = page.locator(".lloom-map-lasso")
    before = lasso.get_attribute("points")
    page.locator(".lloom-map-canvas").hover(position={"x": 10, "y": 10})
    page.mouse.wheel(0, -200)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert lasso.get_attribute("points") == before
    page.locator(".lloom-map-canvas").focus()
    page.mouse.wheel(0, -200)
    page.wait_for_function(
        "p => document.querySelector('.lloom-map-lasso').getAttribute('points') !== p", arg=before
    )


def test_keys_move_and_zoom_and_select_what_is_in_sight(open_view: OpenView) -> None:
    page = open_map(open_view)
    page.locator(".lloom-map-canvas").focus()
    for key in ["+", "+", "ArrowLeft", "ArrowUp"]:
        page.keyboard.press(key)
    page.get_by_role("button", name="Select in sight").click()
    polygon = trait(page, "state")["lasso"]
    assert len(polygon) == 4
    n = within(page, polygon)
    assert 0 < n < 400
    wait_for_listed(page, f"{n} of 400 documents")


def test_hovering_shows_the_document_and_a_click_opens_it(open_view: OpenView) -> None:
    page = open_map(open_view)
    canvas = page.locator(".lloom-map-canvas")
    tip = page.locator(".lloom-map-tip")
    for step in range(40):
        canvas.hover(position={"x": 60 + 10 * step, "y": 60 + 5 * step})
        if tip.count():
            break
    page.wait_for_function("document.querySelector('.lloom-map-tip-text')?.innerText.length > 5")
    text = tip.locator(".lloom-map-tip-text").inner_text()
    page.mouse.down()
    page.mouse.up()
    page.locator(".lloom-pane-text").wait_for()
    row = trait(page, "state")["document"]
    assert page.evaluate("row => window.lloom.corpus.documents[row].text", row) == text
    page.locator(".lloom-map-open").wait_for()


def test_colour_by_slice_column_and_number(open_view: OpenView) -> None:
    page = open_map(open_view)
    choice = page.get_by_label("Colour by")
    names = page.locator(".lloom-map-legend-name")
    choice.select_option("slice")
    assert "Senate" in names.all_inner_texts()
    assert trait(page, "state")["color"] == "slice"
    choice.select_option("column:party")
    page.wait_for_function("document.querySelector('.lloom-map-legend').innerText.includes('Independent')")
    choice.select_option("column:likes")
    page.wait_for_function("document.querySelector('.lloom-map-legend').innerText.includes('Missing')")
    assert re.match(r"^\d[\d,]* to \d", names.first.inner_text())


def test_the_legend_narrows_the_documents(open_view: OpenView) -> None:
    page = open_map(open_view, state={**MAP, "color": "slice"})
    item = page.locator(".lloom-map-legend").get_by_role("button", name="Mayor")
    n = item.locator(".lloom-map-legend-n").inner_text()
    item.click()
    wait_for_listed(page, f"{n} of 400 documents")
    assert item.get_attribute("aria-pressed") == "true"
    item.click()
    wait_for_listed(page, "400 of 400 documents")


def test_a_concept_in_the_legend_shows_its_scores_and_there_is_a_way_back(open_view: OpenView) -> None:
    page = open_map(open_view)
    page.locator(".lloom-map-legend").get_by_role("button", name="Vaccination").click()
    page.wait_for_function(
        "document.querySelector('.lloom-map-legend').innerText.includes('Below the threshold')"
    )
    matches = page.evaluate(
        "window.lloom.corpus.scores.slice(1600, 2000).filter((code) => code === 4).length"
    )
    assert page.locator(".lloom-map-legend-n").first.inner_text() == str(matches)
    wait_for_listed(page, f"{matches} of 400 documents")
    page.get_by_role("button", name="All concepts").click()
    wait_for_listed(page, "400 of 400 documents")


def test_a_map_that_cannot_be_had_says_why(open_view: OpenView) -> None:
    page = open_view(docs=50)
    page.evaluate(
        """() => {
          const answer = window.lloom.model.answer;
          const none = { ready: false, reason: "There are too few documents to lay out." };
          window.lloom.model.answer = (asked, model) => (asked.kind === "map" ? none : answer(asked, model));
        }"""
    )
    page.get_by_role("tab", name="Map").click()
    page.get_by_text("There is no map").wait_for()


def test_a_failed_map_can_be_asked_for_again(open_view: OpenView) -> None:
    page = open_view(docs=50)
    page.evaluate(
        """() => {
          const answer = window.lloom.model.answer;
          window.lloom.model.answer = (message, model) => {
            if (message.kind !== "map") return answer(message, model);
            window.lloom.model.answer = answer;
            return { error: "The embedding model did not answer." };
          };
        }"""
    )
    page.get_by_role("tab", name="Map").click()
    page.get_by_text("The embedding model did not answer.").wait_for()
    page.get_by_role("button", name="Retry").click()
    page.locator(".lloom-map-canvas").wait_for()
    assert len(sent(page, "map")) == 2


@pytest.mark.parametrize("width", [360, 1280])
def test_the_map_fits(open_view: OpenView, width: int) -> None:
    page = open_map(open_view, concepts=60, width=width)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(".lloom-map-canvas").bounding_box()
    assert box is not None
    assert box["width"] > 250
    assert box["height"] > 250
