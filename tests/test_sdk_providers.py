"""What is special about Anthropic, Gemini, any-llm and LiteLLM."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.test_providers import FOLLOWING, QUESTION, SCHEMA, asked, attempt
from tests.wire_servers.anthropic_wire import AnthropicWire
from tests.wire_servers.fixtures import CASES, Stand, as_params, standing
from tests.wire_servers.gemini_wire import GeminiWire
from tests.wire_servers.openai_wire import OpenAIWire
from tests.wire_servers.server import KEY, Fault, WireServer, running
from text_lloom.errors import (
    AuthenticationFailed,
    InputError,
    LloomError,
    MissingPackage,
    ModelSetupError,
    PaidCallRefused,
    RateLimited,
    UnknownName,
)
from text_lloom.llm import (
    AnthropicModel,
    AnyEmbedModel,
    AnyModel,
    Completion,
    EmbedModel,
    GeminiEmbedModel,
    GeminiModel,
    LiteLLMEmbedModel,
    LiteLLMModel,
    Model,
)
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.control.rate_limits import Window
from text_lloom.llm.providers.litellm import deployments_of
from text_lloom.llm.providers.registry import embedder_from, model_from
from text_lloom.llm.runtime.event_loop import run_async


async def ask(model: Model, prompt: object = QUESTION, **fields: Any) -> Completion:
    return await attempt(model, asked(model, prompt, **fields))


# --- keys and packages ---------------------------------------------------------------------------------

MAKERS: list[tuple[str, str, str, Any]] = [
    ("anthropic", "anthropic", "anthropic", lambda: AnthropicModel("m", "key")),
    ("gemini", "google.genai", "gemini", lambda: GeminiModel("m", "key")),
    ("gemini-embed", "google.genai", "gemini", lambda: GeminiEmbedModel("m", "key")),
    ("any", "any_llm", "any", lambda: AnyModel("mistral:m", "key")),
    ("any-embed", "any_llm", "any", lambda: AnyEmbedModel("mistral:m", "key")),
    ("litellm", "litellm", "litellm", lambda: LiteLLMModel("mistral/m")),
    ("litellm-embed", "litellm", "litellm", lambda: LiteLLMEmbedModel("mistral/m")),
]


@pytest.mark.parametrize(("package", "extra", "make"), [m[1:] for m in MAKERS], ids=[m[0] for m in MAKERS])
def test_a_missing_package_is_named_with_what_to_run(
    package: str, extra: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage) as raised:
        _ = model.client
    assert f"pip install 'text_lloom[{extra}]'" in str(raised.value)


def test_making_models_loads_no_package() -> None:
    code = (
        "import sys; from text_lloom.llm import *; "
        "AnthropicModel('m', 'k'), GeminiModel('m', 'k'), AnyModel('mistral:m', 'k'), LiteLLMModel('a/m'); "
        "print([name for name in ('anthropic', 'google.genai', 'any_llm', 'litellm', 'openai') "
        "if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("variable", "make"),
    [
        ("ANTHROPIC_API_KEY", lambda **s: AnthropicModel("m", **s)),
        ("GEMINI_API_KEY", lambda **s: GeminiModel("m", **s)),
        ("GOOGLE_API_KEY", lambda **s: GeminiEmbedModel("m", **s)),
    ],
)
def test_keys_come_from_the_providers_variable_for_the_provider_alone(
    variable: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("anthropic")
    with pytest.raises(ModelSetupError, match=r"Set the environment variable \w+_API_KEY"):
        _ = make().client
    monkeypatch.setenv(variable, "key-of-this-provider")
    assert make().api_key == "key-of-this-provider"
    assert make(base_url="http://127.0.0.1:9").api_key is None
    assert "key-of-this-provider" not in repr(make())


async def test_the_environment_never_sends_a_key_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("anthropic")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with running(AnthropicWire()) as server:
        with pytest.raises(AuthenticationFailed):
            await ask(AnthropicModel("claude-test", base_url=server.url, cost=0))
        assert KEY not in json.dumps(server.last.headers)


# --- Anthropic -----------------------------------------------------------------------------------------


@pytest.fixture
def anthropic_wire() -> AnthropicWire:
    pytest.importorskip("anthropic")
    return AnthropicWire()


@pytest.fixture
def anthropic_server(anthropic_wire: AnthropicWire) -> Iterator[WireServer]:
    with running(anthropic_wire) as server:
        yield server


@pytest.mark.parametrize(("structured", "requests"), [("native", 1), ("tools", 2), ("none", 3)])
async def test_anthropic_keeps_forms_as_strictly_as_the_model_can(
    structured: str, requests: int, anthropic_wire: AnthropicWire, anthropic_server: WireServer
) -> None:
    anthropic_wire.structured = structured
    model = AnthropicModel("claude-test", KEY, anthropic_server.url, cost=0)
    reply = await ask(model, schema=SCHEMA)
    assert len(anthropic_server.received) == requests
    if structured != "none":
        assert json.loads(reply.text) == FOLLOWING
    pieces: list[str] = []
    streamed = await ask(model, schema=SCHEMA, on_chunk=pieces.append)
    assert streamed.text == "".join(pieces)
    if structured != "none":
        assert json.loads(streamed.text) == FOLLOWING
    assert len(anthropic_server.received) == requests + 1


async def test_anthropic_is_asked_for_no_more_than_the_model_can_write(anthropic_server: WireServer) -> None:
    model = AnthropicModel("claude-3-haiku", KEY, anthropic_server.url, cost=0)
    said = "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-3-haiku"
    original = anthropic_server.dialect.asked

    def picky(received: Any) -> Any:
        from tests.wire_servers.anthropic_wire import error_response

        if received.body["max_tokens"] > 4096:
            raise error_response(400, "invalid_request_error", said)
        return original(received)

    anthropic_server.dialect.asked = picky  # type: ignore[method-assign]
    await ask(model)
    await ask(model)
    assert [received.body["max_tokens"] for received in anthropic_server.received] == [8192, 4096, 4096]


async def test_effort_and_thinking_reach_anthropic(anthropic_server: WireServer) -> None:
    model = AnthropicModel("claude-test", KEY, anthropic_server.url, cost=0, thinking={"type": "adaptive"})
    await ask(model, params={"reasoning_effort": "low"}, schema=SCHEMA)
    sent = anthropic_server.last.body
    assert sent["thinking"] == {"type": "adaptive"}
    assert sent["output_config"]["effort"] == "low"
    assert sent["output_config"]["format"]["type"] == "json_schema"


# --- Gemini --------------------------------------------------------------------------------------------


@pytest.fixture
def gemini_wire() -> GeminiWire:
    pytest.importorskip("google.genai")
    return GeminiWire()


@pytest.fixture
def gemini_server(gemini_wire: GeminiWire) -> Iterator[WireServer]:
    with running(gemini_wire) as server:
        yield server


async def test_thinking_is_paid_as_output(gemini_wire: GeminiWire, gemini_server: WireServer) -> None:
    gemini_wire.thoughts = 300
    model = GeminiModel("gemini-2.5-flash", KEY, gemini_server.url, cost=0)
    reply = await ask(model, params={"reasoning_effort": "low"})
    assert reply.out_tokens == gemini_server.out_tokens + 300
    thinking = gemini_server.last.body["generationConfig"]["thinkingConfig"]
    assert thinking in ({"thinkingBudget": 1024}, {"thinking_budget": 1024})
    newer = GeminiModel("gemini-3-flash", KEY, gemini_server.url, cost=0)
    await ask(newer, params={"reasoning_effort": "high"})
    assert "HIGH" in gemini_server.last.body["generationConfig"]["thinkingConfig"].values()


async def test_gemini_without_schemas_gets_json_mode(
    gemini_wire: GeminiWire, gemini_server: WireServer
) -> None:
    gemini_wire.refuses |= {"responseJsonSchema"}
    model = GeminiModel("gemini-test", KEY, gemini_server.url, cost=0)
    await ask(model, schema=SCHEMA)
    assert gemini_server.last.body["generationConfig"] == {"responseMimeType": "application/json"}


async def test_gemini_models_with_one_candidate_are_asked_several_times(
    gemini_wire: GeminiWire, gemini_server: WireServer
) -> None:
    gemini_wire.refuses |= {"candidateCount"}
    model = GeminiModel("gemini-test", KEY, gemini_server.url, cost=0)
    reply = await ask(model, n=3)
    assert reply.others == (reply.text, reply.text)
    assert (reply.in_tokens, reply.out_tokens) == (gemini_server.in_tokens, gemini_server.out_tokens)
    assert not model.many_generations


async def test_gemini_waits_as_long_as_google_says(gemini_server: WireServer) -> None:
    gemini_server.faults.append(Fault("no credit", retry_after=31))
    with pytest.raises(RateLimited) as raised:
        await ask(GeminiModel("gemini-test", KEY, gemini_server.url, cost=0))
    assert raised.value.retry_after == 31


async def test_vertex_is_asked_at_its_own_address(gemini_server: WireServer) -> None:
    from google.oauth2.credentials import Credentials

    where = {"vertex": True, "project": "survey", "location": "europe-west4", "base_url": gemini_server.url}
    credentials = Credentials(token=KEY)
    await ask(GeminiModel("gemini-test", credentials=credentials, cost=0, **where))  # type: ignore[arg-type]
    assert gemini_server.last.path.endswith(
        "/projects/survey/locations/europe-west4/publishers/google/models/gemini-test:generateContent"
    )
    embedder = GeminiEmbedModel(
        credentials=credentials, cost=0, dimensions=64, task_type="CLUSTERING", **where
    )  # type: ignore[arg-type]
    found = await run_async(embedder.embed_batch(["The bus is late"]))
    assert found.vectors.shape == (1, 64)
    assert "CLUSTERING" in json.dumps(gemini_server.last.body)


# --- cost ----------------------------------------------------------------------------------------------


@pytest.fixture(params=as_params(case for case in CASES if case.id != "openai-completions"))
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with standing(request.param) as found:
        yield found


async def test_each_request_costs_what_its_tokens_cost(stand: Stand) -> None:
    before = allow_paid_calls(True)
    try:
        reply = await stand.model(cost=(3e-6, 15e-6)).call(QUESTION)
    finally:
        allow_paid_calls(before)
    assert isinstance(reply, Completion)
    assert reply.usd == pytest.approx(3e-6 * stand.server.in_tokens + 15e-6 * stand.server.out_tokens)
    assert reply.seconds is not None


async def test_paid_calls_are_refused_where_that_is_asked_for(stand: Stand) -> None:
    with pytest.raises(PaidCallRefused):
        await stand.model(cost=(1e-6, 1e-6)).call(QUESTION)
    assert not stand.server.received


@pytest.mark.parametrize(
    "model",
    [
        AnthropicModel("claude-sonnet-4-5", "k"),
        GeminiModel("gemini-2.5-flash", "k"),
        AnyModel("mistral:mistral-small-latest", "k"),
        GeminiEmbedModel(api_key="k"),
        AnyModel("bedrock:anthropic.claude-3-haiku-20240307-v1:0"),
        LiteLLMModel("gpt-4o"),
        LiteLLMModel("bedrock/anthropic.claude-3-haiku-20240307-v1:0"),
    ],
    ids=repr,
)
def test_list_prices_are_known(model: Model | EmbedModel) -> None:
    assert model.cost is not None
    assert model.cost.input > 0


# --- LiteLLM configurations ----------------------------------------------------------------------------


def configuration(url: str) -> dict[str, Any]:
    """As users of LiteLLM write it."""
    return {
        "model_list": [
            {
                "model_name": "gpt-4o",
                "litellm_params": {
                    "model": "openai/gpt-4o",
                    "api_base": f"{url}/v1",
                    "api_key": "os.environ/LAB_KEY",
                    "temperature": 0.1,
                    "max_tokens": 4096,
                },
            },
            {
                "model_name": "backup",
                "litellm_params": {"model": "openai/gpt-4o-mini", "api_base": f"{url}/v1", "api_key": KEY},
            },
        ],
        "fallbacks": [{"gpt-4o": ["backup"]}],
        "rate_limit": {"gpt-4o": "30000 per minute"},
        "request_limit": {"gpt-4o": "500 per minute"},
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_litellm_configuration_runs_the_whole_pipeline(
    corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("litellm")
    monkeypatch.setenv("LAB_KEY", KEY)
    df = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(12)
    with running(OpenAIWire()) as server:
        config = configuration(server.url)
        model = LiteLLMModel("gpt-4o", config, cost=0)
        embedder = LiteLLMEmbedModel(
            config={"name": "openai/embed", "api_base": f"{server.url}/v1", "api_key": KEY, "batch_size": 8},
            cost=0,
        )
        l = wb.lloom(df, "comment", "doc_id", model, embedder, model, model, cache=False)  # noqa: E741
        await l.gen(confirm=False)
        await l.select_auto(max_concepts=2)
        table = await l.score()
        assert table["score"].notna().all()
        assert len(l.export_df()) == 2
        chats = [r.body for r in server.received if r.path.endswith("/chat/completions")]
        assert {(body["model"], body["temperature"], body["max_tokens"]) for body in chats} == {
            ("gpt-4o", 0.1, 4096)
        }
        status = {
            (row["unit"], row["limit"])
            for row in l.rate_status().to_dict("records")
            if row["model"] == "gpt-4o"
        }
        assert status == {("tokens", 30000), ("requests", 500)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_litellm_fallbacks_are_asked_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("litellm")
    monkeypatch.setenv("LAB_KEY", KEY)
    with running(OpenAIWire()) as server:
        model = LiteLLMModel("gpt-4o", configuration(server.url), cost=0)
        server.faults.append(Fault("too long"))
        reply = await ask(model)
        assert [received.body["model"] for received in server.received] == ["gpt-4o", "gpt-4o-mini"]
        assert reply.model == "gpt-4o-mini"
        server.faults.append(Fault("server error"))
        with pytest.raises(LloomError, match="server error"):
            await ask(model)
        assert len(server.received) == 3, "what may pass is tried again before another model is asked"


def test_every_shape_of_a_litellm_configuration_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "lab-key-0123456789")
    listed = LiteLLMModel("gpt-4o", configuration("http://gateway:4000"))
    assert [part.model for part in listed.deployments] == ["openai/gpt-4o", "openai/gpt-4o-mini"]
    assert listed.limit.windows == (Window(500, 60.0, "requests"), Window(30000, 60.0, "tokens"))
    assert dict(listed.params) == {"temperature": 0.1, "max_tokens": 4096}
    assert listed.api_key == "lab-key-0123456789"
    assert "lab-key" not in f"{listed!r} {listed.deployments!r} {listed.provider_key}"
    assert listed.redact("Bearer lab-key-0123456789") == "Bearer ***"

    flat = LiteLLMModel(
        config={"name": "anthropic/claude", "temperature": 0.2, "rate_limit": "10 per second"}
    )
    assert (flat.name, dict(flat.params)) == ("anthropic/claude", {"temperature": 0.2})
    assert flat.limit.windows == (Window(10, 1.0, "tokens"),)

    ordered = deployments_of(
        "", {"models": [{"name": "a/x", "timeout": 30, "max_retries": 3}, {"name": "b/y"}]}
    )
    assert [part.model for part in ordered] == ["a/x", "b/y"]
    older = deployments_of(
        "gpt-4o", {"model_list": [{"model_name": "gpt-4o", "litellm_params": {"rpm": 60}}]}
    )
    assert (older[0].model, older[0].requests) == ("gpt-4o", "60/minute")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([{"model_name": "a"}], "config must be a mapping"),
        ({"model_list": []}, "at least one"),
        ({"model_list": [{"model_name": "other"}]}, "Unknown model_name in config: 'mine'"),
        ({"model_list": [{"litellm_params": {}}]}, "needs 'model_name'"),
        ({"model_list": [{"model_name": "mine"}], "fallback": []}, "Did you mean 'fallbacks'"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused(config: Any, message: str) -> None:
    with pytest.raises((InputError, UnknownName), match=message):
        LiteLLMModel("mine", config)


def test_another_address_gets_no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openais-own-key")
    at = {"api_base": "http://gateway:4000/v1"}
    for model in (
        LiteLLMModel("openai/m", base_url="http://gateway:4000/v1"),
        LiteLLMModel(config={"name": "openai/m", **at}),
        LiteLLMModel(
            config={"model_list": [{"model_name": "m", "litellm_params": {"model": "openai/m", **at}}]}
        ),
    ):
        assert model.deployments[0].settings["api_key"] == "EMPTY"
    azure = LiteLLMModel(config={"name": "azure/m", "api_base": "https://mine.openai.azure.com"})
    assert "api_key" not in azure.deployments[0].settings


@pytest.mark.parametrize("release", ["1.82.7", "1.82.8"])
def test_malicious_releases_of_litellm_are_never_imported(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text_lloom.llm.providers.litellm.version", lambda _: release)
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ModelSetupError, match=f"litellm {release} .* was not imported"):
        _ = LiteLLMModel("openai/gpt-4o", api_key="k").client


@pytest.mark.slow
def test_litellm_fetches_nothing_when_it_is_imported() -> None:
    pytest.importorskip("litellm")
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit(f'connects to {a}')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from text_lloom.llm import LiteLLMModel\n"
        "print(LiteLLMModel('openai/gpt-4o', api_key='k').client.__name__)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert (ran.stdout.strip(), ran.returncode) == ("litellm", 0), ran.stderr


# --- strings and names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mistral", "mistral:", ":model", ""])
def test_a_model_of_any_llm_names_its_provider(name: str) -> None:
    with pytest.raises(InputError, match="'provider:model'"):
        AnyModel(name)


def test_any_llm_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("any_llm")
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    with pytest.raises(ModelSetupError, match=r"MISTRAL_API_KEY|any-llm-sdk\[mistral\]"):
        _ = AnyModel("mistral:mistral-small-latest").client
    with pytest.raises(ModelSetupError, match="nobody"):
        _ = AnyModel("nobody:model").client


@pytest.mark.parametrize(
    ("spec", "kind", "package"),
    [
        ("anthropic:claude-sonnet-4-5", AnthropicModel, "anthropic"),
        ("gemini:gemini-2.5-flash", GeminiModel, "google.genai"),
        ("vertex:gemini-2.5-flash", GeminiModel, "google.genai"),
        ("any:bedrock:amazon.nova-lite-v1:0", AnyModel, "any_llm"),
        ("litellm:bedrock/amazon.nova-lite-v1:0", LiteLLMModel, "litellm"),
    ],
)
def test_strings_name_models(spec: str, kind: type[Model], package: str) -> None:
    pytest.importorskip(package)
    model = model_from(spec)
    assert type(model) is kind
    assert spec.endswith(model.name)


def test_strings_name_embedding_models() -> None:
    pytest.importorskip("google.genai")
    embedder = embedder_from("gemini:gemini-embedding-001", api_key="k")
    assert isinstance(embedder, GeminiEmbedModel)
