"""How the requests of one step get on together, and what ends them all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from text_lloom.errors import LloomError

__all__ = ["Course", "first_error"]


@dataclass(slots=True)
class Course:
    """How the requests of one step get on together.

    Attributes:
        sent: How many attempts there were.
        answered: How many of them gave an answer.
        ended: Why nothing more is sent; attempts that are out may end.
        waiting: The tasks of its requests that have no attempt out.
    """

    sent: int = 0
    answered: int = 0
    ended: LloomError | None = None
    waiting: set[asyncio.Task[Any] | None] = field(default_factory=set)

    def stop(self, error: LloomError) -> None:
        """Send nothing more; what is out is being paid for, so it may end."""
        if self.ended is None:
            self.ended = error
            for task in self.waiting:
                if task is not None:
                    task.cancel()


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to raise of several that ended a step together."""
    found = errors.exceptions[0]
    return first_error(found) if isinstance(found, BaseExceptionGroup) else found
