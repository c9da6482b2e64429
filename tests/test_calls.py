"""`call` and `call_many`: prompts, conversations, formats, several replies, streaming, cached replies."""

from __future__ import annotations

import asyncio
import enum
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field

from tests.fake_provider.fixtures import FakeProvider
from text_lloom.errors import (
    AuthenticationFailed,
    BadAnswer,
    BudgetReached,
    InputError,
    PaidCallRefused,
    PermanentError,
    UnknownName,
)
from text_lloom.llm import (
    Completion,
    Fallbacks,
    Ledger,
    LocalModel,
    Model,
    ModelRequest,
    OpenAIModel,
    RetryPolicy,
    track_costs,
)
from text_lloom.llm.ask import ask_all
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.dispatch.request_builder import StepSettings, build_request
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.messages import as_messages
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.tasks import SummarizeDocument
from text_lloom.testing import FunctionModel, ScriptedModel

COMMENT = "The 40 bus is late every single morning and nobody tells us why."


class Stance(enum.Enum):
    FOR = "for"
    AGAINST = "against"


class Place(BaseModel):
    name: str
    line: int | None = None


class Reading(BaseModel):
    """What a comment says."""

    stance: Stance
    subject: Literal["buses", "bikes", "fares"]
    places: list[Place] = Field(default_factory=list)


GOOD = {"stance": "against", "subject": "buses", "places": [{"name": "Mill Lane", "line": 40}]}


# --- prompts and conversations -------------------------------------------------------------------------


async def test_a_call_gives_text_tokens_cost_reason_and_time() -> None:
    def answer(_: str) -> Completion:
        return Completion("Late buses.", 20, 3, "stop")

    model = FunctionModel(answer, name="priced", cost=(1e-6, 4e-6))
    allow_paid_calls(True)
    try:
        with track_costs() as costs:
            reply = await model.call(COMMENT)
    finally:
        allow_paid_calls(False)
    assert (reply.text, reply.in_tokens, reply.out_tokens, reply.finish_reason) == (
        "Late buses.",
        20,
        3,
        "stop",
    )
    assert reply.usd == pytest.approx(20e-6 + 12e-6)
    assert reply.model == "priced"
    assert reply.seconds is not None
    assert 0 <= reply.seconds < 5
    assert reply.parsed is None
    assert costs.usd == pytest.approx(32e-6)


async def test_an_unknown_price_is_no_cost_of_zero() -> None:
    allow_paid_calls(True)
    try:
        reply = await FunctionModel(lambda _: "Late.", cost=None).call(COMMENT)
    finally:
        allow_paid_calls(False)
    assert reply.usd is None


async def test_paid_calls_are_refused_in_tests() -> None:
    with pytest.raises(PaidCallRefused, match="cost=0"):
        await FunctionModel(lambda _: "Late.", cost=None).call(COMMENT)


async def test_messages_reach_the_model_as_they_are() -> None:
    model = FunctionModel(lambda _: "Because of the works.")
    conversation = [
        {"role": "system", "content": "You answer in one sentence."},
        {"role": "user", "content": "Which bus is late?"},
        {"role": "assistant", "content": "The 40."},
        {"role": "user", "content": "Why? {braces} “quotes” \U0001f68c"},
    ]
    await model.call(conversation)
    assert list(model.requests[0].messages) == conversation
    assert model.requests[0].system == "You answer in one sentence."


