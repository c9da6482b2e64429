"""What batches set aside in the budgets of a session, and book there when they have ended."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable

from text_lloom.errors import BudgetReached
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.operators.batch_book import BatchBook, BatchCost, BatchRecord

__all__ = ["BatchBudget", "total_cost"]


class BatchBudget:
    """The budgets of a session, as its batches use them.

    Args:
        run: Has the budgets.
        book: Remembers what is set aside for each batch.

    Attributes:
        no_room: Why nothing could be set aside for a batch that another session has sent.
    """

    def __init__(self, run: Run, book: BatchBook) -> None:
        self._run, self._book = run, book
        self.no_room: BudgetReached | None = None

    def reserve(self, record: BatchRecord) -> None:
        """Set aside what a batch will cost that another session has sent."""
        file_id = record.job.file_id
        if file_id in self._book.reserved:
            return
        try:
            self.set_aside(record.expected)
        except BudgetReached as error:
            self.no_room = error
        else:
            self._book.reserved[file_id] = record.expected

    def settle(self, record: BatchRecord, spent: BatchCost) -> None:
        """Book what a batch cost in place of what is set aside for it."""
        reserved = self._book.reserved.pop(record.job.file_id, BatchCost())
        if not reserved.tokens:
            # Nothing was set aside for it, which says nothing about how good estimates are.
            with contextlib.suppress(BudgetReached):
                self.set_aside(spent)
                reserved = spent
        self.book(reserved, spent)

    def set_aside(self, cost: BatchCost) -> None:
        """Reserve a cost in all budgets.

        Raises:
            BudgetReached: When it would pass one of them; nothing is set aside then.
        """
        budget, token_budget = self._run.budget, self._run.token_budget
        if budget is not None:
            budget.reserve(cost.usd)
        if token_budget is not None:
            try:
                token_budget.reserve(cost.tokens)
            except BudgetReached:
                if budget is not None:
                    budget.settle(cost.usd, 0.0)
                raise

    def book(self, reserved: BatchCost, spent: BatchCost) -> None:
        """Book what was spent in place of what was set aside for it."""
        if self._run.budget is not None:
            self._run.budget.settle(reserved.usd, spent.usd)
        if self._run.token_budget is not None:
            self._run.token_budget.settle(reserved.tokens, spent.tokens)


def total_cost(costs: Iterable[BatchCost]) -> BatchCost:
    """The sum of costs."""
    return functools.reduce(BatchCost.plus, costs, BatchCost())
