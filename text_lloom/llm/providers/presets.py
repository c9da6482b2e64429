"""Making models by the kind of server that has them: `OpenAIModel.ollama("llama3.2")`."""

from __future__ import annotations

from typing import Any, Self

__all__ = ["Presets"]


class Presets:
    """Models by the kind of server that has them; every method takes the arguments of the class."""

    @classmethod
    def _at(cls, server: str, name: str, settings: dict[str, Any]) -> Self:
        return cls(name, server=server, **settings)  # type: ignore[call-arg]

    @classmethod
    def azure(
        cls,
        name: str,
        *,
        endpoint: str | None = None,
        api_version: str | None = None,
        **settings: Any,
    ) -> Self:
        """A deployment at Azure OpenAI; the key comes from `AZURE_OPENAI_API_KEY`.

        Args:
            name: Name of the deployment.
            endpoint: Such as `https://my-resource.openai.azure.com`; else `AZURE_OPENAI_ENDPOINT`.
            api_version: Such as `"2024-10-21"`; else `OPENAI_API_VERSION`. Without either, Azure's
                version-free address (`/openai/v1`) is used.
            **settings: As for the class.
        """
        return cls._at("azure", name, {"base_url": endpoint, "api_version": api_version, **settings})

    @classmethod
    def groq(cls, name: str, **settings: Any) -> Self:
        """A model at Groq; the key comes from `GROQ_API_KEY`."""
        return cls._at("groq", name, settings)

    @classmethod
    def mistral(cls, name: str, **settings: Any) -> Self:
        """A model at Mistral; the key comes from `MISTRAL_API_KEY`."""
        return cls._at("mistral", name, settings)

    @classmethod
    def together(cls, name: str, **settings: Any) -> Self:
        """A model at Together AI; the key comes from `TOGETHER_API_KEY`."""
        return cls._at("together", name, settings)

    @classmethod
    def openrouter(cls, name: str, **settings: Any) -> Self:
        """A model at OpenRouter, which states the cost; the key comes from `OPENROUTER_API_KEY`."""
        return cls._at("openrouter", name, settings)

    @classmethod
    def cohere(cls, name: str, **settings: Any) -> Self:
        """A model at Cohere's compatible endpoint; the key comes from `COHERE_API_KEY`."""
        return cls._at("cohere", name, settings)

    @classmethod
    def hf_endpoint(cls, name: str, **settings: Any) -> Self:
        """A model at Hugging Face: its router, or an inference endpoint (`base_url=`); key `HF_TOKEN`."""
        return cls._at("hf_endpoint", name, settings)

    @classmethod
    def deepseek(cls, name: str, **settings: Any) -> Self:
        """A model at DeepSeek; the key comes from `DEEPSEEK_API_KEY`."""
        return cls._at("deepseek", name, settings)

    @classmethod
    def fireworks(cls, name: str, **settings: Any) -> Self:
        """A model at Fireworks AI; the key comes from `FIREWORKS_API_KEY`."""
        return cls._at("fireworks", name, settings)

    @classmethod
    def xai(cls, name: str, **settings: Any) -> Self:
        """A model at xAI; the key comes from `XAI_API_KEY`."""
        return cls._at("xai", name, settings)

    @classmethod
    def anyscale(cls, name: str, **settings: Any) -> Self:
        """A model of an Anyscale service, at `base_url=`; the key comes from `ANYSCALE_API_KEY`."""
        return cls._at("anyscale", name, settings)

    @classmethod
    def ollama(cls, name: str, **settings: Any) -> Self:
        """A model of an Ollama server, at `OLLAMA_HOST` or http://localhost:11434; free."""
        return cls._at("ollama", name, settings)

    @classmethod
    def vllm(cls, name: str, **settings: Any) -> Self:
        """A model of a vLLM server, at http://localhost:8000/v1 unless `base_url=` says otherwise; free."""
        return cls._at("vllm", name, settings)

    @classmethod
    def llamacpp_server(cls, name: str = "default", **settings: Any) -> Self:
        """The model of a llama.cpp server, at http://localhost:8080/v1 unless `base_url=` is given; free."""
        return cls._at("llamacpp_server", name, settings)

    @classmethod
    def lmstudio(cls, name: str, **settings: Any) -> Self:
        """A model of LM Studio, at http://localhost:1234/v1 unless `base_url=` says otherwise; free."""
        return cls._at("lmstudio", name, settings)

    @classmethod
    def tgi(cls, name: str = "tgi", **settings: Any) -> Self:
        """The model of a Text Generation Inference server: http://localhost:8080/v1 or `base_url=`; free."""
        return cls._at("tgi", name, settings)

    @classmethod
    def kserve(cls, name: str, **settings: Any) -> Self:
        """A model served by KServe, at `base_url="http://host/openai/v1"`; free."""
        return cls._at("kserve", name, settings)
