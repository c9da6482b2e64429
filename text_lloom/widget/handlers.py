"""Answers the messages of a view: one function per kind of message, on immutable snapshots.

They may run on any thread, because hosts deliver messages on another thread while a cell is running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from text_lloom.analysis.splitting import SplitPart
from text_lloom.errors import InputError, LloomError, UnknownName
from text_lloom.labels import check_verdict
from text_lloom.widget.host import Draft
from text_lloom.widget.payload import plain
from text_lloom.widget.rows import check_row, full_document, page_of
from text_lloom.widget.selection import passes_text, select_rows
from text_lloom.widget.state import changed_state, read_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text_lloom.widget.host import Host, ViewOptions
    from text_lloom.widget.snapshot import Snapshot

__all__ = ["SLOW_KINDS", "RequestContext", "ViewReply", "answer", "code_for"]

SLOW_KINDS: Final = frozenset({"map", "split", "export"})
"""Kinds whose answer can take seconds; they are answered on another thread."""

_LAYOUT_TIMEOUT: Final = 20.0
_FORMATS: Final = ("csv", "json", "html")
_SCOPES: Final = ("selection", "all")


class ViewReply(NamedTuple):
    """An answer: JSON values and buffers."""

    content: dict[str, Any]
    buffers: list[bytes]


@dataclass(frozen=True)
class RequestContext:
    """What the handlers need to answer a message.

    Attributes:
        snapshot: The state of the session that the view shows.
        state: The view's state.
        host: The session.
        options: The options of the view.
        call: The Python call that opens the view.
    """

    snapshot: Snapshot
    state: Mapping[str, Any]
    host: Host
    options: ViewOptions
    call: str


def answer(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    """The reply to a message; errors become replies that say what is wrong.

    Args:
        request: `id`, `kind` and the arguments of the kind; see `docs/view-protocol.md`.
        context: Snapshot, state and session to answer from.
    """
    try:
        kind = _known(request.get("kind"), _ANSWERS, "kind of message")
        content, buffers = _ANSWERS[kind](request, context)
        return ViewReply(plain({**content, "id": request.get("id"), "ok": True}), buffers)
    except LloomError as error:
        problem = str(error)
    except Exception as error:
        # Every error must reach the view, because it waits for a reply.
        problem = f"{type(error).__name__}: {error}"
    return ViewReply(plain({"id": request.get("id"), "ok": False, "error": problem}), [])


def code_for(state: Mapping[str, Any], snapshot: Snapshot, call: str) -> str:
    """Python code that opens the view, sets the same state and gets the same selection."""
    lines = [f"view = {call}"]
    shown = {key: value for key, value in changed_state(state).items() if key != "document"}
    if shown:
        lines.append("view.state = {")
        for key, value in shown.items():
            concept = snapshot.by_id.get(value) if key == "concept" and isinstance(value, str) else None
            comment = "" if concept is None else f"  # {concept.name!r}"
            lines.append(f"    {key!r}: {value!r},{comment}")
        lines.append("}")
    return "\n".join([*lines, "view.selected()", ""])


def _rows(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    rows, concept = _list(request, "rows"), request.get("concept")
    query = _optional_text(request, "query")
    known = concept if isinstance(concept, str) and concept in context.snapshot.by_id else None
    return ViewReply({"rows": page_of(rows, context.snapshot, concept_id=known, query=query)}, [])


def _document(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    query = _optional_text(request, "query")
    row = check_row(request.get("row"), context.snapshot)
    return ViewReply({"document": full_document(row, context.snapshot, query=query)}, [])


def _search(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    found = context.snapshot.reader.search(_text(request, "query"))
    return ViewReply({}, [found.astype("<u4").tobytes()])


def _column(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    column = context.snapshot.reader.columns[_text(request, "name")]
    content: dict[str, Any] = {"kind": column.kind}
    if column.kind == "category":
        content["labels"] = list(column.labels)
    return ViewReply(content, [column.buffer])


def _matching(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    name = _text(request, "name")
    wanted = {key: request[key] for key in ("values", "contains") if request.get(key) is not None}
    passes = passes_text(read_state({"columns": {name: wanted}}).columns[name], name, context.snapshot)
    return ViewReply({}, [np.flatnonzero(passes).astype("<u4").tobytes()])


def _map(_: Mapping[str, Any], context: RequestContext) -> ViewReply:
    try:
        layout = context.host.layout(patience=_LAYOUT_TIMEOUT)
    except TimeoutError:
        return ViewReply({"ready": False, "pending": True, "reason": "The map is being computed."}, [])
    if layout is None:
        return ViewReply({"ready": False, "reason": "There are too few documents to lay out."}, [])
    return ViewReply({"ready": True}, [_floats(layout)])


def _estimate(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    drafts = [_draft(item) for item in request.get("drafts") or []]
    estimate = context.host.estimate(_texts(request, "concept_ids"), drafts)
    return ViewReply(dict(estimate._asdict()), [])


def _split(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    parts = context.host.propose_split(_text(request, "concept_id"))
    return ViewReply({"parts": [{**part._asdict(), "rows": list(part.rows)} for part in parts]}, [])


def _edit(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    action = _known(request.get("action"), _EDITS, "edit")
    return ViewReply({"concept_ids": list(_EDITS[action](request, context))}, [])


def _score(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    confirmed = request.get("confirmed_usd")
    if confirmed is not None and (isinstance(confirmed, bool) or not isinstance(confirmed, (int, float))):
        raise InputError(f"confirmed_usd must be a number or null, but is {confirmed!r}.")
    context.host.start_scoring(_texts(request, "concept_ids"), confirmed)
    return ViewReply({}, [])


def _cancel(_: Mapping[str, Any], context: RequestContext) -> ViewReply:
    context.host.cancel()
    return ViewReply({}, [])


def _export(request: Mapping[str, Any], context: RequestContext) -> ViewReply:
    from text_lloom.widget.download import download

    kind = _known(request.get("format"), _FORMATS, "format")
    scope = _known(request.get("scope"), _SCOPES, "scope")
    rows = select_rows(read_state(context.state), context.snapshot) if scope == "selection" else None
    file = download(kind, context.snapshot, rows=rows, state=context.state)
    return ViewReply({"file_name": file.name, "mime": file.mime}, [file.content])


def _python(_: Mapping[str, Any], context: RequestContext) -> ViewReply:
    return ViewReply({"code": code_for(context.state, context.snapshot, context.call)}, [])


_ANSWERS: Final[Mapping[str, Callable[[Mapping[str, Any], RequestContext], ViewReply]]] = {
    "rows": _rows,
    "document": _document,
    "search": _search,
    "column": _column,
    "matching": _matching,
    "map": _map,
    "estimate": _estimate,
    "split": _split,
    "edit": _edit,
    "score": _score,
    "cancel": _cancel,
    "export": _export,
    "python": _python,
}


def _edit_merge(request: Mapping[str, Any], context: RequestContext) -> Sequence[str]:
    return context.host.merge(
        _texts(request, "concept_ids"), _text(request, "name"), _text(request, "criteria")
    )


def _edit_split(request: Mapping[str, Any], context: RequestContext) -> Sequence[str]:
    parts = []
    for item in _list(request, "parts"):
        draft = _draft(item)
        rows = tuple(check_row(row, context.snapshot) for row in item.get("rows") or ())
        parts.append(SplitPart(draft.name, draft.criteria, rows, len(rows)))
    return context.host.split(_text(request, "concept_id"), parts)


def _edit_label(request: Mapping[str, Any], context: RequestContext) -> Sequence[str]:
    verdict = request.get("verdict")
    check_verdict(verdict)
    row = check_row(request.get("row"), context.snapshot)
    return context.host.label(row, _text(request, "concept_id"), verdict, _optional_text(request, "note"))


_EDITS: Final[Mapping[str, Callable[[Mapping[str, Any], RequestContext], Sequence[str]]]] = {
    "rename": lambda r, context: context.host.rename(_text(r, "concept_id"), _text(r, "name")),
    "criteria": lambda r, context: context.host.change_criteria(_text(r, "concept_id"), _text(r, "criteria")),
    "merge": _edit_merge,
    "split": _edit_split,
    "remove": lambda r, context: context.host.remove(_texts(r, "concept_ids")),
    "add": lambda r, context: context.host.add(_text(r, "name"), _text(r, "criteria")),
    "undo": lambda _, context: context.host.undo(),
    "redo": lambda _, context: context.host.redo(),
    "label": _edit_label,
    "choose": lambda r, context: context.host.choose(_texts(r, "concept_ids")),
}


def _floats(places: NDArray[np.float32]) -> bytes:
    return places.astype("<f4").tobytes()


def _draft(item: object) -> Draft:
    if not isinstance(item, Mapping):
        raise InputError(f"A concept must have name and criteria, but this is {item!r}.")
    return Draft(_text(item, "name"), _text(item, "criteria"))


def _known(value: object, known: Iterable[str], what: str) -> str:
    if not isinstance(value, str) or value not in set(known):
        raise UnknownName(value, known, what=what)
    return value


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, but is {value!r}.")
    return value


def _optional_text(request: Mapping[str, Any], name: str) -> str:
    return "" if request.get(name) is None else _text(request, name)


def _list(request: Mapping[str, Any], name: str) -> list[Any]:
    value = request.get(name)
    if not isinstance(value, list):
        raise InputError(f"{name} must be a list, but is {value!r}.")
    return value


def _texts(request: Mapping[str, Any], name: str) -> list[str]:
    values = _list(request, name)
    if not all(isinstance(value, str) for value in values):
        raise InputError(f"{name} must be a list of texts, but is {values!r}.")
    return values
