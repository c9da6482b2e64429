"""A server on loopback: one provider's wire format in front of a mind that answers our prompts."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from aiohttp import web

from tests.fake_provider.answers import answer
from tests.fake_provider.embeddings import embed
from tests.fake_provider.prompts import understand
from tests.fake_provider.protocol import conform, tokens_of
from tests.wire_servers.serving import serving

__all__ = [
    "KEY",
    "Asked",
    "Dialect",
    "Fault",
    "Received",
    "Refusal",
    "Reply",
    "WireServer",
    "pieces",
    "running",
]

KEY: Final = "sk-test-9f8e7d6c5b4a39281706"
"""The one key that every server accepts."""

FaultKind: TypeAlias = Literal[
    "forbidden",
    "not found",
    "no credit",
    "rate limited",
    "overloaded",
    "server error",
    "bad gateway",
    "declined",
    "filtered",
    "too long",
    "cut off",
    "drop",
    "broken stream",
]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request.

    Attributes:
        kind: What.
        retry_after: Seconds to wait, for `rate limited` and `overloaded`.
    """

    kind: FaultKind
    retry_after: float | None = None


@dataclass(frozen=True)
class Asked:
    """What a request asks for, read out of one provider's format.

    Attributes:
        model: Name of the model.
        system: The system prompt, `""` for none.
        prompt: What the user said.
        schema: JSON schema of the wanted reply.
        n: Generations wanted.
        most: The largest number of tokens of a reply.
        stream: Whether the reply is to come in pieces.
        stop: Texts before which the reply ends.
        texts: For embeddings, what to embed.
        format: Which of a provider's endpoints was called.
    """

    model: str
    system: str = ""
    prompt: str = ""
    schema: Mapping[str, Any] | None = None
    n: int = 1
    most: int | None = None
    stream: bool = False
    stop: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None
    format: str = "chat"

    @property
    def in_tokens(self) -> int:
        """Tokens of what was sent."""
        return sum(map(tokens_of, self.texts)) if self.texts else tokens_of(self.system + self.prompt)


@dataclass(frozen=True)
class Reply:
    """What the model says.

    Attributes:
        texts: One per generation.
        cut: Whether it was cut off at the largest number of tokens.
        declined: Whether the model declined (and says so in its provider's way).
    """

    texts: tuple[str, ...]
    cut: bool = False
    declined: bool = False

    @property
    def out_tokens(self) -> int:
        """Tokens of all generations."""
        return sum(map(tokens_of, self.texts))


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: dict[str, Any]


class Refusal(Exception):
    """A request that the server does not take, with the response that says so."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, dict(headers or {})


class Dialect(ABC):
    """How one provider writes requests, replies, pieces of replies and errors."""

    @abstractmethod
    def key(self, received: Received) -> str:
        """The key that was sent, `""` for none."""

    @abstractmethod
    def asked(self, received: Received) -> Asked:
        """What is asked for; raises `Refusal` when the request is not well formed."""

    @abstractmethod
    def reply(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        """The body of a reply."""

    @abstractmethod
    def events(self, asked: Asked, reply: Reply) -> Iterator[str]:
        """The server-sent events of a reply in pieces."""

    @abstractmethod
    def vectors(self, asked: Asked, vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
        """The body of a reply with embeddings."""

    @abstractmethod
    def error(self, fault: Fault, asked: Asked | None, key: str) -> Refusal:
        """The response to an error; the one to a wrong key contains the key."""


@dataclass
class WireServer:
    """A running server.

    Attributes:
        dialect: Its wire format.
        url: Its address.
        faults: What goes wrong with the next requests, in order.
        received: The requests so far.
        in_tokens: Tokens of the prompts that were answered.
        out_tokens: Tokens of the answers.
    """

    dialect: Dialect
    url: str = ""
    faults: deque[Fault] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    in_tokens: int = 0
    out_tokens: int = 0

    @property
    def last(self) -> Received:
        """The last request."""
        return self.received[-1]

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        content = await request.read()
        received = Received(
            request.method,
            request.path,
            dict(request.query),
            {name.lower(): value for name, value in request.headers.items()},
            json.loads(content) if content else {},
        )
        self.received.append(received)
        try:
            return await self._answered(request, received)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)

    async def _answered(self, request: web.Request, received: Received) -> web.StreamResponse:
        key = self.dialect.key(received)
        if key != KEY:
            raise self.dialect.error(Fault("forbidden"), None, key)
        asked = self.dialect.asked(received)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and fault.kind == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault is not None and fault.kind == "bad gateway":
            page = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
            return web.Response(status=502, text=page, content_type="text/html")
        if fault is not None and fault.kind not in ("declined", "cut off", "broken stream"):
            raise self.dialect.error(fault, asked, key)
        if asked.texts is not None:
            self.in_tokens += asked.in_tokens
            vectors = [embed(text, 64) for text in asked.texts]
            return web.json_response(self.dialect.vectors(asked, vectors))
        reply = _thought(asked, fault)
        self.in_tokens += asked.in_tokens
        self.out_tokens += reply.out_tokens
        if not asked.stream:
            return web.json_response(self.dialect.reply(asked, reply))
        streamed = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await streamed.prepare(request)
        events = list(self.dialect.events(asked, reply))
        for number, event in enumerate(events):
            if fault is not None and fault.kind == "broken stream" and number >= len(events) // 2:
                assert request.transport is not None
                request.transport.close()
                break
            await streamed.write(event.encode())
        return streamed


def _thought(asked: Asked, fault: Fault | None) -> Reply:
    """What the model says to a request."""
    if fault is not None and fault.kind == "declined":
        return Reply(("I can't help with that.",), declined=True)
    question = understand(asked.prompt, tuple((asked.schema or {}).get("properties", ())))
    found = answer(question, {})
    if found is not None:
        text = json.dumps(conform(found, asked.schema) if asked.schema else found, ensure_ascii=False)
    elif asked.schema is not None:
        text = json.dumps(_example(asked.schema, asked.schema))
    else:
        text = f"You wrote: {' '.join(question.prompt.split())[:200]}"
    for stop in asked.stop:
        text = text.partition(stop)[0]
    if fault is not None and fault.kind == "cut off":
        return Reply((text[: len(text) // 2],) * asked.n, cut=True)
    if asked.most is not None and tokens_of(text) > asked.most:
        return Reply((text[: 4 * asked.most],) * asked.n, cut=True)
    return Reply((text,) * asked.n)


def pieces(text: str, size: int = 24) -> Iterator[str]:
    """The pieces of a streamed text."""
    for at in range(0, len(text), size):
        yield text[at : at + size]


def _example(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """A value that follows a schema, as constrained decoding would write one."""
    if "$ref" in schema:
        return _example(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[-1])
    if options := schema.get("anyOf"):
        return _example(options[0], root)
    kind = schema.get("type")
    if kind == "object":
        return {name: _example(part, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example(schema.get("items", {}), root)] * int(schema.get("minItems", 1))
    return {"integer": 0, "number": 0.5, "boolean": True, "null": None}.get(kind or "", "words")


@contextmanager
def running(dialect: Dialect) -> Iterator[WireServer]:
    """A server on another thread, which ends with the block."""
    server = WireServer(dialect)
    with serving(server.respond) as server.url:
        yield server
