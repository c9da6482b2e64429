"""The public session: documents, concepts and scores, and the methods that work on them.

import text_lloom.workbench as wb

l = wb.lloom(df=df, text_col="text", id_col="doc_id")
await l.gen(seed="social issues")
l.select()
score_df = await l.score()
l.vis(slice_col="party")
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from text_lloom.corpus import Corpus
from text_lloom.errors import InputError
from text_lloom.llm.batches import BatchJob
from text_lloom.llm.control.retry import RetryPolicy
from text_lloom.llm.runtime.event_loop import run_async, run_sync
from text_lloom.operators.asking import Prompt, PromptSpec, check_prompt, params_frame, template_of
from text_lloom.operators.estimate import Estimate
from text_lloom.operators.evaluate import Coverage
from text_lloom.operators.models import EmbedSpec, ModelSpec, resolve_models
from text_lloom.operators.score import CONCEPTS_PER_CALL
from text_lloom.session.batch import plan_cancel_batches
from text_lloom.session.edit import plan_add, plan_edit
from text_lloom.session.generate import (
    estimate_gen_cost,
    parameters_for,
    plan_auto_eval,
    plan_gen,
    plan_gen_auto,
    plan_select_auto,
    suggest,
)
from text_lloom.session.map import plan_map
from text_lloom.session.save import restore_state, save_session
from text_lloom.session.score import estimate_score_cost, plan_resume, plan_retry, plan_score
from text_lloom.session.spend import (
    Summary,
    failures_frame,
    limit_tokens,
    limit_usd,
    rate_frame,
    show_summary,
)
from text_lloom.session.verbs import public_verbs
from text_lloom.session.view import Viewing
from text_lloom.tasks import LongDocuments
from text_lloom.tasks.map import Quote

if TYPE_CHECKING:
    import pandas as pd
    from narwhals.typing import IntoDataFrame

    from text_lloom.concept import Codebook


__all__ = ["Prompt", "Quote", "Summary", "lloom", "load", "load_codebook"]

P = ParamSpec("P")
T = TypeVar("T")


@public_verbs
class lloom(Viewing):
    """A working session with a collection of documents.

    Args:
        df: One row per document; pandas, polars, Arrow or any narwhals-compatible frame.
        text_col: Column with the text.
        id_col: Column with unique ids; the rows are numbered when it is left out.
        distill_model: Reads the documents (filter and summarize). A `Model`, `"local"`, `"openai:<name>"`,
            or `None` for the default: OpenAI's if `OPENAI_API_KEY` is set, else the local engine.
        cluster_model: Embeds the distilled items; an `EmbedModel`, a string or `None`.
        synth_model: Synthesizes and reviews concepts.
        score_model: Scores the documents and summarizes concepts.
        debug: Print what the steps do.
        budget: US dollars that the whole session may cost; it stops before exceeding them.
        token_budget: Tokens that the whole session may use; needed in addition to `budget`, or instead of
            it, when a model's price is unknown.
        cache: Cache the replies of paid models on this machine, so that no reply is paid twice. `False`
            caches nothing, and a path names the file. `LLOOM_CACHE=0` turns it off for all sessions.
        random_state: Seed of everything that is random.
        retry: How often and how long to retry a request.

    Raises:
        InputError: When the frame or a model cannot be used; see `Corpus.from_frame`.
    """

    def __init__(
        self,
        df: IntoDataFrame,
        text_col: str,
        id_col: str | None = None,
        distill_model: ModelSpec = None,
        cluster_model: EmbedSpec = None,
        synth_model: ModelSpec = None,
        score_model: ModelSpec = None,
        *,
        debug: bool = False,
        budget: float | None = None,
        token_budget: int | None = None,
        cache: bool | str | Path = True,
        random_state: int = 0,
        retry: RetryPolicy | None = None,
    ) -> None:
        corpus = Corpus.from_frame(df, text_col=text_col, id_col=id_col)
        models = resolve_models(
            distill=distill_model,
            cluster=cluster_model,
            synth=synth_model,
            score=score_model,
            background=corpus.texts,
        )
        super().__init__(
            corpus,
            models,
            budget=budget,
            token_budget=token_budget,
            random_state=random_state,
            debug=debug,
            cache=cache,
            retry=retry,
        )

    def __repr__(self) -> str:
        return (
            f"<lloom session: {len(self.corpus)} documents, {len(self.concepts)} concepts "
            f"({len(self.concepts.active)} selected), {sum(i in self.table for i in self.concepts)} scored>"
        )

    @property
    def sync(self) -> SyncMethods:
        """The same methods for code that does not `await`: `l.sync.gen(...)`."""
        return SyncMethods(self)

    @property
    def budget(self) -> float | None:
        """US dollars that the whole session may cost, `None` for no limit; raise it to continue."""
        return None if self._run.budget is None else self._run.budget.usd

    @budget.setter
    def budget(self, usd: float | None) -> None:
        limit_usd(self._run, usd, self.models)

    @property
    def token_budget(self) -> int | None:
        """Tokens that the whole session may use, `None` for no limit; raise it to continue."""
        return None if self._run.token_budget is None else int(self._run.token_budget.usd)

    @token_budget.setter
    def token_budget(self, tokens: int | None) -> None:
        limit_tokens(self._run, tokens)

    @property
    def in_df(self) -> pd.DataFrame:
        """The documents with all columns."""
        return self.corpus.frame

    # Generation

    async def gen(
        self,
        seed: str | None = None,
        params: Mapping[str, object] | None = None,
        n_synth: int = 1,
        custom_prompts: Mapping[str, PromptSpec] | None = None,
        auto_review: bool = True,
        debug: bool = True,
        *,
        confirm: bool | None = None,
    ) -> None:
        """Generate concepts: Distill → Cluster → Synthesize → Review.

        The concepts of an earlier `gen` are replaced; concepts added by hand stay.

        Args:
            seed: A subject to concentrate on, such as `"social issues"`.
            params: Any of `filter_n_quotes`, `summ_n_bullets`, `synth_n_concepts` and
                `target_n_concepts`; missing ones suit the data (`auto_suggest_parameters`). Also
                generation parameters by operator, such as `{"distill_filter": {"temperature": 0.3}}`.
            n_synth: How often to synthesize; from the second time on, concepts of concepts.
            custom_prompts: Prompts by operator: a template (see `show_prompt`), a function of its fields
                that returns the prompt, or a `Prompt`, which can also have a system message. `None` skips a
                distill step.
            auto_review: Remove useless concepts and merge equal ones.
            debug: Print what the steps do.
            confirm: `False` never asks before spending; `True` always asks.

        Raises:
            InputError: For unknown parameters or prompts without a required field; nothing is spent.
            StepFailed: When no request of a step could be answered.
            BudgetReached: When the next request would exceed the budget.
            ModelUnavailable: When a model is unavailable for longer than a request may wait.
        """
        self._pending.warn()
        await run_async(
            plan_gen(self, seed, params, n_synth, custom_prompts, auto_review, debug=debug, confirm=confirm)
        )

    async def gen_auto(
        self,
        max_concepts: int = 8,
        seed: str | None = None,
        params: Mapping[str, object] | None = None,
        n_synth: int = 1,
        custom_prompts: Mapping[str, PromptSpec] | None = None,
        debug: bool = True,
        *,
        confirm: bool | None = None,
    ) -> pd.DataFrame | None:
        """Generate, select and score concepts; see `gen`, `select_auto` and `score`.

        Parameters and prompts may also be those of the scoring operators.

        Returns:
            The score table, or `None` when the user declined.
        """
        self._pending.warn()
        return await run_async(
            plan_gen_auto(
                self, max_concepts, seed, params, n_synth, custom_prompts, debug=debug, confirm=confirm
            )
        )

    def auto_suggest_parameters(
        self, sample_size: int | None = None, target_n_concepts: int = 20, debug: bool = False
    ) -> dict[str, int]:
        """Suggest parameters for `gen` that suit the length of the documents.

        Args:
            sample_size: Use a sample of this many documents.
            target_n_concepts: The wanted number of concepts.
            debug: Print them.
        """
        return suggest(self, sample_size, target_n_concepts, debug=debug)

    def estimate_gen_cost(
        self, params: Mapping[str, object] | None = None, verbose: bool = False
    ) -> Estimate:
        """Print and return the estimated cost of `gen(params=params)`, as a range.

        Args:
            params: As for `gen`.
            verbose: Print a line per step.
        """
        return estimate_gen_cost(self, params, verbose=verbose)

    def show_prompt(self, step_name: str) -> str:
        """The prompt template of a step, to start a custom prompt from."""
        return template_of(step_name).text

    def validate_prompt(self, step_name: str, prompt: str | Callable[..., str]) -> None:
        """Check a custom prompt.

        Raises:
            PromptError: When it lacks a required field.
            UnknownName: When the step has no custom prompt, or a field is misspelt.
        """
        check_prompt(step_name, prompt, list(self.corpus.frame.columns))

    def params_info(self) -> pd.DataFrame:
        """The parameters of each operator, with their values and where these come from.

        Returns:
            Columns `operator`, `model`, `name`, `value` (`None` where the provider decides), `source`
            (`"operator"` given to `gen` or `score`, `"model"`, `"data"` or `"provider"`), `description`.
        """
        return params_frame(self.models, self._run.settings, parameters_for(self))

    # Selection

    async def select_auto(self, max_concepts: int) -> None:
        """Have the synthesis model select the concepts that together say most about the documents.

        Args:
            max_concepts: The largest number to select; all others are deselected.
        """
        self._pending.warn()
        await run_async(plan_select_auto(self, max_concepts))

    # Concepts by hand

    async def add(
        self,
        name: str,
        prompt: str,
        ex_ids: Sequence[Hashable] = (),
        get_highlights: bool = True,
        *,
        confirm: bool | None = None,
    ) -> pd.DataFrame | None:
        """Add a concept and score all documents on it.

        Args:
            name: A name of a few words.
            prompt: The criterion, such as "Does this text criticize government actions?".
            ex_ids: Ids of documents that show it.
            get_highlights: Ask for quotes.
            confirm: As for `gen`.

        Returns:
            Scores of the new concept, or `None` when the user declined (the concept stays, unscored).
        """
        self._pending.warn()
        return await run_async(plan_add(self, name, prompt, ex_ids, get_highlights, confirm=confirm))

    async def edit(
        self,
        c_id: str,
        name: str | None = None,
        prompt: str | None = None,
        ex_ids: Sequence[Hashable] | None = None,
        get_highlights: bool = True,
        *,
        confirm: bool | None = None,
    ) -> pd.DataFrame | None:
        """Change a concept; if it was scored, a changed criterion is scored again.

        Args:
            c_id: Id (or unique name) of the concept.
            name: Its new name.
            prompt: Its new criterion.
            ex_ids: Its new examples.
            get_highlights: Ask for quotes when scoring.
            confirm: As for `gen`.

        Returns:
            Scores of the concept, or `None` when it has none.
        """
        self._pending.warn()
        return await run_async(plan_edit(self, c_id, name, prompt, ex_ids, get_highlights, confirm=confirm))

    # Scoring

    async def score(
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
        mode: Literal["live", "batch"] = "live",
        wait: bool = True,
        poll_seconds: float = 60.0,
        params: Mapping[str, object] | None = None,
        custom_prompts: Mapping[str, PromptSpec] | None = None,
        long_documents: LongDocuments = "windows",
    ) -> pd.DataFrame | None:
        """Score every document on the selected concepts (on all of them when none is selected).

        Args:
            c_ids: Ids of the concepts to score, instead of the selected ones.
            batch_size: Documents per request.
            get_highlights: Ask for a quote that shows the concept.
            ignore_existing: Skip what already has a score.
            score_all: Score all concepts, selected or not.
            df: Other documents to score, with the same text and id columns; the session's own scores do
                not change.
            concepts_per_call: Concepts per request; 1 asks about each concept separately.
            score_on: `"text"` judges the full document, `"quotes"` the quotes of the Distill step.
            confirm: As for `gen`.
            mode: `"live"` asks at once. `"batch"` uses the provider's Batch API: half the price, within 24
                hours, only for `OpenAIModel`. Another call fetches the batches that were sent before, also
                after a restart (see `docs/batch.md`).
            wait: Wait for batches to end; `False` returns at once.
            poll_seconds: The longest interval between two checks of a batch.
            params: Generation parameters of scoring, such as `{"temperature": 0}`. They also apply to later
                calls (and to `add`, `edit` and `retry_failures`), until others are given.
            custom_prompts: Prompts for `score` and `summarize_concept`, as for `gen`; they apply to later
                calls, like `params`.
            long_documents: What happens to documents that are longer than the model's context window.
                `"windows"` reads them in overlapping parts that end at sentence ends: the highest score
                counts, and its rationale names the part. `"cut"` reads only the beginning, says so in the
                rationale and lists the documents in a warning. `"refuse"` gives no score, but a failure.

        Returns:
            One row per document and concept (see `ScoreTable.to_frame`); `NaN` where there is no score.
            `None` when the user declined.

        Raises:
            InputError: When there is no concept, or an argument cannot be used; nothing is spent.
            BudgetReached: When the next request would exceed the budget; scores so far are kept.
            ModelUnavailable: When a model is unavailable for longer than a request may wait; scores so far
                are kept.
        """
        self._pending.warn()
        return await run_async(
            plan_score(
                self,
                c_ids,
                batch_size,
                get_highlights,
                ignore_existing,
                score_all,
                df,
                concepts_per_call=concepts_per_call,
                score_on=score_on,
                confirm=confirm,
                mode=mode,
                wait=wait,
                poll_seconds=poll_seconds,
                params=params,
                custom_prompts=custom_prompts,
                long_documents=long_documents,
            )
        )

    async def cancel_batches(self) -> list[BatchJob]:
        """Stop the unfinished batches of this session's documents and concepts.

        What they have answered is paid for, and `score(mode="batch")` fetches it. Batches that the
        provider does not know are removed, so that their questions can be sent again.

        Returns:
            The batches with their new state.
        """
        self._pending.warn()
        return await run_async(plan_cancel_batches(self))

    @property
    def batch_jobs(self) -> list[BatchJob]:
        """The batches that this session has sent or taken over, oldest first, in their last known state."""
        return self._batches.jobs

    def get_score_df(self) -> pd.DataFrame:
        """Scores of the selected concepts (of all scored ones when none is selected)."""
        return self.table.to_frame(self._scored())

    def estimate_score_cost(
        self,
        n_concepts: int | None = None,
        batch_size: int = 1,
        get_highlights: bool = True,
        verbose: bool = False,
        *,
        concepts_per_call: int = CONCEPTS_PER_CALL,
        mode: Literal["live", "batch"] = "live",
    ) -> Estimate:
        """Print and return the estimated cost of scoring, as a range.

        Args:
            n_concepts: The number of concepts; by default the selected ones.
            batch_size: As for `score`.
            get_highlights: As for `score`.
            verbose: Print a line per step.
            concepts_per_call: As for `score`.
            mode: As for `score`.
        """
        return estimate_score_cost(
            self,
            n_concepts,
            batch_size,
            get_highlights,
            verbose,
            concepts_per_call=concepts_per_call,
            mode=mode,
        )

    async def auto_eval(self, items: Mapping[str, Mapping[str, str]]) -> Coverage:
        """Ask the synthesis model which known concepts were found.

        Args:
            items: Known concepts: id → `{"name": ..., "prompt": ...}`.
        """
        self._pending.warn()
        return await run_async(plan_auto_eval(self, items))

    async def map(
        self,
        question: object,
        schema: object = None,
        *,
        regex: str | None = None,
        prompt: str | Callable[..., str] | None = None,
        system: str | None = None,
        params: Mapping[str, object] | None = None,
        model: ModelSpec = None,
        df: IntoDataFrame | None = None,
        prefix: str = "",
        confirm: bool | None = None,
    ) -> pd.DataFrame | None:
        """Ask every document a question of your own.

        Args:
            question: A pydantic model: its docstring is the question, its fields are the answer (a field of
                type `Quote` must occur in the document). Or the question as text.
            schema: The form of the answers to a question that is text, as for `Model.call`.
            regex: A pattern that the whole answer to a question that is text must match.
            prompt: A template with the fields `{text}`, `{question}`, `{form}` and any column of the
                documents, or a function of these that returns the prompt.
            system: The system message.
            params: Generation parameters.
            model: The model to ask; the score model when not given.
            df: Other documents, with the same text and id columns.
            prefix: A prefix for the names of the new columns.
            confirm: As for `gen`.

        Returns:
            The documents in order, with a column per field of the answer (`answer` for a question that is
            text); missing where there is no answer, see `failures()`. `None` when the user declined.

        Raises:
            InputError: When the question, its form or its prompt cannot be used; nothing is spent.
            BudgetReached: When the next request would exceed the budget; the replies so far are cached, so
                that asking again continues from there.
        """
        self._pending.warn()
        return await run_async(
            plan_map(
                self,
                question,
                schema,
                regex=regex,
                prompt=prompt,
                system=system,
                params=params,
                model=model,
                df=df,
                prefix=prefix,
                confirm=confirm,
            )
        )

    # Results

    def summary(self, verbose: bool = True, return_vals: bool = False) -> Summary | None:
        """Print the time, cost and tokens of every step so far.

        Args:
            verbose: Print a line per step.
            return_vals: Also return the figures.
        """
        return show_summary(self.ledger, self.time, verbose=verbose, return_vals=return_vals)

    def usage(self) -> pd.DataFrame:
        """One row per attempt of a request.

        Returns:
            Columns `step`, `model`, `at` (seconds since the epoch), `seconds`, `in_tokens`, `out_tokens`,
            `usd` (`NaN` = price unknown), `outcome` (`cached` costs nothing), `estimated`.
        """
        return self.ledger.to_frame()

    def rate_status(self) -> pd.DataFrame:
        """The use of the rate limits of the session's models.

        Returns:
            One row per model and limit, columns `model`, `limit`, `unit` (requests or tokens), `seconds`
            (of the window), `used`, `remaining`, `seconds_until_free`, `waiting`, `in_flight`,
            `concurrency`; a model without limits has one row with its concurrency.
        """
        return rate_frame(self.models)

    def failures(self) -> pd.DataFrame:
        """Requests that could not be answered.

        Returns:
            Columns `step`, `doc_ids`, `concept_ids`, `kind`, `reason`, `attempts`, `usd`.
        """
        return failures_frame(self._run.failures)

    async def retry_failures(self) -> int:
        """Ask the failed requests of scoring again, in the same way.

        A failure stays listed until its documents and concepts have scores. Failures of generation steps
        are not retried; call `gen()` again, which reads the replies that it already has from the cache.

        Returns:
            How many requests of scoring still failed.

        Raises:
            BudgetReached: When the next request would exceed the budget; what was not asked stays listed.
        """
        self._pending.warn()
        return await run_async(plan_retry(self))

    async def resume(self, *, confirm: bool | None = None) -> pd.DataFrame | None:
        """Continue the last scoring after a budget, an interrupt or failures ended it.

        It asks about the same documents and concepts, with the same arguments (`score_on`, `mode`, `params`
        and so on), and only for the scores that are still missing; see `score`.

        Args:
            confirm: As for `gen`.
        """
        self._pending.warn()
        return await run_async(plan_resume(self, confirm=confirm))

    def save(self, folder: str | Path, file_name: str | None = None) -> Path:
        """Save the session, without keys or models.

        Args:
            folder: The folder; it is created if needed.
            file_name: A name without suffix; the local time by default.

        Returns:
            The path of the file, which `wb.load(path)` opens.
        """
        return save_session(self, folder, file_name)

    def submit(self) -> None:
        """Not available: in LLooM, it sent the session with all documents to a third party's server.

        Raises:
            InputError: Always; says what to use instead.
        """
        raise InputError(
            "submit() sent the documents to a server of a third party and does not exist here. To share "
            "results, write one self-contained page with l.export_html('view.html')."
        )


class SyncMethods:
    """The methods of a session that ask models or edit concepts, for code that does not `await`."""

    def __repr__(self) -> str:
        return f"<methods of {self._session!r} that do not need await>"

    def __init__(self, session: lloom) -> None:
        self._session = session
        self.gen = _now(plan_gen, session, session.gen)
        self.gen_auto = _now(plan_gen_auto, session, session.gen_auto)
        self.select_auto = _now(plan_select_auto, session, session.select_auto)
        self.add = _now(plan_add, session, session.add)
        self.edit = _now(plan_edit, session, session.edit)
        self.score = _now(plan_score, session, session.score)
        self.map = _now(plan_map, session, session.map)
        self.cancel_batches = _now(plan_cancel_batches, session, session.cancel_batches)
        self.auto_eval = _now(plan_auto_eval, session, session.auto_eval)
        self.retry_failures = _now(plan_retry, session, session.retry_failures)
        self.resume = _now(plan_resume, session, session.resume)
        self.add_concept, self.add_codebook = session.add_concept, session.add_codebook
        self.rename, self.change_criteria = session.rename, session.change_criteria
        self.merge, self.propose_split, self.split = session.merge, session.propose_split, session.split
        self.remove, self.undo, self.redo = session.remove, session.undo, session.redo
        self.label, self.select = session.label, session.select


def load(
    path: str | Path,
    *,
    distill_model: ModelSpec = None,
    cluster_model: EmbedSpec = None,
    synth_model: ModelSpec = None,
    score_model: ModelSpec = None,
    debug: bool = False,
    budget: float | None = None,
    token_budget: int | None = None,
    cache: bool | str | Path = True,
    retry: RetryPolicy | None = None,
) -> lloom:
    """Open a session that was saved with `l.save()`.

    Models and keys are not in the file; pass the models again, as for `lloom`. Loading runs no code in the
    file. `budget` and `token_budget` apply to the whole session, including what was spent before it was
    saved.

    Raises:
        FileProblem: When the file cannot be read, or is not a session file.
    """
    from text_lloom.storage.session import read_session

    state = read_session(path)
    random_state = state.settings.get("random_state", 0)
    session = lloom.__new__(lloom)
    Viewing.__init__(
        session,
        state.corpus,
        resolve_models(
            distill=distill_model,
            cluster=cluster_model,
            synth=synth_model,
            score=score_model,
            background=state.corpus.texts,
        ),
        budget=None,
        random_state=random_state if isinstance(random_state, int) else 0,
        debug=debug,
        cache=cache,
        retry=retry,
    )
    restore_state(session, state)
    session.budget, session.token_budget = budget, token_budget
    return session


def load_codebook(
    path: str | Path,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    sheet: str | int | None = None,
    header_row: int | None = None,
) -> Codebook:
    """Read a codebook: ours, a table, or what Taguette, MAXQDA, NVivo, QualCoder or ATLAS.ti export.

    `l.add_codebook(...)` adds its concepts to a session. See `read_codebook` for the formats, and
    `docs/tables.md`.

    Raises:
        FileProblem: When the file cannot be read as a codebook; names the columns found.
    """
    from text_lloom.storage.codebook import read_codebook

    return read_codebook(path, encoding=encoding, separator=separator, sheet=sheet, header_row=header_row)


def _now(
    plan: Callable[Concatenate[lloom, P], Coroutine[Any, Any, T]],
    session: lloom,
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, T]:
    """The synchronous version of a method: planned on this thread, run on the event-loop thread."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        session._pending.warn()
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"l.sync.{method.__name__}(): {error}") from None
        return run_sync(plan(session, *args, **kwargs))

    return call
