"""The book of a session's scorings: how each was asked and what it still owes, so that it can go on."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

from text_lloom.errors import FileProblem
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.dispatch.step_state import Failure
from text_lloom.operators.score import CONCEPTS_PER_CALL
from text_lloom.scores import ScoreTable

__all__ = ["Pair", "Scoring", "ScoringForm", "Scorings"]

Pair: TypeAlias = tuple[Hashable, str]
"""The id of a document and the id of a concept."""

_STEP = "score"


@dataclass(frozen=True, slots=True)
class ScoringForm:
    """How a scoring asks; the arguments of `score`.

    Attributes:
        batch_size: Documents per request.
        get_highlights: Ask for quotes.
        ignore_existing: Leave out what has a score already.
        concepts_per_call: Concepts per request.
        score_on: `"text"` or `"quotes"`.
        mode: `"live"` or `"batch"`.
        wait: Wait for batches to end.
        poll_seconds: The longest time between two looks at a batch.
    """

    batch_size: int = 1
    get_highlights: bool = True
    ignore_existing: bool = True
    concepts_per_call: int = CONCEPTS_PER_CALL
    score_on: str = "text"
    mode: str = "live"
    wait: bool = True
    poll_seconds: float = 60.0


@dataclass(eq=False, slots=True)
class Scoring:
    """One call of `score`.

    Attributes:
        table: Gets the scores; `None` when they were about documents that are not here any more.
        concept_ids: The concepts.
        form: How it asks.
        settings: How its operators ask; `None` for as they do now.
        owed: What it has still to ask although there are scores already.
        answered: What was answered by now.
    """

    table: ScoreTable | None
    concept_ids: tuple[str, ...]
    form: ScoringForm
    settings: Mapping[str, StepSettings] | None = None
    owed: set[Pair] = field(default_factory=set)
    answered: set[Pair] = field(default_factory=set)

    def is_about(self, failure: Failure) -> bool:
        """Whether a failure may be one of this scoring."""
        return (
            self.table is not None
            and all(doc_id in self.table.corpus.position for doc_id in failure.doc_ids)
            and all(concept_id in self.concept_ids for concept_id in failure.concept_ids)
        )


@dataclass(eq=False, slots=True)
class _Listed:
    """A failure in the session's list: what asked, and what of it has no answer yet."""

    failure: Failure
    scoring: Scoring
    left: set[Pair]


class Scorings:
    """What the scorings of a session have left open.

    Args:
        failures: The failures of the session; those that were mended are taken out.

    Attributes:
        last: The last scoring that was started.
    """

    def __init__(self, failures: list[Failure]) -> None:
        self._failures = failures
        self._listed: dict[int, _Listed] = {}
        self.last: Scoring | None = None

    def begin(self, scoring: Scoring) -> None:
        """A scoring starts."""
        self.last = scoring

    def settle(self, scoring: Scoring) -> None:
        """A scoring has ended, perhaps halfway: note what failed, and drop what has been mended."""
        new = [f for f in self._failures if id(f) not in self._listed and f.step == _STEP]
        added = [_Listed(f, scoring, pairs_of(f)) for f in new if scoring.is_about(f)]
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
        self._drop_mended()

    def open(self, own: ScoreTable, known: Collection[str]) -> list[tuple[Scoring, set[Pair]]]:
        """What has failed and can be asked again, by scoring.

        Args:
            own: The table of the session's own documents.
            known: Ids of the concepts that there are; what asked about others is dropped.
        """
        plain: Scoring | None = None
        for failure in self._failures:
            if failure.step == _STEP and id(failure) not in self._listed:
                plain = plain or Scoring(own, (), self.last.form if self.last else ScoringForm())
                self._listed[id(failure)] = _Listed(failure, plain, pairs_of(failure))
        by_scoring: dict[Scoring, set[Pair]] = {}
        for listed in self._listed.values():
            listed.left = {pair for pair in listed.left if pair[1] in known}
            if listed.left and listed.scoring.table is not None:
                by_scoring.setdefault(listed.scoring, set()).update(listed.left)
        self._drop_mended()
        return list(by_scoring.items())

    @property
    def out_of_reach(self) -> int:
        """Failures about documents that are not here any more."""
        return sum(listed.scoring.table is None for listed in self._listed.values())

    def to_json(self, own: ScoreTable) -> dict[str, object]:
        """How the listed failures and the last scoring were asked, as JSON values."""
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
        """Take over what `to_json` gave.

        Raises:
            FileProblem: When it is something else.
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
                    self._listed[id(failure)] = _Listed(failure, scorings[place], pairs_of(failure))
            last = saved["last"]
            self.last = None if last is None else scorings[last]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise FileProblem(
                f"How the failures in the session file were asked cannot be read ({type(error).__name__}: "
                f"{error}). The file was changed, or written by a newer version."
            ) from None
        if self.last is not None and self.last.table is None:
            self.last = None

    def _drop_mended(self) -> None:
        mended = {place for place, listed in self._listed.items() if not listed.left}
        self._failures[:] = [failure for failure in self._failures if id(failure) not in mended]
        there = {id(failure) for failure in self._failures}
        self._listed = {place: listed for place, listed in self._listed.items() if place in there}


def pairs_of(failure: Failure) -> set[Pair]:
    """What a failure is about."""
    return {(doc_id, concept_id) for doc_id in failure.doc_ids for concept_id in failure.concept_ids}


def _form(written: Mapping[str, object]) -> ScoringForm:
    plain = ScoringForm()
    names: Sequence[str] = [part.name for part in fields(ScoringForm)]
    kept = {
        name: written[name]
        for name in names
        if name in written and type(written[name]) is type(getattr(plain, name))
    }
    return ScoringForm(**kept)  # type: ignore[arg-type]
