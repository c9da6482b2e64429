"""Embedding many texts: order, batches, blank and equal texts, and functions of every kind."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.crowd import PATIENCE
from text_lloom.errors import InputError, StepFailed
from text_lloom.llm import Embeddings, EmbedModel, LocalEmbedModel, LocalModel, RetryPolicy
from text_lloom.llm.cache import open_journal
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import VectorReader, embed_all
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.testing import HashEmbedModel

TEXTS = [
    "The 40 bus is late every morning",
    "Cars park in the bike lane",
    "Fares went up again",
    "My bus was cancelled twice",
    "A monthly ticket costs too much",
]


def vector(text: str) -> list[float]:
    return [float(len(text)), float(text.count("a")), 1.0]


EXPECTED = np.array([vector(text) for text in TEXTS], np.float32)


def quick() -> Run:
    return Run(policy=RetryPolicy(attempts=2, base=0.001))


def listed(_: EmbedModel, texts: list[str]) -> object:
    return [vector(text) for text in texts]


def with_tokens(_: EmbedModel, texts: list[str]) -> object:
    return [vector(text) for text in texts], np.int64(40)


def as_array(_: EmbedModel, texts: list[str]) -> object:
    return np.array([vector(text) for text in texts], np.float64), 40


def as_pair_in_a_list(_: EmbedModel, texts: list[str]) -> object:
    return [[vector(text) for text in texts], [40, 0]]


def as_tuple_of_vectors(_: EmbedModel, texts: list[str]) -> object:
    return tuple(np.array(vector(text)) for text in texts)


async def awaited(_: EmbedModel, texts: list[str]) -> object:
    await asyncio.sleep(0.001)
    return [vector(text) for text in texts], 40


async def blocking_inside(_: EmbedModel, texts: list[str]) -> object:
    time.sleep(0.03)
    return Embeddings(np.array([vector(text) for text in texts], np.float32), 40)


def one_text(_: EmbedModel, text: Any) -> object:
    return vector(text.replace("\n", " ")), 8


def one_text_as_a_row(_: EmbedModel, text: Any) -> object:
    return np.array([vector(text if isinstance(text, str) else text[0])]), (8, 0)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 2048])
@pytest.mark.parametrize(
    "fn",
    [
        listed,
        with_tokens,
        as_array,
        as_pair_in_a_list,
        as_tuple_of_vectors,
        awaited,
        blocking_inside,
        one_text,
        one_text_as_a_row,
    ],
    ids=lambda fn: fn.__name__,
)
async def test_functions_of_every_kind_give_the_same_vectors(fn: Any, batch_size: int) -> None:
    model = EmbedModel("m", None, fn, batch_size=batch_size, cost=0)
    vectors = await run_async(embed_all(model, TEXTS, run=quick()))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, EXPECTED)


async def test_equal_texts_are_embedded_once_and_blank_ones_never() -> None:
    seen: list[str] = []

    def fn(_: EmbedModel, texts: list[str]) -> object:
        seen.extend(texts)
        return [vector(text) for text in texts]

    texts = ["late bus", "", "late bus", "  \n", "bike lane", "late bus"]
    vectors = await embed_all(EmbedModel("m", None, fn, cost=0), texts, run=quick())
    assert seen == ["late bus", "bike lane"]
    assert vectors[[1, 3]].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert vectors[[0, 2, 5]].tolist() == [vector("late bus")] * 3


async def test_texts_that_are_all_blank_are_zeros_and_cost_nothing() -> None:
    run = quick()
    vectors = await embed_all(HashEmbedModel(), ["", " ", "\t"], run=run)
    assert vectors.shape == (3, 1)
    assert not vectors.any()
    assert len(run.ledger) == 0
    assert (await embed_all(HashEmbedModel(), [], run=run)).shape == (0, 1)


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (lambda m, texts: [vector(t) for t in texts][:-1] or [], "neither one vector per text nor one"),
        (lambda m, texts: [[1.0, float("nan")] for _ in texts], "not finite numbers"),
        (lambda m, texts: [[1.0, float("inf")] for _ in texts], "not finite numbers"),
        (lambda m, texts: None, "neither one vector per text nor one"),
        (lambda m, texts: [[] for _ in texts], "neither one vector per text nor one"),
        (lambda m, texts: m.nothing, "AttributeError"),
    ],
    ids=["too few", "nan", "infinity", "nothing", "no dimensions", "broken"],
)
async def test_what_are_no_vectors_is_refused(fn: Any, reason: str) -> None:
    model = EmbedModel("broken-embedder", None, fn, cost=0)
    with pytest.raises(StepFailed, match=f"cluster: the texts could not be embedded.*{reason}"):
        await embed_all(model, TEXTS, run=quick())


async def test_vectors_of_different_lengths_are_refused() -> None:
    def fn(_: EmbedModel, texts: list[str]) -> object:
        return [[1.0] * (2 + ("bus" in texts[0])) for _ in texts]

    model = EmbedModel("m", None, fn, batch_size=1, cost=0)
    with pytest.raises(StepFailed, match=r"different lengths: \[2, 3\]"):
        await embed_all(model, TEXTS, run=quick())


async def test_transient_errors_are_tried_again_for_the_batch_that_failed() -> None:
    calls: list[tuple[str, ...]] = []

    def fn(_: EmbedModel, texts: list[str]) -> object:
        calls.append(tuple(texts))
        if len(calls) == 2:
            raise ConnectionResetError("peer")
        return [vector(text) for text in texts]

    model = EmbedModel("m", None, fn, batch_size=2, cost=0)
    np.testing.assert_array_equal(await embed_all(model, TEXTS, run=quick()), EXPECTED)
    assert len(calls) == 4
    assert sorted(len(call) for call in calls) == [1, 2, 2, 2]


@pytest.mark.parametrize("concurrency", [None, 3])
async def test_calls_come_one_at_a_time_unless_more_are_allowed(concurrency: int | None) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def fn(_: EmbedModel, texts: list[str]) -> object:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.03)
        with lock:
            busy -= 1
        return [vector(text) for text in texts]

    model = EmbedModel("m", None, fn, batch_size=1, cost=0, concurrency=concurrency)
    await embed_all(model, [f"Ticket {n}" for n in range(9)], run=quick())
    assert most == (concurrency or 1)


async def test_a_function_of_one_text_keeps_the_rate_limit() -> None:
    starts: list[float] = []

    def fn(_: EmbedModel, text: Any) -> object:
        text.lower()  # a list has none
        starts.append(time.monotonic())
        return vector(text)

    model = EmbedModel("m", None, fn, cost=0, rate_limit=(2, 0.3), concurrency=5)
    run = quick()
    np.testing.assert_array_equal(await embed_all(model, TEXTS, run=run), EXPECTED)
    starts.sort()
    assert len(starts) == 5
    assert all(late - early > 0.29 for early, late in zip(starts, starts[2:], strict=False))
    assert sum(a.outcome == "answer" for a in run.ledger.attempts) == 5


async def test_batches_respect_a_token_limit() -> None:
    model = HashEmbedModel(rate_limit={"tokens": (60, 0.2)})
    texts = [f"Ticket {n}: fares went up again and the service got worse" for n in range(12)]
    run = quick()
    vectors = await embed_all(model, texts, run=run)
    assert vectors.any(axis=1).all()
    assert len(run.ledger) >= 3

    with pytest.raises(InputError, match="limit of 60 tokens"):
        await embed_all(model, ["so many words " * 50], run=run)


async def test_a_text_longer_than_the_window_is_cut() -> None:
    seen: list[str] = []

    def fn(_: EmbedModel, texts: list[str]) -> object:
        seen.extend(texts)
        return [vector(text) for text in texts]

    model = EmbedModel("m", None, fn, cost=0, context_window=50)
    with pytest.warns(UserWarning, match=r"1 text was longer than the 50 tokens that 'm' takes"):
        await embed_all(model, ["The bus is late. " * 100, "Short."], run=quick())
    assert seen[1] == "Short."
    assert seen[0].startswith("The bus is late.")
    assert 20 < model.count_tokens(seen[0]) <= 50


async def test_a_failure_stops_the_other_batches() -> None:
    calls = 0

    async def fn(_: EmbedModel, texts: list[str]) -> object:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        raise NameError("name 'np' is not defined")

    model = EmbedModel("m", None, fn, cost=0, batch_size=1, concurrency=2)
    with pytest.raises(StepFailed, match="NameError: name 'np' is not defined"):
        await embed_all(model, [f"Ticket {n}" for n in range(50)], run=quick())
    seen = calls
    await asyncio.sleep(0.05)
    assert calls == seen <= 4


class Refusal(Exception):
    status_code = 400


@pytest.mark.parametrize("one_by_one", [False, True], ids=["batches", "text by text"])
@pytest.mark.parametrize("limited", [False, True], ids=["no limit", "under a limit"])
async def test_what_is_in_flight_when_a_batch_is_refused_is_kept(
    tmp_path: Path, one_by_one: bool, limited: bool
) -> None:
    """Three calls are out, and paid for, when the fourth is refused; those that wait are not made."""
    replied = list[str]()
    is_refused = asyncio.Event()

    async def call(_: EmbedModel, texts: str | list[str]) -> object:
        if one_by_one and not isinstance(texts, str):
            raise TypeError("one text, please")
        text = texts if isinstance(texts, str) else texts[0]
        if text == TEXTS[3]:
            is_refused.set()
            raise Refusal("This text cannot be embedded.")
        await is_refused.wait()
        await asyncio.sleep(0.02)
        replied.append(text)
        return vector(text) if one_by_one else [vector(text)]

    size = len(TEXTS) if one_by_one else 1
    rate_limit = (4 + one_by_one, 3600) if limited else None
    journal = open_journal(tmp_path / "kept.sqlite")
    model = EmbedModel("m", None, call, batch_size=size, cost=0, concurrency=4, rate_limit=rate_limit)
    async with asyncio.timeout(PATIENCE):  # the next start would be in an hour
        with pytest.raises(StepFailed, match="cannot be embedded"):
            await embed_all(model, TEXTS, run=Run(policy=RetryPolicy(attempts=1), vectors=journal))
    assert replied == TEXTS[:3]
    assert list(await VectorReader(model).kept(TEXTS, Run(vectors=journal))) == TEXTS[:3]


async def test_progress_is_told_per_batch() -> None:
    events: list[object] = []

    class Told:
        def start(self, step: str, total: int) -> None:
            events.append((step, total))

        def advance(self, n: int = 1) -> None:
            events.append(n)

        def finish(self) -> None:
            events.append("finish")

    run = quick()
    run.progress = Told()
    await embed_all(EmbedModel("m", None, one_text, batch_size=3, cost=0), TEXTS, run=run)
    assert events == [("cluster", 2), 1, 1, "finish"]


async def test_texts_that_are_all_alike_are_embedded_without_a_warning() -> None:
    texts = [f"The bus {n} is late again and nobody says why it is so." for n in range(6)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = await run_async(embed_all(LocalEmbedModel(LocalModel(texts)), texts, run=quick()))
    assert np.isfinite(found).all()
