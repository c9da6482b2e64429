"""One request to a model: attempts within budget, limits and time-out until there is an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from text_lloom.errors import (
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
from text_lloom.llm.control.rate_limits import Limiter, Slot
from text_lloom.llm.control.redis_limiter import SharedLimiter, SharedSlot, shared_limiter
from text_lloom.llm.control.retry import FATAL, RetryState, as_model_error
from text_lloom.llm.control.usage import Attempt, Outcome
from text_lloom.llm.dispatch.request_builder import complaint
from text_lloom.llm.dispatch.step_state import Run, StepState
from text_lloom.llm.runtime.blocking import TimeLimit, time_limit
from text_lloom.llm.runtime.event_loop import close_with
from text_lloom.llm.runtime.http import SendTracker, send_tracker

if TYPE_CHECKING:
    from text_lloom.llm.dispatch.dispatcher import Work
    from text_lloom.llm.model import EmbedModel, Model

__all__ = ["Request", "limiter_of"]

A = TypeVar("A")

_MOST_FORMS = 16
"""How often a server may refuse features of one request."""
_MOST_IN_FLIGHT = 1024
"""The most requests in flight under a rate limit without a limit of concurrency."""
_LONG_REPLY = 1000
"""Tokens that a budget reserves for a reply of unlimited length."""


class Booked(NamedTuple):
    """What an attempt takes from the budgets."""

    usd: float
    tokens: int


class Held(NamedTuple):
    """What an attempt has set aside in a budget."""

    budget: Budget
    taken: Reservation


def give_back(held: list[Held], booked: Booked) -> None:
    """Replace the reservations of an attempt by what it cost."""
    for budget, taken in held:
        budget.give_back(taken, booked.tokens if isinstance(budget, TokenBudget) else booked.usd)


class Account:
    """What the attempts of one request may cost, and what they cost.

    Attributes:
        expected: Expected tokens of the reply.
        usd: What the attempts cost in US dollars, as far as prices are known.
        unpriced: Whether the price of an attempt is unknown.
        in_tokens: Tokens of their prompts.
        out_tokens: Tokens of their replies.
    """

    def __init__(self, model: Model | EmbedModel, step: str, run: Run) -> None:
        self._model, self._step, self._run = model, step, run
        self._count: Callable[[], int] = int
        self._most_tokens: int | None = None
        self.expected = 0
        self.usd = 0.0
        self.in_tokens = self.out_tokens = 0
        self.unpriced = False

    def expect(self, count: Callable[[], int], out_tokens: int, most_tokens: int | None) -> None:
        """Set how to count the prompt's tokens, if needed, and the expected and most tokens of the reply."""
        self._count, self.expected, self._most_tokens = count, out_tokens, most_tokens

    @property
    def needs_tokens(self) -> bool:
        """Whether a limit or budget needs the tokens of the prompt before it is sent."""
        run, windows = self._run, self._model.limit.windows
        has_budget = run.budget is not None or run.token_budget is not None
        return has_budget or any(window.unit == "tokens" for window in windows)

    def sent_tokens(self, problem: tuple[str, str] | None) -> int:
        """Estimated tokens of the prompt, with the feedback on the last reply."""
        added = 0 if problem is None else self._model.count_tokens(complaint(problem))
        return self._count() + added

    async def set_aside(self, in_tokens: int) -> list[Held]:
        """Reserve in each budget what an attempt may cost.

        Raises:
            BudgetReached: When it would exceed one of them; nothing is reserved then.
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
        """Add an attempt to the ledger and return its cost, estimated if the provider reports no tokens.

        `is_lost` says that there may have been a reply that did not arrive, but was billed. So the budgets
        count what it may have cost, while its row has an unknown price and no tokens.
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
                cached, written = reply.cached_tokens or 0, reply.cache_write_tokens or 0
                usd = model.usd_of(in_tokens, out_tokens, cached=cached, written=written)
                usd = None if estimated else usd
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
        """The most tokens of the reply if that is known, else the expected ones."""
        return self.expected if self._most_tokens is None else self._most_tokens

    def _calibrate(self, reported: int) -> None:
        """Correct the model's token estimates by what the provider counted."""
        calibration = self._model.calibration
        if calibration.is_due and (count := self._count()):
            calibration.learn(round(count / calibration.factor), reported)
        calibration.replies += 1


