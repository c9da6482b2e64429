"""Models made from strings such as `"openai:gpt-4o-mini"`, by the table of providers and its plugins.

Another package adds providers through an entry point in the group `text_lloom.providers`, which names a
`Provider`, a list of them, or a function that returns either:

    [project.entry-points."text_lloom.providers"]
    acme = "lloom_acme:PROVIDER"

Entry points are loaded when a string names no provider of this package, or when all providers are listed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, NamedTuple

from text_lloom.errors import InputError, MissingPackage, ModelSetupError, UnknownName
from text_lloom.llm.providers.table import (
    PROVIDERS,
    Capabilities,
    CompatibleServer,
    Kind,
    Provider,
    is_set,
)

if TYPE_CHECKING:
    from text_lloom.llm.model import Embedder, Model, Solver
    from text_lloom.llm.providers.local import LocalModel

__all__ = [
    "PROVIDERS",
    "Availability",
    "Capabilities",
    "CompatibleServer",
    "Provider",
    "all_providers",
    "availability_of",
    "capability_table",
    "embedder_from",
    "model_from",
    "plugin_providers",
    "provider_of",
]

_GROUP: Final = "text_lloom.providers"
_THROUGH_ANY: Final = ("bedrock", "databricks", "perplexity", "sagemaker", "watsonx")
"""Services that people name as providers, and that any-llm reaches: `"any:bedrock:…"`."""
_COLUMNS: Final = (
    *("provider", "string", "chat", "structured output", "usage", "streaming", "batch", "embeddings"),
    "tested with",
)


def model_from(
    spec: str, *, role: str = "model", default: str = "", local: LocalModel | None = None, **options: object
) -> Model | Solver:
    """The model that a string names.

    Args:
        spec: `"provider:name"`, or the provider alone where it has a default.
        role: The argument that the string was given to, for messages.
        default: Name of OpenAI's model when the string gives none.
        local: The local engine to use for `"local"`.
        **options: Further arguments, such as `base_url=`.

    Raises:
        UnknownName: When there is no such provider; names the nearest.
        InputError: When the provider has no chat models, or the name is missing.
        MissingPackage: When its package is not installed; says what to run.
    """
    provider, name = _parsed(spec, role, "chat")
    if provider.prefix == "local" and local is not None:
        return local
    name = _checked(provider, name, default, spec, role, "chat")
    model: Model | Solver = provider.make("chat", name, options if provider.prefix != "local" else {})
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
    name = _checked(provider, name, default, spec, role, "embeddings")
    settings = {"model": local} if provider.prefix == "local" else options
    embedder: Embedder = provider.make("embeddings", name, settings)
    return embedder


def _parsed(spec: str, role: str, kind: Kind) -> tuple[Provider, str]:
    prefix, _, name = spec.partition(":")
    provider, name = _found(prefix.strip(), spec, role, kind), name.strip()
    if provider.prefix == "local" and name:
        raise InputError(f"{role}={spec!r}: the local engine is one model and has no names. Write 'local'.")
    return provider, name


def _checked(provider: Provider, name: str, default: str, spec: str, role: str, kind: Kind) -> str:
    """The name of the model, once everything is there that it needs to be made."""
    if missing := provider.missing_packages:
        purpose = f"{role}={spec!r}"
        if provider.extra is None:
            raise ModelSetupError(
                f"{purpose} needs the package {missing[0]!r}, which is not installed. Run: {provider.install}"
            )
        raise MissingPackage(missing[0], extra=provider.extra, purpose=purpose)
    name = name or (default if provider.prefix == "openai" else "")
    if not name and provider.needs_name:
        example = provider.example_of(kind)
        such_as = f", such as '{provider.prefix}:{example}'" if example else ""
        raise InputError(f"{role}={spec!r} names no model. Write '{provider.prefix}:<name>'{such_as}.")
    return name


def provider_of(prefix: str, *, role: str = "provider", kind: Kind | None = None) -> Provider:
    """The provider of a prefix.

    Args:
        prefix: What stands before the colon; capitals and `_` for `-` do not matter.
        role: The argument that it was given to, for messages.
        kind: What it must be able to do.

    Raises:
        UnknownName: When there is none, or it is not of that kind.
    """
    return _found(prefix, prefix, role, kind)


def _found(prefix: str, spec: str, role: str, kind: Kind | None) -> Provider:
    written = _canonical(prefix)
    provider = next((p for p in PROVIDERS if p.prefix == written), None)
    provider = provider or next((p for p in plugin_providers() if p.prefix == written), None)
    if provider is not None and (kind is None or provider.source_of(kind)):
        return provider
    fitting = [p for p in all_providers() if kind is None or p.source_of(kind)]
    prefixes = [p.prefix for p in fitting]
    if provider is not None:
        has = "chat models" if kind == "chat" else "embedding models"
        is_object = not (provider.model or provider.embed)
        other = f" It is used as an object: {provider.note}." if is_object else ""
        raise InputError(
            f"{role}={prefix!r}: this provider has no {has}.{other} Providers that have: "
            f"{', '.join(prefixes)}."
        )
    advice = ""
    if meant := _meant_by(spec.strip(), fitting):
        advice = f"Write '{meant}'. "
    elif not get_close_matches(written, prefixes, n=1):
        example = "openai:text-embedding-3-small" if kind == "embeddings" else "openai:gpt-4o-mini"
        advice = f"Write 'provider:name', such as '{example}'. "
    raise UnknownName(prefix, prefixes, what=f"provider in {role}:", advice=advice)


def _canonical(prefix: str) -> str:
    """A prefix as the table has it: `OpenAI` and `hf_endpoint` are `openai` and `hf-endpoint`."""
    return prefix.strip().lower().replace("_", "-")


def _meant_by(spec: str, providers: Sequence[Provider]) -> str:
    """What to write instead of a string that names no provider, `""` if that cannot be told."""
    prefix, colon, name = spec.partition(":")
    before, slash, after = spec.partition("/")
    written = _canonical(prefix)
    for provider in providers:
        if not colon and slash and _canonical(before) == provider.prefix and after:
            return f"{provider.prefix}:{after}"
        if written in provider.aliases:
            return provider.prefix if provider.prefix == "sparse" else f"{provider.prefix}:{name or '<name>'}"
        if provider.prefix == "any" and (written == "aws" or written in _THROUGH_ANY):
            service = "bedrock" if written == "aws" else written
            return f"any:{service}:{name or '<name>'}"
    makers = [] if colon else [p for p in providers if spec.lower().startswith(p.name_starts)]
    return f"{makers[0].prefix}:{spec}" if makers else ""


def all_providers() -> tuple[Provider, ...]:
    """The providers of this package and of all plugins, in the order in which they are listed."""
    return (*PROVIDERS, *plugin_providers())


@cache
def plugin_providers() -> tuple[Provider, ...]:
    """The providers that other packages add, loaded once; a faulty one is left out with a warning."""
    taken = dict.fromkeys((provider.prefix for provider in PROVIDERS), "text_lloom")
    found: list[Provider] = []
    for entry_point in sorted(entry_points(group=_GROUP), key=lambda point: point.name):
        package = entry_point.dist.name if entry_point.dist is not None else entry_point.module
        try:
            loaded = _loaded(entry_point)
        except Exception as error:
            _warn(f"plugin {entry_point.name!r}", package, f"{type(error).__name__}: {error}")
            continue
        for provider in loaded:
            if (owner := taken.setdefault(provider.prefix, package)) is package:
                can = replace(provider.can, tested=("by its package",))
                found.append(replace(provider, can=can, package=package))
            else:
                _warn(f"provider {provider.prefix!r}", package, f"{owner} has a provider of that name")
    return tuple(found)


def _loaded(entry_point: EntryPoint) -> list[Provider]:
    """The entries that an entry point names, checked."""
    loaded = entry_point.load()
    if callable(loaded):
        loaded = loaded()
    listed = list(loaded) if isinstance(loaded, (list, tuple)) else [loaded]
    for provider in listed:
        if not isinstance(provider, Provider):
            raise InputError(f"it gives {provider!r}, but a Provider or a list of them was expected")
        if not provider.prefix or provider.prefix != _canonical(provider.prefix) or ":" in provider.prefix:
            raise InputError(f"the prefix {provider.prefix!r} must be lower case, with - between words")
    return listed


def _warn(what: str, package: str, why: str) -> None:
    warnings.warn(
        f"The {what} of the package {package} is left out: {why}. Update or uninstall {package}.",
        stacklevel=4,
    )


class Availability(NamedTuple):
    """Whether a provider can be used on this machine, as far as that can be told without a network.

    Attributes:
        is_ready: Its package is installed and its key is set.
        reason: What it has or lacks, and what to do.
    """

    is_ready: bool
    reason: str


def availability_of(provider: Provider) -> Availability:
    """Whether a provider can be used on this machine; nothing is imported and nothing is sent."""
    lacking = [provider.install] if provider.install else []
    if provider.missing_keys:
        lacking.append(" or ".join(provider.missing_keys))
    if lacking:
        return Availability(False, f"needs {' and '.join(lacking)}")
    found = []
    if provider.key_variables and not provider.own:
        found.append(f"{next(filter(is_set, provider.key_variables))} is set")
    if isinstance(provider, CompatibleServer) and provider.own and provider.url is not None:
        elsewhere = os.environ.get(provider.url_variable or "", "").strip()
        found.append(f"if its server runs at {elsewhere or provider.url}")
    found += [text for text in (provider.note, provider.package and f"from {provider.package}") if text]
    return Availability(True, f"ready: {'; '.join(found)}" if found else "ready")


def capability_table(providers: Sequence[Provider]) -> str:
    """What each provider can do and how that was tested, as a Markdown table."""
    rows = [_COLUMNS]
    for provider in providers:
        can = provider.can
        is_named = provider.model is not None or provider.embed is not None
        rows.append(
            (
                provider.title,
                f"`{provider.prefix}{':…' if provider.needs_name else ''}`" if is_named else "–",
                _mark(provider.model is not None),
                can.structured if can.structured != "none" else "–",
                _mark(can.usage),
                _mark(can.streaming),
                _mark(can.batch),
                _mark(provider.embed is not None),
                ", ".join(can.tested),
            )
        )
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([header, "|" + "---|" * len(_COLUMNS), *body])


def _mark(can: bool) -> str:
    return "yes" if can else "–"
