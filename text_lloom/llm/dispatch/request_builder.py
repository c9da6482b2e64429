"""A task as a request: its prompt, its schema, the parameters and system prompt of its operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from text_lloom.llm.messages import NO_PARAMS, Message, ModelRequest, with_system
from text_lloom.tasks import Task, Template

if TYPE_CHECKING:
    from text_lloom.llm.model import Model

__all__ = [
    "NO_SETTINGS",
    "StepSettings",
    "build_request",
    "build_task_request",
    "complaint",
    "with_feedback",
]

_LONGEST_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class StepSettings:
    """How one operator asks.

    Attributes:
        params: Generation parameters, stronger than those of the model.
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
    """The request that puts messages to a model."""
    own = model.params
    params = {**own, **settings.params} if settings.params else own
    if model.generation_params is not None and None in params.values():
        params = {name: value for name, value in params.items() if value is not None}
    system = model.system_prompt if settings.system is None else settings.system
    return ModelRequest(with_system(messages, system), schema, regex, 1, params)


def build_task_request(
    model: Model, task: Task[Any], settings: StepSettings = NO_SETTINGS, *, prompt: str | None = None
) -> ModelRequest:
    """The request that puts a task to a model; `prompt` is the task's, if it is at hand."""
    message = Message(role="user", content=task.prompt() if prompt is None else prompt)
    schema = task.exact_schema() if model.constrains else task.schema()
    return build_request(model, (message,), schema=schema, regex=task.regex, settings=settings)


def with_feedback(request: ModelRequest, problem: tuple[str, str]) -> ModelRequest:
    """The request again, with the reply that could not be used and the reason."""
    in_form = request.schema is not None or request.regex is not None
    return request.with_added_text(complaint(problem, regex=request.regex, in_form=in_form))


def complaint(problem: tuple[str, str], *, regex: str | None = None, in_form: bool = True) -> str:
    """What is added to a request to ask it again: the reply and what was wrong with it."""
    reply, reason = problem
    shown = reply if len(reply) <= _LONGEST_SHOWN else f"{reply[:_LONGEST_SHOWN]}…"
    form = ", with the JSON object only" if regex is None else ", in the requested form only"
    return (
        f"\n\nYour earlier answer could not be used.\n<earlier_answer>\n{shown}\n</earlier_answer>\n"
        f"What is wrong with it: {reason}\nAnswer again{form if in_form else ''}."
    )
