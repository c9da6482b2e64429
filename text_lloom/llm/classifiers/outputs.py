"""Reading the outputs of classifiers.

`read_outputs` and `pick_output` find the tensor in a server's reply. `read_probabilities` reads the
probabilities of classes from it, for classifiers of texts; `read_spans` reads labelled passages, for
classifiers of tokens. Each accepts the several forms in which servers write them, and refuses the others.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from text_lloom.errors import PermanentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Activation",
    "ClassName",
    "ClassSelection",
    "LabelledSpan",
    "Offsets",
    "Scalar",
    "Tensor",
    "pick_output",
    "read_outputs",
    "read_probabilities",
    "read_spans",
    "text_tensor",
]

Scalar: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["text", "integer", "number"]
ClassName: TypeAlias = str | int
Activation: TypeAlias = Literal["none", "softmax", "sigmoid"]
Offsets: TypeAlias = Callable[[str], Sequence[tuple[int, int]]]
"""For a text, the first and the last position (exclusive) of each of its tokens."""

_PROBABILITY_NAMES = ("predict_proba", "probabilities", "probability", "probs")
_DEEPEST = 8
_LONGEST_LITERAL = 1_000_000
_SLACK = 1e-4
"""Probabilities that a server rounds may pass 1 by this much."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output of a model.

    Attributes:
        name: Its name.
        shape: Its shape; the first dimension counts the texts.
        kind: What its values are, by the datatype of the protocol.
        values: All values, row by row.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    values: tuple[Scalar, ...]

    def rows(self, n: int) -> list[tuple[Scalar, ...]]:
        """The values of each of `n` texts.

        Raises:
            PermanentError: When the values are not for `n` texts.
        """
        if not (self.shape and self.shape[0] == n) and len(self.values) != n:
            raise PermanentError(
                f"Output {self.name!r} has the shape {list(self.shape)}, but {n} texts were sent; its first "
                f"dimension must be {n}."
            )
        width = len(self.values) // n
        return [self.values[at : at + width] for at in range(0, n * width, width)]


class ClassSelection(NamedTuple):
    """The classes whose probabilities are read.

    Attributes:
        columns: A class per column: its index, or its name as the model gives it.
        classes: Names of all classes of the model, in order, when known.
    """

    columns: tuple[ClassName, ...]
    classes: tuple[str, ...] = ()

    def position(self, column: ClassName, n: int | None) -> int:
        """The index of a class among the `n` classes of the model.

        Raises:
            PermanentError: When there is none.
        """
        if n is not None and self.classes and len(self.classes) != n:
            raise PermanentError(
                f"classes= names {len(self.classes)} classes, but the model gave {n} values for each text."
            )
        known = len(self.classes) or n
        if isinstance(column, str):
            if column not in self.classes:
                raise PermanentError(
                    f"The model answers by the index of a class, so it is not known which one {column!r} is. "
                    f"Give the names of all classes in order, with classes=[…], or the index in labels=."
                )
            column = self.classes.index(column)
        if known is not None and not 0 <= column < known:
            raise PermanentError(
                f"Class {column} was asked for, but the model has {known} classes, 0 to {known - 1}."
            )
        return column

    def names(self, column: ClassName) -> tuple[ClassName, ...]:
        """What the model may call a class: its index or its name."""
        if isinstance(column, int):
            named = self.classes[column : column + 1] if column >= 0 else ()
            return (column, str(column), f"LABEL_{column}", *named)
        at = (self.classes.index(column),) if column in self.classes else ()
        return (column, *at, *(str(i) for i in at), *(f"LABEL_{i}" for i in at))


class LabelledSpan(NamedTuple):
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


def text_tensor(
    name: str, texts: Sequence[str], *, column: bool, content_type: str | None
) -> dict[str, object]:
    """Texts as an input tensor, one per row, of shape `[n]` or as a `column` of shape `[n, 1]`.

    `content_type` says how MLServer is to read the bytes; other servers ignore it.
    """
    n = len(texts)
    tensor: dict[str, object] = {
        "name": name,
        "shape": [n, 1] if column else [n],
        "datatype": "BYTES",
        "data": list(texts),
    }
    if content_type is not None:
        tensor["parameters"] = {"content_type": content_type}
    return tensor


