"""The journal's SQLite file: its rows, its tables, and the statements that read and write them."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from text_lloom.llm.completion import Completion

__all__ = [
    "BUSY_SECONDS",
    "EntryId",
    "JournalFile",
    "JournalRow",
    "ModelShare",
    "NotAJournal",
    "ReplyRow",
    "VectorRow",
    "as_stored",
    "as_text",
    "entry_id",
    "is_corrupt",
]

Stored: TypeAlias = str | bytes
BUSY_SECONDS = 10.0
_APPLICATION = 0x4C4C4F4D
_VERSION = 1
_CHECK_SECONDS = 0.2
_CORRUPT_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db"})
_PRUNE_ROWS = 500
_KEYS_PER_QUERY = 500
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS replies (
        key TEXT PRIMARY KEY NOT NULL, model TEXT NOT NULL, step TEXT NOT NULL, at REAL NOT NULL,
        used REAL NOT NULL, in_tokens INTEGER, out_tokens INTEGER, finish_reason TEXT, usd REAL,
        text TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS vectors (
        key TEXT PRIMARY KEY NOT NULL, model TEXT NOT NULL, step TEXT NOT NULL, at REAL NOT NULL,
        used REAL NOT NULL, vector BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS replies_used ON replies (used)",
    "CREATE INDEX IF NOT EXISTS vectors_used ON vectors (used)",
)
_REPLY_COLUMNS = "key, model, step, at, used, in_tokens, out_tokens, finish_reason, usd, text"
_VECTOR_COLUMNS = "key, model, step, at, used, vector"
_ADD = {
    table: f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"  # noqa: S608
    for table, columns in (("replies", _REPLY_COLUMNS), ("vectors", _VECTOR_COLUMNS))
}
_TOUCH = {table: f"UPDATE {table} SET used = ? WHERE key = ?" for table in _ADD}  # noqa: S608
_GET_REPLY = f"SELECT {_REPLY_COLUMNS} FROM replies WHERE key = ?"  # noqa: S608


class NotAJournal(Exception):
    """A file that must be left alone: another program's, or a later version's."""


class ReplyRow(NamedTuple):
    """A reply as it is stored."""

    key: Stored
    model: Stored
    step: Stored
    at: float
    used: float
    in_tokens: int | None
    out_tokens: int | None
    finish_reason: Stored | None
    usd: float | None
    text: Stored

    @classmethod
    def of(cls, key: str, completion: Completion, model: str, step: str, usd: float | None) -> ReplyRow:
        """The row of a reply that was just given."""
        now = time.time()
        reason = completion.finish_reason
        cost = usd if completion.usd is None else completion.usd
        return cls(
            as_stored(key),
            as_stored(model),
            as_stored(step),
            now,
            now,
            None if completion.in_tokens is None else int(completion.in_tokens),
            None if completion.out_tokens is None else int(completion.out_tokens),
            None if reason is None else as_stored(reason),
            None if cost is None else float(cost),
            as_stored(completion.text),
        )

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return len(self.text) + 400

    def completion(self) -> Completion:
        """The reply."""
        reason = self.finish_reason
        return Completion(
            as_text(self.text),
            self.in_tokens,
            self.out_tokens,
            None if reason is None else as_text(reason),
            self.usd,
        )


class VectorRow(NamedTuple):
    """A text's vector as it is stored."""

    key: Stored
    model: Stored
    step: Stored
    at: float
    used: float
    vector: bytes

    @classmethod
    def of(cls, key: str, vector: bytes, model: str, step: str) -> VectorRow:
        """The row of a vector that was just given."""
        now = time.time()
        return cls(as_stored(key), as_stored(model), as_stored(step), now, now, vector)

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return len(self.vector) + 400


JournalRow: TypeAlias = ReplyRow | VectorRow
EntryId: TypeAlias = tuple[str, str]


class ModelShare(NamedTuple):
    """What the journal holds of one model: what asking again would cost.

    Attributes:
        entries: Replies and vectors.
        in_tokens: Tokens of the prompts, as far as the provider reported them.
        out_tokens: Tokens of the replies, as far as the provider reported them.
        usd: US dollars, as far as they are known.
    """

    entries: int
    in_tokens: int
    out_tokens: int
    usd: float


class Holdings(NamedTuple):
    """What a file holds, and when its oldest and newest entries were written, in seconds since the epoch."""

    models: dict[str, ModelShare]
    oldest: float | None
    newest: float | None


