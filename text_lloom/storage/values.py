"""Single values as JSON and back, with their types: `1`, `1.0`, `"1"` and a time stamp stay distinct.

Text, whole numbers, finite numbers, truth values, `None` and lists are written unchanged. Any other value
is an object with one key that names its type: `{"timestamp": ["2024-05-01T00:00:00", "ns", null]}`.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import uuid
from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Unstorable", "json_bytes", "parse_json", "read_id", "read_value", "write_value"]

_Value = TypeVar("_Value")
_Reader: TypeAlias = Callable[["list[object]"], object]

_NUMPY_SCALARS: Final = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
_ARRAYS: Final = (*_NUMPY_SCALARS, "object")


class Unstorable(Exception):
    """A value whose type cannot be written."""


def write_value(value: object) -> object:
    """A value as JSON values, from which `read_value` restores the same value and type.

    Raises:
        Unstorable: When the type is not supported.
    """
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float and math.isfinite(cast("float", value)):
        return value
    if kind is list:
        return [write_value(item) for item in cast("list[object]", value)]
    name, fields = _tagged(value)
    written = {name: fields}
    try:
        same = type(read_value(written)) is kind
    except (ArithmeticError, LookupError, TypeError, ValueError):
        same = False
    if not same:
        raise Unstorable(f"a {kind.__module__}.{kind.__qualname__}")
    return written


def read_value(written: object) -> object:
    """The value that `write_value` wrote.

    Raises:
        ValueError: When `write_value` did not write it. Parts of a wrong type or range raise what their
            constructors raise (`TypeError`, `LookupError`, `ArithmeticError`).
    """
    if isinstance(written, list):
        return [read_value(item) for item in written]
    if not isinstance(written, dict):
        return written
    if len(written) != 1:
        raise ValueError("A written value has one key, its type.")
    name, fields = next(iter(written.items()))
    if name not in _READERS or not isinstance(fields, list):
        raise ValueError(f"Nothing is written as {name!r}.")
    return _READERS[name](fields)


def read_id(written: object) -> Hashable:
    """The id that `write_value` wrote.

    Raises:
        ValueError: When it cannot be an id; and as `read_value`.
    """
    value = read_value(written)
    hash(value)
    return value


def json_bytes(value: object, *, indent: int | None = None) -> bytes:
    """JSON as UTF-8; lone surrogates are preserved.

    Raises:
        TypeError: When a part of the value has no JSON type.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "surrogatepass")


