"""Cuts documents and texts, never instructions, so that they fit a context window."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from text_lloom.llm.control.tokens import is_exact
from text_lloom.quotes import encodable
from text_lloom.tasks import Task

if TYPE_CHECKING:
    from text_lloom.llm.model import EmbedModel, Model

__all__ = ["Fitted", "cut_texts", "fit_task", "halved"]

A = TypeVar("A")

_ESTIMATE_SAFETY = 1.25
_ANSWER_SAFETY = 1.5
_SMALLEST = 200
_SHOWN = 60
_SHRINK = 0.95


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
    """The task with its longest texts cut in half, or `None` if they are too short to cut."""
    longest = max((len(text) for text in task.texts), default=0)
    if longest <= _SMALLEST:
        return None
    return task.with_texts([text[: longest // 2] for text in task.texts])


def cut_texts(model: EmbedModel, texts: Sequence[str], step: str) -> list[str]:
    """The texts, with those that are longer than the model takes cut at the end; warns if any were.

    Token counts are exact for models on this machine and estimates for others. Call it on a worker thread,
    because it may load a model.
    """
    window = model.window
    sendable = [encodable(text) for text in texts]
    if window is None:
        return sendable
    cut = [_cut(text, model, window) for text in sendable]
    changed = [text for text, shorter in zip(sendable, cut, strict=True) if shorter is not text]
    if changed:
        first = " ".join(changed[0][: 2 * _SHOWN].split())[:_SHOWN]
        texts_were = "1 text was" if len(changed) == 1 else f"{len(changed)} texts were"
        warnings.warn(
            f"{step}: {texts_were} longer than the {window} tokens that {model.label!r} takes and "
            f"cut at the end, for example {first!r}….",
            stacklevel=2,
        )
    return cut


def _cut(text: str, model: EmbedModel, window: int) -> str:
    """The start of a text that fits."""
    if 2 * len(text.encode("utf-8")) < window:  # a token has at least one byte; models add a few tokens
        return text
    tokens = model.count_tokens(text)
    shorter = text
    while tokens > window and len(shorter) > 1:
        shorter = shorter[: max(1, min(len(shorter) - 1, int(len(shorter) * _SHRINK * window / tokens)))]
        tokens = model.count_tokens(shorter)
    return shorter
