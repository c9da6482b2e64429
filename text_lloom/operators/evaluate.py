"""Evaluate: counts how many known concepts were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from text_lloom.concept import Concept
from text_lloom.errors import InputError, StepFailed
from text_lloom.llm.ask import ask_all
from text_lloom.llm.composite import Answerer
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.tasks import Candidate, MatchConcepts

__all__ = ["Coverage", "known_concepts", "match_concepts"]


class Coverage(NamedTuple):
    """How many known concepts were found.

    Attributes:
        matches: Known concept's id → ids of the found concepts that express it.
        coverage: Share of the known concepts that were found, 0 to 1.
        precision: Share of the found concepts that express a known one, 0 to 1.
    """

    matches: dict[str, list[str]]
    coverage: float
    precision: float


def known_concepts(items: Mapping[str, Mapping[str, str]]) -> dict[str, Concept]:
    """Concepts from a mapping of ids to `{"name": ..., "prompt": ...}`.

    Raises:
        InputError: When `items` is something else.
    """
    if not isinstance(items, Mapping):
        raise InputError(
            f"items must be known concepts by id, such as {{'k1': {{'name': …, 'prompt': …}}}}, but is "
            f"{type(items).__name__}."
        )
    return {str(i): Concept.from_dict(item) for i, item in items.items()}


async def match_concepts(
    known: Mapping[str, Concept], found: Sequence[Concept], model: Answerer, *, run: Run
) -> Coverage:
    """Ask which found concepts express which known ones.

    Raises:
        StepFailed: When the model gave no usable answer.
    """
    if not known or not found:
        return Coverage({i: [] for i in known}, 0.0, 0.0)
    renamed = {str(n): concept for n, concept in enumerate(known.values())}
    original = dict(zip(renamed, known, strict=True))
    items = tuple(
        Candidate(Concept(concept.name, concept.criteria, id=key)) for key, concept in renamed.items()
    )
    [answer] = await ask_all(model, [MatchConcepts(tuple(Candidate(c) for c in found), items)], run=run)
    if isinstance(answer, Failure):
        raise StepFailed(f"auto_eval: no usable answer. {answer.reason}")
    matches: dict[str, list[str]] = {i: [] for i in known}
    for found_id, key in answer.items():
        matches[original[key]].append(found_id)
    return Coverage(
        matches,
        sum(bool(ids) for ids in matches.values()) / len(known),
        len(answer) / len(found),
    )
