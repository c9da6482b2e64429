"""What in a text speaks for a concept: its terms, and how strongly passages use them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from text_lloom.concept import Concept
from text_lloom.local.distill import passages_of
from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import WEAK_KEYS, CorpusStatistics
from text_lloom.local.stopwords import SCAFFOLD
from text_lloom.local.words import fold, root_of

__all__ = ["ConceptTerms", "Evidence", "Profile", "TermIndex", "find_evidence", "profile_of", "terms_of"]

_ASKED = 0.8
_ILLUSTRATED = 0.5
_ALTERNATIVES = 0.6
_INCOMPLETE = 0.7
_EITHER_REFERENCE = 0.9
_IN_EXAMPLES = 0.4
_DERIVED = 0.8
_WEAK = 0.5
_NEXT_TO = 0.9
_ELSEWHERE = 0.25
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
        weights: Weight of each term, by key.
        main: The terms that stand for the concept by themselves, mostly those of its name.
        own: The terms of its name and criterion; the others come from examples.
        reference: Summed weight of terms that amounts to a clear mention.
        needed: How many of the main terms a clear mention has.
        whole: Whether the corpus has all words of the name.
    """

    weights: dict[str, float]
    main: frozenset[str]
    own: frozenset[str]
    reference: float
    needed: int
    whole: bool


class Evidence(NamedTuple):
    """What in one document speaks for one concept.

    Attributes:
        strength: 1 when a passage has the terms of a clear mention.
        terms: Keys of the terms that were found, strongest first.
        start: Where the best passage starts.
        end: Where it ends.
        named: Whether one of the main terms was found.
        direct: Whether a term of the concept's own was found, not only terms of its examples.
    """

    strength: float
    terms: tuple[str, ...]
    start: int
    end: int
    named: bool
    direct: bool


class TermIndex:
    """Which words are terms of which of several concepts."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = profiles
        self._by_key: dict[str, list[tuple[int, str, float]]] = {}
        self._by_root: dict[str, list[tuple[int, str, float]]] = {}
        for number, profile in enumerate(profiles):
            for term, weight in profile.weights.items():
                self._by_key.setdefault(term, []).append((number, term, weight))
                self._by_root.setdefault(root_of(term), []).append((number, term, weight * _DERIVED))
        self._hits: dict[str, list[tuple[int, str, float]]] = {}

    def hits(self, key: str) -> list[tuple[int, str, float]]:
        """Concept number, term and weight of all that a word is evidence of."""
        known = self._hits.get(key)
        if known is None:
            exact = self._by_key.get(key, [])
            found = {(number, term) for number, term, _ in exact}
            derived = self._by_root.get(root_of(key), [])
            known = exact + [hit for hit in derived if (hit[0], hit[1]) not in found]
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
    """The words of a concept without the scaffolding of its criterion (`Does the text discuss ...`)."""
    question, _, examples = _partitioned(_FRAME.sub("", concept.criteria))
    named = _keys(reader(concept.name))
    asked = [key for key in _keys(reader(question)) if key not in named]
    illustrated = [key for key in _keys(reader(examples)) if key not in named and key not in asked]
    return ConceptTerms(named, asked, illustrated)


def profile_of(
    concept: Concept, examples: Sequence[str], statistics: CorpusStatistics, reader: Reader
) -> Profile:
    """The weighted terms of a concept.

    The words of the name weigh most; where the corpus has none of them, those that the criterion
    asks for take their place.

    Args:
        concept: Name and criterion.
        examples: Texts that show it; words that mark them off become terms of lesser weight.
        statistics: How rare words are.
        reader: Reads texts.
    """
    named, asked, illustrated = terms_of(concept, reader)
    known = [key for key in named if statistics.knows(key)]
    main = known
    if not main:
        main = [key for key in asked if statistics.knows(key)] or named or asked or illustrated
    weights = {key: _rarity(key, statistics) for key in main}
    strongest = sorted(weights.values(), reverse=True)
    reference = sum(strongest[:2]) or 1.0
    whole = len(main) == len(named)
    if main == known and not whole and asked:
        reference += 0.5 * max(_rarity(key, statistics) for key in asked)
    several = len(main) > 1
    if several and _EITHER.search(concept.name):
        # One of "X and Y" is enough; of "X or Y Z" two words are, which ones is not known.
        reference *= 0.75
        if len(main) == 2:
            reference = _EITHER_REFERENCE * sum(strongest) / 2
        several = False
    if not any(key in weights for key in named) and len(strongest) > 1:
        # A criterion lists alternatives more often than words that have to come together.
        reference *= _ALTERNATIVES
        several = False
    for keys, part, most in ((named, 1.0, 0.5), (asked, _ASKED, 0.5), (illustrated, _ILLUSTRATED, 0.35)):
        for key in keys:
            weights.setdefault(key, min(part * _rarity(key, statistics), most * reference))
    own = frozenset(weights)
    if own and examples:
        counts: Counter[str] = Counter()
        for example in examples:
            counts.update(set(reader(example).content_keys()))
        fewest = 1 if len(examples) < 3 else 2
        telling = {
            key: count / len(examples) * statistics.weight(key)
            for key, count in counts.items()
            if count >= fewest and key not in own and key not in WEAK_KEYS
        }
        for key in sorted(telling, key=lambda key: (-telling[key], key))[:_MOST_EXAMPLE_TERMS]:
            weights[key] = min(_IN_EXAMPLES * min(1.0, 2 * telling[key]), 0.25 * reference)
    return Profile(weights, frozenset(main), own, reference, 2 if several else 1, whole)


def find_evidence(reading: Reading, index: TermIndex) -> dict[int, Evidence]:
    """Evidence in a document, by number of the concept; concepts without any are left out."""
    by_concept: dict[int, list[tuple[int, dict[str, float]]]] = {}
    passages = passages_of(reading, limit=_PASSAGE)
    for position, passage in enumerate(passages):
        found: dict[int, dict[str, float]] = {}
        for token in passage.tokens:
            if token.content:
                for number, term, weight in index.hits(token.key):
                    terms = found.setdefault(number, {})
                    if weight > terms.get(term, 0.0):
                        terms[term] = weight
        for number, terms in found.items():
            by_concept.setdefault(number, []).append((position, terms))
    result: dict[int, Evidence] = {}
    for number, places in by_concept.items():
        profile = index.profiles[number]
        everything = _union(terms for _, terms in places)
        best, best_position = -1.0, 0
        for at, (position, terms) in enumerate(places):
            value = sum(terms.values())
            if at + 1 < len(places) and places[at + 1][0] == position + 1:
                value = max(value, _NEXT_TO * sum(_union((terms, places[at + 1][1])).values()))
            if value > best:
                best, best_position = value, position
        strength = (best + _ELSEWHERE * (sum(everything.values()) - best)) / profile.reference
        ranked = sorted(everything, key=lambda term: (-everything[term], term))
        shown = passages[best_position]
        mains = profile.main & everything.keys()
        if len(mains) < profile.needed:
            strength *= _INCOMPLETE
        direct = not profile.own.isdisjoint(everything)
        result[number] = Evidence(strength, tuple(ranked), shown.start, shown.end, bool(mains), direct)
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


def _rarity(key: str, statistics: CorpusStatistics) -> float:
    return max(0.02, statistics.idf(key) * (_WEAK if key in WEAK_KEYS else 1.0))


def _union(several: Iterable[dict[str, float]]) -> dict[str, float]:
    merged: dict[str, float] = {}
    for terms in several:
        for term, weight in terms.items():
            if weight > merged.get(term, 0.0):
                merged[term] = weight
    return merged
