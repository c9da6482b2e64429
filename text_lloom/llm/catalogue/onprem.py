"""The providers that run on one's own machines."""

from __future__ import annotations

from typing import Final

from text_lloom.llm.catalogue.entry import Capabilities, Provider

__all__ = ["PROVIDERS"]

_ROOM = "text_lloom.llm.providers"

PROVIDERS: Final[tuple[Provider, ...]] = (
    Provider(
        "transformers",
        "Hugging Face transformers",
        Capabilities(structured="constrained", streaming=True, embeddings=True, tested=("tiny model",)),
        model=f"{_ROOM}.transformers:TransformersModel",
        embed=f"{_ROOM}.hidden_states:TransformersEmbedModel",
        example="Qwen/Qwen3-4B-Instruct-2507",
        embed_example="intfloat/e5-small-v2",
        packages=("torch", "transformers"),
        extra="transformers",
        note="in this process; a folder or an id on the hub",
    ),
    Provider(
        "llama.cpp",
        "llama.cpp",
        Capabilities(structured="constrained", streaming=True, tested=("stand-in",)),
        model=f"{_ROOM}.llamacpp:LlamaCppModel",
        example="models/qwen3-4b.gguf",
        packages=("llama_cpp",),
        extra="llamacpp",
        note="in this process; a GGUF file",
    ),
    Provider(
        "inference-protocol",
        "Open Inference Protocol v2 (KServe, MLServer, Triton)",
        Capabilities(chat=False, structured="none", usage=False, tested=("real server", "recorded wire")),
        note="scores by a classifier; InferenceProtocolModel(url, name, labels=…)",
    ),
    Provider(
        "st",
        "sentence-transformers",
        Capabilities(chat=False, structured="none", embeddings=True, tested=("real weights", "tiny model")),
        embed=f"{_ROOM}.sentence_transformers:SentenceTransformerEmbedModel",
        example="all-MiniLM-L6-v2",
        packages=("sentence_transformers",),
        extra="local",
        needs_name=False,
        note="in this process; a folder or an id on the hub",
    ),
    Provider(
        "model2vec",
        "model2vec",
        Capabilities(chat=False, structured="none", embeddings=True, tested=("tiny model",)),
        embed=f"{_ROOM}.model2vec:Model2VecEmbedModel",
        example="minishlab/potion-base-8M",
        packages=("model2vec",),
        extra="local",
        needs_name=False,
        note="in this process, without torch; a folder or an id on the hub",
    ),
    Provider(
        "sparse",
        "Hashed TF-IDF",
        Capabilities(chat=False, structured="none", usage=False, embeddings=True, tested=("in process",)),
        embed=f"{_ROOM}.sparse:SparseEmbedModel.named",
        example="1024",
        needs_name=False,
        note="no key, no network, no weights",
    ),
    Provider(
        "hybrid",
        "Several embedding models as one",
        Capabilities(chat=False, structured="none", embeddings=True, tested=("real weights", "in process")),
        embed="text_lloom.llm.hybrid:HybridEmbedModel.named",
        example="st:all-MiniLM-L6-v2+sparse",
        note="parts joined by +",
    ),
)
