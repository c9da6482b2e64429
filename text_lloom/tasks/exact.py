"""Schemas that fit one question exactly, for models whose decoding is constrained token by token.

The strict mode of a provider compiles each new schema, so requests to providers use one schema per kind of
question. In this process a schema per shape of question costs little, and makes even small models give the
right labels and the right number of entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

__all__ = [
    "MOST_ENTRIES",
    "bullets_schema",
    "merge_schema",
    "patterns_schema",
    "removal_schema",
    "score_schema",
    "selection_schema",
    "summary_schema",
]

MOST_ENTRIES: Final = 64
"""The most entries for a schema with one part per entry; with more it grows too large."""

_TEXT: Final = {"type": "string"}
_REST: Final = r'([^"\\\x00-\x1F\x7F-\x9F]|\\["\\/bfnrt])*'
_SOME_TEXT: Final = {"type": "string", "pattern": r'[^\s"\\\x00-\x1F\x7F-\x9F]' + _REST}
"""A JSON string that begins with something other than white space."""


@lru_cache(maxsize=64)
def score_schema(n_documents: int, n_concepts: int, *, with_quotes: bool) -> Mapping[str, object]:
    """One judgement for each document and concept, in their order, labelled as in the prompt."""
    entries = []
    for document in range(1, n_documents + 1):
        for concept in range(1, n_concepts + 1):
            entry: dict[str, Any] = {
                "document": {"const": f"D{document}"},
                "concept": {"const": f"C{concept}"},
                "rationale": _TEXT,
                "answer": {"enum": ["A", "B", "C", "D", "E"]},
            }
            entries.append(_object(entry | ({"quote": _TEXT} if with_quotes else {})))
    n = len(entries)
    listed = {"type": "array", "prefixItems": entries, "items": False, "minItems": n, "maxItems": n}
    return _object({"results": listed})


@lru_cache(maxsize=2)
def bullets_schema(*, may_be_empty: bool) -> Mapping[str, object]:
    """A list of bullets; it can be empty only if `may_be_empty`."""
    return _object({"bullets": _array(_SOME_TEXT, int(not may_be_empty))})


@lru_cache(maxsize=64)
def patterns_schema(n_items: int) -> Mapping[str, object]:
    """Patterns, each with a name, a criterion and the numbers of at least two lines that exist."""
    pattern = _object(
        {
            "name": _SOME_TEXT,
            "prompt": _SOME_TEXT,
            "example_ids": _array({"enum": list(range(1, n_items + 1))}, min(2, n_items)),
        }
    )
    return _object({"patterns": _array(pattern, 0)})


@lru_cache(maxsize=64)
def removal_schema(n_concepts: int) -> Mapping[str, object]:
    """Labels of the concepts to remove, all from the list in the prompt."""
    entry = _object({"concept": _labels(n_concepts), "reason": _TEXT})
    return _object({"remove": _array(entry, 0)})


@lru_cache(maxsize=64)
def merge_schema(n_concepts: int) -> Mapping[str, object]:
    """Groups of concepts to merge, with labels from the list in the prompt."""
    group = _object({"concepts": _array(_labels(n_concepts), 2), "name": _SOME_TEXT, "prompt": _SOME_TEXT})
    return _object({"merge": _array(group, 0)})


@lru_cache(maxsize=64)
def selection_schema(n_concepts: int) -> Mapping[str, object]:
    """Labels of at least one concept, all from the list in the prompt."""
    return _object({"select": _array(_labels(n_concepts), 1)})


@lru_cache(maxsize=1)
def summary_schema() -> Mapping[str, object]:
    """A summary that is not empty."""
    return _object({"summary": _SOME_TEXT})


def _object(properties: Mapping[str, object]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(items: Mapping[str, object], least: int) -> dict[str, Any]:
    """An array without a maximum, which would multiply the decoder's states; readers drop extra items."""
    return {"type": "array", "items": dict(items), "minItems": least}


def _labels(n: int) -> dict[str, Sequence[str]]:
    return {"enum": [f"C{number}" for number in range(1, n + 1)]}