def parse_json(content: bytes) -> object:
    """The value that `json_bytes` wrote.

    Raises:
        ValueError: When it is not JSON, or nested too deeply to be read.
    """
    try:
        parsed: object = json.loads(content.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("too many levels of nesting") from None
    return parsed


def _tagged(value: object) -> tuple[str, list[object]]:
    """The name of a value's type, and its parts as JSON values."""
    import numpy as np
    import pandas as pd

    if value is pd.NA or value is pd.NaT:
        return "missing", [str(value)]
    match value:
        case pd.Timestamp():
            zone = None if value.tz is None else str(value.tz)
            return "timestamp", [value.isoformat(), value.unit, zone]
        case pd.Timedelta():
            return "pandas timedelta", [int(value.asm8.astype("int64")), value.unit]
        case pd.Period():
            return "period", [str(value), value.freqstr]
        case pd.Interval():
            return "interval", [write_value(value.left), write_value(value.right), value.closed]
        case np.ndarray() if value.dtype.name in _ARRAYS and value.ndim == 1:
            return "array", [value.dtype.name, *map(write_value, value.tolist())]
        case np.generic() if value.dtype.name in _NUMPY_SCALARS:
            return "numpy", [value.dtype.name, write_value(value.item())]
        case dt.datetime():
            return "datetime", [value.isoformat(), value.fold, getattr(value.tzinfo, "key", None)]
        case dt.date() | dt.time():
            return type(value).__name__, [value.isoformat()]
        case dt.timedelta():
            return "timedelta", [value.days, value.seconds, value.microseconds]
        case float() | Decimal() | uuid.UUID():
            return type(value).__name__.lower(), [str(value)]
        case complex():
            return "complex", [write_value(value.real), write_value(value.imag)]
        case bytes():
            return "bytes", [base64.b64encode(value).decode("ascii")]
        case tuple() | set() | frozenset():
            items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            return type(value).__name__, [write_value(item) for item in items]
        case dict():
            return "dict", [[write_value(key), write_value(item)] for key, item in value.items()]
    raise Unstorable(f"a {type(value).__module__}.{type(value).__qualname__}")


def _timestamp(fields: list[object]) -> pd.Timestamp:
    import pandas as pd

    text, unit, zone = map(_text_or_none, fields)
    stamp = pd.Timestamp(cast("str", text)).as_unit(cast("pd._typing.TimeUnit", unit))
    return stamp if zone is None else stamp.tz_convert(zone)


def _pandas_timedelta(fields: list[object]) -> pd.Timedelta:
    import numpy as np
    import pandas as pd

    amount, unit = fields
    span = pd.Timedelta(np.timedelta64(int(cast("int", amount)), str(unit)))  # type: ignore[call-overload]
    return span.as_unit(cast("pd._typing.TimeUnit", str(unit)))


def _period(fields: list[object]) -> object:
    import pandas as pd

    text, frequency = fields
    return pd.Period(str(text), freq=str(frequency))


def _interval(fields: list[object]) -> object:
    import pandas as pd

    left, right, closed = fields
    return pd.Interval(read_value(left), read_value(right), closed=closed)  # type: ignore[arg-type, type-var]


def _array(fields: list[object]) -> object:
    import numpy as np

    dtype, *items = fields
    if dtype not in _ARRAYS:
        raise ValueError(f"No arrays of {dtype!r} are written.")
    array = np.empty(len(items), dtype=str(dtype))
    for i, item in enumerate(items):
        array[i] = read_value(item)
    return array


def _numpy(fields: list[object]) -> object:
    import numpy as np

    dtype, item = fields
    if dtype not in _NUMPY_SCALARS:
        raise ValueError(f"No numbers of {dtype!r} are written.")
    return np.dtype(str(dtype)).type(read_value(item))


def _datetime(fields: list[object]) -> dt.datetime:
    from zoneinfo import ZoneInfo

    text, fold, zone = fields
    moment = dt.datetime.fromisoformat(str(text))
    if zone is not None:
        moment = moment.replace(tzinfo=ZoneInfo(str(zone)))
    return moment.replace(fold=int(cast("int", fold)))


def _missing(fields: list[object]) -> object:
    import pandas as pd

    return {"<NA>": pd.NA, "NaT": pd.NaT}[str(fields[0])]


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _one(make: Callable[[str], _Value]) -> _Reader:
    def read(fields: list[object]) -> _Value:
        (text,) = fields
        return make(str(text))

    return read


def _items(fields: list[object]) -> list[object]:
    return [read_value(item) for item in fields]


_READERS: Final[dict[str, _Reader]] = {
    "array": _array,
    "bytes": _one(lambda text: base64.b64decode(text, validate=True)),
    "complex": lambda fields: complex(*cast("list[float]", _items(fields))),
    "date": _one(dt.date.fromisoformat),
    "datetime": _datetime,
    "decimal": _one(Decimal),
    "dict": lambda fields: {read_id(k): read_value(v) for k, v in cast("list[list[object]]", fields)},
    "float": _one(float),
    "frozenset": lambda fields: frozenset(map(read_id, fields)),
    "interval": _interval,
    "missing": _missing,
    "numpy": _numpy,
    "pandas timedelta": _pandas_timedelta,
    "period": _period,
    "set": lambda fields: set(map(read_id, fields)),
    "time": _one(dt.time.fromisoformat),
    "timedelta": lambda fields: dt.timedelta(*cast("list[int]", fields)),
    "timestamp": _timestamp,
    "tuple": lambda fields: tuple(_items(fields)),
    "uuid": _one(uuid.UUID),
}
