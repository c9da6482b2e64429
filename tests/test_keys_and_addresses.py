"""Keys as people paste them, addresses, and proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.wire_servers.scripted import Page, ScriptedServer, completion, scripted
from text_lloom.errors import InputError
from text_lloom.llm import OpenAIEmbedModel, OpenAIModel, RetryPolicy
from text_lloom.llm.providers.anthropic import AnthropicModel
from text_lloom.llm.providers.gemini import GeminiModel
from text_lloom.llm.runtime.http import is_loopback

QUICK = RetryPolicy(attempts=2, base=0.001)
KEYS = [
    pytest.param("sk-proj\u2014abcdefgh", r"EM DASH \(U\+2014\) as its 8th of 16", id="dash"),
    pytest.param("sk\u2011abcdefgh", "NON-BREAKING HYPHEN", id="hyphen"),
    pytest.param("\u201csk-abcdefgh\u201d", "LEFT DOUBLE QUOTATION MARK", id="curly-quotes"),
    pytest.param('"sk-abcdefgh"', "QUOTATION MARK", id="quotes"),
    pytest.param("'sk-abcdefgh'", "APOSTROPHE", id="single-quotes"),
    pytest.param("`sk-abcdefgh`", "GRAVE ACCENT", id="backticks"),
    pytest.param("Bearer sk-abcdefgh", "begins with 'Bearer'", id="bearer"),
    pytest.param("Authorization: Bearer sk-abcdefgh", "begins with 'Authorization: Bearer'", id="header"),
    pytest.param("OPENAI_API_KEY=sk-abcdefgh", "begins with 'OPENAI_API_KEY='", id="assignment"),
    pytest.param("sk-abc\ndefgh", "a line end", id="line-end"),
    pytest.param("sk-abc defgh", "SPACE", id="space"),
    pytest.param("sk-abc\u200bdefgh", "ZERO WIDTH SPACE", id="zero-width"),
    pytest.param("sk-\u2026", "HORIZONTAL ELLIPSIS", id="ellipsis"),
    pytest.param("sk-\u0430bcdefgh", "CYRILLIC SMALL LETTER A", id="cyrillic"),
]
MAKERS: list[Callable[[str | None], Any]] = [
    lambda key: OpenAIModel("m", key, "http://127.0.0.1:9/v1"),
    lambda key: OpenAIEmbedModel("m", key, "http://127.0.0.1:9/v1"),
    lambda key: AnthropicModel("m", key),
    lambda key: GeminiModel("m", key),
    lambda key: OpenAIModel.groq("m", key),
]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


@pytest.mark.parametrize(("key", "told"), KEYS)
@pytest.mark.parametrize("make", MAKERS)
def test_a_key_that_cannot_be_one_is_refused_when_the_model_is_made(
    key: str, told: str, make: Callable[[str], Any]
) -> None:
    with pytest.raises(InputError, match=told) as refused:
        make(key)
    assert "abc" not in str(refused.value), "the key is never shown"


@pytest.mark.parametrize("key", ["sk-proj-A_b.c+d/e=", "EMPTY", " gsk_abc\n", "QUJDRA==", "eyJ0.eyJ1.s-_"])
def test_other_keys_are_taken(key: str) -> None:
    assert OpenAIModel("m", key, "http://127.0.0.1:9/v1").api_key == key.strip()


def test_a_key_of_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", '"gsk-abcdefgh"')
    with pytest.raises(InputError, match="The environment variable GROQ_API_KEY has QUOTATION MARK"):
        OpenAIModel.groq("m")


@pytest.mark.parametrize("url", ["", " ", "localhost:8000", "//host/v1"])
@pytest.mark.parametrize(
    "make",
    [
        lambda url: OpenAIModel("m", "k", url),
        lambda url: OpenAIModel.ollama("m", base_url=url),
        lambda url: OpenAIEmbedModel("m", "k", url),
        lambda url: AnthropicModel("m", "k", url),
        lambda url: GeminiModel("m", "k", url),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, make: Callable[[str], Any]) -> None:
    with pytest.raises(InputError, match="base_url="):
        make(url)


@pytest.mark.parametrize(
    ("url", "is_near"),
    [
        ("http://localhost:8000/v1", True),
        ("http://LOCALHOST.:8000", True),
        ("http://api.localhost/v1", True),
        ("http://127.0.0.1:1", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:8000", True),
        ("http://[::ffff:127.0.0.1]:8000", True),
        ("http://0.0.0.0:8000", True),
        ("http://localhost.example.org", False),
        ("http://10.0.0.1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_addresses_of_this_machine_are_known(url: str, is_near: bool) -> None:
    assert is_loopback(url) is is_near


def through_anthropic(url: str) -> Any:
    return AnthropicModel("late-bus-1", "k", url, cost=0)


def through_gemini(url: str) -> Any:
    return GeminiModel("late-bus-1", "k", url, cost=0)


def through_openai(url: str) -> Any:
    return OpenAIModel("late-bus-1", "k", f"{url}/v1", cost=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("make", [through_openai, through_anthropic, through_gemini])
async def test_this_machine_is_never_asked_through_a_proxy(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, host: str, make: Callable[[str], Any]
) -> None:
    usage = {"input_tokens": 7, "output_tokens": 2}
    block = {"type": "text", "text": "Late."}
    server.reply = lambda _: {
        **completion("Late."),
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [block],
        "stop_reason": "end_turn",
        "usage": usage,
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Late."}]}, "finishReason": "STOP"}],
    }
    with scripted(lambda _: Page("<html>503 Service Unavailable</html>")) as proxy:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        asked = make(server.url.replace("127.0.0.1", host))
        assert (await asked.call("A private document", cache=False, retry=QUICK)).text == "Late."
    assert (len(server.bodies), proxy.bodies) == (1, [])
