"""The batches of a session: what each of them asks, in memory and on disk, and what it reserves in budgets.

A record has no text in it: it holds hashes of documents and criteria. A session that is loaded, or created
again over the same documents and concepts, so finds the batches that answer its questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from text_lloom.errors import BudgetReached, FileProblem
from text_lloom.llm.batches import BatchJob
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS, StepSettings
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.model import Model

__all__ = [
    "BatchBudget",
    "BatchCost",
    "BatchRecord",
    "BatchRecords",
    "RecordedConcept",
    "RecordedQuestion",
    "model_key",
    "text_hash",
    "total_cost",
]

_VERSION: Final = 1


class RecordedConcept(NamedTuple):
    """A concept that a batch asks about.

    Attributes:
        id: Its id in the session that sent the batch.
        criteria: Hash of its criterion.
    """

    id: str
    criteria: str


class RecordedQuestion(NamedTuple):
    """A question in a batch.

    Attributes:
        documents: Hashes of their texts, in the order of the prompt.
        concepts: Positions in the record's `concepts`, in the order of the prompt.
    """

    documents: tuple[str, ...]
    concepts: tuple[int, ...]


class BatchCost(NamedTuple):
    """What requests cost.

    Attributes:
        usd: US dollars, at the price of batches.
        tokens: Tokens of prompts and replies.
    """

    usd: float = 0.0
    tokens: int = 0

    def plus(self, other: BatchCost) -> BatchCost:
        """Both together."""
        return BatchCost(self.usd + other.usd, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch and the questions in it.

    Attributes:
        job: The batch.
        model_key: See `model_key`.
        get_highlights: Whether the questions ask for quotes.
        concepts: The concepts of all questions.
        requests: Key of a request → the questions with that prompt.
        expected: The estimated cost; zero if there was no budget.
    """

    job: BatchJob
    model_key: str
    get_highlights: bool
    concepts: tuple[RecordedConcept, ...]
    requests: Mapping[str, tuple[RecordedQuestion, ...]]
    expected: BatchCost

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "version": _VERSION,
            "job": self.job._asdict(),
            "asker": self.model_key,
            "get_highlights": self.get_highlights,
            "concepts": [list(concept) for concept in self.concepts],
            "requests": [
                [key, *([list(documents), list(concepts)] for documents, concepts in questions)]
                for key, questions in self.requests.items()
            ],
            "expected": list(self.expected),
        }

    @classmethod
    def from_json(cls, written: Any) -> BatchRecord:
        """The record that `to_json` wrote.

        Raises:
            ValueError: When `written` is not a batch record; also `LookupError` or `TypeError`.
        """
        if written["version"] != _VERSION:
            raise ValueError(f"version {written['version']!r} of a batch record")
        return cls(
            job=_job(written["job"]),
            model_key=str(written["asker"]),
            get_highlights=bool(written["get_highlights"]),
            concepts=tuple(RecordedConcept(str(i), str(criteria)) for i, criteria in written["concepts"]),
            requests={
                str(key): tuple(
                    RecordedQuestion(tuple(map(str, d)), tuple(map(int, c))) for d, c in questions
                )
                for key, *questions in written["requests"]
            },
            expected=BatchCost(float(written["expected"][0]), int(written["expected"][1])),
        )


