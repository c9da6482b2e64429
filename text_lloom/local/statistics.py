"""What a corpus says about its words: how rare they are, how they are written, which belong together."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from text_lloom.local.phrases import commonest_form, phrase_spans, phrases_of, show_run, shown_word
from text_lloom.local.reading import Reading
from text_lloom.local.stopwords import (
    ADJECTIVAL_LY,
    DETERMINERS,
    OBJECTS,
    PREDICATIVE,
    SUBJECTS,
    WEAK_WORDS,
)
from text_lloom.local.words import fold, key_of, root_of

__all__ = [
    "WEAK_KEYS",
    "CorpusStatistics",
    "sample_evenly",
]

WEAK_KEYS = frozenset(key_of(word) for word in WEAK_WORDS)
"""Keys of words that say little by themselves."""

_MOST_CHARACTERS = 6_000_000
_WEAK_FACTOR = 0.35
_SINGLE_FACTOR = 0.55
_SMALL = 250
_LONG = 80
_PLURAL = 0.4
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

    @property
    def fewest(self) -> int:
        """The fewest documents with a word that can show a pattern."""
        return 2 if self.n_documents < _SMALL else 3

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
            counts.update(set(phrases_of(reading)))
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

        Rare words tell more, but a word of a single document is not shared with any other.
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
        """Whether the words of a phrase belong together: normalised PMI side by side, between 0 and 1."""
        frequency = self.phrase_frequency.get(phrase, 0)
        n = self.n_tokens
        keys = [key for key in phrase.split(" ") if key in self._occurrences]
        if frequency < 2 or len(keys) < 2:
            return 0.0
        observed = math.log(frequency / n)
        expected = sum(math.log(self._occurrences[key] / n) for key in keys)
        return max(0.0, min(1.0, (observed - expected) / (-observed * (len(keys) - 1))))

    @cached_property
    def n_tokens(self) -> int:
        """Number of words, function words included."""
        return sum(len(sentence.tokens) for reading in self._readings for sentence in reading.sentences)

    @property
    def long_texts(self) -> bool:
        """Whether documents are mostly paragraphs rather than posts or comments."""
        return self.n_tokens > _LONG * self.n_documents

    @cached_property
    def _occurrences(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for reading in self._readings:
            counts.update(reading.content_keys())
        return counts

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
        """Between 0 and 1: whether a word is used like a noun at the end of a noun phrase.

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

    def is_noun(self, key: str) -> bool:
        """Whether the plain forms of a key are more often nouns than verbs, in uses that show it."""
        head = verb = 0.0
        for form in self._forms.get(key, ()):
            if not _ending(form):
                use = self._uses.get(fold(form), _NO_USE)
                head += use.head + use.modifier
                verb += use.verb + 0.5 * use.predicate
        return head + 1 >= verb

    def is_modifier(self, word: str) -> float:
        """Between 0 and 1: whether a word can open a noun phrase, as a noun, adjective or participle."""
        folded = fold(word)
        if folded.endswith("ly") and folded not in ADJECTIVAL_LY:
            return 0.1
        use = self._uses.get(folded, _NO_USE)
        prior = 1.0 + _noun_prior(folded)
        favour = use.head + use.modifier + use.predicate
        return (favour + prior) / (favour + use.verb + prior + 0.6)

    def together(self, first: str, second: str) -> int:
        """Number of documents that have both keys."""
        return len(self.documents_with(first) & self.documents_with(second))

    def forms(self, key: str) -> list[str]:
        """The written forms of a key, commonest first."""
        forms = self._forms.get(key, Counter())
        return sorted(forms, key=lambda form: (-forms[form], form))

    def form_share(self, key: str, form: str) -> float:
        """How much of the use of a key is in a written form, singular and plural as one."""
        forms = self._forms.get(key, Counter())
        same = sum(count for other, count in forms.items() if _ending(other) == _ending(form))
        return same / max(1, sum(forms.values()))

    def plural(self, surface: str) -> str:
        """A noun or noun phrase in the plural if the corpus uses that often enough, else as it is."""
        key = " ".join(key_of(word) for word in surface.split(" "))
        forms = self._phrase_forms.get(key) if " " in key else self._forms.get(key)
        if not forms or surface.endswith("s"):
            return surface
        counts: Counter[str] = Counter()
        for form, count in forms.items():
            counts[form.lower()] += count
        plain = surface.lower()
        stem = plain[: plain.rfind(" ") + 1]
        plurals = [
            form
            for form in counts
            if form.startswith(stem) and form.endswith("s") and not form.endswith("ss") and form != plain
        ]
        best = max(plurals, key=lambda form: (counts[form], form), default="")
        if counts[best] < _PLURAL * counts[plain] or self.is_head(best[best.rfind(" ") + 1 :]) < 0.45:
            return surface
        return commonest_form(Counter({form: n for form, n in forms.items() if form.lower() == best}))

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
                        # Capitals at the start of a sentence or in a text in capitals do not count.
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


def _ending(form: str) -> str:
    """What tells an activity or a participle from a noun; nothing for singular and plural."""
    lowered = form.lower()
    return next((ending for ending in ("ing", "ed") if lowered.endswith(ending)), "")


def _noun_prior(folded: str) -> float:
    if folded.endswith(_NOUN_ENDINGS):
        return 3.0
    if folded.endswith(_VERBAL_ENDINGS):
        return 0.25
    return 0.35 if folded.endswith(_ADJECTIVAL_ENDINGS) else 0.8
