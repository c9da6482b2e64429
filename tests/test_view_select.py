"""The select view in a browser: cards, finding, sorting, choosing, scoring what is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.view_talk import concept_names, sent, trait, wait_for_sent

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser import OpenView

SELECT = {"tab": "select"}


def cards(page: Page) -> list[str]:
    return page.locator(".lloom-card-name").all_inner_texts()


def test_a_card_shows_criterion_support_and_examples(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    card = page.locator('[data-concept="concept-2"]')
    card.locator(".lloom-card-examples li").first.wait_for()
    card.locator(".lloom-skeleton").first.wait_for(state="detached")
    text = card.inner_text()
    concept = trait(page, "concepts")[2]
    assert concept["criteria"] in text
    assert f"support: {concept['support']}" in text
    matches = page.evaluate("window.lloom.corpus.scores.slice(600, 900).filter((code) => code === 4).length")
    assert f"{matches} matches" in text
    first = page.evaluate("row => window.lloom.corpus.documents[row].text", concept["examples"][0])
    assert card.locator(".lloom-card-examples li").first.inner_text() == first


def test_an_example_opens_its_document(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    card = page.locator('[data-concept="concept-1"]')
    card.locator(".lloom-card-examples button").first.click()
    page.locator(".lloom-pane-text").wait_for()
    row = trait(page, "concepts")[1]["examples"][0]
    assert trait(page, "state")["document"] == row
    assert trait(page, "state")["concept"] == "concept-1"


def test_what_is_ticked_is_what_will_be_scored(open_view: OpenView) -> None:
    page = open_view(docs=200, state=SELECT)
    page.get_by_role("button", name="Select none").click()
    assert trait(page, "chosen") == []
    assert page.locator(".lloom-scorebar button").is_disabled()
    page.get_by_role("checkbox", name="Select Vaccination").check()
    page.get_by_text("Housing costs", exact=True).click()
    assert trait(page, "chosen") == ["concept-2", "concept-4"]
    page.get_by_text("2 of 8 concepts selected").wait_for()
    page.get_by_role("button", name="Select all").click()
    assert trait(page, "chosen") == [f"concept-{k}" for k in range(8)]


def test_search_narrows_the_cards_and_the_buttons_act_on_what_is_shown(open_view: OpenView) -> None:
    page = open_view(docs=200, concepts=20, state=SELECT)
    page.get_by_role("searchbox", name="Find a concept").fill("RENTS mortgages")
    assert cards(page) == ["Housing costs"]
    page.get_by_role("button", name="Deselect shown").click()
    assert "concept-2" not in trait(page, "chosen")
    assert len(trait(page, "chosen")) == 19
    page.get_by_role("searchbox", name="Find a concept").fill("zebra")
    page.get_by_role("button", name="Show all 20").click()
    assert len(cards(page)) == 20


def test_cards_are_sorted_by_name_and_by_matches(open_view: OpenView) -> None:
    page = open_view(docs=300, state=SELECT)
    names = concept_names(page)
    assert cards(page) == names
    page.get_by_label("Sort by").select_option("name")
    assert cards(page) == sorted(names)
    page.get_by_label("Sort by").select_option("prevalence")
    counts = [
        int(text.split(" ")[0].replace(",", ""))
        for text in page.locator(".lloom-card-figures span:first-child").all_inner_texts()
    ]
    assert counts == sorted(counts, reverse=True)


def test_scoring_starts_only_after_its_price_was_shown(open_view: OpenView) -> None:
    page = open_view(docs=200, state=SELECT)
    page.get_by_role("button", name="Add a concept").click()
    dialog = page.get_by_role("dialog", name="Add a concept")
    dialog.get_by_label("Name").fill("Parks")
    dialog.get_by_label("Criterion").fill("Does the text speak of parks?")
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog.wait_for(state="detached")
    page.get_by_role("checkbox", name="Select Parks").check()
    page.get_by_role("button", name="Score 1 concept, about $0.12–0.20").click()
    assert wait_for_sent(page, "score") == [
        {"concept_ids": [*(f"concept-{k}" for k in range(8)), "made-1"], "confirmed_usd": 0.2}
    ]
    page.get_by_text("The 9 selected concepts are scored.").wait_for()
    assert trait(page, "score_ids")[-1] == "made-1"


def test_what_cannot_be_done_is_not_offered(open_view: OpenView) -> None:
    page = open_view(docs=200, state=SELECT, editable="no")
    assert page.locator(".lloom-card").count() == 8
    assert page.get_by_role("checkbox").count() == 0
    for name in ["Edit", "Merge…", "Split…", "Remove…", "Add a concept", "Select all"]:
        assert page.get_by_role("button", name=name, exact=True).count() == 0
    assert page.locator(".lloom-scorebar").count() == 0
    assert sent(page, "estimate") == []


def test_two_and_sixty_concepts_and_a_narrow_notebook_fit(open_view: OpenView) -> None:
    for concepts, width in [(2, 1280), (60, 1280), (60, 360)]:
        page = open_view(docs=200, concepts=concepts, width=width, state=SELECT)
        assert len(cards(page)) == concepts
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(
            "[...document.querySelectorAll('.lloom-card')].every((c) => c.scrollWidth <= c.clientWidth)"
        )


def test_keys_typed_into_a_field_do_not_reach_the_notebook(open_view: OpenView) -> None:
    page = open_view(docs=100, state=SELECT)
    page.evaluate("document.addEventListener('keydown', (event) => (window.leaked = event.key))")
    page.get_by_role("searchbox", name="Find a concept").press_sequentially("dd x")
    assert page.evaluate("window.leaked ?? null") is None


def test_two_views_of_one_session_do_not_share_ids(open_view: OpenView) -> None:
    page = open_view(docs=100, two=1, state=SELECT)
    page.locator(".lloom-root").nth(1).get_by_role("button", name="Edit").first.click()
    second = page.locator(".lloom-root").nth(1).locator(".lloom-editor")
    second.get_by_label("Name").fill("Fuel")
    second.get_by_role("button", name="Save", exact=True).click()
    second.wait_for(state="detached")
    for k in range(2):
        assert page.locator(".lloom-root").nth(k).locator(".lloom-card-name").first.inner_text() == "Fuel"
    ids = page.evaluate("[...document.querySelectorAll('.lloom-root [id]')].map(({ id }) => id)")
    assert len(ids) == len(set(ids))