async def test_a_call_function_gets_a_conversation_as_one_text() -> None:
    seen: list[str] = []

    async def fn(_: Model, prompt: str) -> str:
        seen.append(prompt)
        return "ok"

    model = Model("mine", None, fn, cost=0)
    await model.call("Which bus is late?", system="Be brief.", cache=False)
    await model.call(
        [
            {"role": "user", "content": "Which bus?"},
            {"role": "assistant", "content": "The 40."},
            {"role": "user", "content": "Why?"},
        ],
        cache=False,
    )
    assert seen == ["Be brief.\n\nWhich bus is late?", "User: Which bus?\n\nAssistant: The 40.\n\nUser: Why?"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param(3, "Expected a prompt or a list of messages", id="number"),
        pytest.param([], "without messages", id="empty"),
        pytest.param([{"role": "usr", "content": "x"}], "Did you mean 'user'?", id="role"),
        pytest.param([{"role": "user"}], "A message must be", id="no-content"),
        pytest.param(
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
            "last message must be the user's",
            id="ends-with-assistant",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused(asked: Any, told: str) -> None:
    model = FunctionModel(lambda _: "x")
    with pytest.raises(InputError, match=told):
        await model.call(asked)
    assert model.requests == []


def test_the_synchronous_twins_do_the_same() -> None:
    model = FunctionModel(lambda prompt: prompt.upper())
    assert model.sync.call("late").text == "LATE"
    assert [reply.text for reply in model.sync.call_many(["late", "early"])] == ["LATE", "EARLY"]
    assert [reply.text for reply in model.sync.call("late", n=2)] == ["LATE", "LATE"]


# --- formats of replies --------------------------------------------------------------------------------


async def test_a_reply_becomes_a_pydantic_object() -> None:
    model = FunctionModel(lambda _: GOOD)
    reply = await model.call(COMMENT, Reading)
    assert reply.parsed == Reading(
        stance=Stance.AGAINST, subject="buses", places=[Place(name="Mill Lane", line=40)]
    )
    request = model.requests[0]
    assert request.schema == Reading.model_json_schema()
    assert request.prompt.startswith(COMMENT)
    assert '"against"' in request.prompt, "a model without structured output has to be told"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        pytest.param("Against, I would say.", "Expected a JSON object", id="prose"),
        pytest.param(
            {**GOOD, "stance": "neutral"}, "stance: Input should be 'for' or 'against'", id="enumeration"
        ),
        pytest.param({**GOOD, "subject": "trains"}, "'buses', 'bikes' or 'fares'", id="literal"),
        pytest.param({**GOOD, "places": [{"line": 40}]}, "places.0.name: Field required", id="nested"),
    ],
)
async def test_a_bad_reply_is_asked_again_with_its_error_shown(bad: Any, told: str) -> None:
    model = ScriptedModel(bad, GOOD)
    reply = await model.call(COMMENT, Reading)
    assert isinstance(reply.parsed, Reading)
    first, second = model.prompts
    assert second.startswith(first)
    assert told in second
    assert reply.in_tokens is not None
    assert reply.in_tokens == len(first) // 4 + len(second) // 4, "both tries were paid for"


async def test_a_reply_that_stays_bad_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="Field required"):
        await ScriptedModel({"stance": "for"}).call(COMMENT, Reading)


async def test_a_json_schema_holds_enumerations_and_nested_objects() -> None:
    schema = {
        "type": "object",
        "properties": {
            "stance": {"enum": ["for", "against"]},
            "places": {"type": "array", "items": {"$ref": "#/$defs/place"}, "minItems": 1},
        },
        "required": ["stance", "places"],
        "$defs": {
            "place": {"type": "object", "properties": {"line": {"type": "integer"}}, "required": ["line"]}
        },
    }
    good = {"stance": "for", "places": [{"line": 40}]}
    model = ScriptedModel({"stance": "for", "places": [{"line": "40"}]}, good)
    reply = await model.call(COMMENT, schema)
    assert reply.parsed == good
    assert "places.0.line: '40' is not of type 'integer'" in model.prompts[1]


@pytest.mark.parametrize(
    ("wanted", "said", "value"),
    [
        pytest.param(Stance, {"answer": "for"}, Stance.FOR, id="enumeration"),
        pytest.param(Literal["buses", "fares"], {"answer": "fares"}, "fares", id="literal"),
        pytest.param(list[Place], {"answer": [{"name": "Mill Lane"}]}, [Place(name="Mill Lane")], id="list"),
        pytest.param(
            {"type": "array", "items": {"type": "string"}}, {"answer": ["a", "b"]}, ["a", "b"], id="schema"
        ),
    ],
)
async def test_what_is_no_object_is_asked_for_inside_one(wanted: Any, said: Any, value: Any) -> None:
    model = FunctionModel(lambda _: said)
    assert (await model.call(COMMENT, wanted)).parsed == value
    schema = model.requests[0].schema
    assert schema is not None
    assert schema["type"] == "object"


