"""Session files: a zip archive of tables and JSON. Reading one runs no code."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from text_lloom.concept import Codebook
from text_lloom.corpus import Corpus
from text_lloom.errors import FileProblem, InputError
from text_lloom.labels import VERDICTS, Label
from text_lloom.llm.control.usage import Attempt
from text_lloom.llm.dispatch.step_state import Failure
from text_lloom.scores import ScoreTable
from text_lloom.storage.archive import (
    MOST_BYTES,
    Archive,
    damaged,
    parquet_bytes,
    read_archive,
    read_parquet,
    write_archive,
)
from text_lloom.storage.columns import frame_from_table, frame_to_table
from text_lloom.storage.score_tables import (
    attempts_from_table,
    attempts_to_table,
    scores_from_table,
    scores_to_table,
)
from text_lloom.storage.values import Unstorable, json_bytes, parse_json, read_id, read_value, write_value

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
    from numpy.typing import NDArray

__all__ = ["SUFFIX", "SessionState", "read_session", "write_session"]

SUFFIX: Final = ".lloom"
_FORMAT: Final = "lloom-session"
_VERSION: Final = 1
_MEMBERS: Final = (
    "corpus.parquet",
    "set_aside.parquet",
    "codebook.json",
    "scores.parquet",
    "distilled.json",
    "ledger.parquet",
    "failures.json",
    "settings.json",
)
# Added later: older files lack them, and older readers ignore them.
_ADDED: Final = ("labels.json", "layout.parquet")


@dataclass(frozen=True, eq=False)
class SessionState:
    """The saved state of a session.

    Attributes:
        corpus: The documents.
        codebook: The concepts with their event log.
        table: The scores, including stale ones.
        quotes: Quotes by document id.
        bullets: Bullets by document id.
        support: Number of documents cited, by concept id.
        attempts: The ledger.
        step_seconds: Step, time stamp and seconds of each step that has run.
        failures: Questions that could not be answered.
        settings: Parameters, seed, model names and the like as JSON values; never a key.
        labels: Human labels.
        layout: Positions on the map, float32 of shape `(documents, 2)`, if computed.
    """

    corpus: Corpus
    codebook: Codebook
    table: ScoreTable
    quotes: dict[Hashable, list[str]] = field(default_factory=dict)
    bullets: dict[Hashable, list[str]] = field(default_factory=dict)
    support: dict[str, int] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    step_seconds: list[tuple[str, str, float]] = field(default_factory=list)
    failures: tuple[Failure, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    labels: tuple[Label, ...] = ()
    layout: NDArray[np.float32] | None = None


def write_session(path: str | Path, state: SessionState) -> Path:
    """Write a session to a file atomically; equal sessions give equal files.

    Column types, ids and scores are restored exactly. Objects of the user's own classes are written as
    text, with a warning that names the columns.

    Args:
        path: Path of the file; `.lloom` is appended to a name without it. Missing folders are created.
        state: The session.

    Returns:
        The path of the file.

    Raises:
        FileProblem: When the file cannot be written.
        InputError: When a setting has no JSON type, ids are objects that have the same text, or the
            scores are about another corpus.
    """
    file = Path(path).expanduser()
    if file.suffix.lower() != SUFFIX:
        file = file.with_name(file.name + SUFFIX)
    corpus, ids = state.corpus, _Ids(state.corpus)
    if len(state.table.corpus) != len(corpus):
        raise InputError(
            f"The scores are about {len(state.table.corpus)} documents, but the corpus has {len(corpus)}."
        )
    frame, frame_as_text = frame_to_table(corpus.frame)
    set_aside, set_aside_as_text = frame_to_table(corpus.set_aside)
    _check_as_text(corpus, [*frame_as_text, *set_aside_as_text])
    scores = scores_to_table(state.table)
    members = {
        "corpus.parquet": parquet_bytes(frame),
        "set_aside.parquet": parquet_bytes(set_aside),
        "codebook.json": state.codebook.to_json(write_id=ids.write).encode("utf-8", "surrogatepass"),
        "scores.parquet": parquet_bytes(scores),
        "distilled.json": json_bytes(
            {"quotes": ids.pairs(state.quotes), "bullets": ids.pairs(state.bullets)}
        ),
        "ledger.parquet": parquet_bytes(attempts_to_table(state.attempts)),
        "failures.json": json_bytes(
            [asdict(f) | {"doc_ids": [ids.write(i) for i in f.doc_ids]} for f in state.failures]
        ),
        "settings.json": _settings_bytes(state),
    }
    if state.labels:
        members["labels.json"] = json_bytes([_label_fields(label, ids) for label in state.labels])
    if state.layout is not None:
        members["layout.parquet"] = parquet_bytes(_layout_table(state.layout))
    manifest = {
        "format": _FORMAT,
        "version": _VERSION,
        "package_version": _package_version(),
        "text_col": write_value(corpus.text_col),
        "id_col": write_value(corpus.id_col),
        "counts": {
            "documents": len(corpus),
            "set_aside": len(corpus.set_aside),
            "concepts": len(state.codebook),
            "scores": scores.num_rows,
            "attempts": len(state.attempts),
            "failures": len(state.failures),
        },
    }
    write_archive(file, members, manifest=manifest)
    return file


def read_session(path: str | Path, *, max_bytes: int = MOST_BYTES) -> SessionState:
    """Read a session from a file that `write_session` wrote.

    No code in the file is run: it holds tables and JSON, and its checksums and counts are checked first.
    Pickles are refused.

    Args:
        path: The file; `.lloom` may be left out.
        max_bytes: Refuse files that unpack to more than this.

    Raises:
        FileProblem: When the file is missing, not a session file, a pickle, damaged, larger than
            `max_bytes` when unpacked, or of a newer version; says what to do.
    """
    import pyarrow as pa

    file = Path(path).expanduser()
    if not file.exists() and file.with_name(file.name + SUFFIX).is_file():
        file = file.with_name(file.name + SUFFIX)
    archive = read_archive(
        file, _MEMBERS, kind=_FORMAT, version=_VERSION, optional=_ADDED, max_bytes=max_bytes
    )
    try:
        return _state(archive, file, max_bytes)
    except FileProblem:
        raise
    except (pa.ArrowException, ArithmeticError, AttributeError, LookupError, OSError) as error:
        raise damaged(file, f"{type(error).__name__}: {error}") from error
    except (RecursionError, TypeError, ValueError) as error:
        raise damaged(file, str(error)) from error


class _Ids:
    """Document ids as JSON values, or by their row in the corpus if they have no JSON form."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def write(self, doc_id: Hashable) -> object:
        try:
            return write_value(doc_id)
        except Unstorable:
            row = self._corpus.position.get(doc_id)
            return str(doc_id) if row is None else {"row": row}

    def read(self, written: object) -> Hashable:
        if isinstance(written, dict) and written.keys() == {"row"}:
            return self._corpus.ids[range(len(self._corpus))[written["row"]]]
        return read_id(written)

    def pairs(self, texts: Mapping[Hashable, list[str]]) -> list[list[object]]:
        return [[self.write(doc_id), list(items)] for doc_id, items in texts.items()]

    def texts(self, pairs: list[tuple[object, list[str]]]) -> dict[Hashable, list[str]]:
        return {self.read(written): [_string(item) for item in items] for written, items in pairs}


