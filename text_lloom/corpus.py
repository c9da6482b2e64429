"""The validated documents of a session: ids, texts and metadata."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from text_lloom.errors import ColumnNotFound, DuplicateIds, EmptyCorpus, InputError

if TYPE_CHECKING:
    import pandas as pd
    from narwhals.typing import IntoDataFrame

__all__ = ["Corpus", "Document", "index_as_columns"]

_ID_NAMES = ("id", "doc_id", "lloom_id")
_NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Document:
    """One document: an id and its text."""

    id: Hashable
    text: str


@dataclass(frozen=True)
class Corpus:
    """Documents with unique ids and text, in the order of the frame they came from.

    Attributes:
        frame: One row per document, all columns of the user's frame (and the id column, if it was added).
        text_col: Name of the text column.
        id_col: Name of the id column.
        set_aside: Rows without text, which are not sent to any model.
    """

    frame: pd.DataFrame
    text_col: str
    id_col: str
    set_aside: pd.DataFrame

    def __repr__(self) -> str:
        left_out = f", {len(self.set_aside)} rows without text" if len(self.set_aside) else ""
        return f"<Corpus: {len(self)} documents in column {self.text_col!r}{left_out}>"

    @classmethod
    def from_frame(cls, df: IntoDataFrame, *, text_col: str, id_col: str | None = None) -> Corpus:
        """Validate a frame of documents.

        Args:
            df: A pandas, polars, Arrow or other narwhals-compatible eager frame, one row per document.
                Named levels of a pandas index are columns.
            text_col: Column with the text. Rows with missing or blank text are left out with a warning;
                a few numbers among the texts are converted with a warning.
            id_col: Column with unique ids (any hashable values). Without it the rows are numbered from 0
                in a new column `id` (or `doc_id` if the frame already has an `id`).

        Raises:
            InputError: When `df` is not a frame, or has repeated column names, missing ids or no text.
            ColumnNotFound: When a column does not exist; suggests the nearest name.
            DuplicateIds: When ids occur more than once; lists them.
            EmptyCorpus: When no row has text.
        """
        frame = _as_pandas(df)
        _check_column(text_col, frame, role="text_col")
        if id_col is not None:
            _check_column(id_col, frame, role="id_col")
        if id_col == text_col:
            raise InputError(f"text_col and id_col are both {text_col!r}, but must be two columns.")
        if frame.empty:
            raise EmptyCorpus("The frame has no rows. Pass at least one document.")
        if id_col is None:
            id_col = next(name for name in (*_ID_NAMES, _free_name(frame)) if name not in frame.columns)
            frame.insert(0, id_col, range(len(frame)))
        has_text = _readable_text(frame, text_col)
        if not has_text.any():
            raise EmptyCorpus(
                f"No row of column {text_col!r} has text: all {len(frame)} are missing or blank."
            )
        _check_ids(frame.loc[has_text, id_col])
        set_aside = frame.loc[~has_text].reset_index(drop=True)
        frame = frame.loc[has_text].reset_index(drop=True)
        if len(set_aside):
            warnings.warn(
                f"{len(set_aside)} of {len(frame) + len(set_aside)} rows have no text in {text_col!r} and "
                f"are left out ({id_col}: {_some(set_aside[id_col].tolist())}).",
                stacklevel=3,
            )
        return cls(frame, text_col, id_col, set_aside)

    def __len__(self) -> int:
        return len(self.frame)

    def __iter__(self) -> Iterator[Document]:
        return (Document(i, text) for i, text in zip(self.ids, self.texts, strict=True))

    @cached_property
    def ids(self) -> list[Hashable]:
        """The ids as plain Python values, in order."""
        return cast("list[Hashable]", self.frame[self.id_col].tolist())

    @cached_property
    def texts(self) -> list[str]:
        """The texts, in order."""
        return [str(text) for text in self.frame[self.text_col].tolist()]

    @cached_property
    def position(self) -> Mapping[Hashable, int]:
        """Row number by document id."""
        return {i: row for row, i in enumerate(self.ids)}

    @property
    def is_numbered(self) -> bool:
        """Whether the ids are row numbers, added because no id column was given."""
        made = self.id_col in _ID_NAMES or re.fullmatch(r"lloom_id_\d+", str(self.id_col)) is not None
        if not made or self.frame.columns[0] != self.id_col:
            return False
        ids = [*self.ids, *self.set_aside[self.id_col].tolist()]
        return all(isinstance(i, int) for i in ids) and set(ids) == set(range(len(ids)))

    @property
    def metadata_cols(self) -> list[str]:
        """All columns except the id and the text."""
        return [c for c in self.frame.columns if c not in (self.id_col, self.text_col)]

    def cells(self, columns: Sequence[str]) -> dict[Hashable, dict[str, str]]:
        """The values of columns as text, by document id and column; missing ones are empty."""
        values = [self.frame[column] for column in columns]
        texts = [column.astype(str).where(column.notna(), "").tolist() for column in values]
        rows = zip(*texts, strict=True) if texts else itertools.repeat((), len(self))
        return {i: dict(zip(columns, row, strict=True)) for i, row in zip(self.ids, rows, strict=True)}

    def text_of(self, doc_id: Hashable) -> str:
        """The text of one document.

        Raises:
            KeyError: When no document has this id.
        """
        return self.texts[self.position[doc_id]]


def index_as_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy whose index is the row number, with the named levels of the index as its first columns.

    A level whose name is also that of a column is left out: the column is what its owner sees.
    """
    index = frame.index
    named = [level for level, name in enumerate(index.names) if name is not None]
    kept = [level for level in named if index.names[level] not in frame.columns]
    plain = frame.reset_index(drop=True)
    for place, level in enumerate(kept):
        plain.insert(place, index.names[level], index.get_level_values(level))
    return plain