async def test_a_regular_expression_must_match_the_whole_reply() -> None:
    model = ScriptedModel("It is bus 40.", " 40 ")
    reply = await model.call("Which line?", regex=r"\d{1,3}")
    assert reply.parsed == "40"
    assert model.requests[0].regex == r"\d{1,3}"
    assert "does not match" in model.prompts[1]
    assert "JSON" not in model.prompts[1]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        pytest.param({"schema": {"type": "strnig"}}, "not a valid JSON schema", id="schema"),
        pytest.param({"schema": "Reading"}, "expected a pydantic model", id="text"),
        pytest.param({"schema": ["for", "against"]}, r"\{'enum': \['for', 'against'\]\}", id="words"),
        pytest.param({"schema": {"line": {"type": "integer"}}}, "go under 'properties'", id="fields"),
        pytest.param(
            {"schema": Reading(stance="for", subject="buses")}, "expected a pydantic model", id="instance"
        ),
        pytest.param({"regex": "(40"}, "not a valid regular expression", id="regex"),
        pytest.param({"schema": Reading, "regex": "40"}, "both given", id="both"),
    ],
)
async def test_a_form_that_cannot_be_used_is_refused(form: dict[str, Any], told: str) -> None:
    model = FunctionModel(lambda _: "x")
    with pytest.raises(InputError, match=told):
        await model.call(COMMENT, **form)
    assert model.requests == []


async def test_what_is_wrong_is_said_of_the_place_where_the_model_wrote_it() -> None:
    model = ScriptedModel({"answer": "neutral"}, {"answer": "for"})
    assert (await model.call(COMMENT, Stance)).parsed is Stance.FOR
    assert "requested form: answer: Input should be 'for' or 'against'.\n" in model.prompts[1]


async def test_a_reply_that_was_cut_off_says_what_would_help() -> None:
    model = FunctionModel(lambda _: Completion('{"stance": "fo', finish_reason="length"))
    with pytest.raises(BadAnswer, match="max_tokens= larger"):
        await model.call(COMMENT, Reading)


async def test_references_of_a_schema_are_never_fetched() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}},
        "required": ["a"],
    }
    with pytest.raises(InputError, match="refers to 'http"):
        await FunctionModel(lambda _: {"a": 1}).call(COMMENT, schema)


# --- several replies -----------------------------------------------------------------------------------


class Several(FunctionModel):
    """Gives as many replies as are wanted, in one request."""

    many_generations = True
    keeps_replies = True

    async def complete(self, request: ModelRequest) -> Completion:
        self.requests.append(request)
        texts = [str(self.function(f"{len(self.requests)}.{i}")) for i in range(request.n)]
        return Completion(texts[0], 100, 10 * request.n, "stop", 0.01, others=tuple(texts[1:]))


async def test_several_replies_are_one_request_where_the_provider_can() -> None:
    model, ledger = Several(lambda text: text), Ledger()
    replies = await model.call(COMMENT, n=3, ledger=ledger)
    assert [reply.text for reply in replies] == ["1.0", "1.1", "1.2"]
    assert [request.n for request in model.requests] == [3]
    assert sum(reply.usd for reply in replies) == pytest.approx(0.01), "the request is paid for once"
    assert sum(reply.in_tokens for reply in replies) == 100
    assert sum(reply.out_tokens for reply in replies) == 30
    assert ledger.totals().usd == pytest.approx(0.01)


async def test_further_replies_are_added_to_the_kept_ones() -> None:
    model = Several(lambda text: text)
    await model.call(COMMENT, n=2)
    replies = await model.call(COMMENT, n=4)
    assert [request.n for request in model.requests] == [2, 2]
    assert [reply.text for reply in replies] == ["1.0", "1.1", "2.0", "2.1"]
    assert [reply.cached for reply in replies] == [True, True, False, False]
    assert sum(reply.usd for reply in replies) == pytest.approx(0.01)


async def test_several_replies_are_several_requests_elsewhere() -> None:
    numbers = iter(range(10))

    class Counting(FunctionModel):
        keeps_replies = True

    model = Counting(lambda _: f"reply {next(numbers)}")
    replies = await model.call(COMMENT, n=3)
    assert sorted(reply.text for reply in replies) == ["reply 0", "reply 1", "reply 2"]
    assert len(model.requests) == 3
    again = await model.call(COMMENT, n=3)
    assert [reply.text for reply in again] == [reply.text for reply in replies]
    assert len(model.requests) == 3


async def test_bad_replies_among_several_are_asked_for_by_themselves() -> None:
    replies = iter([["for", "maybe", "against"], ["for"]])

    class Listed(Several):
        async def complete(self, request: ModelRequest) -> Completion:
            self.requests.append(request)
            texts = [json.dumps({"answer": word}) for word in next(replies)]
            return Completion(texts[0], 10, 10, "stop", others=tuple(texts[1:]))

    model = Listed(str)
    found = await model.call(COMMENT, Stance, n=3)
    assert [reply.parsed for reply in found] == [Stance.FOR, Stance.AGAINST, Stance.FOR]
    assert [request.n for request in model.requests] == [3, 1]


