"""A budget is never passed, and every attempt is written down with what it used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.crowd import PATIENCE
from text_lloom.errors import AnswerRefused, AuthenticationFailed, BudgetReached, InputError, StepFailed
from text_lloom.llm import Attempt, Completion, Ledger, Model, OpenAIModel, RetryPolicy, track_costs
from text_lloom.llm.ask import ask_all
from text_lloom.llm.cache import Journal
from text_lloom.llm.control.budget import Budget, TokenBudget
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.control.usage import with_lost
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.embed import embed_all
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
    with pytest.raises(BudgetReached, match=r"budget of \$0\.\d*[1-9] is reached.*raise the budget"):
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


async def test_replies_far_longer_than_expected_do_not_pass_the_budget() -> None:
    """Thirty-two in flight, each fifty times dearer than expected."""
    model = using(500, 3000)
    budget = Budget(60 * usd(500, 3000))
    with pytest.raises(BudgetReached):
        await ask_all(model, questions(400), run=quick(budget=budget))
    assert 50 * usd(500, 3000) < budget.spent <= budget.usd + 1e-12


async def test_a_burst_that_the_rate_limit_allows_does_not_pass_the_budget() -> None:
    model = using(500, 3000, rate_limit=(300, 1))
    budget = Budget(60 * usd(500, 3000))
    with pytest.raises(BudgetReached):
        await ask_all(model, questions(400), run=quick(budget=budget))
    assert budget.spent <= budget.usd + 1e-12


async def test_replies_that_grow_on_the_way_do_not_pass_the_budget() -> None:
    asked = 0

    async def call(_: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.002)
        return REPLY, (300, 20 if asked < 100 else 900)

    budget = Budget(100 * usd(300, 20) + 60 * usd(300, 900))
    with pytest.raises(BudgetReached):
        await ask_all(Model("grows", None, call, cost=PRICE), questions(400), run=quick(budget=budget))
    assert 0.9 * budget.usd < budget.spent <= budget.usd + 1e-12


async def test_max_tokens_bound_what_a_request_may_cost() -> None:
    model = using(300, 1000, max_tokens=1000, concurrency=16)
    budget = Budget(20.5 * usd(500, 1000))
    with pytest.raises(BudgetReached, match="may cost"):
        await ask_all(model, questions(100), run=quick(budget=budget))
    assert 0.9 * budget.usd < budget.spent <= budget.usd + 1e-12


async def test_a_generous_budget_holds_nobody_back() -> None:
    all_at_once = asyncio.Barrier(30)

    async def call(_: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        await all_at_once.wait()
        return REPLY, (300, 40)

    model = Model("wide", None, call, cost=PRICE, concurrency=30, timeout=10)
    run = quick(budget=Budget(10.0))
    await ask_all(model, questions(60), run=run)
    assert {attempt.outcome for attempt in run.ledger.attempts} == {"answer"}


async def test_replies_that_never_came_may_have_cost() -> None:
    async def hang(_: Model, prompt: str) -> str:
        await asyncio.sleep(60)
        return REPLY

    budget, tokens = Budget(1.0), TokenBudget(1_000_000)
    run = Run(policy=RetryPolicy(attempts=3, base=0.001, longest=0.01), budget=budget, token_budget=tokens)
    await ask_all(Model("hangs", None, hang, cost=PRICE, timeout=0.05), questions(1), run=run)
    rows = run.ledger.attempts
    assert [(row.outcome, row.estimated, row.usd) for row in rows] == [("transient error", True, None)] * 3
    assert tokens.spent > 600
    assert budget.spent > usd(600, 0)
    totals = run.ledger.totals()
    assert (totals.in_tokens, totals.out_tokens, totals.usd) == (0, 0, 0.0), "sums hold what was reported"
    assert totals.unpriced == 3


async def test_a_server_that_hangs_up_may_have_billed() -> None:
    """Timed out and cut off after the request had left; a closed door is known to cost nothing."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side gives up
        writer.close()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'"messages"')
        writer.close()

    spent = []
    for behave in (hang, cut, None):
        server = await asyncio.start_server(behave or hang, "127.0.0.1", 0, start_serving=behave is not None)
        port = server.sockets[0].getsockname()[1]
        model = OpenAIModel(
            "m",
            api_key="x",
            base_url=f"http://127.0.0.1:{port}/v1",
            cost=PRICE,
            timeout=0.3 if behave is hang else PATIENCE,
        )
        run = Run(policy=RetryPolicy(attempts=1), budget=Budget(1.0))
        await ask_all(model, questions(1), run=run)
        server.close()
        assert run.budget is not None
        spent.append(run.budget.spent)
        assert run.ledger.attempts[0].estimated is (behave is not None)
    hung, cut_off, refused = spent
    assert hung == cut_off > 0 == refused


