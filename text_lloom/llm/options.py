"""Options of models: what every model takes as keywords, generation parameters, numbers as users write them.

A constructor takes `**options: Unpack[ModelOptions]`, which editors and type checkers read, and is decorated
by `expand_options`, which writes the same names into its `__signature__`, because `help`, IPython and Jupyter
show that and know nothing of `Unpack`.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypedDict, TypeVar, cast
from urllib.parse import urlsplit

from text_lloom.errors import InputError, ModelSetupError, UnknownName

__all__ = [
    "COMMON_PARAMS",
    "NO_KEY",
    "SYSTEM_PROMPT",
    "CallOptions",
    "EmbedOptions",
    "ModelOptions",
    "as_params",
    "check_values",
    "checked_key",
    "checked_url",
    "expand_options",
    "finite_number",
    "generation_params",
    "key_from",
    "missing_key",
    "positive_seconds",
    "whole_number",
    "with_params",
]

F = TypeVar("F", bound=Callable[..., None])

_SECONDS: Final = 120.0
"""The timeout of a call, unless a class sets another one."""
_NEARLY: Final = 0.8
"""How alike a name must be to a known one to be refused as misspelt."""

SYSTEM_PROMPT: Final = "You are careful and exact, and answer in the form that is asked for."
"""The system message of models of providers, unless another one is given."""


class CallOptions(TypedDict, total=False):
    """Options of every model: limits, price, time.

    Attributes:
        rate_limit: `(requests, seconds)`, or anything that `RateLimitSpec` allows.
        context_window: In tokens; longer texts are cut to fit. When not given: that of the price list, or of
            the model's own files.
        cost: US dollars per token: `(input, output)`, or one number for both. When not given: that of the
            price list; 0 on the user's own machines; otherwise unknown.
        concurrency: The largest number of calls in flight; `None` adapts to the provider (of an embedding
            model: one at a time).
        timeout: Seconds after which a call is given up and tried again.
        wait_timeout: The longest wait for a start under the rate limit, in seconds; `None` sets no end.
        redis_url: A Redis through which processes share the rate limit.
        params: What else is sent with every call, as names and values. Each may be a keyword of its own.
    """

    rate_limit: object
    context_window: int | None
    cost: object
    concurrency: int | None
    timeout: float
    wait_timeout: float | None
    redis_url: str | None
    params: Mapping[str, object] | None


class ModelOptions(CallOptions, total=False):
    """Options of every chat model: those of `CallOptions`, and generation parameters.

    A generation parameter holds for every call unless an operator or a call says otherwise. A name that the
    model does not have is refused, `None` leaves a parameter out, and `COMMON_PARAMS` says what each does.
    """

    temperature: float | None
    top_p: float | None
    top_k: int | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    reasoning_effort: str | None


class EmbedOptions(CallOptions, total=False):
    """Options of every embedding model: those of `CallOptions`, and what is particular to vectors.

    Attributes:
        batch_size: The largest number of texts in one call.
        dimensions: Length of the vectors, of models that can shorten them.
    """

    batch_size: int
    dimensions: int | None


def generation_params(kind: Any, *, lacking: Iterable[str] = ()) -> frozenset[str]:
    """Names of the generation parameters among some options, without those that a provider lacks."""
    return frozenset(kind.__annotations__) - frozenset(CallOptions.__annotations__) - frozenset(lacking)


def expand_options(kind: Any, *, hidden: Iterable[str] = (), **defaults: object) -> Callable[[F], F]:
    """Decorates a constructor that takes `**options: Unpack[kind]`.

    It fills in defaults, refuses a name that is nearly a known one, and shows all names in the signature.

    Args:
        kind: `ModelOptions`, `EmbedOptions`, or a `TypedDict` made from one of them.
        hidden: Options that the signature leaves out, as few people need them.
        **defaults: Options that this class sets unless the user does.
    """

    def decorate(init: F) -> F:
        usual: dict[str, object] = {"timeout": _SECONDS, **defaults}

        @functools.wraps(init)
        def with_defaults(self: object, *args: Any, **options: Any) -> None:
            for name in options:
                if name not in known and get_close_matches(name, known, n=1, cutoff=_NEARLY):
                    raise UnknownName(name, known, what=f"argument of {type(self).__name__}:")
            together = options.get("params")
            names = usual.keys() - (together.keys() if isinstance(together, Mapping) else ())
            init(self, *args, **{**{name: usual[name] for name in names}, **options})

        shown = inspect.signature(init)
        own = [p for p in shown.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        known = [*(p.name for p in own[1:]), *kind.__annotations__]
        listed = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=usual.get(name),
                annotation=getattr(annotation, "__forward_arg__", annotation),
            )
            for name, annotation in kind.__annotations__.items()
            if name not in hidden
        ]
        others = inspect.Parameter("others", inspect.Parameter.VAR_KEYWORD, annotation="object")
        vars(with_defaults)["__signature__"] = shown.replace(parameters=[*own, *listed, others])
        return cast(F, with_defaults)

    return decorate


def finite_number(value: object) -> float | None:
    """The number, or `None` for anything else than a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def whole_number(value: object, *, what: str, least: int = 1) -> int:
    """A whole number of at least `least`, as Python's `int`; also of one that is written as 3.0.

    Raises:
        InputError: When it is something else; names `what`.
    """
    number: int | None = None
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
    elif (real := finite_number(value)) is not None and real.is_integer():
        number = int(real)
    if number is None or number < least:
        raise InputError(f"{what}={value!r} must be a whole number of at least {least}.")
    return number


