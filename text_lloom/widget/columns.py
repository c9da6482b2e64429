"""Metadata columns as typed arrays of numbers, which the browser filters and sorts by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from text_lloom.analysis.slices import as_dates, as_numbers, column_kind
from text_lloom.errors import InputError, UnknownName
from text_lloom.widget.folding import fold
from text_lloom.widget.spans import shown_text

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from text_lloom.corpus import Corpus

__all__ = [
    "ID_RANKS",
    "NO_LABEL",
    "NO_RANK",
    "TEXT_RANKS",
    "ColumnKind",
    "ColumnName",
    "Columns",
    "MetaColumn",
]

ColumnKind: TypeAlias = Literal["number", "date", "category", "text"]
ID_RANKS: Final = "@id"
TEXT_RANKS: Final = "@text"
NO_LABEL: Final = 65535
NO_RANK: Final = 2**32 - 1
_MOST_LABELS: Final = 200
_LABEL_SHARE: Final = 0.5
_LONGEST_LABEL: Final = 120


class ColumnName(NamedTuple):
    """An entry in the list of columns: the name, the kind, and the labels of a category."""

    name: str
    kind: ColumnKind
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MetaColumn:
    """One column.

    Attributes:
        kind: The meaning of `values`.
        values: float64 numbers (`NaN` = missing; dates in milliseconds since 1970), uint16 numbers of
            labels (65535 = missing), or uint32 ranks of texts (4294967295 = missing); one per document.
        labels: The labels of a category.
    """

    kind: ColumnKind
    values: NDArray[np.float64] | NDArray[np.uint16] | NDArray[np.uint32]
    labels: tuple[str, ...] = ()

    @property
    def buffer(self) -> bytes:
        """The values in little-endian order."""
        return self.values.astype(self.values.dtype.newbyteorder("<"), copy=False).tobytes()

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which documents have no value."""
        if self.kind in ("number", "date"):
            return np.isnan(self.values)
        return np.asarray(self.values == (NO_LABEL if self.kind == "category" else NO_RANK))


class Columns:
    """The metadata columns of a corpus, created when first used and then cached; thread-safe.

    Args:
        corpus: The documents.
        folded: Gives their folded texts, for sorting by text.
    """

    def __init__(self, corpus: Corpus, folded: Callable[[], list[str]]) -> None:
        self._corpus, self._folded = corpus, folded
        self._lock = threading.RLock()
        self._made: dict[str, MetaColumn] = {}
        self._shown: dict[str, list[str]] = {}
        self._searched: dict[str, list[str]] = {}
        self._column_of: dict[str, Hashable] = {}
        for column in corpus.metadata_cols:
            name = shown_text(str(column))
            while name in self._column_of or name in (ID_RANKS, TEXT_RANKS):
                name += "_"
            self._column_of[name] = column

    @property
    def names(self) -> list[str]:
        """Names of the columns, as text, in the order of the frame."""
        return list(self._column_of)

    def listed(self) -> list[ColumnName]:
        """All columns with their kinds."""
        made = [(name, self[name]) for name in self._column_of]
        return [ColumnName(name, column.kind, column.labels) for name, column in made]

    def __getitem__(self, name: str) -> MetaColumn:
        """A column by name; `@id` and `@text` are the ranks of ids and texts.

        Raises:
            UnknownName: When the column does not exist.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def some_shown(self, name: str, rows: Sequence[int]) -> list[str]:
        """The values of some documents as text, `""` for missing ones."""
        known = self._shown.get(name)
        if known is not None:
            return [known[row] for row in rows]
        return _as_text(self._frame_column(name).iloc[list(rows)])

    def all_shown(self, name: str) -> list[str]:
        """All values of a column as text, `""` for missing ones."""
        with self._lock:
            if name not in self._shown:
                self._shown[name] = _as_text(self._frame_column(name))
            return self._shown[name]

    def all_folded(self, name: str) -> list[str]:
        """All values of a column as folded text, for searching."""
        with self._lock:
            if name not in self._searched:
                self._searched[name] = [fold(value) for value in self.all_shown(name)]
            return self._searched[name]

    def _frame_column(self, name: str) -> pd.Series[Any]:
        if name not in self._column_of:
            raise UnknownName(name, self._column_of, what="column")
        values: pd.Series[Any] = self._corpus.frame[self._column_of[name]]
        return values

    def _make(self, name: str) -> MetaColumn:
        if name == ID_RANKS:
            return MetaColumn("text", _id_ranks(self._corpus.ids))
        if name == TEXT_RANKS:
            return MetaColumn("text", _ranks(list(self._folded())))
        values = self._frame_column(name)
        try:
            kind = column_kind(values, name)
        except InputError:
            kind = "category"
        if kind == "number":
            return MetaColumn("number", as_numbers(values))
        if kind == "date":
            return MetaColumn("date", _milliseconds(values))
        return _category_or_text(values, self.all_shown(name))


def _category_or_text(values: pd.Series[Any], shown: list[str]) -> MetaColumn:
    import pandas as pd

    present = dict.fromkeys(value for value in shown if value)
    categorical = isinstance(values.dtype, pd.CategoricalDtype)
    few = len(present) <= max(20, _LABEL_SHARE * len(shown)) and len(present) <= _MOST_LABELS
    if not (few or categorical) or len(present) >= NO_LABEL or any(len(p) > _LONGEST_LABEL for p in present):
        return MetaColumn("text", _ranks([fold(value) if value else None for value in shown]))
    if isinstance(values.dtype, pd.CategoricalDtype):
        ranked = _as_text(pd.Series(values.dtype.categories))
        labels = [label for label in dict.fromkeys(ranked) if label in present]
    else:
        labels = sorted(present, key=lambda label: (fold(label), label))
    number = {label: i for i, label in enumerate(labels)}
    codes = np.asarray([number.get(value, NO_LABEL) for value in shown], dtype=np.uint16)
    return MetaColumn("category", codes, tuple(labels))


def _as_text(values: pd.Series[Any]) -> list[str]:
    import pandas as pd

    if values.dtype != object and len(values) > 1000:
        # Most columns repeat values. Not done for objects, because 1 and True would be equal keys.
        codes, distinct = pd.factorize(values)
        shown = [shown_text(_plain(value)) for value in distinct.tolist()]
        return [shown[code] if code >= 0 else "" for code in codes.tolist()]
    gone = pd.isna(values).tolist()
    return [
        "" if missing else shown_text(_plain(value))
        for value, missing in zip(values.tolist(), gone, strict=True)
    ]


def _plain(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).removesuffix(" 00:00:00")


def _milliseconds(values: pd.Series[Any]) -> NDArray[np.float64]:
    dates = as_dates(values).astype("datetime64[ms]")
    found = dates.to_numpy().astype("datetime64[ms]")
    numbers = found.astype(np.int64).astype(np.float64)
    numbers[np.isnat(found)] = np.nan
    return numbers


def _id_ranks(ids: list[Hashable]) -> NDArray[np.uint32]:
    if all(isinstance(i, Real) and not isinstance(i, bool) for i in ids):
        _, ranks = np.unique(np.asarray(ids, dtype=np.float64), return_inverse=True)
        return ranks.astype(np.uint32)
    return _ranks([fold(str(i)) for i in ids])


def _ranks(keys: list[str | None]) -> NDArray[np.uint32]:
    order = {key: rank for rank, key in enumerate(sorted({key for key in keys if key is not None}))}
    return np.asarray([NO_RANK if key is None else order[key] for key in keys], dtype=np.uint32)
