"""How the fake model thinks: which sentences matter, what lines share, whether a criterion is met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from .prompts import Listed
from .reading import alike, clip, fragment, read_text, stems, words

__all__ = [
    "Judged",
    "Shared",
    "Truth",
    "best_matches",
    "choice",
    "groups_of_like",
    "judge",
    "salient",
    "shared_patterns",
    "summary_of",
    "vague_ones",
]

Truth = Mapping[str, Sequence[str]]
"""Names of the concepts that each document meets, by the document's text."""

_ABOUT_TEXTS = stems(
    """text texts document author discuss discusses mention mentions describe describes express expresses
    speak speaks state states concern concerned explicitly clearly refer refers indicate contain contains
    include involve involves address talk topic subject example criterion criteria"""
)
_VAGUE = frozenset(
    {"general", "other", "misc", "miscellaneous", "various", "topic", "topics", "text", "texts"}
)
_A, _B, _C = 0.6, 0.45, 0.3
_SAME_CONCEPT, _CLOSE, _COUNTERPART = 0.6, 0.2, 0.25


class Judged(NamedTuple):
    """Whether a document meets a criterion: rationale, letter, quote (empty for D and E)."""

    rationale: str
    letter: str
    quote: str


class Shared(NamedTuple):
    """A pattern: name, criterion, numbers of the lines that show it."""

    name: str
    criteria: str
    lines: list[int]


def salient(text: str, n: int, seed: str) -> list[str]:
    """The sentences with most content, in the order of the text."""
    reading, wanted = read_text(text), stems(seed)
    order = sorted(
        range(len(reading.sentences)),
        key=lambda i: (-20 * len(reading.stems[i] & wanted) - min(12, len(reading.stems[i])), i),
    )
    return [reading.sentences[i] for i in sorted(order[:n])]


def shared_patterns(lines: Sequence[str], most: int, seed: str) -> list[Shared]:
    """Words, best in pairs, that several lines share; each pattern covers at least two lines more."""
    spelled: dict[str, Counter[str]] = {}
    found: dict[tuple[str, ...], list[int]] = {}
    for n, text in enumerate(lines):
        seen = dict(words(text))
        for stem, word in seen.items():
            spelled.setdefault(stem, Counter())[word.lower()] += 1
        for size in (2, 1):
            for key in combinations(sorted(seen), size):
                found.setdefault(key, []).append(n)
    shared = {key: ns for key, ns in found.items() if len(ns) >= 2 and not set(key) & _ABOUT_TEXTS}
    wanted, covered = stems(seed), set[int]()

    def gain(key: tuple[str, ...]) -> tuple[float, int, int, tuple[str, ...]]:
        fresh = len(set(shared[key]) - covered) * (1.5 if len(key) == 2 else 1.0)
        return fresh + len(wanted & set(key)), len(shared[key]), sum(map(len, key)), key

    patterns: list[Shared] = []
    while shared and len(patterns) < most:
        key = max(shared, key=gain)
        ns = shared.pop(key)
        if len(set(ns) - covered) < 2:
            break
        covered.update(ns)
        phrase = _phrase([spelled[stem].most_common(1)[0][0] for stem in key], [lines[n] for n in ns])
        name = phrase
        if len(key) == 1:
            beside = Counter(stem for n in ns for stem in stems(lines[n]) - _ABOUT_TEXTS - set(key))
            often = sorted(beside, key=lambda stem: (-beside[stem], -len(stem), stem))[:1]
            such_as = "".join(spelled[stem].most_common(1)[0][0] for stem in often)
            name, phrase = f"talk of {phrase}", f"{phrase}, such as {such_as}" if such_as else phrase
        patterns.append(Shared(name[:1].upper() + name[1:], f"Does the text speak of {phrase}?", ns))
    return patterns


def vague_ones(concepts: Sequence[Listed]) -> list[Listed]:
    """Concepts whose name or criteria say nothing; never all of them."""
    vague = [c for c in concepts if not _stems(c.name) - _VAGUE or not _stems(c.criteria)]
    return vague[: max(0, len(concepts) - 1)]


