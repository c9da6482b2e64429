"""What chat and embedding models share: name, key, client, limits, price."""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeAlias

from text_lloom.errors import InputError, LloomError, ModelSetupError
from text_lloom.llm.limits import RateLimit, RateLimitSpec, parse_rate_limit
from text_lloom.llm.numeric import positive_seconds, whole_number
from text_lloom.llm.params import with_params
from text_lloom.llm.pricing import Price, parse_cost
from text_lloom.llm.tokens import Calibration, count_tokens

__all__ = ["Service", "SetupFunction"]

SetupFunction: TypeAlias = Callable[[Any], Any]

_args_of_call: ContextVar[tuple[Service, Mapping[str, Any]] | None]
_args_of_call = ContextVar("args_of_call", default=None)


class _Secret:
    """A key that shows in no `repr`, log or traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "None" if self._value is None else "'***'"

    def reveal(self) -> str | None:
        return self._value

    def redact(self, text: str) -> str:
        return text.replace(self._value, "***") if self._value and len(self._value) >= 4 else text


class Service:
    """A named service with a client, a key, limits and a price."""

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
        """The key that was given."""
        return self._key.reveal()

    @property
    def client(self) -> Any:
        """What the setup function returned; it is called once, when first needed.

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
        """Have `args` give these parameters, too, to what runs inside the `with` block."""
        token = _args_of_call.set((self, {**self._args, **params}))
        try:
            yield
        finally:
            _args_of_call.reset(token)

    @property
    def label(self) -> str:
        """The name, or what the model is made of when it has none."""
        return self.name or f"{type(self).__name__.lower()}"

    @property
    def is_free(self) -> bool:
        """Whether calls are known to cost nothing."""
        return self.cost is not None and self.cost.input == 0 and self.cost.output == 0

    @property
    def limiter_key(self) -> tuple[str, str, str, RateLimit]:
        """What shares one limiter: provider, key, model and limits."""
        key = hashlib.sha256((self._key.reveal() or "").encode()).hexdigest()
        return (self.provider_key, key, self.name, self.limit)

    @property
    def provider_key(self) -> str:
        """Identifies the service that is called."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @property
    def parameters(self) -> Mapping[str, object]:
        """What shapes what comes back, besides the name and what is sent; results are kept apart by it."""
        return self._args

    def redact(self, text: str) -> str:
        """`text` without the key."""
        return self._key.redact(text)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text for this model.

        Exact if its vocabulary is at hand; otherwise an estimate, corrected by what the first replies
        reported for prompts of the same kind.
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
        raise TypeError(f"{type(self).__name__} holds an API key and a client, and is never pickled.")
