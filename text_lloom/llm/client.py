"""The methods for using a model by itself: `call`, `call_many`, and their synchronous versions."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from text_lloom.errors import BadAnswer, BudgetReached, CallbackFailed, InputError, LloomError
from text_lloom.llm.cache.journal import open_journal
from text_lloom.llm.cache.keys import request_key
from text_lloom.llm.completion import Completion
from text_lloom.llm.control.budget import Budget
from text_lloom.llm.control.retry import RetryPolicy
from text_lloom.llm.control.usage import Ledger
from text_lloom.llm.dispatch.dispatcher import Dispatcher, Work, ask_in_turn
from text_lloom.llm.dispatch.request_builder import StepSettings, build_request, with_feedback
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.messages import Message, ModelRequest, Prompt, as_messages
from text_lloom.llm.options import whole_number, with_params
from text_lloom.llm.runtime.event_loop import run_async, run_sync
from text_lloom.tasks.base import CUT_OFF
from text_lloom.tasks.form import Form, form_of

if TYPE_CHECKING:
    from text_lloom.llm.model import Model

__all__ = ["Call", "ClientMethods", "Replies", "SyncClient", "call_all"]

OnChunk: TypeAlias = Callable[[str], object]
Replies: TypeAlias = tuple[Completion, ...] | LloomError
"""The replies to one prompt, or the last error."""

_STEP = "call"
_EXPECTED_TOKENS = 256


class ClientMethods:
    """`call` and `call_many`, for any class that has chat models."""

    @property
    @abstractmethod
    def chat_models(self) -> tuple[Model, ...]:
        """The models to ask, in order; each gets what the ones before it could not answer."""

    @property
    def sync(self) -> SyncClient:
        """The same methods for code that does not `await`: `model.sync.call(...)`."""
        return SyncClient(self)

    @overload
    async def call(
        self, asked: Prompt, schema: object = None, n: Literal[1] = 1, **options: Any
    ) -> Completion: ...

    @overload
    async def call(self, asked: Prompt, schema: object = None, n: int = 1, **options: Any) -> Any: ...

    async def call(
        self,
        asked: Prompt,
        schema: object = None,
        n: int = 1,
        *,
        regex: str | None = None,
        system: str | None = None,
        on_chunk: OnChunk | None = None,
        cache: bool | str | Path = True,
        ledger: Ledger | None = None,
        retry: RetryPolicy | None = None,
        **params: Any,
    ) -> Any:
        """Ask one prompt or conversation, under the model's limits, with retries.

        Args:
            asked: A prompt, or messages such as `[{"role": "user", "content": "…"}]`.
            schema: The format of the reply: a pydantic model or another type that pydantic understands, or
                a JSON schema as a mapping. The reply is validated; if it does not fit, the model is asked
                again. The value is in `Completion.parsed`.
            n: How many replies.
            regex: The format of the reply as a pattern that the whole reply must match.
            system: The system message, instead of the model's own.
            on_chunk: Called with each piece of text as it arrives, on the models' thread; with the whole
                text if the provider does not stream. After a failed attempt the text starts again.
            cache: Use a cached reply to the same request, and cache this one; a path says where.
            ledger: Gets a row per attempt.
            retry: How often and how long to retry.
            **params: Generation parameters; they override those of the model.

        Returns:
            The `Completion`; a list of them for `n > 1`. Tokens and cost (USD) include failed attempts. If
            one request gave several replies, the first one has the tokens and cost of all.

        Raises:
            InputError: When an argument cannot be used; nothing is spent.
            LloomError: When there is no usable reply.
        """
        if on_chunk is not None and not callable(on_chunk):
            raise InputError(f"on_chunk={on_chunk!r} must be a function that takes a text.")
        if on_chunk is not None and inspect.iscoroutinefunction(on_chunk):
            raise InputError(
                "on_chunk must be a plain function, not an async one: it is called for each piece of text."
            )
        if on_chunk is not None and n != 1:
            raise InputError(f"on_chunk takes the pieces of one reply, but n={n!r}. Leave one of them out.")
        run = self._run(cache, ledger, retry, None)
        call = self._call(schema, n, regex, system, on_chunk, params, run)
        [found] = await run_async(call_all(self.chat_models, [as_messages(asked)], call))
        if isinstance(found, LloomError):
            raise found
        return found[0] if n == 1 else list(found)

    @overload
    async def call_many(
        self, asked: Iterable[Prompt], schema: object = None, n: Literal[1] = 1, **options: Any
    ) -> list[Completion | LloomError]: ...

    @overload
    async def call_many(
        self, asked: Iterable[Prompt], schema: object = None, n: int = 1, **options: Any
    ) -> list[Any]: ...

    async def call_many(
        self,
        asked: Iterable[Prompt],
        schema: object = None,
        n: int = 1,
        *,
        regex: str | None = None,
        system: str | None = None,
        cache: bool | str | Path = True,
        ledger: Ledger | None = None,
        retry: RetryPolicy | None = None,
        budget: float | None = None,
        **params: Any,
    ) -> list[Any]:
        """Ask several prompts or conversations at once; the other arguments are those of `call`.

        Args:
            asked: The prompts: a list, a column of a frame, or another iterable.
            schema: The format of each reply.
            n: How many replies to each.
            regex: The format as a pattern.
            system: The system message.
            cache: Use and store cached replies.
            ledger: Gets a row per attempt.
            retry: How often and how long to retry.
            budget: The most that this may cost, in US dollars; requests that would exceed it are not sent.
            **params: Generation parameters.

        Returns:
            Per prompt, in order, the `Completion` (a list of them for `n > 1`), or the last `LloomError`.

        Raises:
            InputError: When an argument cannot be used; nothing is spent.
        """
        if isinstance(asked, (str, Mapping, Set)) or not isinstance(asked, Iterable):
            kind = "one string" if isinstance(asked, str) else f"a {type(asked).__name__}"
            raise InputError(f"prompts must be a list of prompts, but is {kind}.")
        run = self._run(cache, ledger, retry, budget)
        call = self._call(schema, n, regex, system, None, params, run)
        found = await run_async(call_all(self.chat_models, [as_messages(part) for part in asked], call))
        return [
            replies if isinstance(replies, LloomError) else replies[0] if n == 1 else list(replies)
            for replies in found
        ]

    def _run(
        self,
        cache: bool | str | Path,
        ledger: Ledger | None,
        retry: RetryPolicy | None,
        budget: float | None,
    ) -> Run:
        models = self.chat_models
        unpriced = [model.label for model in models if model.cost is None]
        if budget is not None and unpriced:
            raise InputError(
                f"The price of {', '.join(unpriced)} is unknown, so budget= cannot be enforced. Give the "
                f"model its price: cost=(USD per input token, USD per output token), or cost=0 if it is free."
            )
        return Run(
            policy=RetryPolicy() if retry is None else retry,
            ledger=Ledger() if ledger is None else ledger,
            budget=None if budget is None else Budget(budget),
            store=open_journal(cache) if any(model.keeps_replies for model in models) else None,
        )

    def _call(
        self,
        schema: object,
        n: int,
        regex: str | None,
        system: str | None,
        on_chunk: OnChunk | None,
        params: dict[str, Any],
        run: Run,
    ) -> Call:
        given = with_params(params)
        for model in self.chat_models:
            model.check_params(given)
        if system is not None and not isinstance(system, str):
            raise InputError(f"system={system!r} must be text.")
        form = form_of(schema, regex=regex)
        return Call(form, whole_number(n, what="n"), StepSettings(given, system), on_chunk, run)


class SyncClient:
    """`call` and `call_many` for code that does not `await`; they take the same arguments."""

    def __init__(self, model: ClientMethods) -> None:
        self._model = model

    def call(self, asked: Prompt, schema: object = None, n: int = 1, **options: Any) -> Any:
        """As the model's `call`, without `await`."""
        return run_sync(self._model.call(asked, schema, n, **options))

    def call_many(
        self, asked: Iterable[Prompt], schema: object = None, n: int = 1, **options: Any
    ) -> list[Any]:
        """As the model's `call_many`, without `await`."""
        return run_sync(self._model.call_many(asked, schema, n, **options))


