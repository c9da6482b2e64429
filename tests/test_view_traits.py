"""What a view is sent of concepts, labels, history and columns; pages of documents at their limits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.test_view_messages import ask
from tests.view_session import NAN, documents, opened


def with_column(values: Any, name: str = "kind") -> pd.DataFrame:
    n = len(values)
    return pd.DataFrame({"doc_id": range(n), "text": [f"Bus {i} was late." for i in range(n)], name: values})


# --- concepts, labels, history -------------------------------------------------------------------------


def test_a_concept_is_sent_with_its_support_and_its_first_examples() -> None:
    frame = with_column(list("ab") * 10)
    session = opened({"Late buses": [1.0] * 20, "High fares": [0.0] * 20}, {}, frame)
    late, fares = session.concepts.values()
    late.example_ids, late.summary, late.seed = [*range(19, 4, -1), 99], "Buses are late.", "transport"
    fares.active, fares.example_ids = False, [3]
    session._support = {fares.id: 12}
    first, second = session.vis().concepts
    assert {key: first[key] for key in ("id", "name", "criteria", "summary", "seed", "active")} == {
        "id": late.id,
        "name": "Late buses",
        "criteria": late.criteria,
        "summary": "Buses are late.",
        "seed": "transport",
        "active": True,
    }
    assert first["support"] == 16, "without a count of its own, the number of its examples"
    assert first["examples"] == [19, 18, 17, 16, 15, 14, 13, 12]
    assert (first["scored"], first["stale"], first["merged_from"]) == (True, False, [])
    assert (second["support"], second["examples"], second["active"]) == (12, [3], False)


def test_generated_concepts_are_sent_with_the_documents_that_support_them() -> None:
    texts = [
        *(f"The {n} bus is late again." for n in range(9)),
        *(f"Fares went up by {n} percent." for n in range(9)),
    ]
    session = wb.lloom(pd.DataFrame({"doc_id": range(18), "text": texts}), "text", "doc_id")
    session.sync.gen(debug=False)
    session.sync.score(score_all=True)
    sent = {concept["name"]: concept["support"] for concept in session.vis().concepts}
    assert sent == {c.name: session._support[c.id] for c in session.concepts.values()}
    assert all(support >= 2 for support in sent.values())


def test_labels_are_sent_with_the_score_they_were_about() -> None:
    session = opened()
    late, fares = session.concepts.values()
    session.label("d2", "Late buses", "wrong", "it is the café's prices")
    session.label("d7", "High fares", "unsure")
    session.label("d5", "High fares", "right")
    session.change_criteria("High fares", "Does the text call fares unfair?")
    assert session.vis().labels == [
        {
            "row": 2, "concept_id": late.id, "verdict": "wrong", "note": "it is the café's prices",
            "score": 0.75, "current": True,
        },
        {"row": 7, "concept_id": fares.id, "verdict": "unsure", "note": "", "score": None, "current": False},
        {"row": 5, "concept_id": fares.id, "verdict": "right", "note": "", "score": 1.0, "current": False},
    ]  # fmt: skip


def test_the_history_is_told_in_words() -> None:
    session = opened({f"Idea {n}": [1.0] * 8 for n in range(6)}, {})
    session.rename("Idea 0", "Buses", note="plainer")
    session.change_criteria("Buses", "Is it about buses?")
    session.merge(["Buses", "Idea 1"], name="Transport")
    session.split("Idea 2", [("Two", "Is it two?"), ("Three", "Is it three?")])
    session.remove("Two", "Three", "Idea 3", "Idea 4")
    session.undo()
    history = session.vis().history
    assert [event["text"] for event in history["events"]][6:] == [
        "Rename “Idea 0” to “Buses” (plainer)",
        "Change the criterion of “Buses”",
        "Merge “Buses” and “Idea 1” into “Transport”",
        "Split “Idea 2” into “Two” and “Three”",
    ]
    assert history["events"][0]["text"] == "Add “Idea 0”"
    assert history["events"][0]["kind"] == "add"
    assert history["undo"] == "Split “Idea 2” into “Two” and “Three”"
    assert history["redo"] == "Remove “Two”, “Three”, “Idea 3” and 1 more"
    while len(session.concepts) > 1 or len(session.concepts.events) > 1:
        session.undo()
    first = session.vis().history
    assert (first["undo"], first["redo"], len(first["events"])) == ("Add “Idea 0”", "Add “Idea 1”", 1)


def test_the_history_that_is_sent_has_the_latest_five_hundred_changes() -> None:
    session = opened({"Late buses": [1.0] * 8}, {})
    for n in range(501):
        session.rename(next(iter(session.concepts)), f"Buses {n}")
    events = session.vis().history["events"]
    assert len(events) == 500
    assert events[-1]["text"] == "Rename “Buses 499” to “Buses 500”"


# --- columns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([f"v{n % 20}" for n in range(30)], "category", id="twenty-of-thirty"),
        pytest.param([f"v{n % 21}" for n in range(30)], "text", id="twenty-one-of-thirty"),
        pytest.param([f"v{n % 50:03}" for n in range(100)], "category", id="half"),
        pytest.param([f"v{n % 51:03}" for n in range(100)], "text", id="more-than-half"),
        pytest.param([f"v{n % 200:03}" for n in range(500)], "category", id="two-hundred"),
        pytest.param([f"v{n % 201:03}" for n in range(500)], "text", id="two-hundred-and-one"),
        pytest.param(["v" * 120, "w"] * 10, "category", id="long-labels"),
        pytest.param(["v" * 121, "w"] * 10, "text", id="too-long-labels"),
        pytest.param(pd.Categorical([f"v{n}" for n in range(30)]), "category", id="categorical"),
    ],
)
def test_few_short_values_are_labels_and_others_are_text(values: Any, kind: str) -> None:
    view = opened({"Late buses": [1.0] * len(values)}, {}, with_column(values)).vis()
    [column] = view.about["columns"]
    assert column["kind"] == kind
    assert ("labels" in column) == (kind == "category")


def test_labels_are_sorted_without_regard_to_case_or_as_their_type_says() -> None:
    frame = with_column(["zebra", "Äpfel", None, "apple", "Zoo", "zebra"])
    frame["size"] = pd.Categorical(["big", "small", "big", None, "small", "big"], ["small", "middle", "big"])
    view = opened({"Late buses": [1.0] * 6}, {}, frame).vis()
    kinds, sizes = view.about["columns"]
    assert kinds["labels"] == ["apple", "zebra", "Zoo", "Äpfel"]
    assert sizes["labels"] == ["small", "big"]
    codes = np.frombuffer(ask(view, "column", name="size").buffers[0], "<u2").tolist()
    assert codes == [1, 0, 1, 65535, 0, 1]


def test_text_is_sorted_by_rank_and_missing_text_has_none() -> None:
    values: list[Any] = [f"Remark {n:02}" for n in range(24, 0, -1)] + [None, "remark 03"]
    view = opened({"Late buses": [1.0] * 26}, {}, with_column(values)).vis()
    ranks = np.frombuffer(ask(view, "column", name="kind").buffers[0], "<u4").tolist()
    assert ranks[:24] == list(range(23, -1, -1))
    assert ranks[24] == 2**32 - 1
    assert ranks[25] == ranks[21], "case makes no difference"


@pytest.mark.parametrize(
    ("ids", "order"),
    [
        pytest.param([10, 9, 100, 2.5], [3, 1, 0, 2], id="numbers"),
        pytest.param(["k10", "K9", "k100", "k2"], [0, 2, 3, 1], id="texts"),
    ],
)
def test_documents_are_sorted_by_id_as_numbers_or_as_text(ids: list[Any], order: list[int]) -> None:
    frame = pd.DataFrame({"doc_id": ids, "text": [f"Bus {i} was late." for i in range(4)]})
    view = opened({"Late buses": [1.0] * 4}, {}, frame).vis()
    ranks = np.frombuffer(ask(view, "column", name="@id").buffers[0], "<u4").tolist()
    assert sorted(range(4), key=ranks.__getitem__) == order


@pytest.mark.parametrize("n", [8, 1200], ids=["few", "many"])
def test_values_are_shown_as_people_write_them(n: int) -> None:
    frame = with_column([3.0, 2.5, NAN, 1e15] * (n // 4), "likes")
    frame["day"] = pd.to_datetime(
        ["2024-05-01", "2024-05-01 13:30", None, "1999-12-31"] * (n // 4), format="ISO8601"
    )
    frame["told"] = pd.Series([True, False, None, True] * (n // 4), dtype=object)
    view = opened({"Late buses": [1.0] * n}, {}, frame).vis()
    rows = ask(view, "rows", rows=[0, 1, 2, 3])["rows"]
    assert [row["meta"].get("likes") for row in rows] == ["3", "2.5", None, str(1e15)]
    assert [row["meta"].get("day") for row in rows] == [
        "2024-05-01",
        "2024-05-01 13:30:00",
        None,
        "1999-12-31",
    ]
    assert [row["meta"].get("told") for row in rows] == ["True", "False", None, "True"]
    picked = ask(view, "matching", name="day", values=["2024-05-01"])
    assert np.frombuffer(picked.buffers[0], "<u4").tolist() == list(range(0, n, 4))


def test_columns_whose_names_look_alike_stay_apart() -> None:
    frame = with_column(["a", "b"] * 4, "@id")
    frame[1] = ["c", "d"] * 4
    frame["1"] = ["e", "f"] * 4
    view = opened({"Late buses": [1.0] * 8}, {}, frame).vis()
    assert [column["name"] for column in view.about["columns"]] == ["@id_", "1", "1_"]
    [row] = ask(view, "rows", rows=[1])["rows"]
    assert row["meta"] == {"@id_": "b", "1": "d", "1_": "f"}


# --- pages of documents --------------------------------------------------------------------------------


def test_a_page_has_at_most_a_thousand_documents_that_exist() -> None:
    view = opened().vis()
    assert len(ask(view, "rows", rows=[0] * 1000)["rows"]) == 1000
    assert "at most 1,000 rows, but 1,001" in str(ask(view, "rows", rows=[0] * 1001)["error"])
    for row in (-1, 8, True, "0", 1.0):
        refused = ask(view, "rows", rows=[0, row])
        assert not refused["ok"]
        assert "the rows are 0 to 7" in str(refused["error"])
    assert ask(view, "rows", rows=[7, 0])["rows"][0]["id"] == "d7"


def test_long_values_are_cut_on_pages_and_whole_in_the_document() -> None:
    frame = documents()
    frame["remark"] = ["y" * 300, "x" * 299 + " tail", *["short"] * 6]
    view = opened(frame=frame).vis()
    pages = ask(view, "rows", rows=[0, 1])["rows"]
    assert pages[0]["meta"]["remark"] == "y" * 300
    assert pages[1]["meta"]["remark"] == "x" * 299 + "…"
    assert ask(view, "document", row=1)["document"]["meta"]["remark"] == "x" * 299 + " tail"
    assert "area" not in ask(view, "document", row=3)["document"]["meta"], "missing values are left out"


def test_a_page_tells_what_was_judged_of_the_concept_alone() -> None:
    session = opened()
    session._bullets = {"d3": ["blames the operator", "wants lower fares"]}
    view = session.vis()
    late, fares = view.score_ids
    [row] = ask(view, "rows", rows=[3], concept=fares)["rows"]
    assert (row["rationale"], row["verified"], row["spans"]) == ("Because 1.", False, [])
    assert row["bullets"] == ["blames the operator", "wants lower fares"]
    [row] = ask(view, "rows", rows=[3], concept=late)["rows"]
    assert (row["verified"], len(row["spans"])) == (True, 1)
    [row] = ask(view, "rows", rows=[3])["rows"]
    assert (row["rationale"], row["verified"], row["spans"], row["hits"]) == ("", True, [], [])
    hidden = session.vis(show_highlights=False)
    [row] = ask(hidden, "rows", rows=[3], concept=late)["rows"]
    assert row["spans"] == []


def test_the_sample_has_the_first_clear_matches_of_each_concept_in_turn() -> None:
    frame = with_column(list("ab") * 10)
    late = [1.0] * 10 + [0.75] * 10
    fares = [0.0] * 18 + [1.0] * 2
    view = opened({"Late buses": late, "High fares": fares}, {}, frame).vis()
    names = {concept["id"]: concept["name"] for concept in view.concepts}
    chosen = [(names[row["concept_id"]], row["row"]) for row in view.sample]
    assert chosen[:4] == [("Late buses", 0), ("High fares", 18), ("Late buses", 1), ("High fares", 19)]
    assert chosen[4:] == [("Late buses", n) for n in range(2, 8)]


def test_the_sample_stays_below_its_size() -> None:
    frame = with_column([f"{'word ' * 5000}{n}" for n in range(60)])
    frame["text"] = ["The bus was late. " * 40 + str(n) for n in range(60)]
    for n in range(20):
        frame[f"column {n}"] = ["value " * 60] * 60
    view = opened({f"Idea {n}": [1.0] * 60 for n in range(30)}, {}, frame).vis()
    size = sum(len(json.dumps(row).encode()) for row in view.sample)
    assert 200_000 < size <= 256_000
    assert len({row["concept_id"] for row in view.sample}) > 10
