"""What the results of a batch mean in a session: judgements, ledger rows and failures."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import BadAnswer, LloomError, ModelError, PermanentError, TransientError
from text_lloom.llm.batches import BATCH_PRICE, BatchResult
from text_lloom.llm.completion import Completion
from text_lloom.llm.control.retry import as_model_error
from text_lloom.llm.control.usage import Attempt, Outcome
from text_lloom.llm.dispatch.step_state import Failure
from text_lloom.llm.providers.openai import OpenAIModel
from text_lloom.llm.providers.openai_formats import read_completion
from text_lloom.llm.runtime.http import HttpError
from text_lloom.operators.batch_book import Asked, AskedConcept, BatchRecord, text_hash
from text_lloom.scores import Judgement
from text_lloom.tasks import Scored, ScoreDocuments
from text_lloom.tasks.base import CUT_OFF

__all__ = ["BatchReader", "Found", "KnownTexts", "Reading", "parsed_scores"]

_STEP = ScoreDocuments.step


class Found(NamedTuple):
    """A judgement, and what it is about in this session.

    Attributes:
        doc_ids: All documents with that text.
        concepts: The concept; several only if they have one criterion.
        judgement: What was judged.
    """

    doc_ids: list[Hashable]
    concepts: list[Concept]
    judgement: Judgement


class Reading(NamedTuple):
    """What one request gave.

    Attributes:
        key: The request.
        completion: The reply, `None` if there is none.
        row: The ledger's row, `None` if the request was never tried.
        found: The judgements, `None` if there is no usable answer.
        failures: The questions without an answer.
    """

    key: str
    completion: Completion | None
    row: Attempt | None
    found: list[Found] | None
    failures: list[Failure]


class KnownTexts:
    """Documents by the hashes of their texts, concepts by the hashes of their criteria.

    Args:
        documents: The documents, with the texts that are judged.
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
        """Ids of the documents with a text, given by its hash."""
        return [document.id for document in self._documents.get(text, ())]

    def concepts(self, asked: AskedConcept) -> list[Concept]:
        """The concept that was asked about; in a session made anew, those with its criterion."""
        same = self._by_hash.get(asked.criteria, [])
        return [concept for concept in same if concept.id == asked.id] or same

    def pairs(self, record: BatchRecord) -> set[tuple[Hashable, str]]:
        """The pairs of document id and concept id that a batch asks about."""
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

    def question(self, record: BatchRecord, asked: Asked) -> ScoreDocuments:
        """The question as it was asked; blanks stand for what this session does not have."""
        documents = [self._documents.get(text, [Document("", "")])[0] for text in asked.documents]
        found = [self.concepts(record.concepts[position]) for position in asked.concepts]
        concepts = [same[0] if same else Concept("", "", id="") for same in found]
        return ScoreDocuments(tuple(documents), tuple(concepts), record.get_highlights)

    def answered(self, record: BatchRecord, asked: Asked) -> ScoreDocuments:
        """All documents and concepts of this session that an answer to the question is about."""
        documents = [d for text in asked.documents for d in self._documents.get(text, ())]
        concepts = [c for position in asked.concepts for c in self.concepts(record.concepts[position])]
        return ScoreDocuments(tuple(documents), tuple(concepts), record.get_highlights)


