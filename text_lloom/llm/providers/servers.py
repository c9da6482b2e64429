"""Servers that speak OpenAI's formats: where they are, which key they take, what is special about them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from text_lloom.errors import (
    AuthenticationFailed,
    InputError,
    ModelError,
    ModelNotFound,
    ModelSetupError,
    PermanentError,
    TransientError,
    UnknownName,
)
from text_lloom.llm.control.prices import known_context_window, known_price
from text_lloom.llm.runtime.http import JsonClient

__all__ = [
    "NO_KEY",
    "SERVERS",
    "Address",
    "AzureAddress",
    "Presets",
    "Server",
    "Service",
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


class Service:
    """The server behind a model: its address, its key, its client."""

    def __init__(
        self, server: str, name: str, api_key: str | None, base_url: str | None, api_version: str | None
    ) -> None:
        address = address_of(server, name, base_url)
        self.kind = server_named(server)
        self.server, self.name = server, address.name
        self.key = key_for(server, api_key, address)
        self.given = address.given
        self.url, self.query = address.url, ""
        if server == "azure":
            self.url, self.query = azure_address(address, api_version)

    def client(self, timeout: float) -> JsonClient:
        """A client for this server.

        Raises:
            ModelSetupError: When there is no key.
        """
        if self.key is None:
            raise missing_key(self.server)
        header = {"Authorization": f"Bearer {self.key}"}
        if self.server == "azure":
            header = {"api-key": self.key}
        return JsonClient(self.url, headers=header, timeout=timeout)

    def advised(self, found: ModelError, error: Exception) -> ModelError:
        """An error of a server of one's own, with what to do when its address may be at fault.

        Args:
            found: The error, as it is raised.
            error: What it was made of.
        """
        if type(found) is AuthenticationFailed and self.key == NO_KEY:
            return AuthenticationFailed(
                f"{found} No key was sent to {self.url}: give it with api_key=, since a key of the "
                f"environment goes to its own provider only."
            )
        if not self.kind.own and not (self.given and self.server == "openai"):
            return found
        status = getattr(error, "status_code", None)
        is_name = "model" in str(error).lower()
        if type(found) in (ModelNotFound, PermanentError) and status in (404, 405) and not is_name:
            return type(found)(
                f"{found} If the name is right, the address {self.url} may not be: most end with /v1."
            )
        is_away = isinstance(error, OSError) and not isinstance(error, TimeoutError)
        if type(found) is TransientError and is_away:
            return TransientError(f"{found} Is a server running at {self.url}?")
        return found

    @property
    def provider_key(self) -> str:
        """Identifies the service."""
        known = self.server == "openai" and not self.given
        return "openai:" if known else f"openai:{self.url}{self.query}"

    def price(self, cost: object) -> object:
        """The price: the one given, that of the list, or nothing for a server of one's own."""
        if cost is not None:
            return cost
        if self.kind.own:
            return 0
        if self.kind.prices is None or (self.given and self.server != "azure"):
            return None
        return known_price(self.name, self.kind.prices)

    def window(self, context_window: int | None) -> int | None:
        """The context window: the one given, or that of the list."""
        if context_window or self.kind.prices is None or (self.given and self.server != "azure"):
            return context_window
        return known_context_window(self.name, self.kind.prices)


