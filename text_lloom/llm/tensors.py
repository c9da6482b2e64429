"""Tensors of the Open Inference Protocol, version 2: texts in, checked values out.

The protocol is described in `specification/protocol/inference_rest.md` of kserve/open-inference-protocol.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from text_lloom.errors import PermanentError

__all__ = ["Scalar", "Tensor", "pick_output", "read_outputs", "text_tensor"]

Scalar: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["text", "integer", "number"]

_PROBABILITY_NAMES = ("predict_proba", "probabilities", "probability", "probs")
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output of a model.

    Attributes:
        name: Its name.
        shape: Its shape; the first dimension counts the texts.
        kind: What its values are, from the datatype of the protocol.
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


def text_tensor(
    name: str, texts: Sequence[str], *, column: bool, content_type: str | None
) -> dict[str, object]:
    """Texts as an input tensor.

    Args:
        name: Of the input.
        texts: One per row.
        column: Shape `[n, 1]` instead of `[n]`.
        content_type: How MLServer is to read the bytes; other servers ignore it.
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


def pick_output(outputs: Sequence[Tensor], wanted: str | None) -> Tensor:
    """The output to read: the one that is named, the only one, or the one that is named like probabilities.

    Raises:
        PermanentError: When that is not clear.
    """
    names = [output.name for output in outputs]
    if wanted is not None:
        if wanted not in names:
            raise PermanentError(
                f"The model has no output {wanted!r}; it gave {', '.join(map(repr, names))}."
            )
        return outputs[names.index(wanted)]
    if len(outputs) == 1:
        return outputs[0]
    likely = [output for output in outputs if output.name.lower() in _PROBABILITY_NAMES]
    if len(likely) != 1:
        raise PermanentError(
            f"The model gave several outputs: {', '.join(map(repr, names))}. Say which one holds the classes "
            f"or probabilities, with output=."
        )
    return likely[0]


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
        raise PermanentError(f"An output of the model holds {content!r}, which is no value of a tensor.")


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
