"""The three ways in which OpenAI's protocol asks for text: chat, responses, and plain completions."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from text_lloom.errors import AnswerRefused, PermanentError, TransientError
from text_lloom.llm.asked import ModelRequest
from text_lloom.llm.numeric import finite_number
from text_lloom.llm.returned import Completion

__all__ = ["ANSWER_FORMATS", "FORMATS", "Format", "Pieces", "read_completion", "strict_schema"]

ANSWER_FORMATS: Final = ("json_schema", "json_object", "none")
"""How a JSON reply can be asked for, strictest first."""

_COMMON = frozenset({"temperature", "top_p", "max_tokens"})
_SAMPLING = frozenset({"stop", "seed", "presence_penalty", "frequency_penalty"})
_CUT = frozenset({"length", "max_tokens", "model_length", "max_output_tokens"})
_ENDED = frozenset({"stop", "eos_token", "stop_sequence", "end_turn", "completed"})
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)


class Pieces(ABC):
    """Puts a reply together that comes in pieces."""

    @abstractmethod
    def add(self, event: Mapping[str, Any]) -> str:
        """Take one event; gives the text that it adds to the first reply."""

    @abstractmethod
    def completion(self) -> Completion:
        """The whole reply.

        Raises:
            TransientError: When the stream ended before the reply did.
        """


class Format(ABC):
    """One endpoint: what is sent, how the reply is read.

    Attributes:
        path: Where it is, below the base address.
        params: Names of the common parameters that it takes.
        many: It gives several replies to one request.
    """

    path: ClassVar[str]
    params: ClassVar[frozenset[str]]
    many: ClassVar[bool] = True

    @abstractmethod
    def body(self, model: str, request: ModelRequest, *, answer_format: str, longest: str) -> dict[str, Any]:
        """What is sent to ask a request.

        Args:
            model: Name of the model.
            request: What is asked.
            answer_format: How to ask for a reply in the request's schema, of `ANSWER_FORMATS`.
            longest: What this server calls the largest number of tokens of a reply.
        """

    @abstractmethod
    def read(self, reply: object) -> Completion:
        """The completion in a reply; raises as `read_completion`."""

    @abstractmethod
    def pieces(self) -> Pieces:
        """What puts the pieces of one reply together."""


class _Chat(Format):
    path = "/chat/completions"
    params = _COMMON | _SAMPLING | {"reasoning_effort"}

    def body(self, model: str, request: ModelRequest, *, answer_format: str, longest: str) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model, "messages": list(request.messages)}
        if request.schema is not None and answer_format == "json_schema":
            named = {"name": "answer", "schema": strict_schema(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.schema is not None and answer_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return _with_params(body, request, longest)

    def read(self, reply: object) -> Completion:
        return read_completion(reply)

    def pieces(self) -> Pieces:
        return _ChoicePieces()


class _Completions(Format):
    path = "/completions"
    params = _COMMON | _SAMPLING

    def body(self, model: str, request: ModelRequest, *, answer_format: str, longest: str) -> dict[str, Any]:
        del answer_format, longest
        return _with_params({"model": model, "prompt": request.text}, request, "max_tokens")

    def read(self, reply: object) -> Completion:
        return read_completion(reply)

    def pieces(self) -> Pieces:
        return _ChoicePieces()


class _Responses(Format):
    path = "/responses"
    params = _COMMON | {"reasoning_effort"}
    many = False

    def body(self, model: str, request: ModelRequest, *, answer_format: str, longest: str) -> dict[str, Any]:
        del longest
        said = [message for message in request.messages if message["role"] != "system"]
        body: dict[str, Any] = {"model": model, "input": said}
        if request.system is not None:
            body["instructions"] = request.system
        if request.schema is not None and answer_format == "json_schema":
            schema = strict_schema(request.schema)
            wanted = {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}
            body["text"] = {"format": wanted}
        elif request.schema is not None and answer_format == "json_object":
            body["text"] = {"format": {"type": "json_object"}}
        params = dict(request.params)
        if (effort := params.pop("reasoning_effort", None)) is not None:
            body["reasoning"] = {"effort": effort}
        if (verbosity := params.pop("verbosity", None)) is not None:
            body["text"] = {**body.get("text", {}), "verbosity": verbosity}
        if (most := params.pop("max_tokens", None)) is not None:
            body["max_output_tokens"] = most
        # OpenAI keeps what this endpoint is asked for 30 days unless told otherwise.
        return body | {"store": False} | params

    def read(self, reply: object) -> Completion:
        return _read_response(reply)

    def pieces(self) -> Pieces:
        return _ResponsePieces()


FORMATS: Final[Mapping[str, Format]] = {
    "chat": _Chat(),
    "responses": _Responses(),
    "completions": _Completions(),
}
"""The endpoints by the name that users give."""


def read_completion(reply: object) -> Completion:
    """The completion in a server's reply to a chat or a plain completion.

    Raises:
        AnswerRefused: When the model declined.
        PermanentError: When the reply is something else.
    """
    content = reply if isinstance(reply, Mapping) else {}
    choices = content.get("choices")
    if not choices:
        raise PermanentError(f"The server sent no completion but: {str(reply)[:200]}")
    texts = [_text(choice) for choice in choices]
    refusal = (choices[0].get("message") or {}).get("refusal")
    return _completion(texts, choices[0].get("finish_reason"), refusal, content)


def strict_schema(schema: Mapping[str, object]) -> dict[str, Any]:
    """A JSON schema in the strict subset: every object closed, every property required, no defaults.

    Made once per schema object.
    """
    known = _strict.get(id(schema))
    if known is None or known[0] is not schema:
        if len(_strict) >= _MOST_SCHEMAS:
            _strict.clear()
        known = _strict[id(schema)] = (schema, _closed(schema))
    return known[1]


_strict: dict[int, tuple[Mapping[str, object], dict[str, Any]]] = {}
_MOST_SCHEMAS = 256


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    kept = {key: _closed(value) for key, value in node.items() if key not in ("default", "title")}
    properties = node.get("properties")
    if isinstance(properties, Mapping):
        kept["properties"] = {name: _closed(value) for name, value in properties.items()}
        kept["required"] = list(properties)
        kept["additionalProperties"] = False
    return kept


class _ChoicePieces(Pieces):
    """Pieces of chat and plain completions."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._refusal: list[str] = []
        self._reason: str | None = None
        self._rest: dict[str, Any] = {}

    def add(self, event: Mapping[str, Any]) -> str:
        self._rest |= {name: event[name] for name in ("usage", "model") if event.get(name)}
        new = ""
        for choice in event.get("choices") or ():
            index, delta = choice.get("index", 0), choice.get("delta") or {}
            piece = delta.get("content") or choice.get("text") or ""
            self._texts.setdefault(index, []).append(piece)
            if index == 0:
                new += piece
                self._refusal.append(delta.get("refusal") or "")
                self._reason = choice.get("finish_reason") or self._reason
        return new

    def completion(self) -> Completion:
        if self._reason is None:
            raise _broken()
        texts = [_without_thoughts("".join(self._texts[index])) for index in sorted(self._texts)]
        return _completion(texts, self._reason, "".join(self._refusal), self._rest)


