"""Base classes of models: chat models, embedding models, and solvers that need no prompt."""

from __future__ import annotations

import hashlib
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from text_lloom.errors import BadAnswer, InputError, LloomError, ModelSetupError, UnknownName
from text_lloom.llm.cache.keys import identity_of, surroundings_of
from text_lloom.llm.client import ClientMethods
from text_lloom.llm.completion import Completion, Embeddings, as_completion, as_embeddings
from text_lloom.llm.control.capability_probe import CapabilityProbe
from text_lloom.llm.control.prices import Price, known_cache_shares, parse_cost
from text_lloom.llm.control.rate_limits import RateLimit, RateLimitSpec, parse_rate_limit
from text_lloom.llm.control.tokens import Calibration, count_tokens
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.options import check_values, positive_seconds, whole_number, with_params
from text_lloom.llm.runtime.blocking import CallRunner

if TYPE_CHECKING:
    import random

    from text_lloom.llm.batches import BatchEndpoint
    from text_lloom.llm.control.retry import RetryPolicy
    from text_lloom.tasks import Task

__all__ = [
    "EmbedModel",
    "Embedder",
    "Model",
    "ModelBase",
    "OneTextAtATime",
    "SetupFunction",
    "Solver",
]

SetupFunction: TypeAlias = Callable[[Any], Any]

_args_of_call: ContextVar[tuple[ModelBase, Mapping[str, Any]] | None]
_args_of_call = ContextVar("args_of_call", default=None)


class _Secret:
    """A key that does not appear in `repr`, logs or tracebacks."""

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "None" if self._value is None else "'***'"

    def reveal(self) -> str | None:
        return self._value

    def redact(self, text: str) -> str:
        return text.replace(self._value, "***") if self._value and len(self._value) >= 4 else text


class ModelBase:
    """Base of `Model` and `EmbedModel`: name, client, key, limits and price."""

    loads_on_thread: ClassVar[bool] = False
    """Whether setting up takes so long that it must not run on the event loop."""
    _runner: CallRunner[Any] | None = None

    def __init__(
        self,
        name: str,
        setup_fn: SetupFunction | None,
        api_key: str | None,
        rate_limit: RateLimitSpec,
        context_window: int | None,
        cost: object,
        concurrency: int | None,
        timeout: float,
        args: dict[str, Any],
    ) -> None:
        if not isinstance(name, str):
            raise InputError(f"A model's name must be a string, but is {type(name).__name__}.")
        self.name = name
        self.setup_fn = setup_fn
        self.rate_limit = rate_limit
        self.context_window: int | None = (
            None if context_window is None else whole_number(context_window, what="context_window")
        )
        self.cost: Price | None = parse_cost(cost)
        self.timeout = positive_seconds(timeout, what="timeout")
        wait, self.redis_url = args.pop("wait_timeout", None), args.pop("redis_url", None)
        self.wait_timeout = None if wait is None else positive_seconds(wait, what="wait_timeout")
        self._args = with_params(args)
        self.calibration = Calibration()
        limit = parse_rate_limit(rate_limit)
        if concurrency is not None:
            limit = replace(limit, concurrency=whole_number(concurrency, what="concurrency"))
        self.limit = limit
        self._key = _Secret(api_key)
        self._client: Any = None
        self._is_set_up = False
        self._setup_lock = threading.Lock()

    @property
    def api_key(self) -> str | None:
        """The API key, as it was given."""
        return self._key.reveal()

    @property
    def client(self) -> Any:
        """What the setup function returns; it is called once, when the client is first needed.

        Raises:
            ModelSetupError: When the setup function fails.
        """
        with self._setup_lock:
            if not self._is_set_up:
                self._client = self._set_up()
                self._is_set_up = True
        return self._client

    @property
    def args(self) -> Mapping[str, Any]:
        """The arguments for the call function; during a call, with the parameters of that call."""
        of_call = _args_of_call.get()
        return of_call[1] if of_call is not None and of_call[0] is self else self._args

    @contextmanager
    def called_with(self, params: Mapping[str, object]) -> Iterator[None]:
        """Add these parameters to `args` inside the `with` block."""
        token = _args_of_call.set((self, {**self._args, **params}))
        try:
            yield
        finally:
            _args_of_call.reset(token)

    @property
    def label(self) -> str:
        """The name, or the name of the class if the model has no name."""
        return self.name or f"{type(self).__name__.lower()}"

    @property
    def is_free(self) -> bool:
        """Whether calls are known to cost nothing."""
        return self.cost is not None and self.cost.input == 0 and self.cost.output == 0

    def usd_of(self, in_tokens: int, out_tokens: int, *, cached: int = 0, written: int = 0) -> float | None:
        """What a call costs in US dollars, `None` when the price is unknown.

        Args:
            in_tokens: Tokens of the prompt.
            out_tokens: Tokens of the reply.
            cached: Those of the prompt that the provider read from its cache.
            written: Those of the prompt that it wrote to its cache.
        """
        if self.cost is None:
            return None
        if cached or written:
            shares = known_cache_shares(self.name)
            in_price = self.cost.input
            extra = (cached * (shares.read - 1) + written * (shares.write - 1)) * in_price
            return self.cost.of(in_tokens, out_tokens) + extra
        return self.cost.of(in_tokens, out_tokens)

    @property
    def blocking_threads(self) -> int | None:
        """How many calls can run at once if each one blocks a thread; `None` if calls do not block."""
        return self._runner.threads if self._runner is not None and self._runner.blocking else None

    @property
    def limiter_key(self) -> tuple[str, str, str, RateLimit]:
        """Models with the same provider, key, name and limits share one limiter."""
        key = hashlib.sha256((self._key.reveal() or "").encode()).hexdigest()
        return (self.provider_key, key, self.name, self.limit)

    @property
    def provider_key(self) -> str:
        """Identifies the provider, or the function that is called."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @property
    def parameters(self) -> Mapping[str, object]:
        """What else replies depend on, besides the name and the request; part of the cache key."""
        return self._args

    def redact(self, text: str) -> str:
        """`text` without the key."""
        return self._key.redact(text)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text for this model.

        Exact if its tokenizer is installed; otherwise an estimate, corrected by the token counts that the
        first replies reported.
        """
        return round(count_tokens(text, self.name) * self.calibration.factor)

    def _set_up(self) -> Any:
        if self.setup_fn is None:
            return None
        try:
            client = self.setup_fn(self._key.reveal())
        except LloomError:
            raise
        except Exception as error:
            reason = self.redact(f"{type(error).__name__}: {error}")
            raise ModelSetupError(
                f"The setup function of model {self.label!r} failed with {reason}. It is called with the "
                f"API key and must return the client (or None)."
            ) from None
        if inspect.iscoroutine(client):
            client.close()
            raise ModelSetupError(
                f"The setup function of model {self.label!r} is async; it must be a plain function that "
                f"returns the client (or None)."
            )
        return client

    def __repr__(self) -> str:
        shown = [repr(self.name)]
        if self.rate_limit is not None:
            shown.append(f"rate_limit={self.rate_limit!r}")
        if self.cost is not None:
            shown.append(f"cost=({self.cost.input:g}, {self.cost.output:g})")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self) -> object:
        raise TypeError(
            f"{type(self).__name__} holds an API key and a client, so it cannot be pickled. Create the model "
            f"anew in each process."
        )


