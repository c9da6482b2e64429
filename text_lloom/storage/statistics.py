"""Reading data files of SPSS, Stata and SAS, with their value labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from text_lloom.errors import FileProblem, MissingPackage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STATISTICS_SUFFIXES", "read_statistics"]

_READERS: Final = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".por": "read_por",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
    ".xpt": "read_xport",
}
STATISTICS_SUFFIXES: Final = tuple(_READERS)


def read_statistics(path: Path, kind: str, *, encoding: str | None = None) -> pd.DataFrame:
    """A table from a file of SPSS, Stata or SAS.

    A column whose values all have labels becomes a categorical column of the labels, in the order of the
    values. If some of its values have none (a scale with names at its ends), it stays a column of
    numbers, and a warning says so.

    Args:
        path: The file.
        kind: Its suffix.
        encoding: Encoding of its texts, if the file names a wrong one.

    Raises:
        MissingPackage: When pyreadstat is not installed.
        FileProblem: When the file cannot be read.
    """
    try:
        import pyreadstat
    except ImportError:
        raise MissingPackage("pyreadstat", extra="statistics", purpose=f"Reading {kind} files") from None
    read: Any = getattr(pyreadstat, _READERS[kind])
    try:
        frame, described = read(str(path), encoding=encoding, dates_as_pandas_datetime=True)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, OSError, ValueError, LookupError) as error:
        raise FileProblem(
            f"{str(path)!r} cannot be read as a {kind} file: {error}. If its texts have another encoding, "
            f"pass encoding=, such as encoding='cp1252'."
        ) from None
    numbers = []
    for name, labels in described.variable_value_labels.items():
        column = frame[name]
        if not set(column.dropna().unique()) - set(labels):
            frame[name] = _labelled(column, labels)
        else:
            numbers.append(name)
    if numbers:
        warnings.warn(
            f"{path.name!r}: some values of {', '.join(map(repr, numbers[:10]))} have no label, so these "
            f"columns are read as numbers.",
            stacklevel=3,
        )
    result: pd.DataFrame = frame
    return result


def _labelled(column: pd.Series[Any], labels: Mapping[Any, str]) -> pd.Series[Any]:
    import pandas as pd

    in_order = sorted(labels, key=lambda value: (isinstance(value, str), value))
    names = [str(labels[value]) for value in in_order]
    if len(set(names)) < len(names):
        names = [f"{name} ({value:g})" if isinstance(value, float) else f"{name} ({value})"
                 for name, value in zip(names, in_order, strict=True)]  # fmt: skip
    number = {value: i for i, value in enumerate(in_order)}
    codes = [number.get(value, -1) for value in column.tolist()]
    labelled = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(names, ordered=True))
    return pd.Series(labelled, index=column.index)
