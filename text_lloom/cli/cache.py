"""`lloom cache`: manages the replies that are cached on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from text_lloom.cli.errors import clear_errors
from text_lloom.cli.options import Yes
from text_lloom.errors import InputError

if TYPE_CHECKING:
    from text_lloom.llm.cache import Journal

__all__ = ["clear", "export", "info"]


def info() -> None:
    """Show where replies are cached, how many there are, and what they cost."""
    with clear_errors():
        from text_lloom.llm.control.prices import dollars

        cached = _journal().info()
        typer.echo(f"{cached.path}: {cached.entries:,} replies and vectors, {cached.bytes / 1e6:,.1f} MB")
        for model, share in cached.models.items():
            typer.echo(
                f"  {model}: {share.entries:,} replies, {share.in_tokens:,} tokens in, "
                f"{share.out_tokens:,} out, {dollars(share.usd) if share.usd else 'no known cost'}"
            )
        if cached.problem:
            typer.echo(f"Warning: {cached.problem}", err=True)


def clear(
    model: Annotated[str | None, typer.Option("--model", help="Only replies of this model.")] = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", help="Only replies that are older than this many days.", min=0),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete cached replies; asking for them again costs money again."""
    with clear_errors():
        if not yes:
            typer.confirm("Delete cached replies?", abort=True)
        deleted = _journal().clear(model=model, older_than_days=older_than)
        typer.echo(f"Deleted {deleted:,} replies.")


def export(path: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file to write.")]) -> None:
    """Write all cached replies to a JSONL file."""
    with clear_errors():
        typer.echo(f"Wrote {_journal().export(path):,} replies to {path}.")


def _journal() -> Journal:
    from text_lloom.llm.cache import open_journal

    journal = open_journal()
    if journal is None:
        raise InputError("No replies are cached, because LLOOM_CACHE=0 is set.")
    return journal
