"""Every provider through its own package (OpenAI's through our client), against its own wire format."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.wire_servers.fixtures import CASES, Stand, as_params, stand, standing
from tests.wire_servers.server import KEY, Fault
from text_lloom.errors import (
    AnswerRefused,
    AuthenticationFailed,
    ContextOverflow,
    FormRefused,
    LloomError,
    ModelNotFound,
    RateLimited,
    TransientError,
)
from text_lloom.llm import Completion, Failure, Model, ModelRequest, RetryPolicy
from text_lloom.llm.ask import ask_all
from text_lloom.llm.dispatch.request_builder import StepSettings, build_request
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import embed_all
from text_lloom.llm.messages import as_messages
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.tasks import SummarizeDocument

__all__ = ["stand"]

QUESTION = "Which of the buses in the north of the town are late, and who says so?"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["A", "B"]},
        "found": {"type": "array", "items": {"$ref": "#/$defs/Found"}},
    },
    "required": ["label", "found"],
    "$defs": {
        "Found": {
            "type": "object",
            "properties": {"quote": {"type": "string"}, "n": {"type": "integer", "minimum": 0}},
            "required": ["quote", "n"],
        }
    },
}
FOLLOWING = {"label": "B", "found": [{"quote": "words", "n": 0}]}


def asked(model: Model, prompt: object = QUESTION, **fields: Any) -> ModelRequest:
    """A request as the engine makes it, with the model's parameters and system message."""
    params = fields.pop("params", {})
    posed = build_request(model, as_messages(prompt), settings=StepSettings(params))
    return replace(posed, **fields)


async def ask(stand: Stand, prompt: object = QUESTION, **fields: Any) -> Completion:
    """One attempt."""
    model = stand.model()
    return await attempt(model, asked(model, prompt, **fields))


async def attempt(model: Model, request: ModelRequest) -> Completion:
    """One attempt, in a form that the service takes."""
    for _ in range(4):
        with contextlib.suppress(FormRefused):
            return await run_async(model.complete(request))
    return await run_async(model.complete(request))


def quick(**settings: Any) -> Run:
    return Run(policy=RetryPolicy(base=0.005, longest=0.05), **settings)


def questions(n: int) -> list[SummarizeDocument]:
    return [
        SummarizeDocument(i, f"Bus line {i} was late again, and we waited in the rain.") for i in range(n)
    ]


# --- the whole pipeline --------------------------------------------------------------------------------


async def test_the_whole_pipeline_runs(stand: Stand, corpora: Path) -> None:
    df = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(24)
    model = stand.model()
    embedder = stand.embed() if stand.case.embed else "local"
    l = wb.lloom(df, "comment", "doc_id", model, embedder, model, model, cache=False)  # noqa: E741
    await l.gen(seed="women", confirm=False)
    assert len(l.concepts) > 0
    await l.select_auto(max_concepts=3)
    table = await l.score()
    chosen = [concept for concept in l.concepts.values() if concept.active]
    assert len(table) == len(df) * len(chosen)
    assert table["score"].notna().all()
    exported = l.export_df()
    assert list(exported["concept"]) == [concept.name for concept in chosen]
    assert len(l.failures()) == 0
    totals = l.ledger.totals()
    assert (totals.in_tokens, totals.out_tokens) == (stand.server.in_tokens, stand.server.out_tokens)


# --- replies -------------------------------------------------------------------------------------------


async def test_a_reply_comes_with_its_tokens(stand: Stand) -> None:
    reply = await ask(stand)
    assert reply.text.startswith("You wrote")
    assert QUESTION[:40] in reply.text
    assert (reply.in_tokens, reply.out_tokens) == (stand.server.in_tokens, stand.server.out_tokens)
    assert reply.finish_reason == "stop"
    assert reply.others == ()


async def test_the_system_message_arrives_apart_from_the_prompt(stand: Stand) -> None:
    messages: Any = [
        {"role": "system", "content": "Answer in French."},
        {"role": "user", "content": "Which bus is late?"},
        {"role": "assistant", "content": "The 40."},
        {"role": "user", "content": "And which one comes?"},
    ]
    reply = await ask(stand, messages)
    assert "And which one comes?" in reply.text
    assert "French" in json.dumps(stand.server.last.body)


async def test_a_reply_in_pieces_is_the_same_reply(stand: Stand) -> None:
    whole = await ask(stand)
    pieces: list[str] = []
    reply = await ask(stand, on_chunk=pieces.append)
    assert "".join(pieces) == reply.text == whole.text
    assert len(pieces) > 2
    assert (reply.in_tokens, reply.out_tokens, reply.finish_reason) == (
        whole.in_tokens,
        whole.out_tokens,
        "stop",
    )


async def test_several_replies_count_as_one_request(stand: Stand) -> None:
    model = stand.model()
    if not model.many_generations:
        pytest.skip("this provider gives one reply to a request")
    reply = await run_async(model.complete(asked(model, n=3)))
    assert reply.others == (reply.text, reply.text)
    assert len(stand.server.received) == 1
    assert reply.out_tokens == stand.server.out_tokens


async def test_models_are_used_by_themselves(stand: Stand) -> None:
    model = stand.model()
    first, second = await model.call(QUESTION, n=2)
    assert first.text == second.text
    pieces: list[str] = []
    streamed = await model.call(QUESTION, on_chunk=pieces.append)
    assert streamed.text == "".join(pieces) == first.text
    stand.go_wrong(Fault("filtered"))
    replies = await model.call_many(["Which bus is late?", "Which lane is blocked?"])
    assert sorted(type(reply).__name__ for reply in replies) == ["AnswerRefused", "Completion"]


