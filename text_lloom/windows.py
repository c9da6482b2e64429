"""Cuts a long text into overlapping windows that end where sentences end."""

from __future__ import annotations

import re

__all__ = ["split_windows"]

_OVERLAP = 0.1
_SEARCHED = 0.3
_SENTENCE_END = re.compile(r"[.!?…。！？।؟][\"'”’»)\]]*(?=\s|$)|[。！？।]|\n+")
_BLANK = re.compile(r"\s")


def split_windows(text: str, size: int) -> list[str]:
    """The windows of a text, in order; together they hold all of it.

    A window ends at the last sentence end in its last third, else at the last blank there, else after `size`
    characters. The next one begins at a sentence (or word) up to a tenth of `size` before, so that a passage
    at the border is whole in one of them.

    Args:
        text: The text.
        size: The most characters of a window.
    """
    windows = []
    start = 0
    while len(text) - start > size:
        end = _last(text, start + int((1 - _SEARCHED) * size), start + size) or start + size
        windows.append(text[start:end])
        earliest = end - int(_OVERLAP * size)
        start = _first(text, max(earliest, start + 1), end)
    windows.append(text[start:])
    return windows


def _last(text: str, low: int, high: int) -> int | None:
    """Where the last sentence, or else the last word, between two positions ends."""
    for pattern in (_SENTENCE_END, _BLANK):
        ends = [found.end() for found in pattern.finditer(text, low, high)]
        if ends:
            return ends[-1]
    return None


def _first(text: str, low: int, high: int) -> int:
    """Where the first sentence, or else the first word, between two positions begins; `high` if none does."""
    for pattern in (_SENTENCE_END, _BLANK):
        found = pattern.search(text, low, high)
        if found is not None:
            return found.end()
    return high
