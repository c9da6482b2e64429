"""The journal: every reply of a model is on disk before anyone sees it, so that none is paid twice.

Replies are kept under the hash of what was asked. Neither prompts nor API keys are stored. Replies may quote
documents, so the file is readable by its owner alone, and `clear` removes what it holds. A write that fails
(full disk, unwritable folder) costs a warning and never a run: the rows are held in memory, and written as
soon as that works again.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from text_lloom.errors import FileProblem, InputError
from text_lloom.llm.cache.file import (
    JournalFile,
    ModelShare,
    ReplyRow,
    VectorRow,
    as_stored,
    as_text,
)
from text_lloom.llm.cache.writer import SharedFile, Writer
from text_lloom.llm.completion import Completion, is_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_AGE_DAYS", "MAX_BYTES", "Journal", "JournalInfo", "open_journal"]

MAX_BYTES = 2_000_000_000
MAX_AGE_DAYS = 365.0
_DAY = 86_400.0
_VECTORS_PER_READ = 500
_OFF = frozenset({"0", "false", "no", "off"})
_ON = frozenset({"", "1", "true", "yes", "on"})

# SQLite connections must not be used, nor closed, on the other side of a fork.
_inherited: list[JournalFile] = []
_shared: dict[Path, Journal] = {}
_shared_lock = threading.Lock()
_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class JournalInfo:
    """What a journal holds.

    Attributes:
        path: The file.
        entries: Replies and vectors on disk.
        bytes: Size of the file and its log.
        oldest: When the oldest entry was written, `None` if there is none.
        newest: When the newest entry was written, `None` if there is none.
        models: By model, its entries, tokens and USD: what asking again would cost.
        unsaved: Entries that are held in memory, because they could not be written.
        problem: The last problem with the file, `None` if there was none.
    """

    path: Path
    entries: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    models: Mapping[str, ModelShare]
    unsaved: int
    problem: str | None


class Journal:
    """Replies and vectors in a file, shared by all sessions of a process; `open_journal` gives it.

    Args:
        path: The SQLite file, which is made with its folder if need be.
        max_bytes: Past this size, the longest unused entries are removed.
        max_age_days: Entries that were not used for this many days are removed.
    """

    def __init__(
        self, path: str | Path, *, max_bytes: int = MAX_BYTES, max_age_days: float = MAX_AGE_DAYS
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self.max_bytes, self.max_age_days = max_bytes, max_age_days
        self._file = SharedFile(self.path)
        self._writer = Writer(self._file, self._prune)
        self._turns: dict[tuple[int, str], _Turn] = {}
        _journals.add(self)
        self._file.file()

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"

    def get(self, key: str) -> Completion | None:
        """The reply kept under a key, if there is one."""
        shared = self._file
        row = shared.unsaved.get(("replies", key)) if shared.unsaved else None
        if row is None:
            row = shared.read(lambda file: file.reply(key))
            if row is not None and shared.use(("replies", key), row.used):
                self._writer.save_uses()
        return row.completion() if isinstance(row, ReplyRow) else None

    async def put(
        self, key: str, completion: Completion, *, model: str, step: str, usd: float | None = None
    ) -> None:
        """Keep a reply; returns once it is on disk. It gets there even if this call is cancelled.

        Replies that were cut off, broken off or refused are not kept. `usd` is what the reply cost, for a
        completion that does not say so itself.
        """
        if is_whole(completion.finish_reason):
            await self._writer.write([ReplyRow.of(key, completion, model, step, usd)])

    def get_vectors(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors kept under these keys; keys without one are left out.

        Thousands of vectors take a while to read: call it on a worker thread.
        """
        import numpy as np

        vectors: dict[str, NDArray[np.float32]] = {}
        distinct = list(dict.fromkeys(keys))
        for at in range(0, len(distinct), _VECTORS_PER_READ):
            for key, row in self._vector_rows(distinct[at : at + _VECTORS_PER_READ]).items():
                vectors[key] = np.frombuffer(row.vector, "<f4").astype(np.float32)
        return vectors

    async def put_vectors(
        self, vectors: Mapping[str, NDArray[np.float32]], *, model: str, step: str = "cluster"
    ) -> None:
        """Keep vectors; returns once they are on disk, as `put` does.

        Args:
            vectors: By hash of model and text, its vector, shape `(dimensions,)`, float32.
            model: Name of the model.
            step: The step that asked.
        """
        import numpy as np

        if vectors:
            rows = [
                VectorRow.of(key, np.ascontiguousarray(vector, "<f4").tobytes(), model, step)
                for key, vector in vectors.items()
            ]
            await self._writer.write(rows)

    @contextlib.asynccontextmanager
    async def flight(
        self, key: str, *, on_wait: Callable[[], object] | None = None
    ) -> AsyncIterator[Completion | None]:
        """The reply kept under a key, or else the sole right to ask for it.

        While one request holds the right, equal ones on the same event loop wait. When it leaves, they get
        the reply that it kept; if it kept none (it failed or was cancelled), one of them gets the right.

            async with journal.flight(key) as kept:
                if kept is None:
                    completion = await ask()
                    await journal.put(key, completion, model=model, step=step)

        `on_wait` is called once if an equal request is under way, before waiting for it.
        """
        kept = self.get(key)
        if kept is not None:
            yield kept
            return
        place = (id(asyncio.get_running_loop()), key)
        turn = self._turns.setdefault(place, _Turn())
        waits = turn.requests > 0
        turn.requests += 1
        try:
            if waits and on_wait is not None:
                on_wait()
            async with turn.lock:
                # A holder that was cancelled may have left while its reply was on its way to the disk.
                if await self._writer.settle(key) or waits:
                    kept = self.get(key)
                if kept is None:
                    yield None
                    return
        finally:
            turn.requests -= 1
            if not turn.requests:
                self._turns.pop(place, None)
        yield kept

    def flush(self) -> None:
        """Wait until all that was put so far is on disk."""
        self._writer.flush()

    def prune(self) -> int:
        """Remove the entries past the limits of size and age now; returns how many."""
        self.flush()
        return sum(self._prune())

    def info(self) -> JournalInfo:
        """What the journal holds. Reads the whole file.

        Raises:
            FileProblem: When it cannot be read.
        """
        self.flush()
        models: Mapping[str, ModelShare] = {}
        oldest = newest = None
        size = 0
        file = self._file.file()
        if file is not None:
            with self._file_problem("read"):
                models, oldest, newest = file.holdings()
                size = file.disk_size()
        return JournalInfo(
            self.path,
            sum(share.entries for share in models.values()),
            size,
            None if oldest is None else datetime.fromtimestamp(oldest, UTC),
            None if newest is None else datetime.fromtimestamp(newest, UTC),
            models,
            len(self._file.unsaved),
            self._file.problem,
        )

    def clear(self, model: str | None = None, older_than_days: float | None = None) -> int:
        """Remove entries and give their space on disk back; returns how many were removed.

        Args:
            model: Only those of this model.
            older_than_days: Only those written longer ago.

        Raises:
            FileProblem: When the file cannot be written.
        """
        self.flush()
        before = float("inf") if older_than_days is None else time.time() - older_than_days * _DAY
        name = None if model is None else as_stored(model)
        shared = self._file
        with shared.write_lock:
            removed = shared.forget(lambda row: name in (None, row.model) and row.at < before)
            file = shared.file()
            if file is not None:
                with self._file_problem("cleared"):
                    removed += file.delete(model=model, before=before)
        return removed

    def export(self, path: str | Path) -> int:
        """Write all replies (no vectors) to a file of JSON lines, readable by its owner alone.

        Each line has `key`, `model`, `step`, `at` (UTC), `text`, `in_tokens`, `out_tokens`,
        `finish_reason` and `usd`. Returns how many replies were written.

        Raises:
            FileProblem: When the journal cannot be read or the file cannot be written.
        """
        self.flush()
        path = Path(path).expanduser().absolute()
        own = self.path.resolve()
        if path.resolve() in [own.with_name(own.name + ending) for ending in ("", "-wal", "-shm")]:
            raise InputError(f"The journal cannot be exported onto itself ({path}); name another file.")
        part = path.with_name(f"{path.name}.part")
        count = 0
        with self._file_problem("exported"):
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as lines:
                    for row in self._replies():
                        lines.write(json.dumps(_as_record(row)) + "\n")
                        count += 1
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return count

    def close(self) -> None:
        """Write all that was put and close the file. Using the journal again opens it again."""
        self._writer.close()
        self._file.close()

    def _vector_rows(self, keys: Sequence[str]) -> dict[str, VectorRow]:
        rows = self._file.read(lambda file: file.vectors(keys)) or {}
        for key, row in rows.items():
            if self._file.use(("vectors", key), row.used):
                self._writer.save_uses()
        for key in keys:
            unsaved = self._file.unsaved.get(("vectors", key))
            if isinstance(unsaved, VectorRow):
                rows[key] = unsaved
        return rows

    def _replies(self) -> Iterator[ReplyRow]:
        file = self._file.file()
        if file is not None:
            yield from file.replies()
        yield from [row for row in self._file.unsaved.values() if isinstance(row, ReplyRow)]

    def _prune(self) -> Iterator[int]:
        return self._file.prune(max_bytes=self.max_bytes, max_age_days=self.max_age_days)

    @contextlib.contextmanager
    def _file_problem(self, done: str) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise FileProblem(f"The journal {self.path} could not be {done}: {error}.") from error


