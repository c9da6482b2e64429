"""Scoring in a session: `score`, `resume` and `retry_failures`.

A `plan_…` function runs on the caller's thread, where it may ask the user; the coroutine that it returns
runs on the event-loop thread.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from text_lloom.concept import Concept
from text_lloom.corpus import Corpus, Document
from text_lloom.errors import InputError, UnknownName
from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.dispatch.request_builder import fit_task
from text_lloom.llm.model import Model
from text_lloom.llm.options import positive_seconds, whole_number
from text_lloom.operators.asking import SCORE_STEPS, PromptSpec, bound_settings, score_settings
from text_lloom.operators.estimate import Estimate, estimate_score
from text_lloom.operators.score import (
    CONCEPTS_PER_CALL,
    plan_scoring,
    relocate_highlights,
    score_documents,
)
from text_lloom.scores import ScoreTable
from text_lloom.session.batch import batches_of, count_waiting, is_batch, score_in_batches
from text_lloom.session.scorings import Pair, Scoring, ScoringForm
from text_lloom.session.spend import declined
from text_lloom.session.state import Session
from text_lloom.tasks import ScoreDocuments, check_long_documents

if TYPE_CHECKING:
    import pandas as pd
    from narwhals.typing import IntoDataFrame

__all__ = [
    "estimate_score_cost",
    "estimate_scoring",
    "plan_resume",
    "plan_retry",
    "plan_score",
    "score_selected",
    "stand_ins",
]


def plan_score(
    session: Session,
    c_ids: Sequence[str] | None = None,
    batch_size: int = 1,
    get_highlights: bool = True,
    ignore_existing: bool = True,
    score_all: bool = False,
    df: IntoDataFrame | None = None,
    *,
    concepts_per_call: int = CONCEPTS_PER_CALL,
    score_on: str = "text",
    confirm: bool | None = None,
    mode: str = "live",
    wait: bool = True,
    poll_seconds: float = 60.0,
    params: Mapping[str, object] | None = None,
    custom_prompts: Mapping[str, PromptSpec] | None = None,
    long_documents: str = "windows",
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.score`, once its arguments are checked and the user agrees."""
    form = ScoringForm(
        batch_size=whole_number(batch_size, what="batch_size"),
        get_highlights=bool(get_highlights),
        ignore_existing=bool(ignore_existing),
        concepts_per_call=whole_number(concepts_per_call, what="concepts_per_call"),
        score_on=score_on,
        mode=mode,
        wait=bool(wait),
        poll_seconds=positive_seconds(poll_seconds, what="poll_seconds"),
        long_documents=check_long_documents(long_documents),
    )
    is_batch(session, mode)
    table = session.table if df is None else ScoreTable(session._other_corpus(df))
    columns = list(table.corpus.frame.columns)
    settings = score_settings(session.models, session._run.settings, params, custom_prompts, columns)
    template = settings[ScoreDocuments.step].template
    if template is not None and template.columns and form.batch_size > 1:
        raise InputError(
            f"The prompt names columns of the document ({', '.join(template.columns)}), so it can be about "
            f"one document only. Leave out batch_size={form.batch_size}."
        )
    concepts = _concepts_to_score(session, c_ids, score_all)
    scoring = Scoring(table, tuple(concept.id for concept in concepts), form, settings)
    return _plan(session, scoring, concepts, confirm=confirm)


