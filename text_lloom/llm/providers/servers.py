"""The server behind a model that speaks OpenAI's formats: its address, its key, its price, its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any, Final, ParamSpec, Self, TypeVar, cast
from urllib.parse import urlsplit

from text_lloom.errors import (
    AuthenticationFailed,
    InputError,
    ModelError,
    ModelNotFound,
    PermanentError,
    TransientError,
    UnknownName,
)
from text_lloom.llm.control.prices import known_context_window, known_price
from text_lloom.llm.options import NO_KEY, key_from, missing_key
from text_lloom.llm.providers.table import SERVERS, CompatibleServer
from text_lloom.llm.runtime.http import JsonClient

__all__ = ["Presets", "ServerConnection"]

_NO_SCHEME: Final = re.compile(r"@(?:[\w.-]+:\d+(?:/|\Z)|https?:/*\Z)")
_ENDPOINT: Final = re.compile(r"(?<=\w)/(?:chat/completions|completions|responses|embeddings)\Z")
"""What people copy with an address, and we append ourselves."""
_ADDRESS: Final = re.compile(r"(?P<name>.*)@(?P<url>https?://.+)", re.DOTALL)


class ServerConnection:
    """The server behind a model.

    Args:
        server: The kind of server, or the name of one in the table.
        name: Name of the model, perhaps with the address of its server: `"name@http://host:8000/v1"`.
        api_key: The key that was given, if any.
        base_url: The address, when it is given by itself.
        api_version: Of Azure's interface; `None` for that of `OPENAI_API_VERSION`, `"v1"` for the
            version-free address.

    Attributes:
        server: The kind of server.
        name: Name of the model.
        key: The key to send: the one given, or that of the server's own variable, for its own address only;
            `None` when a key is needed and missing.
        is_elsewhere: The user gave the address.
        url: The base address.
        query: The query that every request has.

    Raises:
        UnknownName: When there is no such kind of server; names the nearest.
        InputError: When the address is missing, given twice or malformed, or the key is not a string.
    """

    def __init__(
        self,
        server: str | CompatibleServer,
        name: str,
        api_key: str | None,
        base_url: str | None,
        api_version: str | None,
    ) -> None:
        if isinstance(server, str):
            if server not in SERVERS:
                raise UnknownName(server, SERVERS, what="server")
            server = SERVERS[server]
        self.server = server
        if (found := _ADDRESS.fullmatch(name)) is not None:
            if base_url is not None:
                raise InputError(
                    f"{name!r} names an address, and base_url={base_url!r} another one; give one."
                )
            name, base_url = found["name"], found["url"]
        elif _NO_SCHEME.search(name):
            raise InputError(
                f"{name!r} names an address without its http://. Write 'name@http://host:8000/v1'."
            )
        self.name = name
        self.is_elsewhere = base_url is not None
        usual = _usual_url(server, name) if base_url is None else base_url
        self.url, self.query = _checked_url(usual), ""
        is_foreign = self.is_elsewhere and not _is_at(urlsplit(self.url).hostname or "", server)
        key = key_from(server.key_variables, api_key, is_elsewhere=is_foreign)
        self.key = key or (NO_KEY if is_foreign or server.own else None)
        if server.prefix == "azure":
            version = api_version or os.environ.get("OPENAI_API_VERSION") or "v1"
            endpoint = self.url.partition("/openai")[0]
            is_dated = version not in ("v1", "preview", "latest")
            self.url = f"{endpoint}/openai/{f'deployments/{name}' if is_dated else 'v1'}"
            self.query = "" if version == "v1" else f"?api-version={version}"

    def client(self, timeout: float) -> JsonClient:
        """A client for this server.

        Raises:
            ModelSetupError: When there is no key.
        """
        if self.key is None:
            raise missing_key(self.server.title, self.server.key_variables)
        is_azure = self.server.prefix == "azure"
        header = {"api-key": self.key} if is_azure else {"Authorization": f"Bearer {self.key}"}
        return JsonClient(self.url, headers=header, timeout=timeout)

    def advised(self, found: ModelError, error: Exception) -> ModelError:
        """An error, with what to do when the address or the missing key may be the cause.

        Args:
            found: The error, as it would be raised.
            error: What the client raised.
        """
        if type(found) is AuthenticationFailed and self.key == NO_KEY:
            return AuthenticationFailed(
                f"{found} No key was sent to {self.url}: give it with api_key=, since a key of the "
                f"environment goes to its own provider only."
            )
        if not self.server.own and not self.is_unknown:
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
    def is_unknown(self) -> bool:
        """It is some server at an address that the user gave, of which nothing else is known."""
        return self.server.prefix == "openai" and self.is_elsewhere

    @property
    def base_url(self) -> str | None:
        """The address, `None` for that of OpenAI."""
        return self.url if self.is_elsewhere or self.server.prefix != "openai" else None

    @property
    def provider_key(self) -> str:
        """Identifies the service."""
        known = self.server.prefix == "openai" and not self.is_elsewhere
        return "openai:" if known else f"openai:{self.url}{self.query}"

    def price(self, cost: object) -> object:
        """The price: the one given, that of the list, or 0 for servers on the user's own machines."""
        if cost is not None:
            return cost
        if self.server.own:
            return 0
        return known_price(self.name, self.server.prices) if self._is_listed else None

    def window(self, context_window: int | None) -> int | None:
        """The context window: the one given, or that of the price list."""
        if context_window or not self._is_listed:
            return context_window
        return known_context_window(self.name, self.server.prices)

    @property
    def _is_listed(self) -> bool:
        is_own_address = not self.is_elsewhere or self.server.prefix == "azure"
        return self.server.prices is not None and is_own_address


