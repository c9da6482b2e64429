"""What a corpus says about its words: how rare they are, how they are written, which belong together."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from text_lloom.local.reading import Reading
from text_lloom.local.stopwords import (
    ADJECTIVAL_LY,
    CONNECTORS,
    DETERMINERS,
    OBJECTS,
    PREDICATIVE,
    SUBJECTS,
    WEAK_WORDS,
)
from text_lloom.local.words import Token, fold, key_of, root_of

__all__ = [
    "WEAK_KEYS",
    "CorpusStatistics",
    "commonest_form",
    "phrase_spans",
    "sample_evenly",
    "show_run",
    "shown_word",
]

WEAK_KEYS = frozenset(key_of(word) for word in WEAK_WORDS)
"""Keys of words that say little by themselves."""

_CONNECTOR_KEYS = frozenset(key_of(word) for word in CONNECTORS)
_MOST_CHARACTERS = 6_000_000
_WEAK_FACTOR = 0.35
_SINGLE_FACTOR = 0.55
_NOUN_ENDINGS = (
    "tion", "sion", "ment", "ments", "ness", "ity", "ities", "ism", "tions", "sions", "ship", "ance", "ence",
    "ists", "ist", "ers", "ors", "age", "ics", "ology", "hood",
)  # fmt: skip
_ADJECTIVAL_ENDINGS = ("ive", "al", "ous", "ful", "less", "able", "ible", "ic", "ary", "ish", "ern", "ian")
_VERBAL_ENDINGS = ("ed", "ify", "ize", "ise", "izes", "ifies", "ized", "n't")


def sample_evenly(texts: Sequence[str], *, characters: int = _MOST_CHARACTERS) -> list[str]:
    """All texts, or every k-th of them when together they are longer than `characters`."""
    total = sum(len(text) for text in texts)
    step = max(1, math.ceil(total / characters))
    return list(texts[::step])


def phrase_spans(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Runs `tokens[i:j]` of two to four words that can be a phrase.

    Content words at both ends, at most three of them, nothing but a space or a hyphen between the
    words, and inside no function words but connectors.
    """
    n = len(tokens)
    for i in range(n - 1):
        if not tokens[i].content:
            continue
        contents = 1
        for j in range(i + 1, min(i + 4, n)):
            token = tokens[j]
            if not token.tight:
                break
            if token.content:
                contents += 1
                if contents > 3:
                    break
                yield i, j + 1
            elif token.key not in _CONNECTOR_KEYS:
                break


class _Use(NamedTuple):
    """How often a word was seen as the last of a noun phrase, a verb, a predicate, before a noun."""

    head: float
    verb: float
    predicate: float
    modifier: float


_NO_USE = _Use(0.0, 0.0, 0.0, 0.0)


