"""Counting tokens without a network.

With `tiktoken`'s vocabulary in its cache, counts are exact for OpenAI models. Otherwise they are an estimate:
pieces of words, numbers and punctuation are counted, each about as long as a token. Against OpenAI's o200k
vocabulary, the totals of English corpora, code and JSON are within 3 %, and single short texts within 8 % on
average (`docs/measurements.md`); other scripts are over-estimated by about 20 %. Billing uses only the counts
that the provider reports.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["Calibration", "count_tokens", "is_exact"]

_PIECE = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # scripts without spaces: one each
    r"|[\u2600-\u27bf\U0001f000-\U0001faff]"
    r"|[A-Za-z]{1,11}|[^\W\d_]{1,4}|\d{1,3}|[^\w\s]{1,3}|_|\n+"
)
_EMOJI = re.compile(r"[\u2600-\u27bf\U0001f000-\U0001faff]")
_VOCABULARIES = {
    "o200k_base": "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
    "cl100k_base": "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
}
_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
_FEWEST_REPLIES = 5
_FIRST_REPLIES = 20
_EVERY = 25
_OLDER_OPENAI = ("gpt-3.5", "gpt-4-", "text-embedding-")


@dataclass(slots=True)
class Calibration:
    """How the tokens that a model reports compare with the estimates for the same prompts.

    Learns from the first 20 replies, and from every 25th after that. Estimates and reports of prompts of
    one kind differ by a nearly constant factor.
    """

    replies: int = 0
    estimated: int = 0
    reported: int = 0

    @property
    def factor(self) -> float:
        """What estimates are multiplied by; 1 until there are five reports."""
        if self.replies < _FEWEST_REPLIES or not self.estimated:
            return 1.0
        return min(4.0, max(0.25, self.reported / self.estimated))

    @property
    def is_due(self) -> bool:
        """Whether the next reply should be learned from."""
        return self.replies < _FIRST_REPLIES or self.replies % _EVERY == 0

    def learn(self, estimated: int, reported: int) -> None:
        """Compare an estimate (uncorrected) with what a reply reported."""
        self.estimated += estimated
        self.reported += reported


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
    """The file of a vocabulary in tiktoken's cache; tiktoken itself might download it."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    return None if folder == "" else _vocabulary_in(folder, name)


@lru_cache(maxsize=16)
def _vocabulary_in(folder: str | None, name: str) -> Path | None:
    """The file of a vocabulary in a folder; looked up once per process."""
    file_name = hashlib.sha1(_VOCABULARIES[name].encode(), usedforsecurity=False).hexdigest()
    try:
        root = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
        path = root / file_name
        return path if path.is_file() and _is_intact(path, name) else None
    except OSError:  # no temporary folder can be written, or the file cannot be read
        return None


def _is_intact(path: Path, name: str) -> bool:
    """Whether tiktoken will use the file; it downloads a damaged one again."""
    return hashlib.sha256(path.read_bytes()).hexdigest() == _SHA256[name]


@lru_cache(maxsize=4)
def _counter(vocabulary: str) -> Callable[[str], int]:
    if _cached_vocabulary(vocabulary) is None:
        return _estimate
    import tiktoken

    encoding = tiktoken.get_encoding(vocabulary)
    return lambda text: len(encoding.encode_ordinary(text))


def _estimate(text: str) -> int:
    twice = 0 if text.isascii() else len(_EMOJI.findall(text))  # an emoji is about two tokens
    return len(_PIECE.findall(text)) + twice