class JournalFile:
    """An open journal file: one connection that writes, one that reads.

    Only one thread at a time may use a connection; `SharedFile` locks them.

    Args:
        path: The file, which is made with its folder if need be.
        read_only: Open an existing file and change nothing; for a full or a read-only disk.

    Attributes:
        replaced: Where the damaged file lies now that was renamed to make room for this one.

    Raises:
        NotAJournal: When the file is another program's or a later version's.
        sqlite3.Error: When SQLite cannot use the file.
        OSError: When the file cannot be made.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.replaced: Path | None = None
        self._mode = "mode=rw"
        if read_only:
            # Without a log to read, SQLite needs to make no files beside this one.
            log = path.with_name(f"{path.name}-wal")
            self._mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        else:
            _make_private(path)
        self._writer = self._connect()
        self._reader = self._connect()
        try:
            if read_only:
                _refuse_foreign(self._reader)
                _check(self._reader, path)
            else:
                _set_up(self._writer, path)
            self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self.close()
            raise
        self._identity = _identity(path)

    @classmethod
    def open(cls, path: Path) -> JournalFile:
        """Open a journal file; a damaged one is renamed and replaced."""
        try:
            return cls(path)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            if path.suffix not in _SUFFIXES:
                raise NotAJournal("it is not a SQLite file") from None
        aside = _rename_aside(path)
        file = cls(path)
        file.replaced = aside
        return file

    def close(self) -> None:
        """Close both connections."""
        for connection in (self._reader, self._writer):
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def set_aside(self) -> Path | None:
        """Close a damaged file and rename it; `None` when another process has done so already."""
        in_place = self.is_in_place()
        self.close()
        return _rename_aside(self.path) if in_place else None

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file, which a user or another process may have moved."""
        return _identity(self.path) == self._identity

    def reply(self, key: str) -> ReplyRow | None:
        """The reply under a key."""
        found = self._reader.execute(_GET_REPLY, (as_stored(key),)).fetchone()
        return None if found is None else ReplyRow._make(found)

    def vectors(self, keys: Sequence[str]) -> dict[str, VectorRow]:
        """The vectors under the first 500 of these keys."""
        stored = [as_stored(key) for key in keys[:_KEYS_PER_QUERY]]
        marks = ", ".join("?" * len(stored))
        query = f"SELECT {_VECTOR_COLUMNS} FROM vectors WHERE key IN ({marks})"  # noqa: S608
        return {as_text(found[0]): VectorRow._make(found) for found in self._reader.execute(query, stored)}

    def replies(self) -> Iterator[ReplyRow]:
        """All replies, oldest first, read over a connection of its own."""
        with contextlib.closing(self._connect()) as connection:
            query = f"SELECT {_REPLY_COLUMNS} FROM replies ORDER BY at, rowid"  # noqa: S608
            yield from map(ReplyRow._make, connection.execute(query))

    def holdings(self) -> Holdings:
        """What the file holds, counted over a connection of its own."""
        with contextlib.closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT model, sum(n), sum(i), sum(o), sum(u), min(oldest), max(newest) FROM ("
                "SELECT model, count(*) AS n, total(in_tokens) AS i, total(out_tokens) AS o, total(usd) AS u,"
                " min(at) AS oldest, max(at) AS newest FROM replies GROUP BY model UNION ALL "
                "SELECT model, count(*), 0, 0, 0, min(at), max(at) FROM vectors GROUP BY model) "
                "GROUP BY model ORDER BY model"
            ).fetchall()
        shares = {as_text(model): ModelShare(n, int(i), int(o), float(u)) for model, n, i, o, u, *_ in rows}
        oldest = min((row[5] for row in rows), default=None)
        return Holdings(shares, oldest, max((row[6] for row in rows), default=None))

    def write(self, rows: Iterable[JournalRow], used: Iterable[EntryId] = ()) -> None:
        """Write rows and the time of use of some entries, in one synced transaction.

        A row replaces an earlier one of the same key.
        """
        now = time.time()
        groups: dict[str, list[JournalRow]] = {"replies": [], "vectors": []}
        for row in rows:
            groups["replies" if isinstance(row, ReplyRow) else "vectors"].append(row)
        uses: dict[str, list[tuple[float, Stored]]] = {"replies": [], "vectors": []}
        for table, key in used:
            uses[table].append((now, as_stored(key)))
        with self._transaction() as connection:
            for table, members in groups.items():
                if members:
                    connection.executemany(_ADD[table], members)
                if uses[table]:
                    connection.executemany(_TOUCH[table], uses[table])

    def size(self) -> int:
        """Bytes in use, without what earlier removals left free."""
        pages, free, page = (
            self._writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page)

    def disk_size(self) -> int:
        """Bytes of the file and its log on disk."""
        parts = (self.path.with_name(self.path.name + ending) for ending in ("", "-wal"))
        return sum(part.stat().st_size for part in parts if part.is_file())

    def prune(self, *, last_used_before: float, to_bytes: int) -> int:
        """Remove up to 500 entries; returns how many, 0 when there is nothing more to remove.

        Args:
            last_used_before: Seconds since the epoch; entries that were last used before go first.
            to_bytes: Then the longest unused entries go, until the file holds no more than this.
        """
        query = "DELETE FROM {0} WHERE rowid IN (SELECT rowid FROM {0} WHERE used < ? ORDER BY used LIMIT ?)"
        with self._transaction() as connection:
            removed = 0
            for table in _ADD:
                removed += connection.execute(query.format(table), (last_used_before, _PRUNE_ROWS)).rowcount
            if not removed and self.size() > to_bytes:
                oldest = [
                    (used, table)
                    for table in _ADD
                    for (used,) in connection.execute(f"SELECT min(used) FROM {table}")  # noqa: S608
                    if used is not None
                ]
                if oldest:
                    table = min(oldest)[1]
                    removed = connection.execute(query.format(table), (float("inf"), _PRUNE_ROWS)).rowcount
        return removed

    def delete(self, *, model: str | None, before: float) -> int:
        """Remove entries written before some time, of one model or of all; returns how many."""
        conditions = "at < ?" if model is None else "at < ? AND model = ?"
        values = (before,) if model is None else (before, as_stored(model))
        with self._transaction() as connection:
            removed = sum(
                connection.execute(f"DELETE FROM {table} WHERE {conditions}", values).rowcount  # noqa: S608
                for table in _ADD
            )
        # Removed replies quote people's texts, so they should leave the disk, too. A busy or full disk must
        # not undo the removal.
        with contextlib.suppress(sqlite3.OperationalError):
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return removed

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._writer
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _connect(self) -> sqlite3.Connection:
        address = f"{self.path.as_uri()}?{self._mode}"
        return sqlite3.connect(
            address, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
        )


