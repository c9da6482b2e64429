"""The scorings of a session: how each asked, and which scores it still lacks, so that it can be resumed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias, get_args

from text_lloom.errors import FileProblem
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.dispatch.step_state import Failure
from text_lloom.operators.score import CONCEPTS_PER_CALL
from text_lloom.scores import ScoreTable
from text_lloom.tasks import LongDocuments, ScoreDocuments

__all__ = ["Pair", "Scoring", "ScoringForm", "Scorings", "pairs_in"]

Pair: TypeAlias = tuple[Hashable, str]
"""The id of a document and the id of a concept."""

_STEP = "score"


@dataclass(frozen=True, slots=True)
class ScoringForm:
    """How a scoring asks: the arguments of `score`.

    Attributes:
        batch_size: Documents per request.
        get_highlights: Ask for quotes.
        ignore_existing: Skip what already has a score.
        concepts_per_call: Concepts per request.
        score_on: `"text"` or `"quotes"`.
        mode: `"live"` or `"batch"`.
        wait: Wait for batches to end.
        poll_seconds: The longest interval between two checks of a batch.
        long_documents: What happens to documents that are too long for the model.
    """

    batch_size: int = 1
    get_highlights: bool = True
    ignore_existing: bool = True
    concepts_per_call: int = CONCEPTS_PER_CALL
    score_on: str = "text"
    mode: str = "live"
    wait: bool = True
    poll_seconds: float = 60.0
    long_documents: LongDocuments = "windows"


@dataclass(eq=False, slots=True)
class Scoring:
    """One call of `score`.

    Attributes:
        table: The table for the scores; `None` when it was about documents that were not saved.
        concept_ids: The concepts.
        form: How it asks.
        settings: The settings of its operators; `None` for the session's current ones.
        owed: Pairs that it must still ask about although they have a score.
        answered: Pairs that were answered since the last `settle`.
    """

    table: ScoreTable | None
    concept_ids: tuple[str, ...]
    form: ScoringForm
    settings: Mapping[str, StepSettings] | None = None
    owed: set[Pair] = field(default_factory=set)
    answered: set[Pair] = field(default_factory=set)

    def is_about(self, failure: Failure) -> bool:
        """Whether a failure may belong to this scoring."""
        return (
            self.table is not None
            and all(doc_id in self.table.corpus.position for doc_id in failure.doc_ids)
            and all(concept_id in self.concept_ids for concept_id in failure.concept_ids)
        )


@dataclass(eq=False, slots=True)
class _Listed:
    """A failure in the session's list: its scoring, and the pairs that still have no answer."""

    failure: Failure
    scoring: Scoring
    left: set[Pair]


