"""What a request costs: set aside in the budgets before an attempt, booked there and in the ledger after."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from text_lloom.llm.budget import Budget, Reservation, TokenBudget
from text_lloom.llm.model import EmbedModel, Model
from text_lloom.llm.posing import complaint
from text_lloom.llm.returned import Completion
from text_lloom.llm.run import Run
from text_lloom.llm.usage import Attempt, Outcome

__all__ = ["Account", "Booked", "Held", "give_back"]

_LONG_REPLY = 1000
"""Tokens that a reply may have when nothing bounds it, as far as a budget is concerned."""


class Booked(NamedTuple):
    """What an attempt takes from the budgets."""

    usd: float
    tokens: int


class Held(NamedTuple):
    """What an attempt has set aside in a budget."""

    budget: Budget
    taken: Reservation


def give_back(held: list[Held], booked: Booked) -> None:
    """Book what an attempt took in place of what was set aside for it."""
    for budget, taken in held:
        budget.give_back(taken, booked.tokens if isinstance(budget, TokenBudget) else booked.usd)


class Account:
    """What the attempts of one request may cost, and what they did.

    Args:
        model: Who is asked.
        step: The step that asks.
        run: Ledger and budgets.
        count: Estimates the tokens of the prompt; called only when that matters.
        out_tokens: Expected tokens of the reply.
        most_tokens: The most that the reply can have, if that is known.

    Attributes:
        expected: Expected tokens of the reply.
        usd: What the attempts cost in US dollars, as far as prices are known.
        unpriced: Whether the price of one is not known.
        in_tokens: Tokens of their prompts.
        out_tokens: Tokens of their replies.
    """

    def __init__(
        self,
        model: Model | EmbedModel,
        step: str,
        run: Run,
        *,
        count: Callable[[], int],
        out_tokens: int,
        most_tokens: int | None = None,
    ) -> None:
        self._model, self._step, self._run = model, step, run
        self.expect(count, out_tokens, most_tokens)
        self.usd = 0.0
        self.in_tokens = self.out_tokens = 0
        self.unpriced = False

    def expect(self, count: Callable[[], int], out_tokens: int, most_tokens: int | None) -> None:
        """Take the request for one of another size, from now on."""
        self._count, self.expected, self._most_tokens = count, out_tokens, most_tokens

    @property
    def needs_tokens(self) -> bool:
        """Whether anything depends on the tokens of the prompt before it is sent."""
        run, windows = self._run, self._model.limit.windows
        has_budget = run.budget is not None or run.token_budget is not None
        return has_budget or any(window.unit == "tokens" for window in windows)

    def sent_tokens(self, problem: tuple[str, str] | None) -> int:
        """Estimated tokens of the prompt, with what is added to ask again."""
        added = 0 if problem is None else self._model.count_tokens(complaint(problem))
        return self._count() + added

    async def set_aside(self, in_tokens: int) -> list[Held]:
        """Set aside in each budget what an attempt may take.

        Raises:
            BudgetReached: When it would pass one of them; nothing is set aside then.
        """
        price, plausible, is_bound = self._model.cost, self._plausible, self._most_tokens is not None
        wary = plausible if is_bound else max(plausible, _LONG_REPLY)
        tokens = (in_tokens + plausible, in_tokens + wary)
        usd = (0.0, 0.0) if price is None else (price.of(in_tokens, plausible), price.of(in_tokens, wary))
        kind, held = (self._step, self._model.label), list[Held]()
        try:
            for budget, (amount, most) in ((self._run.budget, usd), (self._run.token_budget, tokens)):
                if budget is not None:
                    taken = await budget.take(amount, wary=most, kind=kind, is_bound=is_bound)
                    held.append(Held(budget, taken))
        except BaseException:
            give_back(held, Booked(0.0, 0))
            raise
        return held

    def book(
        self,
        reply: Completion | None,
        *,
        at: float,
        seconds: float,
        problem: tuple[str, str] | None,
        outcome: Outcome,
        is_lost: bool,
    ) -> Booked:
        """Write an attempt down and give what it cost, estimated where the provider reports no tokens.

        An attempt whose reply was lost may have been answered, and billed, none the less: the budgets
        count what that may have cost, while its row has an unknown price and no tokens, as none were
        reported.

        Args:
            reply: What it gave, `None` if nothing came.
            at: When it started, seconds since the epoch.
            seconds: How long it took.
            problem: The reply before and what was wrong with it, if it was asked again.
            outcome: How it ended.
            is_lost: There may have been a reply.
        """
        model = self._model
        usd: float | None
        in_tokens = out_tokens = 0
        if reply is None:
            usd, estimated = None if is_lost and not model.is_free else 0.0, is_lost
        else:
            estimated = reply.in_tokens is None
            if reply.in_tokens is not None and problem is None and outcome == "answer":
                self._calibrate(reply.in_tokens)
            in_tokens = self.sent_tokens(problem) if reply.in_tokens is None else reply.in_tokens
            out_tokens = reply.out_tokens or 0
            if estimated and reply.text:
                out_tokens = model.count_tokens(reply.text)
            if reply.usd is not None:
                usd = reply.usd
            elif model.is_free:
                usd = 0.0
            else:
                usd = None if estimated or model.cost is None else model.cost.of(in_tokens, out_tokens)
        self.usd += usd or 0.0
        self.unpriced |= usd is None
        self.in_tokens += in_tokens
        self.out_tokens += out_tokens
        self._run.ledger.add(
            Attempt(self._step, model.label, at, seconds, in_tokens, out_tokens, usd, outcome, estimated)
        )
        if reply is None and is_lost:
            in_tokens, out_tokens = self.sent_tokens(problem), self._plausible
        if usd is None and model.cost is not None:
            usd = model.cost.of(in_tokens, out_tokens)
        return Booked(usd or 0.0, in_tokens + out_tokens)

    @property
    def _plausible(self) -> int:
        """Tokens that the reply may have: the most that it can, or else what is expected."""
        return self.expected if self._most_tokens is None else self._most_tokens

    def _calibrate(self, reported: int) -> None:
        """Let the model's token estimates learn from what the provider counted."""
        calibration = self._model.calibration
        if calibration.is_due and (count := self._count()):
            calibration.learn(round(count / calibration.factor), reported)
        calibration.replies += 1
