"""Asking a model many questions: answers or failures, in order.

The order of work for one request: reply kept from before? → budget → concurrency → rate limit → one
attempt with a time-out → parse and validate → keep the reply → answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from text_lloom.errors import BadAnswer, BudgetReached, ContextOverflow, LloomError, ModelError, StepFailed
from text_lloom.llm.fit import fit_task, halved
from text_lloom.llm.model import Completion, Model, Solver
from text_lloom.llm.request import Request, re_asked
from text_lloom.llm.retry import FATAL
from text_lloom.llm.run import Failure, Run
from text_lloom.llm.spending import check_allowed
from text_lloom.llm.usage import Attempt, Ledger
from text_lloom.tasks import Task

__all__ = ["AnyModel", "Failure", "Run", "ask_all", "complete_all"]

A = TypeVar("A")
AnyModel: TypeAlias = Model | Solver

_BREAKER = 8
_MOST_WORKERS = 1024
_SOLVE_CHUNK = 512


OnAnswer: TypeAlias = Callable[[int, A | Failure], None]


async def ask_all(
    model: AnyModel,
    tasks: Sequence[Task[A]],
    *,
    run: Run | None = None,
    on_answer: OnAnswer[A] | None = None,
) -> list[A | Failure]:
    """Ask a model many questions.

    Equal prompts are asked once. Must run on the portal's loop.

    Args:
        model: Who is asked.
        tasks: The questions.
        run: Ledger, budget and so on; a new one when not given.
        on_answer: Called with the position and the answer (or failure) as soon as there is one, so that
            what was answered is kept even if the rest is cancelled.

    Returns:
        Per task, in order, its answer or a `Failure`.

    Raises:
        PermanentError: When every further request would meet the same error (key, model, quota).
        StepFailed: When the first requests all failed and none succeeded.
        BudgetReached: When the next request would pass the budget; answers so far went to `on_answer`.
    """
    run = run or Run()
    if not tasks:
        return []
    if run.progress is not None:
        run.progress.start(tasks[0].step, len(tasks))
    try:
        if isinstance(model, Solver):
            return await _solve(model, tasks, run, on_answer)
        return await _Asking(model, tasks, run, on_answer).all()
    finally:
        if run.progress is not None:
            run.progress.finish()


async def complete_all(
    model: Model, prompts: Sequence[str], *, ledger: Ledger | None = None
) -> list[Completion | LloomError]:
    """Replies of a model to plain prompts, or the error that stood at the end; see `ask_all`."""
    run = Run(ledger=ledger or Ledger())
    workers = asyncio.Semaphore(_MOST_WORKERS)

    async def one(prompt: str) -> Completion | LloomError:
        async with workers:
            request = Request(model, "call", run, model.count_tokens(prompt), 0)
            try:
                return await request.answer(lambda _: model.complete(prompt), lambda completion: completion)
            except LloomError as error:
                return error

    return await asyncio.gather(*(one(prompt) for prompt in prompts))


async def _solve(
    model: Solver, tasks: Sequence[Task[A]], run: Run, on_answer: OnAnswer[A] | None
) -> list[A | Failure]:
    """Have a solver answer, on a worker thread and in chunks, so that it can be cancelled."""
    answers: list[Any] = []
    for at in range(0, len(tasks), _SOLVE_CHUNK):
        chunk = tasks[at : at + _SOLVE_CHUNK]
        started, began = time.time(), time.perf_counter()
        found = await asyncio.to_thread(model.solve, chunk)
        seconds = (time.perf_counter() - began) / len(chunk)
        for i, answer in enumerate(found):
            run.ledger.add(Attempt(chunk[i].step, model.name, started, seconds, 0, 0, 0.0, "answer"))
            answers.append(answer)
            if on_answer is not None:
                on_answer(at + i, answer)  # type: ignore[arg-type]
        if run.progress is not None:
            run.progress.advance(len(chunk))
    return answers


@dataclass(slots=True)
class _Question(Generic[A]):
    """Tasks with one prompt between them."""

    task: Task[A]
    prompt: str
    positions: list[int]


class _Asking(Generic[A]):
    """The questions of one `ask_all` call."""

    def __init__(
        self, model: Model, tasks: Sequence[Task[A]], run: Run, on_answer: OnAnswer[A] | None
    ) -> None:
        self.model, self.tasks, self.run, self.on_answer = model, tasks, run, on_answer
        self.answers: list[Any] = [None] * len(tasks)
        self.successes = 0
        self.failed: list[Failure] = []

    async def all(self) -> list[A | Failure]:
        check_allowed(self.model)
        queue = iter(self._questions())
        workers = min(len(self.tasks), self.model.limit.concurrency or _MOST_WORKERS)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(queue))
        except* LloomError as errors:
            raise _first(errors) from None
        return self.answers

    def _questions(self) -> list[_Question[A]]:
        """Distinct prompts, longest first: a long one that starts last keeps everyone waiting."""
        by_prompt: dict[str, _Question[A]] = {}
        for position, task in enumerate(self.tasks):
            fitted = fit_task(task, self.model)
            if fitted is not task:
                self.run.cut.setdefault(task.step, []).extend(task.doc_ids)
            prompt = fitted.prompt()
            by_prompt.setdefault(prompt, _Question(fitted, prompt, [])).positions.append(position)
        return sorted(by_prompt.values(), key=lambda question: -len(question.prompt))

    async def _work(self, queue: Iterator[_Question[A]]) -> None:
        for question in queue:
            for position, answer in zip(question.positions, await self._answer(question), strict=True):
                self.answers[position] = answer
                if self.on_answer is not None:
                    self.on_answer(position, answer)
            if self.run.progress is not None:
                self.run.progress.advance(len(question.positions))

    async def _answer(self, question: _Question[A]) -> list[A | Failure]:
        task, model = question.task, self.model
        schema = task.schema()
        expected = task.expected_tokens * task.answer_units()
        key = _request_key(model, question.prompt, schema)
        tasks = [task, *(self.tasks[i] for i in question.positions[1:])]

        def read(completion: Completion) -> list[A]:
            if completion.finish_reason == "length":
                raise BadAnswer("The answer was cut off before its end. Answer more briefly.")
            return [one.parse(completion.text) for one in tasks]

        if self.run.store is not None and (kept := self.run.store.get(key)) is not None:
            try:
                answers = read(kept)
            except BadAnswer:
                pass
            else:
                self.run.ledger.add(Attempt(task.step, model.label, time.time(), 0.0, 0, 0, 0.0, "cached"))
                return list(answers)
        request = Request(model, task.step, self.run, model.count_tokens(question.prompt), expected)
        try:
            answers = await self._ask(request, question, schema, read)
        except (*FATAL, BudgetReached):
            raise
        except ModelError as error:
            return await self._give_up(request, tasks, error)
        self.successes += 1
        if self.run.store is not None and request.reply is not None and not request.was_re_asked:
            await self.run.store.put(key, request.reply, model=model.label, step=task.step)
        return list(answers)

    async def _ask(
        self,
        request: Request,
        question: _Question[A],
        schema: Mapping[str, object],
        read: Callable[[Completion], list[A]],
    ) -> list[A]:
        prompt, task = question.prompt, question.task
        for _ in range(3):
            try:
                return await request.answer(
                    lambda problem, prompt=prompt: self.model.complete(  # type: ignore[misc]
                        prompt if problem is None else re_asked(prompt, problem), schema=schema
                    ),
                    read,
                )
            except ContextOverflow:
                shorter = halved(task)
                if shorter is None:
                    raise
                task, prompt = shorter, shorter.prompt()
                cut = self.run.cut.setdefault(task.step, [])
                cut.extend(i for i in task.doc_ids if i not in cut)
        raise ContextOverflow(f"The prompt stays too long for model {self.model.label!r}.")

    async def _give_up(
        self, request: Request, tasks: Sequence[Task[A]], error: ModelError
    ) -> list[A | Failure]:
        reason = self.model.redact(str(error))
        share = request.usd / len(tasks)
        failures = [
            Failure(t.step, t.doc_ids, t.concept_ids, type(error).__name__, reason, request.attempts, share)
            for t in tasks
        ]
        self.failed.extend(failures)
        self.run.failures.extend(failures)
        if not self.successes and len(self.failed) >= _BREAKER:
            raise StepFailed(
                f"{tasks[0].step}: the first {len(self.failed)} requests to model {self.model.label!r} all "
                f"failed, so the rest was not sent. The last one: {reason}"
            )
        return list(failures)


def _request_key(model: Model, prompt: str, schema: Mapping[str, object]) -> str:
    content = [model.provider_key, model.name, model.args, prompt, schema]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _first(errors: BaseExceptionGroup[LloomError]) -> LloomError:
    """The error to raise of several that ended a step together."""
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
