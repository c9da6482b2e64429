"""A server on loopback that sends any reply that a test needs, even invalid ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from tests.wire_servers.serving import serving

__all__ = ["Events", "Page", "Said", "ScriptedServer", "completion", "piece", "scripted"]


@dataclass(frozen=True)
class Page:
    """A reply that is not JSON."""

    text: str
    content_type: str = "text/html"


@dataclass(frozen=True)
class Events:
    """Server-sent events: JSON values, or texts as they are."""

    events: Sequence[Any]


Said: TypeAlias = (
    dict[str, Any] | list[Any] | Page | Events | tuple[int, Any] | tuple[int, Any, dict[str, str]]
)
"""A reply: JSON, a page, events, or one of these with a status, or with a status and headers."""


@dataclass
class ScriptedServer:
    """A running server.

    Attributes:
        reply: What it says to the body of a request.
        url: Its address.
        bodies: What was sent.
        paths: Where it was sent.
        keys: The keys that were sent.
    """

    reply: Callable[[dict[str, Any]], Said]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        content = await request.read()
        body = json.loads(content) if content else {}
        self.bodies.append(body)
        self.paths.append(request.path)
        self.keys.append(request.headers.get("Authorization", ""))
        said = self.reply(body)
        status, told, *more = said if isinstance(said, tuple) else (200, said)
        headers = dict(more[0]) if more else {}
        if isinstance(told, Page):
            return web.Response(text=told.text, status=status, content_type=told.content_type)
        if not isinstance(told, Events):
            return web.json_response(told, status=status, headers=headers)
        streamed = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await streamed.prepare(request)
        for event in told.events:
            text = event if isinstance(event, str) else json.dumps(event)
            await streamed.write(f"data: {text}\n\n".encode())
        return streamed


def completion(*texts: str | None, reasons: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """A chat completion in OpenAI's form with these replies."""
    why = (*reasons, *("stop",) * len(texts))
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": why[i]}
        for i, text in enumerate(texts)
    ]
    return {"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 2}, **fields}


def piece(text: str | None = None, reason: str | None = None) -> dict[str, Any]:
    """A piece of a streamed chat completion."""
    delta = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


@contextmanager
def scripted(reply: Callable[[dict[str, Any]], Said]) -> Iterator[ScriptedServer]:
    """A server on another thread, which ends with the block."""
    server = ScriptedServer(reply)
    with serving(server.respond) as server.url:
        yield server
