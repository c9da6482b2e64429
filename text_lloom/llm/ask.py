"""Asks a model the questions of an operator and gives answers or failures, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, cast

from text_lloom.errors import (
    BudgetReached,
    ContextOverflow,
    InputError,
    LloomError,
    ModelUnavailable,
    PromptCut,
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
    in_windows,
    split_task,
    with_feedback,
)
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import Model, Solver
from text_lloom.llm.runtime.event_loop import Cooperative
from text_lloom.tasks import Task, WindowedTask

__all__ = ["Failure", "Run", "ask_all"]

A = TypeVar("A")
OnAnswer: TypeAlias = Callable[[int, A | Failure], None]

_GIVE_UP_AFTER = 8
_SOLVE_CHUNK = 512
_CHECKED_TOKENS = 1500
"""Texts of at least so many tokens show whether a server reads whole prompts."""
_CHECKED_CHARACTERS = 2000
_SMALLEST_WINDOW = 256
"""Fewer tokens are the count of something else."""


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

    def ask(fitted: Task[A], prompt: str, task: Task[A], take: Callable[[A | Failure], None]) -> None:
        question = by_prompt.get(prompt)
        if question is None:
            question = by_prompt[prompt] = _Question(asking, fitted, prompt)
        question.add(task, take)

    for position, task in enumerate(tasks):
        await cooperative.maybe_yield()
        if template is not None:
            task = task.with_template(template)
        take = partial(asking.deliver, position)
        fitted, prompt = fit_task(task, model)
        if fitted is task or not isinstance(task, WindowedTask) or task.long_documents == "cut":
            if fitted is not task:
                asking.note_cut(task)
            ask(fitted, prompt, task, take)
            continue
        windows = in_windows(task, model) if task.long_documents == "windows" else []
        if not windows:
            take(asking.refusal(task))
            continue
        for window, part in zip(windows, _Parts(task, take).split(len(windows)), strict=True):
            ask(window.task, window.prompt, window.task, part)
    return sorted(by_prompt.values(), key=lambda question: -len(question.prompt))


class _Asking(Generic[A]):
    """What the questions of one step to one model have in common."""

    def __init__(self, model: Model, run: Run, on_answer: OnAnswer[A]) -> None:
        self.model, self.run = model, run
        self._on_answer = on_answer
        self._cut: dict[str, set[Hashable]] = {}

    def note_cut(self, task: Task[A]) -> None:
        """Record in the run that the documents of a task were cut."""
        cut = self.run.cut.setdefault(task.step, [])
        known = self._cut.setdefault(task.step, set(cut))
        cut.extend(doc_id for doc_id in task.doc_ids if doc_id not in known)
        known.update(task.doc_ids)

    def refusal(self, task: Task[A]) -> Failure:
        """The failure of a task that is not sent because it is too long."""
        n = self.model.count_tokens(task.prompt())
        return _failure(
            task,
            ContextOverflow(
                f"The prompt has about {n:,} tokens, more than the {self.model.context_window:,} that "
                f"{self.model.label!r} takes, so it was not sent. Pass long_documents='windows' to read long "
                f"documents in parts, or ask a model with a larger context window."
            ),
        )

    def deliver(self, position: int, answer: A | Failure) -> None:
        """Hand out the answer of a task, or list its failure."""
        if isinstance(answer, Failure):
            self.run.failures.append(answer)
        self._on_answer(position, answer)
        if self.run.progress is not None:
            self.run.progress.advance(1)


class _Parts(Generic[A]):
    """Collects the answers about the parts of a task; the task is answered when all of them are."""

    def __init__(self, task: WindowedTask[A], take: Callable[[A | Failure], None]) -> None:
        self._task, self._take = task, take
        self._answers: dict[tuple[int, ...], A | Failure | None] = {}
        self._left = 0

    def split(self, n: int, at: tuple[int, ...] = ()) -> list[_Part[A]]:
        """What takes the answers about `n` parts, of the whole or of the part `at`."""
        if self._answers.pop(at, self) is not self:
            self._left -= 1
        parts = [_Part(self, (*at, i)) for i in range(n)]
        self._answers |= dict.fromkeys((part.at for part in parts), None)
        self._left += n
        return parts

    def take(self, at: tuple[int, ...], answer: A | Failure) -> None:
        """Take the answer about a part."""
        self._answers[at] = answer
        self._left -= 1
        if self._left:
            return
        answers = cast("list[A | Failure]", [self._answers[part] for part in sorted(self._answers)])
        failed = [(n, a) for n, a in enumerate(answers, 1) if isinstance(a, Failure)]
        if not failed:
            self._take(self._task.merge(cast("list[A]", answers)))
            return
        n, first = failed[0]
        self._take(
            replace(
                first,
                doc_ids=self._task.doc_ids,
                reason=f"Part {n} of {len(answers)}: {first.reason}",
                attempts=sum(failure.attempts for _, failure in failed),
                usd=sum(failure.usd for _, failure in failed),
            )
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Part(Generic[A]):
    """Takes the answer about one part of a task."""

    parts: _Parts[A]
    at: tuple[int, ...]

    def __call__(self, answer: A | Failure) -> None:
        self.parts.take(self.at, answer)


class _Question(Work[list[A]]):
    """Tasks that share one prompt; the first of them, perhaps with cut texts, is sent."""

    def __init__(self, asking: _Asking[A], task: Task[A], prompt: str) -> None:
        self.prompt = prompt
        self._asking, self._task = asking, task
        self._tasks: list[Task[A]] = []
        self._takers: list[Callable[[A | Failure], None]] = []
        self._request = ModelRequest(())

    def add(self, task: Task[A], take: Callable[[A | Failure], None]) -> None:
        """Add a task with the same prompt, and what takes its answer."""
        self._tasks.append(task)
        self._takers.append(take)

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
        self._check_read(completion)
        text = usable_text(completion.replies[0], in_form=True, regex=regex, is_json=is_json)
        return [self._parse(task, text) for task in self._tasks]

    def _parse(self, task: Task[A], text: str) -> A:
        answer = (self._task if task is self._tasks[0] else task).parse(text)
        if isinstance(task, WindowedTask) and self._task.texts != task.texts:
            sent, whole = sum(map(len, self._task.texts)), sum(map(len, task.texts))
            answer = cast("A", task.as_cut(answer, sent / whole))
        return answer

    def _check_read(self, completion: Completion) -> None:
        """Refuse the answer of a server that read less than was sent, as one with a small window does.

        Only the texts count, because servers may leave out a beginning that they know from another prompt.

        Raises:
            PromptCut: When it reports less than half of the tokens.
        """
        read, texts = completion.in_tokens, "\n".join(self._task.texts)
        if read is None or completion.cached_tokens or len(texts) < _CHECKED_CHARACTERS:
            return
        sent = self._asking.model.count_tokens(texts)
        if sent >= _CHECKED_TOKENS and _SMALLEST_WINDOW <= read < sent / 2:
            raise PromptCut(
                f"The server read {read:,} of about {sent:,} tokens: its context window is smaller. Raise it "
                f"there (num_ctx in Ollama, --ctx-size or --max-model-len elsewhere), or pass "
                f"context_window={read} to the model, so that long documents are read in parts.",
                in_tokens=completion.in_tokens,
                out_tokens=completion.out_tokens,
            )

    async def keep(self, answer: list[A], run: Run) -> None:
        request = self.request
        if self.key and run.store is not None and request is not None and request.reply is not None:
            usd, label = request.account.usd or None, self._asking.model.label
            await run.store.put(self.key, request.reply, model=label, step=self._task.step, usd=usd)

    def smaller(self, error: LloomError) -> Sequence[Work[list[A]]]:
        if not isinstance(error, ContextOverflow) or isinstance(error, PromptCut):
            return ()
        if isinstance(self._task, WindowedTask) and self._task.long_documents != "cut":
            return self._in_parts(self._task) if self._task.long_documents == "windows" else ()
        shorter = halved(self._task)
        if shorter is None:
            return ()
        question = _Question(self._asking, shorter, shorter.prompt())
        question.request = self.request
        for task, take in zip(self._tasks, self._takers, strict=True):
            question.add(task, take)
            self._asking.note_cut(task)
        return (question,)

    def _in_parts(self, task: WindowedTask[A]) -> Sequence[Work[list[A]]]:
        """A question per part of the document, for a server whose window is smaller than was known."""
        questions = [_Question(self._asking, part, part.prompt()) for part in split_task(task)]
        if not questions:
            return ()
        for own, take in zip(cast("list[WindowedTask[A]]", self._tasks), self._takers, strict=True):
            n = len(questions)
            takers = take.parts.split(n, take.at) if isinstance(take, _Part) else _Parts(own, take).split(n)
            for question, smaller, taker in zip(questions, split_task(own), takers, strict=True):
                question.add(smaller, taker)
        return questions

    def deliver(self, answer: list[A], *, kept: Completion | None = None) -> None:
        for take, own in zip(self._takers, answer, strict=True):
            take(own)

    def fail(self, error: LloomError) -> None:
        request = self.request
        attempts, usd = (0, 0.0) if request is None else (request.attempts, request.account.usd)
        redacted = self._asking.model.redact(str(error))
        for task, take in zip(self._tasks, self._takers, strict=True):
            take(_failure(task, error, redacted, attempts=attempts, usd=usd / len(self._tasks)))


def _failure(
    task: Task[Any], error: LloomError, reason: str | None = None, *, attempts: int = 0, usd: float = 0.0
) -> Failure:
    kind = type(error).__name__
    return Failure(task.step, task.doc_ids, task.concept_ids, kind, reason or str(error), attempts, usd)
