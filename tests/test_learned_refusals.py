"""What a server cannot do is learned from its first refusal, whatever the words and the status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest

from tests.wire_servers.scripted import Events, Page, Said, ScriptedServer, completion, piece, scripted
from text_lloom.errors import PermanentError
from text_lloom.llm import OpenAIModel, RetryPolicy

QUICK = RetryPolicy(attempts=1, rate_limited=1, base=0.001, longest=0.002)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


def model(server: ScriptedServer, **settings: Any) -> OpenAIModel:
    return OpenAIModel("late-bus-1", "sk-some-key", f"{server.url}/v1", cost=0, **settings)


async def ask(model: OpenAIModel, schema: Any = None, **options: Any) -> Any:
    return await model.call("Which bus is late?", schema, cache=False, retry=QUICK, **options)


def refused(status: int, message: str) -> Said:
    return (status, {"error": {"message": message, "type": "BadRequestError", "param": None}})


def has_system(body: dict[str, Any]) -> bool:
    return "instructions" in body or any(m["role"] == "system" for m in body.get("messages", ()))


NO_SYSTEM = [
    pytest.param(400, "System role not supported", id="gemma-vllm"),
    pytest.param(500, "jinja2.exceptions.TemplateError: System role not supported", id="gemma-sglang"),
    pytest.param(422, "Template error: template error: System role not supported (in <string>:1)", id="tgi"),
    pytest.param(400, "Conversation roles must alternate user/assistant/user/assistant/...", id="mistral"),
    pytest.param(500, "Only user, assistant and tool roles are supported, got system.", id="ministral"),
    pytest.param(
        400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.", id="o1-mini"
    ),
    pytest.param(400, "Developer instruction is not enabled for models/gemma-3-27b-it", id="google"),
    pytest.param(400, "This model doesn't support system messages. Try again without one.", id="bedrock"),
    pytest.param(404, "The model does not support system prompts.", id="404"),
]


@pytest.mark.parametrize(("status", "words"), NO_SYSTEM)
@pytest.mark.parametrize("endpoint", ["chat", "responses"])
async def test_without_a_system_role_the_text_goes_into_the_question(
    server: ScriptedServer, status: int, words: str, endpoint: Any
) -> None:
    text = {"type": "message", "content": [{"type": "output_text", "text": "Late."}]}
    whole = completion("Late.") if endpoint == "chat" else {"status": "completed", "output": [text]}
    server.reply = lambda body: refused(status, words) if has_system(body) else whole
    asked = model(server, endpoint=endpoint, system_prompt="Answer in one word.")
    for _ in range(2):
        assert (await ask(asked)).text == "Late."
    assert [has_system(body) for body in server.bodies] == [True, False, False], "it is learned once"
    said = server.bodies[-1]["messages" if endpoint == "chat" else "input"]
    assert said == [{"role": "user", "content": "Answer in one word.\n\nWhich bus is late?"}]


async def test_an_empty_system_text_leaves_the_question_as_it_is(server: ScriptedServer) -> None:
    server.reply = lambda body: (
        refused(400, "System role not supported") if has_system(body) else completion("L")
    )
    await ask(model(server, system_prompt=""))
    assert server.bodies[-1]["messages"] == [{"role": "user", "content": "Which bus is late?"}]


async def test_words_about_roles_without_a_system_text_are_an_error(server: ScriptedServer) -> None:
    server.reply = lambda _: refused(
        400, "Conversation roles must alternate user/assistant/user/assistant/..."
    )
    with pytest.raises(PermanentError, match="alternate"):
        await ask(model(server))
    assert len(server.bodies) == 2


ONLY_STREAMS = [
    pytest.param(400, "This model only support stream mode, please enable the stream parameter.", id="qwq"),
    pytest.param(
        400, "parameter.enable_thinking must be set to false for non-streaming calls", id="qwen3-dashscope"
    ),
    pytest.param(
        400, "Streaming is required for operations that may take longer than 10 minutes.", id="long"
    ),
    pytest.param(400, "Stream must be set to true", id="gateway"),
    pytest.param(501, "Non-streaming requests are not supported", id="501"),
]


@pytest.mark.parametrize(("status", "words"), ONLY_STREAMS)
async def test_a_model_that_only_streams_is_read_in_pieces(
    server: ScriptedServer, status: int, words: str
) -> None:
    whole = Events([piece("La"), piece("te.", "stop"), "[DONE]"])
    server.reply = lambda body: whole if body.get("stream") else refused(status, words)
    asked = model(server)
    for _ in range(2):
        assert (await ask(asked)).text == "Late."
    assert [body.get("stream") for body in server.bodies] == [None, True, True]


async def test_a_stream_that_the_user_asked_for_is_read(server: ScriptedServer) -> None:
    whole = Events([piece("La"), piece("te.", "stop"), "[DONE]"])
    server.reply = lambda body: whole if body.get("stream") else refused(400, "no")
    assert (await ask(model(server, extra_body={"stream": True}))).text == "Late."


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Events([piece("La"), piece("te.", "stop"), "[DONE]"]), id="events"),
        pytest.param(
            Page(
                'event: x\ndata: {"choices": [{"delta": {"content": "Late."}, "finish_reason": "stop"}]}\n\n'
            ),
            id="as-a-page",
        ),
        pytest.param(
            Page(': ping\n\ndata: {"choices": [{"text": "Late.", "finish_reason": "stop"}]}'), id="text"
        ),
    ],
)
async def test_events_that_nobody_asked_for_are_read(server: ScriptedServer, said: Said) -> None:
    server.reply = lambda _: said
    assert (await ask(model(server))).text == "Late."


NO_FORM = [
    pytest.param(400, "Failed to initialize samplers: failed to parse grammar", id="llama.cpp"),
    pytest.param(500, "failed to load model vocabulary required for format", id="ollama"),
    pytest.param(422, "Grammar is not supported", id="tgi"),
    pytest.param(400, "'response_format' is not supported", id="lm-studio"),
    pytest.param(404, "No endpoints found that support the requested parameters.", id="openrouter"),
    pytest.param(400, "xgrammar does not support this JSON schema", id="vllm"),
    pytest.param(501, "JSON mode is not available for this model", id="json-mode"),
    pytest.param(500, "guided decoding backend is not installed", id="guided"),
]


@pytest.mark.parametrize(("status", "words"), NO_FORM)
async def test_a_form_that_is_refused_is_asked_for_in_words(
    server: ScriptedServer, status: int, words: str
) -> None:
    def reply(body: dict[str, Any]) -> Said:
        return refused(status, words) if body.get("response_format") else completion('{"answer": "yes"}')

    server.reply = reply
    asked = model(server)
    for _ in range(2):
        assert (await ask(asked, Literal["yes", "no"])).parsed == "yes"
    assert [body.get("response_format", {}).get("type") for body in server.bodies] == [
        "json_schema",
        "json_object",
        None,
        None,
    ]