@dataclass(frozen=True, slots=True)
class Call:
    """What several calls have in common; the format of their replies is `form`."""

    form: Form | None
    n: int
    settings: StepSettings
    on_chunk: OnChunk | None
    run: Run

    def request(self, model: Model, messages: tuple[Message, ...]) -> ModelRequest:
        """The request that sends a prompt to a model."""
        if self.form is None:
            return build_request(model, messages, settings=self.settings)
        *before, last = messages
        content = f"{last['content']}\n\n{self.form.instruction}"
        return build_request(
            model,
            (*before, Message(role=last["role"], content=content)),
            schema=self.form.schema,
            regex=self.form.regex,
            settings=self.settings,
        )


async def call_all(
    models: Sequence[Model], asked: Sequence[tuple[Message, ...]], call: Call
) -> list[Replies]:
    """The replies to several prompts, each by the first of the models that can answer it.

    Must run on the event-loop thread.

    Raises:
        PaidCallRefused: When paid calls are refused.
    """
    found: list[Replies] = [()] * len(asked)

    async def ask(model: Model, positions: list[int], _: bool) -> LloomError | None:
        prompts = [_PromptReplies(model, asked[i], call) for i in positions]
        dispatcher = Dispatcher(model, _STEP, call.run, give_up_after=None)
        ended = await dispatcher.do(work for prompt in prompts for work in prompt.together())
        if ended is None:
            ended = await dispatcher.do(work for prompt in prompts for work in prompt.singles())
        for work, error in dispatcher.refused:
            work.fail(error)
        for i, prompt in zip(positions, prompts, strict=True):
            found[i] = prompt.replies(ended)
        return ended

    await ask_in_turn(
        models,
        len(asked),
        ask,
        is_open=lambda i: isinstance(found[i], LloomError) and not isinstance(found[i], BudgetReached),
        step=_STEP,
        label=lambda model: model.label,
    )
    return found