class _ResponsePieces(Pieces):
    """Events of the responses endpoint."""

    def __init__(self) -> None:
        self._final: Mapping[str, Any] | None = None

    def add(self, event: Mapping[str, Any]) -> str:
        kind = event.get("type")
        if kind == "response.output_text.delta":
            return str(event.get("delta") or "")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self._final = event.get("response") or {}
        return ""

    def completion(self) -> Completion:
        if self._final is None:
            raise _broken()
        return _read_response(self._final)


def _read_response(reply: object) -> Completion:
    """The completion in a reply of the responses endpoint; raises as `read_completion`."""
    content = reply if isinstance(reply, Mapping) else {}
    status = content.get("status")
    if status == "failed":
        error = content.get("error") or {}
        raise TransientError(f"The response failed: {error.get('message') or error.get('code')}.")
    messages = [item for item in content.get("output") or () if item.get("type") == "message"]
    reason = (content.get("incomplete_details") or {}).get("reason") or status
    if not messages and status != "incomplete":
        raise PermanentError(f"The server sent no response but: {str(reply)[:200]}")
    parts = [part for message in messages for part in message.get("content") or ()]
    text = "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")
    refusal = "".join(part.get("refusal") or "" for part in parts if part.get("type") == "refusal")
    reported = content.get("usage")
    usage = reported if isinstance(reported, Mapping) else {}
    counts = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
    return _completion([text], reason, refusal, {"usage": counts, "model": content.get("model")})


def _completion(
    texts: Sequence[str], reason: str | None, refusal: str | None, reply: Mapping[str, Any]
) -> Completion:
    reported = reply.get("usage")
    usage = reported if isinstance(reported, Mapping) else {}
    in_tokens, out_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    cost = finite_number(usage.get("cost"))
    if reason == "content_filter" or refusal:
        raise AnswerRefused(
            f"The model declined to answer: {refusal or 'content filter'}.",
            in_tokens=in_tokens,
            out_tokens=out_tokens,
            usd=cost,
        )
    reason = "length" if reason in _CUT else "stop" if reason in _ENDED else reason
    return Completion(
        texts[0] if texts else "",
        in_tokens,
        out_tokens,
        reason,
        cost,
        tuple(texts[1:]),
        model=reply.get("model"),
    )


def _text(choice: Mapping[str, Any]) -> str:
    content = (choice.get("message") or {}).get("content", choice.get("text"))
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
    return _without_thoughts(content or "")


def _without_thoughts(text: str) -> str:
    """A reply without what a reasoning model on one's own server wrote before it."""
    return _THOUGHTS.sub("", text, count=1) if "<think>" in text[:200] else text


def _with_params(body: dict[str, Any], request: ModelRequest, longest: str) -> dict[str, Any]:
    body |= request.params
    if "max_tokens" in body and longest != "max_tokens":
        body[longest] = body.pop("max_tokens")
    if request.n > 1:
        body["n"] = request.n
    return body


def _broken() -> TransientError:
    return TransientError("The stream ended before the reply did.")