def open_journal(
    cache: bool | str | Path = True,
    *,
    max_bytes: int = MAX_BYTES,
    max_age_days: float = MAX_AGE_DAYS,
) -> Journal | None:
    """The journal of this process for a file: the same one for all who ask for that file.

    The environment variable `LLOOM_CACHE` moves the default file; `LLOOM_CACHE=0` turns every journal off.

    Args:
        cache: `True` for `journal.sqlite` in the user's cache directory, `False` for no journal (`None`), or
            the path of a file, or of a folder in which `journal.sqlite` is used.
        max_bytes: Past this size, the longest unused entries are removed.
        max_age_days: Entries that were not used for this many days are removed.

    Raises:
        InputError: When `cache` is neither a boolean nor a path, or a limit is not positive.
    """
    if not isinstance(cache, (bool, str, os.PathLike)) or cache == "":
        raise InputError(f"cache={cache!r} must be True, False, or the path of a file or folder.")
    if max_bytes <= 0 or max_age_days <= 0:
        raise InputError(f"max_bytes={max_bytes!r} and max_age_days={max_age_days!r} must be positive.")
    setting = os.environ.get("LLOOM_CACHE", "").strip()
    if cache is False or setting.lower() in _OFF:
        return None
    if cache is not True:
        path = _file_at(Path(cache))
    elif setting.lower() in _ON:
        path = _default_path()
    else:
        path = _file_at(Path(setting))
    with _shared_lock:
        journal = _shared.get(path)
        if journal is None:
            journal = _shared[path] = Journal(path)
        journal.max_bytes, journal.max_age_days = max_bytes, max_age_days
        return journal