async def test_a_request_that_was_turned_away_costs_nothing() -> None:
    budget = Budget(1.0)
    run = quick(budget=budget)
    await ask_all(ScriptedModel(ConnectionRefusedError("no"), cost=PRICE), questions(1), run=run)
    assert budget.spent == 0
    assert run.ledger.totals().unpriced == 0


async def test_a_refusal_that_was_paid_for_costs() -> None:
    budget = Budget(1.0)
    run = quick(budget=budget)
    refusal = AnswerRefused("The model declined.", in_tokens=1000, out_tokens=200)
    (failure,) = await ask_all(ScriptedModel(refusal, cost=PRICE), questions(1), run=run)
    assert failure.usd == pytest.approx(usd(1000, 200))  # type: ignore[union-attr]
    assert run.ledger.totals().usd == budget.spent == pytest.approx(usd(1000, 200))


@pytest.mark.parametrize(
    ("reported", "booked"),
    [
        (("300", "40"), (300, 40, False)),
        ((300.0, 40.0), (300, 40, False)),
        ((float("nan"), 3), None),
        ((-5, 3), None),
        ((10**30, 1), None),
        (("many", None), None),
    ],
    ids=repr,
)
async def test_odd_token_counts_end_nothing(
    reported: tuple[Any, Any], booked: tuple[int, int, bool] | None, tmp_path: Path
) -> None:
    async def call(_: Model, prompt: str) -> Completion:
        return Completion(REPLY, *reported)

    store = Journal(tmp_path / "replies.sqlite")
    run = quick(store=store)
    answers = await ask_all(Model("odd", None, call, cost=PRICE), questions(3), run=run)
    assert not any(isinstance(answer, Failure) for answer in answers)
    row = run.ledger.attempts[0]
    if booked is not None:
        assert (row.in_tokens, row.out_tokens, row.estimated) == booked
    else:
        assert row.estimated
        assert 150 < row.in_tokens < 600
    store.close()


@pytest.mark.parametrize("reply", [Completion(None), Completion(b"x", 1, 1)], ids=repr)  # type: ignore[arg-type]
async def test_a_reply_without_text_is_a_failure(reply: Completion) -> None:
    run = quick()
    (failure,) = await ask_all(FunctionModel(lambda _: reply), questions(1), run=run)
    assert isinstance(failure, Failure)
    assert failure.kind == "BadAnswer"


async def test_a_broken_listener_ends_nothing() -> None:
    def gone(_: Attempt) -> None:
        raise BrokenPipeError("stdout is gone")

    run = quick()
    run.ledger.listen(gone)
    with track_costs(report_every=1e-9, on_report=gone) as costs:  # type: ignore[arg-type]
        costs.add_callback(gone)
        with pytest.warns(UserWarning, match="BrokenPipeError: stdout is gone"):
            answers = await ask_all(using(100, 10), questions(5), run=run)
    assert not any(isinstance(answer, Failure) for answer in answers)
    assert costs.requests == 5


async def test_what_is_set_aside_for_a_batch_is_never_waited_for() -> None:
    budget = Budget(1.0)
    budget.reserve(0.9)
    with pytest.raises(BudgetReached):
        await budget.take(0.2)
    await budget.take(0.05)
    budget.settle(0.9, 0.45)
    assert budget.remaining == pytest.approx(0.5)


