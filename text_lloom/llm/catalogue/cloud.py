"""The providers that are reached over the network."""

from __future__ import annotations

from typing import Final

from text_lloom.llm.catalogue.entry import Capabilities, Provider, Structured
from text_lloom.llm.providers.compatible import SERVERS

__all__ = ["PROVIDERS"]

_HERE: Final = "text_lloom.llm.providers"


def _compatible(
    server: str,
    example: str,
    *,
    prefix: str | None = None,
    structured: Structured = "strict",
    embeddings: bool = True,
    embed_example: str = "",
    needs_name: bool = True,
    note: str = "",
) -> Provider:
    """A server that speaks OpenAI's protocol; models are named `prefix:name` or `prefix:name@address`."""
    kind = SERVERS[server]
    return Provider(
        prefix or server,
        kind.title,
        Capabilities(structured=structured, streaming=True, embeddings=embeddings),
        model=f"{_HERE}.openai:OpenAIModel.{server}",
        embed=f"{_HERE}.openai_embed:OpenAIEmbedModel.{server}" if embeddings else None,
        example=example,
        embed_example=embed_example,
        keys=() if kind.own else kind.key_variables,
        server=kind.url if kind.own else None,
        server_variable=kind.url_variable or "",
        needs_name=needs_name,
        note=note,
    )


PROVIDERS: Final[tuple[Provider, ...]] = (
    Provider(
        "anthropic",
        "Anthropic",
        Capabilities(structured="strict", streaming=True),
        model=f"{_HERE}.anthropic:AnthropicModel",
        example="claude-sonnet-4-5",
        packages=("anthropic",),
        extra="anthropic",
        keys=("ANTHROPIC_API_KEY",),
    ),
    Provider(
        "gemini",
        "Google Gemini",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.gemini:GeminiModel",
        embed=f"{_HERE}.gemini_embed:GeminiEmbedModel",
        example="gemini-2.5-flash",
        embed_example="gemini-embedding-001",
        packages=("google.genai",),
        extra="gemini",
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    Provider(
        "vertex",
        "Google Vertex AI",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.gemini:GeminiModel",
        embed=f"{_HERE}.gemini_embed:GeminiEmbedModel",
        example="gemini-2.5-flash",
        embed_example="gemini-embedding-001",
        packages=("google.genai",),
        extra="gemini",
        options={"vertex": True},
        note="project, region and credentials as Google's tools find them",
    ),
    _compatible(
        "azure",
        "my-deployment",
        note="the name is that of the deployment; its address is in AZURE_OPENAI_ENDPOINT or name@https://…",
    ),
    _compatible("groq", "llama-3.3-70b-versatile", embeddings=False),
    _compatible("mistral", "mistral-small-latest", embed_example="mistral-embed"),
    _compatible("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    _compatible("openrouter", "openai/gpt-4o-mini", note="states what each request cost"),
    _compatible("cohere", "command-a-03-2025", embed_example="embed-v4.0"),
    _compatible("hf_endpoint", "meta-llama/Llama-3.3-70B-Instruct", prefix="hf-endpoint", embeddings=False),
    _compatible("deepseek", "deepseek-chat", structured="JSON mode", embeddings=False),
    _compatible("fireworks", "accounts/fireworks/models/llama-v3p3-70b-instruct"),
    _compatible("xai", "grok-4-fast", embeddings=False),
    _compatible(
        "anyscale",
        "my-model@https://my-service.anyscale.com/v1",
        embeddings=False,
        note="with its address: name@https://my-service.anyscale.com/v1",
    ),
    _compatible("ollama", "llama3.2", embed_example="nomic-embed-text"),
    _compatible("vllm", "meta-llama/Llama-3.1-8B-Instruct", structured="constrained"),
    _compatible("llamacpp_server", "default", prefix="llamacpp-server", needs_name=False),
    _compatible("lmstudio", "qwen2.5-7b-instruct"),
    _compatible("tgi", "tgi", needs_name=False, embeddings=False),
    _compatible(
        "kserve", "llama3@http://host/openai/v1", note="with its address: name@http://host/openai/v1"
    ),
    Provider(
        "any",
        "any-llm",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.anyllm:AnyModel",
        embed=f"{_HERE}.anyllm:AnyEmbedModel",
        example="bedrock:anthropic.claude-3-haiku-20240307-v1:0",
        embed_example="mistral:mistral-embed",
        packages=("any_llm",),
        extra="any",
        note="any:provider:name; the provider decides about keys and forms",
    ),
    Provider(
        "litellm",
        "LiteLLM",
        Capabilities(structured="strict", streaming=True, embeddings=True),
        model=f"{_HERE}.litellm:LiteLLMModel",
        embed=f"{_HERE}.litellm:LiteLLMEmbedModel",
        example="bedrock/anthropic.claude-3-haiku-20240307-v1:0",
        embed_example="mistral/mistral-embed",
        packages=("litellm",),
        extra="litellm",
        note="the provider decides about keys and forms",
    ),
)