class BatchRecords:
    """The batches of a session, and unfinished ones that other sessions left on this machine.

    Args:
        folder: Folder with the records of unfinished batches; `None` keeps them in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.reserved: dict[str, BatchCost] = {}
        """File id → cost that is reserved in this session's budgets."""
        self.sending = asyncio.Lock()
        """Held while questions are sent, so that the next scoring sees these batches."""
        self.filled: dict[str, list[object]] = {}
        """File id → the tables that have the answers, for batches that were fetched."""
        self._under_way: dict[str, BatchRecord] = {}
        self._ended: dict[str, BatchJob] = {}

    @property
    def jobs(self) -> list[BatchJob]:
        """All batches of this session, including ended ones, oldest first."""
        known = [*self._ended.values(), *(record.job for record in self._under_way.values())]
        return sorted(known, key=lambda job: (job.created, job.file_id))

    def under_way(self, key: str) -> list[BatchRecord]:
        """The batches of a model whose answers were not fetched yet, of all sessions on this machine.

        Args:
            key: See `model_key`.
        """
        found = {record.job.file_id: record for record in self.own(key)}
        for path in self._files(key):
            try:
                record = BatchRecord.from_json(json.loads(path.read_bytes()))
            except FileNotFoundError:  # another process has just fetched it
                continue
            except (OSError, ValueError, LookupError, TypeError) as error:
                warnings.warn(f"The record of a batch at {path} cannot be read: {error}.", stacklevel=2)
                continue
            if record.model_key == key and record.job.file_id not in self._ended:
                found.setdefault(record.job.file_id, record)
        return sorted(found.values(), key=lambda record: (record.job.created, record.job.file_id))

    def has_ended(self, record: BatchRecord) -> bool:
        """Whether this session has fetched the answers of a batch, or knows that there are none."""
        return record.job.file_id in self._ended

    def own(self, key: str) -> list[BatchRecord]:
        """The batches of a model that this session sent or took over and has not fetched yet."""
        return [record for record in self._under_way.values() if record.model_key == key]

    def keep(self, record: BatchRecord) -> None:
        """Store the record of a batch, in memory and on disk."""
        self._under_way[record.job.file_id] = record
        path = self._path(record)
        if path is None:
            return
        try:
            _write(path, json.dumps(record.to_json(), separators=(",", ":")).encode())
        except OSError as error:
            warnings.warn(
                f"The record of the batch of {record.job.requests:,} requests could not be written to {path} "
                f"({error}). Save the session, so that the batch can be found again.",
                stacklevel=2,
            )

    def note(self, job: BatchJob) -> None:
        """Update the state of a batch, in memory only."""
        record = self._under_way.get(job.file_id)
        if record is not None:
            self._under_way[job.file_id] = replace(record, job=job)

    def close(self, record: BatchRecord, state: str) -> None:
        """Remove a batch whose answers were fetched, or that has none."""
        self._under_way.pop(record.job.file_id, None)
        self._ended[record.job.file_id] = record.job._replace(state=state)
        path = self._path(record)
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def to_json(self) -> dict[str, Any]:
        """The batches of this session as JSON values."""
        return {
            "under_way": [record.to_json() for record in self._under_way.values()],
            "ended": [job._asdict() for job in self._ended.values()],
        }

    def restore(self, written: Any) -> None:
        """Add the batches that `to_json` wrote.

        Raises:
            FileProblem: When `written` is something else.
        """
        try:
            records = [BatchRecord.from_json(entry) for entry in written["under_way"]]
            jobs = [_job(entry) for entry in written["ended"]]
        except (ValueError, LookupError, TypeError) as error:
            raise FileProblem(
                f"The batches in the session file cannot be read ({type(error).__name__}: {error}). The file "
                f"was changed, or written by a newer version."
            ) from None
        self._under_way |= {record.job.file_id: record for record in records}
        self._ended |= {job.file_id: job for job in jobs}

    def _files(self, key: str) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(self.folder.glob(f"{key[:16]}-*.json"))

    def _path(self, record: BatchRecord) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / f"{record.model_key[:16]}-{text_hash(record.job.file_id)}.json"


class BatchBudget:
    """Reserves the cost of batches in the budgets of a session, and settles it when they have ended.

    Args:
        run: Has the budgets.
        records: Remember what is reserved for each batch.

    Attributes:
        shortfall: The error of the last reservation that did not fit, `None` if all did.
    """

    def __init__(self, run: Run, records: BatchRecords) -> None:
        self._run, self._records = run, records
        self.shortfall: BudgetReached | None = None

    def reserve(self, record: BatchRecord) -> None:
        """Reserve the estimated cost of a batch that another session sent."""
        file_id = record.job.file_id
        if file_id in self._records.reserved:
            return
        try:
            self.add(record.expected)
        except BudgetReached as error:
            self.shortfall = error
        else:
            self._records.reserved[file_id] = record.expected

    def settle(self, record: BatchRecord, spent: BatchCost) -> None:
        """Replace the reservation of a batch by its actual cost."""
        reserved = self._records.reserved.pop(record.job.file_id, BatchCost())
        if not reserved.tokens:
            # Without a reservation the cost must not count as an error of the estimate.
            with contextlib.suppress(BudgetReached):
                self.add(spent)
                reserved = spent
        self.replace(reserved, spent)

    def add(self, cost: BatchCost) -> None:
        """Reserve a cost in all budgets.

        Raises:
            BudgetReached: When it would exceed one of them; nothing is reserved then.
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

    def replace(self, reserved: BatchCost, spent: BatchCost) -> None:
        """Replace a reservation by the actual cost."""
        if self._run.budget is not None:
            self._run.budget.settle(reserved.usd, spent.usd)
        if self._run.token_budget is not None:
            self._run.token_budget.settle(reserved.tokens, spent.tokens)


def total_cost(costs: Iterable[BatchCost]) -> BatchCost:
    """The sum of costs."""
    return functools.reduce(BatchCost.plus, costs, BatchCost())


def model_key(model: Model, settings: StepSettings = NO_SETTINGS) -> str:
    """Hash of what determines a model's answers: service, name, parameters and system prompt."""
    params = {**model.params, **settings.params}
    system = model.system_prompt if settings.system is None else settings.system
    content = [model.provider_key, model.name, model.parameters, params, system]
    return text_hash(json.dumps(content, sort_keys=True, default=repr))


def text_hash(text: str) -> str:
    """The hash that stands for a text in a record."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _job(written: Any) -> BatchJob:
    return BatchJob(
        id=str(written["id"]),
        file_id=str(written["file_id"]),
        model=str(written["model"]),
        created=float(written["created"]),
        requests=int(written["requests"]),
        state=str(written["state"]),
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
