"""What a session tells about its requests, and what happens when a model cannot answer."""

from __future__ import annotations

import functools
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from text_lloom import workbench as wb
from text_lloom.errors import AuthenticationFailed, BudgetReached, InputError
from text_lloom.llm import (
    GLOBAL_COSTS,
    Completion,
    HybridEmbedModel,
    Model,
    ModelRequest,
    RetryPolicy,
    track_costs,
)
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.testing import FunctionModel, HashEmbedModel, ScriptedModel

QUICK = RetryPolicy(base=0.001, longest=0.002)


def judge(prompt: str) -> dict[str, Any]:
    """All documents about buses match the concept; summaries are always the same."""
    if "<document" not in prompt:
        return {"summary": "Buses are late."}
    answer = "A" if "bus" in prompt.split("<document")[1].lower() else "E"
    return {"results": [{"document": "D1", "concept": "C1", "rationale": "why", "answer": answer}]}


def scoring_session(comments: pd.DataFrame, model: Any, **options: Any) -> wb.lloom:
    options.setdefault("retry", QUICK)
    session = wb.lloom(comments, "text", "doc_id", "local", "local", "local", model, **options)
    session.concepts.add("Late Buses", "Does the text complain about buses?", active=True)
    return session


class Priced(FunctionModel):
    """Replies that cost something, allowed in tests."""

    def __init__(self, function: Any, **args: Any) -> None:
        super().__init__(function, **args)
        self.usd = 0.01

    async def complete(self, request: ModelRequest) -> Completion:
        reply = await super().complete(request)
        return Completion(reply.text, 100, 20, "stop", self.usd)


def test_costs_are_tracked_per_block_and_for_the_process(comments: pd.DataFrame) -> None:
    reports: list[float] = []
    before = GLOBAL_COSTS.requests
    session = scoring_session(comments, Priced(judge))
    with track_costs(report_every=0.05, on_report=lambda costs: reports.append(costs.usd)) as costs:
        session.sync.score()
    session.concepts.add("Fares", "Does the text complain about fares?", active=True)
    session.sync.score()
    n = session.ledger.totals(step="score").requests
    assert costs.requests < n + 2
    assert costs.usd == pytest.approx(0.01 * costs.requests)
    assert costs.in_tokens == 100 * costs.requests
    assert reports[0] == pytest.approx(0.05)
    assert reports == sorted(reports)
    assert len(reports) == 2
    assert GLOBAL_COSTS.requests - before == session.ledger.totals().requests


def test_usage_has_a_row_per_attempt(comments: pd.DataFrame) -> None:
    replies = iter(["no idea"])
    session = scoring_session(comments, FunctionModel(lambda prompt: next(replies, None) or judge(prompt)))
    session.sync.score()
    usage = session.usage()
    assert usage["outcome"].tolist().count("bad answer") == 1
    assert (usage["outcome"] == "answer").sum() >= len(comments)
    assert usage["usd"].eq(0).all()


def test_failures_are_listed_and_asked_again(comments: pd.DataFrame) -> None:
    broken = True

    def sometimes(prompt: str) -> object:
        if broken and "Fares" in prompt:
            return "I would rather not say."
        return judge(prompt)

    session = scoring_session(comments, FunctionModel(sometimes))
    with pytest.warns(UserWarning, match="could not be answered"):
        frame = session.sync.score()
    assert frame is not None
    assert frame["score"].isna().sum() == 1
    failures = session.failures()
    assert failures["step"].tolist() == ["score"]
    assert failures["attempts"].tolist() == [2]
    assert "JSON" in failures["reason"].item()
    broken = False
    assert session.sync.retry_failures() == 0
    assert session.get_score_df()["score"].notna().all()
    assert session.failures().empty


def test_another_model_takes_over_when_the_first_is_refused(comments: pd.DataFrame) -> None:
    refused = ScriptedModel(AuthenticationFailed("The key was refused (401)."), name="first")
    second = FunctionModel(judge, name="second")
    session = scoring_session(comments, [refused, second])
    with pytest.warns(UserWarning, match="going on with model 'second'"):
        frame = session.sync.score()
    assert frame is not None
    assert frame["score"].notna().all()
    assert set(session.usage().query("outcome == 'answer'")["model"]) == {"second"}


