"""Spans of marked passages: finds them in texts, makes excerpts, and converts offsets for JavaScript."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from text_lloom.quotes import Span, encodable, locate_quote

__all__ = ["Excerpt", "excerpt", "locate_spans", "merge_spans", "shown_text", "utf16_spans"]

_EXCERPT: Final = 600
_WORD_REACH: Final = 30


class Excerpt(NamedTuple):
    """A part of a text.

    Attributes:
        start: Offset of its first character in the text, in code points.
        end: Offset after its last character.
        cut: Whether the excerpt is shorter than the text.
    """

    start: int
    end: int
    cut: bool


def shown_text(text: str) -> str:
    """A text with U+FFFD, which has the same length, in place of lone surrogates, which cannot be sent."""
    return encodable(text)


def locate_spans(quotes: Iterable[str], text: str) -> list[Span]:
    """Where quotes occur in a text, in order and merged; quotes that do not occur are left out."""
    found = (locate_quote(quote, text) for quote in quotes if quote)
    return merge_spans(Span(quote.start, quote.end) for quote in found if quote.start >= 0)


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, with overlapping ones merged."""
    merged: list[Span] = []
    for span in sorted(spans):
        if span.end <= span.start:
            continue
        if merged and span.start < merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def excerpt(text: str, around: Sequence[Span], *, longest: int = _EXCERPT) -> Excerpt:
    """The part of a text to show in a list: all of a short one, else about `longest` characters.

    The excerpt is around the first span, with a third of the rest before it. It cuts no words except very
    long ones.
    """
    if len(text) <= longest:
        return Excerpt(0, len(text), False)
    start, end = around[0] if around else Span(0, 0)
    lead = max(0, (longest - (end - start)) // 3)
    first = _word_start(text, max(0, min(start - lead, len(text) - longest)))
    last = min(len(text), first + longest)
    last = last if last == len(text) else _word_start(text, last)
    return Excerpt(first, last, True)


def utf16_spans(text: str, spans: Sequence[Span], part: Excerpt | None = None) -> list[list[int]]:
    """Spans of a text in UTF-16 units, as JavaScript counts; within a part if one is given.

    Args:
        text: The whole text.
        spans: Spans of it in code points, ascending.
        part: The part that is shown; spans are clipped to it, and their offsets start at its start.
    """
    first, last = (0, len(text)) if part is None else (part.start, part.end)
    clipped = [(max(span.start, first), min(span.end, last)) for span in spans]
    clipped = [(start, end) for start, end in clipped if start < end]
    if text.isascii():
        return [[start - first, end - first] for start, end in clipped]
    wide = [i for i in range(first, last) if text[i] > "\uffff"]

    def units(at: int) -> int:
        return at - first + bisect_left(wide, at)

    return [[units(start), units(end)] for start, end in clipped]


def _word_start(text: str, near: int) -> int:
    """The start of the word at an offset, or the offset itself if that word is long."""
    return text.rfind(" ", max(0, near - _WORD_REACH), near) + 1 or near
