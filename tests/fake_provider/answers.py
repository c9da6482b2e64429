"""The fake model's answers: one function per task, each from nothing but the prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .prompts import Question, documents, listed, material, number, numbered, seed_of
from .reading import fragment
from .thinking import (
    Truth,
    best_matches,
    choice,
    groups_of_like,
    judge,
    salient,
    shared_patterns,
    summary_of,
    vague_ones,
)

__all__ = ["answer"]


def answer(question: Question, truth: Truth | None = None) -> dict[str, Any] | None:
    """The JSON object that the question asks for, or `None` if it is not one of the known tasks."""
    found: Any = None
    if question.task == "score":
        found = _score(question.prompt, truth or {})
    elif question.task in _ANSWERS:
        found = _ANSWERS[question.task](question.prompt)
    return None if found is None else {question.key: found}


def _quotes(prompt: str) -> list[str]:
    return salient(
        material(prompt, "document"), number(r"(?:up to|extract) (\d+)", prompt, 3), seed_of(prompt)
    )


def _bullets(prompt: str) -> list[str]:
    most = number(r"(?:up to|into|Write) (?:\d+-)?(\d+)", prompt, 3)
    longest = number(r"(?:of|is a) (?:\d+-)?(\d+) words?", prompt, 8)
    sentences = salient(material(prompt, "text"), most, seed_of(prompt))
    return list(dict.fromkeys(fragment(sentence, longest) for sentence in sentences))


def _patterns(prompt: str) -> list[dict[str, Any]]:
    lines = numbered(prompt)
    instructions = prompt.partition("<lines>\n")[0]
    most = 1 if "Find the one " in instructions else number(r"up to (\d+) ", instructions, 5)
    return [
        {"name": name, "prompt": criteria, "example_ids": [lines[n][0] for n in ns]}
        for name, criteria, ns in shared_patterns([text for _, text in lines], most, seed_of(prompt))
    ]


def _remove(prompt: str) -> list[dict[str, str]]:
    reason = "met by any text about the subject"
    return [{"concept": c.label, "reason": reason} for c in vague_ones(listed(prompt, "concepts"))]


def _merge(prompt: str) -> list[dict[str, Any]]:
    groups = groups_of_like(listed(prompt, "concepts"), number(r"about (\d+) are wanted", prompt, 0))
    return [
        {"concepts": [c.label for c in group], "name": best.name, "prompt": best.criteria}
        for group in groups
        for best in [max(group, key=lambda c: c.support)]
    ]


def _select(prompt: str) -> list[str]:
    n = number(r"Choose the (\d+) concepts", prompt, 5)
    return [concept.label for concept in choice(listed(prompt, "concepts"), n)]


def _matches(prompt: str) -> list[dict[str, str]]:
    pairs = best_matches(listed(prompt, "found"), listed(prompt, "known"))
    return [{"concept": found.label, "known": known.label} for found, known in pairs]


def _summary(prompt: str) -> str:
    lines = material(prompt, "passages").splitlines()
    return summary_of([line.removeprefix("- ") for line in lines if line.strip()])


def _score(prompt: str, truth: Truth) -> list[dict[str, str]]:
    with_quote = '"quote":' in prompt.rpartition("Answer with")[2]
    concepts = listed(prompt, "concepts")
    entries = []
    for label, text in documents(prompt):
        for concept in concepts:
            judged = judge(text, concept.name, concept.criteria, truth)
            quote = {"quote": judged.quote} if with_quote else {}
            said = {"rationale": judged.rationale, "answer": judged.letter}
            entries.append({"document": label, "concept": concept.label, **quote, **said})
    return entries


_ANSWERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "distill_filter": _quotes,
    "distill_summarize": _bullets,
    "synthesize": _patterns,
    "review_remove": _remove,
    "review_merge": _merge,
    "review_select": _select,
    "auto_eval": _matches,
    "summarize_concept": _summary,
}
