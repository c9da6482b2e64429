"""The throughput of blocking call functions, compared with a native async one of the same latency.

    python -m benchmarks.blocking [--calls 2560] [--concurrency 64] [--latency 0.2]

The calls sleep instead of asking a server. The ideal is `concurrency / latency`. For comparison, it also runs
the blocking `async def` with `asyncio.gather` and without the engine, as LLooM does.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

from text_lloom.llm import Model


def main() -> None:
    """Run each kind of call function and print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--calls", type=int, default=2560)
    options.add_argument("--concurrency", type=int, default=64)
    options.add_argument("--latency", type=float, default=0.2, help="seconds per call")
    given = options.parse_args()
    seconds = given.latency

    async def native(model: Model, prompt: str) -> str:
        await asyncio.sleep(seconds)
        return prompt

    async def blocking(model: Model, prompt: str) -> str:
        time.sleep(seconds)  # noqa: ASYNC251 - this is what is measured
        return prompt

    def plain(model: Model, prompt: str) -> str:
        time.sleep(seconds)
        return prompt

    print(f"{given.calls} calls of {seconds:g} s, {given.concurrency} at a time")
    few = max(1, given.calls // 64)
    began = time.perf_counter()
    asyncio.run(_gathered(blocking, few))
    rate = few / (time.perf_counter() - began)
    print(f"{'blocking async def, gathered without the engine':<50} {rate:7.1f}/s")
    rates = {}
    for name, fn in (("native async def", native), ("blocking async def", blocking), ("plain def", plain)):
        model = Model(name, fn=fn, concurrency=given.concurrency, cost=0)
        began = time.perf_counter()
        replies = asyncio.run(model.call_many([f"Comment {i}" for i in range(given.calls)], cache=False))
        assert len(replies) == given.calls
        rates[name] = given.calls / (time.perf_counter() - began)
        share = rates[name] / rates["native async def"]
        print(f"{name:<50} {rates[name]:7.1f}/s, {share:.0%} of native")


async def _gathered(fn: Callable[[Model, str], Awaitable[str]], calls: int) -> None:
    model = Model("gathered", fn=fn)
    await asyncio.gather(*(fn(model, f"Comment {i}") for i in range(calls)))


if __name__ == "__main__":
    main()
