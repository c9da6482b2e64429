"""Replies and vectors as the journal stores them."""

from __future__ import annotations

import time
from typing import NamedTuple, TypeAlias

from text_lloom.llm.returned import Completion

__all__ = ["EntryId", "ReplyRow", "Row", "Stored", "VectorRow", "as_stored", "as_text", "entry_id"]

Stored: TypeAlias = str | bytes


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


Row: TypeAlias = ReplyRow | VectorRow
EntryId: TypeAlias = tuple[str, str]


def entry_id(row: Row) -> EntryId:
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
