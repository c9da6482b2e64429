"""Records as JSON objects: a list of objects, or one object per line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from text_lloom.errors import FileProblem
from text_lloom.storage.column_types import column_of_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["is_missing", "json_text", "json_value", "read_json", "read_json_lines"]

_EXAMPLE: Final = '{"id": "a1", "text": "…"}'
_SURROGATE: Final = re.compile("[\ud800-\udfff]").search


def read_json(text: str, *, path: Path) -> pd.DataFrame:
    """A table from a JSON list of objects, an object of columns, or an object with one such list.

    Raises:
        FileProblem: When the text is not a JSON list of objects.
    """
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        several = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
        hint = " If each line is an object, name it .jsonl." if several else ""
        raise FileProblem(f"{str(path)!r} is not JSON: {error}.{hint}") from None
    if isinstance(records, dict):
        records = _from_columns(records) or records
    if not isinstance(records, list):
        raise FileProblem(
            f"{str(path)!r} is {_kind(records)}, but a table is a list of objects such as [{_EXAMPLE}]."
        )
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise FileProblem(
                f"{str(path)!r}: item {number} of the list is {_kind(record)}, but each must be an object "
                f"such as {_EXAMPLE}."
            )
    return _frame(records)


def _from_columns(content: dict[str, object]) -> list[dict[str, object]] | None:
    """Records from one object, in the other layouts that pandas and web services write."""
    names, rows = content.get("columns"), content.get("data")
    if isinstance(names, list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows):
        if all(len(row) == len(names) for row in rows):
            return [dict(zip(map(str, names), row, strict=True)) for row in rows]
        return None
    values = list(content.values())
    columns = [list(v.values()) if isinstance(v, dict) else v for v in values if isinstance(v, (dict, list))]
    keys = [list(v) for v in values if isinstance(v, dict)]
    if (
        len(columns) == len(values) > 1
        and len(keys) in (0, len(values))
        and all(key == keys[0] for key in keys)
        and len({len(column) for column in columns}) == 1
    ):
        return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]
    listed = [v for v in values if isinstance(v, list) and v and all(isinstance(item, dict) for item in v)]
    return listed[0] if len(listed) == 1 else None


def read_json_lines(text: str, *, path: Path) -> pd.DataFrame:
    """A table from lines with one JSON object each; blank lines are skipped.

    Raises:
        FileProblem: When a line is not a JSON object; names the line.
    """
    records: list[dict[str, object]] = []
    # Only a line feed ends a line: str.splitlines would also split at U+2028 within a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            hint = " It looks like one JSON list: name the file .json." if line.startswith("[") else ""
            raise FileProblem(f"{str(path)!r}, line {number} is not JSON: {error}.{hint}") from None
        if not isinstance(record, dict):
            raise FileProblem(
                f"{str(path)!r}, line {number} is {_kind(record)}, but each line must be an object such as "
                f"{_EXAMPLE}."
            )
        records.append(record)
    return _frame(records)


def json_value(value: object) -> object:
    """A value as a JSON type: missing values as null, dates as ISO 8601, other objects as text."""
    kind = type(value)
    if value is None or kind in (str, int, bool):
        return value
    if kind is float:
        return None if value != value else value
    import numpy as np

    if isinstance(value, np.ndarray):
        return [json_value(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((json_value(item) for item in value), key=repr)
    if is_missing(value):
        return None
    if isinstance(value, float):
        return value
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def json_text(value: object) -> str:
    """JSON text; only lone surrogates are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if _SURROGATE(text) is None else json.dumps(value)


def is_missing(value: object) -> bool:
    """Whether a value is missing: `None`, `NaN`, `NaT` or `NA`."""
    if value is None or isinstance(value, float):
        return value is None or value != value
    if isinstance(value, (str, int)):
        return False
    import pandas as pd

    return value is pd.NA or value is pd.NaT


def _frame(records: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    import pandas as pd

    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: column_of_json([record.get(name) for record in records]) for name in names}
    return pd.DataFrame(columns, index=range(len(records)))


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
