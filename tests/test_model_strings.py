"""Models named by strings: providers, fallbacks, what is missing, and the nearest name."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import text_lloom.workbench as wb
from text_lloom.cli import app
from text_lloom.errors import InputError, MissingPackage, ModelNotFound, UnknownName
from text_lloom.llm import Fallbacks, LocalEmbedModel, LocalModel, Model, OpenAIEmbedModel, OpenAIModel
from text_lloom.llm.providers.registry import (
    PROVIDERS,
    Capabilities,
    Provider,
    availability_of,
    capability_table,
    embedder_from,
    model_from,
)


def test_a_string_stands_for_a_model_of_every_operator(comments: pd.DataFrame) -> None:
    l = wb.lloom(  # noqa: E741
        comments,
        "text",
        distill_model="openai:gpt-5-mini",
        cluster_model="openai:text-embedding-3-small",
        synth_model="openai",
        score_model=["openai:gpt-4o-mini", "local"],
    )
    assert isinstance(l.models.distill, OpenAIModel)
    assert l.models.distill.name == "gpt-5-mini"
    assert isinstance(l.models.cluster, OpenAIEmbedModel)
    assert l.models.cluster.name == "text-embedding-3-small"
    assert isinstance(l.models.synth, OpenAIModel)
    assert l.models.synth.name == "gpt-4o"
    assert isinstance(l.models.score, Fallbacks)
    assert l.models.score.label == "gpt-4o-mini → local"
    assert isinstance(l.models.score.models[1], LocalModel)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param("opnai:gpt-4o", "Did you mean 'openai'", id="provider"),
        pytest.param("gpt-4o-mini", "Unknown provider", id="no-provider"),
        pytest.param("", "Unknown provider", id="empty"),
        pytest.param(["openai:gpt-4o", "opnai:x"], "Did you mean 'openai'", id="in-a-list"),
    ],
)
def test_unknown_providers_are_refused_with_the_nearest(comments: pd.DataFrame, spec: Any, told: str) -> None:
    with pytest.raises(UnknownName, match=told) as caught:
        wb.lloom(comments, "text", score_model=spec)
    assert "score_model" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("gpt-5-mini", "openai:gpt-5-mini"),
        ("claude-sonnet-4-5", "anthropic:claude-sonnet-4-5"),
        ("openai/gpt-4o", "openai:gpt-4o"),
        ("google:gemini-2.5-flash", "gemini:gemini-2.5-flash"),
        ("bedrock:anthropic.claude-3-haiku", "any:bedrock:anthropic.claude-3-haiku"),
        ("my-model", "openai:gpt-4o-mini"),
        ("", "openai:gpt-4o-mini"),
    ],
)
def test_what_to_write_instead_is_said(spec: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"such as '{meant}'|Write '{meant}'"):
        model_from(spec)


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("all-MiniLM-L6-v2", "Write 'st:all-MiniLM-L6-v2'"),
        ("sentence-transformers:all-MiniLM-L6-v2", "Write 'st:all-MiniLM-L6-v2'"),
        ("tfidf", "Write 'sparse'"),
        ("gemini", "such as 'gemini:gemini-embedding-001'"),
        ("mistral", "such as 'mistral:mistral-embed'"),
        ("claude-sonnet-4-5", "such as 'openai:text-embedding-3-small'"),
    ],
)
def test_what_to_write_for_vectors_names_a_model_that_gives_them(spec: str, meant: str) -> None:
    with pytest.raises(InputError, match=meant):
        embedder_from(spec)


def test_capitals_and_underscores_do_not_matter() -> None:
    assert model_from("OpenAI:gpt-4o-mini").label == "gpt-4o-mini"
    assert model_from("hf_endpoint:some/model").label == "some/model"
    assert isinstance(model_from("Local"), LocalModel)
    shown = CliRunner().invoke(app, ["run", "no.csv", "--model", "OpenAI:gpt", "--base-url", "http://h/v1"])
    assert "Unknown provider" not in shown.output
    assert "--base-url needs" not in shown.output


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("local:gpt-4o", "Write 'local'"),
        ("vllm:llama@gpu-box:8000/v1", "without its http://"),
        ("inference-protocol:toxicity", r"InferenceProtocolModel\(url, name, labels=…\)"),
    ],
)
def test_a_string_that_would_be_misread_is_refused(spec: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        model_from(spec)


def test_a_blank_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", " ")
    groq = next(provider for provider in PROVIDERS if provider.prefix == "groq")
    assert availability_of(groq) == (False, "needs GROQ_API_KEY")


def test_the_server_that_the_environment_names_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box:11434")
    ollama = next(provider for provider in PROVIDERS if provider.prefix == "ollama")
    assert availability_of(ollama) == (True, "ready: if its server runs at gpu-box:11434")


def test_a_provider_without_embeddings_is_no_cluster_model(comments: pd.DataFrame) -> None:
    chat_only = [provider for provider in PROVIDERS if provider.embed is None]
    assert chat_only
    for provider in chat_only:
        with pytest.raises(InputError, match="this provider has no embedding models"):
            wb.lloom(comments, "text", cluster_model=f"{provider.prefix}:some-model")


def with_missing_package(monkeypatch: pytest.MonkeyPatch) -> Provider:
    provider = Provider(
        "elsewhere",
        "Elsewhere",
        Capabilities(tested=("stand-in",)),
        model="text_lloom.llm.providers.openai:OpenAIModel",
        packages=("a_package_nobody_has",),
        extra="elsewhere",
        key_variables=("ELSEWHERE_API_KEY",),
        example="some-model",
    )
    monkeypatch.setattr("text_lloom.llm.providers.registry.PROVIDERS", (*PROVIDERS, provider))
    return provider


def test_a_missing_package_is_named_with_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = with_missing_package(monkeypatch)
    with pytest.raises(MissingPackage, match=re.escape("pip install 'text_lloom[elsewhere]'")):
        model_from("elsewhere:some-model")
    reason = "needs pip install 'text_lloom[elsewhere]' and ELSEWHERE_API_KEY"
    assert availability_of(provider) == (False, reason)
    shown = CliRunner().invoke(app, ["models"])
    assert re.search(rf"^elsewhere:<name> +{re.escape(reason)}$", shown.stdout, re.MULTILINE)


def test_a_model_must_be_named_where_there_is_no_default() -> None:
    nameless = [p for p in PROVIDERS if p.needs_name and not p.missing_packages and p.model is not None]
    for provider in nameless:
        with pytest.raises(InputError, match=f"'{provider.prefix}:"):
            model_from(provider.prefix)


def test_every_provider_that_is_installed_can_be_made_from_its_example() -> None:
    made = 0
    for provider in PROVIDERS:
        if provider.missing_packages or provider.prefix == "azure" or not provider.example:
            continue
        if provider.model is not None and "." not in provider.can.tested:
            assert provider.maker(provider.model) is not None
        if provider.embed is not None:
            assert provider.maker(provider.embed) is not None
        made += 1
    assert made > 10


def test_making_a_model_sends_nothing_and_needs_no_key() -> None:
    assert model_from("openai:gpt-4o-mini", base_url="http://127.0.0.1:9/v1").label == "gpt-4o-mini"
    assert isinstance(model_from("local"), LocalModel)
    assert isinstance(embedder_from("local"), LocalEmbedModel)


def test_prefixes_are_unique_and_described() -> None:
    prefixes = [provider.prefix for provider in PROVIDERS]
    assert len(prefixes) == len(set(prefixes))
    for provider in PROVIDERS:
        assert provider.model or provider.embed or provider.note
        assert provider.extra or not provider.packages
        assert provider.can.tested
        assert provider.example or not (provider.needs_name and provider.model), provider.prefix


def test_the_table_has_a_row_per_provider() -> None:
    rows = capability_table(PROVIDERS).splitlines()
    assert len(rows) == len(PROVIDERS) + 2
    assert "| OpenAI | `openai` | yes | strict | yes |" in "\n".join(rows)


def test_lloom_models_says_what_is_ready_without_a_key_or_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-0a1b2c3d4e5f")
    shown = CliRunner().invoke(app, ["models"])
    assert shown.exit_code == 0
    assert re.search(r"^local +ready", shown.stdout, re.MULTILINE)
    assert re.search(r"^groq:<name> +ready: GROQ_API_KEY is set$", shown.stdout, re.MULTILINE)
    assert re.search(r"^openai +needs OPENAI_API_KEY$", shown.stdout, re.MULTILINE)
    assert re.search(
        r"^ollama:<name> +ready: if its server runs at http://localhost:11434", shown.stdout, re.M
    )
    assert "0a1b2c3d4e5f" not in shown.output


async def test_a_model_that_the_provider_does_not_know_is_told_with_the_nearest_name() -> None:
    class NotFound(Exception):
        status_code = 404

    async def fn(model: Model, prompt: str) -> str:
        raise NotFound(f"The model {model.name} does not exist")

    with pytest.raises(ModelNotFound, match="Did you mean 'gpt-4o-mini'"):
        await Model("gpt-4o-minni", None, fn, cost=0).call("Which bus is late?")
    with pytest.raises(ModelNotFound, match="Check the name"):
        await Model("house-model", None, fn, cost=0).call("Which bus is late?")
