"""What a session holds and does; `workbench.lloom` gives it its public face."""

from __future__ import annotations

import functools
import itertools
import time
import warnings
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from text_lloom.concept import Codebook, Concept
from text_lloom.consent import may_spend
from text_lloom.corpus import Corpus, Document
from text_lloom.errors import InputError, UnknownName
from text_lloom.llm.batches import BatchJob, batch_model
from text_lloom.llm.budget import Budget, TokenBudget
from text_lloom.llm.classifier import Classifier
from text_lloom.llm.defaults import Models
from text_lloom.llm.engine import Answerer
from text_lloom.llm.fallback import Fallbacks
from text_lloom.llm.hybrid import HybridEmbedModel
from text_lloom.llm.journal import open_journal
from text_lloom.llm.model import Embedder, EmbedModel, Model
from text_lloom.llm.numeric import finite_number
from text_lloom.llm.portal import Stop
from text_lloom.llm.posing import StepSettings
from text_lloom.llm.pricing import dollars
from text_lloom.llm.providers.openai import OpenAIModel
from text_lloom.llm.retry import RetryPolicy
from text_lloom.llm.run import Failure, Run
from text_lloom.llm.usage import Ledger, total, with_lost
from text_lloom.operators.asking import (
    GEN_STEPS,
    SCORE_STEPS,
    STEPS,
    PromptSpec,
    score_settings,
    split_params,
    step_settings,
)
from text_lloom.operators.batch_book import BatchBook
from text_lloom.operators.estimate import Estimate, estimate_gen, estimate_score
from text_lloom.operators.generate import Generation, generate
from text_lloom.operators.parameters import GenParameters, suggest_parameters
from text_lloom.operators.review import select_concepts
from text_lloom.operators.score import CONCEPTS_PER_CALL, plan_scoring, score_documents, summarize_concepts
from text_lloom.operators.score_batch import BatchScoring
from text_lloom.progress import StepProgress
from text_lloom.quotes import locate_quote
from text_lloom.scores import ScoreTable
from text_lloom.scoring import Pair, Scoring, ScoringForm, Scorings
from text_lloom.tasks import Candidate, ScoreDocuments

if TYPE_CHECKING:
    import pandas as pd
    from narwhals.typing import IntoDataFrame

__all__ = ["Session", "Summary", "check_count", "is_remote"]


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