CallFunction: TypeAlias = Callable[["Model", str], Any | Awaitable[Any]]
EmbedFunction: TypeAlias = Callable[["EmbedModel", list[str]], Any | Awaitable[Any]]

_BLOCKING_THREADS = 64
_EMBED_THREADS = 1
_MOST_IN_FLIGHT = 1024


class Model(ModelBase, ClientMethods):
    """A language model, made of a setup function and a call function.

    Args:
        name: Name of the model, for the call function and for prices.
        setup_fn: `setup_fn(api_key)` returns the client (or `None`); called once, before the first call.
        fn: `fn(model, prompt)` returns `(text, (in_tokens, out_tokens))`, or the text alone. It may be
            async, plain, or async around a blocking client; blocking calls run on worker threads.
        api_key: Passed to the setup function.
        rate_limit: `(requests, seconds)`, or anything that `RateLimitSpec` allows.
        context_window: In tokens; longer documents are cut to fit.
        cost: USD per token: `(input, output)`, or one number for both. `None` = unknown.
        concurrency: The largest number of calls in flight. `None` adapts to the provider.
        timeout: Seconds after which a call is cancelled and tried again.
        **args: `wait_timeout`, `redis_url` and `params` are as in `CallOptions`. All else is kept in
            `model.args` for the call function, and can be set per operator and per call.
    """

    keeps_replies: ClassVar[bool] = True
    """Whether replies may be cached."""
    many_generations: bool = False
    """Whether `complete` understands a request for several replies (`request.n > 1`)."""
    streams: ClassVar[bool] = False
    """Whether `complete` calls `request.on_chunk`."""
    stays_on_loop: ClassVar[bool] = False
    """Whether `complete` is async and never blocks, so that it needs no check for blocking."""
    constrains: ClassVar[bool] = False
    """Whether decoding is constrained in this process, where a schema per shape of question costs little."""
    learns: ClassVar[bool] = False
    """Whether `complete` remembers what the server refuses; the first request of each kind is sent alone."""
    generation_params: frozenset[str] | None = None
    """Names that `request.params` may have; `None` for any."""
    system_prompt: str | None = None
    """The system message of requests that have none."""

    def __init__(
        self,
        name: str = "",
        setup_fn: SetupFunction | None = None,
        fn: CallFunction | None = None,
        api_key: str | None = None,
        rate_limit: RateLimitSpec = None,
        context_window: int | None = None,
        cost: object = None,
        *,
        concurrency: int | None = None,
        timeout: float = 120.0,
        **args: Any,
    ) -> None:
        super().__init__(
            name, setup_fn, api_key, rate_limit, context_window, cost, concurrency, timeout, args
        )
        if fn is not None and not callable(fn):
            raise InputError(f"fn must be a function of (model, prompt), but is {type(fn).__name__}.")
        if fn is None and type(self).complete is Model.complete:
            raise InputError(
                "A Model needs fn=, a function of (model, prompt). A subclass can define complete() instead."
            )
        self.fn = fn
        self._probe = CapabilityProbe()
        self._around = surroundings_of(fn)
        threads = self.limit.concurrency or _BLOCKING_THREADS
        self._runner: CallRunner[Any] | None = None if fn is None else CallRunner(fn, threads=threads)
        self._completing: CallRunner[Any] | None = None
        if type(self).complete is not Model.complete and not self.stays_on_loop:
            self._completing = CallRunner(type(self).complete, threads=threads)
        if self.generation_params is not None:
            self.check_params(self._args)

    async def complete(self, request: ModelRequest) -> Completion:
        """Answer one request, in one attempt.

        A subclass may define it as `async def`, or as a plain `def`, which then runs on worker threads. It
        may return a `Completion`, a text, or `(text, (in_tokens, out_tokens))`.

        Args:
            request: The conversation, the format of the reply, the parameters.

        Raises:
            FormRefused: When the server refuses a feature of the request, and `complete` will do without it
                the next time.
            ModelError: Or any other error of the call function; the dispatcher decides what to do.
        """
        _ = self.client
        if self._runner is None:
            raise InputError(f"Model {self.label!r} has no call function.")
        with self.called_with(request.params):
            return as_completion(await self._runner(self, request.text))

    def reply_to(self, request: ModelRequest) -> Awaitable[Completion]:
        """The reply of `complete`, whether a subclass defines it as async or plain."""
        if self.sends_ahead:
            return self._probe.ahead(_kind_of(request), lambda: self._reply_to(request))
        return self._reply_to(request)

    @property
    def sends_ahead(self) -> bool:
        """Whether the first request of each kind is sent alone; never under a rate limit."""
        return self.learns and not self.limit.windows

    def ready_for(self, request: ModelRequest) -> Awaitable[None] | None:
        """Waits for the first request of this kind, before the rate limiter is asked for a start."""
        return self._probe.wait(_kind_of(request)) if self.sends_ahead else None

    def _reply_to(self, request: ModelRequest) -> Awaitable[Completion]:
        if self._completing is None:
            return self.complete(request)
        return self._completed_by(self._completing, request)

    async def _completed_by(self, runner: CallRunner[Any], request: ModelRequest) -> Completion:
        reply = await runner(self, request)
        return reply if type(reply) is Completion else as_completion(reply)

    @property
    def params(self) -> Mapping[str, object]:
        """The default generation parameters of requests to this model."""
        return self._args

    @property
    def accepted_params(self) -> frozenset[str] | None:
        """Parameters that requests may set; with a call function those in `args`. `None` for any."""
        if self.generation_params is None and type(self).complete is Model.complete:
            return frozenset(self._args)
        return self.generation_params

    def check_params(self, given: Mapping[str, object]) -> None:
        """Refuse generation parameters that this model does not have, and invalid values.

        Raises:
            InputError: Names the nearest parameter, or says what the value must be.
        """
        accepted = self.accepted_params
        if self.generation_params is not None:
            check_values(given)
        for name in given:
            if accepted is None or name in accepted:
                continue
            if accepted:
                raise UnknownName(name, sorted(accepted), what=f"parameter of model {self.label!r}:")
            raise InputError(
                f"Model {self.label!r} has no parameter {name!r}. Its call function reads parameters from "
                f"model.args; give it a value there first: Model(…, {name}={given[name]!r})."
            )

    @property
    def parameters(self) -> Mapping[str, object]:
        return {"around": self._around} if self._around else {}

    def batch_endpoint(self, *, policy: RetryPolicy, jitter: random.Random) -> BatchEndpoint | None:
        """The Batch API of this model; `None` if it has none.

        Args:
            policy: How often to retry a call.
            jitter: Draws the waits between retries.
        """
        return None

    @property
    def chat_models(self) -> tuple[Model, ...]:
        return (self,)

    @property
    def blocking_threads(self) -> int | None:
        runner = self._completing
        return runner.threads if runner is not None and runner.blocking else super().blocking_threads

    @property
    def provider_key(self) -> str:
        if self.fn is not None:
            return identity_of(self.fn)
        return super().provider_key if self._completing is None else identity_of(type(self).complete)


