"""Review: removes useless candidates, merges equal ones, and reduces the rest to the target."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from text_lloom.concept import Codebook, Concept
from text_lloom.llm.ask import ask_all
from text_lloom.llm.composite import Answerer
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.embed import embed_all
from text_lloom.llm.model import Embedder
from text_lloom.tasks import Candidate, MergeGroup, Removal, ReviewMerge, ReviewRemove, SelectConcepts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Review", "merge_identical", "review_concepts", "select_concepts"]

_Embedded: TypeAlias = "dict[tuple[str, ...], NDArray[np.float32]]"

_CHUNK = 40
_MERGE_ROUNDS = 4
_TARGET_ROUNDS = 3
_EVIDENCE = 8


@dataclass(frozen=True, slots=True)
class Review:
    """The result of a review.

    Attributes:
        candidates: The remaining candidates, best supported first.
        removed: Useless concepts that were removed, with the reason.
        merged: Groups of concepts that were merged, in order.
        beyond_target: Concepts left out because there were more than the target, best supported first.
        failures: Requests that could not be answered; their concepts are unchanged.
    """

    candidates: list[Candidate]
    removed: list[tuple[Concept, str]] = field(default_factory=list)
    merged: list[MergeGroup] = field(default_factory=list)
    beyond_target: list[Candidate] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


async def review_concepts(
    candidates: Sequence[Candidate],
    model: Answerer,
    *,
    codebook: Codebook,
    embedder: Embedder | None = None,
    target: int | None = None,
    seed: str | None = None,
    run: Run,
) -> Review:
    """Review candidates in rounds of bounded requests.

    Similar candidates are shown in the same request, so that equal ones from different clusters are
    compared. A failed request leaves its concepts unchanged.

    Args:
        candidates: The synthesized candidates.
        model: The model to ask.
        codebook: Gives merged concepts their ids; otherwise unchanged.
        embedder: Finds similar candidates; the local engine when not given.
        target: The wanted number of concepts; if there are more, related ones are merged, and then the
            least supported ones are left out.
        seed: The subject of the study.
        run: Ledger, budget, cache and settings.
    """
    review = Review(merge_identical(candidates, codebook))
    review = await _remove(review, model, seed, run)
    embedded: _Embedded = {}
    for _ in range(_MERGE_ROUNDS):
        n = len(review.candidates)
        review = await _merge(review, model, codebook, embedder, embedded, None, seed, run)
        if n <= 1 or len(review.candidates) == n:
            break
    for _ in range(_TARGET_ROUNDS):
        n = len(review.candidates)
        if target is None or n <= target:
            break
        review = await _merge(review, model, codebook, embedder, embedded, target, seed, run)
        if len(review.candidates) == n:
            break
    ranked = sorted(review.candidates, key=lambda candidate: -candidate.support)
    wanted = len(ranked) if target is None else target
    return replace(review, candidates=ranked[:wanted], beyond_target=ranked[wanted:])


async def select_concepts(
    candidates: Sequence[Candidate], model: Answerer, *, max_concepts: int, seed: str | None, run: Run
) -> list[str]:
    """Choose the concepts that together say most about the documents.

    If the model gives no usable answer, the best supported ones are chosen and the failure is recorded.

    Returns:
        Ids, best first, at most `max_concepts`.
    """
    if len(candidates) <= max_concepts:
        return [candidate.concept.id for candidate in candidates]
    [answer] = await ask_all(model, [SelectConcepts(tuple(candidates), max_concepts, seed)], run=run)
    chosen = [] if isinstance(answer, Failure) else answer
    ranked = sorted(candidates, key=lambda candidate: -candidate.support)
    rest = [c.concept.id for c in ranked if c.concept.id not in chosen]
    return [*chosen, *rest][:max_concepts]


def merge_identical(candidates: Sequence[Candidate], codebook: Codebook) -> list[Candidate]:
    """Merge candidates with the same name and criterion, without a request."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        key = (candidate.concept.name.casefold(), candidate.concept.criteria.casefold())
        groups.setdefault(key, []).append(candidate)
    return [
        group[0]
        if len(group) == 1
        else _merged(group, group[0].concept.name, group[0].concept.criteria, codebook)
        for group in groups.values()
    ]


async def _remove(review: Review, model: Answerer, seed: str | None, run: Run) -> Review:
    if len(review.candidates) < 2:
        return review
    tasks = [ReviewRemove(tuple(chunk), seed) for chunk in _chunks(review.candidates)]
    removals: list[Removal] = []
    failures = list(review.failures)
    for answer in await ask_all(model, tasks, run=run):
        if isinstance(answer, Failure):
            failures.append(answer)
        else:
            removals.extend(answer)
    reasons = {removal.concept_id: removal.reason for removal in removals}
    gone = [(c.concept, reasons[c.concept.id]) for c in review.candidates if c.concept.id in reasons]
    kept = [c for c in review.candidates if c.concept.id not in reasons]
    if not kept:
        return replace(review, failures=failures)
    return replace(review, candidates=kept, removed=[*review.removed, *gone], failures=failures)


