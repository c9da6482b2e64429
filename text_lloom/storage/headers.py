"""Finds the header of a table: titles above it, rows of a survey export below it, repeated headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["TableRows", "has_header_below", "header_index", "rows_of_table"]

_MOST_TITLE_ROWS: Final = 30
_LONGEST_NAME: Final = 300
_NUMBER: Final = re.compile(r"[-+]?[\d.,\s]*\d%?").fullmatch
_IMPORT_ID: Final = re.compile(r"\s*\{\s*[\"']ImportId[\"']\s*:").match
_ANSWERS: Final = frozenset({"response", "open-ended response"})


class TableRows(NamedTuple):
    """The rows of a table without what stands around them.

    Attributes:
        header: The names of the columns.
        rows: Numbers of the rows with data.
        skipped: What was left out, as parts of a sentence.
    """

    header: list[str]
    rows: list[int]
    skipped: list[str]


def header_index(rows: Sequence[Sequence[str]]) -> int | None:
    """The number of the row with the names of the columns, `None` if the rows are no table.

    Rows above the header are titles: they have fewer cells than the table, or one that is filled.
    """
    if not rows:
        return None
    width = len(rows[-1])
    start = len(rows)
    while start > 0 and len(rows[start - 1]) == width:
        start -= 1
    if start > _MOST_TITLE_ROWS or any(len(row) > width for row in rows[:start]):
        return None
    if start == 0 and not _is_title(rows[0]):
        return 0
    at = start
    while at < len(rows) - 1 and at < _MOST_TITLE_ROWS and _is_title(rows[at]):
        at += 1
    if _names_columns(rows[at]):
        return at
    return 0 if start == 0 else None


def has_header_below(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the rows are a table with titles above its header."""
    at = header_index(rows)
    return at is not None and at > 0 and len(rows[at]) > 1


def rows_of_table(rows: Sequence[Sequence[str]], at: int) -> TableRows:
    """The table whose header is row `at`, without the rows that only describe its columns.

    - Qualtrics writes the texts of the questions and the ids of the columns below the names.
    - Without ids, the texts of the questions are known by the first one, which repeats the name.
    - SurveyMonkey writes the options of a question below it; they become part of the name.
    - Files that were joined have the header again between their rows.
    """
    header, first, skipped = list(rows[at]), at + 1, []
    import_ids = next((i for i in range(first, min(first + 3, len(rows))) if _has_import_ids(rows[i])), None)
    if import_ids is not None:
        skipped.append(f"{import_ids + 1 - first} rows below the header (question texts and import ids)")
        first = import_ids + 1
    elif len(header) > 1 and first < len(rows) and _describes(rows[first], header):
        skipped.append("the row below the header (question texts)")
        first += 1
    elif header[0].strip().casefold() == "respondent id" and first < len(rows) and not rows[first][0].strip():
        header = _with_options(header, rows[first])
        skipped.append("the second row of the header, whose options are now part of the names")
        first += 1
    names = list(rows[at])
    kept = [i for i in range(first, len(rows)) if len(names) == 1 or list(rows[i]) != names]
    repeated = len(rows) - first - len(kept)
    if repeated:
        skipped.append(f"{repeated} {'copy' if repeated == 1 else 'copies'} of the header")
    return TableRows(header, kept, skipped)


def _is_title(row: Sequence[str]) -> bool:
    filled = [i for i, cell in enumerate(row) if cell.strip()]
    if len(row) < 2 or len(filled) == 0:
        return True
    if len(filled) == 1:
        return len(row) > 2 or filled == [0]
    return len(filled) == 2 < len(row) and row[filled[0]].strip().endswith(":")


def _names_columns(row: Sequence[str]) -> bool:
    filled = [cell.strip() for cell in row if cell.strip()]
    return (
        len(filled) >= max(2, 0.8 * len(row))
        and len(set(filled)) == len(filled)
        and all(len(cell) <= _LONGEST_NAME and not _NUMBER(cell) for cell in filled)
        and not any(cell.startswith(" ") for cell in row)
    )


def _has_import_ids(row: Sequence[str]) -> bool:
    filled = [cell for cell in row if cell.strip()]
    return bool(filled) and all(_IMPORT_ID(cell) for cell in filled)


def _describes(row: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a row repeats the name of the first column, but is not a copy of the header."""
    name, cell = ("".join(text.split()).casefold() for text in (header[0], row[0]))
    return bool(name) and name == cell and list(row) != list(header)


def _with_options(header: Sequence[str], options: Sequence[str]) -> list[str]:
    question, names = "", []
    for name, option in zip(header, options, strict=True):
        question = name.strip() or question
        bare = not option.strip() or option.strip().casefold() in _ANSWERS
        names.append(question if bare else f"{question}: {option.strip()}")
    return names
