"""Every provider by its prefix, and models made from strings such as `"openai:gpt-4o-mini"`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from text_lloom.errors import InputError, MissingPackage, UnknownName
from text_lloom.llm.catalogue import basic, cloud, onprem
from text_lloom.llm.catalogue.entry import Capabilities, Provider
from text_lloom.llm.catalogue.naming import advice_on, canonical
from text_lloom.llm.model import Embedder, Model, Solver
from text_lloom.llm.providers.local import LocalEmbedModel, LocalModel

__all__ = ["PROVIDERS", "Capabilities", "Provider", "embedder_from", "model_from", "provider_of"]

PROVIDERS: tuple[Provider, ...] = (*basic.PROVIDERS, *cloud.PROVIDERS, *onprem.PROVIDERS)
"""All providers, in the order in which they are listed."""

Kind = Literal["chat", "embeddings"]


def model_from(
    spec: str, *, role: str = "model", default: str = "", local: LocalModel | None = None, **options: object
) -> Model | Solver:
    """The model that a string names.

    Args:
        spec: `"provider:name"`, or the provider alone where it has a default.
        role: The argument that the string was given to, for messages.
        default: Name of the model when the string gives none.
        local: The local engine to use for `"local"`.
        **options: Further arguments, such as `base_url=`.

    Raises:
        UnknownName: When there is no such provider; names the nearest.
        InputError: When the provider has no chat models, or the name is missing.
        MissingPackage: When its package is not installed; says what to run.
    """
    provider, name = _parsed(spec, role, "chat")
    if provider.prefix == "local":
        return local or LocalModel()
    name = _named(provider, name, default if provider.prefix == "openai" else "", spec, role, "chat")
    model: Model | Solver = _made(provider, provider.model, name, options)
    return model


def embedder_from(
    spec: str,
    *,
    role: str = "cluster_model",
    default: str = "",
    local: LocalModel | None = None,
    **options: object,
) -> Embedder:
    """The embedding model that a string names; see `model_from`."""
    provider, name = _parsed(spec, role, "embeddings")
    if provider.prefix == "local":
        return LocalEmbedModel(local)
    name = _named(provider, name, default if provider.prefix == "openai" else "", spec, role, "embeddings")
    embedder: Embedder = _made(provider, provider.embed, name, options)
    return embedder


def provider_of(prefix: str, *, role: str = "provider", kind: Kind | None = None) -> Provider:
    """The provider of a prefix.

    Args:
        prefix: What stands before the colon; capitals and `_` for `-` do not matter.
        role: The argument that it was given to, for messages.
        kind: What it must be able to do.

    Raises:
        UnknownName: When there is none, or it is not of that kind.
    """
    return _provider(prefix, prefix, role, kind)


def _provider(prefix: str, spec: str, role: str, kind: Kind | None) -> Provider:
    written = canonical(prefix)
    fitting = [p for p in PROVIDERS if kind is None or (p.model if kind == "chat" else p.embed)]
    for provider in fitting:
        if provider.prefix == written:
            return provider
    for provider in PROVIDERS:
        if provider.prefix == written:
            has = "chat models" if kind == "chat" else "embedding models"
            other = (
                f" It is used as an object: {provider.note}."
                if not (provider.model or provider.embed)
                else ""
            )
            raise InputError(
                f"{role}={prefix!r}: this provider has no {has}.{other} Providers that have: "
                f"{_listed(fitting)}."
            )
    prefixes = [provider.prefix for provider in fitting]
    advice = advice_on(spec, prefixes)
    if not advice and not get_close_matches(written, prefixes, n=1):
        example = "openai:text-embedding-3-small" if kind == "embeddings" else "openai:gpt-4o-mini"
        advice = f"Write 'provider:name', such as '{example}'. "
    raise UnknownName(prefix, prefixes, what=f"provider in {role}:", advice=advice)


def _parsed(spec: str, role: str, kind: Kind) -> tuple[Provider, str]:
    prefix, _, name = spec.partition(":")
    provider, name = _provider(prefix.strip(), spec, role, kind), name.strip()
    if provider.prefix == "local" and name:
        raise InputError(f"{role}={spec!r}: the local engine is one model and has no names. Write 'local'.")
    return provider, name


def _named(provider: Provider, name: str, default: str, spec: str, role: str, kind: Kind) -> str:
    """The name of the model, once everything is there that it needs to be made."""
    if missing := provider.missing_packages:
        raise MissingPackage(missing[0], extra=provider.extra or provider.prefix, purpose=f"{role}={spec!r}")
    name = name or default
    if not name and provider.needs_name:
        example = provider.example_of(kind)
        such_as = f", such as '{provider.prefix}:{example}'" if example else ""
        raise InputError(f"{role}={spec!r} names no model. Write '{provider.prefix}:<name>'{such_as}.")
    if provider.names and name not in provider.names:
        raise UnknownName(name, provider.names, what=f"model of {provider.title}")
    return name


def _made(provider: Provider, where: str | None, name: str, options: Mapping[str, object]) -> Any:
    make = provider.maker(where or "")
    return make(*([name] if name else []), **{**provider.options, **options})


def _listed(providers: Sequence[Provider]) -> str:
    return ", ".join(provider.prefix for provider in providers)
