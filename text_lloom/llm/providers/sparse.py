"""Sparse embeddings: TF-IDF of hashed words, with no weights, no network and no randomness."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from text_lloom.errors import InputError
from text_lloom.llm.model import Embedder
from text_lloom.llm.numeric import whole_number
from text_lloom.llm.returned import Embeddings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SparseEmbedModel"]

_SMALLEST = 16


class SparseEmbedModel(Embedder):
    """Words and pairs of words, hashed into a fixed number of columns and weighted by TF-IDF.

    Words are inflection-free, function words are left out. Rows have length 1 (or 0, for texts without a
    content word). Rare words weigh more: rare among `background`, or among the texts of a call when no
    background is given. Vectors depend on that collection, so they are computed anew and never kept.

    Args:
        dimensions: Columns. Distinct words share a column at random; more columns mean fewer such cases.
        background: Texts from which the word weights come.
    """

    def __init__(self, dimensions: int = 1024, *, background: Sequence[str] = ()) -> None:
        dimensions = whole_number(dimensions, what="dimensions", least=_SMALLEST)
        if isinstance(background, str):
            raise InputError("background must be a list of texts, but is one string.")
        self.name = f"sparse-{dimensions}"
        self.dimensions = dimensions
        self._background = background
        self._weights: Any = None

    @classmethod
    def named(cls, dimensions: str = "1024") -> SparseEmbedModel:
        """The model that `"sparse"` or `"sparse:4096"` names."""
        if not dimensions.isdecimal():
            raise InputError(f"'sparse:{dimensions}': expected a number of columns, such as 'sparse:1024'.")
        return cls(int(dimensions))

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings(await asyncio.to_thread(self._embed, list(texts)), 0)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np

        counts = self._counts(texts)
        if self._background and self._weights is None:
            self._weights = self._fitted(self._counts(list(self._background)))
        weights = self._weights or self._fitted(counts)
        dense: NDArray[np.float32] = weights.transform(counts).toarray().astype(np.float32)
        return dense

    def _counts(self, texts: list[str]) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(
            n_features=self.dimensions, analyzer=_features, norm=None, alternate_sign=False
        ).transform(texts)

    @staticmethod
    def _fitted(counts: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfTransformer

        return TfidfTransformer(sublinear_tf=True).fit(counts)

    def __repr__(self) -> str:
        return f"SparseEmbedModel({self.dimensions})"


def _features(text: str) -> list[str]:
    """Content words of a text, and neighbouring pairs of them."""
    from text_lloom.local.words import tokenize

    tokens = [token for token in tokenize(text) if token.content]
    words = [token.key for token in tokens]
    pairs = [
        f"{first} {second.key}" for first, second in zip(words, tokens[1:], strict=False) if second.tight
    ]
    return words + pairs
