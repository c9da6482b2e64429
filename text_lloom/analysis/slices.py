"""Slices: groups of documents by a metadata column, with readable labels."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from text_lloom.analysis.dates import DateOrder, SliceUnit, check_date_order, check_slice_unit, read_dates
from text_lloom.errors import ColumnNotFound, InputError
from text_lloom.llm.options import whole_number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from text_lloom.corpus import Corpus

__all__ = [
    "MISSING",
    "MOST_CATEGORIES",
    "MOST_PERIODS",
    "OTHER",
    "Slices",
    "as_dates",
    "as_numbers",
    "column_kind",
    "slice_documents",
]

MOST_CATEGORIES: Final = 40
MOST_BINS: Final = 5
MOST_PERIODS: Final = 24
MISSING: Final = "missing"
OTHER: Final = "other"

_MOST_DECIMALS = 12
_CONTAINERS = (list, tuple, set, frozenset, np.ndarray)
_ANSWER_MARKS = (";", "|", "\n", ",")
_EXACT_WHOLE = 2.0**53
_PERIOD_OF: Final[dict[SliceUnit, str]] = {"day": "D", "week": "W", "month": "M", "quarter": "Q", "year": "Y"}


@dataclass(frozen=True)
class Slices:
    """Documents grouped by a metadata column.

    Slices are identified by number, not by label: a label may be `All` or equal the column's name.

    Attributes:
        column: Name of the column.
        labels: One label per slice, all different.
        members: Slice number of each document, shape `(documents,)`, -1 = in none. Where documents can
            be in several slices, the first of them; `membership` has all.
        n_outside: How many documents are outside `slice_bounds`; they have slices of their own
            (`< 0`, `> 50`), so that no document is lost.
        kind: `numeric` for intervals of numbers, `category` for values and calendar periods.
        several: Which document is in which slice, bool, shape `(documents, slices)`, where documents can
            be in several; else `None`.
        combined: The same documents by combination of answers, one slice per document, where documents
            can be in several; else `None`.
    """

    column: str
    labels: tuple[str, ...]
    members: NDArray[np.intp]
    n_outside: int
    kind: Literal["numeric", "category"]
    several: NDArray[np.bool_] | None = None
    combined: Slices | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shown = [f"{label!r} {n}" for label, n in zip(self.labels[:8], self.sizes.tolist(), strict=False)]
        more = f", and {len(self) - 8} more" if len(self) > 8 else ""
        return f"<Slices of {self.column!r}: {', '.join(shown)}{more}>"

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Number of documents in each slice, shape `(slices,)`."""
        return self.count(np.ones(len(self.members), bool))

    @property
    def membership(self) -> NDArray[np.bool_]:
        """Which document is in which slice, shape `(documents, slices)`."""
        if self.several is not None:
            return self.several
        return np.asarray(self.members[:, None] == np.arange(len(self.labels)))

    def count(self, rows: NDArray[np.bool_]) -> NDArray[np.intp]:
        """How many of the chosen documents are in each slice, shape `(slices,)`.

        Args:
            rows: Which documents, shape `(documents,)`.
        """
        if self.several is not None:
            return np.asarray(self.several[rows].sum(axis=0), dtype=np.intp)
        inside = self.members[rows & (self.members >= 0)]
        return np.bincount(inside, minlength=len(self.labels)).astype(np.intp)


class _Groups(NamedTuple):
    """Labels, and the number of one of them for every document (-1 = its value is missing)."""

    labels: list[str]
    codes: NDArray[np.intp]
    kind: Literal["numeric", "category"] = "category"
    n_outside: int = 0


