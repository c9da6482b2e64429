"""The whole of generation: Distill → Cluster → Synthesize → Review, once or several times."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from text_lloom.concept import Codebook, Concept
from text_lloom.corpus import Corpus
from text_lloom.errors import StepFailed
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import embed_all
from text_lloom.operators.cluster import cluster_vectors
from text_lloom.operators.distill import distill_bullets, distill_quotes
from text_lloom.operators.models import Models
from text_lloom.operators.parameters import GenParameters
from text_lloom.operators.review import Review, merge_identical, review_concepts
from text_lloom.operators.synthesize import synthesize_concepts
from text_lloom.quotes import encodable
from text_lloom.tasks import Candidate, Item

__all__ = ["Generated", "Generation", "generate"]

_EXCERPT = 600
_BULLET_WORDS = "up to 12"
_LATER_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Generation:
    """The arguments of a generation.

    Attributes:
        parameters: How much to ask for.
        seed: A subject to concentrate on.
        n_synth: How often to synthesize.
        settings: The settings of the operators, by step.
        left_out: Distill steps to skip.
        auto_review: Whether to review.
        random_state: Seed.
    """

    parameters: GenParameters
    seed: str | None = None
    n_synth: int = 1
    settings: Mapping[str, StepSettings] = field(default_factory=dict)
    left_out: Collection[str] = ()
    auto_review: bool = True
    random_state: int = 0


@dataclass(frozen=True, slots=True)
class Generated:
    """The result of a generation.

    Attributes:
        candidates: The concepts, best supported first.
        quotes: Document id → exact passages.
        bullets: Document id → bullets.
        history: The concepts after each synthesis, by its number.
    """

    candidates: list[Candidate]
    quotes: dict[Hashable, list[str]]
    bullets: dict[Hashable, list[str]]
    history: dict[int, list[Concept]]


async def generate(
    corpus: Corpus,
    models: Models,
    generation: Generation,
    *,
    codebook: Codebook,
    run: Run,
    timed: Callable[[str], AbstractContextManager[None]],
    say: Callable[[str], None],
) -> Generated:
    """Generate concepts.

    Args:
        corpus: The documents.
        models: The models of the session.
        generation: The arguments.
        codebook: Gives the concepts their ids; otherwise unchanged.
        run: Ledger, budget, cache and settings.
        timed: Context manager that is entered around each step, with its name.
        say: Called with a message about each step.

    Raises:
        StepFailed: When no request of a step could be answered, or no concept was found.
    """
    quotes = await _quotes(corpus, models, generation, run, timed, say)
    bullets = await _bullets(quotes, models, generation, run, timed, say)
    items = [Item(doc_id, encodable(bullet)) for doc_id, lines in bullets.items() for bullet in lines]
    if not items:
        raise StepFailed(
            "distill_summarize: nothing was found in the documents"
            + (f" that has to do with {generation.seed!r}. Try a wider seed." if generation.seed else ".")
        )
    history: dict[int, list[Concept]] = {}
    candidates: list[Candidate] = []
    parameters = generation.parameters
    for turn in range(generation.n_synth):
        parameters = _later(generation.parameters, turn)
        try:
            found = await _synthesize(items, models, generation, parameters, codebook, run, timed, say)
        except StepFailed as error:
            if not turn:
                raise
            say(f"The concepts of synthesis {turn} stay, since the next one gave none: {error}")
            break
        candidates = _traced(found, candidates) if turn else found
        history[turn] = [candidate.concept for candidate in candidates]
        items = [Item(c.concept.id, f"{c.concept.name}: {c.concept.criteria}") for c in candidates]
        if len(items) < 4:
            break
    return Generated(candidates, dict(quotes), dict(bullets), history)


async def _quotes(
    corpus: Corpus,
    models: Models,
    generation: Generation,
    run: Run,
    timed: Callable[[str], AbstractContextManager[None]],
    say: Callable[[str], None],
) -> dict[Hashable, list[str]]:
    wanted = generation.parameters.filter_n_quotes
    if wanted <= 1 or "distill_filter" in generation.left_out:
        return {document.id: [document.text] for document in corpus}
    with timed("distill_filter"):
        found = await distill_quotes(
            list(corpus), models.distill, n_quotes=wanted, seed=generation.seed, run=run
        )
    quotes = {d.id: found.get(d.id, [d.text[:_EXCERPT]]) for d in corpus}
    say(f"Distill-filter: {sum(map(len, quotes.values()))} quotes from {len(corpus)} documents")
    return quotes


async def _bullets(
    quotes: Mapping[Hashable, Sequence[str]],
    models: Models,
    generation: Generation,
    run: Run,
    timed: Callable[[str], AbstractContextManager[None]],
    say: Callable[[str], None],
) -> dict[Hashable, list[str]]:
    if "distill_summarize" in generation.left_out:
        return {doc_id: list(parts) for doc_id, parts in quotes.items()}
    with timed("distill_summarize"):
        found = await distill_bullets(
            quotes,
            models.distill,
            n_bullets=generation.parameters.summ_n_bullets,
            n_words=_BULLET_WORDS,
            seed=generation.seed,
            run=run,
        )
    bullets = {doc_id: found.get(doc_id, [q[:_EXCERPT] for q in parts]) for doc_id, parts in quotes.items()}
    say(f"Distill-summarize: {sum(map(len, bullets.values()))} bullets from {len(bullets)} documents")
    return bullets


async def _synthesize(
    items: Sequence[Item],
    models: Models,
    generation: Generation,
    parameters: GenParameters,
    codebook: Codebook,
    run: Run,
    timed: Callable[[str], AbstractContextManager[None]],
    say: Callable[[str], None],
) -> list[Candidate]:
    with timed("cluster"):
        vectors = await embed_all(models.cluster, [item.text for item in items], run=run)
        labels = await asyncio.to_thread(cluster_vectors, vectors, random_state=generation.random_state)
    say(f"Cluster: {int(labels.max()) + 1} clusters of {len(items)} items")
    with timed("synthesize"):
        candidates = await synthesize_concepts(
            items,
            vectors,
            labels,
            models.synth,
            codebook=codebook,
            n_concepts=parameters.synth_n_concepts,
            target=parameters.target_n_concepts,
            seed=generation.seed,
            random_state=generation.random_state,
            run=run,
        )
    say(f"Synthesize: {len(candidates)} concepts")
    if not candidates:
        raise StepFailed(
            "synthesize: the model found no concept that several documents share. Use more documents, a "
            "wider seed, or another synth_model."
        )
    if not generation.auto_review:
        return merge_identical(candidates, codebook)
    with timed("review"):
        review = await review_concepts(
            candidates,
            models.synth,
            codebook=codebook,
            embedder=models.cluster,
            target=parameters.target_n_concepts,
            seed=generation.seed,
            run=run,
        )
    say(_describe(review))
    return review.candidates


def _later(parameters: GenParameters, turn: int) -> GenParameters:
    """Parameters of a further synthesis, which asks for three quarters of the concepts."""
    share = _LATER_SHARE**turn
    return replace(
        parameters,
        synth_n_concepts=max(1, math.floor(parameters.synth_n_concepts * share)),
        target_n_concepts=max(1, math.floor(parameters.target_n_concepts * share)),
    )


def _traced(found: Sequence[Candidate], earlier: Sequence[Candidate]) -> list[Candidate]:
    """Concepts of concepts, with the example documents of the concepts that they combine."""
    sources = {candidate.concept.id: candidate for candidate in earlier}
    traced = []
    for candidate in found:
        parts = [sources[str(i)] for i in candidate.concept.example_ids if str(i) in sources]
        example_ids = list(dict.fromkeys(i for part in parts for i in part.concept.example_ids))
        concept = replace(
            candidate.concept,
            example_ids=example_ids,
            merged_from=[*candidate.concept.merged_from, *(part.concept.id for part in parts)],
        )
        traced.append(Candidate(concept, len(example_ids), candidate.evidence))
    return traced


def _describe(review: Review) -> str:
    n_merged = sum(len(group.concept_ids) for group in review.merged)
    return (
        f"Review: {len(review.candidates)} concepts kept, {len(review.removed)} removed, {n_merged} merged "
        f"into {len(review.merged)}, {len(review.beyond_target)} beyond the target"
    )
