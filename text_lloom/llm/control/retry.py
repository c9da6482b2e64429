"""Retries: what an exception means, whether to try again, and when.

`as_model_error` turns whatever an SDK or a call function raises into an error of this package. Its class says
whether another try makes sense. A `RetryPolicy` says how often and how long to try. A `RetryState` applies
the policy to one request: `on_error` tells the limiter and the concurrency of the model what the request met,
`wait_after` gives the wait before the next try or raises the error.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from numbers import Integral, Real
from typing import Any, Protocol

from text_lloom.errors import (
    AnswerRefused,
    AuthenticationFailed,
    BadAnswer,
    ContextOverflow,
    FormRefused,
    InputError,
    LloomError,
    ModelError,
    ModelNotFound,
    ModelSetupError,
    ModelUnavailable,
    PermanentError,
    RateLimited,
    TransientError,
)
from text_lloom.llm.control.concurrency import AdaptiveConcurrency
from text_lloom.llm.control.prices import nearest_model
from text_lloom.llm.control.rate_limits import Limiter
from text_lloom.llm.control.redis_limiter import SharedLimiter
from text_lloom.llm.control.wordings import says, wait_in_fields, wait_in_headers, wait_in_words
from text_lloom.llm.runtime.http import HttpError, NoJson
from text_lloom.quotes import harmless

__all__ = ["FATAL", "FATAL_IN_A_ROW", "RetryPolicy", "RetryState", "as_model_error"]

FATAL = (AuthenticationFailed, ModelNotFound, ModelSetupError)
"""Errors that every further request to the same model would meet."""
FATAL_IN_A_ROW = 5
"""A model that has answered before is given up after this many of them in a row; fewer may be the fault of
single requests."""

_MISTAKES = (NameError, ImportError, SyntaxError, TypeError, AttributeError, NotImplementedError)
_REFUSAL = re.compile(
    "content[_ ]filter|content[_ ]policy|content management policy|responsibleai|safety|blocked"
)
_BROKEN_REPLY = re.compile("json_validate_failed|failed to generate json")
_QUOTA = re.compile("insufficient_quota|billing|exceeded your current quota|credit balance")
_KEY = re.compile("api key not valid|api_key_invalid|invalid api key|incorrect api key")
_NETWORK = re.compile("connect|timeout|network|protocolerror|readerror|disconnected|payload")
_SAYS_NOTHING = ("Connection error.", "Request timed out.")
"""Messages of SDKs about a failed connection; the reason is in the error that caused it."""
_MESSAGE_LIMIT = 300
_SHARED_PART = 1 / 3
"""A wait that holds up all requests is at most this part of the longest: one request that tries is cheap."""
_MOST_DOUBLINGS = 64
_LONGEST_WAIT = 366 * 86_400.0
_LIMITED_JITTER = 0.1
_FAR_OFF = 1e9
"""Seconds that can be added to any time of these years."""
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
            longest that a step waits for a model that has answered before and has gone down.

    Raises:
        InputError: When a value is not a number, or is below 0.
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
        """Seconds for which no request starts, after that many failed rounds in a row."""
        most = min(self.longest * _SHARED_PART, self.base * 2.0 ** min(rounds - 1, _MOST_DOUBLINGS))
        return rng.uniform(most / 2, most)

    def backoff(self, failed: int, rng: random.Random) -> float:
        """Seconds to wait after the `failed`-th failure."""
        return rng.uniform(0.0, min(self.longest, self.base * 2.0 ** min(failed - 1, _MOST_DOUBLINGS)))


class _Step(Protocol):
    """What the requests of a step share: how many got an answer, and why nothing more is sent."""

    answered: int
    ended: LloomError | None


class RetryState:
    """What one request has met so far, and whether it is worth another try.

    Args:
        label: Name of the model.
        policy: How often and how long to try.
        jitter: Draws the waits, so that no two requests wait alike.
        step: What the request shares with the others of its step.

    Attributes:
        is_away: The request has given its slot up after a failure, and wants to come back.
    """

    def __init__(self, label: str, policy: RetryPolicy, jitter: random.Random, step: _Step) -> None:
        self._label, self._step = label, step
        self._policy, self._jitter = policy, jitter
        self._transient = self._limited = self._last_tries = 0
        self._deadline: float | None = None
        self.is_away = False

    def begins(self, now: float) -> None:
        """An attempt starts at that loop time; the first one sets the deadline of the request."""
        if self._deadline is None:
            self._deadline = now + self._policy.deadline

    def wait_after(self, error: ModelError, concurrency: AdaptiveConcurrency) -> float:
        """Seconds that this request alone waits before the next try.

        While the model is down, tries do not count, since the request is not to blame. They count again
        once no request waits for its first try: then nothing else can show whose fault it is.

        Raises:
            ModelUnavailable: When no request of the step should wait any longer.
            ModelError: The error itself, when the request has been tried often or long enough.
        """
        policy, rng, now = self._policy, self._jitter, asyncio.get_running_loop().time()
        deadline = now if self._deadline is None else self._deadline
        label = self._label
        wait = (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
        if self._step.ended is not None:
            raise self._step.ended
        lost = concurrency.failing_for if self._step.answered else 0.0
        if wait and wait + lost > policy.deadline:
            concurrency.mark_down()
            raise ModelUnavailable(
                f"Model {label!r} takes no requests for the next {_in_words(wait)}. What was answered is "
                f"kept; go on after {_clock(wait)} by calling again. It said: {error}"
            ) from None
        if concurrency.is_down and self._step.answered:
            if lost > policy.deadline:
                raise ModelUnavailable(
                    f"Model {label!r} has answered nothing for {_in_words(lost)}. What was answered is kept; "
                    f"call again to go on. The last error: {error}"
                ) from None
            self._last_tries += not concurrency.has_newcomers
            if self._last_tries >= policy.attempts:
                raise error
            return 0.0
        if isinstance(error, RateLimited):
            self._limited += 1
            if self._limited > policy.rate_limited or now + wait > deadline:
                raise error
            return rng.uniform(0, _LIMITED_JITTER) if wait else policy.backoff(self._limited, rng)
        self._transient += 1
        if self._transient >= policy.attempts or now > deadline:
            raise error
        return policy.backoff(self._transient, rng)

    def on_error(
        self,
        error: LloomError,
        began: float,
        limiter: Limiter | SharedLimiter,
        concurrency: AdaptiveConcurrency,
    ) -> None:
        """Tell the limiter and the concurrency of the model about an error, while the slot is still held."""
        if not isinstance(error, ModelError) or isinstance(error, FATAL):
            return
        if isinstance(error, PermanentError):
            concurrency.replied(began)
            return
        self.is_away = True
        concurrency.begin_backoff()
        if isinstance(error, (BadAnswer, FormRefused)):
            concurrency.replied(began)
            return
        policy, limited = self._policy, isinstance(error, RateLimited)
        rounds = concurrency.failed(id(self), began, limited=limited)
        wait = error.retry_after if isinstance(error, RateLimited) else None
        if wait is not None and wait > policy.deadline:
            return
        if limited:
            concurrency.overloaded(wait)
        if wait is None and rounds and (limited or concurrency.is_down):
            wait = policy.shared_wait(rounds, self._jitter)
        if wait:
            limiter.pause(wait)


def as_model_error(
    error: Exception, *, model: str, timeout: float, redact: Callable[[str], str] = str
) -> ModelError:
    """The error of this package for an exception of an SDK or of a call function.

    Status codes and `Retry-After` are read from the attributes that the usual SDKs give their exceptions.
    `redact` takes keys out of messages.
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
    if isinstance(error, OSError) or _NETWORK.search(name):
        return TransientError(f"Model {model!r} could not be reached: {text}.")
    said = str(error)
    if says("too long", said):
        return ContextOverflow(f"The prompt is too long for model {model!r}: {text}.")
    if says("no money", said):
        return AuthenticationFailed(f"The account of model {model!r} has no credit left: {text}.")
    if _REFUSAL.search(text.lower()):
        return AnswerRefused(f"Model {model!r} declined to answer: {text}.")
    return TransientError(f"The call to model {model!r} failed: {text}.")


