"""Asking before money is spent."""

from __future__ import annotations

import sys
import warnings

from text_lloom.errors import InputError
from text_lloom.llm.budget import Budget, TokenBudget
from text_lloom.operators.estimate import Estimate

__all__ = ["declined", "is_interactive", "may_spend"]


def may_spend(
    estimate: Estimate,
    *,
    what: str,
    budget: Budget | None,
    token_budget: TokenBudget | None = None,
    confirm: bool | None,
) -> bool:
    """Whether a paid step may start.

    Free steps always may. With a budget the step goes ahead and is stopped before it passes the budget.
    Otherwise the user is asked once if there is someone to ask, and warned if there is not.

    Args:
        estimate: What the step will cost.
        what: The step in words, such as `"generation"`.
        budget: The session's budget in US dollars.
        token_budget: The session's budget in tokens.
        confirm: `False` never asks, `True` asks whenever the step is not free, `None` as above.

    Raises:
        InputError: When there is a budget in USD but none in tokens, and a model's price is unknown.
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
    warnings.warn(
        f"{estimate.describe()} for {what}. Pass budget= (in USD) to set a limit, or confirm=False to go "
        f"without this warning.",
        stacklevel=3,
    )
    return True


async def declined() -> None:
    """The work of a step that the user declined: none."""


def is_interactive() -> bool:
    """Whether someone is there to answer a question: a terminal, or a notebook that allows input."""
    shell = sys.modules.get("IPython")
    if shell is not None and (ipython := shell.get_ipython()) is not None:
        kernel = getattr(ipython, "kernel", None)
        return bool(getattr(kernel, "_allow_stdin", True))
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
