"""Where Google's models are asked, and as whom: the Developer API or Vertex AI."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from text_lloom.errors import ModelSetupError
from text_lloom.llm.providers.sdk import checked_url, imported, key_from, no_key

__all__ = ["GoogleService"]

_KEYS: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")


@dataclass(frozen=True)
class GoogleService:
    """Where Google's models are asked, and as whom."""

    vertex: bool
    project: str | None
    location: str | None
    credentials: object = field(repr=False)
    base_url: str | None

    def __post_init__(self) -> None:
        checked_url(self.base_url)

    def key(self, api_key: str | None) -> str | None:
        """The key to send: the one given, or for the Developer API that of the environment."""
        return key_from(_KEYS, api_key, given_url=self.vertex or self.base_url is not None)

    @property
    def provider_key(self) -> str:
        """Identifies the service."""
        where = f"{self.project or ''}/{self.location or ''}" if self.vertex else ""
        return f"{'vertex' if self.vertex else 'gemini'}:{where}{self.base_url or ''}"

    def client(self, api_key: str | None, timeout: float, *, purpose: str) -> Any:
        """A client that leaves trying again to us.

        Raises:
            MissingPackage: Without the package.
            ModelSetupError: When it finds no key or no credentials.
        """
        genai = imported("google.genai", extra="gemini", purpose=purpose)
        if not self.vertex and not api_key and self.base_url is None:
            raise no_key("Gemini", _KEYS[0])
        options: dict[str, Any] = {"timeout": round(1000 * timeout), "retry_options": {"attempts": 1}}
        if self.base_url is not None:
            options["base_url"] = self.base_url
        settings: dict[str, Any] = {"vertexai": self.vertex, "http_options": options}
        if self.vertex and not api_key:
            settings |= {"project": self.project, "location": self.location, "credentials": self.credentials}
        else:
            settings["api_key"] = api_key or "EMPTY"
        try:
            return genai.Client(**settings)
        except Exception as error:
            raise ModelSetupError(
                f"Google's client could not be made: {type(error).__name__}: {error}. Vertex AI needs "
                f"project=, location= and credentials (`gcloud auth application-default login`), or api_key=."
            ) from None