def read_outputs(reply: object) -> list[Tensor]:
    """The outputs in a server's reply to an inference request.

    Raises:
        PermanentError: When the reply is something else, or an output's shape does not fit its values.
    """
    if isinstance(reply, Mapping) and reply.get("error"):
        raise PermanentError(f"The server reports an error: {str(reply['error'])[:300]}")
    outputs = reply.get("outputs") if isinstance(reply, Mapping) else None
    if not isinstance(outputs, list) or not outputs:
        raise PermanentError(
            f"The server sent no outputs of the Open Inference Protocol (v2) but: {str(reply)[:200]!r}"
        )
    return [_tensor(output) for output in outputs]


def pick_output(outputs: Sequence[Tensor], named: str | None) -> Tensor:
    """The output to read: the named one, the only one, or the one whose name means probabilities.

    Raises:
        PermanentError: When that is not clear.
    """
    names = [output.name for output in outputs]
    if named is not None:
        if named not in names:
            raise PermanentError(f"The model has no output {named!r}; it gave {', '.join(map(repr, names))}.")
        return outputs[names.index(named)]
    if len(outputs) == 1:
        return outputs[0]
    likely = [output for output in outputs if output.name.lower() in _PROBABILITY_NAMES]
    if len(likely) != 1:
        raise PermanentError(
            f"The model gave several outputs: {', '.join(map(repr, names))}. Say which one holds the classes "
            f"or probabilities, with output=."
        )
    return likely[0]


def read_probabilities(
    tensor: Tensor, n: int, selection: ClassSelection, *, activation: Activation = "none"
) -> NDArray[np.float32]:
    """Probabilities of the selected classes for `n` texts, shape `(n, len(selection.columns))`.

    The output may be: a class index per text; a probability per text (of class 1); a matrix of
    probabilities or of 0 and 1, a column per class; a name per text; a mapping of classes to probabilities
    per text, as JSON or as KServe writes it (`"{0: 0.1, 1: 0.9}"`); a `{"label", "score"}` pair or a list of
    them. `activation` is applied to the numbers of a matrix that holds raw scores.

    Raises:
        PermanentError: When the output is something else, or could be read in two ways.
    """
    import numpy as np

    rows = tensor.rows(n)
    width = len(rows[0]) if rows else 0
    if tensor.kind == "text":
        if width != 1:
            raise PermanentError(
                f"Output {tensor.name!r} has {width} strings for each text; one is expected: the name of a "
                f"class, or the probabilities of all."
            )
        found = [_from_text(str(value), selection) for (value,) in rows]
    elif tensor.kind == "integer":
        found = [_from_integers(row, selection, tensor.name) for row in rows]
    else:
        matrix = _activated(np.array(rows, np.float64), activation, tensor.name)
        found = [_from_numbers(row.tolist(), selection) for row in matrix]
    return np.array(found, np.float32).reshape(n, len(selection.columns))


def read_spans(
    tensor: Tensor,
    texts: Sequence[str],
    *,
    classes: Sequence[str] = (),
    offsets: Offsets | None = None,
    outside: str = "O",
) -> list[list[LabelledSpan]]:
    """The labelled spans of each text, in their order.

    The output may be: a list of entities per text as JSON or as a Python literal, each with `entity` or
    `entity_group`, `score`, `start` and `end` (or a `word`, which is then looked for); or a class index or
    name per token, with `offsets`. Neighbouring tokens of one label are joined, except at a `B-` prefix.

    Args:
        tensor: The model's output.
        texts: The texts that were sent.
        classes: Names of the classes, in order, for outputs that are indices.
        offsets: Gives the places of the tokens of a text, for outputs with one class per token.
        outside: The label of tokens that belong to no span.

    Raises:
        PermanentError: When the output is something else or does not fit the texts.
    """
    rows = tensor.rows(len(texts))
    spans = []
    for row, text in zip(rows, texts, strict=True):
        content = _read_literal(str(row[0])) if tensor.kind == "text" and len(row) == 1 else None
        if isinstance(content, list) and all(isinstance(entity, Mapping) for entity in content):
            pieces = _entities(content, text)
        else:
            labels = content if isinstance(content, list) else row
            pieces = _tokens(labels, text, classes, offsets, tensor.name)
        spans.append(_joined([piece for piece in pieces if piece.label != outside], text))
    return spans


