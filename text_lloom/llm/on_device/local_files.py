"""Files of models on this machine: are the packages there, which device, what tells versions apart."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Final

from text_lloom.errors import InputError, MissingPackage

__all__ = ["check_packages", "fingerprint", "pick_device"]

_MODULES: Final = {"sentence-transformers": "sentence_transformers", "llama-cpp-python": "llama_cpp"}
_DEVICES: Final = ("auto", "cpu", "cuda", "mps")


def check_packages(*packages: str, extra: str, purpose: str) -> None:
    """Refuse to go on when a package is missing, before anything is loaded or spent.

    Args:
        *packages: Names as they are installed by pip.
        extra: The extra of text_lloom that installs them.
        purpose: What needs them; the first words of the message.

    Raises:
        MissingPackage: Names the first missing package and what to run.
    """
    for package in packages:
        if importlib.util.find_spec(_MODULES.get(package, package)) is None:
            raise MissingPackage(package, extra=extra, purpose=purpose)


def fingerprint(source: str) -> str:
    """A hash of the files of a model, which changes when they do; `""` for an id on the hub.

    It covers names, sizes and times of the files, not their bytes, so that large models load at once.
    """
    path = Path(source).expanduser()
    if not path.exists():
        return ""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        about = file.stat()
        digest.update(f"{file.relative_to(path.parent)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def pick_device(name: str) -> str:
    """The device to run on: the one that is named; for `"auto"` a GPU if there is one, else the CPU.

    Raises:
        InputError: When the named device is unknown or not on this machine.
    """
    import torch

    kind = name.partition(":")[0]
    if kind not in _DEVICES:
        raise InputError(f"device={name!r} is unknown; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.")
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        return next(found for found in ("cuda", "mps", "cpu") if has[found])
    if not has[kind]:
        raise InputError(f"device={name!r} was asked for, but this machine has none. Use device='auto'.")
    return name
