"""The spending of a session: asking before a paid step, budgets, sums of the ledger, rate limits."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from text_lloom.errors import InputError
from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.composite import Answerer, single_models
from text_lloom.llm.control.budget import Budget, TokenBudget
from text_lloom.llm.control.prices import dollars
from text_lloom.llm.control.redis_limiter import SharedLimiter
from text_lloom.llm.control.usage import Attempt, Ledger, Totals, total, with_lost
from text_lloom.llm.dispatch.attempt import limiter_of
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.model import Embedder, EmbedModel, Model
from text_lloom.llm.runtime.event_loop import run_sync
from text_lloom.operators.estimate import Estimate
from text_lloom.operators.models import Models

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RATE_COLUMNS",
    "Summary",
    "declined",
    "failures_frame",
    "is_interactive",
    "limit_tokens",
    "limit_usd",
    "may_spend",
    "rate_frame",
    "rate_status",
    "show_summary",
    "summary_lines",
]

RATE_COLUMNS = (
    "model",
    "limit",
    "unit",
    "seconds",
    "used",
    "remaining",
    "seconds_until_free",
    "waiting",
    "in_flight",
    "concurrency",
)
"""The columns of `lloom.rate_status`."""

UNASKED_USD = 1.0
"""US dollars that a step of a script may cost without a budget and without a confirmation."""


def may_spend(
    estimate: Estimate,
    *,
    what: str,
    budget: Budget | None,
    token_budget: TokenBudget | None = None,
    confirm: bool | None,
) -> bool:
    """Whether a paid step may start.

    A free step always starts. With a budget, the step starts and is stopped before it exceeds the budget.
    Without one, an interactive session asks the user. Any other session warns, and refuses a step that may
    cost more than `UNASKED_USD`.

    Args:
        estimate: The estimated cost of the step.
        what: The step in words, such as `"generation"`.
        budget: The session's budget in US dollars.
        token_budget: The session's budget in tokens.
        confirm: `False` never asks, `True` asks whenever the step is not free, `None` as above.

    Raises:
        InputError: When there is a budget in USD but none in tokens, and a model's price is unknown. When
            nobody can be asked, there is no budget, and the step may cost more than `UNASKED_USD`.
    """
    if estimate.is_free:
        return True
    if (budget is not None or token_budget is not None) and confirm is not True:
        if estimate.unpriced and token_budget is None:
            raise InputError(
                f"The price of {', '.join(estimate.unpriced)} is unknown, so budget= cannot be kept. Pass "
                f"token_budget= (tokens), or tell the model its price: cost=(USD per input token, USD per "
                f"output token), cost=0 if it is free."
            )
        for left, needed in ((budget, estimate.usd_high), (token_budget, estimate.tokens)):
            if left is not None and needed > left.remaining:
                warnings.warn(
                    f"{estimate.describe()}, but {left.shown(left.remaining)} of the budget is left. "
                    f"{what.capitalize()} stops before the budget is passed and keeps what is done.",
                    stacklevel=3,
                )
        return True
    if confirm is False:
        return True
    if confirm or is_interactive():
        print(estimate.describe(verbose=True))
        return input(f"Proceed with {what}? (y/n): ").strip().lower() in ("y", "yes")
    if estimate.usd_high > UNASKED_USD:
        raise InputError(
            f"{estimate.describe()} for {what}. A script without a budget may spend up to "
            f"{dollars(UNASKED_USD)} per step. Nothing was sent. Pass budget= (in USD) to set a limit, or "
            f"confirm=False to go without one."
        )
    warnings.warn(
        f"{estimate.describe()} for {what}. Pass budget= (in USD) to set a limit, or confirm=False to go "
        f"without this warning.",
        stacklevel=3,
    )
    return True


async def declined() -> None:
    """The work of a step that the user declined: does nothing."""


def is_interactive() -> bool:
    """Whether a user can answer a question: in a terminal, or in a notebook that allows input."""
    shell = sys.modules.get("IPython")
    if shell is not None and (ipython := shell.get_ipython()) is not None:
        kernel = getattr(ipython, "kernel", None)
        return bool(getattr(kernel, "_allow_stdin", True))
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


class Summary(NamedTuple):
    """The time, cost and tokens of a session so far.

    Attributes:
        total_time: Seconds of all steps.
        total_cost: US dollars, without requests of unknown price.
        total_tokens: Tokens of prompts and replies.
        in_tokens: Tokens of prompts.
        out_tokens: Tokens of replies.
        unpriced: Requests whose price is unknown.
    """

    total_time: float
    total_cost: float
    total_tokens: int
    in_tokens: int
    out_tokens: int
    unpriced: int


def _summary_of(ledger: Ledger, seconds: Iterable[float]) -> Summary:
    totals = ledger.totals()
    return Summary(
        sum(seconds),
        totals.usd,
        totals.in_tokens + totals.out_tokens,
        totals.in_tokens,
        totals.out_tokens,
        totals.unpriced,
    )


def summary_lines(
    ledger: Ledger, step_seconds: Mapping[tuple[str, str], float], *, verbose: bool = True
) -> list[str]:
    """The summary of a session as lines of text.

    Args:
        ledger: Its attempts.
        step_seconds: Step and time → seconds.
        verbose: Add a line per step.
    """
    figures = _summary_of(ledger, step_seconds.values())
    lines = [f"Total time: {figures.total_time:.2f} sec ({figures.total_time / 60:.2f} min)"]
    if verbose:
        lines += [f"    {key}: {seconds:.2f} sec" for key, seconds in step_seconds.items()]
    unknown = f"{figures.unpriced} requests of unknown price" if figures.unpriced else ""
    known = dollars(figures.total_cost) if figures.total_cost or not unknown else ""
    lines.append(f"Total cost: {' + '.join(filter(None, (known, unknown)))}")
    if verbose:
        for step in dict.fromkeys(attempt.step for attempt in ledger.attempts):
            t = ledger.totals(step=step)
            from_cache = f", {t.cached} answers from the cache" if t.cached else ""
            lines.append(
                f"    {step}: {_cost_of(t)}, {t.requests} requests, "
                f"{t.in_tokens:,} tokens in, {t.out_tokens:,} out{from_cache}"
            )
    lines.append(f"Tokens: total={figures.total_tokens}, in={figures.in_tokens}, out={figures.out_tokens}")
    if cached := ledger.totals().cached:
        lines.append(f"From the cache: {cached} answers, which cost nothing now")
    models = dict.fromkeys(f"{a.model}" for a in ledger.attempts)
    lines.append(f"Models: {', '.join(models) or 'none asked yet'}")
    return lines


def _cost_of(totals: Totals) -> str:
    if not totals.unpriced:
        return f"${totals.usd:,.4f}"
    unknown = f"{totals.unpriced} requests of unknown price"
    return f"${totals.usd:,.4f} + {unknown}" if totals.usd else unknown


def limit_usd(run: Run, usd: float | None, models: Models) -> None:
    """Set the budget in US dollars, `None` for no limit; what is already spent counts.

    Args:
        run: The run that has the budget.
        usd: The budget.
        models: Their prices are used where the provider reported no tokens.

    Raises:
        InputError: When `usd` is not an amount.
    """
    limit = None if usd is None else Budget.checked(usd)
    if run.budget is None or limit is None:
        run.budget = None if limit is None else Budget(limit, spent=_spent(run.ledger.attempts, models))
    else:
        run.budget.usd = limit


def limit_tokens(run: Run, tokens: float | None) -> None:
    """Set the budget in tokens, `None` for no limit; what is already used counts.

    Raises:
        InputError: When `tokens` is not a number of tokens.
    """
    limit = None if tokens is None else TokenBudget.checked(tokens)
    if run.token_budget is None or limit is None:
        totals = total(with_lost(run.ledger.attempts))
        spent = totals.in_tokens + totals.out_tokens
        run.token_budget = None if limit is None else TokenBudget(limit, spent=spent)
    else:
        run.token_budget.usd = limit


def show_summary(
    ledger: Ledger, step_seconds: Mapping[tuple[str, str], float], *, verbose: bool, return_vals: bool
) -> Summary | None:
    """Print the summary of a session; see `lloom.summary`."""
    for line in summary_lines(ledger, step_seconds, verbose=verbose):
        print(line)
    return _summary_of(ledger, step_seconds.values()) if return_vals else None


def rate_frame(models: Models) -> pd.DataFrame:
    """The state of the models' rate limits; see `lloom.rate_status`."""
    import pandas as pd

    return pd.DataFrame(run_sync(rate_status(models)), columns=list(RATE_COLUMNS))


