"""Reading and writing codebooks: JSON, tables of ours and of other programs, and REFI-QDA."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Final, cast

from text_lloom.concept import Codebook, Concept
from text_lloom.errors import FileProblem, InputError
from text_lloom.storage.decoding import decode_text
from text_lloom.storage.files import atomic_write, existing_file, read_bytes
from text_lloom.storage.records import is_missing, json_text, json_value
from text_lloom.storage.refi import read_refi_codes
from text_lloom.storage.tables import read_table, write_table

__all__ = ["read_codebook", "write_codebook"]

_SPELLINGS: Final = {
    "name": ("name", "concept"),
    "prompt": ("criteria", "prompt", "definition"),
    "example_ids": ("example_ids", "examples"),
}
_FOREIGN_NAMES: Final = ("path", "code", "tag", "code name", "code label", "name", "node", "theme")
_FOREIGN_CRITERIA: Final = (
    "description",
    "code description",
    "definition",
    "memo",
    "code memo",
    "comment",
    "code comment",
    "beschreibung",
    "kommentar",
)
_PARENTS: Final = ("parent", "parent code", "parent tag", "parent name", "category", "obercode")
_STEP: Final = re.compile(r"\s*\\+\s*|\s+[>›→]\s+|\s*::\s*")
_NVIVO_ROOTS: Final = ("codes", "nodes")
_OPTIONAL: Final = ("id", "summary", "active", "seed", "merged_from")
_COLUMNS: Final = ("id", "name", "criteria", "summary", "example_ids", "active", "seed", "merged_from")


def read_codebook(
    path: str | Path,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    sheet: str | int | None = None,
    header_row: int | None = None,
) -> Codebook:
    """Read a codebook.

    Codes without a description are left out, with a warning that names them.

    Args:
        path: `.json`: what `write_codebook` wrote, or a list of objects. Or a table, as `read_table`
            reads it. Objects and rows need `name` (or `concept`) and `criteria` (or `prompt` or
            `definition`), and may have `summary`, `example_ids` (or `examples`; ids of documents, in a
            table as a JSON list such as `["a1", "a7"]`), `id`, `active`, `seed` and `merged_from`.
            Tables of Taguette, MAXQDA, NVivo, QualCoder and ATLAS.ti are understood as well: `code`,
            `tag` or `path`, with `description`, `memo` or `comment`, and `parent` or `category`. So is
            `.qdc` (REFI-QDA). A hierarchy is kept in the name, as `Service > Late buses`. Names of
            columns are not case-sensitive; other columns are ignored.
        encoding: Encoding of a text file; UTF-8 unless given.
        separator: As for `read_table`.
        sheet: As for `read_table`.
        header_row: As for `read_table`.

    Returns:
        The codebook. Concepts without an id get the same id each time the file is read.

    Raises:
        FileProblem: When the file cannot be read as a codebook; names the columns found, or the row and
            what is missing.
    """
    file = existing_file(path, what="a codebook")
    if file.suffix.lower() == ".qdc":
        return _from_foreign(read_refi_codes(read_bytes(file), path=file), file, counted="code")
    if file.suffix.lower() != ".json":
        frame = read_table(
            file,
            encoding=encoding,
            separator=separator,
            sheet=sheet,
            header_row=header_row,
            infer_types=False,
        )
        rows = [
            dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)
        ]
        plain = {_plain_name(name) for name in frame.columns}
        if file.suffix.lower() in (".jsonl", ".ndjson") or (
            plain & {*_SPELLINGS["name"]} and plain & {*_SPELLINGS["prompt"]}
        ):
            return _from_rows(rows, file, counted="row")
        if not plain & {*_FOREIGN_NAMES} or not plain & {*_FOREIGN_CRITERIA, *_SPELLINGS["prompt"]}:
            raise FileProblem(
                f"{str(path)!r} is not a codebook: it needs columns with a name and a criterion, such as "
                f"'name' and 'criteria', 'code' and 'memo', or 'tag' and 'description'. Its columns are: "
                f"{', '.join(map(repr, map(str, frame.columns)))}. Rename them."
            )
        return _from_foreign(rows, file, counted="row")
    text = decode_text(read_bytes(file), path=file, encoding=encoding)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileProblem(f"{str(path)!r} is not JSON: {error}.") from None
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        return _from_rows(content, file, counted="item")
    try:
        return Codebook.from_json(text)
    except InputError as error:
        raise FileProblem(f"{str(path)!r} is not a codebook: {error}") from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FileProblem(
            f"{str(path)!r} is not a codebook, or its event log is damaged: {type(error).__name__}: {error}. "
            f"A plain list of its concepts can still be read."
        ) from error


def write_codebook(path: str | Path, codebook: Codebook) -> Path:
    """Write a codebook atomically.

    Args:
        path: `.json` keeps the event log. Any other suffix of `write_table` makes a table with the
            columns `id`, `name`, `criteria`, `summary`, `example_ids`, `active`, `seed` and
            `merged_from`, the lists as JSON text.
        codebook: The codebook. Example ids that are not text, numbers or truth values become text.

    Returns:
        The path of the file.

    Raises:
        FileProblem: When the file cannot be written.
    """
    import pandas as pd

    file = Path(path).expanduser()
    if file.suffix.lower() == ".json":
        text = codebook.to_json(write_id=_plain_id)
        with atomic_write(file) as out:
            out.write(f"{_encodable(text)}\n".encode())
        return file
    rows = [_row(concept) for concept in codebook.values()]
    return write_table(pd.DataFrame(rows, columns=list(_COLUMNS)), file)


def _encodable(text: str) -> str:
    """JSON text; lone surrogates, which UTF-8 cannot encode, are escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), indent=1)
    return text


