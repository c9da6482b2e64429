"""The requests of a batch: how questions become requests, and how their results become judgements."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import BadAnswer, LloomError, ModelError, PermanentError, TransientError
from text_lloom.llm.batches import BATCH_PRICE, BatchEndpoint, BatchJob, BatchLine, BatchResult
from text_lloom.llm.cache.keys import request_key
from text_lloom.llm.completion import Completion, checked, usable_text
from text_lloom.llm.control.retry import as_model_error
from text_lloom.llm.control.usage import Attempt, Outcome
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS, build_task_request, fit_task
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import Model
from text_lloom.llm.providers.openai_formats import usage_of
from text_lloom.llm.runtime.http import HttpError
from text_lloom.operators.batch_records import (
    BatchCost,
    BatchRecord,
    RecordedConcept,
    RecordedQuestion,
    model_key,
    text_hash,
)
from text_lloom.scores import Judgement
from text_lloom.tasks import Scored, ScoreDocuments

__all__ = [
    "BatchReader",
    "BatchRequest",
    "FoundJudgement",
    "KnownTexts",
    "RequestBuilder",
    "RequestResult",
    "parse_scores",
]

_STEP = ScoreDocuments.step


@dataclass(slots=True)
class BatchRequest:
    """Tasks that share a prompt, and so one request.

    Attributes:
        key: Identifies the request.
        asked: The first of the tasks, with its texts truncated if need be.
        tasks: All of them.
    """

    key: str
    asked: ScoreDocuments
    tasks: list[ScoreDocuments] = field(default_factory=list)


class RequestBuilder:
    """Builds the requests of batches.

    Args:
        model: Who is asked.
        run: Settings, budgets, and the list of truncated documents.
        endpoint: Writes the lines.
    """

    def __init__(self, model: Model, run: Run, endpoint: BatchEndpoint) -> None:
        self._model, self._run, self._endpoint = model, run, endpoint
        self.settings = run.settings.get(_STEP, NO_SETTINGS)
        self.model_key = model_key(model, self.settings)

    def distinct(self, tasks: Sequence[ScoreDocuments]) -> list[BatchRequest]:
        """One request per distinct prompt, in the order of the tasks."""
        found: dict[str, BatchRequest] = {}
        cut: dict[Hashable, None] = {}
        for task in tasks:
            fitted, prompt = fit_task(task, self._model)
            if fitted is not task:
                cut |= dict.fromkeys(task.doc_ids)
            asked = cast("ScoreDocuments", fitted)
            key = request_key(self._model, self._build(asked, prompt))
            found.setdefault(key, BatchRequest(key, asked)).tasks.append(task)
        if cut:
            noted = self._run.cut.setdefault(_STEP, [])
            known = set(noted)
            noted.extend(doc_id for doc_id in cut if doc_id not in known)
        return list(found.values())

    def lines(self, requests: Sequence[BatchRequest]) -> list[tuple[BatchLine, BatchCost]]:
        """The lines of the requests, each with its estimated cost if there is a budget."""
        price, lines = self._model.cost, []
        has_budget = self._run.budget is not None or self._run.token_budget is not None
        for request in requests:
            asked, cost = request.asked, BatchCost()
            built = self._build(asked)
            if has_budget:
                in_tokens = self._model.count_tokens(built.text)
                out_tokens = asked.expected_tokens * asked.answer_units()
                usd = 0.0 if price is None else BATCH_PRICE * price.of(in_tokens, out_tokens)
                cost = BatchCost(usd, in_tokens + out_tokens)
            lines.append((self._endpoint.line(request.key, built), cost))
        return lines

    def record(self, file_id: str, sent: Sequence[BatchRequest], expected: BatchCost) -> BatchRecord:
        """The record of an uploaded file of requests."""
        positions: dict[str, int] = {}
        concepts: list[RecordedConcept] = []
        requests: dict[str, tuple[RecordedQuestion, ...]] = {}
        for request in sent:
            asked = []
            for task in request.tasks:
                for concept in task.concepts:
                    if concept.id not in positions:
                        positions[concept.id] = len(concepts)
                        concepts.append(RecordedConcept(concept.id, text_hash(concept.criteria)))
                texts = tuple(text_hash(text) for text in task.texts)
                asked.append(RecordedQuestion(texts, tuple(positions[i] for i in task.concept_ids)))
            requests[request.key] = tuple(dict.fromkeys(asked))
        job = BatchJob("", file_id, self._model.name, time.time(), len(sent), "sent")
        highlights = sent[0].asked.get_highlights
        return BatchRecord(job, self.model_key, highlights, tuple(concepts), requests, expected)

    def _build(self, task: ScoreDocuments, prompt: str | None = None) -> ModelRequest:
        return build_task_request(self._model, task, self.settings, prompt=prompt)


class FoundJudgement(NamedTuple):
    """A judgement, with the documents and concepts of this session that it applies to.

    Attributes:
        doc_ids: All documents with that text.
        concepts: The concept; several only if they have one criterion.
        judgement: The judgement.
    """

    doc_ids: list[Hashable]
    concepts: list[Concept]
    judgement: Judgement


class RequestResult(NamedTuple):
    """The result of one request.

    Attributes:
        key: Key of the request.
        completion: The reply, `None` without a usable one.
        row: The row for the ledger, `None` if the provider never tried the request.
        judgements: `None` without a usable reply.
        failures: The questions without an answer.
    """

    key: str
    completion: Completion | None
    row: Attempt | None
    judgements: list[FoundJudgement] | None
    failures: list[Failure]


class KnownTexts:
    """Finds the documents and concepts of a session by the hashes of their texts and criteria.

    Args:
        documents: The documents, with the texts that are scored.
        concepts: The concepts.
    """

    def __init__(self, documents: Sequence[Document], concepts: Sequence[Concept]) -> None:
        self._documents: dict[str, list[Document]] = {}
        for document in documents:
            self._documents.setdefault(text_hash(document.text), []).append(document)
        self._by_hash: dict[str, list[Concept]] = {}
        for concept in concepts:
            self._by_hash.setdefault(text_hash(concept.criteria), []).append(concept)

    def doc_ids(self, text: str) -> list[Hashable]:
        """Ids of the documents whose text has this hash."""
        return [document.id for document in self._documents.get(text, ())]

    def concepts(self, asked: RecordedConcept) -> list[Concept]:
        """The concept of a record: the one with its id, or else all with its criterion."""
        same = self._by_hash.get(asked.criteria, [])
        return [concept for concept in same if concept.id == asked.id] or same

    def pairs(self, record: BatchRecord) -> set[tuple[Hashable, str]]:
        """The pairs of document id and concept id in a batch."""
        ids = [[concept.id for concept in self.concepts(asked)] for asked in record.concepts]
        return {
            (doc_id, concept_id)
            for questions in record.requests.values()
            for documents, concepts in questions
            for document in documents
            for doc_id in self.doc_ids(document)
            for position in concepts
            for concept_id in ids[position]
        }

    def question(self, record: BatchRecord, asked: RecordedQuestion) -> ScoreDocuments:
        """The question as it was asked; empty where this session lacks a document or concept."""
        documents = [self._documents.get(text, [Document("", "")])[0] for text in asked.documents]
        found = [self.concepts(record.concepts[position]) for position in asked.concepts]
        concepts = [same[0] if same else Concept("", "", id="") for same in found]
        return ScoreDocuments(tuple(documents), tuple(concepts), record.get_highlights)

    def answered(self, record: BatchRecord, asked: RecordedQuestion) -> ScoreDocuments:
        """All documents and concepts of this session that an answer to the question applies to."""
        documents = [d for text in asked.documents for d in self._documents.get(text, ())]
        concepts = [c for position in asked.concepts for c in self.concepts(record.concepts[position])]
        return ScoreDocuments(tuple(documents), tuple(concepts), record.get_highlights)


class BatchReader:
    """Reads the results of a batch.

    Args:
        model: The model that was asked.
        endpoint: Its Batch API.
        known: The documents and concepts of this session.
        record: The batch.
    """

    def __init__(self, model: Model, endpoint: BatchEndpoint, known: KnownTexts, record: BatchRecord) -> None:
        self._model, self._endpoint, self._known, self._record = model, endpoint, known, record

    def read_all(self, results: Sequence[BatchResult], reason: str) -> list[RequestResult]:
        """The results of all requests of a batch that has ended.

        Args:
            results: As the provider lists them.
            reason: Why a request that is not listed has no answer.
        """
        by_key: dict[str, BatchResult] = {}
        for result in results:
            by_key.setdefault(result.key, result)
        answer_format = self._endpoint.answer_format
        return [self._read(key, by_key.get(key), reason, answer_format) for key in self._record.requests]

    def read_cached(self, key: str, completion: Completion) -> RequestResult | None:
        """The result of a request whose reply is in the cache, `None` if the reply is not usable."""
        try:
            judgements = self._judgements(key, checked(completion))
        except ModelError:
            return None
        row = Attempt(_STEP, self._model.label, time.time(), 0.0, 0, 0, 0.0, "cached")
        return RequestResult(key, completion, row, judgements, [])

    def failures(self, key: str, error: LloomError, *, tries: int = 0, usd: float = 0.0) -> list[Failure]:
        """The failures of a request's questions that concern this session."""
        reason, kind = self._model.redact(str(error)), type(error).__name__
        questions, known = self._record.requests[key], self._known
        answered = [known.answered(self._record, asked) for asked in questions]
        share = usd / len(questions)
        return [
            Failure(_STEP, task.doc_ids, task.concept_ids, kind, reason, tries, share)
            for task in answered
            if task.documents and task.concepts
        ]

    def _read(self, key: str, result: BatchResult | None, reason: str, answer_format: int) -> RequestResult:
        if result is None or result.status is None:
            untried = TransientError(reason if result is None else result.reason)
            return RequestResult(key, None, None, None, self.failures(key, untried))
        if result.status >= 400:
            error = self._classified(HttpError(result.status, result.reason, {}))
            if isinstance(error, PermanentError):
                self._endpoint.adapt(result.reason, answer_format)
            return self._failed(key, "", error, _Tokens(0, 0))
        tokens = _tokens(result.body)
        try:
            completion = checked(self._endpoint.read(result.body))
        except (ModelError, HttpError) as refused:
            return self._failed(key, "", self._classified(refused), tokens)
        try:
            judgements = self._judgements(key, completion)
        except ModelError as bad:
            return self._failed(key, completion.text, bad, tokens)
        row = self._row(key, completion.text, "answer", tokens)
        return RequestResult(key, completion, row, judgements, [])

    def _classified(self, error: Exception) -> ModelError:
        model = self._model
        return as_model_error(error, model=model.label, timeout=model.timeout, redact=model.redact)

    def _judgements(self, key: str, completion: Completion) -> list[FoundJudgement]:
        """The judgements in a reply that concern this session.

        Raises:
            BadAnswer: When the reply is not usable.
        """
        record, known, found = self._record, self._known, []
        for asked in record.requests[key]:
            about = [(document, concept) for document in asked.documents for concept in asked.concepts]
            question = known.question(record, asked)
            scores = parse_scores(question, completion)
            sent, whole = fit_task(question, self._model).task.texts, question.texts
            if sent != whole:
                scores = question.as_cut(scores, sum(map(len, sent)) / sum(map(len, whole)))
            for (document, concept), scored in zip(about, scores, strict=True):
                doc_ids, concepts = known.doc_ids(document), known.concepts(record.concepts[concept])
                if doc_ids and concepts:
                    found.append(FoundJudgement(doc_ids, concepts, scored.judgement))
        return found

    def _failed(self, key: str, text: str, error: LloomError, tokens: _Tokens) -> RequestResult:
        outcome: Outcome = "bad answer" if isinstance(error, BadAnswer) else "permanent error"
        row = self._row(key, text, outcome, tokens)
        return RequestResult(key, None, row, None, self.failures(key, error, tries=1, usd=row.usd or 0.0))

    def _row(self, key: str, text: str, outcome: Outcome, tokens: _Tokens) -> Attempt:
        """The row for the ledger; tokens are estimated if the provider reports none."""
        model, record = self._model, self._record
        in_tokens, out_tokens = tokens
        estimated = in_tokens is None
        if in_tokens is None:
            prompt = self._known.question(record, record.requests[key][0]).prompt()
            in_tokens, out_tokens = model.count_tokens(prompt), model.count_tokens(text)
        usd: float | None = None
        if model.is_free:
            usd = 0.0
        elif model.cost is not None and not estimated:
            usd = BATCH_PRICE * model.cost.of(in_tokens, out_tokens or 0)
        at = record.job.created
        return Attempt(_STEP, model.label, at, 0.0, in_tokens, out_tokens or 0, usd, outcome, estimated)


def parse_scores(task: ScoreDocuments, completion: Completion) -> list[Scored]:
    """The scores in a reply.

    Raises:
        BadAnswer: When it was cut off, or does not answer the question.
        ModelError: When it was broken off, or declined.
    """
    return task.parse(usable_text(completion.replies[0], in_form=True))


class _Tokens(NamedTuple):
    input: int | None
    output: int | None


def _tokens(body: Any) -> _Tokens:
    usage = usage_of(body if isinstance(body, Mapping) else {})
    return _Tokens(*(value if isinstance(value, int) else None for value in usage[:2]))