def _from_status(status: int, error: Exception, text: str, model: str) -> ModelError:
    said = f"{getattr(error, 'code', None)} {error}"
    lowered = said.lower()
    if status == 402 or says("no money", said):  # some gateways add a Retry-After to this, too
        lacking = "quota" if status == 429 else "credit"
        return AuthenticationFailed(f"The account of model {model!r} has no {lacking} left: {text}.")
    if status in (401, 403) or (status == 400 and _KEY.search(lowered)):
        return AuthenticationFailed(
            f"The key for model {model!r} was refused ({status}): {text}. Check the API key and its rights."
        )
    if says("loading", said):
        wait = _retry_after(error, status)
        return RateLimited(f"Model {model!r} is being loaded ({status}): {text}.", retry_after=wait)
    if status == 404:
        nearest = nearest_model(model)
        advice = "Check the name." if nearest is None else f"Did you mean {nearest!r}?"
        return ModelNotFound(f"The provider knows no model {model!r} ({status}): {text}. {advice}")
    if status == 429:
        if "request too large" in lowered:
            return ContextOverflow(f"The prompt is too long for the limits of model {model!r}: {text}.")
        wait = _retry_after(error, status)
        if wait is None and _QUOTA.search(lowered):
            return AuthenticationFailed(f"The account of model {model!r} has no quota left: {text}.")
        return RateLimited(f"Model {model!r} is rate limited: {text}.", retry_after=wait)
    if status == 413 or says("too long", said):
        return ContextOverflow(f"The prompt is too long for model {model!r}: {text}.")
    if (status in (408, 425) or status >= 500) and (wait := _retry_after(error, status)) is not None:
        return RateLimited(f"Model {model!r} is overloaded ({status}): {text}.", retry_after=wait)
    if status in (408, 409, 425) or status >= 500:
        return TransientError(f"Model {model!r} had a server error ({status}): {text}.")
    if _BROKEN_REPLY.search(lowered):
        return BadAnswer(f"The reply of model {model!r} was no JSON: {text}.")
    if _REFUSAL.search(lowered):
        return AnswerRefused(f"Model {model!r} declined to answer: {text}.")
    if says("busy", said):
        wait = _retry_after(error, status)
        return RateLimited(f"Model {model!r} is busy ({status}): {text}.", retry_after=wait)
    return PermanentError(f"Model {model!r} refused the request ({status}): {text}.")


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
    text = redact(" ".join(harmless(str(error)).split()))
    if len(text) > _MESSAGE_LIMIT:
        text = f"{text[:_MESSAGE_LIMIT]}…"
    if text and isinstance(error, (HttpError, NoJson)):
        return text.rstrip(".")
    name = type(error).__name__
    cause = error.__cause__
    if text in _SAYS_NOTHING and cause is not None:
        text = f"{text} {_message(cause, redact)}"
    return f"{name}: {text.rstrip('.')}" if text else name


def _retry_after(error: Exception, status: int) -> float | None:
    """Seconds that the provider asks to wait, from the headers, else from the body, else from the message.

    A wait of more than a year is ignored: it is a point in time where seconds belong.
    """
    response: Any = getattr(error, "response", None)
    headers: Any = (
        getattr(error, "litellm_response_headers", None)
        or getattr(response, "headers", None)
        or getattr(error, "headers", None)
        or {}
    )
    wait = wait_in_headers(headers, is_limited=status == 429) if hasattr(headers, "items") else None
    if wait is None:
        body = getattr(error, "body", None) or getattr(error, "details", None)
        wait = wait_in_fields(body)
    wait = wait_in_words(str(error)) if wait is None else wait
    if wait is None or not wait <= _LONGEST_WAIT:
        return None
    return max(0.0, wait)


def _in_words(seconds: float) -> str:
    """A duration in words."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _clock(seconds: float) -> str:
    """The time of day in that many seconds, with the date if it is another day."""
    now = time.time()
    today, then = datetime.fromtimestamp(now), datetime.fromtimestamp(now + min(seconds, _FAR_OFF))
    return f"{then:%H:%M}" if then.date() == today.date() else f"{then:%H:%M on %d %B}"
