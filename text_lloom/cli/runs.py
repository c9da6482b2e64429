"""`lloom demo`, `lloom run` and `lloom score`: from a table of texts to a folder of results."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from text_lloom.cli.errors import INCOMPLETE, STOPPED, about_the_codebook, as_options, clear_errors
from text_lloom.cli.model_options import chosen_models
from text_lloom.cli.options import (
    BaseUrl,
    BudgetUsd,
    DateOrderName,
    Decimal,
    EmbedName,
    Encoding,
    Force,
    HeaderRow,
    IdCol,
    MaxConcepts,
    MaxSliceBins,
    ModelName,
    Out,
    PriceUsd,
    Separator,
    Sheet,
    SliceCol,
    SliceSep,
    SliceUnitName,
    Table,
    TextCol,
    Yes,
)
from text_lloom.cli.results import Slicing, check_folder, write_results
from text_lloom.errors import BudgetReached, LloomError

if TYPE_CHECKING:
    from text_lloom.workbench import lloom

__all__ = ["demo", "run", "score"]


class Reading(NamedTuple):
    """How a table is read; see `read_table`."""

    encoding: str | None = None
    separator: str | None = None
    decimal: str | None = None
    sheet: str | None = None
    header_row: int | None = None


_SAMPLE = ("transport_comments.csv", "text", "comment_id", "neighbourhood")


def demo(
    out: Out = Path("lloom-demo"),
    max_concepts: MaxConcepts = 8,
    force: Force = False,
) -> None:
    """Run the whole pipeline on a sample corpus, with no key and no network."""
    name, text_col, id_col, slice_col = _SAMPLE
    with clear_errors(), as_file(files("text_lloom") / "data" / name) as path:
        typer.echo(
            "200 comments on a transport plan, read by the local engine: keyword-grade concepts, no "
            "language model."
        )
        session = _open(path, text_col, id_col, out=out, model="local", force=force)
        _generate(
            session,
            None,
            None,
            max_concepts,
            out,
            Slicing(slice_col),
            "Comments on a transport plan",
            yes=True,
            force=force,
        )


def run(
    table: Table,
    text_col: TextCol,
    out: Out,
    id_col: IdCol = None,
    seed: Annotated[
        str | None, typer.Option("--seed", help="A subject to concentrate on, such as 'social issues'.")
    ] = None,
    slice_col: SliceCol = None,
    max_slice_bins: MaxSliceBins = None,
    slice_sep: SliceSep = None,
    slice_unit: SliceUnitName = None,
    date_order: DateOrderName = None,
    model: ModelName = "local",
    embed_model: EmbedName = None,
    base_url: BaseUrl = None,
    price: PriceUsd = None,
    budget: BudgetUsd = None,
    max_concepts: MaxConcepts = 8,
    target: Annotated[
        int | None,
        typer.Option("--target", help="How many concepts to generate, before the best are selected.", min=1),
    ] = None,
    encoding: Encoding = None,
    separator: Separator = None,
    decimal: Decimal = None,
    sheet: Sheet = None,
    header_row: HeaderRow = None,
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Generate concepts from a table of texts and score every row on them."""
    with clear_errors():
        slicing = Slicing(slice_col, max_slice_bins, slice_sep, slice_unit, date_order)
        session = _open(
            table,
            text_col,
            id_col,
            out=out,
            model=model,
            embed_model=embed_model,
            base_url=base_url,
            price=price,
            budget=budget,
            reading=Reading(encoding, separator, decimal, sheet, header_row),
            slicing=slicing,
            force=force,
        )
        _generate(session, seed, target, max_concepts, out, slicing, table.stem, yes=yes, force=force)