def _state(archive: Archive, path: Path, max_bytes: int) -> SessionState:
    counts: dict[str, int] = archive.manifest["counts"]

    def table(name: str, *, rows: str) -> pa.Table:
        content = archive.members[f"{name}.parquet"]
        return read_parquet(content, rows=counts[rows], path=path, max_bytes=max_bytes)

    def parsed(name: str) -> Any:
        return parse_json(archive.members[f"{name}.json"])

    corpus = Corpus(
        frame=frame_from_table(table("corpus", rows="documents")),
        text_col=cast("str", read_value(archive.manifest["text_col"])),
        id_col=cast("str", read_value(archive.manifest["id_col"])),
        set_aside=frame_from_table(table("set_aside", rows="set_aside")),
    )
    if len(corpus.texts) != len(corpus.position):
        raise ValueError("its document ids are not unique")
    ids = _Ids(corpus)
    written = archive.members["codebook.json"].decode("utf-8", "surrogatepass")
    codebook = Codebook.from_json(written, read_id=ids.read)
    distilled, settings = parsed("distilled"), parsed("settings")
    failures = tuple(_failure(fields, ids) for fields in parsed("failures"))
    if len(codebook) != counts["concepts"] or len(failures) != counts["failures"]:
        raise ValueError("it holds another number of concepts or failures than it declares")
    return SessionState(
        corpus=corpus,
        codebook=codebook,
        table=scores_from_table(table("scores", rows="scores"), corpus),
        quotes=ids.texts(distilled["quotes"]),
        bullets=ids.texts(distilled["bullets"]),
        support={_string(concept_id): int(n) for concept_id, n in settings["support"].items()},
        attempts=attempts_from_table(table("ledger", rows="attempts")),
        step_seconds=[(_string(step), _string(at), float(s)) for step, at, s in settings["step_seconds"]],
        failures=failures,
        settings=dict(settings["settings"]),
        labels=tuple(_label(fields, ids) for fields in parsed("labels"))
        if "labels.json" in archive.members
        else (),
        layout=_layout(table("layout", rows="documents")) if "layout.parquet" in archive.members else None,
    )


