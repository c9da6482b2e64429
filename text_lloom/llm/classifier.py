"""Text classifiers as score models: the probability of a class becomes the score of a concept."""

from __future__ import annotations

import asyncio
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from text_lloom.concept import Concept
from text_lloom.errors import InputError, ModelError, PermanentError, StepFailed, UnknownName
from text_lloom.llm.classes import ClassName
from text_lloom.llm.cutting import cut_texts
from text_lloom.llm.model import EmbedModel, Solver
from text_lloom.llm.numeric import finite_number
from text_lloom.llm.portal import run_sync
from text_lloom.llm.request import first_error
from text_lloom.llm.retry import FATAL
from text_lloom.llm.run import Failure, Run
from text_lloom.llm.vectors import embed_batch, in_batches, keep_vectors, kept_vectors
from text_lloom.scores import ANSWER_SCORES, Judgement
from text_lloom.tasks import Scored, ScoreDocuments, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["STEPS", "Classifier", "Labels"]

Labels: TypeAlias = Mapping[str, ClassName] | Sequence[str]
OnAnswer: TypeAlias = Callable[[int, Any], None]

STEPS: Final = (0.8, 0.6, 0.4, 0.2)
"""The probabilities from which on a document scores 1, .75, .5 and .25, which are the answers A to D."""

_SCORES = tuple(ANSWER_SCORES.values())
_BREAKER = 3
"""Batches that may fail before any has succeeded; then the rest is not sent."""


class Classifier(Solver):
    """Base of the models that answer `ScoreDocuments` by a classifier, and nothing else.

    Distinct texts are classified once, in batches, with the limits, retries, kept results and ledger rows of
    any other model. A batch that the server refuses is halved until it is known which text is at fault.

    Args:
        name: Name of the model.
        labels: Which class of the model stands for which concept: concept name or id → the index of the
            class or its name; or a list of concept names in the order of the model's classes.
        steps: From which probability on a document scores 1, .75, .5 and .25; falling, at most 1.

    Raises:
        InputError: When labels or steps cannot be used.
    """

    def __init__(self, name: str, *, labels: Labels, steps: Sequence[float] = STEPS) -> None:
        self.name = name
        self.labels = _labels(labels)
        self.steps = _checked_steps(steps)
        self.columns: tuple[ClassName, ...] = tuple(dict.fromkeys(self.labels.values()))

    @property
    @abstractmethod
    def probabilities(self) -> EmbedModel:
        """Gives, for a text, the probabilities of the classes in `columns`."""

    def can_solve(self, task_type: type[Task[Any]]) -> bool:
        return issubclass(task_type, ScoreDocuments)

    def solve(self, tasks: Sequence[Task[Any]]) -> list[object]:
        """One answer per task, outside any session; raises the error of the first that has none."""
        run = Run()
        answers = run_sync(self.answer(tasks, run=run))
        failed = next((answer for answer in answers if isinstance(answer, Failure)), None)
        if failed is not None:
            raise StepFailed(f"score: {failed.reason}")
        return answers

    def class_of(self, concept: Concept) -> ClassName:
        """The class that stands for a concept.

        Raises:
            InputError: When `labels` names none.
        """
        for known in (concept.id, concept.name):
            if known in self.labels:
                return self.labels[known]
        raise InputError(
            f"Model {self.label!r} has no class for the concept {concept.name!r} (id {concept.id!r}). Give "
            f"one in labels={{{concept.name!r}: …}}; it has classes for "
            f"{', '.join(map(repr, self.labels))}."
        )

    def check_concepts(self, concepts: Sequence[Concept]) -> None:
        """Refuse concepts that no class stands for, before anything is sent.

        Raises:
            InputError: Names the concept and those that have a class.
        """
        for concept in concepts:
            self.class_of(concept)

    def score(self, probability: float) -> float:
        """The score that a probability stands for: 1, .75, .5, .25 or 0."""
        passed = sum(probability < step for step in self.steps)
        return _SCORES[passed]

    async def answer(
        self, tasks: Sequence[Task[Any]], *, run: Run, on_answer: OnAnswer | None = None
    ) -> list[Any]:
        """The answer to each task, in order, or its failure.

        Args:
            tasks: The questions; all must be `ScoreDocuments`.
            run: Ledger, budget, kept results and so on.
            on_answer: Called with the position and the answer as soon as there is one.

        Raises:
            InputError: When a task is of another kind, or a concept has no class.
            PermanentError: When every further request would meet the same error.
            StepFailed: When the first batches all failed.
        """
        asked = [_checked(task, self) for task in tasks]
        for concept in {concept.id: concept for task in asked for concept in task.concepts}.values():
            self.class_of(concept)
        return await _Answering(self, asked, run, on_answer).all()

    def judge(self, concept: Concept, row: NDArray[np.float32]) -> Judgement:
        """The judgement that the probabilities of a text give on a concept."""
        named = self.class_of(concept)
        probability = float(row[self.columns.index(named)])
        return Judgement(self.score(probability), f"p = {probability:.3g} for class {named!r}")


