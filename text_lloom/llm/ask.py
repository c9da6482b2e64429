"""Asking a model many questions: answers or failures, in order.

The order of work for one request: reply kept from before? → budget → concurrency → rate limit → one
attempt with a time-out → parse and validate → keep the reply → answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

from text_lloom.errors import (
    AnswerRefused,
    BadAnswer,
    BudgetReached,
    ContextOverflow,
    InputError,
    LloomError,
    ModelError,
    ModelUnavailable,
    StepFailed,
)
from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.completion import Completion
from text_lloom.llm.composite import Answerer, Fallbacks
from text_lloom.llm.control.paid_call_guard import check_allowed
from text_lloom.llm.control.retry import FATAL, FATAL_IN_A_ROW
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.attempt import Request
from text_lloom.llm.dispatch.request_builder import (
    NO_SETTINGS,
    build_task_request,
    request_key,
    with_feedback,
)
from text_lloom.llm.dispatch.step_state import Failure, Run, StepState, first_error
from text_lloom.llm.dispatch.truncate import fit_task, halved
from text_lloom.llm.model import Model, Solver
from text_lloom.llm.runtime.event_loop import Cooperative
from text_lloom.tasks import Task
from text_lloom.tasks.base import CUT_OFF

__all__ = ["Failure", "Run", "ask_all"]

A = TypeVar("A")

_BREAKER = 8
_SOLVE_CHUNK = 512
_OF_THE_DOCUMENT = (AnswerRefused, ContextOverflow)
"""Errors that say something about one document, and nothing about the next."""


OnAnswer: TypeAlias = Callable[[int, A | Failure], None]


async def ask_all(
    model: Answerer,
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
        ModelUnavailable: When the model takes no requests for longer than one may wait.
        StepFailed: When the first requests all failed and none succeeded.
        BudgetReached: When the next request would pass the budget; answers so far went to `on_answer`.
    """
    run = run or Run()
    if not tasks:
        return []
    if isinstance(model, Fallbacks):
        return await _ask_in_turn(model.models, tasks, run, on_answer)
    return await _ask_one_model(model, tasks, run, on_answer)


async def _ask_one_model(
    model: Model | Solver,
    tasks: Sequence[Task[A]],
    run: Run,
    on_answer: OnAnswer[A] | None,
) -> list[A | Failure]:
    if run.progress is not None:
        run.progress.start(tasks[0].step, len(tasks))
    try:
        if isinstance(model, Classifier):
            return await model.answer(tasks, run=run, on_answer=on_answer)
        if isinstance(model, Solver):
            if not model.can_solve(type(tasks[0])):
                raise InputError(
                    f"{tasks[0].step}: model {model.label!r} cannot answer this; pass another one."
                )
            return await _solve(model, tasks, run, on_answer)
        template = run.settings.get(tasks[0].step, NO_SETTINGS).template
        if template is not None:
            tasks = [task.with_template(template) for task in tasks]
        return await _Asking(model, tasks, run, on_answer).all()
    finally:
        if run.progress is not None:
            run.progress.finish()


async def _ask_in_turn(
    models: Sequence[Model | Solver],
    tasks: Sequence[Task[A]],
    run: Run,
    on_answer: OnAnswer[A] | None,
) -> list[A | Failure]:
    """Ask each model what the ones before it could not answer, as far as it answers such questions."""
    kind = type(tasks[0])
    models = [model for model in models if not isinstance(model, Solver) or model.can_solve(kind)] or models
    answers: list[Any] = [None] * len(tasks)
    pending = list(range(len(tasks)))
    for model, following in zip(models, [*models[1:], None], strict=True):
        asked = [i for i in pending if following is None or _answers(model, tasks[i])]
        if not asked:
            continue

        def keep(
            i: int, answer: A | Failure, asked: list[int] = asked, is_last: bool = following is None
        ) -> None:
            answers[asked[i]] = answer
            if on_answer is not None and (is_last or not isinstance(answer, Failure)):
                on_answer(asked[i], answer)

        try:
            await _ask_one_model(model, [tasks[i] for i in asked], run, keep)
        except (*FATAL, ModelUnavailable, StepFailed) as error:
            if following is None:
                raise
            warnings.warn(f"{tasks[0].step}: going on with model {following.label!r}. {error}", stacklevel=2)
        pending = [i for i in pending if answers[i] is None or isinstance(answers[i], Failure)]
        if following is None or not pending:
            break
        run.drop(answer for i in asked if isinstance(answer := answers[i], Failure))
    return answers


def _answers(model: Model | Solver, task: Task[Any]) -> bool:
    return not isinstance(model, Solver) or model.can_answer(task)


async def _solve(
    model: Solver, tasks: Sequence[Task[A]], run: Run, on_answer: OnAnswer[A] | None
) -> list[A | Failure]:
    """Have a solver answer, on a worker thread and in chunks, so that it can be cancelled."""
    answers: list[Any] = []
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
    request: Request | None = None
    paid: list[A] | None = None
    """The answers once they are paid for, while the reply is being put away."""

    @property
    def may_end(self) -> bool:
        """Whether it must not be stopped: an attempt is out, or paid for."""
        return self.paid is not None or (self.request is not None and self.request.is_out)