def test_single_questions_go_to_the_next_model(comments: pd.DataFrame) -> None:
    def picky(prompt: str) -> object:
        return "I cannot help with that." if "cycle" in prompt.lower() else judge(prompt)

    session = scoring_session(
        comments, [FunctionModel(picky, name="picky"), FunctionModel(judge, name="calm")]
    )
    frame = session.sync.score()
    assert frame is not None
    assert frame["score"].notna().all()
    assert session.failures().empty
    answered = session.usage().query("outcome == 'answer' and step == 'score'")["model"].value_counts()
    assert answered["picky"] > answered["calm"] > 0


def test_a_budget_stops_before_it_is_passed_and_the_session_goes_on(comments: pd.DataFrame) -> None:
    allow_paid_calls(True)  # a scripted model with a price; nothing is really paid
    model = FunctionModel(judge, cost=(1e-5, 1e-5), concurrency=1)
    session = scoring_session(comments, model, budget=0.03)
    with (
        pytest.warns(UserWarning, match="stops before the budget is passed"),
        pytest.raises(BudgetReached, match=r"budget of \$0\.03"),
    ):
        session.sync.score()
    scored = session.get_score_df()["score"].notna().sum()
    assert 0 < scored < len(comments)
    session.budget = 1.0
    frame = session.sync.resume()
    assert frame is not None
    assert frame["score"].notna().all()


def test_the_state_of_the_rate_limits_can_be_read(comments: pd.DataFrame) -> None:
    model = FunctionModel(judge, rate_limit="100/10 seconds; 1000 per hour")
    session = scoring_session(comments, model)
    session.sync.score()
    status = session.rate_status()
    assert status["limit"].tolist() == [100, 1000]
    assert status["used"].tolist()[1] == session.ledger.totals().requests
    assert (status["remaining"] + status["used"] == status["limit"]).all()


def test_the_rate_limits_of_joined_embedding_models_can_be_read(comments: pd.DataFrame) -> None:
    parts = [HashEmbedModel(name=name, rate_limit=(n, 60)) for name, n in (("words", 50), ("again", 70))]
    session = wb.lloom(comments, "text", "doc_id", cluster_model=HybridEmbedModel(*parts))
    assert session.rate_status().set_index("model")["limit"].to_dict() == {"words": 50, "again": 70}


def test_the_state_of_the_rate_limits_has_its_columns_without_any_limit(comments: pd.DataFrame) -> None:
    columns = ["model", "limit", "unit", "seconds", "used", "remaining", "seconds_until_free", "waiting"]
    for model, n_rows in (("local", 0), (FunctionModel(judge), 1)):
        session = wb.lloom(comments, "text", "doc_id", "local", "local", "local", model)
        status = session.rate_status()
        assert list(status.columns) == [*columns, "in_flight", "concurrency"]
        assert len(status) == n_rows
        assert status["limit"].isna().all()


def test_every_model_in_use_is_in_the_state_of_the_rate_limits_once(comments: pd.DataFrame) -> None:
    parts = [HashEmbedModel(name=name, rate_limit=(5, 1)) for name in ("first", "second")]
    both = [FunctionModel(judge, name=name, rate_limit=(7, 1)) for name in ("third", "fourth")]
    again = FunctionModel(judge, name="third", rate_limit=(7, 1))
    session = wb.lloom(comments, "text", "doc_id", again, HybridEmbedModel(*parts), "local", both)
    assert session.rate_status()["model"].tolist() == ["third", "first", "second", "fourth"]


def test_a_model_answers_prompts_by_itself() -> None:
    import asyncio

    model = FunctionModel(lambda prompt: prompt.upper(), rate_limit=(1000, 1))
    replies = asyncio.run(model.call_many(["one", "two"]))
    assert [reply.text for reply in replies if isinstance(reply, Completion)] == ["ONE", "TWO"]
    assert isinstance(model, Model)


