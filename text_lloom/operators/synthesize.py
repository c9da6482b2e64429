"""Synthesize: turns clustered items into candidate concepts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from text_lloom.concept import Codebook, Concept
from text_lloom.llm.ask import ask_all
from text_lloom.llm.composite import Answerer
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.operators.distill import raise_if_none
from text_lloom.operators.plan import plan_requests
from text_lloom.tasks import Candidate, Item, SynthesizeConcepts, Template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["synthesize_concepts"]

_EVIDENCE = 8


async def synthesize_concepts(
    items: Sequence[Item],
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    model: Answerer,
    *,
    codebook: Codebook,
    n_concepts: int | None = None,
    target: int | None = None,
    max_items: int = 40,
    pattern_phrase: str = "distinct idea",
    seed: str | None = None,
    template: Template | None = None,
    random_state: int = 0,
    run: Run,
) -> list[Candidate]:
    """Ask which concepts the items of each cluster share.

    Requests are bounded in size, and their number grows with the clusters. Each asks for as many concepts
    as its items support.

    Args:
        items: The clustered items.
        vectors: Their embeddings, shape `(len(items), d)`.
        labels: Their clusters.
        model: The model to ask.
        codebook: Gives the concepts their ids; otherwise unchanged.
        n_concepts: The largest number of concepts per cluster, if not chosen from the data.
        target: The wanted number of concepts.
        max_items: The largest number of items in one request.
        pattern_phrase: The wording in the prompt for what is sought.
        seed: A subject to concentrate on.
        template: A custom prompt.
        random_state: Seed of the sampling.
        run: Ledger, budget, cache and settings.

    Returns:
        Candidates in the order of their clusters, with the documents that were cited as examples.

    Raises:
        StepFailed: When no request could be answered.
    """
    document_of = {doc_id: n for n, doc_id in enumerate(dict.fromkeys(item.doc_id for item in items))}
    planned = plan_requests(
        vectors,
        labels,
        max_items=max_items,
        n_concepts=n_concepts,
        target=target,
        document_of=[document_of[item.doc_id] for item in items],
        random_state=random_state,
    )
    tasks = [
        SynthesizeConcepts(
            tuple(items[i] for i in request.items),
            request.n_concepts,
            pattern_phrase,
            seed,
            custom=template,
        )
        for request in planned
    ]
    answers = await ask_all(model, tasks, run=run)
    raise_if_none(answers)
    candidates = []
    for task, answer in zip(tasks, answers, strict=True):
        if isinstance(answer, Failure):
            continue
        for pattern in answer:
            cited = [task.items[i] for i in pattern.items]
            example_ids: list[Hashable] = list(dict.fromkeys(item.doc_id for item in cited))
            if len(example_ids) == 1 < len(task.doc_ids):
                continue  # several lines of one document are no pattern of the collection
            concept = Concept(
                name=pattern.name,
                criteria=pattern.criteria,
                example_ids=example_ids,
                seed=seed,
                id=codebook.new_id(pattern.name, pattern.criteria),
            )
            evidence = tuple(dict.fromkeys(item.text for item in cited))[:_EVIDENCE]
            candidates.append(Candidate(concept, len(example_ids), evidence))
    return candidates
