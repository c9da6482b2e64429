"""Where sentences and clauses of a text begin and end, for prose as well as for posts."""

from __future__ import annotations

import re
from typing import Final

from text_lloom.local.stopwords import ABBREVIATIONS
from text_lloom.local.words import mask_noise
from text_lloom.quotes import Span

__all__ = ["split_clauses", "split_long", "split_sentences"]


_EMOJI: Final = "\u2600-\u27bf\u2b00-\u2bff\U0001f1e6-\U0001faff\ufe0f\u200d"
_BREAK = re.compile(
    r"(?P<stop>(?<![.!?…])[.!?…]+[\"'”’»)\]]*)(?=\s)"
    r"|(?P<wide>[。！？؟।۔]+[”’」』）]*)"
    r"|(?P<glued>(?<=[a-z)\]]{2})[.!?](?=[A-Z][a-z]))"
    r"|(?P<line>\n\s*)"
    rf"|(?P<emoji>(?<![{_EMOJI}])[{_EMOJI}]+\s{{1,3}}(?=[^\Wa-z_]|[+\"“#@]))"
)
_LAST_WORD = re.compile(r"[^\s(\[\"“]{1,24}\Z")
_LIST_MARK = re.compile(r"[-*•–—▪◦·>]|\d{1,2}[.)]\s")
_TERMINAL = re.compile(r"[.!?…:;。！？][\"'”’)\]]*\Z")
# Every repetition is bounded or cannot start inside itself, so long runs of one character stay fast.
_CLAUSE_BREAK = re.compile(
    r"(?<![;:,!?…、，；：،])[;:,!?…、，；：،]+[\"'”’»)]*(?:\s{1,3}|(?<=[、，；：،]))"
    r"|\s[-–—]{1,3}\s|—|[()\[\]{}]|[\"“”«»]"
    r"|\s(?=(?:because|but|although|though|unless|whereas|which|who|while|so that|in order to|since|until|if|"
    r"when|where)\s)",
)
_WRAPPED_LINE = 50
_SHORT_LINE = 20


def split_sentences(text: str) -> list[Span]:
    """Sentences of `text`, in order, without the white space around them.

    Knows abbreviations, initials, decimals, links, list items, emoji used as bullets, and lines that
    were wrapped in the middle of a sentence. Takes time linear in the length of the text.
    """
    masked = mask_noise(text)
    leading_emoji = re.match(rf"\s*[{_EMOJI}]", text) is not None
    spans: list[Span] = []
    start = line_start = 0
    for found in _BREAK.finditer(masked):
        at, after = found.span()
        kind = found.lastgroup
        if kind == "line":
            wrapped = _continues(masked, line_start, at, after)
            line_start = after
            if wrapped:
                continue
        elif kind == "stop":
            if not _ends_sentence(masked, start, found):
                continue
        elif kind == "emoji" and leading_emoji:
            _add(spans, text, start, at)
            start = max(start, at)
            continue
        _add(spans, text, start, after)
        start = after
    _add(spans, text, start, len(text))
    return spans


def split_clauses(text: str, span: Span) -> list[Span]:
    """The pieces of a sentence between its commas, dashes, brackets and conjunctions."""
    pieces: list[Span] = []
    start = span.start
    for found in _CLAUSE_BREAK.finditer(text, span.start, span.end):
        _add(pieces, text, start, found.start())
        start = found.end()
    _add(pieces, text, start, span.end)
    return pieces


def split_long(text: str, span: Span, *, limit: int) -> list[Span]:
    """`span` itself, or if it is longer than `limit` characters, runs of its clauses that fit."""
    if span.end - span.start <= limit:
        return [span]
    cuts = [found.end() for found in _CLAUSE_BREAK.finditer(text, span.start, span.end)]
    pieces: list[Span] = []
    start = span.start
    best = -1
    for cut in [*cuts, span.end]:
        while cut - start > limit:
            end = best if best > start else _cut_at_space(text, start, start + limit)
            _add(pieces, text, start, end)
            start = end
            best = -1
        best = cut
    _add(pieces, text, start, span.end)
    return pieces


def _cut_at_space(text: str, start: int, end: int) -> int:
    space = text.rfind(" ", start + 1, end)
    return space if space > start else end


def _add(spans: list[Span], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if end > start:
        spans.append(Span(start, end))


def _ends_sentence(text: str, start: int, found: re.Match[str]) -> bool:
    mark = found.group("stop")
    if mark != ".":
        return True
    before = _LAST_WORD.search(text, max(start, found.start() - 24), found.start())
    if before is None:
        return True
    word = before.group(0)
    folded = word.casefold()
    if folded in ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "I"):
        return False
    at_start = before.start() <= start or not text[start : before.start()].strip()
    return not (at_start and word.isdigit() and len(word) <= 2)


def _continues(text: str, line_start: int, line_end: int, after: int) -> bool:
    """Whether a line break is in the middle of a sentence."""
    if after >= len(text) or text.count("\n", line_end, after) > 1:
        return False
    line = text[max(line_start, line_end - 400) : line_end].strip()
    if _TERMINAL.search(line) or _LIST_MARK.match(text, after):
        return False
    if len(line) >= _WRAPPED_LINE:
        return True
    return len(line) >= _SHORT_LINE and text[after].islower()
