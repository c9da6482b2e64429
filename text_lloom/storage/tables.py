"""Reading tables of many formats; writing CSV, TSV, JSON, JSON lines and Parquet."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from text_lloom.corpus import index_as_columns
from text_lloom.errors import FileProblem
from text_lloom.storage.archives import unpacked
from text_lloom.storage.decoding import decode_text
from text_lloom.storage.files import atomic_write, existing_file, read_bytes
from text_lloom.storage.records import json_text, json_value, read_json, read_json_lines
from text_lloom.storage.separated import read_separated, separated_lines
from text_lloom.storage.spreadsheets import SHEET_SUFFIXES, read_sheet
from text_lloom.storage.statistics import STATISTICS_SUFFIXES, read_statistics

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLE_SUFFIXES", "read_table", "write_table"]

_NO_PICKLES: Final = "Pickles are never loaded, since loading one can run code."
_SEPARATORS: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_TEXT_SUFFIXES: Final = (*_SEPARATORS, ".jsonl", ".ndjson", ".json")
_ARROW_SUFFIXES: Final = (".arrow", ".feather", ".ipc")
TABLE_SUFFIXES: Final = (*_TEXT_SUFFIXES, ".parquet", *(f"{s}.gz" for s in _TEXT_SUFFIXES))
"""The formats that are read and written."""
_READ_ONLY: Final = (*_ARROW_SUFFIXES, *SHEET_SUFFIXES, *STATISTICS_SUFFIXES, ".zip")

_ADVICE: Final = {
    ".txt": "A .txt file can be anything: rename it to .csv or .tsv if it is such a table.",
    ".pkl": f"{_NO_PICKLES} Save the table as Parquet or CSV.",
    ".pickle": f"{_NO_PICKLES} Save the table as Parquet or CSV.",
}


def read_table(
    path: str | Path,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    sheet: str | int | None = None,
    header_row: int | None = None,
    infer_types: bool = True,
) -> pd.DataFrame:
    """Read a table from a file, by its suffix.

    A warning says what was skipped, such as titles above the header. A file that can be read in several
    ways, or that does not match its suffix, is refused with the line, the reason and the option to pass.

    Types of CSV and TSV columns: a column is int64 when all its values are whole numbers (float64 when
    some are missing), float64 when all are numbers, bool when all are True or False. Everything else
    stays text, unchanged: dates, numbers with leading zeros, a plus sign or spaces (`007`, `+44 20`),
    numbers too long to be exact, and `1e5` (which may be an id; `1e+05` is a number). Only empty fields
    are missing: `NA`, `None`, `null` and `nan` are text. In JSON, strings stay strings.

    Args:
        path: `.csv`, `.tsv` or `.tab`, `.jsonl` or `.ndjson`, `.json` (a list of objects), each of them
            also with `.gz`; `.parquet`; `.arrow`, `.feather` or `.ipc`; `.xlsx`, `.xlsm`, `.xlsb`, `.xls`
            or `.ods`; `.sav`, `.zsav`, `.por`, `.dta`, `.sas7bdat` or `.xpt` (with the extra
            `statistics`); or `.zip` with one of them inside.
        encoding: Encoding of a text file. When not given, the one that a byte order mark names, else
            UTF-8.
        separator: Character between the fields of a CSV or TSV file, or `tab`. When not given, the
            usual one, or the one of `,` `;` tab and `|` that gives all records the same number of fields.
        decimal: Decimal mark of a CSV or TSV file. When not given, columns with decimal commas are
            recognised in files whose fields are not separated by commas.
        sheet: Name of the sheet of a spreadsheet file, or its number from 1.
        header_row: Line of a text file, or row of a sheet, with the names of the columns, from 1. When
            not given, it is found, and a warning says what stands above it.
        infer_types: `False` leaves every column of a text file or spreadsheet text.

    Returns:
        One row per record, in order, with a new index. A named index in a Parquet or Arrow file becomes
        a column. Values with labels in a file of SPSS, Stata or SAS become ordered categories.

    Raises:
        FileProblem: When the file is missing, empty, of an unknown kind, in another encoding, or
            damaged, or an option does not apply to it; says where and what to do.
        MissingPackage: When a file of SPSS, Stata or SAS needs pyreadstat.
    """
    file = existing_file(path, what="a table")
    kind, compressed = _kind(file, (*TABLE_SUFFIXES, *_READ_ONLY))
    if kind == ".zip":
        with unpacked(file, suffixes=(*TABLE_SUFFIXES, *_READ_ONLY[:-1])) as member:
            return read_table(
                member,
                encoding=encoding,
                separator=separator,
                decimal=decimal,
                sheet=sheet,
                header_row=header_row,
                infer_types=infer_types,
            )
    separator = "\t" if separator in ("\\t", "tab") else separator  # a shell does not pass on a tab
    if decimal not in (None, ".", ","):
        raise FileProblem(f"decimal={decimal!r} is not a decimal mark; give '.' or ','.")
    in_text, in_sheet = kind in _SEPARATORS, kind in SHEET_SUFFIXES
    for name, value, applies in (
        ("separator", separator, in_text),
        ("decimal", decimal, in_text),
        ("sheet", sheet, in_sheet),
        ("header_row", header_row, in_text or in_sheet),
    ):
        if value is not None and not applies:
            raise FileProblem(f"{name}={value!r} does not apply to {file.name!r}. Leave it out.")
    if kind in STATISTICS_SUFFIXES:
        return read_statistics(file, kind, encoding=encoding)
    if kind == ".parquet" or kind in _ARROW_SUFFIXES:
        return _read_columnar(file, kind)
    content = read_bytes(file)
    if in_sheet:
        return read_sheet(content, path=file, sheet=sheet, header_row=header_row, infer_types=infer_types)
    if compressed:
        content = _unzipped(content, file)
    text = decode_text(content, path=file, encoding=encoding)
    if in_text:
        return read_separated(
            text,
            path=file,
            separator=_SEPARATORS[kind] if separator is None else separator,
            given=separator is not None,
            decimal=decimal,
            header_row=header_row,
            infer_types=infer_types,
        )
    return read_json(text, path=file) if kind == ".json" else read_json_lines(text, path=file)


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table to a file, by its suffix; the index is not written.

    The file is written atomically, in UTF-8. Values are written unchanged, even text that a spreadsheet
    would read as a formula (`=…`). In CSV and TSV, lists become JSON text and missing values become empty
    fields.

    Args:
        frame: The table.
        path: `.csv`, `.tsv` or `.tab`, `.jsonl` or `.ndjson`, `.json`, each of them also with `.gz`; or
            `.parquet`. Missing folders are created.

    Returns:
        The path of the file.

    Raises:
        FileProblem: When the file cannot be written, or its format cannot hold the table.
    """
    file = Path(path).expanduser()
    kind, compressed = _kind(file)
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise FileProblem(
            f"The table has several columns of the same name: {', '.join(map(repr, repeated))}. Rename them."
        )
    with atomic_write(file) as out:
        if kind == ".parquet":
            _write_parquet(frame, names, out, file)
            return file
        # A fixed time stamp, so that equal tables give equal files.
        zipped = (
            gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0) if compressed else nullcontext(out)
        )
        with zipped as sink:
            for chunk in _as_text(frame, names, kind):
                sink.write(_utf8(chunk, file))
    return file


