"""The results of a run: the files in its folder, and the concepts on the terminal."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from text_lloom.cli.errors import INCOMPLETE
from text_lloom.errors import InputError

if TYPE_CHECKING:
    from text_lloom.workbench import lloom

__all__ = ["SESSION_FILE", "check_folder", "write_results"]

SESSION_FILE: Final = "session.lloom"
"""The file name of the session in the folder of a run."""
_REPORT: Final = "report.html"
_WRITTEN: Final = ("scores.parquet", "scores.csv", "concepts.csv", "codebook.json", SESSION_FILE, _REPORT)
_MOST_MAPPED: Final = 20_000
"""The map of more documents would take longer to compute than the run itself."""


def check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written to, before anything is spent.

    Raises:
        InputError: When it is a file, or the user may not write to it.
    """
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise InputError(f"--out {out}: {existing} is a file. Name a folder for the results.")
    if not os.access(existing, os.W_OK):
        raise InputError(f"--out {out}: {existing} cannot be written to. Name another folder.")


def write_results(session: lloom, out: Path, slice_col: str | None, title: str, status: int) -> None:
    """Print the concepts and write the results.

    Args:
        session: The scored session.
        out: The folder.
        slice_col: Column by which the report groups documents.
        title: Title of the report.
        status: The exit status so far.

    Raises:
        typer.Exit: With the exit status, when a score is missing.
    """
    if not session.table:
        typer.echo("No document was scored, so nothing is written.", err=True)
        raise typer.Exit(INCOMPLETE)
    from text_lloom.storage.codebook import write_codebook
    from text_lloom.storage.tables import write_table

    scores, concepts = session.get_score_df(), session.export_df(include_outliers=True)
    write_table(scores, out / "scores.parquet")
    write_table(scores, out / "scores.csv")
    write_table(concepts, out / "concepts.csv")
    write_codebook(out / "codebook.json", session.concepts)
    if len(session.corpus) <= _MOST_MAPPED:
        session.map_layout()  # by words, on this machine
    with redirect_stdout(None):
        session.save(out, SESSION_FILE)
    session.export_html(out / _REPORT, title=title, slice_col=slice_col)
    _print_concepts(session)
    session.summary(verbose=False)
    failures = session.failures()
    typer.echo(f"Written to {out}: {', '.join(_WRITTEN)}")
    unscored = int(scores["score" if "score" in scores else "score_"].isna().sum())
    if status or unscored or len(failures):
        typer.echo(
            f"Incomplete: {unscored} of {len(scores)} scores are missing, {len(failures)} requests could not "
            f"be answered.",
            err=True,
        )
        raise typer.Exit(status or INCOMPLETE)


def _print_concepts(session: lloom) -> None:
    from rich.console import Console
    from rich.table import Table

    from text_lloom.analysis.prevalence import count_matches

    grid = Table("Concept", "Matches", "Share", "Criterion", box=None, pad_edge=False)
    grid.columns[1].justify = grid.columns[2].justify = "right"
    concepts = [c for c in session.concepts.values() if c.active and c.id in session.table]
    for count in sorted(count_matches(session.table, concepts), key=lambda c: -c.n_matches):
        grid.add_row(
            _plain(count.concept.name),
            str(count.n_matches),
            f"{count.prevalence:.0%}",
            _plain(count.concept.criteria),
        )
    outliers = int(session.table.outliers(concepts).sum())
    grid.add_row("(no concept)", str(outliers), f"{outliers / len(session.corpus):.0%}", "")
    Console().print(grid)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else " " for char in text))
