"""Questions as the requests of a batch: gathered by prompt, written as lines, remembered by hashes."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import cast

from text_lloom.llm.batches import BATCH_PRICE, BatchEndpoint, BatchJob, BatchLine
from text_lloom.llm.cache.keys import request_key
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS, build_task_request
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.dispatch.truncate import fit_task
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.providers.openai import OpenAIModel
from text_lloom.operators.batch_book import Asked, AskedConcept, BatchCost, BatchRecord, asker_of, text_hash
from text_lloom.tasks import ScoreDocuments

__all__ = ["BatchQuestion", "BatchQuestions"]

_STEP = ScoreDocuments.step


@dataclass(slots=True)
class BatchQuestion:
    """Tasks with one prompt between them.

    Attributes:
        key: Identifies the request.
        asked: The first of the tasks, its texts perhaps cut.
        tasks: All of them.
    """

    key: str
    asked: ScoreDocuments
    tasks: list[ScoreDocuments] = field(default_factory=list)


class BatchQuestions:
    """Makes the requests of batches.

    Args:
        model: Who is asked.
        run: Settings, budgets, and the list of the documents that were cut.
        endpoint: Writes the lines.
    """

    def __init__(self, model: OpenAIModel, run: Run, endpoint: BatchEndpoint) -> None:
        self._model, self._run, self._endpoint = model, run, endpoint
        self.settings = run.settings.get(_STEP, NO_SETTINGS)
        self.asker = asker_of(model, self.settings)

    def gathered(self, tasks: Sequence[ScoreDocuments]) -> list[BatchQuestion]:
        """Distinct prompts, in the order of the tasks."""
        found: dict[str, BatchQuestion] = {}
        cut: dict[Hashable, None] = {}
        for task in tasks:
            fitted, prompt = fit_task(task, self._model)
            if fitted is not task:
                cut |= dict.fromkeys(task.doc_ids)
            asked = cast("ScoreDocuments", fitted)
            key = request_key(self._model, self._request(asked, prompt))
            found.setdefault(key, BatchQuestion(key, asked)).tasks.append(task)
        if cut:
            noted = self._run.cut.setdefault(_STEP, [])
            known = set(noted)
            noted.extend(doc_id for doc_id in cut if doc_id not in known)
        return list(found.values())

    def lines(self, questions: Sequence[BatchQuestion]) -> list[tuple[BatchLine, BatchCost]]:
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

    def record(self, file_id: str, sent: Sequence[BatchQuestion], expected: BatchCost) -> BatchRecord:
        """What is remembered of a file of requests that was uploaded."""
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
        return BatchRecord(job, self.asker, highlights, tuple(concepts), requests, expected)

    def _request(self, task: ScoreDocuments, prompt: str | None = None) -> ModelRequest:
        return build_task_request(self._model, task, self.settings, prompt=prompt)
