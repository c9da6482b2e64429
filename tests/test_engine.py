"""Many questions to a model: answers or failures, in order, with all kinds of errors in between."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.virtual_time import in_virtual_time
from text_lloom.errors import (
    AuthenticationFailed,
    InputError,
    ModelNotFound,
    ModelUnavailable,
    PaidCallRefused,
    StepFailed,
)
from text_lloom.llm import Completion, Failure, Model, RetryPolicy
from text_lloom.llm.ask import ask_all
from text_lloom.llm.dispatch.request_builder import fit_task
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.tasks import SummarizeDocument
from text_lloom.testing import FunctionModel, ScriptedModel, TaskModel

KEY = "sk-live-51Hq9tZpLmXcVb"
BULLETS = {"bullets": ["complains that the bus is late"]}
OVERFLOW = "This model's maximum context length is 600 tokens. Please reduce the length of the messages."
CLOSING = '{"bullets": ["first bullet point", "second bullet point"]}'


class ApiError(Exception):
    """An SDK's error: a status, and a response with headers."""

    def __init__(self, status: int, message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


@pytest.fixture(autouse=True)
def _scripted_replies_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunctionModel, "keeps_replies", True)


class Shelf:
    """Keeps replies in memory, and notes when."""

    def __init__(self, events: list[str]) -> None:
        self.replies: dict[str, Completion] = {}
        self.events = events

    def get(self, key: str) -> Completion | None:
        self.events.append("get")
        return self.replies.get(key)

    @asynccontextmanager
    async def flight(
        self, key: str, *, on_wait: Callable[[], object] | None = None
    ) -> AsyncIterator[Completion | None]:
        yield self.get(key)

    async def put(
        self, key: str, completion: Completion, *, model: str, step: str, usd: float | None = None
    ) -> None:
        await asyncio.sleep(0)
        self.events.append(f"put {model} {step}")
        self.replies[key] = completion


def comment(n: int) -> str:
    return f"The 40 bus was {n} minutes late on Monday, and nobody at the stop was told why."


def questions(n: int) -> list[SummarizeDocument]:
    return [SummarizeDocument(f"d{i:02d}", comment(i)) for i in range(n)]


def quick(**settings: Any) -> Run:
    policy = RetryPolicy(**{"base": 0.001, "longest": 0.01, **settings.pop("policy", {})})
    return Run(policy=policy, **settings)


def echo(prompt: str) -> dict[str, list[str]]:
    """Bullets that tell which document the prompt was about."""
    minutes = prompt.split("The 40 bus was ", 1)[1].split(" ", 1)[0]
    return {"bullets": [f"was {minutes} minutes late"]}


def failing(times: int, error: Exception) -> Callable[[str], object]:
    """Each prompt fails so often, then it is answered."""
    tries: dict[str, int] = {}

    def reply(prompt: str) -> object:
        tries[prompt] = tries.get(prompt, 0) + 1
        if tries[prompt] <= times:
            raise error
        return echo(prompt)

    return reply


def outcomes(run: Run) -> list[str]:
    return [attempt.outcome for attempt in run.ledger.attempts]


# --- order and identity --------------------------------------------------------------------------------


async def test_answers_come_in_the_order_of_the_questions() -> None:
    async def call(_: Model, prompt: str) -> str:
        minutes = int(echo(prompt)["bullets"][0].split()[1])
        await asyncio.sleep(0.001 * (7 * minutes % 11))
        return json.dumps(echo(prompt))

    answers = await ask_all(Model("m", None, call, cost=0), questions(40), run=quick())
    assert answers == [[f"was {n} minutes late"] for n in range(40)]


async def test_equal_prompts_are_asked_once_and_answer_everyone() -> None:
    model = FunctionModel(echo)
    tasks = [SummarizeDocument(f"d{i}", comment(i % 3)) for i in range(12)]
    run = quick()
    answers = await ask_all(model, tasks, run=run)
    assert len(model.prompts) == 3
    assert answers == [[f"was {i % 3} minutes late"] for i in range(12)]
    assert outcomes(run) == ["answer"] * 3


