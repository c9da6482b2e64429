"""Everything that talks to a model.

`Model` and `EmbedModel` are made of a setup function and a call function; `OpenAIModel`, `AnthropicModel`,
`GeminiModel`, `AnyModel` and `LiteLLMModel` are ready to use, as are their embedding models; `LocalModel` and
`LocalEmbedModel` need neither key nor network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from text_lloom.llm import cache, client  # noqa: F401 - now, so that a first call does not wait
from text_lloom.llm.completion import Completion, Embeddings
from text_lloom.llm.composite import Fallbacks
from text_lloom.llm.control.prices import per_million
from text_lloom.llm.control.rate_limits import RateLimit, RateStatus
from text_lloom.llm.control.retry import RetryPolicy
from text_lloom.llm.control.usage import GLOBAL_COSTS, Attempt, CostTracker, Ledger, Totals, track_costs
from text_lloom.llm.dispatch.step_state import Failure
from text_lloom.llm.messages import Message, ModelRequest
from text_lloom.llm.model import Embedder, EmbedModel, Model, Solver
from text_lloom.llm.providers.local import LocalEmbedModel, LocalModel
from text_lloom.llm.providers.openai import DEFAULT_MODELS, OpenAIEmbedModel, OpenAIModel
from text_lloom.llm.providers.registry import embedder_from, model_from

if TYPE_CHECKING:
    from text_lloom.llm.classifiers.classifier import Classifier
    from text_lloom.llm.classifiers.inference_protocol import InferenceProtocolModel
    from text_lloom.llm.embed import HybridEmbedModel
    from text_lloom.llm.on_device.embeddings import (
        Model2VecEmbedModel,
        SentenceTransformerEmbedModel,
        SparseEmbedModel,
        TransformersEmbedModel,
    )
    from text_lloom.llm.on_device.llamacpp import LlamaCppModel
    from text_lloom.llm.on_device.transformers import TransformersModel
    from text_lloom.llm.providers.anthropic import AnthropicModel
    from text_lloom.llm.providers.anyllm import AnyEmbedModel, AnyModel
    from text_lloom.llm.providers.gemini import GeminiEmbedModel, GeminiModel
    from text_lloom.llm.providers.litellm import LiteLLMEmbedModel, LiteLLMModel

__all__ = [
    "DEFAULT_MODELS",
    "GLOBAL_COSTS",
    "AnthropicModel",
    "AnyEmbedModel",
    "AnyModel",
    "Attempt",
    "Classifier",
    "Completion",
    "CostTracker",
    "EmbedModel",
    "Embedder",
    "Embeddings",
    "Failure",
    "Fallbacks",
    "GeminiEmbedModel",
    "GeminiModel",
    "HybridEmbedModel",
    "InferenceProtocolModel",
    "Ledger",
    "LiteLLMEmbedModel",
    "LiteLLMModel",
    "LlamaCppModel",
    "LocalEmbedModel",
    "LocalModel",
    "Message",
    "Model",
    "Model2VecEmbedModel",
    "ModelRequest",
    "OpenAIEmbedModel",
    "OpenAIModel",
    "RateLimit",
    "RateStatus",
    "RetryPolicy",
    "SentenceTransformerEmbedModel",
    "Solver",
    "SparseEmbedModel",
    "Totals",
    "TransformersEmbedModel",
    "TransformersModel",
    "embedder_from",
    "model_from",
    "per_million",
    "track_costs",
]

_LAZY: Final = {
    "AnthropicModel": "text_lloom.llm.providers.anthropic",
    "AnyEmbedModel": "text_lloom.llm.providers.anyllm",
    "AnyModel": "text_lloom.llm.providers.anyllm",
    "Classifier": "text_lloom.llm.classifiers.classifier",
    "GeminiEmbedModel": "text_lloom.llm.providers.gemini",
    "GeminiModel": "text_lloom.llm.providers.gemini",
    "HybridEmbedModel": "text_lloom.llm.embed",
    "InferenceProtocolModel": "text_lloom.llm.classifiers.inference_protocol",
    "LiteLLMEmbedModel": "text_lloom.llm.providers.litellm",
    "LiteLLMModel": "text_lloom.llm.providers.litellm",
    "LlamaCppModel": "text_lloom.llm.on_device.llamacpp",
    "Model2VecEmbedModel": "text_lloom.llm.on_device.embeddings",
    "SentenceTransformerEmbedModel": "text_lloom.llm.on_device.embeddings",
    "SparseEmbedModel": "text_lloom.llm.on_device.embeddings",
    "TransformersEmbedModel": "text_lloom.llm.on_device.embeddings",
    "TransformersModel": "text_lloom.llm.on_device.transformers",
}
"""Modules that are imported only when one of their models is used."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
