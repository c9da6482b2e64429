"""What the fake model sees in a text: sentences, content words, how alike two texts are."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .stop_words import STOP_WORDS

__all__ = ["Reading", "alike", "clip", "fragment", "read_text", "stem", "stems", "words"]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
_SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?。！？](?!\s|$)[^.!?。！？\n]*)*[.!?。！？]*[\"'”’)]*")
_CLAUSE = re.compile(r"\s*[,;:—–()\[\]\"“”]\s+|\s+(?:but|because|while|which)\s+")
_LINK = re.compile(r"https?://\S+|[@#]\w+")
_SUFFIXES = (
    *("ational", "ations", "ation", "ments", "ment", "ingly", "ings", "ing", "edly", "ness", "ies", "ied"),
    *("ions", "ion", "ers", "er", "ed", "es", "ly", "s", "e", "y"),
)


class Reading(NamedTuple):
    """The sentences of a text, each a substring of it, and the content stems of each."""

    sentences: tuple[str, ...]
    stems: tuple[frozenset[str], ...]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A crude stem, equal for most inflections of an English word."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word.removesuffix(suffix)
    return word


def words(text: str) -> list[tuple[str, str]]:
    """Stem and spelling of each content word, in order."""
    found = _WORD.findall(_LINK.sub(" ", text) if "http" in text or "#" in text or "@" in text else text)
    return [(stem, word) for word in found if (stem := _content_stem(word))]


def stems(text: str) -> frozenset[str]:
    """The different stems of the content words."""
    return frozenset(stem for stem, _ in words(text))


@lru_cache(maxsize=2_000)
def read_text(text: str) -> Reading:
    """The sentences of a text and their stems."""
    found = [sentence.strip() for sentence in _SENTENCE.findall(text)]
    sentences = tuple(sentence for sentence in found if any(char.isalnum() for char in sentence))
    if not sentences:
        sentences = (text.strip(),)
    return Reading(sentences, tuple(stems(sentence) for sentence in sentences))


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity, 0 to 1."""
    return len(one & other) / len(one | other) if one and other else 0.0


def clip(sentence: str, limit: int, wanted: frozenset[str] = frozenset()) -> str:
    """At most `limit` words of a sentence as they stand in it, around the first wanted word."""
    spans = [match.span() for match in re.finditer(r"\S+", sentence)]
    if len(spans) <= limit:
        return sentence
    hits = [n for n, (start, end) in enumerate(spans) if stems(sentence[start:end]) & wanted]
    first = max(0, min((hits[0] if hits else 0) - limit // 3, len(spans) - limit))
    return sentence[spans[first][0] : spans[first + limit - 1][1]]


def fragment(sentence: str, limit: int) -> str:
    """A phrase of up to `limit` words: the clause with most content, its edges freed of empty words."""
    clauses = [clause for clause in _CLAUSE.split(_LINK.sub("", sentence)) if clause]
    clause = max(clauses, key=lambda c: len(stems(clip(c, limit))), default=sentence)
    found = clause.split()
    while len(found) > 1 and not _is_content(found[0].strip(".,!?'\"")):
        found = found[1:]
    found = found[:limit]
    while len(found) > 1 and not _is_content(found[-1].strip(".,!?'\"")):
        found = found[:-1]
    return " ".join(found).strip(" .,;:!?\"“”'") or sentence.strip()


@lru_cache(maxsize=100_000)
def _content_stem(word: str) -> str:
    return stem(word) if _is_content(word) else ""


def _is_content(word: str) -> bool:
    return len(word) > 2 and not word.isdigit() and word.lower().replace("’", "'") not in STOP_WORDS
