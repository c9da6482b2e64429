"""Replies with nothing in them, or with half of it: booked, tried again, never kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.wire_servers.scripted import Events, Said, ScriptedServer, completion, piece, scripted
from text_lloom.errors import AnswerRefused, BadAnswer, BudgetReached, TransientError
from text_lloom.llm import Completion, OpenAIModel, RetryPolicy
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.control.usage import Ledger

QUICK = RetryPolicy(attempts=3, rate_limited=1, base=0.001, longest=0.002)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}
PRICE = (1e-5, 1e-5)


@pytest.fixture(autouse=True)
def _paid_calls_allowed() -> Iterator[None]:
    before = allow_paid_calls(True)
    yield
    allow_paid_calls(before)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


def model(server: ScriptedServer, **settings: Any) -> OpenAIModel:
    settings = {"cost": PRICE, **settings}
    return OpenAIModel("late-bus-1", "sk-some-key", f"{server.url}/v1", **settings)


def first(server: ScriptedServer, odd: Said, then: Said | None = None) -> None:
    """Have the server say something odd to the first request."""
    usual = {**completion("The 40."), "usage": USAGE} if then is None else then
    server.reply = lambda _: odd if len(server.bodies) == 1 else usual


WITHOUT_CHOICES = [
    pytest.param({"choices": [], "usage": USAGE}, id="empty"),
    pytest.param({"choices": None, "usage": USAGE}, id="null"),
    pytest.param({"object": "chat.completion", "usage": USAGE}, id="missing"),
    pytest.param({"choices": [None], "usage": USAGE}, id="list-of-null"),
]


@pytest.mark.parametrize("odd", WITHOUT_CHOICES)
async def test_a_reply_without_choices_is_paid_for_and_tried_again(server: ScriptedServer, odd: Said) -> None:
    first(server, odd)
    ledger = Ledger()
    reply = await model(server).call("Which bus?", cache=False, retry=QUICK, ledger=ledger)
    assert (reply.text, reply.usd) == ("The 40.", pytest.approx(2 * 1100e-5))
    rows = [(row.outcome, row.in_tokens, row.out_tokens) for row in ledger.attempts]
    assert rows == [("transient error", 1000, 100), ("answer", 1000, 100)]


async def test_a_stream_or_a_response_with_nothing_in_it_is_paid_for(server: ScriptedServer) -> None:
    end = {"choices": [], "usage": USAGE}
    first(server, Events([end, "[DONE]"]), Events([piece("The 40.", "stop"), end]))
    reply = await model(server).call("Which bus?", cache=False, retry=QUICK, on_chunk=lambda _: None)
    assert (reply.text, reply.usd) == ("The 40.", pytest.approx(2 * 1100e-5))
    server.bodies.clear()
    counts = {"input_tokens": 1000, "output_tokens": 100}
    text = {"type": "message", "content": [{"type": "output_text", "text": "The 40."}]}
    whole = {"status": "completed", "output": [text], "usage": counts}
    first(server, {"status": "completed", "output": [], "usage": counts}, whole)
    asked = model(server, endpoint="responses")
    reply = await asked.call("Which bus?", cache=False, retry=QUICK)
    assert (reply.text, reply.usd) == ("The 40.", pytest.approx(2 * 1100e-5))


@pytest.mark.parametrize("odd", WITHOUT_CHOICES)
def test_a_budget_holds_where_replies_have_no_choices(server: ScriptedServer, odd: dict[str, Any]) -> None:
    answer = {"document": "D1", "concept": "C1", "rationale": "", "answer": "A", "quote": ""}
    whole = {**completion(json.dumps({"results": [answer]})), "usage": USAGE}
    server.reply = lambda _: odd if len(server.bodies) % 3 == 2 else whole
    frame = pd.DataFrame({"id": range(60), "text": [f"bus {i} late" for i in range(60)]})
    session = wb.lloom(
        frame, "text", "id", "local", "local", "local", model(server, concurrency=4), cache=False, budget=0.3
    )
    session.concepts.add("Late", "Is a bus late?", active=True)
    with pytest.raises(BudgetReached):
        session.sync.score(confirm=False)
    bill = len(server.bodies) * 1100e-5
    assert session.ledger.totals().usd == pytest.approx(bill)
    assert bill <= 0.3


@pytest.mark.parametrize("text", ["", " \n", None], ids=["empty", "blank", "null"])
async def test_an_empty_reply_is_tried_again_and_never_kept(
    server: ScriptedServer, text: str | None, tmp_path: Path
) -> None:
    first(server, completion(text))
    asked, file = model(server), tmp_path / "journal.sqlite"
    replies = [await asked.call("Which bus?", cache=file, retry=QUICK) for _ in range(2)]
    assert [(reply.text, reply.cached) for reply in replies] == [("The 40.", False), ("The 40.", True)]
    assert "JSON" not in server.bodies[1]["messages"][-1]["content"], "no form was asked for"
    server.reply = lambda _: completion(text)
    with pytest.raises(BadAnswer, match="empty"):
        await asked.call("Which tram?", cache=file, retry=QUICK)


async def test_an_empty_reply_that_was_kept_is_asked_for_again(
    server: ScriptedServer, tmp_path: Path
) -> None:
    from text_lloom.llm.cache.journal import open_journal
    from text_lloom.llm.cache.keys import request_key
    from text_lloom.llm.dispatch.request_builder import build_request
    from text_lloom.llm.messages import as_messages

    asked, file = model(server), tmp_path / "journal.sqlite"
    journal = open_journal(file)
    assert journal is not None
    key = request_key(asked, build_request(asked, as_messages("Which bus?")), sample=0)
    await journal.put(key, Completion(""), model="late-bus-1", step="call")
    assert (await asked.call("Which bus?", cache=file, retry=QUICK)).text == "Late."


BROKEN_OFF = ["error", "abort", "network_error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL"]


@pytest.mark.parametrize("reason", [*BROKEN_OFF, "cancelled", "timeout", "OTHER"])
async def test_what_a_server_broke_off_is_tried_again_and_never_kept(
    server: ScriptedServer, reason: str, tmp_path: Path
) -> None:
    broken = {**completion("The 4", reasons=[reason]), "usage": USAGE}
    first(server, broken)
    asked, file = model(server), tmp_path / "journal.sqlite"
    reply = await asked.call("Which bus?", cache=file, retry=QUICK)
    assert (reply.text, reply.usd) == ("The 40.", pytest.approx(2 * 1100e-5))
    server.reply = lambda _: broken
    for _ in range(2):
        with pytest.raises(TransientError, match="broke the reply off"):
            await asked.call("Which tram?", cache=file, retry=QUICK)
    assert len(server.bodies) == 2 + 2 * QUICK.attempts


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "model_length", "model_context_window_exceeded"])
async def test_what_is_cut_off_is_given_and_never_kept(
    server: ScriptedServer, reason: str, tmp_path: Path
) -> None:
    server.reply = lambda _: completion("The 4", reasons=[reason])
    for _ in range(2):
        reply = await model(server).call("Which bus?", cache=tmp_path / "journal.sqlite", retry=QUICK)
        assert (reply.text, reply.finish_reason, reply.cached) == ("The 4", "length", False)
    with pytest.raises(BadAnswer, match="cut off"):
        await model(server).call("Which bus?", list[str], cache=False, retry=QUICK)


@pytest.mark.parametrize("reason", ["content_filter", "sensitive", "ERROR_TOXIC", "SAFETY"])
async def test_what_is_declined_is_not_asked_again(server: ScriptedServer, reason: str) -> None:
    server.reply = lambda _: completion("I", reasons=[reason])
    with pytest.raises(AnswerRefused):
        await model(server).call("Which bus?", cache=False, retry=QUICK)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("reason", [None, "", "unknown"])
async def test_json_without_an_end_counts_only_where_the_server_says_that_it_ended(
    server: ScriptedServer, reason: str | None
) -> None:
    cut = completion('{"answer": ["the 40", "the 1')
    cut["choices"][0]["finish_reason"] = reason
    first(server, cut, completion('{"answer": ["the 40", "the 12"]}'))
    reply = await model(server).call("Which buses?", list[str], cache=False, retry=QUICK)
    assert (reply.parsed, len(server.bodies)) == (["the 40", "the 12"], 2)
