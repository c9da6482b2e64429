"""The traits of a view: the data that it gets when it opens, as JSON values and bytes."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from text_lloom.labels import is_current
from text_lloom.quotes import encodable
from text_lloom.widget.rows import sample_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from text_lloom.concept import Concept
    from text_lloom.widget.snapshot import Snapshot

__all__ = [
    "NO_SLICE",
    "PROTOCOL",
    "about",
    "changing_traits",
    "labels_of",
    "plain",
    "sample_trait",
    "score_traits",
    "slice_codes",
    "traits_of",
]

PROTOCOL: Final = 1
NO_SLICE: Final = 65535
_MOST_EXAMPLES: Final = 8


def traits_of(snapshot: Snapshot) -> dict[str, Any]:
    """All traits that depend on a snapshot, by name; `scores` and `slice_codes` are bytes."""
    fixed: dict[str, Any] = plain({"about": about(snapshot), "slices": _slices(snapshot)})
    return fixed | changing_traits(snapshot) | {"slice_codes": slice_codes(snapshot)} | sample_trait(snapshot)


def changing_traits(snapshot: Snapshot) -> dict[str, Any]:
    """The traits that change during a session."""
    changing: dict[str, Any] = plain(
        {
            "labels": labels_of(snapshot),
            "history": asdict(snapshot.history),
            "chosen": [concept.id for concept in snapshot.concepts if concept.active],
        }
    )
    return score_traits(snapshot) | changing


def sample_trait(snapshot: Snapshot) -> dict[str, Any]:
    """The documents that the view gets when it opens."""
    return {"sample": plain(sample_rows(snapshot))}


def score_traits(snapshot: Snapshot) -> dict[str, Any]:
    """The traits that change while documents are scored: `concepts`, `score_ids` and `scores`."""
    return {
        "concepts": plain([_concept(concept, snapshot) for concept in snapshot.concepts]),
        "score_ids": list(snapshot.score_ids),
        "scores": snapshot.codes.tobytes(),
    }


def about(snapshot: Snapshot) -> dict[str, Any]:
    """Facts about the corpus, and the options of the view."""
    corpus = snapshot.corpus
    columns: list[dict[str, Any]] = []
    for column in snapshot.reader.columns.listed():
        listed: dict[str, Any] = {"name": column.name, "kind": column.kind}
        if column.kind == "category":
            listed["labels"] = list(column.labels)
        columns.append(listed)
    return {
        "title": snapshot.title,
        "n_docs": len(corpus),
        "id_col": str(corpus.id_col),
        "text_col": str(corpus.text_col),
        "columns": columns,
        "shown_columns": list(snapshot.shown_columns),
        "sample": None if snapshot.sample_of is None else {"shown": len(corpus), "of": snapshot.sample_of},
        "models": list(snapshot.models),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "show_highlights": snapshot.show_highlights,
        "include_outliers": snapshot.include_outliers,
    }


def labels_of(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The human labels of the documents in the snapshot, by row."""
    position = snapshot.corpus.position
    concepts = {concept.id: concept for concept in snapshot.concepts}
    return [
        {
            "row": position[label.doc_id],
            "concept_id": label.concept_id,
            "verdict": label.verdict,
            "note": label.note,
            "score": None if math.isnan(label.score) else label.score,
            "current": label.concept_id in concepts
            and is_current(label, concepts[label.concept_id], snapshot.table),
        }
        for label in snapshot.labels
        if label.doc_id in position
    ]


def slice_codes(snapshot: Snapshot) -> bytes:
    """The slice of each document, little-endian uint16, 65535 = in none; empty without slices."""
    if snapshot.slices is None:
        return b""
    members = snapshot.slices.members
    return np.where(members < 0, NO_SLICE, members).astype("<u2").tobytes()


def plain(value: Any) -> Any:
    """JSON values without what JSON or UTF-8 cannot encode: lone surrogates, `NaN`, infinite numbers."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {encodable(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _slices(snapshot: Snapshot) -> dict[str, Any] | None:
    slices = snapshot.slices
    if slices is None:
        return None
    return {
        "column": str(slices.column),
        "kind": slices.kind,
        "labels": list(slices.labels),
        "n_outside": slices.n_outside,
    }


def _concept(concept: Concept, snapshot: Snapshot) -> dict[str, Any]:
    position = snapshot.corpus.position
    examples: Sequence[int] = [position[i] for i in concept.example_ids if i in position]
    return {
        "id": concept.id,
        "name": concept.name,
        "criteria": concept.criteria,
        "summary": concept.summary,
        "seed": concept.seed,
        "active": concept.active,
        "support": snapshot.support.get(concept.id, len(concept.example_ids)),
        "examples": examples[:_MOST_EXAMPLES],
        "scored": concept.id in snapshot.position,
        "stale": concept.id in snapshot.stale,
        "merged_from": list(concept.merged_from),
    }
