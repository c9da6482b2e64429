"""Evidence for concepts in texts: which terms of a concept occur, and how strongly passages use them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from text_lloom.concept import Concept
from text_lloom.local.distill import passages_of
from text_lloom.local.kin import kin_of
from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import WEAK_KEYS, CorpusStatistics
from text_lloom.local.stopwords import SCAFFOLD
from text_lloom.local.words import fold, root_of

__all__ = ["ConceptTerms", "Evidence", "Profile", "TermIndex", "find_evidence", "profile_of", "terms_of"]

_ASKED = 0.45
_ALTERNATIVE = 0.6
_LISTED = 0.5
_IN_EXAMPLES = 0.25
_DERIVED = 0.9
_KIN = 0.75
_INCOMPLETE = 0.7
_UNKNOWN = 0.6
_UNCLEAR = 0.7
_WEAK = 0.5
_NEXT_TO = 0.9
_ELSEWHERE = 0.25
_AGAIN = 0.05
_PASSAGE = 200
_MOST_EXAMPLE_TERMS = 8
_EXAMPLES_FOLLOW = re.compile(
    r"\b(?:such as|for example|for instance|e\.g\.|i\.e\.|including|namely|like)\s*,?", re.IGNORECASE
)
_EITHER = re.compile(r"\s(?:and|or|&)\s|[,/]", re.IGNORECASE)
_FRAME = re.compile(
    r"\A\s*(?:does|do|is|are|did|has|have|can|would)\s+(?:the|this|that|a|an|any)?\s*\w+\s+", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Profile:
    """The terms of a concept.

    Attributes:
        weights: How much of a clear mention each term is by itself (1 = all of it), by key.
        stands_for: The word of the name that a term is a synonym of; only one of the two counts.
        own: The terms of its name and criterion; the others come from examples.
        needed: How many of its own terms a clear mention has.
        whole: Whether the corpus has all words of the name.
    """

    weights: dict[str, float]
    stands_for: dict[str, str]
    own: frozenset[str]
    needed: int
    whole: bool


class Evidence(NamedTuple):
    """Evidence for one concept in one document.

    Attributes:
        strength: 1 when a passage has the terms of a clear mention.
        words: Keys of the words that were found, strongest first.
        start: Where the best passage starts.
        end: Where it ends.
        direct: Whether a term of its name or criterion was found, not only terms of its examples.
    """

    strength: float
    words: tuple[str, ...]
    start: int
    end: int
    direct: bool


class _Hit(NamedTuple):
    """What a word is evidence of."""

    concept: int
    term: str
    weight: float


class TermIndex:
    """Which words are evidence for which concepts.

    A word counts for a term if it is the term itself, is derived from the same root, or, with a lower
    weight, is about the same subject in general English.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = profiles
        self._by_key: dict[str, list[_Hit]] = {}
        self._by_root: dict[str, list[_Hit]] = {}
        self._by_kin: dict[str, list[_Hit]] = {}
        for number, profile in enumerate(profiles):
            for key, weight in profile.weights.items():
                term = profile.stands_for.get(key, key)
                self._by_key.setdefault(key, []).append(_Hit(number, term, weight))
                self._by_root.setdefault(root_of(key), []).append(_Hit(number, term, weight * _DERIVED))
                for kin in kin_of(key) if key in profile.own else ():
                    self._by_kin.setdefault(kin, []).append(_Hit(number, term, weight * _KIN))
        self._hits: dict[str, list[_Hit]] = {}

    def hits(self, key: str) -> list[_Hit]:
        """What a word is evidence for; a word that is itself a term of a concept counts as that term only."""
        known = self._hits.get(key)
        if known is None:
            known = list(self._by_key.get(key, ()))
            for others in (self._by_root.get(root_of(key), ()), self._by_kin.get(key, ())):
                have = {hit.concept for hit in known}
                best: dict[int, _Hit] = {}
                for hit in others:
                    if hit.concept not in have and (
                        hit.concept not in best or hit.weight > best[hit.concept].weight
                    ):
                        best[hit.concept] = hit
                known.extend(best.values())
            self._hits[key] = known
        return known


