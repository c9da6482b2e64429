"""Score: scores every document on every concept, then summarizes each concept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.llm.ask import ask_all
from text_lloom.llm.composite import Answerer
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.options import whole_number
from text_lloom.quotes import locate_quote
from text_lloom.scores import ScoreTable
from text_lloom.tasks import LongDocuments, Scored, ScoreDocuments, SummarizeConcept

__all__ = [
    "CONCEPTS_PER_CALL",
    "plan_scoring",
    "relocate_highlights",
    "score_documents",
    "summarize_concepts",
]

CONCEPTS_PER_CALL = 8
_EXAMPLES = 6
_PASSAGES = 24
_PASSAGE_LENGTH = 300


def plan_scoring(
    documents: Sequence[Document],
    concepts: Sequence[Concept],
    *,
    wanted: Callable[[Hashable, Concept], bool] | None = None,
    texts: Mapping[Hashable, str] | None = None,
    batch_size: int = 1,
    concepts_per_call: int = CONCEPTS_PER_CALL,
    get_highlights: bool = True,
    long_documents: LongDocuments = "windows",
) -> list[ScoreDocuments]:
    """The tasks that score documents on concepts.

    Args:
        documents: The documents.
        concepts: The concepts.
        wanted: Whether a pair of document id and concept is to be scored; all are when not given.
        texts: Document id → text, for the examples of each concept.
        batch_size: Documents per task.
        concepts_per_call: Concepts per task.
        get_highlights: Ask for quotes.
        long_documents: What happens to documents that are too long for the model.

    Raises:
        InputError: When a size is not positive.
    """
    batch_size = whole_number(batch_size, what="batch_size")
    concepts_per_call = whole_number(concepts_per_call, what="concepts_per_call")
    known = texts or {}
    examples = {c.id: tuple(known[i] for i in c.example_ids if i in known)[:_EXAMPLES] for c in concepts}
    groups: dict[tuple[str, ...], list[Document]] = {}
    for document in documents:
        due = tuple(c.id for c in concepts if wanted is None or wanted(document.id, c))
        if due:
            groups.setdefault(due, []).append(document)
    by_id = {concept.id: concept for concept in concepts}
    tasks = []
    for due, members in groups.items():
        for at in range(0, len(members), batch_size):
            for start in range(0, len(due), concepts_per_call):
                chosen = due[start : start + concepts_per_call]
                tasks.append(
                    ScoreDocuments(
                        documents=tuple(members[at : at + batch_size]),
                        concepts=tuple(by_id[i] for i in chosen),
                        get_highlights=get_highlights,
                        examples=tuple(examples[i] for i in chosen),
                        long_documents=long_documents,
                    )
                )
    return tasks


async def score_documents(
    tasks: Sequence[ScoreDocuments],
    model: Answerer,
    table: ScoreTable,
    *,
    run: Run,
    answered: set[tuple[Hashable, str]] | None = None,
) -> list[Failure]:
    """Ask the tasks and put the judgements into the table as they arrive.

    A task about several documents or concepts without a usable answer is split into one task per document
    and concept, and asked again.

    Args:
        tasks: The tasks.
        model: The model to ask.
        table: The table for the judgements.
        run: Ledger, budget, cache and settings.
        answered: A set to which the document id and concept id of each judgement are added.

    Returns:
        The failures; their pairs stay unscored.
    """

    def keep(position: int, answer: list[Scored] | Failure) -> None:
        if isinstance(answer, Failure):
            return
        by_id = {concept.id: concept for concept in tasks_now[position].concepts}
        for scored in answer:
            table.put(by_id[scored.concept_id], scored.doc_id, scored.judgement)
            done.add((scored.doc_id, scored.concept_id))

    done: set[tuple[Hashable, str]] = set() if answered is None else answered
    tasks_now: Sequence[ScoreDocuments] = tasks
    answers = await ask_all(model, tasks_now, run=run, on_answer=keep)
    failed = [answer for answer in answers if isinstance(answer, Failure)]
    pieces = [
        piece
        for task, answer in zip(tasks, answers, strict=True)
        if isinstance(answer, Failure) and answer.kind == "BadAnswer"
        for piece in _pieces(task)
    ]
    if pieces:
        again = [f for f in failed if f.kind == "BadAnswer" and not _is_single(f)]
        run.drop(again)
        tasks_now = pieces
        try:
            answers = await ask_all(model, tasks_now, run=run, on_answer=keep)
        except BaseException:  # not all pieces were asked, so the tasks that were split have failed
            run.failures.extend(again)
            raise
        dropped = {id(failure) for failure in again}
        failed = [failure for failure in failed if id(failure) not in dropped]
        failed += [answer for answer in answers if isinstance(answer, Failure)]
    return failed


def relocate_highlights(tasks: Sequence[ScoreDocuments], table: ScoreTable) -> None:
    """Replace highlights from excerpts by the matching passages of the full documents."""
    for task in tasks:
        for document in task.documents:
            text = table.corpus.text_of(document.id)
            if document.text in text:
                continue
            for concept in task.concepts:
                judgement = table.judgement(concept, document.id)
                if judgement.highlight and judgement.highlight not in text:
                    found = locate_quote(judgement.highlight, text)
                    there = replace(judgement, highlight=found.text, match=found.match)
                    table.put(concept, document.id, there)


async def summarize_concepts(
    concepts: Sequence[Concept], model: Answerer, table: ScoreTable, *, threshold: float = 1.0, run: Run
) -> None:
    """Summarize the matching documents of each concept in `concept.summary`."""
    tasks, about = [], []
    texts = table.corpus.texts
    for concept in concepts:
        rows = np.flatnonzero(table.matches(concept, threshold=threshold))
        if not len(rows):
            concept.summary = ""
            continue
        spread = rows[np.unique(np.linspace(0, len(rows) - 1, min(_PASSAGES, len(rows))).astype(int))]
        highlights = table.highlights(concept)
        passages = tuple((highlights[row] or texts[row])[:_PASSAGE_LENGTH] for row in spread)
        rationales = table.rationales(concept)
        tasks.append(SummarizeConcept(concept, passages, tuple(rationales[row] for row in spread)))
        about.append(concept)

    def keep(position: int, answer: str | Failure) -> None:
        if not isinstance(answer, Failure):
            about[position].summary = answer

    await ask_all(model, tasks, run=run, on_answer=keep)


def _pieces(task: ScoreDocuments) -> list[ScoreDocuments]:
    """One task per document and concept; empty for a task about a single pair."""
    if len(task.documents) * len(task.concepts) == 1:
        return []
    examples = task.examples or ((),) * len(task.concepts)
    return [
        replace(task, documents=(document,), concepts=(concept,), examples=(shown,))
        for document in task.documents
        for concept, shown in zip(task.concepts, examples, strict=True)
    ]


def _is_single(failure: Failure) -> bool:
    return len(failure.doc_ids) * len(failure.concept_ids) == 1