def _kind_of(request: ModelRequest) -> Hashable:
    """The features of a request that a server may refuse."""
    return (request.schema is None, request.regex is None, frozenset(request.params))


class OneTextAtATime(LloomError):
    """An embedding function that takes one text at a time got several."""


class Embedder(ABC):
    """Anything that turns texts into vectors."""

    name: str

    @abstractmethod
    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of one batch of texts, in one attempt."""


class EmbedModel(ModelBase, Embedder):
    """An embedding model, made of a setup function and a call function.

    Args:
        name: Name of the model.
        setup_fn: `setup_fn(api_key)` returns the client (or `None`).
        fn: `fn(model, texts)` gets a list of texts and returns `(vectors, tokens)`, or the vectors alone,
            as lists or an array. If it fails on a list, it is called with one text at a time.
        api_key: Passed to the setup function.
        batch_size: The largest number of texts in one call.
        rate_limit: See `CallOptions`, also for the next four.
        cost: US dollars per token.
        context_window: In tokens; longer texts are cut.
        concurrency: The largest number of calls in flight; 1 by default, because many local models
            are not thread-safe.
        timeout: Seconds after which a call is cancelled and tried again.
        **args: As for `Model`; kept in `model.args` for the call function.
    """

    counts_tokens: ClassVar[bool] = True
    """Whether tokens are counted before texts are sent, for limits and budgets."""

    def __init__(
        self,
        name: str = "",
        setup_fn: SetupFunction | None = None,
        fn: EmbedFunction | None = None,
        api_key: str | None = None,
        batch_size: int = 2048,
        rate_limit: RateLimitSpec = None,
        cost: object = None,
        context_window: int | None = None,
        *,
        concurrency: int | None = None,
        timeout: float = 600.0,
        **args: Any,
    ) -> None:
        super().__init__(
            name, setup_fn, api_key, rate_limit, context_window, cost, concurrency, timeout, args
        )
        if fn is not None and not callable(fn):
            raise InputError(f"fn must be a function of (model, texts), but is {type(fn).__name__}.")
        if fn is None and type(self).embed_batch is EmbedModel.embed_batch:
            raise InputError("An EmbedModel needs fn=, a function of (model, texts).")
        self.fn = fn
        self.batch_size = whole_number(batch_size, what="batch_size")
        threads = self.limit.concurrency or _EMBED_THREADS
        self.limit = RateLimit(self.limit.windows, threads, self.limit.ceiling)
        self._runner: CallRunner[Any] | None = None if fn is None else CallRunner(fn, threads=threads)
        self._one_by_one = False

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of one batch of texts, in one attempt.

        Raises:
            OneTextAtATime: When the call function takes one text, and there are several.
        """
        _ = self.client
        if self._runner is None:
            raise InputError(f"Model {self.label!r} has no call function.")
        if not self._one_by_one:
            try:
                found = as_embeddings(await self._runner(self, list(texts)), len(texts))
            except (TypeError, AttributeError):
                found = None
            if found is not None:
                return found
            self._one_by_one = True
        if len(texts) > 1:
            raise OneTextAtATime(f"Embedding model {self.label!r} takes one text at a time.")
        found = as_embeddings(await self._runner(self, texts[0]), 1)
        if found is None:
            self._one_by_one = False
            raise BadAnswer(
                f"The call function of embedding model {self.label!r} returned neither one vector per text "
                f"nor one vector for one text. It must return one vector per text."
            )
        return found

    @property
    def window(self) -> int | None:
        """The longest text that is not cut, in tokens; `None` if unknown."""
        return self.context_window

    @property
    def provider_key(self) -> str:
        fn = self.fn
        return super().provider_key if fn is None else identity_of(fn)


class Solver(ABC):
    """A free model that answers tasks from their fields, without a prompt."""

    keeps_results: ClassVar[bool] = False
    """Whether its results are cached, as the replies of a server are."""
    name: str

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @abstractmethod
    def can_solve(self, task_type: type[Task[Any]]) -> bool:
        """Whether this model answers tasks of that type."""

    def can_answer(self, task: Task[Any]) -> bool:
        """Whether this model answers that task; if not, the next of several models gets it."""
        return self.can_solve(type(task))

    @abstractmethod
    def solve(self, tasks: Sequence[Task[Any]]) -> list[object]:
        """One answer per task, of the type that the task asks for."""
