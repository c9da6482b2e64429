"""Answers questions text by text; each distinct text is classified once, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from text_lloom.errors import LloomError
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.embed import TextReader, read_texts
from text_lloom.tasks import Task

__all__ = ["BatchClassify"]

T = TypeVar("T", bound=Task[Any])
R = TypeVar("R")

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
