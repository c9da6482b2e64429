"""Scores and attempts as Arrow tables and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from text_lloom.llm.control.usage import Attempt
from text_lloom.quotes import QuoteMatch
from text_lloom.scores import ScoreColumn, ScoreTable
from text_lloom.storage.columns import METADATA_KEY, strings, strings_from
from text_lloom.storage.values import json_bytes, parse_json

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
    from numpy.typing import NDArray

    from text_lloom.corpus import Corpus

__all__ = ["attempts_from_table", "attempts_to_table", "scores_from_table", "scores_to_table"]

_Item = TypeVar("_Item")


def scores_to_table(scores: ScoreTable) -> pa.Table:
    """One row per judgement, concept by concept.

    Returns:
        Columns `concept_id`, `row` (int64, row of the document), `score` (float32), `rationale`,
        `highlight`, `match`, `claimed`. The metadata lists the concepts with the criterion under which
        each was scored.
    """
    import pyarrow as pa

    columns = scores.columns()
    rows = [np.flatnonzero(_judged(column)) for column in columns]
    kept = list(zip(columns, rows, strict=True))
    table = pa.table(
        {
            "concept_id": strings([column.concept_id for column, at in kept for _ in at]),
            "row": pa.array(np.concatenate([np.empty(0, np.int64), *rows]), pa.int64()),
            "score": pa.array(
                np.concatenate([np.empty(0, np.float32), *(column.score[at] for column, at in kept)])
            ),
            "rationale": strings([column.rationale[row] for column, at in kept for row in at]),
            "highlight": strings([column.highlight[row] for column, at in kept for row in at]),
            "match": strings([column.match[row].value for column, at in kept for row in at]),
            "claimed": strings([column.claimed[row] for column, at in kept for row in at]),
        }
    )
    layout = [
        {"concept_id": column.concept_id, "criteria": column.criteria, "rows": len(at)} for column, at in kept
    ]
    return table.replace_schema_metadata({METADATA_KEY: json_bytes(layout)})


def scores_from_table(table: pa.Table, corpus: Corpus) -> ScoreTable:
    """The scores that `scores_to_table` converted to this table.

    Raises:
        ValueError: When it has rows for documents or concepts that it does not declare. Parts of a
            wrong type raise `TypeError`, `LookupError` or Arrow's own errors.
    """
    n, start, columns = len(corpus), 0, []
    position = table.column("row").to_numpy()
    score = table.column("score").to_numpy().astype(np.float32)
    rationale, highlight, match, claimed = (
        strings_from(table.column(name)) for name in ("rationale", "highlight", "match", "claimed")
    )
    layout: Any = parse_json((table.schema.metadata or {})[METADATA_KEY])
    for entry in layout:
        part = slice(start, start + range(table.num_rows - start + 1)[entry["rows"]])
        start, rows = part.stop, position[part]
        if len(rows) and not 0 <= rows.min() <= rows.max() < n:
            raise ValueError("it holds scores of documents that it does not have")
        scores = np.full(n, np.nan, np.float32)
        scores[rows] = score[part]
        columns.append(
            ScoreColumn(
                concept_id=str(entry["concept_id"]),
                criteria=str(entry["criteria"]),
                score=scores,
                rationale=_spread(rows, rationale[part], n, ""),
                highlight=_spread(rows, highlight[part], n, ""),
                match=_spread(rows, [QuoteMatch(m) for m in match[part]], n, QuoteMatch.NONE),
                claimed=_spread(rows, claimed[part], n, ""),
            )
        )
    if start != table.num_rows:
        raise ValueError("it holds scores that belong to no concept")
    return ScoreTable.restore(corpus, columns)


def attempts_to_table(attempts: Sequence[Attempt]) -> pa.Table:
    """One row per attempt, columns as in `Attempt`; a null in `usd` is an unknown price."""
    import pyarrow as pa

    return pa.table(
        {
            "step": strings([a.step for a in attempts]),
            "model": strings([a.model for a in attempts]),
            "at": pa.array([a.at for a in attempts], pa.float64()),
            "seconds": pa.array([a.seconds for a in attempts], pa.float64()),
            "in_tokens": pa.array([int(a.in_tokens) for a in attempts], pa.int64()),
            "out_tokens": pa.array([int(a.out_tokens) for a in attempts], pa.int64()),
            "usd": pa.array([a.usd for a in attempts], pa.float64()),
            "outcome": strings([a.outcome for a in attempts]),
            "estimated": pa.array([a.estimated for a in attempts], pa.bool_()),
        }
    )


def attempts_from_table(table: pa.Table) -> tuple[Attempt, ...]:
    """The attempts that `attempts_to_table` converted to this table.

    Raises:
        ValueError: When a value is missing; a missing column raises `KeyError`.
    """
    texts = {name: strings_from(table.column(name)) for name in ("step", "model", "outcome")}
    columns = {
        name: texts.get(name) or table.column(name).to_pylist() for name in Attempt.__dataclass_fields__
    }
    for name, values in columns.items():
        if name != "usd" and None in values:
            raise ValueError(f"its ledger has attempts without {name}")
    rows = zip(*columns.values(), strict=True)
    return tuple(Attempt(*row) for row in rows)


def _judged(column: ScoreColumn) -> list[bool]:
    """Which documents have a judgement in a column."""
    told = zip(column.rationale, column.highlight, column.claimed, column.match, strict=True)
    return [
        bool(scored or rationale or highlight or claimed or match is not QuoteMatch.NONE)
        for scored, (rationale, highlight, claimed, match) in zip(~np.isnan(column.score), told, strict=True)
    ]


def _spread(rows: NDArray[np.int64], values: Sequence[_Item], n: int, empty: _Item) -> list[_Item]:
    """A list of `n` items, `values` at their rows and `empty` elsewhere."""
    items = [empty] * n
    for row, value in zip(rows.tolist(), values, strict=True):
        items[row] = value
    return items
