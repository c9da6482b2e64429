"""Finding a quoted passage in a document: exactly, up to typography, or approximately."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LocatedQuote", "QuoteMatch", "locate_quote"]

_SAME_GLYPH = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201b": "'",
        "\u2032": "'",
        "\u00b4": "'",
        "`": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u201f": '"',
        "\u00ab": '"',
        "\u00bb": '"',
        "\u2033": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
    }
)
_INVISIBLE = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad")
_FUZZY_FLOOR = 88.0
_SHORTEST_FUZZY = 12


class QuoteMatch(StrEnum):
    """How a quote was found in its document."""

    EXACT = "exact"
    NORMALISED = "normalised"
    FUZZY = "fuzzy"
    UNVERIFIED = "unverified"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class LocatedQuote:
    """Where a quote stands in a document.

    Attributes:
        text: The passage as it stands in the document, `""` unless it was found.
        start: Offset of its first character (code points), -1 unless it was found.
        end: Offset after its last character, -1 unless it was found.
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

    First as it is; then without regard to white space, letter case, quotation marks, dashes and
    invisible characters; then approximately (an alignment of at least 88 % similarity, for quotes
    of twelve characters or more). Ellipses at either end of a quote are ignored.

    Args:
        quote: What a model gave as an exact quote. Blank means that no passage was quoted.
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
    folded_document, offsets = _fold(document)
    for needle in dict.fromkeys((_fold(quote)[0], _fold(quote.strip("\"'“”‘’«» .…"))[0])):
        at = folded_document.find(needle) if needle else -1
        if at >= 0:
            return _passage(document, offsets, at, at + len(needle), QuoteMatch.NORMALISED, claimed)
    return _locate_fuzzily(_fold(quote)[0], folded_document, document, offsets, claimed)


def _fold(text: str) -> tuple[str, list[int]]:
    """`text` without differences of typography, and the offset in `text` of each character kept."""
    kept: list[str] = []
    offsets: list[int] = []
    pending_space = False
    for offset, char in enumerate(text.translate(_SAME_GLYPH)):
        if char in _INVISIBLE:
            continue
        if char.isspace():
            pending_space = bool(kept)
            continue
        if pending_space:
            kept.append(" ")
            offsets.append(offset - 1)
            pending_space = False
        lowered = char.lower()
        kept.append(lowered if len(lowered) == 1 else char)
        offsets.append(offset)
    return "".join(kept), offsets


def _passage(
    document: str, offsets: list[int], start: int, end: int, match: QuoteMatch, claimed: str
) -> LocatedQuote:
    first, last = offsets[start], offsets[end - 1] + 1
    return LocatedQuote(document[first:last], first, last, match, claimed)


def _locate_fuzzily(
    needle: str, folded: str, document: str, offsets: list[int], claimed: str
) -> LocatedQuote:
    from rapidfuzz import fuzz

    unverified = LocatedQuote("", -1, -1, QuoteMatch.UNVERIFIED, claimed)
    if not _SHORTEST_FUZZY <= len(needle) <= len(folded):
        return unverified
    found = fuzz.partial_ratio_alignment(needle, folded, score_cutoff=_FUZZY_FLOOR)
    if found is None or found.dest_end <= found.dest_start:
        return unverified
    start, end = found.dest_start, found.dest_end
    while start > 0 and folded[start - 1].isalnum() and folded[start].isalnum():
        start -= 1
    while end < len(folded) and folded[end - 1].isalnum() and folded[end].isalnum():
        end += 1
    while start < end and folded[start].isspace():
        start += 1
    while end > start and folded[end - 1].isspace():
        end -= 1
    return _passage(document, offsets, start, end, QuoteMatch.FUZZY, claimed)
