"""How many requests per second one process can make, compared with the plain OpenAI client.

    python -m benchmarks.client_ceiling [--requests 4000] [--concurrency 256]

The server (`tests.fake_provider --fast`, its own process, a bare asyncio protocol) answers at once with a
canned score reply; its own limit is measured first with a bare aiohttp session. Ours runs `ask_all` with
limiter, journal, schema validation and ledger. CPU is that of this process alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fake_provider.fixtures import FakeProvider, running_fake_provider
from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.llm import OpenAIModel
from text_lloom.llm.ask import ask_all
from text_lloom.llm.cache import open_journal
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.runtime.event_loop import run_sync
from text_lloom.tasks import ScoreDocuments

_SENTENCE = "The bus was late again and nobody could tell us why, so I walked home in the rain. "


class Figure(NamedTuple):
    """What one client did."""

    name: str
    per_second: float
    cpu_ms: float


def main() -> None:
    """Measure every client and print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--requests", type=int, default=4000)
    options.add_argument("--concurrency", type=int, default=256)
    given = options.parse_args()
    concepts = tuple(Concept(f"Reason {i}", f"Does the text give reason {i}?", id=str(i)) for i in range(4))
    tasks = [
        ScoreDocuments((Document(i, f"{i}: {_SENTENCE * 8}"),), concepts, get_highlights=False)
        for i in range(given.requests)
    ]
    with running_fake_provider(fast=True, latency=0) as provider:
        figures = [
            measure("bare aiohttp", tasks, lambda part: _bare(provider, part, given.concurrency)),
            measure("AsyncOpenAI", tasks[::8], lambda part: _sdk(provider, part, given.concurrency, False)),
            measure(
                "AsyncOpenAI, aiohttp", tasks[::4], lambda part: _sdk(provider, part, given.concurrency, True)
            ),
            measure("text_lloom", tasks, lambda part: _ours(provider, part, given.concurrency)),
        ]
    plain, ours = figures[1], figures[-1]
    for figure in figures:
        print(
            f"{figure.name:<22} {figure.per_second:7.0f} requests/s  {figure.cpu_ms:5.2f} ms CPU per request"
        )
    print(f"text_lloom / AsyncOpenAI: {ours.per_second / plain.per_second:.1f} x")


def measure(
    name: str, tasks: Sequence[ScoreDocuments], work: Callable[[Sequence[ScoreDocuments]], Awaitable[None]]
) -> Figure:
    """Requests per second and CPU of one client, after a warm-up."""

    async def both() -> tuple[float, float]:
        await work(tasks[: len(tasks) // 10])
        began, cpu = time.perf_counter(), time.process_time()
        await work(tasks[len(tasks) // 10 :])
        return time.perf_counter() - began, time.process_time() - cpu

    seconds, cpu = run_sync(both())
    n = len(tasks) - len(tasks) // 10
    return Figure(name, n / seconds, cpu / n * 1000)


async def _ours(provider: FakeProvider, tasks: Sequence[ScoreDocuments], concurrency: int) -> None:
    model = OpenAIModel(
        "gpt-4o-mini",
        provider.api_key,
        provider.base_url,
        rate_limit={"requests": (1_000_000, 60), "concurrency": concurrency},
        cost=(1e-7, 4e-7),
    )
    with tempfile.TemporaryDirectory() as folder:
        journal = open_journal(Path(folder))
        run = Run(store=journal)
        answers = await ask_all(model, tasks, run=run)
        assert len(answers) == len(tasks)
        assert not run.failures, run.failures[0]
        assert run.ledger.totals().answers == len(tasks)
        if journal is not None:
            journal.close()


async def _sdk(
    provider: FakeProvider, tasks: Sequence[ScoreDocuments], concurrency: int, aiohttp: bool
) -> None:
    from openai import AsyncOpenAI, DefaultAioHttpClient

    options = {"http_client": DefaultAioHttpClient()} if aiohttp else {}
    async with AsyncOpenAI(
        api_key=provider.api_key, base_url=provider.base_url, max_retries=0, **options
    ) as client:

        async def one(task: ScoreDocuments) -> None:
            reply = await client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": task.prompt()}]
            )
            json.loads(reply.choices[0].message.content or "")

        await _bounded([lambda task=task: one(task) for task in tasks], concurrency)


async def _bare(provider: FakeProvider, tasks: Sequence[ScoreDocuments], concurrency: int) -> None:
    import aiohttp

    headers = {"Authorization": f"Bearer {provider.api_key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def one(task: ScoreDocuments) -> None:
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": task.prompt()}]}
            url = f"{provider.base_url}/chat/completions"
            async with session.post(url, data=json.dumps(body)) as reply:
                json.loads(json.loads(await reply.read())["choices"][0]["message"]["content"])

        await _bounded([lambda task=task: one(task) for task in tasks], concurrency)


async def _bounded(calls: Sequence[Callable[[], Awaitable[None]]], concurrency: int) -> None:
    queue = iter(calls)

    async def worker() -> None:
        for call in queue:
            await call()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


if __name__ == "__main__":
    main()
