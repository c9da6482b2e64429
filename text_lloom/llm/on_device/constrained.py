"""Constrained decoding: which tokens may come next so that a reply follows a schema or a pattern to its end.

The automata are those of outlines-core, the engine of Outlines 1.x (Willard & Louf 2023,
https://arxiv.org/abs/2307.09702). In addition, as the tokens of a reply run out, the shortest way to a valid
end is taken, so that a reply is always whole.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from text_lloom.errors import InputError, ModelSetupError
from text_lloom.llm.on_device.base import check_packages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Constraint", "ConstraintMaker", "ConstraintState"]

_KEPT = 32
_MOST_LISTED = 1000
_LONGEST_LITERAL_TOKEN = 24
_FAR = 2**16 - 1
_SPACE = "\u2581"
"""How SentencePiece writes a leading space."""
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""How SentencePiece writes a byte of a character that it has no token for."""
_OPTIONAL_SPACE = "[ ]?"


class ConstraintMaker:
    """Makes constraints for one tokenizer; equal ones are made once.

    `vocabulary_size` is the length of the model's logits.

    Raises:
        ModelSetupError: When the tokenizer has no token that ends a text.
    """

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        check_packages("outlines_core", extra="transformers", purpose="Constrained decoding")
        from outlines_core import Vocabulary

        if tokenizer.eos_token_id is None:
            raise ModelSetupError(
                "The tokenizer has no token that ends a text, which constrained decoding needs. Name one "
                "with tokenizer_kwargs={'eos_token': …}."
            )
        self.end = int(tokenizer.eos_token_id)
        self.vocabulary_size = vocabulary_size
        self.tokens = _bytes_of_tokens(tokenizer)
        by_text: dict[bytes, list[int]] = {}
        for token, text in self.tokens.items():
            by_text.setdefault(text, []).append(token)
        self._vocabulary = Vocabulary(self.end, by_text)
        self._made: OrderedDict[str, Constraint] = OrderedDict()

    def of_schema(self, schema: Mapping[str, object]) -> Constraint:
        """The constraint that a reply is JSON of a schema, with every property that it has.

        Raises:
            InputError: When the schema has parts that no automaton can represent.
        """
        from outlines_core.json_schema import build_regex_from_schema

        try:
            pattern = build_regex_from_schema(json.dumps(_whole(schema)))
        except (ValueError, TypeError, NotImplementedError) as error:
            raise InputError(
                f"The schema cannot be held by constrained decoding: {error}. Leave out what it names."
            ) from None
        return self.of_regex(pattern)

    def of_regex(self, pattern: str) -> Constraint:
        """The constraint that a whole reply matches a pattern.

        Raises:
            InputError: When the pattern is faulty, or uses what automata lack, such as look-ahead.
        """
        made = self._made.pop(pattern, None)
        if made is None:
            from outlines_core import Index

            try:
                index = Index(pattern, self._vocabulary)
            except (ValueError, RuntimeError) as error:
                raise InputError(
                    f"regex={pattern[:100]!r} cannot be held by constrained decoding: {error}. It must be a "
                    f"regular expression without look-around and back references, of characters that the "
                    f"model can write."
                ) from None
            made = Constraint(index, pattern, self)
        self._made[pattern] = made
        if len(self._made) > _KEPT:
            self._made.popitem(last=False)
        return made


class Constraint:
    """An automaton over tokens (the `index` of outlines-core), and how far its states are from an end."""

    def __init__(self, index: Any, pattern: str, maker: ConstraintMaker) -> None:
        self.index = index
        self.end = maker.end
        self._size = maker.vocabulary_size
        self._distances = _distances(index, _literal_tokens(maker.tokens, pattern))
        self._steps: dict[int, _Steps] = {}

    @property
    def shortest(self) -> int:
        """Tokens of the shortest reply."""
        return self._distances.get(self.index.get_initial_state(), _FAR)

    def allowed(self, state: int, left: int) -> NDArray[np.bool_]:
        """Which tokens may come next so that an end can be reached, shape `(vocabulary,)`.

        `left` is how many tokens may still come, this one included.
        """
        import numpy as np

        steps = self._steps_from(state)
        mask = np.zeros(self._size, np.bool_)
        if len(steps.tokens):
            # When no end can be reached any more, go to the nearest one.
            mask[steps.tokens[steps.lengths < max(left, int(steps.lengths.min()) + 1)]] = True
        return mask

    def _steps_from(self, state: int) -> _Steps:
        import numpy as np

        found = self._steps.get(state)
        if found is None:
            allowed = self.index.get_allowed_tokens(state) or ()
            tokens = [token for token in allowed if token < self._size and token != self.end]
            following = [self.index.get_next_state(state, token) for token in tokens]
            lengths = [self._distances.get(after, _FAR - 1) for after in following]
            if self.index.is_final_state(state):
                tokens, lengths = [*tokens, self.end], [*lengths, 0]
            found = _Steps(np.array(tokens, np.int32), np.minimum(lengths, _FAR - 1).astype(np.uint16))
            self._steps[state] = found
        return found


