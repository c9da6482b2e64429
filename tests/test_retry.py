"""What an exception of an SDK or of a user's call function means, and how long to wait after it."""

from __future__ import annotations

import random
import time
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from text_lloom import workbench as wb
from text_lloom.errors import (
    AnswerRefused,
    AuthenticationFailed,
    BadAnswer,
    BudgetReached,
    ContextOverflow,
    InputError,
    ModelError,
    ModelNotFound,
    PermanentError,
    RateLimited,
    TransientError,
)
from text_lloom.llm.control.retry import RetryPolicy, as_model_error
from text_lloom.testing import FunctionModel

KEY = "sk-proj-Zx81kqLmN0pQrStU"
GEMINI_LIMIT = (
    "429 RESOURCE_EXHAUSTED. You exceeded your current quota, please check your plan and billing details. "
    "* Quota exceeded for metric: generate_content_free_tier_requests, limit: 15 Please retry in 36.6s."
)
OPENAI_LIMIT = (
    "Rate limit reached for gpt-4o in organization org-1 on tokens per min. Please try again in 1m2.5s."
)
NO_QUOTA = "You exceeded your current quota, please check your plan and billing details. (insufficient_quota)"


class ApiError(Exception):
    """An SDK's error: a status, and a response with headers."""

    def __init__(self, status: int, message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


class GoogleError(Exception):
    """Has its status as `code`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class APIConnectionError(Exception):
    """Named as in several SDKs."""


def meaning(error: Exception) -> ModelError:
    return as_model_error(
        error, model="gpt-4o-mini", timeout=60, redact=lambda text: text.replace(KEY, "***")
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ApiError(401, "Incorrect API key provided"), AuthenticationFailed),
        (ApiError(403, "Country not supported"), AuthenticationFailed),
        (GoogleError(400, "API key not valid. Please pass a valid API key."), AuthenticationFailed),
        (ApiError(402, "Insufficient Balance"), AuthenticationFailed),
        (ApiError(429, NO_QUOTA), AuthenticationFailed),
        (ApiError(429, NO_QUOTA, {"retry-after": "1"}), AuthenticationFailed),
        (ApiError(404, "The model `gpt-5o` does not exist"), ModelNotFound),
        (ApiError(429, "Too many requests"), RateLimited),
        (GoogleError(429, GEMINI_LIMIT), RateLimited),
        (ApiError(500, "oops"), TransientError),
        (ApiError(503, "overloaded"), TransientError),
        (ApiError(408), TransientError),
        (ApiError(409), TransientError),
        (ApiError(529, "Overloaded"), TransientError),
        (ApiError(400, "This model's maximum context length is 8192 tokens"), ContextOverflow),
        (ApiError(400, "prompt is too long: 208310 tokens > 200000 maximum"), ContextOverflow),
        (ApiError(400, "the request exceeds the available context size"), ContextOverflow),
        (GoogleError(400, "exceeds the maximum number of tokens allowed (1048576)."), ContextOverflow),
        (ApiError(429, "Request too large for gpt-4o: Limit 30000, Requested 31234."), ContextOverflow),
        (ApiError(413, "Request Entity Too Large"), ContextOverflow),
        (ApiError(400, "flagged by the content_filter"), AnswerRefused),
        (ApiError(400, "Unknown parameter: temprature"), PermanentError),
        (ApiError(400, "Your credit balance is too low to access the Anthropic API."), AuthenticationFailed),
        (ApiError(400, "Failed to generate JSON (json_validate_failed)"), BadAnswer),
        (ApiError(529, "overloaded_error", {"retry-after": "3"}), RateLimited),
        (ValueError("finish_reason is 3: SAFETY"), AnswerRefused),
        (TimeoutError(), TransientError),
        (ConnectionResetError("peer"), TransientError),
        (APIConnectionError("no route"), TransientError),
        (KeyError("choices"), TransientError),
        (NameError("name 'prompt_text' is not defined"), PermanentError),
        (TypeError("call() takes 1 positional argument"), PermanentError),
        (ImportError("No module named 'vllm'"), PermanentError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:40],
)
def test_errors_are_sorted_by_what_can_be_done(error: Exception, kind: type[ModelError]) -> None:
    found = meaning(error)
    assert type(found) is kind
    assert "gpt-4o-mini" in str(found)


def test_our_own_errors_stay_as_they_are() -> None:
    ours = RateLimited("slow down", retry_after=3)
    assert meaning(ours) is ours
    with pytest.raises(BudgetReached):
        meaning(BudgetReached("enough"))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_a_wait_is_heeded_whatever_the_error(status: int) -> None:
    found = meaning(ApiError(status, "busy", {"retry-after": "5"}))
    assert isinstance(found, RateLimited)
    assert found.retry_after == 5


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"Retry-After": "0.5"}, "", 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, "", 0.25),
        ({"retry-after": "-3"}, "", 0.0),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "1764110400000"}, "", None),
        ({"retry-after": "1764110400"}, "", None),
        ({"retry-after": "inf"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "86400"}, "", 86_400.0),
        ({}, OPENAI_LIMIT, 62.5),
        ({}, GEMINI_LIMIT, 36.6),
        ({}, "Please try again in 120ms.", 0.12),
        ({}, "Please try again in 3m0s.", 180.0),
        ({}, "Please try again in your next session.", None),
        ({}, "Slow down", None),
        ({"retry-after": "2"}, "Please try again in 90s.", 2.0),
    ],
)
def test_the_wait_that_is_asked_for_is_read(
    headers: dict[str, str], message: str, wait: float | None
) -> None:
    found = meaning(ApiError(429, message, headers))
    assert isinstance(found, RateLimited)
    assert found.retry_after == (None if wait is None else pytest.approx(wait))


def test_the_wait_can_be_a_date() -> None:
    found = meaning(ApiError(429, "", {"retry-after": formatdate(time.time() + 30, usegmt=True)}))
    assert isinstance(found, RateLimited)
    assert found.retry_after == pytest.approx(30, abs=2)


def test_a_date_is_taken_by_the_clock_of_the_provider() -> None:
    """The clock of this machine is five hours behind."""
    there = time.time() + 5 * 3600
    headers = {
        name: formatdate(at, usegmt=True) for name, at in (("date", there), ("retry-after", there + 30))
    }
    found = meaning(ApiError(429, "", headers))
    assert isinstance(found, RateLimited)
    assert found.retry_after == pytest.approx(30, abs=1)


@pytest.mark.parametrize("before", [0, 250, 290])
def test_a_key_is_taken_out_even_where_the_message_is_cut(before: int) -> None:
    found = meaning(ApiError(401, "x" * before + f" bad key {KEY} given " + "y" * 200))
    assert not any(KEY[:n] in str(found) for n in range(8, len(KEY) + 1))


def test_backoff_grows_with_full_jitter_up_to_the_longest() -> None:
    policy, rng = RetryPolicy(base=1.0, longest=20.0), random.Random(5)
    waits = {n: [policy.backoff(n, rng) for _ in range(300)] for n in (1, 2, 3, 10, 30)}
    assert max(waits[1]) <= 1 < max(waits[2]) <= 2 < max(waits[3]) <= 4
    assert 15 < max(waits[10]) <= 20
    assert max(waits[30]) <= 20
    assert min(waits[10]) < 3


def test_an_outage_may_last_a_night() -> None:
    """A round every ten seconds: after three hours there have been more than a thousand."""
    policy, rng = RetryPolicy(deadline=12 * 3600), random.Random(5)
    assert 5 <= policy.shared_wait(4000, rng) <= 10
    assert policy.backoff(4000, rng) <= 30


@pytest.mark.parametrize(
    "numbers",
    [
        {"attempts": 2.5},
        {"attempts": True},
        {"rate_limited": -1},
        {"re_asks": "2"},
        {"base": -0.5},
        {"longest": float("nan")},
        {"deadline": None},
    ],
    ids=str,
)
def test_a_policy_of_other_numbers_is_refused_by_name(numbers: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(numbers))):
        RetryPolicy(**numbers)


def test_something_else_than_a_policy_is_refused_before_anything_is_sent() -> None:
    frame = pd.DataFrame({"text": ["The bus is late."]})
    with pytest.raises(InputError, match="retry=3 must be a RetryPolicy"):
        wb.lloom(frame, "text", None, "local", "local", "local", "local", retry=3)  # type: ignore[arg-type]
    model = FunctionModel(str.upper)
    with pytest.raises(InputError, match="RetryPolicy"):
        model.sync.call("Which bus?", retry=3)
    assert model.prompts == []


def test_the_error_inside_a_wrapper_is_read() -> None:
    wrapper = RuntimeError("[somewhere] Rate limit exceeded")
    wrapper.original_exception = ApiError(429, "slow down", {"retry-after": "4"})  # type: ignore[attr-defined]
    found = meaning(wrapper)
    assert isinstance(found, RateLimited)
    assert found.retry_after == 4
