"""Scoring through a provider's Batch API: files of requests, answered within a day at half the price."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import (
    BadAnswer,
    BudgetReached,
    ModelError,
    ModelNotFound,
    PermanentError,
    TransientError,
)
from text_lloom.llm.batches import (
    BATCH_PRICE,
    MOST_BYTES,
    MOST_REQUESTS,
    BatchFile,
    BatchJob,
    BatchStatus,
    need_batch_endpoint,
)
from text_lloom.llm.composite import Answerer
from text_lloom.llm.control.paid_call_guard import check_allowed
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.model import Model
from text_lloom.llm.runtime.event_loop import Cooperative
from text_lloom.operators.batch_records import BatchBudget, BatchCost, BatchRecord, BatchRecords, total_cost
from text_lloom.operators.batch_requests import (
    BatchReader,
    BatchRequest,
    KnownTexts,
    RequestBuilder,
    RequestResult,
    parse_scores,
)
from text_lloom.scores import ScoreTable
from text_lloom.tasks import ScoreDocuments

__all__ = ["BatchOutcome", "BatchScoring"]

_STEP = ScoreDocuments.step
_FIRST_WAIT = 1.0
_GROWTH = 1.5
_LINES_AT_ONCE = 500
_PUTS_AT_ONCE = 500
_ENDINGS = {
    "completed": "is complete, but has no answer to this",
    "failed": "was refused by the provider",
    "expired": "was not finished within its 24 hours",
    "cancelled": "was cancelled",
}


class BatchOutcome(NamedTuple):
    """The outcome of `BatchScoring.score`.

    Attributes:
        answered: The questions that were answered, with all documents that have these texts.
        under_way: The batches that have not ended.
    """

    answered: list[ScoreDocuments]
    under_way: list[BatchJob]


class BatchScoring:
    """Sends batches for some documents and concepts, and fetches their answers.

    Args:
        model: The model; it must have a Batch API.
        documents: The documents to score, with the texts that are scored.
        concepts: The concepts that answers may apply to.
        records: The batches of the session.
        run: Ledger, budget, cache and settings.
        say: Called with each message for the user.
        most_requests: Per file.
        most_bytes: Per file.

    Raises:
        InputError: When the model has no Batch API.
    """

    def __init__(
        self,
        model: Answerer,
        documents: Sequence[Document],
        concepts: Sequence[Concept],
        *,
        records: BatchRecords,
        run: Run,
        say: Callable[[str], object] = print,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._records, self._run, self._say = records, run, say
        self._documents, self._concepts = documents, concepts
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._endpoint = need_batch_endpoint(model, policy=run.policy, jitter=run.jitter)
        self._model: Model = self._endpoint.model
        self._builder = RequestBuilder(self._model, run, self._endpoint)
        self._budget = BatchBudget(run, records)
        self._store = run.store if self._model.keeps_replies else None
        self._texts: KnownTexts | None = None
        self._under_way: dict[str, BatchRecord] = {}
        self.waiting: set[tuple[Hashable, str]] = set()
        """Pairs of document id and concept id in the unfinished batches."""
        for record in records.under_way(self._builder.model_key):
            pairs = self._known.pairs(record)
            if pairs:
                self._under_way[record.job.file_id] = record
                self.waiting |= pairs
        self._not_in_cache: set[str] = set()
        self._shared: dict[str, list[BatchRequest]] = {}
        """File id of a batch that another scoring sent meanwhile → requests of this one that it contains."""
        self._answered: list[ScoreDocuments] = []
        self._out_of_budget: BudgetReached | None = None

    async def score(
        self,
        tasks: Sequence[ScoreDocuments],
        table: ScoreTable,
        *,
        wait: bool = True,
        poll_seconds: float = 60.0,
    ) -> BatchOutcome:
        """Send questions, and put the answers of all batches that have ended into the table.

        Args:
            tasks: Questions that no unfinished batch contains.
            table: The table for the judgements.
            wait: Wait for the batches to end; otherwise check them once.
            poll_seconds: The longest interval between two checks. The first interval is a second, and each
                is half as long again as the one before.

        Raises:
            BudgetReached: When not all questions fit the budget. Those that fit are sent first and, with
                `wait`, answered.
            ModelError: When the provider refuses a batch or cannot be reached.
        """
        check_allowed(self._model)
        template = self._builder.settings.template
        if template is not None:
            tasks = [task.with_template(template) for task in tasks]
        for record in self._under_way.values():
            self._records.keep(record)
            self._budget.reserve(record)
        try:
            async with self._records.sending:
                await self._send(tasks, table)
            await self._collect(table, wait=wait, longest=poll_seconds)
        except (asyncio.CancelledError, ModelError):
            self._say_how_to_continue("Stopped.")
            raise
        if self._out_of_budget is not None:
            raise self._out_of_budget
        return BatchOutcome(self._answered, [record.job for record in self._under_way.values()])

    @property
    def answered(self) -> list[ScoreDocuments]:
        """The questions that are answered by now, with all documents that have these texts."""
        return self._answered

    async def cancel(self) -> list[BatchJob]:
        """Stop the unfinished batches; what they have answered can still be fetched.

        These are the batches about these documents and concepts, and all that the session itself sent.
        Batches that were never created or that the provider does not know are removed.

        Returns:
            The batches with their new state.
        """
        jobs = []
        own = {record.job.file_id: record for record in self._records.own(self._builder.model_key)}
        for record in (self._under_way | own).values():
            job_id = record.job.id
            if not job_id:
                found = await self._endpoint.find(record.job.file_id)
                job_id = "" if found is None else found.id
            state = "cancelled"
            try:
                status = await self._endpoint.cancel(job_id) if job_id else None
            except ModelNotFound:
                state, status = "unknown", None
            if status is not None:
                record = self._updated(record, status)
                self._records.keep(record)
                jobs.append(record.job)
            else:
                self._budget.settle(record, BatchCost())
                self._close(record, state)
                jobs.append(record.job._replace(state=state))
        return jobs

    @property
    def _known(self) -> KnownTexts:
        if self._texts is None:  # hashing all texts takes time
            self._texts = KnownTexts(self._documents, self._concepts)
        return self._texts

    # Sending

    async def _send(self, tasks: Sequence[ScoreDocuments], table: ScoreTable) -> None:
        built = await asyncio.to_thread(self._builder.distinct, tasks)
        requests, cooperative = dict[str, BatchRequest](), Cooperative()
        for request in built:
            await cooperative.maybe_yield()
            if not (self._answer_from_cache(request, table) or self._was_sent_meanwhile(request)):
                requests[request.key] = request
        due = list(requests.values())
        if due:
            self._out_of_budget = self._budget.shortfall
        reserved: dict[str, BatchCost] = {}
        file = self._new_file()
        try:
            for at in range(0, len(due), _LINES_AT_ONCE):
                if self._out_of_budget is not None:
                    break
                for line, cost in await asyncio.to_thread(self._builder.lines, due[at : at + _LINES_AT_ONCE]):
                    try:
                        self._budget.add(cost)
                    except BudgetReached as error:
                        self._out_of_budget = error
                        break
                    reserved[line.key] = cost
                    if not file.add(line):
                        await self._send_file(file, requests, reserved)
                        file = self._new_file()
                        file.add(line)
            if len(file):
                await self._send_file(file, requests, reserved)
        finally:
            self._budget.replace(total_cost(reserved.values()), BatchCost())

    def _answer_from_cache(self, request: BatchRequest, table: ScoreTable) -> bool:
        """Whether a cached reply answers the request; puts its scores into the table."""
        cached = None if self._store is None else self._store.get(request.key)
        if cached is None:
            return False
        try:
            parsed = [parse_scores(task, cached) for task in request.tasks]
        except BadAnswer:
            return False
        for task, scores in zip(request.tasks, parsed, strict=True):
            by_id = {concept.id: concept for concept in task.concepts}
            for scored in scores:
                table.put(by_id[scored.concept_id], scored.doc_id, scored.judgement)
        self._answered += request.tasks
        self._run.ledger.add(Attempt(_STEP, self._model.label, time.time(), 0.0, 0, 0, 0.0, "cached"))
        return True

    def _was_sent_meanwhile(self, request: BatchRequest) -> bool:
        """Whether another scoring of the session has sent the request since this one was planned."""
        for record in self._records.own(self._builder.model_key):
            if request.key in record.requests:
                self._under_way.setdefault(record.job.file_id, record)
                self._not_in_cache.add(record.job.file_id)
                self._shared.setdefault(record.job.file_id, []).append(request)
                return True
        return False

    def _new_file(self) -> BatchFile:
        return BatchFile(most_requests=self._most_requests, most_bytes=self._most_bytes)

    async def _send_file(
        self,
        file: BatchFile,
        requests: dict[str, BatchRequest],
        reserved: dict[str, BatchCost],
    ) -> None:
        """Upload a file and create its batch; moves the reservations of its requests to the record."""
        file_id = await self._endpoint.upload(file.content)
        expected = total_cost(reserved[key] for key in file.keys)
        record = self._builder.record(file_id, [requests[key] for key in file.keys], expected)
        # Recorded before it is created: if the process ends in between, the next one looks for the batch.
        self._records.keep(record)
        self._under_way[file_id] = record
        self._not_in_cache.add(file_id)
        for key in file.keys:
            del reserved[key]
        self._records.reserved[file_id] = expected
        try:
            status = await self._endpoint.create(file_id)
        except PermanentError:
            self._budget.settle(record, BatchCost())
            self._close(record, "failed")
            raise
        self._records.keep(self._updated(record, status))
        self._say(f"Sent batch {status.id}: {len(file):,} requests to {self._model.label}, at half price.")

    # Fetching

    async def _collect(self, table: ScoreTable, *, wait: bool, longest: float) -> None:
        if not self._under_way:
            return
        progress = self._run.progress
        done = dict.fromkeys(self._under_way, 0)
        if progress is not None:
            progress.start(_STEP, sum(record.job.requests for record in self._under_way.values()))
        interval, reached_at = min(_FIRST_WAIT, longest), time.monotonic()
        try:
            while True:
                try:
                    for file_id, record in list(self._under_way.items()):
                        before, done[file_id] = done[file_id], await self._check(record, table)
                        if progress is not None:
                            progress.advance(done[file_id] - before)
                    reached_at = time.monotonic()
                except TransientError:
                    # Waiting for a day must survive a network that is down for a while.
                    if not wait or time.monotonic() - reached_at > self._run.policy.deadline:
                        raise
                if not self._under_way or not wait:
                    break
                await asyncio.sleep(interval)
                interval = min(interval * _GROWTH, longest)
        finally:
            if progress is not None:
                progress.finish()
        if self._under_way:
            self._say_how_to_continue("Not waiting.")

    async def _check(self, record: BatchRecord, table: ScoreTable) -> int:
        """Check a batch, and fetch it if it has ended.

        Returns:
            How many of its requests are done.
        """
        if self._was_fetched_meanwhile(record, table):
            return record.job.requests
        if self._put_from_cache(record, table):
            return record.job.requests
        try:
            status = await self._status(record)
        except ModelNotFound:
            self._fail_unknown(record)
            return record.job.requests
        record = self._updated(record, status)
        if not status.has_ended:
            return status.done
        try:
            results = await self._endpoint.results(status)
            reason = f"The batch {status.id} {_ENDINGS.get(status.state, 'has ended')}."
            if status.reason:
                reason = f"{reason} {status.reason}"
        except ModelNotFound as error:
            results, reason = [], f"The provider no longer has the answers of batch {status.id}: {error}"
        reader = BatchReader(self._model, self._endpoint, self._known, record)
        read = await asyncio.to_thread(reader.read_all, results, reason)
        await self._cache_replies(read)
        # No await from here on: a batch is put into the table and closed, or neither.
        if self._was_fetched_meanwhile(record, table):
            return record.job.requests
        if self._records.has_ended(record):  # by a scoring with another table, which has booked what it cost
            self._fill(record, read, table)
            self._under_way.pop(record.job.file_id, None)
        else:
            self._put(record, read, table, state=status.state)
        return record.job.requests

    async def _status(self, record: BatchRecord) -> BatchStatus:
        if record.job.id:
            return await self._endpoint.status(record.job.id)
        try:
            status = await self._endpoint.create(record.job.file_id, is_new=False)
        except PermanentError as error:
            return BatchStatus("", "failed", 0, None, None, str(error))
        self._records.keep(self._updated(record, status))
        return status

    def _was_fetched_meanwhile(self, record: BatchRecord, table: ScoreTable) -> bool:
        """Whether another scoring has ended a batch, and this table needs nothing more of it."""
        file_id = record.job.file_id
        filled = self._records.filled.get(file_id)
        if not self._records.has_ended(record):
            return False
        if filled is not None and not any(other is table for other in filled):
            return False  # the answers are in another table only
        self._under_way.pop(file_id, None)
        for request in self._shared.pop(file_id, ()):
            self._answer_from_cache(request, table)
        return True

    def _put_from_cache(self, record: BatchRecord, table: ScoreTable) -> bool:
        """Whether another session has cached all replies of a batch; puts their scores into the table."""
        if self._store is None or record.job.file_id in self._not_in_cache:
            return False
        reader, read = BatchReader(self._model, self._endpoint, self._known, record), []
        for key in record.requests:
            cached = self._store.get(key)
            result = None if cached is None else reader.read_cached(key, cached)
            if result is None:
                self._not_in_cache.add(record.job.file_id)
                return False
            read.append(result)
        self._put(record, read, table, state="completed")
        return True

    def _fail_unknown(self, record: BatchRecord) -> None:
        """Record failures for a batch that the provider does not know; its questions are not sent again."""
        job = record.job._replace(state="unknown")
        self._records.note(job)
        del self._under_way[job.file_id]
        error = ModelNotFound(
            f"The provider does not know the batch {job.id} under this key. If it was sent with another key, "
            f"use that one. Otherwise cancel_batches() forgets it, and its questions can be sent again."
        )
        reader = BatchReader(self._model, self._endpoint, self._known, record)
        for key in record.requests:
            self._run.failures.extend(reader.failures(key, error))

    async def _cache_replies(self, read: Sequence[RequestResult]) -> None:
        store = self._store
        if store is None:
            return
        good = [(r.key, r.completion, r.row) for r in read if r.completion is not None]
        for at in range(0, len(good), _PUTS_AT_ONCE):
            await asyncio.gather(
                *(
                    store.put(
                        key,
                        completion,
                        model=self._model.label,
                        step=_STEP,
                        usd=None if row is None else row.usd or None,
                    )
                    for key, completion, row in good[at : at + _PUTS_AT_ONCE]
                )
            )

    def _put(
        self, record: BatchRecord, read: Sequence[RequestResult], table: ScoreTable, *, state: str
    ) -> None:
        """Put the results of a batch into the table, the ledger and the budget, and close it."""
        spent, price = BatchCost(), self._model.cost
        for result in read:
            row = result.row
            if row is not None:
                self._run.ledger.add(row)
                usd = row.usd or 0.0
                if row.usd is None and price is not None:
                    usd = BATCH_PRICE * price.of(row.in_tokens, row.out_tokens)
                spent = spent.plus(BatchCost(usd, row.in_tokens + row.out_tokens))
        self._fill(record, read, table)
        self._budget.settle(record, spent)
        self._close(record, state)

    def _fill(self, record: BatchRecord, read: Sequence[RequestResult], table: ScoreTable) -> None:
        """Put the judgements of a batch into the table, and list what failed."""
        known_failures = set(self._run.failures)
        for result in read:
            for doc_ids, concepts, judgement in result.judgements or ():
                for concept in concepts:
                    for doc_id in doc_ids:
                        table.put(concept, doc_id, judgement)
            if result.judgements:
                questions = record.requests[result.key]
                self._answered += [self._known.answered(record, asked) for asked in questions]
            self._run.failures.extend(one for one in result.failures if one not in known_failures)
        self._records.filled.setdefault(record.job.file_id, []).append(table)

    def _updated(self, record: BatchRecord, status: BatchStatus) -> BatchRecord:
        """The record with the batch's state at the provider."""
        job = record.job._replace(id=status.id or record.job.id, state=status.state)
        self._records.note(job)
        noted = self._under_way[job.file_id] = replace(record, job=job)
        return noted

    def _close(self, record: BatchRecord, state: str) -> None:
        self._under_way.pop(record.job.file_id, None)
        self._records.close(record, state)

    def _say_how_to_continue(self, first: str) -> None:
        jobs = [record.job for record in self._under_way.values()]
        if not jobs:
            return
        n = sum(job.requests for job in jobs)
        named = ", ".join(job.id or job.file_id for job in jobs[:5]) + (", …" if len(jobs) > 5 else "")
        self._say(
            f"{first} {n:,} requests go on at the provider ({named}) and will be paid for. Fetch "
            f"them with `await l.score(mode='batch')`, also after a restart; stop them with "
            f"`await l.cancel_batches()`."
        )
