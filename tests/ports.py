"""Free ports for servers that need a port number before they start."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["closed_port", "free_port"]

_OUTSIDE_OF_WHAT_THE_SYSTEM_GIVES_OUT = range(20_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody who asks for any port."""
    chance = random.Random(os.urandom(8))
    while True:
        port = chance.choice(_OUTSIDE_OF_WHAT_THE_SYSTEM_GIVES_OUT)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets while the block lasts."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]