class BatchReader:
    """Reads the results of a batch.

    Args:
        model: Who was asked.
        known: The documents and concepts of this session.
        record: What was asked.
    """

    def __init__(self, model: OpenAIModel, known: KnownTexts, record: BatchRecord) -> None:
        self._model, self._known, self._record = model, known, record

    def read_all(self, results: Sequence[BatchResult], reason: str) -> list[Reading]:
        """What the requests of a batch gave that has ended.

        Args:
            results: What the provider says of them.
            reason: Why requests of which it says nothing have no answer.
        """
        by_key: dict[str, BatchResult] = {}
        for result in results:
            by_key.setdefault(result.key, result)
        answer_format = self._model.answer_format
        return [self._read(key, by_key.get(key), reason, answer_format) for key in self._record.requests]

    def read_kept(self, key: str, completion: Completion) -> Reading | None:
        """What a reply gives that was kept from before, `None` if it is of no use."""
        try:
            found = self._found(key, completion)
        except BadAnswer:
            return None
        row = Attempt(_STEP, self._model.label, time.time(), 0.0, 0, 0, 0.0, "cached")
        return Reading(key, completion, row, found, [])

    def failures(self, key: str, error: LloomError, *, tries: int = 0, usd: float = 0.0) -> list[Failure]:
        """The failures of a request's questions, as far as they are about this session."""
        reason, kind = self._model.redact(str(error)), type(error).__name__
        questions, known = self._record.requests[key], self._known
        answered = [known.answered(self._record, asked) for asked in questions]
        share = usd / len(questions)
        return [
            Failure(_STEP, task.doc_ids, task.concept_ids, kind, reason, tries, share)
            for task in answered
            if task.documents and task.concepts
        ]

    def _read(self, key: str, result: BatchResult | None, reason: str, answer_format: int) -> Reading:
        if result is None or result.status is None:
            untried = TransientError(reason if result is None else result.reason)
            return Reading(key, None, None, None, self.failures(key, untried))
        model, error = self._model, None
        if result.status >= 400:
            error = self._understood(HttpError(result.status, result.reason, {}))
            if isinstance(error, PermanentError):
                # Live calls learn what a server refuses by trying; so does the next batch.
                model.adapt(result.reason, {}, answer_format)
            return self._failed(key, "", error, _Tokens(0, 0))
        tokens = _tokens(result.body)
        try:
            completion = read_completion(result.body)
        except (ModelError, HttpError) as refused:
            return self._failed(key, "", self._understood(refused), tokens)
        try:
            found = self._found(key, completion)
        except BadAnswer as bad:
            return self._failed(key, completion.text, bad, tokens)
        return Reading(key, completion, self._row(key, completion.text, "answer", tokens), found, [])

    def _understood(self, error: Exception) -> ModelError:
        model = self._model
        return as_model_error(error, model=model.label, timeout=model.timeout, redact=model.redact)

    def _found(self, key: str, completion: Completion) -> list[Found]:
        """The judgements in a reply, as far as they are about this session.

        Raises:
            BadAnswer: When the reply is of no use.
        """
        record, known, found = self._record, self._known, []
        for asked in record.requests[key]:
            about = [(document, concept) for document in asked.documents for concept in asked.concepts]
            scores = parsed_scores(known.question(record, asked), completion)
            for (document, concept), scored in zip(about, scores, strict=True):
                doc_ids, concepts = known.doc_ids(document), known.concepts(record.concepts[concept])
                if doc_ids and concepts:
                    found.append(Found(doc_ids, concepts, scored.judgement))
        return found

    def _failed(self, key: str, text: str, error: LloomError, tokens: _Tokens) -> Reading:
        outcome: Outcome = "bad answer" if isinstance(error, BadAnswer) else "permanent error"
        row = self._row(key, text, outcome, tokens)
        return Reading(key, None, row, None, self.failures(key, error, tries=1, usd=row.usd or 0.0))

    def _row(self, key: str, text: str, outcome: Outcome, tokens: _Tokens) -> Attempt:
        """The ledger's row; tokens are estimated where the provider reports none."""
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


def parsed_scores(task: ScoreDocuments, completion: Completion) -> list[Scored]:
    """The scores in a reply.

    Raises:
        BadAnswer: When it was cut off, or does not answer the question.
    """
    if completion.finish_reason == "length":
        raise BadAnswer(CUT_OFF)
    return task.parse(completion.text)


class _Tokens(NamedTuple):
    input: int | None
    output: int | None


def _tokens(body: Any) -> _Tokens:
    usage = body.get("usage") if isinstance(body, Mapping) else None
    counts = usage if isinstance(usage, Mapping) else {}
    found = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return _Tokens(*(value if isinstance(value, int) else None for value in found))
