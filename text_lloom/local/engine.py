"""The local engine: answers tasks by corpus statistics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from text_lloom.local.coverage import Coverage
from text_lloom.local.distill import Relatedness, choose_bullets, choose_quotes
from text_lloom.local.embedding import Embedder
from text_lloom.local.ideas import Ideas
from text_lloom.local.reading import Reader, Reading, without_repeats
from text_lloom.local.review import match_concepts, merge_concepts, remove_concepts, select_concepts
from text_lloom.local.scoring import Scorer
from text_lloom.local.seeds import SeedRelation
from text_lloom.local.statistics import CorpusStatistics, sample_evenly
from text_lloom.local.summary import summarize_concept
from text_lloom.local.synthesis import synthesize
from text_lloom.tasks import (
    Candidate,
    FilterQuotes,
    MatchConcepts,
    ReviewMerge,
    ReviewRemove,
    ScoreDocuments,
    SelectConcepts,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
    Task,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LocalEngine"]


class LocalEngine:
    """Answers tasks without a key, a network or a language model.

    It works with keywords: it finds words and phrases that documents share, and knows which of them
    occur together, but not what they mean. The same tasks and background give the same answers.

    Args:
        background: The texts of the whole corpus. Term statistics come from them, so an answer does not
            depend on which documents are asked about together. If empty, statistics come from the tasks.

    Example:
        >>> from text_lloom.tasks import SummarizeDocument
        >>> engine = LocalEngine()
        >>> engine.solve([SummarizeDocument(1, "The bus never comes on time.")])
        [['bus never comes on time']]
    """

    name = "local"

    def __init__(self, background: Sequence[str] = ()) -> None:
        self._background = tuple(background)
        self._reader = Reader()

    def solve(self, tasks: Sequence[Task[Any]]) -> list[object]:
        """One answer per task, in order, of the type that the task's `read()` returns.

        Raises:
            TypeError: When a task is of a type that this engine does not know.
        """
        for task in tasks:
            if not isinstance(task, _KNOWN):
                raise TypeError(
                    f"The local engine cannot answer {type(task).__name__}; it answers "
                    f"{', '.join(sorted(known.__name__ for known in _KNOWN))}."
                )
        corpus = self._corpus if self._background else _Corpus(_texts_in(tasks), self._reader)
        scoring = [task for task in tasks if isinstance(task, ScoreDocuments)]
        scored = iter(corpus.scorer.score(scoring)) if scoring else iter(())
        return [
            next(scored) if isinstance(task, ScoreDocuments) else self._answer(task, corpus) for task in tasks
        ]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of texts.

        Returns:
            (n, d) float32 with d of about 100 at most, rows of length 1; blank texts have rows of
            zeros. With a background, d and the meaning of the columns are the same in every call.
        """
        texts = list(texts)
        embedder = self._corpus.embedder if self._background else Embedder(texts, self._reader)
        return embedder(texts)

    @cached_property
    def _corpus(self) -> _Corpus:
        return _Corpus(self._background, self._reader)

    def _answer(self, task: Task[Any], corpus: _Corpus) -> object:
        statistics, reader = corpus.statistics, self._reader
        match task:
            case FilterQuotes():
                return choose_quotes(
                    reader(task.text), statistics, n_quotes=task.n_quotes, related=corpus.related(task.seed)
                )
            case SummarizeDocument():
                return choose_bullets(
                    reader(task.text),
                    statistics,
                    n_bullets=task.n_bullets,
                    n_words=task.n_words,
                    related=corpus.related(task.seed),
                )
            case SynthesizeConcepts():
                return synthesize(task, corpus.ideas, reader, related=corpus.related(task.seed))
            case ReviewRemove():
                return remove_concepts(task, statistics, reader)
            case ReviewMerge():
                return merge_concepts(task, statistics, reader, corpus.embedder, corpus.coverage)
            case SelectConcepts():
                return select_concepts(task, statistics, corpus.coverage, related=corpus.related(task.seed))
            case MatchConcepts():
                return match_concepts(task, statistics, reader, corpus.embedder)
            case SummarizeConcept():
                return summarize_concept(task, statistics, reader)
            case _:
                raise AssertionError(task)


_KNOWN = (
    FilterQuotes,
    MatchConcepts,
    ReviewMerge,
    ReviewRemove,
    ScoreDocuments,
    SelectConcepts,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
)


class _Corpus:
    """What is derived from a set of texts; each part is computed when it is first needed."""

    def __init__(self, texts: Sequence[str], reader: Reader) -> None:
        self._texts = sample_evenly(texts)
        self._reader = reader
        self._seeds: dict[str, SeedRelation] = {}

    @cached_property
    def readings(self) -> list[Reading]:
        return without_repeats(self._reader.all(self._texts))

    @cached_property
    def statistics(self) -> CorpusStatistics:
        return CorpusStatistics(self.readings)

    @cached_property
    def embedder(self) -> Embedder:
        sentences = [
            reading.text[sentence.start : sentence.end]
            for reading in self.readings
            for sentence in reading.sentences
        ]
        return Embedder(sentences, self._reader)

    @cached_property
    def ideas(self) -> Ideas:
        return Ideas(self.readings, self.statistics, self._reader, self.coverage)

    @cached_property
    def coverage(self) -> Coverage:
        return Coverage(self.readings, self.statistics, self._reader)

    @cached_property
    def scorer(self) -> Scorer:
        return Scorer(self.statistics, self.readings, self._reader, lambda texts: self.embedder.known(texts))

    def related(self, seed: str | None) -> Relatedness | None:
        """Gives how related texts are to a seed; `None` without a seed."""
        if seed is None or not seed.strip():
            return None
        if seed not in self._seeds:
            self._seeds[seed] = SeedRelation(seed, self.statistics, self._reader, self.embedder)
        return self._seeds[seed]


def _texts_in(tasks: Sequence[Task[Any]]) -> list[str]:
    """The distinct texts that tasks are about."""
    found: dict[str, None] = {}
    for task in tasks:
        match task:
            case FilterQuotes() | SummarizeDocument() | ScoreDocuments():
                texts: Sequence[str] = task.texts
            case SynthesizeConcepts():
                texts = [item.text for item in task.items]
            case ReviewRemove() | ReviewMerge() | SelectConcepts():
                texts = _texts_of(task.candidates)
            case MatchConcepts():
                texts = _texts_of((*task.found, *task.known))
            case SummarizeConcept():
                texts = task.passages
            case _:
                texts = ()
        found.update(dict.fromkeys(texts))
    return list(found)


def _texts_of(candidates: Sequence[Candidate]) -> list[str]:
    return [
        text
        for candidate in candidates
        for text in (f"{candidate.concept.name}. {candidate.concept.criteria}", *candidate.evidence)
    ]
