"""A server for measuring clients: canned replies, as little work per request as possible."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable

from .knobs import Knobs
from .protocol import ApiError
from .provider import Provider

__all__ = ["serve_fast"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DOCUMENT = b"<document label="
_ENTRIES = re.compile(rb"\((\d+) in all\)")
_TAIL = 4_000

_replies: dict[tuple[int, bytes, bool], bytes] = {}
_served = 0


class _Connection(asyncio.Protocol):
    """One connection; reads a request at a time and answers it after the latency."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._wanted = -1
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, received: bytes) -> None:
        self._buffer = self._buffer + received if self._buffer else received
        while self._buffer:
            if self._wanted < 0:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                length = _LENGTH.search(self._buffer, 0, end)
                self._wanted = end + 4 + (int(length.group(1)) if length else 0)
            if len(self._buffer) < self._wanted:
                return
            request, self._buffer = self._buffer[: self._wanted], self._buffer[self._wanted :]
            self._wanted = -1
            reply = _reply(request)
            if self._latency and request.startswith(b"POST"):
                self._loop.call_later(self._latency, self._write, reply)
            else:
                self._write(reply)

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)


def serve_fast(host: str, port: int, latency: float, processes: int, say: Callable[[int], None]) -> None:
    """Run until stopped; further processes listen on the same port and end with this one."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((host, port))
    port = listening.getsockname()[1]
    command = [sys.executable, "-m", __package__ or "", "--fast", "--watch-stdin", "--port", str(port)]
    command += ["--knobs", json.dumps({"latency": latency})]
    helpers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(processes - 1)
    ]
    for helper in helpers:
        assert helper.stdout is not None
        helper.stdout.readline()
    asyncio.run(_listen(listening, latency, port, say))


async def _listen(listening: socket.socket, latency: float, port: int, say: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Connection(latency), sock=listening, backlog=1024)
    say(port)
    await asyncio.Event().wait()


def _reply(request: bytes) -> bytes:
    global _served
    if not request.startswith(b"POST"):
        return _http(json.dumps({"counters": {"requests": _served}}).encode())
    _served += 1
    entries = _ENTRIES.search(request, max(0, len(request) - _TAIL))
    shape = (
        request.count(_DOCUMENT),
        entries.group(1) if entries else b"",
        b'\\"quote\\":' in request[-_TAIL:],
    )
    if not entries:
        return _made(request)
    reply = _replies.get(shape)
    if reply is None:
        reply = _replies[shape] = _made(request)
    return reply


def _made(request: bytes) -> bytes:
    """A reply made as by the other server, without knobs."""
    head, _, content = request.partition(b"\r\n\r\n")
    provider = Provider(Knobs())
    entry = provider.log.arrive("embeddings" if b"/embeddings " in head.partition(b"\r\n")[0] else "chat")
    try:
        body = json.loads(content)
        return _http(json.dumps(provider.reply(entry, provider.admit(entry, body, "sk-test"))).encode())
    except ApiError as error:
        return _http(json.dumps(error.body).encode(), b"400 Bad Request")


def _http(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body
