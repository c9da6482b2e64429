"""Servers that speak OpenAI's protocols: addresses, keys, prices, and what each of them refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.test_providers import FOLLOWING, QUESTION, SCHEMA, asked, attempt
from tests.wire_servers.openai_wire import OpenAIWire
from tests.wire_servers.server import KEY, Fault, WireServer, running
from text_lloom.errors import InputError, LloomError, ModelSetupError, UnknownName
from text_lloom.llm import Completion, Model, OpenAIEmbedModel, OpenAIModel
from text_lloom.llm.providers.openai_formats import read_completion
from text_lloom.llm.providers.registry import embedder_from, model_from
from text_lloom.llm.providers.table import SERVERS
from text_lloom.llm.runtime.event_loop import run_async

OWN = [name for name, server in SERVERS.items() if server.own]
PAID = [name for name, server in SERVERS.items() if not server.own and server.url]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for server in SERVERS.values():
        for name in (*server.key_variables, server.url_variable, "OPENAI_API_VERSION"):
            if name is not None:
                monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wire() -> OpenAIWire:
    return OpenAIWire()


@pytest.fixture
def server(wire: OpenAIWire) -> Iterator[WireServer]:
    with running(wire) as found:
        yield found


async def ask(model: Model, **fields: Any) -> Completion:
    return await attempt(model, asked(model, **fields))


# --- addresses, keys, prices ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAID)
def test_a_providers_key_comes_from_its_own_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = getattr(OpenAIModel, name, None) or OpenAIModel
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openais-own-key")
    variable = SERVERS[name].key_variables[0]
    if name != "openai":
        with pytest.raises(ModelSetupError, match=variable):
            _ = preset("some-model").client
    monkeypatch.setenv(variable, "key-of-this-provider")
    model = preset("some-model")
    assert model.api_key == "key-of-this-provider"
    assert SERVERS[name].url in repr(model.client)
    assert "key-of-this-provider" not in f"{model!r} {model.client!r} {model.limiter_key}"
    elsewhere = preset("some-model", base_url="http://127.0.0.1:9/v1")
    assert elsewhere.api_key == "EMPTY", "another address never gets it"


@pytest.mark.parametrize("name", OWN)
def test_servers_of_ones_own_are_free_and_need_no_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openais-own-key")
    at = {} if SERVERS[name].url else {"base_url": "http://127.0.0.1:9/openai/v1"}
    model = getattr(OpenAIModel, name)("some-model", **at)
    assert (model.api_key, model.is_free) == ("EMPTY", True)
    priced = getattr(OpenAIModel, name)("some-model", **at, cost=(1e-6, 2e-6))
    assert not priced.is_free


def test_the_key_of_a_provider_goes_to_all_of_its_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_token")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key")
    url = "https://x1y2.eu-west-1.aws.endpoints.huggingface.cloud/v1"
    assert OpenAIModel.hf_endpoint("m", base_url=url).api_key == "hf_token"
    assert OpenAIModel.hf_endpoint("m", base_url="https://huggingface.cloud.example/v1").api_key == "EMPTY"
    assert OpenAIModel.azure("m", endpoint="https://mine.openai.azure.com").api_key == "azure-key"


def test_prices_are_those_of_the_provider() -> None:
    at = {"api_key": "key"}
    assert OpenAIModel.groq("llama-3.3-70b-versatile", **at).cost is not None
    assert OpenAIModel.azure("gpt-4o", endpoint="https://m.openai.azure.com", **at).context_window == 128_000
    assert OpenAIModel.mistral("unheard-of-model", **at).cost is None
    assert OpenAIModel("gpt-4o", base_url="http://gateway:4000/v1").cost is None


def test_the_address_of_ollama_is_read_as_ollama_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for written, meant in [
        ("gpu-box", "http://gpu-box:11434/v1"),
        ("0.0.0.0:11435", "http://localhost:11435/v1"),
        ("https://ollama.lab", "https://ollama.lab:443/v1"),
    ]:
        monkeypatch.setenv("OLLAMA_HOST", written)
        assert OpenAIModel.ollama("llama3.2").base_url == meant


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OpenAIModel.kserve("llama3"), "KServe has no address"),
        (lambda: OpenAIModel("m", server="groqq"), "Did you mean 'groq'"),
        (lambda: OpenAIModel("m@http://a/v1", base_url="http://b/v1"), "give one"),
        (lambda: OpenAIModel("m", base_url="localhost:8000"), "must be an address"),
        (lambda: OpenAIModel("m", endpoint="chats"), "Did you mean 'chat'"),
        (lambda: OpenAIModel("m", api_key="k", temprature=0.2), "Did you mean 'temperature'"),
        (lambda: OpenAIModel("m", api_key=5), "api_key must be a string"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Any, message: str) -> None:
    with pytest.raises((InputError, UnknownName), match=message):
        make()


# --- strings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["vllm", "ollama", "llamacpp-server", "lmstudio", "tgi", "kserve"])
async def test_a_string_names_a_server_and_its_address(prefix: str, server: WireServer) -> None:
    model = model_from(f"{prefix}:org/model:7b@{server.url}/v1")
    assert isinstance(model, OpenAIModel)
    assert model.name == "org/model:7b"
    assert QUESTION[:30] in (await ask(model)).text
    assert server.received[0].path == "/v1/chat/completions"
    assert server.received[0].body["model"] == "org/model:7b"
    assert KEY not in json.dumps(server.received[0].headers)


@pytest.fixture(autouse=True)
def _key_of_the_server(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A server that users run themselves accepts any key; these test servers also accept `EMPTY`."""
    if "prefix" in request.fixturenames:
        monkeypatch.setattr(OpenAIWire, "key", lambda self, received: KEY)


