"""The three ways in which OpenAI's protocol asks for text: chat, responses, and plain completions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from text_lloom.errors import AnswerRefused, PermanentError, TransientError
from text_lloom.llm.completion import Completion
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.options import finite_number
from text_lloom.llm.runtime.http import stated_error

__all__ = ["ANSWER_FORMATS", "FORMATS", "Format", "read_completion", "strict_schema"]

ANSWER_FORMATS: Final = ("json_schema", "json_object", "none")
"""How a JSON reply can be asked for, strictest first."""

_COMMON = frozenset({"temperature", "top_p", "max_tokens"})
_SAMPLING = frozenset({"stop", "seed", "presence_penalty", "frequency_penalty"})
_CUT = frozenset({"length", "max_tokens", "model_length", "max_output_tokens"})
_ENDED = frozenset({"stop", "eos_token", "stop_sequence", "end_turn", "completed"})
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_THOUGHTS_END = "</think>"
_NO_THOUGHT = ("{", "[", '"', "`")
"""How replies begin that hold no thoughts before the answer, whatever they quote."""
_BROKEN: Final = "The stream ended before the reply did."
_MOST_SCHEMAS: Final = 256
_strict: dict[int, tuple[Mapping[str, object], dict[str, Any]]] = {}


class Format:
    """One endpoint: what is sent, how the reply is read. This one is that of chats.

    Attributes:
        path: Where it is, below the base address.
        params: Names of the common parameters that it takes.
        many: It gives several replies to one request.
    """

    path: ClassVar[str] = "/chat/completions"
    params: ClassVar[frozenset[str]] = _COMMON | _SAMPLING | {"reasoning_effort"}
    many: ClassVar[bool] = True

    def body(self, model: str, request: ModelRequest, *, answer_format: str, longest: str) -> dict[str, Any]:
        """What is sent to ask a request.

        Args:
            model: Name of the model.
            request: What is asked.
            answer_format: How to ask for a reply in the request's schema, of `ANSWER_FORMATS`.
            longest: What this server calls the largest number of tokens of a reply.
        """
        body: dict[str, Any] = {"model": model, "messages": list(request.messages)}
        if request.schema is not None and answer_format == "json_schema":
            named = {"name": "answer", "schema": strict_schema(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.schema is not None and answer_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return _with_params(body, request, longest)

    def read(self, reply: object) -> Completion:
        """The completion in a reply; raises as `read_completion`."""
        return read_completion(reply)

    def pieces(self) -> _ChoicePieces | _ResponsePieces:
        """What puts the pieces of one streamed reply together."""
        return _ChoicePieces()


class _Completions(Format):
    path = "/completions"
    params = _COMMON | _SAMPLING

    def body(self, model: str, request: ModelRequest, *, answer_format: str, longest: str) -> dict[str, Any]:
        return _with_params({"model": model, "prompt": request.text}, request, "max_tokens")


class _Responses(Format):
    path = "/responses"
    params = _COMMON | {"reasoning_effort"}
    many = False

    def body(self, model: str, request: ModelRequest, *, answer_format: str, longest: str) -> dict[str, Any]:
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

    def pieces(self) -> _ResponsePieces:
        return _ResponsePieces()


FORMATS: Final[Mapping[str, Format]] = {
    "chat": Format(),
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
    content = _mapping(reply)
    listed = content.get("choices")
    choices = listed if isinstance(listed, list) and all(isinstance(c, Mapping) for c in listed) else []
    for part in (content, *choices[:1]):
        if (error := stated_error(part)) is not None:  # gateways report so what failed behind them
            raise error
    if not choices:
        raise PermanentError(f"The server sent no completion but: {str(reply)[:200]}")
    texts = [_text(choice) for choice in choices]
    refusal = _mapping(choices[0].get("message")).get("refusal")
    return _completion(texts, [choice.get("finish_reason") for choice in choices], refusal, content)


def strict_schema(schema: Mapping[str, object]) -> dict[str, Any]:
    """A JSON schema in the strict subset: every object closed, every property required, no defaults.

    Alternatives are `anyOf`, and a reference at the top is replaced by what it refers to. Made once per
    schema object.
    """
    known = _strict.get(id(schema))
    if known is None or known[0] is not schema:
        if len(_strict) >= _MOST_SCHEMAS:
            _strict.clear()
        known = _strict[id(schema)] = (schema, _closed(_resolved(schema)))
    return known[1]


def _resolved(schema: Mapping[str, object]) -> Mapping[str, object]:
    """A schema whose top is an object and no reference to one, as of a type that holds itself."""
    reference, definitions = schema.get("$ref"), schema.get("$defs")
    if not isinstance(reference, str) or not isinstance(definitions, Mapping):
        return schema
    target = definitions.get(reference.removeprefix("#/$defs/"))
    return {**target, "$defs": definitions} if isinstance(target, Mapping) else schema


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    if isinstance(node.get("oneOf"), list) and "anyOf" not in node:  # the strict subset has anyOf alone
        node = {("anyOf" if key == "oneOf" else key): value for key, value in node.items()}
        if isinstance(node.get("discriminator"), Mapping):
            del node["discriminator"]
    kept = {key: _closed(value) for key, value in node.items() if key not in ("default", "title")}
    properties = node.get("properties")
    if isinstance(properties, Mapping):
        kept["properties"] = {name: _closed(value) for name, value in properties.items()}
        kept["required"] = list(properties)
        kept["additionalProperties"] = False
    return kept


class _ChoicePieces:
    """Puts a chat or a plain completion together from its pieces."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._refusal: list[str] = []
        self._reasons: dict[int, str | None] = {}
        self._rest: dict[str, Any] = {}

    def add(self, event: Mapping[str, Any]) -> str:
        """Take one event; gives the text that it adds to the first reply."""
        self._rest |= {name: event[name] for name in ("usage", "model") if event.get(name)}
        new = ""
        for choice in event.get("choices") or ():
            index, delta = choice.get("index", 0), choice.get("delta") or _mapping(choice.get("message"))
            piece = _content(delta) or choice.get("text") or ""
            self._texts.setdefault(index, []).append(piece)
            self._reasons[index] = choice.get("finish_reason") or self._reasons.get(index)
            if index == 0:
                new += piece
                self._refusal.append(delta.get("refusal") or "")
        return new

    def completion(self) -> Completion:
        """The whole reply.

        Raises:
            TransientError: When the stream ended before the reply did.
        """
        if self._reasons.get(0) is None:
            raise TransientError(_BROKEN)
        texts = [_without_thoughts("".join(self._texts[index])) for index in sorted(self._texts)]
        reasons = [self._reasons[index] for index in sorted(self._texts)]
        return _completion(texts, reasons, "".join(self._refusal), self._rest)


