"""The standalone page: the view and its data in one file that makes no network requests."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from text_lloom.corpus import Corpus
from text_lloom.llm.options import whole_number
from text_lloom.quotes import QuoteMatch
from text_lloom.storage.files import atomic_write
from text_lloom.widget.columns import ID_RANKS, TEXT_RANKS
from text_lloom.widget.payload import PROTOCOL, plain, slice_codes, traits_of
from text_lloom.widget.rows import highlight_spans
from text_lloom.widget.snapshot import NOT_SCORED, CorpusReader
from text_lloom.widget.spans import locate_spans, shown_text, utf16_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text_lloom.widget.snapshot import Snapshot

__all__ = ["LARGE_PAGE", "page_bytes", "sample_of_rows", "sampled", "write_page"]

LARGE_PAGE: Final = 50_000_000
"""Pages above this many bytes are written with a warning."""

_STATIC: Final = Path(__file__).parent / "static"
_BLOCK: Final = 2000
_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_ESCAPED: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


class _Blob(NamedTuple):
    """A block of data in the page."""

    name: str
    content: bytes


def write_page(
    path: str | Path,
    snapshot: Snapshot,
    *,
    state: Mapping[str, Any] | None = None,
    theme: str = "auto",
    max_docs: int | None = None,
    include_text: bool = True,
    fallback: str = "",
) -> Path:
    """Write the view as one page that needs no network and no kernel.

    Args:
        path: The file to write; an existing file is replaced once the new one is complete.
        snapshot: The state of the session.
        state: The state with which it opens.
        theme: `auto`, `light` or `dark`.
        max_docs: The most documents; if there are more, the page has an evenly spaced sample and says so.
        include_text: `False` leaves out texts, quotes and rationales, and keeps figures, names and criteria.
        fallback: Static HTML for browsers without JavaScript, with its texts escaped.

    Returns:
        The path of the file.

    Raises:
        InputError: When `max_docs` is less than 1.
        FileProblem: When the file cannot be written.
    """
    n = len(snapshot.corpus)
    if max_docs is not None and max_docs < n:
        snapshot = sampled(snapshot, sample_of_rows(n, max_docs))
    content = page_bytes(
        snapshot, state=state or {}, theme=theme, include_text=include_text, fallback=fallback
    )
    if len(content) > LARGE_PAGE:
        warnings.warn(
            f"The page has {len(content) / 1e6:,.0f} MB and will open slowly. Pass max_docs= for a sample of "
            f"the {n:,} documents, or include_text=False to leave out their texts.",
            stacklevel=3,
        )
    with atomic_write(path) as file:
        file.write(content)
    return Path(path).expanduser()


def sample_of_rows(n: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `n` rows, evenly spaced, ascending.

    Raises:
        InputError: When `most` is less than 1.
    """
    most = whole_number(most, what="max_docs")
    if most == 1:
        return np.zeros(1, np.int64)
    return np.unique(np.rint(np.linspace(0, n - 1, min(most, n))).astype(np.int64))


def sampled(snapshot: Snapshot, rows: NDArray[np.int64]) -> Snapshot:
    """The snapshot with only these documents, and their counts."""
    corpus = snapshot.corpus
    part = Corpus(
        frame=corpus.frame.iloc[rows].reset_index(drop=True),
        text_col=corpus.text_col,
        id_col=corpus.id_col,
        set_aside=corpus.set_aside.iloc[:0],
    )
    slices = snapshot.slices
    return replace(
        snapshot,
        reader=CorpusReader(part),
        codes=snapshot.codes[:, rows],
        slices=None if slices is None else replace(slices, members=slices.members[rows]),
        layout=None if snapshot.layout is None else snapshot.layout[rows],
        sample_of=snapshot.sample_of or len(corpus),
    )


