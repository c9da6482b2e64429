"""Rate limits and concurrency, in virtual time: what may be written, and that it is kept exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import limits
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.virtual_time import in_virtual_time
from text_lloom.errors import InputError
from text_lloom.llm.control.concurrency import AdaptiveConcurrency
from text_lloom.llm.control.rate_limits import Limiter, RateLimit, Window, parse_rate_limit


def now() -> float:
    return asyncio.get_running_loop().time()


def requests(amount: int, seconds: float) -> Window:
    return Window(amount, seconds, "requests")


def tokens(amount: int, seconds: float) -> Window:
    return Window(amount, seconds, "tokens")


def most_in_any_window(starts: Sequence[tuple[float, int]], window: Window) -> int:
    """The largest sum of weights in any half-open window of that length; it begins with some start."""
    weights = [(at, 1 if window.unit == "requests" else weight) for at, weight in starts]
    return max(
        (sum(w for at, w in weights if begin <= at < begin + window.seconds) for begin, _ in weights),
        default=0,
    )


# --- what a user may write -----------------------------------------------------------------------------

SPELLINGS = {
    "pair": ((300, 10), [requests(300, 10)]),
    "list": ([300, 10], [requests(300, 10)]),
    "numpy-integers": ((np.int64(300), np.int32(10)), [requests(300, 10)]),
    "fraction-of-a-second": ((5, 0.5), [requests(5, 0.5)]),
    "slash": ("300/10 seconds", [requests(300, 10)]),
    "per-minute": ("100 per minute", [requests(100, 60)]),
    "joined": ("1/second; 5/minute", [requests(1, 1), requests(5, 60)]),
    "several-pairs": ([(10, 1), (300, 60)], [requests(10, 1), requests(300, 60)]),
    "text-and-pair": (["10/second", (300, 60)], [requests(10, 1), requests(300, 60)]),
    "limits-item": (limits.RateLimitItemPerMinute(20, 2), [requests(20, 120)]),
    "limits-items": (
        [limits.RateLimitItemPerSecond(2), limits.RateLimitItemPerHour(90)],
        [requests(2, 1), requests(90, 3600)],
    ),
    "requests-and-tokens": (
        {"requests": (500, 60), "tokens": "30000 per minute"},
        [requests(500, 60), tokens(30_000, 60)],
    ),
    "none": (None, []),
}


@pytest.mark.parametrize(("spec", "windows"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_documented_spelling_is_understood(spec: object, windows: list[Window]) -> None:
    assert parse_rate_limit(spec) == RateLimit(tuple(windows), None)


def test_concurrency_can_be_part_of_the_limit() -> None:
    assert parse_rate_limit({"requests": (5, 1), "concurrency": np.int64(4)}) == RateLimit(
        (requests(5, 1),), 4
    )


@pytest.mark.parametrize(
    "spec",
    [
        (0, 10),
        (-3, 10),
        (300, 0),
        (300, -1),
        (float("nan"), 10),
        (10, float("inf")),
        (True, 10),
        True,
        300,
        (),
        "",
        "fast",
        "300 per fortnight",
        "0/second",
        "5 per 0 seconds",
        "-5/second",
        b"ab",
        {"requests": 300},
        {"request": (300, 10)},
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": 2.5},
        {"concurrency": "4"},
    ],
    ids=repr,
)
def test_nonsense_is_refused_with_what_was_given(spec: object) -> None:
    with pytest.raises(InputError) as refused:
        parse_rate_limit(spec)
    given = [*spec, *spec.values()] if isinstance(spec, dict) else [spec]
    assert any(f"{part!r}" in str(refused.value) for part in given)


def test_a_list_of_bare_numbers_is_refused() -> None:
    with pytest.raises(InputError, match=r"rate_limit=1: expected \(requests, seconds\)"):
        parse_rate_limit((1, 2, 3))


def test_an_unknown_key_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'rpm'.*requests, tokens, concurrency"):
        parse_rate_limit({"rpm": 300})


# --- the limiter ---------------------------------------------------------------------------------------

amounts = st.integers(1, 6)
seconds = st.sampled_from([0.25, 1.0, 3.0, 10.0])
window_lists = st.lists(
    st.one_of(
        st.builds(requests, amounts, seconds),
        st.builds(tokens, st.integers(10, 40), seconds),
    ),
    min_size=1,
    max_size=3,
)
callers = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.9, 4.0]),  # seconds after the caller before
        st.integers(1, 10),  # tokens reserved
        st.sampled_from([0.0, 0.2, 2.5]),  # seconds until the reply
        st.floats(0, 1),  # share of the tokens that was used
        st.sampled_from([None, None, None, 0.0, 0.3, 5.0]),  # seconds until it is cancelled
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(window_lists, callers)
def test_no_window_is_ever_passed_and_everyone_patient_is_served_in_turn(
    windows: list[Window], plan: list[tuple[float, int, float, float, float | None]]
) -> None:
    came: list[int] = []
    started: dict[int, float] = {}
    weights: dict[int, int] = {}
    gave_up: set[int] = set()

    async def call(limiter: Limiter, n: int, weight: int, latency: float, used: float) -> None:
        came.append(n)
        slot = await limiter.acquire(weight)
        started[n], weights[n] = now(), weight
        await asyncio.sleep(latency)
        weights[n] = int(used * weight)
        slot.settle(weights[n])

    async def caller(limiter: Limiter, n: int, arrives: float, spec: tuple[Any, ...]) -> None:
        _, weight, latency, used, patience = spec
        await asyncio.sleep(arrives)
        work = asyncio.create_task(call(limiter, n, weight, latency, used))
        if patience is not None:
            await asyncio.sleep(patience)
            if n not in started:
                gave_up.add(n)
                work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def main() -> None:
        limiter = Limiter(windows)
        arrives, group = 0.0, []
        for n, spec in enumerate(plan):
            arrives += spec[0]
            group.append(caller(limiter, n, arrives, spec))
        await asyncio.gather(*group)

    in_virtual_time(main())

    starts = [(started[n], weights[n]) for n in started]
    for window in windows:
        assert most_in_any_window(starts, window) <= window.amount
    in_turn = [started[n] for n in came if n in started]
    assert in_turn == sorted(in_turn)
    assert set(started) | gave_up == set(range(len(plan)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 40),
    st.sampled_from([0.5, 1.0, 10.0]),
    st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200),
)
def test_nothing_else_is_waited_for(n: int, secs: float, latencies: list[float]) -> None:
    async def call(limiter: Limiter, latency: float) -> None:
        await limiter.acquire()
        await asyncio.sleep(latency)

    async def main() -> float:
        limiter = Limiter([requests(n, secs)])
        began = now()
        await asyncio.gather(*(call(limiter, latency) for latency in latencies))
        return now() - began

    least = max(i // n * secs + latency for i, latency in enumerate(latencies))
    assert in_virtual_time(main()) <= 1.05 * least + 0.01


def test_unused_tokens_go_to_the_next_request_as_soon_as_they_are_known() -> None:
    async def main() -> tuple[float, float]:
        limiter = Limiter([tokens(1000, 60)], margin=0.0)
        first = await limiter.acquire(900)
        began = now()
        second = asyncio.create_task(limiter.acquire(600))
        await asyncio.sleep(2)
        assert not second.done()
        first.settle(300)
        await second
        return began, now()

    began, second_at = in_virtual_time(main())
    assert second_at - began == pytest.approx(2, abs=0.01)


def test_tokens_used_beyond_the_reserved_ones_delay_the_next_request() -> None:
    async def main() -> float:
        limiter = Limiter([tokens(1000, 60)], margin=0.0)
        began = now()
        (await limiter.acquire(400)).settle(900)
        await limiter.acquire(400)
        return now() - began

    assert 60 <= in_virtual_time(main()) < 60.1


def test_a_late_report_on_an_old_request_changes_nothing() -> None:
    async def main() -> float:
        limiter = Limiter([tokens(100, 1)])
        old = await limiter.acquire(100)
        await asyncio.sleep(5)
        await limiter.acquire(100)
        old.settle(1)
        began = now()
        await limiter.acquire(100)
        return now() - began

    assert 1 <= in_virtual_time(main()) < 1.1


def test_a_request_that_could_never_start_is_refused_at_once() -> None:
    async def main() -> None:
        limiter = Limiter([requests(5, 1), tokens(8_000, 60)])
        with pytest.raises(InputError, match=r"9,500 tokens.*8,000 tokens per 60 s"):
            await limiter.acquire(9_500)
        assert limiter.status(now())[0].used == 0

    in_virtual_time(main())


def test_cancelling_one_who_was_just_granted_a_start_gives_it_to_the_next() -> None:
    async def main() -> float:
        limiter = Limiter([requests(1, 10)], margin=0.0)
        await limiter.acquire()
        began = now()
        second = asyncio.create_task(limiter.acquire())
        third = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(began + 10, second.cancel)  # right after the grant
        await third
        assert second.cancelled()
        return now() - began

    assert in_virtual_time(main()) == pytest.approx(10)


def test_cancelling_those_who_wait_loses_no_capacity() -> None:
    async def main() -> list[float]:
        limiter = Limiter([requests(2, 10)], margin=0.0)
        began = now()
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(9)]
        await asyncio.sleep(1)
        for task in waiting[2:7]:
            task.cancel()
        at = []
        for task in waiting[7:]:
            await task
            at.append(now() - began)
        return at

    assert in_virtual_time(main()) == pytest.approx([10, 10])


def test_a_pause_stops_everyone_for_that_long() -> None:
    async def main() -> list[float]:
        limiter = Limiter([requests(100, 1)])
        began = now()
        await limiter.acquire()
        limiter.pause(7)
        limiter.pause(3)  # a shorter one does not shorten it
        await asyncio.gather(*(limiter.acquire() for _ in range(3)))
        return [now() - began]

    assert in_virtual_time(main()) == pytest.approx([7], abs=0.01)


def test_a_pause_counts_without_any_limit_too() -> None:
    async def main() -> float:
        limiter = Limiter([])
        began = now()
        limiter.pause(4)
        await limiter.acquire()
        return now() - began

    assert in_virtual_time(main()) == pytest.approx(4)


def test_the_status_says_what_is_left_and_when_more_is_free() -> None:
    async def main() -> None:
        limiter = Limiter([requests(3, 10), tokens(100, 60)], margin=0.0)
        await limiter.acquire(30)
        await asyncio.sleep(2)
        await limiter.acquire(70)
        by_request, by_token = limiter.status(now())
        assert (by_request.used, by_request.remaining, by_request.seconds_until_free) == (2, 1, 0)
        assert (by_token.used, by_token.remaining) == (100, 0)
        assert by_token.seconds_until_free == pytest.approx(58, abs=0.01)

    in_virtual_time(main())


# --- adaptive concurrency ------------------------------------------------------------------------------


async def _hold(controller: AdaptiveConcurrency, seconds: float) -> None:
    async with controller:
        await asyncio.sleep(seconds)
        controller.succeeded()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_fixed_concurrency_is_never_exceeded(concurrency: int) -> None:
    peaks = []

    async def one(controller: AdaptiveConcurrency) -> None:
        async with controller:
            peaks.append(controller.in_flight)
            await asyncio.sleep(1)
            controller.succeeded()

    async def main() -> float:
        controller = AdaptiveConcurrency(concurrency)
        began = now()
        await asyncio.gather(*(one(controller) for _ in range(7)))
        return now() - began

    took = in_virtual_time(main())
    assert max(peaks) == concurrency
    assert took == pytest.approx(-(-7 // concurrency))


def test_concurrency_grows_while_it_is_used() -> None:
    async def main() -> tuple[int, int]:
        controller = AdaptiveConcurrency(ceiling=200)
        before = controller.limit
        await asyncio.gather(*(_hold(controller, 1) for _ in range(1000)))
        return before, controller.limit

    before, after = in_virtual_time(main())
    assert before < after <= 200


def test_concurrency_does_not_grow_when_it_is_not_needed() -> None:
    async def main() -> tuple[int, int]:
        controller = AdaptiveConcurrency()
        before = controller.limit
        for _ in range(300):
            await asyncio.gather(*(_hold(controller, 1) for _ in range(3)))
        return before, controller.limit

    before, after = in_virtual_time(main())
    assert after == before


def test_overload_cuts_once_per_episode_and_growth_is_slow_afterwards() -> None:
    async def main() -> None:
        controller = AdaptiveConcurrency()
        before = controller.limit
        for _ in range(20):
            controller.overloaded(2.0)
        once = controller.limit
        assert 0.7 * before < once < before
        await asyncio.sleep(60)
        controller.overloaded()
        assert controller.limit < once
        at = controller.limit
        await asyncio.sleep(60)
        await asyncio.gather(*(_hold(controller, 1) for _ in range(3 * at)))
        assert at < controller.limit <= at + 3

    in_virtual_time(main())


def test_a_fixed_concurrency_is_not_cut() -> None:
    async def main() -> int:
        controller = AdaptiveConcurrency(4)
        controller.overloaded(1.0)
        return controller.limit

    assert in_virtual_time(main()) == 4


def test_cancelling_while_waiting_frees_the_place() -> None:
    async def main() -> None:
        controller = AdaptiveConcurrency(1)
        tasks = [asyncio.create_task(_hold(controller, 1)) for _ in range(6)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()  # waits
        tasks[0].cancel()  # holds
        await asyncio.sleep(0)
        tasks[2].cancel()  # may just have been admitted
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [task.cancelled() for task in tasks] == [True] * 3 + [False] * 3
        assert controller.in_flight == 0

    in_virtual_time(main())


def test_a_start_counts_from_the_moment_at_which_the_request_left() -> None:
    """Connecting takes time, so the window starts when the request is really sent."""

    async def main() -> list[float]:
        limiter, began = Limiter([requests(2, 10)], margin=0.0), now()
        slots = [await limiter.acquire() for _ in range(2)]
        await asyncio.sleep(3)
        for slot in slots:
            slot.sent()
        await limiter.acquire()
        return [now() - began]

    assert in_virtual_time(main()) == pytest.approx([13])


def test_the_ceiling_of_adaptation_can_be_set() -> None:
    assert parse_rate_limit({"ceiling": 12}) == RateLimit((), None, 12)

    async def main() -> int:
        return AdaptiveConcurrency(ceiling=12).limit

    assert in_virtual_time(main()) == 12
    with pytest.raises(InputError, match="ceiling"):
        parse_rate_limit({"ceiling": 0})
