"""Documents as JSON values for a view: pages of excerpts, and whole documents."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from text_lloom.errors import InputError
from text_lloom.quotes import QuoteMatch, Span
from text_lloom.widget.folding import find_hits
from text_lloom.widget.spans import excerpt, locate_spans, merge_spans, shown_text, utf16_spans

if TYPE_CHECKING:
    from text_lloom.scores import Judgement
    from text_lloom.widget.snapshot import Snapshot

__all__ = ["DocumentRow", "check_row", "full_document", "highlight_spans", "page_of", "sample_rows"]

DocumentRow = dict[str, Any]
"""A document as JSON values; its keys are in `docs/view-protocol.md`."""

_MOST_ROWS: Final = 1000
_SAMPLE_PER_CONCEPT: Final = 8
_SAMPLE_BYTES: Final = 256_000
_LONGEST_VALUE: Final = 300


def page_of(
    rows: Sequence[int], snapshot: Snapshot, *, concept_id: str | None = None, query: str = ""
) -> list[DocumentRow]:
    """A page of documents, in the order of `rows`.

    Args:
        rows: At most 1,000 row numbers.
        snapshot: The state of the session.
        concept_id: The concept whose highlight and rationale are included.
        query: The search query, whose hits are marked.

    Raises:
        InputError: When there are too many rows, or one is out of range.
    """
    if len(rows) > _MOST_ROWS:
        raise InputError(f"A page has at most {_MOST_ROWS:,} rows, but {len(rows):,} were requested.")
    checked = [check_row(row, snapshot) for row in rows]
    meta = _meta(checked, snapshot, longest=_LONGEST_VALUE)
    return [
        {**_page_row(row, snapshot, concept_id, query), "meta": fields}
        for row, fields in zip(checked, meta, strict=True)
    ]


def _page_row(row: int, snapshot: Snapshot, concept_id: str | None, query: str) -> DocumentRow:
    """One document of a page, with its text cut to about 600 characters around the highlight or first hit."""
    text, doc_id = snapshot.corpus.texts[row], snapshot.corpus.ids[row]
    judgement = None if concept_id is None else snapshot.judgement(concept_id, row)
    spans = _highlight(judgement, text, snapshot)
    hits = find_hits(query, text) if query else []
    part = excerpt(text, spans or hits)
    return {
        "row": row,
        "id": snapshot.reader.id(row),
        "text": snapshot.reader.text(row)[part.start : part.end],
        "cut": part.cut,
        "spans": utf16_spans(text, spans, part),
        "hits": utf16_spans(text, hits, part),
        "verified": _is_verified(judgement),
        "rationale": "" if judgement is None else shown_text(judgement.rationale),
        "bullets": _bullets(doc_id, snapshot),
    }


def full_document(row: int, snapshot: Snapshot, *, query: str = "") -> DocumentRow:
    """A whole document with its score on each scored concept.

    Raises:
        InputError: When the row does not exist.
    """
    check_row(row, snapshot)
    text, doc_id = snapshot.corpus.texts[row], snapshot.corpus.ids[row]
    scores = []
    for concept_id in snapshot.score_ids:
        judgement = snapshot.judgement(concept_id, row)
        scores.append(
            {
                "concept_id": concept_id,
                "score": None if math.isnan(judgement.score) else float(judgement.score),
                "rationale": shown_text(judgement.rationale),
                "spans": utf16_spans(text, _highlight(judgement, text, snapshot)),
                "verified": _is_verified(judgement),
            }
        )
    return {
        "row": row,
        "id": snapshot.reader.id(row),
        "text": snapshot.reader.text(row),
        "meta": _meta([row], snapshot)[0],
        "bullets": _bullets(doc_id, snapshot),
        "quotes": utf16_spans(text, locate_spans(snapshot.quotes.get(doc_id, ()), text)),
        "hits": utf16_spans(text, find_hits(query, text)) if query else [],
        "scores": scores,
    }


def sample_rows(snapshot: Snapshot) -> list[DocumentRow]:
    """The first matches of each concept, for hosts without messages; at most 256 kB as JSON."""
    by_concept: list[list[DocumentRow]] = []
    for concept_id in snapshot.score_ids:
        matches = (snapshot.codes_of(concept_id) == 4).nonzero()[0][:_SAMPLE_PER_CONCEPT].tolist()
        page = page_of(matches, snapshot, concept_id=concept_id)
        by_concept.append([{**row, "concept_id": concept_id} for row in page])
    chosen: list[DocumentRow] = []
    size = 0
    for rows in zip_longest(*by_concept):
        for row in rows:
            if row is not None:
                size += len(json.dumps(row).encode())
                if size > _SAMPLE_BYTES:
                    return chosen
                chosen.append(row)
    return chosen


def _meta(rows: Sequence[int], snapshot: Snapshot, *, longest: int | None = None) -> list[dict[str, str]]:
    """The metadata of documents as text, by column; missing values are left out."""
    columns = snapshot.reader.columns
    shown = {name: columns.some_shown(name, rows) for name in columns.names}
    return [
        {name: _clip(values[at], longest) for name, values in shown.items() if values[at]}
        for at in range(len(rows))
    ]


def _clip(text: str, longest: int | None) -> str:
    return text if longest is None or len(text) <= longest else f"{text[:longest].rstrip()}…"


def highlight_spans(concept_id: str, row: int, snapshot: Snapshot) -> list[Span]:
    """Where the highlight of a document on a concept is in its text."""
    return _highlight(snapshot.judgement(concept_id, row), snapshot.corpus.texts[row], snapshot)


def check_row(row: object, snapshot: Snapshot) -> int:
    """The row number, if the corpus has this row.

    Raises:
        InputError: When it does not.
    """
    n = len(snapshot.corpus)
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < n:
        raise InputError(f"There is no document in row {row!r}; the rows are 0 to {n - 1:,}.")
    return row


def _highlight(judgement: Judgement | None, text: str, snapshot: Snapshot) -> list[Span]:
    if judgement is None or not judgement.highlight or not snapshot.show_highlights:
        return []
    start = text.find(judgement.highlight)
    if start >= 0:
        return [Span(start, start + len(judgement.highlight))]
    return merge_spans(locate_spans([judgement.highlight], text))


def _is_verified(judgement: Judgement | None) -> bool:
    return judgement is None or judgement.match is not QuoteMatch.UNVERIFIED


def _bullets(doc_id: Hashable, snapshot: Snapshot) -> list[str]:
    return [shown_text(bullet) for bullet in snapshot.bullets.get(doc_id, ())]
