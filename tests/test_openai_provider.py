"""OpenAI's protocol against a test server with limits, faults and deviations."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.fake_provider.fixtures import FakeProvider, fake_provider, fake_provider_process
from text_lloom.errors import AuthenticationFailed, ModelNotFound, ModelSetupError, StepFailed
from text_lloom.llm import Completion, Failure, OpenAIEmbedModel, OpenAIModel, RetryPolicy
from text_lloom.llm.ask import ask_all
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import embed_all
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.tasks import SummarizeDocument

__all__ = ["fake_provider", "fake_provider_process"]


def model_of(provider: FakeProvider, name: str = "gpt-4o-mini", **settings: Any) -> OpenAIModel:
    settings = {"api_key": provider.api_key, "cost": 0, **settings}
    return OpenAIModel(name, base_url=provider.base_url, **settings)


def questions(n: int) -> list[SummarizeDocument]:
    return [
        SummarizeDocument(i, f"Bus line {i} was late again, and we waited in the rain.") for i in range(n)
    ]


def quick(**settings: Any) -> Run:
    return Run(policy=RetryPolicy(base=0.005, longest=0.05), **settings)


async def ask(model: OpenAIModel, n: int, run: Run | None = None) -> list[Any]:
    return list(await run_async(ask_all(model, questions(n), run=run or quick())))


async def test_questions_are_answered_with_tokens_as_billed(fake_provider: FakeProvider) -> None:
    run = quick()
    answers = await ask(model_of(fake_provider), 20, run)
    assert all("Bus line" in " ".join(answer) or answer for answer in answers)
    assert not any(isinstance(answer, Failure) for answer in answers)
    stats = fake_provider.stats()
    assert stats.paid == 20
    totals = run.ledger.totals()
    assert totals.in_tokens == sum(entry.in_tokens for entry in stats.requests)
    assert totals.out_tokens == sum(entry.out_tokens for entry in stats.requests)


async def test_a_table_is_complete_in_spite_of_many_faults(fake_provider: FakeProvider) -> None:
    fake_provider.control(p_500=0.2, p_429=0.1, p_malformed=0.05, p_drop=0.02, fault_attempts=3, seed=4)
    run = quick()
    answers = await ask(model_of(fake_provider), 80, run)
    failed = [answer for answer in answers if isinstance(answer, Failure)]
    assert all(failure.kind == "BadAnswer" for failure in failed)
    assert failed == run.failures
    assert len(failed) <= 4
    assert all(answer for answer in answers)
    assert len(run.ledger) == len(fake_provider.stats().requests) > 100


async def test_a_rate_limit_is_kept_as_the_server_sees_it(fake_provider: FakeProvider) -> None:
    await ask(model_of(fake_provider), 1)
    fake_provider.reset()
    await ask(model_of(fake_provider, rate_limit=(15, 0.4)), 40)
    stats = fake_provider.stats()
    assert stats.outcome("answered") == 40
    assert stats.window_violations(15, 0.4, slack=0.05) == 0
    assert stats.arrivals()[-1] - stats.arrivals()[0] < 1.5


@pytest.mark.parametrize("accepted", ["any", "json_object", "none"])
async def test_servers_that_know_fewer_answer_formats_are_served(
    fake_provider: FakeProvider, accepted: str
) -> None:
    fake_provider.control(response_format=accepted)
    answers = await ask(model_of(fake_provider, concurrency=2), 10)
    assert not any(isinstance(answer, Failure) for answer in answers)
    assert len(fake_provider.stats().requests) <= 10 + 2 * 2


@pytest.mark.parametrize("accepted", ["json_object", "none"])
async def test_a_refused_form_is_an_attempt_with_a_start_and_a_row_of_its_own(
    fake_provider: FakeProvider, accepted: str
) -> None:
    await ask(model_of(fake_provider), 1)
    fake_provider.reset()
    fake_provider.control(response_format=accepted)
    run = quick()
    answers = await ask(model_of(fake_provider, rate_limit=(10, 0.5)), 30, run)
    assert not any(isinstance(answer, Failure) for answer in answers)
    stats = fake_provider.stats()
    assert stats.window_violations(10, 0.5, slack=0.15) == 0
    assert len(run.ledger) == len(stats.requests) > 30


async def test_a_wrong_key_ends_the_step_without_being_shown(fake_provider: FakeProvider) -> None:
    key = "no-such-key-5T8rVbNm31"
    with pytest.raises(AuthenticationFailed, match="Check the API key") as refused:
        await ask(model_of(fake_provider, api_key=key), 5)
    assert key not in str(refused.value)
    assert fake_provider.stats().paid == 0


async def test_a_model_that_is_not_there_is_named(fake_provider: FakeProvider) -> None:
    fake_provider.control(missing_models=["gpt-5o"])
    with pytest.raises(ModelNotFound, match="'gpt-5o'"):
        await ask(model_of(fake_provider, "gpt-5o"), 5)


async def test_a_server_that_is_not_there_stops_the_step() -> None:
    model = OpenAIModel("m", api_key="sk-test", base_url="http://127.0.0.1:9/v1", cost=0)
    run = Run(policy=RetryPolicy(attempts=2, base=0.001))
    with pytest.raises(StepFailed, match="could not be reached"):
        await ask(model, 20, run)


async def test_a_long_document_is_cut_until_the_server_takes_it(fake_provider: FakeProvider) -> None:
    fake_provider.control(context_window=700)
    run = quick()
    task = SummarizeDocument("long", "Bus line 9 was late again, and we waited in the rain. " * 400)
    (answer,) = await run_async(ask_all(model_of(fake_provider), [task], run=run))
    assert not isinstance(answer, Failure)
    assert run.cut == {"distill_summarize": ["long"]}


async def test_a_reply_that_was_cut_off_is_never_an_answer(fake_provider: FakeProvider) -> None:
    fake_provider.control(p_length=1.0)
    answers = await ask(model_of(fake_provider), 3)
    assert [isinstance(a, Failure) and "cut off" in a.reason for a in answers] == [True] * 3


async def test_a_hanging_request_is_given_up(fake_provider: FakeProvider) -> None:
    fake_provider.control(p_hang=1.0, hang_seconds=3.0, fault_attempts=1)
    answers = await ask(model_of(fake_provider, timeout=0.3), 3)
    assert not any(isinstance(answer, Failure) for answer in answers)


def test_one_model_serves_several_asyncio_runs(fake_provider: FakeProvider) -> None:
    model = model_of(fake_provider)
    for _ in range(3):
        assert not isinstance(asyncio.run(ask(model, 1))[0], Failure)


async def test_settings_reach_the_server(fake_provider: FakeProvider) -> None:
    replies = await model_of(fake_provider, max_tokens=1).call_many(["Say something long about buses."])
    assert [r.finish_reason for r in replies if isinstance(r, Completion)] == ["length"]


async def test_embeddings_come_in_order_and_batches(fake_provider: FakeProvider) -> None:
    model = OpenAIEmbedModel(
        api_key=fake_provider.api_key, base_url=fake_provider.base_url, cost=0, batch_size=4
    )
    subjects = ["bus", "bike", "fare", "tram", "lane", "ticket", "driver", "station", "bridge"]
    texts = [f"The {subjects[n % 9]} was discussed" for n in range(20)] + [""]
    run = quick()
    vectors = await run_async(embed_all(model, texts, run=run))
    assert vectors.shape[0] == 21
    assert not vectors[20].any()
    np.testing.assert_array_equal(vectors[0], vectors[9])
    assert not np.allclose(vectors[0], vectors[1])
    assert fake_provider.stats().paid == 3
    assert run.ledger.totals().in_tokens > 0

    alone = await run_async(embed_all(model, [texts[7]], run=quick()))
    np.testing.assert_allclose(alone[0], vectors[7], atol=1e-6)


async def test_embedding_survives_faults(fake_provider: FakeProvider) -> None:
    fake_provider.control(p_500=0.4, p_429=0.2, fault_attempts=3, seed=2)
    model = OpenAIEmbedModel(
        api_key=fake_provider.api_key, base_url=fake_provider.base_url, cost=0, batch_size=2
    )
    vectors = await run_async(embed_all(model, [f"Bus line {n}" for n in range(20)], run=quick()))
    assert vectors.any(axis=1).all()


def test_without_a_key_the_way_out_is_told() -> None:
    with pytest.raises(ModelSetupError, match=r"OPENAI_API_KEY.*api_key="):
        _ = OpenAIModel().client


@pytest.mark.slow
def test_a_script_ends_without_noise(fake_provider: FakeProvider) -> None:
    script = f"""
