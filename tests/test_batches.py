"""Scoring through the Batch API: the same scores at half the price, nothing sent twice, nothing lost."""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.fake_provider.fixtures import FakeProvider
from tests.fake_provider.log import Entry
from text_lloom.errors import (
    AuthenticationFailed,
    BudgetReached,
    FileProblem,
    InputError,
    ModelNotFound,
    PaidCallRefused,
    PermanentError,
    TransientError,
)
from text_lloom.llm import Completion, Fallbacks, Model, OpenAIModel, RetryPolicy
from text_lloom.llm.batches import BatchEndpoint, BatchFile, BatchLine
from text_lloom.llm.control.budget import Budget, TokenBudget
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.dispatch.request_builder import build_task_request
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.messages import ModelRequest, as_messages
from text_lloom.llm.providers.openai_formats import read_completion
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.llm.runtime.http import HttpError
from text_lloom.operators.batch_records import BatchRecords, model_key
from text_lloom.operators.batch_scoring import BatchScoring
from text_lloom.operators.score import plan_scoring
from text_lloom.scores import ScoreTable

PRICE = (0.15 / 1_000_000, 0.6 / 1_000_000)
CRITERIA = {
    "Late buses": "Does the text say that buses run late or do not come?",
    "Unsafe cycling": "Does the text say that cycling is dangerous?",
    "High fares": "Does the text complain about fares or ticket prices?",
}
DOCS = Path(__file__).resolve().parents[1] / "docs" / "batch.md"


@pytest.fixture(autouse=True)
def _paid_calls() -> Iterator[None]:
    before = allow_paid_calls(True)
    yield
    allow_paid_calls(before)


@pytest.fixture
def df(comments: pd.DataFrame) -> pd.DataFrame:
    return comments


class Sessions:
    """Makes sessions over the same documents and concepts, each as after a restart.

    Its models have a name of their own: batches of an earlier test may still be at work.
    """

    _numbers = itertools.count()

    def __init__(self, df: pd.DataFrame, provider: FakeProvider) -> None:
        self.df, self.provider = df, provider
        self.name = f"batch-{next(self._numbers)}"

    def model(self, **options: Any) -> OpenAIModel:
        options = {"cost": PRICE, "base_url": self.provider.base_url, **options}
        return OpenAIModel(self.name, self.provider.api_key, **options)

    def new(self, *, concepts: dict[str, str] | None = None, **options: Any) -> wb.lloom:
        options.setdefault("score_model", self.model())
        options.setdefault("retry", RetryPolicy(attempts=3, base=0.01))
        l = wb.lloom(self.df, "text", "doc_id", **options)  # noqa: E741
        for name, criteria in (CRITERIA if concepts is None else concepts).items():
            l.concepts.add(name, criteria, active=True)
        return l

    def log(self, endpoint: str = "batch") -> list[Entry]:
        """Requests for scores that reached the provider."""
        log = self.provider.stats().requests
        return [e for e in log if (e.endpoint, e.task, e.model) == (endpoint, "score", self.name)]

    def requests(self, endpoint: str = "batch") -> int:
        """How many these are."""
        return len(self.log(endpoint))


@pytest.fixture
def sessions(df: pd.DataFrame, fake_provider: FakeProvider) -> Sessions:
    fake_provider.control(batch_delay=0.1)
    return Sessions(df, fake_provider)


async def score(l: wb.lloom, **options: Any) -> pd.DataFrame:  # noqa: E741
    options = {"confirm": False, "mode": "batch", "poll_seconds": 0.05, **options}
    scores = await l.score(**options)
    assert scores is not None
    return scores