class Request:
    """One request: its attempts until there is an answer or a final error.

    Attributes:
        account: What the attempts cost.
        attempts: How many there were.
        begun: Set when the next attempt starts, if given.
        is_out: Whether an attempt is in flight.
        seconds: How long the last attempt took.
        reply: The reply to the last attempt.
    """

    def __init__(self, model: Model | EmbedModel, step: str, run: Run, state: StepState) -> None:
        self.model, self.run, self.state = model, run, state
        self.account = Account(model, step, run)
        self.begun: asyncio.Event | None = None
        self.attempts = 0
        self.is_out = False
        self.seconds = 0.0
        self.reply: Completion | None = None
        self._retry = RetryState(model.label, run.policy, run.jitter, state)

    async def answer(self, work: Work[A]) -> A:
        """Make attempts until a reply can be read."""
        self.account.expect(work.count_tokens, work.out_tokens, work.most_tokens)
        limiter, concurrency = limiter_of(self.model)
        bad = forms = 0
        problem: tuple[str, str] | None = None
        try:
            while True:
                self.reply = None
                if (turn := work.ready()) is not None:
                    await turn
                try:
                    return await self._attempt(work, problem, limiter, concurrency)
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
                    await asyncio.sleep(self._retry.wait_after(error, concurrency))
                if self.state.ended is not None:
                    raise self.state.ended
        finally:
            if self._retry.is_away:
                concurrency.end_backoff()

    async def _attempt(
        self,
        work: Work[A],
        problem: tuple[str, str] | None,
        limiter: Limiter | SharedLimiter,
        concurrency: AdaptiveConcurrency,
    ) -> A:
        model, account, retry = self.model, self.account, self._retry
        in_tokens = account.sent_tokens(problem) if account.needs_tokens else 0
        await concurrency.enter(again=retry.is_away)
        retry.is_away = False
        try:
            held = await account.set_aside(in_tokens)
            booked = Booked(0.0, 0)
            try:
                if self.state.ended is not None:
                    raise self.state.ended
                asked_for = time.perf_counter()
                slot = await self._start(limiter, in_tokens + account.expected, problem)
                self.run.waited += time.perf_counter() - asked_for
                started = asyncio.get_running_loop().time()
                retry.begins(started)
                self.attempts += 1
                self.state.sent += 1
                self.is_out = True
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
                        self.reply = checked(await work.send(problem))
                    outcome = "bad answer"
                    answer = work.read(self.reply)
                    outcome = "answer"
                    self.state.answered += 1
                    concurrency.succeeded(started)
                    return answer
                except LloomError as error:
                    outcome = _outcome(error, outcome)
                    is_lost = isinstance(error, TransientError) and tracker.is_lost_by(
                        error.__context__ or error
                    )
                    retry.on_error(error, started, limiter, concurrency)
                    if self.reply is None and isinstance(error, ModelError) and error.in_tokens is not None:
                        self.reply = checked(Completion("", error.in_tokens, error.out_tokens, usd=error.usd))
                    raise
                except asyncio.CancelledError:
                    is_lost = tracker.may_have_sent
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        outcome = "cancelled"
                        raise
                    cancelled = TransientError(f"Model {model.label!r} cancelled its own call.")
                    retry.on_error(cancelled, started, limiter, concurrency)
                    raise cancelled from None
                except Exception as error:
                    is_lost = tracker.is_lost_by(error)
                    found = as_model_error(
                        error, model=model.label, timeout=model.timeout, redact=model.redact
                    )
                    outcome = _outcome(found, outcome)
                    retry.on_error(found, started, limiter, concurrency)
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
            concurrency.leave()

    async def _start(
        self, limiter: Limiter | SharedLimiter, tokens: int, problem: tuple[str, str] | None
    ) -> Slot | SharedSlot:
        """Wait for the rate limit, at most for the model's `wait_timeout`.

        Raises:
            InputError: When the first request of a step is larger than the limit.
            PermanentError: When a later or repeated one is, or when the wait takes too long.
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
            if not self.state.sent:
                raise
            why = "" if problem is None else f"The answer could not be used ({problem[1]}), to ask again: "
            raise PermanentError(f"{why}{error}") from None


def _outcome(error: LloomError, otherwise: Outcome) -> Outcome:
    if isinstance(error, BadAnswer):
        return "bad answer"
    if isinstance(error, RateLimited):
        return "rate limited"
    if isinstance(error, (PermanentError, FormRefused, *FATAL)):
        return "permanent error"
    return otherwise


_limiters: WeakKeyDictionary[
    asyncio.AbstractEventLoop, dict[object, tuple[Limiter | SharedLimiter, AdaptiveConcurrency]]
]
_limiters = WeakKeyDictionary()


def limiter_of(model: Model | EmbedModel) -> tuple[Limiter | SharedLimiter, AdaptiveConcurrency]:
    """The limiter and the concurrency that all requests to a model share on this event loop.

    Processes share the limiter if the model's `redis_url` or `LLOOM_REDIS_URL` names a Redis.
    """
    known = _limiters.setdefault(asyncio.get_running_loop(), {})
    key = model.limiter_key
    if key not in known:
        in_flight = model.limit.concurrency
        if in_flight is None and model.limit.windows:
            in_flight = _MOST_IN_FLIGHT
        shared = shared_limiter(model.limit.windows, key=key[:3], url=model.redis_url)
        if shared is not None:
            close_with(shared, shared.aclose)
        known[key] = (
            shared or Limiter(model.limit.windows),
            AdaptiveConcurrency(in_flight, ceiling=model.limit.ceiling),
        )
    limiter, concurrency = known[key]
    if (threads := model.blocking_threads) is not None:  # each granted start needs a thread at once
        concurrency.cap(threads)
    return limiter, concurrency