def plan_resume(session: Session, *, confirm: bool | None = None) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.resume`, once the user agrees."""
    scoring = session._scorings.last
    if scoring is None:
        return plan_score(session, confirm=confirm)
    concepts = [session.concepts[i] for i in scoring.concept_ids if i in session.concepts]
    wanted = None if scoring.form.ignore_existing else set(scoring.owed)
    return _plan(session, scoring, concepts, wanted=wanted, confirm=confirm)


def plan_retry(session: Session) -> Coroutine[Any, Any, int]:
    """The work of `lloom.retry_failures`."""
    run, scorings = session._run, session._scorings
    now, last, planned = run.settings, scorings.last, list[Callable[[], Any]]()
    for scoring, pairs in scorings.open(session.table, session.concepts):
        asked = {concept_id for _, concept_id in pairs}
        concepts = [concept for concept in session.concepts.values() if concept.id in asked]
        planned.append(functools.partial(_plan, session, scoring, concepts, wanted=pairs, confirm=False))
    if scorings.n_without_documents:
        warnings.warn(
            f"{scorings.n_without_documents} failures are about other documents (df=) that were not saved "
            f"with the session; they stay listed. Score those documents again.",
            stacklevel=3,
        )

    async def work() -> int:
        try:
            for plan in planned:
                await plan()
        finally:
            run.settings, scorings.last = now, last
        return sum(failure.step == "score" for failure in run.failures)

    return work()


def score_selected(session: Session) -> Coroutine[Any, Any, pd.DataFrame]:
    """Score the selected concepts as `lloom.score` does by default, without asking the user."""
    chosen = session.concepts.active
    scoring = Scoring(session.table, tuple(c.id for c in chosen), ScoringForm(), session._run.settings)
    tasks = _tasks(session, scoring.form, session.table, list(session.corpus), chosen)
    return _score(session, chosen, tasks, scoring, session.table)


def estimate_scoring(
    session: Session,
    tasks: Sequence[ScoreDocuments],
    *,
    n_summaries: int,
    in_batch: bool = False,
    corpus: Corpus | None = None,
) -> Estimate:
    """The estimated cost of scoring tasks.

    Args:
        session: The session.
        tasks: The tasks.
        n_summaries: How many concepts are summarized afterwards.
        in_batch: Whether the tasks are sent in a batch.
        corpus: The documents, if not the session's own.
    """
    return estimate_score(
        corpus or session.corpus,
        session.models.score,
        tasks,
        summary_model=session._summary_model,
        n_summaries=n_summaries,
        in_batch=in_batch,
    )


def estimate_score_cost(
    session: Session,
    n_concepts: int | None = None,
    batch_size: int = 1,
    get_highlights: bool = True,
    verbose: bool = False,
    *,
    concepts_per_call: int = CONCEPTS_PER_CALL,
    mode: str = "live",
) -> Estimate:
    """Print and return the estimate of `lloom.score`; arguments as for `lloom.estimate_score_cost`."""
    concepts = session.concepts.active or list(session.concepts.values())
    if n_concepts is None:
        session._need_concepts()
    else:
        concepts = stand_ins(whole_number(n_concepts, what="n_concepts"))
    tasks = plan_scoring(
        list(session.corpus),
        concepts,
        batch_size=batch_size,
        get_highlights=get_highlights,
        concepts_per_call=concepts_per_call,
    )
    estimate = estimate_scoring(session, tasks, n_summaries=len(concepts), in_batch=is_batch(session, mode))
    print(f"Scoring {len(concepts)} concepts for {len(session.corpus)} documents")
    print(estimate.describe(verbose=verbose))
    return estimate


def stand_ins(n: int) -> list[Concept]:
    """Concepts to estimate with before the real ones are known."""
    name, criteria = "Four words for it", "Does the text say that this kind of thing happened?"
    return [Concept(name, criteria) for _ in range(n)]


def _plan(
    session: Session,
    scoring: Scoring,
    concepts: Sequence[Concept],
    *,
    wanted: Collection[Pair] | None = None,
    confirm: bool | None,
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of a scoring, once the user agrees.

    Args:
        session: The session.
        scoring: How it asks.
        concepts: The concepts.
        wanted: The pairs to ask about; all that have no score when not given.
        confirm: As for `lloom.score`.
    """
    table = session.table if scoring.table is None else scoring.table
    form, model = scoring.form, session.models.score
    if isinstance(model, Classifier):
        model.check_concepts(concepts)
    if scoring.settings is not None:
        own = {step: own for step, own in scoring.settings.items() if step in SCORE_STEPS}
        session._ask_as(SCORE_STEPS, bound_settings(own, table.corpus))
    documents = _documents_to_score(session, table, form.score_on)
    batches = batches_of(session, documents) if is_batch(session, form.mode) else None
    waiting = () if batches is None else batches.waiting
    tasks = _tasks(session, form, table, documents, concepts, wanted=wanted, waiting=waiting)
    if batches is None:
        _warn_of_waiting(count_waiting(session, tasks))
    else:
        _check_lengths(session, tasks)
    estimate = estimate_scoring(
        session,
        tasks,
        n_summaries=len({i for task in tasks for i in task.concept_ids}),
        in_batch=batches is not None,
        corpus=table.corpus,
    )
    what = "scoring" if batches is None else "scoring in a batch"
    if not session._may_spend(estimate, what, confirm):
        return declined()
    if batches is None:
        return _score(session, concepts, tasks, scoring, table)
    return score_in_batches(session, concepts, tasks, scoring, table, batches)


async def _score(
    session: Session,
    concepts: Sequence[Concept],
    tasks: Sequence[ScoreDocuments],
    scoring: Scoring,
    table: ScoreTable,
) -> pd.DataFrame:
    with session._timed("score"), session._scorings.recorded(scoring, tasks):
        async with session._stop.window() as window:
            await score_documents(
                tasks, session.models.score, table, run=session._run, answered=scoring.answered
            )
        relocate_highlights(tasks, table)
    if window.stopped:
        warnings.warn(
            "Scoring was stopped; what was scored by then is kept. Calling score() again goes on.",
            stacklevel=2,
        )
    elif table is session.table:
        await session._summarize(concepts, scored=tasks)
    session._changed()
    return table.to_frame(concepts)


def _tasks(
    session: Session,
    form: ScoringForm,
    table: ScoreTable,
    documents: Sequence[Document],
    concepts: Sequence[Concept],
    *,
    wanted: Collection[Pair] | None = None,
    waiting: Collection[Pair] = (),
) -> list[ScoreDocuments]:
    """The questions about all that is due, or about the wanted pairs; none about what waits in a batch."""
    corpus = session.corpus
    due = {c.id: {table.corpus.ids[row] for row in table.unscored(c)} for c in concepts}

    def is_wanted(doc_id: Hashable, concept: Concept) -> bool:
        pair = (doc_id, concept.id)
        if wanted is not None:
            return pair in wanted and pair not in waiting
        is_due = not form.ignore_existing or doc_id in due[concept.id]
        return is_due and pair not in waiting

    return plan_scoring(
        documents,
        concepts,
        wanted=is_wanted,
        texts={i: corpus.text_of(i) for c in concepts for i in c.example_ids if i in corpus.position},
        batch_size=form.batch_size,
        concepts_per_call=form.concepts_per_call,
        get_highlights=form.get_highlights,
        long_documents=form.long_documents,
    )


def _documents_to_score(session: Session, table: ScoreTable, score_on: str) -> list[Document]:
    """The documents of a table, with the texts that are scored."""
    if score_on not in ("text", "quotes"):
        raise UnknownName(score_on, ("text", "quotes"), what="score_on")
    documents, quotes = list(table.corpus), session._quotes
    if score_on == "text":
        return documents
    if not quotes or table is not session.table:
        raise InputError(
            "score_on='quotes' needs the quotes of the Distill step: run gen() first, and score the "
            "session's own documents."
        )
    return [Document(d.id, "\n".join(quotes[d.id])) for d in documents if quotes.get(d.id)]


def _concepts_to_score(session: Session, c_ids: Sequence[str] | None, score_all: bool) -> list[Concept]:
    if isinstance(c_ids, str):
        raise InputError(f"c_ids={c_ids!r} must be a list: c_ids=[{c_ids!r}].")
    session._need_concepts()
    if c_ids is not None:
        named = [session._one(i) for i in c_ids]
        return list({concept.id: concept for concept in named}.values())
    concepts = list(session.concepts.values())
    active = session.concepts.active
    if score_all or not active:
        if not score_all:
            print(f"No concept is selected, so all {len(concepts)} are scored.")
        for concept in concepts:
            concept.active = True
        return concepts
    return active


def _warn_of_waiting(n: int) -> None:
    """Warn if `n` scores that a batch will bring are paid for a second time."""
    if n:
        warnings.warn(
            f"{n:,} of these scores wait in a batch and are asked for again now, at the full price. Fetch "
            f"the batch with score(mode='batch'), or stop it with cancel_batches().",
            stacklevel=3,
        )


def _check_lengths(session: Session, tasks: Sequence[ScoreDocuments]) -> None:
    """Refuse documents that do not fit one request of a batch, before anything is sent."""
    model = session.models.score
    if not isinstance(model, Model):
        return
    too_long = {
        doc_id: None
        for task in tasks
        if task.long_documents != "cut" and fit_task(task, model).task is not task
        for doc_id in task.doc_ids
    }
    if too_long:
        shown = ", ".join(repr(doc_id) for doc_id in list(too_long)[:5])
        raise InputError(
            f"{len(too_long)} documents are longer than the {model.context_window:,} tokens of "
            f"{model.label!r}: {shown}{', …' if len(too_long) > 5 else ''}. A batch does not read documents "
            f"in parts: use mode='live', or long_documents='cut' to have only their beginning read."
        )
