"""Models that are set up by a LiteLLM configuration, through the package `litellm`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from text_lloom.errors import FormRefused, ModelSetupError, PermanentError
from text_lloom.llm.asked import ModelRequest
from text_lloom.llm.limits import RateLimitSpec
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.pricing import known_context_window, known_price
from text_lloom.llm.providers.litellm_config import (
    PARAMS,
    Deployment,
    completed,
    deployments_of,
    limit_of,
    redacted,
    where,
)
from text_lloom.llm.providers.openai_formats import ANSWER_FORMATS, FORMATS, read_completion
from text_lloom.llm.providers.sdk import SdkModel, imported
from text_lloom.llm.retry import FATAL, as_model_error
from text_lloom.llm.returned import Completion, Embeddings, in_order

__all__ = ["LiteLLMEmbedModel", "LiteLLMModel"]

_SYSTEM_PROMPT = "You are careful and exact, and answer in the form that is asked for."
_MALICIOUS: Final = frozenset({"1.82.7", "1.82.8"})
_ABOUT_ITSELF: Final = "Item .* on TypedDict class .* is using the `ReadOnly` qualifier"
"""What pydantic says about LiteLLM's own types, and users can do nothing about."""


class LiteLLMModel(SdkModel):
    """A model that a LiteLLM configuration describes.

    Errors, retries, limits and the journal are those of every model; of LiteLLM, the call alone is used, with
    its own retries, caches and callbacks left aside.

    Args:
        name: A `model_name` of the configuration, or what LiteLLM calls a model, such as
            `"anthropic/claude-sonnet-4-5"`. Without one, the first of the configuration.
        config: `{"model_list": [{"model_name": …, "litellm_params": {"model": …, …}}, …]}`, with
            `"fallbacks": [{"a": ["b"]}]`, `"rate_limit"` (tokens) and `"request_limit"`, each a limit or one
            per `model_name`; or `{"models": [{"name": …, …}, …]}`, whose further models are fallbacks; or the
            settings of one model, `{"name": …, "temperature": 0.1}`. `os.environ/NAME` reads a variable.
        api_key: The key, if the configuration has none; else LiteLLM reads the provider's variable.
        base_url: The address, if the configuration has none.
        rate_limit: As for `Model`; stronger than the configuration.
        context_window: In tokens; from the price list when not given and known.
        cost: `(input, output)` in USD per token; from the price list when not given, and what LiteLLM states
            where that does not know the model.
        system_prompt: The system message.
        concurrency: As for `Model`.
        timeout: As for `Model`.
        **args: Generation parameters for every call, stronger than the configuration.
    """

    ways = len(ANSWER_FORMATS)
    generation_params = PARAMS

    def __init__(
        self,
        name: str = "",
        config: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        rate_limit: RateLimitSpec = None,
        context_window: int | None = None,
        cost: object = None,
        *,
        system_prompt: str | None = _SYSTEM_PROMPT,
        concurrency: int | None = None,
        timeout: float = 120.0,
        **args: Any,
    ) -> None:
        self.deployments = completed(deployments_of(name, config), api_key, base_url)
        first = self.deployments[0]
        super().__init__(
            name or first.name,
            first.settings.get("api_key"),
            rate_limit if rate_limit is not None else limit_of(first),
            context_window or known_context_window(*first.listing),
            cost if cost is not None else known_price(*first.listing),
            system_prompt=system_prompt,
            concurrency=concurrency,
            timeout=timeout,
            params={**first.params, **args},
        )

    @property
    def provider_key(self) -> str:
        return f"litellm:{where(self.deployments)}"

    def redact(self, text: str) -> str:
        return redacted(super().redact(text), self.deployments)

    def _set_up(self) -> Any:
        return _litellm("LiteLLMModel")

    async def _ask(self, request: ModelRequest) -> Completion:
        """Ask the first model, and the others in order what the ones before them could not answer."""
        for deployment in self.deployments[:-1]:
            try:
                return await self._ask_one(deployment, request)
            except Exception as error:
                found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
                if not isinstance(found, (PermanentError, *FATAL)):
                    raise
                told = type(found) is PermanentError
                if told and self._learns(str(error), request, self._way(request), self._left_out):
                    raise FormRefused(str(found)) from None
        return await self._ask_one(self.deployments[-1], request)

    async def _ask_one(self, deployment: Deployment, request: ModelRequest) -> Completion:
        chat = FORMATS["chat"]
        params = {name: value for name, value in request.params.items() if self._takes(name)}
        posed = replace(request, params=params)
        answer_format = ANSWER_FORMATS[self._way(request)]
        body = chat.body(deployment.model, posed, answer_format=answer_format, longest="max_tokens")
        body |= {"messages": [dict(message) for message in request.messages]}
        asked = {**body, **deployment.settings, "max_retries": 0, "num_retries": 0, "timeout": self.timeout}
        if request.on_chunk is None:
            reply = await self.client.acompletion(**asked)
            completion = read_completion(reply.model_dump())
            stated = reply._hidden_params.get("response_cost") if self.cost is None else None
            return replace(completion, usd=stated or None)
        pieces = chat.pieces()
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
        async for chunk in await self.client.acompletion(**asked):
            if piece := pieces.add(chunk.model_dump()):
                request.on_chunk(piece)
        return replace(pieces.completion(), usd=None)


