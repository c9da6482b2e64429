"""Models that a LiteLLM configuration describes, through the package `litellm`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Unpack

from text_lloom.errors import FormRefused, InputError, ModelSetupError, PermanentError, UnknownName
from text_lloom.llm.completion import Completion, Embeddings
from text_lloom.llm.control.rate_limits import RateLimitSpec
from text_lloom.llm.control.retry import FATAL, as_model_error
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.options import (
    NO_KEY,
    SYSTEM_PROMPT,
    CallOptions,
    EmbedOptions,
    ModelOptions,
    checked_key,
    checked_url,
    expand_options,
    whole_number,
)
from text_lloom.llm.providers.openai_formats import FORMATS, read_completion
from text_lloom.llm.providers.sdk import SdkModel, add_list_price, embeddings_of, imported, read_stream

__all__ = ["Deployment", "LiteLLMEmbedModel", "LiteLLMModel", "deployments_of"]

_BATCH_SIZE: Final = 16
_ENVIRONMENT: Final = "os.environ/"
_ADDRESSED: Final = (
    *("azure", "azure_ai", "bedrock", "databricks", "huggingface"),
    *("sagemaker", "snowflake", "vertex_ai", "watsonx"),
)
"""Providers whose users each have an address of their own; to others, a key of the environment is not sent
when the configuration names another address."""
_PARAMS: Final = FORMATS["chat"].params | {"top_k"}
_CONFIG_KEYS: Final = (
    "fallbacks",
    "model_list",
    "models",
    "name",
    "rate_limit",
    "request_limit",
    "router_kwargs",
)
_NOT_SENT: Final = ("rpm", "tpm", "max_retries", "num_retries", "max_parallel_requests", "weight", "order")
_SECRETS: Final = (
    "api_key",
    "aws_secret_access_key",
    "aws_session_token",
    "azure_ad_token",
    "vertex_credentials",
)
_MALICIOUS: Final = ("1.82.7", "1.82.8")
_ABOUT_ITSELF: Final = "Item .* on TypedDict class .* is using the `ReadOnly` qualifier"
"""What pydantic says about LiteLLM's own types, and users can do nothing about."""