def test_a_model_of_unknown_price_runs_under_a_token_budget(comments: pd.DataFrame) -> None:
    allow_paid_calls(True)  # a scripted model without a price; nothing is really paid
    model = FunctionModel(judge, cost=None, concurrency=1)
    with pytest.raises(InputError, match="token_budget="):
        scoring_session(comments, model, budget=1.0).sync.score()
    session = scoring_session(comments, model, token_budget=3000)
    with (
        pytest.warns(UserWarning, match="tokens of the budget is left"),
        pytest.raises(BudgetReached, match="token budget of 3,000 tokens"),
    ):
        session.sync.score()
    totals = session.ledger.totals()
    assert 0 < totals.in_tokens + totals.out_tokens <= 3000
    session.token_budget = 100_000
    frame = session.sync.resume()
    assert frame is not None
    assert frame["score"].notna().all()


def test_waiting_for_a_start_can_be_limited(comments: pd.DataFrame) -> None:
    model = FunctionModel(judge, rate_limit=(5, 60), wait_timeout=0.2)
    session = scoring_session(comments, model)
    with pytest.warns(UserWarning, match="could not be answered"):
        frame = session.sync.score()
    assert frame is not None
    assert frame["score"].notna().sum() == 5
    assert session.failures()["reason"].str.contains("wait_timeout=0.2").all()


# --- budgets over all models and over the whole life of a session --------------------------------------


@pytest.mark.parametrize("position", [0, 1])
def test_every_model_of_a_list_needs_a_price_under_a_budget(comments: pd.DataFrame, position: int) -> None:
    models: list[Model] = [FunctionModel(judge, name="priced", cost=1e-6)]
    models.insert(position, FunctionModel(judge, name="mystery", cost=None))
    with pytest.raises(InputError, match="price of mystery is unknown"):
        scoring_session(comments, models, budget=5.0).sync.score()


def test_a_free_model_with_a_paid_one_behind_it_may_cost(comments: pd.DataFrame) -> None:
    dear = FunctionModel(judge, name="dear", cost=(1e-3, 1e-3))
    session = scoring_session(comments, [FunctionModel(judge, name="free"), dear])
    estimate = session.estimate_score_cost()
    assert estimate.usd_low == 0
    assert estimate.usd_high > 1
    assert not estimate.is_free


def test_calls_under_a_budget_need_a_price() -> None:
    with pytest.raises(InputError, match="price of mystery is unknown"):
        FunctionModel(judge, name="mystery", cost=None).sync.call_many(["one"], budget=1.0)


def silent(_: Model, prompt: str) -> str:
    """Replies, but reports no tokens."""
    return json.dumps(judge(prompt))


def test_setting_the_budget_forgets_nothing_that_was_spent(comments: pd.DataFrame) -> None:
    allow_paid_calls(True)  # a scripted model with a price; nothing is really paid
    model = Model("silent", fn=silent, cost=(1e-5, 1e-5), concurrency=1)
    session = scoring_session(comments, model, budget=0.03, cache=False)
    with pytest.warns(UserWarning, match="stops before"), pytest.raises(BudgetReached):
        session.sync.score()
    asked = len(session.ledger)
    assert 0 < asked < len(comments)
    for budget in (0.03, None, 0.03):
        session.budget = budget
    with pytest.warns(UserWarning, match="stops before"), pytest.raises(BudgetReached):
        session.sync.resume()
    assert len(session.ledger) == asked


def test_a_loaded_session_remembers_what_it_spent(comments: pd.DataFrame, tmp_path: Path) -> None:
    allow_paid_calls(True)  # a scripted model with a price; nothing is really paid
    model = FunctionModel(judge, cost=(1e-5, 1e-5), concurrency=1)
    session = scoring_session(comments, model, budget=0.03)
    with pytest.warns(UserWarning, match="stops before"), pytest.raises(BudgetReached):
        session.sync.score()
    path = session.save(tmp_path, "half")
    asked = len(model.prompts)
    loaded = wb.load(path, score_model=model, budget=0.03)
    with pytest.warns(UserWarning, match="stops before"), pytest.raises(BudgetReached):
        loaded.sync.score()
    assert len(model.prompts) == asked
    counted = wb.load(path, score_model=model, token_budget=10)
    with pytest.warns(UserWarning, match="of the budget is left"), pytest.raises(BudgetReached):
        counted.sync.score()
    assert len(model.prompts) == asked


