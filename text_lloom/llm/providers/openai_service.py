"""The server behind a model that speaks OpenAI's protocol: its address, key, client and prices."""

from __future__ import annotations

from text_lloom.errors import AuthenticationFailed, ModelError, ModelNotFound, PermanentError, TransientError
from text_lloom.llm.pricing import known_context_window, known_price
from text_lloom.llm.providers.compatible import (
    NO_KEY,
    address_of,
    azure_address,
    key_for,
    missing_key,
    server_named,
)
from text_lloom.llm.wire import JsonClient

__all__ = ["Service"]


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