class Scorings:
    """Links the failures of a session to the scorings that caused them.

    Args:
        failures: The failures of the session; those that have been answered since are removed.

    Attributes:
        last: The last scoring that was started.
    """

    def __init__(self, failures: list[Failure]) -> None:
        self._failures = failures
        self._listed: dict[int, _Listed] = {}
        self.last: Scoring | None = None

    @contextmanager
    def recorded(self, scoring: Scoring, tasks: Iterable[ScoreDocuments]) -> Iterator[None]:
        """Record a scoring while it runs: what it asks, and at its end which scores it lacks."""
        if not scoring.form.ignore_existing:
            scoring.owed.update(pairs_in(tasks))
        self.last = scoring
        try:
            yield
        finally:
            self._settle(scoring)

    def _settle(self, scoring: Scoring) -> None:
        """Record the failures of a scoring that has ended, and remove those that are answered now."""
        new = [f for f in self._failures if id(f) not in self._listed and f.step == _STEP]
        added = [_Listed(f, scoring, _pairs_of(f)) for f in new if scoring.is_about(f)]
        failed = {pair for listed in added for pair in listed.left}
        for listed in [*self._listed.values(), *added]:
            if listed.scoring.table is scoring.table:
                listed.left -= scoring.answered
        for listed in self._listed.values():
            if listed.scoring.table is scoring.table:
                listed.left -= failed
        self._listed |= {id(listed.failure): listed for listed in added}
        scoring.owed -= scoring.answered
        scoring.answered = set()
        self._drop_answered()

    def open(self, own: ScoreTable, known: Collection[str]) -> list[tuple[Scoring, set[Pair]]]:
        """The pairs that failed and can be asked again, by scoring.

        Args:
            own: The table of the session's own documents.
            known: Ids of the existing concepts; failures about others are removed.
        """
        plain: Scoring | None = None
        for failure in self._failures:
            if failure.step == _STEP and id(failure) not in self._listed:
                plain = plain or Scoring(own, (), self.last.form if self.last else ScoringForm())
                self._listed[id(failure)] = _Listed(failure, plain, _pairs_of(failure))
        by_scoring: dict[Scoring, set[Pair]] = {}
        for listed in self._listed.values():
            listed.left = {pair for pair in listed.left if pair[1] in known}
            if listed.left and listed.scoring.table is not None:
                by_scoring.setdefault(listed.scoring, set()).update(listed.left)
        self._drop_answered()
        return list(by_scoring.items())

    @property
    def n_without_documents(self) -> int:
        """How many failures are about documents that were not saved with the session."""
        return sum(listed.scoring.table is None for listed in self._listed.values())

    def to_json(self, own: ScoreTable) -> dict[str, object]:
        """The scorings of the listed failures, and the last scoring, as JSON values."""
        scorings = [listed.scoring for listed in self._listed.values()]
        distinct = list(dict.fromkeys([*scorings, *([self.last] if self.last else [])]))
        place = {scoring: i for i, scoring in enumerate(distinct)}
        return {
            "scorings": [
                {"own": s.table is own, "concept_ids": list(s.concept_ids), "form": asdict(s.form)}
                for s in distinct
            ],
            "failures": [
                place[self._listed[id(f)].scoring] if id(f) in self._listed else None for f in self._failures
            ],
            "last": None if self.last is None else place[self.last],
        }

    def restore(self, saved: Any, own: ScoreTable) -> None:
        """Add what `to_json` gave.

        Raises:
            FileProblem: When `saved` is something else.
        """
        try:
            scorings = [
                Scoring(
                    own if written["own"] is True else None,
                    tuple(map(str, written["concept_ids"])),
                    _form(written["form"]),
                )
                for written in saved["scorings"]
            ]
            for failure, place in zip(self._failures, saved["failures"], strict=True):
                if place is not None:
                    self._listed[id(failure)] = _Listed(failure, scorings[place], _pairs_of(failure))
            last = saved["last"]
            self.last = None if last is None else scorings[last]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise FileProblem(
                f"How the failures in the session file were asked cannot be read ({type(error).__name__}: "
                f"{error}). The file was changed, or written by a newer version."
            ) from None
        if self.last is not None and self.last.table is None:
            self.last = None

    def _drop_answered(self) -> None:
        answered = {place for place, listed in self._listed.items() if not listed.left}
        self._failures[:] = [failure for failure in self._failures if id(failure) not in answered]
        there = {id(failure) for failure in self._failures}
        self._listed = {place: listed for place, listed in self._listed.items() if place in there}


def pairs_in(tasks: Iterable[ScoreDocuments]) -> Iterator[Pair]:
    """The pairs of document and concept that tasks ask about."""
    return (pair for task in tasks for pair in itertools.product(task.doc_ids, task.concept_ids))


def _pairs_of(failure: Failure) -> set[Pair]:
    return {(doc_id, concept_id) for doc_id in failure.doc_ids for concept_id in failure.concept_ids}


def _form(written: Mapping[str, object]) -> ScoringForm:
    plain = ScoringForm()
    names: Sequence[str] = [part.name for part in fields(ScoringForm)]
    kept = {
        name: written[name]
        for name in names
        if name in written and type(written[name]) is type(getattr(plain, name))
    }
    if kept.get("long_documents") not in get_args(LongDocuments):
        kept.pop("long_documents", None)
    return ScoringForm(**kept)  # type: ignore[arg-type]
