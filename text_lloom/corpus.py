"""The validated documents of a session: ids, texts and metadata."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from text_lloom.errors import ColumnNotFound, DuplicateIds, EmptyCorpus, InputError

if TYPE_CHECKING:
    import pandas as pd
    from narwhals.typing import IntoDataFrame

__all__ = ["Corpus", "Document"]

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
        frame: One row per document, all columns of the user's frame (and the id column, if made here).
        text_col: Name of the text column.
        id_col: Name of the id column.
        set_aside: Rows without text, which no model sees.
    """

    frame: pd.DataFrame
    text_col: str
    id_col: str
    set_aside: pd.DataFrame

    @classmethod
    def from_frame(cls, df: IntoDataFrame, *, text_col: str, id_col: str | None = None) -> Corpus:
        """Validate a frame of documents.

        Args:
            df: A pandas, polars, Arrow or other narwhals-compatible eager frame, one row per document.
            text_col: Column with the text. Rows whose text is missing or blank are set aside with a
                warning; single values that are not text are converted with a warning.
            id_col: Column with unique ids (any hashable values). Without it the rows are numbered from 0
                in a new column `id` (or `doc_id` if the frame already has an `id`).

        Raises:
            InputError: When `df` is not a frame, or has repeated column names, missing ids or no text.
            ColumnNotFound: When a named column does not exist; suggests the nearest name.
            DuplicateIds: When ids occur more than once; names them.
            EmptyCorpus: When no row has text.
        """
        frame = _as_pandas(df)
        if text_col not in frame.columns:
            raise ColumnNotFound(text_col, list(frame.columns), role="text_col")
        if id_col is not None and id_col not in frame.columns:
            raise ColumnNotFound(id_col, list(frame.columns), role="id_col")
        if id_col == text_col:
            raise InputError(f"text_col and id_col are both {text_col!r}; they must be two columns.")
        if frame.empty:
            raise EmptyCorpus("The frame has no rows; at least one document is needed.")
        if id_col is None:
            id_col = next(name for name in (*_ID_NAMES, _free_name(frame)) if name not in frame.columns)
            frame.insert(0, id_col, range(len(frame)))
        has_text = _readable_text(frame, text_col)
        set_aside = frame.loc[~has_text].reset_index(drop=True)
        frame = frame.loc[has_text].reset_index(drop=True)
        if frame.empty:
            raise EmptyCorpus(
                f"No row of column {text_col!r} has text: all {len(set_aside)} are missing or blank."
            )
        _check_ids(frame, id_col)
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
    def metadata_cols(self) -> list[str]:
        """All columns but the id and the text."""
        return [c for c in self.frame.columns if c not in (self.id_col, self.text_col)]

    def text_of(self, doc_id: Hashable) -> str:
        """The text of one document.

        Raises:
            KeyError: When there is no document of that id.
        """
        return self.texts[self.position[doc_id]]


def _as_pandas(df: IntoDataFrame) -> pd.DataFrame:
    import narwhals as nw
    import pandas as pd

    if isinstance(df, pd.DataFrame):
        frame = df.copy(deep=False)
    else:
        if isinstance(df, (str, bytes)) or isinstance(nw.from_native(df, pass_through=True), nw.LazyFrame):
            hint = "Call .collect() first." if not isinstance(df, (str, bytes)) else "Read the file first."
            raise InputError(f"df must be a frame in memory, but is {type(df).__name__}. {hint}")
        wrapped = nw.from_native(df, pass_through=True, eager_only=True)
        if not isinstance(wrapped, nw.DataFrame):
            raise InputError(
                f"df must be a pandas, polars, Arrow or other narwhals-compatible frame, but is "
                f"{type(df).__name__}. For a plain list of texts use pd.DataFrame({{'text': texts}})."
            )
        frame = wrapped.to_pandas()
    repeated = frame.columns[frame.columns.duplicated()].tolist()
    if repeated:
        raise InputError(f"The frame has several columns of the same name: {_some(repeated)}. Rename them.")
    return frame


def _free_name(frame: pd.DataFrame) -> str:
    number = 1
    while f"lloom_id_{number}" in frame.columns:
        number += 1
    return f"lloom_id_{number}"


def _readable_text(frame: pd.DataFrame, text_col: str) -> pd.Series[bool]:
    """Which rows have text. Converts single values that are not text, in place, with a warning."""
    import pandas as pd

    values = frame[text_col].astype(object)
    missing = values.isna()
    is_text = values.map(lambda value: isinstance(value, str))
    odd = ~missing & ~is_text
    if odd.any() and not is_text.any():
        kinds = sorted({type(value).__name__ for value in values[odd].head(100)})
        texts = [
            str(c)
            for c in frame.columns
            if c != text_col and frame[c].map(lambda value: isinstance(value, str)).mean() > 0.5
        ]
        hint = f"Columns with text: {_some(texts)}." if texts else "No other column has text."
        raise InputError(f"text_col={text_col!r} holds no text but {', '.join(kinds)}. {hint}")
    if odd.any():
        containers = values[odd].map(lambda value: not isinstance(value, (int, float, bool)))
        if containers.any():
            row = containers[containers].index[0]
            raise InputError(
                f"Row {row} of text_col={text_col!r} is not text but {type(values[row]).__name__}. "
                f"Convert the column first, for example df[{text_col!r}] = df[{text_col!r}].map(str)."
            )
        warnings.warn(
            f"{int(odd.sum())} values of {text_col!r} are numbers, not text; they are read as text "
            f"(rows {_some(list(values.index[odd]))}).",
            stacklevel=4,
        )
        values = values.where(~odd, values.map(str))
        frame[text_col] = values
    has_text = ~missing & values.map(lambda value: isinstance(value, str) and bool(value.strip()))
    return pd.Series(has_text.to_numpy(dtype=bool), index=frame.index)


def _check_ids(frame: pd.DataFrame, id_col: str) -> None:
    ids = frame[id_col]
    if ids.isna().any():
        rows = list(frame.index[ids.isna()])
        raise InputError(
            f"The id column {id_col!r} has no value in {len(rows)} rows with text (rows {_some(rows)}). "
            f"Fill them, or leave id_col out to have the rows numbered."
        )
    try:
        duplicated = ids[ids.duplicated()].drop_duplicates().tolist()
    except TypeError:
        raise InputError(
            f"The id column {id_col!r} holds values that cannot be compared, such as lists."
        ) from None
    if duplicated:
        raise DuplicateIds(id_col, duplicated)


def _some(values: list[object] | list[str] | list[Hashable]) -> str:
    shown = ", ".join(str(value) for value in values[:_NAMED_AT_MOST])
    more = len(values) - _NAMED_AT_MOST
    return f"{shown}, … ({more} more)" if more > 0 else shown
