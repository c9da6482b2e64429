"""What the catalogue says about one provider."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

__all__ = ["Capabilities", "Provider", "Structured", "Tested"]

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
