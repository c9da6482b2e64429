"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

__all__ = [
    "BaseUrl",
    "BudgetUsd",
    "DateOrderName",
    "Decimal",
    "EmbedName",
    "Encoding",
    "Force",
    "HeaderRow",
    "IdCol",
    "MaxConcepts",
    "MaxSliceBins",
    "ModelName",
    "Out",
    "PriceUsd",
    "Separator",
    "Sheet",
    "SliceCol",
    "SliceSep",
    "SliceUnitName",
    "Table",
    "TextCol",
    "Yes",
]

Table: TypeAlias = Annotated[
    Path, typer.Argument(metavar="INPUT", help="A table: CSV, TSV, JSON, Parquet, Excel, SPSS …")
]
TextCol: TypeAlias = Annotated[str, typer.Option("--text-col", help="Column with the text.")]
IdCol: TypeAlias = Annotated[
    str | None, typer.Option("--id-col", help="Column with unique ids; without it, rows are numbered.")
]
SliceCol: TypeAlias = Annotated[
    str | None, typer.Option("--slice", help="Column by which the report groups documents.")
]
MaxSliceBins: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--max-slice-bins", help="Most groups of --slice; 5 for numbers, 24 for dates, else 40.", min=1
    ),
]
SliceSep: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--slice-sep", help="Character between several answers in a cell of --slice; '' groups whole values."
    ),
]
SliceUnitName: TypeAlias = Annotated[
    Literal["day", "week", "month", "quarter", "year"] | None,
    typer.Option("--slice-unit", help="Period of a group of dates; by default the finest that fits."),
]
DateOrderName: TypeAlias = Annotated[
    Literal["day", "month", "year"] | None,
    typer.Option("--date-order", help="What comes first in dates of --slice such as 03/04/2023."),
]
ModelName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model",
        help="'local' (no key, no network) or '<provider>:<name>', such as openai:gpt-4o-mini; "
        "`lloom models` lists the providers.",
    ),
]
EmbedName: TypeAlias = Annotated[
    str | None,
    typer.Option("--embed-model", help="'local' or '<provider>:<name>'; follows --model by default."),
]
BaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="Address of an OpenAI-compatible server, such as http://localhost:8000/v1; its key is read from "
        "LLOOM_API_KEY.",
    ),
]
BudgetUsd: TypeAlias = Annotated[
    float | None, typer.Option("--budget", help="The largest amount to spend, in US dollars.", min=0)
]
PriceUsd: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--price-per-million",
        metavar="IN,OUT",
        help="US dollars per million tokens in and out, such as 0.15,0.6; 0 for a free server.",
    ),
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]
Out: TypeAlias = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
Force: TypeAlias = Annotated[
    bool,
    typer.Option("--force", help="Replace results in --out although they were changed since their run."),
]
Encoding: TypeAlias = Annotated[
    str | None, typer.Option("--encoding", help="Encoding of a text file; UTF-8 by default.")
]
Separator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--separator", help="Character between the fields of a text file, or 'tab'; found if not given."
    ),
]
Decimal: TypeAlias = Annotated[
    str | None, typer.Option("--decimal", help="Decimal mark of a text file, '.' or ','; found if not given.")
]
Sheet: TypeAlias = Annotated[
    str | None,
    typer.Option("--sheet", help="Name or number of a sheet; by default the first one with a table."),
]
HeaderRow: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--header-row", help="Line or row with the names of the columns; found if not given.", min=1
    ),
]
MaxConcepts: TypeAlias = Annotated[
    int, typer.Option("--max-concepts", help="How many concepts to score.", min=1)
]
