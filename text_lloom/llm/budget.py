"""Budgets in US dollars or tokens that are never passed."""

from __future__ import annotations

from numbers import Real

from text_lloom.errors import BudgetReached, InputError

__all__ = ["Budget", "TokenBudget"]

_ROUNDING = 1e-12


def _is_amount(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) >= 0


class Budget:
    """Money that requests may cost in all.

    Before each attempt its estimated cost is reserved; after it, what it really cost is booked. When
    attempts turn out to cost more than was estimated, more is reserved for the following ones.

    Args:
        usd: The budget in US dollars.
        spent: What has been spent of it already.
    """

    _name = "budget"

    def __init__(self, usd: float, *, spent: float = 0.0) -> None:
        if not _is_amount(usd):
            raise InputError(f"budget={usd!r} must be a number of US dollars, 0 or more.")
        self.usd = float(usd)
        self.spent = spent
        self._estimates = 0.0
        self._estimated = 0.0

    @property
    def remaining(self) -> float:
        """US dollars that are neither spent nor reserved."""
        return self.usd - self.spent - self._estimates * self._underestimated

    def reserve(self, usd: float) -> None:
        """Set the cost of the next attempt aside.

        Raises:
            BudgetReached: When it would pass the budget; nothing is set aside then.
        """
        likely = usd * self._underestimated
        if likely > 0 and likely > self.remaining + _ROUNDING:
            raise BudgetReached(
                f"The {self._name} of {self._shown(self.usd, 2)} is reached: {self._shown(self.spent)} "
                f"spent, and the next request may cost {self._shown(likely)}. What was answered is kept; "
                f"raise the budget and call again to go on."
            )
        self._estimates += usd

    def settle(self, reserved: float, spent: float) -> None:
        """Book what an attempt really cost in place of what was reserved for it."""
        self._estimates = max(0.0, self._estimates - reserved)
        self.spent += spent
        if spent:
            self._estimated += reserved

    @property
    def _underestimated(self) -> float:
        """How many times more than estimated the attempts so far have cost, at least 1."""
        return max(1.0, self.spent / self._estimated) if self._estimated else 1.0

    def _shown(self, amount: float, digits: int = 4) -> str:
        return f"${amount:,.{digits}f}"


class TokenBudget(Budget):
    """Tokens that requests may take in all; the only budget for models whose price is unknown.

    Args:
        tokens: The budget in tokens, of prompts and replies together.
        spent: What has been spent of it already.
    """

    _name = "token budget"

    def __init__(self, tokens: float, *, spent: float = 0.0) -> None:
        if not _is_amount(tokens):
            raise InputError(f"token_budget={tokens!r} must be a number of tokens, 0 or more.")
        super().__init__(tokens, spent=spent)

    def _shown(self, amount: float, digits: int = 0) -> str:
        return f"{amount:,.0f} tokens"
