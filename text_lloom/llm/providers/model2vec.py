"""Embeddings by model2vec: static word vectors, fast on any processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from text_lloom.llm.on_device import OnDeviceEmbedModel
from text_lloom.llm.weights import check_packages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Model2VecEmbedModel"]


class Model2VecEmbedModel(OnDeviceEmbedModel):
    """A static model of model2vec, such as `minishlab/potion-base-8M`; free, and needs no torch.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        batch_size: The largest number of texts in one batch.
        context_window: In tokens; the model's own when not given. Longer texts are cut, and that is said.
        dimensions: Keep only the first so many, for models that were trained so.

    Raises:
        MissingPackage: When model2vec is not installed.
    """

    def __init__(
        self,
        source: str = "minishlab/potion-base-8M",
        *,
        batch_size: int = 1024,
        context_window: int | None = None,
        dimensions: int | None = None,
    ) -> None:
        check_packages("model2vec", extra="local", purpose="Model2VecEmbedModel")
        super().__init__(source, batch_size=batch_size, context_window=context_window, dimensions=dimensions)

    def load(self) -> Any:
        from model2vec import StaticModel

        return StaticModel.from_pretrained(
            self.name, dimensionality=self.args["dimensions"], force_download=False
        )

    def own_window(self) -> int | None:
        longest = self.client.max_length
        return None if longest is None else int(longest)

    def count_tokens(self, text: str) -> int:
        tokenizer = self.client.tokenizer
        tokenizer.no_truncation()
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np

        return np.asarray(self.client.encode(texts, max_length=None, use_multiprocessing=False), np.float32)
