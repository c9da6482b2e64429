"""Serves a request handler on loopback, on another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

__all__ = ["serving"]


@contextmanager
def serving(respond: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Iterator[str]:
    """The address at which `respond` answers every request while the block lasts."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    ready = threading.Event()
    url = ""

    async def serve() -> None:
        nonlocal url
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", respond)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(
        target=lambda: loop.run_until_complete(serve()), name="wire-server", daemon=True
    )
    thread.start()
    assert ready.wait(10)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