class _ResponsePieces:
    """Finds the reply of the responses endpoint among its events."""

    def __init__(self) -> None:
        self._final: Mapping[str, Any] | None = None

    def add(self, event: Mapping[str, Any]) -> str:
        kind = event.get("type")
        if kind == "response.output_text.delta":
            return str(event.get("delta") or "")
        if kind == "error":
            raise TransientError(f"The response failed: {event.get('message') or event.get('code')}.")
        if event.get("object") == "response":  # a server that does not stream sends the whole
            self._final = event
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self._final = event.get("response") or {}
        return ""

    def completion(self) -> Completion:
        if self._final is None:
            raise TransientError(_BROKEN)
        return _read_response(self._final)


def _read_response(reply: object) -> Completion:
    """The completion in a reply of the responses endpoint; raises as `read_completion`."""
    content = _mapping(reply)
    status = content.get("status")
    if status == "failed":
        error = content.get("error") or {}
        raise TransientError(f"The response failed: {error.get('message') or error.get('code')}.")
    output = [item for item in content.get("output") or () if isinstance(item, Mapping)]
    messages = [item for item in output if item.get("type") == "message"]
    reason = (content.get("incomplete_details") or {}).get("reason") or status
    if not messages and status != "incomplete":
        raise PermanentError(f"The server sent no response but: {str(reply)[:200]}")
    parts = [part for message in messages for part in message.get("content") or ()]
    text = "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")
    refusal = "".join(part.get("refusal") or "" for part in parts if part.get("type") == "refusal")
    usage = _mapping(content.get("usage"))
    counts = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
    return _completion([text], [reason], refusal, {"usage": counts, "model": content.get("model")})


def _completion(
    texts: Sequence[str], reasons: Sequence[str | None], refusal: str | None, reply: Mapping[str, Any]
) -> Completion:
    usage = _mapping(reply.get("usage"))
    in_tokens, out_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    cost = finite_number(usage.get("cost"))
    if reasons[0] == "error":
        raise TransientError("The provider broke the reply off with an error.")
    if reasons[0] == "content_filter" or refusal:
        raise AnswerRefused(
            f"The model declined to answer: {refusal or 'content filter'}.",
            in_tokens=in_tokens,
            out_tokens=out_tokens,
            usd=cost,
        )
    first, *others = ("length" if r in _CUT else "stop" if r in _ENDED else r for r in reasons)
    return Completion(
        texts[0],
        in_tokens,
        out_tokens,
        first,
        cost,
        tuple(texts[1:]),
        model=reply.get("model"),
        other_reasons=tuple(others),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    """A part of a reply that should be an object; an empty one when it is not."""
    return value if isinstance(value, Mapping) else {}


def _content(message: Mapping[str, Any]) -> str:
    """The text of a message, which may come in parts."""
    content = message.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _text(choice: Mapping[str, Any]) -> str:
    text = choice.get("text")
    return _without_thoughts(
        _content(_mapping(choice.get("message"))) or (text if isinstance(text, str) else "")
    )


def _without_thoughts(text: str) -> str:
    """A reply without the thoughts that some servers put before it.

    Some chat templates begin the thoughts themselves, so that only their end stands in the reply.
    """
    if "<think>" in text[:200]:
        return _THOUGHTS.sub("", text, count=1)
    if _THOUGHTS_END in text and not text.lstrip().startswith(_NO_THOUGHT):
        return text.partition(_THOUGHTS_END)[2].lstrip()
    return text


def _with_params(body: dict[str, Any], request: ModelRequest, longest: str) -> dict[str, Any]:
    body |= request.params
    if "max_tokens" in body and longest != "max_tokens":
        body[longest] = body.pop("max_tokens")
    if request.n > 1:
        body["n"] = request.n
    return body
