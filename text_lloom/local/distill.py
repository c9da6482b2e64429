"""Quotes and bullets of a document: its most informative passages and key phrases."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from text_lloom.local.reading import Reading, tokens_within
from text_lloom.local.sentences import split_clauses, split_long
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.local.stopwords import DANGLING, LEADING
from text_lloom.local.words import Token, fold, mask_noise
from text_lloom.quotes import Span

__all__ = ["Passage", "Relatedness", "choose_bullets", "choose_quotes", "passages_of"]

_LONGEST_QUOTE = 280
_SHORTEST_PIECE = 25
_NEGATIONS = frozenset(["not", "no", "never", "without", "can't", "cannot", "don't", "won't", "didn't"])

Relatedness = Callable[[Sequence[str]], Sequence[float]]
"""Gives how related each text is to a seed, between 0 and 1."""


class Passage(NamedTuple):
    """A sentence, or a piece of a long one, with its words."""

    start: int
    end: int
    tokens: list[Token]


class _Ranked(NamedTuple):
    passage: Passage
    keys: frozenset[str]
    value: float


def passages_of(reading: Reading, *, limit: int = _LONGEST_QUOTE) -> list[Passage]:
    """The sentences of a text in order; long ones in pieces that end where clauses end."""
    found: list[Passage] = []
    for sentence in reading.sentences:
        for span in split_long(reading.text, Span(sentence.start, sentence.end), limit=limit):
            tokens = tokens_within(sentence.tokens, span)
            short = span.end - span.start < _SHORTEST_PIECE and sum(token.content for token in tokens) < 2
            # A fragment such as "So." or an emoji reads better with the sentence before it.
            if short and found and span.start - found[-1].end <= 3 and span.end - found[-1].start <= limit:
                before = found.pop()
                found.append(Passage(before.start, span.end, [*before.tokens, *tokens]))
            else:
                found.append(Passage(span.start, span.end, tokens))
    return found


def choose_quotes(
    reading: Reading, statistics: CorpusStatistics, *, n_quotes: int, related: Relatedness | None = None
) -> list[Span]:
    """The most informative, least repetitive passages of the readable form, in the order of the text.

    The salience of a passage is the summed weight of its words relative to its length; words that recur
    in the text count more. Maximal marginal relevance (Carbonell & Goldstein 1998,
    doi:10.1145/290941.291025) removes redundancy.

    Args:
        reading: The document.
        statistics: Weights of words.
        n_quotes: The most passages to take.
        related: Gives how related passages are to a seed; related ones are taken first.
    """
    passages = passages_of(reading)
    if not passages:
        first = len(reading.text) - len(reading.text.lstrip())
        after = min(len(reading.text.rstrip()), first + _LONGEST_QUOTE)
        return [Span(first, after)] if after > first and n_quotes > 0 else []
    frequency = Counter(reading.content_keys())
    ranked = [
        _Ranked(
            passage,
            frozenset(token.key for token in passage.tokens if token.content),
            _salience(reading.text, passage, frequency, statistics),
        )
        for passage in passages
    ]
    last = len(ranked) - 1
    values = [
        item.value * (1.15 if position == 0 else 1.05 if position == last else 1.0)
        for position, item in enumerate(ranked)
    ]
    if related is not None:
        relations = related([reading.text[p.start : p.end] for p in passages])
        values = [value * (0.2 + 4 * relation) for value, relation in zip(values, relations, strict=True)]
    candidates = [item._replace(value=value) for item, value in zip(ranked, values, strict=True)]
    chosen = _diverse(candidates, statistics, n_quotes)
    chosen.sort(key=lambda item: item.passage.start)
    return [Span(item.passage.start, item.passage.end) for item in chosen]


def _salience(text: str, passage: Passage, frequency: Counter[str], statistics: CorpusStatistics) -> float:
    contents = [token for token in passage.tokens if token.content]
    if not contents:
        return 0.0
    keys = {token.key for token in contents}
    total = sum(statistics.weight(key) * (1 + math.log(frequency[key])) for key in keys)
    value = total / math.pow(len(keys) + 5, 0.6)
    if len(keys) < 3:
        value *= 0.6
    # Lists of names, addresses and references have more capitals, digits and punctuation than prose.
    capitals = sum(text[token.start].isupper() for token in contents)
    if len(contents) >= 5 and capitals > 0.6 * len(contents):
        value *= 0.35
    letters = sum(token.end - token.start for token in passage.tokens)
    if letters < 0.55 * (passage.end - passage.start):
        value *= 0.5
    return value


def _diverse(candidates: Sequence[_Ranked], statistics: CorpusStatistics, n: int) -> list[_Ranked]:
    best = max((item.value for item in candidates), default=0.0)
    left = [item for item in candidates if item.value >= 0.25 * best]
    covered: set[str] = set()
    taken: list[_Ranked] = []
    while left and len(taken) < n:
        gains = [_gain(item, covered, statistics) for item in left]
        top = max(gains)
        if taken and top < 0.2 * best:
            break
        item = left.pop(gains.index(top))
        taken.append(item)
        covered |= item.keys
    return taken


def _gain(item: _Ranked, covered: set[str], statistics: CorpusStatistics) -> float:
    """The value of a passage, minus what earlier chosen passages already cover."""
    total = sum(statistics.weight(key) for key in item.keys)
    known = sum(statistics.weight(key) for key in item.keys & covered)
    return item.value * (1 - 0.8 * known / total) if total else 0.0


@dataclass(frozen=True, slots=True)
class _Fragment:
    text: str
    keys: frozenset[str]
    value: float
    start: int


def choose_bullets(
    reading: Reading,
    statistics: CorpusStatistics,
    *,
    n_bullets: int | str,
    n_words: str,
    related: Relatedness | None = None,
) -> list[str]:
    """The most informative fragments of clauses, word for word.

    Args:
        reading: The text.
        statistics: Weights of words.
        n_bullets: How many, a number or a range such as `"2-4"`; longer texts get more.
        n_words: Words in each, a range such as `"5-8"`.
        related: Gives how related fragments are to a seed; related ones are taken first.
    """
    fewest, most = _bounds(n_bullets, (2, 4))
    shortest, longest = _bounds(n_words, (5, 8))
    fragments: list[_Fragment] = []
    n_tokens = 0
    for sentence in reading.sentences:
        n_tokens += len(sentence.tokens)
        for clause in split_clauses(reading.text, Span(sentence.start, sentence.end)):
            tokens = tokens_within(sentence.tokens, clause)
            fragments.extend(_best_fragments(reading.text, tokens, statistics, shortest, longest))
    if not fragments:
        plain = " ".join(reading.text.split())
        return [plain[:60].strip()] if plain and most else []
    if related is not None:
        relations = related([fragment.text for fragment in fragments])
        fragments = [
            _Fragment(f.text, f.keys, f.value * (0.2 + 3 * relation), f.start)
            for f, relation in zip(fragments, relations, strict=True)
        ]
    n = min(most, max(fewest, round(n_tokens / 25)))
    return _distinct(fragments, n)


def _distinct(fragments: Sequence[_Fragment], n: int) -> list[str]:
    ranked = sorted(fragments, key=lambda fragment: (-fragment.value, fragment.start))
    best = ranked[0].value
    covered: set[str] = set()
    taken: list[_Fragment] = []
    for fragment in ranked:
        if len(taken) == n or fragment.value < 0.35 * best:
            break
        if len(fragment.keys & covered) <= 0.5 * len(fragment.keys):
            taken.append(fragment)
            covered |= fragment.keys
    taken.sort(key=lambda fragment: fragment.start)
    return [fragment.text for fragment in taken]


def _best_fragments(
    text: str, tokens: Sequence[Token], statistics: CorpusStatistics, shortest: int, longest: int
) -> list[_Fragment]:
    """The best run of words in a clause; for a long clause also the best run in the rest."""
    if not any(token.content for token in tokens):
        return []
    words = [fold(text[token.start : token.end]) for token in tokens]
    weights = [statistics.weight(token.key) if token.content else 0.0 for token in tokens]
    n = len(tokens)
    best: tuple[float, int, int] | None = None
    for i in range(n):
        if words[i] in LEADING:
            continue
        seen: set[str] = set()
        value = 0.0
        contents = 0
        for j in range(i, min(n, i + longest)):
            token = tokens[j]
            if token.content:
                contents += 1
                if token.key not in seen:
                    seen.add(token.key)
                    value += weights[j]
            elif words[j] in _NEGATIONS:
                value += 0.15
            else:
                value -= 0.04
            if not contents or (words[j] in DANGLING and j < n - 1) or words[j] in LEADING:
                continue
            size = j - i + 1
            fitness = value + (0.25 if j == n - 1 else 0.0) + (0.2 if _opens(words, i) else 0.0)
            fitness -= _torn(tokens, i, j)
            if size < shortest:
                fitness *= 0.55 + 0.45 * size / shortest
            if contents < 2:
                fitness *= 0.5
            if best is None or fitness > best[0]:
                best = (fitness, i, j + 1)
    if best is None:
        return []
    value, i, j = best
    run = tokens[i:j]
    shown = " ".join(mask_noise(text[run[0].start : run[-1].end]).split())
    fragment = _Fragment(shown, frozenset(t.key for t in run if t.content), value, run[0].start)
    rest = _best_fragments(text, tokens[j:], statistics, shortest, longest) if n - j >= shortest else []
    return [fragment, *rest]


def _torn(tokens: Sequence[Token], i: int, j: int) -> float:
    """Penalty for a run `tokens[i..j]` that separates words which may belong together."""
    penalty = 0.0
    if i and tokens[i].tight and tokens[i - 1].content:
        penalty += 0.2
    if j + 1 < len(tokens) and tokens[j + 1].tight and tokens[j + 1].content:
        penalty += 0.2
    return penalty


def _opens(words: Sequence[str], i: int) -> bool:
    """Whether all words before word `i` of the clause are words that a bullet does not start with."""
    return i == 0 or all(word in LEADING for word in words[:i])


def _bounds(count: int | str, otherwise: tuple[int, int]) -> tuple[int, int]:
    numbers = [int(part) for part in re.findall(r"\d+", str(count))]
    if not numbers:
        return otherwise
    return min(numbers), max(numbers)
