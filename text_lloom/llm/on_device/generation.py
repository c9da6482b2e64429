"""Generating the replies of a batch with transformers.

`sampling_of` and `stops_of` read generation parameters. `generate_rows` has transformers compute the scores
of the next tokens; each row chooses its token from them, by its own sampling, constraint and stop strings.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from text_lloom.errors import InputError
from text_lloom.llm.on_device.constrained import Constraint, ConstraintState
from text_lloom.llm.options import finite_number, whole_number

__all__ = ["BatchRow", "Generated", "Sampling", "generate_rows", "sampling_of", "stops_of"]

_RANGES: Final = (
    ("temperature", 0.0, 100.0),
    ("top_p", 0.0, 1.0),
    ("top_k", 0.0, 1e9),
    ("min_p", 0.0, 1.0),
    ("repetition_penalty", 0.01, 100.0),
    ("seed", 0.0, 2.0**63),
)
_PLAIN: Final[dict[str, Any]] = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
_TAIL = 16
"""How many tokens before the last are decoded to look for a stop string."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest.
        top_p: Only the likeliest tokens that together have this probability.
        top_k: Only so many of the likeliest tokens.
        min_p: Only tokens of at least this share of the likeliest one's probability.
        repetition_penalty: Above 1 discourages tokens that stand in the text already.
        seed: Of the random choices.
    """

    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int = 0


@dataclass(slots=True)
class BatchRow:
    """One reply to generate.

    Attributes:
        tokens: The prompt.
        max_tokens: The longest reply.
        sampling: How tokens are chosen.
        constraint: What the reply must follow, if anything.
        stop: Strings before which the reply ends.
        on_text: Called with each further piece of the reply.
        is_abandoned: Whether nobody waits for the reply any more.
    """

    tokens: list[int]
    max_tokens: int
    sampling: Sampling
    constraint: Constraint | None = None
    stop: tuple[str, ...] = ()
    on_text: Callable[[str], object] | None = None
    is_abandoned: Callable[[], bool] = field(default=lambda: False)


class Generated(NamedTuple):
    """A reply.

    Attributes:
        text: Without special tokens and stop strings.
        tokens: How many were generated, the one that ends the text included.
        finish_reason: `"stop"`, or `"length"` when the tokens ran out.
    """

    text: str
    tokens: int
    finish_reason: str


def sampling_of(params: Mapping[str, object]) -> Callable[[int], Sampling]:
    """A function that gives how the n-th reply to a request is sampled.

    Raises:
        InputError: When a parameter's value cannot be used.
    """
    numbers: dict[str, float] = {}
    for name, low, high in _RANGES:
        value = params.get(name)
        if value is None:
            continue
        number = finite_number(value)
        if number is None or not low <= number <= high:
            raise InputError(f"{name}={value!r} must be a number from {low:g} to {high:g}.")
        numbers[name] = number
    stops_of(params.get("stop"))
    if params.get("max_tokens") is not None:
        whole_number(params["max_tokens"], what="max_tokens")
    seed = int(numbers["seed"]) if "seed" in numbers else int.from_bytes(os.urandom(4), "big")
    top_k = numbers.get("top_k")

    def of(n: int) -> Sampling:
        return Sampling(
            numbers.get("temperature", 0.0),
            numbers.get("top_p"),
            None if top_k is None else int(top_k),
            numbers.get("min_p"),
            numbers.get("repetition_penalty"),
            (seed + n) % 2**63,
        )

    return of


def stops_of(value: object) -> tuple[str, ...]:
    """The strings before which a reply ends.

    Raises:
        InputError: When they are not texts.
    """
    if value is None:
        return ()
    stops = (value,) if isinstance(value, str) else value
    if isinstance(stops, (list, tuple)) and all(isinstance(stop, str) and stop for stop in stops):
        return tuple(stops)
    raise InputError(f"stop={value!r} must be a text or a list of texts, none of them empty.")


def generate_rows(model: Any, tokenizer: Any, rows: Sequence[BatchRow]) -> list[Generated]:
    """The replies to a batch of prompts, padded on the left.

    What is drawn for a row depends on its own seed alone, not on the other rows of the batch. The tokenizer
    needs a token for padding.
    """
    import torch

    width = max(len(row.tokens) for row in rows)
    padding = tokenizer.pad_token_id
    ids = torch.tensor([[padding] * (width - len(row.tokens)) + row.tokens for row in rows])
    mask = torch.tensor([[0] * (width - len(row.tokens)) + [1] * len(row.tokens) for row in rows])
    ends = _ends(model, tokenizer)
    states = [_RowState(row, tokenizer, ends, width) for row in rows]
    processor, criterion = _hooks(states)
    with torch.inference_mode():
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=_greedy(model, padding, max(row.max_tokens for row in rows)),
            logits_processor=[processor],
            stopping_criteria=[criterion],
        )
    return [state.generated() for state in states]


class _RowState:
    """What has been generated of one reply."""

    def __init__(self, row: BatchRow, tokenizer: Any, ends: frozenset[int], width: int) -> None:
        self.row, self.tokenizer, self.ends, self.width = row, tokenizer, ends, width
        self.walk = None if row.constraint is None else ConstraintState(row.constraint)
        self.tokens: list[int] = []
        self.reason: str | None = None
        self._penalties = _penalties(row.sampling)
        self._cuts = _cuts(row.sampling)
        self._random: Any = None
        self._sent = 0
        self._held = max(map(len, row.stop), default=1) - 1

    def scores(self, ids: Any, scores: Any) -> Any:
        """Scores of the next token, shape `(1, vocabulary)`, of which transformers takes the largest."""
        import torch

        if self.reason is not None:
            return scores
        for warp in self._penalties:
            scores = warp(ids[:, self.width - len(self.row.tokens) :], scores)
        if self.walk is not None:
            allowed = self.walk.allowed(self.row.max_tokens - len(self.tokens))
            barred = torch.from_numpy(~allowed).to(scores.device)
            scores = scores.masked_fill(barred, -torch.inf)
        if self.row.sampling.temperature <= 0:
            return scores
        for warp in self._cuts:
            scores = warp(ids, scores)
        if self._random is None:
            self._random = torch.Generator().manual_seed(self.row.sampling.seed)
        # The largest of scores with Gumbel noise is a draw from their softmax (Gumbel 1954).
        uniform = torch.rand(scores.shape, generator=self._random).clamp_(min=1e-20)
        return scores - torch.log(-torch.log(uniform)).to(scores.device)

    def take(self, token: int) -> bool:
        """Note the token that was chosen; returns whether the reply is over."""
        if self.reason is not None:
            return True
        self.tokens.append(token)
        if self.walk is not None and token not in self.ends:
            self.walk.advance(token)
        is_whole = self.walk is not None and self.walk.finished
        if token in self.ends or is_whole or self._has_stop():
            self.reason = "stop"
        elif len(self.tokens) >= self.row.max_tokens:
            self.reason = "stop" if self.walk is not None and self.walk.may_end else "length"
        elif self.row.is_abandoned():
            self.reason = "abandoned"
        if self.row.on_text is not None:
            self._send()
        return self.reason is not None

    def generated(self) -> Generated:
        return Generated(self._text(), len(self.tokens), self.reason or "length")

    def _text(self) -> str:
        written = self.tokens[:-1] if self.tokens and self.tokens[-1] in self.ends else self.tokens
        text: str = self.tokenizer.decode(written, **_PLAIN)
        found = [at for stop in self.row.stop if (at := text.find(stop)) >= 0]
        return text[: min(found)] if found else text

    def _has_stop(self) -> bool:
        if not self.row.stop:
            return False
        longest = max(map(len, self.row.stop))
        tail = self.tokenizer.decode(self.tokens[-(longest + _TAIL) :], **_PLAIN)
        return any(stop in tail for stop in self.row.stop)

    def _send(self) -> None:
        """Send the new text that is certain: no half characters, nothing that may become a stop string."""
        if self.row.on_text is None:
            return
        text = self._text()
        until = len(text) if self.reason is not None else max(self._sent, len(text) - self._held)
        if self.reason is None:
            while until > self._sent and text[until - 1] == "\ufffd":
                until -= 1
        if until > self._sent:
            self.row.on_text(text[self._sent : until])
            self._sent = until


class _Hooks(NamedTuple):
    processor: Any
    criterion: Any


def _hooks(states: Sequence[_RowState]) -> _Hooks:
    """What transformers calls before and after each token."""
    import torch
    from transformers import LogitsProcessor, StoppingCriteria

    class Choosing(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, ids: Any, scores: Any) -> Any:
            rows = [state.scores(ids[n : n + 1], scores[n : n + 1]) for n, state in enumerate(states)]
            return torch.cat(rows)

    class Ending(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
            chosen = ids[:, -1].tolist()
            over = [state.take(token) for state, token in zip(states, chosen, strict=True)]
            return torch.tensor(over, device=ids.device)

    return _Hooks(Choosing(), Ending())


def _penalties(sampling: Sampling) -> list[Any]:
    """Processors of the scores before a constraint is applied."""
    import transformers.generation as hf

    penalty = sampling.repetition_penalty
    if penalty is None or penalty == 1.0:
        return []
    return [hf.RepetitionPenaltyLogitsProcessor(float(penalty))]


def _cuts(sampling: Sampling) -> list[Any]:
    """Processors of the scores before a token is drawn."""
    import transformers.generation as hf

    found: list[Any] = []
    if sampling.temperature not in (0.0, 1.0):
        found.append(hf.TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        found.append(hf.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        found.append(hf.TopPLogitsWarper(float(sampling.top_p)))
    if sampling.min_p:
        found.append(hf.MinPLogitsWarper(float(sampling.min_p)))
    return found


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a reply, by the tokenizer and by the model's own generation settings."""
    listed = model.generation_config.eos_token_id
    known = listed if isinstance(listed, list) else [listed]
    return frozenset(int(token) for token in (*known, tokenizer.eos_token_id) if token is not None)


def _greedy(model: Any, padding: int, longest: int) -> Any:
    """The model's generation settings without sampling: rows choose for themselves."""
    config = copy.deepcopy(model.generation_config)
    config.do_sample = False
    config.num_beams = 1
    config.pad_token_id = padding
    config.max_new_tokens = longest
    for name in ("temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "max_length"):
        setattr(config, name, None)
    return config
