"""The state of a view as a plain dict: tab, selection, filters and sorting; checks it and fills defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Final, cast

from text_lloom.errors import InputError, UnknownName

__all__ = [
    "DEFAULT_STATE",
    "OUTLIERS",
    "TABS",
    "ColumnFilter",
    "ViewState",
    "changed_state",
    "check_state",
    "read_state",
]

OUTLIERS: Final = "outliers"
TABS: Final = (
    "overview",
    "matrix",
    "map",
    "overlap",
    "select",
    "history",
)
"""The tabs in their order, as in `widget_js/src/protocol.ts`."""
_SHOWN: Final = ("matches", "non-matches", "all")
_SCORES: Final = (1.0, 0.75, 0.5, 0.25, 0.0)
_ROW_ORDERS: Final = ("prevalence", "name", "codebook", "slice")
_DOC_ORDERS: Final = ("score", "row", "id", "text", "slice")
_MOST_POINTS: Final = 10_000

DEFAULT_STATE: Final[Mapping[str, Any]] = {
    "tab": "overview",
    "concept": None,
    "slice": None,
    "threshold": 1.0,
    "norm": None,
    "matrix": "circles",
    "row_sort": {"by": "prevalence", "slice": None, "descending": True},
    "show": "matches",
    "query": "",
    "scores": [],
    "slices": [],
    "columns": {},
    "lasso": [],
    "also": [],
    "doc_sort": {"by": "score", "descending": True},
    "shown_columns": None,
    "color": "concept",
    "document": None,
}


@dataclass(frozen=True, slots=True)
class ColumnFilter:
    """A filter by a metadata column.

    Attributes:
        values: Allowed labels, `None` for a missing value; empty for all.
        contains: Text that the value as shown must contain, in any letter case; blank for all.
        low: The smallest allowed number, if there is one.
        high: The largest allowed number, if there is one.
    """

    values: tuple[str | None, ...] = ()
    contains: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def is_range(self) -> bool:
        """Whether it bounds numbers."""
        return self.low is not None or self.high is not None


@dataclass(frozen=True, slots=True)
class ViewState:
    """The part of the state that selects and sorts documents.

    Attributes:
        concept: Id of a concept, `"outliers"`, or `None` for all documents.
        show: `matches`, `non-matches` or `all`, for a concept.
        threshold: The lowest score that is a match.
        slice: Number of a slice, or `None` for all.
        slices: Numbers of slices, `None` = in no slice; empty for all.
        scores: Scores on the concept, `None` = not scored; empty for all.
        columns: Filters by column name.
        lasso: Corners of a polygon on the map, shape `(p, 2)`; fewer than three for no filter.
        also: Ids of concepts that a document must also match; unknown ids are ignored.
        query: Text to find; blank for all.
        sort_by: `score`, `row`, `id`, `text`, `slice` or `column:<name>`.
        descending: Whether large values come first.
    """

    concept: str | None = None
    show: str = "matches"
    threshold: float = 1.0
    slice: int | None = None
    slices: tuple[int | None, ...] = ()
    scores: tuple[float | None, ...] = ()
    columns: Mapping[str, ColumnFilter] = field(default_factory=dict)
    lasso: tuple[tuple[float, float], ...] = ()
    also: tuple[str, ...] = ()
    query: str = ""
    sort_by: str = "score"
    descending: bool = True


def check_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a state with plain values.

    Args:
        state: Any of the keys of `DEFAULT_STATE`; see `docs/view.md` for their values.

    Raises:
        UnknownName: When a key or choice is unknown; suggests the nearest.
        InputError: When a value has the wrong type or is out of range; says what is expected.
    """
    if not isinstance(state, Mapping):
        raise InputError(
            f"The state of a view must be a dict such as {{'tab': 'matrix'}}, but is {type(state).__name__}."
        )
    checked: dict[str, Any] = {}
    for key, value in state.items():
        if key not in DEFAULT_STATE:
            raise UnknownName(key, DEFAULT_STATE, what="key of the state")
        checked[key] = _CHECKS[key](value, f"state[{key!r}]")
    return checked


def read_state(state: Mapping[str, Any]) -> ViewState:
    """The selection and sorting of a state; missing keys have their defaults.

    Raises:
        InputError: As `check_state`.
    """
    full = {**DEFAULT_STATE, **check_state(state)}
    return ViewState(
        concept=full["concept"],
        show=full["show"],
        threshold=full["threshold"],
        slice=full["slice"],
        slices=tuple(full["slices"]),
        scores=tuple(full["scores"]),
        columns={name: _column_filter(wanted) for name, wanted in full["columns"].items()},
        lasso=tuple((x, y) for x, y in full["lasso"]),
        also=tuple(full["also"]),
        query=full["query"],
        sort_by=full["doc_sort"].get("by", "score"),
        descending=full["doc_sort"].get("descending", True),
    )