def failures_frame(failures: Sequence[Failure]) -> pd.DataFrame:
    """One row per failure, columns as in `Failure`."""
    import pandas as pd

    columns = list(Failure.__dataclass_fields__)
    rows = [[getattr(failure, column) for column in columns] for failure in failures]
    return pd.DataFrame(rows, columns=columns)


def _spent(attempts: Iterable[Attempt], models: Models) -> float:
    """US dollars spent so far, at the models' prices where the provider reported no tokens."""
    asked = [part for model in models for part in single_models(model)]
    prices = {part.label: part.cost for part in asked if isinstance(part, (Model, EmbedModel))}
    usd = 0.0
    for attempt in with_lost(attempts):
        price = prices.get(attempt.model)
        if attempt.usd is not None:
            usd += attempt.usd
        elif price is not None:
            usd += price.of(attempt.in_tokens, attempt.out_tokens)
    return usd


async def rate_status(models: Iterable[Answerer | Embedder]) -> list[dict[str, object]]:
    """One entry per model and limit; see `lloom.rate_status`. Must run on the event loop of the models."""
    now = asyncio.get_running_loop().time()
    rows: list[dict[str, object]] = []
    limited = {model.limiter_key: model for named in models for model in _limited(named)}
    for model in limited.values():
        limiter, concurrency = limiter_of(model)
        load = {"in_flight": concurrency.in_flight, "concurrency": concurrency.limit}
        states = await limiter.status() if isinstance(limiter, SharedLimiter) else limiter.status(now)
        if not states:
            rows.append({"model": model.label, **load})
        for state in states:
            rows.append(
                {
                    "model": model.label,
                    "limit": state.window.amount,
                    "unit": state.window.unit,
                    "seconds": state.window.seconds,
                    "used": state.used,
                    "remaining": state.remaining,
                    "seconds_until_free": state.seconds_until_free,
                    "waiting": state.waiting,
                    **load,
                }
            )
    return rows


def _limited(named: Answerer | Embedder) -> Iterator[Model | EmbedModel]:
    """The models behind one that was passed in, as far as their starts are counted."""
    for model in single_models(named):
        if isinstance(model, Classifier):
            yield model.probabilities
        elif isinstance(model, (Model, EmbedModel)):
            yield model
