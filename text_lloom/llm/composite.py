"""Models that consist of other models, such as a list of fallbacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

from text_lloom.errors import InputError
from text_lloom.llm.client import ClientMethods
from text_lloom.llm.control.prices import Price
from text_lloom.llm.embed import HybridEmbedModel
from text_lloom.llm.model import Embedder, EmbedModel, Model, Solver

__all__ = ["Answerer", "Fallbacks", "is_remote", "single_models"]


@dataclass(frozen=True)
class Fallbacks(ClientMethods):
    """Models in the order in which they are asked.

    Each model gets the questions that the one before it could not answer: all of them if its key or name
    was refused, else those that it declined, that were too long, or that it gave no usable answer to.

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
            raise InputError(
                f"{self.label} has no chat model. The local engine answers operators only; add a chat model."
            )
        return models

    @property
    def label(self) -> str:
        """The names, in order."""
        return " → ".join(model.label for model in self.models)

    @property
    def cost(self) -> Price | None:
        """The highest price, because each model may have to answer all; `None` if a price is unknown."""
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


Answerer: TypeAlias = Model | Solver | Fallbacks
"""A model that answers the tasks of operators."""


@overload
def single_models(model: Answerer) -> Iterator[Model | Solver]: ...


@overload
def single_models(model: Answerer | Embedder) -> Iterator[Model | Solver | Embedder]: ...


def single_models(model: Answerer | Embedder) -> Iterator[Model | Solver | Embedder]:
    """The models that a composite model consists of, in order; any other model by itself."""
    if isinstance(model, Fallbacks):
        yield from model.models
    elif isinstance(model, HybridEmbedModel):
        for part in model.parts:
            yield from single_models(part)
    else:
        yield model


def is_remote(model: Answerer | Embedder) -> bool:
    """Whether replies of a model are worth caching: all but those of solvers on this machine."""
    return any(
        part.keeps_results if isinstance(part, Solver) else isinstance(part, (Model, EmbedModel))
        for part in single_models(model)
    )
