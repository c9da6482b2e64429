"""What a model returns, read from the forms in which call functions may return it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from text_lloom.errors import AnswerRefused, BadAnswer, TransientError
from text_lloom.llm.options import finite_number
from text_lloom.llm.thoughts import part_thoughts
from text_lloom.quotes import harmless
from text_lloom.tasks.base import CUT_OFF

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
    "ending",
    "in_order",
    "is_whole",
    "settled",
    "usable_text",
]

_MOST_TOKENS = 1e12
_ENDED = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed"})
_CUT = frozenset(
    {"length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_new_tokens", "max_length"}
    | {"model_length", "model_context_window_exceeded", "context_length_exceeded", "token_limit"}
)
_DECLINED = frozenset(
    {"content_filter", "content_filtered", "refusal", "safety", "sensitive", "error_toxic", "blocklist"}
    | {"prohibited_content", "recitation", "spii", "model_armor", "guardrail_intervened"}
)
_BROKEN_OFF = frozenset(
    {"error", "abort", "aborted", "cancelled", "canceled", "user_cancel", "timeout", "time_limit"}
    | {"network_error", "insufficient_system_resource", "interrupted", "failed", "error_limit", "other"}
    | {"incomplete", "in_progress", "queued", "pause_turn", "malformed_function_call", "language"}
    | {"unexpected_tool_call", "malformed_response", "finish_reason_unspecified"}
)
"""Why a reply ended, in the words of OpenAI, Anthropic, Gemini, Mistral, DeepSeek
(`insufficient_system_resource`), Zhipu (`network_error`, `sensitive`), Cohere (`ERROR_TOXIC`,
`ERROR_LIMIT`), vLLM and SGLang (`abort`), TGI (`eos_token`), Bedrock (`guardrail_intervened`)."""
_TOOLS = frozenset({"tool_calls", "tool_use", "tool_call", "function_call"})
_FENCED = re.compile(r"\s*```[a-zA-Z]*\s*\n")


class Reply(NamedTuple):
    """One reply: its text, why it ended, and the thoughts before it."""

    text: str
    finish_reason: str | None
    reasoning: str | None = None


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
        reasoning: What the model thought before it replied, where the server or the reply shows it; `None`
            without it, and for replies from the cache.
        cached_tokens: Tokens of the prompt that the provider read from its own cache, at a lower price.
        cache_write_tokens: Tokens of the prompt that it wrote to its cache.
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
    reasoning: str | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None

    @property
    def replies(self) -> tuple[Reply, ...]:
        """The first and the further replies, each with the reason why it ended."""
        reasons = (*self.other_reasons, *(self.finish_reason,) * len(self.others))
        others = (Reply(text, reason) for text, reason in zip(self.others, reasons, strict=False))
        return (Reply(self.text, self.finish_reason, self.reasoning), *others)


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
    """The completion as it is used: text that is harmless and has no thoughts, numbers as tokens and cost.

    Raises:
        BadAnswer: When there is no text.
    """
    if not isinstance(completion.text, str):
        raise BadAnswer(f"The reply has {type(completion.text).__name__} where text was expected.")
    first = settled(completion.text, completion.reasoning)
    others = tuple(settled(text, None).text for text in completion.others)
    reasons = tuple(ending(reason) for reason in (completion.finish_reason, *completion.other_reasons))
    changed = (first.text, first.reasoning, others, reasons)
    as_given = (completion.finish_reason, *completion.other_reasons)
    if changed != (completion.text, completion.reasoning, completion.others, as_given):
        completion = replace(
            completion,
            text=first.text,
            reasoning=first.reasoning,
            others=others,
            finish_reason=reasons[0],
            other_reasons=reasons[1:],
        )
    in_tokens, out_tokens, usd = completion.in_tokens, completion.out_tokens, completion.usd
    cached, written = completion.cached_tokens, completion.cache_write_tokens
    if all(map(_is_count, (in_tokens, out_tokens, cached, written))) and usd is None:
        return completion
    read = _count(in_tokens)
    cost = finite_number(usd)
    return replace(
        completion,
        cached_tokens=_count(cached),
        cache_write_tokens=_count(written),
        in_tokens=read,
        out_tokens=None if read is None else _count(out_tokens),
        usd=None if cost is None or cost < 0 else cost,
    )


def settled(text: str, reasoning: str | None) -> Reply:
    """A reply as text and thoughts, from what stands in the fields for them.

    Servers confuse the two: the text may begin with thoughts, and the answer may stand with the thoughts when
    these end there, or when a JSON value is all that stands there, which thoughts never are.
    """
    answer, thoughts = part_thoughts(harmless(text))
    apart = harmless(reasoning).strip() if isinstance(reasoning, str) else ""
    if not answer.strip() and apart:
        parted = part_thoughts(apart)
        if parted.reasoning is not None and parted.answer:
            answer, apart = parted.answer, parted.reasoning
        elif _is_json(apart):
            answer, apart = apart, ""
    both = "\n\n".join(part for part in (apart, thoughts) if part)
    return Reply(answer, None, both or None)


def ending(reason: object) -> str | None:
    """Why a reply ended, in one word for all servers where that is known: `"stop"`, `"length"`, …."""
    if not isinstance(reason, str) or not reason:
        return None
    lowered = reason.lower()
    return "length" if lowered in _CUT else "stop" if lowered in _ENDED else reason


def is_whole(reason: str | None) -> bool:
    """Whether a reply that ended for this reason may be all that was to come."""
    return (reason or "").lower() not in _CUT | _DECLINED | _BROKEN_OFF


def usable_text(reply: Reply, *, in_form: bool, regex: str | None = None, is_json: bool = True) -> str:
    """The text of a reply that is whole, or that may be cut off because no form is asked for.

    Args:
        reply: The reply.
        in_form: A form is asked for, which a reply that was cut off cannot have.
        regex: The form, when it is a pattern.
        is_json: The form is JSON, rather than plain text.

    Raises:
        BadAnswer: When the reply is empty, thoughts alone, or cut off.
        TransientError: When the server broke it off.
        AnswerRefused: When the provider or the model declined.
    """
    text, reason, reasoning = reply
    how = (reason or "").lower()
    if how in _DECLINED:
        raise AnswerRefused(f"The model declined to answer: {reason}.")
    if how in _BROKEN_OFF:
        raise TransientError(f"The provider broke the reply off ({reason}).")
    if not text.strip() and reasoning is not None and regex is not None:
        text = reasoning.strip() if re.fullmatch(regex, reasoning.strip()) else text
    if not text.strip() and reasoning is not None:
        shown = "The reply has thoughts (reasoning) but no answer"
        if how == "length":
            raise BadAnswer(f"{shown}: they used up all tokens. Think less, or make max_tokens= larger.")
        raise BadAnswer(f"{shown}. Give the answer itself, after the thoughts.")
    if in_form and how == "length":
        raise BadAnswer(CUT_OFF)
    if not text.strip():
        wants_json = in_form and is_json
        raise BadAnswer(
            "Expected a JSON object, but the reply is empty." if wants_json else "The answer is empty."
        )
    if in_form and regex is None and how not in {"stop", *_TOOLS} and _is_unfinished(text):
        raise BadAnswer(CUT_OFF)
    return text


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


def _is_json(text: str) -> bool:
    """Whether a text is a JSON object or list and nothing else."""
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_unfinished(text: str) -> bool:
    """Whether a text is JSON that breaks off."""
    fence = _FENCED.match(text)
    body = (text[fence.end() :] if fence is not None else text).lstrip()
    if not body.startswith(("{", "[")):
        return False
    depth, is_quoted, is_escaped = 0, False, False
    for character in body:
        if is_quoted:
            is_quoted = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            is_quoted = True
        else:
            depth += (character in "{[") - (character in "}]")
            if not depth:
                return False
    return True