class _PromptReplies:
    """A prompt and the replies received so far."""

    def __init__(self, model: Model, messages: tuple[Message, ...], call: Call) -> None:
        self.model, self.call = model, call
        self.request = call.request(model, messages)
        self.error: LloomError | None = None
        self._found: dict[int, Completion] = {}

    def together(self) -> Iterable[Work[Any]]:
        """One request for all replies not in the cache, if there are several and the model supports that."""
        if self.call.n > 1 and self.model.many_generations:
            store = self.call.run.store if self.model.keeps_replies else None
            missing = [i for i in range(self.call.n) if store is None or store.get(self.key(i)) is None]
            if len(missing) > 1:
                yield _PromptWork(self, missing)

    def singles(self) -> Iterable[Work[Any]]:
        """A request for each reply that is still missing."""
        if self.error is None:
            yield from (_PromptWork(self, [i]) for i in range(self.call.n) if i not in self._found)

    def key(self, sample: int) -> str:
        """The cache key of one of the replies."""
        if self.call.run.store is None or not self.model.keeps_replies:
            return ""
        return request_key(self.model, self.request, sample=sample)

    def add(self, sample: int, reply: Completion) -> None:
        self._found[sample] = reply

    def replies(self, ended: LloomError | None) -> Replies:
        """All replies, or the error."""
        if self.error is None and ended is not None and len(self._found) < self.call.n:
            return ended
        return self.error or tuple(self._found[i] for i in range(self.call.n))


