"""Which concepts a few dozen lines share: those candidates of the corpus that the lines show."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from text_lloom.local.coverage import Coverage
from text_lloom.local.distill import Relatedness
from text_lloom.local.ideas import Idea, Ideas
from text_lloom.local.reading import Reader
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.local.stopwords import CONNECTORS
from text_lloom.local.words import key_of
from text_lloom.tasks import Pattern, SynthesizeConcepts

__all__ = ["synthesize"]

_ITEMS_PER_CONCEPT = 6
_WORTHWHILE = 0.1
_ELSEWHERE = 4
_NAMED_AGAIN = 0.5


def synthesize(
    task: SynthesizeConcepts, ideas: Ideas, reader: Reader, *, related: Relatedness | None = None
) -> list[Pattern]:
    """The concepts that the lines of one request share, the best supported first.

    Candidates come from the whole corpus, so requests that show the same idea give it the same name and
    criterion. If the lines show none of them, candidates come from the lines.
    """
    items = [" ".join(item.text.split()) for item in task.items]
    if len(items) < 2:
        return []
    wanted = task.n_concepts or max(1, round(len(items) / _ITEMS_PER_CONCEPT))
    documents = [item.doc_id for item in task.items]
    found = _covering(items, documents, ideas, reader, related, wanted)
    if not found:
        readings = reader.all(items)
        statistics = CorpusStatistics(readings)
        of_lines = Ideas(readings, statistics, reader, Coverage(readings, statistics, reader))
        found = _covering(items, documents, of_lines, reader, related, wanted)
    return found


def _covering(
    items: Sequence[str],
    documents: Sequence[Hashable],
    ideas: Ideas,
    reader: Reader,
    related: Relatedness | None,
    wanted: int,
) -> list[Pattern]:
    """Candidates that cover the lines; each one covers the most of what is not covered yet."""
    lines: dict[int, set[int]] = {}
    for position, item in enumerate(items):
        for number in ideas.shown_in(reader(item)):
            lines.setdefault(number, set()).add(position)
    n_documents = {n: len({documents[position] for position in at}) for n, at in lines.items()}
    # An idea that only one line shows is accepted if enough other documents of the corpus show it.
    shown = {
        n: at
        for n, at in lines.items()
        if n_documents[n] >= 2 or (len(ideas.all[n].documents) >= _ELSEWHERE and len(items) >= _ELSEWHERE)
    }
    liking = dict.fromkeys(shown, 1.0)
    if related is not None and shown:
        texts = [f"{ideas.all[n].name}. {ideas.all[n].criteria}" for n in shown]
        liking = {n: 0.2 + 2 * value for n, value in zip(shown, related(texts), strict=True)}
    covered: set[int] = set()
    named: set[str] = set()
    patterns: list[Pattern] = []
    least = 0.0
    while len(patterns) < wanted and shown:
        values = {
            n: liking[n]
            * _value(ideas, ideas.all[n], at, covered)
            * (1.0 if named.isdisjoint(_words(ideas.all[n])) else _NAMED_AGAIN)
            for n, at in shown.items()
        }
        best = max(values, key=lambda n: (values[n], -n))
        if values[best] <= least:
            break
        least = least or _WORTHWHILE * values[best]
        at = shown.pop(best)
        covered |= at
        named |= _words(ideas.all[best])
        patterns.append(Pattern(ideas.all[best].name, ideas.all[best].criteria, tuple(sorted(at))))
    patterns.sort(key=lambda pattern: -len(pattern.items))
    return patterns


def _words(idea: Idea) -> set[str]:
    words = idea.name.lower().replace("-", " ").split()
    return {key_of(word) for word in words if word != "and" and word not in CONNECTORS}


def _value(ideas: Ideas, idea: Idea, at: set[int], covered: set[int]) -> float:
    new = len(at - covered)
    return ideas.worth(idea, len(idea.documents)) * (new + 0.1 * len(at & covered)) ** 0.5 if new else 0.0