def scored(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without ids, which differ from session to session."""
    return frame.drop(columns="concept_id")


def rows(l: wb.lloom, step: str = "score") -> list[tuple[str, int, int, float | None]]:  # noqa: E741
    return [(a.outcome, a.in_tokens, a.out_tokens, a.usd) for a in l.ledger.attempts if a.step == step]


# --- a whole run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": 5}, {"concepts_per_call": 1, "get_highlights": False}],
    ids=["plain", "several-documents", "one-by-one"],
)
async def test_scores_are_those_of_live_scoring(sessions: Sessions, options: dict[str, Any]) -> None:
    live = sessions.new(cache=False)
    expected = await score(live, mode="live", **options)
    batch = sessions.new(cache=False)
    found = await score(batch, **options)
    pd.testing.assert_frame_equal(scored(found), scored(expected))
    assert found["score"].notna().all()
    assert [c.summary for c in batch.concepts.values()] == [c.summary for c in live.concepts.values()]
    assert batch.failures().empty
    assert sessions.requests() == sessions.requests("chat")
    [job] = batch.batch_jobs
    assert (job.state, job.requests, job.model) == ("completed", sessions.requests(), sessions.name)


async def test_requests_are_sent_as_they_are_live(
    sessions: Sessions, fake_provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sessions.model(max_tokens=900)
    l = sessions.new(score_model=model, cache=False)  # noqa: E741
    uploaded: list[bytes] = []
    upload = model.client.upload

    async def spy(path: str, fields: Any, *, file_name: str, content: bytes) -> Any:
        uploaded.append(content)
        return await upload(path, fields, file_name=file_name, content=content)

    monkeypatch.setattr(model.client, "upload", spy)
    await score(l)
    lines = [json.loads(line) for line in uploaded[0].splitlines()]
    assert len(lines) == len(sessions.df)
    assert {line["url"] for line in lines} == {"/v1/chat/completions"}
    assert {line["method"] for line in lines} == {"POST"}
    assert len({line["custom_id"] for line in lines}) == len(lines)
    tasks = plan_scoring(list(l.corpus), list(l.concepts.values()))
    bodies = [model.request_body(build_task_request(model, task)) for task in tasks]
    assert [line["body"] for line in lines] == bodies
    assert bodies[0]["response_format"]["json_schema"]["strict"] is True
    assert bodies[0]["max_tokens"] == 900


async def test_parameters_and_prompts_of_scoring_hold_in_batches(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sessions.model(temperature=0.0)
    uploaded: list[bytes] = []
    upload = model.client.upload

    async def spy(path: str, fields: dict[str, str], *, file_name: str, content: bytes) -> Any:
        uploaded.append(content)
        return await upload(path, fields, file_name=file_name, content=content)

    monkeypatch.setattr(model.client, "upload", spy)
    l = sessions.new(score_model=model, cache=False)  # noqa: E741
    prompt = f"Judge with care.\n{l.show_prompt('score')}"
    spoken = {"score": wb.Prompt(prompt, system="You are a strict coder.")}
    found = await score(l, params={"temperature": 0.4}, custom_prompts=spoken)
    assert found["score"].notna().all()
    bodies = [json.loads(line)["body"] for content in uploaded for line in content.splitlines()]
    assert {body["temperature"] for body in bodies} == {0.4}
    assert {body["messages"][0]["content"] for body in bodies} == {"You are a strict coder."}
    assert all(body["messages"][1]["content"].startswith("Judge with care.\n") for body in bodies)


async def test_the_ledger_has_the_providers_tokens_at_half_the_price(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    await score(l)
    entries = sessions.log()
    in_tokens, out_tokens = sum(e.in_tokens for e in entries), sum(e.out_tokens for e in entries)
    totals = l.ledger.totals(step="score")
    assert (totals.requests, totals.answers) == (len(entries), len(entries))
    assert (totals.in_tokens, totals.out_tokens) == (in_tokens, out_tokens)
    assert totals.usd == pytest.approx((in_tokens * PRICE[0] + out_tokens * PRICE[1]) / 2)
    assert totals.unpriced == 0
    summaries = l.ledger.totals(step="summarize_concept")
    assert summaries.usd == pytest.approx(summaries.in_tokens * PRICE[0] + summaries.out_tokens * PRICE[1]), (
        "summaries are asked live"
    )


@pytest.mark.parametrize(("cost", "usd"), [(None, None), (0, 0.0)], ids=["unknown", "free"])
async def test_models_without_a_price(sessions: Sessions, cost: Any, usd: float | None) -> None:
    l = sessions.new(score_model=sessions.model(cost=cost))  # noqa: E741
    await score(l)
    assert {row[3] for row in rows(l)} == {usd}


async def test_kept_replies_and_scores_are_not_sent_again(sessions: Sessions) -> None:
    first = sessions.new()
    live = await score(first, mode="live", c_ids=list(first.concepts)[:1], concepts_per_call=1)
    assert sessions.requests("chat") == 12
    again = await score(first, concepts_per_call=1)
    assert sessions.requests() == 24, "two concepts were left"
    pd.testing.assert_frame_equal(again.iloc[:12].reset_index(drop=True), live)
    second = sessions.new()
    found = await score(second, concepts_per_call=1)
    pd.testing.assert_frame_equal(scored(found), scored(again))
    assert sessions.requests() == 24
    assert [row[0] for row in rows(second)] == ["cached"] * 36
    assert second.batch_jobs == []
    third = sessions.new()
    await score(third, mode="live", concepts_per_call=1)
    assert sessions.requests("chat") == 12, "replies of batches are kept for live scoring"


async def test_equal_documents_are_asked_once(sessions: Sessions) -> None:
    sessions.df = pd.concat([sessions.df, sessions.df.assign(doc_id=[f"again{n}" for n in range(12)])])
    found = await score(sessions.new())
    assert sessions.requests() == 12
    assert found["score"].notna().all()
    assert len(found) == 72


async def test_long_documents_are_cut_and_named(sessions: Sessions) -> None:
    sessions.df.loc[3, "text"] = "The bus was late again. " * 2000
    l = sessions.new(score_model=sessions.model(context_window=3000))  # noqa: E741
    sessions.provider.control(context_window=3000)
    with pytest.warns(UserWarning, match="1 documents were too long.*'d03'"):
        found = await score(l, long_documents="cut")
    assert found["score"].notna().all()
    marked = found["rationale"].str.match(r"Only the first \d+ % of the document was read\.")
    assert found["doc_id"][marked].unique().tolist() == ["d03"]
    assert marked.sum() == (found["doc_id"] == "d03").sum()


async def test_scoring_quotes_gives_highlights_of_the_documents(sessions: Sessions) -> None:
    l = sessions.new(cache=False)  # noqa: E741
    l._quotes = {i: [text[:30], text[30:]] for i, text in zip(l.corpus.ids, l.corpus.texts, strict=True)}
    found = await score(l, score_on="quotes")
    other = sessions.new(cache=False)
    other._quotes = l._quotes
    pd.testing.assert_frame_equal(scored(found), scored(await score(other, mode="live", score_on="quotes")))
    assert all(h in t for h, t in zip(found["highlight"], found["text"], strict=True))


async def test_other_documents(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    other = pd.DataFrame({"doc_id": [1, 2], "text": ["The bus came late.", "A ticket costs too much."]})
    found = await score(l, df=other)
    assert found["score"].notna().all()
    assert found["doc_id"].tolist() == [1, 2] * 3
    assert not len(l.table)


def test_the_synchronous_twins(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    found = l.sync.score(mode="batch", confirm=False, poll_seconds=0.05)
    assert found is not None
    assert found["score"].notna().all()
    assert l.sync.cancel_batches() == []
    assert inspect.signature(l.sync.cancel_batches).parameters == {}


def test_files_are_parted_at_the_providers_limits() -> None:
    line = BatchLine("k", b"x" * 40)
    file = BatchFile(most_requests=3, most_bytes=100)
    assert [file.add(line) for _ in range(3)] == [True, True, False]
    assert (len(file), len(file.content)) == (2, 80)
    file = BatchFile(most_requests=3, most_bytes=1000)
    assert [file.add(line) for _ in range(4)] == [True, True, True, False]
    assert BatchFile(most_bytes=10).add(line), "a line that is too long is for the provider to refuse"


@pytest.mark.parametrize("cache", [True, False], ids=["cache", "no-cache"])
@pytest.mark.parametrize("wait", [True, False], ids=["waiting", "later"])
async def test_two_scorings_at_once_send_each_question_once(
    sessions: Sessions, cache: bool, wait: bool
) -> None:
    expected = await score(sessions.new(cache=False), mode="live")
    l = sessions.new(cache=cache)  # noqa: E741
    both = await asyncio.gather(score(l, wait=wait), score(l, wait=wait))
    if not wait:
        both = [await score(l)]
    assert sessions.requests() == len({entry.prompt_hash for entry in sessions.log()}) > 0
    assert l.ledger.totals(step="score").requests == sessions.requests()
    assert len(l.batch_jobs) == 1
    for found in both:
        pd.testing.assert_frame_equal(scored(found), scored(expected))


@pytest.mark.parametrize("cache", [True, False], ids=["cache", "no-cache"])
async def test_a_scoring_of_other_documents_beside_one_of_the_sessions_own(
    sessions: Sessions, cache: bool
) -> None:
    l = sessions.new(cache=cache, budget=0.5)  # noqa: E741
    own, other = await asyncio.gather(score(l), score(l, df=sessions.df.head(4)))
    assert own["score"].notna().all()
    assert other["score"].notna().all()
    assert l._run.budget is not None
    assert l._run.budget.spent == pytest.approx(l.ledger.totals().usd)
    once = len({entry.prompt_hash for entry in sessions.log()})
    assert sessions.requests() == once


async def test_many_requests_go_in_several_batches(sessions: Sessions) -> None:
    l = sessions.new(cache=False)  # noqa: E741
    concepts = list(l.concepts.values())
    records, run, table = BatchRecords(None), Run(), ScoreTable(l.corpus)
    said: list[str] = []
    scoring = BatchScoring(
        sessions.model(), list(l.corpus), concepts, records=records, run=run, say=said.append, most_requests=5
    )
    outcome = await run_async(scoring.score(plan_scoring(list(l.corpus), concepts), table, poll_seconds=0.05))
    assert [job.requests for job in records.jobs] == [5, 5, 2]
    assert {job.state for job in records.jobs} == {"completed"}
    assert outcome.under_way == []
    assert len(outcome.answered) == 12
    assert table.to_frame(concepts)["score"].notna().all()
    assert len(said) == 3


def test_lines_end_only_where_they_end(sessions: Sessions) -> None:
    endpoint = BatchEndpoint(sessions.model(), policy=RetryPolicy(), jitter=random.Random(0))
    prompt = "one\u2028two\u2029three\x85four\nfive \U0001f68c {braces}"
    line = endpoint.line("k", ModelRequest(as_messages(prompt))).content.decode()
    assert line.splitlines() == [line.rstrip("\n")]
    assert json.loads(line)["body"]["messages"][-1]["content"] == prompt


# --- resuming later ------------------------------------------------------------------------------------


async def test_sending_without_waiting_and_fetching_later(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions.provider.control(batch_delay=0.4)
    l = sessions.new()  # noqa: E741
    at_once = await score(l, wait=False)
    assert at_once["score"].isna().all()
    [job] = l.batch_jobs
    assert job.state in ("validating", "in_progress")
    shown = capsys.readouterr().out
    assert f"Sent batch {job.id}: 12 requests to {sessions.name}" in shown
    assert "score(mode='batch')" in shown
    assert "cancel_batches()" in shown
    assert l.ledger.totals().requests == 0
    found = await score(l)
    assert found["score"].notna().all()
    assert sessions.requests() == 12
    assert [job.state for job in l.batch_jobs] == ["completed"]
    assert sum(bool(c.summary) for c in l.concepts.values()) >= 1


@pytest.mark.parametrize("cache", [True, False], ids=["cache", "no-cache"])
async def test_a_loaded_session_goes_on(sessions: Sessions, tmp_path: Path, cache: bool) -> None:
    l = sessions.new(cache=cache)  # noqa: E741
    await score(l, wait=False)
    path = l.save(tmp_path, "sent")
    again = wb.load(path, score_model=sessions.model(), cache=cache)
    assert again.batch_jobs == l.batch_jobs
    found = await score(again)
    assert found["score"].notna().all()
    assert sessions.requests() == 12
    assert again.ledger.totals(step="score").requests == 12
    again.save(tmp_path, "fetched")
    assert wb.load(tmp_path / "fetched.lloom", cache=cache).batch_jobs[0].state == "completed"


async def test_a_new_session_over_the_same_documents_goes_on(sessions: Sessions, tmp_path: Path) -> None:
    first = sessions.new()
    await score(first, wait=False)
    folder = tmp_path / "cache" / "text_lloom" / "journal.sqlite-batches"
    [record] = folder.iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    written = record.read_text()
    assert not any(text in written for text in [*sessions.df["text"], *CRITERIA.values()])
    assert sessions.provider.api_key not in written
    sessions.df = sessions.df.iloc[::-1].reset_index(drop=True)
    shifted = ["High fares", "Late buses", "Unsafe cycling"]
    second = sessions.new(concepts={name: CRITERIA[name] for name in shifted})
    assert set(second.concepts).isdisjoint(first.concepts)
    found = await score(second)
    assert found["score"].notna().all()
    assert sessions.requests() == 12
    assert list(folder.iterdir()) == []
    # The first session finds that the replies were fetched, and pays for none.
    pd.testing.assert_frame_equal(
        scored(await score(first)).sort_values(["concept_name", "doc_id"], ignore_index=True),
        scored(found).sort_values(["concept_name", "doc_id"], ignore_index=True),
    )
    assert {row[0] for row in rows(first)} == {"cached"}


async def test_what_waits_is_not_sent_in_another_form(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    ids = list(l.concepts)
    await score(l, c_ids=ids[:2], wait=False)
    found = await score(l, c_ids=ids, batch_size=4)
    assert found["score"].notna().all()
    assert sessions.requests() == 12 + 3, "the third concept for 4 documents at a time"


async def test_changed_concepts_are_sent_and_old_answers_left_out(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    ids = list(l.concepts)
    await score(l, wait=False)
    l.concepts.edit(ids[0], "Does the text mention a bus?")
    l.concepts.remove(ids[1])
    found = await score(l)
    assert found["score"].notna().all()
    assert sessions.requests() == 24
    assert ids[1] not in l.table
    expected = await score(sessions.new(concepts={"Late buses": "Does the text mention a bus?"}), mode="live")
    pd.testing.assert_series_equal(
        found[found["concept_id"] == ids[0]]["score"].reset_index(drop=True), expected["score"]
    )


async def test_batches_of_other_documents_are_left_alone(sessions: Sessions) -> None:
    first = sessions.new()
    await score(first, wait=False)
    others = Sessions(pd.DataFrame({"doc_id": ["x"], "text": ["The tram was full."]}), sessions.provider)
    others.name = sessions.name
    second = others.new()
    await score(second)
    assert [job.requests for job in second.batch_jobs] == [1]
    assert (await score(first))["score"].notna().all()
    assert sessions.requests() == 13


@pytest.mark.parametrize(
    "options", [{"temperature": 0.7}, {"system_prompt": "Be strict."}, {"seed": 3}], ids=str
)
async def test_a_batch_of_other_parameters_is_not_taken(sessions: Sessions, options: dict[str, Any]) -> None:
    await score(sessions.new(cache=False), wait=False)
    await score(sessions.new(), wait=False)
    other = sessions.new(score_model=sessions.model(**options))
    await score(other)
    assert other.ledger.totals(step="score").requests == 12
    assert len(other.batch_jobs) == 1


async def test_an_interrupt_leaves_the_batch_running(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions.provider.control(batch_delay=30)
    l = sessions.new()  # noqa: E741
    waiting = asyncio.create_task(score(l))
    while not (l.batch_jobs and l.batch_jobs[0].state == "in_progress"):
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    shown = capsys.readouterr().out
    assert "Stopped. 12 requests go on at the provider" in shown
    assert "cancel_batches()" in shown
    [job] = await l.cancel_batches()
    assert job.state in ("cancelling", "cancelled")
    again = sessions.new()
    with pytest.warns(UserWarning, match="was cancelled"):
        found = await score(again)
    answered = sessions.requests()
    assert found["score"].notna().sum() == 3 * answered < 36
    assert set(again.failures()["kind"]) == {"TransientError"}
    assert len(again.failures()) == 12 - answered
    assert [job.state for job in again.batch_jobs] == ["cancelled"]
    sessions.provider.control(batch_delay=0)
    assert (await score(again))["score"].notna().all()
    assert sessions.requests() == 12


async def test_live_scoring_warns_of_what_waits(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    await score(l, wait=False)
    with pytest.warns(UserWarning, match="36 of these scores wait in a batch"):
        await score(l, mode="live")


# --- what goes wrong -----------------------------------------------------------------------------------


async def test_bad_answers_and_errors_are_failures_and_asked_again(sessions: Sessions) -> None:
    sessions.provider.control(
        fault_endpoints=["batch"], p_malformed=0.3, p_500=0.2, p_429=0.1, p_length=0.1, fault_attempts=1
    )
    l = sessions.new()  # noqa: E741
    with pytest.warns(UserWarning, match=r"score: \d+ requests could not be answered"):
        found = await score(l, concepts_per_call=1)
    log = sessions.log()
    faulty = sum(bool(e.fault) for e in log)
    assert 10 <= faulty <= 35
    failures = l.failures()
    assert found["score"].isna().sum() == len(failures)
    assert set(failures["step"]) == {"score"}
    assert {"BadAnswer", "RateLimited", "TransientError"} == set(failures["kind"])
    assert (failures["attempts"] == 1).all()
    outcomes = [row[0] for row in rows(l)]
    assert outcomes.count("answer") == 36 - len(failures)
    assert set(outcomes) == {"answer", "bad answer", "permanent error"}
    paid = [e for e in log if e.status == 200]
    assert l.ledger.totals(step="score").usd == pytest.approx(
        sum(e.in_tokens * PRICE[0] + e.out_tokens * PRICE[1] for e in paid) / 2
    ), "bad answers are paid for"
    assert failures["usd"].sum() == pytest.approx(sum(r[3] for r in rows(l) if r[0] == "bad answer"))
    again = await score(l, mode="live", concepts_per_call=1)
    assert again["score"].notna().all()
    assert sessions.requests("chat") == len(failures)


async def test_an_error_inside_a_reply_is_a_failure_of_its_documents(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(body: object) -> Completion:
        return read_completion({"error": {"code": 502, "message": "Upstream is away."}})

    monkeypatch.setattr("text_lloom.llm.batches.read_completion", read)
    l = sessions.new()  # noqa: E741
    with pytest.warns(UserWarning, match="Upstream is away"):
        await score(l)
    assert set(l.failures()["kind"]) == {"TransientError"}


async def test_an_expired_batch_gives_what_it_has(sessions: Sessions) -> None:
    sessions.provider.control(batch_end="expired", batch_share=0.5)
    l = sessions.new()  # noqa: E741
    with pytest.warns(UserWarning, match="completion window expired"):
        found = await score(l)
    assert found["score"].notna().sum() == 18
    assert len(l.failures()) == 6
    assert (l.failures()["attempts"] == 0).all()
    assert l.ledger.totals(step="score").requests == 6
    assert l.batch_jobs[0].state == "expired"
    sessions.provider.control(batch_end="completed")
    assert (await score(l))["score"].notna().all()
    assert sessions.requests() == 12


async def test_a_refused_batch_says_why(sessions: Sessions) -> None:
    sessions.provider.control(batch_end="failed")
    l = sessions.new()  # noqa: E741
    with pytest.warns(UserWarning, match="refused by the provider. Enqueued token limit"):
        found = await score(l)
    assert found["score"].isna().all()
    assert sessions.requests() == 0
    assert l.batch_jobs[0].state == "failed"


async def test_the_next_batch_leaves_out_what_the_server_refuses(sessions: Sessions) -> None:
    sessions.provider.control(response_format="json_object")
    l = sessions.new()  # noqa: E741
    with pytest.warns(UserWarning, match="could not be answered"):
        await score(l)
    assert (await score(l))["score"].notna().all()


async def test_a_batch_that_nobody_knows_is_not_sent_again_by_itself(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    await score(l, wait=False)
    record = l._batches.under_way(model_key(l.models.score))[0]  # type: ignore[arg-type]
    l._batches.note(record.job._replace(id="batch_gone"))
    for _ in range(2):
        with pytest.warns(UserWarning, match="does not know the batch batch_gone"):
            found = await score(l)
        assert found["score"].isna().all()
    assert l.batch_jobs[0].state == "unknown"
    assert [job.state for job in await l.cancel_batches()] == ["unknown"]
    assert (await score(l))["score"].notna().all()
    assert len(l.batch_jobs) == 2


class Flaky:
    """A client whose calls to create a batch lose their reply, once."""

    def __init__(self, client: Any, *, lost: str, forever: bool = False) -> None:
        self.client, self.lost, self.forever, self.calls = client, lost, forever, 0

    async def post(self, path: str, body: Any, **options: Any) -> Any:
        if path != "/batches":
            return await self.client.post(path, body, **options)
        self.calls += 1
        if self.lost == "request":
            raise ConnectionResetError("down")
        reply = await self.client.post(path, body)
        if self.forever or self.calls == 1:
            raise ConnectionResetError("the reply was lost")
        return reply

    async def get(self, path: str) -> Any:
        if self.forever and path.startswith("/batches?"):
            raise ConnectionResetError("down")
        return await self.client.get(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


async def test_a_lost_reply_makes_no_second_batch(sessions: Sessions) -> None:
    model = sessions.model()
    flaky = Flaky(model.client, lost="reply")
    model._client = flaky
    assert (await score(sessions.new(score_model=model)))["score"].notna().all()
    assert flaky.calls == 1
    assert sessions.requests() == 12


@pytest.mark.parametrize("lost", ["reply", "request"])
async def test_a_batch_whose_id_never_came_is_found(sessions: Sessions, lost: str) -> None:
    model = sessions.model()
    model._client = Flaky(model.client, lost=lost, forever=True)
    l = sessions.new(score_model=model)  # noqa: E741
    with pytest.raises(TransientError):
        await score(l)
    assert [job.id for job in l.batch_jobs] == [""]
    again = sessions.new()
    assert (await score(again))["score"].notna().all()
    assert sessions.requests() == 12


async def test_a_network_that_is_away_for_a_while_is_waited_for(sessions: Sessions) -> None:
    model = sessions.model()
    client, failed = model.client, 0

    class Away:
        async def get(self, path: str) -> Any:
            nonlocal failed
            failed += 1
            if failed < 8:
                raise HttpError(503, "try later", {})
            return await client.get(path)

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    model._client = Away()
    assert (await score(sessions.new(score_model=model)))["score"].notna().all()
    assert failed >= 8


# --- what is refused, and money ------------------------------------------------------------------------


async def call(_: Model, prompt: str) -> str:
    raise AssertionError("nothing is sent")


@pytest.mark.parametrize(
    "model",
    [
        Model("mine", fn=call),
        "local",
        Fallbacks((Model("mine", fn=call), Model("other", fn=call))),
        OpenAIModel("gpt-4o-mini", "key", "http://127.0.0.1:9/v1", endpoint="responses"),
    ],
    ids=["custom", "local", "fallbacks", "responses"],
)
async def test_models_without_batches_are_refused(sessions: Sessions, model: Any) -> None:
    l = sessions.new(score_model=model)  # noqa: E741
    with pytest.raises(InputError, match=r"mode='batch' needs.*OpenAIModel.*mode='live'"):
        await score(l)
    with pytest.raises(InputError, match="mode='batch' needs"):
        l.estimate_score_cost(mode="batch")
    assert sessions.requests() == sessions.requests("chat") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "batched"}, "Unknown mode 'batched'. Did you mean 'batch'"),
        ({"poll_seconds": 0}, "poll_seconds=0"),
        ({"poll_seconds": "1"}, "poll_seconds='1'"),
    ],
    ids=["mode", "zero", "text"],
)
async def test_wrong_arguments(sessions: Sessions, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        await score(sessions.new(), **options)


async def test_a_refused_key(sessions: Sessions) -> None:
    model = OpenAIModel("gpt-4o-mini", "wrong-key-0123456789", sessions.provider.base_url, cost=PRICE)
    with pytest.raises(AuthenticationFailed) as caught:
        await score(sessions.new(score_model=model))
    assert "wrong-key-0123456789" not in str(caught.value)


async def test_a_server_without_batches(sessions: Sessions) -> None:
    model = sessions.model(base_url=f"{sessions.provider.base_url}/nothing")
    with pytest.raises(PermanentError, match=r"no Batch API.*mode='live'") as caught:
        await score(sessions.new(score_model=model))
    assert not isinstance(caught.value, ModelNotFound)


async def test_paid_calls_can_be_refused(sessions: Sessions) -> None:
    allow_paid_calls(False)
    with pytest.raises(PaidCallRefused):
        await score(sessions.new())
    assert sessions.requests() == sessions.requests("chat") == 0


def test_the_estimate_is_half(sessions: Sessions) -> None:
    l = sessions.new()  # noqa: E741
    live, batch = l.estimate_score_cost(), l.estimate_score_cost(mode="batch")
    assert batch.steps[0].usd_high == pytest.approx(live.steps[0].usd_high / 2)
    assert batch.steps[0].in_tokens == live.steps[0].in_tokens
    assert batch.steps[1] == live.steps[1]


async def test_the_user_is_asked_once_and_can_decline(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = ["n", "y"], []
    monkeypatch.setattr("text_lloom.session.spend.is_interactive", lambda: True)
    monkeypatch.setattr(
        "builtins.input", lambda question="": asked.append(question) or answers[len(asked) - 1]
    )
    l = sessions.new()  # noqa: E741
    assert await l.score(mode="batch") is None
    assert sessions.requests() == sessions.requests("chat") == 0
    await l.score(mode="batch", wait=False)
    await l.score(mode="batch", poll_seconds=0.05)
    assert asked == ["Proceed with scoring in a batch? (y/n): "] * 2, "fetching asks nothing"


async def test_the_budget_bounds_what_is_sent(sessions: Sessions) -> None:
    whole = sessions.new(cache=False)
    await score(whole)
    usd = whole.ledger.totals(step="score").usd
    sessions.provider.reset()
    l = sessions.new(cache=False, budget=0.6 * usd)  # noqa: E741
    with pytest.warns(UserWarning, match="of the budget is left"), pytest.raises(BudgetReached):
        await score(l, confirm=None)
    assert 2 <= sessions.requests() < 12
    assert l.ledger.totals().usd <= 0.6 * usd
    assert len(l.batch_jobs) == 1
    assert np.count_nonzero(l.table.to_frame(list(l.concepts.values()))["score"].notna()) > 0


async def test_a_token_budget_bounds_what_is_sent(sessions: Sessions) -> None:
    l = sessions.new(cache=False)  # noqa: E741
    concepts, table = list(l.concepts.values()), ScoreTable(l.corpus)
    run = Run(budget=Budget(1.0), token_budget=TokenBudget(4000))
    scoring = BatchScoring(
        sessions.model(cost=None), list(l.corpus), concepts, records=BatchRecords(None), run=run, say=str
    )
    with pytest.raises(BudgetReached, match="token budget of 4,000 tokens"):
        await run_async(scoring.score(plan_scoring(list(l.corpus), concepts), table, poll_seconds=0.05))
    totals = run.ledger.totals()
    assert 2 <= totals.requests < 12
    assert run.token_budget is not None
    assert run.token_budget.spent == totals.in_tokens + totals.out_tokens <= 4000


async def test_what_is_under_way_is_set_aside_in_the_budget(sessions: Sessions, tmp_path: Path) -> None:
    sessions.provider.control(batch_delay=30)
    l = sessions.new(budget=1.0)  # noqa: E741
    await score(l, wait=False)
    budget = l._run.budget
    assert budget is not None
    assert 0 < budget.remaining < 1
    again = wb.load(l.save(tmp_path, "s"), score_model=sessions.model(), budget=1.0)
    await score(again, wait=False)
    assert again._run.budget is not None
    assert again._run.budget.remaining == pytest.approx(budget.remaining)
    await again.cancel_batches()
    with pytest.warns(UserWarning, match="cancelled"):
        await score(again)
    assert again._run.budget.remaining == pytest.approx(1 - again.ledger.totals().usd)


async def test_a_batch_of_another_model_is_left_to_that_model(sessions: Sessions, tmp_path: Path) -> None:
    l = sessions.new()  # noqa: E741
    await score(l, wait=False)
    at = {"api_key": sessions.provider.api_key, "base_url": sessions.provider.base_url, "cost": PRICE}
    other = wb.load(l.save(tmp_path, "s"), score_model=OpenAIModel(f"{sessions.name}-other", **at))
    assert (await score(other))["score"].notna().all()
    asked = [e for e in sessions.provider.stats().requests if e.model == f"{sessions.name}-other"]
    assert sum(e.endpoint == "batch" and e.task == "score" for e in asked) == 12
    judged_by = {a.model for a in other.ledger.attempts if a.step == "score"}
    assert judged_by == {f"{sessions.name}-other"}


async def test_a_batch_sent_without_a_budget_is_booked_in_one_once_it_is_fetched(
    sessions: Sessions, tmp_path: Path
) -> None:
    l = sessions.new()  # noqa: E741
    await score(l, wait=False)
    again = wb.load(l.save(tmp_path, "s"), score_model=sessions.model(), budget=1.0)
    assert again._run.budget is not None
    assert again._run.budget.remaining == 1.0
    assert (await score(again))["score"].notna().all()
    assert 0 < again._run.budget.spent == pytest.approx(again.ledger.totals().usd)


async def test_fetching_is_possible_on_an_empty_budget(sessions: Sessions, tmp_path: Path) -> None:
    l = sessions.new(budget=1.0)  # noqa: E741
    await score(l, wait=False)
    again = wb.load(l.save(tmp_path, "s"), score_model=sessions.model(), budget=1e-9)
    with pytest.raises(BudgetReached, match="budget of"):  # of the live summaries
        await score(again, confirm=None)
    assert again.get_score_df()["score"].notna().all()


# --- records, and the documentation --------------------------------------------------------------------


async def test_a_damaged_record_is_left_out_with_a_warning(sessions: Sessions, tmp_path: Path) -> None:
    await score(sessions.new(), wait=False)
    [record] = (tmp_path / "cache" / "text_lloom" / "journal.sqlite-batches").iterdir()
    record.write_text("{}")
    with pytest.warns(UserWarning, match="record of a batch.*cannot be read"):
        assert (await score(sessions.new()))["score"].notna().all()


@pytest.mark.parametrize("written", [{}, {"under_way": [{}], "ended": []}, []], ids=str)
def test_a_session_with_damaged_batches_is_refused(written: Any) -> None:
    with pytest.raises(FileProblem, match="batches in the session file"):
        BatchRecords(None).restore(written)


def python_block(page: Path) -> CodeType:
    [code] = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_the_example_of_the_documentation_runs(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", sessions.provider.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", sessions.provider.base_url)
    sessions.df.to_csv("posts.csv", index=False)
    sessions.name = "gpt-4o-mini"
    space: dict[str, Any] = {}
    with pytest.warns(UserWarning, match="Estimated cost.*scoring in a batch"):
        await eval(python_block(DOCS), space)
    assert space["score_df"]["score"].notna().all()
    assert len(space["score_df"]) == 24
    assert sessions.requests() == 12
