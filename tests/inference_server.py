"""A small server on loopback with the Open Inference Protocol v2, whose replies a test sets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

__all__ = ["InferenceServer", "Reply", "inference_server", "output", "outputs"]


class Reply(NamedTuple):
    """What the server sends."""

    status: int
    body: bytes
    content_type: str = "application/json"


def output(name: str, shape: Sequence[int], datatype: str, data: object) -> dict[str, object]:
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": data}


def outputs(*tensors: dict[str, object], model: str = "topics") -> Reply:
    body = {"model_name": model, "model_version": "1", "id": "a1", "parameters": {}, "outputs": tensors}
    return Reply(200, json.dumps(body).encode())


@dataclass
class InferenceServer:
    """The running server: what it answers, and what it was asked.

    Attributes:
        url: Its address.
        answer: Gets the texts of an inference request to the model `topics`, gives the reply.
        answers: The same for further models.
        ready: Replies to the readiness checks by path; an empty 200 for others, as MLServer sends.
        asked: The texts of each inference request.
        bodies: The whole bodies.
        headers: The headers of each inference request.
    """

    url: str
    answer: Callable[[list[str]], Reply]
    answers: dict[str, Callable[[list[str]], Reply]] = field(default_factory=dict)
    ready: dict[str, Reply] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def inference_server(answer: Callable[[list[str]], Reply]) -> Iterator[InferenceServer]:
    """Serve on a free port of loopback until the block ends."""
    running = InferenceServer("", answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(running.ready.get(self.path, Reply(200, b"")))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model = self.path.removeprefix("/v2/models/").removesuffix("/infer")
            known = {"topics": running.answer, **running.answers}
            if model not in known:
                self.send(Reply(404, b'{"error":"Model nope not found"}'))
                return
            [tensor] = body["inputs"]
            texts = [part[0] if isinstance(part, list) else part for part in tensor["data"]]
            with running.lock:
                running.asked.append(texts)
                running.bodies.append(body)
                running.headers.append(dict(self.headers))
                reply = known[model](texts)
            self.send(reply)

        def send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            if reply.body:
                self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that went away
    running.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
