"""Everything that talks to a model.

`Model` and `EmbedModel` are made of a setup function and a call function; `OpenAIModel`, `AnthropicModel`,
`GeminiModel`, `AnyModel` and `LiteLLMModel` are ready to use, as are their embedding models; `LocalModel` and
`LocalEmbedModel` need neither key nor network.
"""

from text_lloom.llm import calling, journal  # noqa: F401 - now, so that a first call does not wait
from text_lloom.llm.asked import Message, ModelRequest
from text_lloom.llm.costs import GLOBAL_COSTS, CostTracker, track_costs
from text_lloom.llm.fallback import Fallbacks
from text_lloom.llm.limits import RateLimit, RateStatus
from text_lloom.llm.model import EmbedModel, Model, Solver
from text_lloom.llm.providers.anthropic import AnthropicModel
from text_lloom.llm.providers.anyllm import AnyEmbedModel, AnyModel
from text_lloom.llm.providers.gemini import GeminiEmbedModel, GeminiModel
from text_lloom.llm.providers.litellm import LiteLLMEmbedModel, LiteLLMModel
from text_lloom.llm.providers.local import LocalEmbedModel, LocalModel
from text_lloom.llm.providers.openai import DEFAULT_MODELS, OpenAIEmbedModel, OpenAIModel
from text_lloom.llm.retry import RetryPolicy
from text_lloom.llm.returned import Completion, Embeddings
from text_lloom.llm.run import Failure
from text_lloom.llm.usage import Attempt, Ledger, Totals

__all__ = [
    "DEFAULT_MODELS",
    "GLOBAL_COSTS",
    "AnthropicModel",
    "AnyEmbedModel",
    "AnyModel",
    "Attempt",
    "Completion",
    "CostTracker",
    "EmbedModel",
    "Embeddings",
    "Failure",
    "Fallbacks",
    "GeminiEmbedModel",
    "GeminiModel",
    "Ledger",
    "LiteLLMEmbedModel",
    "LiteLLMModel",
    "LocalEmbedModel",
    "LocalModel",
    "Message",
    "Model",
    "ModelRequest",
    "OpenAIEmbedModel",
    "OpenAIModel",
    "RateLimit",
    "RateStatus",
    "RetryPolicy",
    "Solver",
    "Totals",
    "track_costs",
]