@dataclass(frozen=True)
class Deployment:
    """One model of a configuration.

    Attributes:
        name: What the configuration calls it.
        model: What LiteLLM calls it, such as `"anthropic/claude-sonnet-4-5"`.
        settings: Further arguments of every call: address, key and so on.
        params: Generation parameters of every call, by our names.
        requests: The largest number of requests a minute, if the configuration has one.
        tokens: The largest number of tokens a minute, if the configuration has one.
    """

    name: str
    model: str
    settings: Mapping[str, Any]
    params: Mapping[str, Any]
    requests: object = None
    tokens: object = None

    def __repr__(self) -> str:
        return f"Deployment({self.name!r}, {self.model!r})"

    @property
    def rate_limit(self) -> RateLimitSpec:
        """The rate limit that the configuration has for it, `None` for none."""
        if self.requests is None and self.tokens is None:
            return None
        return {"requests": self.requests, "tokens": self.tokens}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys among its settings."""
        return tuple(str(self.settings[key]) for key in _SECRETS if self.settings.get(key))


def deployments_of(name: str, config: Mapping[str, Any] | None) -> tuple[Deployment, ...]:
    """The models of a configuration that `name` stands for: the one, then its fallbacks in order.

    Raises:
        InputError: When the configuration has none of the known shapes, or does not have the name.
    """
    if config is None:
        if not name:
            raise InputError("Give the name of a model, such as 'anthropic/claude-sonnet-4-5', or config=.")
        return (Deployment(name, name, {}, {}),)
    if not isinstance(config, Mapping):
        raise InputError(
            f"config must be a mapping such as {{'model_list': [{{'model_name': …, 'litellm_params': "
            f"{{'model': …}}}}]}}, but is {type(config).__name__}."
        )
    if "model_list" not in config and "models" not in config:
        settings = {key: value for key, value in config.items() if key not in _CONFIG_KEYS or key == "name"}
        return (_limited(_deployment({"name": name, **settings}), config),)
    unknown = [key for key in config if key not in _CONFIG_KEYS]
    if unknown:
        raise UnknownName(unknown[0], _CONFIG_KEYS, what="key of a LiteLLM config:")
    listed = config.get("model_list", config.get("models"))
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise InputError("config: 'model_list' must be a list of models, with at least one.")
    found = [_limited(_deployment(entry), config) for entry in listed]
    named = [deployment for deployment in found if name in ("", deployment.name, deployment.model)]
    if not named:
        raise UnknownName(name, [deployment.name for deployment in found], what="model_name in config:")
    if "models" in config:
        return (named[0], *(other for other in found if other is not named[0]))
    chosen = named[0].name
    order = [chosen, *_fallbacks(config.get("fallbacks") or (), chosen)]
    return tuple(deployment for wanted in order for deployment in found if deployment.name == wanted)


def _deployment(entry: object) -> Deployment:
    """A model from an entry of `model_list` or `models`, or from the settings of one model."""
    if not isinstance(entry, Mapping):
        raise InputError(
            f"config: a model must be a mapping with 'model_name', but one is {type(entry).__name__}."
        )
    name = entry.get("model_name") or entry.get("name") or ""
    given = entry.get("litellm_params")
    if given is None:
        given = {key: value for key, value in entry.items() if key not in ("model_name", "name")}
    settings = {
        key: _resolved(value) for key, value in {**given, **(given.get("extra_params") or {})}.items()
    }
    settings.pop("extra_params", None)
    model = settings.pop("model", None) or name
    if not isinstance(model, str) or not model:
        raise InputError("config: a model needs 'model_name', or 'model' in its 'litellm_params'.")
    params = {key: settings.pop(key) for key in list(settings) if key in _PARAMS}
    if settings.get("api_base") and model.partition("/")[0] not in _ADDRESSED:
        settings["api_key"] = settings.get("api_key") or NO_KEY
    return Deployment(
        str(name or model),
        model,
        {key: value for key, value in settings.items() if key not in _NOT_SENT},
        params,
        _per_minute(settings.get("rpm")),
        _per_minute(settings.get("tpm")),
    )


def _per_minute(amount: object) -> str | None:
    return None if amount is None else f"{whole_number(amount, what='rpm and tpm')}/minute"


def _resolved(value: object) -> object:
    """A value of a configuration, read from the environment where it says so."""
    if isinstance(value, str) and value.startswith(_ENVIRONMENT):
        return os.environ.get(value.removeprefix(_ENVIRONMENT)) or None
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def _limited(deployment: Deployment, config: Mapping[str, Any]) -> Deployment:
    """A model with the limits that the configuration has for it."""

    def limit(key: str, otherwise: object) -> object:
        given = config.get(key)
        if isinstance(given, Mapping):
            given = given.get(deployment.name, given.get(deployment.model))
        return otherwise if given is None else given

    tokens, requests = limit("rate_limit", deployment.tokens), limit("request_limit", deployment.requests)
    return replace(deployment, tokens=tokens, requests=requests)


def _fallbacks(listed: Sequence[Mapping[str, Sequence[str]]], name: str) -> list[str]:
    """Names of the models that are asked after `name`, each once."""
    found: list[str] = []
    for entry in listed:
        for other in entry.get(name, ()):
            if other not in (name, *found):
                found.append(other)
    return found


def _completed(
    deployments: tuple[Deployment, ...], api_key: str | None, base_url: str | None
) -> tuple[Deployment, ...]:
    """The models with the key and the address that the configuration leaves out.

    An address that the user gave gets no key from the environment.
    """
    first, *others = deployments
    settings = dict(first.settings)
    if api_key is not None:
        settings.setdefault("api_key", checked_key(api_key, "api_key="))
    if base_url is not None:
        settings.setdefault("api_base", checked_url(base_url))
        settings.setdefault("api_key", NO_KEY)
    return (replace(first, settings=settings), *others)


def _fill_in(options: CallOptions, deployment: Deployment) -> None:
    """Take limits from the configuration, price and window from the price list, where none are given."""
    if options.get("rate_limit") is None:
        options["rate_limit"] = deployment.rate_limit
    if not deployment.settings.get("api_base"):
        provider, slash, model = deployment.model.partition("/")
        add_list_price(options, model if slash else deployment.model, provider if slash else None)


def _provider_key(deployments: Sequence[Deployment]) -> str:
    """What tells the services of some models from others, without any key."""
    return "litellm:" + " ".join(f"{d.model}@{d.settings.get('api_base') or ''}" for d in deployments)


def _redacted(text: str, deployments: Sequence[Deployment]) -> str:
    """`text` without the keys of the configuration, or those that LiteLLM finds in the environment."""
    found = {key for part in deployments for key in part.secrets}
    found |= {value for name, value in os.environ.items() if name.endswith(("_API_KEY", "_TOKEN"))}
    for key in sorted((key for key in found if len(key) >= 8), key=len, reverse=True):
        text = text.replace(key, "***")
    return text


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
        system_prompt: The system message.
        **options: Limits, price, and generation parameters, stronger than the configuration; see
            `ModelOptions`. A cost that the price list does not know is the one that LiteLLM states.
    """

    generation_params = _PARAMS

    @expand_options(ModelOptions)
    def __init__(
        self,
        name: str = "",
        config: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        system_prompt: str | None = SYSTEM_PROMPT,
        **options: Unpack[ModelOptions],
    ) -> None:
        self.deployments = _completed(deployments_of(name, config), api_key, base_url)
        first = self.deployments[0]
        _fill_in(options, first)
        key, all_options = first.settings.get("api_key"), {**first.params, **options}
        super().__init__(name or first.name, key, system_prompt=system_prompt, **all_options)

    @property
    def provider_key(self) -> str:
        return _provider_key(self.deployments)

    def redact(self, text: str) -> str:
        return _redacted(super().redact(text), self.deployments)

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
        arguments = self._chat_arguments(deployment.model, request)
        asked = {
            **arguments,
            **deployment.settings,
            "max_retries": 0,
            "num_retries": 0,
            "timeout": self.timeout,
        }
        if request.on_chunk is None:
            reply = await self.client.acompletion(**asked)
            completion = read_completion(reply.model_dump())
            stated = reply._hidden_params.get("response_cost") if self.cost is None else None
            return replace(completion, usd=stated or None)
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
        completion = await read_stream(await self.client.acompletion(**asked), request.on_chunk)
        return replace(completion, usd=None)


