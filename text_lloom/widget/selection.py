"""Selects and sorts documents by the state of a view; Python, exports and the view use the same rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from text_lloom.widget.columns import ID_RANKS, NO_LABEL, NO_RANK, TEXT_RANKS
from text_lloom.widget.folding import fold
from text_lloom.widget.snapshot import NOT_SCORED
from text_lloom.widget.state import OUTLIERS, ColumnFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text_lloom.widget.columns import MetaColumn
    from text_lloom.widget.snapshot import Snapshot
    from text_lloom.widget.state import ViewState

__all__ = ["is_within", "passes_text", "select_rows"]


def select_rows(state: ViewState, snapshot: Snapshot) -> NDArray[np.int64]:
    """The rows that a state selects, in its order; see `docs/view-protocol.md` for the rule."""
    passes = _by_concept(state, snapshot) & _by_slice(state, snapshot)
    for concept_id in state.also:
        if concept_id in snapshot.position:
            passes &= _matches(concept_id, state, snapshot)
    is_concept = state.concept in snapshot.by_id
    if state.scores and is_concept:
        codes = snapshot.codes_of(str(state.concept))
        wanted = [NOT_SCORED if score is None else round(4 * score) for score in state.scores]
        passes &= np.isin(codes, np.asarray(wanted, np.uint8))
    for name, condition in state.columns.items():
        if name in snapshot.reader.columns.names:
            passes &= _by_column(condition, name, snapshot)
    if len(state.lasso) >= 3:
        passes &= _by_lasso(state, snapshot)
    if state.query.strip():
        found = np.zeros(len(passes), bool)
        found[snapshot.reader.search(state.query)] = True
        passes &= found
    return _sorted(np.flatnonzero(passes), state, snapshot)


def is_within(
    polygon: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which points lie within a polygon, by the even-odd rule.

    Args:
        polygon: Corners, shape `(p, 2)`.
        x: Shape `(n,)`; `NaN` is never inside.
        y: Shape `(n,)`.
    """
    inside = np.zeros(len(x), bool)
    xj, yj = polygon[-1]
    for xi, yi in polygon:
        if yi != yj:
            crosses = ((yi > y) != (yj > y)) & (x < (xj - xi) * (y - yi) / (yj - yi) + xi)
            inside ^= crosses
        xj, yj = xi, yi
    return inside & ~np.isnan(x) & ~np.isnan(y)


def passes_text(condition: ColumnFilter, name: str, snapshot: Snapshot) -> NDArray[np.bool_]:
    """Which documents' values, as a page shows them, are among `values` and contain `contains`.

    Args:
        condition: The filter; its numeric bounds are ignored.
        name: A column.
        snapshot: The documents.

    Raises:
        UnknownName: When the column does not exist.
    """
    columns = snapshot.reader.columns
    shown = columns.all_shown(name)
    passes = np.ones(len(shown), bool)
    if condition.values:
        wanted = {"" if value is None else value for value in condition.values}
        passes &= np.asarray([value in wanted for value in shown], bool)
    needle = fold(condition.contains)
    if needle:
        passes &= np.asarray([needle in value for value in columns.all_folded(name)], bool)
    return passes


def _by_concept(state: ViewState, snapshot: Snapshot) -> NDArray[np.bool_]:
    n = len(snapshot.corpus)
    if state.concept == OUTLIERS:
        scored = snapshot.codes != NOT_SCORED
        matched = scored & (snapshot.codes / 4 >= state.threshold)
        return np.asarray(scored.any(axis=0) & ~matched.any(axis=0))
    if state.concept not in snapshot.by_id or state.show == "all":
        return np.ones(n, bool)
    matches = _matches(str(state.concept), state, snapshot)
    if state.show == "matches":
        return matches
    return np.asarray((snapshot.codes_of(str(state.concept)) != NOT_SCORED) & ~matches)


def _matches(concept_id: str, state: ViewState, snapshot: Snapshot) -> NDArray[np.bool_]:
    codes = snapshot.codes_of(concept_id)
    return np.asarray((codes != NOT_SCORED) & (codes / 4 >= state.threshold))


def _by_slice(state: ViewState, snapshot: Snapshot) -> NDArray[np.bool_]:
    n = len(snapshot.corpus)
    members = np.full(n, -1) if snapshot.slices is None else snapshot.slices.members
    passes = np.ones(n, bool)
    if state.slice is not None:
        passes &= members == state.slice
    if state.slices:
        passes &= np.isin(members, [-1 if number is None else number for number in state.slices])
    return passes


def _by_column(condition: ColumnFilter, name: str, snapshot: Snapshot) -> NDArray[np.bool_]:
    columns = snapshot.reader.columns
    column = columns[name]
    passes = np.ones(len(column.values), bool)
    if condition.values:
        if column.kind == "category":
            number = {label: i for i, label in enumerate(column.labels)}
            codes = [NO_LABEL if label is None else number.get(label, -1) for label in condition.values]
            passes &= np.isin(column.values.astype(np.int64), codes)
        else:
            passes &= passes_text(ColumnFilter(values=condition.values), name, snapshot)
    if condition.contains:
        passes &= passes_text(ColumnFilter(contains=condition.contains), name, snapshot)
    if condition.is_range:
        if column.kind not in ("number", "date"):
            return np.zeros(len(passes), bool)
        low = -np.inf if condition.low is None else condition.low
        high = np.inf if condition.high is None else condition.high
        passes &= (column.values >= low) & (column.values <= high)
    return passes


def _by_lasso(state: ViewState, snapshot: Snapshot) -> NDArray[np.bool_]:
    if snapshot.layout is None:
        return np.zeros(len(snapshot.corpus), bool)
    places = snapshot.layout.astype(np.float64)
    return is_within(np.asarray(state.lasso, np.float64), places[:, 0], places[:, 1])


def _sorted(rows: NDArray[np.int64], state: ViewState, snapshot: Snapshot) -> NDArray[np.int64]:
    keys = _sort_keys(state, snapshot)
    if keys is None:
        return rows
    chosen = keys[rows]
    gone = np.isnan(chosen)
    order = np.argsort(np.where(gone, 0, -chosen if state.descending else chosen), kind="stable")
    ordered = rows[order]
    last = gone[order]
    return np.concatenate([ordered[~last], ordered[last]])


def _sort_keys(state: ViewState, snapshot: Snapshot) -> NDArray[np.float64] | None:
    """A number per document, `NaN` if it has no value; `None` for row order."""
    n, by = len(snapshot.corpus), state.sort_by
    columns = snapshot.reader.columns
    if by == "row":
        return np.arange(n, dtype=np.float64)
    if by == "score" and state.concept in snapshot.by_id:
        codes = snapshot.codes_of(str(state.concept)).astype(np.float64)
        return _with_gaps(codes, NOT_SCORED)
    if by == "slice" and snapshot.slices is not None:
        return _with_gaps(snapshot.slices.members.astype(np.float64), -1)
    if by in ("id", "text"):
        return _keys_of(columns[ID_RANKS if by == "id" else TEXT_RANKS])
    name = by.removeprefix("column:")
    if by.startswith("column:") and name in columns.names:
        return _keys_of(columns[name])
    return None


def _keys_of(column: MetaColumn) -> NDArray[np.float64]:
    if column.kind in ("number", "date"):
        numbers: NDArray[np.float64] = column.values.astype(np.float64)
        return numbers
    return _with_gaps(column.values.astype(np.float64), NO_LABEL if column.kind == "category" else NO_RANK)


def _with_gaps(values: NDArray[Any], gap: int) -> NDArray[np.float64]:
    values[values == gap] = np.nan
    return values
