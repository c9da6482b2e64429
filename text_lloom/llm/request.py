"""One request to a model: its attempts under budget, limits and time-out until it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from text_lloom.errors import (
    AnswerRefused,
    BadAnswer,
    FormRefused,
    InputError,
    LloomError,
    ModelError,
    ModelUnavailable,
    PermanentError,
    RateLimited,
    TransientError,
)
from text_lloom.llm.blocking import TimeLimit, time_limit
from text_lloom.llm.budget import Budget, Reservation, TokenBudget
from text_lloom.llm.gate import Gate
from text_lloom.llm.limits import Limiter, Slot
from text_lloom.llm.model import EmbedModel, Model, limiter_of
from text_lloom.llm.posing import complaint
from text_lloom.llm.redis_limits import SharedLimiter, SharedSlot
from text_lloom.llm.retry import FATAL, as_model_error
from text_lloom.llm.returned import Completion, checked
from text_lloom.llm.run import Run
from text_lloom.llm.spending import check_allowed
from text_lloom.llm.usage import Attempt, Outcome
from text_lloom.llm.wire import Departure, on_sent

__all__ = ["Course", "Request", "first_error", "with_retries"]

R = TypeVar("R")

_LONG_REPLY = 1000
"""Tokens that a reply may have when nothing bounds it, as far as a budget is concerned."""
_MOST_FORMS = 16
_LIMITED_JITTER = 0.1
_FAR_OFF = 1e9
"""Seconds that can be added to any time of these years."""


@dataclass(slots=True)
class Course:
    """How the requests of one step get on together.

    Attributes:
        sent: How many attempts there were.
        answered: How many of them gave an answer.
        ended: Why nothing more is sent; attempts that are out may end.
        waiting: The tasks of its requests that have no attempt out.
    """

    sent: int = 0
    answered: int = 0
    ended: LloomError | None = None
    waiting: set[asyncio.Task[Any] | None] = field(default_factory=set)

    def stop(self, error: LloomError) -> None:
        """Send nothing more; what is out is being paid for, so it may end."""
        if self.ended is None:
            self.ended = error
            for task in self.waiting:
                if task is not None:
                    task.cancel()


class _Booked(NamedTuple):
    """What an attempt takes from the budgets."""

    usd: float
    tokens: int


class _Held(NamedTuple):
    """What an attempt has set aside in a budget."""

    budget: Budget
    taken: Reservation


def _give_back(held: list[_Held], booked: _Booked) -> None:
    """Book what an attempt took in place of what was set aside for it."""
    for budget, taken in held:
        budget.give_back(taken, booked.tokens if isinstance(budget, TokenBudget) else booked.usd)


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
        expected: Expected tokens of the reply.
        attempts: How many there were.
        is_out: Whether an attempt is on its way.
        usd: What they cost in US dollars, as far as prices are known.
        unpriced: Whether the price of one is not known.
        in_tokens: Tokens of their prompts.
        out_tokens: Tokens of their replies.
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
        self.count, self.expected, self.most_tokens = count, out_tokens, most_tokens
        self.begun = begun
        self.course = Course() if course is None else course
        self.attempts = 0
        self.is_out = False
        self.usd = self.seconds = 0.0
        self.in_tokens = self.out_tokens = 0
        self.unpriced = False
        self.reply: Completion | None = None
        self._transient = self._limited = self._last_tries = 0
        self._deadline: float | None = None
        self._is_away = False

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
                    wait = self._wait_after(error, gate)
                    self.course.waiting.add(task)
                    await asyncio.sleep(wait)
                if self.course.ended is not None:
                    raise self.course.ended
        finally:
            self.course.waiting.discard(task)
            if self._is_away:
                gate.returned()

    def _wait_after(self, error: ModelError, gate: Gate) -> float:
        """Seconds to wait by itself before the next try.

        While the model answers nobody, tries are not counted, since the request is not to blame; but when
        none is left to be asked for the first time, it may be.

        Raises:
            ModelUnavailable: When waiting any longer makes no sense for any request of the step.
            ModelError: The error itself, when the request has been tried often or long enough.
        """
        policy, rng, now = self.run.policy, self.run.jitter, asyncio.get_running_loop().time()
        deadline = now if self._deadline is None else self._deadline
        label = self.model.label
        wait = (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
        if self.course.ended is not None:
            raise self.course.ended
        lost = gate.trouble if self.course.answered else 0.0
        if wait and wait + lost > policy.deadline:
            gate.close()
            raise ModelUnavailable(
                f"Model {label!r} takes no requests for the next {_in_words(wait)}. What was answered is "
                f"kept; go on after {_clock(wait)} by calling again. It said: {error}"
            ) from None
        if gate.is_down and self.course.answered:
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

    def _heed(self, error: LloomError, began: float, limiter: Limiter | SharedLimiter, gate: Gate) -> None:
        """Let all requests to the model profit from what this one has met, before the gate is left."""
        if not isinstance(error, ModelError) or isinstance(error, FATAL):
            return
        if isinstance(error, PermanentError):
            gate.replied(began)
            return
        self._is_away = True
        gate.goes_away()
        if isinstance(error, (BadAnswer, FormRefused)):
            gate.replied(began)
            return
        policy, limited = self.run.policy, isinstance(error, RateLimited)
        rounds = gate.failed(id(self), began, limited=limited)
        wait = error.retry_after if isinstance(error, RateLimited) else None
        if wait is not None and wait > policy.deadline:
            return
        if limited:
            gate.overloaded(wait)
        if wait is None and rounds and (limited or gate.is_down):
            wait = policy.shared_wait(rounds, self.run.jitter)
        if wait:
            limiter.pause(wait)

    async def _attempt(
        self,
        call: Callable[[tuple[str, str] | None], Awaitable[Completion]],
        read: Callable[[Completion], R],
        problem: tuple[str, str] | None,
        limiter: Limiter | SharedLimiter,
        gate: Gate,
    ) -> R:
        model = self.model
        in_tokens = 0
        if (
            self.run.budget is not None
            or self.run.token_budget is not None
            or any(window.unit == "tokens" for window in model.limit.windows)
        ):
            in_tokens = self._sent_tokens(problem)
        await gate.enter(again=self._is_away)
        self._is_away = False
        try:
            held = await self._set_aside(in_tokens)
            booked = _Booked(0.0, 0)
            try:
                if self.course.ended is not None:
                    raise self.course.ended
                asked_for = time.perf_counter()
                slot = await self._start(limiter, in_tokens + self.expected, problem)
                self.run.waited += time.perf_counter() - asked_for
                started = asyncio.get_running_loop().time()
                if self._deadline is None:
                    self._deadline = started + self.run.policy.deadline
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
                    self._heed(error, started, limiter, gate)
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
                    self._heed(cancelled, started, limiter, gate)
                    raise cancelled from None
                except Exception as error:
                    is_lost = departure.is_lost_by(error)
                    found = as_model_error(
                        error, model=model.label, timeout=model.timeout, redact=model.redact
                    )
                    outcome = _outcome(found, outcome)
                    self._heed(found, started, limiter, gate)
                    raise found from None
                finally:
                    self.is_out = False
                    seconds = time.perf_counter() - began
                    booked = self._book(at, seconds, problem, outcome, is_lost=is_lost)
                    if self.reply is not None and self.reply.in_tokens is not None:
                        slot.settle(self.reply.in_tokens + (self.reply.out_tokens or 0))
            finally:
                _give_back(held, booked)
        finally:
            gate.leave()

    async def _set_aside(self, in_tokens: int) -> list[_Held]:
        """Set aside in each budget what an attempt may take.

        Raises:
            BudgetReached: When it would pass one of them; nothing is set aside then.
        """
        price, plausible = self.model.cost, self._plausible
        wary = plausible if self.most_tokens is not None else max(plausible, _LONG_REPLY)
        tokens = (in_tokens + plausible, in_tokens + wary)
        usd = (0.0, 0.0) if price is None else (price.of(in_tokens, plausible), price.of(in_tokens, wary))
        kind, held = (self.step, self.model.label), list[_Held]()
        try:
            for budget, (amount, most) in ((self.run.budget, usd), (self.run.token_budget, tokens)):
                if budget is not None:
                    taken = await budget.take(
                        amount, wary=most, kind=kind, is_bound=self.most_tokens is not None
                    )
                    held.append(_Held(budget, taken))
        except BaseException:
            _give_back(held, _Booked(0.0, 0))
            raise
        return held

    @property
    def _plausible(self) -> int:
        """Tokens that the reply may have: the most that it can, or else what is expected."""
        return self.expected if self.most_tokens is None else self.most_tokens

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

    def _sent_tokens(self, problem: tuple[str, str] | None) -> int:
        """Estimated tokens of the prompt, with what is added to ask again."""
        added = 0 if problem is None else self.model.count_tokens(complaint(problem))
        return self.count() + added

    def _calibrate(self, reported: int) -> None:
        """Let the model's token estimates learn from what the provider counted."""
        calibration = self.model.calibration
        if calibration.is_due and (count := self.count()):
            calibration.learn(round(count / calibration.factor), reported)
        calibration.replies += 1

    def _book(
        self,
        at: float,
        seconds: float,
        problem: tuple[str, str] | None,
        outcome: Outcome,
        *,
        is_lost: bool,
    ) -> _Booked:
        """Write the attempt down and give what it cost, estimated where the provider reports no tokens.

        An attempt whose reply was lost may have been answered, and billed, none the less: the budgets
        count what that may have cost, while its row has an unknown price and no tokens, as none were
        reported.
        """
        model, reply = self.model, self.reply
        usd: float | None
        in_tokens = out_tokens = 0
        if reply is None:
            usd, estimated = None if is_lost and not model.is_free else 0.0, is_lost
        else:
            estimated = reply.in_tokens is None
            if reply.in_tokens is not None and problem is None and outcome == "answer":
                self._calibrate(reply.in_tokens)
            in_tokens = self._sent_tokens(problem) if reply.in_tokens is None else reply.in_tokens
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
        self.seconds = seconds
        self.run.ledger.add(
            Attempt(self.step, model.label, at, seconds, in_tokens, out_tokens, usd, outcome, estimated)
        )
        if reply is None and is_lost:
            in_tokens, out_tokens = self._sent_tokens(problem), self._plausible
        if usd is None and model.cost is not None:
            usd = model.cost.of(in_tokens, out_tokens)
        return _Booked(usd or 0.0, in_tokens + out_tokens)


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


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to raise of several that ended a step together."""
    found = errors.exceptions[0]
    return first_error(found) if isinstance(found, BaseExceptionGroup) else found


def _outcome(error: LloomError, otherwise: Outcome) -> Outcome:
    if isinstance(error, BadAnswer):
        return "bad answer"
    if isinstance(error, RateLimited):
        return "rate limited"
    if isinstance(error, (PermanentError, FormRefused, *FATAL)):
        return "permanent error"
    return otherwise


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
