"""Asking a user's own question about every document of a session."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from text_lloom.errors import InputError
from text_lloom.llm.composite import Answerer, single_models
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.model import Solver
from text_lloom.llm.options import as_params
from text_lloom.operators.mapping import check_columns, joined, map_tasks, question_of
from text_lloom.operators.models import ModelSpec, model_of
from text_lloom.session.questions import able_models, plan_questions
from text_lloom.session.state import Session
from text_lloom.tasks.map import MapDocument

if TYPE_CHECKING:
    import pandas as pd
    from narwhals.typing import IntoDataFrame

__all__ = ["plan_map"]


def plan_map(
    session: Session,
    question: object,
    schema: object = None,
    *,
    regex: str | None = None,
    prompt: str | Callable[..., str] | None = None,
    system: str | None = None,
    params: Mapping[str, object] | None = None,
    model: ModelSpec = None,
    df: IntoDataFrame | None = None,
    prefix: str = "",
    confirm: bool | None = None,
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.map`, once its arguments are checked and the user agrees."""
    corpus = session.corpus if df is None else session._other_corpus(df)
    parsed = question_of(
        question, schema, regex=regex, prompt=prompt, frame_columns=list(corpus.frame.columns)
    )
    check_columns(parsed, list(corpus.frame.columns), prefix)
    answering = able_models(
        session.models.score if model is None else model_of(model, role="model"), MapDocument
    )
    settings = StepSettings(as_params(params or {}), system)
    _check(answering, settings)
    tasks = map_tasks(corpus, parsed)
    if parsed.template is not None:
        tasks[0].prompt()  # so that a failing prompt function raises before anything is spent
    return plan_questions(
        session,
        answering,
        tasks,
        what="asking the question",
        read=lambda answers: joined(corpus, parsed, answers, prefix=prefix),
        settings=settings,
        confirm=confirm,
    )


def _check(model: Answerer, settings: StepSettings) -> None:
    """Refuse a system message that is not text, and parameters that a model does not have."""
    if settings.system is not None and not isinstance(settings.system, str):
        raise InputError(f"system={settings.system!r} must be text.")
    for part in single_models(model):
        if not isinstance(part, Solver):
            part.check_params(settings.params)