class LiteLLMEmbedModel(EmbedModel):
    """An embedding model that a LiteLLM configuration describes.

    Args:
        name: As for `LiteLLMModel`, such as `"mistral/mistral-embed"`.
        config: As for `LiteLLMModel`; `batch_size` may stand in it, too.
        api_key: As for `LiteLLMModel`.
        base_url: As for `LiteLLMModel`.
        batch_size: The largest number of texts in one call; 16 when neither it nor the configuration says.
        rate_limit: As for `Model`; stronger than the configuration.
        cost: USD per token; from the price list when not given and known.
        context_window: In tokens; longer texts are cut.
        concurrency: As for `Model`.
        timeout: As for `Model`.
        **args: Passed on in every call, such as `dimensions=256`.
    """

    def __init__(
        self,
        name: str = "",
        config: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        batch_size: int | None = None,
        rate_limit: RateLimitSpec = None,
        cost: object = None,
        context_window: int | None = None,
        *,
        concurrency: int | None = 4,
        timeout: float = 120.0,
        **args: Any,
    ) -> None:
        described = dict(config or {})
        in_config = described.pop("batch_size", None)
        extra = described.pop("kwargs", {})
        self.deployments = completed(deployments_of(name, described or None), api_key, base_url)
        first = self.deployments[0]
        super().__init__(
            name or first.name,
            None,
            None,
            first.settings.get("api_key"),
            batch_size or in_config or 16,
            rate_limit if rate_limit is not None else limit_of(first),
            cost if cost is not None else known_price(*first.listing),
            context_window or known_context_window(*first.listing),
            concurrency=concurrency,
            timeout=timeout,
            **{**extra, **first.params, **args},
        )

    @property
    def provider_key(self) -> str:
        return f"litellm:{where(self.deployments)}"

    def redact(self, text: str) -> str:
        return redacted(super().redact(text), self.deployments)

    def _set_up(self) -> Any:
        return _litellm("LiteLLMEmbedModel")

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        import numpy as np

        first = self.deployments[0]
        asked = {**self.args, **first.settings, "max_retries": 0, "num_retries": 0, "timeout": self.timeout}
        reply = await self.client.aembedding(model=first.model, input=list(texts), **asked)
        rows = in_order([(row.get("index"), row["embedding"]) for row in reply.data], len(texts))
        vectors = np.asarray(rows, dtype=np.float32)
        return Embeddings(vectors, getattr(reply.usage, "prompt_tokens", None) or None)


def _litellm(purpose: str) -> Any:
    """The package, quiet and without its downloads.

    Raises:
        MissingPackage: When it is not installed.
        ModelSetupError: When the release that is installed is known to be malicious.
    """
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        installed = ""
    if installed in _MALICIOUS:
        raise ModelSetupError(
            f"litellm {installed} is installed, a release that steals credentials, so it was not imported. "
            f"Treat the keys of this machine as stolen, and run: pip install -U 'text_lloom[litellm]'"
        )
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it fetches a price list
    litellm: Any = imported("litellm", extra="litellm", purpose=purpose)
    warnings.filterwarnings("ignore", message=_ABOUT_ITSELF, category=UserWarning)
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm
