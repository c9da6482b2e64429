"""Reading sheets of Excel and OpenDocument files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from text_lloom.errors import FileProblem
from text_lloom.storage.column_types import column_of_fields, column_of_text
from text_lloom.storage.headers import header_index, rows_of_table

if TYPE_CHECKING:
    import pandas as pd
    from python_calamine import CalamineSheet, CalamineWorkbook

__all__ = ["SHEET_SUFFIXES", "read_sheet"]

SHEET_SUFFIXES: Final = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def read_sheet(
    content: bytes,
    *,
    path: Path,
    sheet: str | int | None = None,
    header_row: int | None = None,
    infer_types: bool = True,
) -> pd.DataFrame:
    """A table from one sheet.

    Args:
        content: The file's content.
        path: The file, for messages.
        sheet: Name of the sheet, or its number from 1. Without it, the first visible sheet with a table
            is read, and a warning names the others.
        header_row: The row of the header, counted from 1; found if not given.
        infer_types: Give columns of numbers, truth values or dates their type; otherwise all are text.

    Raises:
        FileProblem: When the file is damaged or protected, or has no such sheet, row or table.
    """
    import pandas as pd

    chosen, others = _choose(_open(content, path), sheet, path)
    numbered = [(n, row) for n, row in enumerate(_cells(chosen), start=1) if any(cell != "" for cell in row)]
    texts = [[_text(cell) for cell in row] for _, row in numbered]
    if header_row is None:
        at = header_index(texts) or 0
    else:
        at = next((i for i, (n, _) in enumerate(numbered) if n == header_row), -1)
        if at < 0:
            raise FileProblem(
                f"header_row={header_row}: this row of sheet {chosen.name!r} in {str(path)!r} is empty. Give "
                f"the row of the header, counted from 1."
            )
    skipped = []
    if at and header_row is None:
        title = " ".join(cell for cell in texts[0] if cell)[:40]
        skipped.append(
            f"the rows above row {numbered[at][0]}, such as {title!r} (pass header_row= to change)"
        )
    if others:
        skipped.append(f"the sheets {', '.join(map(repr, others))} (pass sheet= to read one of them)")
    table = rows_of_table(texts, at)
    skipped += table.skipped
    if skipped:
        warnings.warn(f"{path.name!r}: skipped {' and '.join(skipped)}.", stacklevel=3)
    wide = max((i + 1 for r in (at, *table.rows) for i, cell in enumerate(texts[r]) if cell), default=0)
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(table.header[:wide])]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise FileProblem(
            f"{str(path)!r}, sheet {chosen.name!r} has several columns of the same name: "
            f"{', '.join(map(repr, repeated))}. Rename them."
        )
    typed = _column if infer_types else _text_column
    return pd.DataFrame(
        {name: typed([numbered[r][1][i] for r in table.rows]) for i, name in enumerate(names)},
        index=range(len(table.rows)),
    )


def _open(content: bytes, path: Path) -> CalamineWorkbook:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    if not content:
        raise FileProblem(f"{str(path)!r} is empty.")
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(content))
    except PasswordError:
        raise FileProblem(
            f"{str(path)!r} is protected by a password. Save the sheet without one, or as CSV (UTF-8)."
        ) from None
    except (CalamineError, OSError, ValueError) as error:
        page = content[:500].lstrip().lower().startswith((b"<html", b"<!doctype", b"<table", b"<?xml"))
        advice = (
            "It is a web page that is named like a sheet: open it in a spreadsheet program and save it as "
            ".xlsx or CSV (UTF-8)."
            if page
            else "If it is a text table, name it .csv or .tsv. Save the sheet as CSV (UTF-8) otherwise."
        )
        raise FileProblem(f"{str(path)!r} cannot be read as a spreadsheet: {error}. {advice}") from None


def _choose(
    workbook: CalamineWorkbook, sheet: str | int | None, path: Path
) -> tuple[CalamineSheet, list[str]]:
    """The sheet to read, and the names of the other visible sheets with content."""
    from python_calamine import SheetVisibleEnum

    names = workbook.sheet_names
    if sheet is not None:
        number = int(sheet) if isinstance(sheet, int) or sheet.isdecimal() else None
        if sheet not in names and (number is None or not 1 <= number <= len(names)):
            raise FileProblem(
                f"sheet={sheet!r}: {str(path)!r} has no such sheet. It has {', '.join(map(repr, names))}."
            )
        at = names.index(str(sheet)) if sheet in names else (number or 1) - 1
        chosen = workbook.get_sheet_by_index(at)
        if not any(cell != "" for row in _cells(chosen) for cell in row):
            raise FileProblem(f"{str(path)!r}: the sheet {names[at]!r} is empty.")
        return chosen, []
    visible = [meta.name for meta in workbook.sheets_metadata if meta.visible == SheetVisibleEnum.Visible]
    filled = []
    for name in visible:
        found = workbook.get_sheet_by_name(name)
        if any(cell != "" for row in _cells(found) for cell in row):
            filled.append(found)
    if not filled:
        raise FileProblem(f"{str(path)!r} is empty: no visible sheet has a filled cell.")
    return filled[0], [other.name for other in filled[1:]]


def _cells(sheet: CalamineSheet) -> list[list[object]]:
    rows: list[list[object]] = [list(row) for row in sheet.to_python(skip_empty_area=False)]
    return rows


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime) and cell.time() == cell.min.time():
        return cell.date().isoformat()
    return cell if isinstance(cell, str) else str(cell)


def _text_column(cells: Sequence[object]) -> pd.Series:
    return column_of_text([_text(cell) or None for cell in cells])


def _column(cells: Sequence[object]) -> pd.Series:
    """A column with the type of its cells; cells that are text stay text, even if they are digits."""
    import pandas as pd

    kinds = {type(cell) for cell in cells if cell != ""}
    if kinds and kinds <= {date, datetime}:
        moments = pd.Series([None if cell == "" else cell for cell in cells], dtype=object)
        return pd.to_datetime(moments)
    if kinds and (kinds <= {int, float} or kinds == {bool}):
        return column_of_fields([None if cell == "" else _plain(cell) for cell in cells])
    return _text_column(cells)


def _plain(cell: object) -> str:
    return _text(cell) if not isinstance(cell, float) or cell.is_integer() else repr(cell)
