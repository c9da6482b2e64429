"""Reading and writing CSV (RFC 4180) and TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from text_lloom.errors import FileProblem
from text_lloom.storage.column_types import column_of_fields, column_of_text
from text_lloom.storage.records import is_missing, json_text, json_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_separated", "separated_lines"]

_LINES_NAMED = 3


def read_separated(
    text: str, *, path: Path, separator: str, given: bool = False, infer_types: bool = True
) -> pd.DataFrame:
    """A table from CSV or TSV text with a header.

    Args:
        text: The file's text.
        path: The file, for error messages.
        separator: The character between fields.
        given: Whether the user named the separator; the header is then not checked for another one.
        infer_types: Give columns of numbers or truth values their type; otherwise all are text.

    Returns:
        One row per record. Blank lines are skipped; columns without a name are called `Unnamed: 0` and
        so on.

    Raises:
        FileProblem: When a line has more or fewer fields than the header, a quotation mark stays open,
            or two columns have the same name.
    """
    import pandas as pd

    if len(separator) != 1 or separator in '"\r\n':
        raise FileProblem(f"separator={separator!r} cannot separate fields; give one character, such as ';'.")
    # The limit applies to the whole process and is far below the length of a long document.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    uneven: list[str] = []
    line = 1
    try:
        header = next((row for row in reader if row), None)
        if header is None:
            raise FileProblem(f"{str(path)!r} is empty.")
        _check_header(header, path, separator, given=given)
        line = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                uneven.append(f"line {line} has {len(row)}")
            elif row:
                rows.append(row)
            if len(uneven) > _LINES_NAMED:
                break
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileProblem(
            f"{str(path)!r}, the record that begins in line {line}: {error}. A quotation mark within a "
            f'quoted field is written twice (""), and a field that is opened with one must be closed.'
        ) from None
    if uneven:
        more = ", and more" if len(uneven) > _LINES_NAMED else ""
        raise FileProblem(
            f"{str(path)!r}: the header has {len(header)} fields, but {', '.join(uneven[:_LINES_NAMED])}"
            f"{more}. A field that contains {separator!r} or a line break must be in quotation marks."
        )
    names = [name or f"Unnamed: {i}" for i, name in enumerate(header)]
    columns: Iterable[Sequence[str]] = zip(*rows, strict=True) if rows else [()] * len(names)
    typed = column_of_fields if infer_types else column_of_text
    return pd.DataFrame(
        {
            name: typed([field or None for field in fields])
            for name, fields in zip(names, columns, strict=True)
        }
    )


def separated_lines(
    names: Sequence[str], rows: Iterable[Sequence[object]], *, separator: str
) -> Iterator[str]:
    """The lines of a CSV or TSV file, header first; missing values are empty, lists are JSON text."""
    sink = _LineFeeds()
    writer = csv.writer(sink, delimiter=separator, lineterminator="\r\n")
    writer.writerow(names)
    yield sink.line
    for row in rows:
        writer.writerow([_field(value) for value in row])
        yield sink.line


class _LineFeeds:
    """Ends rows with a line feed, although `csv.writer` writes (and so quotes) carriage returns."""

    def __init__(self) -> None:
        self.line = ""

    def write(self, row: str) -> int:
        self.line = row.removesuffix("\r\n") + "\n"
        return len(row)


def _field(value: object) -> str:
    if isinstance(value, str):
        return value
    if is_missing(value):
        return ""
    plain = json_value(value)
    return json_text(plain) if isinstance(plain, (list, dict)) else str(value)


def _check_header(header: Sequence[str], path: Path, separator: str, *, given: bool) -> None:
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise FileProblem(
            f"{str(path)!r} has several columns of the same name: {', '.join(map(repr, repeated))}. "
            f"Rename them."
        )
    others = [other for other in (";", "\t", ",", "|") if other != separator and other in header[0]]
    if len(header) == 1 and others and not given:
        raise FileProblem(
            f"{str(path)!r}: between {separator!r} the header {header[0][:60]!r} is one field, but it looks "
            f"separated by {others[0]!r}. Pass separator={others[0]!r}, or separator={separator!r} if it is "
            f"one column."
        )