def changed_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a state that differs from the defaults, in the order of the defaults."""
    return {
        key: state[key] for key, default in DEFAULT_STATE.items() if key in state and state[key] != default
    }


def _column_filter(wanted: Mapping[str, Any]) -> ColumnFilter:
    return ColumnFilter(
        values=tuple(wanted.get("values", ())),
        contains=wanted.get("contains", ""),
        low=wanted.get("min"),
        high=wanted.get("max"),
    )


def _choice(*known: str, optional: bool = False) -> Callable[[object, str], str | None]:
    def check(value: object, where: str) -> str | None:
        if value is None and optional:
            return None
        if not isinstance(value, str) or value not in known:
            raise UnknownName(value, known, what=f"value of {where}")
        return value

    return check


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, but is {value!r}.")
    return value


def _text_or_none(value: object, where: str) -> str | None:
    return None if value is None else _text(value, where)


def _whole(value: object, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise InputError(f"{where} must be a whole number of at least 0, but is {value!r}.")
    return int(value)


def _whole_or_none(value: object, where: str) -> int | None:
    return None if value is None else _whole(value, where)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{where} must be a number, but is {value!r}.")
    return float(value)


def _truth(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{where} must be True or False, but is {value!r}.")
    return value


def _threshold(value: object, where: str) -> float:
    number = _number(value, where)
    if not 0 < number <= 1:
        raise InputError(f"{where} must be above 0 and at most 1, but is {value!r}.")
    return number


def _score_or_none(value: object, where: str) -> float | None:
    if value is None:
        return None
    number = _number(value, where)
    if number not in _SCORES:
        raise InputError(f"{where} must be 1, .75, .5, .25, 0 or None (not scored), but is {value!r}.")
    return number


def _list_of(check: Callable[[object, str], Any]) -> Callable[[object, str], list[Any]]:
    def checked(value: object, where: str) -> list[Any]:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise InputError(f"{where} must be a list, but is {value!r}.")
        return [check(item, f"{where}[{i}]") for i, item in enumerate(value)]

    return checked


def _texts_or_none(value: object, where: str) -> list[str] | None:
    return None if value is None else _list_of(_text)(value, where)


def _mapping(value: object, where: str, known: Sequence[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{where} must be a dict with text keys, but is {value!r}.")
    for key in value:
        if known is not None and key not in known:
            raise UnknownName(key, known, what=f"key of {where}")
    return cast("Mapping[str, Any]", value)


def _row_sort(value: object, where: str) -> dict[str, Any]:
    given = _mapping(value, where, ("by", "slice", "descending"))
    return {
        "by": _choice(*_ROW_ORDERS)(given.get("by", "prevalence"), f"{where}['by']"),
        "slice": _whole_or_none(given.get("slice"), f"{where}['slice']"),
        "descending": _truth(
            given.get("descending", given.get("by", "prevalence") in ("prevalence", "slice")),
            f"{where}['descending']",
        ),
    }


def _doc_sort(value: object, where: str) -> dict[str, Any]:
    given = _mapping(value, where, ("by", "descending"))
    by = _text(given.get("by", "score"), f"{where}['by']")
    if not by.startswith("column:") and by not in _DOC_ORDERS:
        raise UnknownName(by, (*_DOC_ORDERS, "column:<name>"), what=f"value of {where}['by']")
    descending = _truth(given.get("descending", by == "score"), f"{where}['descending']")
    return {"by": by, "descending": descending}


def _columns(value: object, where: str) -> dict[str, dict[str, Any]]:
    checked: dict[str, dict[str, Any]] = {}
    for name, wanted in _mapping(value, where).items():
        place = f"{where}[{name!r}]"
        given = _mapping(wanted, place, ("values", "contains", "min", "max"))
        one: dict[str, Any] = {}
        if "values" in given:
            one["values"] = _list_of(_text_or_none)(given["values"], f"{place}['values']")
        if "contains" in given:
            one["contains"] = _text(given["contains"], f"{place}['contains']")
        for end in ("min", "max"):
            if given.get(end) is not None:
                one[end] = _number(given[end], f"{place}[{end!r}]")
        checked[name] = one
    return checked


def _point(value: object, where: str) -> list[float]:
    point = _list_of(_number)(value, where)
    if len(point) != 2:
        raise InputError(f"{where} must be a point [x, y], but is {value!r}.")
    return point


def _lasso(value: object, where: str) -> list[list[float]]:
    points = _list_of(_point)(value, where)
    if len(points) > _MOST_POINTS:
        raise InputError(f"{where} must have at most {_MOST_POINTS:,} points, but has {len(points):,}.")
    return points


def _color(value: object, where: str) -> str:
    color = _text(value, where)
    if not color.startswith("column:") and color not in ("concept", "slice"):
        raise UnknownName(color, ("concept", "slice", "column:<name>"), what=f"value of {where}")
    return color


_CHECKS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "tab": _choice(*TABS),
    "concept": _text_or_none,
    "slice": _whole_or_none,
    "threshold": _threshold,
    "norm": _choice("concept", "slice", optional=True),
    "matrix": _choice("circles", "heat"),
    "row_sort": _row_sort,
    "show": _choice(*_SHOWN),
    "query": _text,
    "scores": _list_of(_score_or_none),
    "slices": _list_of(_whole_or_none),
    "columns": _columns,
    "lasso": _lasso,
    "also": _list_of(_text),
    "doc_sort": _doc_sort,
    "shown_columns": _texts_or_none,
    "color": _color,
    "document": _whole_or_none,
}
