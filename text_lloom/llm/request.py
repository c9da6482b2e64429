"""One request to a model: its attempts under budget, limits and time-out until it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from text_lloom.errors import (
    AnswerRefused,
    BadAnswer,
    FormRefused,
    InputError,
    LloomError,
    ModelError,
    PermanentError,
    RateLimited,
    TransientError,
)
from text_lloom.llm.account import Account, Booked, give_back
from text_lloom.llm.blocking import TimeLimit, time_limit
from text_lloom.llm.course import Course
from text_lloom.llm.gate import Gate
from text_lloom.llm.limits import Limiter, Slot
from text_lloom.llm.model import EmbedModel, Model, limiter_of
from text_lloom.llm.patience import Patience
from text_lloom.llm.redis_limits import SharedLimiter, SharedSlot
from text_lloom.llm.retry import FATAL, as_model_error
from text_lloom.llm.returned import Completion, checked
from text_lloom.llm.run import Run
from text_lloom.llm.spending import check_allowed
from text_lloom.llm.usage import Outcome
from text_lloom.llm.wire import Departure, on_sent

__all__ = ["Request", "with_retries"]

R = TypeVar("R")

_MOST_FORMS = 16


class Request:
    """One request: its attempts until it is answered or given up.

    Args:
        model: Who is asked.
        step: The step that asks.
        run: Ledger, budget and so on.
        count: Estimates the tokens of the prompt; called only when that matters.
        out_tokens: Expected tokens of the reply.
        most_tokens: The most that the reply can have, if that is known.
        begun: Set when the first attempt starts.
        course: What it shares with the other requests of its step.

    Attributes:
        account: What they cost.
        attempts: How many there were.
        is_out: Whether an attempt is on its way.
        seconds: How long the last one took.
        reply: The reply to the last one.
    """

    def __init__(
        self,
        model: Model | EmbedModel,
        step: str,
        run: Run,
        *,
        count: Callable[[], int],
        out_tokens: int,
        most_tokens: int | None = None,
        begun: asyncio.Event | None = None,
        course: Course | None = None,
    ) -> None:
        self.model, self.step, self.run = model, step, run
        self.account = Account(model, step, run, count=count, out_tokens=out_tokens, most_tokens=most_tokens)
        self.begun = begun
        self.course = Course() if course is None else course
        self.attempts = 0
        self.is_out = False
        self.seconds = 0.0
        self.reply: Completion | None = None
        self._patience = Patience(model.label, run, self.course)

    async def answer(
        self,
        call: Callable[[tuple[str, str] | None], Awaitable[Completion]],
        read: Callable[[Completion], R],
        *,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> R:
        """Call until there is an answer that can be read.

        Args:
            call: Makes an attempt; gets the last reply and what was wrong with it, if it was re-asked.
            read: Turns a completion into the answer, or raises `BadAnswer`.
            ready: Waited for before each attempt, when nothing is held yet.
        """
        check_allowed(self.model)
        limiter, gate = limiter_of(self.model)
        bad = forms = 0
        problem: tuple[str, str] | None = None
        task = asyncio.current_task()
        try:
            while True:
                self.course.waiting.add(task)
                self.reply = None
                if ready is not None:
                    await ready()
                try:
                    return await self._attempt(call, read, problem, limiter, gate)
                except BadAnswer as error:
                    bad += 1
                    if bad > self.run.policy.re_asks:
                        raise
                    problem = (self.reply.text if self.reply is not None else "", str(error))
                except FormRefused as error:
                    forms += 1
                    if forms >= _MOST_FORMS:
                        raise PermanentError(str(error)) from None
                except (PermanentError, *FATAL):
                    raise
                except ModelError as error:
                    wait = self._patience.wait_after(error, gate)
                    self.course.waiting.add(task)
                    await asyncio.sleep(wait)
                if self.course.ended is not None:
                    raise self.course.ended
        finally:
            self.course.waiting.discard(task)
            if self._patience.is_away:
                gate.returned()

    async def _attempt(
        self,
        call: Callable[[tuple[str, str] | None], Awaitable[Completion]],
        read: Callable[[Completion], R],
        problem: tuple[str, str] | None,
        limiter: Limiter | SharedLimiter,
        gate: Gate,
    ) -> R:
        model, account, patience = self.model, self.account, self._patience
        in_tokens = account.sent_tokens(problem) if account.needs_tokens else 0
        await gate.enter(again=patience.is_away)
        patience.is_away = False
        try:
            held = await account.set_aside(in_tokens)
            booked = Booked(0.0, 0)
            try:
                if self.course.ended is not None:
                    raise self.course.ended
                asked_for = time.perf_counter()
                slot = await self._start(limiter, in_tokens + account.expected, problem)
                self.run.waited += time.perf_counter() - asked_for
                started = asyncio.get_running_loop().time()
                patience.begins(started)
                self.attempts += 1
                self.course.sent += 1
                self.is_out = True
                self.course.waiting.discard(asyncio.current_task())
                if self.begun is not None:
                    self.begun.set()
                at, began = time.time(), time.perf_counter()
                outcome: Outcome = "transient error"
                is_lost = False
                departure = Departure(slot.sent)
                on_sent.set(departure)
                try:
                    async with asyncio.timeout(model.timeout) as timer:
                        time_limit.set(TimeLimit(timer, model.timeout))
                        self.reply = checked(await call(problem))
                    outcome = "bad answer"
                    answer = read(self.reply)
                    outcome = "answer"
                    self.course.answered += 1
                    gate.succeeded(started)
                    return answer
                except LloomError as error:
                    outcome = _outcome(error, outcome)
                    is_lost = isinstance(error, TransientError) and departure.is_lost_by(
                        error.__context__ or error
                    )
                    patience.heed(error, started, limiter, gate)
                    if (
                        self.reply is None
                        and isinstance(error, AnswerRefused)
                        and error.in_tokens is not None
                    ):
                        self.reply = checked(Completion("", error.in_tokens, error.out_tokens, usd=error.usd))
                    raise
                except asyncio.CancelledError:
                    is_lost = departure.may_have_left
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        outcome = "cancelled"
                        raise
                    cancelled = TransientError(f"Model {model.label!r} cancelled its own call.")
                    patience.heed(cancelled, started, limiter, gate)
                    raise cancelled from None
                except Exception as error:
                    is_lost = departure.is_lost_by(error)
                    found = as_model_error(
                        error, model=model.label, timeout=model.timeout, redact=model.redact
                    )
                    outcome = _outcome(found, outcome)
                    patience.heed(found, started, limiter, gate)
                    raise found from None
                finally:
                    self.is_out = False
                    self.seconds = time.perf_counter() - began
                    booked = account.book(
                        self.reply,
                        at=at,
                        seconds=self.seconds,
                        problem=problem,
                        outcome=outcome,
                        is_lost=is_lost,
                    )
                    if self.reply is not None and self.reply.in_tokens is not None:
                        slot.settle(self.reply.in_tokens + (self.reply.out_tokens or 0))
            finally:
                give_back(held, booked)
        finally:
            gate.leave()

    async def _start(
        self, limiter: Limiter | SharedLimiter, tokens: int, problem: tuple[str, str] | None
    ) -> Slot | SharedSlot:
        """Wait for a start under the rate limit, but not longer than the model allows.

        Raises:
            InputError: When the first request of a step is larger than the limit.
            PermanentError: When a later one is, or one that is asked again.
        """
        try:
            async with asyncio.timeout(self.model.wait_timeout):
                return await limiter.acquire(tokens)
        except TimeoutError:
            raise PermanentError(
                f"No start under the rate limit of model {self.model.label!r} came free within "
                f"wait_timeout={self.model.wait_timeout:g} seconds."
            ) from None
        except InputError as error:
            if not self.course.sent:
                raise
            why = "" if problem is None else f"The answer could not be used ({problem[1]}), to ask again: "
            raise PermanentError(f"{why}{error}") from None


async def with_retries(
    model: EmbedModel,
    step: str,
    run: Run,
    *,
    tokens: int,
    call: Callable[[], Awaitable[tuple[R, int | None]]],
    course: Course | None = None,
) -> R:
    """One request to an embedding model, with its limits, retries and ledger row.

    Args:
        model: Who is asked.
        step: The step that asks.
        run: Ledger, budget and so on.
        tokens: Estimated tokens of the request.
        call: Makes an attempt, and gives the result and the tokens that the provider reported.
        course: What it shares with the other requests of its step.
    """
    results: list[R] = []

    async def attempt(_: tuple[str, str] | None) -> Completion:
        result, reported = await call()
        results.append(result)
        return Completion("", reported, 0)

    await Request(model, step, run, count=lambda: tokens, out_tokens=0, course=course).answer(
        attempt, lambda completion: completion
    )
    return results[-1]


def _outcome(error: LloomError, otherwise: Outcome) -> Outcome:
    if isinstance(error, BadAnswer):
        return "bad answer"
    if isinstance(error, RateLimited):
        return "rate limited"
    if isinstance(error, (PermanentError, FormRefused, *FATAL)):
        return "permanent error"
    return otherwise
