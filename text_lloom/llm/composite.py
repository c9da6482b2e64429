"""Several models as one: asked in turn, or embedding side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

from text_lloom.errors import InputError
from text_lloom.llm.client import ClientMethods
from text_lloom.llm.completion import Embeddings
from text_lloom.llm.control.prices import Price
from text_lloom.llm.model import Embedder, EmbedModel, Model, Solver
from text_lloom.llm.options import finite_number

__all__ = ["Answerer", "Fallbacks", "HybridEmbedModel", "is_remote", "single_models"]


@dataclass(frozen=True)
class Fallbacks(ClientMethods):
    """Models in the order in which they are asked.

    The second is asked what the first could not answer: everything if its key or name is refused, single
    questions if it declined, overflowed or gave no usable answer; and so on.

    Attributes:
        models: At least one model, given as an object or as a string such as `"openai:gpt-4o-mini"`.
    """

    models: tuple[Model | Solver, ...]

    def __post_init__(self) -> None:
        from text_lloom.llm.providers.registry import model_from

        if isinstance(self.models, (str, Model, Solver)) or not isinstance(self.models, Sequence):
            raise InputError(f"Fallbacks takes a list of models, but got {self.models!r}.")
        if not self.models:
            raise InputError("A list of models needs at least one model.")
        named = [model_from(model) if isinstance(model, str) else model for model in self.models]
        for model in named:
            if not isinstance(model, (Model, Solver)):
                raise InputError(f"Fallbacks takes models and strings such as 'local', but got {model!r}.")
        object.__setattr__(self, "models", tuple(named))

    @property
    def chat_models(self) -> tuple[Model, ...]:
        models = tuple(model for model in self.models if isinstance(model, Model))
        if not models:
            raise InputError(f"{self.label} has no chat model; the local engine answers operators alone.")
        return models

    @property
    def label(self) -> str:
        """The names, in order."""
        return " → ".join(model.label for model in self.models)

    @property
    def cost(self) -> Price | None:
        """The dearest price, as any of the models may come to answer all; `None` if one is unknown."""
        prices = [model.cost for model in self.models if isinstance(model, Model)]
        known = [price for price in prices if price is not None]
        if len(known) < len(prices):
            return None
        return Price(max((p.input for p in known), default=0.0), max((p.output for p in known), default=0.0))

    @property
    def first_cost(self) -> Price | None:
        """The price of the model that is asked first."""
        first = self.models[0]
        return first.cost if isinstance(first, Model) else Price(0.0, 0.0)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Names of the models whose price is unknown."""
        return tuple(m.label for m in self.models if isinstance(m, Model) and m.cost is None)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text for the first model."""
        first = self.models[0]
        return first.count_tokens(text) if isinstance(first, Model) else 0


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
        from text_lloom.llm.providers.registry import embedder_from

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
        from text_lloom.llm.dispatch.step_state import Run
        from text_lloom.llm.embed import embed_all

        return Embeddings(await embed_all(self, texts, run=Run()))

    def __repr__(self) -> str:
        weights = ", ".join(f"{weight:g}" for weight in self.weights)
        return f"HybridEmbedModel({', '.join(map(repr, self.parts))}, weights=({weights}))"


Answerer: TypeAlias = Model | Solver | Fallbacks
"""Whatever answers the tasks of operators."""


@overload
def single_models(model: Answerer) -> Iterator[Model | Solver]: ...


@overload
def single_models(model: Answerer | Embedder) -> Iterator[Model | Solver | Embedder]: ...


def single_models(model: Answerer | Embedder) -> Iterator[Model | Solver | Embedder]:
    """The models that are really asked, in order; of a model that stands for itself, that one."""
    if isinstance(model, Fallbacks):
        yield from model.models
    elif isinstance(model, HybridEmbedModel):
        for part in model.parts:
            yield from single_models(part)
    else:
        yield model


def is_remote(model: Answerer | Embedder) -> bool:
    """Whether replies of a model are worth keeping: all but those of solvers on this machine."""
    return any(
        part.keeps_results if isinstance(part, Solver) else isinstance(part, (Model, EmbedModel))
        for part in single_models(model)
    )
