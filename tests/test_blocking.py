"""Call functions of every kind run concurrently, and never stop the event loop."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from tests.crowd import PATIENCE, Crowd
from tests.test_event_loop import LoopBoundClient
from text_lloom.errors import LloomError
from text_lloom.llm import Completion, Model, RetryPolicy
from text_lloom.llm.runtime.blocking import CallRunner, TimeLimit, time_limit

PROMPTS = [f"Comment {n}: the 40 bus was {n} minutes late." for n in range(30)]


def texts(replies: list[Completion | LloomError]) -> list[str]:
    return [reply.text if isinstance(reply, Completion) else repr(reply) for reply in replies]


def blocking(model: Model, prompt: str) -> tuple[str, tuple[int, int]]:
    model.client.meet()
    return prompt.upper(), (5, 5)


async def blocking_inside(model: Model, prompt: str) -> tuple[str, tuple[int, int]]:
    return blocking(model, prompt)


async def really_async(model: Model, prompt: str) -> tuple[str, tuple[int, int]]:
    await model.client.meet_async()
    return prompt.upper(), (5, 5)


def sleeps(_: Model, prompt: str) -> str:
    time.sleep(0.05)
    return prompt


async def sleeps_inside(model: Model, prompt: str) -> str:
    return sleeps(model, prompt)


async def sleeps_async(_: Model, prompt: str) -> str:
    await asyncio.sleep(0.05)
    return prompt


class Caller:
    """An object that is called."""

    def __call__(self, model: Model, prompt: str) -> object:
        return blocking(model, prompt)


class AsyncCaller:
    """An object whose call is a coroutine that blocks."""

    async def __call__(self, model: Model, prompt: str) -> object:
        return blocking(model, prompt)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def with_a_loop_of_its_own(model: Model, prompt: str) -> Any:
    return asyncio.run(really_async(model, prompt))


def with_option(model: Model, prompt: str, *, shout: bool) -> object:
    assert shout
    return blocking(model, prompt)


@pytest.mark.parametrize(
    "fn",
    [
        blocking,
        blocking_inside,
        really_async,
        Caller(),
        AsyncCaller(),
        Caller().__call__,
        functools.partial(with_option, shout=True),
        functools.partial(blocking_inside),
        lambda model, prompt: blocking(model, prompt),
        lambda model, prompt: really_async(model, prompt),
        lambda model, prompt: blocking_inside(model, prompt),
        decorated(blocking),
        decorated(really_async),
        functools.wraps(really_async)(with_a_loop_of_its_own),
    ],
    ids=[
        "plain",
        "async-blocking",
        "async",
        "object",
        "object-async-blocking",
        "method",
        "partial",
        "partial-async-blocking",
        "lambda",
        "lambda-async",
        "lambda-async-blocking",
        "decorated",
        "decorated-async",
        "wraps-with-asyncio-run",
    ],
)
async def test_thirty_calls_are_in_flight_together(fn: Any) -> None:
    crowd = Crowd(len(PROMPTS))
    replies = await Model("m", lambda _: crowd, fn, cost=0).call_many(PROMPTS, cache=False)
    assert texts(replies) == [prompt.upper() for prompt in PROMPTS]
    assert crowd.is_complete


async def test_async_functions_stay_on_one_loop_and_blocking_ones_leave_it() -> None:
    threads: dict[str, set[str]] = {"async": set(), "blocking": set()}

    async def stays(_: Model, prompt: str) -> str:
        threads["async"].add(threading.current_thread().name)
        await asyncio.sleep(0.03)
        return prompt

    crowd = Crowd(7)

    async def leaves(_: Model, prompt: str) -> str:
        threads["blocking"].add(threading.current_thread().name)
        crowd.meet()
        return prompt

    await Model("a", None, stays, cost=0).call_many(PROMPTS)
    await Model("b", None, leaves, cost=0).call_many(PROMPTS)
    assert len(threads["async"]) == 1
    assert len(threads["blocking"]) > 5


@pytest.mark.parametrize("through", ["async", "lambda", "decorated"])
async def test_a_loop_bound_client_keeps_working(through: str) -> None:
    async def call(model: Model, prompt: str) -> str:
        return await model.client.post(prompt)  # type: ignore[no-any-return]

    fn: Any = {"async": call, "lambda": lambda m, p: call(m, p), "decorated": decorated(call)}[through]
    model = Model("bound", LoopBoundClient, fn, cost=0)
    for _ in range(2):
        assert texts(await model.call_many(PROMPTS[:5])) == [f"Answer to {p}" for p in PROMPTS[:5]]


async def test_one_slow_answer_from_memory_does_not_move_an_async_client_to_other_loops() -> None:
    memory: set[str] = set()

    async def call(model: Model, prompt: str) -> str:
        if prompt in memory:
            time.sleep(0.05)  # a busy machine
            return f"Answer to {prompt}"
        memory.add(prompt)
        return await model.client.post(prompt)  # type: ignore[no-any-return]

    model = Model("bound", LoopBoundClient, call, cost=0)
    for prompts in (PROMPTS[:2], PROMPTS[:2], PROMPTS[2:5]):
        assert texts(await model.call_many(prompts)) == [f"Answer to {p}" for p in prompts]


async def test_a_blocking_client_that_fails_does_not_stop_the_loop_either() -> None:
    crowd = Crowd(len(PROMPTS))

    async def call(_: Model, prompt: str) -> str:
        crowd.meet()
        raise TypeError(f"cannot read {prompt[:9]}")

    replies = await Model("m", None, call, cost=0).call_many(PROMPTS)
    assert all("TypeError: cannot read Comment" in str(reply) for reply in replies)
    assert crowd.is_complete


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_script_of_replies_that_runs_out_is_an_error_and_no_hang(kind: str) -> None:
    left = iter(["the only reply"])

    def call(_: Model, prompt: str) -> str:
        return next(left)

    async def acall(_: Model, prompt: str) -> str:
        return next(left)

    model = Model("m", None, call if kind == "plain" else acall, cost=0, concurrency=1, timeout=PATIENCE)
    first, second = await model.call_many(PROMPTS[:2], retry=RetryPolicy(attempts=1))
    assert isinstance(first, Completion)
    assert "StopIteration" in str(second), "a hang would end as a time-out"


@pytest.mark.parametrize(
    "mock",
    [AsyncMock(return_value=("Late buses", (5, 2))), Mock(return_value=("Late buses", [5, 2]))],
    ids=["AsyncMock", "Mock"],
)
async def test_mocks_can_stand_in_for_call_functions(mock: Mock) -> None:
    (reply,) = await Model("m", None, mock, cost=0).call_many(["What is it about?"])
    assert isinstance(reply, Completion)
    assert (reply.text, reply.in_tokens, reply.out_tokens) == ("Late buses", 5, 2)
    mock.assert_called_once()


@pytest.mark.parametrize("kind", ["blocking", "async"])
async def test_cancelling_returns_at_once_and_starts_nothing_more(kind: str) -> None:
    started: list[str] = []
    ended: list[str] = []
    may_end = threading.Event()

    def blocks(prompt: str) -> str:
        may_end.wait(PATIENCE)
        ended.append(prompt)
        return prompt

    async def waits(prompt: str) -> str:
        while not may_end.is_set():
            await asyncio.sleep(0.005)
        ended.append(prompt)
        return prompt

    def plain(_: Model, prompt: str) -> Any:
        started.append(prompt)
        return waits(prompt) if kind == "async" else blocks(prompt)

    model = Model("m", None, plain, cost=0, concurrency=3)
    task = asyncio.create_task(model.call_many(PROMPTS))
    while len(started) < 3:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [], "it came back before the calls did"
    may_end.set()
    async with asyncio.timeout(PATIENCE):
        while kind == "blocking" and len(ended) < 3:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.2)
    assert len(started) == 3


async def test_no_more_calls_block_at_a_time_than_the_concurrency() -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def call(_: Model, prompt: str) -> str:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        crowd.meet()
        time.sleep(0.01)
        with lock:
            busy -= 1
        return prompt

    crowd = Crowd(3)
    await Model("m", None, call, cost=0, concurrency=4).call_many(PROMPTS)
    assert 2 <= most <= 4


async def test_a_rate_limit_holds_where_threads_are_scarce() -> None:
    """Starts are counted where the call begins, not where it queues for a thread."""
    starts: list[float] = []

    def call(_: Model, prompt: str) -> str:
        starts.append(time.monotonic())
        time.sleep(1.05)
        return prompt

    prompts = [f"Comment {n} on the fares" for n in range(150)]
    await Model("m", None, call, cost=0, rate_limit=(70, 1.5)).call_many(prompts)
    starts.sort()
    assert len(starts) == 150
    assert all(late - early > 1.05 for early, late in zip(starts, starts[70:], strict=False))


@pytest.mark.parametrize("fn", [sleeps, sleeps_inside], ids=["plain", "async-blocking"])
async def test_blocking_functions_reach_four_fifths_of_async_throughput(fn: Any) -> None:
    """What threads cost besides is processor time: less than a fifth of what calls of 0.2 seconds take.

    A busy machine needs more processor time for the same work; `benchmarks.blocking` measures an idle one.
    """
    prompts = [f"Comment {n} on the fares" for n in range(1280)]
    calls_of_200_ms = len(prompts) / 64 * 0.2

    async def processor_seconds(fn: Any) -> float:
        model = Model("m", None, fn, cost=0, concurrency=64)
        gc.disable()  # what other tests left would be looked through, too
        try:
            began = time.process_time()
            await model.call_many(prompts, cache=False)
            return time.process_time() - began
        finally:
            gc.enable()

    native = min([await processor_seconds(sleeps_async) for _ in range(2)])
    threads = min([await processor_seconds(fn) for _ in range(3)])
    assert calls_of_200_ms / (calls_of_200_ms + threads - native) >= 0.8


@pytest.mark.parametrize("fn", [blocking, blocking_inside], ids=["plain", "async-blocking"])
async def test_blocking_functions_use_all_places(fn: Any) -> None:
    crowd = Crowd(64)
    model = Model("m", lambda _: crowd, fn, cost=0, concurrency=63)
    prompts = [f"Comment {n} on the fares" for n in range(200)]
    assert texts(await model.call_many(prompts, cache=False)) == [prompt.upper() for prompt in prompts]


async def test_calls_that_hang_do_not_use_up_the_threads() -> None:
    """One call in five never comes back; the others find a thread all the same."""
    released, asked = threading.Event(), dict[str, int]()

    def hangs_at_first(_: Model, prompt: str) -> str:
        asked[prompt] = asked.get(prompt, 0) + 1
        if asked[prompt] == 1 and int(prompt.split()[1].rstrip(":")) % 5 == 0:
            released.wait(PATIENCE)
        return prompt.upper()

    model = Model("hangs", fn=hangs_at_first, cost=0, concurrency=2, timeout=1)
    try:
        replies = await model.call_many(PROMPTS, retry=RetryPolicy(base=0.001), cache=False)
    finally:
        released.set()
    assert texts(replies) == [prompt.upper() for prompt in PROMPTS]
    assert sum(asked.values()) == len(PROMPTS) + 6


async def test_waiting_for_a_thread_is_not_taking_long() -> None:
    """Thirty calls of 0.1 s on one thread, each within its time-out of 2 s."""

    def slow(n: int) -> int:
        time.sleep(0.1)
        return n

    runner = CallRunner(slow, threads=1)

    async def one(n: int) -> int:
        async with asyncio.timeout(2) as timer:
            time_limit.set(TimeLimit(timer, 2))
            return await runner(n)

    assert await asyncio.gather(*(one(n) for n in range(30))) == list(range(30))


def test_a_script_ends_although_a_call_hangs() -> None:
    program = """