def positive_seconds(value: object, *, what: str) -> float:
    """A time above 0, as Python's `float`.

    Raises:
        InputError: When it is something else; names `what`.
    """
    seconds = finite_number(value)
    if seconds is None or seconds <= 0:
        raise InputError(f"{what}={value!r} must be a positive number of seconds.")
    return seconds


def check_values(given: Mapping[str, object]) -> None:
    """Refuse values that no provider takes, before any is asked; `None` leaves a parameter out.

    Raises:
        InputError: Says what the value must be.
    """
    for name, value in given.items():
        known = _PARAMETERS.get(name)
        if value is not None and known is not None and not known.fits(value):
            raise InputError(f"{name}={value!r} must be {known.wanted}.")


def _number(low: float, high: float = math.inf) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        number = finite_number(value)
        return number is not None and low <= number <= high

    return fits


def _whole(low: float) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        number = finite_number(value)
        return number is not None and number.is_integer() and number >= low

    return fits


def _are_texts(value: object) -> bool:
    texts = [value] if isinstance(value, str) else value
    return isinstance(texts, (list, tuple)) and all(isinstance(text, str) and text for text in texts)


class _Parameter(NamedTuple):
    """What a generation parameter does, which values it can have, and the words for these."""

    purpose: str
    fits: Callable[[object], bool]
    wanted: str


_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    "temperature": _Parameter("how varied replies are; 0 is the least", _number(0), "a number of at least 0"),
    "top_p": _Parameter(
        "sample among the likeliest tokens that together have this probability",
        _number(0, 1),
        "a number from 0 to 1",
    ),
    "top_k": _Parameter("sample among this many of the likeliest tokens", _whole(-1), "a whole number"),
    "max_tokens": _Parameter("longest reply, in tokens", _whole(1), "a whole number of at least 1"),
    "stop": _Parameter("texts that end a reply", _are_texts, "a text or a list of texts, none of them empty"),
    "seed": _Parameter("seed of sampling, where the provider has one", _whole(-math.inf), "a whole number"),
    "presence_penalty": _Parameter(
        "above 0: fewer tokens that have occurred", _number(-math.inf), "a number"
    ),
    "frequency_penalty": _Parameter(
        "above 0: fewer tokens that have occurred often", _number(-math.inf), "a number"
    ),
    "reasoning_effort": _Parameter(
        "how long a reasoning model may think",
        lambda value: isinstance(value, str),
        "a word, such as 'low'",
    ),
}
COMMON_PARAMS: Final[Mapping[str, str]] = MappingProxyType(
    {name: parameter.purpose for name, parameter in _PARAMETERS.items()}
)
"""Parameters that providers share under one name, with what they do."""


