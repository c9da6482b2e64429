"""Scoring in a session, at once or in batches: planned (checked, estimated, agreed to), then run.

A `plan_…` function runs on the caller's thread, where it may ask the user; the coroutine that it returns
runs on the models' thread. What a scoring asked and still owes is noted in the session's `Scorings`.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from text_lloom.concept import Concept
from text_lloom.corpus import Corpus, Document
from text_lloom.errors import InputError, UnknownName
from text_lloom.llm.batches import BatchJob, batch_model
from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.composite import Answerer
from text_lloom.llm.options import positive_seconds, whole_number
from text_lloom.llm.providers.openai import OpenAIModel
from text_lloom.operators.asking import SCORE_STEPS, PromptSpec, score_settings
from text_lloom.operators.estimate import Estimate, estimate_score
from text_lloom.operators.score import (
    CONCEPTS_PER_CALL,
    plan_scoring,
    relocate_highlights,
    score_documents,
    summarize_concepts,
)
from text_lloom.operators.score_batch import BatchScoring
from text_lloom.scores import ScoreTable
from text_lloom.session.scorings import Pair, Scoring, ScoringForm
from text_lloom.session.spend import declined
from text_lloom.session.state import Session
from text_lloom.tasks import ScoreDocuments

if TYPE_CHECKING:
    import pandas as pd
    from narwhals.typing import IntoDataFrame

__all__ = [
    "batches_of",
    "estimate_scoring",
    "is_batch",
    "plan_cancel_batches",
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
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.score`, checked and agreed to."""
    form = ScoringForm(
        batch_size=whole_number(batch_size, what="batch_size"),
        get_highlights=bool(get_highlights),
        ignore_existing=bool(ignore_existing),
        concepts_per_call=whole_number(concepts_per_call, what="concepts_per_call"),
        score_on=score_on,
        mode=mode,
        wait=bool(wait),
        poll_seconds=positive_seconds(poll_seconds, what="poll_seconds"),
    )
    is_batch(session, mode)
    settings = score_settings(session.models, session._run.settings, params, custom_prompts)
    concepts = _concepts_to_score(session, c_ids, score_all)
    table = session.table if df is None else ScoreTable(session._other_corpus(df))
    scoring = Scoring(table, tuple(concept.id for concept in concepts), form, settings)
    return _planned(session, scoring, concepts, confirm=confirm)


