"""What a journal file looks like: making one, recognising one, and setting a damaged one aside."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

__all__ = [
    "BUSY_SECONDS",
    "REPLY_COLUMNS",
    "VECTOR_COLUMNS",
    "NotAJournal",
    "check_readable",
    "is_corrupt",
    "make_private",
    "rename_aside",
    "set_up",
]

BUSY_SECONDS = 10.0

_APPLICATION = 0x4C4C4F4D
_VERSION = 1
_CHECK_SECONDS = 0.2
_CORRUPT_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

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
REPLY_COLUMNS = "key, model, step, at, used, in_tokens, out_tokens, finish_reason, usd, text"
VECTOR_COLUMNS = "key, model, step, at, used, vector"


class NotAJournal(Exception):
    """A file that must be left alone: another program's, or a later version's."""


def make_private(path: Path) -> None:
    """Make folder and file for this user alone. The file is never opened here.

    Closing any other handle of a SQLite file drops the locks that this process holds on it.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            with contextlib.suppress(OSError):
                path.chmod(0o600)


def set_up(connection: sqlite3.Connection, path: Path) -> None:
    """Make or check the tables of a file that was just opened for writing.

    Raises:
        NotAJournal: When the file must be left alone.
        sqlite3.Error: When SQLite cannot use it; see `is_corrupt`.
    """
    _refuse_foreign(connection)
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # A file that is set up is opened without the lock of writing, which another process may hold for long.
    if _pragma(connection, "user_version") != _VERSION:
        _make_tables(connection)
    _check(connection, path)


def check_readable(connection: sqlite3.Connection, path: Path) -> None:
    """Check the tables of a file that was opened for reading alone; raises as `set_up`."""
    _refuse_foreign(connection)
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


def rename_aside(path: Path) -> Path:
    """Rename a corrupt file, so that it can still be rescued, and give its new path."""
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


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged, or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT_CODES


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
    """Look for damage, for as long as opening may take; the rest shows when it is read."""
    deadline = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        connection.execute(f"SELECT {REPLY_COLUMNS} FROM replies LIMIT 0")  # noqa: S608
        connection.execute(f"SELECT {VECTOR_COLUMNS} FROM vectors LIMIT 0")  # noqa: S608
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


class _Damaged(sqlite3.DatabaseError):
    """Damage that SQLite reports as a result rather than as an error."""

    sqlite_errorcode: int = sqlite3.SQLITE_CORRUPT


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
