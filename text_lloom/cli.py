"""The command line: `lloom demo`, `lloom run`, `lloom score`, `lloom view`, `lloom models`, `lloom cache`."""

from __future__ import annotations

import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from text_lloom.errors import BudgetReached, InputError, LloomError

if TYPE_CHECKING:
    from text_lloom.llm.journal import Journal
    from text_lloom.workbench import lloom

__all__ = ["app", "main"]

_INCOMPLETE, _STOPPED = 3, 130
_OPTION_OF = {
    "cost=(USD per input token, USD per output token) to the model": "--price (USD per million tokens)",
    "cost=0": "--price 0",
    "budget= (in USD)": "--budget (in USD)",
    "budget=": "--budget",
    "confirm=False": "--yes",
    "id_col": "--id-col",
    "slice_col": "--slice",
    "text_col": "--text-col",
    "target_n_concepts": "--target",
}
_ARGUMENT = re.compile("|".join(rf"\b{re.escape(name)}(?!\w)" for name in _OPTION_OF))
_KEY_VARIABLE = "LLOOM_API_KEY"
_SAMPLE = ("transport_comments.csv", "text", "comment_id", "neighbourhood")
_SESSION, _REPORT = "session.lloom", "report.html"
_WRITTEN = ("scores.parquet", "scores.csv", "concepts.csv", "codebook.json", _SESSION, _REPORT)
_MOST_MAPPED = 20_000
"""Documents beyond which laying out the map of a run would take longer than the run."""

app = typer.Typer(
    help="From a column of text to named, scored concepts.",
    epilog="Exit status: 0 done, 1 error, 2 wrong usage, 3 done in part, 130 stopped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TextCol = Annotated[str, typer.Option("--text-col", help="Column with the text.")]
IdCol = Annotated[
    str | None, typer.Option("--id-col", help="Column with unique ids; rows are numbered without.")
]
SliceCol = Annotated[str | None, typer.Option("--slice", help="Column by which the report groups documents.")]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="'local' (no key, no network) or '<provider>:<name>', such as openai:gpt-4o-mini; "
        "`lloom models` lists the providers.",
    ),
]
EmbedName = Annotated[
    str | None,
    typer.Option("--embed-model", help="'local' or '<provider>:<name>'; follows --model by default."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="Address of an OpenAI-compatible server, such as http://localhost:8000/v1; its key is read from "
        "LLOOM_API_KEY.",
    ),
]
BudgetUsd = Annotated[
    float | None, typer.Option("--budget", help="US dollars that may be spent at most.", min=0)
]
PriceUsd = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT",
        help="US dollars per million tokens in and out, such as 0.15,0.6; 0 for a free server.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="Encoding of a text file; UTF-8 by default.")
]
MaxConcepts = Annotated[int, typer.Option("--max-concepts", help="How many concepts to score.", min=1)]


@app.command(epilog="Example: lloom demo --out lloom-demo")
def demo(
    out: Out = Path("lloom-demo"),
    max_concepts: MaxConcepts = 8,
) -> None:
    """Run the whole pipeline on a sample corpus, with no key and no network."""
    name, text_col, id_col, slice_col = _SAMPLE
    with _clear_errors(), as_file(files("text_lloom") / "data" / name) as path:
        typer.echo(
            "200 comments on a transport plan, read by the local engine: keyword-grade concepts, no "
            "language model."
        )
        session = _open(path, text_col, id_col, out=out, model="local")
        _generate(session, None, None, max_concepts, out, slice_col, "Comments on a transport plan", yes=True)


