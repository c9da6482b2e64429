"""The bodies of OpenAI's protocol: replies, errors, checks of what a request asks for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

__all__ = [
    "ApiError",
    "chat_completion",
    "check_format",
    "check_key",
    "conform",
    "messages_text",
    "model_missing",
    "rate_limited",
    "schema_of",
    "tokens_of",
    "user_text",
]


class ApiError(Exception):
    """A refusal in OpenAI's form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        outcome: str = "refused",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.outcome, self.headers = status, outcome, dict(headers or {})
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def tokens_of(text: str) -> int:
    """Four characters are a token."""
    return (len(text) + 3) // 4


def check_key(authorization: str) -> None:
    """Only keys that start with `sk-test` are accepted."""
    key = authorization.removeprefix("Bearer ").strip()
    if key.startswith("sk-test"):
        return
    shown = f"{key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}" if len(key) > 12 else key
    message = (
        f"Incorrect API key provided: {shown}. You can find your API key at "
        "https://platform.openai.com/account/api-keys."
    )
    raise ApiError(401, message, code="invalid_api_key", outcome="auth")


def model_missing(model: str) -> ApiError:
    """The model does not exist."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found", outcome="not_found")


def rate_limited(model: str, what: str, limit: int, wait: float | None, outcome: str) -> ApiError:
    """Too much of `what` (requests, tokens), with the seconds to wait."""
    headers = {} if wait is None else {"retry-after": f"{wait:.3f}", "retry-after-ms": f"{1000 * wait:.0f}"}
    again = "" if wait is None else f" Please try again in {wait:.3f}s."
    message = f"Rate limit reached for {model} in organization org-test on {what}: Limit {limit}.{again}"
    return ApiError(429, message, kind=what, code="rate_limit_exceeded", outcome=outcome, headers=headers)


def messages_text(messages: Any) -> str:
    """All text of the messages."""
    return "\n".join(_content(message) for message in _messages(messages))


def user_text(messages: Any) -> str:
    """The text of the user's messages; a conversation that goes on reads as one prompt."""
    return "\n\n".join(_content(message) for message in _messages(messages) if message.get("role") == "user")


def check_format(body: Mapping[str, Any], accepted: str) -> None:
    """Refuse a `response_format` as servers do that lack it, or that find the schema not strict."""
    wanted = body.get("response_format") or {"type": "text"}
    kind = wanted.get("type")
    if kind == "text":
        return
    if accepted == "none" or (accepted == "json_object" and kind != "json_object"):
        message = f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model."
        raise ApiError(400, message, param="response_format")
    if kind == "json_object":
        if "json" not in messages_text(body.get("messages")).lower():
            message = "'messages' must contain the word 'json' in some form, to use a 'json_object' format."
            raise ApiError(400, message, param="messages")
    elif kind == "json_schema":
        named = wanted.get("json_schema") or {}
        if named.get("strict") and (problem := _not_strict(named.get("schema", {}), ())):
            message = f"Invalid schema for response_format '{named.get('name')}': {problem}"
            raise ApiError(400, message, param="response_format")
    else:
        raise ApiError(400, f"Invalid value: '{kind}'.", param="response_format.type")


def schema_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The JSON schema asked for, if any."""
    wanted = body.get("response_format") or {}
    return (wanted.get("json_schema") or {}).get("schema") if wanted.get("type") == "json_schema" else None


def conform(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """The value as constrained decoding would have written it: required keys there, labels as numbers."""
    root = schema if root is None else root
    if "$ref" in schema:
        schema = root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum") or [schema["const"]]
        return value if value in allowed else allowed[0]
    if "anyOf" in schema and value is None:
        return conform(value, schema["anyOf"][0], root)
    kind = schema.get("type")
    if kind in ("number", "boolean") and value is None:
        return 0.0 if kind == "number" else False
    if kind == "object":
        value = value if isinstance(value, dict) else {}
        known = schema.get("properties", {})
        return {
            key: conform(value.get(key), part, root)
            for key, part in known.items()
            if key in value or key in schema.get("required", ())
        }
    if kind == "array":
        return [conform(item, schema.get("items", {}), root) for item in value or []]
    if kind == "integer" and not isinstance(value, int):
        digits = "".join(char for char in str(value) if char.isdigit())
        return int(digits or 0)
    return "" if kind == "string" and value is None else value


def chat_completion(
    ordinal: int, model: str, texts: list[str], prompt_tokens: int, finish_reason: str
) -> dict[str, Any]:
    """The body of a reply."""
    out_tokens = sum(tokens_of(text) for text in texts)
    return {
        "id": f"chatcmpl-{ordinal:08d}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
            for index, text in enumerate(texts)
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": out_tokens,
            "total_tokens": prompt_tokens + out_tokens,
        },
        "system_fingerprint": "fp_test",
    }


def _messages(messages: Any) -> list[dict[str, Any]]:
    if (
        not isinstance(messages, list)
        or not all(isinstance(message, dict) for message in messages)
        or not messages
    ):
        raise ApiError(
            400, "Invalid type for 'messages': expected a non-empty array of objects.", param="messages"
        )
    return messages


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else json.dumps(content)


def _not_strict(schema: Any, path: tuple[str, ...]) -> str:
    """What OpenAI's strict mode finds wrong with a schema, `""` for nothing."""
    if not isinstance(schema, dict):
        return ""
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return f"In context={path}, 'additionalProperties' is required to be supplied and to be false."
        if missing := set(schema.get("properties", {})) - set(schema.get("required", ())):
            return f"In context={path}, 'required' must include every key. Missing {sorted(missing)}."
    for name in ("properties", "$defs"):
        for key, part in schema.get(name, {}).items():
            if problem := _not_strict(part, (*path, name, key)):
                return problem
    return _not_strict(schema.get("items"), (*path, "items"))
