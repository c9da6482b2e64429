"""The local engine: answers tasks by corpus statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
from text_lloom.normal_form import passage_as_given
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
        kinds = [_kind_of(type(task)) for task in tasks]
        texts = dict.fromkeys(
            text for kind, task in zip(kinds, tasks, strict=True) for text in kind.texts(task)
        )
        corpus = self._corpus if self._background else _Corpus(list(texts), self._reader)
        answers: list[object] = [None] * len(tasks)
        for kind in dict.fromkeys(kinds):
            places = [place for place, other in enumerate(kinds) if other is kind]
            found = kind.answer([tasks[place] for place in places], corpus)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    @staticmethod
    def can_solve(task_type: type[Task[Any]]) -> bool:
        """Whether this engine answers tasks of that type."""
        return issubclass(task_type, tuple(_KINDS))

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


class _Corpus:
    """What is derived from a set of texts; each part is computed when it is first needed."""

    def __init__(self, texts: Sequence[str], reader: Reader) -> None:
        self._texts = sample_evenly(texts)
        self.reader = reader
        self._seeds: dict[str, SeedRelation] = {}

    @cached_property
    def readings(self) -> list[Reading]:
        return without_repeats(self.reader.all(self._texts))

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
        return Embedder(sentences, self.reader)

    @cached_property
    def ideas(self) -> Ideas:
        return Ideas(self.readings, self.statistics, self.reader, self.coverage)

    @cached_property
    def coverage(self) -> Coverage:
        return Coverage(self.readings, self.statistics, self.reader)

    @cached_property
    def scorer(self) -> Scorer:
        return Scorer(self.statistics, self.readings, self.reader, lambda texts: self.embedder.known(texts))

    def related(self, seed: str | None) -> Relatedness | None:
        """Gives how related texts are to a seed; `None` without a seed."""
        if seed is None or not seed.strip():
            return None
        if seed not in self._seeds:
            self._seeds[seed] = SeedRelation(seed, self.statistics, self.reader, self.embedder)
        return self._seeds[seed]


class _Kind(NamedTuple):
    """How tasks of one kind are answered.

    Attributes:
        texts: The texts that a task is about; without a background, statistics come from them.
        answer: The answers to several tasks, in order.
    """

    texts: Callable[[Any], Sequence[str]]
    answer: Callable[[Sequence[Any], _Corpus], Iterable[object]]


def _one_by_one(answer: Callable[[Any, _Corpus], object]) -> Callable[[Sequence[Any], _Corpus], list[object]]:
    return lambda tasks, corpus: [answer(task, corpus) for task in tasks]


def _texts_of(candidates: Sequence[Candidate]) -> list[str]:
    return [
        text
        for candidate in candidates
        for text in (f"{candidate.concept.name}. {candidate.concept.criteria}", *candidate.evidence)
    ]


def _quotes(task: FilterQuotes, corpus: _Corpus) -> list[str]:
    related = corpus.related(task.seed)
    reading = corpus.reader(task.text)
    spans = choose_quotes(reading, corpus.statistics, n_quotes=task.n_quotes, related=related)
    return list(dict.fromkeys(passage_as_given(task.text, span.start, span.end) for span in spans))


def _bullets(task: SummarizeDocument, corpus: _Corpus) -> list[str]:
    return choose_bullets(
        corpus.reader(task.text),
        corpus.statistics,
        n_bullets=task.n_bullets,
        n_words=task.n_words,
        related=corpus.related(task.seed),
    )


def _concepts(task: SynthesizeConcepts, corpus: _Corpus) -> object:
    return synthesize(task, corpus.ideas, corpus.reader, related=corpus.related(task.seed))


def _removals(task: ReviewRemove, corpus: _Corpus) -> object:
    return remove_concepts(task, corpus.statistics, corpus.reader)


def _merges(task: ReviewMerge, corpus: _Corpus) -> object:
    return merge_concepts(task, corpus.statistics, corpus.reader, corpus.embedder, corpus.coverage)


def _selection(task: SelectConcepts, corpus: _Corpus) -> object:
    return select_concepts(task, corpus.statistics, corpus.coverage, related=corpus.related(task.seed))


def _matches(task: MatchConcepts, corpus: _Corpus) -> object:
    return match_concepts(task, corpus.statistics, corpus.reader, corpus.embedder)


def _summary(task: SummarizeConcept, corpus: _Corpus) -> str:
    return summarize_concept(task, corpus.statistics, corpus.reader)


_KINDS: Final[Mapping[type[Task[Any]], _Kind]] = {
    FilterQuotes: _Kind(lambda task: task.texts, _one_by_one(_quotes)),
    SummarizeDocument: _Kind(lambda task: task.texts, _one_by_one(_bullets)),
    SynthesizeConcepts: _Kind(lambda task: [item.text for item in task.items], _one_by_one(_concepts)),
    ReviewRemove: _Kind(lambda task: _texts_of(task.candidates), _one_by_one(_removals)),
    ReviewMerge: _Kind(lambda task: _texts_of(task.candidates), _one_by_one(_merges)),
    SelectConcepts: _Kind(lambda task: _texts_of(task.candidates), _one_by_one(_selection)),
    MatchConcepts: _Kind(lambda task: _texts_of((*task.found, *task.known)), _one_by_one(_matches)),
    ScoreDocuments: _Kind(lambda task: task.texts, lambda tasks, corpus: corpus.scorer.score(tasks)),
    SummarizeConcept: _Kind(lambda task: task.passages, _one_by_one(_summary)),
}
"""All tasks that this engine answers."""


def _kind_of(task_type: type[Task[Any]]) -> _Kind:
    for known, kind in _KINDS.items():
        if issubclass(task_type, known):
            return kind
    raise TypeError(
        f"The local engine cannot answer {task_type.__name__}; it answers "
        f"{', '.join(sorted(known.__name__ for known in _KINDS))}."
    )
