"""LiteLLM configurations: the models in them, with their settings, parameters, limits and fallbacks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from text_lloom.errors import InputError, UnknownName
from text_lloom.llm.limits import RateLimitSpec
from text_lloom.llm.numeric import whole_number
from text_lloom.llm.providers.openai_formats import FORMATS
from text_lloom.llm.providers.sdk import listed_at

__all__ = ["PARAMS", "Deployment", "Listing", "completed", "deployments_of", "limit_of", "redacted", "where"]

_ENVIRONMENT: Final = "os.environ/"
_CONFIG_KEYS: Final = (
    "fallbacks",
    "model_list",
    "models",
    "name",
    "rate_limit",
    "request_limit",
    "router_kwargs",
)
PARAMS: Final = FORMATS["chat"].params | {"top_k"}
_OURS: Final = frozenset(
    {"rpm", "tpm", "max_retries", "num_retries", "max_parallel_requests", "weight", "order"}
)
_KEYS: Final = (
    "api_key",
    "aws_secret_access_key",
    "aws_session_token",
    "azure_ad_token",
    "vertex_credentials",
)


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
    def listing(self) -> Listing:
        """Where the price list has it; nowhere if it is asked at an address of one's own."""
        if self.settings.get("api_base"):
            return Listing("", "")
        provider, slash, model = self.model.partition("/")
        return Listing(model, listed_at(provider)) if slash else Listing(self.model, None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys among its settings."""
        return tuple(str(self.settings[key]) for key in _KEYS if self.settings.get(key))


class Listing(NamedTuple):
    """Where the price list has a model; a name without provider may be anyone's."""

    model: str
    provider: str | None


def deployments_of(name: str, config: Mapping[str, Any] | None) -> tuple[Deployment, ...]:
    """The models of a configuration that `name` stands for: the one, then its fallbacks in order.

    Raises:
        InputError: When the configuration is none, or does not have the name.
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
    params = {key: settings.pop(key) for key in list(settings) if key in PARAMS}
    return Deployment(
        str(name or model),
        model,
        {key: value for key, value in settings.items() if key not in _OURS},
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


def limit_of(deployment: Deployment) -> RateLimitSpec:
    """The rate limit that the configuration has for a model, `None` for none."""
    limits = {"requests": deployment.requests, "tokens": deployment.tokens}
    return limits if any(value is not None for value in limits.values()) else None


def _fallbacks(listed: Sequence[Mapping[str, Sequence[str]]], name: str) -> list[str]:
    """Names of the models that are asked after `name`, each once."""
    found: list[str] = []
    for entry in listed:
        for other in entry.get(name, ()):
            if other not in (name, *found):
                found.append(other)
    return found


def completed(
    deployments: tuple[Deployment, ...], api_key: str | None, base_url: str | None
) -> tuple[Deployment, ...]:
    """The models with the key and the address that the configuration leaves out.

    An address of one's own gets no key from the environment.
    """
    first, *others = deployments
    settings = dict(first.settings)
    if api_key is not None:
        settings.setdefault("api_key", api_key)
    if base_url is not None:
        settings.setdefault("api_base", base_url)
        settings.setdefault("api_key", "EMPTY")
    return (replace(first, settings=settings), *others)


def where(deployments: Sequence[Deployment]) -> str:
    """What tells the services of some models from others, without any key."""
    return " ".join(f"{part.model}@{part.settings.get('api_base') or ''}" for part in deployments)


def redacted(text: str, deployments: Sequence[Deployment]) -> str:
    """`text` without the keys of the configuration, or those that LiteLLM finds in the environment."""
    found = {key for part in deployments for key in part.secrets}
    found |= {value for name, value in os.environ.items() if name.endswith(("_API_KEY", "_TOKEN"))}
    for key in sorted((key for key in found if len(key) >= 8), key=len, reverse=True):
        text = text.replace(key, "***")
    return text
