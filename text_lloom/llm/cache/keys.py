"""What identifies a call function in the keys of the cache."""

from __future__ import annotations

import functools
import hashlib
import json
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text_lloom.llm.messages import ModelRequest
    from text_lloom.llm.model import EmbedModel, Model

__all__ = ["identity_of", "request_key", "surroundings_of", "vector_keys"]

_PLAIN = (str, bytes, int, float, bool, types.NoneType)
_EMPTY = types.CellType()
_MOST_SCHEMAS = 1024


def identity_of(fn: object) -> str:
    """Identifies a call function by its name, its bound arguments and what it does.

    The result is the same in every process, and changes when the function does.
    """
    if isinstance(fn, functools.partial):
        bound = [*fn.args, *(value for pair in sorted(fn.keywords.items()) for value in pair)]
        return f"{identity_of(fn.func)}{[_described(value, contents=True) for value in bound]!r}"
    if isinstance(fn, types.MethodType):
        return identity_of(fn.__func__)
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    code = getattr(fn, "__code__", None) or getattr(getattr(fn, "__call__", None), "__code__", None)  # noqa: B004
    digest = ""
    if type(code) is types.CodeType:  # a mock has something else here
        digest = hashlib.sha256(_instructions(code)).hexdigest()[:16]
    return f"{named.__module__}.{named.__qualname__}:{digest}"


def _instructions(code: types.CodeType) -> bytes:
    """What a function does, without its file and line numbers."""
    constants = [_constant(part) for part in code.co_consts]
    return b"|".join([code.co_code, *constants, *(name.encode() for name in code.co_names)])


def surroundings_of(fn: object) -> list[object]:
    """The values that a function takes from its closure and its defaults.

    Plain values stand for themselves, functions for what they do, and others for their type: the contents of
    a client or a counter differ from process to process.
    """
    if isinstance(fn, functools.partial):
        return surroundings_of(fn.func)
    fn = getattr(fn, "__func__", fn)
    cells = getattr(fn, "__closure__", None) or ()
    around = [_described(cell.cell_contents) for cell in cells if cell != _EMPTY]
    defaults = getattr(fn, "__defaults__", None) or ()
    keyword_defaults = getattr(fn, "__kwdefaults__", None) or {}
    named = [value for pair in sorted(keyword_defaults.items()) for value in pair]
    return [*around, *(_described(value, contents=True) for value in [*defaults, *named])]


def _described(value: object, *, contents: bool = False) -> object:
    """A value in a form that is the same in every process; `contents` includes those of containers."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
        return identity_of(value)
    if contents and isinstance(value, (list, tuple)):
        return [_described(part, contents=True) for part in value]
    if contents and isinstance(value, dict):
        return sorted([repr(key), repr(_described(part, contents=True))] for key, part in value.items())
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _constant(value: object) -> bytes:
    if isinstance(value, types.CodeType):
        return _instructions(value)
    ordered = sorted(map(repr, value)) if isinstance(value, frozenset) else value
    return repr(ordered).encode("utf-8", "replace")


def request_key(model: Model, request: ModelRequest, *, sample: int = 0) -> str:
    """What identifies a request: service, model, parameters, messages and wanted form.

    Args:
        model: Who is asked.
        request: What is asked.
        sample: Tells several replies to one request apart.
    """
    content = [
        model.provider_key,
        model.name,
        model.parameters,
        request.params,
        request.messages,
        request.regex,
        sample,
    ]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=repr)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    if request.schema is not None:
        digest.update(_schema_bytes(request.schema))
    return digest.hexdigest()


_schemas: dict[int, tuple[Mapping[str, object], bytes]] = {}


def _schema_bytes(schema: Mapping[str, object]) -> bytes:
    """A schema as JSON; tasks of a kind share one schema object, so it is made once."""
    if len(_schemas) > _MOST_SCHEMAS:
        _schemas.clear()
    known = _schemas.get(id(schema))
    if known is None or known[0] is not schema:
        text = json.dumps(schema, sort_keys=True, ensure_ascii=False)
        known = _schemas[id(schema)] = (schema, text.encode())
    return known[1]


def vector_keys(model: EmbedModel, texts: Sequence[str]) -> list[str]:
    """What identifies the vectors of texts: service, model, parameters and text."""
    about = ["vector", model.provider_key, model.name, model.parameters]
    described = json.dumps(about, sort_keys=True, ensure_ascii=False, default=repr)
    start = hashlib.sha256(described.encode("utf-8", "surrogatepass"))
    keys = []
    for text in texts:
        digest = start.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        keys.append(digest.hexdigest())
    return keys