class CorpusStatistics:
    """Counts over a corpus.

    Args:
        readings: The documents.
    """

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = readings
        self.n_documents = len(readings)

    @cached_property
    def document_frequency(self) -> dict[str, int]:
        """Number of documents in which a key occurs as a word that carries meaning."""
        counts: Counter[str] = Counter()
        for reading in self._readings:
            counts.update(set(reading.content_keys()))
        return dict(counts)

    @cached_property
    def phrase_frequency(self) -> dict[str, int]:
        """Number of documents in which a phrase occurs, for phrases in two or more."""
        counts: Counter[str] = Counter()
        for reading in self._readings:
            counts.update(set(_phrases_of(reading)))
        return {phrase: n for phrase, n in counts.items() if n >= 2}

    def knows(self, key: str) -> bool:
        """Whether the corpus has a key, or a word derived from the same root."""
        return key in self.document_frequency or root_of(key) in self._roots

    @cached_property
    def _roots(self) -> frozenset[str]:
        return frozenset(root_of(key) for key in self.document_frequency)

    def idf(self, key: str) -> float:
        """How rare a key is: 0 when every document has it, 1 when none or one has."""
        n = self.n_documents
        if n < 2:
            return 1.0
        frequency = max(1, self.document_frequency.get(key, 0))
        return max(0.0, min(1.0, math.log((n + 1) / (frequency + 0.5)) / math.log((n + 1) / 1.5)))

    def weight(self, key: str) -> float:
        """How much a key tells about what a text shares with others, between 0 and 1.

        Rare words tell more, but one that occurs in a single document tells nothing of a pattern.
        """
        known = self._weights.get(key)
        if known is None:
            known = self.idf(key)
            if key in WEAK_KEYS:
                known *= _WEAK_FACTOR
            if self.n_documents >= 20 and self.document_frequency.get(key, 0) < 2:
                known *= _SINGLE_FACTOR
            self._weights[key] = known
        return known

    @cached_property
    def _weights(self) -> dict[str, float]:
        return {}

    def cohesion(self, phrase: str) -> float:
        """Whether the words of a phrase belong together: normalised PMI, between 0 and 1."""
        frequency = self.phrase_frequency.get(phrase, 0)
        n = self.n_documents
        if frequency < 2 or n < 2:
            return 0.0
        keys = [key for key in phrase.split(" ") if key in self.document_frequency]
        if len(keys) < 2:
            return 0.0
        expected = sum(math.log(self.document_frequency[key] / n) for key in keys)
        observed = math.log(frequency / n)
        if observed == 0:
            return 0.0
        return max(0.0, min(1.0, (observed - expected) / (-observed * (len(keys) - 1))))

    def surface(self, key: str) -> str:
        """The commonest written form of a key, in the letter case that it has inside sentences."""
        forms = self._forms.get(key)
        return commonest_form(forms) if forms else key

    def cased(self, word: str) -> str:
        """A word in the letter case that it mostly has inside sentences."""
        forms = self._forms.get(key_of(word), Counter())
        same = Counter({form: count for form, count in forms.items() if form.lower() == word.lower()})
        if same:
            return commonest_form(same)
        usual = self.surface(key_of(word))
        return word if usual[:1].isupper() or word[1:] != word[1:].lower() else word.lower()

    def phrase_surface(self, phrase: str) -> str:
        """The commonest written form of a phrase; `""` for a phrase seen in fewer than two documents."""
        forms = self._phrase_forms.get(phrase)
        return commonest_form(forms) if forms else ""

    def is_head(self, word: str) -> float:
        """Between 0 and 1: whether a word stands where nouns stand and can end a noun phrase.

        Judged by its neighbours: nouns come after articles, prepositions or another word of the
        phrase and end it; verbs come after pronouns and before articles; adjectives after forms of
        "be" or before another word of the phrase.
        """
        folded = fold(word)
        if folded.endswith("ly") and folded not in ADJECTIVAL_LY:
            return 0.1
        use = self._uses.get(folded, _NO_USE)
        prior = _noun_prior(folded)
        against = use.verb + use.predicate + 0.7 * use.modifier
        return (use.head + prior) / (use.head + against + prior + 0.8)

    def is_modifier(self, word: str) -> float:
        """Between 0 and 1: whether a word can open a noun phrase, as a noun, adjective or participle."""
        folded = fold(word)
        if folded.endswith("ly") and folded not in ADJECTIVAL_LY:
            return 0.1
        use = self._uses.get(folded, _NO_USE)
        prior = 1.0 + _noun_prior(folded)
        favour = use.head + use.modifier + use.predicate
        return (favour + prior) / (favour + use.verb + prior + 0.6)

    def is_verb(self, word: str) -> bool:
        """Whether a word was seen as a verb more often than in a noun phrase."""
        folded = fold(word)
        use = self._uses.get(folded, _NO_USE)
        return use.verb > use.head + use.modifier or (folded.endswith("ed") and not use.head + use.modifier)

    def together(self, first: str, second: str) -> int:
        """Number of documents that have both keys."""
        return len(self.documents_with(first) & self.documents_with(second))

    def forms(self, key: str) -> list[str]:
        """The written forms of a key, commonest first."""
        forms = self._forms.get(key, Counter())
        return sorted(forms, key=lambda form: (-forms[form], form))

    def documents_with(self, key: str) -> frozenset[int]:
        """Numbers of the documents in which a key occurs."""
        return self._postings.get(key, frozenset())

    def share(self, keys: Sequence[str]) -> float:
        """Share of the documents that have all of these keys."""
        if not keys or not self.n_documents:
            return 0.0
        return len(frozenset.intersection(*map(self.documents_with, keys))) / self.n_documents

    def associates(self, keys: Sequence[str], n: int) -> list[str]:
        """Keys found much more often than elsewhere in the documents that have all of `keys`."""
        postings = [self.documents_with(key) for key in keys]
        common = frozenset.intersection(*postings) if postings else frozenset()
        if len(common) < 2:
            return []
        together: Counter[str] = Counter()
        for number in sorted(common)[:200]:
            together.update(set(self._readings[number].content_keys()))
        read = min(len(common), 200)
        share = read / max(1, self.n_documents)
        fewest = max(2, 0.15 * read)
        ranked: list[tuple[float, str]] = []
        for key, count in together.items():
            lift = count / (self.document_frequency[key] * share)
            if count >= fewest and lift > 1.5 and key not in keys:
                ranked.append((-count * math.log(lift) * self.weight(key), key))
        ranked.sort()
        return [key for _, key in ranked[:n]]

    @cached_property
    def _postings(self) -> dict[str, frozenset[int]]:
        postings: defaultdict[str, set[int]] = defaultdict(set)
        for number, reading in enumerate(self._readings):
            for key in set(reading.content_keys()):
                postings[key].add(number)
        return {key: frozenset(numbers) for key, numbers in postings.items()}

    @cached_property
    def _uses(self) -> dict[str, _Use]:
        counts: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
        for reading in self._readings:
            text = reading.text
            for sentence in reading.sentences:
                tokens = sentence.tokens
                words = [fold(text[token.start : token.end]) for token in tokens]
                last = len(tokens) - 1
                for at, token in enumerate(tokens):
                    if not token.content:
                        continue
                    before = words[at - 1] if at and token.tight else ""
                    after = words[at + 1] if at < last and tokens[at + 1].tight else ""
                    goes_on = bool(after) and tokens[at + 1].content
                    within = bool(before) and tokens[at - 1].content
                    use = counts[words[at]]
                    if after in OBJECTS or before in SUBJECTS:
                        use[1] += 1
                    elif before in PREDICATIVE:
                        use[2] += 1
                    elif goes_on and before in DETERMINERS:
                        use[3] += 1
                    elif before in DETERMINERS:
                        use[0] += 1
                    elif within and not goes_on:
                        use[0] += 0.5
        return {word: _Use(*use) for word, use in counts.items()}

    @cached_property
    def _forms(self) -> dict[str, Counter[str]]:
        forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for reading in self._readings:
            text = reading.text
            shouted = text.isupper()
            for sentence in reading.sentences:
                for position, token in enumerate(sentence.tokens):
                    if token.content:
                        form = shown_word(text[token.start : token.end])
                        # A capital at the start of a sentence, or where all is capitals, says nothing.
                        forms[token.key][form.lower() if shouted else form] += 1 if position == 0 else 3
        return dict(forms)

    @cached_property
    def _phrase_forms(self) -> dict[str, Counter[str]]:
        forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        frequent = self.phrase_frequency
        for reading in self._readings:
            for sentence in reading.sentences:
                for i, j in phrase_spans(sentence.tokens):
                    run = sentence.tokens[i:j]
                    phrase = " ".join(token.key for token in run)
                    if phrase in frequent:
                        forms[phrase][show_run(reading.text, run)] += 1
        return dict(forms)


