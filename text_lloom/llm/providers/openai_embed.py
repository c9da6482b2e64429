"""Embedding models of OpenAI, and of every server that speaks its protocol."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from text_lloom.errors import BadAnswer, UnknownName
from text_lloom.llm.completion import Embeddings, in_order
from text_lloom.llm.control.rate_limits import RateLimitSpec
from text_lloom.llm.control.retry import as_model_error
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.providers.openai import DEFAULT_MODELS
from text_lloom.llm.providers.servers import Presets, Service
from text_lloom.llm.runtime.event_loop import close_with
from text_lloom.llm.runtime.http import stated_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OpenAIEmbedModel"]

_FIELDS = ("dimensions", "encoding_format", "input_type", "truncate", "user")
"""What is known to be passed on; servers have more of these, and ignore what they do not know."""
_SETTINGS = (
    *("api_key", "api_version", "base_url", "batch_size", "concurrency", "context_window", "cost"),
    *("rate_limit", "server", "timeout", *_FIELDS),
)
_NEARLY = 0.8


class OpenAIEmbedModel(Presets, EmbedModel):
    """An embedding model of OpenAI or of any server that speaks its protocol.

    Args:
        name: Name of the model; `"name@http://host:8000/v1"` names its server, too.
        api_key: As for `OpenAIModel`.
        base_url: Address of a compatible server.
        batch_size: The largest number of texts in one call; what the server takes when not given.
        rate_limit: As for `Model`.
        cost: USD per token; from the price list when not given and known.
        context_window: In tokens; from the price list when not given and known.
        server: As for `OpenAIModel`; `OpenAIEmbedModel.mistral("mistral-embed")`.
        api_version: For Azure, such as `"2024-10-21"`.
        concurrency: As for `Model`.
        timeout: As for `Model`.
        **args: Passed on in every call, such as `dimensions=256`.

    Raises:
        UnknownName: For a name that is nearly one of these.
    """

    def __init__(
        self,
        name: str = DEFAULT_MODELS.cluster,
        api_key: str | None = None,
        base_url: str | None = None,
        batch_size: int | None = None,
        rate_limit: RateLimitSpec = None,
        cost: object = None,
        context_window: int | None = None,
        *,
        server: str = "openai",
        api_version: str | None = None,
        concurrency: int | None = 8,
        timeout: float = 120.0,
        **args: Any,
    ) -> None:
        for name_of_arg in args:
            if name_of_arg not in _FIELDS and get_close_matches(name_of_arg, _SETTINGS, n=1, cutoff=_NEARLY):
                raise UnknownName(name_of_arg, _SETTINGS, what="argument of an embedding model:")
        self._service = service = Service(server, name, api_key, base_url, api_version)
        super().__init__(
            service.name,
            None,
            None,
            service.key,
            service.kind.embed_batch if batch_size is None else batch_size,
            rate_limit,
            service.price(cost),
            service.window(context_window),
            concurrency=concurrency,
            timeout=timeout,
            **args,
        )
        self.base_url = service.url if service.given or server != "openai" else None

    @property
    def provider_key(self) -> str:
        return self._service.provider_key

    def _set_up(self) -> Any:
        client = self._service.client(self.timeout)
        close_with(self, client.close)
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        body: dict[str, Any] = {"model": self.name, "input": list(texts)}
        if self._service.kind.packed_vectors:
            body["encoding_format"] = "base64"
        try:
            reply = await self.client.post("/embeddings" + self._service.query, body | dict(self.args))
        except Exception as error:
            found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
            raise self._service.advised(found, error) from None
        return _read(reply, len(texts))


def _read(reply: object, n: int) -> Embeddings:
    """The vectors in a reply, in the order of the texts.

    Raises:
        BadAnswer: When there are not `n` vectors of one length.
    """
    import numpy as np

    content = reply if isinstance(reply, Mapping) else {}
    rows = content.get("data")
    if (error := stated_error(content)) is not None:
        raise error
    if not isinstance(rows, list) or not all(isinstance(r, Mapping) and "embedding" in r for r in rows):
        raise BadAnswer(f"The server sent no embeddings but: {str(reply)[:200]}")
    ordered = in_order([(row.get("index"), row["embedding"]) for row in rows], n)
    vectors = [_vector(embedding) for embedding in ordered]
    if len(lengths := {len(vector) for vector in vectors}) != 1:
        raise BadAnswer(f"The provider sent vectors of different lengths: {sorted(lengths)}.")
    usage = content.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return Embeddings(np.stack(vectors), tokens or None)


def _vector(embedding: object) -> NDArray[np.float32]:
    import numpy as np

    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding), dtype="<f4").astype(np.float32)
        return np.asarray(embedding, dtype=np.float32).reshape(-1)
    except (TypeError, ValueError):
        raise BadAnswer(f"The provider sent {str(embedding)[:80]!r} where a vector was expected.") from None
