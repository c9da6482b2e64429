"""Cutting documents, never instructions, so that a prompt fits a context window."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from text_lloom.llm.model import Model
from text_lloom.llm.tokens import is_exact
from text_lloom.tasks import Task

__all__ = ["Fitted", "fit_task", "halved"]

A = TypeVar("A")

_ESTIMATE_SAFETY = 1.25
_ANSWER_SAFETY = 1.5
_SMALLEST = 200


class Fitted(NamedTuple, Generic[A]):
    """A task that fits, and its prompt."""

    task: Task[A]
    prompt: str


def fit_task(task: Task[A], model: Model) -> Fitted[A]:
    """The task itself if its prompt fits the model's context window, else one with shorter texts."""
    window, prompt = model.context_window, task.prompt()
    if window is None or not task.texts:
        return Fitted(task, prompt)
    answer = min(_ANSWER_SAFETY * task.expected_tokens * task.answer_units() + 100, window / 2)
    room = (window - answer) / (1.0 if is_exact(model.name) else _ESTIMATE_SAFETY)
    if len(prompt.encode("utf-8", "surrogatepass")) <= room or model.count_tokens(prompt) <= room:
        return Fitted(task, prompt)
    longest = max(len(text) for text in task.texts)
    while longest > _SMALLEST:
        shorter = task.with_texts([text[:longest] for text in task.texts])
        prompt = shorter.prompt()
        used = model.count_tokens(prompt)
        if used <= room:
            return Fitted(shorter, prompt)
        longest = int(longest * max(0.3, min(0.95, room / used)))
    shortest = task.with_texts([text[:_SMALLEST] for text in task.texts])
    return Fitted(shortest, shortest.prompt())


def halved(task: Task[A]) -> Task[A] | None:
    """The task with its longest texts cut to half, or `None` when there is nothing left to cut."""
    longest = max((len(text) for text in task.texts), default=0)
    if longest <= _SMALLEST:
        return None
    return task.with_texts([text[: longest // 2] for text in task.texts])