P = ParamSpec("P")
M = TypeVar("M")


class Preset:
    """Makes models of the server that has the name of this attribute; takes the arguments of the class."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._server = SERVERS[name]

    def __get__(self, instance: object, owner: Callable[P, M]) -> Callable[P, M]:
        server, make = self._server, cast(Callable[..., M], owner)
        title = f"{getattr(owner, '__name__', '')}.{server.preset}"

        def preset(name: str = server.default_name, *args: Any, **options: Any) -> M:
            if not name:
                raise InputError(f"{title} names no model. Write {title}({server.example!r}).")
            return make(name, *args, server=server.preset, **options)

        shown = [p for p in signature(owner).parameters.values() if p.name not in ("name", "server")]
        first = signature(preset).parameters["name"].replace(default=server.default_name or Parameter.empty)
        vars(preset)["__signature__"] = Signature([first, *shown])
        preset.__name__, preset.__qualname__, preset.__doc__ = server.preset, title, _described(server)
        return cast(Callable[P, M], preset)


class Presets:
    """Models by the kind of server that has them; every method takes the arguments of the class."""

    groq = Preset()
    mistral = Preset()
    together = Preset()
    openrouter = Preset()
    cohere = Preset()
    hf_endpoint = Preset()
    deepseek = Preset()
    fireworks = Preset()
    xai = Preset()
    anyscale = Preset()
    ollama = Preset()
    vllm = Preset()
    llamacpp_server = Preset()
    lmstudio = Preset()
    tgi = Preset()
    kserve = Preset()

    @classmethod
    def azure(
        cls, name: str, *, endpoint: str | None = None, api_version: str | None = None, **options: Any
    ) -> Self:
        """A deployment at Azure OpenAI; the key comes from `AZURE_OPENAI_API_KEY`.

        Args:
            name: Name of the deployment.
            endpoint: Such as `https://my-resource.openai.azure.com`; else `AZURE_OPENAI_ENDPOINT`.
            api_version: Such as `"2024-10-21"`; else `OPENAI_API_VERSION`. Without either, Azure's
                version-free address (`/openai/v1`) is used.
            **options: As for the class.
        """
        at: dict[str, Any] = {"server": "azure", "base_url": endpoint, "api_version": api_version}
        return cls(name, **at, **options)  # type: ignore[call-arg]


def _described(server: CompatibleServer) -> str:
    """The docstring of a preset."""
    place = f"`{server.url_variable}` or {server.url}" if server.url_variable else f"{server.url}"
    if server.url is None:
        place = "the address `base_url=`"
    if not server.own:
        at = "" if server.url else f", at {place}"
        return f"A model at {server.title}{at}; the key comes from `{server.key_variables[0]}`."
    other = " unless `base_url=` says otherwise" if server.url else ""
    return f"A model of {server.title}, at {place}{other}; free unless a cost is given."


def _usual_url(server: CompatibleServer, name: str) -> str:
    """The address of a server when the user gives none: that of the environment, or its own."""
    variable = server.url_variable
    url = os.environ.get(variable) if variable else None
    if url and server.prefix == "ollama":
        return _ollama_url(url)
    if url or server.url:
        return url or server.url or ""
    or_variable = f" or the environment variable {variable}" if variable else ""
    raise InputError(
        f"{server.title} has no address that is the same for all: give it with base_url={or_variable}, "
        f"or write '{name or 'name'}@http://host{'/openai' if server.prefix == 'kserve' else ''}/v1'."
    )


def _checked_url(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(
            f"base_url={url!r} must be an address such as http://localhost:8000/v1; leave it out for the "
            f"usual one."
        )
    return _ENDPOINT.sub("", url.rstrip("/"))


def _is_at(host: str, server: CompatibleServer) -> bool:
    """Whether a host belongs to a provider, so that its key may be sent there."""
    own = urlsplit(server.url or "").hostname
    return not server.own and any(
        host == domain or host.endswith(f".{domain}") for domain in (*server.domains, own) if domain
    )


def _ollama_url(host: str) -> str:
    """The address of the endpoints, from how Ollama names its host (`127.0.0.1`, `http://gpu:11434`)."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    name = "localhost" if parts.hostname in (None, "0.0.0.0") else parts.hostname  # noqa: S104
    port = parts.port or (443 if parts.scheme == "https" else 11434)
    return f"{parts.scheme}://{name}:{port}/v1"