class _Asking(Generic[A]):
    """The questions of one `ask_all` call.

    An error that every request would meet is believed at once when nothing was answered before. Until what
    is in flight is back, it is a doubt: a firewall may dislike one document, and those that are asked first,
    the longest, may all be too long. So nothing more is sent, and then the shortest question is asked.
    """

    def __init__(
        self,
        model: Model,
        tasks: Sequence[Task[A]],
        run: Run,
        on_answer: OnAnswer[A] | None,
    ) -> None:
        self.model, self.tasks, self.run, self.on_answer = model, tasks, run, on_answer
        self.answers: list[Any] = [None] * len(tasks)
        self.course = StepState()
        self.asked_as = (tasks[0].step, model), run.settings.get(tasks[0].step, NO_SETTINGS)
        self.successes = 0
        self.failures = 0
        self.suspicions = 0
        self.ended: LloomError | None = None
        self.doubt: LloomError | None = None
        self.refused: list[tuple[_Question[A], ModelError]] = []
        self.open: dict[asyncio.Task[None], _Question[A]] = {}
        self.is_clear = asyncio.Event()
        self.cut: dict[str, set[Hashable]] = {}

    async def all(self) -> list[A | Failure]:
        check_allowed(self.model)
        # Set up before the first start is granted: imports and weights take their time.
        if self.model.loads_on_thread:
            await asyncio.to_thread(getattr, self.model, "client")
        else:
            _ = self.model.client
        try:
            async with asyncio.TaskGroup() as group:
                await self._ask_each(group, deque(await self._questions()))
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        if self.ended is None:
            self.ended = self.doubt
        if self.ended is not None:
            raise self.ended from None
        self._believe()
        return self.answers

    async def _ask_each(self, group: asyncio.TaskGroup, questions: deque[_Question[A]]) -> None:
        """Begin one question after the other, until none is left or the step has ended."""
        is_last_try = False
        while questions and self.ended is None:
            if self.doubt is not None:
                await self._until_clear()
                if self.doubt is not None and is_last_try:
                    return
                is_last_try = self.doubt is not None
                if self.ended is not None:
                    return
            question = questions.pop() if is_last_try else questions.popleft()
            begun = asyncio.Event()
            group.create_task(self._work(question, begun))
            # One at a time up to its start: it is on its way before the next one is granted a
            # start, so that a burst does not wait in this process while its window goes by.
            await begun.wait()

    async def _until_clear(self) -> None:
        """Wait until something is answered, or nothing is in flight."""
        self.is_clear.clear()
        if self.open:
            await self.is_clear.wait()

    async def _questions(self) -> list[_Question[A]]:
        """Distinct prompts, longest first: a long one that starts last keeps everyone waiting.

        Those of tens of thousands of documents take seconds, in which other steps have their turns, too.
        """
        by_prompt: dict[str, _Question[A]] = {}
        turns = Cooperative()
        for position, task in enumerate(self.tasks):
            await turns.maybe_yield()
            fitted, prompt = fit_task(task, self.model)
            if fitted is not task:
                self._note_cut([task])
            by_prompt.setdefault(prompt, _Question(fitted, prompt, [])).positions.append(position)
        return sorted(by_prompt.values(), key=lambda question: -len(question.prompt))

    async def _work(self, question: _Question[A], begun: asyncio.Event) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.open[task] = question
        try:
            answers = await self._answer(question, begun)
        except BudgetReached as error:  # what is in flight is being paid for, so it may end
            self.ended = self.ended or error
            return
        except (ModelUnavailable, StepFailed) as error:
            self._stop(error)
            return
        except FATAL as error:
            self._doubt(question, error)
            return
        except asyncio.CancelledError:
            if question.paid is not None:
                self._deliver(question, question.paid)
            raise
        finally:
            begun.set()
            del self.open[task]
            if not self.open:
                self.is_clear.set()
        self._deliver(question, answers)

    def _stop(self, error: LloomError) -> None:
        """Send nothing more; what is in flight is being paid for, so it may end."""
        if self.course.ended is not None:
            return
        self.ended = self.course.ended = error
        for task, question in self.open.items():
            if not question.may_end:
                task.cancel()

    def _doubt(self, question: _Question[A], error: ModelError) -> None:
        """Note an error that every further request may meet."""
        if self.ended is not None:
            return
        self.refused.append((question, error))
        if not self.course.answered:
            self.doubt = self.doubt or error
        elif len(self.refused) >= FATAL_IN_A_ROW:
            self._stop(error)

    def _believe(self) -> None:
        """The model does answer, so what was refused so far was refused for its own sake."""
        if self.doubt is not None:
            self.doubt = None
            self.is_clear.set()
        if self.refused and self.ended is None:
            refused, self.refused = self.refused, []
            for question, error in refused:
                self._deliver(question, self._give_up(question, error))

    def _deliver(self, question: _Question[A], answers: Sequence[A | Failure]) -> None:
        for position, answer in zip(question.positions, answers, strict=True):
            self.answers[position] = answer
            if self.on_answer is not None:
                self.on_answer(position, answer)
        if self.run.progress is not None:
            self.run.progress.advance(len(question.positions))

    async def _answer(self, question: _Question[A], begun: asyncio.Event) -> list[A | Failure]:
        """The answer to each of the question's tasks; sets `begun` when the first attempt starts."""
        tasks = [self.tasks[position] for position in question.positions]
        asked: Task[A] | None = question.task
        request = question.request = Request(
            self.model,
            question.task.step,
            self.run,
            count=lambda: 0,
            out_tokens=0,
            begun=begun,
            course=self.course,
        )
        overflow: ContextOverflow | None = None
        try:
            while asked is not None:
                try:
                    answers = await self._ask(request, question, asked, tasks)
                except ContextOverflow as error:
                    overflow, asked = error, halved(asked)
                    if asked is not None:
                        self._note_cut(tasks)
                else:
                    self.successes += 1
                    self.run.proven.update([self.asked_as])
                    if self.course.answered:
                        self._believe()
                    return list(answers)
            raise overflow or ContextOverflow(f"The prompt is too long for model {self.model.label!r}.")
        except FATAL:
            raise
        except ModelError as error:
            return self._give_up(question, error)

    async def _ask(
        self, request: Request, question: _Question[A], asked: Task[A], tasks: Sequence[Task[A]]
    ) -> list[A]:
        """Ask one prompt for all tasks that share it, unless a reply to it is kept.

        Args:
            request: Counts the attempts.
            question: Gets the answers as soon as they are paid for.
            asked: The first of the tasks, its texts perhaps cut.
            tasks: All of them, uncut.
        """
        model = self.model
        store = self.run.store if model.keeps_replies else None
        settings = self.run.settings.get(asked.step, NO_SETTINGS)
        posed = build_task_request(
            model, asked, settings, prompt=question.prompt if asked is question.task else None
        )
        key = request_key(model, posed) if store is not None else ""

        def read(completion: Completion) -> list[A]:
            if completion.finish_reason == "length":
                raise BadAnswer(CUT_OFF)
            return [task.parse(completion.text) for task in (asked, *tasks[1:])]

        request.account.expect(
            lambda: model.count_tokens(posed.text),
            asked.expected_tokens * asked.answer_units(),
            posed.most_tokens,
        )

        async def pay() -> list[A]:
            return await request.answer(
                lambda problem: model.reply_to(posed if problem is None else with_feedback(posed, problem)),
                read,
                ready=(lambda: model.ready_for(posed)) if model.sends_ahead else None,
            )

        if store is None:
            return await pay()
        on_wait = None if request.begun is None else request.begun.set
        async with store.flight(key, on_wait=on_wait) as kept:
            if kept is not None:
                with contextlib.suppress(BadAnswer):
                    answers = read(kept)
                    self.run.ledger.add(
                        Attempt(asked.step, model.label, time.time(), 0.0, 0, 0, 0.0, "cached")
                    )
                    return answers
            answers = question.paid = await pay()
            if request.reply is not None:
                await store.put(
                    key, request.reply, model=model.label, step=asked.step, usd=request.account.usd or None
                )
        return answers

    def _give_up(self, question: _Question[A], error: ModelError) -> list[A | Failure]:
        """The failures of a question; has doubts when the model seems unable to answer any."""
        tasks, request = [self.tasks[position] for position in question.positions], question.request
        attempts, usd = (0, 0.0) if request is None else (request.attempts, request.account.usd)
        reason, share = self.model.redact(str(error)), usd / len(tasks)
        failures = [
            Failure(t.step, t.doc_ids, t.concept_ids, type(error).__name__, reason, attempts, share)
            for t in tasks
        ]
        self.run.failures.extend(failures)
        self.failures += 1
        self.suspicions += not self._is_of_the_document(error)
        if not self.successes and self.suspicions >= _BREAKER and self.doubt is None:
            self.doubt = StepFailed(
                f"{tasks[0].step}: the first {self.failures} requests to model {self.model.label!r} all "
                f"failed, so the rest was not sent. The last one: {reason}"
            )
        return list(failures)

    def _is_of_the_document(self, error: ModelError) -> bool:
        """Whether an error says nothing about the next document.

        An answer that cannot be used does not, either, when the model has answered such questions before:
        what is asked again by itself are the documents on which it failed.
        """
        how, settings = self.asked_as
        if isinstance(error, BadAnswer):
            return self.run.proven.get(how) == settings
        return isinstance(error, _OF_THE_DOCUMENT)

    def _note_cut(self, tasks: Sequence[Task[A]]) -> None:
        """Have the run say that the documents of these tasks were cut."""
        for task in tasks:
            cut = self.run.cut.setdefault(task.step, [])
            known = self.cut.setdefault(task.step, set(cut))
            cut.extend(doc_id for doc_id in task.doc_ids if doc_id not in known)
            known.update(task.doc_ids)