def page_bytes(
    snapshot: Snapshot,
    *,
    state: Mapping[str, Any] | None = None,
    theme: str = "auto",
    include_text: bool = True,
    fallback: str = "",
) -> bytes:
    """The page as UTF-8; see `write_page`."""
    script = (_STATIC / "standalone.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    style = (_STATIC / "widget.css").read_text(encoding="utf-8")
    styles = [style, *_STYLE.findall(fallback)]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_of(script)}",
            f"style-src {' '.join(map(_hash_of, styles))}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    listed, blobs = _columns(snapshot, include_text=include_text)
    blobs += [_Blob("scores", snapshot.codes.tobytes()), _Blob("slice_codes", slice_codes(snapshot))]
    if snapshot.layout is not None:
        blobs.append(_Blob("map", snapshot.layout.astype("<f4").tobytes()))
    blobs += _blocks(snapshot, include_text=include_text)
    opened = dict(state or {})
    if snapshot.sample_of is not None:
        opened = {key: value for key, value in opened.items() if key != "document"}
    sent = traits_of(snapshot)
    traits = {
        name: value for name, value in sent.items() if not isinstance(value, bytes) and name != "sample"
    }
    traits |= {
        "protocol": PROTOCOL,
        "kind": "view",
        "editable": False,
        "theme": theme,
        "progress": None,
        "notice": None,
        "state": plain(opened),
        "local": {
            "block": _BLOCK,
            "blocks": -(-len(snapshot.corpus) // _BLOCK),
            "texts": include_text,
            "columns": listed,
            "map": None if snapshot.layout is None else "map",
        },
    }
    parts = [
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n",
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n',
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n",
        f"<title>{escape(shown_text(snapshot.title))}</title>\n<style>{style}</style>\n</head>\n<body>\n",
        f"<div id='lloom-root'>{fallback}</div>\n",
        f"<script type='application/json' id='lloom-traits'>{_json_in_html(traits)}</script>\n",
        *(
            f"<script type='application/octet-stream;base64' id='lloom-blob-{blob.name}'>"
            f"{base64.b64encode(gzip.compress(blob.content, 6, mtime=0)).decode('ascii')}</script>\n"
            for blob in blobs
        ),
        f"<script type='module'>{script}</script>\n</body>\n</html>\n",
    ]
    return "".join(parts).encode("utf-8", "replace")


def _columns(snapshot: Snapshot, *, include_text: bool) -> tuple[list[dict[str, Any]], list[_Blob]]:
    columns = snapshot.reader.columns
    listed: list[dict[str, Any]] = []
    blobs: list[_Blob] = []
    for at, name in enumerate([*columns.names, ID_RANKS, *([TEXT_RANKS] if include_text else [])]):
        column = columns[name]
        entry: dict[str, Any] = {"name": name, "kind": column.kind, "blob": f"column-{at}"}
        if column.kind == "category":
            entry["labels"] = list(column.labels)
        listed.append(plain(entry))
        blobs.append(_Blob(f"column-{at}", column.buffer))
    return listed, blobs


def _blocks(snapshot: Snapshot, *, include_text: bool) -> Iterator[_Blob]:
    n = len(snapshot.corpus)
    for number, start in enumerate(range(0, n, _BLOCK)):
        block = _block(snapshot, range(start, min(n, start + _BLOCK)), include_text=include_text)
        content = json.dumps(plain(block), ensure_ascii=False, separators=(",", ":"))
        yield _Blob(f"docs-{number}", content.encode())


def _block(snapshot: Snapshot, rows: range, *, include_text: bool) -> dict[str, Any]:
    """The data of some documents in a page; see `docs/view-protocol.md`."""
    corpus, columns = snapshot.corpus, snapshot.reader.columns
    block: dict[str, Any] = {
        "ids": [snapshot.reader.id(row) for row in rows],
        "texts": None,
        "bullets": None,
        "quotes": None,
        "meta": {name: [columns.all_shown(name)[row] for row in rows] for name in columns.names},
        "judgements": [],
    }
    if not include_text:
        return block
    texts = [corpus.texts[row] for row in rows]
    block["texts"] = texts
    block["bullets"] = [list(snapshot.bullets.get(corpus.ids[row], ())) for row in rows]
    block["quotes"] = [
        utf16_spans(text, locate_spans(snapshot.quotes.get(corpus.ids[row], ()), text))
        for row, text in zip(rows, texts, strict=True)
    ]
    told = (_judgements(snapshot, at, rows) for at in range(len(snapshot.score_ids)))
    block["judgements"] = [judgements for judgements in told if judgements["rows"]]
    return block


def _judgements(snapshot: Snapshot, concept: int, rows: range) -> dict[str, Any]:
    """The rationales and highlights of one concept in a block."""
    concept_id = snapshot.score_ids[concept]
    told: dict[str, Any] = {"concept": concept, "rows": [], "rationales": [], "spans": [], "unverified": []}
    for row in rows:
        if snapshot.codes[concept, row] == NOT_SCORED:
            continue
        judgement = snapshot.judgement(concept_id, row)
        is_unverified = judgement.match is QuoteMatch.UNVERIFIED
        if not (judgement.rationale or judgement.highlight or is_unverified):
            continue
        told["rows"].append(row - rows.start)
        told["rationales"].append(judgement.rationale)
        told["spans"].append(
            utf16_spans(snapshot.corpus.texts[row], highlight_spans(concept_id, row, snapshot))
        )
        if is_unverified:
            told["unverified"].append(row - rows.start)
    return told


def _json_in_html(value: object) -> str:
    """JSON without characters that would end or open an HTML element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
