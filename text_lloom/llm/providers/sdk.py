"""Models that are called through a provider's own package: imported late, learning what is refused."""

from __future__ import annotations

import importlib
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from text_lloom.errors import FormRefused, InputError, MissingPackage, ModelSetupError, PermanentError
from text_lloom.llm.completion import Completion
from text_lloom.llm.control.capability_probe import SchemaSupport, refused_parameter, refuses_form
from text_lloom.llm.control.rate_limits import RateLimitSpec
from text_lloom.llm.control.retry import as_model_error
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import Model

__all__ = ["SdkModel", "checked_url", "imported", "key_from", "listed_at", "no_key"]


_LISTED_AT: Final[Mapping[str, str]] = {
    "azureopenai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertexai": "google",
    "xai": "x-ai",
}


class SdkModel(Model, ABC):
    """A model that is called through a package.

    A subclass says how it asks; this class remembers what the service refuses: parameters, which are left
    out from then on, and ways to ask for replies in a form, of which the next one is tried.

    """

    stays_on_loop = True
    streams = True
    learns = True
    ways: ClassVar[int]
    """How many ways there are to ask for a form, the last being in words alone."""

    def __init__(
        self,
        name: str,
        api_key: str | None,
        rate_limit: RateLimitSpec,
        context_window: int | None,
        cost: object,
        *,
        system_prompt: str | None,
        concurrency: int | None,
        timeout: float,
        params: dict[str, Any],
    ) -> None:
        super().__init__(
            name,
            None,
            None,
            api_key,
            rate_limit,
            context_window,
            cost,
            concurrency=concurrency,
            timeout=timeout,
            **params,
        )
        self.system_prompt = system_prompt
        self._schemas = SchemaSupport(self.ways)
        self._left_out: frozenset[str] = frozenset()

    @abstractmethod
    async def _ask(self, request: ModelRequest) -> Completion:
        """Answer one request, in one attempt, as far as it is known what the service takes."""

    def _way(self, request: ModelRequest) -> int:
        """How many ways to ask for the form of a request were refused; 0 asks in the strictest way."""
        return self._schemas.refused_for(request.schema)

    def _takes(self, name: str) -> bool:
        """Whether a parameter, as the service calls it, has not been refused."""
        return name not in self._left_out

    def _wire_name(self, name: str) -> str:
        """What the service calls a parameter."""
        return name

    async def complete(self, request: ModelRequest) -> Completion:
        _ = self.client
        before = (self._way(request), self._left_out)
        try:
            return await self._ask(request)
        except Exception as error:
            found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
            told = type(found) is PermanentError  # not of a key, a name, a length
            if told and self._learns(str(error), request, *before):
                raise FormRefused(str(found)) from None
            raise found from None

    def _learns(self, message: str, request: ModelRequest, way: int, left_out: frozenset[str]) -> bool:
        """Whether a refusal leaves something else to try."""
        if (way, left_out) != (self._way(request), self._left_out):
            return True  # another request has learned it meanwhile
        shaped = request.schema is not None or request.regex is not None
        if shaped and refuses_form(message) and self._schemas.refuse(message, request.schema, way):
            return True
        wire_names = {self._wire_name(name): name for name in request.params}
        refused = refused_parameter(message, [name for name in wire_names if self._takes(name)])
        if refused is None:
            return False
        self._left_out |= {refused}
        warnings.warn(
            f"Model {self.label!r} refuses the parameter {wire_names[refused]!r}, so it is left out.",
            stacklevel=2,
        )
        return True


def listed_at(provider: str) -> str:
    """The id in the price list of a provider as packages for many providers call it."""
    return _LISTED_AT.get(provider, provider)


def imported(module: str, *, extra: str, purpose: str) -> ModuleType:
    """A module of an optional package.

    Raises:
        MissingPackage: When it is not installed; says what to run.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = error.name or module
        if module.startswith(missing):
            raise MissingPackage(module, extra=extra, purpose=purpose) from None
        raise


def key_from(variables: Sequence[str], api_key: str | None, *, given_url: bool = False) -> str | None:
    """The key that was given, or that of the first of the variables that is set.

    The environment's key is for the provider's own address; with `given_url` it is not taken.

    Raises:
        InputError: When the key is no string.
    """
    if api_key is not None and not isinstance(api_key, str):
        raise InputError(f"api_key must be a string, but is {type(api_key).__name__}.")
    given = (api_key or "").strip()
    if given or given_url:
        return given or None
    return next((key for name in variables if (key := os.environ.get(name, "").strip())), None)


def checked_url(base_url: str | None, *, ending: str = "") -> str | None:
    """An address that was given, without the ending that the package adds itself.

    Raises:
        InputError: When it is no address.
    """
    if base_url is None:
        return None
    if not isinstance(base_url, str) or urlsplit(base_url).scheme not in ("http", "https"):
        raise InputError(f"base_url={base_url!r} must be an address such as http://localhost:8000.")
    return base_url.rstrip("/").removesuffix(ending)


def no_key(provider: str, variable: str) -> ModelSetupError:
    """The error that says which key is missing, and how to give it."""
    return ModelSetupError(
        f"No {provider} key was found. Set the environment variable {variable}, or pass api_key=. "
        f"(Without a key, the local engine runs: leave the models out.)"
    )
