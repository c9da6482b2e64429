"""The one table in a zip archive."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from text_lloom.errors import FileProblem

__all__ = ["unpacked"]


@contextmanager
def unpacked(path: Path, *, suffixes: Sequence[str]) -> Iterator[Path]:
    """A temporary copy of the only table in an archive, under its own name.

    Args:
        path: The archive.
        suffixes: The suffixes of tables. Other files, such as a readme, do not count.

    Raises:
        FileProblem: When the archive is damaged or encrypted, or holds no table or several.
    """
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            shown = [
                n
                for n in names
                if not n.startswith("__MACOSX/") and not PurePosixPath(n).name.startswith(".")
            ]
            tables = [n for n in shown if n.lower().endswith(tuple(suffixes))]
            if len(tables) != 1:
                what = "no table" if not tables else f"{len(tables)} tables"
                raise FileProblem(
                    f"{str(path)!r} holds {what} ({', '.join(map(repr, (tables or shown)[:5]))}), but one is "
                    f"expected. Unpack it, and name the file."
                )
            copy = Path(folder) / PurePosixPath(tables[0].replace("\\", "/")).name
            with archive.open(tables[0]) as packed, copy.open("wb") as out:
                shutil.copyfileobj(packed, out)
            yield copy
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise FileProblem(
            f"{str(path)!r} cannot be unpacked: {error}. Unpack it with another program, and name the file "
            f"inside."
        ) from None
