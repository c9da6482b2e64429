"""Thoughts are never an answer, whatever marks are around them and wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.wire_servers.scripted import Events, Said, ScriptedServer, completion, scripted
from text_lloom.errors import BadAnswer
from text_lloom.llm import Completion, Model, OpenAIModel, RetryPolicy

QUICK = RetryPolicy(attempts=2, rate_limited=1, base=0.001, longest=0.002)
MAYBE = 'Maybe {"answer": "yes"}, but the text is about trams.'
NO = '{"answer": "no"}'
Late = Literal["yes", "no"]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


def model(server: ScriptedServer, **settings: Any) -> OpenAIModel:
    return OpenAIModel("late-bus-1", "sk-some-key", f"{server.url}/v1", cost=0, **settings)


async def ask(model: Model, schema: Any = None, **options: Any) -> Any:
    return await model.call("Is a bus late?", schema, cache=False, retry=QUICK, **options)


MARKED = [
    pytest.param("<think>{}</think>", id="qwen-deepseek"),
    pytest.param("\n<THINK>\n{}\n</think>\n\n", id="white-space-and-case"),
    pytest.param("<thinking>{}</thinking>", id="claude"),
    pytest.param("<thought>{}</thought>", id="exaone-gemma"),
    pytest.param("<reasoning>{}</reasoning>", id="reasoning"),
    pytest.param("<mm:think>{}</mm:think>", id="minimax"),
    pytest.param("<seed:think>{}</seed:think>", id="seed-oss"),
    pytest.param("[THINK]{}[/THINK]", id="magistral"),
    pytest.param("◁think▷{}◁/think▷", id="kimi"),
    pytest.param("<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>", id="command-a"),
    pytest.param("<|begin_of_thought|>{}<|end_of_thought|>", id="sky-t1"),
    pytest.param("<unused94>{}<unused95>", id="medgemma"),
    pytest.param("<|channel>thought\n{}<channel|>", id="gemma-4"),
    pytest.param("Here is my thought process: {} Here is my response: ", id="granite"),
    pytest.param(
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>", id="harmony"
    ),
    pytest.param("analysis{}assistantfinal", id="harmony-without-marks"),
]


@pytest.mark.parametrize("marks", MARKED)
async def test_what_stands_between_marks_of_thoughts_is_kept_apart(
    server: ScriptedServer, marks: str
) -> None:
    server.reply = lambda _: completion(marks.format(MAYBE) + NO)
    reply = await ask(model(server), Late)
    assert (reply.parsed, reply.text, len(server.bodies)) == ("no", NO, 1)
    assert "about trams" in reply.reasoning


@pytest.mark.parametrize("marks", MARKED)
async def test_thoughts_that_do_not_end_are_no_answer(server: ScriptedServer, marks: str) -> None:
    replies = [marks.partition("{}")[0] + MAYBE, NO]
    server.reply = lambda _: completion(replies.pop(0))
    assert (await ask(model(server), Late)).parsed == "no"
    assert len(server.bodies) == 2, "it is asked again"
    server.reply = lambda _: completion(marks.partition("{}")[0] + MAYBE)
    with pytest.raises(BadAnswer, match="thoughts"):
        await ask(model(server))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"The text is about trams. {MAYBE}</think>{NO}", id="begun-by-the-template"),
        pytest.param(f"<think>a</think>\n<think>{MAYBE}</think>{NO}", id="twice"),
        pytest.param(f"<think>Do they ask about <think>these</think>? {MAYBE}</think>{NO}", id="nested"),
        pytest.param(f"<think>{MAYBE}</think>\n<answer>{NO}</answer>", id="answer-in-tags"),
        pytest.param(f"{MAYBE}<|end|><|start|>assistant<|channel|>final<|message|>{NO}<|return|>", id="rest"),
    ],
)
async def test_only_what_follows_all_thoughts_counts(server: ScriptedServer, text: str) -> None:
    server.reply = lambda _: completion(text)
    assert (await ask(model(server), Late)).parsed == "no"


@pytest.mark.parametrize(
    "text",
    [
        "The mark `</think>` ends thoughts.",
        "analysis of the timetable: the 40 is late",
        '{"answer": "a </think> in a document"}',
        "I think < 5 buses are late.",
    ],
)
async def test_a_text_that_speaks_of_thoughts_stays_as_it_is(server: ScriptedServer, text: str) -> None:
    server.reply = lambda _: completion(text)
    reply = await ask(model(server))
    assert (reply.text, reply.reasoning) == (text, None)


def said(**message: Any) -> Said:
    body = completion(None)
    body["choices"][0]["message"] |= message
    return body


TOOL = {"id": "1", "type": "function", "function": {"name": "answer", "arguments": NO}}
MISTRAL = [{"type": "thinking", "thinking": [{"type": "text", "text": MAYBE}]}, {"type": "text", "text": NO}]


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        pytest.param({"reasoning_content": NO}, None, id="vllm"),
        pytest.param({"content": "", "reasoning": NO}, None, id="ollama"),
        pytest.param({"tool_calls": [TOOL]}, None, id="tool"),
        pytest.param({"function_call": {"name": "answer", "arguments": NO}}, None, id="function"),
        pytest.param({"reasoning_content": f"{MAYBE}</think>{NO}"}, MAYBE, id="not-parted"),
        pytest.param({"content": {"answer": "no"}}, None, id="object"),
        pytest.param({"content": MISTRAL}, MAYBE, id="parts"),
        pytest.param({"content": NO, "reasoning_content": MAYBE}, MAYBE, id="both"),
        pytest.param({"content": NO, "thinking": MAYBE}, MAYBE, id="thinking"),
    ],
)
async def test_an_answer_is_found_in_the_field_where_it_stands(
    server: ScriptedServer, message: dict[str, Any], reasoning: str | None
) -> None:
    server.reply = lambda _: said(**message)
    reply = await ask(model(server), Late)
    assert (reply.parsed, reply.reasoning, len(server.bodies)) == ("no", reasoning, 1)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
async def test_thoughts_in_a_field_of_their_own_are_no_answer(server: ScriptedServer, field: str) -> None:
    server.reply = lambda _: said(**{field: MAYBE})
    for schema in (Late, None):
        with pytest.raises(BadAnswer, match="thoughts"):
            await ask(model(server), schema)
    assert len(server.bodies) == 4


async def test_a_pattern_that_stands_with_the_thoughts_alone_is_the_answer(server: ScriptedServer) -> None:
    server.reply = lambda _: said(reasoning_content="\nno")
    assert (await ask(model(server), regex="yes|no")).parsed == "no"


async def test_pieces_of_thoughts_and_tools_are_put_together(server: ScriptedServer) -> None:
    def delta(**fields: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}

    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    thoughts = [delta(reasoning_content="Trams "), delta(reasoning_content="alone.")]
    call = [delta(tool_calls=[{"index": 0, "function": {"arguments": part}}]) for part in (NO[:5], NO[5:])]
    for pieces in ([*thoughts, delta(content=NO)], [*thoughts, *call]):
        server.reply = lambda _, pieces=pieces: Events([*pieces, end])
        reply = await ask(model(server), Late, on_chunk=lambda _: None)
        assert (reply.parsed, reply.reasoning) == ("no", "Trams alone.")


async def test_the_responses_endpoint_shows_its_thoughts(server: ScriptedServer) -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Trams alone."}]}
    text = {"type": "message", "content": [{"type": "output_text", "text": NO}]}
    call = {"type": "function_call", "name": "answer", "arguments": NO}
    for answer in (text, call):
        server.reply = lambda _, answer=answer: {"status": "completed", "output": [thought, answer]}
        reply = await ask(model(server, endpoint="responses"), Late)
        assert (reply.parsed, reply.reasoning) == ("no", "Trams alone.")


async def test_thoughts_of_a_function_are_kept_apart_too() -> None:
    reply = await ask(Model("mine", fn=lambda model, prompt: f"<think>{MAYBE}</think>{NO}", cost=0), Late)
    assert (reply.parsed, reply.reasoning) == ("no", MAYBE)
    assert Completion("Late.").reasoning is None


async def test_thoughts_that_were_kept_are_not_answered_from(server: ScriptedServer, tmp_path: Path) -> None:
    from text_lloom.llm.cache.journal import open_journal
    from text_lloom.llm.cache.keys import request_key
    from text_lloom.llm.dispatch.request_builder import build_request
    from text_lloom.llm.messages import as_messages

    asked, file = model(server), tmp_path / "journal.sqlite"
    journal = open_journal(file)
    assert journal is not None
    key = request_key(asked, build_request(asked, as_messages("Is a bus late?")), sample=0)
    await journal.put(key, Completion(f"<think>{MAYBE}"), model="late-bus-1", step="call")
    reply = await asked.call("Is a bus late?", cache=file, retry=QUICK)
    assert (reply.text, reply.cached, len(server.bodies)) == ("Late.", False, 1)
