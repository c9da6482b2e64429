"""The providers that run on one's own machines."""

from __future__ import annotations

from typing import Final

from text_lloom.llm.catalogue.entry import Provider

__all__ = ["PROVIDERS"]

PROVIDERS: Final[tuple[Provider, ...]] = ()
