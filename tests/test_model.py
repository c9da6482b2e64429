"""Models as users write them: every documented spelling, clear refusals, and no key anywhere."""

from __future__ import annotations

import asyncio
import copy
import functools
import os
import pickle
import subprocess
import sys
import traceback
from typing import Any

import numpy as np
import pytest

from text_lloom.errors import BadAnswer, InputError, ModelSetupError
from text_lloom.llm import Completion, EmbedModel, Model, ModelRequest, OpenAIEmbedModel, OpenAIModel
from text_lloom.llm.control.budget import Budget
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.dispatch.step_state import Run

KEY = "sk-proj-9fQ2LmVx7RtY4WbZ"


async def call(_: Model, prompt: str) -> tuple[str, tuple[int, int]]:
    return f"Summary of {prompt}", (12, 5)


def embed(_: EmbedModel, texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


def replying(returned: object) -> Model:
    async def fn(_: Model, prompt: str) -> object:
        return returned

    return Model("custom", None, fn, cost=0)


# --- what a call function may return -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "counts"),
    [
        (("late buses", (12, 5)), (12, 5)),
        (("late buses", [12, 5]), (12, 5)),
        (["late buses", [12, 5]], (12, 5)),
        (("late buses", np.array([12, 5])), (12, 5)),
        (("late buses", (np.int64(12), np.int32(5))), (12, 5)),
        (("late buses", (12.0, np.float32(5))), (12, 5)),
        (("late buses", (12, None)), (12, 0)),
        (("late buses", 12), (12, 0)),
        (("late buses", (0, 0)), (None, None)),
        (("late buses", [0, 0]), (None, None)),
        (("late buses", (None, None)), (None, None)),
        (("late buses", (float("nan"), float("nan"))), (None, None)),
        (("late buses", None), (None, None)),
        ("late buses", (None, None)),
        (Completion("late buses", 12, 5, "stop"), (12, 5)),
    ],
    ids=lambda value: repr(value)[:45],
)
async def test_text_and_tokens_are_taken_as_they_come(
    returned: object, counts: tuple[int | None, int | None]
) -> None:
    (reply,) = await replying(returned).call_many(["the comments"])
    assert isinstance(reply, Completion)
    assert reply.text == "late buses"
    assert (reply.in_tokens, reply.out_tokens) == counts


@pytest.mark.parametrize("returned", [None, (None, (1, 0)), 42, {"text": "late"}, ("late", (1, 1), "x")])
async def test_no_text_is_a_bad_answer(returned: object) -> None:
    (reply,) = await replying(returned).call_many(["the comments"])
    assert isinstance(reply, BadAnswer)
    assert "where text was expected" in str(reply)


async def test_the_call_function_sees_what_it_was_promised() -> None:
    seen: dict[str, object] = {}

    async def fn(model: Model, prompt: str) -> str:
        seen.update(name=model.name, client=model.client, args=model.args, cost=model.cost)
        seen.update(window=model.context_window)
        return prompt

    model = Model(
        "gemini-2.0-flash",
        lambda key: {"authorised": key == KEY},
        fn,
        api_key=KEY,
        context_window=1_000_000,
        cost=(0, 0),
        temperature=0.3,
        top_p=1,
    )
    await model.call_many(["a question"])
    assert seen == {
        "name": "gemini-2.0-flash",
        "client": {"authorised": True},
        "args": {"temperature": 0.3, "top_p": 1},
        "cost": (0, 0),
        "window": 1_000_000,
    }


@pytest.mark.parametrize("name", ["", "my model"])
async def test_a_name_and_a_client_are_not_needed(name: str) -> None:
    calls: list[object] = []

    def setup(key: object) -> None:
        calls.append(key)

    model = Model(name, setup, call, cost=0)
    await model.call_many(["one", "two", "three"])
    assert calls == [None]
    assert model.client is None


# --- prices and other arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "price"),
    [
        ((0.15e-6, 0.6e-6), (0.15e-6, 0.6e-6)),
        ([0.15e-6, 0.6e-6], (0.15e-6, 0.6e-6)),
        (2e-6, (2e-6, 2e-6)),
        ((2e-6,), (2e-6, 2e-6)),
        ((np.float32(0.0005), np.int64(0)), (pytest.approx(0.0005), 0.0)),
        (0, (0.0, 0.0)),
        (None, None),
    ],
    ids=repr,
)
def test_every_documented_cost_is_understood(cost: object, price: tuple[float, float] | None) -> None:
    assert Model("m", None, call, cost=cost).cost == price
    assert EmbedModel("m", None, embed, cost=cost).cost == price


