"""The selected documents as a frame, and as files to download from the view."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from text_lloom.scores import text_series
from text_lloom.storage.sheets import write_sheet
from text_lloom.widget.snapshot import NOT_SCORED

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from text_lloom.widget.snapshot import Snapshot

__all__ = ["File", "download", "selection_frame"]


class File(NamedTuple):
    """A file to download: its name, its type and its content."""

    name: str
    mime: str
    content: bytes


def selection_frame(
    snapshot: Snapshot, rows: NDArray[np.int64], *, concept_id: str | None = None
) -> pd.DataFrame:
    """Documents with all their columns and scores, in the order of `rows`.

    Args:
        snapshot: The state of the session.
        rows: Row numbers.
        concept_id: If it is the id of a concept, adds `rationale` and `highlight` on this concept.

    Returns:
        The corpus' own columns, then a float64 column per scored concept, with the name of the concept
        (`NaN` = not scored), then `rationale` and `highlight`. Underscores make names unique.
    """
    import pandas as pd

    frame = snapshot.corpus.frame.iloc[rows].reset_index(drop=True)
    added: dict[str, object] = {}

    def free(name: str) -> str:
        while name in frame.columns or name in added:
            name += "_"
        return name

    for concept_id_, codes in zip(snapshot.score_ids, snapshot.codes, strict=True):
        chosen = codes[rows]
        scores = np.where(chosen == NOT_SCORED, np.nan, chosen / 4)
        added[free(snapshot.by_id[concept_id_].name)] = scores
    if concept_id in snapshot.by_id:
        judged = [snapshot.judgement(str(concept_id), row) for row in rows.tolist()]
        added[free("rationale")] = text_series([judgement.rationale for judgement in judged])
        added[free("highlight")] = text_series([judgement.highlight for judgement in judged])
    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1)


def download(
    kind: str,
    snapshot: Snapshot,
    *,
    rows: NDArray[np.int64] | None = None,
    state: Mapping[str, Any] | None = None,
) -> File:
    """The documents as a file.

    Args:
        kind: `csv` (one row per document), `json` (concepts and documents) or `html` (a page, see
            `write_page`).
        snapshot: The state of the session.
        rows: The selected documents, in order; all if not given.
        state: The state with which a page opens.
    """
    if kind == "html":
        from text_lloom.widget.export import page_bytes, sampled

        chosen = snapshot if rows is None else sampled(snapshot, np.sort(rows))
        return File("lloom-view.html", "text/html", page_bytes(chosen, state=state or {}))
    name = "lloom-documents" if rows is None else "lloom-selection"
    rows = np.arange(len(snapshot.corpus)) if rows is None else rows
    concept_id = (state or {}).get("concept")
    if kind == "csv":
        frame = selection_frame(snapshot, rows, concept_id=concept_id)
        with tempfile.TemporaryDirectory() as folder:
            path = write_sheet(frame, Path(folder) / "documents.csv")
            return File(f"{name}.csv", "text/csv", path.read_bytes())
    content = json.dumps(_as_json(snapshot, rows.tolist()), ensure_ascii=False, indent=1)
    return File(f"{name}.json", "application/json", content.encode("utf-8", "replace"))


def _as_json(snapshot: Snapshot, rows: Sequence[int]) -> dict[str, Any]:
    """Concepts, and documents with their scores, rationales and highlights."""
    columns = snapshot.reader.columns
    shown = {name: columns.some_shown(name, rows) for name in columns.names}
    documents = []
    for at, row in enumerate(rows):
        judged = {concept_id: snapshot.judgement(concept_id, row) for concept_id in snapshot.score_ids}
        documents.append(
            {
                "id": snapshot.reader.id(row),
                "text": snapshot.corpus.texts[row],
                "metadata": {name: values[at] for name, values in shown.items()},
                "scores": [
                    {
                        "concept_id": concept_id,
                        "score": judgement.score,
                        "rationale": judgement.rationale,
                        "highlight": judgement.highlight,
                    }
                    for concept_id, judgement in judged.items()
                    if judgement.score == judgement.score
                ],
            }
        )
    concepts = [
        {"id": c.id, "name": c.name, "criteria": c.criteria, "summary": c.summary} for c in snapshot.concepts
    ]
    return {"concepts": concepts, "documents": documents}
