"""What a script may spend without a budget, and what a summary says of unknown prices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from text_lloom.cli.errors import as_options
from text_lloom.errors import InputError
from text_lloom.llm import Model
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.testing import FunctionModel, HashEmbedModel

pytestmark = pytest.mark.filterwarnings("ignore:.*could not be answered")

NOTES = pd.DataFrame(
    {
        "doc_id": [f"n{i}" for i in range(6)],
        "text": [f"The ferry was full again, so stop {i} waited for an hour." for i in range(6)],
    }
)


@pytest.fixture(autouse=True)
def _paid_calls_allowed() -> Iterator[None]:
    before = allow_paid_calls(True)
    yield
    allow_paid_calls(before)


def session(cost: float | None, prompts: list[str], **settings: Any) -> wb.lloom:
    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return "{}"

    model = FunctionModel(answer, name="dear", cost=cost)
    return wb.lloom(
        NOTES,
        "text",
        "doc_id",
        distill_model=model,
        synth_model=model,
        score_model=model,
        cluster_model=HashEmbedModel(),
        cache=False,
        **settings,
    )


def _score(lloom: wb.lloom, confirm: bool | None = None) -> None:
    lloom.sync.add("Full ferries", "Does the text say that a ferry was full?", confirm=confirm)


def _gen(lloom: wb.lloom, confirm: bool | None = None) -> None:
    lloom.sync.gen(confirm=confirm)


@pytest.mark.parametrize("step", [_gen, _score])
def test_a_dear_step_of_a_script_stops_before_its_first_request(step: Any) -> None:
    prompts: list[str] = []
    with pytest.raises(InputError, match=r"budget=.*confirm=False") as caught:
        step(session(0.0009, prompts))
    assert prompts == []
    assert "--budget" in as_options(caught.value)
    assert "--yes" in as_options(caught.value)


def test_a_cheap_step_of_a_script_warns_and_goes_on() -> None:
    prompts: list[str] = []
    with pytest.warns(UserWarning, match="Estimated cost"):
        _score(session(1e-6, prompts))
    assert prompts


@pytest.mark.parametrize("confirm", [False, None])
def test_consent_or_a_budget_lets_a_dear_step_start(confirm: bool | None) -> None:
    prompts: list[str] = []
    budget = {} if confirm is False else {"budget": 1000.0}
    _score(session(0.0009, prompts, **budget), confirm)
    assert prompts


def test_a_summary_never_shows_an_unknown_price_as_zero(capsys: pytest.CaptureFixture[str]) -> None:
    lloom = session(None, [])
    _score(lloom, confirm=False)
    lloom.summary()
    shown = capsys.readouterr().out
    assert "requests of unknown price" in shown
    assert "$0.00" not in shown


def test_a_summary_says_what_came_from_the_cache(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def reply(model: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        return json.dumps({"results": [entry]}), (100, 10)

    entry = {"document": "D1", "concept": "C1", "rationale": "", "answer": "E", "quote": ""}
    for again in (False, True):
        model = Model("kept", None, reply, cost=1e-6)
        lloom = wb.lloom(NOTES, "text", score_model=model, cache=tmp_path / "kept.db", budget=1)
        _score(lloom, confirm=False)
        lloom.summary()
        shown = capsys.readouterr().out
        assert ("From the cache: 6 answers, which cost nothing now" in shown) is again
        assert ("6 answers from the cache" in shown) is again
