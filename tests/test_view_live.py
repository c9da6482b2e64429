"""The view while documents are scored: it fills in, shows progress, cancels, and asks before spending."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.test_view_messages import ask
from tests.view_session import LOCAL, NAN, documents, opened, put
from text_lloom.errors import LloomError
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.model import Model

PATIENCE = 120.0


class Valve:
    """A scoring model of which each answer waits until it is let through."""

    def __init__(self, **options: Any) -> None:
        self._permits = threading.Semaphore(0)
        self.asked = 0
        self.model = Model("valve", None, self._answer, concurrency=1, **{"cost": 0, **options})

    def let(self, n: int) -> None:
        self._permits.release(n)

    def _answer(self, _: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        self.asked += 1
        if not self._permits.acquire(timeout=PATIENCE):
            raise RuntimeError("no answer was let through")
        if "concepts" not in prompt:
            return '{"summary": "All say so."}', (10, 10)
        return _JUDGED, (10, 10)


_JUDGED = json.dumps(
    {"results": [{"document": 1, "concept": 1, "answer": "A", "rationale": "It does.", "quote": ""}]}
)


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def codes(view: Any) -> np.ndarray:
    return np.frombuffer(view.scores, np.uint8)


@pytest.fixture
def valve() -> Valve:
    return Valve()


def scored_by(valve: Valve) -> wb.lloom:
    session = wb.lloom(documents(), "text", "doc_id", **(LOCAL | {"score_model": valve.model}), cache=False)
    session.concepts.add("Late buses", "Does the text say that buses are late?", active=True)
    return session


def test_the_view_fills_in_while_a_cell_scores(valve: Valve) -> None:
    session = scored_by(valve)
    view = session.vis()
    assert (view.state["tab"], view.progress, view.scores) == ("select", None, b"")
    running = threading.Thread(target=lambda: session.sync.score(confirm=False))
    running.start()
    until(lambda: view.progress is not None)
    assert (view.progress["step"], view.progress["total"]) == ("Score", 8)
    assert view.progress["cancellable"]
    valve.let(3)
    until(lambda: (codes(view) == 4).sum() == 3)
    assert (codes(view) == 255).sum() == 5
    assert len(view.selected()) == 8
    valve.let(100)
    running.join(PATIENCE)
    until(lambda: view.progress is None and (codes(view) == 4).all())
    assert view.concepts[0]["scored"]


@pytest.mark.filterwarnings("ignore:Scoring was stopped")
def test_cancelling_in_the_view_ends_a_cell_that_scores_without_an_error(valve: Valve) -> None:
    session = scored_by(valve)
    view = session.vis()

    async def cell() -> pd.DataFrame:
        scoring = asyncio.ensure_future(session.score(confirm=False))
        await asyncio.to_thread(until, lambda: valve.asked == 1)
        valve.let(2)
        await asyncio.to_thread(until, lambda: (codes(view) == 4).sum() == 2)
        assert ask(view, "cancel")["ok"]
        valve.let(1)
        return await scoring

    scores = asyncio.run(cell())
    assert 2 <= scores["score"].notna().sum() < 8
    until(lambda: view.progress is None)
    valve.let(100)
    assert session.sync.score(confirm=False)["score"].notna().all(), "the rest is asked when called again"


def test_scoring_started_in_the_view_runs_beside_the_kernel(valve: Valve) -> None:
    session = scored_by(valve)
    view = session.vis()
    [concept] = [concept["id"] for concept in view.concepts]
    estimate = ask(view, "estimate", concept_ids=[concept])
    assert (estimate["n_docs"], estimate["free"], estimate["known"]) == (8, True, True)
    assert ask(view, "score", concept_ids=[concept], confirmed_usd=None)["ok"]
    until(lambda: view.progress is not None)
    again = ask(view, "score", concept_ids=[concept], confirmed_usd=None)
    assert (again["ok"], "at work already" in again["error"]) == (False, True)
    assert ask(view, "edit", action="rename", concept_id=concept, name="Buses")["ok"]
    valve.let(100)
    until(lambda: view.progress is None and len(view.scores) and (codes(view) == 4).all())
    until(lambda: view.concepts[0]["summary"] == "All say so.")
    assert view.concepts[0]["name"] == "Buses", "renamed while it was scored"


def test_nothing_is_spent_that_was_not_confirmed() -> None:
    allow_paid_calls(True)
    valve = Valve(cost=(1e-4, 1e-4))
    valve.let(100)
    session = scored_by(valve)
    view = session.vis()
    [concept] = [concept["id"] for concept in view.concepts]
    estimate = ask(view, "estimate", concept_ids=[concept])
    assert 0 < estimate["usd_low"] < estimate["usd_high"]
    for confirmed in (None, estimate["usd_high"] / 3):
        reply = ask(view, "score", concept_ids=[concept], confirmed_usd=confirmed)
        assert not reply["ok"]
        assert "Nothing was started" in reply["error"]
    assert valve.asked == 0
    draft = ask(view, "estimate", concept_ids=[], drafts=[{"name": "New", "criteria": "Is it new?"}])
    assert draft["usd_high"] > 0
    assert ask(view, "score", concept_ids=[concept], confirmed_usd=estimate["usd_high"])["ok"]
    until(lambda: len(view.scores) and (codes(view) == 4).all())


def test_a_scoring_that_ends_with_an_error_says_so_in_the_view() -> None:
    allow_paid_calls(True)
    valve = Valve(cost=(1e-4, 1e-4))
    valve.let(100)
    session = scored_by(valve)
    session.budget = 0.05
    view = session.vis()
    [concept] = [concept["id"] for concept in view.concepts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reply = ask(view, "score", concept_ids=[concept], confirmed_usd=100.0)
        assert reply["ok"], reply.content
        until(lambda: view.notice is not None)
    assert view.notice["level"] == "error"
    assert "budget" in view.notice["text"].lower()
    assert view.progress is None


def test_views_beyond_the_eight_latest_are_told_that_they_stand_still() -> None:
    session = opened()
    views = [session.vis() for _ in range(9)]
    session.rename(views[0].score_ids[0], "Buses")
    assert "no longer kept up to date" in views[0].notice["text"]
    assert views[0].concepts[0]["name"] == "Late buses"
    assert {view.concepts[0]["name"] for view in views[1:]} == {"Buses"}


# --- editing a session without a view ------------------------------------------------------------------


def test_edits_name_concepts_by_unique_names_and_can_all_be_undone() -> None:
    session = opened({"A": [1] * 8, "B": [0] * 8, "C": [1, 0] * 4})
    ids = list(session.concepts)
    session.rename("A", "Anew")
    session.merge(["B", "C"], name="BC")
    session.split("Anew", [("Left", "Is it left?"), ("Right", "Is it right?")])
    session.remove("Left", "Right")
    assert [concept.name for concept in session.concepts.values()] == ["BC"]
    done = 0
    while session.undo() is not None:
        done += 1
        if done == 4:
            break
    assert list(session.concepts) == ids
    assert [concept.name for concept in session.concepts.values()] == ["A", "B", "C"]
    assert session.get_score_df()["score"].notna().all(), "scores are there again"
    session.redo()
    assert session.concepts[ids[0]].name == "Anew"
    with pytest.raises(LloomError, match="Did you mean 'Anew'"):
        session.rename("Anw", "x")
    with pytest.raises(LloomError, match="must be a list"):
        session.merge("B")


def test_undoing_keeps_the_selection_and_the_summary() -> None:
    session = opened({"A": [1] * 8})
    [concept] = session.concepts.values()
    renamed = session.rename("A", "B")
    renamed.summary, renamed.active = "What they say.", False
    session.undo()
    now = session.concepts[concept.id]
    assert (now.name, now.summary, now.active) == ("A", "What they say.", False)


def test_an_agreement_holds_for_the_scores_of_now() -> None:
    session = opened({"A": [1] * 8})
    [concept] = session.concepts.values()
    for n in range(4):
        session.label(f"d{n}", "A", "right" if n else "wrong")
    session.label("d7", "A", "unsure", "cannot tell")
    [row] = session.agreement().to_dict("records")
    assert (row["n_labelled"], row["n_right"], row["n_wrong"], row["n_unsure"]) == (5, 3, 1, 1)
    assert row["agreement"] == 0.75
    put(session, concept, [0] + [1] * 7)
    [row] = session.agreement().to_dict("records")
    assert (row["n_outdated"], row["n_wrong"], row["agreement"]) == (1, 0, 1.0)
    assert session.labels()["current"].tolist() == [False, True, True, True, True]
    session.change_criteria("A", "Another criterion?")
    assert session.agreement()["n_outdated"].tolist() == [5]
    with pytest.raises(LloomError, match="Did you mean 'wrong'"):
        session.label("d0", "A", "wrang")
    with pytest.raises(LloomError, match="document id 'd99'"):
        session.label("d99", "A", "right")


def test_labels_and_map_come_back_with_the_session(tmp_path: Any) -> None:
    session = opened()
    session.label("d0", "Late buses", "right", "note 😀 \ud83d")
    session.label("d7", "High fares", "unsure")
    places = session.map_layout()
    again = wb.load(session.save(tmp_path, "kept"), **LOCAL)
    pd.testing.assert_frame_equal(again.labels(), session.labels())
    pd.testing.assert_frame_equal(again.map_layout(), places)
    plain = opened().save(tmp_path, "plain")
    assert len(wb.load(plain, **LOCAL).labels()) == 0


def test_overlap_counts_shared_documents() -> None:
    session = opened({"A": [1, 1, 1, 1, 0, 0, 0, 0], "B": [1, 1, 0.75, 0, 0, 0, 0, 0], "C": [0] * 8})
    frame = session.overlap()
    first = frame.iloc[0]
    assert (first["concept_name_1"], first["concept_name_2"]) == ("A", "B")
    assert (first["n_1"], first["n_2"], first["n_both"]) == (4, 2, 2)
    assert (first["share_1"], first["share_2"], first["jaccard"]) == (0.5, 1.0, 0.5)
    assert session.overlap(0.75).iloc[0]["n_both"] == 3
    assert len(frame) == 3
    assert frame["share_2"].isna().sum() == 2


def test_overlap_leaves_out_documents_without_a_score_on_both() -> None:
    session = opened({"A": [1, 1, 1, 0, 0, 0, 0, 0], "B": [1, 0, NAN, NAN, 1, 0, 0, 0]})
    [pair] = session.overlap().to_dict("records")
    assert (pair["n_1"], pair["n_2"], pair["n_both"]) == (2, 2, 1)
    assert pair["jaccard"] == 1 / 3
