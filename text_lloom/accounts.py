"""What a session took and may spend: the sums of its ledger, its budgets, what it could not have answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from text_lloom.llm.budget import Budget, TokenBudget
from text_lloom.llm.defaults import Models
from text_lloom.llm.model import EmbedModel, Model
from text_lloom.llm.parts import single_models
from text_lloom.llm.pricing import dollars
from text_lloom.llm.run import Failure, Run
from text_lloom.llm.usage import Attempt, Ledger, total, with_lost

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Summary", "failures_frame", "limit_tokens", "limit_usd", "summary_lines", "summary_of"]


class Summary(NamedTuple):
    """What a session took so far.

    Attributes:
        total_time: Seconds of all steps.
        total_cost: US dollars, as far as prices are known.
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


def summary_of(ledger: Ledger, seconds: Iterable[float]) -> Summary:
    """The sums of a ledger, and of the seconds that steps took."""
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
    """What a session took, in words.

    Args:
        ledger: Its attempts.
        step_seconds: Step and time → seconds.
        verbose: With a line per step.
    """
    figures = summary_of(ledger, step_seconds.values())
    lines = [f"Total time: {figures.total_time:.2f} sec ({figures.total_time / 60:.2f} min)"]
    if verbose:
        lines += [f"    {key}: {seconds:.2f} sec" for key, seconds in step_seconds.items()]
    unknown = f" + {figures.unpriced} requests of unknown price" if figures.unpriced else ""
    lines.append(f"Total cost: {dollars(figures.total_cost)}{unknown}")
    if verbose:
        for step in dict.fromkeys(attempt.step for attempt in ledger.attempts):
            t = ledger.totals(step=step)
            lines.append(
                f"    {step}: ${t.usd:,.4f}, {t.requests} requests, "
                f"{t.in_tokens:,} tokens in, {t.out_tokens:,} out"
            )
    lines.append(f"Tokens: total={figures.total_tokens}, in={figures.in_tokens}, out={figures.out_tokens}")
    models = dict.fromkeys(f"{a.model}" for a in ledger.attempts)
    lines.append(f"Models: {', '.join(models) or 'none asked yet'}")
    return lines


def limit_usd(run: Run, usd: float | None, models: Models) -> None:
    """Set the budget in US dollars, `None` for no limit; what was spent by now counts.

    Args:
        run: What it holds for.
        usd: The budget.
        models: Whose prices count where the provider reported no tokens.

    Raises:
        InputError: When it is no amount.
    """
    limit = None if usd is None else Budget.checked(usd)
    if run.budget is None or limit is None:
        run.budget = None if limit is None else Budget(limit, spent=_spent(run.ledger.attempts, models))
    else:
        run.budget.usd = limit


def limit_tokens(run: Run, tokens: float | None) -> None:
    """Set the budget in tokens, `None` for no limit; what was spent by now counts.

    Raises:
        InputError: When it is no number of tokens.
    """
    limit = None if tokens is None else TokenBudget.checked(tokens)
    if run.token_budget is None or limit is None:
        totals = total(with_lost(run.ledger.attempts))
        spent = totals.in_tokens + totals.out_tokens
        run.token_budget = None if limit is None else TokenBudget(limit, spent=spent)
    else:
        run.token_budget.usd = limit


def failures_frame(failures: Sequence[Failure]) -> pd.DataFrame:
    """One row per failure, columns as in `Failure`."""
    import pandas as pd

    columns = list(Failure.__dataclass_fields__)
    rows = [[getattr(failure, column) for column in columns] for failure in failures]
    return pd.DataFrame(rows, columns=columns)


def _spent(attempts: Iterable[Attempt], models: Models) -> float:
    """US dollars so far, at the models' prices where the provider reported no tokens."""
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
