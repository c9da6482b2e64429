"""OpenAI's formats, and the habits of servers that speak them: chat, responses, completions, embeddings."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.fake_provider.protocol import ApiError, chat_completion, check_format, messages_text, schema_of
from tests.fake_provider.protocol import user_text as user_text_of

from .server import Asked, Dialect, Fault, Received, Refusal, Reply, pieces

__all__ = ["OpenAIWire"]

_CREATED = 1_760_000_000
_STATUSES = {
    "forbidden": 401,
    "not found": 404,
    "no credit": 429,
    "rate limited": 429,
    "overloaded": 503,
    "server error": 500,
    "filtered": 400,
    "too long": 400,
}


@dataclass
class OpenAIWire(Dialect):
    """A server that speaks OpenAI's formats.

    Attributes:
        prefix: Where the endpoints are, such as `/v1`.
        key_header: The header that carries the key.
        refuses: Parameters that the models refuse.
        accepts: Answer formats that are known: `any`, `json_object` (only) or `none`.
        also: Further fields of a chat request that are known.
    """

    prefix: str = "/v1"
    key_header: str = "authorization"
    refuses: set[str] = field(default_factory=set)
    accepts: str = "any"
    also: set[str] = field(default_factory=set)

    def key(self, received: Received) -> str:
        return received.headers.get(self.key_header, "").removeprefix("Bearer ")

    def asked(self, received: Received) -> Asked:
        body = received.body
        if not received.path.startswith(self.prefix):
            raise Refusal(404, {"detail": "Not Found"})
        endpoint = received.path.removeprefix(self.prefix).strip("/")
        for name in self.refuses & set(body):
            raise _unsupported(name, body[name])
        model = body.get("model") or received.path.split("/deployments/")[-1].split("/")[0]
        try:
            if endpoint == "chat/completions":
                check_format(body, self.accepts)
                return self._chat(body, model)
            if endpoint == "completions":
                return self._completions(body, model)
            if endpoint == "responses":
                return self._responses(body, model)
            if endpoint == "embeddings":
                return Asked(model, texts=tuple(body["input"]), format=body.get("encoding_format") or "float")
        except ApiError as error:
            raise Refusal(error.status, error.body, error.headers) from None
        raise Refusal(404, {"error": {"message": f"Invalid URL (POST {received.path})", "code": None}})

    def _chat(self, body: Mapping[str, Any], model: str) -> Asked:
        messages = body["messages"]
        known = {"n", "stop", "stream", "stream_options", "seed", "temperature", "top_p", "max_tokens"}
        known |= {"model", "messages", "response_format", "max_completion_tokens", "reasoning_effort"}
        known |= {"presence_penalty", "frequency_penalty", "top_k", "user", "logprobs", "tools"}
        if unknown := sorted(set(body) - known - self.also):
            raise ApiError(400, f"Unrecognized request argument supplied: {unknown[0]}", param=unknown[0])
        return Asked(
            model,
            "\n".join(m["content"] for m in messages if m["role"] == "system"),
            user_text_of(messages) or messages_text(messages),
            schema_of(body),
            int(body.get("n") or 1),
            body.get("max_completion_tokens") or body.get("max_tokens"),
            bool(body.get("stream")),
            _stops(body.get("stop")),
            format="chat usage" if (body.get("stream_options") or {}).get("include_usage") else "chat",
        )

    def _completions(self, body: Mapping[str, Any], model: str) -> Asked:
        if "messages" in body or not isinstance(body.get("prompt"), str):
            raise ApiError(400, "you must provide a prompt parameter", param="prompt")
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return Asked(
            model,
            "",
            body["prompt"],
            None,
            int(body.get("n") or 1),
            body.get("max_tokens", 16),
            bool(body.get("stream")),
            _stops(body.get("stop")),
            format="completions usage" if usage else "completions",
        )

    def _responses(self, body: Mapping[str, Any], model: str) -> Asked:
        known = {"model", "input", "instructions", "text", "max_output_tokens", "temperature", "top_p"}
        known |= {"stream", "reasoning", "store", "metadata"}
        if unknown := sorted(set(body) - known):
            raise ApiError(
                400, f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter"
            )
        wanted = (body.get("text") or {}).get("format") or {}
        if wanted.get("type") == "json_schema":
            nested = {"type": "json_schema", "json_schema": {**wanted}}
            check_format({"response_format": nested, "messages": [{"content": ""}]}, self.accepts)
        elif wanted:
            check_format({"response_format": wanted, "messages": body["input"]}, self.accepts)
        return Asked(
            model,
            body.get("instructions") or "",
            "\n\n".join(m["content"] for m in body["input"] if m["role"] == "user"),
            wanted.get("schema"),
            1,
            body.get("max_output_tokens"),
            bool(body.get("stream")),
            format="responses",
        )

    def reply(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        if asked.format == "responses":
            return _response(asked, reply)
        reason = "length" if reply.cut else "stop"
        body = chat_completion(1, asked.model, list(reply.texts), asked.in_tokens, reason)
        if asked.format.startswith("completions"):
            body |= {"id": "cmpl-1", "object": "text_completion"}
            for choice in body["choices"]:
                choice["text"] = choice.pop("message")["content"]
        elif reply.declined:
            body["choices"][0]["message"] |= {"content": None, "refusal": reply.texts[0]}
        return body

    def events(self, asked: Asked, reply: Reply) -> Iterator[str]:
        if asked.format == "responses":
            yield from _response_events(asked, reply)
            return
        full = self.reply(asked, reply)
        kind = "text_completion" if asked.format.startswith("completions") else "chat.completion.chunk"
        common = {"id": full["id"], "object": kind, "created": _CREATED, "model": asked.model}

        def chunk(index: int, delta: dict[str, Any], reason: str | None) -> str:
            choice: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": reason}
            if kind == "text_completion":
                choice["text"] = delta.get("content", "")
            else:
                choice["delta"] = delta
            return _data({**common, "choices": [choice]})

        yield ": keep-alive\n\n"
        for index, choice in enumerate(full["choices"]):
            if kind != "text_completion":
                yield chunk(index, {"role": "assistant", "content": "", "refusal": None}, None)
            name = "refusal" if reply.declined and kind != "text_completion" else "content"
            for piece in pieces(reply.texts[index]):
                yield chunk(index, {name: piece}, None)
            yield chunk(index, {}, choice["finish_reason"])
        if asked.format.endswith(" usage"):
            yield _data({**common, "choices": [], "usage": full["usage"]})
        yield "data: [DONE]\n\n"

    def vectors(self, asked: Asked, vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
        found: list[Any] = [[float(value) for value in vector] for vector in vectors]
        if asked.format == "base64":
            found = [base64.b64encode(np.asarray(v, "<f4").tobytes()).decode() for v in vectors]
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(found)]
        usage = {"prompt_tokens": asked.in_tokens, "total_tokens": asked.in_tokens}
        return {"object": "list", "data": data, "model": asked.model, "usage": usage}

    def error(self, fault: Fault, asked: Asked | None, key: str) -> Refusal:
        model = asked.model if asked else ""
        kind, code, param = "invalid_request_error", None, None
        headers = {"x-request-id": "req_1"}
        if fault.kind == "forbidden":
            message = f"Incorrect API key provided: {key}. You can find your API key at https://platform.openai.com."
            code = "invalid_api_key"
        elif fault.kind == "not found":
            message, code = (
                f"The model `{model}` does not exist or you do not have access to it.",
                "model_not_found",
            )
        elif fault.kind == "no credit":
            message = "You exceeded your current quota, please check your plan and billing details."
            kind = code = "insufficient_quota"
        elif fault.kind == "rate limited":
            message = (
                f"Rate limit reached for {model} in organization org-test on requests per min (RPM): Limit 3."
            )
            kind, code = "requests", "rate_limit_exceeded"
        elif fault.kind == "filtered":
            message = (
                "The response was filtered due to the prompt triggering Azure OpenAI's content management "
                "policy. Please modify your prompt and retry."
            )
            code, param = "content_filter", "prompt"
        elif fault.kind == "too long":
            message = (
                "This model's maximum context length is 128000 tokens. However, your messages resulted in "
                "130042 tokens. Please reduce the length of the messages."
            )
            code, param = "context_length_exceeded", "messages"
        else:
            message = "The server had an error while processing your request. Sorry about that!"
            kind = "server_error"
        if fault.retry_after is not None:
            headers |= {
                "retry-after": f"{fault.retry_after:g}",
                "retry-after-ms": f"{1000 * fault.retry_after:g}",
            }
        body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        return Refusal(_STATUSES[fault.kind], body, headers)


def _unsupported(name: str, value: object) -> Refusal:
    """What OpenAI's reasoning models say to a parameter that they do not take."""
    if name == "max_tokens":
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
        code = "unsupported_parameter"
    elif name == "temperature":
        message = (
            f"Unsupported value: 'temperature' does not support {value} with this model. "
            "Only the default (1) value is supported."
        )
        code = "unsupported_value"
    else:
        message, code = (
            f"Unsupported parameter: '{name}' is not supported with this model.",
            "unsupported_parameter",
        )
    error = {"message": message, "type": "invalid_request_error", "param": name, "code": code}
    return Refusal(400, {"error": error})


