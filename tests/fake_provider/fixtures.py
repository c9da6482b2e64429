"""Start the server from tests and benchmarks, set its knobs, read what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from .log import Entry

__all__ = ["FakeProvider", "Stats", "fake_provider", "fake_provider_process", "running_fake_provider"]

_PACKAGE = __package__ or "tests.fake_provider"
_ROOT = Path(__file__).resolve().parents[_PACKAGE.count(".") + 1]
_START_SECONDS, _CALL_SECONDS, _STOP_SECONDS = 30.0, 60.0, 5.0


@dataclass(frozen=True)
class Stats:
    """What the server saw since the last reset.

    Attributes:
        counters: Counts over all requests, see `Log.counters`.
        requests: The log; empty if it was left out.
        knobs: The knobs in force.
    """

    counters: dict[str, Any]
    requests: list[Entry]
    knobs: dict[str, Any]

    @property
    def paid(self) -> int:
        """Replies with status 200, whether of use or not."""
        return int(self.counters["paid"])

    @property
    def duplicates(self) -> int:
        """Paid replies to a prompt that already had one."""
        return int(self.counters["duplicates"])

    @property
    def high_water(self) -> int:
        """The most requests in flight at a time."""
        return int(self.counters["high_water"])

    def outcome(self, name: str) -> int:
        """How many requests ended so."""
        return int(self.counters["by_outcome"].get(name, 0))

    def arrivals(self, endpoint: str = "chat") -> list[float]:
        """Seconds on the server's clock at which requests came in, in order."""
        return sorted(entry.arrived for entry in self.requests if entry.endpoint == endpoint)

    def window_violations(self, n: int, seconds: float, *, slack: float = 0.0, endpoint: str = "chat") -> int:
        """Requests that came less than `seconds - slack` after the `n`-th one before them."""
        at = self.arrivals(endpoint)
        return sum(late - early < seconds - slack for early, late in zip(at, at[n:], strict=False))


class FakeProvider:
    """A running server.

    Attributes:
        base_url: To give to a client, ends in `/v1`.
        api_key: A key that the server accepts.
        pid: Its process id.
    """

    api_key = "sk-test-0123456789abcdef"

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self.port = process, port
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.pid = process.pid

    def control(self, **knobs: Any) -> None:
        """Change knobs, see `Knobs`; the others stay as they are.

        Raises:
            ValueError: When the server does not take them.
        """
        self._call("POST", "/_control", knobs)

    def reset(self) -> None:
        """Forget all requests, and go back to the knobs of the start."""
        self._call("POST", "/_reset", {})

    def stats(self, *, log: bool = True) -> Stats:
        """What the server saw; without the log that is quick after many requests, too."""
        seen = self._call("GET", "/_stats" if log else "/_stats?log=0")
        requests = [Entry(**entry) for entry in seen.get("requests", ())]
        return Stats(seen["counters"], requests, seen.get("knobs", {}))

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process.stdout.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_CALL_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            content: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(content["error"])
        return content


@contextmanager
def running_fake_provider(*, fast: bool = False, processes: int = 1, **knobs: Any) -> Iterator[FakeProvider]:
    """A server in another process, which ends with the block or with this process."""
    command = [sys.executable, "-m", _PACKAGE, "--port", "0", "--watch-stdin", "--knobs", json.dumps(knobs)]
    if fast:
        command += ["--fast", "--processes", str(processes)]
    process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    provider = FakeProvider(process, 0)
    try:
        port = _first_line(process)
        if not port.isdigit():
            raise RuntimeError(f"The fake provider did not start: it said {port!r}; see its standard error.")
        provider = FakeProvider(process, int(port))
        yield provider
    finally:
        provider.stop()


@pytest.fixture(scope="session")
def fake_provider_process() -> Iterator[FakeProvider]:
    with running_fake_provider() as provider:
        yield provider


@pytest.fixture
def fake_provider(fake_provider_process: FakeProvider) -> FakeProvider:
    """The session's server, with nothing in its log and no faults."""
    fake_provider_process.reset()
    return fake_provider_process


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """The first line of its output; a process that says none in time is killed, which ends the reading."""
    assert process.stdout is not None
    too_late = threading.Timer(_START_SECONDS, process.kill)
    too_late.start()
    try:
        return process.stdout.readline().decode().strip()
    finally:
        too_late.cancel()
