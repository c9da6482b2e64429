"""The three ways in which OpenAI's protocol asks for text: chat, responses, and plain completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from text_lloom.errors import AnswerRefused, ModelError, PermanentError, TransientError
from text_lloom.llm.completion import Completion, Reply, ending, settled
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.options import finite_number
from text_lloom.llm.runtime.http import stated_error

__all__ = ["ANSWER_FORMATS", "FORMATS", "Format", "Usage", "read_completion", "strict_schema", "usage_of"]

ANSWER_FORMATS: Final = ("json_schema", "json_object", "none")
"""How a JSON reply can be asked for, strictest first."""

_COMMON = frozenset({"temperature", "top_p", "max_tokens"})
_SAMPLING = frozenset({"stop", "seed", "presence_penalty", "frequency_penalty"})
_THOUGHTS: Final = ("reasoning_content", "reasoning", "thinking", "thinking_content", "thought")
"""Fields of a message in which servers put thoughts: DeepSeek, vLLM, llama.cpp, LM Studio; OpenRouter, Groq,
Ollama, vLLM; Ollama's own interface; gateways."""
_THOUGHT_PARTS: Final = frozenset({"thinking", "reasoning", "reasoning_text", "thought", "redacted_thinking"})
"""Kinds of parts of a message that are thoughts: Mistral, Anthropic behind a gateway, Databricks."""
_CACHED: Final = (
    "cached_tokens",  # OpenAI, Groq, xAI, OpenRouter, vLLM; Moonshot beside the details
    "prompt_cache_hit_tokens",  # DeepSeek
    "cache_read_input_tokens",  # Anthropic behind LiteLLM and other gateways
    "cached_content_token_count",  # Gemini behind gateways
)
_WRITTEN: Final = ("cache_creation_input_tokens", "cache_creation_tokens", "cache_write_tokens")
_SAYS_ELSE: Final = ("error", "detail", "message", "errors")
"""Fields of replies that say what went wrong, or that are those of another protocol."""
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
        TransientError: When there is nothing in it.
        PermanentError: When the reply is something else.
    """
    content = _mapping(reply)
    listed = content.get("choices")
    if isinstance(listed, list):
        listed = [choice for choice in listed if choice is not None]
    choices = listed if isinstance(listed, list) and all(isinstance(c, Mapping) for c in listed) else []
    for part in (content, *choices[:1]):
        if (error := stated_error(part)) is not None:  # gateways report so what failed behind them
            raise error
    if not choices:
        raise _without_reply(reply, listed, what="completion")
    replies = [_reply(choice, _mapping(choice.get("message"))) for choice in choices]
    refusal = _mapping(choices[0].get("message")).get("refusal")
    return _completion(replies, refusal, content)


class Usage(NamedTuple):
    """What a reply says about its tokens and its cost.

    Attributes:
        in_tokens: Tokens of the prompt, `None` when they are not reported; so for the others.
        out_tokens: Tokens of the reply, with those of thoughts.
        usd: The cost in US dollars.
        cached: Tokens of the prompt that were read from the provider's cache.
        written: Tokens of the prompt that were written to it.
    """

    in_tokens: int | None
    out_tokens: int | None
    usd: float | None
    cached: int | None
    written: int | None

    @property
    def paid(self) -> dict[str, Any]:
        """What an error takes about a reply that was paid for."""
        return {"in_tokens": self.in_tokens, "out_tokens": self.out_tokens, "usd": self.usd}


def usage_of(reply: Mapping[str, Any]) -> Usage:
    """What a reply says about its tokens and its cost.

    Some count thoughts in the total alone (xAI, Gemini behind OpenAI's protocol); some count cached tokens
    beside those of the prompt (Anthropic's names).
    """
    counts = _mapping(reply.get("usage"))
    places = [
        counts,
        _mapping(counts.get("prompt_tokens_details")),
        _mapping(counts.get("input_tokens_details")),
    ]

    def first(*names: str) -> Any:
        found = (place[name] for name in names for place in places if place.get(name) is not None)
        return next(found, None)

    in_tokens, out_tokens = (
        first("prompt_tokens", "input_tokens"),
        first("completion_tokens", "output_tokens"),
    )
    cached, written = first(*_CACHED), first(*_WRITTEN)
    total, missed = counts.get("total_tokens"), counts.get("prompt_cache_miss_tokens")
    if in_tokens is None and type(cached) is int and type(missed) is int:
        in_tokens = cached + missed
    if type(in_tokens) is int:
        beside = sum(count for count in (cached, written) if type(count) is int)
        in_tokens += beside if beside > in_tokens else 0
        if type(total) is int and type(out_tokens) is int:
            out_tokens = max(out_tokens, total - in_tokens)
    return Usage(in_tokens, out_tokens, finite_number(counts.get("cost")), cached, written)


def _without_reply(reply: object, listed: object, *, what: str) -> ModelError:
    """What it means when a server sends nothing where replies should be, or something else."""
    content = _mapping(reply)
    usage = usage_of(content).paid
    is_other = not isinstance(reply, Mapping) or any(content.get(name) for name in _SAYS_ELSE)
    if listed or is_other:
        return PermanentError(f"The server sent no {what} but: {str(reply)[:200]}", **usage)
    return TransientError(f"The server sent a {what} with nothing in it: {str(reply)[:200]}", **usage)


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
        self._asides: dict[int, list[str]] = {}
        self._calls: dict[int, list[str]] = {}
        self._refusal: list[str] = []
        self._reasons: dict[int, str | None] = {}
        self._rest: dict[str, Any] = {}

    def add(self, event: Mapping[str, Any]) -> str:
        """Take one event; gives the text that it adds to the first reply."""
        self._rest |= {name: event[name] for name in ("usage", "model") if event.get(name)}
        new = ""
        for choice in event.get("choices") or ():
            if not isinstance(choice, Mapping):
                continue
            if choice.get("usage"):  # Moonshot
                self._rest["usage"] = choice["usage"]
            index, delta = choice.get("index", 0), choice.get("delta") or _mapping(choice.get("message"))
            piece = _content(delta) or choice.get("text") or ""
            self._texts.setdefault(index, []).append(piece)
            self._asides.setdefault(index, []).append(_aside(delta))
            self._calls.setdefault(index, []).append(_call(delta))
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
            raise TransientError(_BROKEN, **usage_of(self._rest).paid)
        replies = []
        for index in sorted(self._texts):
            text, called = "".join(self._texts[index]), "".join(self._calls[index])
            said = settled(text if text.strip() else called, "".join(self._asides[index]))
            replies.append(said._replace(finish_reason=self._reasons[index]))
        return _completion(replies, "".join(self._refusal), self._rest)


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
        usage = usage_of(content).paid
        raise TransientError(f"The response failed: {error.get('message') or error.get('code')}.", **usage)
    output = [item for item in content.get("output") or () if isinstance(item, Mapping)]
    messages = [item for item in output if item.get("type") == "message"]
    reason = (content.get("incomplete_details") or {}).get("reason") or status
    if not output and status != "incomplete":
        raise _without_reply(reply, content.get("output"), what="response")
    parts = [part for message in messages for part in message.get("content") or ()]
    text = "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")
    refusal = "".join(part.get("refusal") or "" for part in parts if part.get("type") == "refusal")
    called = "".join(
        str(item.get("arguments") or "") for item in output if item.get("type") == "function_call"
    )
    thoughts = [item for item in output if item.get("type") == "reasoning"]
    told = [part for item in thoughts for part in (*_parts(item, "summary"), *_parts(item, "content"))]
    aside = "\n\n".join(str(part.get("text") or "") for part in told)
    said = settled(text if text.strip() else called, aside)._replace(finish_reason=reason)
    return _completion([said], refusal, content)


def _completion(replies: Sequence[Reply], refusal: str | None, reply: Mapping[str, Any]) -> Completion:
    usage = usage_of(reply)
    first, *others = replies
    if first.finish_reason == "content_filter" or refusal:
        raise AnswerRefused(f"The model declined to answer: {refusal or 'content filter'}.", **usage.paid)
    return Completion(
        first.text,
        usage.in_tokens,
        usage.out_tokens,
        ending(first.finish_reason),
        usage.usd,
        tuple(other.text for other in others),
        model=reply.get("model"),
        other_reasons=tuple(ending(other.finish_reason) for other in others),
        reasoning=first.reasoning,
        cached_tokens=usage.cached,
        cache_write_tokens=usage.written,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    """A part of a reply that should be an object; an empty one when it is not."""
    return value if isinstance(value, Mapping) else {}


def _parts(message: Mapping[str, Any], name: str = "content") -> list[Mapping[str, Any]]:
    """The parts of a field of a message; none when it is a text."""
    content = message.get(name)
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []


def _content(message: Mapping[str, Any]) -> str:
    """The text of a message, which may come in parts, or as the JSON object that was asked for."""
    content = message.get("content")
    if isinstance(content, Mapping):
        return json.dumps(content, ensure_ascii=False)
    texts = (part.get("text") for part in _parts(message) if part.get("type") not in _THOUGHT_PARTS)
    found = "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else found


def _aside(message: Mapping[str, Any]) -> str:
    """The thoughts that stand beside the text of a message."""
    for name in _THOUGHTS:
        if isinstance(said := message.get(name), str) and said:
            return said
    found = []
    for part in _parts(message):
        if part.get("type") in _THOUGHT_PARTS:
            said = next(
                (part[name] for name in ("thinking", "reasoning", "text", "summary") if part.get(name)), ""
            )
            inner = said if isinstance(said, list) else [{"text": said}]
            found += [str(piece.get("text") or "") for piece in inner if isinstance(piece, Mapping)]
    return "".join(found)


def _call(message: Mapping[str, Any]) -> str:
    """The arguments of the tool that a message calls, as JSON."""
    tools = [_mapping(call.get("function")) for call in _parts(message, "tool_calls")]
    called = next(iter([*tools, _mapping(message.get("function_call"))]))
    arguments = called.get("arguments")
    return arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""


def _reply(choice: Mapping[str, Any], message: Mapping[str, Any]) -> Reply:
    """One of the replies: its text, or the arguments of a tool where there is no text."""
    text = choice.get("text")
    said = _content(message) or (text if isinstance(text, str) else "")
    reply = settled(said if said.strip() else _call(message), _aside(message) or _aside(choice))
    return reply._replace(finish_reason=choice.get("finish_reason"))


def _with_params(body: dict[str, Any], request: ModelRequest, longest: str) -> dict[str, Any]:
    body |= request.params
    if "max_tokens" in body and longest != "max_tokens":
        body[longest] = body.pop("max_tokens")
    if request.n > 1:
        body["n"] = request.n
    return body
