"""What a model returns, read from the forms in which call functions may return it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from text_lloom.errors import BadAnswer
from text_lloom.llm.options import finite_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Completion",
    "Embeddings",
    "Reply",
    "as_completion",
    "as_embeddings",
    "checked",
    "in_order",
]

_MOST_TOKENS = 1e12


class Reply(NamedTuple):
    """One reply: its text, and why it ended."""

    text: str
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply to one prompt.

    Attributes:
        text: The reply.
        in_tokens: Tokens of the prompt, `None` when the provider reports none.
        out_tokens: Tokens of the reply, `None` when the provider reports none.
        finish_reason: Why the reply ended: `"stop"`, `"length"`, ..., or `None` when unknown.
        usd: The cost in US dollars, when the provider itself reports it. `Model.call` sets it to the cost of
            the request, `None` when the price is unknown.
        others: Further replies to a request for several; tokens and cost are those of the whole request.
        seconds: How long the request took.
        parsed: The value in the reply, when a schema or a pattern was asked for.
        model: Name of the model that replied.
        cached: The reply came from the cache, and cost nothing now.
        other_reasons: Why each of `others` ended; as `finish_reason` where none is given.
    """

    text: str
    in_tokens: int | None = None
    out_tokens: int | None = None
    finish_reason: str | None = None
    usd: float | None = None
    others: tuple[str, ...] = ()
    seconds: float | None = None
    parsed: object | None = None
    model: str | None = None
    cached: bool = False
    other_reasons: tuple[str | None, ...] = ()

    @property
    def replies(self) -> tuple[Reply, ...]:
        """The first and the further replies, each with the reason why it ended."""
        reasons = (*self.other_reasons, *(self.finish_reason,) * len(self.others))
        others = (Reply(text, reason) for text, reason in zip(self.others, reasons, strict=False))
        return (Reply(self.text, self.finish_reason), *others)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of one call.

    Attributes:
        vectors: Shape `(texts, dimensions)`, float32.
        in_tokens: Tokens of all texts, `None` when the provider reports none.
    """

    vectors: NDArray[np.float32]
    in_tokens: int | None = None


def as_completion(returned: object) -> Completion:
    """A completion from what a call function may return.

    Raises:
        BadAnswer: When there is no text.
    """
    if isinstance(returned, Completion):
        return returned
    text, tokens = returned, None
    if isinstance(returned, (tuple, list)) and len(returned) == 2:
        text, tokens = returned
    if not isinstance(text, str):
        raise BadAnswer(
            f"The call function returned {type(text).__name__} where text was expected; it must return "
            f"(text, (in_tokens, out_tokens))."
        )
    counts = _tokens(tokens)
    return Completion(text, counts.input, counts.output)


def checked(completion: Completion) -> Completion:
    """The completion, in which tokens and cost that are not numbers are `None`.

    Raises:
        BadAnswer: When there is no text.
    """
    text, in_tokens, out_tokens = completion.text, completion.in_tokens, completion.out_tokens
    if not isinstance(text, str):
        raise BadAnswer(f"The reply has {type(text).__name__} where text was expected.")
    usd = completion.usd
    if _is_count(in_tokens) and _is_count(out_tokens) and usd is None:
        return completion
    read = _count(in_tokens)
    cost = finite_number(usd)
    return replace(
        completion,
        in_tokens=read,
        out_tokens=None if read is None else _count(out_tokens),
        usd=None if cost is None or cost < 0 else cost,
    )


def as_embeddings(returned: object, n: int) -> Embeddings | None:
    """Embeddings of `n` texts from what a call function may return; `None` if they are not `n` vectors.

    Raises:
        BadAnswer: When a vector has a value that is not a finite number.
    """
    import numpy as np

    if isinstance(returned, Embeddings):
        array, tokens = _as_vectors(returned.vectors, n), returned.in_tokens
    else:
        array, tokens = _as_vectors(returned, n), None
        if isinstance(returned, (tuple, list)) and len(returned) == 2:
            paired = _as_vectors(returned[0], n)
            if paired is not None:
                array, tokens = paired, _tokens(returned[1]).input
    if array is None:
        return None
    if not np.isfinite(array).all():
        raise BadAnswer("The vectors contain values that are not finite numbers (NaN or infinity).")
    return Embeddings(array, tokens)


def in_order(rows: Sequence[tuple[object, object]], n: int) -> list[Any]:
    """The vectors of `n` texts in the order of the texts, from rows of an index and a vector in any order.

    Without indices, or when all are the same, rows are taken as they come.

    Raises:
        BadAnswer: When there are not `n` rows, or the indices are not those of the texts.
    """
    if len(rows) != n:
        raise BadAnswer(f"The provider sent {len(rows)} vectors for {n} texts.")
    indices = [index for index, _ in rows]
    if all(index == indices[0] for index in indices):
        return [vector for _, vector in rows]
    by_index = {index: vector for index, vector in rows if isinstance(index, int)}
    if sorted(by_index) != list(range(n)):
        raise BadAnswer(
            f"The provider sent vectors with the indices {str(indices)[:80]}, so it cannot be told which of "
            f"the {n} texts each belongs to."
        )
    return [by_index[i] for i in range(n)]


class _Tokens(NamedTuple):
    input: int | None
    output: int | None


def _tokens(reported: object) -> _Tokens:
    """Token counts from a pair, a number or nothing. Zeros mean that nothing was reported."""
    listed: Any = reported.tolist() if hasattr(reported, "tolist") else reported
    parts = list(listed) if isinstance(listed, (tuple, list)) else [listed]
    numbers = [_count(part) or 0 for part in parts[:2]]
    if not any(numbers):
        return _Tokens(None, None)
    return _Tokens(numbers[0], numbers[1] if len(numbers) > 1 else 0)


def _is_count(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= _MOST_TOKENS)


def _count(value: object) -> int | None:
    """A number of tokens as providers write it; `None` for anything else."""
    if isinstance(value, str) and value.isdecimal():
        value = float(value)
    number = finite_number(value)
    return int(number) if number is not None and 0 <= number <= _MOST_TOKENS else None


def _as_vectors(value: object, n: int) -> NDArray[np.float32] | None:
    """`n` vectors as rows, or `None` if the value is something else."""
    import numpy as np

    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        return None
    if array.ndim == 1 and n == 1 and len(array):
        array = array[np.newaxis]
    return array if array.ndim == 2 and len(array) == n and array.shape[1] else None
