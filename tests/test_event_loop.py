"""All model work runs on one separate event loop, from whatever thread or loop it is awaited."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crowd import PATIENCE
from text_lloom.errors import TransientError
from text_lloom.llm import Completion, Model, ModelRequest
from text_lloom.llm.messages import as_messages
from text_lloom.llm.runtime.event_loop import run_async, run_sync

asking = contextvars.ContextVar("asking", default="nobody")


class LoopBoundClient:
    """Works only on the loop on which it was first used, as the usual HTTP clients do."""

    def __init__(self, _: object = None) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    async def post(self, prompt: str) -> str:
        loop = asyncio.get_running_loop()
        self.loop = self.loop or loop
        if loop is not self.loop:
            raise RuntimeError("Event loop is closed")
        await asyncio.sleep(0.001)
        return f"Answer to {prompt}"


def model_of_a_loop_bound_client() -> Model:
    async def call(model: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        return await model.client.post(prompt), (3, 3)

    return Model("bound", LoopBoundClient, call, cost=0)


def test_one_client_serves_several_asyncio_runs_in_a_row() -> None:
    model = model_of_a_loop_bound_client()
    for prompt in ("first", "second", "third"):
        replies = asyncio.run(model.call_many([prompt]))
        assert [r.text if isinstance(r, Completion) else r for r in replies] == [f"Answer to {prompt}"]


async def test_a_synchronous_call_works_inside_a_running_loop() -> None:
    model = model_of_a_loop_bound_client()

    async def work() -> str:
        return (await model.complete(ModelRequest(as_messages("a question")))).text

    assert run_sync(work()) == "Answer to a question"
    assert await run_async(work()) == "Answer to a question"


@pytest.mark.parametrize("how", ["async", "sync"])
def test_exceptions_reach_the_caller_as_they_were_raised(how: str) -> None:
    error = TransientError("The server hung up.")

    async def work() -> None:
        raise error

    with pytest.raises(TransientError) as raised:
        run_sync(work()) if how == "sync" else asyncio.run(run_async(work()))
    assert raised.value is error


async def test_results_are_put_away_before_a_cancellation_surfaces() -> None:
    kept: list[str] = []
    running = threading.Event()

    async def work() -> None:
        try:
            running.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            kept.append("what was answered")

    task = asyncio.create_task(run_async(work()))
    await asyncio.to_thread(running.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kept == ["what was answered"]


async def test_a_cancellation_before_the_work_began_prevents_it() -> None:
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)
        await asyncio.sleep(60)
        begun.append(False)

    task = asyncio.create_task(run_async(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert False not in begun


@pytest.fixture
def interrupts() -> Iterator[None]:
    """An interrupt raises, also in a process that was started in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_stops_the_work_and_surfaces_when_it_has_ended() -> None:
    kept: list[str] = []

    async def work() -> None:
        threading.Timer(0.05, _thread.interrupt_main).start()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            kept.append("what was answered")

    with pytest.raises(KeyboardInterrupt):
        run_sync(work())
    assert kept == ["what was answered"]
    assert run_sync(asyncio.sleep(0, "works again")) == "works again"


async def test_calls_may_be_nested() -> None:
    async def inner() -> str:
        return threading.current_thread().name

    async def outer() -> tuple[str, str]:
        return threading.current_thread().name, await run_async(inner())

    first, second = await run_async(outer())
    assert first == second != threading.current_thread().name


async def test_waiting_synchronously_on_the_models_thread_is_refused_instead_of_hanging() -> None:
    async def outer() -> None:
        run_sync(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="await instead"):
        await run_async(outer())


@pytest.mark.parametrize("how", ["async", "plain"])
async def test_context_variables_are_seen_by_call_functions(how: str) -> None:
    async def call(_: Model, prompt: str) -> str:
        return f"{asking.get()} asks {prompt}"

    def plain(_: Model, prompt: str) -> str:
        return f"{asking.get()} asks {prompt}"

    asking.set("Maria")
    fn: Any = call if how == "async" else plain
    (reply,) = await Model("m", None, fn, cost=0).call_many(["why"])
    assert isinstance(reply, Completion)
    assert reply.text == "Maria asks why"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_a_call_function_that_exits_leaves_the_loop_working(error: BaseException) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(type(error)):
        run_sync(work())
    assert run_sync(asyncio.sleep(0, "still here")) == "still here"


def test_two_threads_can_wait_at_a_time() -> None:
    together = threading.Barrier(2, timeout=5)
    seen: list[int] = []

    def waiter(n: int) -> None:
        async def work() -> int:
            await asyncio.to_thread(together.wait)
            return n

        seen.append(run_sync(work()))

    threads = [threading.Thread(target=waiter, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(seen) == [1, 2]


@pytest.mark.slow
def test_a_script_ends_at_once_and_prints_nothing_of_its_own() -> None:
    script = """
import logging, time
from text_lloom.llm import Model

logging.getLogger("asyncio").setLevel("ERROR")  # on a busy machine it warns of slow callbacks

def call(model, prompt):
    time.sleep(0.05)
    return prompt.upper()

async def quick(model, prompt):
    time.sleep(0.05)
    return prompt.upper()

import asyncio
for fn in (call, quick):
    print([r.text for r in asyncio.run(Model("m", None, fn, cost=0).call_many(["late bus", "bike lane"]))])
print(time.monotonic())
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    ended = time.monotonic()
    *lines, said = done.stdout.splitlines()
    assert lines == ["['LATE BUS', 'BIKE LANE']"] * 2
    assert done.stderr == ""
    assert ended - float(said) < 1 + float(said) - began, "ending takes no longer than all that went before"
