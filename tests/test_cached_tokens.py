"""Every kind of token at its own price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.wire_servers.scripted import Events, Said, ScriptedServer, completion, piece, scripted
from text_lloom.llm import OpenAIModel
from text_lloom.llm.control.paid_call_guard import allow_paid_calls

MILLION = 1e-6


@pytest.fixture(autouse=True)
def _paid_calls_allowed() -> Iterator[None]:
    before = allow_paid_calls(True)
    yield
    allow_paid_calls(before)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


def with_usage(usage: dict[str, Any], *, endpoint: str = "chat", in_pieces: bool = False) -> Said:
    if endpoint == "responses":
        text = {"type": "message", "content": [{"type": "output_text", "text": "Late."}]}
        return {"status": "completed", "output": [text], "usage": usage}
    if in_pieces:
        return Events([piece("Late.", "stop"), {"choices": [], "usage": usage}, "[DONE]"])
    return {**completion("Late."), "usage": usage}


async def bill(server: ScriptedServer, name: str, cost: Any, said: Said, **settings: Any) -> Any:
    on_chunk = (lambda _: None) if isinstance(said, Events) else None
    server.reply = lambda _: said
    asked = OpenAIModel(name, "sk-some-key", f"{server.url}/v1", cost=cost, **settings)
    return await asked.call("Which bus?", cache=False, on_chunk=on_chunk)


OPENAI = {"prompt_tokens": 2000, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 1900}}
RESPONSES = {"input_tokens": 2000, "output_tokens": 30, "input_tokens_details": {"cached_tokens": 1900}}
DEEPSEEK = {
    "prompt_tokens": 2000,
    "completion_tokens": 30,
    "prompt_cache_hit_tokens": 1900,
    "prompt_cache_miss_tokens": 100,
}
CLAUDE = {
    "prompt_tokens": 2000,
    "completion_tokens": 30,
    "cache_read_input_tokens": 1500,
    "cache_creation_input_tokens": 400,
}
BESIDE = {"input_tokens": 100, "output_tokens": 30, "cache_read_input_tokens": 1900}


@pytest.mark.parametrize(
    ("name", "cost", "usage", "cents"),
    [
        pytest.param("gpt-5-mini", (0.25, 2.0), OPENAI, 100 * 0.25 + 1900 * 0.025 + 60, id="a-tenth"),
        pytest.param("gpt-4o-mini", (0.15, 0.6), OPENAI, 100 * 0.15 + 1900 * 0.075 + 18, id="half"),
        pytest.param(
            "anthropic/claude-sonnet-4-5", (3, 15), CLAUDE, 300 + 1500 * 0.3 + 400 * 3.75 + 450, id="written"
        ),
        pytest.param("claude-sonnet-4-5", (3, 15), BESIDE, 300 + 1900 * 0.3 + 450, id="beside-the-prompt"),
        pytest.param("late-bus-1", (3, 15), OPENAI, 2000 * 3 + 450, id="unknown-model"),
        pytest.param("gpt-5-mini", (0.25, 2.0), {**OPENAI, "prompt_tokens_details": None}, 560, id="none"),
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "pieces"])
async def test_cached_tokens_have_their_own_price(
    server: ScriptedServer, name: str, cost: Any, usage: Any, cents: float, in_pieces: bool
) -> None:
    price = tuple(part * MILLION for part in cost)
    reply = await bill(server, name, price, with_usage(usage, in_pieces=in_pieces))
    assert reply.usd == pytest.approx(cents * MILLION)
    assert (reply.in_tokens, reply.out_tokens) == (2000, 30)


async def test_the_responses_endpoint_reports_cached_tokens_too(server: ScriptedServer) -> None:
    said = with_usage(RESPONSES, endpoint="responses")
    reply = await bill(server, "gpt-5-mini", (0.25e-6, 2e-6), said, endpoint="responses")
    assert reply.usd == pytest.approx((100 * 0.25 + 1900 * 0.025 + 60) * MILLION)


async def test_a_hit_of_deepseek_is_cheaper_than_a_miss(server: ScriptedServer) -> None:
    hit = await bill(server, "deepseek-chat", (0.28e-6, 0.42e-6), with_usage(DEEPSEEK))
    missed = {**DEEPSEEK, "prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 2000}
    full = await bill(server, "deepseek-chat", (0.28e-6, 0.42e-6), with_usage(missed))
    assert full.usd == pytest.approx((2000 * 0.28 + 30 * 0.42) * MILLION)
    assert hit.usd < full.usd / 2


XAI = {"prompt_tokens": 10120, "completion_tokens": 1499, "total_tokens": 14428}


@pytest.mark.parametrize(
    ("usage", "out_tokens"),
    [
        pytest.param(XAI, 4308, id="xai"),
        pytest.param(
            {**XAI, "completion_tokens_details": {"reasoning_tokens": 2809}}, 4308, id="xai-details"
        ),
        pytest.param({**XAI, "total_tokens": 11619}, 1499, id="openai"),
        pytest.param({**XAI, "total_tokens": 0}, 1499, id="no-total"),
        pytest.param({**XAI, "completion_tokens": 0, "total_tokens": 10400}, 280, id="gemini"),
    ],
)
async def test_thoughts_beside_the_reply_are_paid_for(
    server: ScriptedServer, usage: dict[str, int], out_tokens: int
) -> None:
    reply = await bill(server, "grok-4", (1.25e-6, 2.5e-6), with_usage(usage))
    assert (reply.in_tokens, reply.out_tokens) == (10120, out_tokens)
    assert reply.usd == pytest.approx((10120 * 1.25 + out_tokens * 2.5) * MILLION)


@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
async def test_anthropics_own_counts_have_their_own_price(server: ScriptedServer) -> None:
    anthropic = pytest.importorskip("text_lloom.llm.providers.anthropic")
    pytest.importorskip("anthropic")
    usage = {
        "input_tokens": 100,
        "output_tokens": 30,
        "cache_read_input_tokens": 1500,
        "cache_creation_input_tokens": 400,
    }
    server.reply = lambda _: {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "text", "text": "Late."},
        ],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    asked = anthropic.AnthropicModel("claude-sonnet-4-5", "sk-key", server.url, cost=(3e-6, 15e-6))
    reply = await asked.call("Which bus?", cache=False)
    assert (reply.text, reply.reasoning, reply.in_tokens) == ("Late.", "Hm.", 2000)
    assert reply.usd == pytest.approx((300 + 1500 * 0.3 + 400 * 3.75 + 450) * MILLION)


async def test_geminis_own_counts_have_their_own_price(server: ScriptedServer) -> None:
    gemini = pytest.importorskip("text_lloom.llm.providers.gemini")
    pytest.importorskip("google.genai")
    usage = {
        "promptTokenCount": 2000,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 10,
        "totalTokenCount": 2030,
        "cachedContentTokenCount": 1900,
    }
    parts = [{"text": "Hm.", "thought": True}, {"text": "Late."}]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    server.reply = lambda _: {"candidates": [candidate], "usageMetadata": usage}
    asked = gemini.GeminiModel("gemini-2.5-flash", "some-key", server.url, cost=(0.3e-6, 2.5e-6))
    reply = await asked.call("Which bus?", cache=False)
    assert (reply.text, reply.reasoning, reply.out_tokens) == ("Late.", "Hm.", 30)
    assert reply.usd < (2000 * 0.3 + 75) * MILLION / 2
