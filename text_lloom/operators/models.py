"""Which models a session uses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from text_lloom.errors import InputError
from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.composite import Answerer, Fallbacks
from text_lloom.llm.model import Embedder, Model, Solver
from text_lloom.llm.providers.local import LocalEmbedModel, LocalModel
from text_lloom.llm.providers.openai import DEFAULT_MODELS, OpenAIEmbedModel, OpenAIModel
from text_lloom.llm.providers.registry import embedder_from, model_from

__all__ = ["EmbedSpec", "ModelSpec", "Models", "model_of", "resolve_models"]

ModelSpec: TypeAlias = Model | Solver | Fallbacks | str | Sequence[Model | Solver | str] | None
EmbedSpec: TypeAlias = Embedder | str | None


class Models(NamedTuple):
    """The models of a session, one per operator."""

    distill: Answerer
    cluster: Embedder
    synth: Answerer
    score: Answerer


def resolve_models(
    *,
    distill: ModelSpec = None,
    cluster: EmbedSpec = None,
    synth: ModelSpec = None,
    score: ModelSpec = None,
    background: Sequence[str] = (),
) -> Models:
    """The models to use for what a user passed.

    What is left out is OpenAI's default for that operator if `OPENAI_API_KEY` is set, and the local
    engine otherwise. Strings are `"provider:name"`; see `llm.providers.registry`.

    Args:
        distill: Reads the documents.
        cluster: Embeds the bullets.
        synth: Finds and reviews concepts.
        score: Judges the documents.
        background: Texts of the corpus, for the local engine.

    Raises:
        InputError: When something is passed that is not a model of the right kind.
    """
    local = LocalModel(background)
    has_key = bool(os.environ.get("OPENAI_API_KEY"))

    def embedder(spec: EmbedSpec) -> Embedder:
        if spec is None:
            return OpenAIEmbedModel() if has_key else LocalEmbedModel(local)
        if isinstance(spec, str):
            return embedder_from(spec, default=DEFAULT_MODELS.cluster, local=local)
        if not isinstance(spec, Embedder):
            raise InputError(
                f"cluster_model={spec!r}: expected an EmbedModel (such as OpenAIEmbedModel(...)) or a string "
                f"such as 'local' or 'openai:<name>'."
            )
        return spec

    return Models(
        model_of(distill, role="distill_model", default=DEFAULT_MODELS.distill, local=local),
        embedder(cluster),
        model_of(synth, role="synth_model", default=DEFAULT_MODELS.synth, local=local),
        model_of(score, role="score_model", default=DEFAULT_MODELS.score, local=local),
    )


def model_of(
    spec: ModelSpec, *, role: str, default: str = DEFAULT_MODELS.score, local: LocalModel | None = None
) -> Answerer:
    """The model, or the models in order, that a user passed.

    Args:
        spec: A model, a string such as `"openai:gpt-4o-mini"`, a list of these in the order in which they
            are tried, or `None` for the default.
        role: The argument that it was passed as, for messages.
        default: Name of OpenAI's model when none is named.
        local: The local engine to use for `"local"`.

    Raises:
        InputError: When it is something else.
    """
    if isinstance(spec, Fallbacks):
        return spec
    if isinstance(spec, (list, tuple)):
        return Fallbacks(tuple(_single(part, role, default, local) for part in spec))
    return _single(spec, role, default, local)


def _single(spec: object, role: str, default: str, local: LocalModel | None) -> Model | Solver:
    if spec is None:
        return OpenAIModel(default) if os.environ.get("OPENAI_API_KEY") else local or LocalModel()
    if isinstance(spec, str):
        return model_from(spec, role=role, default=default, local=local)
    if isinstance(spec, Classifier) and role in ("distill_model", "synth_model"):
        raise InputError(
            f"{role}={spec!r}: a classifier scores documents and does nothing else, so it can be score_model "
            f"only. Use a language model or 'local' here."
        )
    if not isinstance(spec, (Model, Solver)):
        raise InputError(
            f"{role}={spec!r}: expected a Model (such as OpenAIModel(...)), a string such as 'local' or "
            f"'openai:<name>', or a list of these in the order in which they are tried."
        )
    return spec
