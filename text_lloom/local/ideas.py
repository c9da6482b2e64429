"""Candidate concepts of a whole corpus: subjects, phrases and words that enough documents share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from text_lloom.concept import Concept
from text_lloom.local.associations import Associations
from text_lloom.local.coverage import Coverage
from text_lloom.local.evidence import TermIndex, find_evidence, profile_of
from text_lloom.local.kin import kin_of, plural_of, subjects
from text_lloom.local.naming import criterion, fitness, name_fitness, noun_form, title
from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import WEAK_KEYS, CorpusStatistics
from text_lloom.local.words import key_of, root_of

__all__ = ["Idea", "Ideas", "worth"]

_SUPPORT = 0.3
_USUAL_SHARE = 0.15
_PLAIN = 0.45
_PLENTY = 60
_MANY = 30
_TOO_BROAD = 0.3
_EXPECTED = 1.2
_AVOIDED = 0.1
_BROAD_SHARE = 0.35
_LISTED = 5
_FIT = 0.45
_CLEAR = 0.9
_FAINT = 0.35
_NOUN = 0.6
_CLOSE = 0.45
_NEAR = 0.3
_COHESIVE = 0.35
_LEAST_FORM = 0.3
_SAME = 0.75


@dataclass(frozen=True, slots=True)
class Idea:
    """A candidate concept.

    Attributes:
        name: In Title Case.
        criteria: A question that lists the words to look for.
        documents: Numbers of the documents with evidence, among those that were read.
        quality: How suitable it is as a concept of the codebook, between 0 and 1.
    """

    name: str
    criteria: str
    documents: frozenset[int]
    quality: float


class Ideas:
    """The candidate concepts of a corpus, and which of them a text shows.

    Args:
        readings: The documents.
        statistics: Their counts.
        reader: Reads texts.
    """

    def __init__(
        self, readings: Sequence[Reading], statistics: CorpusStatistics, reader: Reader, coverage: Coverage
    ) -> None:
        self._statistics = statistics
        self._reader = reader
        self._coverage = coverage
        self._fewest = statistics.fewest
        self._support = max(self._fewest, round(_SUPPORT * math.sqrt(len(readings))))
        self._associations = Associations(readings, statistics, fewest=self._fewest)

    @cached_property
    def all(self) -> list[Idea]:
        """Every candidate that enough documents show, the best first."""
        drafts = {idea.name: idea for idea in (*self._words(), *self._phrases(), *self._subjects())}
        concepts = [Concept(idea.name, idea.criteria) for idea in drafts.values()]
        shown = self._coverage(concepts)
        found = [
            replace(idea, documents=documents)
            for idea, documents in zip(drafts.values(), shown, strict=True)
            if len(documents) >= min(self._fewest, self._coverage.n_documents)
        ]
        found.sort(key=lambda idea: (-self.worth(idea, len(idea.documents)), idea.name))
        most = _TOO_BROAD * self._coverage.n_documents
        narrow = [idea for idea in found if len(idea.documents) <= most]
        enough = sum(idea.quality >= _PLAIN for idea in narrow) >= _MANY
        distinct = _distinct(narrow if enough else found)
        # Single words, and pairs that occur together by chance, are used only if better names are few.
        clear = sum(idea.quality >= _PLAIN for idea in distinct)
        plain = [idea for idea in distinct if idea.quality < _PLAIN][: max(0, _PLENTY - clear)]
        return [idea for idea in distinct if idea.quality >= _PLAIN or idea in plain]

    @cached_property
    def index(self) -> TermIndex:
        """The terms of all candidates, for finding them in texts."""
        return TermIndex(
            [
                profile_of(Concept(idea.name, idea.criteria), (), self._statistics, self._reader)
                for idea in self.all
            ]
        )

    def shown_in(self, line: Reading) -> list[int]:
        """Numbers of the ideas that a line shows.

        A word of the idea is enough where the document that the line is from shows it clearly.
        """
        found = find_evidence(line, self.index)
        sources = self._sources(line) if found else frozenset()
        return [
            number
            for number, evidence in found.items()
            if evidence.strength >= _CLEAR
            or (evidence.strength >= _FAINT and sources and sources <= self.all[number].documents)
        ]

    def _sources(self, line: Reading) -> frozenset[int]:
        """The documents that have all words of a line, if these are few."""
        keys = set(line.content_keys())
        if len(keys) < 2:
            return frozenset()
        having = frozenset.intersection(*(self._statistics.documents_with(key) for key in keys))
        return having if len(having) <= 2 else frozenset()

    def worth(self, idea: Idea, n: int) -> float:
        """The value of an idea that would cover `n` more documents."""
        return worth(idea.quality, n, len(idea.documents) / max(1, self._coverage.n_documents))

    def _draft(self, names: Sequence[str], listed: Sequence[str]) -> Idea:
        subject = " and ".join(names)
        name = title(subject)
        words = [self._statistics.surface(key) for key in listed]
        quality = name_fitness(name, self._statistics)
        return Idea(name, criterion(subject, words), frozenset(), quality)

    def _subjects(self) -> list[Idea]:
        """Ideas from words of the corpus that are about one subject."""
        frequency = self._statistics.document_frequency
        ideas: list[Idea] = []
        for subject in subjects():
            # A word that can name the subject may be rarer than the others.
            present = [
                key
                for key in subject.keys
                if self._occurs(key) or (key in subject.names and frequency.get(key, 0) == 2)
            ]
            present.sort(key=lambda key: (-frequency[key], key))
            present = self._agreeing(present)
            documents = frozenset[int]().union(*map(self._statistics.documents_with, present))
            names = [
                key
                for key in present
                if key in subject.names
                and self._statistics.form_share(key, subject.names[key].form) >= _LEAST_FORM
                and (key in WEAK_KEYS or self._statistics.is_noun(key))
            ]
            if not names or len(documents) < self._support:
                continue
            also = [
                key
                for key in names[1:]
                if subject.names[key].number != subject.names[names[0]].number
                and _tells_more(names[0], key)
                and frequency[key] >= 0.15 * frequency[names[0]]
            ]
            names = [names[0], *also[:1]]
            shown = [self._shown(key, subject.names[key].form) for key in names]
            ideas.append(
                self._idea(names, shown, [key for key in present if key not in names and self._occurs(key)])
            )
        return ideas

    def _words(self) -> list[Idea]:
        """Ideas from single words outside the subjects of general English, and words that go with them."""
        frequency = self._statistics.document_frequency
        ideas: list[Idea] = []
        for key, count in frequency.items():
            if count < self._support or key in WEAK_KEYS or self._everywhere(key):
                continue
            covered = bool(kin_of(key)) and any(key in subject.names for subject in subjects())
            if (
                covered
                or self._noun(key) < _NOUN
                or (len(key) < 4 and not self._statistics.surface(key).isupper())
            ):
                continue
            names = [key]
            for associate in self._associations.of(key)[:6]:
                if (
                    associate.npmi >= _CLOSE
                    and min(associate.towards, associate.away) >= 0.3
                    and frequency[associate.key] >= max(self._fewest, 0.25 * count)
                    and self._noun(associate.key) >= 0.6
                    and not self._everywhere(associate.key)
                    and not self._one_phrase(key, associate.key)
                    and not kin_of(associate.key)
                    and not self._proper(associate.key)
                    and not self._proper(key)
                ):
                    names.append(associate.key)
                    break
            shown = [self._statistics.plural(noun_form(name, self._statistics)) for name in names]
            ideas.append(self._idea(names, shown, []))
        return ideas

    def _shown(self, key: str, form: str) -> str:
        """A name in its usual English form, with the capitals of the corpus."""
        usual = self._statistics.surface(key)
        return usual if usual.lower() == form.lower() else form

    def _idea(self, names: Sequence[str], shown: Sequence[str], kin: Sequence[str]) -> Idea:
        listed = list(kin[:_LISTED])
        for key in self._companions(names):
            if len(listed) < min(_LISTED, max(3, len(kin) + 1)) and key not in listed:
                listed.append(key)
        return self._draft(shown, [key for key in listed if key not in names])

    def _companions(self, names: Sequence[str]) -> list[str]:
        """Words that mostly occur where one of the names does."""
        ranked: dict[str, float] = {}
        for name in names:
            for rank, associate in enumerate(self._associations.of(name)[:12]):
                if (
                    associate.towards >= 0.4
                    and associate.npmi >= _NEAR
                    and associate.together > self._fewest
                    and self._statistics.is_head(self._statistics.surface(associate.key)) >= 0.45
                ):
                    ranked[associate.key] = max(ranked.get(associate.key, 0.0), 1 / (1 + rank))
        roots = {root_of(name) for name in names}
        return [
            key
            for key in sorted(ranked, key=lambda key: (-ranked[key], key))
            if root_of(key) not in roots and not self._everywhere(key)
        ]

    def _phrases(self) -> list[Idea]:
        """Ideas from phrases that documents share."""
        statistics = self._statistics
        fewest = max(self._fewest, math.ceil(0.6 * self._support))
        ideas: list[Idea] = []
        for phrase, count in statistics.phrase_frequency.items():
            keys = phrase.split(" ")
            if count < fewest or len(set(keys)) < len(keys) or statistics.cohesion(phrase) < _COHESIVE:
                continue
            surface = statistics.phrase_surface(phrase)
            if fitness(surface, statistics) < _FIT:
                continue
            parts = [key for key in keys if key not in WEAK_KEYS]
            near = [{associate.key for associate in self._associations.of(part)} for part in parts]
            companions = [key for key in self._companions(parts) if all(key in others for others in near)]
            ideas.append(self._draft([self._plural(surface)], companions[:4]))
        return ideas

    def _plural(self, phrase: str) -> str:
        """A phrase in the plural where that is usual, or where its last word is a common count noun."""
        start, _, last = phrase.rpartition(" ")
        plural = plural_of(key_of(last))
        if start and plural and last.islower() and not last.endswith("s") and plural.startswith(last[:3]):
            return f"{start} {plural}"
        return self._statistics.plural(phrase)

    def _noun(self, key: str) -> float:
        return fitness(noun_form(key, self._statistics), self._statistics)

    def _proper(self, key: str) -> bool:
        """Whether a word is mostly a name: written with a capital inside sentences."""
        usual = self._statistics.surface(key)
        return usual[:1].isupper() and not usual.isupper()

    def _occurs(self, key: str) -> bool:
        """Whether a word occurs in enough documents, but not nearly everywhere."""
        return self._statistics.document_frequency.get(key, 0) >= self._fewest and not self._everywhere(key)

    def _everywhere(self, key: str) -> bool:
        return self._statistics.n_documents >= 20 and self._statistics.share([key]) > _BROAD_SHARE

    def _agreeing(self, present: Sequence[str]) -> list[str]:
        """The commonest word of a subject, and those others that do not mean something else here.

        In long texts words about one subject occur together; in short ones synonyms may well not.
        """
        statistics = self._statistics
        frequency = statistics.document_frequency
        n = max(1, statistics.n_documents)
        kept: list[str] = []
        for key in present:
            together = [statistics.together(key, other) for other in kept]
            expected = [frequency[key] * frequency[other] / n for other in kept]
            if not kept:
                kept.append(key)
            elif statistics.long_texts:
                if any(seen >= max(2, 1.2 * chance) for seen, chance in zip(together, expected, strict=True)):
                    kept.append(key)
            elif expected[0] < _EXPECTED or together[0] >= _AVOIDED * expected[0]:
                kept.append(key)
        return kept

    def _one_phrase(self, first: str, second: str) -> bool:
        """Whether two words are mostly neighbours, which makes them one phrase, not two subjects."""
        frequency = self._statistics.phrase_frequency
        beside = frequency.get(f"{first} {second}", 0) + frequency.get(f"{second} {first}", 0)
        return beside > 0.5 * self._statistics.together(first, second)


def _tells_more(first: str, second: str) -> bool:
    """Whether a second word adds to a first one, rather than being built from it."""
    return first not in second and second not in first and root_of(first) != root_of(second)


def worth(quality: float, n: float, share: float) -> float:
    """The value of a concept that covers `n` more documents; `share` of all documents show it."""
    breadth = 1.0 if share <= _USUAL_SHARE else math.pow(_USUAL_SHARE / share, 0.6)
    return quality * math.sqrt(n) * breadth


def _distinct(ideas: Sequence[Idea]) -> list[Idea]:
    """The ideas without those that nearly the same documents show as show a better one."""
    kept: list[tuple[Idea, int]] = []
    for idea in ideas:
        documents = sum(1 << number for number in idea.documents)
        alike = (
            (documents & other).bit_count() >= _SAME * (documents | other).bit_count() for _, other in kept
        )
        if not any(alike):
            kept.append((idea, documents))
    return [idea for idea, _ in kept]