def show_run(text: str, run: Sequence[Token]) -> str:
    """The words of a run as the text has them, one space or hyphen between two words."""
    parts = [shown_word(text[run[0].start : run[0].end])]
    for before, token in pairwise(run):
        gap = text[before.end : token.start].strip(" \n\r\t#'’\u00a0")
        parts.append("-" if gap else " ")
        parts.append(shown_word(text[token.start : token.end]))
    return "".join(parts)


def _noun_prior(folded: str) -> float:
    if folded.endswith(_NOUN_ENDINGS):
        return 3.0
    if folded.endswith(_VERBAL_ENDINGS):
        return 0.25
    return 0.35 if folded.endswith(_ADJECTIVAL_ENDINGS) else 0.8


def shown_word(word: str) -> str:
    """A word as it is shown: without the ending of a possessive, ligatures taken apart."""
    word = unicodedata.normalize("NFKC", word)
    return word[:-2] if word.endswith(("'s", "’s")) else word


def _phrases_of(reading: Reading) -> Iterable[str]:
    for sentence in reading.sentences:
        tokens = sentence.tokens
        for i, j in phrase_spans(tokens):
            yield " ".join(token.key for token in tokens[i:j])


def commonest_form(forms: Counter[str]) -> str:
    """The commonest written form without regard to case, then the commonest case of that form."""
    lowered: Counter[str] = Counter()
    for form, count in forms.items():
        lowered[form.lower()] += count
    best = min(lowered, key=lambda form: (-lowered[form], form))
    cased = {form: count for form, count in forms.items() if form.lower() == best}
    # Two thirds have to agree on capitals, or the word is shown without.
    top = min(cased, key=lambda form: (-cased[form], form))
    return top if top == best or cased[top] >= 0.6 * lowered[best] else best