# --- pieces --------------------------------------------------------------------------------------------


class Streaming(FunctionModel):
    streams = True
    keeps_replies = True

    async def complete(self, request: ModelRequest) -> Completion:
        self.requests.append(request)
        for word in ("The ", "40 ", "is late."):
            if request.on_chunk is not None:
                request.on_chunk(word)
        return Completion("The 40 is late.", 5, 5, "stop")


async def test_pieces_are_handed_on_as_they_come() -> None:
    pieces: list[str] = []
    reply = await Streaming(str).call(COMMENT, on_chunk=pieces.append)
    assert pieces == ["The ", "40 ", "is late."]
    assert reply.text == "".join(pieces)


async def test_a_callback_that_would_have_to_be_awaited_is_refused() -> None:
    async def on_chunk(_: str) -> None: ...

    with pytest.raises(InputError, match="must be a plain function"):
        await FunctionModel(str.upper).call("late", on_chunk=on_chunk)


async def test_models_that_do_not_stream_and_kept_replies_come_in_one_piece() -> None:
    pieces: list[str] = []
    await FunctionModel(lambda _: "The 40.").call(COMMENT, on_chunk=pieces.append)
    model = Streaming(str)
    await model.call(COMMENT)
    await model.call(COMMENT, on_chunk=pieces.append)
    assert pieces == ["The 40.", "The 40 is late."]
    with pytest.raises(InputError, match="pieces of one reply"):
        await model.call(COMMENT, n=2, on_chunk=pieces.append)


@pytest.mark.parametrize("model", [Streaming(str), FunctionModel(lambda _: "x")], ids=["streams", "does-not"])
async def test_a_failing_callback_ends_the_call_and_is_not_paid_for_again(model: FunctionModel) -> None:
    def fails(_: str) -> None:
        raise ZeroDivisionError("no progress bar")

    with pytest.raises(PermanentError, match="`on_chunk` callback raised ZeroDivisionError"):
        await model.call(COMMENT, on_chunk=fails)
    assert len(model.requests) == 1


# --- many calls, kept replies, parameters --------------------------------------------------------------


async def test_failures_stand_among_the_replies() -> None:
    def reply(prompt: str) -> str:
        if "broken" in prompt:
            raise ValueError("this one never works")
        return prompt.upper()

    found = await FunctionModel(reply).call_many(["late", "broken", "early"], retry=RetryPolicy(attempts=1))
    assert [r.text if isinstance(r, Completion) else type(r).__name__ for r in found] == [
        "LATE",
        "TransientError",
        "EARLY",
    ]


@pytest.mark.parametrize(
    "column",
    [pd.Series(["late", "early"]), np.array(["late", "early"]), ("late", "early"), iter(["late", "early"])],
    ids=["series", "array", "tuple", "iterator"],
)
async def test_prompts_may_come_as_a_column(column: Any) -> None:
    found = await FunctionModel(str.upper).call_many(column)
    assert [reply.text for reply in found] == ["LATE", "EARLY"]


@pytest.mark.parametrize("prompts", ["late", {"role": "user", "content": "late"}, {"late"}, 3])
async def test_what_is_no_list_of_prompts_is_refused(prompts: Any) -> None:
    with pytest.raises(InputError, match="must be a list of prompts"):
        await FunctionModel(str.upper).call_many(prompts)


async def test_a_refused_key_ends_all_calls_at_once() -> None:
    model = ScriptedModel(AuthenticationFailed("The key was refused."), concurrency=1)
    found = await model.call_many([f"comment {n}" for n in range(50)])
    assert all(isinstance(error, AuthenticationFailed) for error in found)
    assert len(model.requests) < 5


async def test_a_budget_ends_the_calls_before_it_is_passed() -> None:
    model = FunctionModel(lambda _: Completion("ok", 10, 10, "stop"), cost=(0.001, 0.001), concurrency=1)
    allow_paid_calls(True)
    try:
        found = await model.call_many(["late"] * 100, budget=1.0, max_tokens=10)
    finally:
        allow_paid_calls(False)
    answered = [reply for reply in found if isinstance(reply, Completion)]
    assert 10 < len(answered) < 100
    assert sum(reply.usd or 0.0 for reply in answered) <= 1.0
    assert isinstance(found[-1], BudgetReached)


