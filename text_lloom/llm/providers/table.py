"""The table of providers, one entry each: strings, presets, `lloom models` and the docs follow from it.

An entry names the classes of its models by import strings, so that reading the table loads none of them.
Other packages add entries through the entry point group `text_lloom.providers`; see `registry.py`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

__all__ = [
    "PROVIDERS",
    "SERVERS",
    "Capabilities",
    "CompatibleServer",
    "Kind",
    "Provider",
    "Structured",
    "Tested",
    "is_set",
]

Kind: TypeAlias = Literal["chat", "embeddings"]
Structured: TypeAlias = Literal["strict", "constrained", "JSON mode", "prompt", "none"]
"""How a provider keeps a reply to a schema: by its own strict schema, by constrained decoding, as some JSON
object, or because the prompt asks for it. Every reply is validated, and asked for again if it is not."""
Tested: TypeAlias = Literal[
    "real server", "recorded wire", "tiny model", "real weights", "in process", "stand-in", "by its package"
]

_PROVIDERS = "text_lloom.llm.providers"
_ON_DEVICE = "text_lloom.llm.on_device"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do here, and how that was tested.

    Attributes:
        tested: How this was tested: through the real package against a real server, against a local server
            that speaks the recorded wire format, on a tiny random model, with real weights, in process,
            against a stand-in for a package that cannot be installed everywhere, or by the package that adds
            the provider.
        structured: How a reply is kept to a schema; `"none"` without chat models.
        usage: Replies report the tokens of each request.
        streaming: Replies come piece by piece.
        batch: It has a batch API that `score(mode="batch")` can use.
    """

    _: KW_ONLY
    tested: tuple[Tested, ...]
    structured: Structured = "prompt"
    usage: bool = True
    streaming: bool = False
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: how its models are made from a name, what it needs, what it can do.

    Attributes:
        prefix: What stands before the colon in `"prefix:name"`: lower case, `-` between words.
        title: Its name, as it is shown.
        can: What it can do.
        model: What makes its chat models: `"module:Class"` or `"module:Class.method"`, called with the name
            of the model; `None` if it has no chat models.
        embed: The same for its embedding models.
        example: Name of one of its models, for documentation and error messages.
        embed_example: Name of one of its embedding models, where it has chat models, too.
        packages: Packages that must be installed, as they are imported.
        extra: The extra of this package that installs them.
        key_variables: Environment variables with its key; the first that is set is taken.
        own: It runs on the user's own machines: it needs no key, and calls are free unless a price is given.
        needs_name: A string must name the model.
        options: Further arguments for `model` and `embed`.
        note: What else there is to know, in a few words.
        aliases: What else people write before the colon; messages say what to write instead.
        name_starts: How the names of its models begin, for messages about a name without a prefix.
        package: The package that added this entry, `""` for this one.
    """

    prefix: str
    title: str
    can: Capabilities
    _: KW_ONLY
    model: str | None = None
    embed: str | None = None
    example: str = ""
    embed_example: str = ""
    packages: tuple[str, ...] = ()
    extra: str | None = None
    key_variables: tuple[str, ...] = ()
    own: bool = False
    needs_name: bool = True
    options: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    aliases: tuple[str, ...] = ()
    name_starts: tuple[str, ...] = ()
    package: str = ""

    @property
    def missing_packages(self) -> tuple[str, ...]:
        """The packages that are not installed; nothing is imported."""
        return tuple(package for package in self.packages if not _is_installed(package))

    @property
    def install(self) -> str | None:
        """The command that installs what is missing, `None` if nothing is."""
        if not self.missing_packages:
            return None
        wanted = f"'text_lloom[{self.extra}]'" if self.extra else " ".join(self.missing_packages)
        return f"pip install {wanted}"

    @property
    def missing_keys(self) -> tuple[str, ...]:
        """The variables of which one must be set; empty if one is set, or no key is needed."""
        return () if self.own or any(map(is_set, self.key_variables)) else self.key_variables

    def source_of(self, kind: Kind) -> str | None:
        """The import string of what makes its models of that kind, `None` if it has no such models."""
        return self.model if kind == "chat" else self.embed

    def example_of(self, kind: Kind) -> str:
        """Name of a model of that kind, `""` if none is known."""
        return self.example if kind == "chat" or self.model is None else self.embed_example

    def maker(self, source: str) -> Any:
        """What the import string `model` or `embed` names."""
        module, _, path = source.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return found

    def make(self, kind: Kind, name: str, options: Mapping[str, object]) -> Any:
        """A model of this provider.

        Args:
            kind: Chat or embeddings.
            name: Name of the model, `""` for the provider's default.
            options: Arguments of its class.
        """
        make = self.maker(self.source_of(kind) or "")
        return make(*([name] if name else []), **{**self.options, **options})


@dataclass(frozen=True, slots=True)
class CompatibleServer(Provider):
    """A provider whose servers speak OpenAI's formats.

    Its models are `OpenAIModel` and `OpenAIEmbedModel`; `embed=None` if it has no embedding models. A string
    may end with an address: `"prefix:name@http://host:8000/v1"`.

    Attributes:
        url: Its address; `None` when each user has their own.
        url_variable: Environment variable with another address.
        domains: Hosts to which the key of the environment may be sent besides `url`.
        prices: Its id in the price list, if it is there.
        longest: Name of the parameter for the largest number of tokens of a reply.
        params: Names of parameters that it takes beyond the common ones.
        patterns: It keeps a reply to a regular expression.
        packed_vectors: It sends embeddings in base64, which is quicker to read.
        embed_batch: The largest number of texts in one call.
        reports_cost: Its replies state what they cost, in US dollars.
        default_name: Name of the model of a server that has only one.
    """

    _: KW_ONLY
    model: str | None = f"{_PROVIDERS}.openai:OpenAIModel"
    embed: str | None = f"{_PROVIDERS}.openai:OpenAIEmbedModel"
    url: str | None = None
    url_variable: str | None = None
    domains: tuple[str, ...] = ()
    prices: str | None = None
    longest: str = "max_tokens"
    params: frozenset[str] = frozenset({"top_k"})
    patterns: bool = False
    packed_vectors: bool = False
    embed_batch: int = 512
    reports_cost: bool = False
    default_name: str = ""

    @property
    def preset(self) -> str:
        """The name of its preset: `OpenAIModel.<preset>(name)`."""
        return self.prefix.replace("-", "_")

    def make(self, kind: Kind, name: str, options: Mapping[str, object]) -> Any:
        """A model of this provider; see `Provider.make`."""
        return Provider.make(self, kind, name or self.default_name, {"server": self, **options})


def is_set(variable: str) -> bool:
    """Whether an environment variable has a value that is not blank."""
    return bool(os.environ.get(variable, "").strip())


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


_STRICT: Final = Capabilities(structured="strict", streaming=True, tested=("recorded wire",))
_JSON_MODE: Final = Capabilities(structured="JSON mode", streaming=True, tested=("recorded wire",))
_CONSTRAINED: Final = Capabilities(structured="constrained", streaming=True, tested=("recorded wire",))

_OPENAI_PARAMS: Final = frozenset(
    {"logit_bias", "metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "verbosity"}
)
_VLLM_PARAMS: Final = frozenset({"chat_template_kwargs", "min_p", "repetition_penalty", "top_k"})
_OPENROUTER_PARAMS: Final = frozenset(
    {"min_p", "models", "provider", "reasoning", "repetition_penalty", "top_k"}
)

# One paragraph an entry, so that a screen shows several of them.
# fmt: off
PROVIDERS: Final[tuple[Provider, ...]] = (
    Provider(
        "local", "Local engine", Capabilities(structured="none", usage=False, tested=("in process",)),
        model=f"{_PROVIDERS}.local:LocalModel", embed=f"{_PROVIDERS}.local:LocalEmbedModel",
        needs_name=False, note="no key, no network; keyword-grade concepts",
    ),
    CompatibleServer(
        "openai", "OpenAI",
        Capabilities(structured="strict", streaming=True, batch=True, tested=("recorded wire",)),
        url="https://api.openai.com/v1", url_variable="OPENAI_BASE_URL", key_variables=("OPENAI_API_KEY",),
        prices="openai", longest="max_completion_tokens", params=_OPENAI_PARAMS, packed_vectors=True,
        needs_name=False, example="gpt-4o-mini", embed_example="text-embedding-3-small",
        aliases=("chatgpt",), name_starts=("gpt-", "chatgpt", "o1", "o3", "o4", "text-embedding-"),
    ),
    Provider(
        "anthropic", "Anthropic", _STRICT, model=f"{_PROVIDERS}.anthropic:AnthropicModel",
        example="claude-sonnet-4-5", packages=("anthropic",), extra="anthropic",
        key_variables=("ANTHROPIC_API_KEY",), aliases=("claude",), name_starts=("claude",),
    ),
    Provider(
        "gemini", "Google Gemini", _STRICT, model=f"{_PROVIDERS}.gemini:GeminiModel",
        embed=f"{_PROVIDERS}.gemini:GeminiEmbedModel", example="gemini-2.5-flash",
        embed_example="gemini-embedding-001", packages=("google.genai",), extra="gemini",
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"), aliases=("google",), name_starts=("gemini",),
    ),
    Provider(
        "vertex", "Google Vertex AI", _STRICT, model=f"{_PROVIDERS}.gemini:GeminiModel",
        embed=f"{_PROVIDERS}.gemini:GeminiEmbedModel", example="gemini-2.5-flash",
        embed_example="gemini-embedding-001", packages=("google.genai",), extra="gemini",
        options={"vertex": True}, note="project, region and credentials as Google's tools find them",
        aliases=("vertex-ai", "vertexai"),
    ),
    CompatibleServer(
        "azure", "Azure OpenAI", _STRICT, url_variable="AZURE_OPENAI_ENDPOINT",
        key_variables=("AZURE_OPENAI_API_KEY",),
        domains=("openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"),
        prices="azure", params=_OPENAI_PARAMS, packed_vectors=True, example="my-deployment",
        note="the name is that of the deployment; its address is in AZURE_OPENAI_ENDPOINT or name@https://…",
        aliases=("azure-openai", "azureopenai"),
    ),
    CompatibleServer(
        "groq", "Groq", _STRICT, url="https://api.groq.com/openai/v1", url_variable="GROQ_BASE_URL",
        key_variables=("GROQ_API_KEY",), prices="groq", longest="max_completion_tokens",
        params=frozenset({"reasoning_format", "service_tier"}), embed=None,
        example="llama-3.3-70b-versatile",
    ),
    CompatibleServer(
        "mistral", "Mistral", _STRICT, url="https://api.mistral.ai/v1", key_variables=("MISTRAL_API_KEY",),
        prices="mistral", params=frozenset({"prompt_mode", "random_seed", "safe_prompt"}), embed_batch=64,
        example="mistral-small-latest", embed_example="mistral-embed",
        name_starts=("mistral", "ministral", "magistral"),
    ),
    CompatibleServer(
        "together", "Together AI", _STRICT, url="https://api.together.xyz/v1",
        key_variables=("TOGETHER_API_KEY",), prices="together",
        params=frozenset({"min_p", "repetition_penalty", "top_k"}), embed_batch=64,
        example="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    CompatibleServer(
        "openrouter", "OpenRouter", _STRICT, url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEY",), prices="openrouter", params=_OPENROUTER_PARAMS,
        reports_cost=True, example="openai/gpt-4o-mini", note="states what each request cost",
    ),
    CompatibleServer(
        "cohere", "Cohere", _STRICT, url="https://api.cohere.ai/compatibility/v1",
        key_variables=("COHERE_API_KEY", "CO_API_KEY"), prices="cohere", params=frozenset(), embed_batch=96,
        example="command-a-03-2025", embed_example="embed-v4.0", name_starts=("command-", "embed-"),
    ),
    CompatibleServer(
        "hf-endpoint", "Hugging Face inference endpoints", _STRICT, url="https://router.huggingface.co/v1",
        key_variables=("HF_TOKEN",), domains=("huggingface.cloud", "huggingface.co"), embed=None,
        embed_batch=32, example="meta-llama/Llama-3.3-70B-Instruct", aliases=("hf", "huggingface"),
    ),
    CompatibleServer(
        "deepseek", "DeepSeek", _JSON_MODE, url="https://api.deepseek.com/v1",
        key_variables=("DEEPSEEK_API_KEY",), prices="deepseek", embed=None, example="deepseek-chat",
        name_starts=("deepseek-",),
    ),
    CompatibleServer(
        "fireworks", "Fireworks AI", _STRICT, url="https://api.fireworks.ai/inference/v1",
        key_variables=("FIREWORKS_API_KEY",), prices="fireworks",
        example="accounts/fireworks/models/llama-v3p3-70b-instruct",
    ),
    CompatibleServer(
        "xai", "xAI", _STRICT, url="https://api.x.ai/v1", key_variables=("XAI_API_KEY",), prices="x-ai",
        embed=None, example="grok-4-fast", aliases=("grok",), name_starts=("grok-",),
    ),
    CompatibleServer(
        "anyscale", "Anyscale services", _STRICT, url_variable="ANYSCALE_BASE_URL",
        key_variables=("ANYSCALE_API_KEY",), domains=("anyscale.com",), embed=None,
        example="my-model@https://my-service.anyscale.com/v1",
        note="with its address: name@https://my-service.anyscale.com/v1",
    ),
    CompatibleServer(
        "ollama", "Ollama", _STRICT, url="http://localhost:11434/v1", url_variable="OLLAMA_HOST",
        key_variables=("OLLAMA_API_KEY",), own=True, example="llama3.2", embed_example="nomic-embed-text",
        name_starts=("llama", "qwen", "phi", "gemma"),
    ),
    CompatibleServer(
        "vllm", "vLLM", _CONSTRAINED, url="http://localhost:8000/v1", key_variables=("VLLM_API_KEY",),
        own=True, params=_VLLM_PARAMS, patterns=True, example="meta-llama/Llama-3.1-8B-Instruct",
    ),
    CompatibleServer(
        "llamacpp-server", "llama.cpp server", _STRICT, url="http://localhost:8080/v1",
        key_variables=("LLAMA_API_KEY",), own=True, params=frozenset({"min_p", "repeat_penalty", "top_k"}),
        needs_name=False, default_name="default", example="default",
    ),
    CompatibleServer(
        "lmstudio", "LM Studio", _STRICT, url="http://localhost:1234/v1", own=True,
        example="qwen2.5-7b-instruct", aliases=("lm-studio",),
    ),
    CompatibleServer(
        "tgi", "Text Generation Inference", _STRICT, url="http://localhost:8080/v1", own=True, embed=None,
        needs_name=False, default_name="tgi", example="tgi",
    ),
    CompatibleServer(
        "kserve", "KServe", _STRICT, own=True, params=_VLLM_PARAMS, patterns=True,
        example="llama3@http://host/openai/v1", note="with its address: name@http://host/openai/v1",
    ),
    Provider(
        "any", "any-llm", _STRICT, model=f"{_PROVIDERS}.anyllm:AnyModel",
        embed=f"{_PROVIDERS}.anyllm:AnyEmbedModel",
        example="bedrock:anthropic.claude-3-haiku-20240307-v1:0", embed_example="mistral:mistral-embed",
        packages=("any_llm",), extra="any",
        note="any:provider:name; the provider decides about keys and forms",
    ),
    Provider(
        "litellm", "LiteLLM", _STRICT, model=f"{_PROVIDERS}.litellm:LiteLLMModel",
        embed=f"{_PROVIDERS}.litellm:LiteLLMEmbedModel",
        example="bedrock/anthropic.claude-3-haiku-20240307-v1:0", embed_example="mistral/mistral-embed",
        packages=("litellm",), extra="litellm", note="the provider decides about keys and forms",
    ),
    Provider(
        "transformers", "Hugging Face transformers",
        Capabilities(structured="constrained", streaming=True, tested=("tiny model",)),
        model=f"{_ON_DEVICE}.transformers:TransformersModel",
        embed=f"{_ON_DEVICE}.embeddings:TransformersEmbedModel", example="Qwen/Qwen3-4B-Instruct-2507",
        embed_example="intfloat/e5-small-v2", packages=("torch", "transformers"), extra="transformers",
        note="in this process; a folder or an id on the hub",
    ),
    Provider(
        "llama.cpp", "llama.cpp",
        Capabilities(structured="constrained", streaming=True, tested=("stand-in",)),
        model=f"{_ON_DEVICE}.llamacpp:LlamaCppModel", example="models/qwen3-4b.gguf",
        packages=("llama_cpp",), extra="llamacpp", note="in this process; a GGUF file",
        aliases=("llama-cpp", "llamacpp"),
    ),
    Provider(
        "inference-protocol", "Open Inference Protocol v2 (KServe, MLServer, Triton)",
        Capabilities(structured="none", usage=False, tested=("real server", "recorded wire")),
        note="scores by a classifier; InferenceProtocolModel(url, name, labels=…)",
    ),
    Provider(
        "st", "sentence-transformers",
        Capabilities(structured="none", tested=("real weights", "tiny model")),
        embed=f"{_ON_DEVICE}.embeddings:SentenceTransformerEmbedModel", example="all-MiniLM-L6-v2",
        packages=("sentence_transformers",), extra="local", needs_name=False,
        note="in this process; a folder or an id on the hub", aliases=("sentence-transformers",),
        name_starts=("all-", "multi-qa-"),
    ),
    Provider(
        "model2vec", "model2vec", Capabilities(structured="none", tested=("tiny model",)),
        embed=f"{_ON_DEVICE}.embeddings:Model2VecEmbedModel", example="minishlab/potion-base-8M",
        packages=("model2vec",), extra="local", needs_name=False,
        note="in this process, without torch; a folder or an id on the hub",
    ),
    Provider(
        "sparse", "Hashed TF-IDF", Capabilities(structured="none", usage=False, tested=("in process",)),
        embed=f"{_ON_DEVICE}.embeddings:SparseEmbedModel.named", example="1024", needs_name=False,
        note="no key, no network, no weights", aliases=("tf-idf", "tfidf"),
    ),
    Provider(
        "hybrid", "Several embedding models as one",
        Capabilities(structured="none", tested=("real weights", "in process")),
        embed="text_lloom.llm.embed:HybridEmbedModel.named", example="st:all-MiniLM-L6-v2+sparse",
        note="parts joined by +",
    ),
)
# fmt: on
"""All providers of this package, in the order in which they are listed."""

SERVERS: Final[Mapping[str, CompatibleServer]] = MappingProxyType(
    {provider.preset: provider for provider in PROVIDERS if isinstance(provider, CompatibleServer)}
)
"""The providers whose servers speak OpenAI's formats, by the names of their presets."""
