"""Every provider by its prefix, and models made from strings such as `"openai:gpt-4o-mini"`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from text_lloom.errors import InputError, MissingPackage, UnknownName
from text_lloom.llm.model import Embedder, Model, Solver
from text_lloom.llm.providers.local import LocalEmbedModel, LocalModel
from text_lloom.llm.providers.servers import SERVERS

__all__ = [
    "PROVIDERS",
    "_BASIC",
    "_CLOUD",
    "_ON_PREMISES",
    "Availability",
    "Capabilities",
    "Provider",
    "Structured",
    "Tested",
    "advice_on",
    "availability_of",
    "canonical",
    "capability_table",
    "embedder_from",
    "model_from",
    "provider_of",
]

Structured: TypeAlias = Literal["strict", "constrained", "JSON mode", "prompt", "none"]
"""How a wanted form is kept: by the provider's strict schema, by constrained decoding, as some JSON object,
or by asking for it; in each case the reply is validated and asked for again."""
Tested: TypeAlias = Literal[
    "real server", "recorded wire", "tiny model", "real weights", "in process", "stand-in"
]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do here, and how that was tested.

    Attributes:
        chat: Answers the questions of every operator.
        structured: How a wanted form is kept, `"none"` without chat.
        usage: Reports the tokens of each request.
        streaming: Gives a reply piece by piece.
        batch: Has a batch API that `score(mode="batch")` can use.
        embeddings: Turns texts into vectors.
        tested: How this was tested: through the real package against a real server, against a local server
            that speaks the recorded wire format, on a tiny random model, with real weights, in process, or
            against a stand-in for a package that cannot be installed everywhere.
    """

    chat: bool = True
    structured: Structured = "prompt"
    usage: bool = True
    streaming: bool = False
    batch: bool = False
    embeddings: bool = False
    tested: tuple[Tested, ...] = ("recorded wire",)


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: how its models are made from a name, what it needs, what it can do.

    Attributes:
        prefix: What stands before the colon in `"prefix:name"`.
        title: Its name, as it is shown.
        can: What it can do.
        model: Where its chat models are made: `"module:Class"` or `"module:Class.method"`, called with the
            name of the model; `None` if it has none.
        embed: The same for its embedding models.
        example: Name of a model of its, for documentation and error messages.
        embed_example: Name of an embedding model of its, where it has chat models, too.
        packages: Packages that must be installed, as they are imported.
        extra: The extra of this package that installs them.
        keys: Environment variables with its key; one of them is enough. Empty if it needs none.
        server: Address of the local server that it expects, if any.
        server_variable: Environment variable that names another one.
        needs_name: A string must name the model.
        options: Further arguments for `model` and `embed`.
        names: Names of its models, if there are no others.
        note: What else there is to know, in a few words.
    """

    prefix: str
    title: str
    can: Capabilities
    model: str | None = None
    embed: str | None = None
    example: str = ""
    embed_example: str = ""
    packages: tuple[str, ...] = ()
    extra: str | None = None
    keys: tuple[str, ...] = ()
    server: str | None = None
    server_variable: str = ""
    needs_name: bool = True
    options: Mapping[str, object] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    note: str = ""

    @property
    def missing_packages(self) -> tuple[str, ...]:
        """The packages that are not installed; nothing is imported."""
        return tuple(package for package in self.packages if not _is_installed(package))

    @property
    def install(self) -> str | None:
        """The command that installs what is missing, `None` if nothing is."""
        if not self.missing_packages or self.extra is None:
            return None
        return f"pip install 'text_lloom[{self.extra}]'"

    @property
    def missing_keys(self) -> tuple[str, ...]:
        """The variables of which one must be set, empty if one is or none is needed."""
        return () if any(os.environ.get(key, "").strip() for key in self.keys) else self.keys

    def example_of(self, kind: Literal["chat", "embeddings"]) -> str:
        """Name of a model of that kind, `""` if none is known."""
        return self.example if kind == "chat" or self.model is None else self.embed_example

    def maker(self, where: str) -> Callable[..., Any]:
        """What `model` or `embed` names."""
        module, _, path = where.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        maker: Callable[..., Any] = found
        return maker


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


_BASIC: Final = (
    Provider(
        "local",
        "Local engine",
        Capabilities(structured="none", usage=False, embeddings=True, tested=("in process",)),
        model="text_lloom.llm.providers.local:LocalModel",
        embed="text_lloom.llm.providers.local:LocalEmbedModel",
        needs_name=False,
        note="no key, no network; keyword-grade concepts",
    ),
    Provider(
        "openai",
        "OpenAI",
        Capabilities(structured="strict", streaming=True, batch=True, embeddings=True),
        model="text_lloom.llm.providers.openai:OpenAIModel",
        embed="text_lloom.llm.providers.openai_embed:OpenAIEmbedModel",
        example="gpt-4o-mini",
        embed_example="text-embedding-3-small",
        keys=("OPENAI_API_KEY",),
        needs_name=False,
    ),
)


_HERE: Final = "text_lloom.llm.providers"


def _compatible(
    server: str,
    example: str,
    *,
    prefix: str | None = None,
    structured: Structured = "strict",
    embeddings: bool = True,
    embed_example: str = "",
    needs_name: bool = True,
    note: str = "",
) -> Provider:
    """A server that speaks OpenAI's protocol; models are named `prefix:name` or `prefix:name@address`."""
    kind = SERVERS[server]
    return Provider(
        prefix or server,
        kind.title,
        Capabilities(structured=structured, streaming=True, embeddings=embeddings),
        model=f"{_HERE}.openai:OpenAIModel.{server}",
        embed=f"{_HERE}.openai_embed:OpenAIEmbedModel.{server}" if embeddings else None,
        example=example,
        embed_example=embed_example,
        keys=() if kind.own else kind.key_variables,
        server=kind.url if kind.own else None,
        server_variable=kind.url_variable or "",
        needs_name=needs_name,
        note=note,
    )


