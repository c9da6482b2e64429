"""A budget in US dollars that is never passed."""

from __future__ import annotations

from text_lloom.errors import BudgetReached, InputError

__all__ = ["Budget"]


class Budget:
    """Money that requests may cost in all.

    Before each attempt its estimated cost is reserved; after it, what it really cost is booked.

    Args:
        usd: The budget in US dollars.
    """

    def __init__(self, usd: float) -> None:
        if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not usd >= 0:
            raise InputError(f"budget={usd!r} must be a number of US dollars, 0 or more.")
        self.usd = float(usd)
        self.spent = 0.0
        self._reserved = 0.0

    @property
    def remaining(self) -> float:
        """US dollars that are neither spent nor reserved."""
        return self.usd - self.spent - self._reserved

    def reserve(self, usd: float) -> None:
        """Set the cost of the next attempt aside.

        Raises:
            BudgetReached: When it would pass the budget; nothing is set aside then.
        """
        if usd > 0 and usd > self.remaining:
            raise BudgetReached(
                f"The budget of ${self.usd:,.2f} is reached: ${self.spent:,.4f} spent, and the next request "
                f"may cost ${usd:,.4f}. What was answered is kept; raise the budget and call again to go on."
            )
        self._reserved += usd

    def settle(self, reserved: float, spent: float) -> None:
        """Book what an attempt really cost in place of what was reserved for it."""
        self._reserved -= reserved
        self.spent += spent
