"""The frame in a browser: tabs, themes, hosts, two views of one model, progress, and the end of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from text_lloom.widget.state import TABS

if TYPE_CHECKING:
    from tests.browser import OpenView

BACKGROUND = "getComputedStyle(document.querySelector('.lloom-root')).backgroundColor"
SHADE = "document.querySelector('.lloom-root').dataset.shade"

CONCEPT = {"concept": "concept-0"}


def test_tabs_are_a_tab_list(open_view: OpenView) -> None:
    page = open_view(docs=60)
    page.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", selected=True).inner_text() == "Matrix"
    assert page.evaluate("document.activeElement.innerText") == "Matrix"
    page.keyboard.press("End")
    assert page.get_by_role("tab", selected=True).inner_text() == "History"
    assert page.evaluate("window.lloom.model.get('state').tab") == "history"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("document.body.dataset.jpThemeLight = 'false'", "dark"),
        ("document.body.dataset.jpThemeLight = 'true'", "light"),
        ("document.body.className = 'vscode-dark'", "dark"),
        ("document.documentElement.classList.add('dark')", "dark"),
        ("document.body.dataset.theme = 'dark'", "dark"),
        ("document.body.style.colorScheme = 'dark'", "dark"),
    ],
    ids=["jupyterlab-dark", "jupyterlab-light", "vscode", "marimo", "data-theme", "color-scheme"],
)
def test_the_view_follows_the_host(open_view: OpenView, host: str, expected: str) -> None:
    page = open_view(docs=40)
    page.evaluate(host)
    page.wait_for_function(f"expected => {SHADE} === expected", arg=expected)


def test_the_view_follows_the_system_and_an_override_wins(open_view: OpenView) -> None:
    page = open_view(docs=40)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{SHADE} === 'dark'")
    forced = open_view(docs=40, theme="light")
    forced.evaluate("document.body.dataset.jpThemeLight = 'false'")
    forced.emulate_media(color_scheme="dark")
    assert forced.evaluate(SHADE) == "light"
    assert forced.evaluate(BACKGROUND) == "rgb(255, 255, 255)"


def test_the_host_says_nothing_of_our_buttons(open_view: OpenView) -> None:
    page = open_view(docs=40, state={"concept": "concept-0", "slice": 0})
    page.add_style_tag(
        content=".jp-ThemedContainer button { border-radius: 0; color: red } button { letter-spacing: 9px }"
    )
    page.evaluate("document.body.classList.add('jp-ThemedContainer')")
    styles = page.evaluate(
        """[...document.querySelectorAll('.lloom-documents .lloom-chip')]
          .map((chip) => [getComputedStyle(chip).borderRadius, getComputedStyle(chip).color])"""
    )
    assert styles
    assert all(radius == "11px" and color != "rgb(255, 0, 0)" for radius, color in styles)


def test_the_host_paper_is_taken(open_view: OpenView) -> None:
    page = open_view(docs=40)
    page.evaluate("document.documentElement.style.setProperty('--jp-layout-color1', 'rgb(250, 240, 230)')")
    assert page.evaluate(BACKGROUND) == "rgb(250, 240, 230)"


@pytest.mark.parametrize("tab", TABS)
def test_nothing_overflows_at_360_pixels(open_view: OpenView, tab: str) -> None:
    page = open_view(docs=80, width=360, concepts=12, state={"tab": tab, "concept": "concept-1"})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate(
        """[...document.querySelectorAll('.lloom-root, .lloom-panel, .lloom-reader')]
          .every((element) => element.clientWidth <= 360)"""
    )


def test_two_views_of_one_model_stay_in_step(open_view: OpenView) -> None:
    page = open_view(docs=80, two=1)
    first, second = page.locator(".lloom-root").all()
    first.get_by_role("button", name="Housing costs").click()
    assert second.get_by_role("heading", name="Housing costs").is_visible()
    second.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    assert (
        first.locator(".lloom-documents-title").inner_text()
        == second.locator(".lloom-documents-title").inner_text()
    )
    assert first.get_by_role("slider").get_attribute("aria-valuenow") == "0.75"


def test_what_python_changes_shows_at_once(open_view: OpenView) -> None:
    page = open_view(docs=80)
    page.evaluate("window.lloom.model.set('state', { tab: 'matrix', concept: 'concept-3', norm: 'slice' })")
    assert page.get_by_role("tab", selected=True).inner_text() == "Matrix"
    assert page.get_by_role("heading", name="Trust in elections").is_visible()
    page.evaluate(
        """() => {
          const { model, corpus } = window.lloom;
          model.set('scores', new DataView(new Uint8Array(corpus.scores.length).fill(4).buffer));
        }"""
    )
    page.wait_for_function(
        "document.querySelector('.lloom-documents-title').innerText.startsWith('80 of 80')"
    )


def test_scores_that_do_not_start_at_a_boundary_are_read(open_view: OpenView) -> None:
    page = open_view(docs=81, state={"tab": "matrix"})
    before = page.locator(".lloom-matrix-size").all_inner_texts()
    page.evaluate(
        """() => {
          const { model, corpus } = window.lloom;
          const shifted = new Uint8Array(corpus.sliceCodes.byteLength + 3);
          shifted.set(new Uint8Array(corpus.sliceCodes.buffer), 3);
          model.set('slice_codes', new DataView(shifted.buffer, 3));
        }"""
    )
    assert page.locator(".lloom-matrix-size").all_inner_texts() == before


def test_progress_is_told_and_cancelled(open_view: OpenView) -> None:
    page = open_view(docs=80)
    page.evaluate(
        """window.lloom.model.set('progress',
          { step: 'Score', done: 30, total: 80, failures: 2, usd: 0.034, seconds: 4, cancellable: true })"""
    )
    assert "Score: 30 of 80, 2 failed, $0.03 so far" in page.locator(".lloom-progress").inner_text()
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_function("window.lloom.model.sent.some(({ kind }) => kind === 'cancel')")
    page.evaluate("window.lloom.model.set('progress', null)")
    assert page.locator(".lloom-progress").count() == 0


def test_a_notice_is_told_and_dismissed(open_view: OpenView) -> None:
    page = open_view(docs=40)
    page.evaluate(
        "window.lloom.model.set('notice', { level: 'error', text: 'The budget is spent.', at: '2026-01-01' })"
    )
    notice = page.get_by_text("The budget is spent.")
    assert notice.is_visible()
    page.get_by_role("button", name="Dismiss").click()
    assert notice.count() == 0


def test_keys_of_the_view_do_not_reach_the_notebook(open_view: OpenView) -> None:
    page = open_view(docs=80, state={"concept": "concept-0"})
    page.evaluate(
        "window.keys = []; document.addEventListener('keydown', (event) => window.keys.push(event.key))"
    )
    page.get_by_role("searchbox", name="Search the texts").click()
    page.keyboard.type("xdd")
    page.get_by_role("grid", name="Documents").focus()
    page.keyboard.press("j")
    assert page.evaluate("window.keys") == []
    page.keyboard.press("Control+s")
    assert "s" in page.evaluate("window.keys")


def test_motion_is_left_out_where_it_is_not_wanted(open_view: OpenView) -> None:
    page = open_view(docs=40)
    page.emulate_media(reduced_motion="reduce")
    moving = page.evaluate(
        """[...document.querySelectorAll('.lloom-root *')].filter((element) => {
          const { animationName, transitionDuration } = getComputedStyle(element);
          return animationName !== 'none' || parseFloat(transitionDuration) > 0;
        }).length"""
    )
    assert moving == 0


def test_a_closed_view_leaves_nothing_behind(open_view: OpenView) -> None:
    page = open_view(docs=80, state={"concept": "concept-0"})
    page.locator(".lloom-row .lloom-row-text").first.wait_for()
    page.evaluate("window.lloom.ends.forEach((end) => end())")
    assert page.locator("#view *").count() == 0
    assert page.evaluate("window.lloom.model.listenerCount()") == 0
    page.evaluate("window.lloom.model.set('state', { concept: 'concept-1' })")
    page.evaluate("document.body.classList.add('dark')")


def test_every_control_has_a_name(open_view: OpenView) -> None:
    for tab in ("overview", "matrix"):
        page = open_view(docs=80, state={"tab": tab, "concept": "concept-0", "document": 3})
        page.locator(".lloom-pane-text").wait_for()
        page.get_by_role("button", name="Filter", exact=True).click(force=True)
        nameless = page.evaluate(
            """[...document.querySelectorAll(
                '.lloom-root :is(button, input, select, [role=slider], [role=grid])')]
              .filter((e) => !(e.ariaLabel || e.innerText?.trim() || e.labels?.length)).length"""
        )
        assert nameless == 0


def test_text_stays_readable_beside_many_columns(open_view: OpenView) -> None:
    for width in (360, 1280, 1800):
        page = open_view(docs=100, width=width, state=CONCEPT)
        page.evaluate(
            """() => {
              const { model } = window.lloom;
              const about = model.get("about");
              const more = Array.from({ length: 25 }, (_, n) => ({ name: `column ${n}`, kind: "number" }));
              const columns = [...about.columns, ...more];
              model.set("about", { ...about, columns, shown_columns: columns.map(({ name }) => name) });
            }"""
        )
        text = page.locator(".lloom-row .lloom-cell-text").first
        page.locator(".lloom-row .lloom-row-foot", has_text="column 24").first.wait_for(state="attached")
        assert (text.bounding_box() or {})["width"] > 180
        inside = page.evaluate(
            "[...document.querySelectorAll('.lloom-row')].every((row) => row.scrollWidth <= row.clientWidth)"
        )
        assert inside


def test_what_stands_below_stays_in_place_when_examples_arrive(open_view: OpenView) -> None:
    page = open_view(docs=300, state=CONCEPT, late=2000)
    head = page.locator(".lloom-documents-head")
    page.locator(".lloom-example .lloom-skeleton").first.wait_for()
    before = head.bounding_box()
    page.locator(".lloom-example .lloom-skeleton").first.wait_for(state="detached")
    assert head.bounding_box() == before
    page.get_by_role("tab", name="Select").click()
    second = page.locator(".lloom-cards > li").nth(4)
    page.locator(".lloom-sample .lloom-skeleton").first.wait_for()
    before = second.bounding_box()
    page.locator(".lloom-sample .lloom-skeleton").first.wait_for(state="detached")
    assert second.bounding_box() == before


def test_text_runs_in_its_own_direction(open_view: OpenView) -> None:
    page = open_view(docs=100, state=CONCEPT)
    page.evaluate(
        """() => {
          const { model } = window.lloom;
          const [first, ...rest] = model.get("concepts");
          const name = "أسعار الطاقة!";
          const said = { name, criteria: "هل يقول النص شيئا؟!", summary: "يصف الكتاب حياتهم." };
          model.set("concepts", [{ ...first, ...said }, ...rest]);
        }"""
    )
    page.locator(".lloom-summary", has_text="يصف").wait_for()
    for part in (".lloom-summary", ".lloom-criteria", ".lloom-detail-name", ".lloom-bar-name >> text=!"):
        # Its last sign, which has no direction of its own, stands left of its first letter.
        assert page.locator(part).first.evaluate(
            """(element) => {
              const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
              const at = (from) => {
                const range = document.createRange();
                range.setStart(text, from);
                range.setEnd(text, from + 1);
                return range.getBoundingClientRect().left;
              };
              return at(text.length - 1) < at(0);
            }"""
        ), part


def test_concepts_without_scores_are_listed_found_and_opened(open_view: OpenView) -> None:
    page = open_view(docs=100, concepts=20)
    page.evaluate(
        """() => {
          const { model, corpus } = window.lloom;
          model.set("score_ids", ["concept-0"]);
          model.set("scores", new DataView(corpus.scores.slice(0, 100).buffer));
          model.set("concepts", model.get("concepts").map((item, at) => ({ ...item, scored: at === 0 })));
        }"""
    )
    rows = page.locator(".lloom-bars button")
    page.locator(".lloom-bar-unscored").nth(18).wait_for()
    assert rows.count() == 1 + 1 + 1 + 19
    page.get_by_label("Find a concept").fill("gun laws")
    row = page.locator(".lloom-bar-unscored")
    row.nth(1).wait_for(state="detached")
    assert "not scored" in row.inner_text()
    row.click()
    assert page.locator(".lloom-detail-name").inner_text() == "Gun laws"
    assert row.get_attribute("aria-current") == "true"


def test_groups_without_documents_are_no_small_groups(open_view: OpenView) -> None:
    page = open_view(docs=1, concepts=2, state=CONCEPT)
    bars = page.locator(".lloom-slice-share")
    shares = bars.all_inner_texts()
    assert "*" not in "".join(share for share in shares if "–" in share)
