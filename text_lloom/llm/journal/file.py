"""The SQLite file of the journal: its schema, its reads and its writes.

What is written is synced before it counts (WAL with `synchronous=FULL`). `NORMAL` would survive a killed
process too, but not a power cut; since replies are written in groups, the sync costs about 10 µs of
processor time per reply, and nobody but the writer thread waits for the disk. Replies are not compressed:
zlib at its fastest takes 60 µs for 800 bytes, three times as long as writing them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from text_lloom.llm.journal.rows import EntryId, ReplyRow, Row, Stored, VectorRow, as_stored, as_text
from text_lloom.llm.journal.schema import (
    BUSY_SECONDS,
    REPLY_COLUMNS,
    VECTOR_COLUMNS,
    NotAJournal,
    check_readable,
    is_corrupt,
    make_private,
    rename_aside,
    set_up,
)

__all__ = ["Holdings", "JournalFile", "ModelShare", "Opened"]

_SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db"})
_PRUNE_ROWS = 500
_KEYS_PER_QUERY = 500

_ADD = {
    table: f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"  # noqa: S608
    for table, columns in (("replies", REPLY_COLUMNS), ("vectors", VECTOR_COLUMNS))
}
_TOUCH = {table: f"UPDATE {table} SET used = ? WHERE key = ?" for table in _ADD}  # noqa: S608
_GET_REPLY = f"SELECT {REPLY_COLUMNS} FROM replies WHERE key = ?"  # noqa: S608


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
    """What a file holds.

    Attributes:
        models: By model, what is held of it.
        oldest: When the oldest entry was written, seconds since the epoch.
        newest: When the newest was.
    """

    models: dict[str, ModelShare]
    oldest: float | None
    newest: float | None


class Opened(NamedTuple):
    """An open journal file, and where a corrupt one was moved to."""

    file: JournalFile
    aside: Path | None


class JournalFile:
    """An open journal file: one connection that writes, one that reads.

    Each connection may be used by one thread at a time; the journal sees to that.

    Args:
        path: The file; made with its folder if there is none.
        read_only: Open an existing file, and leave it as it is; for a full or a read-only disk.

    Raises:
        NotAJournal: When the file is another program's or a later version's.
        sqlite3.Error: When SQLite cannot use the file.
        OSError: When the file cannot be made.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._mode = "mode=rw"
        if read_only:
            # A log that holds nothing may be left out of account, which spares the files beside it.
            log = path.with_name(f"{path.name}-wal")
            self._mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        else:
            make_private(path)
        self._writer = self._connect()
        self._reader = self._connect()
        try:
            if read_only:
                check_readable(self._reader, path)
            else:
                set_up(self._writer, path)
            self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self.close()
            raise
        self._identity = _identity(path)

    @classmethod
    def open(cls, path: Path) -> Opened:
        """Open a journal file, setting a damaged one aside."""
        try:
            return Opened(cls(path), None)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            if path.suffix not in _SUFFIXES:
                raise NotAJournal("it is not a SQLite file") from None
        aside = rename_aside(path)
        return Opened(cls(path), aside)

    def close(self) -> None:
        """Let go of the file."""
        for connection in (self._reader, self._writer):
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def set_aside(self) -> Path | None:
        """Close a damaged file and rename it; `None` when another process has done so already."""
        in_place = self.is_in_place()
        self.close()
        return rename_aside(self.path) if in_place else None

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file, which a user or another process may have moved."""
        return _identity(self.path) == self._identity

    def reply(self, key: str) -> ReplyRow | None:
        """The reply under a key."""
        found = self._reader.execute(_GET_REPLY, (as_stored(key),)).fetchone()
        return None if found is None else ReplyRow._make(found)

    def vectors(self, keys: Sequence[str]) -> dict[str, VectorRow]:
        """The vectors under the first 500 of some keys."""
        wanted = [as_stored(key) for key in keys[:_KEYS_PER_QUERY]]
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT {VECTOR_COLUMNS} FROM vectors WHERE key IN ({marks})"  # noqa: S608
        return {as_text(found[0]): VectorRow._make(found) for found in self._reader.execute(query, wanted)}

    def replies(self) -> Iterator[ReplyRow]:
        """All replies, oldest first, read over a connection of its own."""
        with contextlib.closing(self._connect()) as connection:
            query = f"SELECT {REPLY_COLUMNS} FROM replies ORDER BY at, rowid"  # noqa: S608
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
        oldest, newest = (
            min((row[5] for row in rows), default=None),
            max((row[6] for row in rows), default=None),
        )
        return Holdings(shares, oldest, newest)

    def write(self, rows: Iterable[Row], used: Iterable[EntryId] = ()) -> None:
        """Write rows and note which keys were used lately, in one synced transaction.

        Args:
            rows: Replies and vectors; one with the key of an earlier one takes its place.
            used: Entries that were used.
        """
        now = time.time()
        groups: dict[str, list[Row]] = {"replies": [], "vectors": []}
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
        """Remove up to 500 entries: those unused for too long, or else the longest unused ones.

        Args:
            last_used_before: Seconds since the epoch; what was last used before goes.
            to_bytes: Nothing else goes once the file holds no more than this.

        Returns:
            How many were removed; 0 when there is nothing more to remove.
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
        """Remove entries written before some time, of one model or of all; gives how many."""
        conditions = "at < ?" if model is None else "at < ? AND model = ?"
        values = (before,) if model is None else (before, as_stored(model))
        with self._transaction() as connection:
            removed = sum(
                connection.execute(f"DELETE FROM {table} WHERE {conditions}", values).rowcount  # noqa: S608
                for table in _ADD
            )
        # Removed replies quote people's texts, so they should leave the disk too. A busy or full disk must
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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
