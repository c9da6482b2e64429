"""Embedding models of OpenAI, and of every server that speaks its protocol."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Unpack

from text_lloom.errors import BadAnswer, UnknownName
from text_lloom.llm.completion import Embeddings, in_order
from text_lloom.llm.control.retry import as_model_error
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.options import EmbedOptions, expand_options
from text_lloom.llm.providers.openai import DEFAULT_MODELS
from text_lloom.llm.providers.servers import Presets, ServerConnection
from text_lloom.llm.providers.table import CompatibleServer
from text_lloom.llm.runtime.event_loop import close_with
from text_lloom.llm.runtime.http import stated_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OpenAIEmbedModel"]

_NEARLY = 0.8


class OpenAIEmbedOptions(EmbedOptions, total=False):
    """Options of `OpenAIEmbedModel`: those of `EmbedOptions`, and fields that are sent with every call."""

    encoding_format: str | None
    input_type: str | None
    truncate: str | None
    user: str | None


_NAMES = ("api_key", "api_version", "base_url", "server", *OpenAIEmbedOptions.__annotations__)


class OpenAIEmbedModel(Presets, EmbedModel):
    """An embedding model of OpenAI or of any server that speaks its protocol.

    Args:
        name: Name of the model; `"name@http://host:8000/v1"` names its server, too.
        api_key: As for `OpenAIModel`.
        base_url: Address of a compatible server.
        server: As for `OpenAIModel`; `OpenAIEmbedModel.mistral("mistral-embed")`.
        api_version: For Azure, such as `"2024-10-21"`.
        **options: Limits, price, size of a batch (what the server takes, when not given); see
            `EmbedOptions`. Anything else is sent with every call, such as `dimensions=256`; servers have
            more such fields than are listed, and ignore those that they do not know.

    Raises:
        UnknownName: For a name that is nearly a known one.
    """

    @expand_options(OpenAIEmbedOptions, concurrency=8)
    def __init__(
        self,
        name: str = DEFAULT_MODELS.cluster,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        server: str | CompatibleServer = "openai",
        api_version: str | None = None,
        **options: Unpack[OpenAIEmbedOptions],
    ) -> None:
        for given in options:
            if given not in _NAMES and get_close_matches(given, _NAMES, n=1, cutoff=_NEARLY):
                raise UnknownName(given, _NAMES, what="argument of an embedding model:")
        self._connection = connection = ServerConnection(server, name, api_key, base_url, api_version)
        if options.get("batch_size") is None:
            options["batch_size"] = connection.server.embed_batch
        options["cost"] = connection.price(options.get("cost"))
        options["context_window"] = connection.window(options.get("context_window"))
        super().__init__(connection.name, api_key=connection.key, **options)
        self.base_url = connection.base_url

    @property
    def provider_key(self) -> str:
        return self._connection.provider_key

    def _set_up(self) -> Any:
        client = self._connection.client(self.timeout)
        close_with(self, client.close)
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        body: dict[str, Any] = {"model": self.name, "input": list(texts)}
        if self._connection.server.packed_vectors:
            body["encoding_format"] = "base64"
        try:
            reply = await self.client.post("/embeddings" + self._connection.query, body | dict(self.args))
        except Exception as error:
            found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
            raise self._connection.advised(found, error) from None
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