class SlowToWrite(SummarizeDocument):
    """A question whose prompt takes a while, as those of tens of thousands of documents together do."""

    def prompt(self) -> str:
        time.sleep(0.005)
        return super().prompt()


async def test_preparing_many_questions_does_not_stop_other_steps() -> None:
    turns, turns_before_the_first_call = 0, list[int]()

    async def another_step() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def reply(prompt: str) -> object:
        turns_before_the_first_call.append(turns)
        return echo(prompt)

    other = asyncio.create_task(another_step())
    tasks = [SlowToWrite(f"d{i:02d}", comment(i)) for i in range(60)]
    before = turns
    await ask_all(FunctionModel(reply), tasks, run=quick())
    other.cancel()
    assert turns_before_the_first_call[0] - before >= 8


async def test_no_questions_cost_nothing() -> None:
    model = FunctionModel(echo)
    assert await ask_all(model, []) == []
    assert model.prompts == []


async def test_answers_are_handed_over_as_they_arrive() -> None:
    release = asyncio.Event()

    async def call(_: Model, prompt: str) -> str:
        if "was 0 minutes" in prompt:
            await release.wait()
        return json.dumps(echo(prompt))

    arrived: list[int] = []

    def on_answer(position: int, answer: object) -> None:
        arrived.append(position)
        if len(arrived) == 4:
            release.set()

    await ask_all(Model("m", None, call, cost=0), questions(5), run=quick(), on_answer=on_answer)
    assert sorted(arrived[:4]) == [1, 2, 3, 4]
    assert arrived[4] == 0


# --- bad answers ---------------------------------------------------------------------------------------


async def test_a_malformed_answer_is_asked_again_with_what_was_wrong() -> None:
    model = ScriptedModel("Sure! The bus is late.", BULLETS)
    run = quick()
    (answer,) = await ask_all(model, questions(1), run=run)
    assert answer == ["complains that the bus is late"]
    assert "Sure! The bus is late." in model.prompts[1]
    assert "Expected a JSON object" in model.prompts[1]
    assert model.prompts[1].startswith(model.prompts[0])
    assert outcomes(run) == ["bad answer", "answer"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "Expected a JSON object"),
        ("", "Expected a JSON object"),
        ({"points": ["late"]}, "bullets: Field required"),
        ({"bullets": []}, "list of bullets is empty"),
        ({"bullets": "late"}, "bullets: Input should be a valid list"),
        (Completion('{"bullets": ["The bus is la', 90, 9, "length"), "cut off before its end"),
        (Completion('{"bullets": ["late"]}', 90, 9, "length"), "cut off before its end"),
    ],
    ids=["refusal", "empty", "other keys", "nothing in it", "wrong type", "cut", "cut but readable"],
)
async def test_an_answer_that_stays_malformed_is_a_failure_and_never_an_answer(
    reply: object, reason: str
) -> None:
    model, run = ScriptedModel(reply), quick()
    (failure,) = await ask_all(model, questions(1), run=run)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.doc_ids, failure.attempts) == ("BadAnswer", ("d00",), 2)
    assert reason in failure.reason
    assert run.failures == [failure]
    assert len(model.prompts) == 2


async def test_one_failure_leaves_the_other_answers_alone() -> None:
    model = FunctionModel(lambda prompt: "No." if "was 3 minutes" in prompt else echo(prompt))
    answers = await ask_all(model, questions(10), run=quick())
    assert [i for i, answer in enumerate(answers) if isinstance(answer, Failure)] == [3]


# --- transient errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [ApiError(503, "overloaded"), ConnectionResetError("peer"), TimeoutError(), KeyError("choices")],
    ids=lambda error: type(error).__name__,
)
async def test_transient_errors_are_tried_again(error: Exception) -> None:
    run = quick()
    answers = await ask_all(FunctionModel(failing(2, error)), questions(6), run=run)
    assert answers == [[f"was {n} minutes late"] for n in range(6)]
    assert sorted(outcomes(run)) == ["answer"] * 6 + ["transient error"] * 12