class _Turn:
    """The right to ask for one key, and how many requests hold it or wait for it."""

    __slots__ = ("lock", "requests")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.requests = 0


def _as_record(row: ReplyRow) -> dict[str, object]:
    record = {
        name: as_text(value) if isinstance(value, bytes) else value for name, value in row._asdict().items()
    }
    record["at"] = datetime.fromtimestamp(row.at, UTC).isoformat()
    del record["used"]
    return record


def _default_path() -> Path:
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("text_lloom")).absolute() / "journal.sqlite"


def _file_at(path: Path) -> Path:
    """The journal file at a path. A path without an ending, where there is no file, names a folder."""
    path = path.expanduser().resolve()
    return path / "journal.sqlite" if path.is_dir() or not (path.suffix or path.exists()) else path


def _close_all() -> None:
    for journal in list(_journals):
        journal.close()


def _pause_all() -> None:
    for journal in list(_journals):
        journal._file.pause()


def _resume_all() -> None:
    for journal in list(_journals):
        journal._file.resume()


def _start_anew() -> None:
    """In a forked child: forget the files, which are opened again when needed."""
    global _shared_lock
    _shared_lock = threading.Lock()
    for journal in list(_journals):
        inherited = journal._file.abandon()
        journal._writer.abandon()
        journal._turns = {}
        if inherited is not None:
            _inherited.append(inherited)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    # A fork in the middle of a write would leave the child with locks that nobody releases.
    os.register_at_fork(before=_pause_all, after_in_parent=_resume_all, after_in_child=_start_anew)