@app.command(
    epilog="Examples: lloom run posts.csv --text-col text --id-col id --slice party --out results   |   "
    "lloom run posts.csv --text-col text --model openai:gpt-4o-mini --budget 2 --out results"
)
def run(
    table: Annotated[Path, typer.Argument(metavar="INPUT", help="CSV, TSV, JSONL or Parquet file.")],
    text_col: TextCol,
    out: Out,
    id_col: IdCol = None,
    seed: Annotated[str | None, typer.Option("--seed", help="Steers towards a subject.")] = None,
    slice_col: SliceCol = None,
    model: ModelName = "local",
    embed_model: EmbedName = None,
    base_url: BaseUrl = None,
    price: PriceUsd = None,
    budget: BudgetUsd = None,
    max_concepts: MaxConcepts = 8,
    target: Annotated[
        int | None,
        typer.Option("--target", help="How many concepts to generate before the best are chosen.", min=1),
    ] = None,
    encoding: Encoding = None,
    yes: Yes = False,
) -> None:
    """Generate concepts from a table of texts and score every row on them."""
    with _clear_errors():
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
            encoding=encoding,
        )
        if slice_col is not None:
            session.slices(slice_col)
        _generate(session, seed, target, max_concepts, out, slice_col, table.stem, yes=yes)


@app.command(
    epilog="Example: lloom score results/codebook.json new_posts.csv --text-col text --out new_results"
)
def score(
    codebook: Annotated[
        Path, typer.Argument(help="codebook.json of an earlier run, or a table of name and criteria.")
    ],
    table: Annotated[Path, typer.Argument(metavar="INPUT", help="CSV, TSV, JSONL or Parquet file.")],
    text_col: TextCol,
    out: Out,
    id_col: IdCol = None,
    slice_col: SliceCol = None,
    model: ModelName = "local",
    base_url: BaseUrl = None,
    price: PriceUsd = None,
    budget: BudgetUsd = None,
    encoding: Encoding = None,
    yes: Yes = False,
) -> None:
    """Score every row of a table on the concepts of a codebook."""
    with _clear_errors():
        from text_lloom.storage.codebook import read_codebook

        book = read_codebook(codebook)
        session = _open(
            table,
            text_col,
            id_col,
            out=out,
            model=model,
            base_url=base_url,
            price=price,
            budget=budget,
            encoding=encoding,
        )
        if slice_col is not None:
            session.slices(slice_col)
        session.concepts = book
        if not book.active:
            for concept in book.values():
                concept.active = True
        status = _attempt(session, lambda: session.sync.score(confirm=False if yes else None))
        _finish(session, out, slice_col, table.stem, status)


