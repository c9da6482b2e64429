"""Servers that speak OpenAI's formats: where they are, which key they take, what is special about them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from text_lloom.errors import InputError, ModelSetupError, UnknownName

__all__ = [
    "NO_KEY",
    "SERVERS",
    "Address",
    "AzureAddress",
    "Server",
    "address_of",
    "azure_address",
    "key_for",
    "missing_key",
    "server_named",
]

NO_KEY: Final = "EMPTY"
"""What is sent where there is no key; servers of one's own take anything."""
_NO_SCHEME: Final = re.compile(r"@(?:[\w.-]+:\d+(?:/|\Z)|https?:/*\Z)")
_ENDPOINT: Final = re.compile(r"(?<=\w)/(?:chat/completions|completions|responses|embeddings)\Z")
"""What people copy with an address, and we append ourselves."""
_ADDRESS: Final = re.compile(r"(?P<name>.*)@(?P<url>https?://.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of server.

    Attributes:
        title: Its name, as it is shown.
        url: Its address; `None` when each user has their own.
        url_variable: Environment variable with the address, if it has one.
        key_variables: Environment variables with the key; the first that is set is taken.
        domains: Hosts to which the key of the environment may be sent besides `url`.
        own: It runs on machines of one's own: calls are free unless a price is given, and no key is needed.
        prices: Its id in the price list, if it is there.
        longest: Name of the parameter for the largest number of tokens of a reply.
        extra_params: Names of parameters that it takes beyond the common ones.
        packed_vectors: It sends embeddings in base64, which is quicker to read.
        embed_batch: The largest number of texts in one call.
        reports_cost: Its replies state what they cost, in US dollars.
    """

    title: str
    url: str | None = None
    url_variable: str | None = None
    key_variables: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    own: bool = False
    prices: str | None = None
    longest: str = "max_tokens"
    extra_params: frozenset[str] = frozenset({"top_k"})
    packed_vectors: bool = False
    embed_batch: int = 512
    reports_cost: bool = False


_OPENAI_PARAMS = frozenset(
    {"logit_bias", "metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "verbosity"}
)
_VLLM_PARAMS = frozenset({"chat_template_kwargs", "min_p", "repetition_penalty", "top_k"})

SERVERS: Final[Mapping[str, Server]] = MappingProxyType(
    {
        "openai": Server(
            "OpenAI",
            "https://api.openai.com/v1",
            "OPENAI_BASE_URL",
            ("OPENAI_API_KEY",),
            prices="openai",
            longest="max_completion_tokens",
            extra_params=_OPENAI_PARAMS,
            packed_vectors=True,
        ),
        "azure": Server(
            "Azure OpenAI",
            None,
            "AZURE_OPENAI_ENDPOINT",
            ("AZURE_OPENAI_API_KEY",),
            ("openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"),
            prices="azure",
            extra_params=_OPENAI_PARAMS,
            packed_vectors=True,
        ),
        "groq": Server(
            "Groq",
            "https://api.groq.com/openai/v1",
            "GROQ_BASE_URL",
            ("GROQ_API_KEY",),
            prices="groq",
            longest="max_completion_tokens",
            extra_params=frozenset({"reasoning_format", "service_tier"}),
        ),
        "mistral": Server(
            "Mistral",
            "https://api.mistral.ai/v1",
            None,
            ("MISTRAL_API_KEY",),
            prices="mistral",
            extra_params=frozenset({"prompt_mode", "random_seed", "safe_prompt"}),
            embed_batch=64,
        ),
        "together": Server(
            "Together AI",
            "https://api.together.xyz/v1",
            None,
            ("TOGETHER_API_KEY",),
            prices="together",
            extra_params=frozenset({"min_p", "repetition_penalty", "top_k"}),
            embed_batch=64,
        ),
        "openrouter": Server(
            "OpenRouter",
            "https://openrouter.ai/api/v1",
            None,
            ("OPENROUTER_API_KEY",),
            prices="openrouter",
            extra_params=frozenset(
                {"min_p", "models", "provider", "reasoning", "repetition_penalty", "top_k"}
            ),
            reports_cost=True,
        ),
        "cohere": Server(
            "Cohere",
            "https://api.cohere.ai/compatibility/v1",
            None,
            ("COHERE_API_KEY", "CO_API_KEY"),
            prices="cohere",
            extra_params=frozenset(),
            embed_batch=96,
        ),
        "hf_endpoint": Server(
            "Hugging Face inference endpoints",
            "https://router.huggingface.co/v1",
            None,
            ("HF_TOKEN",),
            ("huggingface.cloud", "huggingface.co"),
            extra_params=frozenset({"top_k"}),
            embed_batch=32,
        ),
        "deepseek": Server(
            "DeepSeek", "https://api.deepseek.com/v1", None, ("DEEPSEEK_API_KEY",), prices="deepseek"
        ),
        "fireworks": Server(
            "Fireworks AI",
            "https://api.fireworks.ai/inference/v1",
            None,
            ("FIREWORKS_API_KEY",),
            prices="fireworks",
        ),
        "xai": Server("xAI", "https://api.x.ai/v1", None, ("XAI_API_KEY",), prices="x-ai"),
        "anyscale": Server(
            "Anyscale services", None, "ANYSCALE_BASE_URL", ("ANYSCALE_API_KEY",), ("anyscale.com",)
        ),
        "ollama": Server("Ollama", "http://localhost:11434/v1", "OLLAMA_HOST", ("OLLAMA_API_KEY",), own=True),
        "vllm": Server(
            "vLLM", "http://localhost:8000/v1", None, ("VLLM_API_KEY",), own=True, extra_params=_VLLM_PARAMS
        ),
        "llamacpp_server": Server(
            "llama.cpp server",
            "http://localhost:8080/v1",
            None,
            ("LLAMA_API_KEY",),
            own=True,
            extra_params=frozenset({"min_p", "repeat_penalty", "top_k"}),
        ),
        "lmstudio": Server("LM Studio", "http://localhost:1234/v1", own=True),
        "tgi": Server("Text Generation Inference", "http://localhost:8080/v1", own=True),
        "kserve": Server("KServe", None, own=True, extra_params=_VLLM_PARAMS),
    }
)
"""Every kind of server by its name."""


class AzureAddress(NamedTuple):
    """Where a deployment is: the base address, and the query that every request has."""

    url: str
    query: str


class Address(NamedTuple):
    """Where a model is: its name, the address of its server, whether the user gave that."""

    name: str
    url: str
    given: bool


def server_named(name: str) -> Server:
    """The kind of server with that name.

    Raises:
        UnknownName: When there is none; names the nearest.
    """
    if name not in SERVERS:
        raise UnknownName(name, SERVERS, what="server")
    return SERVERS[name]


def address_of(server: str, name: str, base_url: str | None) -> Address:
    """Where a model is.

    Args:
        server: The kind of server.
        name: Name of the model, perhaps with the address of its server: `"name@http://host:8000/v1"`.
        base_url: The address, when it is given by itself.

    Raises:
        InputError: When the address is missing or given twice, or is none.
    """
    kind = server_named(server)
    found = _ADDRESS.fullmatch(name)
    if found is not None:
        if base_url is not None:
            raise InputError(f"{name!r} names an address, and base_url={base_url!r} another one; give one.")
        name, base_url = found["name"], found["url"]
    elif _NO_SCHEME.search(name):
        raise InputError(f"{name!r} names an address without its http://. Write 'name@http://host:8000/v1'.")
    url = base_url
    if url is None and kind.url_variable is not None:
        url = os.environ.get(kind.url_variable) or None
        if url is not None and server == "ollama":
            url = _ollama_url(url)
    url = url or kind.url
    if url is None:
        variable = f" or the environment variable {kind.url_variable}" if kind.url_variable else ""
        raise InputError(
            f"{kind.title} has no address that is the same for all: give it with base_url={variable}, "
            f"or write '{name or 'name'}@http://host{'/openai' if server == 'kserve' else ''}/v1'."
        )
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"base_url={url!r} must be an address such as http://localhost:8000/v1.")
    url = _ENDPOINT.sub("", url.rstrip("/"))
    return Address(name, url, base_url is not None)


def key_for(server: str, api_key: str | None, address: Address) -> str | None:
    """The key to send: the one given, or that of the server's own variable, for its own address only.

    Returns:
        `None` when a key is needed and there is none; `missing_key` says what to do then.

    Raises:
        InputError: When the key is no string.
    """
    if api_key is not None and not isinstance(api_key, str):
        raise InputError(f"api_key must be a string, but is {type(api_key).__name__}.")
    if api_key and (key := api_key.strip()):
        return key
    kind = server_named(server)
    found = next((key for name in kind.key_variables if (key := os.environ.get(name, "").strip())), None)
    if address.given and not _is_at(urlsplit(address.url).hostname or "", kind):
        return NO_KEY
    return found or (NO_KEY if kind.own else None)


def missing_key(server: str) -> ModelSetupError:
    """The error that says which key is missing, and how to give it."""
    kind = server_named(server)
    variable = kind.key_variables[0] if kind.key_variables else "…"
    return ModelSetupError(
        f"No {kind.title} key was found. Set the environment variable {variable}, or pass api_key=. "
        f"(Without a key, the local engine runs: leave the models out.)"
    )


def azure_address(address: Address, api_version: str | None) -> AzureAddress:
    """Azure's base address and query for a deployment.

    Args:
        address: The deployment, and the endpoint of the resource.
        api_version: `None` for that of `OPENAI_API_VERSION`; `"v1"` for the version-free address.
    """
    version = api_version or os.environ.get("OPENAI_API_VERSION") or "v1"
    endpoint = address.url.partition("/openai")[0]
    if version in ("v1", "preview", "latest"):
        return AzureAddress(f"{endpoint}/openai/v1", "" if version == "v1" else f"?api-version={version}")
    return AzureAddress(f"{endpoint}/openai/deployments/{address.name}", f"?api-version={version}")


def _is_at(host: str, kind: Server) -> bool:
    """Whether a host belongs to a provider, so that its key may be sent there."""
    own = urlsplit(kind.url or "").hostname
    return not kind.own and any(
        host == domain or host.endswith(f".{domain}") for domain in (*kind.domains, own) if domain
    )


def _ollama_url(host: str) -> str:
    """The address of the endpoints, from how Ollama names its host (`127.0.0.1`, `http://gpu:11434`)."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    name = "localhost" if parts.hostname in (None, "0.0.0.0") else parts.hostname  # noqa: S104
    port = parts.port or (443 if parts.scheme == "https" else 11434)
    return f"{parts.scheme}://{name}:{port}/v1"