def plan_resume(session: Session, *, confirm: bool | None = None) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.resume`, checked and agreed to."""
    scoring = session._scorings.last
    if scoring is None:
        return plan_score(session, confirm=confirm)
    concepts = [session.concepts[i] for i in scoring.concept_ids if i in session.concepts]
    wanted = None if scoring.form.ignore_existing else set(scoring.owed)
    return _planned(session, scoring, concepts, wanted=wanted, confirm=confirm)


def plan_retry(session: Session) -> Coroutine[Any, Any, int]:
    """The work of `lloom.retry_failures`."""
    run, scorings = session._run, session._scorings
    now, last, planned = run.settings, scorings.last, list[Callable[[], Any]]()
    for scoring, pairs in scorings.open(session.table, session.concepts):
        asked = {concept_id for _, concept_id in pairs}
        concepts = [concept for concept in session.concepts.values() if concept.id in asked]
        planned.append(functools.partial(_planned, session, scoring, concepts, wanted=pairs, confirm=False))
    if scorings.out_of_reach:
        warnings.warn(
            f"{scorings.out_of_reach} failures are about other documents (df=) that were not saved "
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


def plan_cancel_batches(session: Session) -> Coroutine[Any, Any, list[BatchJob]]:
    """The work of `lloom.cancel_batches`."""
    batches = BatchScoring(
        batch_model(session.models.score),
        list(session.corpus),
        list(session.concepts.values()),
        book=session._batches,
        run=session._run,
    )
    return batches.cancel()


def score_selected(session: Session) -> Coroutine[Any, Any, pd.DataFrame]:
    """Scores the selected concepts, as `lloom.score` does by default; it was agreed to before."""
    chosen = session.concepts.active
    scoring = Scoring(session.table, tuple(c.id for c in chosen), ScoringForm(), session._run.settings)
    return _score(session, chosen, _questions(session, scoring, chosen), scoring)


def estimate_scoring(
    session: Session,
    tasks: Sequence[ScoreDocuments],
    *,
    n_summaries: int,
    in_batch: bool = False,
    corpus: Corpus | None = None,
) -> Estimate:
    """What questions of scoring will cost.

    Args:
        session: The session.
        tasks: The questions.
        n_summaries: Concepts that are summed up afterwards.
        in_batch: Whether the questions are sent in a batch.
        corpus: The documents, if not the session's own.
    """
    return estimate_score(
        corpus or session.corpus,
        session.models.score,
        tasks,
        summary_model=_summary_model(session),
        n_summaries=n_summaries,
        in_batch=in_batch,
    )


def stand_ins(n: int) -> list[Concept]:
    """Concepts to estimate with while the real ones are not known."""
    name, criteria = "Four words for it", "Does the text say that this kind of thing happened?"
    return [Concept(name, criteria) for _ in range(n)]


def is_batch(session: Session, mode: str) -> bool:
    """Whether scoring in this mode goes through the Batch API.

    Raises:
        UnknownName: For another mode than `"live"` and `"batch"`.
        InputError: When the score model has no Batch API.
    """
    if mode not in ("live", "batch"):
        raise UnknownName(mode, ("live", "batch"), what="mode")
    if mode == "batch":
        batch_model(session.models.score)
    return mode == "batch"


def batches_of(session: Session, table: ScoreTable, score_on: str = "text") -> BatchScoring | None:
    """The batches that concern a table's documents, `None` if the score model has none."""
    model = session.models.score
    if not isinstance(model, OpenAIModel):
        return None
    documents, concepts = _texts_to_score(session, table, score_on), list(session.concepts.values())
    return BatchScoring(model, documents, concepts, book=session._batches, run=session._run)


def _planned(
    session: Session,
    scoring: Scoring,
    concepts: Sequence[Concept],
    *,
    wanted: Collection[Pair] | None = None,
    confirm: bool | None,
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """A scoring of all that is due, or of some pairs of document and concept, once it is agreed to."""
    table, form, model = _table_of(session, scoring), scoring.form, session.models.score
    if isinstance(model, Classifier):
        model.check_concepts(concepts)
    if scoring.settings is not None:
        session._ask_as(SCORE_STEPS, {s: how for s, how in scoring.settings.items() if s in SCORE_STEPS})
    in_batch, batches = is_batch(session, form.mode), batches_of(session, table, form.score_on)
    waiting = batches.waiting if in_batch and batches is not None else ()
    tasks = _questions(session, scoring, concepts, waiting=waiting, wanted=wanted)
    if batches is not None and not in_batch:
        _warn_of_waiting(tasks, batches.waiting)
    n_summaries = len({i for task in tasks for i in task.concept_ids})
    estimate = estimate_scoring(
        session, tasks, n_summaries=n_summaries, in_batch=in_batch, corpus=table.corpus
    )
    if not session._may_spend(estimate, "scoring in a batch" if in_batch else "scoring", confirm):
        return declined()
    if in_batch and batches is not None:
        return _score_in_batch(session, concepts, tasks, scoring, batches)
    return _score(session, concepts, tasks, scoring)


async def _score(
    session: Session,
    concepts: Sequence[Concept],
    tasks: Sequence[ScoreDocuments],
    scoring: Scoring,
) -> pd.DataFrame:
    table = _table_of(session, scoring)
    with session._timed("score"), _noted(session, scoring, tasks):
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
        await _summarize(session, concepts, {i for task in tasks for i in task.concept_ids})
    session._changed()
    return table.to_frame(concepts)


async def _score_in_batch(
    session: Session,
    concepts: Sequence[Concept],
    tasks: Sequence[ScoreDocuments],
    scoring: Scoring,
    batches: BatchScoring,
) -> pd.DataFrame:
    table, form = _table_of(session, scoring), scoring.form
    with session._timed("score"), _noted(session, scoring, tasks):
        try:
            outcome = await batches.score(tasks, table, wait=form.wait, poll_seconds=form.poll_seconds)
        finally:
            scoring.answered.update(pair for task in batches.answered for pair in _pairs(task))
        relocate_highlights(outcome.answered, table)
    if table is session.table and not outcome.under_way:
        await _summarize(session, concepts, {i for task in outcome.answered for i in task.concept_ids})
    session._changed()
    return table.to_frame(concepts)


@contextmanager
def _noted(session: Session, scoring: Scoring, tasks: Sequence[ScoreDocuments]) -> Iterator[None]:
    """Remember what a scoring asks, and at its end what is left of it."""
    if not scoring.form.ignore_existing:
        scoring.owed |= {pair for task in tasks for pair in _pairs(task)}
    session._scorings.begin(scoring)
    try:
        yield
    finally:
        session._scorings.settle(scoring)


async def _summarize(session: Session, concepts: Sequence[Concept], scored: Collection[str]) -> None:
    """Sum up the concepts that were scored just now, and those without a summary."""
    # Concepts may have been renamed in the meantime.
    current = [session.concepts.get(concept.id) or concept for concept in concepts]
    due = [concept for concept in current if concept.id in scored or not concept.summary]
    if due:
        with session._timed("summarize_concept"):
            await summarize_concepts(due, _summary_model(session), session.table, run=session._run)


def _summary_model(session: Session) -> Answerer:
    """Who sums concepts up: the score model, unless it can do nothing but score."""
    models = session.models
    return models.synth if isinstance(models.score, Classifier) else models.score


def _questions(
    session: Session,
    scoring: Scoring,
    concepts: Sequence[Concept],
    *,
    waiting: Collection[Pair] = (),
    wanted: Collection[Pair] | None = None,
) -> list[ScoreDocuments]:
    """The questions of a scoring: about what is due, or about the pairs that are wanted."""
    table, form, corpus = _table_of(session, scoring), scoring.form, session.corpus
    due = {c.id: {table.corpus.ids[row] for row in table.unscored(c)} for c in concepts}

    def is_wanted(doc_id: Hashable, concept: Concept) -> bool:
        pair = (doc_id, concept.id)
        if wanted is not None:
            return pair in wanted and pair not in waiting
        is_due = not form.ignore_existing or doc_id in due[concept.id]
        return is_due and pair not in waiting

    return plan_scoring(
        _texts_to_score(session, table, form.score_on),
        concepts,
        wanted=is_wanted,
        texts={i: corpus.text_of(i) for c in concepts for i in c.example_ids if i in corpus.position},
        batch_size=form.batch_size,
        concepts_per_call=form.concepts_per_call,
        get_highlights=form.get_highlights,
    )


def _table_of(session: Session, scoring: Scoring) -> ScoreTable:
    return session.table if scoring.table is None else scoring.table


def _texts_to_score(session: Session, table: ScoreTable, score_on: str) -> list[Document]:
    """The documents of a table, with the texts that are judged."""
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


def _pairs(task: ScoreDocuments) -> Iterator[Pair]:
    return itertools.product(task.doc_ids, task.concept_ids)


def _warn_of_waiting(tasks: Sequence[ScoreDocuments], waiting: Collection[Pair]) -> None:
    """Warn if questions are asked, at the full price, that a batch under way asks already."""
    n = sum(pair in waiting for task in tasks for pair in _pairs(task))
    if n:
        warnings.warn(
            f"{n:,} of these scores wait in a batch and are asked for again now, at the full price. Fetch "
            f"the batch with score(mode='batch'), or stop it with cancel_batches().",
            stacklevel=3,
        )
