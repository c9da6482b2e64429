"""Reviewing a draft codebook: which concepts to drop, merge, choose, and which are already known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from text_lloom.concept import Concept
from text_lloom.local.distill import Relatedness
from text_lloom.local.evidence import terms_of
from text_lloom.local.ideas import worth
from text_lloom.local.naming import criterion, in_sentence, name_fitness, noun_form
from text_lloom.local.reading import Reader
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.tasks import (
    Candidate,
    MatchConcepts,
    MergeGroup,
    Removal,
    ReviewMerge,
    ReviewRemove,
    SelectConcepts,
)

__all__ = ["match_concepts", "merge_concepts", "remove_concepts", "select_concepts"]

_NAME = 2.0
_ASKED = 1.5
_ILLUSTRATED = 0.7
_EVIDENCE = 1.0
_SAME = 0.55
_KNOWN = 0.28
_NEARLY_ALL = 0.6
_AGAIN = 0.1
_FEWEST_SHOWN = 3
_MOST_TERMS = 6

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
Covering = Callable[[Sequence[Concept]], list[frozenset[int]]]


def remove_concepts(task: ReviewRemove, statistics: CorpusStatistics, reader: Reader) -> list[Removal]:
    """Concepts without any evidence, and those whose words nearly every document has."""
    removals: list[Removal] = []
    any_support = any(candidate.support for candidate in task.candidates)
    for candidate in task.candidates:
        named, asked, illustrated = terms_of(candidate.concept, reader)
        unsupported = any_support and not (candidate.support or candidate.evidence)
        if unsupported and not candidate.concept.example_ids:
            removals.append(Removal(candidate.concept.id, "no document was cited for it"))
        elif not (named or asked or illustrated):
            removals.append(Removal(candidate.concept.id, "its name and criterion contain no keyword"))
        elif statistics.n_documents >= 10 and statistics.share(named) > _NEARLY_ALL:
            removals.append(Removal(candidate.concept.id, "nearly every document contains its keywords"))
    return removals if len(removals) < len(task.candidates) else []


def merge_concepts(
    task: ReviewMerge, statistics: CorpusStatistics, reader: Reader, embed: Embed, covering: Covering
) -> list[MergeGroup]:
    """Groups of concepts that say the same.

    Two concepts are similar if they use the same words, or if nearly the same documents show them.
    Average linkage keeps chains of similar concepts apart. A target has no effect, because merging
    concepts that differ is worse than leaving some out.
    """
    candidates = task.candidates
    if len(candidates) < 2:
        return []
    likeness = _likeness(candidates, candidates, statistics, reader, embed)
    likeness = np.maximum(likeness, _overlap(covering([candidate.concept for candidate in candidates])))
    wordless = [not terms_of(candidate.concept, reader).named for candidate in candidates]
    groups: list[MergeGroup] = []
    for members in _linked(likeness):
        ranked = sorted(members, key=lambda n: (wordless[n], -candidates[n].support, n))
        leader = candidates[ranked[0]].concept
        criteria = _common_criterion([candidates[n] for n in ranked], statistics, reader)
        groups.append(MergeGroup(tuple(candidates[n].concept.id for n in members), leader.name, criteria))
    return groups


def select_concepts(
    task: SelectConcepts,
    statistics: CorpusStatistics,
    covering: Covering,
    *,
    related: Relatedness | None = None,
) -> list[str]:
    """Concepts with clear names that together cover many documents, best first.

    Greedy: each one is worth what it adds to those before it.
    """
    concepts = [candidate.concept for candidate in task.candidates]
    if not concepts:
        return []
    shown = covering(concepts)
    qualities = [0.1 + 0.9 * name_fitness(concept.name, statistics) for concept in concepts]
    if related is not None:
        liking = related([f"{concept.name}. {concept.criteria}" for concept in concepts])
        qualities = [quality * (0.3 + 2 * value) for quality, value in zip(qualities, liking, strict=True)]
    n_documents = max(1, statistics.n_documents)
    covered: set[int] = set()
    left = list(range(len(concepts)))
    chosen: list[int] = []

    def gain(number: int) -> tuple[float, int, int]:
        again = len(shown[number] & covered)
        n = len(shown[number]) - (1 - _AGAIN) * again
        value = worth(qualities[number], n, len(shown[number]) / n_documents)
        return value, task.candidates[number].support, -number

    while left and len(chosen) < task.max_concepts:
        best = max(left, key=gain)
        left.remove(best)
        chosen.append(best)
        covered |= shown[best]
    return [concepts[number].id for number in chosen]


def match_concepts(
    task: MatchConcepts, statistics: CorpusStatistics, reader: Reader, embed: Embed
) -> dict[str, str]:
    """The most similar known concept for each found one, if one is similar enough."""
    if not task.found or not task.known:
        return {}
    likeness = _likeness(task.found, task.known, statistics, reader, embed)
    best = likeness.argmax(axis=1)
    return {
        candidate.concept.id: task.known[int(best[row])].concept.id
        for row, candidate in enumerate(task.found)
        if likeness[row, best[row]] >= _KNOWN
    }


def _likeness(
    left: Sequence[Candidate],
    right: Sequence[Candidate],
    statistics: CorpusStatistics,
    reader: Reader,
    embed: Embed,
) -> NDArray[np.float64]:
    """How similar concepts are: shared words of names, criteria and evidence, and meaning in the corpus."""
    profiles = [[_profile(candidate, statistics, reader) for candidate in side] for side in (left, right)]
    columns = {key: n for n, key in enumerate(dict.fromkeys(k for side in profiles for p in side for k in p))}
    matrices = []
    for side in profiles:
        matrix = np.zeros((len(side), max(1, len(columns))))
        for row, profile in enumerate(side):
            for key, weight in profile.items():
                matrix[row, columns[key]] = weight
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
        matrices.append(matrix / np.where(norms > 0, norms, 1.0))
    words = matrices[0] @ matrices[1].T
    vectors = [_vectors(side, embed) for side in (left, right)]
    meaning = np.clip(vectors[0] @ vectors[1].T, 0.0, 1.0)
    alike: NDArray[np.float64] = 0.7 * words + 0.3 * meaning.astype(np.float64) * np.sqrt(
        words.clip(0.0, 1.0)
    )
    for row, candidate in enumerate(left):
        named = set(terms_of(candidate.concept, reader)[0])
        for column, other in enumerate(right):
            if named and named == set(terms_of(other.concept, reader)[0]):
                alike[row, column] = 1.0
    return alike


def _profile(candidate: Candidate, statistics: CorpusStatistics, reader: Reader) -> dict[str, float]:
    profile: defaultdict[str, float] = defaultdict(float)
    for keys, weight in zip(terms_of(candidate.concept, reader), (_NAME, _ASKED, _ILLUSTRATED), strict=True):
        for key in keys:
            profile[key] += weight
    cited: Counter[str] = Counter()
    for point in candidate.evidence:
        cited.update(set(reader(point).content_keys()))
    for key, count in cited.items():
        profile[key] += _EVIDENCE * count / max(1, len(candidate.evidence))
    return {key: value * max(0.02, statistics.weight(key)) for key, value in profile.items()}


def _vectors(candidates: Sequence[Candidate], embed: Embed) -> NDArray[np.float32]:
    return embed(
        [" ".join([c.concept.name, c.concept.name, c.concept.criteria, *c.evidence[:10]]) for c in candidates]
    )


def _overlap(shown: Sequence[frozenset[int]]) -> NDArray[np.float64]:
    """Share of documents that two concepts have in common, of those that show either."""
    overlap = np.eye(len(shown))
    for row, documents in enumerate(shown):
        for column in range(row):
            either = len(documents | shown[column])
            if either >= _FEWEST_SHOWN:
                overlap[row, column] = overlap[column, row] = len(documents & shown[column]) / either
    return overlap


def _linked(likeness: NDArray[np.float64]) -> list[list[int]]:
    """Groups of two or more by average linkage, in the order of their first members."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    n = len(likeness)
    distance = 1.0 - np.clip((likeness + likeness.T) / 2, 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    steps = linkage(squareform(distance, checks=False), method="average")
    members: dict[int, list[int]] = {number: [number] for number in range(n)}
    for step, (left, right, apart, _) in enumerate(steps):
        if apart > 1 - _SAME:
            break
        members[n + step] = members.pop(int(left)) + members.pop(int(right))
    return sorted(sorted(group) for group in members.values() if len(group) > 1)


def _common_criterion(ranked: Sequence[Candidate], statistics: CorpusStatistics, reader: Reader) -> str:
    """A criterion for the best supported name, with the terms of all members that the corpus has."""
    leader = ranked[0].concept
    terms = [terms_of(candidate.concept, reader) for candidate in ranked]
    named = terms[0].named
    others = [key for each in terms for key in each.named] + [
        key for each in terms for key in each.illustrated
    ]
    listed = [
        key
        for key in dict.fromkeys([*terms[0].illustrated, *others])
        if key not in named and statistics.document_frequency.get(key, 0) >= statistics.fewest
    ]
    shown = [noun_form(key, statistics) for key in listed[:_MOST_TERMS]]
    return criterion(in_sentence(leader.name, statistics), shown)
