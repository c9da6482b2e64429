"""A text as the engine reads it: sentences and the words in them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from text_lloom.local.sentences import split_sentences
from text_lloom.local.words import Token, tokenize
from text_lloom.normal_form import readable
from text_lloom.quotes import Span

__all__ = ["Reader", "Reading", "Sentence", "tokens_within", "without_repeats"]

_REMEMBERED_CHARACTERS = 8_000_000
_RUN = 7
_REPEATS = 3
_REPEATED_SHARE = 0.25
_MOST_TOKENS = 400_000


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence: its position and its words."""

    start: int
    end: int
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A text in its readable form, with its sentences."""

    text: str
    sentences: tuple[Sentence, ...]

    def tokens(self) -> Iterator[Token]:
        """All words, in order."""
        for sentence in self.sentences:
            yield from sentence.tokens

    def content_keys(self) -> list[str]:
        """Keys of the words that carry meaning, in order, repeated as they occur."""
        return [token.key for token in self.tokens() if token.content]


@dataclass(slots=True)
class Reader:
    """Reads texts, and remembers the latest ones."""

    _seen: dict[str, Reading] = field(default_factory=dict)
    _size: int = 0

    def __call__(self, text: str) -> Reading:
        known = self._seen.get(text)
        if known is None:
            if self._size > _REMEMBERED_CHARACTERS:
                self._seen = {}
                self._size = 0
            known = self._seen[text] = _read(text)
            self._size += len(text)
        return known

    def all(self, texts: Iterable[str]) -> list[Reading]:
        """The readings of several texts."""
        return [self(text) for text in texts]


def tokens_within(tokens: Sequence[Token], span: Span) -> list[Token]:
    """The words that lie within a stretch of the text."""
    first = bisect_left(tokens, span.start, key=_start)
    after = bisect_left(tokens, span.end, first, key=_start)
    return [token for token in tokens[first:after] if token.end <= span.end]


def without_repeats(readings: Sequence[Reading]) -> list[Reading]:
    """Readings without sentences that several documents have nearly word for word, such as legal notices.

    A document that would lose more than half of its words, such as a copy of another one, stays whole.
    """
    n_tokens = sum(len(sentence.tokens) for reading in readings for sentence in reading.sentences)
    counts: Counter[tuple[str, ...]] = Counter()
    for reading in readings[:: max(1, -(-n_tokens // _MOST_TOKENS))]:
        counts.update({run for sentence in reading.sentences for run in _runs(sentence)})
    repeated = {run for run, count in counts.items() if count >= _REPEATS}
    if not repeated:
        return list(readings)
    kept: list[Reading] = []
    for reading in readings:
        own = tuple(sentence for sentence in reading.sentences if not _is_repeated(sentence, repeated))
        n_own = sum(len(sentence.tokens) for sentence in own)
        enough = 2 * n_own > sum(len(sentence.tokens) for sentence in reading.sentences)
        kept.append(Reading(reading.text, own) if enough else reading)
    return kept


def _runs(sentence: Sentence) -> list[tuple[str, ...]]:
    keys = [token.key for token in sentence.tokens]
    return [tuple(keys[at : at + _RUN]) for at in range(len(keys) - _RUN + 1)]


def _is_repeated(sentence: Sentence, repeated: AbstractSet[tuple[str, ...]]) -> bool:
    runs = _runs(sentence)
    return bool(runs) and sum(run in repeated for run in runs) > _REPEATED_SHARE * len(runs)


def _start(token: Token) -> int:
    return token.start


def _read(given: str) -> Reading:
    text = readable(given)
    tokens = tokenize(text)
    sentences: list[Sentence] = []
    at = 0
    for start, end in split_sentences(text):
        first = at
        while at < len(tokens) and tokens[at].start < end:
            at += 1
        sentences.append(Sentence(start, end, tuple(tokens[first:at])))
    return Reading(text, tuple(sentences))
