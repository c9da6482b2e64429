"""Several embedding models as one: their vectors side by side, each of length 1 and with a weight."""

from __future__ import annotations

from collections.abc import Sequence

from text_lloom.errors import InputError
from text_lloom.llm.model import Embedder
from text_lloom.llm.numeric import finite_number
from text_lloom.llm.returned import Embeddings

__all__ = ["HybridEmbedModel"]


class HybridEmbedModel(Embedder):
    """Joins embedding models: each part's rows are scaled to length 1, weighted, and concatenated.

    With weights `w` the cosine similarity of two texts is the mean of the parts' cosine similarities,
    weighted by `w²`. Each part keeps its own batches, limits, price and kept vectors.

    Args:
        *parts: At least two embedding models.
        weights: One positive number per part; equal when not given.

    Example:
        HybridEmbedModel(SentenceTransformerEmbedModel("all-MiniLM-L6-v2"), SparseEmbedModel())
    """

    def __init__(self, *parts: Embedder, weights: Sequence[float] | None = None) -> None:
        for part in parts:
            if not isinstance(part, Embedder):
                raise InputError(
                    f"HybridEmbedModel joins embedding models, but got {type(part).__name__}: {part!r}."
                )
        if len(parts) < 2:
            raise InputError(f"HybridEmbedModel needs at least two embedding models, but got {len(parts)}.")
        given = [1.0] * len(parts) if weights is None else [finite_number(weight) for weight in weights]
        if len(given) != len(parts) or any(weight is None or weight <= 0 for weight in given):
            raise InputError(f"weights={weights!r} must be {len(parts)} positive numbers, one for each part.")
        self.parts: tuple[Embedder, ...] = parts
        self.weights: tuple[float, ...] = tuple(weight for weight in given if weight is not None)
        self.name = "+".join(part.name for part in parts)

    @classmethod
    def named(cls, parts: str) -> HybridEmbedModel:
        """The model that a string such as `"hybrid:st:all-MiniLM-L6-v2+sparse"` names; parts weigh alike."""
        from text_lloom.llm.catalogue import embedder_from

        specs = [part.strip() for part in parts.split("+")]
        if len(specs) < 2 or not all(specs):
            raise InputError(
                f"'hybrid:{parts}': expected embedding models joined by +, such as "
                f"'hybrid:st:all-MiniLM-L6-v2+sparse'."
            )
        return cls(*(embedder_from(spec) for spec in specs))

    @property
    def label(self) -> str:
        """The names of the parts."""
        return self.name

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of some texts, outside any session: nothing is kept or counted."""
        from text_lloom.llm.embedding import embed_all
        from text_lloom.llm.run import Run

        return Embeddings(await embed_all(self, texts, run=Run()))

    def __repr__(self) -> str:
        weights = ", ".join(f"{weight:g}" for weight in self.weights)
        return f"HybridEmbedModel({', '.join(map(repr, self.parts))}, weights=({weights}))"
