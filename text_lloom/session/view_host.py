"""Connects a session to its live views: answers their requests and updates them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import InputError
from text_lloom.labels import Verdict
from text_lloom.llm.runtime.event_loop import is_event_loop_thread, start
from text_lloom.operators.score import CONCEPTS_PER_CALL, plan_scoring
from text_lloom.session.edit import Editing
from text_lloom.session.progress import Meter, ProgressState, StepProgress
from text_lloom.session.score import estimate_scoring, plan_score
from text_lloom.widget.host import Draft, Host, ScoringEstimate, ViewOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text_lloom.analysis.splitting import SplitPart
    from text_lloom.widget.snapshot import CorpusReader, Progress, Snapshot
    from text_lloom.widget.view import ConceptView

__all__ = ["SessionHost"]

_MOST_LIVE_VIEWS: Final = 8
_SHORTEST_PAUSE: Final = 0.3
_LONGEST_PAUSE: Final = 5.0
_BYTES_PER_SECOND: Final = 1_000_000
_PAUSE_PER_WORK: Final = 10
_SAMPLE: Final = 200
_FEWEST_ON_MAP: Final = 3


class SessionHost(Host):
    """The interface of a session for its views; safe to use from any thread.

    Args:
        session: The session.
    """

    def __init__(self, session: Editing) -> None:
        self._session = session
        self._views: list[ConceptView] = []
        self._reader: CorpusReader | None = None
        self._scoring = False
        self._lock = threading.Lock()
        self._refresh_pool = ThreadPoolExecutor(1, thread_name_prefix="lloom-views")
        self._map_pool = ThreadPoolExecutor(1, thread_name_prefix="lloom-map")
        self._laid_out: Future[NDArray[np.float32] | None] | None = None
        session._listeners.append(self._changed)
        if isinstance(session._run.progress, StepProgress):
            session._run.progress.watch(self._watch)

    def attach(self, view: ConceptView) -> None:
        """Keep a view up to date; only the eight latest views are."""
        with self._lock:
            self._views.append(view)
            dropped = self._views[:-_MOST_LIVE_VIEWS]
            del self._views[:-_MOST_LIVE_VIEWS]
        for old in dropped:
            text = "This view is no longer kept up to date. Run its cell again to go on with it."
            old.tell("info", text, at=_now())

    def snapshot(self, options: ViewOptions) -> Snapshot:
        from text_lloom.widget.history import history_of
        from text_lloom.widget.snapshot import Snapshot, copied, score_codes

        session = self._session
        with session._edit_lock:
            concepts = copied(list(session.concepts.values()))
            history = history_of(session.concepts)
            labels = tuple(session._labels)
        scored = [c for c in concepts if c.id in session.table and not session.table.is_stale(c)]
        models = session.models
        return Snapshot(
            reader=self.reader,
            concepts=concepts,
            score_ids=tuple(concept.id for concept in scored),
            codes=score_codes(session.table, scored),
            table=session.table,
            slices=options.slices,
            quotes=session._quotes,
            bullets=session._bullets,
            support=session._support,
            stale=frozenset(c.id for c in concepts if session.table.is_stale(c)),
            labels=labels,
            history=history,
            layout=session._layout,
            models=tuple(dict.fromkeys(_label(model) for model in models)),
            title=options.title,
            shown_columns=options.shown_columns,
            show_highlights=options.show_highlights,
            include_outliers=options.include_outliers,
        )

    @property
    def reader(self) -> CorpusReader:
        """The documents, read once for all views."""
        from text_lloom.widget.snapshot import CorpusReader

        with self._lock:
            if self._reader is None or self._reader.corpus is not self._session.corpus:
                self._reader = CorpusReader(self._session.corpus)
            return self._reader

    def progress(self) -> Progress | None:
        shown = self._session._run.progress
        state = shown.current if isinstance(shown, StepProgress) else None
        return None if state is None else self._progress(state)

    def rename(self, concept_id: str, name: str) -> Sequence[str]:
        return [self._session.rename(self._known(concept_id), name).id]

    def change_criteria(self, concept_id: str, criteria: str) -> Sequence[str]:
        return [self._session.change_criteria(self._known(concept_id), criteria).id]

    def merge(self, concept_ids: Sequence[str], name: str, criteria: str) -> Sequence[str]:
        return [self._session.merge([self._known(i) for i in concept_ids], name=name, criteria=criteria).id]

    def split(self, concept_id: str, parts: Sequence[SplitPart]) -> Sequence[str]:
        return [made.id for made in self._session.split(self._known(concept_id), parts)]

    def remove(self, concept_ids: Sequence[str]) -> Sequence[str]:
        return [gone.id for gone in self._session.remove(*(self._known(i) for i in concept_ids))]

    def add(self, name: str, criteria: str) -> Sequence[str]:
        return [self._session.add_concept(name, criteria).id]

    def undo(self) -> Sequence[str]:
        event = self._session.undo()
        return [] if event is None else [concept.id for _, concept in event.removed]

    def redo(self) -> Sequence[str]:
        event = self._session.redo()
        return [] if event is None else [concept.id for _, concept in event.added]

    def label(self, row: int, concept_id: str, verdict: str | None, note: str) -> Sequence[str]:
        session = self._session
        session.label(session.corpus.ids[row], self._known(concept_id), cast("Verdict | None", verdict), note)
        return [concept_id]

    def choose(self, concept_ids: Sequence[str]) -> Sequence[str]:
        session = self._session
        chosen = {self._known(i) for i in concept_ids}
        with session._edit_lock:
            for concept in session.concepts.values():
                concept.active = concept.id in chosen
        session._changed()
        return list(concept_ids)

    def estimate(self, concept_ids: Sequence[str], drafts: Sequence[Draft] = ()) -> ScoringEstimate:
        session = self._session
        concepts = [session.concepts.find(i) for i in concept_ids]
        concepts += [Concept(draft.name, draft.criteria) for draft in drafts]
        due = np.zeros((len(concepts), len(session.corpus)), bool)
        for at, concept in enumerate(concepts):
            due[at, session.table.unscored(concept)] = True
        waiting = due.sum(axis=0)
        n_requests = int(np.ceil(waiting / CONCEPTS_PER_CALL).sum())
        rows = np.flatnonzero(waiting)
        sample = rows[:: max(1, len(rows) // _SAMPLE)].tolist()
        documents = [Document(session.corpus.ids[row], session.corpus.texts[row]) for row in sample]
        position = {document.id: row for document, row in zip(documents, sample, strict=True)}
        wanted = {concept.id: due[at] for at, concept in enumerate(concepts)}
        tasks = plan_scoring(
            documents, concepts, wanted=lambda doc_id, concept: bool(wanted[concept.id][position[doc_id]])
        )
        share = n_requests / len(tasks) if tasks else 0.0
        n_summed_up = int(due.any(axis=1).sum())
        asking, all_steps = (estimate_scoring(session, tasks, n_summaries=n) for n in (0, n_summed_up))
        return ScoringEstimate(
            n_docs=len(rows),
            n_requests=n_requests,
            usd_low=all_steps.usd_low + (share - 1) * asking.usd_low,
            usd_high=all_steps.usd_high + (share - 1) * asking.usd_high,
            known=not all_steps.unpriced,
            free=all_steps.is_free,
        )

    def propose_split(self, concept_id: str) -> Sequence[SplitPart]:
        return self._session.propose_split(self._known(concept_id))

    def start_scoring(self, concept_ids: Sequence[str], confirmed_usd: float | None) -> None:
        session = self._session
        estimate = self.estimate([self._known(i) for i in concept_ids])
        if not estimate.free and confirmed_usd is None:
            raise InputError("Scoring is not free, and its cost was not confirmed. Nothing was started.")
        confirmed = confirmed_usd or 0.0
        if not estimate.free and estimate.usd_high > confirmed * 1.01 + 0.005:
            raise InputError(
                f"The cost has risen to ${estimate.usd_high:,.2f}, above the ${confirmed:,.2f} that "
                f"were confirmed. Nothing was started; look at the estimate again."
            )
        with self._lock:
            if self._scoring or self.progress() is not None:
                raise InputError("The session is at work already. Wait until it is done, or cancel it.")
            self._scoring = True
        try:
            work = plan_score(session, list(concept_ids), confirm=False)
        except BaseException:
            self._scoring = False
            raise
        start(work, self._scored)

    def cancel(self) -> None:
        if not self._session._stop.ask():
            raise InputError("There is no scoring under way that could be cancelled.")

    def layout(self, *, patience: float = 20.0) -> NDArray[np.float32] | None:
        if len(self._session.corpus) < _FEWEST_ON_MAP:
            return None
        if self._session._layout is not None:
            return self._session._layout
        with self._lock:
            if self._laid_out is None or self._laid_out.done():
                self._laid_out = self._map_pool.submit(self._lay_out)
            laid_out = self._laid_out
        return laid_out.result(patience)

    def _lay_out(self) -> NDArray[np.float32] | None:
        places = self._session._lay_out()
        self._session._changed()
        return places

    def _known(self, concept_id: str) -> str:
        """Check that the codebook has an id; views name concepts by id only."""
        return self._session.concepts.find(concept_id).id

    def _scored(self, error: BaseException | None) -> None:
        """Handle the end of a scoring that a view started; called on the event-loop thread."""
        self._scoring = False
        if error is not None:
            text = f"Scoring ended: {error or type(error).__name__} What was scored by then is kept."
            self._refresh_pool.submit(self._tell, text)
        self._changed()

    def _tell(self, text: str) -> None:
        for view in self._live():
            view.tell("error", text, at=_now())

    def _live(self) -> list[ConceptView]:
        with self._lock:
            return list(self._views)

    def _changed(self) -> None:
        """Update all views; on the event-loop thread, hand the work to another thread."""
        if not self._live():
            return
        if is_event_loop_thread():
            self._refresh_pool.submit(self._refresh)
        else:
            self._refresh()

    def _refresh(self) -> None:
        for view in self._live():
            view.refresh()

    def _watch(self, meter: Meter, ended: threading.Event) -> None:
        """Follow a step that begins; called on the event-loop thread."""
        if self._live():
            threading.Thread(
                target=self._follow, args=(meter, ended), daemon=True, name="lloom-view-progress"
            ).start()

    def _follow(self, meter: Meter, ended: threading.Event) -> None:
        """Show the progress of a step until it has ended, at intervals that keep the cost low."""
        pause, is_scoring = 0.0, meter.step == "score"
        while not ended.wait(pause):
            began, sent = time.monotonic(), 0
            for view in self._live():
                view.follow(self._progress(meter.state()), scores=is_scoring)
                sent += len(view.scores) if is_scoring else 0
            took = time.monotonic() - began
            pause = min(
                _LONGEST_PAUSE, max(_SHORTEST_PAUSE, _PAUSE_PER_WORK * took, sent / _BYTES_PER_SECOND)
            )
        for view in self._live():
            view.follow(self.progress(), scores=is_scoring)

    def _progress(self, state: ProgressState) -> Progress:
        from text_lloom.widget.snapshot import Progress

        return Progress(
            step=state.label,
            done=state.done,
            total=state.total,
            failures=state.failed,
            usd=state.usd,
            seconds=round(state.seconds, 1),
            cancellable=self._session._stop.is_possible,
        )


def _label(model: object) -> str:
    return str(getattr(model, "label", None) or getattr(model, "name", type(model).__name__))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
