"""Questions answered text by text: each distinct text is sent once, in batches, whoever asks about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from text_lloom.errors import ModelError, PermanentError, StepFailed
from text_lloom.llm.control.retry import FATAL
from text_lloom.llm.dispatch.step_state import Failure, Run, first_error
from text_lloom.llm.dispatch.truncate import cut_texts
from text_lloom.llm.embed import in_batches
from text_lloom.llm.model import EmbedModel
from text_lloom.tasks import Task

__all__ = ["BatchClassify", "TextReader"]

T = TypeVar("T", bound=Task[Any])
Asked = TypeVar("Asked", bound=Task[Any], contravariant=True)
R = TypeVar("R")

_BREAKER = 3
"""Batches that may fail before any has succeeded; then the rest is not sent."""


class TextReader(Protocol[Asked, R]):
    """Reads texts in batches, and makes answers to questions of what it found in them."""

    @property
    def service(self) -> EmbedModel:
        """Whose batch size, limits and key count."""

    def blank(self) -> R:
        """What is found in a blank text, which is never sent."""

    async def kept(self, texts: Sequence[str], run: Run) -> Mapping[str, R]:
        """What was found before."""

    async def read(
        self, batch: list[str], run: Run, step: str, on_attempt: Callable[[], object]
    ) -> Sequence[R]:
        """What is found in each text of a batch, with limits and retries."""

    def answer(self, task: Asked, found: Sequence[R]) -> object:
        """The answer to a question, from what was found in each of its texts."""


class BatchClassify(Generic[T, R]):
    """The questions of one call.

    A batch that the service refuses is halved until it is known which text is at fault; questions about
    that text fail, the others are answered.

    Args:
        reader: Reads the texts.
        tasks: The questions, all of one step.
        run: Ledger, budget and so on.
        on_answer: Called with the position and the answer as soon as there is one.

    Attributes:
        results: What was found in each text, or why nothing was.
        sent: How many distinct texts were sent.
    """

    def __init__(
        self,
        reader: TextReader[T, R],
        tasks: Sequence[T],
        run: Run,
        on_answer: Callable[[int, Any], None] | None,
    ) -> None:
        self.reader, self.tasks, self.run, self.on_answer = reader, tasks, run, on_answer
        self.results: dict[str, R | ModelError] = {}
        self.sent = 0
        self._step = tasks[0].step
        self._answers: list[Any] = [None] * len(tasks)
        self._waiting = [len(set(task.texts)) for task in tasks]
        self._tasks_of: dict[str, list[int]] = {}
        self._texts_of: dict[str, list[str]] = {}
        """By what is sent, the texts that it was cut from."""
        self._attempts: dict[str, int] = {}
        self._successes = self._failures = 0

    async def all(self) -> list[Any]:
        """The answers in order, a `Failure` for each question that has none.

        Raises:
            PermanentError: When every further request would meet the same error.
            StepFailed: When the first requests all failed.
        """
        for position, task in enumerate(self.tasks):
            for text in dict.fromkeys(task.texts):
                self._tasks_of.setdefault(text, []).append(position)
        service = self.reader.service
        texts = [text for text in self._tasks_of if text.strip()]
        self._settle({text: self.reader.blank() for text in self._tasks_of if not text.strip()})
        cut = await asyncio.to_thread(cut_texts, service, texts, self._step)
        for text, shorter in zip(texts, cut, strict=True):
            self._texts_of.setdefault(shorter, []).append(text)
        kept = await self.reader.kept(list(self._texts_of), self.run)
        for shorter, found in kept.items():
            self._settle(dict.fromkeys(self._texts_of[shorter], found))
        missing = [text for text in self._texts_of if text not in kept]
        self.sent = len(missing)
        try:
            async with asyncio.TaskGroup() as group:
                for batch in in_batches(missing, service):
                    group.create_task(self._read(batch))
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        return self._answers

    async def _read(self, batch: list[str]) -> None:
        try:
            found = await self.reader.read(batch, self.run, self._step, lambda: self._count(batch))
        except FATAL:
            raise
        except ModelError as error:
            if isinstance(error, PermanentError) and len(batch) > 1:
                middle = len(batch) // 2
                await self._read(batch[:middle])
                await self._read(batch[middle:])
                return
            self._give_up(error)
            self._settle({text: error for shorter in batch for text in self._texts_of[shorter]})
            return
        self._successes += 1
        for shorter, result in zip(batch, found, strict=True):
            self._settle(dict.fromkeys(self._texts_of[shorter], result))

    def _count(self, batch: Sequence[str]) -> None:
        """Note that these texts are sent once more."""
        for shorter in batch:
            for text in self._texts_of[shorter]:
                self._attempts[text] = self._attempts.get(text, 0) + 1

    def _give_up(self, error: ModelError) -> None:
        """Note that a request failed for good; ends the step when none seems to be answered."""
        self._failures += 1
        if not self._successes and self._failures >= _BREAKER:
            raise StepFailed(
                f"{self._step}: the first {self._failures} requests to model {self.reader.service.label!r} "
                f"all failed, so the rest was not sent. The last one: {error}"
            ) from error

    def _settle(self, results: Mapping[str, R | ModelError]) -> None:
        """Put the results of texts away, and deliver the questions that waited for nothing else."""
        self.results.update(results)
        for text in results:
            for position in self._tasks_of[text]:
                self._waiting[position] -= 1
                if not self._waiting[position]:
                    self._deliver(position)

    def _deliver(self, position: int) -> None:
        task = self.tasks[position]
        found = [self.results[text] for text in task.texts]
        error = next((result for result in found if isinstance(result, ModelError)), None)
        if error is None:
            answer = self.reader.answer(task, [part for part in found if not isinstance(part, ModelError)])
        else:
            answer = self._failure(task, error)
            self.run.failures.append(answer)
        self._answers[position] = answer
        if self.on_answer is not None:
            self.on_answer(position, answer)
        if self.run.progress is not None:
            self.run.progress.advance()

    def _failure(self, task: T, error: ModelError) -> Failure:
        reason = self.reader.service.redact(str(error))
        tries = max(self._attempts.get(text, 0) for text in task.texts)
        return Failure(self._step, task.doc_ids, task.concept_ids, type(error).__name__, reason, tries, 0.0)
