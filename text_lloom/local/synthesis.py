"""Which concepts a few dozen lines share: labels first, then the lines that fit them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from text_lloom.local.distill import Relatedness
from text_lloom.local.naming import Label, criterion, labels_in, name_for, title, words_for
from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.local.words import key_of
from text_lloom.tasks import Pattern, SynthesizeConcepts

__all__ = ["synthesize"]

_ITEMS_PER_CONCEPT = 6
_JOINS = 0.42
_SINGLE_WORD = 0.7
_CONSIDERED = 8
_WORTHWHILE = 0.25
_BROAD = 0.15


def synthesize(
    task: SynthesizeConcepts,
    statistics: CorpusStatistics,
    reader: Reader,
    *,
    related: Relatedness | None = None,
) -> list[Pattern]:
    """The concepts that the lines of one request share, the best supported first.

    Labels are induced before groups are formed (Osiński & Weiss 2005, Lingo,
    doi:10.1109/MIS.2005.38): among the words and phrases that lines share, the one with the most
    lines, the rarest words and the best form as a name is taken, its lines are set aside, and again.
    """
    items = [" ".join(item.text.split()) for item in task.items]
    if len(items) < 2:
        return []
    readings = reader.all(items)
    documents = [item.doc_id for item in task.items]
    wanted = task.n_concepts or max(1, round(len(items) / _ITEMS_PER_CONCEPT))
    labels = labels_in(readings, statistics)
    bonus = [1.0] * len(labels)
    if related is not None and labels:
        bonus = [0.4 + 2 * value for value in related([label.surface for label in labels])]
    values = _Values(labels, bonus, documents, statistics)
    taken: set[int] = set()
    used: set[str] = set()
    chosen: list[_Group] = []
    least = 0.0
    while len(chosen) < wanted:
        best = _next_group(values, readings, taken, used, statistics)
        if best is None or best.value < least:
            break
        least = least or _WORTHWHILE * best.value
        chosen.append(best)
        taken |= best.label.members
        used.update(best.label.contents)
    _place_rest(readings, chosen, taken, statistics)
    patterns: list[Pattern] = []
    for group in chosen:
        members = [readings[position] for position in sorted(group.members)]
        named = [key_of(word) for word in group.name.replace("-", " ").split()]
        terms = words_for(members, statistics, without=[*named, *group.label.contents])
        patterns.append(
            Pattern(title(group.name), criterion(group.name, terms), tuple(sorted(group.members)))
        )
    patterns.sort(key=lambda pattern: -len(pattern.items))
    return patterns


@dataclass(slots=True)
class _Group:
    """A label, the lines that fit it, its name, and what it is worth."""

    label: Label
    members: set[int]
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class _Values:
    """What each label is worth, given which lines are taken already."""

    labels: Sequence[Label]
    liking: Sequence[float]
    documents: Sequence[Hashable]
    statistics: CorpusStatistics

    def ranked(self, taken: set[int], used: set[str]) -> list[tuple[float, Label]]:
        ranked: list[tuple[float, Label]] = []
        for label, liking in zip(self.labels, self.liking, strict=True):
            if not used.isdisjoint(label.contents):
                continue
            n = len({self.documents[position] for position in label.members - taken})
            if n >= 2:
                support = n + 0.3 * len(label.members & taken)
                ranked.append((liking * _value(label, support, self.statistics), label))
        ranked.sort(key=lambda pair: -pair[0])
        return ranked


def _next_group(
    values: _Values,
    readings: Sequence[Reading],
    taken: set[int],
    used: set[str],
    statistics: CorpusStatistics,
) -> _Group | None:
    """The best label of those left, once it is known what name can be made of it."""
    best: _Group | None = None
    best_value = 0.0
    for value, label in values.ranked(taken, used)[:_CONSIDERED]:
        members = [readings[position] for position in sorted(label.members)]
        name = name_for(label, members, statistics, avoid=frozenset(used))
        value *= 0.2 + 0.8 * name.quality
        if value > best_value:
            best, best_value = _Group(label, set(label.members), name.surface, value), value
    return best


def _value(label: Label, support: float, statistics: CorpusStatistics) -> float:
    rarity = sum(statistics.weight(key) for key in label.contents)
    if len(label.contents) == 1:
        form = _SINGLE_WORD
    else:
        # Further words make a label more telling, but less so each.
        rarity /= math.sqrt(len(label.contents) / 2)
        form = 0.45 + 0.55 * min(1.0, 1.5 * statistics.cohesion(label.key))
    # What a large part of all documents shares tells none of them apart.
    share = statistics.share(label.contents)
    if share > _BROAD:
        rarity *= (_BROAD / share) ** 1.5
    # A label that many documents have, in whatever words their lines were cut from, reaches further.
    reach = math.log1p(share * statistics.n_documents) / math.log1p(_BROAD * statistics.n_documents + 2)
    rarity *= 0.3 + min(1.0, reach)
    return math.pow(support, 0.9) * rarity * form * (0.15 + 0.85 * label.quality)


def _place_rest(
    readings: Sequence[Reading],
    chosen: Sequence[_Group],
    taken: set[int],
    statistics: CorpusStatistics,
) -> None:
    """Add lines without a group to the one whose words they share most, where they share enough."""
    profiles: list[dict[str, float]] = []
    for group in chosen:
        profile: dict[str, float] = {}
        for position in sorted(group.members):
            for key in set(readings[position].content_keys()):
                profile[key] = profile.get(key, 0.0) + statistics.weight(key) / len(group.members)
        for key in group.label.contents:
            profile[key] = profile.get(key, 0.0) + 0.3
        profiles.append(profile)
    for position, reading in enumerate(readings):
        if position in taken:
            continue
        keys = set(reading.content_keys())
        total = sum(statistics.weight(key) for key in keys)
        if not total:
            continue
        scores = [sum(profile.get(key, 0.0) for key in keys) / total for profile in profiles]
        best = max(range(len(scores)), key=lambda number: scores[number], default=-1)
        if best >= 0 and scores[best] >= _JOINS:
            chosen[best].members.add(position)