class _PromptWork(Work[list[Completion]]):
    """One request for one or several replies to a prompt."""

    def __init__(self, prompt: _PromptReplies, samples: Sequence[int]) -> None:
        self._prompt, self._samples = prompt, samples
        request, on_chunk = prompt.request, prompt.call.on_chunk
        if len(samples) > 1:
            request = replace(request, n=len(samples))
        if on_chunk is not None and prompt.model.streams:
            request = replace(request, on_chunk=_ending_on_error(on_chunk))
        self._request = request
        self.most_tokens = request.most_tokens
        self.out_tokens = request.n * min(_EXPECTED_TOKENS, self.most_tokens or _EXPECTED_TOKENS)

    def build(self) -> None:
        if len(self._samples) == 1:
            self.key = self._prompt.key(self._samples[0])

    def count_tokens(self) -> int:
        return self._prompt.model.count_tokens(self._request.text)

    def ready(self) -> Awaitable[None] | None:
        return self._prompt.model.ready_for(self._request)

    def send(self, problem: tuple[str, str] | None) -> Awaitable[Completion]:
        request = self._request
        return self._prompt.model.reply_to(request if problem is None else with_feedback(request, problem))

    def read(self, completion: Completion) -> list[Completion]:
        """The replies that can be used, at least one."""
        usable, problem = [], None
        for text, reason in completion.replies:
            try:
                parsed = self._parsed(text, reason)
            except BadAnswer as error:
                problem = problem or error
            else:
                usable.append(Completion(text, finish_reason=reason, parsed=parsed))
        if not usable and problem is not None:
            raise problem
        return usable

    def _parsed(self, text: str, finish_reason: str | None) -> object | None:
        form = self._prompt.call.form
        if form is None:
            return None
        if finish_reason == "length":
            raise BadAnswer(CUT_OFF)
        return form.read(text)

    def _accounted(self, replies: list[Completion]) -> list[Completion]:
        """The replies with model, time, tokens and cost; the first one has the tokens and cost of all."""
        request = self.request
        if request is None:
            return replies
        account, label, seconds = request.account, self._prompt.model.label, request.seconds
        is_reported = request.reply is not None and request.reply.in_tokens is not None
        first = replace(
            replies[0],
            in_tokens=account.in_tokens if is_reported else None,
            out_tokens=account.out_tokens if is_reported else None,
            usd=None if account.unpriced else account.usd,
            seconds=seconds,
            model=label,
        )
        none = 0 if is_reported else None
        others = [
            replace(reply, in_tokens=none, out_tokens=none, usd=0.0, seconds=seconds, model=label)
            for reply in replies[1:]
        ]
        return [first, *others]

    async def keep(self, answer: list[Completion], run: Run) -> None:
        if run.store is not None and self._prompt.model.keeps_replies:
            for sample, reply in zip(self._samples, self._accounted(answer), strict=False):
                key = self.key or self._prompt.key(sample)
                await run.store.put(key, reply, model=self._prompt.model.label, step=_STEP)

    def deliver(self, answer: list[Completion], *, kept: Completion | None = None) -> None:
        prompt, on_chunk = self._prompt, self._prompt.call.on_chunk
        if kept is not None:
            parsed, label = answer[0].parsed, prompt.model.label
            replies = [replace(kept, usd=0.0, seconds=0.0, parsed=parsed, model=label, cached=True)]
        else:
            replies = self._accounted(answer)
        if on_chunk is not None and (kept is not None or not prompt.model.streams):
            try:
                _ending_on_error(on_chunk)(replies[0].text)
            except CallbackFailed as error:
                self.fail(error)
                return
        for sample, reply in zip(self._samples, replies, strict=False):
            prompt.add(sample, reply)

    def fail(self, error: LloomError) -> None:
        self._prompt.error = self._prompt.error or error


def _ending_on_error(on_chunk: OnChunk) -> OnChunk:
    """The callback, with its errors as `CallbackFailed`: a retry would cost money and fail the same way."""

    def checked_callback(piece: str) -> None:
        try:
            on_chunk(piece)
        except Exception as error:
            raise CallbackFailed(
                f"The `on_chunk` callback raised {type(error).__name__}: {error}."
            ) from error

    return checked_callback
