"""Asking a user's own question about every document of a session."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from text_lloom.errors import InputError
from text_lloom.llm.ask import ask_all
from text_lloom.llm.cache import open_journal
from text_lloom.llm.composite import Answerer, Fallbacks, is_remote, single_models
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.model import Solver
from text_lloom.llm.options import as_params
from text_lloom.operators.estimate import estimate_map
from text_lloom.operators.mapping import check_columns, joined, map_tasks, question_of
from text_lloom.operators.models import ModelSpec, model_of
from text_lloom.session.spend import declined
from text_lloom.session.state import Session
from text_lloom.tasks.map import MAP_STEP, MapDocument

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
    answering = _able(session.models.score if model is None else model_of(model, role="model"))
    settings = StepSettings(as_params(params or {}), system)
    _check(answering, settings)
    tasks = map_tasks(corpus, parsed)
    if parsed.template is not None:
        tasks[0].prompt()  # so that a failing prompt function raises before anything is spent
    if not session._may_spend(estimate_map(answering, tasks), "asking the question", confirm):
        return declined()

    if session._run.store is None and is_remote(answering):
        session._run.store = open_journal(session._cache)

    async def work() -> pd.DataFrame:
        session._ask_as([MAP_STEP], {MAP_STEP: settings})
        with session._timed(MAP_STEP):
            answers = await ask_all(answering, tasks, run=session._run)
        return joined(corpus, parsed, answers, prefix=prefix)

    return work()


def _able(model: Answerer) -> Answerer:
    """The model, or those of several models, that can answer a user's own question.

    Raises:
        InputError: When none of them can.
    """
    able = tuple(
        part for part in single_models(model) if not isinstance(part, Solver) or part.can_solve(MapDocument)
    )
    if not able:
        raise InputError(
            f"{model.label!r} cannot answer questions of your own; pass a language model, such as "
            f"model='openai:gpt-4o-mini'."
        )
    return Fallbacks(able) if len(able) > 1 else able[0]


def _check(model: Answerer, settings: StepSettings) -> None:
    """Refuse a system message that is not text, and parameters that a model does not have."""
    if settings.system is not None and not isinstance(settings.system, str):
        raise InputError(f"system={settings.system!r} must be text.")
    for part in single_models(model):
        if not isinstance(part, Solver):
            part.check_params(settings.params)
