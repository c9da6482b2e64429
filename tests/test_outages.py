"""A provider that is down, out of quota, too busy, or dislikes one document: what a long run makes of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.virtual_time import in_virtual_time
from text_lloom.errors import AuthenticationFailed, ModelNotFound, ModelUnavailable, StepFailed
from text_lloom.llm import Failure, Model, RetryPolicy
from text_lloom.llm.ask import ask_all
from text_lloom.llm.client import Call, call_all
from text_lloom.llm.composite import Fallbacks
from text_lloom.llm.dispatch.request_builder import StepSettings
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.messages import as_messages
from text_lloom.tasks import SummarizeDocument
from text_lloom.testing import FunctionModel

BULLETS = {"bullets": ["complains that the bus is late"]}
LATENCY = 0.5


class ApiError(Exception):
    """An SDK's error: a status, and a response with headers."""

    def __init__(self, status: int, message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


class Provider:
    """A service in virtual time; `trouble(seconds since the start, prompt)` may raise."""

    def __init__(self, trouble: Callable[[float, str], object], **settings: Any) -> None:
        self.trouble = trouble
        self.began: float | None = None
        self.prompts: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.model = Model(f"m{id(self)}", None, self._call, **{"cost": 0, **settings})

    @property
    def seconds(self) -> float:
        now = asyncio.get_running_loop().time()
        self.began = now if self.began is None else self.began
        return now - self.began

    async def _call(self, _: Model, prompt: str) -> str:
        self.prompts[prompt] += 1
        await asyncio.sleep(0)  # on a busy machine, a call that ends at once may look like one that blocks
        self.trouble(self.seconds, prompt)
        await asyncio.sleep(LATENCY)
        self.answered[prompt] += 1
        return json.dumps(BULLETS)


def questions(n: int) -> list[SummarizeDocument]:
    """Comments of which each is a little longer than the one before it."""
    return [SummarizeDocument(i, f"The 40 bus was {i} minutes late{' again' * (i // 8)}.") for i in range(n)]


def about(n: int) -> str:
    return f"was {n} minutes"


def failed(answers: list[Any]) -> list[int]:
    return [i for i, answer in enumerate(answers) if isinstance(answer, Failure)]


def down(begin: float, end: float, error: Exception) -> Callable[[float, str], None]:
    def trouble(seconds: float, _: str) -> None:
        if begin < seconds < end:
            raise error

    return trouble


# --- the provider is down ------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [0.2, 0.5, 5])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("connect"),
        ApiError(500, "The server had an error"),
        ApiError(503, "overloaded", {"retry-after": "5"}),
        ApiError(502, "Bad gateway", {"retry-after": "5"}),
    ],
    ids=["refused", "500", "503 with Retry-After", "502 with Retry-After"],
)
@pytest.mark.parametrize("settings", [{}, {"concurrency": 1}, {"rate_limit": (40, 1)}], ids=str)
def test_an_outage_costs_time_and_nothing_else(
    minutes: float, error: Exception, settings: dict[str, Any]
) -> None:
    async def main() -> None:
        n = 40 if "concurrency" in settings else 300
        provider, run = Provider(down(2, 2 + 60 * minutes, error), **settings), Run()
        answers = await ask_all(provider.model, questions(n), run=run)
        assert failed(answers) == []
        assert run.failures == []
        lost = provider.seconds - 60 * minutes
        assert lost < 60, f"{lost:.0f} seconds besides the outage"
        tries = provider.prompts.total() - n
        assert tries < 130 + 8 * minutes, "one request at a time looks whether the model is back"

    in_virtual_time(main())


def test_a_model_that_stays_away_ends_the_step_and_can_be_asked_again() -> None:
    async def main() -> None:
        provider, run = Provider(down(2, 4000, ConnectionRefusedError("connect"))), Run()
        kept: dict[int, object] = {}
        with pytest.raises(ModelUnavailable, match=r"answered nothing for 15 minutes.*call again"):
            await ask_all(provider.model, questions(1000), run=run, on_answer=kept.__setitem__)
        assert 50 < len(kept) == provider.answered.total()
        assert run.failures == []
        assert 900 < provider.seconds < 960
        sent = provider.prompts.total()
        await asyncio.sleep(600)
        assert provider.prompts.total() == sent
        with pytest.raises(StepFailed, match="all failed"):  # a new attempt during the outage ends soon
            await ask_all(provider.model, questions(1000), run=Run())
        await asyncio.sleep(4000)
        assert failed(await ask_all(provider.model, questions(1000), run=Run())) == []

    in_virtual_time(main())


