"""Servers with odd replies: they are understood, or give an error that says what to do."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union

import pytest
from pydantic import BaseModel, Field

from tests.wire_servers.scripted import Events, Page, Said, ScriptedServer, completion, piece, scripted
from text_lloom.errors import (
    AuthenticationFailed,
    BadAnswer,
    CallbackFailed,
    ModelNotFound,
    PermanentError,
    RateLimited,
    StepFailed,
    TransientError,
    UnknownName,
)
from text_lloom.llm import OpenAIEmbedModel, OpenAIModel, RetryPolicy
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import embed_all
from text_lloom.llm.providers.openai_formats import strict_schema
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.tasks.form import form_of

QUICK = RetryPolicy(attempts=2, rate_limited=1, base=0.001, longest=0.002)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Bus(BaseModel):
    kind: Literal["bus"]
    line: int | None = None


class Bike(BaseModel):
    kind: Literal["bike"]
    colour: Colour


class Ride(BaseModel):
    vehicle: Annotated[Union[Bus, Bike], Field(discriminator="kind")]  # noqa: UP007


class Place(BaseModel):
    name: str
    parts: list[Place] = Field(default_factory=list)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


def model(server: ScriptedServer, **settings: Any) -> OpenAIModel:
    settings = {"api_key": "sk-some-key", "base_url": f"{server.url}/v1", "cost": 0, **settings}
    return OpenAIModel("late-bus-1", **settings)


async def ask(model: OpenAIModel, schema: Any = None, **options: Any) -> Any:
    return await model.call("Which bus is late?", schema, cache=False, retry=QUICK, **options)


def refused(message: str, param: str | None = None) -> Said:
    return (400, {"error": {"message": message, "type": "invalid_request_error", "param": param}})


# --- several replies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "param"),
    [
        pytest.param("'n' : number must be at most 1", None, id="groq"),
        pytest.param("Only one completion choice is allowed", None, id="llama.cpp"),
        pytest.param("Unsupported value", "n", id="named"),
    ],
)
async def test_a_server_of_one_reply_is_asked_several_times(
    server: ScriptedServer, message: str, param: str | None
) -> None:
    server.reply = lambda body: refused(message, param) if body.get("n", 1) > 1 else completion("Late.")
    asked = model(server)
    assert [reply.text for reply in await ask(asked, n=3)] == ["Late."] * 3
    assert [reply.text for reply in await ask(asked, n=2)] == ["Late."] * 2
    assert [body.get("n") for body in server.bodies] == [3, *[None] * 5], "it is remembered"


async def test_each_of_several_replies_has_its_own_end(server: ScriptedServer) -> None:
    server.reply = lambda body: completion("Late.", "La"[: body["n"]], reasons=["stop", "length"])
    replies = await ask(model(server), n=2)
    assert [(reply.text, reply.finish_reason) for reply in replies] == [("Late.", "stop"), ("La", "length")]


async def test_a_reply_that_was_cut_off_is_not_mended_into_another(server: ScriptedServer) -> None:
    cut, whole = '{"name": "Mill La', '{"name": "Mill Lane", "parts": []}'

    def reply(body: dict[str, Any]) -> Said:
        return completion(cut, whole, reasons=["length", "stop"]) if body.get("n") == 2 else completion(whole)

    server.reply = reply
    assert [one.parsed.name for one in await ask(model(server), Place, n=2)] == ["Mill Lane"] * 2
    assert [body.get("n") for body in server.bodies] == [2, None], "the whole one is not asked for again"


# --- forms ---------------------------------------------------------------------------------------------


async def test_a_schema_that_is_refused_leaves_the_others_strict(server: ScriptedServer) -> None:
    def reply(body: dict[str, Any]) -> Said:
        form = body.get("response_format") or {}
        schema = form.get("json_schema", {}).get("schema", {})
        if "additionalProperties" in schema and schema["additionalProperties"] is not False:
            return refused(
                "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is "
                "required to be supplied and to be false."
            )
        return completion('{"a": 1, "kind": "bus", "line": 40}')

    server.reply = reply
    asked = model(server)
    assert (await ask(asked, dict[str, Any])).parsed["a"] == 1
    assert (await ask(asked, Bus)).parsed == Bus(kind="bus", line=40)
    assert (await ask(asked, dict[str, Any])).parsed["a"] == 1
    kinds = [body["response_format"]["type"] for body in server.bodies]
    assert kinds == ["json_schema", "json_object", "json_schema", "json_object"]


def test_a_choice_of_types_is_one_that_strict_schemas_know() -> None:
    schema = strict_schema(form_of(Ride).schema)  # type: ignore[union-attr, arg-type]
    vehicle = schema["properties"]["vehicle"]
    assert vehicle == {"anyOf": [{"$ref": "#/$defs/Bus"}, {"$ref": "#/$defs/Bike"}]}
    assert schema["$defs"]["Bike"]["properties"]["kind"]["const"] == "bike"


def test_a_type_that_holds_itself_is_an_object_at_the_top() -> None:
    schema = strict_schema(form_of(Place).schema)  # type: ignore[union-attr, arg-type]
    assert schema["type"] == "object"
    assert "$ref" not in schema
    assert schema["properties"]["parts"]["items"] == {"$ref": "#/$defs/Place"}
    assert schema["$defs"]["Place"]["required"] == ["name", "parts"]


@pytest.mark.parametrize(
    "message",
    [
        "invalid temperature: only 1 is allowed for this model",
        "`temperature` may only be set to 1 when thinking is enabled.",
        "This model only supports temperature=1",
    ],
)
async def test_a_temperature_that_nobody_asked_for_is_left_out_in_whatever_words_it_is_refused(
    server: ScriptedServer, message: str
) -> None:
    server.reply = lambda body: refused(message) if "temperature" in body else completion("Late.")
    assert (await ask(model(server))).text == "Late."
    with pytest.raises(PermanentError, match="temperature"):
        await ask(model(server), temperature=0.7)


# --- pieces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["chat", "responses"])
async def test_a_server_that_does_not_stream_gives_the_whole_as_one_piece(
    server: ScriptedServer, endpoint: Any
) -> None:
    if endpoint == "responses":
        text = [{"type": "output_text", "text": "Late."}]
        whole = {
            "object": "response",
            "status": "completed",
            "output": [{"type": "message", "content": text}],
        }
        server.reply = lambda _: whole
    pieces: list[str] = []
    reply = await ask(model(server, endpoint=endpoint), on_chunk=pieces.append)
    assert (reply.text, pieces, len(server.bodies)) == ("Late.", ["Late."], 1)


async def test_a_model_that_may_not_stream_is_asked_for_the_whole(server: ScriptedServer) -> None:
    said = "Your organization must be verified to stream this model."
    server.reply = lambda body: refused(said, "stream") if body.get("stream") else completion("Late.")
    pieces: list[str] = []
    asked = model(server)
    for _ in range(2):
        assert (await ask(asked, on_chunk=pieces.append)).text == "Late."
    assert (pieces, [body.get("stream") for body in server.bodies]) == (["Late."] * 2, [True, None, None])


@pytest.mark.parametrize("said", ["stream is closed", "response_format", "temperature is unsupported"])
async def test_what_a_callback_complains_of_is_not_laid_on_the_server(
    server: ScriptedServer, said: str
) -> None:
    def fails(_: str) -> None:
        raise ValueError(said)

    server.reply = lambda _: Events([piece('{"name": "Mill Lane", "parts": []}', "stop")])
    with pytest.raises(CallbackFailed, match=said):
        await ask(model(server), Place, on_chunk=fails)
    assert len(server.bodies) == 1, "it is paid for once"


async def test_events_that_say_nothing_are_passed_over(server: ScriptedServer) -> None:
    server.reply = lambda _: Events(["null", "[]", piece("La"), piece("te.", "stop")])
    pieces: list[str] = []
    assert (await ask(model(server), on_chunk=pieces.append)).text == "Late."
    assert pieces == ["La", "te."]


async def test_an_error_among_the_events_of_a_response_is_told(server: ScriptedServer) -> None:
    server.reply = lambda _: Events([{"type": "error", "code": "server_error", "message": "Out of order."}])
    with pytest.raises(TransientError, match=r"Out of order\."):
        await ask(model(server, endpoint="responses"), on_chunk=lambda _: None)


# --- no usable reply -----------------------------------------------------------------------------------


async def test_thoughts_whose_beginning_is_in_the_prompt_are_no_part_of_the_reply(
    server: ScriptedServer,
) -> None:
    server.reply = lambda _: completion("The 40 or the 12?\n</think>\n\nThe 40.")
    assert (await ask(model(server))).text == "The 40."
    quoted = '{"name": "a </think> in a document", "parts": []}'
    server.reply = lambda _: completion(quoted)
    assert (await ask(model(server), Place)).parsed.name == "a </think> in a document"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"error": {"code": 429, "message": "Upstream is busy."}}, id="instead"),
        pytest.param(
            {"choices": [{"error": {"code": 429, "message": "Upstream is busy."}, "finish_reason": "error"}]},
            id="inside",
        ),
    ],
)
async def test_an_error_in_a_reply_of_status_200_counts_as_what_it_states(
    server: ScriptedServer, said: dict[str, Any]
) -> None:
    server.reply = lambda _: said
    with pytest.raises(RateLimited, match="Upstream is busy"):
        await ask(model(server))
    assert len(server.bodies) == 2, "it is tried again"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"choices": ["Late."]}, id="no-choice"),
        pytest.param({"choices": {"text": "Late."}}, id="no-list"),
        pytest.param({"error": "Unexpected endpoint"}, id="error"),
        pytest.param(["Late."], id="list"),
    ],
)
async def test_what_is_no_completion_is_shown(server: ScriptedServer, said: Any) -> None:
    server.reply = lambda _: said
    with pytest.raises(PermanentError, match="The server sent no completion but: "):
        await ask(model(server))


# --- addresses and keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("on_chunk", [None, lambda _: None], ids=["whole", "pieces"])
async def test_a_web_page_is_told_from_a_model(server: ScriptedServer, on_chunk: Any) -> None:
    server.reply = lambda _: Page("<html><title>Log in</title></html>")
    with pytest.raises(TransientError) as told:
        await ask(model(server), on_chunk=on_chunk)
    assert "'<html><title>Log in</title></html>' where JSON was expected" in str(told.value)
    assert "this may be the wrong address" in str(told.value)


@pytest.mark.parametrize("kind", ["chat", "embeddings"])
async def test_an_address_without_its_end_is_what_to_look_at(server: ScriptedServer, kind: str) -> None:
    server.reply = lambda _: (404, {"detail": "Not Found"})
    if kind == "chat":
        with pytest.raises(ModelNotFound) as told:
            await ask(model(server, base_url=server.url))
        assert f"the address {server.url} may not be: most end with /v1." in str(told.value)
        return
    embedder = OpenAIEmbedModel("vectors-1", "sk-some-key", server.url, cost=0)
    with pytest.raises(StepFailed, match=r"may not be: most end with /v1\."):
        await run_async(embed_all(embedder, ["a late bus"], run=Run(policy=QUICK)))


async def test_a_gateway_that_got_no_key_says_why(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openais-own-key")
    server.reply = lambda _: (401, {"error": {"message": "No such key."}})
    with pytest.raises(AuthenticationFailed, match=r"No key was sent to http.*give it with api_key="):
        await ask(model(server, api_key=None))
    with pytest.raises(AuthenticationFailed) as told:
        await ask(model(server))
    assert "No key was sent" not in str(told.value)


async def test_a_slow_server_says_what_would_help(server: ScriptedServer) -> None:
    asked = model(server, timeout=0.05)
    server.reply = lambda _: time.sleep(0.2) or completion("Late.")  # type: ignore[func-returns-value]
    with pytest.raises(TransientError, match=r"within 0\.05 seconds.*larger timeout="):
        await ask(asked)


async def test_a_name_that_is_unknown_says_nothing_of_the_address(server: ScriptedServer) -> None:
    server.reply = lambda _: (404, {"error": {"message": "model 'late-bus-1' not found, try pulling it"}})
    with pytest.raises(ModelNotFound) as told:
        await ask(model(server))
    assert "address" not in str(told.value)


async def test_a_server_that_is_not_there_is_asked_about(unused_tcp_port: int) -> None:
    asked = OpenAIModel.ollama("llama3.2", base_url=f"http://127.0.0.1:{unused_tcp_port}/v1")
    with pytest.raises(
        TransientError, match=rf"Is a server running at http://127.0.0.1:{unused_tcp_port}/v1"
    ):
        await ask(asked)


async def test_the_address_of_an_endpoint_is_understood(server: ScriptedServer) -> None:
    assert (await ask(model(server, base_url=f"{server.url}/v1/chat/completions/"))).text == "Late."
    assert server.paths == ["/v1/chat/completions"]


async def test_white_space_around_a_key_is_no_part_of_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(model(server, api_key=" sk-some-key\n"))
    assert server.keys == ["Bearer sk-some-key"]
    monkeypatch.setenv("GROQ_API_KEY", "gsk-key\r\n")
    assert OpenAIModel.groq("llama-3.3-70b-versatile").api_key == "gsk-key"
    monkeypatch.setenv("GROQ_API_KEY", " ")
    assert OpenAIModel.groq("llama-3.3-70b-versatile").api_key is None


# --- embeddings ----------------------------------------------------------------------------------------

TEXTS = ["a late bus", "a bike lane", "fares"]


def rows(body: dict[str, Any], indices: list[Any] | None = None) -> list[dict[str, Any]]:
    """A vector for each text, which tells its length."""
    given = body["input"]
    numbered = range(len(given)) if indices is None else indices
    return [
        {"index": n, "embedding": [float(len(text)), 1.0]} for n, text in zip(numbered, given, strict=True)
    ]


async def embedded(server: ScriptedServer, texts: list[str] = TEXTS, **settings: Any) -> list[float]:
    embedder = OpenAIEmbedModel("vectors-1", "sk-some-key", f"{server.url}/v1", cost=0, **settings)
    found = await run_async(embed_all(embedder, texts, run=Run(policy=QUICK)))
    return [float(row[0]) for row in found]


@pytest.mark.parametrize("order", ["as asked", "reversed", "no index", "null", "all zero"])
async def test_vectors_go_to_their_texts_in_whatever_order_they_come(
    server: ScriptedServer, order: str
) -> None:
    def reply(body: dict[str, Any]) -> Said:
        indices = {"null": [None] * 3, "all zero": [0] * 3}.get(order)
        data = rows(body, indices)
        if order == "no index":
            data = [{"embedding": row["embedding"]} for row in data]
        return {"data": data[::-1] if order == "reversed" else data}

    server.reply = reply
    assert await embedded(server) == [10.0, 11.0, 5.0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(lambda b: rows(b, [1, 0, 0]), r"indices \[1, 0, 0\]", id="index-twice"),
        pytest.param(lambda b: rows(b)[:-1], "2 vectors for 3 texts", id="too-few"),
        pytest.param(lambda b: rows(b) * 2, "6 vectors for 3 texts", id="too-many"),
        pytest.param(lambda b: [], "0 vectors for 3 texts", id="none"),
        pytest.param(lambda b: ["x"], "sent no embeddings but", id="junk"),
        pytest.param(
            lambda b: [{**row, "embedding": [0.1] * (1 + row["index"])} for row in rows(b)],
            r"different lengths: \[1, 2, 3\]",
            id="ragged",
        ),
        pytest.param(
            lambda b: [{**row, "embedding": ["x"]} for row in rows(b)], "where a vector was", id="words"
        ),
    ],
)
async def test_vectors_that_cannot_be_told_apart_are_refused(
    server: ScriptedServer, data: Any, told: str
) -> None:
    server.reply = lambda body: {"data": data(body)}
    with pytest.raises(StepFailed, match=told) as failed:
        await embedded(server)
    assert isinstance(failed.value.__cause__, BadAnswer)


async def test_a_batch_that_is_too_large_for_the_server_is_halved(server: ScriptedServer) -> None:
    def reply(body: dict[str, Any]) -> Said:
        if len(body["input"]) > 2:
            return refused("batch size 5 > maximum allowed batch size 2")
        return {"data": rows(body)}

    server.reply = reply
    assert await embedded(server, [*TEXTS, "tickets", "rain"]) == [10.0, 11.0, 5.0, 7.0, 4.0]
    assert [len(body["input"]) for body in server.bodies] == [5, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("name", "meant"), [("dimension", "dimensions"), ("base_uri", "base_url"), ("batchsize", "batch_size")]
)
def test_an_argument_that_is_misspelt_is_not_passed_on(name: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"Did you mean '{meant}'"):
        OpenAIEmbedModel("vectors-1", "sk-some-key", **{name: 3})
    assert OpenAIEmbedModel("vectors-1", "sk-some-key", input_type="x", late_chunking=True).args


async def test_a_text_that_is_too_long_says_how_to_have_it_cut(server: ScriptedServer) -> None:
    server.reply = lambda _: refused("This model's maximum context length is 512 tokens")
    with pytest.raises(StepFailed, match="with context_window="):
        await embedded(server, ["a late bus " * 2000])
