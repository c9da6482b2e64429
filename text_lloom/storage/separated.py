"""Reading and writing CSV (RFC 4180) and TSV."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from text_lloom.errors import FileProblem
from text_lloom.storage.column_types import column_of_fields, column_of_text, may_be_thousands
from text_lloom.storage.headers import has_header_below, header_index, rows_of_table
from text_lloom.storage.records import is_missing, json_text, json_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_separated", "separated_lines"]

_LINES_NAMED = 3
_SEPARATORS: Final = (",", ";", "\t", "|")
_DIRECTIVE: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE).match


class _Records(NamedTuple):
    """The records of a text, split by one separator.

    Attributes:
        separator: The character between fields.
        rows: The fields of each record that is not a blank line.
        lines: The line in which each of them begins.
        problem: Why the text cannot be split, or nothing.
    """

    separator: str
    rows: list[list[str]]
    lines: list[int]
    problem: str = ""

    @property
    def is_even(self) -> bool:
        return not self.problem and bool(self.rows) and all(len(r) == len(self.rows[0]) for r in self.rows)


def read_separated(
    text: str,
    *,
    path: Path,
    separator: str,
    given: bool = False,
    decimal: str | None = None,
    header_row: int | None = None,
    infer_types: bool = True,
) -> pd.DataFrame:
    """A table from CSV or TSV text with a header.

    Args:
        text: The file's text.
        path: The file, for error messages.
        separator: The character between fields.
        given: Whether the user named the separator. Otherwise another one is used if all records have
            the same number of fields with it, and not with this one.
        decimal: The decimal mark, `.` or `,`. Without it, columns with decimal commas are recognised
            where fields are not separated by commas.
        header_row: The line of the header; found if not given.
        infer_types: Give columns of numbers or truth values their type; otherwise all are text.

    Returns:
        One row per record. Blank lines are skipped; columns without a name are called `Unnamed: 0` and
        so on. A warning says what else was skipped.

    Raises:
        FileProblem: When a line has more or fewer fields than the header, a quotation mark stays open,
            or two columns have the same name.
    """
    import pandas as pd

    if len(separator) != 1 or separator in '"\r\n':
        raise FileProblem(f"separator={separator!r} cannot separate fields; give one character, such as ';'.")
    directive = _DIRECTIVE(text)
    if directive and not given:  # Excel's own way to name the separator
        separator, given = directive[1], True
    # The limit applies to the whole process and is far below the length of a long document.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    text = text[directive.end() :] if directive else text
    records = _split(text, separator, first_line=2 if directive else 1)
    if header_row is not None:
        records = _from_line(records, header_row, path)
    if not given:
        records = _best_split(text, records, path, header_row)
    if not records.rows and not records.problem:
        raise FileProblem(f"{str(path)!r} is empty.")
    at = 0 if header_row is not None or records.problem else header_index(records.rows) or 0
    if records.rows:
        _check_header(records.rows[at], path, records.separator, given=given)
    _check_records(records, at, path)
    if at:
        above = ", ".join(repr(" ".join(row).strip()[:40]) for row in records.rows[:at][:3])
        warnings.warn(
            f"{path.name!r}: the header is line {records.lines[at]}. What stands above it was skipped: "
            f"{above}. If another line is the header, pass header_row=.",
            stacklevel=4,
        )
    table = rows_of_table(records.rows, at)
    if table.skipped:
        warnings.warn(f"{path.name!r}: skipped {' and '.join(table.skipped)}.", stacklevel=4)
    names = [name or f"Unnamed: {i}" for i, name in enumerate(table.header)]
    _check_names(names, path)
    rows = [records.rows[i] for i in table.rows]
    columns: Iterable[Sequence[str]] = zip(*rows, strict=True) if rows else [()] * len(names)
    commas = decimal == "," or (decimal is None and records.separator != ",")
    frame: dict[str, pd.Series] = {}
    for name, column in zip(names, columns, strict=True):
        fields = [field or None for field in column]
        if not infer_types:
            frame[name] = column_of_text(fields)
        elif commas and decimal is None and may_be_thousands(fields):
            frame[name] = column_of_text(fields)
            warnings.warn(
                f"{path.name!r}: the commas in column {name!r} may be decimal commas or separate thousands, "
                f"so it is read as text. Pass decimal=',' to read it as numbers.",
                stacklevel=4,
            )
        else:
            frame[name] = column_of_fields(fields, decimal_comma=commas)
    return pd.DataFrame(frame)


def _split(text: str, separator: str, *, first_line: int = 1) -> _Records:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    line, offset = 1, first_line - 1
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(line + offset)
            line = reader.line_num + 1
    except csv.Error as error:
        return _Records(separator, rows, lines, f"the record that begins in line {line + offset}: {error}")
    return _Records(separator, rows, lines)


def _from_line(records: _Records, header_row: int, path: Path) -> _Records:
    """The records from a line on."""
    at = next((i for i, line in enumerate(records.lines) if line >= header_row), None)
    if header_row < 1 or at is None:
        last = records.lines[-1] if records.lines else 0
        raise FileProblem(
            f"header_row={header_row}: {str(path)!r} has records in lines 1 to {last}. Give the line of the "
            f"header."
        )
    return records._replace(rows=records.rows[at:], lines=records.lines[at:])


def _best_split(text: str, usual: _Records, path: Path, header_row: int | None) -> _Records:
    """The records by the separator that the file has, which need not be the usual one."""
    names = usual.rows[0] if usual.rows else []
    others = [other for other in _SEPARATORS if other != usual.separator and other in text]
    in_header = [other for other in others if any(other in name for name in names)]
    if usual.is_even and len(names) > 1 and not in_header:
        return usual
    split = {other: _split(text, other) for other in others}
    if header_row is not None:
        split = {other: _from_line(found, header_row, path) for other, found in split.items()}
    even = [r for other, r in split.items() if other in in_header and r.is_even and len(r.rows[0]) > 1]
    if usual.is_even and len(names) > 1:
        if even:
            raise FileProblem(
                f"{str(path)!r} may be separated by {usual.separator!r} or by {even[0].separator!r}: its "
                f"header {usual.separator.join(names)[:60]!r} has both. Pass "
                f"separator={even[0].separator!r} or separator={usual.separator!r}."
            )
        return usual
    if len(even) == 1:
        return even[0]
    if not even and not (usual.is_even and in_header):
        titled = [r for r in (usual, *split.values()) if not r.problem and has_header_below(r.rows)]
        if len(titled) == 1:
            return titled[0]
    return usual


def _check_records(records: _Records, at: int, path: Path) -> None:
    if records.problem:
        raise FileProblem(
            f"{str(path)!r}, {records.problem}. A quotation mark within a "
            f'quoted field is written twice (""), and a field that is opened with one must be closed.'
        )
    header = records.rows[at]
    uneven = [
        f"line {line} has {len(row)}"
        for row, line in zip(records.rows[at:], records.lines[at:], strict=True)
        if len(row) != len(header)
    ]
    if uneven:
        more = ", and more" if len(uneven) > _LINES_NAMED else ""
        raise FileProblem(
            f"{str(path)!r}: the header has {len(header)} fields, but {', '.join(uneven[:_LINES_NAMED])}"
            f"{more}. A field that contains {records.separator!r} or a line break must be in quotation "
            f"marks. If the header is another line, pass header_row=; if the fields are separated by "
            f"something else, pass separator=."
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


def _check_names(names: Sequence[str], path: Path) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise FileProblem(
            f"{str(path)!r} has several columns of the same name: {', '.join(map(repr, repeated))}. "
            f"Rename them."
        )


def _check_header(header: Sequence[str], path: Path, separator: str, *, given: bool) -> None:
    others = [other for other in (";", "\t", ",", "|") if other != separator and other in header[0]]
    if len(header) == 1 and others and not given:
        raise FileProblem(
            f"{str(path)!r}: between {separator!r} the header {header[0][:60]!r} is one field, but it looks "
            f"separated by {others[0]!r}. Pass separator={others[0]!r}, or separator={separator!r} if it is "
            f"one column."
        )