@app.command(epilog="Examples: lloom view results   |   lloom view study.lloom --slice party --no-open")
def view(
    source: Annotated[
        Path, typer.Argument(metavar="SESSION", help="Session file, or the folder of an earlier run.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Page to write; beside the session by default.")
    ] = None,
    slice_col: SliceCol = None,
    max_docs: Annotated[
        int | None, typer.Option("--max-docs", help="Most documents; of more a sample is taken.", min=1)
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Whether texts, quotes and rationales are in the page.")
    ] = True,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Write a session as one self-contained page, and open it."""
    with _clear_errors():
        from text_lloom.workbench import load

        file = source / _SESSION if source.is_dir() else source
        if source.is_dir() and not file.is_file():
            raise InputError(f"{source} holds no {_SESSION}. Name a session file, or the folder of a run.")
        page = out or file.with_suffix(".html")
        session = load(
            file, distill_model="local", cluster_model="local", synth_model="local", score_model="local"
        )
        session.export_html(page, title=file.stem, slice_col=slice_col, max_docs=max_docs, include_text=text)
        typer.echo(f"Wrote {page} ({page.stat().st_size / 1e6:,.1f} MB).")
        if show:
            import webbrowser

            webbrowser.open(page.resolve().as_uri())


@app.command(epilog="Example: lloom models")
def models() -> None:
    """List the models that this machine can use."""
    from text_lloom.llm.catalogue import PROVIDERS
    from text_lloom.llm.catalogue.listing import availability_of
    from text_lloom.llm.providers.openai import DEFAULT_MODELS, OpenAIModel
    from text_lloom.llm.providers.openai_embed import OpenAIEmbedModel

    width = max(len(provider.prefix) for provider in PROVIDERS) + len(":<name>")
    found = [(provider, availability_of(provider)) for provider in PROVIDERS]
    for provider, availability in sorted(found, key=lambda pair: not pair[1].is_ready):
        by_name = provider.needs_name and (provider.model or provider.embed)
        spec = provider.prefix + (":<name>" if by_name else "")
        typer.echo(f"{spec:<{width}}  {availability.reason}")
        if provider.prefix != "openai":
            continue
        for name in dict.fromkeys((DEFAULT_MODELS.distill, DEFAULT_MODELS.synth)):
            known = OpenAIModel(name, api_key="-")
            context = f"context {known.context_window or 'unknown'} tokens"
            typer.echo(f"  openai:{name:<24} {_priced(known.cost)}, {context}")
        embedder = OpenAIEmbedModel(api_key="-")
        typer.echo(f"  openai:{embedder.name:<24} {_priced(embedder.cost)}, for --embed-model")
    typer.echo("Any other name works, too; its price is taken from the price list if it is there.")


cache = typer.Typer(help="Look after the replies that are kept on this machine.", no_args_is_help=True)
app.add_typer(cache, name="cache")


@cache.command(epilog="Example: lloom cache info")
def info() -> None:
    """Say where replies are kept, how many, and what they cost."""
    with _clear_errors():
        journal = _journal()
        kept = journal.info()
        typer.echo(f"{kept.path}: {kept.entries:,} replies, {kept.bytes / 1e6:,.1f} MB")
        for model, share in kept.models.items():
            typer.echo(
                f"  {model}: {share.entries:,} replies, {share.in_tokens:,} tokens in, "
                f"{share.out_tokens:,} out, ${share.usd:,.4f}"
            )
        if kept.problem:
            typer.echo(f"Warning: {kept.problem}", err=True)


@cache.command(epilog="Example: lloom cache clear --older-than 90")
def clear(
    model: Annotated[str | None, typer.Option("--model", help="Only replies of this model.")] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", help="Only replies not used for that many days.", min=0)
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete replies; asking for them again costs what they cost before."""
    with _clear_errors():
        if not yes:
            typer.confirm("Delete kept replies?", abort=True)
        deleted = _journal().clear(model=model, older_than_days=older_than)
        typer.echo(f"Deleted {deleted:,} replies.")


@cache.command(epilog="Example: lloom cache export replies.jsonl")
def export(path: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file to write.")]) -> None:
    """Write all kept replies to a JSONL file."""
    with _clear_errors():
        typer.echo(f"Wrote {_journal().export(path):,} replies to {path}.")


def _journal() -> Journal:
    from text_lloom.llm.journal import open_journal

    journal = open_journal()
    if journal is None:
        raise InputError("No replies are kept: LLOOM_CACHE=0 is set.")
    return journal


def main() -> NoReturn:
    """Entry point of the `lloom` command."""
    sys.exit(app(standalone_mode=True))


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
    encoding: str | None = None,
) -> lloom:
    from text_lloom.storage.tables import read_table
    from text_lloom.workbench import lloom as open_session

    _check_folder(out)
    chat, embedder = _models(model, embed_model, base_url, price)
    return open_session(
        read_table(table, encoding=encoding),
        text_col,
        id_col,
        distill_model=chat,
        cluster_model=embedder,
        synth_model=chat,
        score_model=chat,
        budget=budget,
    )


def _models(model: str, embed_model: str | None, base_url: str | None, price: str | None) -> tuple[Any, Any]:
    """The chat and the embedding model that the options name."""
    from text_lloom.llm.catalogue import embedder_from, model_from
    from text_lloom.llm.providers.openai import DEFAULT_MODELS

    provider = _checked_spec("--model", model)
    embed_provider = None if embed_model is None else _checked_spec("--embed-model", embed_model)
    if base_url is not None and provider != "openai":
        raise InputError(f"--base-url needs --model openai:<name>, but the model is {model}.")
    if provider == "local":
        if price is not None:
            raise InputError("--price needs a paid --model, such as openai:<name>, but the model is local.")
        return model, embed_model or "local"
    cost = _cost(price)
    server: dict[str, Any] = {}
    if base_url is not None:
        server = {"base_url": base_url, "api_key": os.environ.get(_KEY_VARIABLE)}
    priced: dict[str, Any] = {} if cost is None else {"cost": cost}
    chat = model_from(model, role="--model", **server, **priced)
    if embed_model is None:
        embed_model = f"openai:{DEFAULT_MODELS.cluster}" if provider == "openai" and not server else "local"
    if embed_provider == "openai":
        free: dict[str, Any] = {"cost": 0} if cost == (0.0, 0.0) else {}
        return chat, embedder_from(embed_model, role="--embed-model", **server, **free)
    return chat, embed_model


def _checked_spec(option: str, spec: str) -> str:
    """The provider that an option names; the command line uses a paid model only when one is named."""
    from text_lloom.llm.catalogue import provider_of

    prefix, _, name = spec.partition(":")
    if ":" not in spec and prefix != "local":
        raise InputError(f"{option} {spec}: expected 'local' or '<provider>:<name>', such as openai:{spec}.")
    provider = provider_of(prefix, role=option, kind="chat" if option == "--model" else "embeddings")
    prefix = provider.prefix
    if not name and prefix != "local" and provider.needs_name | (prefix == "openai"):
        raise InputError(f"{option} {spec}: write {prefix}:<name>, such as {prefix}:{provider.example}.")
    return prefix


def _cost(price: str | None) -> tuple[float, float] | None:
    """USD per token in and out, from USD per million tokens."""
    if price is None:
        return None
    try:
        numbers = [float(part) / 1e6 for part in price.split(",")]
        if 1 <= len(numbers) <= 2 and all(0 <= number < math.inf for number in numbers):
            return numbers[0], numbers[-1]
    except ValueError:
        pass
    raise InputError(
        f"--price {price}: expected US dollars per million tokens in and out, such as 0.15,0.6, or 0."
    )


def _generate(
    session: lloom,
    seed: str | None,
    target: int | None,
    max_concepts: int,
    out: Path,
    slice_col: str | None,
    title: str,
    *,
    yes: bool,
) -> None:
    params = None if target is None else {"target_n_concepts": target}
    status = _attempt(
        session,
        lambda: session.sync.gen_auto(
            max_concepts, seed=seed, params=params, debug=False, confirm=False if yes else None
        ),
    )
    _finish(session, out, slice_col, title, status)


def _check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written to, before anything is spent."""
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise InputError(f"--out {out}: {existing} is a file. Name a folder for the results.")
    if not os.access(existing, os.W_OK):
        raise InputError(f"--out {out}: {existing} cannot be written to. Name another folder.")


def _attempt(session: lloom, work: Callable[[], object]) -> int:
    """Do paid work and give the exit status; what was scored before it came to its end is kept."""
    try:
        if work() is None:
            raise typer.Exit(1)
    except KeyboardInterrupt:
        if not session.table:
            raise
        typer.echo("Stopped.", err=True)
        return _STOPPED
    except LloomError as error:
        if not session.table and not isinstance(error, BudgetReached):
            raise
        typer.echo(f"Stopped: {_as_options(error)}", err=True)
        return _INCOMPLETE
    return 0


def _finish(session: lloom, out: Path, slice_col: str | None, title: str, status: int) -> None:
    """Print the concepts and write the results."""
    if not session.table:
        typer.echo("No document was scored, so nothing is written.", err=True)
        raise typer.Exit(_INCOMPLETE)
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
        session.save(out, _SESSION)
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
        raise typer.Exit(status or _INCOMPLETE)


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


def _priced(cost: Any) -> str:
    if cost is None:
        return "price unknown"
    return f"${cost.input * 1e6:,.2f} in, ${cost.output * 1e6:,.2f} out per million tokens"


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Errors and warnings as plain sentences; no traceback for what a user can mend."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        typer.echo(f"Warning: {_as_options(message)}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        try:
            yield
        except LloomError as error:
            typer.echo(f"Error: {_as_options(error)}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(_STOPPED) from None


def _as_options(message: object) -> str:
    """A message that speaks of Python arguments, in the words of the command line."""
    return _ARGUMENT.sub(lambda found: _OPTION_OF[found.group()], str(message))
