"""What a model is asked: messages, the form of the reply, generation parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, TypedDict, get_args

from text_lloom.errors import InputError, UnknownName

__all__ = ["NO_PARAMS", "Message", "ModelRequest", "Prompt", "as_messages", "with_system"]

Role: TypeAlias = Literal["system", "user", "assistant"]

NO_PARAMS: Final[Mapping[str, object]] = MappingProxyType({})

_ROLES: Final[tuple[Role, ...]] = get_args(Role)


class Message(TypedDict):
    """One message of a conversation."""

    role: Role
    content: str


Prompt: TypeAlias = str | Sequence[Message]
"""What a user may ask: a prompt, or the messages of a conversation."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to a model, as a provider gets it once per attempt.

    Attributes:
        messages: The conversation; a system message, if any, comes first.
        schema: JSON schema of the reply, for providers that can enforce one.
        regex: A pattern that the whole reply must match, for providers that can enforce one.
        n: How many replies to give; more than 1 only for a model with `many_generations`.
        params: Generation parameters, already merged: model < operator < call.
        on_chunk: Called with each piece of text as it arrives, by a model that `streams`.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, object] | None = None
    regex: str | None = None
    n: int = 1
    params: Mapping[str, object] = field(default_factory=lambda: NO_PARAMS)
    on_chunk: Callable[[str], object] | None = None

    @property
    def prompt(self) -> str:
        """The contents of the user messages, joined by blank lines."""
        return "\n\n".join(message["content"] for message in self.messages if message["role"] == "user")

    @property
    def system(self) -> str | None:
        """The contents of the system messages, joined by blank lines; `None` without any."""
        found = [message["content"] for message in self.messages if message["role"] == "system"]
        return "\n\n".join(found) if found else None

    @property
    def text(self) -> str:
        """The whole conversation as one text, for models that take a prompt alone."""
        if len(self.messages) == 1:
            return self.messages[0]["content"]
        if any(message["role"] == "assistant" for message in self.messages):
            names: dict[Role, str] = {"system": "", "user": "User: ", "assistant": "Assistant: "}
            return "\n\n".join(f"{names[m['role']]}{m['content']}" for m in self.messages)
        return "\n\n".join(message["content"] for message in self.messages)

    @property
    def most_tokens(self) -> int | None:
        """The most tokens that all replies together can have; `None` without `max_tokens`."""
        most = self.params.get("max_tokens")
        return most * self.n if isinstance(most, int) and not isinstance(most, bool) and most > 0 else None

    def without_system(self) -> ModelRequest:
        """The same request, whose system text stands at the beginning of the first user message."""
        system = self.system
        if system is None:
            return self
        said = [message for message in self.messages if message["role"] != "system"]
        first = next((i for i, message in enumerate(said) if message["role"] == "user"), None)
        if first is not None and system.strip():
            content = f"{system}\n\n{said[first]['content']}"
            said[first] = Message(role="user", content=content)
        return replace(self, messages=tuple(said))

    def with_added_text(self, added: str) -> ModelRequest:
        """The same request with a text at the end of its last message."""
        *before, last = self.messages
        longer = Message(role=last["role"], content=f"{last['content']}{added}")
        return replace(self, messages=(*before, longer))


def as_messages(asked: object) -> tuple[Message, ...]:
    """The messages of a prompt or of a conversation.

    Raises:
        InputError: When it is neither, or does not end with a user message.
    """
    if isinstance(asked, str):
        return (Message(role="user", content=asked),)
    if not isinstance(asked, Sequence) or not asked:
        raise InputError(
            f"Expected a prompt or a list of messages such as [{{'role': 'user', 'content': '…'}}], but got "
            f"{type(asked).__name__}{'' if asked else ' without messages'}."
        )
    messages = tuple(_message(part) for part in asked)
    if messages[-1]["role"] != "user":
        raise InputError(f"The last message must be the user's, but is the {messages[-1]['role']}'s.")
    return messages


def with_system(messages: tuple[Message, ...], system: str | None) -> tuple[Message, ...]:
    """The messages with a system message first, unless they have one."""
    if system is None or messages[0]["role"] == "system":
        return messages
    return (Message(role="system", content=system), *messages)


def _message(part: object) -> Message:
    if not isinstance(part, Mapping) or not isinstance(part.get("content"), str):
        raise InputError(f"A message must be {{'role': …, 'content': text}}, but one is {str(part)[:80]!r}.")
    role = part.get("role")
    if role not in _ROLES:
        raise UnknownName(role, _ROLES, what="role of a message")
    return Message(role=role, content=part["content"])