def slice_documents(
    corpus: Corpus,
    slice_col: str,
    *,
    max_slice_bins: int | None = None,
    slice_bounds: Sequence[float] | None = None,
    slice_sep: str | None = None,
    slice_unit: SliceUnit | None = None,
    date_order: DateOrder | None = None,
) -> Slices:
    """Group the documents by a metadata column.

    - Numbers are divided into intervals with about the same number of documents, from the lowest to the
      highest value. If the lowest value fills an interval (many zeros), it gets a slice of its own. A few
      different values (whole numbers, or values that recur) are slices themselves, in order.
    - Dates, also as text, are grouped by day, week, month, quarter, year or several years: the finest
      unit that gives at most `max_slice_bins` slices. Text is read as dates when all values are dates in
      one form, such as `2023-03-14`, `14.03.2023`, `3/14/2023 9:30 PM`, `14. März 2023`,
      `March 14, 2023`, `Apr 2023`, `2023-W14` or `2023 Q2`.
    - Other values are groups by themselves, in natural order (`9` before `10`; ordered categories keep
      theirs). Of more than 40 values the 39 most frequent are kept; the others are the slice `other`.
    - Missing and blank values, if there are any, are the last slice, `missing`.

    Args:
        corpus: The documents.
        slice_col: A column of the corpus' frame.
        max_slice_bins: The largest number of slices, without `missing`. By default 5 for numbers, 24 for
            dates, and 40 for other values.
        slice_bounds: Edges for a numeric column, such as `[0, 10, 50]`: the intervals are closed on the
            right, `0 – 10` and `10 – 50`, and the first includes its left edge. Values outside are in the
            slices `< 0` and `> 50`, which exist only if needed. An edge can be `inf`.
        slice_sep: The character between several answers in one cell, such as `;`. A document is then in
            the slice of each of its answers. Without it, `;` `|` line breaks and `,` are recognised if the
            answers recur in different combinations, with a warning. `""` groups whole values.
        slice_unit: The period of a slice of dates: `day`, `week`, `month`, `quarter` or `year`.
        date_order: What comes first in dates such as `03/04/2023`: `day`, `month` or `year`. Needed only
            where several orders fit all values.

    Raises:
        ColumnNotFound: When the column does not exist; suggests the nearest name.
        InputError: When `slice_bounds` is given for a column without numbers or does not increase, when
            `max_slice_bins` is less than 1, or when the column contains lists or similar values; when
            several orders of day, month and year fit; when `slice_unit` is given for a column without
            dates, is finer than its dates or gives more slices than `max_slice_bins`.
        UnknownName: When `slice_unit` or `date_order` is none of the names above.
    """
    check_slice_unit(slice_unit)
    check_date_order(date_order)
    frame = corpus.frame
    if not isinstance(slice_col, Hashable) or slice_col not in frame.columns:
        raise ColumnNotFound(slice_col, list(frame.columns), role="slice_col")
    if max_slice_bins is not None:
        max_slice_bins = whole_number(max_slice_bins, what="max_slice_bins")
    most_bins, most_values = max_slice_bins or MOST_BINS, max_slice_bins or MOST_CATEGORIES
    values: pd.Series[Any] = frame[slice_col]
    of_dates = slice_unit is not None or date_order is not None
    whole = slice_bounds is not None or of_dates or (not slice_sep and _are_texts_of_dates(values, slice_col))
    answers = None if whole else _answers(values, slice_col, slice_sep)
    if answers is not None:
        return _by_answer(answers, str(slice_col), most_values)
    kind = column_kind(values, slice_col, date_order=date_order)
    if of_dates and kind != "date":
        option = "slice_unit" if slice_unit is not None else "date_order"
        raise InputError(
            f"{option} needs a column of dates, all written in one form, but {slice_col!r} holds "
            f"{'numbers' if kind == 'number' else 'other values'}. Leave {option} out, or make a column of "
            f"dates with pandas.to_datetime."
        )
    if slice_bounds is not None and kind != "number":
        raise InputError(
            f"slice_bounds needs a numeric column, but {slice_col!r} holds "
            f"{'dates' if kind == 'date' else 'categories'}. Leave slice_bounds out."
        )
    if kind == "number":
        numbers = as_numbers(values)
        groups = (
            _by_bounds(numbers, slice_bounds) if slice_bounds is not None else _by_number(numbers, most_bins)
        )
    elif kind == "date":
        groups = _by_period(
            as_dates(values, date_order=date_order),
            slice_unit,
            _finest_unit(values, date_order),
            max_slice_bins,
        )
    else:
        groups = _fold_rare(_by_value(values), most_values, str(slice_col))
    return _with_missing(groups, str(slice_col))


