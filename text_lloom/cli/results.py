"""The results of a run: the files in its folder, and the concepts on the terminal."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from text_lloom.cli.errors import INCOMPLETE
from text_lloom.errors import InputError
from text_lloom.storage.files import atomic_write

if TYPE_CHECKING:
    from text_lloom.analysis.dates import DateOrder, SliceUnit
    from text_lloom.workbench import lloom

__all__ = ["SESSION_FILE", "Slicing", "check_folder", "write_results"]

SESSION_FILE: Final = "session.lloom"
"""The file name of the session in the folder of a run."""
_REPORT: Final = "report.html"
_WRITTEN: Final = (
    "scores.parquet",
    "scores.csv",
    "concepts.csv",
    "codebook.json",
    "documents.csv",
    "documents.xlsx",
    SESSION_FILE,
    _REPORT,
)
_RECORD: Final = ".lloom-run.json"
"""What a run wrote, as digests of its files."""
_MOST_MAPPED: Final = 20_000
"""The map of more documents would take longer to compute than the run itself."""


class Slicing(NamedTuple):
    """How the report groups documents; see `l.slices`."""

    slice_col: str | None = None
    max_slice_bins: int | None = None
    slice_sep: str | None = None
    slice_unit: SliceUnit | None = None
    date_order: DateOrder | None = None


def check_folder(out: Path, *, table: Path | None = None, force: bool = False) -> None:
    """Refuse a folder that cannot be written to or holds work of the user, before anything is spent.

    Args:
        out: The folder for the results.
        table: The table of the run.
        force: Replace files that were changed since an earlier run.

    Raises:
        InputError: When it is a file, the user may not write to it, it holds the table under a name of
            the results, or it holds files that no run wrote or that were changed since.
    """
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise InputError(f"--out {out}: {existing} is a file. Name a folder for the results.")
    if not os.access(existing, os.W_OK):
        raise InputError(f"--out {out}: {existing} cannot be written to. Name another folder.")
    if table is not None and table.resolve() in {(out / name).resolve() for name in _WRITTEN}:
        raise InputError(f"--out {out}: the results would replace {table}. Name another folder.")
    changed = [] if force else _changed(out)
    if changed:
        one = len(changed) == 1
        raise InputError(
            f"--out {out}: {', '.join(changed)} {'was' if one else 'were'} changed since the run that wrote "
            f"this folder, or {'is' if one else 'are'} not from a run. Pass --out {_numbered(out)} to keep "
            f"{'it' if one else 'them'}, or --force to replace {'it' if one else 'them'}."
        )


def _changed(out: Path) -> list[str]:
    """The files of results in a folder whose content is not what a run wrote."""
    try:
        written = json.loads((out / _RECORD).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        written = {}
    known = written if isinstance(written, dict) else {}
    return [n for n in _WRITTEN if (out / n).is_file() and known.get(n) != _digest(out / n)]


def _record(out: Path) -> None:
    """Remember what a run wrote, so that changes can be told."""
    digests = {name: _digest(out / name) for name in _WRITTEN if (out / name).is_file()}
    with atomic_write(out / _RECORD) as file:
        file.write(json.dumps({"sha256": digests}, indent=1).encode())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _numbered(out: Path) -> Path:
    """The first folder of this name with a number that does not exist yet."""
    plain = out.absolute()
    found = next(path for n in count(2) if not (path := plain.with_name(f"{plain.name}-{n}")).exists())
    return out.with_name(found.name) if out.name not in ("", "..") else found


def write_results(
    session: lloom, out: Path, slicing: Slicing, title: str, status: int, *, force: bool
) -> None:
    """Print the concepts and write the results.

    Args:
        session: The scored session.
        out: The folder.
        slicing: How the report groups documents.
        title: Title of the report.
        status: The exit status so far.
        force: Replace files that were changed since an earlier run. Otherwise they are kept, and the
            results go to a numbered folder.

    Raises:
        typer.Exit: With the exit status, when a score is missing.
    """
    if not session.table:
        typer.echo("No document was scored, so nothing is written.", err=True)
        raise typer.Exit(INCOMPLETE)
    if not force and _changed(out):  # while the run was under way
        typer.echo(f"Files in {out} were changed during the run, so they are kept.", err=True)
        out = _numbered(out)
    try:
        _write_files(session, out, slicing, title)
    finally:
        if out.is_dir():
            _record(out)
    _print_concepts(session)
    session.summary(verbose=False)
    failures = session.failures()
    typer.echo(f"Written to {out}: {', '.join(_WRITTEN)}")
    scores = session.get_score_df()
    unscored = int(scores["score" if "score" in scores else "score_"].isna().sum())
    if status or unscored or len(failures):
        typer.echo(
            f"Incomplete: {unscored} of {len(scores)} scores are missing, {len(failures)} requests could not "
            f"be answered.",
            err=True,
        )
        raise typer.Exit(status or INCOMPLETE)


def _write_files(session: lloom, out: Path, slicing: Slicing, title: str) -> None:
    from text_lloom.storage.codebook import write_codebook
    from text_lloom.storage.sheets import MOST_ROWS
    from text_lloom.storage.tables import write_table

    scores, concepts = session.get_score_df(), session.export_df(include_outliers=True)
    write_table(scores, out / "scores.parquet")
    write_table(scores, out / "scores.csv")
    session.export_documents(out / "documents.csv")
    if len(session.corpus) <= MOST_ROWS:
        session.export_documents(out / "documents.xlsx")
    write_table(concepts, out / "concepts.csv")
    write_codebook(out / "codebook.json", session.concepts)
    if len(session.corpus) <= _MOST_MAPPED:
        session.map_layout()  # by words, on this machine
    with redirect_stdout(None):
        session.save(out, SESSION_FILE)
    session.export_html(out / _REPORT, title=title, **slicing._asdict())


def _print_concepts(session: lloom) -> None:
    from rich.console import Console
    from rich.table import Table

    from text_lloom.analysis.prevalence import count_matches

    grid = Table("Concept", "Matches", "Share", "Criterion", box=None, pad_edge=False)
    grid.columns[1].justify = grid.columns[2].justify = "right"
    concepts = [c for c in session.concepts.values() if c.active and c.id in session.table]
    for counted in sorted(count_matches(session.table, concepts), key=lambda c: -c.n_matches):
        grid.add_row(
            _plain(counted.concept.name),
            str(counted.n_matches),
            f"{counted.prevalence:.0%}",
            _plain(counted.concept.criteria),
        )
    outliers = int(session.table.outliers(concepts).sum())
    grid.add_row("(no concept)", str(outliers), f"{outliers / len(session.corpus):.0%}", "")
    Console().print(grid)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else " " for char in text))
