"""What the catalogue says in words: which providers are ready here and why not, and what each can do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from text_lloom.llm.catalogue.entry import Provider

__all__ = ["Availability", "availability_of", "capability_table"]

_COLUMNS = ("provider", "string", "chat", "structured output", "usage", "streaming", "batch", "embeddings")


class Availability(NamedTuple):
    """Whether a provider can be used on this machine, as far as that can be told without a network.

    Attributes:
        is_ready: Its package is installed and its key is set.
        reason: What it has or lacks, and what to do.
    """

    is_ready: bool
    reason: str


def availability_of(provider: Provider) -> Availability:
    """Whether a provider can be used on this machine; nothing is imported and nothing is sent."""
    lacking = []
    if provider.missing_packages:
        lacking.append(provider.install or f"the package {provider.missing_packages[0]}")
    if provider.missing_keys:
        lacking.append(" or ".join(provider.missing_keys))
    if lacking:
        return Availability(False, f"needs {' and '.join(lacking)}")
    found = []
    if provider.keys:
        found.append(f"{next(key for key in provider.keys if _is_set(key))} is set")
    if provider.server is not None:
        elsewhere = os.environ.get(provider.server_variable, "").strip()
        found.append(f"if its server runs at {elsewhere or provider.server}")
    if provider.note:
        found.append(provider.note)
    return Availability(True, f"ready: {'; '.join(found)}" if found else "ready")


def capability_table(providers: Sequence[Provider]) -> str:
    """What each provider can do and how that was tested, as a Markdown table."""
    rows = [(*_COLUMNS, "tested with")]
    for provider in providers:
        can = provider.can
        rows.append(
            (
                provider.title,
                _spec(provider),
                _mark(provider.model is not None and can.chat),
                can.structured if can.structured != "none" else "–",
                _mark(can.usage),
                _mark(can.streaming),
                _mark(can.batch),
                _mark(provider.embed is not None and can.embeddings),
                ", ".join(can.tested),
            )
        )
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([header, "|" + "---|" * (len(_COLUMNS) + 1), *body])


def _spec(provider: Provider) -> str:
    """How its models are named by a string, a dash if they are not."""
    if provider.model is None and provider.embed is None:
        return "–"
    return f"`{provider.prefix}{':…' if provider.needs_name else ''}`"


def _mark(can: bool) -> str:
    return "yes" if can else "–"


def _is_set(key: str) -> bool:
    return bool(os.environ.get(key, "").strip())
