"""`lloom view`: writes a session as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from text_lloom.cli.errors import clear_errors
from text_lloom.cli.options import DateOrderName, MaxSliceBins, SliceCol, SliceSep, SliceUnitName
from text_lloom.cli.results import SESSION_FILE
from text_lloom.errors import InputError

__all__ = ["view"]


def view(
    source: Annotated[
        Path, typer.Argument(metavar="SESSION", help="Session file, or the folder of an earlier run.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Page to write; by default next to the session.")
    ] = None,
    slice_col: SliceCol = None,
    max_slice_bins: MaxSliceBins = None,
    slice_sep: SliceSep = None,
    slice_unit: SliceUnitName = None,
    date_order: DateOrderName = None,
    max_docs: Annotated[
        int | None,
        typer.Option(
            "--max-docs", help="The largest number of documents; if there are more, a sample is shown.", min=1
        ),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Whether the page contains texts, quotes and rationales.")
    ] = True,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Write a session as one self-contained page, and open it."""
    with clear_errors():
        from text_lloom.workbench import load

        file = source / SESSION_FILE if source.is_dir() else source
        if source.is_dir() and not file.is_file():
            raise InputError(
                f"{source} holds no {SESSION_FILE}. Name a session file, or the folder of a run."
            )
        page = out or file.with_suffix(".html")
        session = load(
            file, distill_model="local", cluster_model="local", synth_model="local", score_model="local"
        )
        session.export_html(
            page,
            title=file.stem,
            slice_col=slice_col,
            max_docs=max_docs,
            include_text=text,
            max_slice_bins=max_slice_bins,
            slice_sep=slice_sep,
            slice_unit=slice_unit,
            date_order=date_order,
        )
        typer.echo(f"Wrote {page} ({page.stat().st_size / 1e6:,.1f} MB).")
        if show:
            import webbrowser

            webbrowser.open(page.resolve().as_uri())
