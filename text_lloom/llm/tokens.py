"""Counting tokens without a network.

With `tiktoken`'s vocabulary in its cache, counts are exact for OpenAI models. Otherwise they are an
estimate: words, digit groups and punctuation are counted, long words and scripts without spaces by
their characters. Billing never uses these counts, only what the provider reports.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

__all__ = ["count_tokens", "is_exact"]

_PIECE = re.compile(
    r"(?P<wide>[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
    r"|(?P<word>[^\W\d_]+)|(?P<digits>\d+)|(?P<mark>[^\w\s]|_)|(?P<space>\n+)"
)
_WORD_CHARACTERS = 6.2
_VOCABULARIES = {
    "o200k_base": "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
    "cl100k_base": "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
}
_OLDER_OPENAI = ("gpt-3.5", "gpt-4-", "text-embedding-")


def count_tokens(text: str, model: str = "") -> int:
    """Tokens of `text` for a model: exact where `is_exact(model)`, else an estimate."""
    return _counter(_vocabulary_name(model))(text)


def is_exact(model: str) -> bool:
    """Whether counts for this model come from its own vocabulary."""
    return _is_openai(model) and _cached_vocabulary(_vocabulary_name(model)) is not None


def _is_openai(model: str) -> bool:
    return model.startswith(("gpt-", "o1", "o3", "o4", "chatgpt", "text-embedding-"))


def _vocabulary_name(model: str) -> str:
    older = model == "gpt-4" or model.startswith(_OLDER_OPENAI)
    return "cl100k_base" if older else "o200k_base"


def _cached_vocabulary(name: str) -> Path | None:
    """The file of a vocabulary in tiktoken's cache; asking tiktoken itself might download it."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":
        return None
    root = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    path = root / hashlib.sha1(_VOCABULARIES[name].encode(), usedforsecurity=False).hexdigest()
    return path if path.is_file() else None


@lru_cache(maxsize=4)
def _counter(vocabulary: str) -> Callable[[str], int]:
    if _cached_vocabulary(vocabulary) is None:
        return _estimate
    import tiktoken

    encoding = tiktoken.get_encoding(vocabulary)
    return lambda text: len(encoding.encode_ordinary(text))


def _estimate(text: str) -> int:
    count = 0.0
    for piece in _PIECE.finditer(text):
        length = piece.end() - piece.start()
        match piece.lastgroup:
            case "word":
                count += max(1.0, length / _WORD_CHARACTERS)
                if not text[piece.start()].isascii():
                    count += length / 4
            case "digits":
                count += (length + 2) // 3
            case "wide":
                count += 0.9
            case _:
                count += 0.8
    return max(1, round(count)) if text else 0
