"""Writing tables for spreadsheet programs: CSV and XLSX whose cells are never run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from text_lloom.errors import FileProblem
from text_lloom.storage.files import atomic_write
from text_lloom.storage.records import is_missing, json_text, json_value
from text_lloom.storage.separated import separated_lines

if TYPE_CHECKING:
    import pandas as pd
    from xlsxwriter.worksheet import Worksheet

__all__ = ["MOST_ROWS", "inert", "write_sheet"]

MOST_ROWS: Final = 1_048_575
"""Rows of a sheet, without its header."""
_MOST_COLUMNS: Final = 16_384
_LONGEST_CELL: Final = 32_767
_RUN: Final = re.compile(r"[=+\-@\t\r＝＋－＠]").match
_NUMBER: Final = re.compile(r"[-+]?[\d\s.,()/-]*\d").fullmatch
_EXACT_WHOLE: Final = 2**53
_FIRST_DAY: Final = date(1900, 3, 1)  # before it, spreadsheets count days in different ways


def write_sheet(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table for a spreadsheet program; the index is not written.

    - `.csv`: UTF-8 with a byte order mark, which Excel needs. Cells that a spreadsheet would run as a
      formula begin with an apostrophe.
    - `.xlsx`: text stays text, whatever it begins with. Numbers, truth values and dates keep their type.
      Texts longer than 32,767 characters are cut, with a warning.

    Args:
        frame: The table.
        path: The file, which is replaced when the new one is complete. Missing folders are created.

    Raises:
        FileProblem: When the file cannot be written, has another suffix, or is a sheet that would be too
            large.
    """
    file = Path(path).expanduser()
    names = [str(name) for name in frame.columns]
    columns = [frame.iloc[:, i].tolist() for i in range(len(names))]
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".xlsx"):
        raise FileProblem(f"{str(path)!r}: a table for a spreadsheet is .csv or .xlsx. Choose one of them.")
    if suffix == ".xlsx" and (len(frame) > MOST_ROWS or len(names) > _MOST_COLUMNS):
        raise FileProblem(
            f"{str(path)!r}: a sheet holds {MOST_ROWS:,} rows and {_MOST_COLUMNS:,} columns, but the table "
            f"has {len(frame):,} and {len(names):,}. Write .csv."
        )
    with atomic_write(file) as out:
        if suffix == ".xlsx":
            _write_xlsx(names, columns, out, file)
            return file
        out.write(b"\xef\xbb\xbf")
        rows = ([inert(value) for value in row] for row in zip(*columns, strict=True))
        for line in separated_lines([str(inert(name)) for name in names], rows, separator=","):
            out.write(line.encode("utf-8", "replace"))
    return file


def inert(value: object) -> object:
    """A value that no spreadsheet runs: text that it would take for a formula gets an apostrophe."""
    if isinstance(value, str) and _RUN(value) and not _NUMBER(value):
        return f"'{value}"
    return value


def _write_xlsx(
    names: Sequence[str], columns: Sequence[Sequence[object]], out: IO[bytes], path: Path
) -> None:
    import xlsxwriter

    # Rows are written one after the other, so that a large table needs no memory.
    book = xlsxwriter.Workbook(
        out,
        {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm:ss", "nan_inf_to_errors": True},
    )
    sheet = book.add_worksheet("documents")
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(names):
        sheet.write_string(0, column, _sheet_text(name)[:_LONGEST_CELL])
    cut = 0
    for row, values in enumerate(zip(*columns, strict=True), start=1):
        for column, value in enumerate(values):
            cut += _write_cell(sheet, row, column, value)
    book.close()
    if cut:
        warnings.warn(
            f"{path.name!r}: {cut} texts are longer than a cell of a sheet ({_LONGEST_CELL:,} characters) "
            f"and were cut. The .csv has them in full.",
            stacklevel=4,
        )


def _write_cell(sheet: Worksheet, row: int, column: int, value: Any) -> bool:
    """Write one cell; whether its text had to be cut."""
    if is_missing(value):
        return False
    plain = value.item() if hasattr(value, "item") and not isinstance(value, date) else value
    if isinstance(plain, bool):
        sheet.write_boolean(row, column, plain)
    elif isinstance(plain, (int, float)) and abs(plain) <= _EXACT_WHOLE:
        sheet.write_number(row, column, plain)
    elif isinstance(plain, date) and not getattr(plain, "tzinfo", None) and _day(plain) >= _FIRST_DAY:
        sheet.write_datetime(row, column, plain)
    else:
        shown = json_value(plain)
        text = _sheet_text(shown if isinstance(shown, str) else json_text(shown))
        sheet.write_string(row, column, text[:_LONGEST_CELL])
        return len(text) > _LONGEST_CELL
    return False


def _day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def _sheet_text(text: str) -> str:
    """Text that XML can hold; lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode().replace("\ufffe", "?").replace("\uffff", "?")
