"""Concept induction: from a column of text to named, scored concepts.

import text_lloom.workbench as wb

l = wb.lloom(df=df, text_col="text", id_col="doc_id")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text_lloom.concept import Codebook, Concept
    from text_lloom.workbench import lloom, load

    __version__: str

__all__ = ["Codebook", "Concept", "__version__", "lloom", "load"]

_HOMES = {"Codebook": "concept", "Concept": "concept", "lloom": "workbench", "load": "workbench"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("text_lloom")
    if name not in _HOMES:
        raise AttributeError(f"module 'text_lloom' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"text_lloom.{_HOMES[name]}"), name)