def as_params(given: object, *, what: str = "params") -> dict[str, Any]:
    """Parameters as a user gives them.

    Raises:
        InputError: When they are not names and values.
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InputError(f"{what}={given!r}: expected names and values, such as {{'temperature': 0.3}}.")
    return dict(given)


def with_params(args: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments, with those that were given together as `params={…}`.

    Raises:
        InputError: When one is given in both ways.
    """
    given = args.pop("params", None)
    if given is None:
        return args
    together = as_params(given)
    if twice := sorted(set(args) & set(together)):
        raise InputError(f"The parameter {twice[0]!r} is given twice, by itself and in params.")
    return args | together


_NO_PART_OF_A_KEY: Final = re.compile(
    r"((?:authorization\s*:\s*)?bearer(?:\s+|\Z)|authorization\s*:|(?:x-)?api-key\s*:|"
    r"(?:export\s+)?[A-Z][A-Z_]*_(?:KEY|TOKEN)\s*=|\$\{?(?=[A-Z_])|os\.environ)",
    re.IGNORECASE,
)
"""What stands before a key in headers, shell files and configurations."""
_QUOTES: Final = frozenset("'\"`")
_CONTROLS: Final = {"\n": "a line end", "\r": "a line end", "\t": "a tab", "\0": "a NUL character"}
NO_KEY: Final = "EMPTY"
"""The key that is sent when there is none: servers on the user's machines take any."""


def key_from(variables: Sequence[str], api_key: str | None, *, is_elsewhere: bool = False) -> str | None:
    """The key that was given, or that of the first of the environment variables that is set.

    Args:
        variables: Environment variables of the provider.
        api_key: The key that was given, if any.
        is_elsewhere: The address is not the provider's own, so that no key of the environment may go there.

    Raises:
        InputError: When the key is not a string, or has characters that no key has.
    """
    if api_key is not None and not isinstance(api_key, str):
        raise InputError(f"api_key must be a string, but is {type(api_key).__name__}.")
    given = checked_key(api_key, "api_key=")
    if given or is_elsewhere:
        return given
    found = ((name, os.environ.get(name, "").strip()) for name in variables)
    return next((checked_key(key, f"The environment variable {name}") for name, key in found if key), None)


def checked_key(key: str | None, source: str) -> str | None:
    """A key without the white space around it, `None` for none; never shown in a message.

    Args:
        key: The key.
        source: Where it comes from, for messages.

    Raises:
        InputError: When it has what people copy along with a key, or what no key has; names the character.
    """
    if not isinstance(key, str) or not (stripped := key.strip()):
        return None
    advice = "Copy the key again, without anything around it."
    if (prefix := _NO_PART_OF_A_KEY.match(stripped)) is not None:
        raise InputError(f"{source} begins with {prefix[1].strip()!r}, which is no part of a key. {advice}")
    for position, character in enumerate(stripped, 1):
        if character in _QUOTES or not "!" <= character <= "~":
            shown = unicodedata.name(character, _CONTROLS.get(character, "a control character"))
            raise InputError(
                f"{source} has {shown} (U+{ord(character):04X}) as its {_ordinal(position)} of "
                f"{len(stripped)} characters, which no key has. {advice}"
            )
    return stripped


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def missing_key(provider: str, variables: Sequence[str]) -> ModelSetupError:
    """The error that says which key is missing, and how to give it."""
    variable = variables[0] if variables else "…"
    return ModelSetupError(
        f"No {provider} key was found. Set the environment variable {variable}, or pass api_key=. "
        f"(Without a key, the local engine runs: leave the models out.)"
    )


def checked_url(base_url: str | None, *, ending: str = "") -> str | None:
    """An address that was given, without the ending that the package adds itself.

    Raises:
        InputError: When it is not an address.
    """
    if base_url is None:
        return None
    if not isinstance(base_url, str) or urlsplit(base_url).scheme not in ("http", "https"):
        raise InputError(
            f"base_url={base_url!r} must be an address such as http://localhost:8000; leave it out for the "
            f"usual one."
        )
    return base_url.rstrip("/").removesuffix(ending)
