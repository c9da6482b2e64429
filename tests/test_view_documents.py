"""Detail, documents and the pane in a browser: threshold, search, filters, sorting, reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.test_view_matrix import listed, shown_rows, true_rows

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

CONCEPT = {"concept": "concept-1"}


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.lloom.model.get('state')")
    return found


def wait_listed(page: Page, n: int) -> None:
    page.wait_for_function(
        "n => document.querySelector('.lloom-documents-title').innerText.startsWith(`${n} of`)", arg=n
    )


def test_dragging_the_threshold_moves_every_count(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    assert listed(page) == f"{len(true_rows(page, 1, None))} of 300 documents"
    handle = page.get_by_role("slider")
    box = handle.bounding_box()
    assert box is not None
    y = box["y"] + 40
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] - 30, y, steps=4)
    page.mouse.move(box["x"] - 78, y, steps=4)
    page.mouse.up()
    expected = len(true_rows(page, 1, None, code=2))
    wait_listed(page, expected)
    assert state(page)["threshold"] == 0.5
    assert handle.get_attribute("aria-valuenow") == "0.5"
    assert page.locator('[data-concept="concept-1"] .lloom-bar-count').inner_text() == str(expected)
    assert page.locator(".lloom-detail-count strong").first.inner_text() == str(expected)


def test_the_threshold_moves_by_keys(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    wait_listed(page, len(true_rows(page, 1, None, code=3)))
    page.keyboard.press("Home")
    wait_listed(page, len(true_rows(page, 1, None, code=1)))
    page.keyboard.press("End")
    wait_listed(page, len(true_rows(page, 1, None)))


def test_matches_non_matches_and_all(open_view: OpenView) -> None:
    page = open_view(docs=200, state=CONCEPT)
    matching = true_rows(page, 1, None)
    scored = true_rows(page, 1, None, code=0)
    page.get_by_role("button", name="Non-matches").click()
    wait_listed(page, len(scored) - len(matching))
    assert set(shown_rows(page)) == set(scored) - set(matching)
    page.get_by_role("button", name="All", exact=True).click()
    wait_listed(page, 200)


def test_search_finds_marks_and_ends(open_view: OpenView) -> None:
    page = open_view(docs=300, state={"concept": "concept-2", "show": "all"})
    page.get_by_role("searchbox", name="Search the texts").fill("LUXURY  flats")
    expected = page.evaluate(
        "window.lloom.corpus.documents.filter(({text}) => text.includes('luxury flats')).map(({row}) => row)"
    )
    wait_listed(page, len(expected))
    assert sorted(shown_rows(page)) == expected
    page.locator(".lloom-hit").first.wait_for()
    assert set(page.locator(".lloom-row .lloom-hit").all_inner_texts()) == {"luxury flats"}
    page.get_by_role("button", name="Remove filter “LUXURY flats”").click()
    wait_listed(page, 300)
    assert page.get_by_role("searchbox", name="Search the texts").input_value() == ""


def test_filters_by_score_slice_and_columns_join_and_reset(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_role("group", name="Score").get_by_label("0.75").check()
    page.get_by_role("group", name="office").get_by_label("Senate").check()
    page.get_by_role("group", name="office").get_by_label("Mayor").check()
    page.get_by_role("group", name="party").get_by_label("Republican").check()
    page.get_by_role("group", name="party").get_by_label("Democratic").check()
    page.get_by_label("likes from").fill("5")
    page.get_by_label("likes to").fill("900")
    page.keyboard.press("Enter")
    expected = page.evaluate(
        """() => {
          const { scores, sliceCodes, documents } = window.lloom.corpus;
          return documents.filter(({ row, meta }) =>
            scores[documents.length + row] === 3 && [0, 3].includes(sliceCodes[row])
            && meta.party !== 'Independent'
            && meta.likes !== null && meta.likes >= 5 && meta.likes <= 900).map(({ row }) => row);
        }"""
    )
    wait_listed(page, len(expected))
    assert sorted(shown_rows(page)) == expected
    assert state(page)["columns"] == {
        "party": {"values": ["Democratic", "Republican"]},
        "likes": {"min": 5, "max": 900},
    }
    page.locator(".lloom-reader").evaluate("(frame) => { frame.scrollTop = 0 }")
    page.get_by_role("button", name="Reset filters").first.click()
    wait_listed(page, len(true_rows(page, 1, None)))
    assert page.locator(".lloom-active-filters").count() == 0


def test_a_column_of_texts_is_filtered_by_what_it_contains(open_view: OpenView) -> None:
    page = open_view(docs=300, remarks=1, late=200)
    page.get_by_role("button", name="Filter", exact=True).click()
    field = page.get_by_label("remark contains")
    field.press_sequentially("left for  müller")
    expected = page.evaluate(
        """window.lloom.corpus.documents
          .filter(({ meta }) => meta.remark?.includes('MÜLLER')).map(({ row }) => row)"""
    )
    wait_listed(page, len(expected))
    assert sorted(shown_rows(page)) == expected
    assert state(page)["columns"] == {"remark": {"contains": "left for  müller"}}
    page.get_by_label("likes from").fill("10")
    field.fill("")
    page.get_by_role("button", name="Remove filter remark").wait_for(state="detached")
    assert state(page)["columns"] == {"likes": {"min": 10}}
    field.fill("seen")
    page.get_by_role("button", name="Remove filter remark: “seen”").click()
    assert field.input_value() == ""
    assert state(page)["columns"] == {"likes": {"min": 10}}


def test_values_of_a_column_of_texts_are_asked_of_the_kernel(open_view: OpenView) -> None:
    wanted = {"remark": {"values": ["Remark 2: Left for MÜLLER", "Remark 3: Seen", None]}}
    page = open_view(docs=100, remarks=1, state={"columns": wanted})
    wait_listed(page, 2 + 11)
    assert set(shown_rows(page)) == {2, 3, *range(4, 100, 9)}


def test_no_result_offers_to_reset(open_view: OpenView) -> None:
    page = open_view(docs=100, state={**CONCEPT, "query": "no such words"})
    empty = page.locator(".lloom-documents .lloom-empty")
    assert "No document passes these filters" in empty.inner_text()
    empty.get_by_role("button", name="Reset filters").click()
    wait_listed(page, len(true_rows(page, 1, None)))


def test_sorting_by_number_column_puts_missing_values_last(open_view: OpenView) -> None:
    page = open_view(docs=150, width=1500)
    for expected_order in ("ascending", "descending"):
        page.get_by_role("columnheader", name="likes").get_by_role("button").click()
        page.wait_for_function(
            "order => document.querySelector('.lloom-table-head [aria-sort]:last-child').ariaSort === order",
            arg=expected_order,
        )
        likes = page.evaluate("window.lloom.corpus.documents.map(({ meta }) => meta.likes)")
        found = [likes[row] for row in shown_rows(page)]
        present = [value for value in found if value is not None]
        assert present == sorted(present, reverse=expected_order == "descending")
        assert found[len(present) :] == [None] * (len(found) - len(present))
        page.locator(".lloom-reader").evaluate("(frame) => { frame.scrollTop = 0 }")


def test_every_order_can_be_chosen(open_view: OpenView) -> None:
    page = open_view(docs=120)
    choice = page.get_by_label("Sort documents by")
    for by, key in [("id", "id"), ("text", "text"), ("column:party", "meta.party")]:
        choice.select_option(by)
        page.wait_for_function("by => window.lloom.model.get('state').doc_sort.by === by", arg=by)
        values = page.evaluate(f"window.lloom.corpus.documents.map((d) => d.{key})")
        found = [values[row] for row in shown_rows(page)]
        assert found == sorted(found)
        page.locator(".lloom-reader").evaluate("(frame) => { frame.scrollTop = 0 }")


def test_columns_are_chosen(open_view: OpenView) -> None:
    page = open_view(docs=60, width=1500)
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("group", name="Columns shown").get_by_label("posted").check()
    page.get_by_role("group", name="Columns shown").get_by_label("party").uncheck()
    heads = page.locator(".lloom-table-head .lloom-cell-meta").all_inner_texts()
    assert [head.strip() for head in heads] == ["likes", "posted"]
    assert page.locator(".lloom-row .lloom-cell-meta").nth(1).inner_text().startswith("2024-")


def test_rows_in_the_page_stay_few(open_view: OpenView) -> None:
    page = open_view(docs=20_000)
    frame = page.locator(".lloom-reader")
    for share in (0.2, 0.77, 1):
        frame.evaluate("(frame, share) => { frame.scrollTop = frame.scrollHeight * share }", share)
        page.locator(".lloom-row .lloom-row-text").first.wait_for()
        assert page.locator(".lloom-row").count() < 30
    page.locator('.lloom-row[aria-rowindex="20001"] .lloom-row-text').wait_for()
    asked = page.evaluate(
        "window.lloom.model.sent.filter(({ kind }) => kind === 'rows').map(({ rows }) => rows.length)"
    )
    assert max(asked) <= 150


def test_the_pane_shows_the_whole_document_and_every_score(open_view: OpenView) -> None:
    page = open_view(docs=200, state=CONCEPT)
    page.locator(".lloom-row").nth(2).click()
    pane = page.get_by_role("complementary", name="Document")
    pane.locator(".lloom-pane-text").wait_for()
    row = state(page)["document"]
    document = page.evaluate("(row) => window.lloom.corpus.documents[row]", row)
    assert pane.locator(".lloom-pane-text").inner_text() == document["text"]
    assert pane.locator(".lloom-pane-concept").count() == 8
    start, end = page.evaluate("(row) => window.lloom.corpus.documents[row].judged.get(1)", row)
    encoded = document["text"].encode("utf-16-le")
    assert pane.locator("mark").inner_text() == encoded[2 * start : 2 * end].decode("utf-16-le").rstrip()
    page.keyboard.press("j")
    page.wait_for_function("(row) => window.lloom.model.get('state').document !== row", arg=row)
    page.keyboard.press("Escape")
    assert pane.count() == 0


def test_highlights_stand_right_after_emoji(open_view: OpenView) -> None:
    page = open_view(docs=400, state={"concept": "concept-0"})
    row = page.evaluate(
        """() => window.lloom.corpus.documents.find(({ text, judged }) =>
             judged.has(0) && text.indexOf('🙏🏽') >= 0 && text.indexOf('🙏🏽') < judged.get(0)[0]).row"""
    )
    page.evaluate("(row) => window.lloom.model.set('state', { concept: 'concept-0', document: row })", row)
    mark = page.locator(".lloom-pane-text mark")
    sentence = mark.inner_text()
    topics = [
        "My heating bill doubled since last winter and nobody can explain why.",
        "The utility wants another rate hike on top of the surcharge from March.",
        "Small bakeries here close because they cannot pay for gas any more.",
    ]
    assert sentence in topics


def in_sight(page: Page) -> list[int]:
    """Positions in the list, from 0, of the rows that are whole in sight under the header, top to bottom."""
    rows: list[int] = page.evaluate(
        """() => {
          const frame = document.querySelector(".lloom-reader").getBoundingClientRect();
          const head = document.querySelector(".lloom-table-head").getBoundingClientRect();
          return [...document.querySelectorAll(".lloom-row")]
            .map((row) => [row.getBoundingClientRect(), Number(row.ariaRowIndex) - 2])
            .filter(([{ top, bottom }]) => top >= head.bottom - 2 && bottom <= frame.bottom + 2)
            .sort(([a], [b]) => a.top - b.top)
            .map(([, at]) => at);
        }"""
    )
    return rows


def test_more_rows_than_a_browser_can_stack_are_all_reached(open_view: OpenView) -> None:
    n = 200_000
    page = open_view(docs=n, concepts=2, slices=2)
    page.locator(".lloom-row .lloom-row-text").first.wait_for()
    frame = page.locator(".lloom-reader")
    assert frame.evaluate("(frame) => frame.scrollHeight") < 16_000_000
    page.locator(".lloom-table").focus()
    page.keyboard.press("End")
    page.locator(f'.lloom-row[aria-rowindex="{n + 1}"] .lloom-row-text').wait_for()
    assert in_sight(page)[-1] == n - 1
    # The scroll bar means a share of the whole; the wheel and the keys go row by row from there.
    frame.evaluate("(frame) => { frame.scrollTop = frame.scrollHeight / 2 }")
    page.wait_for_function(
        "Math.abs(Number(document.querySelector('.lloom-row')?.ariaRowIndex) - 100_000) < 1000"
    )
    page.wait_for_timeout(300)
    box = frame.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + box["height"] - 60)
    before = in_sight(page)
    assert before == list(range(before[0], before[0] + len(before)))
    for step in range(1, 16):
        page.mouse.wheel(0, 96)
        page.wait_for_function(
            "at => document.querySelector(`.lloom-row[aria-rowindex='${at}']`) !== null",
            arg=before[-1] + step + 2,
        )
    page.wait_for_timeout(400)
    assert in_sight(page) == [at + 15 for at in before]
    page.locator(".lloom-row").nth(6).click()
    page.keyboard.press("Escape")
    current = page.locator('.lloom-row[aria-selected="true"]')
    at = int(current.get_attribute("aria-rowindex") or 0)
    for _ in range(12):
        page.keyboard.press("j")
    page.locator(f'.lloom-row[aria-selected="true"][aria-rowindex="{at + 12}"]').wait_for()
    assert at + 12 - 2 in in_sight(page)
    page.keyboard.press("Home")
    page.locator('.lloom-row[aria-selected="true"][aria-rowindex="2"]').wait_for()
    assert in_sight(page)[0] == 0


def test_the_list_is_read_by_keys(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    page.get_by_role("grid", name="Documents").focus()
    rows = page.evaluate("[...document.querySelectorAll('.lloom-row')].map((row) => Number(row.dataset.row))")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    current = page.locator('.lloom-row[aria-selected="true"]')
    assert int(current.get_attribute("data-row") or -1) == rows[1]
    page.keyboard.press("Enter")
    assert state(page)["document"] == rows[1]
    page.keyboard.press("Escape")
    assert "document" not in state(page)
    page.keyboard.press("End")
    assert current.get_attribute("aria-rowindex") == str(len(true_rows(page, 1, None)) + 1)


def test_no_key_is_lost_while_the_pane_opens_and_closes(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT)
    grid = page.get_by_role("grid", name="Documents")
    grid.focus()
    # All keys come before the next frame, each to what has the focus by then.
    focused = page.evaluate(
        """async (keys) => {
            const focused = [];
            for (const key of keys) {
                const press = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
                document.activeElement.dispatchEvent(press);
                for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
                focused.push(document.activeElement.className);
            }
            return focused;
        }""",
        ["j", "Enter", "j", "Escape", "End"],
    )
    assert focused == ["lloom-table", "lloom-pane", "lloom-pane", "lloom-table", "lloom-table"]
    current = page.locator('.lloom-row[aria-selected="true"]')
    assert current.get_attribute("aria-rowindex") == str(len(true_rows(page, 1, None)) + 1)


def test_small_groups_are_marked_and_intervals_told(open_view: OpenView) -> None:
    page = open_view(docs=120, slices=8, state=CONCEPT)
    small = page.locator(".lloom-slice-bar--small")
    assert small.count() > 0
    label = small.first.get_attribute("aria-label")
    assert label is not None
    assert "95% interval" in label
    assert label.endswith("small group")
    assert "fewer than 20 documents" in page.locator(".lloom-slices").inner_text()


def test_a_busy_kernel_is_told_and_asked_again(open_view: OpenView) -> None:
    page = open_view(docs=100, silent="rows", timeout=600)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "The kernel is busy" in alert.inner_text()
    page.evaluate("window.lloom.silent.clear()")
    alert.get_by_role("button", name="Retry").click()
    page.locator(".lloom-row .lloom-row-text").first.wait_for()
    alert.wait_for(state="detached")


def test_a_refused_request_shows_why(open_view: OpenView) -> None:
    page = open_view(docs=100, refuse="search")
    page.get_by_role("searchbox", name="Search the texts").fill("bus")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "search is refused here" in alert.inner_text()


@pytest.mark.parametrize("concept", ["concept-1", None], ids=["concept", "all"])
def test_sample_rows_stand_in_where_no_message_is_answered(open_view: OpenView, concept: str | None) -> None:
    page = open_view(docs=100, silent="rows", sample=5, state={"concept": concept, "doc_sort": {"by": "row"}})
    page.locator(".lloom-row .lloom-row-text").first.wait_for()
    assert page.locator(".lloom-row .lloom-row-text").count() >= 1


def test_a_date_beyond_all_calendars_is_a_filter_like_others(open_view: OpenView) -> None:
    page = open_view(docs=100, state={**CONCEPT, "columns": {"posted": {"max": 1e300}}})
    page.locator(".lloom-chip", has_text="posted: up to 1e+300").wait_for()
    page.get_by_role("button", name="Filter", exact=True).click()
    assert page.get_by_label("posted to").input_value() == ""


def test_of_a_very_long_document_the_passage_and_the_scores_are_in_sight(open_view: OpenView) -> None:
    page = open_view(docs=100, concepts=30, state=CONCEPT)
    page.locator(".lloom-row .lloom-row-text").first.wait_for()
    row = true_rows(page, 1, None)[1]
    page.evaluate(
        """(row) => {
          const document = window.lloom.corpus.documents[row];
          const filler = "The council met again and nothing was decided. ".repeat(600);
          const passage = "This is the decisive sentence.";
          document.text = filler + passage + filler;
          document.judged = new Map([[1, [filler.length, filler.length + passage.length]]]);
        }""",
        row,
    )
    page.evaluate("row => window.lloom.model.set('state', { concept: 'concept-1', document: row })", row)
    text = page.locator(".lloom-pane-text")
    mark = text.locator("mark")
    mark.wait_for()
    (frame, at) = (text.bounding_box(), mark.bounding_box())
    assert frame is not None
    assert at is not None
    assert frame["height"] > 300
    assert frame["y"] <= at["y"]
    assert at["y"] + at["height"] <= frame["y"] + frame["height"]
    assert (page.locator(".lloom-pane-scores").bounding_box() or {})["y"] < 760
    # The keys go on where the text was clicked, too.
    text.click()
    page.keyboard.press("j")
    page.locator(".lloom-pane-id").filter(has_not_text=f"post-{row + 1:04}").wait_for()
    assert state(page)["document"] != row