class Session:
    """The state of a session, and its verbs: planned (checked, estimated, agreed to) and then run.

    A `_plan_…` method runs on the caller's thread, where it may ask the user; the coroutine that it
    returns runs on the models' thread.

    Args:
        corpus: The documents.
        models: Who is asked; the documents go to these and nowhere else.
        budget: US dollars that the session may cost in all.
        token_budget: Tokens that the session may take in all.
        random_state: Seed of everything that is random.
        debug: Print what the steps do.
        cache: Keep replies and use them again; a path says where.
        retry: How often and how long to try.
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
        check_count("random_state", random_state, least=0)
        self.random_state = random_state
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
        self._batches = BatchBook(
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
            random_state=random_state,
        )

        self._scorings = Scorings(self._run.failures)

    @property
    def ledger(self) -> Ledger:
        """One row per attempt of a request."""
        return self._run.ledger

    def _changed(self) -> None:
        """Tell those who show the session that it is not what it was."""
        for listener in list(self._listeners):
            listener()

    def show_selected(self) -> None:
        """Print the selected concepts."""
        active = self.concepts.active
        print(f"Active concepts (n={len(active)}):")
        for concept in active:
            print(f"- {concept.name}: {concept.criteria}")

    # What the public methods do, planned on the caller's thread and run on the models' thread

    def _plan_gen(
        self,
        seed: str | None = None,
        params: Mapping[str, object] | None = None,
        n_synth: int = 1,
        custom_prompts: Mapping[str, PromptSpec] | None = None,
        auto_review: bool = True,
        debug: bool = True,
        *,
        confirm: bool | None = None,
    ) -> Coroutine[Any, Any, None]:
        generation = self._generation(seed, params, n_synth, custom_prompts, auto_review)
        estimate = self._estimate_gen(generation.parameters, auto_review=auto_review)
        if not self._may_spend(estimate, "generation", confirm):
            return _declined()
        return self._gen(generation, debug=debug)

    def _plan_gen_auto(
        self,
        max_concepts: int = 8,
        seed: str | None = None,
        params: Mapping[str, object] | None = None,
        n_synth: int = 1,
        custom_prompts: Mapping[str, PromptSpec] | None = None,
        debug: bool = True,
        *,
        confirm: bool | None = None,
    ) -> Coroutine[Any, Any, pd.DataFrame | None]:
        check_count("max_concepts", max_concepts)
        generation = self._generation(seed, params, n_synth, custom_prompts, True, tuple(STEPS))
        stand_ins = [
            Concept("Four words for it", "Does the text say that this happened?") for _ in range(max_concepts)
        ]
        estimate = self._estimate_gen(generation.parameters) + estimate_score(
            self.corpus,
            self.models.score,
            plan_scoring(list(self.corpus), stand_ins),
            n_summaries=max_concepts,
        )
        if not self._may_spend(estimate, "generation and scoring", confirm):
            return _declined()

        async def work() -> pd.DataFrame:
            await self._gen(generation, debug=debug)
            await self._select_auto(max_concepts)
            if debug:
                self.show_selected()
            chosen = self.concepts.active
            scoring = Scoring(self.table, tuple(c.id for c in chosen), ScoringForm(), self._run.settings)
            return await self._score(chosen, self._score_tasks(scoring, chosen), scoring)

        return work()

    def _plan_select_auto(self, max_concepts: int) -> Coroutine[Any, Any, None]:
        check_count("max_concepts", max_concepts)
        self._need_concepts()
        return self._select_auto(max_concepts)

    def _plan_score(
        self,
        c_ids: Sequence[str] | None = None,
        batch_size: int = 1,
        get_highlights: bool = True,
        ignore_existing: bool = True,
        score_all: bool = False,
        df: IntoDataFrame | None = None,
        *,
        concepts_per_call: int = CONCEPTS_PER_CALL,
        score_on: str = "text",
        confirm: bool | None = None,
        mode: str = "live",
        wait: bool = True,
        poll_seconds: float = 60.0,
        params: Mapping[str, object] | None = None,
        custom_prompts: Mapping[str, PromptSpec] | None = None,
    ) -> Coroutine[Any, Any, pd.DataFrame | None]:
        form = ScoringForm(
            batch_size=batch_size,
            get_highlights=get_highlights,
            ignore_existing=ignore_existing,
            concepts_per_call=concepts_per_call,
            score_on=score_on,
            mode=mode,
            wait=wait,
            poll_seconds=poll_seconds,
        )
        self._is_batch(mode)
        _check_seconds("poll_seconds", poll_seconds)
        settings = score_settings(self.models, self._run.settings, params, custom_prompts)
        concepts = self._to_score(c_ids, score_all)
        table = self.table if df is None else ScoreTable(self._other_corpus(df))
        scoring = Scoring(table, tuple(concept.id for concept in concepts), form, settings)
        return self._planned(scoring, concepts, confirm=confirm)

    def _planned(
        self,
        scoring: Scoring,
        concepts: Sequence[Concept],
        *,
        wanted: Collection[Pair] | None = None,
        confirm: bool | None,
    ) -> Coroutine[Any, Any, pd.DataFrame | None]:
        """A scoring of all that is due, or of some pairs of document and concept, once it is agreed to."""
        table, form = self._table_of(scoring), scoring.form
        if isinstance(self.models.score, Classifier):
            self.models.score.check_concepts(concepts)
        if scoring.settings is not None:
            self._ask_as(SCORE_STEPS, {s: how for s, how in scoring.settings.items() if s in SCORE_STEPS})
        in_batch, batches = self._is_batch(form.mode), self._batch_scoring(table, form.score_on)
        waiting = batches.waiting if in_batch and batches is not None else ()
        tasks = self._score_tasks(scoring, concepts, waiting=waiting, wanted=wanted)
        if batches is not None and not in_batch:
            _warn_of_waiting(tasks, batches.waiting)
        scored = {i for task in tasks for i in task.concept_ids}
        estimate = estimate_score(
            table.corpus,
            self.models.score,
            tasks,
            summary_model=self._summary_model,
            n_summaries=len(scored),
            in_batch=in_batch,
        )
        if not self._may_spend(estimate, "scoring in a batch" if in_batch else "scoring", confirm):
            return _declined()
        if in_batch and batches is not None:
            return self._score_in_batch(concepts, tasks, scoring, batches)
        return self._score(concepts, tasks, scoring)

    def _plan_resume(self, *, confirm: bool | None = None) -> Coroutine[Any, Any, pd.DataFrame | None]:
        scoring = self._scorings.last
        if scoring is None:
            return self._plan_score(confirm=confirm)
        concepts = [self.concepts[i] for i in scoring.concept_ids if i in self.concepts]
        wanted = None if scoring.form.ignore_existing else set(scoring.owed)
        return self._planned(scoring, concepts, wanted=wanted, confirm=confirm)

    def _plan_cancel_batches(self) -> Coroutine[Any, Any, list[BatchJob]]:
        batches = BatchScoring(
            batch_model(self.models.score),
            list(self.corpus),
            list(self.concepts.values()),
            book=self._batches,
            run=self._run,
        )
        return batches.cancel()

    def _plan_add(
        self,
        name: str,
        prompt: str,
        ex_ids: Sequence[Hashable] = (),
        get_highlights: bool = True,
        *,
        confirm: bool | None = None,
    ) -> Coroutine[Any, Any, pd.DataFrame | None]:
        self._check_examples(ex_ids)
        concept = self.concepts.add(name, prompt, example_ids=ex_ids, active=True)
        self._changed()
        try:
            return self._plan_score([concept.id], get_highlights=get_highlights, confirm=confirm)
        except InputError:
            self.concepts.undo()
            raise

    def _plan_edit(
        self,
        c_id: str,
        name: str | None = None,
        prompt: str | None = None,
        ex_ids: Sequence[Hashable] | None = None,
        get_highlights: bool = True,
        *,
        confirm: bool | None = None,
    ) -> Coroutine[Any, Any, pd.DataFrame | None]:
        [concept] = self._named(c_id, unique=True)
        had_scores = concept.id in self.table
        if ex_ids is not None:
            self._check_examples(ex_ids)
        if name is not None and name != concept.name:
            concept = self.concepts.rename(concept.id, name)
        if prompt is not None and prompt != concept.criteria:
            concept = self.concepts.edit(concept.id, prompt)
        if ex_ids is not None:
            concept.example_ids = list(ex_ids)
        self._changed()
        if not had_scores:
            return _declined()
        return self._plan_score([concept.id], get_highlights=get_highlights, confirm=confirm)

    def _plan_retry(self) -> Coroutine[Any, Any, int]:
        now, last, planned = self._run.settings, self._scorings.last, list[Callable[[], Any]]()
        for scoring, pairs in self._scorings.open(self.table, self.concepts):
            asked = {concept_id for _, concept_id in pairs}
            concepts = [concept for concept in self.concepts.values() if concept.id in asked]
            planned.append(functools.partial(self._planned, scoring, concepts, wanted=pairs, confirm=False))
        if self._scorings.out_of_reach:
            warnings.warn(
                f"{self._scorings.out_of_reach} failures are about other documents (df=) that were not saved "
                f"with the session; they stay listed. Score those documents again.",
                stacklevel=3,
            )

        async def work() -> int:
            try:
                for plan in planned:
                    await plan()
            finally:
                self._run.settings, self._scorings.last = now, last
            return sum(failure.step == "score" for failure in self._run.failures)

        return work()

    async def _gen(self, generation: Generation, *, debug: bool) -> None:
        self._ask_as([*GEN_STEPS, *generation.settings], generation.settings)
        found = await generate(
            self.corpus,
            self.models,
            generation,
            codebook=self.concepts,
            run=self._run,
            timed=self._timed,
            say=print if debug or self.debug else _silent,
        )
        self._quotes, self._bullets = found.quotes, found.bullets
        for concept_id in [i for i in self.concepts if i in self._generated]:
            self.concepts.remove(concept_id, note="replaced by a new generation")
        concepts = [candidate.concept for candidate in found.candidates]
        self.concepts.extend(concepts, note="generated")
        self._generated = {concept.id for concept in concepts}
        self._support |= {candidate.concept.id: candidate.support for candidate in found.candidates}
        self.concept_history = found.history
        self._changed()

    async def _select_auto(self, max_concepts: int) -> None:
        concepts = list(self.concepts.values())
        candidates = [Candidate(c, self._support.get(c.id, len(c.example_ids))) for c in concepts]
        seed = next((c.seed for c in concepts if c.seed), None)
        with self._timed("review_select"):
            chosen = await select_concepts(
                candidates, self.models.synth, max_concepts=max_concepts, seed=seed, run=self._run
            )
        for concept in concepts:
            concept.active = concept.id in chosen
        self._changed()

    async def _score(
        self,
        concepts: Sequence[Concept],
        tasks: Sequence[ScoreDocuments],
        scoring: Scoring,
    ) -> pd.DataFrame:
        table = self._table_of(scoring)
        with self._timed("score"), self._noted(scoring, tasks):
            async with self._stop.window() as window:
                await score_documents(
                    tasks, self.models.score, table, run=self._run, answered=scoring.answered
                )
            _relocate(tasks, table)
        if window.stopped:
            warnings.warn(
                "Scoring was stopped; what was scored by then is kept. Calling score() again goes on.",
                stacklevel=2,
            )
        elif table is self.table:
            await self._summarize(concepts, {i for task in tasks for i in task.concept_ids})
        self._changed()
        return table.to_frame(concepts)

    async def _score_in_batch(
        self,
        concepts: Sequence[Concept],
        tasks: Sequence[ScoreDocuments],
        scoring: Scoring,
        batches: BatchScoring,
    ) -> pd.DataFrame:
        table, form = self._table_of(scoring), scoring.form
        with self._timed("score"), self._noted(scoring, tasks):
            try:
                outcome = await batches.score(tasks, table, wait=form.wait, poll_seconds=form.poll_seconds)
            finally:
                scoring.answered.update(pair for task in batches.answered for pair in _pairs(task))
            _relocate(outcome.answered, table)
        if table is self.table and not outcome.under_way:
            await self._summarize(concepts, {i for task in outcome.answered for i in task.concept_ids})
        self._changed()
        return table.to_frame(concepts)

    @contextmanager
    def _noted(self, scoring: Scoring, tasks: Sequence[ScoreDocuments]) -> Iterator[None]:
        """Remember what a scoring asks, and at its end what is left of it."""
        if not scoring.form.ignore_existing:
            scoring.owed |= {pair for task in tasks for pair in _pairs(task)}
        self._scorings.begin(scoring)
        try:
            yield
        finally:
            self._scorings.settle(scoring)

    @property
    def _summary_model(self) -> Answerer:
        """Who sums concepts up: the score model, unless it can do nothing but score."""
        return self.models.synth if isinstance(self.models.score, Classifier) else self.models.score

    async def _summarize(self, concepts: Sequence[Concept], scored: Collection[str]) -> None:
        """Sum up the concepts that were scored just now, and those without a summary."""
        # Concepts may have been renamed in the meantime.
        current = [self.concepts.get(concept.id) or concept for concept in concepts]
        due = [concept for concept in current if concept.id in scored or not concept.summary]
        if due:
            with self._timed("summarize_concept"):
                await summarize_concepts(due, self._summary_model, self.table, run=self._run)

    # Small things

    def _generation(
        self,
        seed: str | None,
        params: Mapping[str, object] | None,
        n_synth: int,
        custom_prompts: Mapping[str, PromptSpec] | None,
        auto_review: bool,
        steps: Sequence[str] = GEN_STEPS,
    ) -> Generation:
        check_count("n_synth", n_synth)
        if seed is not None and not isinstance(seed, str):
            raise InputError(f"seed={seed!r} must be text, such as seed='social issues'.")
        counts, by_step = split_params(params, steps)
        return Generation(
            parameters=self._parameters(counts),
            seed=seed.strip() or None if seed else None,
            n_synth=n_synth,
            settings=step_settings(self.models, steps=steps, params=by_step, prompts=custom_prompts),
            left_out=[step for step, prompt in (custom_prompts or {}).items() if prompt is None],
            auto_review=auto_review,
            random_state=self.random_state,
        )

    def _ask_as(self, steps: Sequence[str], settings: Mapping[str, StepSettings]) -> None:
        """Have these operators ask so from now on."""
        others = {step: how for step, how in self._run.settings.items() if step not in steps}
        self._run.settings = others | dict(settings)

    def _parameters(self, params: Mapping[str, object] | None) -> GenParameters:
        return suggest_parameters(self.corpus.texts, random_state=self.random_state).updated(params)

    def _estimate_gen(self, parameters: GenParameters, *, auto_review: bool = True) -> Estimate:
        return estimate_gen(
            self.corpus,
            parameters,
            distill_model=self.models.distill,
            cluster_model=self.models.cluster,
            synth_model=self.models.synth,
            auto_review=auto_review,
        )

    def _limit_spending(self, usd: float | None) -> None:
        """Set the budget in US dollars; what was spent by now counts."""
        budget = self._run.budget
        if budget is None or usd is None:
            self._run.budget = None if usd is None else Budget(usd, spent=self._spent())
        else:
            budget.usd = usd

    def _limit_tokens(self, tokens: float | None) -> None:
        """Set the budget in tokens; what was spent by now counts."""
        budget = self._run.token_budget
        if budget is None or tokens is None:
            totals = total(with_lost(self.ledger.attempts))
            spent = totals.in_tokens + totals.out_tokens
            self._run.token_budget = None if tokens is None else TokenBudget(tokens, spent=spent)
        else:
            budget.usd = tokens

    def _spent(self) -> float:
        """US dollars so far, at the models' prices where the provider reported no tokens."""
        prices = {model.label: model.cost for model in _priced_models(self.models)}
        usd = 0.0
        for attempt in with_lost(self.ledger.attempts):
            price = prices.get(attempt.model)
            if attempt.usd is not None:
                usd += attempt.usd
            elif price is not None:
                usd += price.of(attempt.in_tokens, attempt.out_tokens)
        return usd

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

    def _score_tasks(
        self,
        scoring: Scoring,
        concepts: Sequence[Concept],
        *,
        waiting: Collection[Pair] = (),
        wanted: Collection[Pair] | None = None,
    ) -> list[ScoreDocuments]:
        """The questions of a scoring: about what is due, or about the pairs that are wanted."""
        table, form = self._table_of(scoring), scoring.form
        due = {c.id: {table.corpus.ids[row] for row in table.unscored(c)} for c in concepts}

        def is_wanted(doc_id: Hashable, concept: Concept) -> bool:
            pair = (doc_id, concept.id)
            if wanted is not None:
                return pair in wanted and pair not in waiting
            is_due = not form.ignore_existing or doc_id in due[concept.id]
            return is_due and pair not in waiting

        return plan_scoring(
            self._texts_to_score(table, form.score_on),
            concepts,
            wanted=is_wanted,
            texts={
                i: self.corpus.text_of(i)
                for c in concepts
                for i in c.example_ids
                if i in self.corpus.position
            },
            batch_size=form.batch_size,
            concepts_per_call=form.concepts_per_call,
            get_highlights=form.get_highlights,
        )

    def _table_of(self, scoring: Scoring) -> ScoreTable:
        return self.table if scoring.table is None else scoring.table

    def _texts_to_score(self, table: ScoreTable, score_on: str) -> list[Document]:
        """The documents of a table, with the texts that are judged."""
        if score_on not in ("text", "quotes"):
            raise UnknownName(score_on, ("text", "quotes"), what="score_on")
        documents = list(table.corpus)
        if score_on == "text":
            return documents
        if not self._quotes or table is not self.table:
            raise InputError(
                "score_on='quotes' needs the quotes of the Distill step: run gen() first, and score the "
                "session's own documents."
            )
        return [Document(d.id, "\n".join(self._quotes[d.id])) for d in documents if self._quotes.get(d.id)]

    def _is_batch(self, mode: str) -> bool:
        """Whether scoring goes through the Batch API; refuses models that have none."""
        if mode not in ("live", "batch"):
            raise UnknownName(mode, ("live", "batch"), what="mode")
        if mode == "batch":
            batch_model(self.models.score)
        return mode == "batch"

    def _batch_scoring(self, table: ScoreTable, score_on: str) -> BatchScoring | None:
        """The batches that concern a table's documents, `None` if the model has none."""
        model = self.models.score
        if not isinstance(model, OpenAIModel):
            return None
        documents, concepts = self._texts_to_score(table, score_on), list(self.concepts.values())
        return BatchScoring(model, documents, concepts, book=self._batches, run=self._run)

    def _other_corpus(self, df: IntoDataFrame) -> Corpus:
        """Other documents, with the session's columns; numbered again if the session's are."""
        columns = getattr(df, "columns", ())
        id_col = None if self.corpus.is_numbered and self.corpus.id_col not in columns else self.corpus.id_col
        return Corpus.from_frame(df, text_col=self.corpus.text_col, id_col=id_col)

    def _to_score(self, c_ids: Sequence[str] | None, score_all: bool) -> list[Concept]:
        if isinstance(c_ids, str):
            raise InputError(f"c_ids={c_ids!r} must be a list: c_ids=[{c_ids!r}].")
        self._need_concepts()
        if c_ids is not None:
            named = [self._named(i, unique=True)[0] for i in c_ids]
            return list({concept.id: concept for concept in named}.values())
        concepts = list(self.concepts.values())
        active = self.concepts.active
        if score_all or not active:
            if not score_all:
                print(f"No concept is selected, so all {len(concepts)} are scored.")
            for concept in concepts:
                concept.active = True
            return concepts
        return active

    def _scored(self) -> list[Concept]:
        scored = [concept for concept in self.concepts.values() if concept.id in self.table]
        if not scored:
            raise InputError("Nothing is scored yet. Run `await l.score()` first.")
        return [concept for concept in scored if concept.active] or scored

    def _need_concepts(self) -> None:
        if not self.concepts:
            raise InputError(
                "There are no concepts yet. Run `await l.gen()`, or add one with `await l.add(...)`."
            )

    def _named(self, named: str, *, unique: bool = False) -> list[Concept]:
        self._need_concepts()
        found = [c for c in self.concepts.values() if named in (c.id, c.name)]
        if not found:
            concepts = self.concepts.values()
            raise UnknownName(named, [*(c.name for c in concepts), *(c.id for c in concepts)], what="concept")
        if unique and len(found) > 1:
            raise InputError(
                f"{len(found)} concepts are called {named!r}; name the one by its id: "
                f"{', '.join(c.id for c in found)}."
            )
        return found

    def _check_examples(self, ex_ids: Sequence[Hashable]) -> None:
        if isinstance(ex_ids, str):
            raise InputError(f"ex_ids={ex_ids!r} must be a list of document ids.")
        for doc_id in ex_ids:
            if not isinstance(doc_id, Hashable) or doc_id not in self.corpus.position:
                raise UnknownName(doc_id, list(self.corpus.ids)[:1000], what="document id in ex_ids")

    def _summary(self) -> Summary:
        totals = self.ledger.totals()
        return Summary(
            sum(self.time.values()),
            totals.usd,
            totals.in_tokens + totals.out_tokens,
            totals.in_tokens,
            totals.out_tokens,
            totals.unpriced,
        )

    def _summary_lines(self, *, verbose: bool = True) -> list[str]:
        figures, ledger = self._summary(), self.ledger
        lines = [f"Total time: {figures.total_time:.2f} sec ({figures.total_time / 60:.2f} min)"]
        if verbose:
            lines += [f"    {key}: {seconds:.2f} sec" for key, seconds in self.time.items()]
        unknown = f" + {figures.unpriced} requests of unknown price" if figures.unpriced else ""
        lines.append(f"Total cost: {dollars(figures.total_cost)}{unknown}")
        if verbose:
            for step in dict.fromkeys(attempt.step for attempt in ledger.attempts):
                t = ledger.totals(step=step)
                lines.append(
                    f"    {step}: ${t.usd:,.4f}, {t.requests} requests, "
                    f"{t.in_tokens:,} tokens in, {t.out_tokens:,} out"
                )
        lines.append(
            f"Tokens: total={figures.total_tokens}, in={figures.in_tokens}, out={figures.out_tokens}"
        )
        models = dict.fromkeys(f"{a.model}" for a in ledger.attempts)
        lines.append(f"Models: {', '.join(models) or 'none asked yet'}")
        return lines

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        """Record what a step takes, and say what went wrong in it, even when it is cut short."""
        key = (step, time.strftime("%Y-%m-%d-%H-%M-%S"))
        while key in self.time:
            key = (step, f"{key[1]}+")
        began, rows, failed = time.perf_counter(), len(self.ledger), list(self._run.failures)
        try:
            yield
        finally:
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