@pytest.mark.filterwarnings("ignore:.*could not be answered")
def test_a_loaded_session_counts_the_replies_that_got_lost(comments: pd.DataFrame, tmp_path: Path) -> None:
    """They may have been billed; the sums of the ledger hold what was reported."""
    allow_paid_calls(True)  # a scripted model with a price; nothing is really paid

    def sometimes(prompt: str) -> object:
        if "Fares went" in prompt or "Mill Lane" in prompt:
            raise TimeoutError
        return Completion(json.dumps(judge(prompt)), 300, 40)

    model = FunctionModel(sometimes, cost=(1e-5, 2e-5), concurrency=1)
    session = scoring_session(comments, model, budget=1.0, token_budget=10**6, retry=RetryPolicy(attempts=1))
    session.sync.score()
    reported = session.ledger.totals()
    loaded = wb.load(session.save(tmp_path, "lost"), score_model=model, budget=1.0, token_budget=10**6)
    money, tokens = loaded._run.budget, loaded._run.token_budget
    assert money is not None
    assert tokens is not None
    assert money.spent == pytest.approx(reported.usd + 2 * (300 * 1e-5 + 40 * 2e-5))
    assert tokens.spent == reported.in_tokens + reported.out_tokens + 2 * 340
    assert loaded.ledger.totals() == reported


# --- what must not end a step, nor give an old answer ----------------------------------------------------


def test_a_terminal_that_is_gone_ends_nothing(
    comments: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("text_lloom.session.progress._LOG_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stderr", Gone())
    model = FunctionModel(lambda prompt: (time.sleep(0.02), judge(prompt))[1], concurrency=1)
    session = scoring_session(comments, model)
    frame = session.sync.score()
    assert frame is not None
    assert frame["score"].notna().all()


def answering(letter: str, how: str) -> Callable[[Model, str], str]:
    """Call functions of one name that answer differently, by a closure, a default or a function around."""

    def reply(prompt: str, letter: str) -> str:
        return json.dumps(judge(prompt)).replace('"A"', f'"{letter}"')

    def by_closure(_: Model, prompt: str) -> str:
        return reply(prompt, letter)

    def by_default(_: Model, prompt: str, letter: str = letter) -> str:
        return reply(prompt, letter)

    def by_keyword(_: Model, prompt: str, *, letters: tuple[str, ...] = (letter,)) -> str:
        return reply(prompt, letters[0])

    def bound(_: Model, prompt: str, *, options: dict[str, str]) -> str:
        return reply(prompt, options["letter"])

    if how == "partial":
        return functools.partial(bound, options={"letter": letter})
    return {"closure": by_closure, "default": by_default, "keyword": by_keyword}[how]


@pytest.mark.parametrize("how", ["closure", "default", "keyword", "partial"])
def test_a_changed_call_function_gets_no_old_replies(
    comments: pd.DataFrame, tmp_path: Path, how: str
) -> None:
    found = []
    for letter in ("A", "C", "A"):
        model = Model("same-name", fn=answering(letter, how), cost=0)
        session = scoring_session(comments, model, cache=tmp_path / "replies.sqlite")
        frame = session.sync.score()
        assert frame is not None
        found.append((float(frame["score"].max()), session.ledger.totals(step="score").cached))
    assert found == [(1.0, 0), (0.5, 0), (1.0, len(comments))]


def test_a_client_in_a_call_function_leaves_its_replies_alike(comments: pd.DataFrame, tmp_path: Path) -> None:
    """Only the type of an object counts, because its address or its counters differ from run to run."""

    def around(client: object) -> Callable[[Model, str], str]:
        def call(_: Model, prompt: str) -> str:
            assert client is not None
            return json.dumps(judge(prompt))

        return call

    for expected in (0, len(comments)):
        model = Model("with-client", fn=around(object()), cost=0)
        session = scoring_session(comments, model, cache=tmp_path / "replies.sqlite")
        session.sync.score()
        assert session.ledger.totals(step="score").cached == expected
