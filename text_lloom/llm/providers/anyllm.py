"""Some fifty providers through one package: `any-llm-sdk`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Unpack

from text_lloom.errors import InputError, ModelSetupError
from text_lloom.llm.completion import Completion, Embeddings
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.options import (
    NO_KEY,
    SYSTEM_PROMPT,
    EmbedOptions,
    ModelOptions,
    checked_key,
    checked_url,
    expand_options,
    key_from,
)
from text_lloom.llm.providers.openai_formats import FORMATS, read_completion
from text_lloom.llm.providers.sdk import SdkModel, add_list_price, embeddings_of, imported, read_stream
from text_lloom.llm.runtime.event_loop import close_with

__all__ = ["AnyEmbedModel", "AnyModel"]

_ANTHROPIC_TOKENS: Final = 8192


class AnyOptions(ModelOptions, total=False):
    """Options of `AnyModel`: those of `ModelOptions`, and parameters that only some providers have."""

    parallel_tool_calls: bool | None
    service_tier: str | None
    user: str | None


class AnyModel(SdkModel):
    """A model of any provider that any-llm knows, such as Bedrock, Cohere, Databricks or watsonx.

    Args:
        name: `"provider:model"`, such as `"bedrock:anthropic.claude-3-haiku-20240307-v1:0"`.
        api_key: The key; without one, that of the provider's own environment variable, which is not sent to
            another `base_url`.
        base_url: Another address for the provider.
        system_prompt: The system message.
        client_args: Further arguments for the provider's client.
        **options: Limits, price, and generation parameters such as `temperature=0`; see `ModelOptions`.
    """

    generation_params = FORMATS["chat"].params | {"parallel_tool_calls", "service_tier", "top_k", "user"}

    @expand_options(AnyOptions)
    def __init__(
        self,
        name: str,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        system_prompt: str | None = SYSTEM_PROMPT,
        client_args: dict[str, Any] | None = None,
        **options: Unpack[AnyOptions],
    ) -> None:
        self._connection = _Connection(name, api_key, base_url, client_args or {})
        if self._connection.provider == "anthropic":
            options.setdefault("max_tokens", _ANTHROPIC_TOKENS)  # else any-llm logs a warning per request
        if base_url is None:
            add_list_price(options, self._connection.model, self._connection.provider)
        super().__init__(name, api_key, system_prompt=system_prompt, **options)
        self.base_url = base_url

    @property
    def provider_key(self) -> str:
        return f"any-llm:{self.base_url or ''}"

    def redact(self, text: str) -> str:
        return self._connection.redact(super().redact(text))

    def _set_up(self) -> Any:
        client = self._connection.client("AnyModel")
        close_with(self, self._connection.closing(client))
        return client

    async def _ask(self, request: ModelRequest) -> Completion:
        asked = self._chat_arguments(self._connection.model, request)
        if request.on_chunk is None:
            return read_completion((await self.client.acompletion(**asked)).model_dump())
        asked["stream"] = True
        if self._takes("stream_options"):
            asked["stream_options"] = {"include_usage": True}
        return await read_stream(await self.client.acompletion(**asked), request.on_chunk)

    def _learns(self, message: str, request: ModelRequest, way: int, left_out: frozenset[str]) -> bool:
        if request.on_chunk is not None and "stream_options" in message and self._takes("stream_options"):
            self._left_out |= {"stream_options"}
            return True
        return super()._learns(message, request, way, left_out)


class AnyEmbedModel(EmbedModel):
    """An embedding model of any provider that any-llm knows, such as `"mistral:mistral-embed"`.

    It takes the arguments of `AnyModel`, and `EmbedOptions`. Anything else is sent with every call.
    """

    @expand_options(EmbedOptions, batch_size=64, concurrency=4)
    def __init__(
        self,
        name: str,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        client_args: dict[str, Any] | None = None,
        **options: Unpack[EmbedOptions],
    ) -> None:
        self._connection = _Connection(name, api_key, base_url, client_args or {})
        if base_url is None:
            add_list_price(options, self._connection.model, self._connection.provider)
        super().__init__(name, api_key=api_key, **options)
        self.base_url = base_url

    @property
    def provider_key(self) -> str:
        return f"any-llm:{self.base_url or ''}"

    def redact(self, text: str) -> str:
        return self._connection.redact(super().redact(text))

    def _set_up(self) -> Any:
        client = self._connection.client("AnyEmbedModel")
        close_with(self, self._connection.closing(client))
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        reply = await self.client.aembedding(self._connection.model, list(texts), **dict(self.args))
        rows = [(row.index, row.embedding) for row in reply.data]
        return embeddings_of(rows, len(texts), getattr(reply.usage, "prompt_tokens", None))


class _Connection:
    """A provider of any-llm: its name, its model, its key, its client."""

    def __init__(
        self, name: str, api_key: str | None, base_url: str | None, client_args: dict[str, Any]
    ) -> None:
        self.provider, colon, self.model = name.partition(":")
        if not (self.provider and colon and self.model):
            raise InputError(f"{name!r} must be 'provider:model', such as 'mistral:mistral-small-latest'.")
        self._key, self._client_args = checked_key(api_key, "api_key="), client_args
        self._base_url = checked_url(base_url)

    def redact(self, text: str) -> str:
        """`text` without the key of the environment."""
        return text.replace(self._key, "***") if self._key and len(self._key) >= 4 else text

    def client(self, purpose: str) -> Any:
        """One client, held open: the package's own functions would make one per call.

        Raises:
            MissingPackage: Without the package, or that of the provider.
            ModelSetupError: When the provider is unknown or its key is missing.
        """
        any_llm = imported("any_llm", extra="any", purpose=purpose)
        exceptions = imported("any_llm.exceptions", extra="any", purpose=purpose)
        try:
            kind = any_llm.AnyLLM.get_provider_class(self.provider)
            variables = str(getattr(kind, "ENV_API_KEY_NAME", "") or "").split("/")
            self._key = key_from(variables, self._key, is_elsewhere=self._base_url is not None)
            key = self._key or (NO_KEY if self._base_url is not None else None)
            settings = {"api_key": key, "api_base": self._base_url, **self._client_args}
            try:  # trying again is ours to do
                return any_llm.AnyLLM.create(
                    self.provider, unified_exceptions=True, max_retries=0, **settings
                )
            except exceptions.UnsupportedParameterError:
                return any_llm.AnyLLM.create(self.provider, unified_exceptions=True, **settings)
        except ImportError as error:
            raise ModelSetupError(
                f"{purpose}({self.provider}:{self.model}): {error}. "
                f"Run: pip install 'any-llm-sdk[{self.provider}]'"
            ) from None
        except exceptions.AnyLLMError as error:
            raise ModelSetupError(f"{purpose}({self.provider}:{self.model}): {error}") from None

    @staticmethod
    def closing(client: Any) -> Callable[[], Awaitable[object]]:
        """What closes a client."""
        inner = getattr(client, "client", client)

        async def close() -> None:
            found = getattr(inner, "close", None) or getattr(getattr(inner, "aio", None), "aclose", None)
            if found is not None:
                closed = found()
                if isinstance(closed, Awaitable):
                    await closed

        return close