def _plain_id(doc_id: Hashable) -> object:
    plain = json_value(doc_id)
    return str(doc_id) if isinstance(plain, (list, dict)) or plain is None else plain


def _row(concept: Concept) -> dict[str, object]:
    return {
        "id": concept.id,
        "name": concept.name,
        "criteria": concept.criteria,
        "summary": concept.summary,
        "example_ids": json_text([_plain_id(i) for i in concept.example_ids]),
        "active": concept.active,
        "seed": concept.seed,
        "merged_from": json_text(concept.merged_from),
    }


def _from_rows(rows: list[dict[str, object]], path: Path, *, counted: str) -> Codebook:
    codebook = Codebook()
    if not rows:
        raise FileProblem(f"{str(path)!r} holds no concepts.")
    concepts = []
    for number, row in enumerate(rows, start=1):
        place = f"{str(path)!r}, {counted} {number}"
        try:
            concept = Concept.from_dict(_fields(row, place))
        except InputError as error:
            raise FileProblem(f"{place}: {error}") from None
        if is_missing(_lookup(row, ("id",), place)):
            concept.id = codebook.new_id(concept.name, concept.criteria)
        concepts.append(concept)
    try:
        codebook.extend(concepts, note=f"read from {path.name}")
    except InputError as error:
        raise FileProblem(
            f"{str(path)!r}: {error} Each id must occur once; leave ids out to get new ones."
        ) from None
    return codebook


def _from_foreign(rows: list[dict[str, object]], path: Path, *, counted: str) -> Codebook:
    """The codebook of another program; codes without a description are left out."""
    concepts: list[dict[str, object]] = []
    bare: list[str] = []
    for row in rows:
        fields = {_plain_name(name): value for name, value in row.items() if not _is_blank(value)}
        steps = _steps(fields)
        if not steps:
            continue
        name = " > ".join(steps)
        spellings = (*_SPELLINGS["prompt"][:2], *_FOREIGN_CRITERIA)
        criteria = next((str(fields[s]).strip() for s in spellings if s in fields), "")
        if criteria:
            concepts.append({"name": name, "criteria": criteria})
        else:
            bare.append(name)
    if not concepts and bare:
        raise FileProblem(
            f"{str(path)!r}: none of its {len(bare)} codes has a description, but a concept needs a "
            f"criterion. Describe the codes, or name the column of descriptions 'criteria'."
        )
    if bare:
        shown = ", ".join(map(repr, bare[:5])) + (", …" if len(bare) > 5 else "")
        warnings.warn(
            f"{path.name!r}: {len(bare)} of {len(bare) + len(concepts)} codes have no description and "
            f"are left out: {shown}.",
            stacklevel=3,
        )
    return _from_rows(concepts, path, counted=counted)


def _steps(fields: Mapping[str, object]) -> list[str]:
    """The names from the outermost code to the one of a row."""
    given = next((fields[s] for s in (*_FOREIGN_NAMES, "concept") if s in fields), None)
    if isinstance(given, list):
        return [str(step) for step in given]
    if given is None:
        return []
    steps = [step.strip() for step in _STEP.split(str(given)) if step.strip()]
    if len(steps) > 1 and steps[0].casefold() in _NVIVO_ROOTS:
        steps = steps[1:]
    parent = next((str(fields[s]) for s in _PARENTS if s in fields), "")
    above = [step.strip() for step in _STEP.split(parent) if step.strip()]
    return steps if steps[: len(above)] == above and len(steps) > len(above) else [*above, *steps]


def _plain_name(name: object) -> str:
    return " ".join(str(name).replace("_", " ").casefold().split())


def _is_blank(value: object) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def _fields(row: Mapping[str, object], place: str) -> dict[str, object]:
    """The fields of a concept under their standard names, without missing ones."""
    found = {name: _lookup(row, spellings, place) for name, spellings in _SPELLINGS.items()}
    found |= {name: _lookup(row, (name,), place) for name in _OPTIONAL}
    present = {name: value for name, value in found.items() if not is_missing(value)}
    for name in ("example_ids", "merged_from"):
        if name in present:
            present[name] = _list(present[name], name, place)
    if "active" in present:
        present["active"] = str(present["active"]).strip().lower() in ("true", "1", "yes")
    return present


def _lookup(row: Mapping[str, object], spellings: tuple[str, ...], place: str) -> object:
    given = [
        name
        for name, value in row.items()
        if str(name).strip().lower() in spellings and not is_missing(value)
    ]
    if len(given) > 1:
        raise FileProblem(
            f"{place} has {' and '.join(map(repr, given))}, which mean the same here. Keep only one."
        )
    return row[given[0]] if given else None


def _list(value: object, name: str, place: str) -> list[object]:
    """A list, or the list in JSON text."""
    if isinstance(value, str):
        if not value.strip():
            return []
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    plain = json_value(value)
    if not isinstance(plain, list) or any(isinstance(item, (list, dict)) for item in plain):
        raise FileProblem(f'{place}: {name} must be a JSON list of ids, such as ["a1", "a7"] or [3, 12].')
    return cast("list[object]", plain)