async def test_a_call_that_takes_too_long_is_given_up_and_tried_again() -> None:
    calls = 0

    async def call(_: Model, prompt: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(30)
        return json.dumps(BULLETS)

    model, run = Model("slow", None, call, cost=0, timeout=0.05), quick()
    assert await ask_all(model, questions(1), run=run) == [BULLETS["bullets"]]
    assert outcomes(run) == ["transient error", "answer"]


async def test_a_model_that_never_replies_in_time_is_a_failure_that_says_so() -> None:
    async def call(_: Model, prompt: str) -> str:
        await asyncio.sleep(30)
        return ""

    model = Model("slow", None, call, cost=0, timeout=0.02)
    (failure,) = await ask_all(model, questions(1), run=quick(policy={"attempts": 2}))
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("Model 'slow' did not reply within 0.02 seconds.")
    assert failure.attempts == 2


async def test_a_call_that_is_cancelled_inside_is_a_failure_and_not_nothing() -> None:
    async def call(_: Model, prompt: str) -> str:
        raise asyncio.CancelledError

    (failure,) = await ask_all(
        Model("m", None, call, cost=0), questions(1), run=quick(policy={"attempts": 2})
    )
    assert isinstance(failure, Failure)
    assert "cancelled its own call" in failure.reason


@pytest.mark.parametrize("how", ["header", "message"])
async def test_a_wait_asked_for_by_the_provider_holds_everyone(how: str) -> None:
    calls: list[float] = []

    def reply(prompt: str) -> object:
        calls.append(time.monotonic())
        if len(calls) == 1:
            if how == "header":
                raise ApiError(429, "Too many requests", {"retry-after": "0.3"})
            raise ApiError(429, "Rate limit reached. Please try again in 300ms.")
        return echo(prompt)

    run = quick()
    answers = await ask_all(FunctionModel(reply, concurrency=2), questions(8), run=run)
    assert answers == [[f"was {n} minutes late"] for n in range(8)]
    assert min(calls[1:]) - calls[0] >= 0.29
    assert outcomes(run).count("rate limited") == 1


def test_a_wait_longer_than_the_retry_policy_allows_ends_the_step_at_once() -> None:
    async def main() -> None:
        model = FunctionModel(failing(1, ApiError(429, "Daily limit", {"retry-after": "86400"})))
        began, run = asyncio.get_running_loop().time(), quick()
        with pytest.raises(ModelUnavailable, match=r"next 24\.0 hours.*go on after"):
            await ask_all(model, questions(2), run=run)
        assert run.failures == []
        assert asyncio.get_running_loop().time() - began < 1

    in_virtual_time(main())


# --- permanent errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ApiError(401, f"Incorrect API key provided: {KEY}."),
            AuthenticationFailed,
            r"key for model 'gpt-4o' was refused \(401\)",
        ),
        (ApiError(404, f"no such model for {KEY}"), ModelNotFound, r"knows no model 'gpt-4o' \(404\)"),
    ],
    ids=["key", "model"],
)
async def test_what_every_request_would_meet_ends_the_step_at_once(
    error: Exception, kind: type[Exception], message: str
) -> None:
    def reply(_: str) -> object:
        raise error

    model = FunctionModel(reply, name="gpt-4o", api_key=KEY)
    with pytest.raises(kind, match=message) as raised:
        await ask_all(model, questions(30), run=quick())
    assert KEY not in str(raised.value)
    assert raised.value.__cause__ is None
    assert len(model.prompts) <= 2


async def test_what_was_answered_before_a_fatal_error_was_handed_over() -> None:
    def reply(prompt: str) -> object:
        if int(echo(prompt)["bullets"][0].split()[1]) > 4:
            raise ApiError(401, "revoked")
        return echo(prompt)

    kept: dict[int, object] = {}
    with pytest.raises(AuthenticationFailed):
        await ask_all(
            FunctionModel(reply, concurrency=1), questions(10), run=quick(), on_answer=kept.__setitem__
        )
    assert sorted(kept) == [0, 1, 2, 3, 4]


async def test_a_step_of_which_nothing_succeeds_stops_early() -> None:
    def reply(_: str) -> object:
        raise ApiError(500, "The server had an error")

    model = FunctionModel(reply, concurrency=2)
    with pytest.raises(StepFailed, match=r"first 8 requests to model 'scripted' all failed.*server had"):
        await ask_all(model, questions(100), run=quick(policy={"attempts": 2}))
    assert len(model.prompts) < 60


