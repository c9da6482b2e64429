"""Google's formats for Gemini, of the Developer API and of Vertex AI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fake_provider.protocol import tokens_of

from .server import Asked, Dialect, Fault, Received, Refusal, Reply, pieces

__all__ = ["GeminiWire"]

_PATH = re.compile(
    r"/(?P<version>v1|v1beta|v1beta1)/(?P<project>projects/[^/]+/locations/[^/]+/)?(?:publishers/google/)?"
    r"models/(?P<model>[^/:]+):(?P<method>\w+)"
)
_ERRORS = {
    "forbidden": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "not found": (404, "NOT_FOUND", "models/{model} is not found for API version v1beta."),
    "no credit": (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "rate limited": (
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for metric: generate_content_requests, limit: 10",
    ),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server error": (500, "INTERNAL", "An internal error has occurred."),
    "too long": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1300042) exceeds the maximum number of tokens allowed (1048576).",
    ),
}
_CONFIG = {
    "candidateCount",
    "frequencyPenalty",
    "maxOutputTokens",
    "presencePenalty",
    "responseJsonSchema",
    "responseMimeType",
    "seed",
    "stopSequences",
    "temperature",
    "thinkingConfig",
    "topK",
    "topP",
}


@dataclass
class GeminiWire(Dialect):
    """Google's server.

    Attributes:
        refuses: Fields of `generationConfig` that the model refuses.
        thoughts: Tokens that the model thinks per reply.
    """

    refuses: set[str] = field(default_factory=set)
    thoughts: int = 0

    def key(self, received: Received) -> str:
        bearer = received.headers.get("authorization", "").removeprefix("Bearer ")
        return received.headers.get("x-goog-api-key") or bearer

    def asked(self, received: Received) -> Asked:
        found = _PATH.fullmatch(received.path)
        if found is None:
            raise Refusal(404, {"error": {"code": 404, "message": "Not Found", "status": "NOT_FOUND"}})
        body, model, method = received.body, found["model"], found["method"]
        if method == "batchEmbedContents":
            texts = tuple(_text(request["content"]) for request in body["requests"])
            return Asked(model, texts=texts, format="embeddings")
        if method == "embedContent":
            return Asked(model, texts=(_text(body["content"]),), format="embedding")
        config = body.get("generationConfig") or {}
        for name in sorted(set(config) - _CONFIG):
            raise _error(400, "INVALID_ARGUMENT", f'Invalid JSON payload received. Unknown name "{name}"')
        for name in sorted(self.refuses & set(config)):
            raise _error(400, "INVALID_ARGUMENT", f"{name} is not supported for this model.")
        if config.get("responseJsonSchema") and config.get("responseMimeType") != "application/json":
            message = "response_schema is only supported when response_mime_type is application/json"
            raise _error(400, "INVALID_ARGUMENT", message)
        if any(content["role"] not in ("user", "model") for content in body["contents"]):
            raise _error(400, "INVALID_ARGUMENT", "Please use a valid role: user, model.")
        return Asked(
            model,
            _text(body["systemInstruction"]) if body.get("systemInstruction") else "",
            "\n\n".join(_text(c) for c in body["contents"] if c["role"] == "user"),
            config.get("responseJsonSchema"),
            int(config.get("candidateCount") or 1),
            config.get("maxOutputTokens"),
            method == "streamGenerateContent",
            tuple(config.get("stopSequences") or ()),
        )

    def reply(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        usage = self._usage(asked, reply)
        if reply.declined:
            candidate = {"finishReason": "SAFETY", "index": 0, "safetyRatings": []}
            return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": asked.model}
        candidates = [
            {
                "content": {"parts": [{"text": text}], "role": "model"},
                "finishReason": "MAX_TOKENS" if reply.cut else "STOP",
                "index": index,
            }
            for index, text in enumerate(reply.texts)
        ]
        return {
            "candidates": candidates,
            "usageMetadata": usage,
            "modelVersion": asked.model,
            "responseId": "r1",
        }

    def events(self, asked: Asked, reply: Reply) -> Iterator[str]:
        full = self.reply(asked, reply)
        if not reply.declined:
            for index, text in enumerate(reply.texts):
                for piece in pieces(text):
                    content = {"parts": [{"text": piece}], "role": "model"}
                    usage = {"promptTokenCount": asked.in_tokens, "totalTokenCount": asked.in_tokens}
                    yield _data(
                        {"candidates": [{"content": content, "index": index}], "usageMetadata": usage}
                    )
            for candidate in full["candidates"]:
                candidate["content"] = {"parts": [{"text": ""}], "role": "model"}
        yield _data(full)

    def vectors(self, asked: Asked, vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
        found = [{"values": [float(value) for value in vector]} for vector in vectors]
        tokens = sum(map(tokens_of, asked.texts or ()))
        usage = {"promptTokenCount": tokens, "totalTokenCount": tokens}
        if asked.format == "embedding":
            return {"embedding": found[0], "usageMetadata": usage}
        return {"embeddings": found, "usageMetadata": usage}

    def error(self, fault: Fault, asked: Asked | None, key: str) -> Refusal:
        if fault.kind == "filtered":
            usage = {"promptTokenCount": asked.in_tokens if asked else 0}
            body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage}
            return Refusal(200, body)
        status, kind, message = _ERRORS[fault.kind]
        details: list[dict[str, Any]] = []
        if fault.kind == "forbidden":
            message = f"{message} ({key})"
            domain = {
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
            details = [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", **domain}
            ]
        if fault.retry_after is not None:
            delay = f"{fault.retry_after:g}s"
            details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
        return _error(status, kind, message.format(model=asked.model if asked else ""), details)

    def _usage(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        written = 0 if reply.declined else reply.out_tokens
        usage = {
            "promptTokenCount": asked.in_tokens,
            "candidatesTokenCount": written,
            "totalTokenCount": asked.in_tokens + written + self.thoughts,
        }
        return usage | ({"thoughtsTokenCount": self.thoughts} if self.thoughts else {})


def _error(status: int, kind: str, message: str, details: list[dict[str, Any]] | None = None) -> Refusal:
    error = {"code": status, "message": message, "status": kind, **({"details": details} if details else {})}
    return Refusal(status, {"error": error})


def _text(content: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in content["parts"])


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\r\n\r\n"
