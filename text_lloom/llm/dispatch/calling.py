"""Asking models by themselves: the same limits, retries, journal and ledger as for the operators."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from text_lloom.errors import (
    BadAnswer,
    BudgetReached,
    CallbackFailed,
    LloomError,
    ModelSetupError,
    ModelUnavailable,
)
from text_lloom.llm.completion import Completion
from text_lloom.llm.control.paid_call_guard import check_allowed
from text_lloom.llm.control.retry import FATAL, FATAL_IN_A_ROW
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.attempt import Request
from text_lloom.llm.dispatch.request_builder import StepSettings, build_request, request_key, with_feedback
from text_lloom.llm.dispatch.step_state import Run, StepState, first_error
from text_lloom.llm.messages import Message, ModelRequest
from text_lloom.llm.model import Model
from text_lloom.tasks.base import CUT_OFF
from text_lloom.tasks.form import Form

__all__ = ["Calling", "Outcome", "call_all"]

Outcome: TypeAlias = tuple[Completion, ...] | LloomError
"""The replies to one prompt, or the error that stood at the end."""

_STEP = "call"
_MOST_WORKERS = 1024
_EXPECTED_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Calling:
    """What several calls have in common.

    Attributes:
        form: The wanted form of the replies.
        n: How many replies to each prompt.
        settings: Parameters and system prompt.
        on_chunk: Called with each piece of text.
        run: Ledger, budget and so on.
    """

    form: Form | None
    n: int
    settings: StepSettings
    on_chunk: Callable[[str], object] | None
    run: Run


async def call_all(
    models: Sequence[Model], asked: Sequence[tuple[Message, ...]], calling: Calling
) -> list[Outcome]:
    """The replies to several prompts, each by the first of the models that can answer it.

    Must run on the portal's loop.

    Raises:
        PaidCallRefused: When paid calls are refused.
    """
    found: list[Outcome] = []
    pending = list(range(len(asked)))
    for model, following in zip(models, [*models[1:], None], strict=True):
        outcomes = await _Caller(model, calling).all([asked[i] for i in pending])
        if not found:
            found = outcomes
        else:
            for i, outcome in zip(pending, outcomes, strict=True):
                found[i] = outcome
        failed = [i for i in pending if isinstance(found[i], LloomError)]
        pending = [i for i in failed if not isinstance(found[i], BudgetReached)]
        if following is None or not pending:
            break
        reason = found[pending[0]]
        if isinstance(reason, FATAL):
            warnings.warn(f"call: going on with model {following.label!r}. {reason}", stacklevel=2)
    return found


class _Caller:
    """The calls to one model."""

    def __init__(self, model: Model, calling: Calling) -> None:
        self.model, self.calling, self.run = model, calling, calling.run
        self.store = calling.run.store if model.keeps_replies else None
        self.workers = asyncio.Semaphore(_MOST_WORKERS)
        self.ended: LloomError | None = None
        self.course = StepState()
        self.refused = 0

    async def all(self, asked: Sequence[tuple[Message, ...]]) -> list[Outcome]:
        check_allowed(self.model)
        try:
            _ = self.model.client  # set up before the first start is granted: imports take their time
        except ModelSetupError as error:
            return [error] * len(asked)
        if len(asked) == 1:
            return [await self._one(asked[0])]
        return list(await asyncio.gather(*(self._one(messages) for messages in asked)))

    async def _one(self, messages: tuple[Message, ...]) -> Outcome:
        async with self.workers:
            if self.ended is not None:
                return self.ended
            try:
                replies = tuple(await self._replies(self._posed(messages)))
            except BudgetReached as error:
                self.ended = error
                return error
            except ModelUnavailable as error:
                self.ended = self.course.ended = error
                return error
            except FATAL as error:
                self.refused += 1
                if not self.course.answered or self.refused >= FATAL_IN_A_ROW:  # as every further call would
                    self.ended = self.course.ended = error
                return error
            except LloomError as error:
                return error
            self.refused = 0
            return replies

    def _posed(self, messages: tuple[Message, ...]) -> ModelRequest:
        form, settings = self.calling.form, self.calling.settings
        if form is None:
            return build_request(self.model, messages, settings=settings)
        *before, last = messages
        said = Message(role=last["role"], content=f"{last['content']}\n\n{form.instruction}")
        return build_request(
            self.model, (*before, said), schema=form.schema, regex=form.regex, settings=settings
        )

    async def _replies(self, posed: ModelRequest) -> list[Completion]:
        n = self.calling.n
        if n == 1:
            return [await self._single(posed, 0)]
        found: dict[int, Completion] = {}
        if self.model.many_generations:
            await self._together(posed, found)
        try:
            async with asyncio.TaskGroup() as group:
                asking = {i: group.create_task(self._single(posed, i)) for i in range(n) if i not in found}
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        found |= {i: task.result() for i, task in asking.items()}
        return [found[i] for i in range(n)]

    async def _together(self, posed: ModelRequest, found: dict[int, Completion]) -> None:
        """Ask one request for all replies that are not kept; adds those that can be used to `found`."""
        keys = [self._key(posed, i) for i in range(self.calling.n)]
        store = self.store
        missing = [i for i, key in enumerate(keys) if store is None or store.get(key) is None]
        if len(missing) < 2:
            return
        replies = await self._asked(replace(posed, n=len(missing)))
        for i, reply in zip(missing, replies, strict=False):
            found[i] = reply
            await self._keep(keys[i], reply)

    async def _single(self, posed: ModelRequest, sample: int) -> Completion:
        if self.store is None:
            return self._told((await self._asked(posed))[0])
        key = self._key(posed, sample)
        async with self.store.flight(key) as kept:
            if kept is not None:
                with contextlib.suppress(BadAnswer):
                    return self._from_store(kept)
            [reply] = await self._asked(posed)
            await self._keep(key, reply)
            return self._told(reply)

    def _told(self, reply: Completion) -> Completion:
        """The reply, in one piece where the model does not stream."""
        if self.calling.on_chunk is not None and not self.model.streams:
            _safe(self.calling.on_chunk)(reply.text)
        return reply

    def _from_store(self, kept: Completion) -> Completion:
        parsed = self._parsed(kept.text, kept.finish_reason)
        label = self.model.label
        self.run.ledger.add(Attempt(_STEP, label, time.time(), 0.0, 0, 0, 0.0, "cached"))
        if self.calling.on_chunk is not None:
            _safe(self.calling.on_chunk)(kept.text)
        return replace(kept, usd=0.0, seconds=0.0, parsed=parsed, model=label, cached=True)

    async def _asked(self, posed: ModelRequest) -> list[Completion]:
        """The replies to a request that can be used, at least one; its tokens and cost are the first's."""
        model, on_chunk = self.model, self.calling.on_chunk
        most = posed.most_tokens
        request = Request(
            model,
            _STEP,
            self.run,
            count=lambda: model.count_tokens(posed.text),
            out_tokens=posed.n * min(_EXPECTED_TOKENS, most or _EXPECTED_TOKENS),
            most_tokens=most,
            course=self.course,
        )
        if on_chunk is not None and model.streams:
            posed = replace(posed, on_chunk=_safe(on_chunk))

        def read(reply: Completion) -> list[Completion]:
            usable, problem = [], None
            for text, reason in reply.replies:
                try:
                    parsed = self._parsed(text, reason)
                except BadAnswer as error:
                    problem = problem or error
                else:
                    usable.append(Completion(text, finish_reason=reason, parsed=parsed))
            if not usable and problem is not None:
                raise problem
            return usable

        usable = await request.answer(
            lambda problem: model.reply_to(posed if problem is None else with_feedback(posed, problem)),
            read,
            ready=(lambda: model.ready_for(posed)) if model.sends_ahead else None,
        )
        reply, account, label = request.reply, request.account, model.label
        is_reported = reply is not None and reply.in_tokens is not None
        first = replace(
            usable[0],
            in_tokens=account.in_tokens if is_reported else None,
            out_tokens=account.out_tokens if is_reported else None,
            usd=None if account.unpriced else account.usd,
            seconds=request.seconds,
            model=label,
        )
        none = 0 if is_reported else None
        others = [
            replace(one, in_tokens=none, out_tokens=none, usd=0.0, seconds=request.seconds, model=label)
            for one in usable[1:]
        ]
        return [first, *others]

    def _parsed(self, text: str, finish_reason: str | None) -> object | None:
        form = self.calling.form
        if form is None:
            return None
        if finish_reason == "length":
            raise BadAnswer(CUT_OFF)
        return form.read(text)

    def _key(self, posed: ModelRequest, sample: int) -> str:
        return "" if self.store is None else request_key(self.model, posed, sample=sample)

    async def _keep(self, key: str, reply: Completion) -> None:
        if self.store is not None:
            await self.store.put(key, reply, model=self.model.label, step=_STEP)


def _safe(on_chunk: Callable[[str], object]) -> Callable[[str], object]:
    """The callback; what it raises ends the call, since a further try would be paid for and fail alike."""

    def told(piece: str) -> None:
        try:
            on_chunk(piece)
        except Exception as error:
            raise CallbackFailed(f"on_chunk failed with {type(error).__name__}: {error}.") from error

    return told