class _Answering:
    """The questions of one call: texts are classified, questions answered once all their texts are."""

    def __init__(
        self, model: Classifier, tasks: Sequence[ScoreDocuments], run: Run, on_answer: OnAnswer | None
    ) -> None:
        self.model, self.tasks, self.run, self.on_answer = model, tasks, run, on_answer
        self.step = ScoreDocuments.step
        self.answers: list[Any] = [None] * len(tasks)
        self.results: dict[str, NDArray[np.float32] | ModelError] = {}
        self.waiting = [len(set(task.texts)) for task in tasks]
        self.tasks_of: dict[str, list[int]] = {}
        self.of_sent: dict[str, list[str]] = {}
        self.attempts: dict[str, int] = {}
        self.successes = self.failures = 0

    async def all(self) -> list[Any]:
        for position, task in enumerate(self.tasks):
            for text in dict.fromkeys(task.texts):
                self.tasks_of.setdefault(text, []).append(position)
        classifier = self.model.probabilities
        blank = [text for text in self.tasks_of if not text.strip()]
        texts = [text for text in self.tasks_of if text.strip()]
        self._settle({text: _zeros(len(self.model.columns)) for text in blank})
        sent = await asyncio.to_thread(cut_texts, classifier, texts, self.step)
        of_sent = self.of_sent
        for text, shorter in zip(texts, sent, strict=True):
            of_sent.setdefault(shorter, []).append(text)
        kept = await kept_vectors(classifier, list(of_sent), self.run)
        for shorter, row in kept.items():
            self._settle(dict.fromkeys(of_sent[shorter], row))
        missing = [text for text in of_sent if text not in kept]
        try:
            async with asyncio.TaskGroup() as group:
                for batch in in_batches(missing, classifier):
                    group.create_task(self._classify(batch))
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        self._warn_of_silence(len(missing))
        return self.answers

    async def _classify(self, batch: list[str]) -> None:
        classifier = self.model.probabilities
        try:
            rows = await embed_batch(
                classifier, batch, self.run, self.step, on_attempt=lambda: self._count(batch)
            )
        except FATAL:
            raise
        except ModelError as error:
            if isinstance(error, PermanentError) and len(batch) > 1:
                middle = len(batch) // 2
                await self._classify(batch[:middle])
                await self._classify(batch[middle:])
                return
            self._give_up(error)
            self._settle({text: error for shorter in batch for text in self.of_sent[shorter]})
            return
        self.successes += 1
        await keep_vectors(classifier, batch, rows, self.run, self.step)
        for shorter, row in zip(batch, rows, strict=True):
            self._settle(dict.fromkeys(self.of_sent[shorter], row))

    def _count(self, batch: Sequence[str]) -> None:
        """Note that these texts are sent once more."""
        for shorter in batch:
            for text in self.of_sent[shorter]:
                self.attempts[text] = self.attempts.get(text, 0) + 1

    def _give_up(self, error: ModelError) -> None:
        """Note that a request failed for good; ends the step when none seems to be answered."""
        self.failures += 1
        if not self.successes and self.failures >= _BREAKER:
            raise StepFailed(
                f"{self.step}: the first {self.failures} requests to model {self.model.label!r} all failed, "
                f"so the rest was not sent. The last one: {error}"
            ) from error

    def _settle(self, results: Mapping[str, NDArray[np.float32] | ModelError]) -> None:
        """Put the results of texts away, and deliver the questions that waited for nothing else."""
        self.results.update(results)
        for text in results:
            for position in self.tasks_of[text]:
                self.waiting[position] -= 1
                if not self.waiting[position]:
                    self._deliver(position)

    def _deliver(self, position: int) -> None:
        task = self.tasks[position]
        found = [self.results[text] for text in task.texts]
        error = next((result for result in found if isinstance(result, ModelError)), None)
        if error is None:
            answer: list[Scored] | Failure = [
                Scored(document.id, concept.id, self.model.judge(concept, result))
                for document, result in zip(task.documents, found, strict=True)
                if not isinstance(result, ModelError)
                for concept in task.concepts
            ]
        else:
            reason = self.model.probabilities.redact(str(error))
            tries = max(self.attempts.get(text, 0) for text in task.texts)
            answer = Failure(
                self.step, task.doc_ids, task.concept_ids, type(error).__name__, reason, tries, 0.0
            )
            self.run.failures.append(answer)
        self.answers[position] = answer
        if self.on_answer is not None:
            self.on_answer(position, answer)
        if self.run.progress is not None:
            self.run.progress.advance()

    def _warn_of_silence(self, asked: int) -> None:
        """Warn when classes that are named by the user never came up, as a misspelt one never will."""
        rows = [result for result in self.results.values() if not isinstance(result, ModelError)]
        if asked < _ENOUGH_TO_TELL or not rows or any(row.any() for row in rows):
            return
        warnings.warn(
            f"score: model {self.model.label!r} gave none of the classes in labels= to any of {asked} texts: "
            f"{', '.join(map(repr, self.model.columns[:20]))}. Are they written as the model writes them?",
            stacklevel=2,
        )