def _kind(path: Path, suffixes: Sequence[str] = TABLE_SUFFIXES) -> tuple[str, bool]:
    """The suffix that names the format, and whether the file is gzip-compressed."""
    name = path.name.lower()
    compressed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    shown = f"{suffix}.gz" if compressed else suffix
    if shown in suffixes:
        return suffix, compressed
    what = f"the unknown suffix {shown!r}" if shown else "no suffix"
    others = ", .xlsx, .ods, .sav, .dta or .zip" if ".zip" in suffixes else ""
    raise FileProblem(
        f"{str(path)!r} has {what}; a table is one of .csv, .tsv, .jsonl, .json (each also with .gz), "
        f".parquet{others}. {_ADVICE.get(suffix, 'Save it in one of these formats.')}"
    )


def _unzipped(content: bytes, path: Path) -> bytes:
    if not content:
        raise FileProblem(f"{str(path)!r} is empty.")
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise FileProblem(
            f"{str(path)!r} is not a whole gzip file: {error}. If it is not compressed, drop .gz "
            f"from its name."
        ) from None


def _read_columnar(path: Path, kind: str) -> pd.DataFrame:
    """A Parquet or Arrow file; named levels of the index of a pandas frame become columns."""
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
    import pyarrow.feather as feather  # type: ignore[import-untyped,unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    content = read_bytes(path)
    if not content:
        raise FileProblem(f"{str(path)!r} is empty.")
    source, what = pa.BufferReader(content), "Parquet" if kind == ".parquet" else "Arrow"
    try:
        if kind == ".parquet":
            table = pq.read_table(source)
        elif content.startswith((b"ARROW1", b"FEA1")):
            table = feather.read_table(source)
        else:
            table = pa.ipc.open_stream(source).read_all()
        frame: pd.DataFrame = table.to_pandas()
    except (pa.ArrowException, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise FileProblem(
            f"{str(path)!r} cannot be read as {what}: {first} If it is a text table, name it .csv or .jsonl."
        ) from None
    return index_as_columns(frame)


def _as_text(frame: pd.DataFrame, names: Sequence[str], kind: str) -> Iterator[str]:
    columns = [frame.iloc[:, i].tolist() for i in range(len(names))]
    rows = zip(*columns, strict=True)
    if kind in _SEPARATORS:
        yield from separated_lines(names, rows, separator=_SEPARATORS[kind])
        return
    records = (json_text(dict(zip(names, map(json_value, row), strict=True))) for row in rows)
    if kind != ".json":
        yield from (f"{record}\n" for record in records)
        return
    first = True
    for record in records:
        yield f"{'[' if first else ','}\n{record}"
        first = False
    yield "[]\n" if first else "\n]\n"


def _utf8(text: str, path: Path) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FileProblem(
            f"{str(path)!r} cannot be written: {error.object[error.start : error.end]!a} is half a character "
            f"(a lone surrogate), which UTF-8 cannot encode. Write .jsonl, or repair the text."
        ) from None


def _write_parquet(frame: pd.DataFrame, names: Sequence[str], out: IO[bytes], path: Path) -> None:
    import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    plain = frame.set_axis(list(names), axis="columns").reset_index(drop=True)
    plain.attrs = {}
    try:
        pq.write_table(pa.Table.from_pandas(plain, preserve_index=False), out, compression="zstd")
    except (pa.ArrowException, TypeError, UnicodeEncodeError) as error:
        raise FileProblem(
            f"{str(path)!r} cannot be written: {'; '.join(map(str, error.args))}. A Parquet column holds "
            f"values of one kind; convert that column to text, or write .jsonl."
        ) from None
