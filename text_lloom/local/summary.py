"""What matching documents say, put together from their own words."""

from __future__ import annotations

import math
from collections import Counter

from text_lloom.local.distill import choose_bullets
from text_lloom.local.evidence import terms_of
from text_lloom.local.naming import joined, words_for
from text_lloom.local.reading import Reader
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.tasks import SummarizeConcept

__all__ = ["summarize_concept"]

_MOST_CHARACTERS = 160


def summarize_concept(task: SummarizeConcept, statistics: CorpusStatistics, reader: Reader) -> str:
    """One or two sentences: the words that recur in the passages, and the most typical passages."""
    passages = [text for text in (" ".join(passage.split()) for passage in task.passages) if text]
    if not passages:
        return f"No passage shows {task.concept.name}."
    readings = reader.all(passages)
    named, asked, illustrated = terms_of(task.concept, reader)
    words = words_for(readings, statistics, without=named, n=3)
    counts: Counter[str] = Counter()
    for reading in readings:
        counts.update(set(reading.content_keys()))
    wanted = {*named, *asked, *illustrated}

    def typical(position: int) -> float:
        keys = set(readings[position].content_keys())
        shared = sum(counts[key] * statistics.weight(key) * (2 if key in wanted else 1) for key in keys)
        return shared / math.pow(len(keys) + 4, 0.7)

    ranked = sorted(range(len(passages)), key=lambda position: (-typical(position), position))
    shown: list[str] = []
    for position in ranked:
        text = passages[position]
        if len(text) > _MOST_CHARACTERS:
            text = next(iter(choose_bullets(readings[position], statistics, n_bullets=1, n_words="8-16")), "")
        if text and text not in shown:
            shown.append(text.rstrip(" .,;:"))
        if len(shown) == 2:
            break
    quoted = joined([f"“{text}”" for text in shown], "and")
    if not words:
        return f"Matching documents say, for instance: {quoted}."
    listed = joined([f'"{word}"' for word in words], "and")
    return f"Matching documents speak of {listed}; for instance: {quoted}."
