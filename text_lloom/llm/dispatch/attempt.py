"""One request to a model: its attempts under budget, limits and time-out until it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

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
from text_lloom.llm.completion import Completion, checked
from text_lloom.llm.control.budget import Budget, Reservation, TokenBudget
from text_lloom.llm.control.concurrency import AdaptiveConcurrency
from text_lloom.llm.control.paid_call_guard import check_allowed
from text_lloom.llm.control.rate_limits import Limiter, Slot
from text_lloom.llm.control.redis_limiter import SharedLimiter, SharedSlot
from text_lloom.llm.control.retry import FATAL, RetryState, as_model_error
from text_lloom.llm.control.usage import Attempt, Outcome
from text_lloom.llm.dispatch.request_builder import complaint
from text_lloom.llm.dispatch.step_state import Run, StepState
from text_lloom.llm.model import EmbedModel, Model, limiter_of
from text_lloom.llm.runtime.blocking import TimeLimit, time_limit
from text_lloom.llm.runtime.http import SendTracker, send_tracker

__all__ = ["Account", "Booked", "Held", "Request", "give_back", "with_retries"]

_LONG_REPLY = 1000
"""Tokens that a reply may have when nothing bounds it, as far as a budget is concerned."""


class Booked(NamedTuple):
    """What an attempt takes from the budgets."""

    usd: float
    tokens: int


class Held(NamedTuple):
    """What an attempt has set aside in a budget."""

    budget: Budget
    taken: Reservation


def give_back(held: list[Held], booked: Booked) -> None:
    """Book what an attempt took in place of what was set aside for it."""
    for budget, taken in held:
        budget.give_back(taken, booked.tokens if isinstance(budget, TokenBudget) else booked.usd)


class Account:
    """What the attempts of one request may cost, and what they did.

    Args:
        model: Who is asked.
        step: The step that asks.
        run: Ledger and budgets.
        count: Estimates the tokens of the prompt; called only when that matters.
        out_tokens: Expected tokens of the reply.
        most_tokens: The most that the reply can have, if that is known.

    Attributes:
        expected: Expected tokens of the reply.
        usd: What the attempts cost in US dollars, as far as prices are known.
        unpriced: Whether the price of one is not known.
        in_tokens: Tokens of their prompts.
        out_tokens: Tokens of their replies.
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
    ) -> None:
        self._model, self._step, self._run = model, step, run
        self.expect(count, out_tokens, most_tokens)
        self.usd = 0.0
        self.in_tokens = self.out_tokens = 0
        self.unpriced = False

    def expect(self, count: Callable[[], int], out_tokens: int, most_tokens: int | None) -> None:
        """Take the request for one of another size, from now on."""
        self._count, self.expected, self._most_tokens = count, out_tokens, most_tokens

    @property
    def needs_tokens(self) -> bool:
        """Whether anything depends on the tokens of the prompt before it is sent."""
        run, windows = self._run, self._model.limit.windows
        has_budget = run.budget is not None or run.token_budget is not None
        return has_budget or any(window.unit == "tokens" for window in windows)

    def sent_tokens(self, problem: tuple[str, str] | None) -> int:
        """Estimated tokens of the prompt, with what is added to ask again."""
        added = 0 if problem is None else self._model.count_tokens(complaint(problem))
        return self._count() + added

    async def set_aside(self, in_tokens: int) -> list[Held]:
        """Set aside in each budget what an attempt may take.

        Raises:
            BudgetReached: When it would pass one of them; nothing is set aside then.
        """
        price, plausible, is_bound = self._model.cost, self._plausible, self._most_tokens is not None
        wary = plausible if is_bound else max(plausible, _LONG_REPLY)
        tokens = (in_tokens + plausible, in_tokens + wary)
        usd = (0.0, 0.0) if price is None else (price.of(in_tokens, plausible), price.of(in_tokens, wary))
        kind, held = (self._step, self._model.label), list[Held]()
        try:
            for budget, (amount, most) in ((self._run.budget, usd), (self._run.token_budget, tokens)):
                if budget is not None:
                    taken = await budget.take(amount, if_long=most, kind=kind, is_bound=is_bound)
                    held.append(Held(budget, taken))
        except BaseException:
            give_back(held, Booked(0.0, 0))
            raise
        return held

    def book(
        self,
        reply: Completion | None,
        *,
        at: float,
        seconds: float,
        problem: tuple[str, str] | None,
        outcome: Outcome,
        is_lost: bool,
    ) -> Booked:
        """Write an attempt down and give what it cost, estimated where the provider reports no tokens.

        An attempt whose reply was lost may have been answered, and billed, none the less: the budgets
        count what that may have cost, while its row has an unknown price and no tokens, as none were
        reported.

        Args:
            reply: What it gave, `None` if nothing came.
            at: When it started, seconds since the epoch.
            seconds: How long it took.
            problem: The reply before and what was wrong with it, if it was asked again.
            outcome: How it ended.
            is_lost: There may have been a reply.
        """
        model = self._model
        usd: float | None
        in_tokens = out_tokens = 0
        if reply is None:
            usd, estimated = None if is_lost and not model.is_free else 0.0, is_lost
        else:
            estimated = reply.in_tokens is None
            if reply.in_tokens is not None and problem is None and outcome == "answer":
                self._calibrate(reply.in_tokens)
            in_tokens = self.sent_tokens(problem) if reply.in_tokens is None else reply.in_tokens
            out_tokens = reply.out_tokens or 0
            if estimated and reply.text:
                out_tokens = model.count_tokens(reply.text)
            if reply.usd is not None:
                usd = reply.usd
            elif model.is_free:
                usd = 0.0
            else:
                usd = None if estimated or model.cost is None else model.cost.of(in_tokens, out_tokens)
        self.usd += usd or 0.0
        self.unpriced |= usd is None
        self.in_tokens += in_tokens
        self.out_tokens += out_tokens
        self._run.ledger.add(
            Attempt(self._step, model.label, at, seconds, in_tokens, out_tokens, usd, outcome, estimated)
        )
        if reply is None and is_lost:
            in_tokens, out_tokens = self.sent_tokens(problem), self._plausible
        if usd is None and model.cost is not None:
            usd = model.cost.of(in_tokens, out_tokens)
        return Booked(usd or 0.0, in_tokens + out_tokens)

    @property
    def _plausible(self) -> int:
        """Tokens that the reply may have: the most that it can, or else what is expected."""
        return self.expected if self._most_tokens is None else self._most_tokens

    def _calibrate(self, reported: int) -> None:
        """Let the model's token estimates learn from what the provider counted."""
        calibration = self._model.calibration
        if calibration.is_due and (count := self._count()):
            calibration.learn(round(count / calibration.factor), reported)
        calibration.replies += 1


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
        course: StepState | None = None,
    ) -> None:
        self.model, self.step, self.run = model, step, run
        self.account = Account(model, step, run, count=count, out_tokens=out_tokens, most_tokens=most_tokens)
        self.begun = begun
        self.course = StepState() if course is None else course
        self.attempts = 0
        self.is_out = False
        self.seconds = 0.0
        self.reply: Completion | None = None
        self._patience = RetryState(model.label, run.policy, run.jitter, self.course)

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
                gate.end_backoff()

    async def _attempt(
        self,
        call: Callable[[tuple[str, str] | None], Awaitable[Completion]],
        read: Callable[[Completion], R],
        problem: tuple[str, str] | None,
        limiter: Limiter | SharedLimiter,
        gate: AdaptiveConcurrency,
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
                tracker = SendTracker(slot.sent)
                send_tracker.set(tracker)
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
                    is_lost = isinstance(error, TransientError) and tracker.is_lost_by(
                        error.__context__ or error
                    )
                    patience.on_error(error, started, limiter, gate)
                    if (
                        self.reply is None
                        and isinstance(error, AnswerRefused)
                        and error.in_tokens is not None
                    ):
                        self.reply = checked(Completion("", error.in_tokens, error.out_tokens, usd=error.usd))
                    raise
                except asyncio.CancelledError:
                    is_lost = tracker.may_have_sent
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        outcome = "cancelled"
                        raise
                    cancelled = TransientError(f"Model {model.label!r} cancelled its own call.")
                    patience.on_error(cancelled, started, limiter, gate)
                    raise cancelled from None
                except Exception as error:
                    is_lost = tracker.is_lost_by(error)
                    found = as_model_error(
                        error, model=model.label, timeout=model.timeout, redact=model.redact
                    )
                    outcome = _outcome(found, outcome)
                    patience.on_error(found, started, limiter, gate)
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
    course: StepState | None = None,
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
