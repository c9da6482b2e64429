"""Odd replies to the packages of Anthropic and Google: they are understood, or give a clear error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest

from tests.wire_servers.scripted import Page, Said, ScriptedServer, scripted
from text_lloom.errors import BadAnswer, InputError, PermanentError, TransientError
from text_lloom.llm import AnthropicModel, GeminiEmbedModel, GeminiModel, RetryPolicy

QUICK = RetryPolicy(attempts=2, rate_limited=1, base=0.001, longest=0.002)


def message(text: str = "The 40.", **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    usage = {"input_tokens": 7, "output_tokens": 2}
    return {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "end_turn",
        "usage": usage,
        **fields,
    }


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: message()) as found:
        yield found


async def ask_anthropic(server: ScriptedServer, url: str = "", **options: Any) -> Any:
    pytest.importorskip("anthropic")
    model = AnthropicModel("claude-test", "sk-some-key", url or server.url, cost=0)
    return await model.call("Which bus is late?", cache=False, retry=QUICK, **options)


async def ask_gemini(server: ScriptedServer, **options: Any) -> Any:
    pytest.importorskip("google.genai")
    model = GeminiModel("gemini-2.5-flash", "some-key", server.url, cost=0)
    return await model.call("Which bus is late?", cache=False, retry=QUICK, **options)


async def test_a_message_without_usage_is_a_reply_of_unknown_size(server: ScriptedServer) -> None:
    server.reply = lambda _: message(usage=None)
    reply = await ask_anthropic(server)
    assert (reply.text, reply.in_tokens, reply.out_tokens) == ("The 40.", None, None)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Page("<html>Log in</html>"), id="page"),
        pytest.param([1], id="list"),
        pytest.param({"type": "error", "error": {"message": "Overloaded"}}, id="error"),
    ],
)
async def test_what_is_no_message_is_shown(server: ScriptedServer, said: Said) -> None:
    server.reply = lambda _: said
    with pytest.raises(PermanentError, match="The server sent no message but: "):
        await ask_anthropic(server)


async def test_an_address_with_the_version_is_understood(server: ScriptedServer) -> None:
    assert (await ask_anthropic(server, f"{server.url}/v1/")).text == "The 40."
    assert server.paths == ["/v1/messages"]


async def test_the_reason_of_a_lost_connection_is_told(server: ScriptedServer, unused_tcp_port: int) -> None:
    with pytest.raises(TransientError, match=f"127.0.0.1.*{unused_tcp_port}"):
        await ask_anthropic(server, f"http://127.0.0.1:{unused_tcp_port}")


@pytest.mark.parametrize("make", [AnthropicModel, GeminiModel])
def test_an_address_without_its_scheme_is_refused(make: Any) -> None:
    with pytest.raises(InputError, match="must be an address such as http://"):
        make("m", "sk-some-key", "localhost:8000")


def test_white_space_around_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AnthropicModel("m", "sk-some-key\n").api_key == "sk-some-key"
    monkeypatch.setenv("GEMINI_API_KEY", "  ")
    monkeypatch.setenv("GOOGLE_API_KEY", "google-key\n")
    assert GeminiModel("m").api_key == "google-key"


async def test_a_schema_that_google_refuses_leaves_the_others_strict(server: ScriptedServer) -> None:
    pytest.importorskip("google.genai")
    model = GeminiModel("gemini-2.5-flash", "some-key", server.url, cost=0)

    def reply(body: dict[str, Any]) -> Said:
        schema = body["generationConfig"].get("responseJsonSchema", {})
        if "long" in str(schema):
            error = "The specified schema produces a constraint that has too many states for serving."
            return (400, {"error": {"code": 400, "message": error, "status": "INVALID_ARGUMENT"}})
        text = '{"answer": "yes"}'
        return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]}

    server.reply = reply
    for wanted in (Literal["yes", "long"], Literal["yes", "no"], Literal["yes", "long"]):
        assert (await model.call("Is a bus late?", wanted, cache=False, retry=QUICK)).parsed == "yes"
    strict = ["responseJsonSchema" in body["generationConfig"] for body in server.bodies]
    assert strict == [True, False, True, False]


async def test_vectors_of_google_are_as_many_as_the_texts(server: ScriptedServer) -> None:
    pytest.importorskip("google.genai")
    embedder = GeminiEmbedModel("gemini-embedding-001", "some-key", server.url, cost=0)
    for said, told in (({}, "0 vectors for 2"), ({"embeddings": [{"values": [1.0]}]}, "1 vectors for 2")):
        server.reply = lambda _, said=said: said
        with pytest.raises(BadAnswer, match=told):
            await embedder.embed_batch(["a late bus", "fares"])


async def test_each_candidate_has_its_own_end(server: ScriptedServer) -> None:
    def candidate(index: int, text: str, reason: str) -> dict[str, Any]:
        return {"index": index, "content": {"parts": [{"text": text}]}, "finishReason": reason}

    found = [candidate(0, "The 40.", "STOP"), candidate(1, "The", "MAX_TOKENS")]
    server.reply = lambda _: {"candidates": found}
    replies = await ask_gemini(server, n=2)
    assert [(r.text, r.finish_reason) for r in replies] == [("The 40.", "stop"), ("The", "length")]


async def test_a_reply_without_candidates_is_tried_again(server: ScriptedServer) -> None:
    server.reply = lambda _: {"usageMetadata": {"promptTokenCount": 7}}
    with pytest.raises(TransientError, match="no candidate in it"):
        await ask_gemini(server)
    assert len(server.bodies) == 2
