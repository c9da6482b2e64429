"""Parts that are proposed for a broad concept: groups among its documents, named by their words."""

from __future__ import annotations

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL
from text_lloom.analysis.splitting import SplitPart, propose_parts
from text_lloom.scores import Judgement

PLACES = ["Hull", "Leeds", "York", "Bath", "Derby", "Luton", "Crewe", "Dover", "Poole", "Truro"]
BUSES = [f"The bus to {place} was late and the driver said nothing." for place in PLACES]
TICKETS = [f"A monthly ticket to {place} costs too much money for families." for place in PLACES[:6]]
NAME, CRITERIA = "Trouble with transport", "Does the text complain about transport?"


def parts_of(passages: list[str], rows: list[int] | None = None, **options: object) -> list[SplitPart]:
    rows = list(range(len(passages))) if rows is None else rows
    return propose_parts(passages, rows, **({"name": NAME, "criteria": CRITERIA} | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def parts() -> list[SplitPart]:
    mixed = [text for pair in zip(BUSES, [*TICKETS, *[""] * 4], strict=True) for text in pair if text]
    return parts_of(mixed, [100 + 10 * at for at in range(len(mixed))])


def test_each_group_is_a_part_the_largest_first(parts: list[SplitPart]) -> None:
    assert [part.n for part in parts] == [10, 6]
    mixed = [text for pair in zip(BUSES, [*TICKETS, *[""] * 4], strict=True) for text in pair if text]
    shown = [[mixed[(row - 100) // 10] for row in part.rows] for part in parts]
    assert [len(texts) for texts in shown] == [5, 5], "at most five examples"
    assert all("bus" in text for text in shown[0])
    assert all("ticket" in text for text in shown[1])


def test_a_part_is_named_by_its_own_words_after_the_whole(parts: list[SplitPart]) -> None:
    buses, tickets = parts
    assert all(part.name.startswith(f"{NAME}: ") for part in parts)
    assert all(part.criteria.startswith(f"{CRITERIA} Only texts that are about ") for part in parts)
    assert all(part.criteria.endswith(".") for part in parts)
    assert any(word in buses.name.lower() for word in ("bus", "driver", "late"))
    assert any(word in tickets.name.lower() for word in ("ticket", "money", "famil", "month"))
    named = [set(part.name.removeprefix(f"{NAME}: ").lower().split()) - {"and"} for part in parts]
    assert not named[0] & named[1]
    assert buses.criteria == f"{CRITERIA} Only texts that are about bus or driver."
    assert "in terms such as" in tickets.criteria


def test_parts_are_not_named_by_the_words_of_the_whole() -> None:
    names = [part.name for part in parts_of([*BUSES, *TICKETS], name="Late bus ticket")]
    assert names
    for name in names:
        own = name.removeprefix("Late bus ticket: ").lower()
        assert not {"bus", "buses", "ticket", "tickets"} & set(own.split())


def test_the_same_texts_give_the_same_parts() -> None:
    assert parts_of([*BUSES, *TICKETS]) == parts_of([*BUSES, *TICKETS])


@pytest.mark.parametrize(
    "passages",
    [BUSES[:3], BUSES[:1] * 8, [], [*BUSES[:2], TICKETS[0]]],
    ids=["three", "all equal", "none", "three of two kinds"],
)
def test_there_are_no_parts_of_few_or_equal_documents(passages: list[str]) -> None:
    assert parts_of(passages) == []


def test_four_documents_are_enough() -> None:
    parts = parts_of([BUSES[0], BUSES[1], TICKETS[0], TICKETS[1]])
    assert sorted(sorted(part.rows) for part in parts) == [[0, 1], [2, 3]]
    assert [part.n for part in parts] == [2, 2]


def test_of_very_many_documents_some_are_read_and_all_are_counted() -> None:
    texts = [*BUSES, *TICKETS, BUSES[0]] * 324
    assert len(texts) == 5508
    parts = parts_of(texts)
    assert len(parts) >= 2
    assert sum(part.n for part in parts) == 5508
    assert all(row % 2 == 0 for part in parts for row in part.rows), "every second one is read"


SEVEN = {
    "bus": "The bus to {} was late and the driver said nothing.",
    "ticket": "A monthly ticket to {} costs too much money for families.",
    "lane": "Cycling in {} is dangerous because cars park on the lane.",
    "noise": "Night trains through {} keep children awake with loud horns.",
    "lift": "The broken lift at {} station leaves wheelchair users stranded.",
    "toilet": "Dirty toilets at {} smell awful and nobody cleans them.",
    "app": "The mobile app shows wrong departures from {} and crashes daily.",
}


def test_there_are_at_most_five_parts_and_the_last_has_the_rest() -> None:
    texts = [text.format(place) for place in PLACES for text in SEVEN.values()]
    parts = parts_of(texts)
    assert len(parts) == 5
    assert sum(part.n for part in parts) == 70
    assert [part.n for part in parts[:4]] == [10] * 4
    assert parts[4].n == 30


def test_a_session_proposes_parts_of_the_documents_that_match() -> None:
    frame = pd.DataFrame({"text": [*BUSES, *TICKETS, "I like the new benches in the park."]})
    session = wb.lloom(frame, "text", **LOCAL)
    concept = session.add_concept(NAME, CRITERIA)
    for row in range(16):
        session.table.put(concept, row, Judgement(1.0))
    session.table.put(concept, 16, Judgement(0.0))
    proposed = session.propose_split(concept.id)
    assert sorted(part.n for part in proposed) == [6, 10]
    made = session.split(concept.id, proposed)
    assert [part.name for part in made] == [part.name for part in proposed]
    assert set(made[0].example_ids) <= set(range(10))
