"""Words of a text with their places, and the key under which inflected forms of a word are one."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from text_lloom.local.stopwords import FUNCTION_WORDS
from text_lloom.normal_form import MARKS, clusters

__all__ = ["Token", "fold", "is_number", "key_of", "mask_noise", "root_of", "tokenize"]

_NOISE = re.compile(
    r"(?:https?://|www\.)\S+"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"
    r"|</?[a-zA-Z][^<>]{0,300}>"
    r"|&(?:[a-zA-Z]{2,8}|#\d{1,6});"
    r"|(?<!\w)@\w+"
    r"|(?<![\w.-])[\w-]{2,40}\.(?:com|org|net|gov|edu|co\.uk|io)\b(?:/\S*)?"
)
_WORD = re.compile(rf"(?:[^\W\d_]\.){{2,}}|(?:[^\W_][{MARKS}]*)+(?:['’](?:[^\W_][{MARKS}]*)+)*")
_PARTS_OF_HASHTAG = re.compile(rf"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|(?:[^\Wa-zA-Z\d_][{MARKS}]*)+")
# Scripts written without spaces, for which pairs of characters serve as words.
_UNSPACED = re.compile(
    r"(?P<pairs>[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1780-\u17ff\u1000-\u109f]+)"
    r"|(?P<word>[\u30a0-\u30ff]+)|(?P<particle>[\u3040-\u309f]+)"
    r"|(?P<other>[^\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1780-\u17ff\u1000-\u109f]+)"
)
_HAS_UNSPACED = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1780-\u17ff\u1000-\u109f]"
)
_TIGHT: Final = frozenset(" -\u2010\u2011\u00a0\n\r\t#'’")
_VOWEL = re.compile(r"[aeiouy]")
_LATIN = re.compile(r"[a-z]+\Z")
_CVC = re.compile(r"[^aeiou][aeiou][^aeiouwxy]\Z")
_DOUBLED = re.compile(r"([^aeiou])\1\Z")

_IRREGULAR: Final = {
    "women": "woman", "men": "man", "children": "child", "kids": "kid", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "wives": "wife", "lives": "life", "knives": "knife", "buses": "bus", "viruses": "virus",
    "statuses": "status", "focuses": "focus", "bonuses": "bonus", "campuses": "campus", "biases": "bias",
    "gases": "gas", "lenses": "lens", "canvases": "canvas", "news": "news", "paid": "pay",
    "bought": "buy",
    "sold": "sell", "lost": "lose", "stole": "steal", "stolen": "steal", "sent": "send", "drove": "drive",
    "driven": "drive", "ran": "run",
    "wrote": "write", "written": "write", "broke": "break", "broken": "break",
    "chose": "choose", "chosen": "choose", "froze": "freeze", "frozen": "freeze", "withdrew": "withdraw",
    "withdrawn": "withdraw", "fought": "fight", "taught": "teach", "voting": "vote", "voted": "vote",
    "charging": "charge", "cancelled": "cancel", "cancelling": "cancel", "using": "use", "data": "data",
    "series": "series", "species": "species", "lens": "lens", "bias": "bias", "canvas": "canvas",
    "christmas": "christmas", "texas": "texas", "kansas": "kansas", "arkansas": "arkansas", "atlas": "atlas",
    "alias": "alias", "gas": "gas", "hundred": "hundred", "wedding": "wedding", "red": "red", "bed": "bed",
    "dying": "die", "died": "die",
    "lying": "lie", "lied": "lie", "tying": "tie", "tied": "tie", "paying": "pay",
}  # fmt: skip
_SUFFIXES: Final = (
    ("ization", 4), ("isation", 4), ("ational", 4), ("ation", 4), ("ition", 4), ("iti", 5), ("ment", 4),
    ("nes", 4), ("ism", 4), ("ist", 4), ("iz", 4), ("is", 5), ("ical", 4), ("ion", 4), ("al", 5), ("iv", 5),
    ("abl", 4), ("ibl", 4), ("ful", 4), ("les", 4), ("ant", 5), ("ent", 5), ("anc", 4), ("enc", 5), ("at", 4),
    ("er", 5), ("or", 5), ("li", 4),
)  # fmt: skip


class Token(NamedTuple):
    """A word of a text.

    Attributes:
        start: Offset of its first character.
        end: Offset after its last character.
        key: What its inflected forms have in common; for looking up, never for showing.
        content: Whether it carries meaning by itself: neither a function word nor a bare number.
        tight: Whether only a space or a hyphen separates it from the word before.
    """

    start: int
    end: int
    key: str
    content: bool
    tight: bool


def mask_noise(text: str) -> str:
    """`text` with links, addresses, mentions, HTML tags and entities blanked out, length unchanged."""
    if not any(mark in text for mark in ("://", "@", "<", "&", "www.", ".")):
        return text
    return _NOISE.sub(lambda found: " " * len(found.group(0)), text)


@lru_cache(maxsize=1 << 17)
def fold(word: str) -> str:
    """A word without differences of case, compatibility characters and typographic apostrophes."""
    if word == "US":  # The country, not the pronoun.
        return "u.s"
    folded = (
        unicodedata.normalize("NFKC", word).casefold().replace("i\u0307", "i").replace("’", "'").strip("'.")
    )
    return folded[:-2] if folded.endswith("'s") and folded not in _STOP_WITH_S else folded


_STOP_WITH_S: Final = frozenset(w for words in FUNCTION_WORDS.values() for w in words if w.endswith("'s"))


@lru_cache(maxsize=1 << 17)
def key_of(word: str) -> str:
    """The key of a word: the same for singular and plural, for -ing, -ed and the plain form.

    Example:
        >>> key_of("buses") == key_of("bus"), key_of("Driving") == key_of("drives")
        (True, True)
    """
    folded = fold(word).replace("'", "")
    folded = _IRREGULAR.get(folded, folded)
    if len(folded) < 4 or not _LATIN.match(folded):
        return folded
    return _even_ending(_without_inflection(folded))


def _without_inflection(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in _IRREGULAR:
        return word[:-1] if len(word) > 3 else word
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending, shortest in (("ing", 6), ("ed", 5)):
        if len(word) >= shortest and word.endswith(ending) and not word.endswith("eed"):
            base = word[: -len(ending)]
            if _VOWEL.search(base):
                return base + "e" if len(base) == 3 and _CVC.match(base) else base
    return word


def _even_ending(word: str) -> str:
    """The word with an ending that plain forms and the stems of inflected forms have in common."""
    if len(word) > 4 and word.endswith("e"):
        word = word[:-1]
    if len(word) > 3 and _DOUBLED.search(word):
        word = word[:-1]
    if len(word) > 3 and word.endswith("y"):
        word = word[:-1] + "i"
    return word


@lru_cache(maxsize=1 << 17)
def root_of(key: str) -> str:
    """What words derived from each other have in common, such as `criticise` and `criticism`."""
    if _LATIN.match(key):
        for suffix, shortest in _SUFFIXES:
            if key.endswith(suffix) and len(key) - len(suffix) >= shortest:
                return key[: -len(suffix)]
    return key


def is_number(word: str) -> bool:
    """Whether a word has no letters, or is a number with a unit such as `5pm`, `1st` or `20k`."""
    return bool(_NUMBER.match(word))


_NUMBER = re.compile(r"\d[\d.,]*(?:st|nd|rd|th|am|pm|k|m|bn|x|s|yo|hrs|mins)?\Z")


def tokenize(text: str) -> list[Token]:
    """All words of `text` in order; links, mentions and markup are skipped.

    Which function words count is decided for the text: English ones, and those of the language whose
    function words are most frequent in it.
    """
    spans: list[tuple[int, int]] = []
    unspaced = _HAS_UNSPACED.search(text) is not None
    masked = mask_noise(text)
    for found in _WORD.finditer(masked):
        start, end = found.span()
        if start and masked[start - 1] == "#":
            spans.extend(
                (start + p.start(), start + p.end()) for p in _PARTS_OF_HASHTAG.finditer(found.group(0))
            )
        elif unspaced and _HAS_UNSPACED.search(found.group(0)):
            spans.extend(_unspaced_spans(masked, start, end))
        else:
            spans.append((start, end))
    folded = [fold(masked[start:end]) for start, end in spans]
    stop = _function_words(folded)
    tokens: list[Token] = []
    previous = -1
    for (start, end), word in zip(spans, folded, strict=True):
        gap = masked[previous:start] if previous >= 0 else "."
        tight = len(gap) <= 3 and all(char in _TIGHT for char in gap)
        content = word not in stop and _carries_meaning(word)
        tokens.append(Token(start, end, key_of(masked[start:end]), content, tight))
        previous = end
    return tokens


def _unspaced_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for found in _UNSPACED.finditer(text, start, end):
        first, last = found.span()
        if found.lastgroup == "pairs" and last - first > 2:
            signs = clusters(text, first, last)
            spans.extend((one[0], two[1]) for one, two in pairwise(signs))
            if len(signs) == 1:
                spans.append((first, last))
        else:
            spans.append((first, last))
    return spans


def _function_words(folded: list[str]) -> frozenset[str]:
    english = FUNCTION_WORDS["en"]
    n = len(folded)
    if n == 0 or sum(word in english for word in folded) >= 0.3 * n:
        return english
    counts = {name: sum(word in words for word in folded) for name, words in FUNCTION_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    if best == "en" or counts[best] < 2:
        return english
    return _both(best)


@cache
def _both(language: str) -> frozenset[str]:
    return FUNCTION_WORDS["en"] | FUNCTION_WORDS[language]


@lru_cache(maxsize=1 << 17)
def _carries_meaning(word: str) -> bool:
    if is_number(word):
        return False
    first = ord(word[0]) if word else 0
    if first < 0x0370:
        return len(word) > 1
    if first < 0x0590:  # Greek, Cyrillic, Armenian: the shortest words are function words.
        return len(word) > 2
    if first < 0x0900:  # Hebrew, Arabic.
        return len(word) > 2
    return not 0x3040 <= first <= 0x309F
