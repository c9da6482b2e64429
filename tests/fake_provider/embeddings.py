"""Embeddings as hashed bags of words and word parts: texts that share words are near each other."""

from __future__ import annotations

import base64
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .protocol import ApiError, tokens_of
from .reading import stem, words

__all__ = ["embed", "embedding_list"]

_DIMENSIONS = 256
_PARTS, _PART_WEIGHT = 3, 0.25


def embed(text: str, dimensions: int = _DIMENSIONS) -> NDArray[np.float32]:
    """A vector of length 1."""
    vector = np.zeros(dimensions, dtype=np.float32)
    found = [stem for stem, _ in words(text)] or [stem(word) for word in text.split()] or [text]
    for word in found:
        vector += _word_vector(word, dimensions)
    norm = float(np.linalg.norm(vector))
    if norm == 0:
        vector[0] = norm = 1.0
    return vector / np.float32(norm)


def embedding_list(body: dict[str, Any], inputs: list[str]) -> dict[str, Any]:
    """The body of a reply."""
    dimensions = body.get("dimensions") or _DIMENSIONS
    if not isinstance(dimensions, int) or not 0 < dimensions <= 4096:
        raise ApiError(400, f"Invalid 'dimensions': {dimensions!r}.", param="dimensions")
    as_text = body.get("encoding_format") == "base64"
    vectors = (embed(text, dimensions) for text in inputs)
    tokens = sum(tokens_of(text) for text in inputs)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.tobytes()).decode() if as_text else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ],
        "model": body["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


@lru_cache(maxsize=100_000)
def _word_vector(word: str, dimensions: int) -> NDArray[np.float32]:
    vector = np.zeros(dimensions, dtype=np.float32)
    padded = f"<{word}>"
    parts = [padded[i : i + _PARTS] for i in range(len(padded) - _PARTS + 1)]
    for feature, weight in [(word, 1.0), *((part, _PART_WEIGHT) for part in parts)]:
        drawn = int.from_bytes(blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        vector[(drawn >> 1) % dimensions] += weight if drawn & 1 else -weight
    return vector
