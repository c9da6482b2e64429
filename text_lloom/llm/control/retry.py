"""Which errors are worth another try, and when."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from numbers import Integral, Real
from typing import Any

from text_lloom.errors import (
    AnswerRefused,
    AuthenticationFailed,
    BadAnswer,
    ContextOverflow,
    InputError,
    LloomError,
    ModelError,
    ModelNotFound,
    ModelSetupError,
    PermanentError,
    RateLimited,
    TransientError,
)
from text_lloom.llm.control.prices import nearest_model
from text_lloom.llm.runtime.http import HttpError, NoJson

__all__ = ["FATAL", "FATAL_IN_A_ROW", "RetryPolicy", "as_model_error"]

FATAL = (AuthenticationFailed, ModelNotFound, ModelSetupError)
"""Errors that every further request to the same model would meet."""
FATAL_IN_A_ROW = 5
"""So many of them are believed of a model that has answered before; fewer are the fault of a request."""

_MISTAKES = (NameError, ImportError, SyntaxError, TypeError, AttributeError, NotImplementedError)
_OVERFLOW_SIGNS = (
    "context_length",
    "context length",
    "maximum context",
    "context window",
    "context size",
    "too many tokens",
    "too many input tokens",
    "prompt is too long",
    "input is too long",
    "prompt too long",
    "input too long",
    "request too large",
    "maximum number of tokens",
    "maximum number of input tokens",
    "maximum input length",
    "maximum prompt length",
    "maximum sequence length",
    "max_model_len",
    "max_input_tokens",
    "must be reduced in order to run",
)
_REFUSAL_SIGNS = (
    "content_filter",
    "content filter",
    "content_policy",
    "content policy",
    "content management policy",
    "responsibleai",
    "safety",
    "blocked",
)
_BROKEN_REPLY_SIGNS = ("json_validate_failed", "failed to generate json")
_QUOTA_SIGNS = ("insufficient_quota", "billing", "exceeded your current quota", "credit balance")
_CREDIT_SIGNS = ("insufficient_quota", "credit balance is too low", "credit_balance_too_low")
_KEY_SIGNS = ("api key not valid", "api_key_invalid", "invalid api key", "incorrect api key")
_WAIT = re.compile(
    r"(?:(?:retry|try again) (?:in|after) |retrydelay['\"]: ?['\"])"
    r"(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)(ms|s))?",
    re.IGNORECASE,
)
_NETWORK_SIGNS = ("connect", "timeout", "network", "protocolerror", "readerror", "disconnected", "payload")
_SAYS_NOTHING = ("Connection error.", "Request timed out.")
"""What packages say of a connection that failed; the reason is in the error behind it."""
_MESSAGE_LIMIT = 300
_SHARED_PART = 1 / 3
_MOST_DOUBLINGS = 64
_LONGEST_WAIT = 366 * 86_400.0
"""A wait that holds up everybody is at most this part of the longest: one request that looks is cheap."""
_BY_NAME: Mapping[str, type[ModelError]] = {
    "MissingApiKeyError": ModelSetupError,
    "UnsupportedParameterError": PermanentError,
    "UnsupportedProviderError": ModelSetupError,
}
"""Errors that say by their name alone what they mean."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try.

    Attributes:
        attempts: Tries after transient errors.
        rate_limited: Tries after the provider asked to slow down.
        re_asks: Further tries after a bad answer; the model is shown what was wrong.
        base: First backoff in seconds; doubles per try, with full jitter
            (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        longest: Longest backoff in seconds.
        deadline: Seconds from the start of the first try after which no further one is started; also the
            longest that a step waits for a model that has answered before and answers nobody any more.

    Raises:
        InputError: When a number is none, or below 0.
    """

    attempts: int = 6
    rate_limited: int = 30
    re_asks: int = 1
    base: float = 0.5
    longest: float = 30.0
    deadline: float = 900.0

    def __post_init__(self) -> None:
        for name in ("attempts", "rate_limited", "re_asks"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, Integral) or count < 0:
                raise InputError(f"{name}={count!r} must be a whole number, 0 or more.")
        for name in ("base", "longest", "deadline"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, Real) or not float(seconds) >= 0:
                raise InputError(f"{name}={seconds!r} must be a number of seconds, 0 or more.")

    def shared_wait(self, rounds: int, rng: random.Random) -> float:
        """Seconds for which nobody starts, when so many rounds in a row have failed for everybody."""
        most = min(self.longest * _SHARED_PART, self.base * 2.0 ** min(rounds - 1, _MOST_DOUBLINGS))
        return rng.uniform(most / 2, most)

    def backoff(self, failed: int, rng: random.Random) -> float:
        """Seconds to wait after the `failed`-th failure."""
        return rng.uniform(0.0, min(self.longest, self.base * 2.0 ** min(failed - 1, _MOST_DOUBLINGS)))


def as_model_error(
    error: Exception, *, model: str, timeout: float, redact: Callable[[str], str] = str
) -> ModelError:
    """The error of this package that says what an SDK's or a user's exception means.

    Status codes and `Retry-After` are read from whatever attributes the exception has, so that errors of
    the usual SDKs are understood inside users' call functions, too. `redact` takes keys out of messages.
    """
    if isinstance(error, ModelError):
        return error
    if isinstance(error, LloomError):
        raise error
    original = getattr(error, "original_exception", None)  # packages that speak to many providers wrap errors
    if isinstance(original, Exception) and original is not error:
        return as_model_error(original, model=model, timeout=timeout, redact=redact)
    text = _message(error, redact)
    if (kind := _BY_NAME.get(type(error).__name__)) is not None:
        return kind(f"The call to model {model!r} failed: {text}.")
    status = _status(error)
    if status is not None:
        return _from_status(status, error, text, model)
    if isinstance(error, TimeoutError):
        return TransientError(
            f"Model {model!r} did not reply within {timeout:g} seconds. If it is merely slow, give it a "
            f"larger timeout=."
        )
    if isinstance(error, _MISTAKES):
        return PermanentError(f"The call function of model {model!r} raised {text}.")
    name = f"{type(error).__module__}.{type(error).__name__}".lower()
    if isinstance(error, OSError) or any(sign in name for sign in _NETWORK_SIGNS):
        return TransientError(f"Model {model!r} could not be reached: {text}.")
    if any(sign in text.lower() for sign in _REFUSAL_SIGNS):
        return AnswerRefused(f"Model {model!r} declined to answer: {text}.")
    return TransientError(f"The call to model {model!r} failed: {text}.")


def _from_status(status: int, error: Exception, text: str, model: str) -> ModelError:
    lowered = text.lower()
    if status in (401, 403) or (status == 400 and any(sign in lowered for sign in _KEY_SIGNS)):
        return AuthenticationFailed(
            f"The key for model {model!r} was refused ({status}): {text}. Check the API key and its rights."
        )
    if status == 404:
        nearest = nearest_model(model)
        advice = "Check the name." if nearest is None else f"Did you mean {nearest!r}?"
        return ModelNotFound(f"The provider knows no model {model!r} ({status}): {text}. {advice}")
    if status == 402 or (status == 400 and any(sign in lowered for sign in _CREDIT_SIGNS)):
        return AuthenticationFailed(f"The account of model {model!r} has no credit left: {text}.")
    if status == 429:
        if _names(error, lowered, _CREDIT_SIGNS):  # some gateways add a Retry-After to this, too
            return AuthenticationFailed(f"The account of model {model!r} has no quota left: {text}.")
        if "request too large" in lowered:
            return ContextOverflow(f"The prompt is too long for the limits of model {model!r}: {text}.")
        wait = _retry_after(error)
        if wait is None and any(sign in lowered for sign in _QUOTA_SIGNS):
            return AuthenticationFailed(f"The account of model {model!r} has no quota left: {text}.")
        return RateLimited(f"Model {model!r} is rate limited: {text}.", retry_after=wait)
    if (status in (408, 425) or status >= 500) and (wait := _retry_after(error)) is not None:
        return RateLimited(f"Model {model!r} is overloaded ({status}): {text}.", retry_after=wait)
    if status in (408, 409, 425) or status >= 500:
        return TransientError(f"Model {model!r} had a server error ({status}): {text}.")
    if any(sign in lowered for sign in _BROKEN_REPLY_SIGNS):
        return BadAnswer(f"The reply of model {model!r} was no JSON: {text}.")
    if status == 413 or any(sign in lowered for sign in _OVERFLOW_SIGNS):
        return ContextOverflow(f"The prompt is too long for model {model!r}: {text}.")
    if any(sign in lowered for sign in _REFUSAL_SIGNS):
        return AnswerRefused(f"Model {model!r} declined to answer: {text}.")
    return PermanentError(f"Model {model!r} refused the request ({status}): {text}.")


def _names(error: Exception, text: str, signs: tuple[str, ...]) -> bool:
    """Whether an error names one of these codes."""
    code = getattr(error, "code", None)
    return (isinstance(code, str) and code in signs) or any(sign in text for sign in signs)


def _status(error: Exception) -> int | None:
    response: Any = getattr(error, "response", None)
    for candidate in (
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(error, "code", None),
        getattr(response, "status_code", None),
    ):
        if isinstance(candidate, int) and 400 <= candidate < 600:
            return candidate
    return None


def _message(error: BaseException, redact: Callable[[str], str]) -> str:
    text = redact(" ".join(str(error).split()))
    if len(text) > _MESSAGE_LIMIT:
        text = f"{text[:_MESSAGE_LIMIT]}…"
    if text and isinstance(error, (HttpError, NoJson)):
        return text.rstrip(".")
    name = type(error).__name__
    cause = error.__cause__
    if text in _SAYS_NOTHING and cause is not None:
        text = f"{text} {_message(cause, redact)}"
    return f"{name}: {text.rstrip('.')}" if text else name


def _retry_after(error: Exception) -> float | None:
    """Seconds that the provider asks to wait, from the headers or else from the message.

    More than a year is no wait that anybody means, such as a point in time where seconds belong.
    """
    wait = _wait_in_headers(error)
    wait = _wait_in_message(str(error)) if wait is None else wait
    return max(0.0, wait) if wait is not None and wait <= _LONGEST_WAIT else None


def _wait_in_message(text: str) -> float | None:
    """Seconds from words such as "try again in 1m2.5s", which some providers say instead of a header."""
    found = _WAIT.search(text)
    if found is None or not (found[1] or found[2]):
        return None
    seconds = float(found[2] or 0) / (1000 if found[3] == "ms" else 1)
    return 60.0 * float(found[1] or 0) + seconds


def _wait_in_headers(error: Exception) -> float | None:
    """Seconds from `retry-after-ms`, or `Retry-After` as seconds or as a date (RFC 9110 §10.2.3)."""
    response: Any = getattr(error, "response", None)
    headers: Any = (
        getattr(error, "litellm_response_headers", None)
        or getattr(response, "headers", None)
        or getattr(error, "headers", None)
        or {}
    )
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return float(milliseconds) / 1000
        value = headers.get("retry-after") or headers.get("Retry-After")
        said = headers.get("date") or headers.get("Date")
    except (AttributeError, ValueError):
        return None
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
    now = time.time()
    with suppress(ValueError, TypeError):  # by the clock that the date was read off; ours may be wrong
        now = parsedate_to_datetime(said).timestamp()
    return until - now