async def test_embeddings_of_other_servers_come_as_numbers(server: WireServer) -> None:
    model = embedder_from(f"ollama:nomic-embed-text@{server.url}/v1", api_key=KEY)
    found = await run_async(model.embed_batch(["The bus is late", "The fare is high"]))
    assert found.vectors.shape == (2, 64)
    assert "encoding_format" not in server.last.body
    packed = OpenAIEmbedModel("m", KEY, f"{server.url}/v1", cost=0)
    again = await run_async(packed.embed_batch(["The bus is late", "The fare is high"]))
    assert server.last.body["encoding_format"] == "base64"
    np.testing.assert_allclose(found.vectors, again.vectors, rtol=1e-6)
    assert OpenAIEmbedModel.cohere("embed-v4.0", api_key="k").batch_size == 96


# --- Azure ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "path", "query"),
    [
        ("2024-10-21", "/openai/deployments/mine/chat/completions", {"api-version": "2024-10-21"}),
        (None, "/openai/v1/chat/completions", {}),
        ("preview", "/openai/v1/chat/completions", {"api-version": "preview"}),
    ],
)
async def test_azure_is_asked_as_it_wants(version: str | None, path: str, query: dict[str, str]) -> None:
    wire = OpenAIWire(prefix=path.removesuffix("/chat/completions"), key_header="api-key")
    with running(wire) as server:
        model = OpenAIModel.azure("mine", endpoint=f"{server.url}/", api_key=KEY, api_version=version, cost=0)
        reply = await ask(model)
        assert (server.last.path, server.last.query) == (path, query)
        assert "authorization" not in server.last.headers
    assert reply.in_tokens


# --- what servers refuse -------------------------------------------------------------------------------


async def test_a_reasoning_model_is_understood_from_its_refusals(
    wire: OpenAIWire, server: WireServer
) -> None:
    wire.refuses |= {"temperature", "max_tokens"}
    model = OpenAIModel("gpt-reasoning", KEY, f"{server.url}/v1", cost=0, max_tokens=700)
    assert (await ask(model)).finish_reason == "stop"
    assert len(server.received) == 3
    await ask(model, params={"reasoning_effort": "low"})
    assert len(server.received) == 4
    sent = server.last.body
    assert sent["max_completion_tokens"] == 700
    assert sent["reasoning_effort"] == "low"
    assert not {"temperature", "max_tokens"} & set(sent)


async def test_an_older_server_gets_the_older_name(wire: OpenAIWire, server: WireServer) -> None:
    wire.refuses |= {"max_completion_tokens"}
    model = OpenAIModel.groq("m", base_url=f"{server.url}/v1", api_key=KEY, cost=0, max_tokens=700)
    await ask(model)
    assert server.last.body["max_tokens"] == 700


@pytest.mark.parametrize("endpoint", ["chat", "responses"])
@pytest.mark.parametrize(("accepts", "requests"), [("any", 1), ("json_object", 2), ("none", 3)])
async def test_the_strictest_form_that_a_server_takes_is_found(
    endpoint: Any, accepts: str, requests: int, wire: OpenAIWire, server: WireServer
) -> None:
    wire.accepts = accepts
    model = OpenAIModel("m", KEY, f"{server.url}/v1", cost=0, endpoint=endpoint)
    prompt = "Answer with JSON: what is late?"
    reply = await attempt(model, asked(model, prompt, schema=SCHEMA))
    assert len(server.received) == requests
    if accepts == "any":
        assert json.loads(reply.text) == FOLLOWING
    await attempt(model, asked(model, prompt, schema=SCHEMA))
    assert len(server.received) == requests + 1
    assert model.answer_format == requests - 1


async def test_only_a_refusal_of_the_form_changes_the_form(server: WireServer) -> None:
    model = OpenAIModel("m", KEY, f"{server.url}/v1", cost=0)
    for kind in ("not found", "too long", "filtered"):
        server.faults.append(Fault(kind))  # type: ignore[arg-type]
        with pytest.raises(LloomError):
            await ask(model, schema=SCHEMA)
    assert model.answer_format == 0
    assert len(server.received) == 3