def column_kind(
    values: pd.Series[Any], slice_col: str, *, date_order: DateOrder | None = None
) -> Literal["number", "date", "category"]:
    """Whether a column holds numbers, dates (also as text) or anything else.

    Args:
        values: The column.
        slice_col: Its name, for the error message.
        date_order: What comes first in dates such as `03/04/2023`.

    Raises:
        InputError: When it contains lists or similar values, or dates that can be read in several orders.
    """
    import pandas as pd

    types, dtype = pd.api.types, values.dtype
    if isinstance(dtype, pd.CategoricalDtype) or types.is_bool_dtype(dtype):
        return "category"
    if types.is_numeric_dtype(dtype):
        return "number"
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return "date"
    inferred = types.infer_dtype(values, skipna=True)
    if inferred in {"integer", "floating", "mixed-integer-float", "decimal"}:
        return "number"
    if inferred in {"date", "datetime", "datetime64", "period"}:
        return "date"
    if inferred == "string":
        return "category" if read_dates(values, slice_col, date_order=date_order) is None else "date"
    containers = values.map(lambda value: isinstance(value, (list, tuple, dict, set, np.ndarray)))
    if containers.any():
        row = int(np.flatnonzero(containers.to_numpy(dtype=bool))[0])
        raise InputError(
            f"slice_col={slice_col!r}: row {row} holds a {type(values.iloc[row]).__name__}, but a slice "
            f"needs one value per document. Choose another column or make one with a single value each."
        )
    return "category"


def _are_texts_of_dates(values: pd.Series[Any], slice_col: str) -> bool:
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return False
    is_text = pd.api.types.infer_dtype(values, skipna=True) == "string"
    return is_text and read_dates(values, slice_col) is not None


def _finest_unit(values: pd.Series[Any], date_order: DateOrder | None) -> SliceUnit:
    """The period that a value of a column of dates names."""
    import pandas as pd

    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        dates = read_dates(values, values.name, date_order=date_order)
        return "day" if dates is None else dates.unit
    return "day"