async def _merge(
    review: Review,
    model: Answerer,
    codebook: Codebook,
    embedder: Embedder | None,
    embedded: _Embedded,
    target: int | None,
    seed: str | None,
    run: Run,
) -> Review:
    n = len(review.candidates)
    if n < 2:
        return review
    ordered = await _similar_together(review.candidates, embedder, embedded, run)
    chunks = _chunks(ordered)
    tasks = [
        ReviewMerge(tuple(chunk), None if target is None else math.ceil(target * len(chunk) / n), seed)
        for chunk in chunks
    ]
    by_id = {candidate.concept.id: candidate for candidate in review.candidates}
    groups: list[MergeGroup] = []
    failures = list(review.failures)
    for answer in await ask_all(model, tasks, run=run):
        if isinstance(answer, Failure):
            failures.append(answer)
        else:
            groups.extend(answer)
    room = n - target if target is not None else n
    merged: dict[str, Candidate] = {}
    member_of: dict[str, str] = {}
    applied = []
    for group in groups:
        if len(group.concept_ids) - 1 > room:
            continue
        room -= len(group.concept_ids) - 1
        members = [by_id[i] for i in group.concept_ids]
        one = _merged(members, group.name, group.criteria, codebook)
        applied.append(group)
        merged[members[0].concept.id] = one
        member_of.update({member.concept.id: members[0].concept.id for member in members})
    kept = [
        merged.get(candidate.concept.id, candidate)
        for candidate in review.candidates
        if member_of.get(candidate.concept.id, candidate.concept.id) == candidate.concept.id
    ]
    return replace(review, candidates=kept, merged=[*review.merged, *applied], failures=failures)


def _merged(group: Sequence[Candidate], name: str, criteria: str, codebook: Codebook) -> Candidate:
    concepts = [candidate.concept for candidate in group]
    concept = Concept(
        name=name,
        criteria=criteria,
        example_ids=list(dict.fromkeys(i for c in concepts for i in c.example_ids)),
        active=any(c.active for c in concepts),
        seed=concepts[0].seed,
        merged_from=[i for c in concepts for i in (*c.merged_from, c.id)],
        id=codebook.new_id(name, criteria),
    )
    evidence = [text for texts in _interleaved(group) for text in texts]
    return Candidate(concept, len(concept.example_ids), tuple(dict.fromkeys(evidence))[:_EVIDENCE])


def _interleaved(group: Sequence[Candidate]) -> list[list[str]]:
    """The first pieces of evidence of all candidates, then the second ones, and so on."""
    longest = max((len(candidate.evidence) for candidate in group), default=0)
    return [[c.evidence[i] for c in group if i < len(c.evidence)] for i in range(longest)]


def _chunks(candidates: Sequence[Candidate]) -> list[Sequence[Candidate]]:
    """Equal parts of at most `_CHUNK` candidates."""
    parts = math.ceil(len(candidates) / _CHUNK)
    bounds = [round(len(candidates) * i / parts) for i in range(parts + 1)]
    return [candidates[a:b] for a, b in itertools.pairwise(bounds)]


async def _similar_together(
    candidates: Sequence[Candidate], embedder: Embedder | None, embedded: _Embedded, run: Run
) -> list[Candidate]:
    """The candidates in an order that puts similar ones, and those of one name, next to each other."""
    if len(candidates) <= _CHUNK:
        return list(candidates)
    texts = tuple(f"{c.concept.name}: {c.concept.criteria}" for c in candidates)
    if embedder is None:
        from text_lloom.llm.providers.local import LocalEmbedModel

        embedder = LocalEmbedModel()
    if texts not in embedded:
        embedded[texts] = await embed_all(embedder, texts, run=run, step="review_merge")
    order = await asyncio.to_thread(_chain, embedded[texts], [c.concept.name.casefold() for c in candidates])
    return [candidates[i] for i in order]


def _chain(vectors: NDArray[np.float32], names: Sequence[str]) -> list[int]:
    """Row order along the leaves of a hierarchical clustering, with rows of one name side by side."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    first_of = {name: i for i, name in reversed(list(enumerate(names)))}
    anchors = sorted(set(first_of.values()))
    if len(anchors) < 3:
        leaves = list(range(len(anchors)))
    else:
        leaves = leaves_list(linkage(unit[anchors], method="average")).tolist()
    members: dict[int, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(first_of[name], []).append(i)
    return [i for leaf in leaves for i in members[anchors[leaf]]]
