"""Reading whole files and writing files atomically."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import IO

from text_lloom.errors import FileProblem

__all__ = ["atomic_write", "existing_file", "read_bytes"]


def existing_file(path: str | Path, *, what: str) -> Path:
    """The path of a file, after checking that it exists.

    Args:
        path: A path; a leading `~` stands for the home folder.
        what: The expected kind of file, for error messages, such as `a table`.

    Raises:
        FileProblem: When there is no such file, or the path is a folder.
    """
    given = Path(path).expanduser()
    if given.is_dir():
        names = sorted(p.name for p in given.iterdir() if p.is_file() and not p.name.startswith("."))
        inside = f" It holds {', '.join(map(repr, names[:5]))}." if names else ""
        raise FileProblem(f"{str(path)!r} is a folder, but {what} is one file.{inside} Name the file.")
    if not given.exists():
        raise FileProblem(f"There is no file {str(path)!r}. {_nearest(given)}")
    return given


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        FileProblem: When the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileProblem(f"{str(path)!r} cannot be read: {_reason(error)}.") from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces the file at `path` when the block ends without an error.

    Until then, and after an error, the old file is unchanged. Missing folders are created. For a symbolic
    link, the file that it points to is replaced.

    Args:
        path: Where the file goes; a leading `~` stands for the home folder.

    Raises:
        FileProblem: When the file cannot be written.
    """
    target = Path(path).expanduser()
    if target.is_dir():
        raise FileProblem(f"{str(path)!r} is a folder. Name a file in it to write to.")
    temporary: Path | None = None
    try:
        target = target.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        # A rename is atomic only on the same disk, so the temporary file is in the same folder.
        temporary = target.with_name(f".{target.name[:40]}.{uuid.uuid4().hex}.part")
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    except FileProblem:
        raise
    except OSError as error:
        raise FileProblem(
            f"{str(path)!r} cannot be written: {_reason(error)}. Choose a folder in which you may write."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {str(path.parent)!r} either; check the path."
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return "Check the path."
    lowered = {name.lower(): name for name in names}
    close = get_close_matches(path.name.lower(), list(lowered), n=1, cutoff=0.5)
    if close:
        return f"Did you mean {str(path.with_name(lowered[close[0]]))!r}?"
    return f"Check the path; the folder searched was {str(path.parent.resolve())!r}."
