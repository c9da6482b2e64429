"""Command line: start the server, say its port on the first line, run until stopped."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading

from aiohttp import web

from .fast import serve_fast
from .knobs import Knobs
from .provider import Provider
from .server import make_app

_HOST = "127.0.0.1"


def main() -> None:
    """Run a server."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--knobs", default="{}", help='JSON, such as \'{"latency": 0.2, "p_500": 0.1}\'')
    parser.add_argument(
        "--fast", action="store_true", help="canned replies at little cost, for client benchmarks"
    )
    parser.add_argument("--processes", type=int, default=1, help="with --fast: processes that share the port")
    parser.add_argument("--watch-stdin", action="store_true", help="exit when standard input is closed")
    options = parser.parse_args()
    if options.watch_stdin:
        threading.Thread(target=_exit_with_stdin, daemon=True).start()
    knobs = Knobs().changed(json.loads(options.knobs))
    if options.fast:
        serve_fast(_HOST, options.port, knobs, options.processes, _say)
    else:
        asyncio.run(_serve(knobs, options.port))


async def _serve(knobs: Knobs, port: int) -> None:
    runner = web.AppRunner(make_app(Provider(knobs)), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, _HOST, port, backlog=1024).start()
    _say(runner.addresses[0][1])
    await asyncio.Event().wait()


def _say(port: int) -> None:
    print(port, flush=True)


def _exit_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
