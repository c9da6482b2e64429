"""A rate limit of (n, seconds): our limiter, LLooM's scheme, and the theoretical minimum, in one run.

    python -m benchmarks.rate_limit [--requests 2100] [--limit 300 1] [--latency 0.8] [--sigma 0.5]

All requests go to the fast server of the tests (a bare asyncio protocol in another process), which draws
log-normal latencies and logs the arrival of each request. A window violation in that log is a request that
arrived less than the window after the n-th request before it. In LLooM's scheme batch i sleeps i * seconds,
then all of its requests start at once. The minimum for requests in order of arrival is the largest of
floor(i / n) * seconds + latency_i.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

from tests.fake_provider.fixtures import FakeProvider, running_fake_provider
from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.llm import OpenAIModel
from text_lloom.llm.ask import ask_all
from text_lloom.llm.dispatch.request_builder import build_task_request
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.runtime.event_loop import run_sync
from text_lloom.tasks import ScoreDocuments

_SLACK = 0.002


def main() -> None:
    """Run all three and print their figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--requests", type=int, default=2100)
    options.add_argument("--limit", type=float, nargs=2, default=(300, 1.0), metavar=("N", "SECONDS"))
    options.add_argument("--latency", type=float, default=0.8, help="mean seconds per reply")
    options.add_argument("--sigma", type=float, default=0.5, help="of the log-normal latencies")
    given = options.parse_args()
    n, seconds = int(given.limit[0]), float(given.limit[1])
    concepts = tuple(Concept(f"Reason {i}", f"Does the text give reason {i}?", id=str(i)) for i in range(4))
    tasks = [
        ScoreDocuments((Document(i, f"Comment {i}: the bus was late again."),), concepts)
        for i in range(given.requests)
    ]
    print(
        f"{given.requests} requests, limit ({n}, {seconds:g} s), log-normal latency of mean {given.latency} s"
    )
    with running_fake_provider(
        fast=True, latency=given.latency, latency_sigma=given.sigma, seed=1
    ) as provider:
        for name, work in (("ours", _ours), ("LLooM's scheme", _sleeping_batches)):
            provider.reset()
            model = _model(provider, n, seconds)
            began = time.perf_counter()
            run_sync(work(model, tasks, n, seconds))
            took = time.perf_counter() - began
            stats = provider.stats()
            chat = sorted((e for e in stats.requests if e.endpoint == "chat"), key=lambda e: e.arrived)
            latencies = [entry.left - entry.arrived for entry in chat]
            least = max(i // n * seconds + latency for i, latency in enumerate(latencies))
            print(
                f"{name:<16} {took:6.2f} s, minimum {least:5.2f} s, ratio {took / least:5.3f}; "
                f"window violations {stats.window_violations(n, seconds, slack=_SLACK)}, "
                f"most in a window {_most(stats.arrivals(), seconds)}"
            )


def _model(provider: FakeProvider, n: int, seconds: float) -> OpenAIModel:
    model = OpenAIModel("gpt-4o-mini", provider.api_key, provider.base_url, rate_limit=(n, seconds), cost=0)
    _ = model.client
    return model


async def _ours(model: OpenAIModel, tasks: Sequence[ScoreDocuments], n: int, seconds: float) -> None:
    del n, seconds
    run = Run()
    await ask_all(model, tasks, run=run)
    assert not run.failures, run.failures[0]


async def _sleeping_batches(
    model: OpenAIModel, tasks: Sequence[ScoreDocuments], n: int, seconds: float
) -> None:
    async def one(position: int, task: ScoreDocuments) -> None:
        await asyncio.sleep(position // n * seconds)
        task.parse((await model.complete(build_task_request(model, task))).text)

    await asyncio.gather(*(one(position, task) for position, task in enumerate(tasks)))


def _most(arrivals: Sequence[float], seconds: float) -> int:
    """The most arrivals in any half-open window of that many seconds."""
    most = first = 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


if __name__ == "__main__":
    main()