def _check_as_text(corpus: Corpus, columns: list[Hashable]) -> None:
    if not columns:
        return
    if corpus.id_col in columns and len({str(i) for i in corpus.ids}) < len(corpus):
        raise InputError(
            f"The ids in {corpus.id_col!r} are {type(corpus.ids[0]).__name__} objects, of which some have "
            f"the same text, so that a file cannot tell them apart. Use numbers or text as ids."
        )
    warnings.warn(
        f"Columns with values or a type that a session file cannot hold: "
        f"{', '.join(repr(name) for name in dict.fromkeys(columns))}. They will come back as text or plain "
        f"values.",
        stacklevel=3,
    )


def _settings_bytes(state: SessionState) -> bytes:
    for name, value in state.settings.items():
        try:
            json_bytes(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"The setting {name!r} cannot be saved as JSON: {error}.") from None
    content = {
        "settings": state.settings,
        "support": {concept_id: int(n) for concept_id, n in state.support.items()},
        "step_seconds": [[step, at, float(seconds)] for step, at, seconds in state.step_seconds],
    }
    return json_bytes(content, indent=1)


def _failure(fields: dict[str, Any], ids: _Ids) -> Failure:
    return Failure(
        step=_string(fields["step"]),
        doc_ids=tuple(ids.read(i) for i in fields["doc_ids"]),
        concept_ids=tuple(_string(i) for i in fields["concept_ids"]),
        kind=_string(fields["kind"]),
        reason=_string(fields["reason"]),
        attempts=int(fields["attempts"]),
        usd=float(fields["usd"]),
    )


def _label_fields(label: Label, ids: _Ids) -> dict[str, object]:
    score = None if math.isnan(label.score) else label.score
    return asdict(label) | {"doc_id": ids.write(label.doc_id), "score": score}


def _label(fields: dict[str, Any], ids: _Ids) -> Label:
    verdict = fields["verdict"]
    if verdict not in VERDICTS:
        raise ValueError(f"it holds a label that says {verdict!r:.40}")
    return Label(
        doc_id=ids.read(fields["doc_id"]),
        concept_id=_string(fields["concept_id"]),
        verdict=verdict,
        note=_string(fields["note"]),
        score=math.nan if fields["score"] is None else float(fields["score"]),
        criteria=_string(fields["criteria"]),
        at=_string(fields["at"]),
    )


def _layout_table(layout: NDArray[np.float32]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"x": pa.array(layout[:, 0]), "y": pa.array(layout[:, 1])})


def _layout(table: pa.Table) -> NDArray[np.float32]:
    import numpy as np

    places = [table.column(name).to_numpy().astype(np.float32) for name in ("x", "y")]
    return np.column_stack(places)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is expected, but there is {value!r:.40}")
    return value


def _package_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("text_lloom")
    except PackageNotFoundError:
        return "unknown"
