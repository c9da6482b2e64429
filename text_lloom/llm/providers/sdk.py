"""Models that are called through a provider's own package: imported late, learning what is refused."""

from __future__ import annotations

import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Final

from text_lloom.errors import FormRefused, MissingPackage, PermanentError
from text_lloom.llm.completion import Completion, Embeddings, in_order
from text_lloom.llm.control.capability_probe import (
    SchemaSupport,
    may_refuse,
    refused_parameter,
    refuses_form,
)
from text_lloom.llm.control.prices import known_context_window, known_price
from text_lloom.llm.control.retry import as_model_error
from text_lloom.llm.control.wordings import says
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import Model
from text_lloom.llm.options import CallOptions
from text_lloom.llm.providers.openai_formats import ANSWER_FORMATS, FORMATS

__all__ = ["SdkModel", "add_list_price", "embeddings_of", "imported", "read_stream"]

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
"""Ids in the price list of providers that packages for many providers call something else."""


class SdkModel(Model, ABC):
    """A model that is called through a package.

    A subclass says how it asks; this class remembers what the service refuses: parameters, which are left
    out from then on, and ways to ask for replies in a form, of which the next one is tried.
    """

    stays_on_loop = True
    streams = True
    learns = True

    def __init__(self, name: str, api_key: str | None, *, system_prompt: str | None, **options: Any) -> None:
        super().__init__(name, api_key=api_key, **options)
        self.system_prompt = system_prompt
        self._schemas = SchemaSupport(len(ANSWER_FORMATS))
        self._left_out: frozenset[str] = frozenset()
        self._takes_system = True

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

    def _chat_arguments(self, model: str, request: ModelRequest) -> dict[str, Any]:
        """Arguments for a package whose functions take what OpenAI's chat endpoint takes."""
        params = {name: value for name, value in request.params.items() if self._takes(name)}
        answer_format = ANSWER_FORMATS[self._way(request)]
        taken = replace(request, params=params)
        body = FORMATS["chat"].body(model, taken, answer_format=answer_format, longest="max_tokens")
        return body | {"messages": [dict(message) for message in request.messages]}

    async def complete(self, request: ModelRequest) -> Completion:
        _ = self.client
        before = (self._way(request), self._left_out)
        if not self._takes_system:
            request = request.without_system()
        try:
            return await self._ask(request)
        except Exception as error:
            found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
            said = str(error)
            if request.system is not None and may_refuse(found, error) and says("no system role", said):
                self._takes_system = False
                raise FormRefused(str(found)) from None
            told = type(found) is PermanentError  # not of a key, a name, a length
            if told and self._learns(said, request, *before):
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


async def read_stream(chunks: AsyncIterable[Any], on_chunk: Callable[[str], object]) -> Completion:
    """The reply in a stream of chunks as OpenAI's chat endpoint sends them; hands on each piece of text."""
    pieces = FORMATS["chat"].pieces()
    async for chunk in chunks:
        if piece := pieces.add(chunk.model_dump()):
            on_chunk(piece)
    return pieces.completion()


def embeddings_of(rows: Sequence[tuple[int | None, Any]], n: int, tokens: int | None) -> Embeddings:
    """Vectors from rows of `(index, vector)`, in the order of the `n` texts; raises as `in_order`."""
    import numpy as np

    return Embeddings(np.asarray(in_order(rows, n), dtype=np.float32), tokens or None)


def add_list_price(options: CallOptions, model: str, provider: str | None) -> None:
    """Fill in price and context window from the price list, where the user gives none.

    Args:
        options: The options of a model.
        model: Its name in the price list.
        provider: The provider, by its id in the price list or as packages for many providers call it;
            `None` for whichever has the model.
    """
    listed_at = None if provider is None else _LISTED_AT.get(provider, provider)
    if options.get("cost") is None:
        options["cost"] = known_price(model, listed_at)
    if not options.get("context_window"):
        options["context_window"] = known_context_window(model, listed_at)


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
