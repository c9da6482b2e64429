"""Which documents of a corpus show which concepts."""

from __future__ import annotations

from collections.abc import Sequence

from text_lloom.concept import Concept
from text_lloom.local.evidence import TermIndex, find_evidence, profile_of
from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import CorpusStatistics

__all__ = ["Coverage"]

_MOST_READ = 4_000


class Coverage:
    """The documents in which a passage clearly mentions a concept.

    Args:
        readings: The corpus; an even sample is read if it is large.
        statistics: Its counts.
        reader: Reads texts.
    """

    def __init__(self, readings: Sequence[Reading], statistics: CorpusStatistics, reader: Reader) -> None:
        step = max(1, -(-len(readings) // _MOST_READ))
        self._sample = dict(zip(range(0, len(readings), step), readings[::step], strict=True))
        self._statistics = statistics
        self._reader = reader
        self._known: dict[tuple[str, str], frozenset[int]] = {}

    @property
    def n_documents(self) -> int:
        """How many documents are read."""
        return len(self._sample)

    def __call__(self, concepts: Sequence[Concept]) -> list[frozenset[int]]:
        """Numbers of the documents that show each concept."""
        keys = [(concept.name, concept.criteria) for concept in concepts]
        unknown = {key: c for key, c in zip(keys, concepts, strict=True) if key not in self._known}
        index = TermIndex([profile_of(c, (), self._statistics, self._reader) for c in unknown.values()])
        having: list[set[int]] = [set() for _ in unknown]
        for number, reading in self._sample.items() if unknown else ():
            for which, evidence in find_evidence(reading, index).items():
                if evidence.strength >= 1.0:
                    having[which].add(number)
        self._known.update(zip(unknown, map(frozenset, having), strict=True))
        return [self._known[key] for key in keys]
