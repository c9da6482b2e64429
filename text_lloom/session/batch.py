"""Scoring in batches: sending and fetching them, stopping them, and what of a session waits in one."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import UnknownName
from text_lloom.llm.batches import BatchJob, find_batch_endpoint, need_batch_endpoint
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS
from text_lloom.operators.batch_records import model_key
from text_lloom.operators.batch_requests import KnownTexts
from text_lloom.operators.batch_scoring import BatchScoring
from text_lloom.operators.score import relocate_highlights
from text_lloom.scores import ScoreTable
from text_lloom.session.scorings import Scoring, pairs_in
from text_lloom.session.state import Session
from text_lloom.tasks import ScoreDocuments

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["batches_of", "count_waiting", "is_batch", "plan_cancel_batches", "score_in_batches"]


def is_batch(session: Session, mode: str) -> bool:
    """Whether scoring in this mode goes through the Batch API.

    Raises:
        UnknownName: For a mode other than `"live"` and `"batch"`.
        InputError: When the score model has no Batch API.
    """
    if mode not in ("live", "batch"):
        raise UnknownName(mode, ("live", "batch"), what="mode")
    if mode == "batch":
        run = session._run
        need_batch_endpoint(session.models.score, policy=run.policy, jitter=run.jitter)
    return mode == "batch"


def batches_of(session: Session, documents: Sequence[Document]) -> BatchScoring:
    """The batches that concern some documents and the session's concepts.

    Args:
        session: The session.
        documents: The documents, with the texts that are scored.

    Raises:
        InputError: When the score model has no Batch API.
    """
    return BatchScoring(
        session.models.score,
        documents,
        list(session.concepts.values()),
        records=session._batches,
        run=session._run,
    )


def count_waiting(session: Session, tasks: Sequence[ScoreDocuments]) -> int:
    """How many of the scores that these tasks ask for are in an unfinished batch."""
    model, run = session.models.score, session._run
    endpoint = find_batch_endpoint(model, policy=run.policy, jitter=run.jitter)
    if endpoint is None:
        return 0
    key = model_key(endpoint.model, run.settings.get(ScoreDocuments.step, NO_SETTINGS))
    records = session._batches.under_way(key)
    if not records:
        return 0
    documents = {document.id: document for task in tasks for document in task.documents}
    known = KnownTexts(list(documents.values()), list(session.concepts.values()))
    waiting = set().union(*(known.pairs(record) for record in records))
    return sum(pair in waiting for pair in pairs_in(tasks))


def plan_cancel_batches(session: Session) -> Coroutine[Any, Any, list[BatchJob]]:
    """The work of `lloom.cancel_batches`."""
    return batches_of(session, list(session.corpus)).cancel()


async def score_in_batches(
    session: Session,
    concepts: Sequence[Concept],
    tasks: Sequence[ScoreDocuments],
    scoring: Scoring,
    table: ScoreTable,
    batches: BatchScoring,
) -> pd.DataFrame:
    """Send the tasks of a scoring, and put the answers of all batches that have ended into the table."""
    form = scoring.form
    with session._timed("score"), session._scorings.recorded(scoring, tasks):
        try:
            outcome = await batches.score(tasks, table, wait=form.wait, poll_seconds=form.poll_seconds)
        finally:
            scoring.answered.update(pairs_in(batches.answered))
        relocate_highlights(outcome.answered, table)
    if table is session.table and not outcome.under_way:
        await session._summarize(concepts, scored=outcome.answered)
    session._changed()
    return table.to_frame(concepts)
