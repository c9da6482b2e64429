"""The providers that need nothing beyond this package: the local engine and OpenAI."""

from __future__ import annotations

from typing import Final

from text_lloom.llm.catalogue.entry import Capabilities, Provider

__all__ = ["PROVIDERS"]

PROVIDERS: Final = (
    Provider(
        "local",
        "Local engine",
        Capabilities(structured="none", usage=False, embeddings=True, tested=("in process",)),
        model="text_lloom.llm.providers.local:LocalModel",
        embed="text_lloom.llm.providers.local:LocalEmbedModel",
        needs_name=False,
        note="no key, no network; keyword-grade concepts",
    ),
    Provider(
        "openai",
        "OpenAI",
        Capabilities(structured="strict", streaming=True, batch=True, embeddings=True),
        model="text_lloom.llm.providers.openai:OpenAIModel",
        embed="text_lloom.llm.providers.openai_embed:OpenAIEmbedModel",
        example="gpt-4o-mini",
        embed_example="text-embedding-3-small",
        keys=("OPENAI_API_KEY",),
        needs_name=False,
    ),
)
