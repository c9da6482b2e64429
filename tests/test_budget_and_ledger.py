"""A budget is never passed, and every attempt is written down with what it used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from text_lloom.errors import AuthenticationFailed, BudgetReached, InputError, StepFailed
from text_lloom.llm import Attempt, Completion, Ledger, Model, RetryPolicy
from text_lloom.llm.budget import Budget
from text_lloom.llm.embedding import embed_all
from text_lloom.llm.engine import ask_all
from text_lloom.llm.run import Run
from text_lloom.llm.spending import allow_paid_calls
from text_lloom.tasks import SummarizeDocument
from text_lloom.testing import FunctionModel, HashEmbedModel, ScriptedModel

PRICE = (0.15e-6, 0.6e-6)
REPLY = '{"bullets": ["fares are too high for families"]}'


@pytest.fixture(autouse=True)
def _paid_calls_allowed() -> Iterator[None]:
    before = allow_paid_calls(True)
    yield
    allow_paid_calls(before)


def questions(n: int) -> list[SummarizeDocument]:
    return [SummarizeDocument(i, f"Ticket {i:03d}: fares went up again, and we are five.") for i in range(n)]


def quick(**settings: Any) -> Run:
    return Run(policy=RetryPolicy(base=0.001, longest=0.01), **settings)


def usd(in_tokens: int, out_tokens: int) -> float:
    return in_tokens * PRICE[0] + out_tokens * PRICE[1]


def using(in_tokens: int, out_tokens: int, seconds: float = 0.002, **settings: Any) -> Model:
    """A model whose every call uses that many tokens."""

    async def call(_: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        await asyncio.sleep(seconds)
        return REPLY, (in_tokens, out_tokens)

    return Model("metered", None, call, cost=PRICE, **settings)


# --- budget --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 16, None])
async def test_the_budget_is_kept_and_so_is_what_was_answered(concurrency: int | None) -> None:
    model = using(300, 40, concurrency=concurrency)
    budget, kept = Budget(40 * usd(300, 40)), dict[int, object]()
    run = quick(budget=budget)
    with pytest.raises(BudgetReached, match=r"budget of \$0\.00 is reached.*raise the budget"):
        await ask_all(model, questions(200), run=run, on_answer=kept.__setitem__)
    totals = run.ledger.totals()
    assert totals.usd == pytest.approx(budget.spent)
    assert budget.spent <= budget.usd + 1e-12
    assert len(kept) == totals.answers == totals.requests
    assert 10 < len(kept) <= 40
    assert {attempt.outcome for attempt in run.ledger.attempts} == {"answer"}


async def test_a_budget_that_suffices_changes_nothing() -> None:
    budget = Budget(1.0)
    answers = await ask_all(using(300, 40), questions(30), run=quick(budget=budget))
    assert len(answers) == 30
    assert budget.spent == pytest.approx(30 * usd(300, 40))
    assert budget.remaining == pytest.approx(1 - 30 * usd(300, 40))


async def test_a_model_that_writes_ten_times_as_much_as_expected_stays_within_the_budget() -> None:
    model = using(300, 2000, concurrency=4)
    budget = Budget(50 * usd(300, 2000))
    with pytest.raises(BudgetReached):
        await ask_all(model, questions(200), run=quick(budget=budget))
    assert 30 * usd(300, 2000) < budget.spent <= budget.usd + 1e-12


async def test_a_model_that_reports_no_tokens_uses_the_budget_up_too() -> None:
    async def call(_: Model, prompt: str) -> str:
        return REPLY

    model = Model("silent", None, call, cost=PRICE, concurrency=2)
    budget = Budget(20 * usd(280, 20))
    run = quick(budget=budget)
    with pytest.raises(BudgetReached):
        await ask_all(model, questions(200), run=run)
    assert 5 < run.ledger.totals().requests < 40
    assert run.ledger.totals().unpriced == run.ledger.totals().requests
    assert all(attempt.estimated for attempt in run.ledger.attempts)


async def test_bad_answers_cost_too() -> None:
    budget = Budget(1.0)
    run = quick(budget=budget)
    model = FunctionModel(lambda _: Completion("no", 100, 10), cost=PRICE)
    (failure,) = await ask_all(model, questions(1), run=run)
    assert budget.spent == pytest.approx(2 * usd(100, 10))
    assert failure.usd == pytest.approx(budget.spent)  # type: ignore[union-attr]


async def test_nothing_is_sent_on_an_empty_budget_and_free_models_need_none() -> None:
    model = FunctionModel(lambda _: REPLY, cost=PRICE)
    with pytest.raises(BudgetReached):
        await ask_all(model, questions(1), run=quick(budget=Budget(0)))
    assert model.prompts == []
    free = FunctionModel(lambda _: REPLY)
    assert len(await ask_all(free, questions(3), run=quick(budget=Budget(0)))) == 3


async def test_errors_give_back_what_was_set_aside() -> None:
    budget = Budget(1.0)
    with pytest.raises(AuthenticationFailed):
        await ask_all(
            ScriptedModel(AuthenticationFailed("no"), cost=PRICE), questions(3), run=quick(budget=budget)
        )
    assert budget.remaining == pytest.approx(1.0)


async def test_embedding_stops_at_the_budget() -> None:
    model = HashEmbedModel(cost=1e-6, batch_size=1, concurrency=2)
    texts = [f"Ticket {n}: the fare for a family of five" for n in range(100)]
    run = quick(budget=Budget(1e-4))
    with pytest.raises(BudgetReached):
        await embed_all(model, texts, run=run)
    assert run.budget is not None
    assert 0 < run.budget.spent <= run.budget.usd


@pytest.mark.parametrize("amount", [-1, "5", True, None, float("nan")], ids=repr)
def test_a_budget_must_be_an_amount(amount: Any) -> None:
    with pytest.raises(InputError, match="budget="):
        Budget(amount)


def test_numpy_amounts_are_amounts() -> None:
    assert Budget(np.float32(2)).usd == Budget(np.int64(2)).usd == 2.0  # type: ignore[arg-type]


# --- ledger --------------------------------------------------------------------------------------------


async def test_there_is_a_row_per_attempt_with_its_tokens_and_price() -> None:
    replies = iter([Completion("hm", 120, 5), Completion(REPLY, 180, 25), Completion(REPLY, 90, 20, usd=0.5)])
    model = FunctionModel(lambda _: next(replies), name="gpt-4o-mini", cost=PRICE, concurrency=1)
    run = quick()
    await ask_all(model, questions(2), run=run)
    rows = [
        (a.step, a.model, a.in_tokens, a.out_tokens, a.usd, a.outcome, a.estimated)
        for a in run.ledger.attempts
    ]
    step = ("distill_summarize", "gpt-4o-mini")
    assert rows == [
        (*step, 120, 5, pytest.approx(usd(120, 5)), "bad answer", False),
        (*step, 180, 25, pytest.approx(usd(180, 25)), "answer", False),
        (*step, 90, 20, 0.5, "answer", False),
    ]


@pytest.mark.parametrize(
    ("cost", "price", "unpriced"), [(None, None, 1), (0, 0.0, 0), (PRICE, usd(50, 10), 0)], ids=repr
)
async def test_an_unknown_price_is_not_taken_for_free(
    cost: object, price: float | None, unpriced: int
) -> None:
    run = quick()
    await ask_all(FunctionModel(lambda _: Completion(REPLY, 50, 10), cost=cost), questions(1), run=run)
    (attempt,) = run.ledger.attempts
    assert attempt.usd == (None if price is None else pytest.approx(price))
    assert run.ledger.totals().unpriced == unpriced


async def test_tokens_that_are_not_reported_are_estimated_and_marked() -> None:
    async def call(_: Model, prompt: str) -> tuple[str, list[int]]:
        return REPLY, [0, 0]

    run = quick()
    await ask_all(Model("vllm", None, call, cost=0), questions(1), run=run)
    (attempt,) = run.ledger.attempts
    assert attempt.estimated
    assert 150 < attempt.in_tokens < 600
    assert 5 < attempt.out_tokens < 30
    assert attempt.usd == 0.0


async def test_call_many_writes_into_the_ledger_it_is_given() -> None:
    ledger = Ledger()
    await using(10, 5).call_many(["Which bus?", "Which lane?"], ledger=ledger)
    totals = ledger.totals()
    assert (totals.requests, totals.in_tokens, totals.out_tokens) == (2, 20, 10)
    assert totals.usd == pytest.approx(2 * usd(10, 5))


def attempt(step: str, outcome: Any, usd: float | None = 0.1) -> Attempt:
    return Attempt(step, "gpt-4o-mini", 0.0, 1.5, 100, 10, usd, outcome)


def test_totals_are_sums_by_step_and_since() -> None:
    ledger = Ledger([attempt("score", "answer"), attempt("score", "rate limited", None)])
    mark = len(ledger)
    ledger.add(attempt("score", "cached", 0.0))
    ledger.add(attempt("synthesize", "answer"))
    everything = ledger.totals()
    assert everything == (3, 3, 300, 30, pytest.approx(0.2), 1, 1)
    assert ledger.totals(step="score") == (2, 2, 200, 20, pytest.approx(0.1), 1, 1)
    assert ledger.totals(since=mark) == (1, 2, 100, 10, pytest.approx(0.1), 0, 1)


def test_the_ledger_is_a_frame_with_one_row_per_attempt() -> None:
    ledger = Ledger([attempt("score", "answer"), attempt("score", "bad answer", None)])
    frame = ledger.to_frame()
    assert list(frame["outcome"]) == ["answer", "bad answer"]
    assert frame["usd"].isna().tolist() == [False, True]
    assert list(Ledger().to_frame().columns) == list(frame.columns)


def test_listeners_hear_of_every_further_attempt() -> None:
    ledger, heard = Ledger([attempt("score", "answer")]), list[Attempt]()
    ledger.listen(heard.append)
    ledger.add(attempt("review_merge", "answer"))
    assert [a.step for a in heard] == ["review_merge"]


async def test_a_failing_embedding_is_written_down_as_well() -> None:
    class Down(HashEmbedModel):
        async def embed_batch(self, texts: Any) -> Any:
            raise ConnectionResetError("peer")

    run = Run(policy=RetryPolicy(attempts=3, base=0.001))
    with pytest.raises(StepFailed, match="could not be reached: ConnectionResetError"):
        await embed_all(Down(), ["fares are too high"], run=run)
    assert [a.outcome for a in run.ledger.attempts] == ["transient error"] * 3
    assert json.loads(run.ledger.to_frame().to_json(orient="records"))[0]["step"] == "cluster"