class ConstraintState:
    """The state of one reply under a constraint.

    Attributes:
        finished: The reply is whole.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._state: int = constraint.index.get_initial_state()
        self.finished = False

    @property
    def may_end(self) -> bool:
        """Whether the reply is valid as it stands."""
        return bool(self._constraint.index.is_final_state(self._state))

    def allowed(self, left: int) -> NDArray[np.bool_]:
        """Which tokens may come next, shape `(vocabulary,)`; see `Constraint.allowed`."""
        return self._constraint.allowed(self._state, left)

    def advance(self, token: int) -> None:
        """Go on by a token that was allowed."""
        if token == self._constraint.end:
            self.finished = True
            return
        following = self._constraint.index.get_next_state(self._state, token)
        if following is None:
            self.finished = True
        else:
            self._state = following


class _Steps(NamedTuple):
    """The tokens that may come in a state, and how many more would have to follow each to an end."""

    tokens: NDArray[np.int32]
    lengths: NDArray[np.uint16]


def _whole(node: Any) -> Any:
    """A schema in which every property is required (a model that may leave one out often will), and whole
    numbers within bounds are listed, since automata know no bounds.
    """
    if isinstance(node, list):
        return [_whole(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    if (values := _listed(node)) is not None:
        return {"enum": values}
    found = {key: _whole(value) for key, value in node.items()}
    if isinstance(node.get("properties"), Mapping):
        found["required"] = list(node["properties"])
    return found


def _listed(node: Mapping[str, Any]) -> list[int] | None:
    """The whole numbers that a schema allows, if it has two bounds that are near enough."""
    low, high = node.get("minimum"), node.get("maximum")
    if node.get("type") != "integer" or not isinstance(low, int) or not isinstance(high, int):
        return None
    return list(range(low, high + 1)) if 0 <= high - low < _MOST_LISTED else None


def _bytes_of_tokens(tokenizer: Any) -> dict[int, bytes]:
    """By token, what it adds to a text; without special tokens, which are no text.

    Bytes and not characters, since byte-level vocabularies write rare characters in several tokens.
    """
    special = set(tokenizer.all_special_ids)
    to_byte = _byte_alphabet() if _is_byte_level(tokenizer) else {}
    found = {}
    for token, number in tokenizer.get_vocab().items():
        if number in special:
            continue
        fallback = _BYTE_TOKEN.fullmatch(token)
        if to_byte and all(character in to_byte for character in token):
            written = bytes(to_byte[character] for character in token)
        elif fallback is not None:
            written = bytes([int(fallback[1], 16)])
        else:
            text: str = tokenizer.convert_tokens_to_string([token])
            written = (f" {text.removeprefix(' ')}" if token.startswith(_SPACE) else text).encode()
        if written:
            found[number] = written
    return found


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether the characters of a token stand for bytes, as in GPT-2 and Llama 3."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    return decoder is not None and b"ByteLevel" in decoder.__getstate__()


def _byte_alphabet() -> dict[str, int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {character: byte for byte, character in bytes_to_unicode().items()}


def _literal_tokens(tokens: Mapping[int, bytes], pattern: str) -> list[int]:
    """Tokens with which the fixed parts of a pattern can be written: single bytes and parts of it."""
    plain = pattern.replace("\\", "")
    written = plain.replace(_OPTIONAL_SPACE, "") + "\0" + plain.replace(_OPTIONAL_SPACE, " ")
    parts = re.sub(r"[()]", "", written).encode()
    found: dict[bytes, int] = {}
    for token, text in tokens.items():
        if len(text) == 1 or (len(text) <= _LONGEST_LITERAL_TOKEN and text in parts):
            found.setdefault(text, token)
    return list(found.values())


def _distances(index: Any, literals: Sequence[int]) -> dict[int, int]:
    """Tokens from each state to the nearest end, when only some tokens are used."""
    start: int = index.get_initial_state()
    backwards: dict[int, set[int]] = {start: set()}
    waiting = [start]
    while waiting:
        state = waiting.pop()
        for token in literals:
            following = index.get_next_state(state, token)
            if following is None:
                continue
            if following not in backwards:
                backwards[following] = set()
                waiting.append(following)
            backwards[following].add(state)
    distances = {state: 0 for state in backwards if index.is_final_state(state)}
    nearest = deque(distances)
    while nearest:
        state = nearest.popleft()
        for before in backwards[state]:
            if before not in distances:
                distances[before] = distances[state] + 1
                nearest.append(before)
    return distances