async def test_cancelling_whoever_waits_for_the_budget_wakes_the_next() -> None:
    budget = Budget(1.0)
    first = await budget.take(0.9)
    waiting = [asyncio.create_task(budget.take(0.9)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    budget.give_back(first, 0.0)
    assert (await asyncio.wait_for(waiting[1], 1)).amount == 0.9


async def waiting_for(budget: Budget, amount: float, **options: Any) -> asyncio.Task[Any]:
    """A request that waits until its cost fits into a budget."""
    task = asyncio.create_task(budget.take(amount, **options))
    await settled()
    assert not task.done()
    return task


async def settled() -> None:
    """Run all tasks that are ready."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_whoever_is_cancelled_after_it_was_woken_passes_the_turn_on() -> None:
    budget = Budget(1.0)
    first = await budget.take(0.9)
    one, other = await waiting_for(budget, 0.9), await waiting_for(budget, 0.9)
    budget.give_back(first, 0.0)
    one.cancel()
    await settled()
    assert one.cancelled()
    assert other.result().amount == 0.9


async def test_requests_wait_in_the_order_in_which_they_came() -> None:
    budget = Budget(1.0)
    taken, order = await budget.take(0.9), []
    tasks = []
    for name in ("first", "second", "third"):
        tasks.append(await waiting_for(budget, 0.9))
        tasks[-1].add_done_callback(lambda _, name=name: order.append(name))
    for task in tasks:
        budget.give_back(taken, 0.0)
        await settled()
        taken = task.result()
    assert order == ["first", "second", "third"]


async def test_a_request_that_does_not_fit_yet_stays_first() -> None:
    budget = Budget(1.0)
    held = [await budget.take(0.6), await budget.take(0.0)]
    large = await waiting_for(budget, 0.9)
    second = await waiting_for(budget, 0.9)
    budget.give_back(held.pop(), 0.0)  # wakes the first one, which still does not fit
    await settled()
    assert not large.done()
    budget.give_back(held.pop(), 0.0)
    await settled()
    assert large.done()
    assert not second.done()
    budget.give_back(large.result(), 0.0)
    await settled()
    assert second.done()


async def test_a_request_that_does_not_fit_any_more_lets_the_next_one_go_on() -> None:
    budget = Budget(1.0)
    first = await budget.take(0.9)
    large, small = await waiting_for(budget, 0.9), await waiting_for(budget, 0.3)
    budget.give_back(first, 0.5)
    await settled()
    assert isinstance(large.exception(), BudgetReached)
    assert small.result().amount == 0.3
    assert budget.remaining == pytest.approx(1.0 - 0.5 - 0.3 * (0.5 / 0.9 if 0.5 > 0.9 else 1.0))


async def test_what_is_set_aside_is_not_left_and_what_is_given_back_is() -> None:
    budget = Budget(1.0, spent=0.25)
    assert budget.remaining == 0.75
    taken = await budget.take(0.5, kind="score")
    assert (taken.amount, taken.kind, taken.is_bound, taken.if_long) == (0.5, "score", False, 0.0)
    assert budget.remaining == 0.25
    budget.give_back(taken, 0.125)
    assert (budget.spent, budget.remaining) == (0.375, 0.625)


async def test_a_free_request_always_fits() -> None:
    budget = Budget(0.0)
    for _ in range(3):
        await asyncio.wait_for(budget.take(0.0), 1)
    with pytest.raises(BudgetReached, match=r"budget of \$0\.00 is reached"):
        await Budget(0.0).take(1e-6)


async def test_all_of_a_budget_can_be_spent() -> None:
    budget = Budget(0.3)
    for _ in range(3):
        budget.give_back(await budget.take(0.1, is_bound=True), 0.1)
    assert budget.spent == pytest.approx(0.3)
    with pytest.raises(BudgetReached):
        await budget.take(0.1, is_bound=True)


async def test_the_first_of_a_kind_goes_alone_and_more_go_together_once_costs_are_known() -> None:
    """The first request of a kind may cost a hundred times its estimate."""
    budget = Budget(1.0)
    first = await budget.take(0.009, kind="score")
    second = await waiting_for(budget, 0.009, kind="score")
    budget.give_back(first, 0.009)
    await settled()
    taken = [second.result()]
    for _ in range(60):
        budget.give_back(taken.pop(), 0.0009)
        taken.append(await budget.take(0.009, kind="score"))
    together = [await asyncio.wait_for(budget.take(0.009, kind="score"), 1) for _ in range(5)]
    assert len(together) == 5
    other = await waiting_for(budget, 0.009, kind="review")
    other.cancel()


async def test_each_reply_lets_more_go_together() -> None:
    """After one reply the next may cost fifty times its estimate, after two 34 times."""
    budget = Budget(1.0)
    budget.give_back(await budget.take(0.01), 0.0001)
    first = await budget.take(0.01)
    second = await waiting_for(budget, 0.01)
    budget.give_back(first, 0.0001)
    await settled()
    await asyncio.wait_for(budget.take(0.01), 1)
    assert second.done()
    await waiting_for(budget, 0.01)


async def test_what_cannot_cost_more_is_not_multiplied() -> None:
    budget = Budget(1.0)
    together = [await asyncio.wait_for(budget.take(0.2, is_bound=True), 1) for _ in range(5)]
    assert len(together) == 5
    assert budget.remaining == pytest.approx(0.0)


async def test_a_long_reply_is_reckoned_with() -> None:
    budget = Budget(10.0)
    for _ in range(150):
        budget.give_back(await budget.take(0.001, kind="score"), 0.001)
    roomy = [await asyncio.wait_for(budget.take(0.001, if_long=0.5, kind="score"), 1) for _ in range(2)]
    await asyncio.wait_for(budget.take(0.001, if_long=0.5, kind="score"), 1)
    tight = Budget(1.2)
    for _ in range(150):
        tight.give_back(await tight.take(0.001, kind="score"), 0.001)
    taken = await tight.take(0.001, if_long=0.6, kind="score")
    waiting = await waiting_for(tight, 0.001, if_long=0.6, kind="score")
    tight.give_back(taken, 0.001)
    await settled()
    assert waiting.done()
    assert len(roomy) == 2


async def test_the_dearest_of_a_kind_so_far_decides_what_the_next_may_cost() -> None:
    budget = Budget(1.0)
    budget.give_back(await budget.take(0.01, kind="score"), 0.04)
    taken = await budget.take(0.1, kind="score")
    assert budget.remaining == pytest.approx(1.0 - 0.04 - 4 * 0.1)
    budget.give_back(taken, 0.1)
    with pytest.raises(BudgetReached, match=r"next request may cost \$1\.20"):
        await budget.take(0.3, kind="score")
    await budget.take(0.3, kind="review")


async def test_what_was_dear_long_ago_is_forgotten() -> None:
    budget = Budget(10.0)
    budget.give_back(await budget.take(0.01), 0.04)
    for _ in range(199):
        budget.give_back(await budget.take(0.01), 0.005)
    taken = await budget.take(0.1)
    held = 10.0 - budget.spent - budget.remaining
    assert held == pytest.approx(0.4), "it is among the last 200"
    budget.give_back(taken, 0.1)
    await budget.take(0.1)
    assert 10.0 - budget.spent - budget.remaining == pytest.approx(0.1)


async def test_what_a_batch_cost_corrects_what_is_set_aside_for_the_next() -> None:
    budget = Budget(1.0)
    budget.reserve(0.1)
    budget.settle(0.1, 0.2)
    assert budget.remaining == pytest.approx(0.8)
    budget.reserve(0.3)
    assert budget.remaining == pytest.approx(0.8 - 0.6)
    with pytest.raises(BudgetReached):
        budget.reserve(0.2)
    assert budget.remaining == pytest.approx(0.2), "nothing is set aside then"


async def test_a_token_budget_speaks_of_tokens() -> None:
    budget = TokenBudget(12_000, spent=11_500)
    with pytest.raises(BudgetReached, match=r"token budget of 12,000 tokens is reached: 11,500 tokens spent"):
        await budget.take(600)
    assert (await budget.take(500)).amount == 500
    with pytest.raises(InputError, match="token_budget=-1"):
        TokenBudget(-1)
    assert TokenBudget(0).usd == 0.0


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


@pytest.mark.parametrize("rows", [0, 2], ids=["nothing asked", "prices unknown"])
def test_the_columns_of_the_ledger_have_their_types_whatever_is_in_it(rows: int) -> None:
    frame = Ledger([attempt("score", "answer", None)] * rows).to_frame()
    assert frame["usd"].isna().all()
    figures = frame[["at", "seconds", "in_tokens", "out_tokens", "usd"]]
    assert [dtype.kind for dtype in figures.dtypes] == ["f", "f", "i", "i", "f"]
    assert frame["usd"].round(4).sum() == 0.0
    assert not frame["outcome"].str.startswith("bad").any()


def test_a_token_budget_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="None for no limit"):
        TokenBudget(float("inf"))


def lost(step: str, outcome: Any = "cancelled", **fields: Any) -> Attempt:
    return Attempt(
        **{
            "step": step,
            "model": "gpt-4o-mini",
            "at": 0.0,
            "seconds": 1.0,
            "in_tokens": 0,
            "out_tokens": 0,
            "usd": 0.1,
            "outcome": outcome,
            "estimated": True,
        }
        | fields
    )


def used(step: str, in_tokens: int, out_tokens: int, outcome: Any = "answer", **fields: Any) -> Attempt:
    return Attempt(
        **{
            "step": step,
            "model": "gpt-4o-mini",
            "at": 0.0,
            "seconds": 1.0,
            "in_tokens": in_tokens,
            "out_tokens": out_tokens,
            "usd": 0.1,
            "outcome": outcome,
        }
        | fields
    )


@pytest.mark.parametrize(
    ("others", "taken"),
    [
        ([used("score", 100, 10), used("score", 201, 21)], (151, 16)),
        ([used("score", 100, 10), used("score", 300, 30, "bad answer")], (200, 20)),
        ([used("score", 100, 10), used("score", 900, 90, "cached")], (100, 10)),
        ([used("score", 100, 10), used("score", 900, 90, "permanent error")], (100, 10)),
        ([used("score", 100, 10), used("review", 900, 90)], (100, 10)),
        ([used("score", 100, 10), used("score", 900, 90, model="gpt-4o")], (100, 10)),
        ([used("review", 40, 4), used("cluster", 20, 2)], (30, 3)),
        ([used("score", 900, 90, model="gpt-4o")], (0, 0)),
        ([], (0, 0)),
    ],
    ids=["mean", "bad answers count", "not cached", "not refused", "own step", "own model", "other steps",
         "other model", "nothing known"],
)  # fmt: skip
def test_a_lost_reply_is_taken_to_have_cost_what_others_of_its_kind_did(
    others: list[Attempt], taken: tuple[int, int]
) -> None:
    *same, guessed = with_lost([*others, lost("score")])
    assert (guessed.in_tokens, guessed.out_tokens) == taken
    assert same == others


@pytest.mark.parametrize(
    "attempt",
    [
        lost("score", "rate limited"),
        lost("score", "answer"),
        lost("score", in_tokens=7),
        lost("score", estimated=False),
    ],
    ids=["turned away", "answered", "counted", "reported"],
)
def test_only_what_may_have_been_billed_without_a_reply_is_lost(attempt: Attempt) -> None:
    assert not attempt.is_lost
    assert with_lost([used("score", 100, 10), attempt])[1] == attempt
    assert lost("score", "transient error").is_lost


def test_the_ledger_is_read_from_a_place_on() -> None:
    rows = [attempt("score", "answer"), attempt("review_merge", "cached"), attempt("score", "rate limited")]
    ledger = Ledger(rows)
    assert ledger.since(1) == rows[1:]
    assert ledger.since(3) == []
    assert ledger.attempts == tuple(rows)
    assert len(ledger) == 3
    rows.clear()
    assert len(ledger) == 3


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
