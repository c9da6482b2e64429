"""Scoring through a provider's Batch API: sent in files, fetched within a day, at half the price."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

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
from text_lloom.llm.asked import ModelRequest
from text_lloom.llm.batches import (
    BATCH_PRICE,
    MOST_BYTES,
    MOST_REQUESTS,
    BatchEndpoint,
    BatchFile,
    BatchJob,
    BatchLine,
    BatchStatus,
)
from text_lloom.llm.fit import fit_task
from text_lloom.llm.posing import NO_SETTINGS, request_for, request_key
from text_lloom.llm.providers.openai import OpenAIModel
from text_lloom.llm.run import Run
from text_lloom.llm.spending import check_allowed
from text_lloom.llm.usage import Attempt
from text_lloom.operators.batch_answers import BatchReader, KnownTexts, Reading, parsed_scores
from text_lloom.operators.batch_book import (
    Asked,
    AskedConcept,
    BatchBook,
    BatchCost,
    BatchRecord,
    asker_of,
    text_hash,
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
        self._settings = run.settings.get(_STEP, NO_SETTINGS)
        self._asker = asker_of(model, self._settings)
        self._endpoint = BatchEndpoint(model, policy=run.policy, jitter=run.jitter)
        self._store = run.store if model.keeps_replies else None
        self._texts: KnownTexts | None = None
        self._under_way: dict[str, BatchRecord] = {}
        self.waiting: set[tuple[Hashable, str]] = set()
        """Pairs of document id and concept id that a batch under way asks about."""
        for record in book.under_way(self._asker):
            pairs = self._known.pairs(record)
            if pairs:
                self._under_way[record.job.file_id] = record
                self.waiting |= pairs
        self._not_in_store: set[str] = set()
        self._answered: list[ScoreDocuments] = []
        self._no_room: BudgetReached | None = None
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
        template = self._settings.template
        if template is not None:
            tasks = [task.with_template(template) for task in tasks]
        for record in self._under_way.values():
            self._book.keep(record)
            self._reserve(record)
        try:
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
        own = {record.job.file_id: record for record in self._book.own(self._asker)}
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
                self._settle(record, BatchCost())
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
        asked = await asyncio.to_thread(self._questions, tasks)
        questions = {q.key: q for q in asked if not self._answer_from_store(q, table)}
        due = list(questions.values())
        if due:
            self._out_of_budget = self._no_room
        reserved: dict[str, BatchCost] = {}
        file = self._new_file()
        try:
            for at in range(0, len(due), _LINES_AT_ONCE):
                if self._out_of_budget is not None:
                    break
                for line, cost in await asyncio.to_thread(self._lines, due[at : at + _LINES_AT_ONCE]):
                    try:
                        self._set_aside(cost)
                    except BudgetReached as error:
                        self._out_of_budget = error
                        break
                    reserved[line.key] = cost
                    if not file.add(line):
                        await self._send_file(file, questions, reserved)
                        file = self._new_file()
                        file.add(line)
            if len(file):
                await self._send_file(file, questions, reserved)
        finally:
            self._book_cost(_total(reserved.values()), BatchCost())

    def _questions(self, tasks: Sequence[ScoreDocuments]) -> list[_Question]:
        """Distinct prompts, in the order of the tasks."""
        found: dict[str, _Question] = {}
        cut: dict[Hashable, None] = {}
        for task in tasks:
            fitted = cast("ScoreDocuments", fit_task(task, self._model))
            if fitted is not task:
                cut |= dict.fromkeys(task.doc_ids)
            key = request_key(self._model, self._request(fitted))
            found.setdefault(key, _Question(key, fitted)).tasks.append(task)
        if cut:
            noted = self._run.cut.setdefault(_STEP, [])
            known = set(noted)
            noted.extend(doc_id for doc_id in cut if doc_id not in known)
        return list(found.values())

    def _answer_from_store(self, question: _Question, table: ScoreTable) -> bool:
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

    def _lines(self, questions: Sequence[_Question]) -> list[tuple[BatchLine, BatchCost]]:
        """The requests, each with what it may cost if there is a budget."""
        price, lines = self._model.cost, []
        has_budget = self._run.budget is not None or self._run.token_budget is not None
        for question in questions:
            asked, cost = question.asked, BatchCost()
            request = self._request(asked)
            if has_budget:
                in_tokens = self._model.count_tokens(request.text)
                out_tokens = asked.expected_tokens * asked.answer_units()
                usd = 0.0 if price is None else BATCH_PRICE * price.of(in_tokens, out_tokens)
                cost = BatchCost(usd, in_tokens + out_tokens)
            lines.append((self._endpoint.line(question.key, request), cost))
        return lines

    def _request(self, task: ScoreDocuments) -> ModelRequest:
        return request_for(self._model, task, self._settings)

    def _new_file(self) -> BatchFile:
        return BatchFile(most_requests=self._most_requests, most_bytes=self._most_bytes)

    async def _send_file(
        self, file: BatchFile, questions: dict[str, _Question], reserved: dict[str, BatchCost]
    ) -> None:
        """Send a file, and have it answered; takes over what is reserved for its requests."""
        file_id = await self._endpoint.upload(file.content)
        expected = _total(reserved[key] for key in file.keys)
        record = self._record(file_id, [questions[key] for key in file.keys], expected)
        # Written down before it is created: should this process end in between, the batch is looked for.
        self._book.keep(record)
        self._under_way[file_id] = record
        self._not_in_store.add(file_id)
        for key in file.keys:
            del reserved[key]
        self._book.reserved[file_id] = expected
        try:
            status = await self._endpoint.create(file_id)
        except PermanentError:
            self._settle(record, BatchCost())
            self._close(record, "failed")
            raise
        self._book.keep(self._noted(record, status))
        self._say(f"Sent batch {status.id}: {len(file):,} requests to {self._model.label}, at half price.")

    def _record(self, file_id: str, sent: Sequence[_Question], expected: BatchCost) -> BatchRecord:
        positions: dict[str, int] = {}
        concepts: list[AskedConcept] = []
        requests: dict[str, tuple[Asked, ...]] = {}
        for question in sent:
            asked = []
            for task in question.tasks:
                for concept in task.concepts:
                    if concept.id not in positions:
                        positions[concept.id] = len(concepts)
                        concepts.append(AskedConcept(concept.id, text_hash(concept.criteria)))
                texts = tuple(text_hash(text) for text in task.texts)
                asked.append(Asked(texts, tuple(positions[i] for i in task.concept_ids)))
            requests[question.key] = tuple(dict.fromkeys(asked))
        job = BatchJob("", file_id, self._model.name, time.time(), len(sent), "sent")
        highlights = sent[0].asked.get_highlights
        return BatchRecord(job, self._asker, highlights, tuple(concepts), requests, expected)

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
        self._settle(record, spent)
        self._close(record, state)

    # The budget, and small things

    def _reserve(self, record: BatchRecord) -> None:
        """Set aside what a batch will cost that another session has sent."""
        file_id = record.job.file_id
        if file_id in self._book.reserved:
            return
        try:
            self._set_aside(record.expected)
        except BudgetReached as error:
            self._no_room = error
        else:
            self._book.reserved[file_id] = record.expected

    def _settle(self, record: BatchRecord, spent: BatchCost) -> None:
        reserved = self._book.reserved.pop(record.job.file_id, BatchCost())
        if not reserved.tokens:
            # Nothing was set aside for it, which says nothing about how good estimates are.
            with contextlib.suppress(BudgetReached):
                self._set_aside(spent)
                reserved = spent
        self._book_cost(reserved, spent)

    def _set_aside(self, cost: BatchCost) -> None:
        """Reserve a cost in all budgets.

        Raises:
            BudgetReached: When it would pass one of them; nothing is set aside then.
        """
        budget, token_budget = self._run.budget, self._run.token_budget
        if budget is not None:
            budget.reserve(cost.usd)
        if token_budget is not None:
            try:
                token_budget.reserve(cost.tokens)
            except BudgetReached:
                if budget is not None:
                    budget.settle(cost.usd, 0.0)
                raise

    def _book_cost(self, reserved: BatchCost, spent: BatchCost) -> None:
        """Book what was spent in place of what was set aside for it."""
        if self._run.budget is not None:
            self._run.budget.settle(reserved.usd, spent.usd)
        if self._run.token_budget is not None:
            self._run.token_budget.settle(reserved.tokens, spent.tokens)

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


@dataclass(slots=True)
class _Question:
    """Tasks with one prompt between them; `asked` is the first one, its texts perhaps cut."""

    key: str
    asked: ScoreDocuments
    tasks: list[ScoreDocuments] = field(default_factory=list)


def _total(costs: Iterable[BatchCost]) -> BatchCost:
    return functools.reduce(BatchCost.plus, costs, BatchCost())