def as_numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    """The numbers of a column, `NaN` for missing ones."""
    import pandas as pd

    numbers: NDArray[np.float64] = pd.to_numeric(values, errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    return numbers


def as_dates(values: pd.Series[Any], *, date_order: DateOrder | None = None) -> pd.Series[pd.Timestamp]:
    """The dates without their time zone: a document belongs to the day on its own clock."""
    import pandas as pd

    if isinstance(values.dtype, pd.PeriodDtype) or pd.api.types.infer_dtype(values) == "period":
        values = values.map(lambda period: period.to_timestamp(), na_action="ignore")
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        read = read_dates(values, values.name, date_order=date_order)
        if read is not None:
            return read.stamps
    if values.dtype == object:
        values = values.map(
            lambda value: value.replace(tzinfo=None) if getattr(value, "tzinfo", None) else value,
            na_action="ignore",
        )
    dates = pd.to_datetime(values, errors="coerce")
    return dates if dates.dt.tz is None else dates.dt.tz_localize(None)


def _by_number(numbers: NDArray[np.float64], most: int) -> _Groups:
    known = ~np.isnan(numbers)
    finite = numbers[np.isfinite(numbers)]
    distinct = np.unique(numbers[known])
    whole = bool((finite == np.floor(finite)).all()) and bool((np.abs(finite) < _EXACT_WHOLE).all())
    recur = known.sum() >= 2 * distinct.size
    if distinct.size <= 1 or finite.size == 0 or (distinct.size <= most and (whole or recur)):
        labels = [f"{value:.6g}" for value in distinct]
        if whole or len(set(labels)) < len(labels):
            labels = [_number(float(value)) for value in distinct]
        return _Groups(labels, _codes(np.searchsorted(distinct, numbers), known))
    inner, digits = _readable_edges(_inner_edges(finite, min(most, distinct.size)), finite, whole=whole)
    scale = 10.0**digits
    low = float(np.floor(finite.min() * scale) / scale)
    high = float(np.ceil(finite.max() * scale) / scale)
    step = 1.0 if whole else 0.0
    lefts, rights = [low, *(inner + step)], [*inner, high]
    labels = [_interval(round(a, digits), round(b, digits)) for a, b in zip(lefts, rights, strict=True)]
    if len(inner) and np.isneginf(numbers).any():
        labels[0] = f"≤ {_number(float(inner[0]))}"
    if len(inner) and np.isposinf(numbers).any():
        labels[-1] = f"> {_number(float(inner[-1]))}"
    return _Groups(labels, _codes(np.searchsorted(inner, numbers, side="left"), known), "numeric")


def _inner_edges(finite: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    """Right edges of all quantile bins but the last."""
    edges = np.quantile(finite, np.linspace(0, 1, n_bins + 1))
    lowest = finite.min()
    if n_bins > 1 and edges[1] == lowest < edges[-1]:
        rest = _inner_edges(finite[finite > lowest], n_bins - 1)
        return np.concatenate([[lowest], rest])
    inner: NDArray[np.float64] = np.unique(edges[1:-1])
    below_top: NDArray[np.float64] = inner[inner < edges[-1]]
    return below_top


def _readable_edges(
    inner: NDArray[np.float64], finite: NDArray[np.float64], *, whole: bool
) -> tuple[NDArray[np.float64], int]:
    """The edges, rounded as much as possible without an empty bin, and the number of decimals."""
    if whole:
        return np.unique(np.floor(inner)), 0
    spread = float(finite.max() - finite.min())
    fewest = min(max(0, 2 - int(np.floor(np.log10(spread)))), _MOST_DECIMALS)
    for digits in range(fewest, _MOST_DECIMALS + 1):
        rounded = np.unique(np.round(inner, digits))
        if np.unique(np.searchsorted(rounded, finite, side="left")).size == inner.size + 1:
            return rounded, digits
    return inner, _MOST_DECIMALS


def _by_bounds(numbers: NDArray[np.float64], slice_bounds: Sequence[float]) -> _Groups:
    try:
        bounds = np.asarray(slice_bounds, dtype=np.float64)
    except (TypeError, ValueError):
        bounds = np.empty(0)
    if bounds.ndim != 1 or bounds.size < 2 or not (np.diff(bounds) > 0).all():
        raise InputError(
            f"slice_bounds must be at least two increasing numbers, such as [0, 10, 50], but is "
            f"{list(slice_bounds) if isinstance(slice_bounds, Sequence) else slice_bounds!r}."
        )
    known = ~np.isnan(numbers)
    below, above = numbers < bounds[0], numbers > bounds[-1]
    codes = _codes(np.searchsorted(bounds[1:-1], numbers, side="left"), known)
    labels = [_interval(float(a), float(b)) for a, b in pairwise(bounds)]
    if np.isposinf(bounds[1]):
        labels[0] = f"≥ {_number(float(bounds[0]))}"
    if above.any():
        codes[above] = len(labels)
        labels.append(f"> {_number(float(bounds[-1]))}")
    if below.any():
        codes[known] += 1
        codes[below] = 0
        labels.insert(0, f"< {_number(float(bounds[0]))}")
    return _Groups(labels, codes, "numeric", int(below.sum() + above.sum()))


def _by_period(
    dates: pd.Series[pd.Timestamp], wanted: SliceUnit | None, finest: SliceUnit, most: int | None
) -> _Groups:
    import pandas as pd

    units = list(_PERIOD_OF)
    units = units[units.index(finest) :]
    if wanted is not None and wanted not in units:
        raise InputError(
            f"slice_unit={wanted!r} is finer than the dates, which name a {finest}. Pass "
            f"slice_unit={finest!r} or a longer unit."
        )
    for unit in [wanted] if wanted is not None else units:
        period = _PERIOD_OF[unit]
        codes, periods = pd.factorize(dates.dt.to_period(period), sort=True)
        if len(periods) <= (most or MOST_PERIODS) or (wanted is not None and most is None):
            return _Groups([_period_label(label, period) for label in periods], codes.astype(np.intp))
    if wanted is not None:
        raise InputError(
            f"slice_unit={wanted!r} gives {len(periods)} slices, but max_slice_bins={most}. Pass "
            f"max_slice_bins={len(periods)}, or a longer unit."
        )
    most = most or MOST_PERIODS
    years = dates.dt.year.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(years)
    first, last = int(np.nanmin(years)), int(np.nanmax(years))
    for width in (step * 10**power for power in count() for step in (1, 2, 5)):
        spans = np.unique(years[known] // width)
        if spans.size <= most:
            break
        if width > last:
            spans, width = np.zeros(1), last + 1
            break
    starts = [int(span) * width for span in spans]
    labels = [_interval(max(start, first), min(start + width - 1, last)) for start in starts]
    return _Groups(labels, _codes(np.searchsorted(spans, years // width), known))


def _period_label(period: pd.Period, unit: str) -> str:
    if unit == "W":
        return f"week of {period.start_time:%Y-%m-%d}"
    if unit == "Q":
        return f"{period.year} Q{period.quarter}"
    return str(period)


def _by_value(values: pd.Series[Any]) -> _Groups:
    import pandas as pd

    missing = values.isna().tolist()
    texts = [
        "" if gone else _one_form(_value_label(value))
        for value, gone in zip(values.tolist(), missing, strict=True)
    ]
    present = set(texts) - {""}
    if isinstance(values.dtype, pd.CategoricalDtype):
        ranked = [_one_form(_value_label(value)) for value in values.dtype.categories]
        labels = [label for label in dict.fromkeys(ranked) if label in present]
    else:
        labels = sorted(present, key=_natural)
    number = {label: i for i, label in enumerate(labels)}
    return _Groups(labels, np.asarray([number.get(text, -1) for text in texts], dtype=np.intp))


def _one_form(label: str) -> str:
    """A label in the one form in which equal labels are one slice."""
    plain = label if label.isascii() else unicodedata.normalize("NFC", label)
    return " ".join(plain.split())


def _fold_rare(groups: _Groups, most: int, column: str) -> _Groups:
    if len(groups.labels) <= most:
        return groups
    sizes = np.bincount(groups.codes[groups.codes >= 0], minlength=len(groups.labels))
    kept = _most_frequent(sizes, most)
    renumbered = np.full(len(groups.labels), len(kept), np.intp)
    renumbered[kept] = np.arange(len(kept))
    labels = [groups.labels[i] for i in kept]
    codes = np.where(groups.codes >= 0, renumbered[groups.codes], -1).astype(np.intp)
    _warn_of_other(column, int((codes == len(kept)).sum()), sizes, kept)
    return _Groups([*labels, _unused(OTHER, labels)], codes)


def _most_frequent(sizes: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """The numbers of the slices that are kept beside `other`, in their order."""
    return np.sort(np.argsort(-sizes, kind="stable")[: most - 1])


def _warn_of_other(column: str, n_other: int, sizes: NDArray[np.intp], kept: NDArray[np.intp]) -> None:
    if n_other <= (sizes[kept].max() if len(kept) else 0):
        return
    warnings.warn(
        f"slice_col={column!r}: the slice {OTHER!r} is the largest one, with {n_other} documents of "
        f"{len(sizes) - len(kept)} values. Pass max_slice_bins={len(sizes)} to give each value a slice.",
        stacklevel=4,
    )


def _answers(values: pd.Series[Any], column: str, separator: str | None) -> list[list[str]] | None:
    """The answers of each document, `None` if each has at most one."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype) and separator is None:
        return None
    if not (isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_object_dtype(values.dtype)
            or pd.api.types.is_string_dtype(values.dtype)):  # fmt: skip
        return None
    cells = values.tolist()
    if any(isinstance(cell, _CONTAINERS) for cell in cells):
        answers = []
        for row, cell in enumerate(cells):
            parts = (
                [cell]
                if not isinstance(cell, _CONTAINERS)
                else cell
                if isinstance(cell, (list, tuple))
                else list(cell)
            )
            wrong = next(
                (p for p in parts if isinstance(p, (dict, *_CONTAINERS))),
                cell if isinstance(cell, dict) else None,
            )
            if wrong is not None:
                raise InputError(
                    f"slice_col={column!r}: row {row} holds a {type(wrong).__name__} among its answers, "
                    f"but an answer is a text or a number. Choose another column."
                )
            kept = [part for part in parts if part is not None and part == part and part is not pd.NA]
            answers.append([" ".join(_value_label(part).split()) for part in kept])
        return [list(dict.fromkeys(filter(None, parts))) for parts in answers]
    if separator == "":
        return None
    texts = ["" if cell is None or cell != cell or cell is pd.NA else str(cell) for cell in cells]
    if separator is not None:
        return _split(texts, separator)
    for mark in _ANSWER_MARKS:
        if any(mark in text for text in texts):
            answers = _split(texts, mark)
            if _are_several(answers):
                warnings.warn(
                    f"slice_col={column!r} holds several answers per document, separated by {mark!r}: a "
                    f"document is in the slice of each. Pass slice_sep='' to group whole values.",
                    stacklevel=4,
                )
                return answers
    return None


def _split(texts: Sequence[str], separator: str) -> list[list[str]]:
    parts = ([" ".join(part.split()) for part in text.split(separator)] for text in texts)
    return [list(dict.fromkeys(filter(None, found))) for found in parts]


def _are_several(answers: Sequence[Sequence[str]]) -> bool:
    """Whether cells are answers of a question with several: few options, in many combinations."""
    combinations = {tuple(sorted(parts)) for parts in answers if parts}
    options = Counter(part for parts in answers for part in parts)
    return (
        len(options) <= MOST_CATEGORIES
        and len(options) < len(combinations)
        and len({len(parts) for parts in combinations}) > 1
        and any(len(parts) == 1 for parts in combinations)
        and sum(options.values()) >= 2 * len(options)
    )


def _by_answer(answers: Sequence[Sequence[str]], column: str, most: int) -> Slices:
    import pandas as pd

    labels = sorted({part for parts in answers for part in parts}, key=_natural)
    number = {label: i for i, label in enumerate(labels)}
    member = np.zeros((len(answers), len(labels)), bool)
    for row, parts in enumerate(answers):
        member[row, [number[part] for part in parts]] = True
    if len(labels) > most:
        sizes = member.sum(axis=0).astype(np.intp)
        kept = _most_frequent(sizes, most)
        rest = np.delete(member, kept, axis=1).any(axis=1)
        _warn_of_other(column, int(rest.sum()), sizes, kept)
        member = np.column_stack([member[:, kept], rest])
        labels = [labels[i] for i in kept]
        labels.append(_unused(OTHER, labels))
    if not member.any(axis=1).all():
        member = np.column_stack([member, ~member.any(axis=1)])
        labels.append(_unused(MISSING, labels))
    first = member.argmax(axis=1).astype(np.intp)
    for array in (first, member):
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what `other` is, was said of the answers
        whole = _by_value(
            pd.Series([", ".join(sorted(parts, key=_natural)) for parts in answers], dtype=object)
        )
        combined = _with_missing(_fold_rare(whole, max(most, MOST_CATEGORIES), column), column)
    return Slices(column, tuple(labels), first, 0, "category", member, combined)


def _with_missing(groups: _Groups, column: str) -> Slices:
    labels, codes = list(groups.labels), groups.codes
    if (codes < 0).any():
        codes = np.where(codes < 0, len(labels), codes).astype(np.intp)
        labels.append(_unused(MISSING, labels))
    codes.flags.writeable = False
    return Slices(column, tuple(labels), codes, groups.n_outside, groups.kind)


def _codes(found: NDArray[np.intp], known: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.where(known, found, -1).astype(np.intp)


def _unused(label: str, labels: Sequence[str]) -> str:
    while label in labels:
        label = f"({label})"
    return label


def _value_label(value: object) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _natural(label: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", label.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], label


def _interval(left: float, right: float) -> str:
    if left == right:
        return _number(left)
    if np.isneginf(left):
        return f"≤ {_number(right)}"
    if np.isposinf(right):
        return f"> {_number(left)}"
    return f"{_number(left)} – {_number(right)}"


def _number(value: float) -> str:
    """A number without trailing zeros; commas separate thousands from 10,000 on, so years have none."""
    shown: float = int(value) if np.isfinite(value) and value == int(value) else value
    return f"{shown:,}" if abs(value) >= 10_000 else str(shown)
