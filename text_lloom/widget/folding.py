"""Folds text for searching, and finds where hits are in the original text."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Final

from text_lloom.quotes import Span

__all__ = ["find_hits", "fold"]

_SPACES: Final = re.compile(r"\s+")
_MOST_HITS: Final = 200


def fold(text: str) -> str:
    """Text in NFKC, case-folded, with single spaces."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.casefold().split())


def find_hits(query: str, text: str) -> list[Span]:
    """Where a query occurs in a text: at most 200 hits that do not overlap.

    The text is folded piece by piece (a character with the marks that follow it), so each folded
    character can be traced to its piece of the original.
    """
    needle = fold(query)
    if not needle:
        return []
    folded: list[str] = []
    origin: list[Span] = []
    for start, end in _pieces(text):
        piece = unicodedata.normalize("NFKC", text[start:end]).casefold()
        for char in _SPACES.sub(" ", piece):
            if char == " " and folded and folded[-1] == " ":
                origin[-1] = Span(origin[-1].start, end)
                continue
            folded.append(char)
            origin.append(Span(start, end))
    haystack, at = "".join(folded), 0
    hits: list[Span] = []
    while len(hits) < _MOST_HITS and (at := haystack.find(needle, at)) >= 0:
        after = at + len(needle)
        found = Span(origin[at].start, origin[after - 1].end)
        if not hits or found.start >= hits[-1].end:
            hits.append(found)
        at = after
    return hits


def _pieces(text: str) -> list[Span]:
    """Each character with the combining marks and joining vowels after it."""
    starts = [i for i, char in enumerate(text) if i == 0 or not _continues(char)]
    return [Span(a, b) for a, b in pairwise([*starts, len(text)])]


def _continues(char: str) -> bool:
    if char.isascii():
        return False
    return unicodedata.combining(char) != 0 or "\u1160" <= char <= "\u11ff"