class ConceptTerms(NamedTuple):
    """Keys of the words of a concept.

    Attributes:
        named: Those of its name.
        asked: Further ones that its criterion asks for.
        illustrated: Further ones that the criterion gives as examples.
    """

    named: list[str]
    asked: list[str]
    illustrated: list[str]


def terms_of(concept: Concept, reader: Reader) -> ConceptTerms:
    """The words of a concept without the frame of its criterion (`Does the text discuss ...`)."""
    question, _, examples = _partitioned(_FRAME.sub("", concept.criteria))
    named = list(dict.fromkeys(reader(concept.name).content_keys()))
    asked = [key for key in _keys(reader(question)) if key not in named]
    illustrated = [key for key in _keys(reader(examples)) if key not in named and key not in asked]
    return ConceptTerms(named, asked, illustrated)


def profile_of(
    concept: Concept, examples: Sequence[str], statistics: CorpusStatistics, reader: Reader
) -> Profile:
    """The weighted terms of a concept.

    For a name such as "X" or "X and Y", one of its words is a clear mention, and so is a listed word about
    the same subject. A phrase needs all of its words, or some of them together with words that the
    criterion asks for or lists.

    Args:
        concept: Name and criterion.
        examples: Texts that show it; words that are typical of them become terms of lower weight.
        statistics: How rare words are.
        reader: Reads texts.
    """
    named, asked, illustrated = terms_of(concept, reader)
    known = [key for key in named if _known(key, statistics)]
    weights = _main_weights(concept.name, named, known, statistics)
    if not weights:
        mains = [key for key in asked if _known(key, statistics)] or [*named, *asked, *illustrated]
        weights = {key: _ALTERNATIVE * _strength(key) for key in mains}
    any_suffices = max(weights.values(), default=1.0) >= 1.0
    stands_for: dict[str, str] = {}
    for key in (*asked, *illustrated):
        if key in weights:
            continue
        alike = [main for main in known if key in kin_of(main)]
        weights[key] = _ASKED * _strength(key) if key in asked else _LISTED
        if alike and any_suffices and key not in asked:
            weights[key] = 1.0
        elif alike and not any_suffices:
            stands_for[key] = max(alike, key=lambda main: weights[main])
            weights[key] = weights[stands_for[key]]
    own = frozenset(weights)
    if own and examples:
        weights |= _terms_of_examples(examples, own, statistics, reader)
    return Profile(weights, stands_for, own, 1 if any_suffices else 2, len(known) == len(named))


def _main_weights(
    name: str, named: Sequence[str], known: Sequence[str], statistics: CorpusStatistics
) -> dict[str, float]:
    """Weights of those words of a name that the corpus has."""
    joints = len(_EITHER.findall(name))
    if joints or len(named) == 1:
        # A name such as "X or Y Z" needs two of its words, and nothing says which.
        each = 1.0 if joints + 1 >= len(named) else _UNCLEAR
        return {key: each * _strength(key) for key in known}
    rarity = {key: math.sqrt(_rarity(key, statistics)) * (1.0 if key in known else _UNKNOWN) for key in named}
    return {key: rarity[key] / sum(rarity.values()) for key in known}


def _terms_of_examples(
    examples: Sequence[str], own: AbstractSet[str], statistics: CorpusStatistics, reader: Reader
) -> dict[str, float]:
    """Weights of the words that distinguish examples from the corpus."""
    counts: Counter[str] = Counter()
    for example in examples:
        counts.update(set(reader(example).content_keys()))
    fewest = 1 if len(examples) < 3 else 2
    telling = {
        key: count / len(examples) * statistics.weight(key)
        for key, count in counts.items()
        if count >= fewest and key not in own and key not in WEAK_KEYS
    }
    ranked = sorted(telling, key=lambda key: (-telling[key], key))[:_MOST_EXAMPLE_TERMS]
    return {key: _IN_EXAMPLES * min(1.0, 2 * telling[key]) for key in ranked}