def _as_pandas(df: IntoDataFrame) -> pd.DataFrame:
    """A copy of the frame whose index is the row number; named levels of its index are columns."""
    import narwhals as nw
    import pandas as pd
    from narwhals.exceptions import DuplicateError

    if isinstance(df, pd.DataFrame):
        frame = df
    else:
        if isinstance(df, (str, bytes, Path)):
            raise InputError(
                f"df must be a frame in memory, but is {type(df).__name__}. Read the file first, for example "
                f"with pd.read_csv."
            )
        try:
            wrapped = nw.from_native(df, pass_through=True)
        except DuplicateError as error:
            problem = " ".join(str(error).split())
            raise InputError(
                f"The frame has several columns of the same name: {problem}. Rename them."
            ) from None
        if isinstance(wrapped, nw.LazyFrame):
            raise InputError(
                f"df must be a frame in memory, but is {type(df).__name__}. Call .collect() first."
            )
        if not isinstance(wrapped, nw.DataFrame):
            raise InputError(
                f"df must be a pandas, polars, Arrow or other narwhals-compatible frame, but is "
                f"{type(df).__name__}. For a plain list of texts use pd.DataFrame({{'text': texts}})."
            )
        frame = wrapped.to_pandas()
    frame = index_as_columns(frame)
    repeated = frame.columns[frame.columns.duplicated()].tolist()
    if repeated:
        raise InputError(f"The frame has several columns of the same name: {_some(repeated)}. Rename them.")
    return frame


def _check_column(column: object, frame: pd.DataFrame, *, role: str) -> None:
    known = isinstance(column, Hashable) and column in frame.columns
    if not known:
        raise ColumnNotFound(column, list(frame.columns), role=role)


def _free_name(frame: pd.DataFrame) -> str:
    number = 1
    while f"lloom_id_{number}" in frame.columns:
        number += 1
    return f"lloom_id_{number}"


def _readable_text(frame: pd.DataFrame, text_col: str) -> pd.Series[bool]:
    """Which rows have text; converts numbers among the texts, in place, with a warning."""
    values = frame[text_col].astype(object)
    missing = values.isna()
    is_text = values.map(lambda value: isinstance(value, str)).astype(bool)
    odd = values[~missing & ~is_text]
    if len(odd) and not is_text.any():
        kinds = sorted({type(value).__name__ for value in odd.head(100)})
        raise InputError(
            f"text_col={text_col!r} holds no text but {', '.join(kinds)}. {_where_text_is(frame, text_col)}"
        )
    if len(odd):
        for row, value in odd.items():
            if not isinstance(value, Number):
                to_text = ".str.decode('utf-8')" if isinstance(value, bytes) else ".map(str)"
                raise InputError(
                    f"Row {row} of text_col={text_col!r} is not text but {type(value).__name__}. Convert the "
                    f"column first, for example df[{text_col!r}] = df[{text_col!r}]{to_text}."
                )
        warnings.warn(
            f"{len(odd)} values of {text_col!r} are numbers, not text; they are read as text "
            f"(rows {_some(odd.index.tolist())}).",
            stacklevel=4,
        )
        values = values.where(missing | is_text, values.map(str))
        frame[text_col] = values
    return values.map(lambda value: isinstance(value, str) and bool(value.strip())).astype(bool)


def _where_text_is(frame: pd.DataFrame, text_col: str) -> str:
    """Which other columns hold mostly text."""
    texts = [
        str(column)
        for column in frame.columns
        if column != text_col
        and frame[column].map(lambda value: isinstance(value, str)).astype(bool).mean() > 0.5
    ]
    return f"Columns with text: {_some(texts)}." if texts else "No other column has text."


def _check_ids(ids: pd.Series[Any]) -> None:
    id_col, missing = str(ids.name), ids.isna()
    if missing.any():
        rows = ids.index[missing].tolist()
        raise InputError(
            f"The id column {id_col!r} has no value in {len(rows)} rows with text (rows {_some(rows)}). "
            f"Fill them, or leave id_col out to have the rows numbered."
        )
    seen: set[Hashable] = set()
    repeated: dict[Hashable, None] = {}
    for doc_id in ids.tolist():
        try:
            if doc_id in seen:
                repeated[doc_id] = None
            seen.add(doc_id)
        except TypeError:
            raise InputError(
                f"The id column {id_col!r} holds a {type(doc_id).__name__}, which cannot be an id. Convert "
                f"the column first, for example with .map(tuple) or .map(str)."
            ) from None
    if repeated:
        raise DuplicateIds(id_col, list(repeated))


def _some(values: list[object] | list[str] | list[Hashable]) -> str:
    shown = ", ".join(str(value) for value in values[:_NAMED_AT_MOST])
    more = len(values) - _NAMED_AT_MOST
    return f"{shown}, … ({more} more)" if more > 0 else shown