import asyncio
from text_lloom.llm import OpenAIModel
model = OpenAIModel("gpt-4o-mini", api_key={fake_provider.api_key!r}, base_url={fake_provider.base_url!r})
print(len(asyncio.run(model.call_many(["Which bus is late?", "Which lane is blocked?"]))))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("2", "")


# --- where requests go ---------------------------------------------------------------------------------


async def test_a_redirect_sends_the_documents_nowhere_else() -> None:
    elsewhere: list[bytes] = []

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        elsewhere.append(await reader.read(100))
        writer.close()

    there = await asyncio.start_server(other, "127.0.0.1", 0)
    address = f"http://localhost:{there.sockets[0].getsockname()[1]}/v1/chat/completions"

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'"messages"')
        writer.write(
            f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {address}\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    here = await asyncio.start_server(redirect, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{here.sockets[0].getsockname()[1]}/v1"
    model = OpenAIModel("m", api_key="x", base_url=base_url, cost=0)
    (error,) = await model.call_many(["The 40 bus was late."], cache=False)
    assert isinstance(error, ModelSetupError)
    assert address in str(error)
    assert elsewhere == []
    here.close()
    there.close()


async def test_a_proxy_may_be_named_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n"))
        writer.write(b"HTTP/1.1 418 I am a teapot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    model = OpenAIModel("m", api_key="x", base_url="http://models.example.test/v1", cost=0)
    (error,) = await model.call_many(["The 40 bus was late."], cache=False)
    assert "418" in str(error)
    assert asked == [b"POST http://models.example.test/v1/chat/completions HTTP/1.1\r\n"]
    server.close()
