"""The settings of each operator: generation parameters, prompt and system message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from text_lloom.concept import Concept
from text_lloom.corpus import Corpus, Document
from text_lloom.errors import ColumnNotFound, InputError, UnknownName
from text_lloom.llm.composite import Answerer, single_models
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS, StepSettings
from text_lloom.llm.model import Model
from text_lloom.llm.options import COMMON_PARAMS, as_params
from text_lloom.operators.models import Models
from text_lloom.tasks import (
    Candidate,
    FilterQuotes,
    Item,
    ReviewMerge,
    ReviewRemove,
    ScoreDocuments,
    SelectConcepts,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
    Task,
    Template,
)
from text_lloom.tasks.base import check_task
from text_lloom.tasks.wording import PromptFunction

if TYPE_CHECKING:
    import pandas as pd

    from text_lloom.operators.parameters import GenParameters

__all__ = [
    "GEN_STEPS",
    "SCORE_STEPS",
    "STEPS",
    "Prompt",
    "PromptSpec",
    "Step",
    "bound_settings",
    "check_prompt",
    "params_frame",
    "score_settings",
    "split_params",
    "step_settings",
    "steps_by_name",
    "template_of",
]

Role: TypeAlias = Literal["distill", "synth", "score"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A custom prompt for an operator.

    Attributes:
        template: A template with named fields (see `show_prompt`), or a function of these fields that
            returns the prompt; `None` keeps the operator's default.
        system: The system message; `None` keeps the model's default.
    """

    template: str | Callable[..., str] | None = None
    system: str | None = None


PromptSpec: TypeAlias = str | Callable[..., str] | Prompt | None
"""A template, a prompt function or a `Prompt`; `None` skips a distill step."""


class Step(NamedTuple):
    """An operator that asks a model.

    Attributes:
        role: Which of the session's models it asks.
        example: An example of its task.
        counts: The parameters of `gen` that set how much it asks for.
    """

    role: Role
    example: Task[Any]
    counts: tuple[str, ...] = ()


_TEXT = "The 40 bus is late every single morning and nobody tells us why."
_CONCEPT = Concept("Late Buses", "Does the text complain that buses are late?", id="example")
_CANDIDATES = (Candidate(_CONCEPT, 3),)


def steps_by_name(*operators: Step) -> Mapping[str, Step]:
    """The operators by the step of their task.

    Raises:
        TypeError: When a task lacks something (see `check_task`), or two have one step.
    """
    steps: dict[str, Step] = {}
    for operator in operators:
        task = type(operator.example)
        check_task(task)
        if task.step in steps:
            other = type(steps[task.step].example).__name__
            raise TypeError(f"The tasks {other} and {task.__name__} have the same step {task.step!r}.")
        steps[task.step] = operator
    return steps


STEPS: Final = steps_by_name(
    Step("distill", FilterQuotes("d1", _TEXT), ("filter_n_quotes",)),
    Step("distill", SummarizeDocument("d1", _TEXT), ("summ_n_bullets",)),
    Step("synth", SynthesizeConcepts((Item("d1", _TEXT),)), ("synth_n_concepts", "target_n_concepts")),
    Step("synth", ReviewRemove(_CANDIDATES)),
    Step("synth", ReviewMerge(_CANDIDATES)),
    Step("synth", SelectConcepts(_CANDIDATES, 1)),
    Step("score", ScoreDocuments((Document("d1", _TEXT),), (_CONCEPT,))),
    Step("score", SummarizeConcept(_CONCEPT, (_TEXT,))),
)
"""The operators that ask a model, by step, in the order in which they run."""

GEN_STEPS: Final = tuple(step for step, operator in STEPS.items() if operator.example.stage == "generation")
SCORE_STEPS: Final = tuple(step for step, operator in STEPS.items() if operator.example.stage == "scoring")


def template_of(step: object) -> Template:
    """The prompt template of an operator.

    Raises:
        UnknownName: When there is no such operator.
    """
    if not isinstance(step, str) or step not in STEPS:
        raise UnknownName(step, STEPS, what="step")
    return STEPS[step].example.template


def check_prompt(
    step: str, given: str | Callable[..., str], columns: Sequence[object] = ()
) -> Template | None:
    """The template of a custom prompt, `None` when it is the operator's default.

    A prompt function is called with an example, so that its errors show before anything is spent.

    Args:
        step: The operator.
        given: The custom prompt.
        columns: Columns of the documents, which a prompt about one document may name.

    Raises:
        InputError: When `given` is neither text nor a function.
        UnknownName: When there is no such operator, or the prompt names an unknown field.
        PromptError: When a required field is missing, or the function fails.
    """
    default = template_of(step)
    is_about_one = len(STEPS[step].example.doc_ids) == 1
    names = [str(column) for column in columns] if is_about_one else []
    if isinstance(given, str):
        return None if given == default.text else default.customised(given, step=step, columns=names)
    if not callable(given):
        raise InputError(
            f"The custom prompt for {step!r} must be text, a function or a Prompt, but is "
            f"{type(given).__name__}."
        )
    function = PromptFunction.of(given, default, step=step, columns=names)
    example = STEPS[step].example
    sample = dict.fromkeys(example.doc_ids, dict.fromkeys(function.columns, _TEXT))
    example.with_template(function.bound(sample)).prompt()
    return function


def bound_settings(settings: Mapping[str, StepSettings], corpus: Corpus) -> dict[str, StepSettings]:
    """The settings with the values of the columns that their prompts name.

    Raises:
        ColumnNotFound: When the documents lack such a column.
    """
    return {step: _bound(own, corpus) for step, own in settings.items()}


