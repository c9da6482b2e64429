"""Spans of a document that a token classifier has labelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from text_lloom.errors import PermanentError
from text_lloom.llm.classes import read_literal
from text_lloom.llm.tensors import Tensor

__all__ = ["Offsets", "Span", "read_spans"]

Offsets: TypeAlias = Callable[[str], Sequence[tuple[int, int]]]
"""Gives, for a text, the first and the last position (exclusive) of each of its tokens."""


class Span(NamedTuple):
    """A labelled passage.

    Attributes:
        label: What the classifier calls it, without the prefixes `B-` and `I-`.
        start: Position of its first character in the document.
        end: Position after its last character.
        text: The passage, as it stands in the document.
        score: The classifier's probability, `None` when it gives none.
    """

    label: str
    start: int
    end: int
    text: str
    score: float | None


class _Piece(NamedTuple):
    label: str
    begins: bool
    start: int
    end: int
    score: float | None


def read_spans(
    tensor: Tensor,
    texts: Sequence[str],
    *,
    classes: Sequence[str] = (),
    offsets: Offsets | None = None,
    outside: str = "O",
) -> list[list[Span]]:
    """The labelled spans of each text, in their order.

    Understood are: a list of entities per text as JSON or as a Python literal, each with `entity` or
    `entity_group`, `score`, `start` and `end` (or a `word`, which is then looked for); and a class index
    or name per token, with `offsets` that say where the tokens stand. Neighbouring tokens of one label are
    joined, except at a `B-` prefix.

    Args:
        tensor: The model's output.
        texts: What was sent.
        classes: Names of the classes, in order, for outputs that are indices.
        offsets: Where the tokens of a text stand, for outputs that have one class per token.
        outside: The label of tokens that belong to nothing.

    Raises:
        PermanentError: When the output is something else or does not fit the texts.
    """
    rows = tensor.rows(len(texts))
    spans = []
    for row, text in zip(rows, texts, strict=True):
        content = read_literal(str(row[0])) if tensor.kind == "text" and len(row) == 1 else None
        if isinstance(content, list) and all(isinstance(entity, Mapping) for entity in content):
            pieces = _entities(content, text)
        else:
            labels = content if isinstance(content, list) else row
            pieces = _tokens(labels, text, classes, offsets, tensor.name)
        spans.append(_joined([piece for piece in pieces if piece.label != outside], text))
    return spans


def _entities(entities: Sequence[Mapping[str, object]], text: str) -> list[_Piece]:
    pieces, at = [], 0
    for entity in entities:
        named = entity.get("entity_group", entity.get("entity", entity.get("label")))
        start, end, word = entity.get("start"), entity.get("end"), entity.get("word")
        if not isinstance(start, int) or not isinstance(end, int):
            shown = str(word or "").removeprefix("##").strip()
            start = text.find(shown, at) if shown else -1
            end = start + len(shown)
        if named is None or not 0 <= start < end <= len(text):
            raise PermanentError(
                f"The entity {str(dict(entity))[:150]!r} has no label, or does not stand in its text."
            )
        at = end
        score = entity.get("score")
        label, begins = _without_prefix(str(named))
        is_joined = "entity_group" in entity  # the server has joined its tokens already
        pieces.append(
            _Piece(
                label,
                begins or is_joined,
                start,
                end,
                float(score) if isinstance(score, (int, float)) else None,
            )
        )
    return pieces


def _tokens(
    labels: Sequence[object], text: str, classes: Sequence[str], offsets: Offsets | None, name: str
) -> list[_Piece]:
    if offsets is None:
        raise PermanentError(
            f"Output {name!r} has a class for each token, but not where the tokens stand. Give offsets=, a "
            f"function that gives (start, end) of each token of a text, such as one made from the model's "
            f"tokenizer."
        )
    places = list(offsets(text))
    if len(labels) < len(places):
        raise PermanentError(
            f"Output {name!r} has {len(labels)} classes for a text of {len(places)} tokens; the offsets are "
            f"those of another tokenizer."
        )
    pieces = []
    for value, (start, end) in zip(labels, places, strict=False):  # rows are padded to the longest text
        if start >= end:  # a special token
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value < len(classes):
                raise PermanentError(
                    f"Output {name!r} has the class {value}, but classes= names {len(classes)}. Give the "
                    f"names of all classes, in their order."
                )
            value = classes[value]
        label, begins = _without_prefix(str(value))
        pieces.append(_Piece(label, begins, start, end, None))
    return pieces


def _without_prefix(label: str) -> tuple[str, bool]:
    """A label without the prefix of the BIO scheme, and whether it begins a span."""
    if label[:2] in ("B-", "I-"):
        return label[2:], label[0] == "B"
    return label, False


def _joined(pieces: Sequence[_Piece], text: str) -> list[Span]:
    """Spans from pieces: neighbours of one label are one span, unless the later one begins another."""
    spans: list[Span] = []
    counts: list[int] = []
    for piece in sorted(pieces, key=lambda piece: (piece.start, piece.end)):
        last = spans[-1] if spans else None
        near = last is not None and not text[last.end : piece.start].strip()
        if last is not None and near and last.label == piece.label and not piece.begins:
            score = None
            if last.score is not None and piece.score is not None:
                score = (last.score * counts[-1] + piece.score) / (counts[-1] + 1)
            counts[-1] += 1
            end = max(last.end, piece.end)
            spans[-1] = Span(last.label, last.start, end, text[last.start : end], score)
        else:
            spans.append(
                Span(piece.label, piece.start, piece.end, text[piece.start : piece.end], piece.score)
            )
            counts.append(1)
    return spans
