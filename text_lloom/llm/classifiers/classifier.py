"""Text classifiers as score models: the probability of a class becomes the score of a concept."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from text_lloom.concept import Concept
from text_lloom.errors import InputError, LloomError, StepFailed, UnknownName
from text_lloom.llm.classifiers.outputs import ClassName
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.embed import TextReader, VectorReader, read_texts
from text_lloom.llm.model import EmbedModel, Solver
from text_lloom.llm.options import finite_number
from text_lloom.llm.runtime.event_loop import run_sync
from text_lloom.scores import ANSWER_SCORES, Judgement
from text_lloom.tasks import Scored, ScoreDocuments, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["STEPS", "BatchClassify", "Classifier", "Labels"]

T = TypeVar("T", bound=Task[Any])
R = TypeVar("R")

Labels: TypeAlias = Mapping[str, ClassName] | Sequence[str]
OnAnswer: TypeAlias = Callable[[int, Any], None]

STEPS: Final[tuple[float, ...]] = (0.8, 0.6, 0.4, 0.2)
"""The lowest probabilities for the scores 1, .75, .5 and .25 (the answers A to D)."""

_SCORES = tuple(ANSWER_SCORES.values())
_ENOUGH_TO_TELL = 20
_GIVE_UP_AFTER = 3
"""This many failed batches before the first success end the step."""


class BatchClassify(Generic[T, R]):
    """The questions of one call; a question fails if one of its texts fails.

    Args:
        reader: Gets a result for each text.
        tasks: The questions, all of one step.
        answer: Gives the answer to a question, from the results of its texts.
        blank: The result of a blank text, which is never sent.
        run: Ledger, budget and so on.
        on_answer: Called with the position and the answer (or failure) as soon as there is one.

    Attributes:
        results: The result of each text, or its error.
        sent: How many texts were sent.
    """

    def __init__(
        self,
        reader: TextReader[R],
        tasks: Sequence[T],
        answer: Callable[[T, Sequence[R]], object],
        *,
        blank: R,
        run: Run,
        on_answer: Callable[[int, Any], None],
    ) -> None:
        self.results: dict[str, R | LloomError] = {}
        self.sent = 0
        self._reader, self._tasks, self._run, self._on_answer = reader, tasks, run, on_answer
        self._answer, self._blank = answer, blank
        self._attempts: dict[str, int] = {}
        self._missing = [len(set(task.texts)) for task in tasks]
        self._positions: dict[str, list[int]] = {}

    async def all(self) -> LloomError | None:
        """Answer all questions; returns why the step ended early, if it did."""
        for position, task in enumerate(self._tasks):
            for text in dict.fromkeys(task.texts):
                self._positions.setdefault(text, []).append(position)
        self._found([text for text in self._positions if not text.strip()], self._blank, 0)
        return await read_texts(
            self._reader,
            [text for text in self._positions if text.strip()],
            self._found,
            run=self._run,
            step=self._tasks[0].step,
            give_up_after=_GIVE_UP_AFTER,
        )

    def _found(self, texts: Sequence[str], result: R | LloomError, attempts: int) -> None:
        """Take the result of some texts, and deliver the questions that are complete now."""
        self.sent += attempts > 0
        for text in texts:
            self.results[text], self._attempts[text] = result, attempts
            for position in self._positions[text]:
                self._missing[position] -= 1
                if not self._missing[position]:
                    self._deliver(position)

    def _deliver(self, position: int) -> None:
        task = self._tasks[position]
        found: list[R] = []
        answer: object = None
        for text in task.texts:
            result = self.results[text]
            if isinstance(result, LloomError):
                answer = self._failure(task, result)
                self._run.failures.append(answer)
                break
            found.append(result)
        else:
            answer = self._answer(task, found)
        self._on_answer(position, answer)
        if self._run.progress is not None:
            self._run.progress.advance()

    def _failure(self, task: T, error: LloomError) -> Failure:
        reason = self._reader.model.redact(str(error))
        tries = max(self._attempts[text] for text in task.texts)
        return Failure(task.step, task.doc_ids, task.concept_ids, type(error).__name__, reason, tries, 0.0)


class Classifier(Solver):
    """Base of the models that answer `ScoreDocuments` by a classifier, and no other task.

    Distinct texts are classified once, in batches, with the limits, retries, cache and ledger rows of any
    other model. A batch that the server refuses is halved until the text at fault is found.

    Args:
        name: Name of the model.
        labels: Which class of the model stands for which concept: concept name or id → the index of the
            class or its name; or a list of concept names in the order of the model's classes. `None` for
            a model that is not used for scoring.
        steps: The lowest probabilities for the scores 1, .75, .5 and .25; decreasing, at most 1.

    Raises:
        InputError: When labels or steps cannot be used.
    """

    keeps_results = True

    def __init__(self, name: str, *, labels: Labels | None, steps: Sequence[float] = STEPS) -> None:
        self.name = name
        self.labels = {} if labels is None else _labels(labels)
        self.steps = _checked_steps(steps)
        self.columns: tuple[ClassName, ...] = tuple(dict.fromkeys(self.labels.values()))

    @property
    @abstractmethod
    def probabilities(self) -> EmbedModel:
        """The model that gives, for each text, the probabilities of the classes in `columns`."""

    def can_solve(self, task_type: type[Task[Any]]) -> bool:
        return issubclass(task_type, ScoreDocuments)

    def can_answer(self, task: Task[Any]) -> bool:
        if not self.can_solve(type(task)):
            return False
        concepts = task.concepts if isinstance(task, ScoreDocuments) else ()
        return all(concept.id in self.labels or concept.name in self.labels for concept in concepts)

    def solve(self, tasks: Sequence[Task[Any]]) -> list[object]:
        """One answer per task, outside any session; raises the error of the first task that failed."""
        answers: list[object] = [None] * len(tasks)
        ended = run_sync(self.classify(tasks, run=Run(), on_answer=answers.__setitem__)) if tasks else None
        if ended is not None:
            raise ended
        failed = next((answer for answer in answers if isinstance(answer, Failure)), None)
        if failed is not None:
            raise StepFailed(f"score: {failed.reason}")
        return answers

    def class_of(self, concept: Concept) -> ClassName:
        """The class that stands for a concept.

        Raises:
            InputError: When `labels` does not name one.
        """
        for known in (concept.id, concept.name):
            if known in self.labels:
                return self.labels[known]
        if not self.labels:
            raise InputError(
                f"Model {self.label!r} cannot score: say which of its classes stands for which concept, with "
                f"labels={{{concept.name!r}: …}}."
            )
        raise InputError(
            f"Model {self.label!r} has no class for the concept {concept.name!r} (id {concept.id!r}). Give "
            f"one in labels={{{concept.name!r}: …}}; it has classes for "
            f"{', '.join(map(repr, self.labels))}."
        )

    def check_concepts(self, concepts: Sequence[Concept]) -> None:
        """Refuse concepts without a class, before anything is sent.

        Raises:
            InputError: Names the concept and those that have a class.
        """
        for concept in concepts:
            self.class_of(concept)

    def score(self, probability: float) -> float:
        """The score that a probability stands for: 1, .75, .5, .25 or 0."""
        passed = sum(probability < step for step in self.steps)
        return _SCORES[passed]

    async def classify(
        self, tasks: Sequence[Task[Any]], *, run: Run, on_answer: OnAnswer
    ) -> LloomError | None:
        """Answer tasks.

        Args:
            tasks: The questions; all must be `ScoreDocuments`.
            run: Ledger, budget, cache and so on.
            on_answer: Called with the position and the answer, or the `Failure`, as soon as there is one.

        Returns:
            Why the step ended early: every further request would fail with the same error, or the first
            batches all failed.

        Raises:
            InputError: When a task is of another kind, or a concept has no class.
        """
        import numpy as np

        asked = [_checked(task, self) for task in tasks]
        for concept in {concept.id: concept for task in asked for concept in task.concepts}.values():
            self.class_of(concept)
        blank = np.zeros(len(self.columns), np.float32)
        questions = BatchClassify(
            VectorReader(self.probabilities), asked, self._scored, blank=blank, run=run, on_answer=on_answer
        )
        ended = await questions.all()
        _warn_of_silence(self, list(questions.results.values()), sent=questions.sent)
        return ended

    def _scored(self, task: ScoreDocuments, found: Sequence[NDArray[np.float32]]) -> list[Scored]:
        return [
            Scored(document.id, concept.id, self.judge(concept, row))
            for document, row in zip(task.documents, found, strict=True)
            for concept in task.concepts
        ]

    def judge(self, concept: Concept, row: NDArray[np.float32]) -> Judgement:
        """The judgement on a concept, from the probabilities of a text."""
        named = self.class_of(concept)
        probability = float(row[self.columns.index(named)])
        return Judgement(self.score(probability), f"p = {probability:.3g} for class {named!r}")


def _warn_of_silence(model: Classifier, rows: Sequence[object], *, sent: int) -> None:
    """Warn if the classes in `labels` never occurred; they may be misspelt."""
    import numpy as np

    found = [row for row in rows if isinstance(row, np.ndarray)]
    if sent < _ENOUGH_TO_TELL or not found or any(row.any() for row in found):
        return
    warnings.warn(
        f"score: model {model.label!r} gave none of the classes in labels= to any of {sent} texts: "
        f"{', '.join(map(repr, model.columns[:20]))}. Check that they are spelt as the model spells them.",
        stacklevel=2,
    )


def _checked(task: Task[Any], model: Classifier) -> ScoreDocuments:
    if not isinstance(task, ScoreDocuments):
        raise InputError(
            f"Model {model.label!r} is a classifier: it can only be the score_model, and cannot do the step "
            f"{task.step!r}. Use a language model or 'local' for that step."
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
            f"steps={steps!r} must be {len(_SCORES) - 1} falling probabilities, the lowest for the scores "
            f"1, .75, .5 and .25, such as {STEPS}."
        )
    return tuple(found)
