"""Frames as Arrow tables and back, without loss of dtypes, categories or mixed objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from text_lloom.storage.values import (
    Unstorable,
    json_bytes,
    parse_json,
    read_id,
    read_value,
    write_value,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

__all__ = ["METADATA_KEY", "FrameTable", "frame_from_table", "frame_to_table", "strings", "strings_from"]

METADATA_KEY: Final = b"lloom"
_INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_NUMBERS: Final = frozenset(("bool", *_INTEGERS, "float16", "float32", "float64"))
_NULLABLE: Final = frozenset(
    ("boolean", "Float32", "Float64", *(name.replace("i", "I").replace("u", "U") for name in _INTEGERS))
)

_Spec: TypeAlias = "dict[str, object]"
"""How a column was written: its `kind`, and the details of that kind."""


class FrameTable(NamedTuple):
    """A frame as an Arrow table.

    Attributes:
        table: A `pyarrow.Table`; its metadata describes the frame.
        as_text: Columns with values that have no file format and were written as text.
    """

    table: pa.Table
    as_text: list[Hashable]


class _Written(NamedTuple):
    array: pa.Array
    spec: _Spec
    as_text: bool = False


def frame_to_table(frame: pd.DataFrame) -> FrameTable:
    """A frame as an Arrow table; the index is left out."""
    import pyarrow as pa

    written = [_write(frame.iloc[:, i]) for i in range(frame.shape[1])]
    names = _text_names(frame.columns)
    columns = [
        column.spec | {"name": _write_name(name)} for name, column in zip(frame.columns, written, strict=True)
    ]
    layout = {"columns": columns, "object_names": frame.columns.dtype == "object"}
    table = pa.table([column.array for column in written], names=names)
    return FrameTable(
        table.replace_schema_metadata({METADATA_KEY: json_bytes(layout)}),
        [name for name, column in zip(frame.columns, written, strict=True) if column.as_text],
    )


def frame_from_table(table: pa.Table) -> pd.DataFrame:
    """The frame that `frame_to_table` converted to this table, with a new index.

    Raises:
        ValueError: When the table was not made by `frame_to_table`; parts of a wrong type raise
            `TypeError`, `LookupError` or Arrow's own errors.
    """
    import pandas as pd

    layout = cast("dict[str, Any]", parse_json((table.schema.metadata or {})[METADATA_KEY]))
    specs: list[_Spec] = layout["columns"]
    if len(specs) != table.num_columns:
        raise ValueError("The table has other columns than its metadata says.")
    columns = {i: _read(table.column(i), spec) for i, spec in enumerate(specs)}
    frame = pd.DataFrame(columns, index=range(table.num_rows))
    names = [read_id(spec["name"]) for spec in specs]
    frame.columns = pd.Index(names, dtype=object if layout["object_names"] else None, tupleize_cols=False)
    return frame


def strings(values: Sequence[str]) -> pa.Array:
    """Texts as Arrow text, or as bytes if there are lone surrogates."""
    import pyarrow as pa

    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        return pa.array([value.encode("utf-8", "surrogatepass") for value in values], pa.large_binary())


def strings_from(column: pa.ChunkedArray) -> list[str]:
    """The texts that `strings` converted to this column.

    Raises:
        TypeError: When the column holds something else.
    """
    values = column.to_pylist()
    if all(type(value) is str for value in values):
        return cast("list[str]", values)
    if all(type(value) is bytes for value in values):
        return [value.decode("utf-8", "surrogatepass") for value in values]
    raise TypeError("A column of texts holds something else.")


def _text_names(names: Sequence[object] | pd.Index[Any]) -> list[str]:
    """A name for each column that a file can hold; the metadata has the original names."""
    count = Counter(str(name) for name in names)
    return [
        str(name) if count[str(name)] == 1 and str(name).isprintable() else f"column {i}"
        for i, name in enumerate(names)
    ]


def _write_name(name: object) -> object:
    try:
        return write_value(name)
    except Unstorable:
        return str(name)


def _write(series: pd.Series[Any]) -> _Written:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    dtype: Any = series.dtype
    if isinstance(dtype, np.dtype) and dtype.name in _NUMBERS:
        return _Written(pa.array(series.to_numpy()), {"kind": "number", "dtype": dtype.name})
    if isinstance(dtype, np.dtype) and dtype.kind == "m":
        unit = np.datetime_data(dtype)[0]
        return _Written(pa.array(series.to_numpy().view("int64")), {"kind": "span", "unit": unit})
    if isinstance(dtype, np.dtype) and dtype.kind == "M":
        return _times(series.to_numpy(), zone=None)
    if isinstance(dtype, pd.DatetimeTZDtype) and _same_zone(dtype):
        return _times(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), zone=str(dtype.tz))
    if dtype.name in _NULLABLE:
        return _Written(pa.array(series.array), {"kind": "nullable", "dtype": dtype.name})
    if isinstance(dtype, pd.StringDtype):
        spec: _Spec = {"kind": "string", "storage": dtype.storage, "na": str(dtype.na_value)}
        try:
            return _Written(pa.array(series.array, pa.large_string()), spec)
        except UnicodeEncodeError:
            return _objects(series)
    if isinstance(dtype, pd.CategoricalDtype):
        return _categories(series, dtype) or _objects(series)
    if isinstance(dtype, pd.ArrowDtype):
        return _Written(pa.array(series.array), {"kind": "arrow"})
    return (_texts(series) if dtype == "object" else None) or _objects(series)


def _times(values: np.ndarray[Any, Any], *, zone: str | None) -> _Written:
    import numpy as np
    import pyarrow as pa

    unit = np.datetime_data(values.dtype)[0]
    kind = pa.timestamp(unit, tz=None if zone is None else "UTC")
    # Not-a-time is the least int64 in numpy and a null in Arrow.
    array = pa.array(values.view("int64"), mask=np.isnat(values)).cast(kind)
    return _Written(array, {"kind": "time", "unit": unit, "zone": zone})


def _same_zone(dtype: pd.DatetimeTZDtype) -> bool:
    import pandas as pd

    try:
        return pd.DatetimeTZDtype(dtype.unit, str(dtype.tz)) == dtype
    except (LookupError, TypeError, ValueError):
        return False


def _categories(series: pd.Series[Any], dtype: pd.CategoricalDtype) -> _Written | None:
    import pyarrow as pa

    try:
        values = [write_value(value) for value in dtype.categories.tolist()]
    except (Unstorable, RecursionError):
        return None
    spec: _Spec = {
        "kind": "category",
        "categories": values,
        "dtype": str(dtype.categories.dtype),
        "ordered": bool(dtype.ordered),
    }
    same = _index(spec)
    if same.dtype != dtype.categories.dtype or not same.equals(dtype.categories):
        return None
    return _Written(pa.array(series.cat.codes.to_numpy(), pa.int32()), spec)


def _index(spec: Mapping[str, object]) -> pd.Index[Any]:
    import pandas as pd

    values = [read_value(value) for value in cast("list[object]", spec["categories"])]
    dtype = str(spec["dtype"])
    exact = dtype if dtype in _NUMBERS or dtype == "object" or not values else None
    return pd.Index(values, dtype=exact, tupleize_cols=False)


def _texts(series: pd.Series[Any]) -> _Written | None:
    """A column of objects that are text or one kind of missing value."""
    import pyarrow as pa

    values = series.tolist()
    absent = {str(value): value for value in values if type(value) is not str}
    if len(absent) > 1:
        return None
    missing = next(iter(absent.values()), None)
    if missing is not None and str(missing) not in ("nan", "<NA>"):
        return None
    try:
        written = write_value(missing)
        texts = [value if type(value) is str else None for value in values]
        return _Written(pa.array(texts, pa.large_string()), {"kind": "text", "missing": written})
    except (Unstorable, UnicodeEncodeError):
        return None


def _objects(series: pd.Series[Any]) -> _Written:
    """Any column; each value is JSON text with its type."""
    import pyarrow as pa

    cells: list[bytes] = []
    as_text = False
    for value in series.tolist():
        try:
            cells.append(json_bytes(write_value(value)))
        except (Unstorable, RecursionError):
            cells.append(json_bytes(str(value)))
            as_text = True
    spec: _Spec = {"kind": "json", "dtype": str(series.dtype)}
    array = pa.array(cells, pa.large_binary())
    same = _read(pa.chunked_array([array]), spec)
    return _Written(array, spec, as_text or same.dtype != series.dtype)


def _read(column: pa.ChunkedArray, spec: Mapping[str, object]) -> pd.Series[Any]:
    import pandas as pd
    import pyarrow as pa

    match spec["kind"]:
        case "number" if spec["dtype"] in _NUMBERS:
            return pd.Series(column.to_numpy().astype(str(spec["dtype"]), casting="safe"))
        case "span":
            return pd.Series(column.to_numpy().astype("int64").view(f"m8[{_unit(spec)}]"))
        case "time":
            moments = column.cast(pa.timestamp(_unit(spec))).to_numpy().astype(f"M8[{_unit(spec)}]")
            series = pd.Series(moments)
            zone = spec["zone"]
            return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(str(zone))
        case "nullable" if spec["dtype"] in _NULLABLE:
            nullable: Any = pd.api.types.pandas_dtype(str(spec["dtype"]))
            return pd.Series(nullable.__from_arrow__(column))
        case "string":
            return pd.Series(_string_dtype(spec).__from_arrow__(column))
        case "category":
            codes = column.to_numpy().astype("int32", casting="safe")
            categories = pd.CategoricalDtype(_index(spec), ordered=bool(spec["ordered"]))
            return pd.Series(pd.Categorical.from_codes(codes, dtype=categories))
        case "arrow":
            return pd.Series(pd.arrays.ArrowExtensionArray(column))
        case "text":
            absent = read_value(spec["missing"])
            texts = [absent if value is None else value for value in column.to_pylist()]
            return pd.Series(texts, dtype=object)
        case "json":
            return _from_objects([read_value(parse_json(cell)) for cell in column.to_pylist()], spec)
    raise ValueError(f"Nothing is written as {spec['kind']!r}.")


def _string_dtype(spec: Mapping[str, object]) -> Any:
    import numpy as np
    import pandas as pd

    storage: Any = spec["storage"]
    try:
        return pd.StringDtype(storage, na_value=np.nan if spec["na"] == "nan" else pd.NA)
    except TypeError:  # before pandas 2.3 there is one missing value for each storage
        return pd.StringDtype(storage)


def _from_objects(values: list[object], spec: Mapping[str, object]) -> pd.Series[Any]:
    import pandas as pd

    series = pd.Series(values, dtype=object)
    try:
        return series.astype(cast("Any", str(spec["dtype"])))
    except (TypeError, ValueError):
        return series


def _unit(spec: Mapping[str, object]) -> str:
    unit = str(spec["unit"])
    if unit not in ("s", "ms", "us", "ns"):
        raise ValueError(f"No times of {unit!r} are written.")
    return unit
