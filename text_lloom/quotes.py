"""Finds a quoted passage in a document: exactly, up to typography, or approximately."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from text_lloom.normal_form import MARKS, Mapped, comparable, map_comparable

__all__ = ["LocatedQuote", "QuoteMatch", "Span", "encodable", "harmless", "locate_quote"]

_LONE_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_HARMFUL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_MADE_HARMLESS = (
    dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), None)
    | dict.fromkeys((0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x1F, 0x85), " ")
    | {0x09: "\t", 0x0A: "\n", 0x0D: "\r", 0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}
)
_IN_WORD: Final = re.compile(rf"[^\W_]|[{MARKS}]").match
_FUZZY_FLOOR = 88.0
_SHORTEST_FUZZY = 12


class Span(NamedTuple):
    """A part of a text, `text[start:end]`, in code points."""

    start: int
    end: int


class QuoteMatch(StrEnum):
    """How a quote was found in its document."""

    EXACT = "exact"
    NORMALISED = "normalised"
    FUZZY = "fuzzy"
    UNVERIFIED = "unverified"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class LocatedQuote:
    """Where a quote is in a document.

    Attributes:
        text: The passage as the document has it, `""` if it was not found.
        start: Offset of its first character (code points), -1 if it was not found.
        end: Offset after its last character, -1 if it was not found.
        match: How it was found.
        claimed: The quote as the model gave it.
    """

    text: str
    start: int
    end: int
    match: QuoteMatch
    claimed: str


def locate_quote(quote: str, document: str) -> LocatedQuote:
    """Find `quote` in `document`.

    It is searched for as it is; then without differences in Unicode form, white space, letter case,
    quotation marks, dashes, invisible characters and lone surrogates; then approximately (an
    alignment of at least 88 % similarity, for quotes of twelve characters or more). Ellipses at either end
    of a quote are ignored.

    Args:
        quote: The quote as the model gave it; blank if it quoted nothing.
        document: The document's text.

    Returns:
        The passage as the document has it, so that `document[start:end] == text`.
    """
    claimed = quote
    quote = quote.strip()
    if not quote:
        return LocatedQuote("", -1, -1, QuoteMatch.NONE, claimed)
    start = document.find(quote)
    if start >= 0:
        return LocatedQuote(quote, start, start + len(quote), QuoteMatch.EXACT, claimed)
    folded = _fold(document)
    for needle in dict.fromkeys((_fold(quote), _fold(quote.strip("\"'“”‘’«» .…")))):
        at = folded.find(needle) if needle else -1
        if at >= 0:
            return _passage(document, at, at + len(needle), QuoteMatch.NORMALISED, claimed)
    return _locate_fuzzily(_fold(quote), folded, document, claimed)


def encodable(text: str) -> str:
    """`text` with U+FFFD in place of lone surrogates, which cannot be encoded."""
    try:
        text.encode()  # a hundred times as fast as replacing, and surrogates are rare
    except UnicodeEncodeError:
        return text.translate(_LONE_SURROGATES)
    return text


def harmless(text: str) -> str:
    """`text` without what no table, spreadsheet or terminal can take.

    Halves of surrogate pairs are joined, or become replacement characters where the other half is missing.
    Control characters (NUL, escape, …) are dropped or become spaces; tabs and line ends stay.
    """
    if _HARMFUL.search(text) is None:
        return text
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.translate(_MADE_HARMLESS)


@lru_cache(maxsize=256)
def _fold(text: str) -> str:
    """`text` as it is compared; cached, because a document is folded once for all of its quotes."""
    return comparable(text)


@lru_cache(maxsize=16)
def _mapped(text: str) -> Mapped:
    return map_comparable(text)


def _passage(document: str, start: int, end: int, match: QuoteMatch, claimed: str) -> LocatedQuote:
    """The passage of `document` between two offsets of its folded form."""
    form = _mapped(document)
    first, last = form.starts[start], form.ends[end - 1]
    return LocatedQuote(document[first:last], first, last, match, claimed)


def _locate_fuzzily(needle: str, folded: str, document: str, claimed: str) -> LocatedQuote:
    from rapidfuzz import fuzz

    unverified = LocatedQuote("", -1, -1, QuoteMatch.UNVERIFIED, claimed)
    if not _SHORTEST_FUZZY <= len(needle) <= len(folded):
        return unverified
    found = fuzz.partial_ratio_alignment(needle, folded, score_cutoff=_FUZZY_FLOOR)
    if found is None or found.dest_end <= found.dest_start:
        return unverified
    start, end = found.dest_start, found.dest_end
    while start > 0 and _IN_WORD(folded[start - 1]) and _IN_WORD(folded[start]):
        start -= 1
    while end < len(folded) and _IN_WORD(folded[end - 1]) and _IN_WORD(folded[end]):
        end += 1
    while start < end and folded[start].isspace():
        start += 1
    while end > start and folded[end - 1].isspace():
        end -= 1
    return _passage(document, start, end, QuoteMatch.FUZZY, claimed)
