"""Embedding models whose weights run in this process: free, on a worker thread, with exact token counts."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from text_lloom.errors import LloomError, ModelSetupError
from text_lloom.llm.completion import Embeddings
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.on_device.local_files import fingerprint
from text_lloom.llm.options import ModelOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LONG_TIMEOUT", "OnDeviceEmbedModel", "OnDeviceOptions", "loading"]

T = TypeVar("T")

LONG_TIMEOUT: Final = 3600.0
"""Seconds for one batch: a large model on a slow processor must not be asked again."""


class OnDeviceOptions(ModelOptions, total=False):
    """Options of language models of this machine: those of `ModelOptions`, and further ways of sampling."""

    min_p: float | None
    repetition_penalty: float | None


class OnDeviceEmbedModel(EmbedModel):
    """Base of the embedding models that need no server.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        batch_size: The largest number of texts that go through the model together.
        context_window: In tokens; the model's own when not given.
        **args: What else shapes the vectors.
    """

    def __init__(
        self, source: str, *, batch_size: int, context_window: int | None = None, **args: Any
    ) -> None:
        super().__init__(
            source, batch_size=batch_size, cost=0, context_window=context_window, timeout=LONG_TIMEOUT, **args
        )
        self._given_window = context_window

    @abstractmethod
    def load(self) -> Any:
        """The loaded model; called once, on a worker thread."""

    @abstractmethod
    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of some texts, shape `(texts, dimensions)`."""

    @abstractmethod
    def own_window(self) -> int | None:
        """The longest text that the loaded model takes, in tokens."""

    @property
    def window(self) -> int | None:
        """The longest text that is embedded whole, in tokens. Loads the model when none was given."""
        return self._given_window if self._given_window is not None else self.own_window()

    @property
    def provider_key(self) -> str:
        return f"on this machine: {type(self).__name__}"

    @property
    def parameters(self) -> Mapping[str, object]:
        return self._identity

    @cached_property
    def _identity(self) -> dict[str, object]:
        """What tells these vectors from those of other weights, when the model was first used."""
        return {**self.args, "weights": fingerprint(self.name)}

    def _set_up(self) -> Any:
        return loading(self.load, self.label)

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> Embeddings:
        return Embeddings(self.encode(texts), sum(map(self.count_tokens, texts)))


def loading(load: Callable[[], T], label: str) -> T:
    """What a function loads from disk or from the hub, with an error that says what to do.

    Raises:
        ModelSetupError: When it cannot be loaded.
    """
    try:
        return load()
    except LloomError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise ModelSetupError(
            f"Model {label!r} could not be loaded: {reason}. Give the folder that holds the model, or its id "
            f"on the Hugging Face hub (which needs a network the first time)."
        ) from error