_CLOUD: Final[tuple[Provider, ...]] = (
    Provider(
        "anthropic",
        "Anthropic",
        Capabilities(structured="strict", streaming=True),
        model=f"{_HERE}.anthropic:AnthropicModel",
        example="claude-sonnet-4-5",
        packages=("anthropic",),
        extra="anthropic",
        keys=("ANTHROPIC_API_KEY",),
    ),
    Provider(
        "gemini",
        "Google Gemini",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.gemini:GeminiModel",
        embed=f"{_HERE}.gemini:GeminiEmbedModel",
        example="gemini-2.5-flash",
        embed_example="gemini-embedding-001",
        packages=("google.genai",),
        extra="gemini",
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    Provider(
        "vertex",
        "Google Vertex AI",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.gemini:GeminiModel",
        embed=f"{_HERE}.gemini:GeminiEmbedModel",
        example="gemini-2.5-flash",
        embed_example="gemini-embedding-001",
        packages=("google.genai",),
        extra="gemini",
        options={"vertex": True},
        note="project, region and credentials as Google's tools find them",
    ),
    _compatible(
        "azure",
        "my-deployment",
        note="the name is that of the deployment; its address is in AZURE_OPENAI_ENDPOINT or name@https://…",
    ),
    _compatible("groq", "llama-3.3-70b-versatile", embeddings=False),
    _compatible("mistral", "mistral-small-latest", embed_example="mistral-embed"),
    _compatible("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    _compatible("openrouter", "openai/gpt-4o-mini", note="states what each request cost"),
    _compatible("cohere", "command-a-03-2025", embed_example="embed-v4.0"),
    _compatible("hf_endpoint", "meta-llama/Llama-3.3-70B-Instruct", prefix="hf-endpoint", embeddings=False),
    _compatible("deepseek", "deepseek-chat", structured="JSON mode", embeddings=False),
    _compatible("fireworks", "accounts/fireworks/models/llama-v3p3-70b-instruct"),
    _compatible("xai", "grok-4-fast", embeddings=False),
    _compatible(
        "anyscale",
        "my-model@https://my-service.anyscale.com/v1",
        embeddings=False,
        note="with its address: name@https://my-service.anyscale.com/v1",
    ),
    _compatible("ollama", "llama3.2", embed_example="nomic-embed-text"),
    _compatible("vllm", "meta-llama/Llama-3.1-8B-Instruct", structured="constrained"),
    _compatible("llamacpp_server", "default", prefix="llamacpp-server", needs_name=False),
    _compatible("lmstudio", "qwen2.5-7b-instruct"),
    _compatible("tgi", "tgi", needs_name=False, embeddings=False),
    _compatible(
        "kserve", "llama3@http://host/openai/v1", note="with its address: name@http://host/openai/v1"
    ),
    Provider(
        "any",
        "any-llm",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.anyllm:AnyModel",
        embed=f"{_HERE}.anyllm:AnyEmbedModel",
        example="bedrock:anthropic.claude-3-haiku-20240307-v1:0",
        embed_example="mistral:mistral-embed",
        packages=("any_llm",),
        extra="any",
        note="any:provider:name; the provider decides about keys and forms",
    ),
    Provider(
        "litellm",
        "LiteLLM",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.litellm:LiteLLMModel",
        embed=f"{_HERE}.litellm:LiteLLMEmbedModel",
        example="bedrock/anthropic.claude-3-haiku-20240307-v1:0",
        embed_example="mistral/mistral-embed",
        packages=("litellm",),
        extra="litellm",
        note="the provider decides about keys and forms",
    ),
)


_ON_PREMISES: Final[tuple[Provider, ...]] = (
    Provider(
        "transformers",
        "Hugging Face transformers",
        Capabilities(structured="constrained", streaming=True, embeddings=True, tested=("tiny model",)),
        model="text_lloom.llm.on_device.transformers:TransformersModel",
        embed="text_lloom.llm.on_device.embeddings:TransformersEmbedModel",
        example="Qwen/Qwen3-4B-Instruct-2507",
        embed_example="intfloat/e5-small-v2",
        packages=("torch", "transformers"),
        extra="transformers",
        note="in this process; a folder or an id on the hub",
    ),
    Provider(
        "llama.cpp",
        "llama.cpp",
        Capabilities(structured="constrained", streaming=True, tested=("stand-in",)),
        model="text_lloom.llm.on_device.llamacpp:LlamaCppModel",
        example="models/qwen3-4b.gguf",
        packages=("llama_cpp",),
        extra="llamacpp",
        note="in this process; a GGUF file",
    ),
    Provider(
        "inference-protocol",
        "Open Inference Protocol v2 (KServe, MLServer, Triton)",
        Capabilities(chat=False, structured="none", usage=False, tested=("real server", "recorded wire")),
        note="scores by a classifier; InferenceProtocolModel(url, name, labels=…)",
    ),
    Provider(
        "st",
        "sentence-transformers",
        Capabilities(chat=False, structured="none", embeddings=True, tested=("real weights", "tiny model")),
        embed="text_lloom.llm.on_device.embeddings:SentenceTransformerEmbedModel",
        example="all-MiniLM-L6-v2",
        packages=("sentence_transformers",),
        extra="local",
        needs_name=False,
        note="in this process; a folder or an id on the hub",
    ),
    Provider(
        "model2vec",
        "model2vec",
        Capabilities(chat=False, structured="none", embeddings=True, tested=("tiny model",)),
        embed="text_lloom.llm.on_device.embeddings:Model2VecEmbedModel",
        example="minishlab/potion-base-8M",
        packages=("model2vec",),
        extra="local",
        needs_name=False,
        note="in this process, without torch; a folder or an id on the hub",
    ),
    Provider(
        "sparse",
        "Hashed TF-IDF",
        Capabilities(chat=False, structured="none", usage=False, embeddings=True, tested=("in process",)),
        embed="text_lloom.llm.on_device.embeddings:SparseEmbedModel.named",
        example="1024",
        needs_name=False,
        note="no key, no network, no weights",
    ),
    Provider(
        "hybrid",
        "Several embedding models as one",
        Capabilities(chat=False, structured="none", embeddings=True, tested=("real weights", "in process")),
        embed="text_lloom.llm.embed:HybridEmbedModel.named",
        example="st:all-MiniLM-L6-v2+sparse",
        note="parts joined by +",
    ),
)


_MADE_BY: Final = (
    (("gpt-", "chatgpt", "o1", "o3", "o4", "text-embedding-"), "openai"),
    (("claude",), "anthropic"),
    (("gemini",), "gemini"),
    (("mistral", "ministral", "magistral"), "mistral"),
    (("command-", "embed-"), "cohere"),
    (("deepseek-",), "deepseek"),
    (("grok-",), "xai"),
    (("llama", "qwen", "phi", "gemma"), "ollama"),
    (("all-", "multi-qa-"), "st"),
)
"""How the names of models begin, and who is asked for them."""
_OTHER_NAMES: Final = {
    "aws": "any:bedrock",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "bedrock": "any:bedrock",
    "chatgpt": "openai",
    "claude": "anthropic",
    "databricks": "any:databricks",
    "google": "gemini",
    "grok": "xai",
    "hf": "hf-endpoint",
    "huggingface": "hf-endpoint",
    "llama-cpp": "llama.cpp",
    "llamacpp": "llama.cpp",
    "lm-studio": "lmstudio",
    "perplexity": "any:perplexity",
    "sagemaker": "any:sagemaker",
    "sentence-transformers": "st",
    "tf-idf": "sparse",
    "tfidf": "sparse",
    "vertex-ai": "vertex",
    "vertexai": "vertex",
    "watsonx": "any:watsonx",
}
"""What else people call a provider, and how it is written here."""


def canonical(prefix: str) -> str:
    """A prefix as it is written here: `OpenAI` and `hf_endpoint` are `openai` and `hf-endpoint`."""
    return prefix.strip().lower().replace("_", "-")


def advice_on(spec: str, known: Collection[str]) -> str:
    """What to write instead of a string that names no provider, `""` if that cannot be told.

    Args:
        spec: The string.
        known: The prefixes that would do.
    """
    prefix, colon, name = spec.strip().partition(":")
    before, slash, after = spec.strip().partition("/")
    if not colon and slash and canonical(before) in known and after:
        return f"Write '{canonical(before)}:{after}'. "
    meant = _OTHER_NAMES.get(canonical(prefix), "")
    if meant.partition(":")[0] in known:
        ending = "" if meant == "sparse" else f":{name or '<name>'}"
        return f"Write '{meant}{ending}'. "
    if colon:
        return ""
    for beginnings, provider in _MADE_BY:
        if provider in known and spec.strip().lower().startswith(beginnings):
            return f"Write '{provider}:{spec.strip()}'. "
    return ""


_COLUMNS = ("provider", "string", "chat", "structured output", "usage", "streaming", "batch", "embeddings")


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
    lacking = []
    if provider.missing_packages:
        lacking.append(provider.install or f"the package {provider.missing_packages[0]}")
    if provider.missing_keys:
        lacking.append(" or ".join(provider.missing_keys))
    if lacking:
        return Availability(False, f"needs {' and '.join(lacking)}")
    found = []
    if provider.keys:
        found.append(f"{next(key for key in provider.keys if _is_set(key))} is set")
    if provider.server is not None:
        elsewhere = os.environ.get(provider.server_variable, "").strip()
        found.append(f"if its server runs at {elsewhere or provider.server}")
    if provider.note:
        found.append(provider.note)
    return Availability(True, f"ready: {'; '.join(found)}" if found else "ready")


def capability_table(providers: Sequence[Provider]) -> str:
    """What each provider can do and how that was tested, as a Markdown table."""
    rows = [(*_COLUMNS, "tested with")]
    for provider in providers:
        can = provider.can
        rows.append(
            (
                provider.title,
                _spec(provider),
                _mark(provider.model is not None and can.chat),
                can.structured if can.structured != "none" else "–",
                _mark(can.usage),
                _mark(can.streaming),
                _mark(can.batch),
                _mark(provider.embed is not None and can.embeddings),
                ", ".join(can.tested),
            )
        )
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([header, "|" + "---|" * (len(_COLUMNS) + 1), *body])


def _spec(provider: Provider) -> str:
    """How its models are named by a string, a dash if they are not."""
    if provider.model is None and provider.embed is None:
        return "–"
    return f"`{provider.prefix}{':…' if provider.needs_name else ''}`"


def _mark(can: bool) -> str:
    return "yes" if can else "–"


def _is_set(key: str) -> bool:
    return bool(os.environ.get(key, "").strip())


PROVIDERS: tuple[Provider, ...] = (*_BASIC, *_CLOUD, *_ON_PREMISES)
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
