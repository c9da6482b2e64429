"""The provider behind the server: checks, limits, faults and replies, without any HTTP."""

from __future__ import annotations

import json
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from .answers import answer
from .embeddings import embedding_list
from .faults import draw, fault_of, latency_of, spoiled
from .knobs import Knobs
from .log import Entry, Log, Window
from .prompts import understand
from .protocol import (
    ApiError,
    chat_completion,
    check_format,
    check_key,
    conform,
    messages_text,
    model_missing,
    rate_limited,
    schema_of,
    tokens_of,
    user_text,
)

__all__ = ["Asked", "Provider"]

_REMEMBERED = 20_000


class Asked(NamedTuple):
    """A request that was let in.

    Attributes:
        body: What was sent.
        key: Hash of the question, without what was added to ask again.
        attempt: How often it has come.
        latency: Seconds from arrival to reply.
        fault: What goes wrong, `""` for nothing.
        headers: Headers of the reply.
    """

    body: dict[str, Any]
    key: str
    attempt: int
    latency: float
    fault: str
    headers: dict[str, str]


class Provider:
    """State of the server: knobs, log, windows of the limits, attempts of each prompt."""

    def __init__(self, knobs: Knobs) -> None:
        self._at_start = knobs
        self.reset()

    def reset(self) -> None:
        """Forget all requests and go back to the knobs of the start."""
        self.log = Log()
        self._attempts: Counter[str] = Counter()
        self._windows: dict[tuple[str, str, float, float], Window] = {}
        self._answers: OrderedDict[str, str] = OrderedDict()
        self._set(self._at_start)

    def control(self, changes: Mapping[str, Any]) -> Knobs:
        """Change knobs while running."""
        self._set(self.knobs.changed(changes))
        return self.knobs

    def _set(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self._truth = {text.strip(): names for text, names in (knobs.truth or {}).items()}
        self._answers.clear()

    def admit(self, entry: Entry, body: dict[str, Any], authorization: str) -> Asked:
        """Check a request and draw what becomes of it.

        Raises:
            ApiError: When it is refused.
        """
        check_key(authorization)
        model = entry.model = _text_field(body, "model")
        if model in self.knobs.missing_models:
            raise model_missing(model)
        if entry.endpoint == "embeddings":
            sent = "\x00".join(inputs_of(body))
            key = _hash(model, sent)
            entry.prompt_hash, entry.task = key, "embed"
        else:
            sent = messages_text(body.get("messages"))
            question = understand(
                user_text(body["messages"]) or sent, tuple((schema_of(body) or {}).get("properties", ()))
            )
            key = _hash(model, question.prompt)
            entry.prompt_hash = _hash(model, sent)
            entry.task, entry.asked_again = question.task, question.asked_again
            if body.get("stream"):
                raise ApiError(400, "This server does not stream.", param="stream")
            check_format(body, self.knobs.response_format)
        entry.in_tokens = tokens_of(sent)
        window = self.knobs.context_window
        if window is not None and entry.in_tokens > window:
            message = (
                f"This model's maximum context length is {window} tokens. However, your messages resulted in "
                f"{entry.in_tokens} tokens. Please reduce the length of the messages."
            )
            raise ApiError(400, message, code="context_length_exceeded", param="messages")
        headers = self._check_limits(entry) if entry.endpoint != "batch" else {}
        self._attempts[key] += 1
        entry.attempt = self._attempts[key]
        faulty = entry.endpoint in self.knobs.fault_endpoints
        drawn_by = (key, entry.attempt) if self.knobs.fault_by == "prompt" else (str(entry.ordinal), 1)
        fault = entry.fault = fault_of(self.knobs, *drawn_by) if faulty else ""
        latency = latency_of(self.knobs, *drawn_by) + (self.knobs.hang_seconds if fault == "hang" else 0.0)
        return Asked(body, drawn_by[0], drawn_by[1], latency, fault, headers)

    def _check_limits(self, entry: Entry) -> dict[str, str]:
        knobs, now = self.knobs, entry.arrived
        if knobs.max_in_flight is not None and self.log.in_flight > knobs.max_in_flight:
            raise rate_limited(entry.model, "concurrent requests", knobs.max_in_flight, 0.1, "in_flight")
        headers: dict[str, str] = {}
        windows = []
        limits = (("requests", knobs.limit, 1), ("tokens", knobs.token_limit, entry.in_tokens))
        for what, limit, weight in limits:
            if limit is None:
                continue
            key = (entry.model, what, *limit)
            window = self._windows.setdefault(key, Window(*limit, knobs.limit_slack))
            wait = window.wait(now, weight)
            headers |= {
                f"x-ratelimit-limit-{what}": str(window.amount),
                f"x-ratelimit-remaining-{what}": str(max(0, window.remaining - (0 if wait else weight))),
                f"x-ratelimit-reset-{what}": f"{window.reset_in(now) or window.seconds:.3f}s",
            }
            if wait:
                error = rate_limited(entry.model, what, window.amount, wait, "window")
                error.headers.update(headers)
                raise error
            windows.append((window, weight))
        for window, weight in windows:
            window.take(now, weight)
        return headers

    def reply(self, entry: Entry, asked: Asked) -> dict[str, Any]:
        """The body of the reply.

        Raises:
            ApiError: When the fault drawn is an error status.
        """
        knobs = self.knobs
        if asked.fault == "500":
            status = 500 if draw(knobs.seed, asked.key, asked.attempt, "status") < 0.5 else 503
            message = "The server had an error while processing your request. Sorry about that!"
            raise ApiError(status, message, kind="server_error", outcome="500", headers=asked.headers)
        if asked.fault == "429":
            error = rate_limited(entry.model, "requests", 0, knobs.retry_after, "429")
            error.headers |= asked.headers
            raise error
        if entry.endpoint == "embeddings":
            entry.status, entry.outcome = 200, asked.fault or "answered"
            return embedding_list(asked.body, inputs_of(asked.body))
        text, finish_reason = self._answer(asked.body), "stop"
        entry.outcome = asked.fault or "answered"
        if asked.fault == "malformed":
            kind, text = spoiled(text, knobs, asked.key, asked.attempt)
            entry.fault = f"malformed:{kind}"
        most = int(asked.body.get("max_completion_tokens") or asked.body.get("max_tokens") or 0)
        if asked.fault == "length" or (most and tokens_of(text) > most):
            text = text[: len(text) // 2 if asked.fault == "length" else 4 * most]
            finish_reason = "length"
        texts = [text] * int(asked.body.get("n") or 1)
        entry.status, entry.out_tokens = 200, sum(map(tokens_of, texts))
        return chat_completion(entry.ordinal, entry.model, texts, entry.in_tokens, finish_reason)

    def _answer(self, body: Mapping[str, Any]) -> str:
        prompt, schema = user_text(body["messages"]) or messages_text(body["messages"]), schema_of(body)
        question = understand(prompt, tuple((schema or {}).get("properties", ())))
        remembered = _hash(question.prompt, json.dumps(schema))
        if (text := self._answers.get(remembered)) is not None:
            return text
        found = answer(question, self._truth)
        if found is None and schema:
            text = json.dumps(conform({}, schema))
        elif found is None:
            text = f"You wrote: {' '.join(question.prompt.split())[:200]}"
        else:
            text = json.dumps(conform(found, schema) if schema else found, ensure_ascii=False)
        self._answers[remembered] = text
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return text

    def stats(self, *, with_log: bool = True) -> dict[str, Any]:
        """Counters, knobs and the log."""
        known = {"counters": self.log.counters(), "knobs": self.knobs.as_json(), "now": time.monotonic()}
        return {**known, "requests": self.log.as_json()} if with_log else known


def inputs_of(body: Mapping[str, Any]) -> list[str]:
    """The texts to embed."""
    given = body.get("input")
    inputs = [given] if isinstance(given, str) else given
    if (
        not isinstance(inputs, list)
        or not inputs
        or not all(isinstance(text, str) and text for text in inputs)
    ):
        raise ApiError(400, "'$.input' is invalid: texts are needed, none of them empty.", param="input")
    if len(inputs) > 2048:
        raise ApiError(400, "'$.input' is invalid: at most 2048 texts.", param="input")
    return inputs


def _text_field(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(400, f"you must provide a {name} parameter", param=name)
    return value


def _hash(*parts: str) -> str:
    return blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