class Presets:
    """Models by the kind of server that has them; every method takes the arguments of the class."""

    @classmethod
    def _at(cls, server: str, name: str, settings: dict[str, Any]) -> Self:
        return cls(name, server=server, **settings)  # type: ignore[call-arg]

    @classmethod
    def azure(
        cls,
        name: str,
        *,
        endpoint: str | None = None,
        api_version: str | None = None,
        **settings: Any,
    ) -> Self:
        """A deployment at Azure OpenAI; the key comes from `AZURE_OPENAI_API_KEY`.

        Args:
            name: Name of the deployment.
            endpoint: Such as `https://my-resource.openai.azure.com`; else `AZURE_OPENAI_ENDPOINT`.
            api_version: Such as `"2024-10-21"`; else `OPENAI_API_VERSION`. Without either, Azure's
                version-free address (`/openai/v1`) is used.
            **settings: As for the class.
        """
        return cls._at("azure", name, {"base_url": endpoint, "api_version": api_version, **settings})

    @classmethod
    def groq(cls, name: str, **settings: Any) -> Self:
        """A model at Groq; the key comes from `GROQ_API_KEY`."""
        return cls._at("groq", name, settings)

    @classmethod
    def mistral(cls, name: str, **settings: Any) -> Self:
        """A model at Mistral; the key comes from `MISTRAL_API_KEY`."""
        return cls._at("mistral", name, settings)

    @classmethod
    def together(cls, name: str, **settings: Any) -> Self:
        """A model at Together AI; the key comes from `TOGETHER_API_KEY`."""
        return cls._at("together", name, settings)

    @classmethod
    def openrouter(cls, name: str, **settings: Any) -> Self:
        """A model at OpenRouter, which states the cost; the key comes from `OPENROUTER_API_KEY`."""
        return cls._at("openrouter", name, settings)

    @classmethod
    def cohere(cls, name: str, **settings: Any) -> Self:
        """A model at Cohere's compatible endpoint; the key comes from `COHERE_API_KEY`."""
        return cls._at("cohere", name, settings)

    @classmethod
    def hf_endpoint(cls, name: str, **settings: Any) -> Self:
        """A model at Hugging Face: its router, or an inference endpoint (`base_url=`); key `HF_TOKEN`."""
        return cls._at("hf_endpoint", name, settings)

    @classmethod
    def deepseek(cls, name: str, **settings: Any) -> Self:
        """A model at DeepSeek; the key comes from `DEEPSEEK_API_KEY`."""
        return cls._at("deepseek", name, settings)

    @classmethod
    def fireworks(cls, name: str, **settings: Any) -> Self:
        """A model at Fireworks AI; the key comes from `FIREWORKS_API_KEY`."""
        return cls._at("fireworks", name, settings)

    @classmethod
    def xai(cls, name: str, **settings: Any) -> Self:
        """A model at xAI; the key comes from `XAI_API_KEY`."""
        return cls._at("xai", name, settings)

    @classmethod
    def anyscale(cls, name: str, **settings: Any) -> Self:
        """A model of an Anyscale service, at `base_url=`; the key comes from `ANYSCALE_API_KEY`."""
        return cls._at("anyscale", name, settings)

    @classmethod
    def ollama(cls, name: str, **settings: Any) -> Self:
        """A model of an Ollama server, at `OLLAMA_HOST` or http://localhost:11434; free."""
        return cls._at("ollama", name, settings)

    @classmethod
    def vllm(cls, name: str, **settings: Any) -> Self:
        """A model of a vLLM server, at http://localhost:8000/v1 unless `base_url=` says otherwise; free."""
        return cls._at("vllm", name, settings)

    @classmethod
    def llamacpp_server(cls, name: str = "default", **settings: Any) -> Self:
        """The model of a llama.cpp server, at http://localhost:8080/v1 unless `base_url=` is given; free."""
        return cls._at("llamacpp_server", name, settings)

    @classmethod
    def lmstudio(cls, name: str, **settings: Any) -> Self:
        """A model of LM Studio, at http://localhost:1234/v1 unless `base_url=` says otherwise; free."""
        return cls._at("lmstudio", name, settings)

    @classmethod
    def tgi(cls, name: str = "tgi", **settings: Any) -> Self:
        """The model of a Text Generation Inference server: http://localhost:8080/v1 or `base_url=`; free."""
        return cls._at("tgi", name, settings)

    @classmethod
    def kserve(cls, name: str, **settings: Any) -> Self:
        """A model served by KServe, at `base_url="http://host/openai/v1"`; free."""
        return cls._at("kserve", name, settings)
