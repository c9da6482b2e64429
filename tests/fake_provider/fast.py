"""A server for measuring clients: canned replies, as little work per request as possible."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import socket
import subprocess
import sys
from collections.abc import Callable

from .knobs import Knobs
from .log import Entry, Log
from .protocol import ApiError
from .provider import Provider

__all__ = ["serve_fast"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DOCUMENT = b"<document label="
_ENTRIES = re.compile(rb"\((\d+) in all\)")
_TAIL = 4_000

_replies: dict[tuple[int, bytes, bool], bytes] = {}


class _Service:
    """What all connections share: how long replies take, and the log of arrivals.

    Args:
        knobs: Latency, its sigma, and the seed; the others play no part here.
    """

    def __init__(self, knobs: Knobs) -> None:
        self._mean, self._sigma, self._seed = knobs.latency, knobs.latency_sigma, knobs.seed
        self.reset()

    def reset(self) -> None:
        """Forget all requests, and draw the same latencies again."""
        self.log, self._random = Log(), random.Random(self._seed)

    def latency(self) -> float:
        """Seconds that the next reply takes."""
        if not self._sigma:
            return self._mean
        return self._random.lognormvariate(math.log(self._mean) - self._sigma**2 / 2, self._sigma)

    def control(self, request: bytes) -> bytes:
        """The reply to a request that is not for a model."""
        if request.startswith(b"POST /_reset"):
            self.reset()
            return _http(b"{}")
        entries = [] if b"log=0" in request.partition(b"\r\n")[0] else self.log.as_json()
        seen = {"counters": {"requests": len(self.log.entries)}, "requests": entries}
        return _http(json.dumps(seen).encode())


class _Connection(asyncio.Protocol):
    """One connection; reads a request at a time and answers it after the latency."""

    def __init__(self, service: _Service) -> None:
        self._service = service
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
            if not request.startswith(b"POST /v1/"):
                self._write(self._service.control(request))
                continue
            entry = self._service.log.arrive("chat")
            latency = self._service.latency()
            reply = _reply(request)
            if latency:
                self._loop.call_at(entry.arrived + latency, self._answer, entry, reply)
            else:
                self._answer(entry, reply)

    def _answer(self, entry: Entry, reply: bytes) -> None:
        self._service.log.leave(entry)
        self._write(reply)

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)


def serve_fast(host: str, port: int, knobs: Knobs, processes: int, say: Callable[[int], None]) -> None:
    """Run until stopped; further processes listen on the same port and end with this one."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((host, port))
    port = listening.getsockname()[1]
    command = [sys.executable, "-m", __package__ or "", "--fast", "--watch-stdin", "--port", str(port)]
    timing = {"latency": knobs.latency, "latency_sigma": knobs.latency_sigma, "seed": knobs.seed}
    command += ["--knobs", json.dumps(timing)]
    helpers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(processes - 1)
    ]
    for helper in helpers:
        assert helper.stdout is not None
        helper.stdout.readline()
    asyncio.run(_listen(listening, knobs, port, say))


async def _listen(listening: socket.socket, knobs: Knobs, port: int, say: Callable[[int], None]) -> None:
    loop, service = asyncio.get_running_loop(), _Service(knobs)
    await loop.create_server(lambda: _Connection(service), sock=listening, backlog=1024)
    say(port)
    await asyncio.Event().wait()


def _reply(request: bytes) -> bytes:
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
