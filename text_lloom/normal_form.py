"""Forms of a text in which the same words are the same characters, and the way back from them."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["MARKS", "Mapped", "clusters", "comparable", "map_comparable", "passage_as_given", "readable"]


def _ranges(codes: list[int]) -> str:
    """The inside of a character class with these code points, which are in order."""
    parts: list[str] = []
    first = before = codes[0]
    for code in [*codes[1:], sys.maxunicode + 2]:
        if code != before + 1:
            parts.append(rf"\U{first:08x}-\U{before:08x}")
            first = code
        before = code
    return "".join(parts)


# No script has marks between the end of the supplementary plane and the variation selectors of plane 14.
MARKS: Final = _ranges(
    [
        code
        for code in (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0))
        if not 0x3400 <= code <= 0xA000 and unicodedata.category(chr(code))[0] == "M"
    ]
)
"""The inside of a character class of all combining marks, vowel signs of Indic scripts and Thai included."""

_JOINING_JAMO: Final = r"\u1160-\u11ff\ud7b0-\ud7ff\uff9e\uff9f"
_INVISIBLE: Final = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
)
# Arabic and Hebrew are written with vowel points or without, and Arabic words are stretched by a tatweel.
_OPTIONAL: Final = (
    r"\u0640\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8"
    r"\u06ea-\u06ed\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
)
_PIECE: Final = re.compile(rf"[\s\S][{MARKS}{_JOINING_JAMO}{_INVISIBLE}\u0640]+|[^\x00-\x7f]")
_CLUSTER: Final = re.compile(rf"[\s\S][{MARKS}{_JOINING_JAMO}]*")
_NOT_READ: Final = re.compile(rf"[{_INVISIBLE}{_OPTIONAL}]")
_READ_WITHOUT_CHANGE: Final = re.compile(rf"[^{_INVISIBLE}{_OPTIONAL}]*\Z")
_SAME_GLYPH: Final = str.maketrans(
    "\u2018\u2019\u201a\u201b\u2032\u00b4`\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033"
    "\u2010\u2011\u2012\u2013\u2014\u2039",
    "'" * 7 + '"' * 7 + "-" * 5 + "<",
) | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


class Mapped(NamedTuple):
    """A form of a text with the place of each of its characters in the text as given.

    Attributes:
        text: The form.
        starts: For each of its characters, where the piece that it comes from starts.
        ends: For each of its characters, where that piece ends.
    """

    text: str
    starts: list[int]
    ends: list[int]


def readable(text: str) -> str:
    """`text` in the form in which words are read: composed, letter case and punctuation as they are.

    Ligatures, full-width letters and presentation forms are plain letters. Soft hyphens, invisible
    characters and points that writers of Arabic and Hebrew leave out are gone.
    """
    if text.isascii() or (unicodedata.is_normalized("NFKC", text) and _READ_WITHOUT_CHANGE.match(text)):
        return text
    return _PIECE.sub(lambda found: _read_piece(found.group(0)), text)


def comparable(text: str) -> str:
    """`text` in the form in which it is compared and searched.

    Beyond `readable`, there is no difference of letter case, compatibility characters, quotation marks,
    dashes and white space.
    """
    if text.isascii():
        return " ".join(text.replace("`", "'").lower().split())
    folded = _PIECE.sub(lambda found: _compared_piece(found.group(0)), text)
    return " ".join(folded.replace("`", "'").lower().split())


def map_comparable(text: str) -> Mapped:
    """`comparable(text)` with the way back."""
    whole = _mapped(text, _compared_piece)
    kept: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for char, start, end in zip(whole.text, whole.starts, whole.ends, strict=True):
        if char.isspace():
            if kept and kept[-1] != " ":
                kept.append(" ")
                starts.append(start)
                ends.append(end)
            elif kept:
                ends[-1] = end
            continue
        kept.append("'" if char == "`" else char.lower())
        starts.append(start)
        ends.append(end)
    if kept and kept[-1] == " ":
        kept, starts, ends = kept[:-1], starts[:-1], ends[:-1]
    return Mapped("".join(kept), starts, ends)


def passage_as_given(text: str, start: int, end: int) -> str:
    """The passage of `text` that `readable(text)[start:end]` stands for."""
    if end <= start or readable(text) == text:
        return text[start:end]
    form = _mapped_readable(text)
    return text[form.starts[start] : form.ends[end - 1]]


def clusters(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The characters of a stretch of text as readers see them: each with the marks that belong to it."""
    return [found.span() for found in _CLUSTER.finditer(text, start, end)]


@lru_cache(maxsize=16)
def _mapped_readable(text: str) -> Mapped:
    return _mapped(text, _read_piece)


def _mapped(text: str, form: Callable[[str], str]) -> Mapped:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, piece in _pieces(text, form):
        parts.append(piece)
        starts.extend([start] * len(piece))
        ends.extend([end] * len(piece))
    return Mapped("".join(parts), starts, ends)


def _pieces(text: str, form: Callable[[str], str]) -> Iterator[tuple[int, int, str]]:
    at = 0
    for found in _PIECE.finditer(text):
        start, end = found.span()
        for plain in range(at, start):
            yield plain, plain + 1, text[plain]
        yield start, end, form(found.group(0))
        at = end
    for plain in range(at, len(text)):
        yield plain, plain + 1, text[plain]


@lru_cache(maxsize=1 << 16)
def _read_piece(piece: str) -> str:
    category = unicodedata.category(piece[0])
    if category[0] not in "LMNC" or category in ("No", "Nl"):
        # Emoji are joined by invisible characters, and punctuation has a width of its own.
        return unicodedata.normalize("NFC", piece)
    return unicodedata.normalize("NFKC", _NOT_READ.sub("", piece))


@lru_cache(maxsize=1 << 16)
def _compared_piece(piece: str) -> str:
    plain = unicodedata.normalize("NFKC", _NOT_READ.sub("", piece).translate(_SAME_GLYPH))
    folded = unicodedata.normalize("NFKC", plain.casefold())
    # The capital of Turkish folds to an i with a dot of its own, which no one types.
    return folded.replace("i\u0307", "i").replace("\u0131", "i").translate(_SAME_GLYPH)
