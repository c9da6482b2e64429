"""Scoring through a provider's Batch API: sent in files, fetched within a day, at half the price."""

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
    BatchEndpoint,
    BatchFile,
    BatchJob,
    BatchStatus,
)
from text_lloom.llm.control.paid_call_guard import check_allowed
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.providers.openai import OpenAIModel
from text_lloom.llm.runtime.event_loop import Cooperative
from text_lloom.operators.batch_answers import BatchReader, KnownTexts, Reading, parsed_scores
from text_lloom.operators.batch_book import BatchBook, BatchCost, BatchRecord
from text_lloom.operators.batch_budget import BatchBudget, total_cost
from text_lloom.operators.batch_questions import BatchQuestion, BatchQuestions
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
    """What came of a call.

    Attributes:
        answered: The questions that got answers, about all documents with these texts.
        under_way: The batches that have not ended.
    """

    answered: list[ScoreDocuments]
    under_way: list[BatchJob]


class BatchScoring:
    """The batches that concern some documents and concepts: sending them, and fetching their answers.

    Args:
        model: Who is asked.
        documents: The documents to score, with the texts that are judged.
        concepts: The concepts that answers may be about.
        book: The batches of the session.
        run: Ledger, budget and so on.
        say: Tells the user what happens.
        most_requests: Per file.
        most_bytes: Per file.
    """

    def __init__(
        self,
        model: OpenAIModel,
        documents: Sequence[Document],
        concepts: Sequence[Concept],
        *,
        book: BatchBook,
        run: Run,
        say: Callable[[str], object] = print,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._model, self._book, self._run, self._say = model, book, run, say
        self._documents, self._concepts = documents, concepts
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._endpoint = BatchEndpoint(model, policy=run.policy, jitter=run.jitter)
        self._questions = BatchQuestions(model, run, self._endpoint)
        self._budget = BatchBudget(run, book)
        self._store = run.store if model.keeps_replies else None
        self._texts: KnownTexts | None = None
        self._under_way: dict[str, BatchRecord] = {}
        self.waiting: set[tuple[Hashable, str]] = set()
        """Pairs of document id and concept id that a batch under way asks about."""
        for record in book.under_way(self._questions.asker):
            pairs = self._known.pairs(record)
            if pairs:
                self._under_way[record.job.file_id] = record
                self.waiting |= pairs
        self._not_in_store: set[str] = set()
        self._beside: dict[str, list[BatchQuestion]] = {}
        """By file id of a batch that the session has sent meanwhile: questions that it asks already."""
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
            tasks: Questions that no batch under way asks.
            table: Gets the judgements.
            wait: Wait for the batches to end; otherwise they are looked at once.
            poll_seconds: The longest time between two looks. The first is after a second, and then each
                is half as long again as the one before.

        Raises:
            BudgetReached: When not all questions fit the budget; after those that fit were sent and, if
                waited for, answered.
            ModelError: When the provider refuses a batch or cannot be reached.
        """
        check_allowed(self._model)
        template = self._questions.settings.template
        if template is not None:
            tasks = [task.with_template(template) for task in tasks]
        for record in self._under_way.values():
            self._book.keep(record)
            self._budget.reserve(record)
        try:
            async with self._book.sending:
                await self._send(tasks, table)
            await self._collect(table, wait=wait, longest=poll_seconds)
        except (asyncio.CancelledError, ModelError):
            self._say_how_to_go_on("Stopped.")
            raise
        if self._out_of_budget is not None:
            raise self._out_of_budget
        return BatchOutcome(self._answered, [record.job for record in self._under_way.values()])

    @property
    def answered(self) -> list[ScoreDocuments]:
        """The questions that got answers by now, about all documents with these texts."""
        return self._answered

    async def cancel(self) -> list[BatchJob]:
        """Have the batches under way stopped; what they have answered can still be fetched.

        These are the ones about these documents and concepts, and all that the session itself has sent.
        Batches that were never created or that the provider does not know are forgotten.

        Returns:
            The batches with their new state.
        """
        jobs = []
        own = {record.job.file_id: record for record in self._book.own(self._questions.asker)}
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
                record = self._noted(record, status)
                self._book.keep(record)
                jobs.append(record.job)
            else:
                self._budget.settle(record, BatchCost())
                self._close(record, state)
                jobs.append(record.job._replace(state=state))
        return jobs

    @property
    def _known(self) -> KnownTexts:
        if self._texts is None:  # reads all texts
            self._texts = KnownTexts(self._documents, self._concepts)
        return self._texts

    # Sending

    async def _send(self, tasks: Sequence[ScoreDocuments], table: ScoreTable) -> None:
        asked = await asyncio.to_thread(self._questions.gathered, tasks)
        questions, turns = dict[str, BatchQuestion](), Cooperative()
        for question in asked:
            await turns.maybe_yield()
            if not (self._answer_from_store(question, table) or self._is_asked_beside(question, table)):
                questions[question.key] = question
        due = list(questions.values())
        if due:
            self._out_of_budget = self._budget.no_room
        reserved: dict[str, BatchCost] = {}
        file = self._new_file()
        try:
            for at in range(0, len(due), _LINES_AT_ONCE):
                if self._out_of_budget is not None:
                    break
                for line, cost in await asyncio.to_thread(
                    self._questions.lines, due[at : at + _LINES_AT_ONCE]
                ):
                    try:
                        self._budget.set_aside(cost)
                    except BudgetReached as error:
                        self._out_of_budget = error
                        break
                    reserved[line.key] = cost
                    if not file.add(line):
                        await self._send_file(file, questions, reserved, table)
                        file = self._new_file()
                        file.add(line)
            if len(file):
                await self._send_file(file, questions, reserved, table)
        finally:
            self._budget.book(total_cost(reserved.values()), BatchCost())

    def _answer_from_store(self, question: BatchQuestion, table: ScoreTable) -> bool:
        """Whether a reply from before answers the question."""
        kept = None if self._store is None else self._store.get(question.key)
        if kept is None:
            return False
        try:
            found = [parsed_scores(task, kept) for task in question.tasks]
        except BadAnswer:
            return False
        for task, scores in zip(question.tasks, found, strict=True):
            by_id = {concept.id: concept for concept in task.concepts}
            for scored in scores:
                table.put(by_id[scored.concept_id], scored.doc_id, scored.judgement)
        self._answered += question.tasks
        self._run.ledger.add(Attempt(_STEP, self._model.label, time.time(), 0.0, 0, 0, 0.0, "cached"))
        return True

    def _is_asked_beside(self, question: BatchQuestion, table: ScoreTable) -> bool:
        """Whether another scoring of the session has sent the question since this one was planned.

        Its answer must get here, too: by the same table, or by the replies that are kept.
        """
        for record in self._book.own(self._questions.asker):
            file_id = record.job.file_id
            gets_here = self._store is not None or self._book.tables.get(file_id) is table
            if gets_here and question.key in record.requests:
                self._under_way.setdefault(file_id, record)
                self._not_in_store.add(file_id)
                self._beside.setdefault(file_id, []).append(question)
                return True
        return False

    def _new_file(self) -> BatchFile:
        return BatchFile(most_requests=self._most_requests, most_bytes=self._most_bytes)

    async def _send_file(
        self,
        file: BatchFile,
        questions: dict[str, BatchQuestion],
        reserved: dict[str, BatchCost],
        table: ScoreTable,
    ) -> None:
        """Send a file, and have it answered; takes over what is reserved for its requests."""
        file_id = await self._endpoint.upload(file.content)
        expected = total_cost(reserved[key] for key in file.keys)
        record = self._questions.record(file_id, [questions[key] for key in file.keys], expected)
        # Written down before it is created: should this process end in between, the batch is looked for.
        self._book.keep(record)
        self._book.tables[file_id] = table
        self._under_way[file_id] = record
        self._not_in_store.add(file_id)
        for key in file.keys:
            del reserved[key]
        self._book.reserved[file_id] = expected
        try:
            status = await self._endpoint.create(file_id)
        except PermanentError:
            self._budget.settle(record, BatchCost())
            self._close(record, "failed")
            raise
        self._book.keep(self._noted(record, status))
        self._say(f"Sent batch {status.id}: {len(file):,} requests to {self._model.label}, at half price.")

    # Fetching

    async def _collect(self, table: ScoreTable, *, wait: bool, longest: float) -> None:
        if not self._under_way:
            return
        progress = self._run.progress
        done = dict.fromkeys(self._under_way, 0)
        if progress is not None:
            progress.start(_STEP, sum(record.job.requests for record in self._under_way.values()))
        interval, reached = min(_FIRST_WAIT, longest), time.monotonic()
        try:
            while True:
                try:
                    for file_id, record in list(self._under_way.items()):
                        before, done[file_id] = done[file_id], await self._look(record, table)
                        if progress is not None:
                            progress.advance(done[file_id] - before)
                    reached = time.monotonic()
                except TransientError:
                    # A day's wait must outlast a network that is away for a while.
                    if not wait or time.monotonic() - reached > self._run.policy.deadline:
                        raise
                if not self._under_way or not wait:
                    break
                await asyncio.sleep(interval)
                interval = min(interval * _GROWTH, longest)
        finally:
            if progress is not None:
                progress.finish()
        if self._under_way:
            self._say_how_to_go_on("Not waiting.")

    async def _look(self, record: BatchRecord, table: ScoreTable) -> int:
        """Look at a batch, and fetch it if it has ended; gives how many of its requests are done."""
        if self._was_fetched_beside(record, table):
            return record.job.requests
        if self._put_from_store(record, table):
            return record.job.requests
        try:
            status = await self._status(record)
        except ModelNotFound:
            self._put_aside(record)
            return record.job.requests
        record = self._noted(record, status)
        if not status.has_ended:
            return status.done
        try:
            results = await self._endpoint.results(status)
            reason = f"The batch {status.id} {_ENDINGS.get(status.state, 'has ended')}."
            if status.reason:
                reason = f"{reason} {status.reason}"
        except ModelNotFound as error:
            results, reason = [], f"The provider no longer has the answers of batch {status.id}: {error}"
        reader = BatchReader(self._model, self._known, record)
        readings = await asyncio.to_thread(reader.read_all, results, reason)
        await self._keep_replies(readings)
        if self._was_fetched_beside(record, table):
            return record.job.requests
        # Nothing is awaited from here on: a batch is either booked and closed, or neither.
        self._put(record, readings, table, state=status.state)
        return record.job.requests

    async def _status(self, record: BatchRecord) -> BatchStatus:
        if record.job.id:
            return await self._endpoint.status(record.job.id)
        try:
            status = await self._endpoint.create(record.job.file_id, is_new=False)
        except PermanentError as error:
            return BatchStatus("", "failed", 0, None, None, str(error))
        self._book.keep(self._noted(record, status))
        return status

    def _was_fetched_beside(self, record: BatchRecord, table: ScoreTable) -> bool:
        """Whether another scoring of the session has booked and closed a batch in the meantime."""
        if not self._book.has_ended(record):
            return False
        self._under_way.pop(record.job.file_id, None)
        for question in self._beside.pop(record.job.file_id, ()):
            self._answer_from_store(question, table)  # it may have filled another table
        return True

    def _put_from_store(self, record: BatchRecord, table: ScoreTable) -> bool:
        """Whether all answers of a batch were fetched before, by another session."""
        if self._store is None or record.job.file_id in self._not_in_store:
            return False
        reader, readings = BatchReader(self._model, self._known, record), []
        for key in record.requests:
            kept = self._store.get(key)
            reading = None if kept is None else reader.read_kept(key, kept)
            if reading is None:
                self._not_in_store.add(record.job.file_id)
                return False
            readings.append(reading)
        self._put(record, readings, table, state="completed")
        return True

    def _put_aside(self, record: BatchRecord) -> None:
        """Say that the provider does not know a batch; its questions are not sent again by themselves."""
        job = record.job._replace(state="unknown")
        self._book.note(job)
        del self._under_way[job.file_id]
        error = ModelNotFound(
            f"The provider does not know the batch {job.id} under this key. If it was sent with another key, "
            f"use that one. Otherwise cancel_batches() forgets it, and its questions can be sent again."
        )
        reader = BatchReader(self._model, self._known, record)
        for key in record.requests:
            self._run.failures.extend(reader.failures(key, error))

    async def _keep_replies(self, readings: Sequence[Reading]) -> None:
        store = self._store
        if store is None:
            return
        good = [(r.key, r.completion, r.row) for r in readings if r.completion is not None]
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
        self, record: BatchRecord, readings: Sequence[Reading], table: ScoreTable, *, state: str
    ) -> None:
        """Book what the requests of a batch gave, and close it."""
        spent, price = BatchCost(), self._model.cost
        for reading in readings:
            row = reading.row
            if row is not None:
                self._run.ledger.add(row)
                usd = row.usd or 0.0
                if row.usd is None and price is not None:
                    usd = BATCH_PRICE * price.of(row.in_tokens, row.out_tokens)
                spent = spent.plus(BatchCost(usd, row.in_tokens + row.out_tokens))
            for found in reading.found or ():
                for concept in found.concepts:
                    for doc_id in found.doc_ids:
                        table.put(concept, doc_id, found.judgement)
            if reading.found:
                questions = record.requests[reading.key]
                self._answered += [self._known.answered(record, asked) for asked in questions]
            self._run.failures.extend(reading.failures)
        self._budget.settle(record, spent)
        self._close(record, state)

    # Small things

    def _noted(self, record: BatchRecord, status: BatchStatus) -> BatchRecord:
        """The record with what the provider says about the batch."""
        job = record.job._replace(id=status.id or record.job.id, state=status.state)
        self._book.note(job)
        noted = self._under_way[job.file_id] = replace(record, job=job)
        return noted

    def _close(self, record: BatchRecord, state: str) -> None:
        self._under_way.pop(record.job.file_id, None)
        self._book.close(record, state)

    def _say_how_to_go_on(self, first: str) -> None:
        jobs = [record.job for record in self._under_way.values()]
        if not jobs:
            return
        n = sum(job.requests for job in jobs)
        named = ", ".join(job.id or job.file_id for job in jobs[:5]) + (", …" if len(jobs) > 5 else "")
        self._say(
            f"{first} {n:,} requests go on at the provider ({named}) and will be paid for. Fetch them with "
            f"`await l.score(mode='batch')`, also after a restart; stop them with `await l.cancel_batches()`."
        )