async def test_a_reply_follows_a_schema(stand: Stand) -> None:
    reply = await ask(stand, schema=SCHEMA)
    if stand.case.id != "openai-completions":
        assert json.loads(reply.text) == FOLLOWING
    pieces: list[str] = []
    streamed = await ask(stand, schema=SCHEMA, on_chunk=pieces.append)
    assert streamed.text == "".join(pieces)


async def test_parameters_reach_the_server(stand: Stand) -> None:
    reply = await ask(stand, params={"max_tokens": 5})
    assert reply.finish_reason == "length"
    assert len(reply.text) <= 20
    if "stop" in (stand.model().generation_params or ()):
        assert (await ask(stand, params={"stop": ["buses"]})).text.endswith("Which of the ")


async def test_what_a_model_refuses_is_left_out_from_then_on(stand: Stand) -> None:
    stand.server.dialect.refuses.add("temperature")  # type: ignore[attr-defined]
    model = stand.model(temperature=None) if "openai" in stand.case.id else stand.model()
    request = asked(model, params={"temperature": 0.2})
    with pytest.warns(UserWarning, match="refuses the parameter 'temperature'"):
        reply = await attempt(model, request)
    assert reply.text.startswith("You wrote")
    seen = len(stand.server.received)
    await run_async(model.complete(request))
    assert len(stand.server.received) == seen + 1
    assert "temperature" not in json.dumps(stand.server.last.body)


# --- what goes wrong -----------------------------------------------------------------------------------


FAULTS = [
    (Fault("not found"), ModelNotFound),
    (Fault("no credit"), AuthenticationFailed),
    (Fault("rate limited", retry_after=7.5), RateLimited),
    (Fault("overloaded"), TransientError),
    (Fault("server error"), TransientError),
    (Fault("bad gateway"), TransientError),
    (Fault("drop"), TransientError),
    (Fault("declined"), AnswerRefused),
    (Fault("filtered"), AnswerRefused),
    (Fault("too long"), ContextOverflow),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda part: getattr(part, "kind", ""))
async def test_each_error_is_told_for_what_it_is(stand: Stand, fault: Fault, error: type[LloomError]) -> None:
    if fault.kind == "declined" and stand.case.id == "openai-completions":
        pytest.skip("a plain completion has no way to say so")
    stand.go_wrong(fault)
    with pytest.raises(error) as raised:
        await ask(stand)
    assert len(stand.server.received) == 1, "trying again is the engine's part"
    assert KEY not in str(raised.value)
    if isinstance(raised.value, RateLimited):
        assert raised.value.retry_after == 7.5
    if error is TransientError:
        assert not isinstance(raised.value, RateLimited)


async def test_a_wrong_key_is_told_and_not_shown(stand: Stand) -> None:
    key = "sk-wrong-4f3e2d1c0b9a8877"
    model = stand.model(api_key=key)
    with pytest.raises(AuthenticationFailed, match="Check the API key") as raised:
        await run_async(model.complete(asked(model)))
    assert key in json.dumps(stand.server.last.headers)
    shown = f"{raised.value} {raised.value!r} {model!r} {model.client!r} {raised.value.__cause__!r}"
    assert key not in shown
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


async def test_a_reply_that_was_cut_off_says_so(stand: Stand) -> None:
    stand.go_wrong(Fault("cut off"))
    assert (await ask(stand)).finish_reason == "length"


async def test_a_stream_that_breaks_is_no_reply(stand: Stand) -> None:
    stand.go_wrong(Fault("broken stream"))
    pieces: list[str] = []
    with pytest.raises(TransientError):
        await ask(stand, on_chunk=pieces.append)
    assert pieces


async def test_a_table_is_complete_in_spite_of_faults(stand: Stand) -> None:
    stand.go_wrong(
        Fault("server error"),
        Fault("rate limited", retry_after=0.02),
        Fault("drop"),
        Fault("bad gateway"),
        Fault("overloaded", retry_after=0.02),
        Fault("cut off"),
        Fault("declined"),
    )
    run = quick()
    answers = await run_async(ask_all(stand.model(concurrency=1), questions(8), run=run))
    failed = [answer for answer in answers if isinstance(answer, Failure)]
    assert len(failed) == (stand.case.id != "openai-completions")
    assert all(failure.kind == "AnswerRefused" for failure in failed)
    assert len(run.ledger) == len(stand.server.received)
    totals = run.ledger.totals()
    assert totals.in_tokens == stand.server.in_tokens, "what was cut off or declined is paid for, too"
    if stand.case.id not in ("gemini", "vertex"):  # which do not count what they held back
        assert totals.out_tokens == stand.server.out_tokens


# --- embeddings ----------------------------------------------------------------------------------------


@pytest.fixture(params=as_params(case for case in CASES if case.embed))
def embedding_stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with standing(request.param) as found:
        yield found


async def test_embeddings_come_in_order_and_batches(embedding_stand: Stand) -> None:
    stand = embedding_stand
    subjects = ["bus", "bike", "fare", "tram", "lane", "ticket", "driver", "station", "bridge"]
    texts = [f"The {subject} was discussed" for subject in subjects] + ["", "The tram was discussed"]
    run = quick()
    stand.go_wrong(Fault("server error"), Fault("rate limited", retry_after=0.02))
    vectors = await run_async(embed_all(stand.embed(batch_size=4), texts, run=run))
    assert vectors.shape == (11, 64)
    assert not vectors[9].any()
    np.testing.assert_array_equal(vectors[3], vectors[10])
    assert not np.allclose(vectors[3], vectors[4])
    assert len(stand.server.received) == 3 + 2
    assert run.ledger.totals().in_tokens == stand.server.in_tokens
