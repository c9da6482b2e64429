"""Embeddings by sentence-transformers, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from text_lloom.llm.on_device import OnDeviceEmbedModel
from text_lloom.llm.weights import check_packages, pick_device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SentenceTransformerEmbedModel"]


class SentenceTransformerEmbedModel(OnDeviceEmbedModel):
    """A sentence-transformers model, such as `all-MiniLM-L6-v2`; free.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        device: `"auto"` (a GPU if there is one), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        batch_size: The largest number of texts that go through the model together.
        context_window: In tokens; the model's own when not given. Longer texts are cut, and that is said.
        prompt: Put before each text, for models that were trained so (`"query: "`).
        trust_remote_code: Allow code that comes with the model to run on this machine.
        model_kwargs: Passed on to the loading of the weights, such as `{"dtype": "bfloat16"}`.
        revision: Of a model on the hub.

    Raises:
        MissingPackage: When sentence-transformers is not installed.
    """

    def __init__(
        self,
        source: str = "all-MiniLM-L6-v2",
        *,
        device: str = "auto",
        batch_size: int = 64,
        context_window: int | None = None,
        prompt: str = "",
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> None:
        check_packages("sentence-transformers", extra="local", purpose="SentenceTransformerEmbedModel")
        super().__init__(
            source,
            batch_size=batch_size,
            context_window=context_window,
            prompt=prompt,
            model_kwargs=dict(model_kwargs or {}),
            revision=revision,
        )
        self.device = device
        self.prompt = prompt
        self.trust_remote_code = trust_remote_code

    def load(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            self.name,
            device=pick_device(self.device),
            revision=self.args["revision"],
            trust_remote_code=self.trust_remote_code,
            model_kwargs=self.args["model_kwargs"],
        )

    def own_window(self) -> int | None:
        longest = self.client.max_seq_length
        return None if longest is None else int(longest)

    def count_tokens(self, text: str) -> int:
        return len(self.client.tokenizer(self.prompt + text, truncation=False, verbose=False)["input_ids"])

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np

        vectors = self.client.encode(
            texts, prompt=self.prompt or None, batch_size=self.batch_size, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)
