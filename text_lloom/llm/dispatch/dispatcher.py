"""The dispatcher: takes pieces of work, and delivers an answer or the last error for each.

Callers (`ask_all`, `call_many`, embeddings, classifiers) describe their work: how to make an attempt, how to
read the reply, where to deliver it. The dispatcher and `Request` do the rest: cache and single flight, order
of starts, budget and limits, retries and feedback, smaller requests if one is too large, and giving up on a
model that answers nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from text_lloom.errors import (
    AnswerRefused,
    BadAnswer,
    BudgetReached,
    ContextOverflow,
    LloomError,
    ModelError,
    ModelSetupError,
    ModelUnavailable,
    StepFailed,
)
from text_lloom.llm.control.paid_call_guard import check_allowed
from text_lloom.llm.control.retry import FATAL, FATAL_IN_A_ROW
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.attempt import Request
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS
from text_lloom.llm.dispatch.step_state import Run, StepState

if TYPE_CHECKING:
    from text_lloom.llm.completion import Completion
    from text_lloom.llm.model import EmbedModel, Model

__all__ = ["ALL_OR_NOTHING", "Dispatcher", "Work", "ask_in_turn"]

A = TypeVar("A")
M = TypeVar("M")

ALL_OR_NOTHING = 0
"""As `give_up_after`: the first error ends the step."""

_ABOUT_ONE_DOCUMENT = (AnswerRefused, ContextOverflow)
"""Errors that concern one document and do not predict the next."""


class Work(ABC, Generic[A]):
    """One thing to ask a model.

    Attributes:
        key: Cache key of the reply; empty for work that is not cached.
        out_tokens: Expected tokens of the reply.
        most_tokens: The most tokens that the reply can have, if that is known.
        request: The attempts so far; smaller work that replaces this one can continue the same request.
        answer: The answer, once it has been received.
    """

    key: str = ""
    out_tokens: int = 0
    most_tokens: int | None = None
    request: Request | None = None
    answer: A | None = None

    def build(self) -> None:
        """Build the request; called just before the work starts."""

    @abstractmethod
    def send(self, problem: tuple[str, str] | None) -> Awaitable[Completion]:
        """Make one attempt; `problem` is the last reply and what was wrong with it, if there was one."""

    @abstractmethod
    def read(self, completion: Completion) -> A:
        """Turn a reply into the answer.

        Raises:
            BadAnswer: When the reply cannot be used; the model is told why and asked again.
        """

    @abstractmethod
    def deliver(self, answer: A, *, kept: Completion | None = None) -> None:
        """Take the answer; `kept` is the reply that it was read from if that came from the cache."""

    @abstractmethod
    def fail(self, error: LloomError) -> None:
        """Take the last error."""

    def count_tokens(self) -> int:
        """Estimated tokens of the prompt; called only if needed."""
        return 0

    def ready(self) -> Awaitable[None] | None:
        """What each attempt waits for before it enters the queue."""
        return None

    async def keep(self, answer: A, run: Run) -> None:
        """Cache the answer, so that it is not paid for again."""

    def smaller(self, error: LloomError) -> Sequence[Work[A]]:
        """Smaller work to do instead, if the error may be due to the size."""
        return ()


class Dispatcher:
    """Does the work of one step with one model.

    Some errors suggest that every request will fail, such as a wrong key or an unknown model. If one comes
    before the first answer, the dispatcher stops sending and waits for the requests in flight, because a
    firewall may refuse one document, or the first (longest) ones may all be too long. If none of them is
    answered, it tries the last (shortest) one before it gives up.

    `give_up_after` failures before the first answer end the step. With `None` failures never end it; with
    `ALL_OR_NOTHING` the first one does.

    Attributes:
        ended: Why the step ended early.
        refused: Work with an error that every request may meet, and that error; not delivered so far.
    """

    def __init__(self, model: Model | EmbedModel, step: str, run: Run, *, give_up_after: int | None) -> None:
        self.model, self.step, self.run = model, step, run
        self.ended: LloomError | None = None
        self.refused: list[tuple[Work[Any], ModelError]] = []
        self._give_up_after = give_up_after
        self._asked_as = (step, model), run.settings.get(step, NO_SETTINGS)
        self._state = StepState()
        self._suspected: LloomError | None = None
        self._is_last_try = False
        self._successes = self._failures = self._suspicions = 0
        self._queue: deque[Work[Any]] = deque()
        self._open: dict[asyncio.Task[None], Work[Any]] = {}
        self._changed = asyncio.Event()

    async def do(self, work: Iterable[Work[Any]]) -> LloomError | None:
        """Do the work; must run on the event-loop thread.

        Returns:
            Why the step ended before all work was delivered; `None` when it was.

        Raises:
            PaidCallRefused: When paid calls are refused.
        """
        self._queue.extend(work)
        check_allowed(self.model)
        try:  # before the first start is granted, because imports and loading a model take time
            if self.model.loads_on_thread:
                await asyncio.to_thread(getattr, self.model, "client")
            else:
                _ = self.model.client
        except ModelSetupError as error:
            self.ended = error
            return error
        try:
            async with asyncio.TaskGroup() as group:
                while (following := self._next()) is not None:
                    if isinstance(following, asyncio.Event):
                        await following.wait()
                        continue
                    begun = asyncio.Event()
                    group.create_task(self._work(following, begun))
                    # Each request is sent before the next one is granted a start. Otherwise a burst of
                    # granted requests would wait in this process while its rate-limit window passes.
                    await begun.wait()
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        self.ended = self.ended or self._suspected
        if self.ended is None:
            self._clear_suspicion()
        return self.ended

    def _next(self) -> Work[Any] | asyncio.Event | None:
        """The next work; an event to wait for if that is undecided; `None` if nothing is left."""
        if self.ended is not None:
            return None
        waits_for_some = self._suspected is not None or not self._queue
        if waits_for_some and self._open:
            self._changed.clear()
            return self._changed
        if self._suspected is None:
            self._is_last_try = False
            return self._queue.popleft() if self._queue else None
        if self._is_last_try or not self._queue:
            return None
        self._is_last_try = True
        return self._queue.pop()

    async def _work(self, work: Work[Any], begun: asyncio.Event) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._open[task] = work
        try:
            kept = await self._answer(work, begun)
        except BudgetReached as error:  # requests in flight cost money, so they may finish
            self.ended = self.ended or error
        except (ModelUnavailable, StepFailed) as error:
            self._stop(error)
        except FATAL as error:
            if self._give_up_after == ALL_OR_NOTHING:
                self._stop(error)
            else:
                self._note_fatal(work, error)
        except LloomError as error:
            if smaller := work.smaller(error):
                self._queue.extendleft(reversed(smaller))
            else:
                self._fail(work, error)
        except asyncio.CancelledError:
            if work.answer is not None:
                work.deliver(work.answer)
            raise
        else:
            self._succeed()
            work.deliver(work.answer, kept=kept)
        finally:
            begun.set()
            del self._open[task]
            self._changed.set()

    async def _answer(self, work: Work[Any], begun: asyncio.Event) -> Completion | None:
        """Get the answer; returns the reply that it was read from if that came from the cache.

        Sets `begun` when the first attempt starts, or when it waits for an equal request.
        """
        work.build()
        request = work.request = work.request or Request(self.model, self.step, self.run, self._state)
        request.begun = begun
        store = self.run.store
        if not work.key or store is None:
            work.answer = await request.answer(work)
            await work.keep(work.answer, self.run)
            return None
        async with store.flight(work.key, on_wait=begun.set) as kept:
            if kept is not None:
                with contextlib.suppress(BadAnswer):
                    work.answer = work.read(kept)
                    self.run.ledger.add(
                        Attempt(self.step, self.model.label, time.time(), 0.0, 0, 0, 0.0, "cached")
                    )
                    return kept
            work.answer = await request.answer(work)
            await work.keep(work.answer, self.run)
        return None

    def _succeed(self) -> None:
        self._successes += 1
        self.run.proven.update([self._asked_as])
        if self._state.answered:
            self._clear_suspicion()

    def _fail(self, work: Work[Any], error: LloomError) -> None:
        """Deliver an error; may end the step, or suspect that the model cannot answer anything."""
        if self._give_up_after == ALL_OR_NOTHING or (
            self._give_up_after is not None and not isinstance(error, ModelError)
        ):
            self._stop(error)
            return
        work.fail(error)
        self._failures += 1
        self._suspicions += not self._is_about_one_document(error)
        if (
            self._give_up_after is not None
            and not self._successes
            and self._suspicions >= self._give_up_after
            and self._suspected is None
        ):
            reason = self.model.redact(str(error))
            self._suspected = StepFailed(
                f"{self.step}: the first {self._failures} requests to model {self.model.label!r} all failed, "
                f"so the rest was not sent. The last one: {reason}"
            )

    def _is_about_one_document(self, error: LloomError) -> bool:
        """Whether an error does not predict the next document.

        An unusable answer does not if the model has answered such questions before: then the step may
        consist of just those documents on which it failed.
        """
        asked_as, settings = self._asked_as
        if isinstance(error, BadAnswer):
            return self.run.proven.get(asked_as) == settings
        return isinstance(error, _ABOUT_ONE_DOCUMENT)

    def _note_fatal(self, work: Work[Any], error: ModelError) -> None:
        """Note an error that every further request may meet."""
        if self.ended is not None:
            return
        self.refused.append((work, error))
        if not self._state.answered:
            self._suspected = self._suspected or error
        elif len(self.refused) >= FATAL_IN_A_ROW:
            self._stop(error)

    def _clear_suspicion(self) -> None:
        """The model works, so earlier refusals were about their documents."""
        if self._suspected is not None:
            self._suspected = None
            self._changed.set()
        if self.refused and self.ended is None:
            refused, self.refused = self.refused, []
            for work, error in refused:
                self._fail(work, error)

    def _stop(self, error: LloomError) -> None:
        """Send nothing more; requests in flight cost money, so they may finish."""
        if self._state.ended is not None:
            return
        self.ended = self._state.ended = error
        for task, work in self._open.items():
            is_out = work.request is not None and work.request.is_out
            if not is_out and work.answer is None and task is not asyncio.current_task():
                task.cancel()


async def ask_in_turn(
    models: Sequence[M],
    count: int,
    ask: Callable[[M, list[int], bool], Awaitable[LloomError | None]],
    *,
    is_open: Callable[[int], bool],
    step: str,
    label: Callable[[M], str],
) -> LloomError | None:
    """Ask each model the questions that earlier models could not answer.

    `ask` asks a model the questions at some of the `count` positions. It gets whether this is the last model,
    and returns why it ended early, if it did. `is_open` says whether a question still needs an answer.

    Returns:
        Why the last model that was asked ended early.
    """
    pending, ended = list(range(count)), None
    for model, following in zip(models, [*models[1:], None], strict=True):
        ended = await ask(model, pending, following is None)
        pending = [i for i in pending if is_open(i)]
        if following is None or not pending:
            break
        if ended is not None:
            if not isinstance(ended, (*FATAL, ModelUnavailable, StepFailed)):
                break
            warnings.warn(f"{step}: going on with model {label(following)!r}. {ended}", stacklevel=2)
    return ended


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of several errors that ended a step together."""
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
