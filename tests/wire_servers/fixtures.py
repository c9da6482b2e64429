"""The servers as fixtures, and the providers that are tested against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

from text_lloom.llm import EmbedModel, Model

from .anthropic_wire import AnthropicWire
from .gemini_wire import GeminiWire
from .openai_wire import OpenAIWire
from .server import KEY, Dialect, Fault, WireServer, running

__all__ = ["CASES", "Case", "Stand", "as_params", "stand", "standing"]


@dataclass(frozen=True)
class Case:
    """One way to reach a model that is tested.

    Attributes:
        id: Its name in the tests.
        dialect: Makes the server's format.
        model: Makes a model, from the server's address and settings.
        embed: Makes an embedding model; `None` if the provider has none.
        needs: Packages that must be there.
        noisy: The package uses what other packages have deprecated.
    """

    id: str
    dialect: Callable[[], Dialect]
    model: Callable[..., Model]
    embed: Callable[..., EmbedModel] | None = None
    needs: tuple[str, ...] = ()
    noisy: bool = False


def _openai(url: str, name: str = "gpt-test", **settings: Any) -> Model:
    from text_lloom.llm import OpenAIModel

    return OpenAIModel(name, base_url=f"{url}/v1", **{"cost": 0, "api_key": KEY, **settings})


def _openai_embed(url: str, **settings: Any) -> EmbedModel:
    from text_lloom.llm import OpenAIEmbedModel

    return OpenAIEmbedModel("embed-test", KEY, f"{url}/v1", **{"cost": 0, **settings})


def _azure(url: str, name: str = "gpt-test", **settings: Any) -> Model:
    from text_lloom.llm import OpenAIModel

    settings = {"cost": 0, "api_key": KEY, "api_version": "2024-10-21", **settings}
    return OpenAIModel.azure(name, endpoint=url, **settings)


def _azure_embed(url: str, **settings: Any) -> EmbedModel:
    from text_lloom.llm import OpenAIEmbedModel

    settings = {"cost": 0, "api_key": KEY, "api_version": "2024-10-21", **settings}
    return OpenAIEmbedModel.azure("embed-test", endpoint=url, **settings)


def _anthropic(url: str, name: str = "claude-test", **settings: Any) -> Model:
    from text_lloom.llm import AnthropicModel

    return AnthropicModel(name, base_url=url, **{"cost": 0, "api_key": KEY, **settings})


def _gemini(url: str, name: str = "gemini-test", **settings: Any) -> Model:
    from text_lloom.llm import GeminiModel

    return GeminiModel(name, base_url=url, **{"cost": 0, "api_key": KEY, **settings})


def _gemini_embed(url: str, **settings: Any) -> EmbedModel:
    from text_lloom.llm import GeminiEmbedModel

    return GeminiEmbedModel("gemini-embed-test", KEY, url, **{"cost": 0, **settings})


def _vertex(url: str, name: str = "gemini-test", **settings: Any) -> Model:
    from google.oauth2.credentials import Credentials

    from text_lloom.llm import GeminiModel

    settings = {"cost": 0, "project": "p", "location": "europe-west4", **settings}
    if "api_key" not in settings:
        settings["credentials"] = Credentials(token=KEY)
    return GeminiModel(name, base_url=url, vertex=True, **settings)


def _any_openai(url: str, name: str = "gpt-test", **settings: Any) -> Model:
    from text_lloom.llm import AnyModel

    settings = {"cost": 0, "api_key": KEY, **settings}
    return AnyModel(f"openai:{name}", base_url=f"{url}/v1", **settings)


def _any_embed(url: str, **settings: Any) -> EmbedModel:
    from text_lloom.llm import AnyEmbedModel

    return AnyEmbedModel("openai:embed-test", KEY, f"{url}/v1", **{"cost": 0, **settings})


def _any_anthropic(url: str, name: str = "claude-test", **settings: Any) -> Model:
    from text_lloom.llm import AnyModel

    return AnyModel(f"anthropic:{name}", base_url=url, **{"cost": 0, "api_key": KEY, **settings})


def _litellm(url: str, name: str = "gpt-test", **settings: Any) -> Model:
    from text_lloom.llm import LiteLLMModel

    key = settings.pop("api_key", KEY)
    params = {"model": f"openai/{name}", "api_base": f"{url}/v1", "api_key": key}
    config = {"model_list": [{"model_name": "chat", "litellm_params": params}]}
    return LiteLLMModel("chat", config, **{"cost": 0, **settings})


def _litellm_embed(url: str, **settings: Any) -> EmbedModel:
    from text_lloom.llm import LiteLLMEmbedModel

    config = {"name": "openai/embed-test", "api_base": f"{url}/v1", "api_key": KEY}
    return LiteLLMEmbedModel(config=config, **{"cost": 0, **settings})


def _litellm_anthropic(url: str, name: str = "claude-test", **settings: Any) -> Model:
    from text_lloom.llm import LiteLLMModel

    key = settings.pop("api_key", KEY)
    config = {"name": f"anthropic/{name}", "api_base": url, "api_key": key}
    return LiteLLMModel(config=config, **{"cost": 0, **settings})


CASES = (
    Case("openai-chat", OpenAIWire, _openai, _openai_embed),
    Case("openai-responses", OpenAIWire, lambda url, **s: _openai(url, endpoint="responses", **s)),
    Case("openai-completions", OpenAIWire, lambda url, **s: _openai(url, endpoint="completions", **s)),
    Case("azure", lambda: OpenAIWire(prefix="/openai/deployments/gpt-test", key_header="api-key"), _azure),
    Case("anthropic", AnthropicWire, _anthropic, None, ("anthropic",)),
    Case("gemini", GeminiWire, _gemini, _gemini_embed, ("google.genai",)),
    Case("vertex", GeminiWire, _vertex, None, ("google.genai",)),
    Case("any-openai", OpenAIWire, _any_openai, _any_embed, ("any_llm",)),
    Case("any-anthropic", AnthropicWire, _any_anthropic, None, ("any_llm",)),
    Case("litellm-openai", OpenAIWire, _litellm, _litellm_embed, ("litellm",), noisy=True),
    Case("litellm-anthropic", AnthropicWire, _litellm_anthropic, None, ("litellm",), noisy=True),
)


@cache
def _missing(packages: tuple[str, ...]) -> str | None:
    """The first of some packages that is not installed."""
    for package in packages:
        try:
            if find_spec(package) is None:
                return package
        except ModuleNotFoundError:
            return package
    return None


@dataclass
class Stand:
    """A provider's stand-in and how models are made for it."""

    case: Case
    server: WireServer

    def model(self, **settings: Any) -> Model:
        """A model at the server."""
        return self.case.model(self.server.url, **settings)

    def embed(self, **settings: Any) -> EmbedModel:
        """An embedding model at the server."""
        assert self.case.embed is not None
        return self.case.embed(self.server.url, **settings)

    def go_wrong(self, *faults: Fault) -> None:
        """What goes wrong with the next requests."""
        self.server.faults.extend(faults)


@contextmanager
def standing(case: Case) -> Iterator[Stand]:
    """The stand-in of a case; the test is skipped without the package that it goes through."""
    if (package := _missing(case.needs)) is not None:
        pytest.skip(f"needs the package {package}")
    with running(case.dialect()) as server:
        yield Stand(case, server)


def as_params(cases: Iterable[Case]) -> list[Any]:
    """Parameters of a test, one per case."""
    ignored = pytest.mark.filterwarnings("ignore::DeprecationWarning")
    return [pytest.param(case, id=case.id, marks=[ignored] if case.noisy else []) for case in cases]


@pytest.fixture(params=as_params(CASES))
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """Each provider's stand-in in turn."""
    with standing(request.param) as found:
        yield found