def _read_literal(text: str) -> object:
    """The JSON or Python literal in a string; the string itself when there is none. Runs no code.

    Raises:
        PermanentError: When the string is far too long.
    """
    stripped = text.strip()
    if not stripped.startswith(("{", "[")):
        return text
    if len(stripped) > _LONGEST_LITERAL:
        raise PermanentError(f"The server sent a string of {len(stripped):,} characters for one text.")
    try:
        content: object = json.loads(stripped)
    except ValueError:
        try:
            content = ast.literal_eval(stripped)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return text
    return content


class _Piece(NamedTuple):
    label: str
    begins: bool
    start: int
    end: int
    score: float | None


def _tensor(output: object) -> Tensor:
    try:
        name, datatype = str(output["name"]), str(output["datatype"]).upper()  # type: ignore[index]
        shape = tuple(int(size) for size in output["shape"])  # type: ignore[index]
        content = output["data"]  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise PermanentError(
            f"An output of the model lacks name, shape, datatype or data: {str(output)[:200]!r}"
        ) from None
    values = tuple(_flat(content))
    expected = math.prod(shape)
    if len(values) != expected:
        raise PermanentError(
            f"Output {name!r} has the shape {list(shape)}, which is {expected} values, but {len(values)} "
            f"were sent."
        )
    return Tensor(name, shape, _kind(name, datatype, values), values)


def _flat(content: object, depth: int = 0) -> Iterator[Scalar]:
    """The values of nested or flat lists, row by row."""
    if isinstance(content, list):
        if depth > _DEEPEST:
            raise PermanentError("An output of the model is nested too deeply.")
        for part in content:
            yield from _flat(part, depth + 1)
    elif isinstance(content, (str, int, float)):
        yield content
    else:
        raise PermanentError(f"An output of the model holds {content!r}, which is not a value of a tensor.")


def _kind(name: str, datatype: str, values: Sequence[Scalar]) -> Kind:
    if datatype == "BYTES":
        kind: Kind = "text"
    elif datatype == "BOOL" or datatype.startswith(("INT", "UINT")):
        kind = "integer"
    elif datatype.startswith(("FP", "BF")):
        kind = "number"
    else:
        raise PermanentError(f"Output {name!r} has the datatype {datatype!r}, which is not of the protocol.")
    types = {"text": (str,), "integer": (int,), "number": (int, float)}[kind]
    wrong = next((value for value in values if not isinstance(value, types)), None)
    if wrong is not None:
        raise PermanentError(f"Output {name!r} has the datatype {datatype}, but holds {wrong!r}.")
    return kind


def _from_numbers(row: Sequence[float], selection: ClassSelection) -> list[float]:
    if len(row) == 1:  # one probability, that of the class 1
        return [
            row[0] if selection.position(column, 2) == 1 else 1.0 - row[0] for column in selection.columns
        ]
    return [row[selection.position(column, len(row))] for column in selection.columns]


def _from_integers(row: Sequence[Scalar], selection: ClassSelection, name: str) -> list[float]:
    values = [int(value) for value in row]
    if len(values) == 1:
        if selection.classes and not 0 <= values[0] < len(selection.classes):
            raise PermanentError(
                f"Output {name!r} has the class {values[0]}, but classes= names {len(selection.classes)}, 0 "
                f"to {len(selection.classes) - 1}. Give the names of all classes, in their order."
            )
        return [float(values[0] == selection.position(column, None)) for column in selection.columns]
    if any(value not in (0, 1) for value in values):
        raise PermanentError(
            f"Output {name!r} has {len(values)} integers for each text that are not all 0 or 1, such as "
            f"{values[:8]}. Expected is one class index per text, or a 0 or 1 for each class."
        )
    return [float(values[selection.position(column, len(values))]) for column in selection.columns]