import threading
from text_lloom.llm import Model, RetryPolicy
model = Model("hangs", fn=lambda model, prompt: threading.Event().wait(60), cost=0, timeout=0.2)
print(model.sync.call_many(["Which bus?"], retry=RetryPolicy(attempts=1), cache=False))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert "did not reply within 0.2 seconds" in done.stdout, done.stderr


def test_an_interrupt_does_not_wait_for_a_call_that_blocks_the_loop() -> None:
    """The first call of an async function around a blocking client, which takes ten minutes."""
    program = """
import os, signal, threading, time
from text_lloom.llm import Model

async def blocks(model, prompt):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(600)
    print("replied")
    return prompt

try:
    Model("blocks", fn=blocks, cost=0).sync.call("Which bus?", cache=False)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "interrupted\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("fn", [sleeps, sleeps_inside], ids=["plain", "async around a blocking client"])
def test_a_forked_process_has_threads_of_its_own(fn: Any) -> None:
    """Those of the parent, which wait for the next call, are not there."""
    model = Model("m", None, fn, cost=0)
    model.sync.call_many(PROMPTS[:6], cache=False)
    child = os.fork()
    if not child:
        try:
            signal.alarm(60)
            reply = model.sync.call("late", cache=False)
            os._exit(0 if reply.text == "late" else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
