"""Asks a model the questions of an operator and gives answers or failures, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from text_lloom.errors import (
    BudgetReached,
    ContextOverflow,
    InputError,
    LloomError,
    ModelUnavailable,
    StepFailed,
)
from text_lloom.llm.cache.keys import request_key
from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.completion import Completion, usable_text
from text_lloom.llm.composite import Answerer, Fallbacks
from text_lloom.llm.control.retry import FATAL
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.dispatcher import Dispatcher, Work, ask_in_turn
from text_lloom.llm.dispatch.request_builder import (
    NO_SETTINGS,
    build_task_request,
    fit_task,
    halved,
    with_feedback,
)
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import Model, Solver
from text_lloom.llm.runtime.event_loop import Cooperative
from text_lloom.tasks import Task

__all__ = ["Failure", "Run", "ask_all"]

A = TypeVar("A")
OnAnswer: TypeAlias = Callable[[int, A | Failure], None]

_GIVE_UP_AFTER = 8
_SOLVE_CHUNK = 512


async def ask_all(
    model: Answerer,
    tasks: Sequence[Task[A]],
    *,
    run: Run | None = None,
    on_answer: OnAnswer[A] | None = None,
) -> list[A | Failure]:
    """Ask a model many questions.

    Equal prompts are asked once. Must run on the event-loop thread.

    Args:
        model: The model to ask.
        tasks: The questions.
        run: Ledger, budget and so on; a new one if not given.
        on_answer: Called with the position and the answer (or failure) as soon as there is one, so that
            answers are kept even if the rest is cancelled.

    Returns:
        Per task, in order, its answer or a `Failure`.

    Raises:
        PermanentError: When every further request would fail with the same error (key, model, quota).
        ModelUnavailable: When the model refuses requests for longer than the retry policy waits.
        StepFailed: When the first requests all failed and none succeeded.
        BudgetReached: When the next request would exceed the budget; earlier answers went to `on_answer`.
    """
    run = run or Run()
    answers: list[Any] = [None] * len(tasks)
    if not tasks:
        return answers

    def take(i: int, answer: A | Failure) -> None:
        answers[i] = answer
        if on_answer is not None:
            on_answer(i, answer)

    if isinstance(model, Fallbacks):
        ended = await _ask_models(model.models, tasks, run, answers, take)
    else:
        ended = await _ask_one_model(model, tasks, run, take)
    if ended is not None:
        raise ended
    return answers


async def _ask_models(
    models: Sequence[Model | Solver],
    tasks: Sequence[Task[A]],
    run: Run,
    answers: list[Any],
    take: OnAnswer[A],
) -> LloomError | None:
    """Ask each model the questions that earlier models could not answer, if it can answer such questions."""
    kind = type(tasks[0])

    async def ask(model: Model | Solver, pending: list[int], is_last: bool) -> LloomError | None:
        asked = [i for i in pending if is_last or not isinstance(model, Solver) or model.can_answer(tasks[i])]

        def keep(i: int, answer: A | Failure) -> None:
            if is_last or not isinstance(answer, Failure):
                take(asked[i], answer)
            else:
                answers[asked[i]] = answer

        try:
            ended = await _ask_one_model(model, [tasks[i] for i in asked], run, keep) if asked else None
        except (*FATAL, ModelUnavailable, StepFailed) as error:  # a solver raises its errors
            ended = error
        if not is_last and not isinstance(ended, BudgetReached):  # the next model may still answer them
            run.drop(answer for i in asked if isinstance(answer := answers[i], Failure))
        return ended

    return await ask_in_turn(
        [model for model in models if not isinstance(model, Solver) or model.can_solve(kind)] or models,
        len(tasks),
        ask,
        is_open=lambda i: answers[i] is None or isinstance(answers[i], Failure),
        step=tasks[0].step,
        label=lambda model: model.label,
    )


async def _ask_one_model(
    model: Model | Solver, tasks: Sequence[Task[A]], run: Run, on_answer: OnAnswer[A]
) -> LloomError | None:
    """Ask one model; returns why it ended early, if it did."""
    step = tasks[0].step
    if run.progress is not None:
        run.progress.start(step, len(tasks))
    try:
        if isinstance(model, Model):
            dispatcher = Dispatcher(model, step, run, give_up_after=_GIVE_UP_AFTER)
            return await dispatcher.do(await _questions(model, tasks, run, on_answer))
        if isinstance(model, Classifier):
            return await model.classify(tasks, run=run, on_answer=on_answer)
        if not model.can_solve(type(tasks[0])):
            raise InputError(f"{step}: model {model.label!r} cannot do this step. Pass another model.")
        await _solve(model, tasks, run, on_answer)
        return None
    finally:
        if run.progress is not None:
            run.progress.finish()


async def _solve(model: Solver, tasks: Sequence[Task[A]], run: Run, on_answer: OnAnswer[A]) -> None:
    """Run a solver on a worker thread, in chunks, so that it can be cancelled."""
    for at in range(0, len(tasks), _SOLVE_CHUNK):
        chunk = tasks[at : at + _SOLVE_CHUNK]
        started, began = time.time(), time.perf_counter()
        found = await asyncio.to_thread(model.solve, chunk)
        if len(found) != len(chunk):
            raise StepFailed(
                f"{chunk[0].step}: {model.label!r} gave {len(found)} answers to {len(chunk)} questions."
            )
        seconds = (time.perf_counter() - began) / len(chunk)
        for i, answer in enumerate(found):
            run.ledger.add(Attempt(chunk[i].step, model.name, started, seconds, 0, 0, 0.0, "answer"))
            on_answer(at + i, answer)  # type: ignore[arg-type]
        if run.progress is not None:
            run.progress.advance(len(chunk))


async def _questions(
    model: Model, tasks: Sequence[Task[A]], run: Run, on_answer: OnAnswer[A]
) -> list[_Question[A]]:
    """Distinct prompts, longest first, because a long one that starts last delays the end of the step.

    Tens of thousands of prompts take seconds, so it yields to other steps now and then.
    """
    template = run.settings.get(tasks[0].step, NO_SETTINGS).template
    asking: _Asking[A] = _Asking(model, run, on_answer)
    by_prompt: dict[str, _Question[A]] = {}
    cooperative = Cooperative()
    for position, task in enumerate(tasks):
        await cooperative.maybe_yield()
        if template is not None:
            task = task.with_template(template)
        fitted, prompt = fit_task(task, model)
        if fitted is not task:
            asking.note_cut(task)
        question = by_prompt.get(prompt)
        if question is None:
            question = by_prompt[prompt] = _Question(asking, fitted, prompt)
        question.add(position, task)
    return sorted(by_prompt.values(), key=lambda question: -len(question.prompt))


class _Asking(Generic[A]):
    """What the questions of one step to one model have in common."""

    def __init__(self, model: Model, run: Run, on_answer: OnAnswer[A]) -> None:
        self.model, self.run, self.on_answer = model, run, on_answer
        self._cut: dict[str, set[Hashable]] = {}

    def note_cut(self, task: Task[A]) -> None:
        """Record in the run that the documents of a task were cut."""
        cut = self.run.cut.setdefault(task.step, [])
        known = self._cut.setdefault(task.step, set(cut))
        cut.extend(doc_id for doc_id in task.doc_ids if doc_id not in known)
        known.update(task.doc_ids)


class _Question(Work[list[A]]):
    """Tasks that share one prompt; the first of them, perhaps with cut texts, is sent."""

    def __init__(self, asking: _Asking[A], task: Task[A], prompt: str) -> None:
        self.prompt = prompt
        self._asking, self._task = asking, task
        self._tasks: list[Task[A]] = []
        self._positions: list[int] = []
        self._request = ModelRequest(())

    def add(self, position: int, task: Task[A]) -> None:
        """Add a task with the same prompt."""
        self._positions.append(position)
        self._tasks.append(task)

    def build(self) -> None:
        asking, task = self._asking, self._task
        settings = asking.run.settings.get(task.step, NO_SETTINGS)
        self._request = build_task_request(asking.model, task, settings, prompt=self.prompt)
        if asking.model.keeps_replies and asking.run.store is not None:
            self.key = request_key(asking.model, self._request)
        self.out_tokens = task.expected_tokens * task.answer_units()
        self.most_tokens = self._request.most_tokens

    def count_tokens(self) -> int:
        return self._asking.model.count_tokens(self._request.text)

    def ready(self) -> Awaitable[None] | None:
        return self._asking.model.ready_for(self._request)

    def send(self, problem: tuple[str, str] | None) -> Awaitable[Completion]:
        request = self._request
        return self._asking.model.reply_to(request if problem is None else with_feedback(request, problem))

    def read(self, completion: Completion) -> list[A]:
        regex, is_json = self._task.regex, self._request.schema is not None
        text = usable_text(completion.replies[0], in_form=True, regex=regex, is_json=is_json)
        return [task.parse(text) for task in (self._task, *self._tasks[1:])]

    async def keep(self, answer: list[A], run: Run) -> None:
        request = self.request
        if self.key and run.store is not None and request is not None and request.reply is not None:
            usd, label = request.account.usd or None, self._asking.model.label
            await run.store.put(self.key, request.reply, model=label, step=self._task.step, usd=usd)

    def smaller(self, error: LloomError) -> Sequence[Work[list[A]]]:
        shorter = halved(self._task) if isinstance(error, ContextOverflow) else None
        if shorter is None:
            return ()
        question = _Question(self._asking, shorter, shorter.prompt())
        question.request = self.request
        for position, task in zip(self._positions, self._tasks, strict=True):
            question.add(position, task)
            self._asking.note_cut(task)
        return (question,)

    def deliver(self, answer: list[A], *, kept: Completion | None = None) -> None:
        self._hand_out(answer)

    def fail(self, error: LloomError) -> None:
        request, asking = self.request, self._asking
        attempts, usd = (0, 0.0) if request is None else (request.attempts, request.account.usd)
        reason, share = asking.model.redact(str(error)), usd / len(self._tasks)
        failures = [
            Failure(t.step, t.doc_ids, t.concept_ids, type(error).__name__, reason, attempts, share)
            for t in self._tasks
        ]
        asking.run.failures.extend(failures)
        self._hand_out(failures)

    def _hand_out(self, answers: Sequence[A | Failure]) -> None:
        for position, answer in zip(self._positions, answers, strict=True):
            self._asking.on_answer(position, answer)
        if self._asking.run.progress is not None:
            self._asking.run.progress.advance(len(self._positions))