def _response(asked: Asked, reply: Reply, status: str | None = None) -> dict[str, Any]:
    """A response object."""
    status = status or ("incomplete" if reply.cut else "completed")
    part: dict[str, Any] = {"type": "output_text", "text": reply.texts[0], "annotations": [], "logprobs": []}
    if reply.declined:
        part = {"type": "refusal", "refusal": reply.texts[0]}
    message = {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": [part]}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    done = status != "in_progress"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if reply.cut and done else None,
        "instructions": asked.system,
        "model": asked.model,
        "output": [reasoning, message] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": {
            "input_tokens": asked.in_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.out_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked.in_tokens + reply.out_tokens,
        }
        if done
        else None,
    }


def _response_events(asked: Asked, reply: Reply) -> Iterator[str]:
    number = 0

    def event(kind: str, **fields: Any) -> str:
        nonlocal number
        number += 1
        return f"event: {kind}\n" + _data({"type": kind, "sequence_number": number - 1, **fields})

    at = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    final = _response(asked, reply)
    yield event("response.created", response=_response(asked, reply, "in_progress"))
    yield event("response.in_progress", response=_response(asked, reply, "in_progress"))
    started = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
    yield event("response.output_item.added", output_index=1, item=started)
    yield event("response.content_part.added", **at, part=part)
    name = "refusal" if reply.declined else "output_text"
    for piece in pieces(reply.texts[0]):
        yield event(f"response.{name}.delta", **at, delta=piece, logprobs=[])
    yield event("response.output_text.done", **at, text=reply.texts[0], logprobs=[])
    yield event("response.output_item.done", output_index=1, item=final["output"][1])
    yield event("response.incomplete" if reply.cut else "response.completed", response=final)


def _data(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
