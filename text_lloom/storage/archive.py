"""Archives: zip files with known members, and a manifest of their sizes and checksums."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from text_lloom.errors import FileProblem
from text_lloom.storage.files import atomic_write, existing_file
from text_lloom.storage.values import json_bytes, parse_json

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

__all__ = [
    "MOST_BYTES",
    "Archive",
    "damaged",
    "parquet_bytes",
    "read_archive",
    "read_parquet",
    "too_large",
    "write_archive",
]

MOST_BYTES: Final = 2 * 1024**3
_MANIFEST: Final = "manifest.json"
_MOST_MANIFEST_BYTES: Final = 1024**2
_ZIP_START: Final = b"PK\x03\x04"
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_ROWS_AT_ONCE: Final = 256


class Archive(NamedTuple):
    """The content of an archive.

    Attributes:
        manifest: The manifest that `write_archive` was given, and `members` with their sizes and checksums.
        members: Content by name.
    """

    manifest: Mapping[str, Any]
    members: Mapping[str, bytes]


def write_archive(path: Path, members: Mapping[str, bytes], *, manifest: Mapping[str, object]) -> None:
    """Write an archive; equal content makes equal files.

    Raises:
        FileProblem: When the file cannot be written.
    """
    listed = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in members.items()
    }
    complete = {**manifest, "members": listed}
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in ({_MANIFEST: json_bytes(complete, indent=1)} | dict(members)).items():
            entry = zipfile.ZipInfo(name, date_time=_NO_TIME)
            entry.external_attr = 0o644 << 16
            # Parquet is compressed within.
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".parquet") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def read_archive(
    path: str | Path,
    names: Sequence[str],
    *,
    kind: str,
    version: int,
    optional: Sequence[str] = (),
    max_bytes: int = MOST_BYTES,
) -> Archive:
    """Read the known members of an archive; other members are ignored.

    Args:
        path: The file.
        names: Required members.
        kind: The `format` that the manifest must name.
        version: The newest version of that format that can be read.
        optional: Members that may be missing.
        max_bytes: Refuse archives whose members are larger than this when unpacked.

    Raises:
        FileProblem: When the file is not such an archive, is a pickle, damaged, too large or of a newer
            version.
    """
    file = existing_file(path, what=f"a {kind.replace('-', ' ')} file")
    _check_start(file, kind)
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = parse_json(_member(archive, _MANIFEST, file, limit=_MOST_MANIFEST_BYTES))
            listed = _check_manifest(manifest, file, kind, version)
            names = [*names, *(name for name in optional if name in archive.NameToInfo)]
            unpacked = sum(archive.getinfo(name).file_size for name in names if name in archive.NameToInfo)
            if unpacked > max_bytes:
                raise too_large(file, unpacked, max_bytes)
            members = {name: _member(archive, name, file, limit=max_bytes) for name in names}
    except FileProblem:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise damaged(file, str(error)) from error
    for name, content in members.items():
        if hashlib.sha256(content).hexdigest() != listed.get(name):
            raise damaged(file, f"the content of {name} does not fit its checksum")
    return Archive(cast("dict[str, Any]", manifest), members)


def parquet_bytes(table: pa.Table) -> bytes:
    """An Arrow table as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    sink = pa.BufferOutputStream()
    # The compliant form would rename the items of list columns.
    pq.write_table(table.combine_chunks(), sink, compression="zstd", use_compliant_nested_type=False)
    return cast("bytes", sink.getvalue().to_pybytes())


def read_parquet(content: bytes, *, rows: int, path: Path, max_bytes: int = MOST_BYTES) -> pa.Table:
    """An Arrow table from Parquet, read in steps because a small file can expand to a huge table.

    Args:
        content: The Parquet file.
        rows: The expected number of rows.
        path: The archive, for error messages.
        max_bytes: Refuse tables that are larger than this in memory.

    Raises:
        FileProblem: When the table has another number of rows or is too large.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(content))
    if file.metadata.num_rows != rows:
        raise damaged(path, f"a table has {file.metadata.num_rows} rows, but {rows} are declared")
    declared = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    if declared > max_bytes:
        raise too_large(path, declared, max_bytes)
    batches, in_memory = [], 0
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        in_memory += batch.nbytes
        if in_memory > max_bytes:
            raise too_large(path, in_memory, max_bytes)
        batches.append(batch)
    table = pa.Table.from_batches(batches, schema=file.schema_arrow).combine_chunks()
    if table.num_rows != rows:
        raise damaged(path, f"a table has {table.num_rows} rows, but {rows} are declared")
    return table


def damaged(path: Path, reason: str) -> FileProblem:
    """The error for a file with inconsistent content."""
    return FileProblem(
        f"{str(path)!r} is damaged or was changed: {reason}. Use a backup, or save the session again."
    )


def too_large(path: Path, size: int, limit: int) -> FileProblem:
    """The error for a file that unpacks to more bytes than the limit."""
    return FileProblem(
        f"{str(path)!r} unpacks to at least {size:,} bytes, more than the limit of {limit:,}, which protects "
        f"against files that fill the memory. If you trust the file, pass max_bytes={2 * size}."
    )


def _check_start(path: Path, kind: str) -> None:
    content = path.open("rb")
    with content:
        start = content.read(4)
    if start == _ZIP_START:
        return
    what = kind.replace("-", " ")
    pickled = start[:1] == b"\x80" and start[1:2] <= b"\x05"
    if pickled or path.suffix.lower() in (".pkl", ".pickle"):
        raise FileProblem(
            f"{str(path)!r} is a pickle, as other versions saved sessions. Pickles are never loaded, since "
            f"loading one can run any code. To move on: load it with the version that wrote it, if you "
            f"trust it; write its documents to CSV, and its concepts to JSON as a list of "
            f'{{"name": …, "prompt": …}}; then start a session with these documents and that codebook.'
        )
    if not start:
        raise FileProblem(f"{str(path)!r} is empty, but a {what} file is expected.")
    raise FileProblem(
        f"{str(path)!r} is not a {what} file: it begins with {start!r}, not as a zip archive. To read a "
        f"table of documents, use read_table."
    )


def _check_manifest(manifest: object, path: Path, kind: str, version: int) -> dict[str, str]:
    """The checksums in the manifest of an archive that can be read."""
    if not isinstance(manifest, dict) or manifest.get("format") != kind:
        raise FileProblem(f"{str(path)!r} is a zip archive, but not a {kind.replace('-', ' ')} file.")
    found, by = manifest.get("version"), manifest.get("package_version")
    if not isinstance(found, int) or found < 1:
        raise damaged(path, f"its format version is {found!r}")
    if found > version:
        raise FileProblem(
            f"{str(path)!r} has format version {found}, written by text_lloom {by}, but this one reads up to "
            f"version {version}. Run: pip install -U text_lloom"
        )
    members = manifest.get("members")
    if not isinstance(members, dict):
        raise damaged(path, "its manifest lists no members")
    return {str(name): str(entry.get("sha256")) for name, entry in members.items() if isinstance(entry, dict)}


def _member(archive: zipfile.ZipFile, name: str, path: Path, *, limit: int) -> bytes:
    if archive.namelist().count(name) != 1:
        if name == _MANIFEST:
            raise FileProblem(
                f"{str(path)!r} is a zip archive, but has no manifest, so it is not a session file."
            )
        raise damaged(path, f"it holds {name} {archive.namelist().count(name)} times instead of once")
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise damaged(path, f"{name} is encrypted, or its compression is not supported")
    if entry.file_size > limit:
        raise too_large(path, entry.file_size, limit)
    return archive.read(entry)
