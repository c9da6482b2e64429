"""Google's embedding models, at its Developer API or at Vertex AI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from text_lloom.llm.limits import RateLimitSpec
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.portal import close_with
from text_lloom.llm.pricing import known_price
from text_lloom.llm.providers.google_service import GoogleService
from text_lloom.llm.returned import Embeddings, in_order

__all__ = ["GeminiEmbedModel"]


class GeminiEmbedModel(EmbedModel):
    """An embedding model of Google, at its Developer API or at Vertex AI.

    Args:
        name: Name of the model.
        api_key: As for `GeminiModel`.
        base_url: Address of another server that speaks Google's protocol.
        batch_size: The largest number of texts in one call.
        rate_limit: As for `Model`.
        cost: USD per token; from the price list when not given and known.
        context_window: In tokens; longer texts are cut.
        dimensions: Length of the vectors; the model's own when not given.
        task_type: What the vectors are for, such as `"CLUSTERING"`, for models that ask for it.
        vertex: Ask Vertex AI.
        project: As for `GeminiModel`.
        location: As for `GeminiModel`.
        credentials: As for `GeminiModel`.
        concurrency: As for `Model`.
        timeout: As for `Model`.
    """

    def __init__(
        self,
        name: str = "gemini-embedding-001",
        api_key: str | None = None,
        base_url: str | None = None,
        batch_size: int = 100,
        rate_limit: RateLimitSpec = None,
        cost: object = None,
        context_window: int | None = 2048,
        *,
        dimensions: int | None = None,
        task_type: str | None = None,
        vertex: bool = False,
        project: str | None = None,
        location: str | None = None,
        credentials: object = None,
        concurrency: int | None = 4,
        timeout: float = 120.0,
    ) -> None:
        listed = base_url is None
        self._service = GoogleService(vertex, project, location, credentials, base_url)
        config = {"output_dimensionality": dimensions, "task_type": task_type}
        super().__init__(
            name,
            None,
            None,
            self._service.key(api_key),
            batch_size,
            rate_limit,
            cost if cost is not None or not listed else known_price(name, "google"),
            context_window,
            concurrency=concurrency,
            timeout=timeout,
            **{field: value for field, value in config.items() if value is not None},
        )
        self.base_url = base_url

    @property
    def provider_key(self) -> str:
        return self._service.provider_key

    def _set_up(self) -> Any:
        client = self._service.client(self.api_key, self.timeout, purpose="GeminiEmbedModel")
        close_with(self, client.aio.aclose)
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        import numpy as np

        contents = [{"role": "user", "parts": [{"text": text}]} for text in texts]
        reply = await self.client.aio.models.embed_content(
            model=self.name, contents=contents, config=dict(self.args)
        )
        embeddings = reply.embeddings or ()
        rows = in_order([(None, found.values) for found in embeddings], len(texts))
        vectors = np.asarray(rows, dtype=np.float32)
        counted = getattr(getattr(reply, "usage_metadata", None), "prompt_token_count", None)
        if not counted:
            statistics = [getattr(found.statistics, "token_count", None) for found in embeddings]
            counted = int(sum(count or 0 for count in statistics))
        return Embeddings(vectors, counted or None)
