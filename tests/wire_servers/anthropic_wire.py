"""Anthropic's Messages format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .server import Asked, Dialect, Fault, Received, Refusal, Reply, pieces

__all__ = ["AnthropicWire", "error_response"]

_ERRORS = {
    "forbidden": (401, "authentication_error", "invalid x-api-key"),
    "not found": (404, "not_found_error", "model: {model}"),
    "no credit": (
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
    ),
    "rate limited": (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server error": (500, "api_error", "Internal server error"),
    "filtered": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "too long": (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
}
_KNOWN = {
    "max_tokens",
    "messages",
    "model",
    "output_config",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
}


@dataclass
class AnthropicWire(Dialect):
    """Anthropic's server.

    Attributes:
        refuses: Parameters that the models refuse, as newer ones do `temperature`.
        structured: How replies in a schema can be had: `native`, `tools` or `none`.
    """

    refuses: set[str] = field(default_factory=set)
    structured: str = "native"

    def key(self, received: Received) -> str:
        bearer = received.headers.get("authorization", "").removeprefix("Bearer ")
        return received.headers.get("x-api-key") or bearer

    def asked(self, received: Received) -> Asked:
        body = received.body
        if received.path != "/v1/messages" or received.method != "POST":
            raise error_response(404, "not_found_error", "Not found")
        if not received.headers.get("anthropic-version"):
            raise error_response(400, "invalid_request_error", "anthropic-version: header is required")
        for name in sorted(set(body) - _KNOWN):
            raise error_response(400, "invalid_request_error", f"{name}: Extra inputs are not permitted")
        if not isinstance(body.get("max_tokens"), int):
            raise error_response(400, "invalid_request_error", "max_tokens: Field required")
        for name in sorted(self.refuses & set(body)):
            raise error_response(400, "invalid_request_error", f"`{name}` is deprecated for this model.")
        if any(message["role"] not in ("user", "assistant") for message in body["messages"]):
            raise error_response(400, "invalid_request_error", 'messages: Unexpected role "system".')
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        if schema is not None and self.structured != "native":
            raise error_response(
                400, "invalid_request_error", "output_config.format: not supported by this model"
            )
        if body.get("tools"):
            if self.structured == "none":
                raise error_response(
                    400, "invalid_request_error", "tools: this model does not support tool use"
                )
            schema = body["tools"][0]["input_schema"]
        elif schema is not None and (problem := _not_closed(schema)):
            raise error_response(400, "invalid_request_error", f"output_config.format.schema: {problem}")
        return Asked(
            body["model"],
            _text(body.get("system") or ""),
            "\n\n".join(_text(m["content"]) for m in body["messages"] if m["role"] == "user"),
            schema,
            1,
            body["max_tokens"],
            bool(body.get("stream")),
            tuple(body.get("stop_sequences") or ()),
            format=f"tool {body['tools'][0]['name']}" if body.get("tools") else "text",
        )

    def reply(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        message = _message(asked, reply)
        content: dict[str, Any] = {"type": "text", "text": reply.texts[0], "citations": None}
        if asked.format.startswith("tool") and not reply.declined and not reply.cut:
            answer = json.loads(reply.texts[0])
            content = {
                "type": "tool_use",
                "id": "toolu_1",
                "name": asked.format.removeprefix("tool "),
                "input": answer,
            }
        thinking = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
        message["content"] = [thinking, content]
        message["stop_reason"] = _reason(asked, reply)
        if reply.declined:
            message["stop_details"] = {"type": "refusal", "category": None, "explanation": reply.texts[0]}
        return message

    def events(self, asked: Asked, reply: Reply) -> Iterator[str]:
        start = _message(asked, reply)
        start["usage"] |= {"output_tokens": 1}
        yield _event("message_start", message=start)
        tool = asked.format.startswith("tool") and not reply.declined
        block: dict[str, Any] = {"type": "text", "text": ""}
        if tool:
            block = {
                "type": "tool_use",
                "id": "toolu_1",
                "name": asked.format.removeprefix("tool "),
                "input": {},
            }
        yield _event("content_block_start", index=0, content_block=block)
        yield _event("ping")
        for piece in pieces(reply.texts[0]):
            delta = {"type": "text_delta", "text": piece}
            if tool:
                delta = {"type": "input_json_delta", "partial_json": piece}
            yield _event("content_block_delta", index=0, delta=delta)
        yield _event("content_block_stop", index=0)
        delta_end = {"stop_reason": _reason(asked, reply), "stop_sequence": None}
        yield _event("message_delta", delta=delta_end, usage={"output_tokens": reply.out_tokens})
        yield _event("message_stop")

    def vectors(self, asked: Asked, vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
        raise AssertionError("Anthropic has no embeddings.")

    def error(self, fault: Fault, asked: Asked | None, key: str) -> Refusal:
        status, kind, message = _ERRORS[fault.kind]
        if fault.kind == "forbidden":
            message = f"{message} {key}"
        headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
        return error_response(status, kind, message.format(model=asked.model if asked else ""), headers)


def error_response(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Refusal:
    """An error in Anthropic's form."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return Refusal(status, body, {"request-id": "req_1", **(headers or {})})


def _message(asked: Asked, reply: Reply) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": asked.in_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": reply.out_tokens,
            "service_tier": "standard",
        },
    }


def _reason(asked: Asked, reply: Reply) -> str:
    if reply.declined:
        return "refusal"
    if reply.cut:
        return "max_tokens"
    return "tool_use" if asked.format.startswith("tool") else "end_turn"


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n"


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _not_closed(schema: Any) -> str:
    """What native structured output finds wrong with a schema, `""` for nothing."""
    if isinstance(schema, list):
        return next((problem for part in schema if (problem := _not_closed(part))), "")
    if not isinstance(schema, dict):
        return ""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if schema.get("type") == "integer" and {"minimum", "maximum"} & set(schema):
        return "For 'integer' type, properties maximum, minimum are not supported"
    return next((problem for part in schema.values() if (problem := _not_closed(part))), "")