def _bound(own: StepSettings, corpus: Corpus) -> StepSettings:
    if own.template is None or not own.template.columns:
        return own
    for column in own.template.columns:
        if column not in corpus.frame.columns:
            raise ColumnNotFound(column, list(corpus.frame.columns), role="a field of the custom prompt")
    return replace(own, template=own.template.bound(corpus.cells(own.template.columns)))


def split_params(given: object, steps: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split the parameters of a method into plain ones and those of each operator.

    Args:
        given: Such as `{"filter_n_quotes": 2, "distill_filter": {"temperature": 0.3}}`.
        steps: The operators that the method runs.

    Raises:
        InputError: When `given` is not a mapping of names to values, or names another operator.
    """
    plain: dict[str, Any] = {}
    by_step: dict[str, dict[str, Any]] = {}
    for name, value in as_params({} if given is None else given).items():
        if name in steps:
            by_step[name] = as_params(value, what=f"params[{name!r}]")
        elif isinstance(value, Mapping):
            raise UnknownName(name, steps, what="operator in params:")
        else:
            plain[name] = value
    return plain, by_step


def step_settings(
    models: Models,
    *,
    steps: Sequence[str],
    params: Mapping[str, Mapping[str, object]],
    prompts: Mapping[str, PromptSpec] | None,
    columns: Sequence[object] = (),
) -> dict[str, StepSettings]:
    """The settings of operators, checked against their models.

    Args:
        models: The models of the session.
        steps: The operators that the method runs.
        params: Generation parameters by operator.
        prompts: Prompts by operator.
        columns: Columns of the documents, which a prompt about one document may name.

    Raises:
        InputError: For a parameter that a model does not have, an operator that does not exist, or a
            prompt that cannot be used.
    """
    if prompts is not None and not isinstance(prompts, Mapping):
        raise InputError(
            f"custom_prompts must be prompts by step, such as {{'synthesize': '…'}}, but is "
            f"{type(prompts).__name__}."
        )
    settings = {}
    for step, given in params.items():
        for model in _models_of(models, step):
            model.check_params(given)
        if given and not _models_of(models, step):
            raise InputError(
                f"params[{step!r}]: the local engine takes no generation parameters; pass a model for it."
            )
        settings[step] = StepSettings(given)
    for step, spec in (prompts or {}).items():
        if step not in steps:
            raise UnknownName(step, steps, what="step")
        if spec is None:
            continue
        prompt = spec if isinstance(spec, Prompt) else Prompt(spec)
        if prompt.system is not None and not isinstance(prompt.system, str):
            raise InputError(f"The system message for {step!r} must be text.")
        template = None if prompt.template is None else check_prompt(step, prompt.template, columns)
        earlier = settings.get(step, NO_SETTINGS)
        settings[step] = StepSettings(earlier.params, prompt.system, template)
    return settings


def score_settings(
    models: Models,
    earlier: Mapping[str, StepSettings],
    params: object,
    prompts: Mapping[str, PromptSpec] | None,
    columns: Sequence[object] = (),
) -> dict[str, StepSettings]:
    """The settings of scoring: those given now, or else the earlier ones.

    Args:
        models: The models of the session.
        earlier: The current settings.
        params: Generation parameters of scoring, or of its operators by name.
        prompts: Prompts by operator.
        columns: Columns of the documents, which a prompt about one document may name.

    Raises:
        InputError: As `step_settings`.
    """
    plain, by_step = split_params(params, SCORE_STEPS)
    if plain:
        by_step["score"] = plain | by_step.get("score", {})
    given = step_settings(models, steps=SCORE_STEPS, params=by_step, prompts=prompts, columns=columns)
    settings = {}
    for step in SCORE_STEPS:
        now, before = given.get(step, NO_SETTINGS), earlier.get(step, NO_SETTINGS)
        wording = before if prompts is None else now
        sampling = before if params is None else now
        settings[step] = StepSettings(sampling.params, wording.system, wording.template)
    return settings


def params_frame(models: Models, settings: Mapping[str, StepSettings], counts: GenParameters) -> pd.DataFrame:
    """The parameters of every operator.

    Args:
        models: The models of the session.
        settings: The settings of the operators.
        counts: How much `gen` asks for by default.

    Returns:
        Columns `operator`, `model`, `name`, `value` (`None` where the provider decides), `source`
        (`"operator"`, `"model"`, `"data"` or `"provider"`), `description`.
    """
    import pandas as pd

    rows: list[tuple[str, str, str, object, str, str]] = []
    suggested = counts.to_dict()
    for step, operator in STEPS.items():
        asked: Answerer = getattr(models, operator.role)
        rows += [
            (step, asked.label, name, suggested[name], "data", _COUNTS[name]) for name in operator.counts
        ]
        own = settings.get(step, NO_SETTINGS).params
        for model in _models_of(models, step):
            names = [*model.params, *own, *sorted(model.accepted_params or ())]
            for name in dict.fromkeys(names):
                source = "operator" if name in own else "model" if name in model.params else "provider"
                value = own.get(name, model.params.get(name))
                rows.append((step, model.label, name, value, source, COMMON_PARAMS.get(name, "")))
    columns = ["operator", "model", "name", "value", "source", "description"]
    return pd.DataFrame({c: pd.Series([r[i] for r in rows], dtype=object) for i, c in enumerate(columns)})


_COUNTS: Final = {
    "filter_n_quotes": "quotes per document; with 1 or less the documents are not filtered",
    "summ_n_bullets": "bullets per document",
    "synth_n_concepts": "the largest number of concepts per cluster",
    "target_n_concepts": "how many concepts are wanted in the end",
}


def _models_of(models: Models, step: str) -> list[Model]:
    """The language models of an operator."""
    asked: Answerer = getattr(models, STEPS[step].role)
    return [part for part in single_models(asked) if isinstance(part, Model)]
