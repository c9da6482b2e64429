"""Distill: reduces each document to exact quotes, and the quotes to short bullets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, MutableMapping, Sequence
from typing import TypeVar

from text_lloom.corpus import Document
from text_lloom.errors import StepFailed
from text_lloom.llm.ask import ask_all
from text_lloom.llm.composite import Answerer
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.tasks import FilterQuotes, SummarizeDocument, Task, Template

__all__ = ["distill_bullets", "distill_quotes", "raise_if_none"]

A = TypeVar("A")


async def distill_quotes(
    documents: Sequence[Document],
    model: Answerer,
    *,
    n_quotes: int = 3,
    seed: str | None = None,
    template: Template | None = None,
    run: Run,
    into: MutableMapping[Hashable, list[str]] | None = None,
) -> MutableMapping[Hashable, list[str]]:
    """Choose the passages of each document that carry its points.

    Args:
        documents: The documents.
        model: The model to ask.
        n_quotes: The largest number of passages per document.
        seed: A subject to concentrate on.
        template: A custom prompt.
        run: Ledger, budget, cache and settings.
        into: A mapping to fill as answers arrive; it is also returned.

    Returns:
        Document id → exact passages. Documents whose request failed are missing (see `run.failures`).

    Raises:
        StepFailed: When no request could be answered.
    """
    tasks = [FilterQuotes(d.id, d.text, n_quotes, seed, custom=template) for d in documents]
    return await _per_document(tasks, model, run, into)


async def distill_bullets(
    passages: Mapping[Hashable, Sequence[str]],
    model: Answerer,
    *,
    n_bullets: int | str = "2-4",
    n_words: str = "5-8",
    seed: str | None = None,
    template: Template | None = None,
    run: Run,
    into: MutableMapping[Hashable, list[str]] | None = None,
) -> MutableMapping[Hashable, list[str]]:
    """Summarize each document in short bullets.

    Args:
        passages: Document id → the texts to summarize (its quotes, or its full text).
        model: The model to ask.
        n_bullets: How many per document, a number or a range such as `"2-4"`.
        n_words: How many words each, such as `"5-8"`.
        seed: A subject to concentrate on.
        template: A custom prompt.
        run: Ledger, budget, cache and settings.
        into: A mapping to fill as answers arrive; it is also returned.

    Returns:
        Document id → bullets. Documents whose request failed, or without passages, are missing.

    Raises:
        StepFailed: When no request could be answered.
    """
    tasks = [
        SummarizeDocument(doc_id, "\n".join(parts), n_bullets, n_words, seed, custom=template)
        for doc_id, parts in passages.items()
        if parts
    ]
    return await _per_document(tasks, model, run, into)


async def _per_document(
    tasks: Sequence[Task[list[str]]],
    model: Answerer,
    run: Run,
    into: MutableMapping[Hashable, list[str]] | None,
) -> MutableMapping[Hashable, list[str]]:
    found: MutableMapping[Hashable, list[str]] = {} if into is None else into

    def keep(position: int, answer: list[str] | Failure) -> None:
        if not isinstance(answer, Failure):
            found[tasks[position].doc_ids[0]] = answer

    answers = await ask_all(model, tasks, run=run, on_answer=keep)
    raise_if_none(answers)
    in_order = {task.doc_ids[0]: found[task.doc_ids[0]] for task in tasks if task.doc_ids[0] in found}
    for doc_id in in_order:
        del found[doc_id]
    found.update(in_order)
    return found


def raise_if_none(answers: Sequence[A | Failure]) -> None:
    """Raise `StepFailed` if there are answers and all of them are failures."""
    failures = [answer for answer in answers if isinstance(answer, Failure)]
    if failures and len(failures) == len(answers):
        last = failures[-1]
        raise StepFailed(f"{last.step}: all {len(failures)} requests failed. The last one: {last.reason}")
