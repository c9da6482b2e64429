"""Errors and warnings on the command line, and the exit statuses."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from text_lloom.errors import FileProblem, LloomError

__all__ = ["INCOMPLETE", "STOPPED", "about_the_codebook", "as_options", "clear_errors"]

INCOMPLETE: Final = 3
"""Exit status of a command that finished only part of its work."""
STOPPED: Final = 130
"""Exit status of a command that the user stopped."""

_OPTION_OF = {
    "cost=(USD per input token, USD per output token) to the model": "--price-per-million IN,OUT (USD)",
    "cost=0": "--price-per-million 0",
    "budget= (in USD)": "--budget (in USD)",
    "budget=": "--budget",
    "confirm=False": "--yes",
    "id_col": "--id-col",
    "max_slice_bins": "--max-slice-bins",
    "slice_col": "--slice",
    "slice_sep": "--slice-sep",
    "slice_unit": "--slice-unit",
    "date_order": "--date-order",
    "text_col": "--text-col",
    "target_n_concepts": "--target",
}
_ARGUMENT = re.compile("|".join(rf"\b{re.escape(name)}(?!\w)" for name in _OPTION_OF))
_FILE_ARGUMENT = re.compile(
    r"(?<![\w-])(?:--(?=encoding\b)|(?=[a-z_]+=))(encoding|separator|decimal|sheet|header_row)\b(=?)"
)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print errors and warnings as one line; errors that a user can fix have no traceback."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        typer.echo(f"Warning: {as_options(message)}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        try:
            yield
        except LloomError as error:
            typer.echo(f"Error: {as_options(error)}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(STOPPED) from None


@contextmanager
def about_the_codebook() -> Iterator[None]:
    """Name the options that say how the codebook is read, not those of the table."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    except FileProblem as error:
        raise FileProblem(as_options(error, prefix="codebook-")) from None
    for warning in caught:
        warnings.warn(as_options(warning.message, prefix="codebook-"), stacklevel=2)


def as_options(message: object, *, prefix: str = "") -> str:
    """A message with Python arguments replaced by command-line options."""
    text = _FILE_ARGUMENT.sub(lambda found: f"--{prefix}{found[1].replace('_', '-')}{found[2]}", str(message))
    return _ARGUMENT.sub(lambda found: _OPTION_OF[found.group()], text)