@pytest.mark.parametrize(
    "argument",
    [
        {"cost": -1},
        {"cost": (1, -1)},
        {"cost": "cheap"},
        {"cost": True},
        {"cost": (1, 2, 3)},
        {"cost": ()},
        {"cost": float("nan")},
        {"cost": float("inf")},
        {"context_window": 0},
        {"context_window": "128k"},
        {"context_window": True},
        {"concurrency": 0},
        {"concurrency": -2},
        {"concurrency": 1.5},
        {"concurrency": "4"},
        {"timeout": 0},
        {"timeout": -5},
        {"timeout": "60"},
        {"rate_limit": (0, 10)},
        {"rate_limit": "often"},
        {"name": None},
        {"fn": "call"},
        {"fn": None},
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [Model, EmbedModel])
def test_nonsense_is_refused_when_the_model_is_made(kind: Any, argument: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        kind(**({"name": "m", "fn": call if kind is Model else embed} | argument))


@pytest.mark.parametrize("size", [0, -1, 2.5, "many", True, None], ids=repr)
def test_a_batch_has_at_least_one_text(size: Any) -> None:
    with pytest.raises(InputError, match="batch_size="):
        EmbedModel("m", None, embed, batch_size=size)


def test_numbers_of_numpy_are_numbers() -> None:
    model = Model("m", None, call, context_window=np.int64(8000), concurrency=np.int32(3))
    assert (model.context_window, model.limit.concurrency) == (8000, 3)


# --- setting up ----------------------------------------------------------------------------------------


async def test_a_setup_function_that_fails_is_explained_without_the_key() -> None:
    def setup(key: str) -> object:
        raise ValueError(f"invalid key {key!r}")

    model = Model("mine", setup, call, api_key=KEY, cost=0)
    (reply,) = await model.call_many(["a question"])
    assert isinstance(reply, ModelSetupError)
    assert "setup function of model 'mine' failed with ValueError: invalid key" in str(reply)
    assert KEY not in "".join(traceback.format_exception(reply))


def test_an_async_setup_function_is_refused_with_what_is_wanted() -> None:
    async def setup(_: object) -> None: ...

    with pytest.raises(ModelSetupError, match="must be a plain function"):
        _ = Model("mine", setup, call).client


async def test_models_that_come_from_one_maker_share_nothing_but_their_limits() -> None:
    def made(word: str) -> Model:
        async def fn(_: Model, prompt: str) -> str:
            return word

        return Model("", None, fn, cost=0)

    first, second = made("late"), made("early")
    replies = [*(await first.call_many(["a"])), *(await second.call_many(["a"]))]
    assert [r.text for r in replies if isinstance(r, Completion)] == ["late", "early"]


async def test_a_model_can_be_a_subclass() -> None:
    class Shouting(Model):
        async def complete(self, request: ModelRequest) -> Completion:
            return Completion(request.prompt.upper(), 1, 1)

    (reply,) = await Shouting("loud", cost=0).call_many(["late"])
    assert isinstance(reply, Completion)
    assert (reply.text, reply.in_tokens, reply.out_tokens, reply.usd) == ("LATE", 1, 1, 0)


def test_bound_arguments_tell_call_functions_apart_in_every_process() -> None:
    async def fn(model: Model, prompt: str, temperature: float) -> str:
        return prompt

    warm, cold, again = (Model("m", None, functools.partial(fn, temperature=t)) for t in (1.0, 0.0, 1.0))
    assert warm.provider_key == again.provider_key != cold.provider_key
    assert "0x" not in warm.provider_key


def test_what_a_call_function_does_is_told_alike_in_every_process() -> None:
    script = """
async def fn(model, prompt):
    return prompt in {"late", "early", "never", "often", "always"}
from text_lloom.llm import Model
print(Model("m", None, fn).provider_key)
"""
    keys = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(keys) == 1


# --- keys ----------------------------------------------------------------------------------------------


def keyed() -> list[Any]:
    return [
        Model("m", lambda key: object(), call, api_key=KEY, rate_limit=(3, 1), cost=(1e-6, 2e-6)),
        EmbedModel("m", lambda key: object(), embed, api_key=KEY),
        OpenAIModel("gpt-4o-mini", api_key=KEY),
        OpenAIEmbedModel(api_key=KEY),
    ]


@pytest.mark.parametrize("model", keyed(), ids=lambda model: type(model).__name__)
def test_the_key_shows_nowhere(model: Any) -> None:
    assert model.api_key == KEY
    _ = model.client
    shown = [repr(model), str(model), f"{model}", repr(vars(model)), repr(model.limiter_key)]
    assert not any(KEY in text for text in shown)
    assert type(model).__name__ in repr(model)


@pytest.mark.parametrize("model", keyed(), ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_model_is_never_copied_into_a_file(model: Any, copying: Any) -> None:
    with pytest.raises(TypeError, match="holds an API key"):
        copying(model)


async def test_a_traceback_from_a_call_function_has_no_key() -> None:
    async def fn(model: Model, prompt: str) -> str:
        raise RuntimeError(f"401 for url https://api.example.com/v1?key={model.api_key}")

    from text_lloom.llm import RetryPolicy
    from text_lloom.llm.ask import ask_all
    from text_lloom.tasks import SummarizeDocument

    run = Run(policy=RetryPolicy(attempts=2, base=0.001), budget=Budget(1))
    before = allow_paid_calls(True)
    try:
        model = Model("m", None, fn, api_key=KEY, cost=1e-6)
        (failure,) = await ask_all(model, [SummarizeDocument(1, "The bus is late.")], run=run)
    finally:
        allow_paid_calls(before)
    assert "key=***" in failure.reason  # type: ignore[union-attr]
    assert KEY not in repr(failure) + repr(run)


# --- limits --------------------------------------------------------------------------------------------


async def test_models_with_one_name_key_and_function_share_a_limit() -> None:
    starts: list[float] = []

    async def fn(_: Model, prompt: str) -> str:
        starts.append(asyncio.get_running_loop().time())
        return prompt

    models = [Model("shared", None, fn, rate_limit=(3, 0.4), cost=0) for _ in range(2)]
    await asyncio.gather(*(model.call_many(["a", "b", "c"], cache=False) for model in models))
    assert len(starts) == 6
    assert starts[3] - starts[0] > 0.2, (
        "the window is 0.4 s; calls begin some time after their start is granted"
    )


async def test_concurrency_bounds_the_calls_in_flight() -> None:
    busy, most = 0, 0

    async def fn(_: Model, prompt: str) -> str:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.005)
        busy -= 1
        return prompt

    await Model("m", None, fn, cost=0, concurrency=3).call_many([str(n) for n in range(20)])
    assert most == 3
