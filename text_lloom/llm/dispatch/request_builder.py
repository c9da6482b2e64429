"""Building requests: a task's prompt, schema and parameters, with documents cut to fit the context window."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from text_lloom.llm.control.tokens import is_exact
from text_lloom.llm.messages import NO_PARAMS, Message, ModelRequest, with_system
from text_lloom.quotes import encodable
from text_lloom.tasks import Task, Template, WindowedTask
from text_lloom.tasks.base import fence
from text_lloom.windows import split_windows

if TYPE_CHECKING:
    from text_lloom.llm.model import EmbedModel, Model

__all__ = [
    "NO_SETTINGS",
    "Fitted",
    "StepSettings",
    "build_request",
    "build_task_request",
    "complaint",
    "cut_texts",
    "fit_task",
    "halved",
    "in_windows",
    "split_task",
    "tasks_sent",
    "with_feedback",
]

A = TypeVar("A")

_LONGEST_SHOWN = 2000
_ESTIMATE_SAFETY = 1.25
_ANSWER_SAFETY = 1.5
_SMALLEST = 200
_SHOWN = 60
_SHRINK = 0.95
_HALF = 0.6


@dataclass(frozen=True, slots=True)
class StepSettings:
    """How one operator asks.

    Attributes:
        params: Generation parameters; they override those of the model.
        system: The system message; `None` for that of the model.
        template: The prompt; `None` for that of the operator.
    """

    params: Mapping[str, object] = field(default_factory=lambda: NO_PARAMS)
    system: str | None = None
    template: Template | None = None


NO_SETTINGS = StepSettings()


def build_request(
    model: Model,
    messages: tuple[Message, ...],
    *,
    schema: Mapping[str, object] | None = None,
    regex: str | None = None,
    settings: StepSettings = NO_SETTINGS,
) -> ModelRequest:
    """The request that sends messages to a model."""
    own = model.params
    params = {**own, **settings.params} if settings.params else own
    if model.generation_params is not None and None in params.values():
        params = {name: value for name, value in params.items() if value is not None}
    system = model.system_prompt if settings.system is None else settings.system
    return ModelRequest(with_system(messages, system), schema, regex, 1, params)


def build_task_request(
    model: Model, task: Task[Any], settings: StepSettings = NO_SETTINGS, *, prompt: str | None = None
) -> ModelRequest:
    """The request that sends a task to a model; pass `prompt` if the task's prompt is already known."""
    message = Message(role="user", content=task.prompt() if prompt is None else prompt)
    schema = task.exact_schema() if model.constrains else task.schema()
    return build_request(model, (message,), schema=schema, regex=task.regex, settings=settings)


def with_feedback(request: ModelRequest, problem: tuple[str, str]) -> ModelRequest:
    """The request with the reply that could not be used and the reason added."""
    in_form = request.schema is not None or request.regex is not None
    return request.with_added_text(complaint(problem, regex=request.regex, in_form=in_form))


def complaint(problem: tuple[str, str], *, regex: str | None = None, in_form: bool = True) -> str:
    """The text that tells a model what was wrong with its reply."""
    reply, reason = problem
    shown = reply if len(reply) <= _LONGEST_SHOWN else f"{reply[:_LONGEST_SHOWN]}…"
    shown, reason = (
        fence(text, ("earlier_answer",)) for text in (shown, reason)
    )  # a reason quotes the reply
    form = ", with the JSON object only" if regex is None else ", in the requested form only"
    return (
        f"\n\nYour earlier answer could not be used.\n<earlier_answer>\n{shown}\n</earlier_answer>\n"
        f"What is wrong with it: {reason}\nAnswer again{form if in_form else ''}."
    )


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


def in_windows(task: WindowedTask[A], model: Model) -> list[Fitted[A]]:
    """A task that is too long for one prompt as several that fit, each about a window of one document.

    Empty if the prompt is too long even with hardly any text of the document.
    """
    fitted = fit_task(task, model)
    if fitted.task is task:
        return [fitted]
    parts = task.apart()
    if len(parts) == 1:
        size = len(fitted.task.texts[0])
        if size <= _SMALLEST:
            return []
        parts = [task.with_texts([window]) for window in split_windows(task.texts[0], size)]
    found = [in_windows(part, model) for part in parts]
    return [window for windows in found for window in windows] if all(found) else []


def tasks_sent(task: Task[A], model: Model) -> list[Task[A]]:
    """The tasks that are sent to a model instead of one that may be too long for it."""
    fitted = fit_task(task, model).task
    if fitted is task or not isinstance(task, WindowedTask) or task.long_documents == "cut":
        return [fitted]
    return [window.task for window in in_windows(task, model)] if task.long_documents == "windows" else []


def split_task(task: WindowedTask[A]) -> list[WindowedTask[A]]:
    """A task that a model found too long as two or more smaller ones; empty if its text is too short."""
    parts = task.apart()
    if len(parts) > 1:
        return list(parts)
    text = task.texts[0]
    if len(text) <= _SMALLEST:
        return []
    return [task.with_texts([window]) for window in split_windows(text, int(_HALF * len(text)))]


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