def _from_text(text: str, selection: ClassSelection) -> list[float]:
    content = _read_literal(text)
    if isinstance(content, str):
        if content.strip().startswith(("{", "[")):
            raise PermanentError(f"The server sent {content[:120]!r}, which is neither JSON nor a literal.")
        return [float(_is_class(content, column, selection)) for column in selection.columns]
    pairs = content if isinstance(content, list) else [content]
    labelled = [pair for pair in pairs if isinstance(pair, Mapping) and set(pair) >= {"label", "score"}]
    if pairs and len(labelled) == len(pairs):
        scores: dict[object, object] = {pair["label"]: pair["score"] for pair in labelled}
        whole = isinstance(content, list) and len(content) > 1
    elif isinstance(content, Mapping):
        scores, whole = dict(content), True
    else:
        raise PermanentError(f"The server sent {text[:120]!r} where a class was expected.")
    probabilities = {key: _probability(value, text) for key, value in scores.items()}
    return [_of_class(column, probabilities, selection, whole) for column in selection.columns]


def _of_class(
    column: ClassName, probabilities: Mapping[object, float], selection: ClassSelection, whole: bool
) -> float:
    found = [probabilities[name] for name in selection.names(column) if name in probabilities]
    if found:
        return found[0]
    if whole:
        raise PermanentError(
            f"Class {column!r} was asked for, but the model gave the classes "
            f"{', '.join(repr(key) for key in list(probabilities)[:20])}."
        )
    return 0.0  # only the likeliest class was given, and it is another one


def _is_class(label: str, column: ClassName, selection: ClassSelection) -> bool:
    if selection.classes and label not in selection.classes:
        raise PermanentError(
            f"The model gave the class {label!r}, which is not in classes={list(selection.classes)!r}."
        )
    names = selection.names(column)
    if label in names:
        return True
    near = [name for name in names if str(name).strip().casefold() == label.strip().casefold()]
    if near:
        raise PermanentError(
            f"The model gave the class {label!r}, while labels= says {near[0]!r}. Write it as the model does."
        )
    return False


def _probability(value: object, text: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not -_SLACK <= float(value) <= 1 + _SLACK:  # type: ignore[arg-type]
        raise PermanentError(f"The server sent {text[:120]!r}, where {value!r} is not a probability.")
    return min(1.0, max(0.0, float(value)))  # type: ignore[arg-type]


def _activated(matrix: NDArray[np.float64], activation: Activation, name: str) -> NDArray[np.float64]:
    """Probabilities, from numbers that are probabilities already or raw scores."""
    import numpy as np

    if not np.isfinite(matrix).all():
        raise PermanentError(f"Output {name!r} holds values that are not finite numbers.")
    if activation == "sigmoid":
        probabilities: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(matrix, -500, 500)))
        return probabilities
    if activation == "softmax":
        exponential: NDArray[np.float64] = np.exp(matrix - matrix.max(axis=1, keepdims=True))
        total: NDArray[np.float64] = exponential.sum(axis=1, keepdims=True)
        exponential /= total
        return exponential
    low, high = float(matrix.min(initial=0)), float(matrix.max(initial=0))
    if low < -_SLACK or high > 1 + _SLACK:
        outside = low if low < -_SLACK else high
        raise PermanentError(
            f"Output {name!r} holds {outside:g}, which is not a probability. If these are raw scores, say "
            f"activation='softmax' (one class per text) or 'sigmoid' (several); if they are the numbers of "
            f"classes, have the model give integers, or ask for another output."
        )
    clipped: NDArray[np.float64] = np.clip(matrix, 0.0, 1.0)
    return clipped


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
        probability = float(score) if isinstance(score, (int, float)) else None
        pieces.append(_Piece(label, begins or is_joined, start, end, probability))
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


def _joined(pieces: Sequence[_Piece], text: str) -> list[LabelledSpan]:
    """Spans from pieces: neighbours of one label are one span, unless the later one begins another."""
    spans: list[LabelledSpan] = []
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
            spans[-1] = LabelledSpan(last.label, last.start, end, text[last.start : end], score)
        else:
            spans.append(
                LabelledSpan(piece.label, piece.start, piece.end, text[piece.start : piece.end], piece.score)
            )
            counts.append(1)
    return spans