async def test_equal_calls_are_paid_for_once(tmp_path: Path) -> None:
    asked: list[str] = []

    async def fn(_: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        asked.append(prompt)
        return prompt.upper(), (10, 10)

    model, folder = Model("m", None, fn, cost=0), tmp_path / "kept"
    first, second = await model.call_many(["late", "late"], cache=folder)
    third = await model.call("late", cache=folder)
    assert asked == ["late"]
    assert [reply.cached for reply in (first, second, third)] == [False, True, True]
    await model.call("late", cache=False)
    await model.call("late", system="Shout.", cache=folder)
    await model.call("late", regex="(?s)[A-Z]+.*", cache=tmp_path / "other")
    assert len(asked) == 4


def remembering(**args: Any) -> tuple[Model, list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    async def fn(model: Model, _: str) -> str:
        seen.append(dict(model.args))
        return "ok"

    return Model("mine", None, fn, cost=0, **args), seen


async def test_parameters_of_a_call_are_stronger_than_those_of_the_model() -> None:
    model, seen = remembering(temperature=0.2, params={"top_p": 0.9})
    await model.call("late", temperature=0.8)
    await model.call("late")
    await model.call("late", temperature=0.8)
    assert seen == [{"temperature": 0.8, "top_p": 0.9}, {"temperature": 0.2, "top_p": 0.9}]
    assert model.args == {"temperature": 0.2, "top_p": 0.9}


async def test_calls_at_the_same_time_do_not_mix_their_parameters() -> None:
    model, seen = remembering(temperature=0.0)
    await asyncio.gather(*(model.call("late", temperature=n / 10, cache=False) for n in range(20)))
    assert sorted(args["temperature"] for args in seen) == [n / 10 for n in range(20)]


async def test_unknown_parameters_are_refused_before_anything_is_sent() -> None:
    model, seen = remembering(temperature=0.2)
    with pytest.raises(UnknownName, match="Did you mean 'temperature'"):
        await model.call("late", temprature=0.3)
    plain, seen_by_plain = remembering()
    with pytest.raises(InputError, match=r"model\.args"):
        await plain.call("late", temperature=0.3)
    assert seen == seen_by_plain == []
    with pytest.raises(InputError, match="given twice"):
        remembering(top_p=1, params={"top_p": 2})


@pytest.mark.parametrize(
    ("params", "told"),
    [
        pytest.param({"temperature": "hot"}, "temperature='hot' must be a number of at least 0", id="word"),
        pytest.param({"top_p": 1.5}, "a number from 0 to 1", id="range"),
        pytest.param({"max_tokens": 0}, "a whole number of at least 1", id="none"),
        pytest.param({"max_tokens": "100"}, "a whole number of at least 1", id="text"),
        pytest.param({"stop": ["\n", ""]}, "none of them empty", id="stop"),
        pytest.param({"seed": 1.5}, "seed=1.5 must be a whole number", id="seed"),
    ],
)
async def test_values_that_no_provider_takes_are_refused_before_anything_is_sent(
    params: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        OpenAIModel("m", "sk-some-key", "http://127.0.0.1:9/v1", cost=0, **params)
    model = OpenAIModel("m", "sk-some-key", "http://127.0.0.1:9/v1", cost=0)
    with pytest.raises(InputError, match=told):
        await model.call("late", **params)


async def test_none_leaves_a_parameter_out() -> None:
    model = OpenAIModel("m", "sk-some-key", "http://127.0.0.1:9/v1", temperature=0.2, top_p=0.9)
    posed = build_request(model, as_messages("late"), settings=StepSettings({"temperature": None}))
    assert model.request_body(posed) == {"model": "m", "messages": list(posed.messages), "top_p": 0.9}
    mine, seen = remembering(temperature=0.2)
    await mine.call("late", temperature=None, cache=False)
    assert seen == [{"temperature": None}], "a function of one's own is told"


# --- subclasses and fallbacks --------------------------------------------------------------------------


def plain_subclass() -> Model:
    class Plain(Model):
        def complete(self, request: ModelRequest) -> tuple[str, tuple[int, int]]:  # type: ignore[override]
            return request.prompt.upper(), (3, 1)

    return Plain("plain", cost=0)


def async_subclass() -> Model:
    class Async(Model):
        async def complete(self, request: ModelRequest) -> str:  # type: ignore[override]
            return request.prompt.upper()

    return Async("async", cost=0)


@pytest.mark.parametrize("made", [plain_subclass, async_subclass], ids=["plain", "async"])
async def test_a_subclass_needs_one_method(made: Callable[[], Model]) -> None:
    assert [r.text for r in await made().call_many(["late", "early"]) if isinstance(r, Completion)] == [
        "LATE",
        "EARLY",
    ]


def test_strings_name_models_among_fallbacks_too() -> None:
    models = Fallbacks(("openai:gpt-4o-mini", "local")).models
    assert [type(model) for model in models] == [OpenAIModel, LocalModel]
    with pytest.raises(UnknownName, match="Did you mean 'openai'"):
        Fallbacks(("opnai:gpt-4o-mini",))
    for wrong in (LocalModel(), "local", [OpenAIModel], ()):
        with pytest.raises(InputError, match="models"):
            Fallbacks(wrong)  # type: ignore[arg-type]


async def test_the_next_model_answers_what_the_first_could_not() -> None:
    def picky(prompt: str) -> str:
        if "late" in prompt:
            raise AuthenticationFailed("The key was refused.")
        return "first"

    models = Fallbacks(
        (FunctionModel(picky, name="first"), LocalModel(), FunctionModel(lambda _: "second", name="b"))
    )
    with pytest.warns(UserWarning, match="going on with model 'b'"):
        reply = await models.call(COMMENT)
    assert (reply.text, reply.model) == ("second", "b")
    assert models.sync.call("A fine morning.").text == "first"
    with pytest.raises(InputError, match="no chat model"):
        await Fallbacks((LocalModel(),)).call(COMMENT)


# --- one request goes ahead ----------------------------------------------------------------------------


class Learning(FunctionModel):
    """Like a server that refuses a form: what was sent in it must be sent again."""

    learns = True

    def __init__(self, **args: Any) -> None:
        super().__init__(lambda _: GOOD, **args)
        self.refused = 0
        self.knows = False

    async def complete(self, request: ModelRequest) -> Completion:
        if not self.knows:
            await asyncio.sleep(0.02)
            self.refused += 1
            self.knows = True
        return await super().complete(request)


async def test_one_refusal_is_enough_for_all_requests_in_flight() -> None:
    model = Learning()
    replies = await model.call_many([f"{COMMENT} {n}" for n in range(40)], Reading)
    assert all(isinstance(reply, Completion) for reply in replies)
    assert model.refused == 1


async def test_a_server_without_structured_output_refuses_once(fake_provider: FakeProvider) -> None:
    fake_provider.control(response_format="none", latency=0.02)
    model = OpenAIModel("m", fake_provider.api_key, fake_provider.base_url, cost=0)
    tasks = [SummarizeDocument(n, f"The number {n} bus was late again.") for n in range(40)]
    run = Run()
    answers = await run_async(ask_all(model, tasks, run=run))
    assert not run.failures
    assert len(answers) == 40
    seen = fake_provider.stats(log=False)
    refused = int(seen.counters["requests"]) - seen.paid
    assert (seen.paid, refused) == (40, 2), "refused once as a schema, once as some JSON object"


async def test_a_slow_first_request_holds_the_others_up_for_a_moment_only() -> None:
    first_may_end, others_done = asyncio.Event(), 0

    class Slow(FunctionModel):
        learns = True

        async def complete(self, request: ModelRequest) -> Completion:
            nonlocal others_done
            if len(self.requests) == 0:
                self.requests.append(request)
                await first_may_end.wait()
                return Completion("first")
            reply = await super().complete(request)
            others_done += 1
            if others_done == 5:
                first_may_end.set()
            return reply

    replies = await run_async(_gathered(Slow(lambda _: "other"), 6))
    assert sorted(reply.text for reply in replies) == ["first", *["other"] * 5]


async def test_requests_that_waited_keep_within_the_rate_limit() -> None:
    starts: list[float] = []

    class Slow(FunctionModel):
        learns = True

        async def complete(self, request: ModelRequest) -> Completion:
            starts.append(time.monotonic())
            if len(starts) == 1:
                await asyncio.sleep(0.25)
            return await super().complete(request)

    await Slow(lambda _: "ok", rate_limit=(5, 0.5)).call_many([f"comment {n}" for n in range(15)])
    assert len(starts) == 15
    closest = min(late - early for early, late in zip(starts, starts[5:], strict=False))
    assert closest >= 0.5, f"six starts within {closest:.3f} seconds"


async def _gathered(model: Model, n: int) -> list[Completion]:
    return await asyncio.gather(*(model.reply_to(ModelRequest(as_messages(str(i)))) for i in range(n)))