def find_evidence(reading: Reading, index: TermIndex) -> dict[int, Evidence]:
    """Evidence in a document, by number of the concept; concepts without any are left out."""
    by_concept: dict[int, list[_Place]] = {}
    passages = passages_of(reading, limit=_PASSAGE)
    for position, passage in enumerate(passages):
        found: dict[int, _Terms] = {}
        for token in passage.tokens:
            if token.content:
                for number, term, weight in index.hits(token.key):
                    terms = found.setdefault(number, {})
                    if term not in terms or weight > terms[term][0]:
                        terms[term] = (weight, token.key)
        for number, terms in found.items():
            by_concept.setdefault(number, []).append(_Place(position, terms))
    result: dict[int, Evidence] = {}
    for number, places in by_concept.items():
        everything = _union(place.terms for place in places)
        profile = index.profiles[number]
        best, best_position = -1.0, 0
        for at, place in enumerate(places):
            value, shown_place = _sum(place.terms), place
            if at + 1 < len(places) and places[at + 1].position == place.position + 1:
                after = places[at + 1]
                both = _NEXT_TO * _sum(_union((place.terms, after.terms)))
                if both > value:
                    value = both
                    shown_place = max(place, after, key=lambda place: _own(place.terms, profile))
            if value > best:
                best, best_position = value, shown_place.position
        strength = best + _ELSEWHERE * (_sum(everything) - best) + _AGAIN * (len(places) - 1)
        ranked = sorted(everything, key=lambda term: (-everything[term][0], term))
        shown = passages[best_position]
        own = [term for term in ranked if term in profile.own]
        if len(own) < profile.needed:
            strength *= _INCOMPLETE
        words = tuple(dict.fromkeys(everything[term][1] for term in own or ranked))
        result[number] = Evidence(strength, words, shown.start, shown.end, bool(own))
    return result


def _keys(reading: Reading) -> list[str]:
    return list(
        dict.fromkeys(
            token.key
            for token in reading.tokens()
            if token.content and fold(reading.text[token.start : token.end]) not in SCAFFOLD
        )
    )


def _partitioned(criteria: str) -> tuple[str, str, str]:
    found = _EXAMPLES_FOLLOW.search(criteria)
    if found is None:
        return criteria, "", ""
    return criteria[: found.start()], found.group(0), criteria[found.end() :]


def _strength(key: str) -> float:
    """Words with little meaning count half, unless they name a subject, as `love` does."""
    return _WEAK if key in WEAK_KEYS and not kin_of(key) else 1.0


def _known(key: str, statistics: CorpusStatistics) -> bool:
    """Whether the corpus has a word, or one that can stand for it."""
    return statistics.knows(key) or any(kin in statistics.document_frequency for kin in kin_of(key))


def _rarity(key: str, statistics: CorpusStatistics) -> float:
    return max(0.02, statistics.idf(key) * (_WEAK if key in WEAK_KEYS else 1.0))


_Terms: TypeAlias = dict[str, tuple[float, str]]
"""The weight with which a term was found, and the word that stands for it."""


class _Place(NamedTuple):
    """The terms of one concept in one passage."""

    position: int
    terms: _Terms


def _sum(terms: _Terms) -> float:
    return sum(weight for weight, _ in terms.values())


def _own(terms: _Terms, profile: Profile) -> float:
    return sum(weight for term, (weight, _) in terms.items() if term in profile.own)


def _union(several: Iterable[_Terms]) -> _Terms:
    merged: _Terms = {}
    for terms in several:
        for term, found in terms.items():
            if term not in merged or found[0] > merged[term][0]:
                merged[term] = found
    return merged
