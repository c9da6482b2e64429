"""What `help`, editors and type checkers show of the options of models, and of presets."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import pytest

from text_lloom.errors import InputError, UnknownName
from text_lloom.llm import (
    AnthropicModel,
    AnyEmbedModel,
    AnyModel,
    EmbedModel,
    GeminiEmbedModel,
    GeminiModel,
    LiteLLMEmbedModel,
    LiteLLMModel,
    LlamaCppModel,
    Model,
    OpenAIEmbedModel,
    OpenAIModel,
    TransformersModel,
)
from text_lloom.llm.options import COMMON_PARAMS, EmbedOptions, ModelOptions, generation_params
from text_lloom.llm.providers.openai import OpenAIOptions
from text_lloom.llm.providers.servers import Presets
from text_lloom.llm.providers.table import SERVERS

CHAT = (OpenAIModel, AnthropicModel, GeminiModel, AnyModel, LiteLLMModel, LlamaCppModel, TransformersModel)
EMBED = (OpenAIEmbedModel, GeminiEmbedModel, AnyEmbedModel, LiteLLMEmbedModel)


@pytest.mark.parametrize("model", [*CHAT, *EMBED], ids=lambda model: model.__name__)
def test_help_names_every_option(model: Any) -> None:
    shown = inspect.signature(model).parameters
    options = ModelOptions if model in CHAT else EmbedOptions
    assert set(options.__annotations__) <= set(shown)
    assert "options" not in shown
    assert "rate_limit" in pydoc.render_doc(model)
    assert options.__name__ in model.__doc__


def test_the_shown_defaults_are_those_that_hold() -> None:
    shown = inspect.signature(OpenAIEmbedModel).parameters
    model = OpenAIEmbedModel("m", "key")
    assert (shown["concurrency"].default, shown["timeout"].default) == (8, 120.0)
    assert (model.limit.concurrency, model.timeout) == (8, 120.0)
    assert inspect.signature(OpenAIModel).parameters["temperature"].default == 0
    assert OpenAIModel("m", "key").params == {"temperature": 0}
    assert OpenAIModel("m", "key", temperature=None).params == {}
    assert OpenAIModel("m", "key", params={"temperature": 0.7}).params == {"temperature": 0.7}


def test_every_common_parameter_is_an_option() -> None:
    assert generation_params(ModelOptions) == set(COMMON_PARAMS)


def test_each_class_shows_the_parameters_that_it_alone_has() -> None:
    assert "thinking" in inspect.signature(AnthropicModel).parameters
    assert "thinking" not in inspect.signature(OpenAIModel).parameters
    special = set().union(*(server.params for server in SERVERS.values()))
    assert special | {*ModelOptions.__annotations__} == {*OpenAIOptions.__annotations__}
    for model in (AnthropicModel, GeminiModel, AnyModel, LlamaCppModel, TransformersModel):
        assert model.generation_params is not None
        assert model.generation_params <= set(inspect.signature(model).parameters), model.__name__


def test_no_class_is_known_to_the_cache_by_where_its_module_lies() -> None:
    import text_lloom.llm as llm

    classes = [getattr(llm, name) for name in llm.__all__]
    ours = {c for c in classes if inspect.isclass(c) and issubclass(c, (Model, EmbedModel))}
    assert len(ours) > 12
    for model in ours - {Model, EmbedModel}:
        assert model.provider_key not in (Model.provider_key, EmbedModel.provider_key), model.__name__


def test_a_misspelt_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'rate_limit'"):
        GeminiEmbedModel("m", "key", rate_limt=(3, 1))  # type: ignore[call-arg]
    with pytest.raises(UnknownName, match=r"OpenAIModel: 'contxt_window'.+'context_window'"):
        OpenAIModel("m", "key", contxt_window=3)  # type: ignore[call-arg]
    with pytest.raises(UnknownName, match="Did you mean 'client_args'"):
        AnyEmbedModel("mistral:m", "key", client_arg={})  # type: ignore[call-arg]
    with pytest.raises(UnknownName, match="Did you mean 'dimensions'"):
        OpenAIEmbedModel("m", "key", dimension=3)  # type: ignore[call-arg]


def test_every_server_of_the_table_has_a_preset() -> None:
    presets = {name for name in vars(Presets) if not name.startswith("_")}
    assert presets == set(SERVERS) - {"openai"}


@pytest.mark.parametrize("model", [OpenAIModel, OpenAIEmbedModel])
def test_presets_are_described_and_show_the_arguments_of_the_class(model: Any) -> None:
    assert "`GROQ_API_KEY`" in inspect.getdoc(model.groq)
    assert "http://localhost:8000/v1 unless `base_url=`" in inspect.getdoc(model.vllm)
    assert "OLLAMA_HOST" in inspect.getdoc(model.ollama)
    shown = inspect.signature(model.groq).parameters
    assert {"rate_limit", "api_key", "base_url"} <= set(shown)
    assert "server" not in shown
    assert "A model at Groq" in pydoc.render_doc(model.groq)
    assert {"groq", "azure", "ollama"} <= set(dir(model))


def test_a_preset_makes_models_of_the_class_that_it_is_read_from() -> None:
    class Mine(OpenAIModel):
        """A class of a user."""

    assert type(Mine.groq("m", api_key="key")) is Mine
    assert Mine.tgi().name == "tgi"
    assert OpenAIModel.llamacpp_server().name == "default"
    with pytest.raises(InputError, match=r"names no model\. Write OpenAIModel\.groq"):
        OpenAIModel.groq()
