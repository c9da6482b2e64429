"""The methods by which a model is used by itself: `call`, `call_many`, and their synchronous twins."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from text_lloom.errors import InputError, LloomError
from text_lloom.llm.completion import Completion
from text_lloom.llm.control.budget import Budget
from text_lloom.llm.control.retry import RetryPolicy
from text_lloom.llm.messages import Asked, as_messages
from text_lloom.llm.options import whole_number, with_params
from text_lloom.llm.runtime.event_loop import run_async, run_sync

if TYPE_CHECKING:
    from text_lloom.llm.control.usage import Ledger
    from text_lloom.llm.dispatch.calling import Outcome
    from text_lloom.llm.model import Model

__all__ = ["ClientMethods", "SyncClient"]

OnChunk: TypeAlias = Callable[[str], object]
Reply: TypeAlias = Completion | list[Completion]


class ClientMethods:
    """`call` and `call_many` for whatever has chat models."""

    @property
    @abstractmethod
    def chat_models(self) -> tuple[Model, ...]:
        """The models to ask, each for what the ones before it could not answer."""

    @property
    def sync(self) -> SyncClient:
        """The same methods for code that does not `await`: `model.sync.call(...)`."""
        return SyncClient(self)

    @overload
    async def call(
        self, asked: Asked, schema: object = None, n: Literal[1] = 1, **options: Any
    ) -> Completion: ...

    @overload
    async def call(self, asked: Asked, schema: object = None, n: int = 1, **options: Any) -> Any: ...

    async def call(
        self,
        asked: Asked,
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
            schema: The wanted form: a pydantic model or another type that pydantic understands, or a JSON
                schema as a mapping. The reply is validated, and asked for again if it does not fit; the
                value is in `Completion.parsed`.
            n: How many replies.
            regex: The wanted form as a pattern that the whole reply must match.
            system: The system message, instead of the model's own.
            on_chunk: Called with each piece of text as it arrives, on the models' thread; with the whole
                text where the provider does not stream. After a failed try the text starts again.
            cache: Use a reply that was kept for the same request, and keep this one; a path says where.
            ledger: Gets a row per attempt.
            retry: How often and how long to try.
            **params: Generation parameters, stronger than those of the model.

        Returns:
            The `Completion`; a list of them for `n > 1`. Tokens and cost (USD) include tries that had to be
            repeated; where one request gave several replies they stand at the first, so that sums are right.

        Raises:
            InputError: For what cannot be asked, such as an unknown parameter; nothing is spent.
            LloomError: When there is no (usable) reply.
        """
        return await run_async(
            _one_call(
                self,
                asked,
                schema,
                n,
                regex=regex,
                system=system,
                on_chunk=on_chunk,
                cache=cache,
                ledger=ledger,
                retry=retry,
                params=params,
            )
        )

    @overload
    async def call_many(
        self, asked: Iterable[Asked], schema: object = None, n: Literal[1] = 1, **options: Any
    ) -> list[Completion | LloomError]: ...

    @overload
    async def call_many(
        self, asked: Iterable[Asked], schema: object = None, n: int = 1, **options: Any
    ) -> list[Any]: ...

    async def call_many(
        self,
        asked: Iterable[Asked],
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
        """Ask several prompts or conversations at once; see `call`.

        Args:
            asked: The prompts: a list, a column of a frame, or whatever else gives one after the other.
            schema: As for `call`.
            n: How many replies to each.
            regex: As for `call`.
            system: As for `call`.
            cache: As for `call`.
            ledger: As for `call`.
            retry: As for `call`.
            budget: US dollars that this may cost; nothing is sent that would pass them.
            **params: As for `call`.

        Returns:
            Per prompt, in order, the `Completion` (a list of them for `n > 1`), or the `LloomError` that
            stood at the end.

        Raises:
            InputError: For what cannot be asked; nothing is spent.
        """
        return await run_async(
            _many_calls(
                self,
                asked,
                schema,
                n,
                regex=regex,
                system=system,
                cache=cache,
                ledger=ledger,
                retry=retry,
                budget=budget,
                params=params,
            )
        )


class SyncClient:
    """`call` and `call_many` for code that does not `await`."""

    def __init__(self, model: ClientMethods) -> None:
        self._model = model

    def call(
        self,
        asked: Asked,
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
        """See `CallMethods.call`."""
        return run_sync(
            _one_call(
                self._model,
                asked,
                schema,
                n,
                regex=regex,
                system=system,
                on_chunk=on_chunk,
                cache=cache,
                ledger=ledger,
                retry=retry,
                params=params,
            )
        )

    def call_many(
        self,
        asked: Iterable[Asked],
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
        """See `CallMethods.call_many`."""
        return run_sync(
            _many_calls(
                self._model,
                asked,
                schema,
                n,
                regex=regex,
                system=system,
                cache=cache,
                ledger=ledger,
                retry=retry,
                budget=budget,
                params=params,
            )
        )


def _one_call(
    model: ClientMethods, asked: object, schema: object, n: int, *, on_chunk: OnChunk | None, **options: Any
) -> Coroutine[Any, Any, Reply]:
    """One call, checked here and made when awaited."""
    if on_chunk is not None and not callable(on_chunk):
        raise InputError(f"on_chunk={on_chunk!r} must be a function of a text.")
    if on_chunk is not None and inspect.iscoroutinefunction(on_chunk):
        raise InputError("on_chunk must be a plain function: it is called for each piece and not awaited.")
    if on_chunk is not None and n != 1:
        raise InputError(f"on_chunk takes the pieces of one reply, but n={n!r}.")
    calls = _calls(model, [asked], schema, n, on_chunk=on_chunk, budget=None, **options)

    async def work() -> Reply:
        [outcome] = await calls
        if isinstance(outcome, LloomError):
            raise outcome
        return _given(outcome, n)

    return work()


def _many_calls(
    model: ClientMethods, asked: object, schema: object, n: int, **options: Any
) -> Coroutine[Any, Any, list[Reply | LloomError]]:
    """Several calls, checked here and made when awaited."""
    if isinstance(asked, (str, Mapping, Set)) or not isinstance(asked, Iterable):
        kind = "one string" if isinstance(asked, str) else f"a {type(asked).__name__}"
        raise InputError(f"prompts must be a list of prompts, but is {kind}.")
    calls = _calls(model, list(asked), schema, n, on_chunk=None, **options)

    async def work() -> list[Reply | LloomError]:
        return [o if isinstance(o, LloomError) else _given(o, n) for o in await calls]

    return work()


def _calls(
    model: ClientMethods,
    asked: list[object],
    schema: object,
    n: int,
    *,
    regex: str | None,
    system: str | None,
    on_chunk: OnChunk | None,
    cache: bool | str | Path,
    ledger: Ledger | None,
    retry: RetryPolicy | None,
    budget: float | None,
    params: dict[str, Any],
) -> Coroutine[Any, Any, list[Outcome]]:
    from text_lloom.llm.cache import open_journal
    from text_lloom.llm.control.usage import Ledger
    from text_lloom.llm.dispatch.calling import Calling, call_all
    from text_lloom.llm.dispatch.request_builder import StepSettings
    from text_lloom.llm.dispatch.step_state import Run
    from text_lloom.tasks.form import form_of

    models = model.chat_models
    given = with_params(params)
    for one in models:
        one.check_params(given)
    if system is not None and not isinstance(system, str):
        raise InputError(f"system={system!r} must be text.")
    unpriced = [one.label for one in models if one.cost is None]
    if budget is not None and unpriced:
        raise InputError(
            f"The price of {', '.join(unpriced)} is unknown, so budget= cannot be kept. Tell the model its "
            f"price: cost=(USD per input token, USD per output token), cost=0 if it is free."
        )
    run = Run(
        policy=RetryPolicy() if retry is None else retry,
        ledger=Ledger() if ledger is None else ledger,
        budget=None if budget is None else Budget(budget),
        store=open_journal(cache) if any(one.keeps_replies for one in models) else None,
    )
    n = whole_number(n, what="n")
    calling = Calling(form_of(schema, regex=regex), n, StepSettings(given, system), on_chunk, run)
    return call_all(models, [as_messages(part) for part in asked], calling)


def _given(outcome: tuple[Completion, ...], n: int) -> Reply:
    return outcome[0] if n == 1 else list(outcome)
