"""The work of a step that asks a question about every document, for methods such as `lloom.map`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from text_lloom.errors import InputError
from text_lloom.llm.ask import Failure, ask_all
from text_lloom.llm.cache import open_journal
from text_lloom.llm.composite import Answerer, Fallbacks, is_remote, single_models
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS, StepSettings
from text_lloom.llm.model import Solver
from text_lloom.operators.estimate import estimate_questions
from text_lloom.session.spend import declined
from text_lloom.session.state import Session
from text_lloom.tasks import MapDocument, Task

__all__ = ["able_models", "plan_questions"]

A = TypeVar("A")
T = TypeVar("T")


def plan_questions(
    session: Session,
    model: Answerer,
    tasks: Sequence[Task[A]],
    *,
    what: str,
    read: Callable[[Sequence[A | Failure]], T],
    settings: StepSettings = NO_SETTINGS,
    confirm: bool | None = None,
) -> Coroutine[Any, Any, T | None]:
    """The work of a step that asks one model, once the user agrees.

    Args:
        session: The session: its budget, ledger, cache and progress.
        model: The model to ask.
        tasks: The questions, all of one type.
        what: The step in words, such as `"judging the tone"`, for the question to the user.
        read: Gets per task, in order, its answer or a `Failure`, and gives the result of the step.
        settings: Parameters, prompt and system message.
        confirm: As for `lloom.gen`.

    Returns:
        What `read` gives, `None` if the user declined.

    Raises:
        InputError: When the model cannot answer such questions.
    """
    able, step = able_models(model, type(tasks[0])), tasks[0].step
    if not session._may_spend(estimate_questions(able, tasks), what, confirm):
        return declined()
    if session._run.store is None and is_remote(able):
        session._run.store = open_journal(session._cache)

    async def work() -> T:
        session._ask_as([step], {step: settings})
        with session._timed(step):
            answers = await ask_all(able, tasks, run=session._run)
        return read(answers)

    return work()


def able_models(model: Answerer, task_type: type[Task[Any]]) -> Answerer:
    """The model, or those of several models, that can answer tasks of a type.

    Raises:
        InputError: When none of them can.
    """
    able = tuple(
        part for part in single_models(model) if not isinstance(part, Solver) or part.can_solve(task_type)
    )
    if not able:
        what = "questions of your own" if task_type is MapDocument else f"the step {task_type.step!r}"
        raise InputError(
            f"{model.label!r} cannot answer {what}; pass a language model, such as "
            f"model='openai:gpt-4o-mini'."
        )
    return Fallbacks(able) if len(able) > 1 else able[0]