@pytest.mark.parametrize("settings", [{}, {"concurrency": 1}], ids=str)
@pytest.mark.parametrize("poisonous", [0, 70, 149], ids=["last", "middle", "first"])
def test_one_document_that_the_provider_fails_on_holds_nobody_up(
    poisonous: int, settings: dict[str, Any]
) -> None:
    def trouble(_: float, prompt: str) -> None:
        if about(poisonous) in prompt:
            raise ApiError(500, "Internal error")

    async def main() -> None:
        provider, run = Provider(trouble, **settings), Run()
        answers = await ask_all(provider.model, questions(150), run=run)
        assert failed(answers) == [poisonous]
        assert [failure.attempts for failure in run.failures] == [6]
        assert provider.seconds < 150 * LATENCY + 20

    in_virtual_time(main())


@pytest.mark.parametrize("settings", [{"concurrency": 4}, {"concurrency": 12}, {}], ids=str)
@pytest.mark.parametrize(
    "poisonous", [range(6), range(140, 160), range(280, 300)], ids=["last", "middle", "first"]
)
def test_documents_that_fail_again_and_again_are_no_outage(
    poisonous: range, settings: dict[str, Any]
) -> None:
    """As many as there are places, one after the other: the others are asked all the same."""

    def trouble(_: float, prompt: str) -> None:
        if any(about(n) in prompt for n in poisonous):
            raise ApiError(500, "Internal error")

    async def main() -> None:
        provider, run = Provider(trouble, **settings), Run()
        answers = await ask_all(provider.model, questions(300), run=run)
        assert failed(answers) == list(poisonous)
        assert provider.seconds < 300 * LATENCY + 15 * 60

    in_virtual_time(main())


# --- quota ---------------------------------------------------------------------------------------------


def test_a_daily_quota_ends_the_step_and_says_when_to_go_on() -> None:
    limit = ApiError(429, "Daily limit reached", {"retry-after": "7200"})

    async def main() -> None:
        provider, run = Provider(down(5, 7205, limit)), Run()
        kept: dict[int, object] = {}
        with pytest.raises(ModelUnavailable, match=r"for the next 2\.0 hours.*go on after \d\d:\d\d.*Daily"):
            await ask_all(provider.model, questions(3000), run=run, on_answer=kept.__setitem__)
        assert len(kept) == provider.answered.total() > 100
        assert run.failures == []
        assert provider.seconds < 6
        refused = provider.prompts.total() - provider.answered.total()
        assert refused <= 256
        with pytest.raises(ModelUnavailable):
            await ask_all(provider.model, questions(3000), run=Run())
        assert provider.prompts.total() - provider.answered.total() == refused + 1
        await asyncio.sleep(7205)
        assert failed(await ask_all(provider.model, questions(300), run=Run())) == []

    in_virtual_time(main())


def test_a_quota_that_comes_back_in_minutes_is_waited_for() -> None:
    limit = ApiError(429, "Slow down", {"retry-after": "300"})

    async def main() -> None:
        provider = Provider(down(2, 301, limit))
        assert failed(await ask_all(provider.model, questions(600), run=Run())) == []
        assert 300 < provider.seconds < 340

    in_virtual_time(main())


def test_a_model_over_its_quota_is_left_for_the_next_one() -> None:
    limit = ApiError(429, "Daily limit reached", {"retry-after": "7200"})

    async def main() -> None:
        first, second = Provider(down(2, 9000, limit)), Provider(lambda *_: None)
        models = Fallbacks((first.model, second.model))
        with pytest.warns(UserWarning, match="going on with model"):
            answers = await ask_all(models, questions(600), run=Run())
        assert failed(answers) == []
        assert first.answered.total() + second.answered.total() == 600
        assert first.answered.total() > 50

    in_virtual_time(main())


# --- a busy provider that does not say how long to wait --------------------------------------------------


def test_refusals_without_a_wait_hold_back_what_has_not_begun() -> None:
    filled, at = 10.0, 0.0
    refused = 0

    def ten_per_second(seconds: float, _: str) -> None:
        nonlocal filled, at, refused
        filled, at = min(10.0, filled + 10 * (seconds - at)), seconds
        if filled < 1:
            refused += 1
            raise ApiError(429, "Rate limit reached")
        filled -= 1

    async def main() -> None:
        provider, run = Provider(ten_per_second), Run()
        answers = await ask_all(provider.model, questions(600), run=run)
        assert failed(answers) == []
        assert provider.seconds < 1.25 * 60
        assert refused < 600

    in_virtual_time(main())


def test_no_question_begins_while_many_are_away() -> None:
    async def main() -> None:
        provider = Provider(lambda *_: None)

        def trouble(_: float, prompt: str) -> None:
            most[0] = max(most[0], len(provider.prompts) - len(provider.answered))
            if provider.prompts[prompt] < 4:
                raise ApiError(429, "Rate limit reached")

        most = [0]
        provider.trouble = trouble
        assert failed(await ask_all(provider.model, questions(400), run=Run())) == []
        assert most[0] <= 2 * 32 + 1

    in_virtual_time(main())


