"""What a classifier's outputs say: per text, the probability of each class that is asked for."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from text_lloom.errors import PermanentError
from text_lloom.llm.tensors import Scalar, Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Activation", "ClassName", "Wanted", "read_literal", "read_probabilities"]

ClassName: TypeAlias = str | int
Activation: TypeAlias = Literal["none", "softmax", "sigmoid"]

_LONGEST_LITERAL = 1_000_000
_SLACK = 1e-4
"""Probabilities that a server rounds may pass 1 by this much."""


class Wanted(NamedTuple):
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
            PermanentError: When it has none.
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


def read_probabilities(
    tensor: Tensor, n: int, wanted: Wanted, *, activation: Activation = "none"
) -> NDArray[np.float32]:
    """Probabilities of the wanted classes for `n` texts.

    Understood are: a class index per text; a probability per text (of class 1); a matrix of probabilities
    or of 0 and 1, a column per class; a name per text; a mapping of classes to probabilities per text, as
    JSON or as KServe writes it (`"{0: 0.1, 1: 0.9}"`); a `{"label", "score"}` pair or a list of them.

    Args:
        tensor: The model's output.
        n: How many texts were sent.
        wanted: The classes to read.
        activation: Applied to the numbers of a matrix that holds raw scores.

    Returns:
        Shape `(n, len(wanted.columns))`.

    Raises:
        PermanentError: When the output is none of these, or could be read in two ways.
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
        found = [_from_text(str(value), wanted) for (value,) in rows]
    elif tensor.kind == "integer":
        found = [_from_integers(row, wanted, tensor.name) for row in rows]
    else:
        matrix = _activated(np.array(rows, np.float64), activation, tensor.name)
        found = [_from_numbers(row.tolist(), wanted) for row in matrix]
    return np.array(found, np.float32).reshape(n, len(wanted.columns))


def read_literal(text: str) -> object:
    """The JSON or Python literal in a string; the string itself when there is none. No code is run.

    Raises:
        PermanentError: When it is far too long.
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


def _from_numbers(row: Sequence[float], wanted: Wanted) -> list[float]:
    if len(row) == 1:  # one probability, that of the class 1
        return [row[0] if wanted.position(column, 2) == 1 else 1.0 - row[0] for column in wanted.columns]
    return [row[wanted.position(column, len(row))] for column in wanted.columns]


def _from_integers(row: Sequence[Scalar], wanted: Wanted, name: str) -> list[float]:
    values = [int(value) for value in row]
    if len(values) == 1:
        if wanted.classes and not 0 <= values[0] < len(wanted.classes):
            raise PermanentError(
                f"Output {name!r} has the class {values[0]}, but classes= names {len(wanted.classes)}, 0 to "
                f"{len(wanted.classes) - 1}. Give the names of all classes, in their order."
            )
        return [float(values[0] == wanted.position(column, None)) for column in wanted.columns]
    if any(value not in (0, 1) for value in values):
        raise PermanentError(
            f"Output {name!r} has {len(values)} integers for each text that are not all 0 or 1, such as "
            f"{values[:8]}. Expected is one class index per text, or a 0 or 1 for each class."
        )
    return [float(values[wanted.position(column, len(values))]) for column in wanted.columns]


def _from_text(text: str, wanted: Wanted) -> list[float]:
    content = read_literal(text)
    if isinstance(content, str):
        if content.strip().startswith(("{", "[")):
            raise PermanentError(f"The server sent {content[:120]!r}, which is neither JSON nor a literal.")
        return [float(_is_class(content, column, wanted)) for column in wanted.columns]
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
    return [_of_class(column, probabilities, wanted, whole) for column in wanted.columns]


def _of_class(column: ClassName, probabilities: Mapping[object, float], wanted: Wanted, whole: bool) -> float:
    found = [probabilities[name] for name in wanted.names(column) if name in probabilities]
    if found:
        return found[0]
    if whole:
        raise PermanentError(
            f"Class {column!r} was asked for, but the model gave the classes "
            f"{', '.join(repr(key) for key in list(probabilities)[:20])}."
        )
    return 0.0  # only the likeliest class was given, and it is another one


def _is_class(label: str, column: ClassName, wanted: Wanted) -> bool:
    if wanted.classes and label not in wanted.classes:
        raise PermanentError(
            f"The model gave the class {label!r}, which is not in classes={list(wanted.classes)!r}."
        )
    names = wanted.names(column)
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
        raise PermanentError(f"The server sent {text[:120]!r}, where {value!r} is no probability.")
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
            f"Output {name!r} holds {outside:g}, which is no probability. If these are raw scores, say "
            f"activation='softmax' (one class per text) or 'sigmoid' (several); if they are the numbers of "
            f"classes, have the model give integers, or ask for another output."
        )
    clipped: NDArray[np.float64] = np.clip(matrix, 0.0, 1.0)
    return clipped