_ENOUGH_TO_TELL = 20


def _zeros(n: int) -> NDArray[np.float32]:
    import numpy as np

    return np.zeros(n, np.float32)


def _checked(task: Task[Any], model: Classifier) -> ScoreDocuments:
    if not isinstance(task, ScoreDocuments):
        raise InputError(
            f"Model {model.label!r} is a classifier: it can be score_model only, and cannot answer the step "
            f"{task.step!r}. Use a language model or 'local' there."
        )
    return task


def _labels(labels: object) -> dict[str, ClassName]:
    if isinstance(labels, Mapping):
        wrong = [
            value for value in labels.values() if isinstance(value, bool) or not isinstance(value, (str, int))
        ]
        if wrong or not all(isinstance(key, str) for key in labels):
            raise InputError(
                f"labels={labels!r}: expected concept names (or ids) and, for each, the index or the name of "
                f"a class of the model."
            )
        found = dict(labels)
    elif isinstance(labels, Sequence) and not isinstance(labels, str):
        found = {name: index for index, name in enumerate(labels) if isinstance(name, str)}
        if len(found) != len(labels):
            raise InputError(f"labels={labels!r}: expected distinct concept names, in the model's order.")
    else:
        raise InputError(
            f"labels={labels!r}: expected a mapping such as {{'Late buses': 1}}, or a list of concept names "
            f"in the order of the model's classes."
        )
    if not found:
        raise InputError("labels= is empty: it must say which class of the model stands for which concept.")
    return found


def _checked_steps(steps: object) -> tuple[float, ...]:
    if isinstance(steps, str):
        raise UnknownName(steps, ["(0.8, 0.6, 0.4, 0.2)"], what="steps")
    numbers = [finite_number(step) for step in steps] if isinstance(steps, Sequence) else []
    found = [number for number in numbers if number is not None and 0 < number <= 1]
    if len(found) != len(_SCORES) - 1 or len(numbers) != len(found) or sorted(found, reverse=True) != found:
        raise InputError(
            f"steps={steps!r} must be {len(_SCORES) - 1} falling probabilities, from which on a document "
            f"scores 1, .75, .5 and .25, such as {STEPS}."
        )
    return tuple(found)
