"""How long a request goes on trying, and what all requests to its model learn from what it meets."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING

from text_lloom.errors import (
    BadAnswer,
    FormRefused,
    LloomError,
    ModelError,
    ModelUnavailable,
    PermanentError,
    RateLimited,
)
from text_lloom.llm.control.concurrency import AdaptiveConcurrency
from text_lloom.llm.control.rate_limits import Limiter
from text_lloom.llm.control.redis_limiter import SharedLimiter
from text_lloom.llm.control.retry import FATAL

if TYPE_CHECKING:
    from text_lloom.llm.dispatch.step_state import Run, StepState

__all__ = ["RetryState"]

_LIMITED_JITTER = 0.1
_FAR_OFF = 1e9
"""Seconds that can be added to any time of these years."""


class RetryState:
    """What one request has met so far, and whether it is worth another try.

    Args:
        label: Name of the model.
        run: Says how often and how long to try.
        course: What the request shares with the others of its step.

    Attributes:
        is_away: It has left the gate after a failure, and wants to come back.
    """

    def __init__(self, label: str, run: Run, course: StepState) -> None:
        self._label, self._course = label, course
        self._policy, self._jitter = run.policy, run.jitter
        self._transient = self._limited = self._last_tries = 0
        self._deadline: float | None = None
        self.is_away = False

    def begins(self, now: float) -> None:
        """An attempt starts at that loop time; the first one starts the request's time."""
        if self._deadline is None:
            self._deadline = now + self._policy.deadline

    def wait_after(self, error: ModelError, gate: AdaptiveConcurrency) -> float:
        """Seconds to wait by itself before the next try.

        While the model answers nobody, tries are not counted, since the request is not to blame; but when
        none is left to be asked for the first time, it may be.

        Raises:
            ModelUnavailable: When waiting any longer makes no sense for any request of the step.
            ModelError: The error itself, when the request has been tried often or long enough.
        """
        policy, rng, now = self._policy, self._jitter, asyncio.get_running_loop().time()
        deadline = now if self._deadline is None else self._deadline
        label = self._label
        wait = (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
        if self._course.ended is not None:
            raise self._course.ended
        lost = gate.trouble if self._course.answered else 0.0
        if wait and wait + lost > policy.deadline:
            gate.close()
            raise ModelUnavailable(
                f"Model {label!r} takes no requests for the next {_in_words(wait)}. What was answered is "
                f"kept; go on after {_clock(wait)} by calling again. It said: {error}"
            ) from None
        if gate.is_down and self._course.answered:
            if lost > policy.deadline:
                raise ModelUnavailable(
                    f"Model {label!r} has answered nothing for {_in_words(lost)}. What was answered is kept; "
                    f"call again to go on. The last error: {error}"
                ) from None
            self._last_tries += not gate.has_new  # nobody is left who could tell that it is the model's fault
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
        self, error: LloomError, began: float, limiter: Limiter | SharedLimiter, gate: AdaptiveConcurrency
    ) -> None:
        """Let all requests to the model profit from what this one has met, before the gate is left."""
        if not isinstance(error, ModelError) or isinstance(error, FATAL):
            return
        if isinstance(error, PermanentError):
            gate.replied(began)
            return
        self.is_away = True
        gate.begin_backoff()
        if isinstance(error, (BadAnswer, FormRefused)):
            gate.replied(began)
            return
        policy, limited = self._policy, isinstance(error, RateLimited)
        rounds = gate.failed(id(self), began, limited=limited)
        wait = error.retry_after if isinstance(error, RateLimited) else None
        if wait is not None and wait > policy.deadline:
            return
        if limited:
            gate.overloaded(wait)
        if wait is None and rounds and (limited or gate.is_down):
            wait = policy.shared_wait(rounds, self._jitter)
        if wait:
            limiter.pause(wait)


def _in_words(seconds: float) -> str:
    """A duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _clock(seconds: float) -> str:
    """The time of day in that many seconds, with the date if it is another day."""
    now = time.time()
    today, then = datetime.fromtimestamp(now), datetime.fromtimestamp(now + min(seconds, _FAR_OFF))
    return f"{then:%H:%M}" if then.date() == today.date() else f"{then:%H:%M on %d %B}"
