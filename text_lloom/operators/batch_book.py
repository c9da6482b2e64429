"""Which batches a session has at the provider and what each of them asks, in memory and on disk.

A record has no text in it: documents and criteria are known by their hashes. So a session that is loaded,
or made anew from the same documents and concepts, finds the batches that answer its questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from text_lloom.errors import FileProblem
from text_lloom.llm.batches import BatchJob
from text_lloom.llm.dispatch.request_builder import NO_SETTINGS, StepSettings
from text_lloom.llm.model import Model

__all__ = ["Asked", "AskedConcept", "BatchBook", "BatchCost", "BatchRecord", "asker_of", "text_hash"]

_VERSION: Final = 1


class AskedConcept(NamedTuple):
    """A concept that a batch asks about.

    Attributes:
        id: Its id in the session that sent the batch.
        criteria: Hash of its criterion.
    """

    id: str
    criteria: str


class Asked(NamedTuple):
    """One question.

    Attributes:
        documents: Hashes of their texts, in the order of the prompt.
        concepts: Positions in the record's `concepts`, in the order of the prompt.
    """

    documents: tuple[str, ...]
    concepts: tuple[int, ...]


class BatchCost(NamedTuple):
    """What requests take from the budgets.

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
    """A batch and what it asks.

    Attributes:
        job: The batch.
        asker: Who asks; see `asker_of`.
        get_highlights: Whether quotes were asked for.
        concepts: The concepts of all questions.
        requests: By key of the request, the questions with that prompt.
        expected: What it was expected to cost; nothing if there was no budget.
    """

    job: BatchJob
    asker: str
    get_highlights: bool
    concepts: tuple[AskedConcept, ...]
    requests: Mapping[str, tuple[Asked, ...]]
    expected: BatchCost

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "version": _VERSION,
            "job": self.job._asdict(),
            "asker": self.asker,
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
            ValueError: When it is none; also `LookupError` or `TypeError`.
        """
        if written["version"] != _VERSION:
            raise ValueError(f"version {written['version']!r} of a batch record")
        return cls(
            job=_job(written["job"]),
            asker=str(written["asker"]),
            get_highlights=bool(written["get_highlights"]),
            concepts=tuple(AskedConcept(str(i), str(criteria)) for i, criteria in written["concepts"]),
            requests={
                str(key): tuple(Asked(tuple(map(str, d)), tuple(map(int, c))) for d, c in questions)
                for key, *questions in written["requests"]
            },
            expected=BatchCost(float(written["expected"][0]), int(written["expected"][1])),
        )


class BatchBook:
    """The batches of a session, and those that other sessions left on this machine.

    Args:
        folder: Where records of batches under way are kept; `None` keeps them in memory alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.reserved: dict[str, BatchCost] = {}
        """By file id, what is set aside in this session's budgets."""
        self.sending = asyncio.Lock()
        """Held while questions are sent: who comes next sees what is under way by then."""
        self.tables: dict[str, object] = {}
        """By file id, the table that gets the answers of a batch that was sent since the session began."""
        self._under_way: dict[str, BatchRecord] = {}
        self._ended: dict[str, BatchJob] = {}

    @property
    def jobs(self) -> list[BatchJob]:
        """All batches of this session, those that have ended too, oldest first."""
        known = [*self._ended.values(), *(record.job for record in self._under_way.values())]
        return sorted(known, key=lambda job: (job.created, job.file_id))

    def under_way(self, asker: str) -> list[BatchRecord]:
        """The batches whose answers were not fetched yet, of this session and of others on this machine."""
        found = {record.job.file_id: record for record in self.own(asker)}
        for path in self._files(asker):
            try:
                record = BatchRecord.from_json(json.loads(path.read_bytes()))
            except FileNotFoundError:  # another process has just fetched it
                continue
            except (OSError, ValueError, LookupError, TypeError) as error:
                warnings.warn(f"The record of a batch at {path} cannot be read: {error}.", stacklevel=2)
                continue
            if record.asker == asker and record.job.file_id not in self._ended:
                found.setdefault(record.job.file_id, record)
        return sorted(found.values(), key=lambda record: (record.job.created, record.job.file_id))

    def has_ended(self, record: BatchRecord) -> bool:
        """Whether the answers of a batch were fetched in this session, or there will be none."""
        return record.job.file_id in self._ended

    def own(self, asker: str) -> list[BatchRecord]:
        """The batches that this session has sent or taken over, and whose answers were not fetched yet."""
        return [record for record in self._under_way.values() if record.asker == asker]

    def keep(self, record: BatchRecord) -> None:
        """Write a batch down that is about to be created, was created or was taken over."""
        self._under_way[record.job.file_id] = record
        path = self._path(record)
        if path is None:
            return
        try:
            _write(path, json.dumps(record.to_json(), separators=(",", ":")).encode())
        except OSError as error:
            warnings.warn(
                f"The batch of {record.job.requests:,} requests could not be written down at {path} "
                f"({error}). Save the session to find the batch again.",
                stacklevel=2,
            )

    def note(self, job: BatchJob) -> None:
        """Remember what became of a batch, without writing it to disk."""
        record = self._under_way.get(job.file_id)
        if record is not None:
            self._under_way[job.file_id] = replace(record, job=job)

    def close(self, record: BatchRecord, state: str) -> None:
        """The answers of a batch were fetched, or there will be none."""
        self._under_way.pop(record.job.file_id, None)
        self.tables.pop(record.job.file_id, None)
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
        """Take the batches up that `to_json` wrote.

        Raises:
            FileProblem: When it did not write this.
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

    def _files(self, asker: str) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(self.folder.glob(f"{asker[:16]}-*.json"))

    def _path(self, record: BatchRecord) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / f"{record.asker[:16]}-{text_hash(record.job.file_id)}.json"


def asker_of(model: Model, settings: StepSettings = NO_SETTINGS) -> str:
    """Hash of what shapes a model's answers: service, name, parameters and system prompt."""
    params = {**model.params, **settings.params}
    system = model.system_prompt if settings.system is None else settings.system
    content = [model.provider_key, model.name, model.parameters, params, system]
    return text_hash(json.dumps(content, sort_keys=True, default=repr))


def text_hash(text: str) -> str:
    """What a text is known by in a record."""
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
    """Write a file whole or not at all, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
