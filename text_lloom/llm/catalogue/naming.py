"""What a user may have meant by a string that names no provider."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

__all__ = ["advice_on", "canonical"]

_MADE_BY: Final = (
    (("gpt-", "chatgpt", "o1", "o3", "o4", "text-embedding-"), "openai"),
    (("claude",), "anthropic"),
    (("gemini",), "gemini"),
    (("mistral", "ministral", "magistral"), "mistral"),
    (("command-", "embed-"), "cohere"),
    (("deepseek-",), "deepseek"),
    (("grok-",), "xai"),
    (("llama", "qwen", "phi", "gemma"), "ollama"),
    (("all-", "multi-qa-"), "st"),
)
"""How the names of models begin, and who is asked for them."""
_OTHER_NAMES: Final = {
    "aws": "any:bedrock",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "bedrock": "any:bedrock",
    "chatgpt": "openai",
    "claude": "anthropic",
    "databricks": "any:databricks",
    "google": "gemini",
    "grok": "xai",
    "hf": "hf-endpoint",
    "huggingface": "hf-endpoint",
    "llama-cpp": "llama.cpp",
    "llamacpp": "llama.cpp",
    "lm-studio": "lmstudio",
    "perplexity": "any:perplexity",
    "sagemaker": "any:sagemaker",
    "sentence-transformers": "st",
    "tf-idf": "sparse",
    "tfidf": "sparse",
    "vertex-ai": "vertex",
    "vertexai": "vertex",
    "watsonx": "any:watsonx",
}
"""What else people call a provider, and how it is written here."""


def canonical(prefix: str) -> str:
    """A prefix as it is written here: `OpenAI` and `hf_endpoint` are `openai` and `hf-endpoint`."""
    return prefix.strip().lower().replace("_", "-")


def advice_on(spec: str, known: Collection[str]) -> str:
    """What to write instead of a string that names no provider, `""` if that cannot be told.

    Args:
        spec: The string.
        known: The prefixes that would do.
    """
    prefix, colon, name = spec.strip().partition(":")
    before, slash, after = spec.strip().partition("/")
    if not colon and slash and canonical(before) in known and after:
        return f"Write '{canonical(before)}:{after}'. "
    meant = _OTHER_NAMES.get(canonical(prefix), "")
    if meant.partition(":")[0] in known:
        ending = "" if meant == "sparse" else f":{name or '<name>'}"
        return f"Write '{meant}{ending}'. "
    if colon:
        return ""
    for beginnings, provider in _MADE_BY:
        if provider in known and spec.strip().lower().startswith(beginnings):
            return f"Write '{provider}:{spec.strip()}'. "
    return ""