# --- errors that every request might meet ------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"concurrency": 1}], ids=str)
@pytest.mark.parametrize("disliked", [0, 70, 149], ids=["last", "middle", "first"])
@pytest.mark.parametrize("status", [403, 404])
def test_one_document_that_a_firewall_dislikes_is_one_failure(
    status: int, disliked: int, settings: dict[str, Any]
) -> None:
    def trouble(_: float, prompt: str) -> None:
        if about(disliked) in prompt:
            raise ApiError(status, "<html>Blocked</html>")

    async def main() -> None:
        provider, run = Provider(trouble, **settings), Run()
        answers = await ask_all(provider.model, questions(150), run=run)
        assert failed(answers) == [disliked]
        assert len(run.failures) == 1
        assert provider.prompts.total() == 150

    in_virtual_time(main())


def test_only_what_was_refused_goes_to_the_next_model() -> None:
    def trouble(_: float, prompt: str) -> None:
        if about(15) in prompt:
            raise ApiError(403, "Blocked")

    async def main() -> None:
        cheap, dear = Provider(trouble), Provider(lambda *_: None)
        run = Run()
        answers = await ask_all(Fallbacks((cheap.model, dear.model)), questions(100), run=run)
        assert failed(answers) == []
        assert dear.answered.total() == 1
        assert run.failures == []

    in_virtual_time(main())


def test_a_key_that_is_revoked_ends_the_step_and_lets_what_is_in_flight_end() -> None:
    async def main() -> None:
        provider, run = Provider(down(3.2, 9999, ApiError(401, "revoked"))), Run()
        kept: dict[int, object] = {}
        with pytest.raises(AuthenticationFailed, match="Check the API key"):
            await ask_all(provider.model, questions(2000), run=run, on_answer=kept.__setitem__)
        assert len(kept) == provider.answered.total() > 100
        assert run.failures == []
        assert provider.prompts.total() - len(kept) <= 8

    in_virtual_time(main())


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationFailed), (404, ModelNotFound)])
def test_a_model_that_refuses_everything_is_asked_twice(status: int, kind: type[Exception]) -> None:
    def trouble(_: float, __: str) -> None:
        raise ApiError(status, "no")

    async def main() -> None:
        provider, run = Provider(trouble, concurrency=1), Run()
        with pytest.raises(kind):
            await ask_all(provider.model, questions(200), run=run)
        assert provider.prompts.total() <= 3
        assert run.failures == []

    in_virtual_time(main())


@pytest.mark.parametrize("settings", [{}, {"concurrency": 4}], ids=str)
def test_the_longest_documents_may_all_fail(settings: dict[str, Any]) -> None:
    """They are asked first, and their errors do not predict those of the others."""

    def trouble(_: float, prompt: str) -> None:
        if any(about(n) in prompt for n in range(140, 150)):
            raise ApiError(400, "This input cannot be processed")

    async def main() -> None:
        provider = Provider(trouble, **settings)
        answers = await ask_all(provider.model, questions(150), run=Run())
        assert failed(answers) == list(range(140, 150))

    in_virtual_time(main())


# --- limits --------------------------------------------------------------------------------------------


def test_waiting_for_a_start_does_not_use_the_time_of_a_request_up() -> None:
    def trouble(_: float, prompt: str) -> None:
        if provider.prompts[prompt] == 1:
            raise ConnectionResetError("peer")

    provider = Provider(trouble, rate_limit=(5, 1))

    async def main() -> None:
        run = Run(policy=RetryPolicy(deadline=4))
        assert failed(await ask_all(provider.model, questions(60), run=run)) == []

    in_virtual_time(main())


async def test_asking_again_beyond_the_token_limit_is_a_failure() -> None:
    def reply(prompt: str) -> object:
        return "No JSON, just prose. " * 300 if about(3) in prompt else BULLETS

    model = FunctionModel(reply, rate_limit={"tokens": (700, 0.01)})
    run = Run()
    answers = await ask_all(model, questions(12), run=run)
    assert failed(answers) == [3]
    assert "could not be used" in run.failures[0].reason
    assert "can never start under the limit of 700 tokens" in run.failures[0].reason


# --- calls by themselves -----------------------------------------------------------------------------------


def test_many_calls_wait_an_outage_out_and_end_at_a_quota() -> None:
    async def main() -> None:
        calling = Call(None, 1, StepSettings(), None, Run())
        asked = [as_messages(f"Comment {n}: the bus was late.") for n in range(1500)]
        provider = Provider(down(1.2, 60, ConnectionRefusedError("connect")))
        replies = await call_all([provider.model], asked, calling)
        assert all(isinstance(reply, tuple) for reply in replies)
        assert provider.seconds < 100

        limit = ApiError(429, "Daily limit reached", {"retry-after": "7200"})
        provider = Provider(down(1.2, 9000, limit))
        replies = await call_all([provider.model], asked, calling)
        answered = [reply for reply in replies if isinstance(reply, tuple)]
        assert len(answered) == provider.answered.total() > 50
        assert {type(r) for r in replies if not isinstance(r, tuple)} == {ModelUnavailable}
        assert provider.prompts.total() - len(answered) <= 256

    in_virtual_time(main())