def entry_id(row: JournalRow) -> EntryId:
    """Table and key of a row."""
    return ("replies" if isinstance(row, ReplyRow) else "vectors", as_text(row.key))


def as_stored(text: str) -> Stored:
    """Text as SQLite takes it: lone surrogates have no UTF-8 form, so such text is kept as bytes."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def as_text(stored: Stored) -> str:
    """The text that was given to `as_stored`."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged, or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT_CODES


class _Damaged(sqlite3.DatabaseError):
    """Damage that SQLite reports as a result rather than as an error."""

    sqlite_errorcode: int = sqlite3.SQLITE_CORRUPT


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make_private(path: Path) -> None:
    """Make folder and file for this user alone.

    An existing file is not opened: closing another handle of a SQLite file drops this process' locks on it.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            with contextlib.suppress(OSError):
                path.chmod(0o600)


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    """Make or check the tables of a file that was just opened for writing."""
    _refuse_foreign(connection)
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # A file with tables is opened without the write lock, which another process may hold for long.
    if _pragma(connection, "user_version") != _VERSION:
        _make_tables(connection)
    _check(connection, path)


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _pragma(connection, "user_version") != _VERSION:  # another process may have been faster
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _rename_aside(path: Path) -> Path:
    """Rename a corrupt file, so that it can still be rescued; returns its new path."""
    stamp = f"{path.stem}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
    aside = path.with_name(f"{stamp}{path.suffix}")
    for number in itertools.count(2):
        if not aside.exists():
            break
        aside = path.with_name(f"{stamp}-{number}{path.suffix}")
    # The write-ahead log goes first: a new file must never find the log of the old one.
    for ending in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside


def _refuse_foreign(connection: sqlite3.Connection) -> None:
    application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != _APPLICATION and (application or version or tables):
        raise NotAJournal("it is another program's database")
    if version > _VERSION:
        raise NotAJournal("it was written by a later version of text_lloom")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """WAL, where the file system allows it; the switch itself does not wait for other processes."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Look for damage for at most 0.2 seconds; the rest shows when it is read."""
    deadline = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        connection.execute(f"SELECT {_REPLY_COLUMNS} FROM replies LIMIT 0")  # noqa: S608
        connection.execute(f"SELECT {_VECTOR_COLUMNS} FROM vectors LIMIT 0")  # noqa: S608
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            raise _Damaged(f"{path.name} lacks tables") from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise _Damaged(str(verdict))


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
