"""Several steps of one session at once: each keeps to its own failures, its own bar, its own figures."""

from __future__ import annotations

import asyncio
import json

import pandas as pd
import pytest

from tests.test_going_on import judge
from text_lloom import workbench as wb
from text_lloom.llm import Model, RetryPolicy
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.session.progress import Meter, ProgressState, StepProgress

ONCE = RetryPolicy(attempts=1, re_asks=0)
MAP = "Which bus line is meant?"


class Slow:
    """Scores once the other step has met its failures; both cannot read one document."""

    def __init__(self) -> None:
        self.has_failed = asyncio.Event()

    async def __call__(self, model: Model, prompt: str) -> str:
        if MAP in prompt:
            if "Mill Lane" in prompt:
                asyncio.get_running_loop().call_later(0.05, self.has_failed.set)
                return "I would rather not say."
            return json.dumps({"number": 40})
        await self.has_failed.wait()
        return "I would rather not say." if "Fares went" in prompt else json.dumps(judge(prompt))


def session_of(comments: pd.DataFrame, model: object) -> wb.lloom:
    session = wb.lloom(comments, "text", "doc_id", "local", "local", "local", model, retry=ONCE, cache=False)  # type: ignore[arg-type]
    for n in range(2):
        session.concepts.add(f"Concept {n}", f"Does the text complain about subject {n}?", active=True)
    return session


@pytest.mark.filterwarnings("ignore:.*could not be answered")
@pytest.mark.parametrize("with_fallback", [False, True], ids=["one model", "a list of models"])
def test_no_failure_of_another_step_is_lost(comments: pd.DataFrame, with_fallback: bool) -> None:
    first = Model("first", fn=Slow(), cost=0)
    model = [first, Model("second", fn=Slow(), cost=0)] if with_fallback else first
    session = session_of(comments, model)

    async def both() -> None:
        schema = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
        await asyncio.gather(session.score(), session.map(MAP, schema))

    asyncio.run(both())
    listed = session.failures()
    assert list(listed[listed["step"] == "map"]["doc_ids"]) == [("d04",)]
    assert set(listed[listed["step"] == "score"]["doc_ids"]) == {("d09",)}
    assert len(listed) == 3


def attempt(step: str, *, usd: float = 0.25) -> Attempt:
    return Attempt(step, "model", 0.0, 0.1, 10, 5, usd, "answer")


def test_each_step_moves_its_own_bar() -> None:
    run = Run()
    progress = StepProgress(lambda: run)
    ended: list[ProgressState] = []

    async def step(name: str, total: int, begun: asyncio.Event, other: asyncio.Event) -> None:
        progress.start(name, total)
        begun.set()
        await other.wait()
        for _ in range(total):
            run.ledger.add(attempt(name))
            progress.advance()
        run.failures.append(Failure(name, (), (), "BadAnswer", "", 1, 0.0))
        ended.append(meters[name].state())
        progress.finish()

    meters: dict[str, Meter] = {}
    progress.watch(lambda meter, _: meters.__setitem__(meter.step, meter))

    async def both() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        await asyncio.gather(step("score", 3, first, second), step("map", 7, second, first))

    asyncio.run(both())
    assert [(s.label, s.done, s.total, s.requests, s.usd, s.failed) for s in sorted(ended)] == [
        ("Map", 7, 7, 7, 1.75, 1),
        ("Score", 3, 3, 3, 0.75, 1),
    ]
    assert progress.current is None


def test_a_step_inside_a_step_hands_back_to_it() -> None:
    run = Run()
    progress = StepProgress(lambda: run)
    progress.start("score", 2)
    progress.start("map", 1)
    progress.finish()
    progress.advance()
    assert progress.current is not None
    assert (progress.current.label, progress.current.done) == ("Score", 1)
    progress.finish()
    assert progress.current is None


def test_figures_add_up_over_many_looks() -> None:
    run = Run()
    run.ledger.add(attempt("score"))  # of a step before
    meter = Meter(run, "score", 9)
    for n in range(1, 4):
        run.ledger.add(attempt("score"))
        run.ledger.add(attempt("map"))
        state = meter.state()
        assert (state.requests, state.tokens, state.usd) == (n, 15 * n, 0.25 * n)


def test_steps_that_begin_in_one_second_each_have_their_time(
    comments: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text_lloom.session.state.time.strftime", lambda _: "2026-11-25-12-00-00")
    session = wb.lloom(comments, "text", "doc_id", "local", "local", "local", "local", cache=False)
    opened = asyncio.Event()

    async def step(name: str) -> None:
        with session._timed(name):
            await opened.wait()

    async def both() -> None:
        steps = [asyncio.create_task(step("map")) for _ in range(2)]
        await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(*steps)

    asyncio.run(both())
    assert list(session.time) == [("map", "2026-11-25-12-00-00"), ("map", "2026-11-25-12-00-00+")]
