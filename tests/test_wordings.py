"""What servers say when they refuse, and what is done about it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.wire_servers.scripted import Said, ScriptedServer, completion, scripted
from text_lloom.errors import AuthenticationFailed, ModelUnavailable, PermanentError, RateLimited
from text_lloom.llm import OpenAIModel, RetryPolicy
from text_lloom.llm.control.wordings import WORDINGS

QUICK = RetryPolicy(attempts=2, rate_limited=3, base=0.001, longest=0.002)
pytestmark = pytest.mark.filterwarnings("ignore:.* (could not be answered|were cut at the end).*:UserWarning")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


def model(server: ScriptedServer, **settings: Any) -> OpenAIModel:
    return OpenAIModel("late-bus-1", "sk-some-key", f"{server.url}/v1", cost=0, **settings)


def refused(status: int, message: str, code: str | None = None) -> Said:
    return (status, {"error": {"message": message, "code": code}})


def text_of(body: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in body["messages"])


def scores(server: ScriptedServer, texts: list[str], **settings: Any) -> Any:
    frame = pd.DataFrame({"id": range(len(texts)), "text": texts})
    asked = model(server, **settings)
    session = wb.lloom(frame, "text", "id", "local", "local", "local", asked, cache=False)
    session.concepts.add("Late", "Is a bus late?", active=True)
    return session


ANSWER = json.dumps({"results": [{"document": 1, "concept": 1, "answer": "E"}]})

TOO_LONG = [
    pytest.param(400, "This model's maximum context length is 4096 tokens. However, …", id="vllm"),
    pytest.param(400, "max_tokens must be at least 1, got -512.", id="vllm-no-room"),
    pytest.param(
        422, "Input validation error: `inputs` must have less than 4096 tokens. Given: 9000", id="tgi"
    ),
    pytest.param(
        422,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 …",
        id="tgi-sum",
    ),
    pytest.param(400, "the request exceeds the available context size, try increasing it", id="llama.cpp"),
    pytest.param(500, "the request exceeds the available context size", id="llama.cpp-500"),
    pytest.param(
        400, "Trying to keep the first 10136 tokens when context the overflows. However, …", id="lm-studio"
    ),
    pytest.param(500, "input length exceeds maximum context length", id="ollama"),
    pytest.param(500, "Requested tokens (2285) exceed context window of 2048", id="llama-cpp-python"),
    pytest.param(
        400, "This model's maximum prompt length is 131072 but the request contains 537812.", id="xai"
    ),
    pytest.param(
        400,
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048576).",
        id="google",
    ),
    pytest.param(
        400,
        "Prompt contains 50000 tokens, too large for model with 32768 maximum context length",
        id="mistral",
    ),
    pytest.param(400, "Range of input length should be [1, 30720]", id="dashscope"),
    pytest.param(400, "Invalid request: Your request exceeded model token limit: 8192", id="moonshot"),
    pytest.param(
        400, "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.", id="glm"
    ),
    pytest.param(400, "Input is too long for requested model.", id="bedrock"),
    pytest.param(413, "Request too large for model `llama` on tokens per minute (TPM)", id="groq"),
    pytest.param(400, "Please reduce the length of the messages or completion.", id="groq-400"),
    pytest.param(400, "Provider returned error", id="openrouter"),
]


@pytest.mark.parametrize(("status", "words"), TOO_LONG)
def test_a_document_that_is_too_long_is_cut_whatever_the_words(
    server: ScriptedServer, status: int, words: str
) -> None:
    error: dict[str, Any] = {"message": words, "code": status}
    if words == "Provider returned error":
        error["metadata"] = {"raw": '{"message": "prompt is too long: 215000 tokens > 200000 maximum"}'}

    def reply(body: dict[str, Any]) -> Said:
        return (status, {"error": error}) if len(text_of(body)) > 8000 else completion(ANSWER)

    server.reply = reply
    session = scores(server, ["late bus " * 1500, "the bus was late"])
    assert session.sync.score(confirm=False).score.tolist() == [0.0, 0.0]


NO_MONEY = [
    pytest.param(400, "Billing hard limit has been reached", "billing_hard_limit_reached", id="openai"),
    pytest.param(429, "You exceeded your current quota.", "insufficient_quota", id="openai-quota"),
    pytest.param(402, "Insufficient Balance", None, id="deepseek"),
    pytest.param(
        400, "Access denied, please make sure your account is in good standing.", "Arrearage", id="qwen"
    ),
    pytest.param(
        403, "The free tier of the model has been exhausted.", "AllocationQuota.FreeTierOnly", id="free"
    ),
    pytest.param(400, "Your credit balance is too low to access the API.", None, id="anthropic"),
    pytest.param(
        429,
        "Your team has either used all available credits or reached its monthly spending limit.",
        None,
        id="xai",
    ),
    pytest.param(400, "Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "400", id="litellm"),
    pytest.param(429, "余额不足或无可用资源包,请充值。", "1113", id="zhipu"),
    pytest.param(
        429, "Your account is suspended, please check", "exceeded_current_quota_error", id="moonshot"
    ),
    pytest.param(403, "This API method requires billing to be enabled.", "BILLING_DISABLED", id="google"),
]


@pytest.mark.parametrize(("status", "words", "code"), NO_MONEY)
def test_an_account_without_money_ends_the_step(
    server: ScriptedServer, status: int, words: str, code: str | None
) -> None:
    server.reply = lambda _: refused(status, words, code) if len(server.bodies) > 10 else completion(ANSWER)
    session = scores(server, [f"bus {i} is late" for i in range(60)], concurrency=4)
    with pytest.raises(AuthenticationFailed, match=r"no (credit|quota) left"):
        session.sync.score(confirm=False)
    assert len(server.bodies) <= 10 + 2 * 4 + 5


LOADING = [
    pytest.param(
        503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, id="llama"
    ),
    pytest.param(503, {"error": "Model x/y is currently loading", "estimated_time": 0.01}, id="hugging-face"),
    pytest.param(500, {"error": {"message": "llm server loading model"}}, id="ollama"),
    pytest.param(400, {"error": "Model is still loading, try again later"}, id="lm-studio"),
    pytest.param(503, {"error": "Model late-bus-1 is not ready"}, id="kserve"),
    pytest.param(503, {"message": "The server is starting up"}, id="sglang"),
]


@pytest.mark.parametrize(("status", "said"), LOADING)
async def test_a_model_that_is_being_loaded_is_waited_for(
    server: ScriptedServer, status: int, said: dict[str, Any]
) -> None:
    server.reply = lambda _: (status, said) if len(server.bodies) < 9 else completion("The 40.")
    policy = RetryPolicy(attempts=2, base=0.001, longest=0.002)
    assert (await model(server).call("Which bus?", cache=False, retry=policy)).text == "The 40."


async def test_a_model_that_cannot_be_loaded_is_not_waited_for(server: ScriptedServer) -> None:
    server.reply = lambda _: refused(400, "error loading model: unable to allocate")
    with pytest.raises(PermanentError):
        await model(server).call("Which bus?", cache=False, retry=QUICK)
    assert len(server.bodies) == 1


def google(delay: str) -> list[Any]:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return [{"error": {"code": 429, "message": "Quota exceeded for metric", "details": [info]}}]


HOUR = 3600.0
LATER = datetime.now(UTC) + timedelta(hours=2)
UNTIL_LATER = None
"""Instead of seconds: until that time, whenever the test runs."""
WAITS = [
    pytest.param({}, "Please retry after 1500 seconds.", 1500, id="azure"),
    pytest.param(
        {}, "Rate limit reached on tokens per day (TPD). Please try again in 1h7m12.432s.", 4032.4, id="groq"
    ),
    pytest.param({}, "Please try again in 2 hours and 5 minutes", 2 * HOUR + 300, id="words"),
    pytest.param({}, "Please wait 20 minutes before you try again.", 1200, id="wait"),
    pytest.param({}, "Rate limit resets in 3h", 3 * HOUR, id="resets"),
    pytest.param(
        {}, f"Too many requests; try again at {LATER:%Y-%m-%dT%H:%M:%SZ}.", UNTIL_LATER, id="date-in-words"
    ),
    pytest.param({"Retry-After": "3000"}, "Slow down", 3000, id="header"),
    pytest.param({"retry-after-ms": "1200000"}, "Slow down", 1200, id="milliseconds"),
    pytest.param(
        {"Retry-After": formatdate(LATER.timestamp(), usegmt=True)}, "Slow down", UNTIL_LATER, id="http-date"
    ),
    pytest.param(
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h6m0s"},
        "Slow down",
        3960,
        id="openai",
    ),
    pytest.param(
        {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": LATER.isoformat()},
        "Slow down",
        UNTIL_LATER,
        id="anthropic",
    ),
    pytest.param(
        {"x-ratelimit-reset": str(int(1000 * LATER.timestamp()))}, "Slow down", UNTIL_LATER, id="epoch-ms"
    ),
    pytest.param({"ratelimit-reset": "1300"}, "Slow down", 1300, id="ietf"),
]


async def wait_told(server: ScriptedServer) -> float:
    """The wait that a refused call names, which is too long to be kept here."""
    at = time.time()
    with pytest.raises(ModelUnavailable) as told:
        await model(server).call("Which bus?", cache=False, retry=RetryPolicy(deadline=60))
    assert len(server.bodies) == 1, "no request is sent before the wait is over"
    assert time.time() - at < 5
    words = str(told.value).partition("for the next ")[2].split()
    return float(words[0]) * {"seconds": 1, "minutes": 60, "hours": HOUR}[words[1].rstrip(".")]


async def assert_wait(server: ScriptedServer, seconds: float | None) -> None:
    expected = LATER.timestamp() - time.time() if seconds is None else seconds
    assert await wait_told(server) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(("headers", "words", "seconds"), WAITS)
async def test_a_wait_is_read_from_headers_and_words(
    server: ScriptedServer, headers: dict[str, str], words: str, seconds: float | None
) -> None:
    server.reply = lambda _: (429, {"error": {"message": words, "code": "429"}}, headers)
    await assert_wait(server, seconds)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        pytest.param(google("1800s"), 1800, id="google-in-a-list"),
        pytest.param({"error": {"message": "Slow down", "retry_after": 1200}}, 1200, id="number"),
        pytest.param({"error": {"message": "Slow down"}, "retry_after_ms": 1200000}, 1200, id="milliseconds"),
        pytest.param(
            {
                "error": {
                    "message": "Rate limit exceeded: free-models-per-day",
                    "code": 429,
                    "metadata": {"headers": {"X-RateLimit-Reset": str(int(1000 * LATER.timestamp()))}},
                }
            },
            UNTIL_LATER,
            id="openrouter",
        ),
    ],
)
async def test_a_wait_is_read_from_the_body(server: ScriptedServer, said: Any, seconds: float | None) -> None:
    server.reply = lambda _: (429, said)
    await assert_wait(server, seconds)


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_a_short_wait_is_kept(server: ScriptedServer, status: int) -> None:
    until = time.time() + 1.0
    said = refused(status, "Too many requests. Please retry after 1 seconds.")
    server.reply = lambda _: said if time.time() < until else completion("The 40.")
    assert (await model(server).call("Which bus?", cache=False, retry=QUICK)).text == "The 40."
    assert len(server.bodies) <= 3


async def test_what_is_left_of_a_limit_is_no_wait(server: ScriptedServer) -> None:
    headers = {"x-ratelimit-remaining-tokens": "90", "x-ratelimit-reset-tokens": "5h"}
    server.reply = lambda _: (429, {"error": "Slow down"}, headers)
    with pytest.raises(RateLimited) as told:
        await model(server).call("Which bus?", cache=False, retry=QUICK)
    assert told.value.retry_after is None


@pytest.mark.parametrize(
    "words", ["ThrottlingException: Too many tokens, please wait before trying again.", "Rate limit exceeded"]
)
async def test_a_limit_that_is_reached_is_no_document_that_is_too_long(
    server: ScriptedServer, words: str
) -> None:
    server.reply = lambda _: refused(400, words) if len(server.bodies) < 3 else completion("The 40.")
    assert (await model(server).call("Which bus?", cache=False, retry=QUICK)).text == "The 40."


def test_every_wording_has_a_source() -> None:
    assert all(wording.source for wording in WORDINGS)
    assert len({wording.pattern for wording in WORDINGS}) == len(WORDINGS)
