"""The models behind one that asks several: those tried in turn, those whose vectors are joined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from text_lloom.llm.classifier import Classifier
from text_lloom.llm.engine import Answerer
from text_lloom.llm.fallback import Fallbacks
from text_lloom.llm.hybrid import HybridEmbedModel
from text_lloom.llm.model import Embedder, EmbedModel, Model, Solver

__all__ = ["is_remote", "single_models"]


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
    return any(isinstance(part, (Model, EmbedModel, Classifier)) for part in single_models(model))