async def test_one_text_that_occurs_often_does_not_stop_a_step() -> None:
    model = FunctionModel(lambda prompt: "?" if "was 0 minutes" in prompt else echo(prompt), concurrency=1)
    tasks = [SummarizeDocument(i, comment(0)) for i in range(20)] + questions(3)[1:]
    answers = await ask_all(model, tasks, run=quick())
    assert all(isinstance(answer, Failure) for answer in answers[:20])
    assert answers[20:] == [["was 1 minutes late"], ["was 2 minutes late"]]


async def test_declined_documents_do_not_stop_a_step() -> None:
    def reply(prompt: str) -> object:
        if int(echo(prompt)["bullets"][0].split()[1]) < 12:
            raise ApiError(400, "The prompt was flagged by content_filter")
        return echo(prompt)

    answers = await ask_all(FunctionModel(reply, concurrency=1), questions(15), run=quick())
    assert [isinstance(a, Failure) and a.kind for a in answers[:12]] == ["AnswerRefused"] * 12
    assert answers[12:] == [[f"was {n} minutes late"] for n in (12, 13, 14)]


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [
        (NameError("name 'promt' is not defined"), "raised NameError: name 'promt' is not defined", 1),
        (TypeError("'NoneType' object is not subscriptable"), "raised TypeError: 'NoneType'", 1),
        (ValueError("not enough values to unpack"), "failed: ValueError: not enough values", 6),
        (KeyError("choices"), "failed: KeyError: 'choices'", 6),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_broken_call_function_is_named_with_its_error(
    error: Exception, reason: str, attempts: int
) -> None:
    def reply(_: str) -> object:
        raise error

    (failure,) = await ask_all(FunctionModel(reply, name="mine"), questions(1), run=quick())
    assert isinstance(failure, Failure)
    assert reason in failure.reason
    assert "'mine'" in failure.reason
    assert failure.attempts == attempts


async def test_a_callback_that_fails_is_raised_as_itself() -> None:
    def on_answer(position: int, answer: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await ask_all(FunctionModel(echo), questions(3), run=quick(), on_answer=on_answer)


async def test_paid_calls_are_refused_before_anything_is_sent() -> None:
    model = FunctionModel(echo, cost=(1e-6, 2e-6))
    with pytest.raises(PaidCallRefused, match="paid calls are refused"):
        await ask_all(model, questions(2), run=quick())
    with pytest.raises(PaidCallRefused):
        await model.call_many(["What is late?"])
    assert model.prompts == []


async def test_a_request_over_the_token_limit_is_an_error_of_input() -> None:
    model = FunctionModel(echo, rate_limit={"tokens": (50, 60)})
    with pytest.raises(InputError, match="can never start under the limit of 50 tokens"):
        await ask_all(model, questions(1), run=quick())


# --- long documents ------------------------------------------------------------------------------------


def answered_up_to(characters: int) -> FunctionModel:
    def reply(prompt: str) -> object:
        if len(prompt) > characters:
            raise ApiError(400, OVERFLOW)
        return BULLETS

    return FunctionModel(reply)


async def test_a_document_that_the_provider_finds_too_long_is_cut_by_halves() -> None:
    model, run = answered_up_to(2500), quick()
    tasks = [SummarizeDocument("long", comment(7) * 500), *questions(2)]
    answers = await ask_all(model, tasks, run=run)
    assert answers == [BULLETS["bullets"]] * 3
    assert run.cut == {"distill_summarize": ["long"]}
    assert all(prompt.rstrip().endswith(CLOSING) for prompt in model.prompts)
    assert outcomes(run).count("permanent error") >= 5


async def test_everyone_who_shares_a_cut_text_is_named() -> None:
    run = quick()
    tasks = [SummarizeDocument(doc_id, comment(7) * 60) for doc_id in ("a", "b")]
    await ask_all(answered_up_to(2500), tasks, run=run)
    assert run.cut == {"distill_summarize": ["a", "b"]}


async def test_instructions_that_are_too_long_by_themselves_are_a_failure() -> None:
    (failure,) = await ask_all(answered_up_to(100), questions(1), run=quick())
    assert isinstance(failure, Failure)
    assert failure.kind == "ContextOverflow"
    assert "too long" in failure.reason


@pytest.mark.parametrize("window", [800, 1500, 6000])
async def test_a_known_window_cuts_the_document_and_never_the_instructions(window: int) -> None:
    model, run = FunctionModel(lambda _: BULLETS, context_window=window), quick()
    task = SummarizeDocument("long", comment(7) * 800)
    await ask_all(model, [task, *questions(1)], run=run)
    assert run.cut == {"distill_summarize": ["long"]}
    for prompt in model.prompts:
        assert prompt.rstrip().endswith(CLOSING)
        assert model.count_tokens(prompt) < window
    longest = max(model.prompts, key=len)
    assert model.count_tokens(longest) > 0.4 * window


def test_a_document_keeps_its_beginning_where_the_instructions_alone_fill_the_window() -> None:
    text = comment(7) * 800
    task = SummarizeDocument("long", text)
    fitted = fit_task(task, FunctionModel(echo, context_window=20))
    assert fitted.task.texts == (text[:200],)
    assert fitted.prompt == fitted.task.prompt()
    assert fitted.prompt.rstrip().endswith(CLOSING)


def test_a_task_that_fits_is_left_alone() -> None:
    task = questions(1)[0]
    assert fit_task(task, FunctionModel(echo)) == (task, task.prompt())
    assert fit_task(task, FunctionModel(echo, context_window=4000)).task is task


# --- cancelling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("through_portal", [True, False], ids=["session", "direct"])
async def test_cancelling_keeps_what_was_answered_and_sends_nothing_more(through_portal: bool) -> None:
    calls = 0

    async def call(_: Model, prompt: str) -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.03)
        return json.dumps(echo(prompt))

    kept: dict[int, object] = {}
    run = quick()
    work = ask_all(
        Model("m", None, call, cost=0, concurrency=5), questions(200), run=run, on_answer=kept.__setitem__
    )
    task = asyncio.create_task(run_async(work) if through_portal else work)
    while len(kept) < 10:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    seen = calls
    await asyncio.sleep(0.1)
    assert calls == seen
    assert 10 <= len(kept) < 50
    assert calls - len(kept) <= 5
    assert outcomes(run).count("answer") == len(kept)
    assert set(outcomes(run)) <= {"answer", "cancelled"}


# --- kept replies --------------------------------------------------------------------------------------


async def test_a_kept_reply_is_used_and_a_new_one_is_kept_before_it_is_seen() -> None:
    events: list[str] = []
    shelf, model = Shelf(events), FunctionModel(echo, concurrency=1)

    def on_answer(position: int, answer: object) -> None:
        events.append("answer")

    await ask_all(model, questions(1), run=quick(store=shelf), on_answer=on_answer)
    assert events == ["get", "put scripted distill_summarize", "answer"]

    run = quick(store=shelf)
    answers = await ask_all(model, questions(2), run=run)
    assert answers == [["was 0 minutes late"], ["was 1 minutes late"]]
    assert len(model.prompts) == 2
    assert sorted(outcomes(run)) == ["answer", "cached"]
    assert run.ledger.totals().cached == 1


async def test_a_reply_that_had_to_be_asked_for_twice_is_kept_too() -> None:
    shelf, model = Shelf([]), ScriptedModel("Well…", BULLETS)
    for _ in range(2):
        assert await ask_all(model, questions(1), run=quick(store=shelf)) == [BULLETS["bullets"]]
    assert len(model.prompts) == 2


async def test_a_reply_to_a_cut_document_is_kept_and_the_cut_is_told_again() -> None:
    shelf = Shelf([])
    for paid in (1, 0):
        model, run = answered_up_to(2500), quick(store=shelf)
        await ask_all(model, [SummarizeDocument("long", comment(7) * 60)], run=run)
        assert run.cut == {"distill_summarize": ["long"]}
        assert outcomes(run).count("answer") == paid


@pytest.mark.parametrize("reply", ["I cannot help.", ApiError(500, "oops")], ids=["malformed", "error"])
async def test_failures_are_never_kept(reply: object) -> None:
    shelf = Shelf([])
    await ask_all(ScriptedModel(reply), questions(1), run=quick(store=shelf))
    assert shelf.replies == {}


async def test_a_kept_reply_that_cannot_be_read_any_more_is_asked_anew() -> None:
    shelf, model = Shelf([]), FunctionModel(echo)
    await ask_all(model, questions(1), run=quick(store=shelf))
    shelf.replies = dict.fromkeys(shelf.replies, Completion("I am afraid not.", 1, 1))
    assert await ask_all(model, questions(1), run=quick(store=shelf)) == [["was 0 minutes late"]]
    assert len(model.prompts) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [({"seed": 1}, {"seed": 2}), ({"name": "small"}, {"name": "large"})],
    ids=["parameters", "model"],
)
async def test_a_reply_of_another_model_or_setting_is_not_used(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    shelf = Shelf([])
    models = [FunctionModel(echo, **first), FunctionModel(echo, **second)]
    for model in models:
        await ask_all(model, questions(1), run=quick(store=shelf))
    assert [len(model.prompts) for model in models] == [1, 1]


async def test_many_failures_after_kept_answers_do_not_stop_a_step() -> None:
    shelf = Shelf([])
    await ask_all(FunctionModel(echo), questions(20)[10:15], run=quick(store=shelf))
    model = FunctionModel(lambda _: "?")
    answers = await ask_all(model, questions(20), run=quick(store=shelf))
    assert sum(isinstance(answer, Failure) for answer in answers) == 15


# --- solvers -------------------------------------------------------------------------------------------


class Told:
    """Remembers how a step got on."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Hashable]] = []

    def start(self, step: str, total: int) -> None:
        self.events.append((step, total))

    def advance(self, n: int = 1) -> None:
        self.events.append(("advance", n))

    def finish(self) -> None:
        self.events.append(("finish", 0))


async def test_a_solver_answers_without_prompts_and_for_free() -> None:
    model = TaskModel({"distill_summarize": lambda task: [task.text[:10]]})
    told, run, kept = Told(), quick(), dict[int, object]()
    run.progress = told
    tasks = questions(600)
    answers = await ask_all(model, tasks, run=run, on_answer=kept.__setitem__)
    assert answers == [[task.text[:10]] for task in tasks] == list(kept.values())
    totals = run.ledger.totals()
    assert (totals.requests, totals.answers, totals.usd, totals.unpriced) == (600, 600, 0.0, 0)
    assert told.events[0] == ("distill_summarize", 600)
    assert sum(int(str(n)) for event, n in told.events if event == "advance") == 600
    assert told.events[-1] == ("finish", 0)


async def test_a_solver_that_loses_answers_is_found_out() -> None:
    class Careless(TaskModel):
        def solve(self, tasks: Sequence[Any]) -> list[object]:
            return super().solve(tasks)[1:]

    model = Careless({"distill_summarize": lambda task: [task.text]})
    with pytest.raises(StepFailed, match="gave 2 answers to 3 questions"):
        await ask_all(model, questions(3), run=quick())


async def test_progress_counts_every_question_and_ends_even_when_a_step_fails() -> None:
    told = Told()
    run = quick(progress=told)
    await ask_all(FunctionModel(echo), [*questions(4), *questions(4)], run=run)
    assert sum(int(str(n)) for event, n in told.events if event == "advance") == 8

    told.events.clear()
    with pytest.raises(AuthenticationFailed):
        await ask_all(ScriptedModel(ApiError(401)), questions(2), run=run)
    assert told.events[-1] == ("finish", 0)


async def test_plain_prompts_give_replies_or_errors_in_order() -> None:
    def reply(prompt: str) -> object:
        if "broken" in prompt:
            raise NameError("name 'x' is not defined")
        return prompt.upper()

    found = await FunctionModel(reply).call_many(["late", "broken", "early"])
    assert [r.text if isinstance(r, Completion) else type(r).__name__ for r in found] == [
        "LATE",
        "PermanentError",
        "EARLY",
    ]
    with pytest.raises(InputError, match="one string"):
        await FunctionModel(reply).call_many("late")