def score(
    codebook: Annotated[
        Path,
        typer.Argument(
            help="codebook.json of an earlier run, a table of name and criteria, or what Taguette, MAXQDA, "
            "NVivo, QualCoder or ATLAS.ti export (.qdc, CSV, XLSX)."
        ),
    ],
    table: Table,
    text_col: TextCol,
    out: Out,
    id_col: IdCol = None,
    slice_col: SliceCol = None,
    max_slice_bins: MaxSliceBins = None,
    slice_sep: SliceSep = None,
    slice_unit: SliceUnitName = None,
    date_order: DateOrderName = None,
    model: ModelName = "local",
    base_url: BaseUrl = None,
    price: PriceUsd = None,
    budget: BudgetUsd = None,
    encoding: Encoding = None,
    separator: Separator = None,
    decimal: Decimal = None,
    sheet: Sheet = None,
    header_row: HeaderRow = None,
    codebook_encoding: Annotated[
        str | None, typer.Option("--codebook-encoding", help="As --encoding, for the codebook.")
    ] = None,
    codebook_separator: Annotated[
        str | None, typer.Option("--codebook-separator", help="As --separator, for the codebook.")
    ] = None,
    codebook_sheet: Annotated[
        str | None, typer.Option("--codebook-sheet", help="As --sheet, for the codebook.")
    ] = None,
    codebook_header_row: Annotated[
        int | None, typer.Option("--codebook-header-row", help="As --header-row, for the codebook.", min=1)
    ] = None,
    long_documents: Annotated[
        str,
        typer.Option(
            "--long-documents",
            help="Texts longer than the model's context window: 'windows' reads them in parts, 'cut' reads "
            "their beginning, 'refuse' leaves them without scores.",
        ),
    ] = "windows",
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Score every row of a table on the concepts of a codebook."""
    with clear_errors():
        from text_lloom.storage.codebook import read_codebook
        from text_lloom.tasks import check_long_documents

        when_long = check_long_documents(long_documents)
        slicing = Slicing(slice_col, max_slice_bins, slice_sep, slice_unit, date_order)
        with about_the_codebook():
            concepts = read_codebook(
                codebook,
                encoding=codebook_encoding,
                separator=codebook_separator,
                sheet=codebook_sheet,
                header_row=codebook_header_row,
            )
        session = _open(
            table,
            text_col,
            id_col,
            out=out,
            model=model,
            base_url=base_url,
            price=price,
            budget=budget,
            reading=Reading(encoding, separator, decimal, sheet, header_row),
            slicing=slicing,
            force=force,
        )
        session.concepts = concepts
        if not concepts.active:
            for concept in concepts.values():
                concept.active = True
        status = _attempt(
            session, lambda: session.sync.score(confirm=False if yes else None, long_documents=when_long)
        )
        write_results(session, out, slicing, table.stem, status, force=force)


def _open(
    table: Path,
    text_col: str,
    id_col: str | None,
    *,
    out: Path,
    model: str,
    embed_model: str | None = None,
    base_url: str | None = None,
    price: str | None = None,
    budget: float | None = None,
    reading: Reading | None = None,
    slicing: Slicing | None = None,
    force: bool,
) -> lloom:
    """Create a session from a table, and check the options before anything is spent."""
    from text_lloom.storage.tables import read_table
    from text_lloom.workbench import lloom as open_session

    check_folder(out, table=table, force=force)
    chat, embedder = chosen_models(model, embed_model, base_url, price)
    session = open_session(
        read_table(table, **(reading or Reading())._asdict()),
        text_col,
        id_col,
        distill_model=chat,
        cluster_model=embedder,
        synth_model=chat,
        score_model=chat,
        budget=budget,
    )
    if slicing is not None and slicing.slice_col is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report says it again
            session.slices(**slicing._asdict())
    return session


def _generate(
    session: lloom,
    seed: str | None,
    target: int | None,
    max_concepts: int,
    out: Path,
    slicing: Slicing,
    title: str,
    *,
    yes: bool,
    force: bool,
) -> None:
    params = None if target is None else {"target_n_concepts": target}
    status = _attempt(
        session,
        lambda: session.sync.gen_auto(
            max_concepts, seed=seed, params=params, debug=False, confirm=False if yes else None
        ),
    )
    write_results(session, out, slicing, title, status, force=force)


def _attempt(session: lloom, work: Callable[[], object]) -> int:
    """Do paid work and return the exit status; scores made before an error are kept."""
    try:
        if work() is None:
            raise typer.Exit(1)
    except KeyboardInterrupt:
        if not session.table:
            raise
        typer.echo("Stopped.", err=True)
        return STOPPED
    except LloomError as error:
        if not session.table and not isinstance(error, BudgetReached):
            raise
        typer.echo(f"Stopped: {as_options(error)}", err=True)
        return INCOMPLETE
    return 0
