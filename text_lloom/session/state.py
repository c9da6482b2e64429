"""The state of a session, and what all of its steps need; `workbench.lloom` is its public interface."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from text_lloom.concept import Codebook, Concept
from text_lloom.corpus import Corpus
from text_lloom.errors import InputError
from text_lloom.llm.cache import open_journal
from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.composite import Answerer, is_remote
from text_lloom.llm.control.budget import Budget, TokenBudget
from text_lloom.llm.control.retry import RetryPolicy
from text_lloom.llm.control.usage import Ledger
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.dispatch.step_state import Failure, Run
from text_lloom.llm.options import whole_number
from text_lloom.llm.runtime.event_loop import Stop
from text_lloom.operators.batch_records import BatchRecords
from text_lloom.operators.estimate import Estimate
from text_lloom.operators.models import Models
from text_lloom.operators.score import summarize_concepts
from text_lloom.scores import ScoreTable
from text_lloom.session.progress import StepProgress
from text_lloom.session.scorings import Scorings
from text_lloom.session.spend import may_spend
from text_lloom.session.verbs import PendingCalls
from text_lloom.tasks import ScoreDocuments

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

__all__ = ["Session"]


class Session:
    """The state of a session.

    Its steps are functions in modules of their own: `generate`, `score`, `batch`, `map` and `edit`. Each
    has a `plan_…` function that checks the arguments, asks before spending, and returns the coroutine that
    does the work.

    Args:
        corpus: The documents.
        models: The models; documents are sent to these only.
        budget: US dollars that the whole session may cost.
        token_budget: Tokens that the whole session may use.
        random_state: Seed of everything that is random.
        debug: Print what the steps do.
        cache: Cache replies; a path names the file.
        retry: How often and how long to retry a request.
    """

    def __init__(
        self,
        corpus: Corpus,
        models: Models,
        *,
        budget: float | None,
        token_budget: int | None = None,
        random_state: int,
        debug: bool,
        cache: bool | str | Path = True,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.corpus = corpus
        self.models = models
        self.concepts = Codebook()
        self.table = ScoreTable(corpus)
        self.debug = debug
        self._pending = PendingCalls()
        self.random_state = whole_number(random_state, what="random_state", least=0)
        self.concept_history: dict[int, list[Concept]] = {}
        self.time: dict[tuple[str, str], float] = {}
        self.cost: dict[tuple[str, str], float] = {}
        self._quotes: dict[Hashable, list[str]] = {}
        self._bullets: dict[Hashable, list[str]] = {}
        self._support: dict[str, int] = {}
        self._generated: set[str] = set()
        self._stop = Stop()
        self._listeners: list[Callable[[], object]] = []
        self._cache = cache
        journal = open_journal(cache) if any(is_remote(model) for model in models) else None
        self._batches = BatchRecords(
            None if journal is None else journal.path.with_name(f"{journal.path.name}-batches")
        )
        self._run = Run(
            ledger=Ledger(),
            budget=None if budget is None else Budget(budget),
            token_budget=None if token_budget is None else TokenBudget(token_budget),
            store=journal,
            vectors=journal,
            progress=StepProgress(lambda: self._run),
            policy=retry or RetryPolicy(),
            random_state=self.random_state,
        )

        self._scorings = Scorings(self._run.failures)

    @property
    def ledger(self) -> Ledger:
        """One row per attempt of a request."""
        return self._run.ledger

    def _changed(self) -> None:
        """Tell the views of the session to update."""
        for listener in list(self._listeners):
            listener()

    def show_selected(self) -> None:
        """Print the selected concepts."""
        active = self.concepts.active
        print(f"Active concepts (n={len(active)}):")
        for concept in active:
            print(f"- {concept.name}: {concept.criteria}")

    def _ask_as(self, steps: Sequence[str], settings: Mapping[str, StepSettings]) -> None:
        """Replace the settings of these operators."""
        others = {step: own for step, own in self._run.settings.items() if step not in steps}
        self._run.settings = others | dict(settings)

    def _may_spend(self, estimate: Estimate, what: str, confirm: bool | None) -> bool:
        allowed = may_spend(
            estimate,
            what=what,
            budget=self._run.budget,
            token_budget=self._run.token_budget,
            confirm=confirm,
        )
        if not allowed:
            print(f"Cancelled {what}.")
        return allowed

    def _other_corpus(self, df: IntoDataFrame) -> Corpus:
        """Other documents, with the same columns; numbered if the session's documents are."""
        columns = getattr(df, "columns", ())
        id_col = None if self.corpus.is_numbered and self.corpus.id_col not in columns else self.corpus.id_col
        return Corpus.from_frame(df, text_col=self.corpus.text_col, id_col=id_col)

    def _scored(self) -> list[Concept]:
        scored = [concept for concept in self.concepts.values() if concept.id in self.table]
        if not scored:
            raise InputError("Nothing is scored yet. Run `await l.score()` first.")
        return [concept for concept in scored if concept.active] or scored

    @property
    def _summary_model(self) -> Answerer:
        """The model that summarizes concepts: the score model, unless it is a classifier."""
        return self.models.synth if isinstance(self.models.score, Classifier) else self.models.score

    async def _summarize(self, concepts: Sequence[Concept], *, scored: Iterable[ScoreDocuments]) -> None:
        """Summarize the concepts that were just scored, and those without a summary.

        Args:
            concepts: The concepts of the scoring.
            scored: The tasks that were answered.
        """
        scored_ids = {concept_id for task in scored for concept_id in task.concept_ids}
        # Concepts may have been renamed in the meantime.
        current = [self.concepts.get(concept.id) or concept for concept in concepts]
        due = [concept for concept in current if concept.id in scored_ids or not concept.summary]
        if due:
            with self._timed("summarize_concept"):
                await summarize_concepts(due, self._summary_model, self.table, run=self._run)

    def _need_concepts(self) -> None:
        if not self.concepts:
            raise InputError(
                "There are no concepts yet. Run `await l.gen()`, or add one with `await l.add(...)`."
            )

    def _one(self, named: str) -> Concept:
        """The concept with that id or name."""
        self._need_concepts()
        return self.concepts[named]

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        """Record the time and cost of a step and warn of its failures, also when it is interrupted."""
        key = (step, time.strftime("%Y-%m-%d-%H-%M-%S"))
        began, rows, failed = time.perf_counter(), len(self.ledger), list(self._run.failures)
        try:
            yield
        finally:
            while key in self.time:  # another step began in the same second
                key = (step, f"{key[1]}+")
            self.time[key] = time.perf_counter() - began
            self.cost[key] = self.ledger.totals(since=rows).usd
            self._warn(step, failed)

    def _warn(self, step: str, before: list[Failure]) -> None:
        known = {id(failure) for failure in before}
        failures = [failure for failure in self._run.failures if id(failure) not in known]
        if failures:
            warnings.warn(
                f"{step}: {len(failures)} requests could not be answered, for example: {failures[-1].reason} "
                f"See l.failures(); calling the step again asks for what is missing.",
                stacklevel=2,
            )
        cut = self._run.cut.pop(step, [])
        if cut:
            shown = ", ".join(repr(i) for i in cut[:5])
            warnings.warn(
                f"{step}: {len(cut)} documents were too long for the model and were cut at the end: {shown}"
                f"{', …' if len(cut) > 5 else ''}.",
                stacklevel=2,
            )