async def test_a_long_piece_arrives_whole(server: WireServer) -> None:
    """A response ends with one event that holds all of it."""
    model = OpenAIModel("m", KEY, f"{server.url}/v1", cost=0, endpoint="responses")
    long = "The bus is late. " * 20_000
    pieces: list[str] = []
    messages = [{"role": "system", "content": long}, {"role": "user", "content": QUESTION}]
    reply = await attempt(model, asked(model, messages, on_chunk=pieces.append))
    assert reply.text == "".join(pieces)


async def test_streaming_works_without_stream_options(wire: OpenAIWire, server: WireServer) -> None:
    wire.refuses |= {"stream_options"}
    model = OpenAIModel("m", KEY, f"{server.url}/v1", cost=0)
    pieces: list[str] = []
    with pytest.warns(UserWarning, match="refuses the parameter 'stream_options'"):
        reply = await ask(model, on_chunk=pieces.append)
    assert "".join(pieces) == reply.text
    assert reply.in_tokens is None


async def test_fields_that_only_one_server_knows_are_sent(server: WireServer) -> None:
    model = OpenAIModel.vllm(
        "m", base_url=f"{server.url}/v1", api_key=KEY, extra_body={"user": "study-7"}, top_k=20
    )
    await ask(model)
    assert (server.last.body["user"], server.last.body["top_k"]) == ("study-7", 20)


async def test_a_pattern_is_kept_by_a_server_that_can(wire: OpenAIWire, server: WireServer) -> None:
    wire.also = {"structured_outputs"}
    await ask(OpenAIModel.vllm("m", base_url=f"{server.url}/v1", api_key=KEY), regex="[A-E]")
    assert server.last.body["structured_outputs"] == {"regex": "[A-E]"}
    await ask(OpenAIModel("m", KEY, f"{server.url}/v1", cost=0), regex="[A-E]")
    assert "structured_outputs" not in server.last.body


async def test_openai_is_told_to_keep_nothing(server: WireServer) -> None:
    model = OpenAIModel("m", KEY, f"{server.url}/v1", cost=0, endpoint="responses")
    await ask(model)
    assert server.last.body["store"] is False


async def test_thoughts_are_no_part_of_the_reply() -> None:
    message = {"role": "assistant", "content": '<think>\nHm, buses.\n</think>\n\n{"quotes": []}'}
    reply = read_completion({"choices": [{"message": message, "finish_reason": "eos_token"}]})
    assert (reply.text, reply.finish_reason) == ('{"quotes": []}', "stop")


async def test_only_a_stated_cost_of_known_meaning_is_taken(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = OpenAIWire.reply

    def with_cost(self: OpenAIWire, asked: Any, reply: Any) -> dict[str, Any]:
        body = original(self, asked, reply)
        body["usage"]["cost"] = 0.0123
        return body

    monkeypatch.setattr(OpenAIWire, "reply", with_cost)
    at = {"base_url": f"{server.url}/v1", "api_key": KEY}
    assert (await ask(OpenAIModel.openrouter("openai/gpt-4o", **at))).usd == 0.0123
    assert (await ask(OpenAIModel.together("m", **at))).usd is None


async def test_a_value_out_of_range_is_not_taken_for_a_refusal(server: WireServer) -> None:
    model = OpenAIModel("m", KEY, f"{server.url}/v1", cost=0)
    said = "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead."
    assert not model.adapt(said, None, 0, sent={"temperature": 3})


# --- the stand-in itself -------------------------------------------------------------------------------


async def test_openais_own_package_reads_the_stand_in(server: WireServer) -> None:
    """The server speaks the format that OpenAI's package expects, and so do we."""
    import openai

    messages: Any = [{"role": "user", "content": QUESTION}]
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{server.url}/v1", max_retries=0) as client:
        chat = await client.chat.completions.create(model="m", messages=messages, n=2)
        streamed = await client.chat.completions.create(model="m", messages=messages, stream=True)
        texts = [chunk.choices[0].delta.content or "" async for chunk in streamed]
        response = await client.responses.create(model="m", input=messages)
        async with client.responses.stream(model="m", input=messages) as stream:
            final = await stream.get_final_response()
        plain = await client.completions.create(model="m", prompt=QUESTION, max_tokens=300)
    assert len(chat.choices) == 2
    model = OpenAIModel("m", KEY, f"{server.url}/v1", cost=0, system_prompt="")
    ours = await attempt(model, asked(model))
    said = {chat.choices[0].message.content, "".join(texts), response.output_text, final.output_text}
    assert said == {plain.choices[0].text} == {ours.text}
    assert response.usage is not None
    assert response.usage.input_tokens == chat.usage.prompt_tokens == plain.usage.prompt_tokens
