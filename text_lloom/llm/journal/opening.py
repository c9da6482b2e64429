"""Which journal a process uses for which file, and what happens to it at a fork and at the end."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path

from text_lloom.errors import InputError
from text_lloom.llm.journal.file import JournalFile
from text_lloom.llm.journal.store import MAX_AGE_DAYS, MAX_BYTES, Journal, journals

__all__ = ["open_journal"]

_OFF = frozenset({"0", "false", "no", "off"})
_ON = frozenset({"", "1", "true", "yes", "on"})

# SQLite connections must not be used, nor closed, on the other side of a fork.
_inherited: list[JournalFile] = []
_shared: dict[Path, Journal] = {}
_shared_lock = threading.Lock()


def open_journal(
    cache: bool | str | Path = True,
    *,
    max_bytes: int = MAX_BYTES,
    max_age_days: float = MAX_AGE_DAYS,
) -> Journal | None:
    """The journal of this process for a file: the same one for all who ask for that file.

    The environment variable `LLOOM_CACHE` moves the default file; `LLOOM_CACHE=0` turns every journal off.

    Args:
        cache: `True` for `journal.sqlite` in the user's cache directory, `False` for none, or the path of
            a file, or of a folder in which `journal.sqlite` is used.
        max_bytes: Past this size, the longest unused entries are removed.
        max_age_days: What was not used for this many days is removed.

    Returns:
        The journal, or `None` when there is to be none.

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


def _default_path() -> Path:
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("text_lloom")).absolute() / "journal.sqlite"


def _file_at(path: Path) -> Path:
    """The file that a path means; one without an ending that is no file (yet) is a folder."""
    path = path.expanduser().resolve()
    return path / "journal.sqlite" if path.is_dir() or not (path.suffix or path.exists()) else path


def _close_all() -> None:
    for journal in list(journals):
        journal.close()


def _pause_all() -> None:
    for journal in list(journals):
        journal.pause()


def _resume_all() -> None:
    for journal in list(journals):
        journal.resume()


def _start_anew() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()
    for journal in list(journals):
        inherited = journal.start_anew()
        if inherited is not None:
            _inherited.append(inherited)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    # A fork in the middle of a write would leave the child with locks that nobody releases.
    os.register_at_fork(before=_pause_all, after_in_parent=_resume_all, after_in_child=_start_anew)