def groups_of_like(concepts: Sequence[Listed], wanted: int = 0) -> list[list[Listed]]:
    """Groups of two and more concepts that are one; looser while there are more than `wanted`."""
    groups = [[concept] for concept in concepts]
    while True:
        floor = _CLOSE if wanted and len(groups) > wanted else _SAME_CONCEPT
        pairs = combinations(range(len(groups)), 2)
        best = max(((_bond(groups[i], groups[j]), -i, -j) for i, j in pairs), default=(0.0, 0, 0))
        if best[0] < floor:
            return [group for group in groups if len(group) > 1]
        groups[-best[1]] += groups.pop(-best[2])


def choice(concepts: Sequence[Listed], n: int) -> list[Listed]:
    """The first `n` by support, different ones before those that repeat another."""
    distinct: list[Listed] = []
    ordered = sorted(concepts, key=lambda c: -c.support)
    for concept in ordered:
        if all(_likeness(concept, other) < _SAME_CONCEPT for other in distinct):
            distinct.append(concept)
    return (distinct + [concept for concept in ordered if concept not in distinct])[:n]


def best_matches(found: Sequence[Listed], known: Sequence[Listed]) -> list[tuple[Listed, Listed]]:
    """Each found concept that has a counterpart among the known ones, with that."""
    if not known:
        return []
    pairs = [(concept, max(known, key=lambda other: _likeness(concept, other))) for concept in found]
    return [(concept, best) for concept, best in pairs if _likeness(concept, best) >= _COUNTERPART]


def summary_of(passages: Sequence[str]) -> str:
    """A sentence or two on what recurs."""
    counts = Counter(word.lower() for passage in passages for word in dict(words(passage)).values())
    common = sorted(counts, key=lambda word: (-counts[word], word))[:3]
    points = list(dict.fromkeys(fragment(passage, 10) for passage in passages))
    tail = f"; others put it as {points[1]}" if len(points) > 1 else ""
    subject = ", ".join(common[:-1]) + f" and {common[-1]}" if len(common) > 1 else "".join(common)
    first = points[0] if points else "little"
    return f"Much of it turns on {subject or 'one point'}. Some speak of {first}{tail}."


def judge(text: str, name: str, criteria: str, truth: Truth) -> Judged:
    """A to E by the share of the concept's words that the text has, or by the truth where it is known."""
    weights = _weights(name, criteria)
    reading = read_text(text)
    met = frozenset[str]().union(*reading.stems) & weights.keys()
    share = sum(weights[stem] for stem in met) / (sum(weights.values()) or 1)
    letter = "A" if share >= _A else "B" if share >= _B else "C" if share >= _C else "D" if met else "E"
    if (labels := truth.get(text.strip())) is not None:
        letter = "A" if name in labels else "E"
    best = max(range(len(reading.sentences)), key=lambda i: (len(reading.stems[i] & met), -i))
    quote = clip(reading.sentences[best], 30, met) if letter in "ABC" else ""
    return Judged(_rationale(reading.sentences[best], met), letter, quote)


def _phrase(found: list[str], lines: list[str]) -> str:
    if len(found) == 1:
        return found[0]
    one, other = found
    for line in lines:
        for phrase in (f"{one} {other}", f"{other} {one}"):
            if phrase in line.lower():
                return phrase
    return f"{one} and {other}"


def _bond(one: list[Listed], other: list[Listed]) -> float:
    """Likeness of the two members that are least alike, so that groups do not grow by chains."""
    return min(_likeness(a, b) for a in one for b in other)


def _rationale(sentence: str, met: frozenset[str]) -> str:
    said = list(dict.fromkeys(word.lower() for stem, word in words(sentence) if stem in met))[:4]
    return f"It speaks of {', '.join(said)}." if said else "None of it is in the text."


@lru_cache(maxsize=5_000)
def _weights(name: str, criteria: str) -> Mapping[str, int]:
    """Words of the name count twice."""
    named = _stems(name)
    return {stem: 2 if stem in named else 1 for stem in named | _stems(criteria)}


def _stems(text: str) -> frozenset[str]:
    return stems(text) - _ABOUT_TEXTS


@lru_cache(maxsize=50_000)
def _likeness(one: Listed, other: Listed) -> float:
    names = alike(_stems(one.name), _stems(other.name))
    return max(names, alike(_stems(f"{one.name} {one.criteria}"), _stems(f"{other.name} {other.criteria}")))