class LiteLLMEmbedModel(EmbedModel):
    """An embedding model that a LiteLLM configuration describes, such as `"mistral/mistral-embed"`.

    It takes the arguments of `LiteLLMModel`, and `EmbedOptions`; `batch_size` may stand in the
    configuration, too, and is 16 otherwise. Anything else is sent with every call.
    """

    @expand_options(EmbedOptions, concurrency=4)
    def __init__(
        self,
        name: str = "",
        config: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        **options: Unpack[EmbedOptions],
    ) -> None:
        described = dict(config or {})
        in_config = described.pop("batch_size", None)
        options["batch_size"] = options.get("batch_size") or in_config or _BATCH_SIZE
        extra = described.pop("kwargs", {})
        self.deployments = _completed(deployments_of(name, described or None), api_key, base_url)
        first = self.deployments[0]
        _fill_in(options, first)
        all_options = {**extra, **first.params, **options}
        super().__init__(name or first.name, api_key=first.settings.get("api_key"), **all_options)

    @property
    def provider_key(self) -> str:
        return _provider_key(self.deployments)

    def redact(self, text: str) -> str:
        return _redacted(super().redact(text), self.deployments)

    def _set_up(self) -> Any:
        return _litellm("LiteLLMEmbedModel")

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        first = self.deployments[0]
        asked = {**self.args, **first.settings, "max_retries": 0, "num_retries": 0, "timeout": self.timeout}
        reply = await self.client.aembedding(model=first.model, input=list(texts), **asked)
        rows = [(row.get("index"), row["embedding"]) for row in reply.data]
        return embeddings_of(rows, len(texts), getattr(reply.usage, "prompt_tokens", None))


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