def is_remote(model: Answerer | Embedder) -> bool:
    """Whether replies of a model are worth keeping: all but those of solvers on this machine."""
    if isinstance(model, Fallbacks):
        return any(is_remote(part) for part in model.models)
    if isinstance(model, HybridEmbedModel):
        return any(is_remote(part) for part in model.parts)
    return isinstance(model, (Model, EmbedModel, Classifier))


def _priced_models(models: Iterable[Answerer | Embedder]) -> Iterator[Model | EmbedModel]:
    """The models that may have a price, those asked in turn or together one by one."""
    for model in models:
        if isinstance(model, (Model, EmbedModel)):
            yield model
        elif isinstance(model, Fallbacks):
            yield from _priced_models(model.models)
        elif isinstance(model, HybridEmbedModel):
            yield from _priced_models(model.parts)


async def _declined() -> None:
    return None


def _silent(_: str) -> None:
    return None


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        InputError: Names the argument and its value.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name}={value!r} must be a whole number of at least {least}.")


def _pairs(task: ScoreDocuments) -> Iterator[Pair]:
    return itertools.product(task.doc_ids, task.concept_ids)


def _check_seconds(name: str, value: object) -> None:
    seconds = finite_number(value)
    if seconds is None or seconds <= 0:
        raise InputError(f"{name}={value!r} must be a positive number of seconds.")


def _warn_of_waiting(tasks: Sequence[ScoreDocuments], waiting: Collection[tuple[Hashable, str]]) -> None:
    """Warn if questions are asked, at the full price, that a batch under way asks already."""
    n = sum((i, j) in waiting for task in tasks for i in task.doc_ids for j in task.concept_ids)
    if n:
        warnings.warn(
            f"{n:,} of these scores wait in a batch and are asked for again now, at the full price. Fetch "
            f"the batch with score(mode='batch'), or stop it with cancel_batches().",
            stacklevel=3,
        )


def _relocate(tasks: Sequence[ScoreDocuments], table: ScoreTable) -> None:
    """Highlights of tasks about excerpts as they stand in the full documents."""
    corpus = table.corpus
    for task in tasks:
        for document in task.documents:
            text = corpus.text_of(document.id)
            if document.text == text or document.text in text:
                continue
            for concept in task.concepts:
                judgement = table.judgement(concept, document.id)
                if judgement.highlight and judgement.highlight not in text:
                    found = locate_quote(judgement.highlight, text)
                    there = replace(judgement, highlight=found.text, match=found.match)
                    table.put(concept, document.id, there)
