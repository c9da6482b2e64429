"""Rate limits shared through a real Redis: kept by all processes together, also when Redis goes away."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lateness import Lateness
from tests.ports import free_port
from text_lloom.errors import InputError, LloomError, MissingPackage, ModelUnavailable
from text_lloom.llm import Model
from text_lloom.llm.ask import ask_all
from text_lloom.llm.client import Call, call_all
from text_lloom.llm.control import redis_limiter as redis_limits
from text_lloom.llm.control.rate_limits import Window
from text_lloom.llm.control.redis_limiter import SharedLimiter, shared_limiter
from text_lloom.llm.dispatch.attempt import limiter_of
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.messages import as_messages
from text_lloom.tasks import SummarizeDocument
from text_lloom.testing import FunctionModel

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120.0


def requests(amount: int, seconds: float) -> Window:
    return Window(amount, seconds, "requests")


def tokens(amount: int, seconds: float) -> Window:
    return Window(amount, seconds, "tokens")


class RedisServer:
    """A Redis server of its own, which can go away and come back empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + PATIENCE
        while self.ask("PING") != "PONG":
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server did not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def ask(self, *command: str) -> Any:
        """The reply to one command, on a connection of its own; `None` while there is no server."""
        import redis

        with redis.Redis(port=self.port, decode_responses=True, socket_timeout=PATIENCE) as client:
            try:
                return "PONG" if command == ("PING",) and client.ping() else client.execute_command(*command)
            except redis.ConnectionError:
                return None

    def script_calls(self) -> int:
        stats = self.ask("INFO", "commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    missing = None if shutil.which("redis-server") else "redis-server is not installed"
    try:
        import redis  # noqa: F401
    except ImportError:
        missing = "the package redis is not installed"
    if missing:
        if os.environ.get("LLOOM_REQUIRE_REDIS"):
            pytest.fail(missing)
        pytest.skip(missing)
    running = RedisServer(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()


Make = Callable[..., SharedLimiter]


@pytest.fixture
async def limiter_on(server: RedisServer) -> AsyncIterator[Make]:
    """Makes limiters as several processes would have them, and closes them."""
    async with AsyncExitStack() as stack:

        def make(*windows: Window, **options: Any) -> SharedLimiter:
            limiter = SharedLimiter(windows, **{"url": server.url, "key": "museum survey"} | options)
            stack.push_async_callback(limiter.aclose)
            return limiter

        yield make


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short time-outs, so that tests of an outage take no minutes."""
    monkeypatch.setattr(redis_limits, "_REPLY_SECONDS", 0.5)
    monkeypatch.setattr(redis_limits, "_RETRY_SECONDS", 0.3)


class Began(NamedTuple):
    at: float
    server_time: float
    weight: int


async def start(limiter: SharedLimiter, weight: int = 0) -> Began:
    slot = await limiter.acquire(weight)
    return Began(time.monotonic(), slot.server_time or 0.0, weight)


async def run_starts(limiter: SharedLimiter, n: int, weight: int = 0) -> list[Began]:
    return await asyncio.gather(*[start(limiter, weight) for _ in range(n)])


def overruns(times: Sequence[tuple[float, int]], window: Window) -> int:
    """In how many windows of that length, each beginning with a start, there is more than allowed."""
    ordered = sorted(times)
    weights = [(at, 1 if window.unit == "requests" else weight) for at, weight in ordered]
    return sum(
        sum(w for at, w in weights if begin <= at < begin + window.seconds) > window.amount
        for begin, _ in weights
    )


def assert_kept(began: Sequence[Began], window: Window) -> None:
    assert overruns([(b.server_time, b.weight) for b in began], window) == 0, "on the server's clock"
    assert overruns([(b.at, b.weight) for b in began], window) == 0, "on the callers' clock"


def assert_no_longer_than(
    seconds: float, began: Sequence[Began], *, windows: int, lateness: Lateness
) -> None:
    """The starts take no more than a tenth longer; a busy machine adds what it is late, to each window."""
    took = max(b.at for b in began) - min(b.at for b in began)
    assert took <= 1.1 * seconds + 4 * windows * lateness.worst, f"woken {lateness.worst:.3f} s late"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


# --- exactness -----------------------------------------------------------------------------------------


async def test_one_process_keeps_a_limit_and_waits_no_longer_than_it_must(limiter_on: Make) -> None:
    window = requests(40, 1.0)
    with Lateness() as lateness:
        began = await run_starts(limiter_on(window), 160)
    assert_kept(began, window)
    assert_no_longer_than(3, began, windows=3, lateness=lateness)


async def test_all_windows_are_kept_together(limiter_on: Make) -> None:
    windows = [requests(4, 0.3), requests(10, 1.5), tokens(900, 1.0)]
    began = await run_starts(limiter_on(*windows), 20, 100)
    for window in windows:
        assert_kept(began, window)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_keep_one_limit_together(server: RedisServer, processes: int) -> None:
    window = requests(60, 1.0)
    with Lateness() as lateness:
        began = in_processes(server, [window], processes=processes, each=300 // processes)
    assert len(began) == 300
    assert_kept(began, window)
    assert_no_longer_than(4, began, windows=4, lateness=lateness)


def test_processes_keep_a_token_limit_together(server: RedisServer) -> None:
    window = tokens(500_000, 1.0)
    with Lateness() as lateness:
        began = in_processes(server, [window], processes=2, each=20, weight=50_000)
    assert_kept(began, window)
    assert_no_longer_than(3, began, windows=3, lateness=lateness)


def in_processes(
    server: RedisServer, windows: Sequence[Window], *, processes: int, each: int, weight: int = 0
) -> list[Began]:
    """Starts of several processes that begin at the same moment."""
    job = json.dumps({"url": server.url, "windows": windows, "each": each, "weight": weight})
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.test_redis_limits", job],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        replies = [worker.communicate(timeout=2 * PATIENCE)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return [Began(*began) for reply in replies for began in json.loads(reply)]


async def _work(job: dict[str, Any]) -> list[Began]:
    windows = [Window(*window) for window in job["windows"]]
    limiter = SharedLimiter(windows, url=job["url"], key="museum survey")
    await limiter.status()
    print("ready", flush=True)
    sys.stdin.readline()
    began = await run_starts(limiter, job["each"], job["weight"])
    await limiter.aclose()
    return began


async def test_a_caller_that_resumes_late_counts_from_when_it_resumed(limiter_on: Make) -> None:
    window = requests(2, 0.6)
    limiter = limiter_on(window)
    began = []

    async def work(*, blocks: bool = False) -> None:
        began.append(await start(limiter))
        if blocks:
            time.sleep(0.15)

    await asyncio.gather(work(blocks=True), work(), work(), work(), work())
    assert overruns([(b.at, 1) for b in began], window) == 0


async def test_a_caller_that_resumes_after_its_window_asks_again(
    server: RedisServer, limiter_on: Make
) -> None:
    window = requests(2, 0.6)
    limiter = limiter_on(window)

    async def their_starts() -> list[Began]:
        theirs = SharedLimiter([window], url=server.url, key="museum survey")
        began = await run_starts(theirs, 4)
        await theirs.aclose()
        return began

    async def blocks() -> list[Began]:
        began = await start(limiter)
        with ThreadPoolExecutor(1) as other_process:
            theirs = other_process.submit(asyncio.run, their_starts())
            time.sleep(0.9)
            return [began, *await asyncio.wrap_future(theirs)]

    first, second = await asyncio.gather(blocks(), start(limiter))
    assert overruns([(b.at, 1) for b in [*first, second]], window) == 0


@pytest.mark.parametrize("connecting", [0.3, 0.8], ids=["within-its-window", "longer-than-its-window"])
async def test_a_request_counts_from_when_it_was_sent(limiter_on: Make, connecting: float) -> None:
    ours, theirs = (
        limiter_on(requests(1, 0.6), tokens(10, 0.6)),
        limiter_on(requests(1, 0.6), tokens(10, 0.6)),
    )
    slot = await ours.acquire(7)
    await asyncio.sleep(connecting)
    slot.sent()
    sent_at = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while [s.used for s in await theirs.status()] != [1, 7]:
            await asyncio.sleep(0.01)
    assert (await start(theirs)).at - sent_at >= 0.6


async def test_windows_of_equal_length_count_each_others_starts(limiter_on: Make) -> None:
    wide, narrow = limiter_on(requests(10, 60.0)), limiter_on(requests(4, 60.0), requests(6, 60.0))
    await run_starts(wide, 3)
    await run_starts(narrow, 1)
    assert [(s.used, s.remaining) for s in await narrow.status()] == [(4, 0)]
    assert [(s.used, s.remaining) for s in await wide.status()] == [(4, 6)]


async def test_first_come_first_served_within_a_process(limiter_on: Make) -> None:
    limiter = limiter_on(tokens(1000, 0.4))
    order: list[int] = []

    async def work(n: int, weight: int) -> None:
        await limiter.acquire(weight)
        order.append(n)

    weights = [900, 800, 10, 990, 5, 5, 700, 1]
    await asyncio.gather(*[work(n, weight) for n, weight in enumerate(weights)])
    assert order == list(range(len(weights)))


async def test_a_request_larger_than_the_limit_is_refused(limiter_on: Make) -> None:
    with pytest.raises(InputError, match="1,001 tokens can never start"):
        await limiter_on(tokens(1000, 60)).acquire(1001)


# --- cost ----------------------------------------------------------------------------------------------


async def test_a_heavy_request_costs_what_a_light_one_costs(server: RedisServer, limiter_on: Make) -> None:
    took: dict[int, list[float]] = {1: [], 50_000: []}
    limiter = limiter_on(tokens(10_000_000, 60.0))
    await limiter.acquire(1)
    for weight in (1, 50_000) * 60:
        began = time.perf_counter()
        await limiter.acquire(weight)
        took[weight].append(time.perf_counter() - began)
    light, heavy = (sorted(times)[len(times) // 2] for times in took.values())
    assert heavy < 3 * light
    (entries,) = [key for key in server.ask("KEYS", "*") if key.endswith(":tokens:60.0")]
    assert server.ask("ZCARD", entries) == 121


async def test_waiting_is_no_polling(server: RedisServer, limiter_on: Make) -> None:
    limiter = limiter_on(requests(50, 1.0))
    began = await run_starts(limiter, 200)
    seconds = max(b.at for b in began) - min(b.at for b in began)
    assert server.script_calls() < 40 * seconds

    before = server.script_calls()
    waiting = asyncio.create_task(limiter_on(requests(50, 3600.0), key="another").acquire())
    await waiting
    blocked = [asyncio.create_task(limiter.acquire()) for _ in range(300)]
    limiter.pause(2.0)
    await asyncio.sleep(1.5)
    assert server.script_calls() - before <= 10
    for task in blocked:
        task.cancel()
    await asyncio.gather(*blocked, return_exceptions=True)


async def test_keys_expire_by_themselves_and_hold_no_secret(server: RedisServer, limiter_on: Make) -> None:
    limiter = limiter_on(requests(5, 0.5), tokens(100, 0.5), key="sk-secret-123")
    (await limiter.acquire(40)).settle(20)
    limiter.pause(0.2)
    await until(lambda: any(key.endswith(":pause") for key in server.ask("KEYS", "*")))
    keys = server.ask("KEYS", "*")
    assert len(keys) == 4
    assert all(key.startswith("lloom:limit:") and "secret" not in key for key in keys)
    await until(lambda: server.ask("DBSIZE") == 0)


# --- tokens --------------------------------------------------------------------------------------------


async def test_settling_returns_tokens_to_all_processes(limiter_on: Make) -> None:
    ours, theirs = limiter_on(tokens(1000, 600.0)), limiter_on(tokens(1000, 600.0))
    slot = await ours.acquire(900)
    waiting = asyncio.create_task(theirs.acquire(700))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    slot.settle(250)
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert [(s.used, s.remaining) for s in await ours.status()] == [(950, 50)]


@pytest.mark.parametrize(("settled", "used"), [(1300, 1300), (0, 0), (-50, 0)])
async def test_settling_counts_what_was_used_and_never_less_than_nothing(
    server: RedisServer, limiter_on: Make, settled: int, used: int
) -> None:
    limiter = limiter_on(tokens(1000, 600.0))
    (await limiter.acquire(400)).settle(settled)
    await limiter.aclose()
    (state,) = await limiter_on(tokens(1000, 600.0)).status()
    assert (state.used, state.remaining) == (used, max(0, 1000 - used))


async def test_a_slot_settled_after_its_window_changes_nothing(limiter_on: Make) -> None:
    limiter = limiter_on(tokens(100, 0.2))
    slot = await limiter.acquire(60)
    await asyncio.sleep(0.4)
    slot.settle(90)
    await asyncio.sleep(0.2)
    assert (await limiter.status())[0].used == 0


# --- pause, cancel, close ------------------------------------------------------------------------------


async def test_a_pause_holds_back_all_processes(limiter_on: Make) -> None:
    ours, theirs = limiter_on(requests(100, 60.0)), limiter_on(requests(100, 60.0))
    await theirs.acquire()
    ours.pause(2.0)
    paused_at = time.monotonic()
    ours.pause(0.1)
    await asyncio.sleep(0.2)
    assert (await theirs.status())[0].seconds_until_free > 0.3
    async with asyncio.timeout(PATIENCE):  # a window is a minute
        began = await asyncio.gather(start(ours), start(theirs))
    assert all(b.at - paused_at >= 1.99 for b in began)


async def test_who_is_cancelled_while_waiting_takes_nothing(limiter_on: Make) -> None:
    limiter = limiter_on(tokens(100, 600.0))
    await limiter.acquire(50)
    large = asyncio.create_task(limiter.acquire(90))
    small = asyncio.create_task(limiter.acquire(50))
    await asyncio.sleep(0.2)
    assert not small.done()
    large.cancel()
    async with asyncio.timeout(PATIENCE):
        await small
    assert [(s.used, s.waiting) for s in await limiter.status()] == [(100, 0)]


async def test_cancelling_at_any_moment_leaks_nothing(limiter_on: Make) -> None:
    limiter = limiter_on(requests(1000, 600.0), tokens(1000, 600.0))
    kept = 0
    for n in range(60):
        task = asyncio.create_task(limiter.acquire(3))
        await asyncio.sleep(n * 0.00005)
        task.cancel()
        kept += not isinstance((await asyncio.gather(task, return_exceptions=True))[0], BaseException)
    other = limiter_on(requests(1000, 600.0), tokens(1000, 600.0))
    await limiter.aclose()
    assert [s.used for s in await other.status()] == [kept, 3 * kept]


async def test_closing_ends_whoever_waits(limiter_on: Make) -> None:
    limiter = limiter_on(requests(1, 600.0))
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    await limiter.aclose()
    for closed in (waiting, limiter.acquire()):
        with pytest.raises(LloomError, match="closed"):
            await closed


# --- outages -------------------------------------------------------------------------------------------


async def test_without_redis_the_process_keeps_its_share(
    server: RedisServer, limiter_on: Make, impatient: None
) -> None:
    server.stop()
    window = requests(8, 0.5)
    limiter = limiter_on(window, share=2)
    with pytest.warns(UserWarning, match=r"does not answer .*at 1/2 of it") as caught, Lateness() as lateness:
        began = await run_starts(limiter, 16)
    assert len(caught) == 1
    assert overruns([(b.at, 1) for b in began], requests(4, 0.5)) == 0
    assert_no_longer_than(1.6, began, windows=3, lateness=lateness)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_an_outage_in_the_middle_keeps_counting_and_ends_by_itself(
    server: RedisServer, limiter_on: Make, impatient: None, how: str
) -> None:
    limiter = limiter_on(requests(10, 600.0), tokens(1000, 600.0))
    await run_starts(limiter, 4, 100)
    if how == "stopped":
        server.stop()
    else:
        server.freeze()
    with pytest.warns(UserWarning, match="keeps its rate limit by itself") as caught:
        slots = await asyncio.gather(*[limiter.acquire(100) for _ in range(4)])
    assert len(caught) == 1
    assert all(slot.server_time is None for slot in slots)
    slots[0].settle(30)
    assert [s.used for s in await limiter.status()] == [8, 730]

    server.stop()
    server.start()
    others = limiter_on(requests(10, 600.0), tokens(1000, 600.0))
    async with asyncio.timeout(PATIENCE):
        while [s.used for s in await others.status()] != [8, 730]:
            await asyncio.sleep(0.05)
    assert (await limiter.acquire(270)).server_time is not None
    assert [s.used for s in await others.status()] == [9, 1000]


async def test_a_redis_that_came_back_empty_is_told_what_was_started(
    server: RedisServer, limiter_on: Make
) -> None:
    limiter = limiter_on(requests(5, 600.0))
    await run_starts(limiter, 5)
    server.stop()
    server.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(limiter.acquire(), 0.5)
    assert [s.used for s in await limiter.status()] == [5]


async def test_an_outage_fails_requests_when_asked_to(
    server: RedisServer, limiter_on: Make, impatient: None
) -> None:
    limiter = limiter_on(requests(5, 600.0), on_outage="fail")
    await limiter.acquire()
    server.stop()
    for failed in await asyncio.gather(*[limiter.acquire() for _ in range(3)], return_exceptions=True):
        assert isinstance(failed, ModelUnavailable)
        assert f"127.0.0.1:{server.port}" in str(failed)
    with pytest.raises(ModelUnavailable):
        await limiter.acquire()
    server.start()
    await asyncio.sleep(0.4)
    await limiter.acquire()
    assert [s.used for s in await limiter.status()] == [2]


async def test_an_outage_ends_the_step_and_keeps_what_was_answered(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    """The unanswered questions do not become failures, or all of them would fail within a second."""
    monkeypatch.setenv("LLOOM_REDIS_ON_OUTAGE", "fail")
    replies = 0

    async def call(_: Model, prompt: str) -> str:
        nonlocal replies
        replies += 1
        if replies == 20:
            server.stop()
        return '{"bullets": ["is late"]}'

    model = Model("shared", fn=call, cost=0, rate_limit=(1000, 60), concurrency=2, redis_url=server.url)
    tasks = [SummarizeDocument(f"d{n}", f"The bus number {n} is late.") for n in range(200)]
    run, kept = Run(), dict[int, object]()
    with pytest.raises(ModelUnavailable, match=f"127.0.0.1:{server.port}"):
        await ask_all(model, tasks, run=run, on_answer=kept.__setitem__)
    assert 20 <= len(kept) == run.ledger.totals().answers < 200
    assert run.failures == []


@pytest.mark.parametrize("on_outage", ["local", "fail"])
async def test_a_refused_password_is_an_error_that_does_not_show_it(
    server: RedisServer, limiter_on: Make, on_outage: str
) -> None:
    server.ask("CONFIG", "SET", "requirepass", "right")
    url = server.url.replace("redis://", "redis://:hunter2@")
    with pytest.raises(ModelUnavailable, match="refuses this user") as refused:
        await limiter_on(requests(5, 60.0), url=url, on_outage=on_outage).acquire()
    assert "hunter2" not in str(refused.value)


# --- setting up ----------------------------------------------------------------------------------------


async def test_the_environment_can_name_redis(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLOOM_REDIS_URL", raising=False)
    assert shared_limiter([requests(5, 60.0)], key="k") is None
    monkeypatch.setenv("LLOOM_REDIS_URL", server.url)
    assert shared_limiter([], key="k") is None
    limiter = shared_limiter([requests(5, 60.0)], key=("provider", "model"))
    assert limiter is not None
    await limiter.acquire()
    assert [s.used for s in await limiter.status()] == [1]
    await limiter.aclose()


async def test_the_chapter_on_limits_runs_as_it_is_written(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLOOM_REDIS_URL", server.url)
    chapter = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "chapter"}
    lateness: list[float] = []
    for example in re.findall(r"^```python\n(.*?)^```$", chapter, re.DOTALL | re.MULTILINE):
        waiting = eval(compile(example, "limits.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        with Lateness() as late:
            if waiting is not None:
                await waiting
        lateness.append(late.worst)
    shown = capsys.readouterr().out
    n, seconds = shown.splitlines()[0].split()
    assert n == "50"
    assert 2.0 <= float(seconds) < 3.0 + 8 * lateness[0]
    assert "unit='tokens') 31000 169000 0.0 0" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [("LLOOM_REDIS_SHARE", "half"), ("LLOOM_REDIS_SHARE", "0"), ("LLOOM_REDIS_ON_OUTAGE", "x")],
)
def test_nonsense_in_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("LLOOM_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=repr(value) if value != "0" else "share=0"):
        shared_limiter([requests(5, 60.0)], key="k")


@pytest.mark.parametrize(
    "options",
    [{"url": "http://127.0.0.1"}, {"url": ""}, {"on_outage": "ignore"}, {"margin": -1.0}, {"share": 0}],
    ids=str,
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    pytest.importorskip("redis")
    monkeypatch.delenv("LLOOM_REDIS_URL", raising=False)
    with pytest.raises(InputError):
        SharedLimiter([requests(5, 60.0)], **{"url": "redis://127.0.0.1:1", "key": "k"} | options)


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingPackage, match=r"pip install 'text_lloom\[redis\]'"):
        SharedLimiter([requests(5, 60.0)], url="redis://127.0.0.1:1", key="k")


if __name__ == "__main__":
    warnings.simplefilter("error")
    print(json.dumps(asyncio.run(_work(json.loads(sys.argv[1])))))


async def test_models_with_the_same_name_share_a_limit_over_the_redis_that_they_name(
    server: RedisServer,
) -> None:
    """As two processes would: two event loops have two limiters, and one Redis between them."""

    starts: list[float] = []

    def reply(prompt: str) -> str:
        starts.append(time.monotonic())
        return prompt

    async def ask(n: int) -> None:
        model = FunctionModel(reply, name="shared", rate_limit=(3, 2), redis_url=server.url)
        asked = [as_messages(f"{n}: {i}") for i in range(3)]
        await call_all([model], asked, Call(None, 1, StepSettings(), None, Run()))
        limiter, _ = limiter_of(model)
        assert isinstance(limiter, SharedLimiter)
        await limiter.aclose()

    for n in range(2):
        await asyncio.to_thread(asyncio.run, ask(n))
    since_first = [at - starts[0] for at in starts]
    assert len(starts) == 6
    assert since_first[3] >= 1.95, "the other one's starts count"
    assert since_first[2] < since_first[3] - since_first[2], "the first three need not wait"
