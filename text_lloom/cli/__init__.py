"""The command line: `lloom demo`, `lloom run`, `lloom score`, `lloom view`, `lloom models`, `lloom cache`."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from text_lloom.cli import cache, models, runs, view

__all__ = ["app", "main"]

app = typer.Typer(
    help="From a column of text to named, scored concepts.",
    epilog="Exit status: 0 done, 1 error, 2 wrong usage, 3 done in part, 130 stopped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(epilog="Example: lloom demo --out lloom-demo")(runs.demo)
app.command(
    epilog="Examples: lloom run posts.csv --text-col text --id-col id --slice party --out results   |   "
    "lloom run posts.csv --text-col text --model openai:gpt-4o-mini --budget 2 --out results"
)(runs.run)
app.command(
    epilog="Example: lloom score results/codebook.json new_posts.csv --text-col text --out new_results"
)(runs.score)
app.command(epilog="Examples: lloom view results   |   lloom view study.lloom --slice party --no-open")(
    view.view
)
app.command(epilog="Example: lloom models")(models.models)

_cache = typer.Typer(help="Manage the replies that are cached on this machine.", no_args_is_help=True)
_cache.command(epilog="Example: lloom cache info")(cache.info)
_cache.command(epilog="Example: lloom cache clear --older-than 90")(cache.clear)
_cache.command(epilog="Example: lloom cache export replies.jsonl")(cache.export)
app.add_typer(_cache, name="cache")


def main() -> NoReturn:
    """Entry point of the `lloom` command."""
    sys.exit(app(standalone_mode=True))
