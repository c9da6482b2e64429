"""How operators ask: generation parameters, prompts and system messages of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import pytest

import text_lloom.workbench as wb
from text_lloom.errors import InputError, PromptError, UnknownName
from text_lloom.llm import Completion, Fallbacks, LocalModel, Model, ModelRequest
from text_lloom.operators.asking import GEN_STEPS, SCORE_STEPS, STEPS, Step, steps_by_name
from text_lloom.tasks import FilterQuotes, Stage
from text_lloom.testing import FunctionModel, HashEmbedModel


class Answering(FunctionModel):
    """Answers every operator in its form, and remembers what it was asked."""

    generation_params = frozenset({"temperature", "top_p", "max_tokens"})

    def __init__(self, **args: Any) -> None:
        super().__init__(lambda _: "", **args)

    async def complete(self, request: ModelRequest) -> Completion:
        self.requests.append(request)
        wanted = dict(request.schema or {}).get("properties")
        assert isinstance(wanted, dict)
        [name] = wanted
        said: dict[str, Any] = {
            "quotes": '["bus"]',
            "bullets": '["waits for a late bus"]',
            "patterns": '[{"name": "Late Buses", "prompt": "Is a bus late?", "example_ids": [1, 2]}]',
            "results": '[{"document": "D1", "concept": "C1", "rationale": "It is.", "answer": "A"}]',
            "remove": "[]",
            "merge": "[]",
            "select": '["C1"]',
            "summary": '"Buses are late."',
        }
        return Completion(f'{{"{name}": {said[name]}}}', 10, 5, "stop")

    def of(self, name: str) -> list[ModelRequest]:
        """The requests whose answer has this name."""
        return [r for r in self.requests if name in str(dict(r.schema or {}).get("properties"))]


@pytest.fixture
def buses() -> pd.DataFrame:
    return pd.DataFrame({"text": [f"The bus number {n} was late again, so I walked." for n in range(6)]})


def session_with(df: pd.DataFrame, model: Any, **options: Any) -> wb.lloom:
    return wb.lloom(df, "text", None, model, HashEmbedModel(), model, model, **options)


COUNTS = {"filter_n_quotes": 2, "summ_n_bullets": 1}


# --- parameters ----------------------------------------------------------------------------------------


async def test_each_operator_has_its_own_parameters(buses: pd.DataFrame) -> None:
    model = Answering(temperature=0.0, top_p=0.9)
    l = session_with(buses, model)  # noqa: E741
    await l.gen(params={**COUNTS, "distill_filter": {"temperature": 0.3}, "synthesize": {"max_tokens": 700}})
    await l.score(params={"temperature": 0.1})
    assert {dict(r.params)["temperature"] for r in model.of("quotes")} == {0.3}
    assert {dict(r.params)["temperature"] for r in model.of("bullets")} == {0.0}
    assert dict(model.of("patterns")[0].params) == {"temperature": 0.0, "top_p": 0.9, "max_tokens": 700}
    assert {dict(r.params)["temperature"] for r in model.of("results")} == {0.1}
    assert {dict(r.params)["temperature"] for r in model.of("summary")} == {0.0}


async def test_scoring_goes_on_with_the_parameters_it_began_with(buses: pd.DataFrame) -> None:
    model = Answering(temperature=0.0)
    l = session_with(buses, model)  # noqa: E741
    await l.add("Late Buses", "Is a bus late?")
    await l.score(params={"temperature": 0.7}, ignore_existing=False)
    await l.add("Walking", "Does somebody walk?")
    await l.score(params={}, ignore_existing=False)
    temperatures = [dict(r.params)["temperature"] for r in model.of("results")]
    assert temperatures[:6] == [0.0] * 6
    assert set(temperatures[6:18]) == {0.7}
    assert set(temperatures[18:]) == {0.0}


async def test_generating_and_scoring_in_one_go_takes_the_parameters_of_both(buses: pd.DataFrame) -> None:
    model = Answering(temperature=0.0)
    l = session_with(buses, model)  # noqa: E741
    await l.gen_auto(1, params={**COUNTS, "synthesize": {"top_p": 0.5}, "score": {"temperature": 0.9}})
    assert dict(model.of("patterns")[0].params)["top_p"] == 0.5
    assert {dict(r.params)["temperature"] for r in model.of("results")} == {0.9}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        pytest.param({"distill_filter": {"temprature": 0.3}}, "Did you mean 'temperature'", id="parameter"),
        pytest.param({"distil_filter": {"temperature": 0.3}}, "Did you mean 'distill_filter'", id="operator"),
        pytest.param({"filter_n_quote": 2}, "Did you mean 'filter_n_quotes'", id="count"),
        pytest.param({"synthesize": 0.3}, "expected names and values", id="no-mapping"),
        pytest.param({"score": {"temperature": 0.3}}, "operator in params", id="other-method"),
        pytest.param({"temperature": 0.3}, r"\{'distill_filter': \{'temperature': 0.3\}\}", id="no-operator"),
        pytest.param({"distill_filter": {"temperature": "hot"}}, "must be a number", id="value"),
    ],
)
async def test_unknown_parameters_are_refused_before_money_is_spent(
    buses: pd.DataFrame, params: Any, told: str
) -> None:
    model = Answering()
    with pytest.raises(InputError, match=told):
        await session_with(buses, model).gen(params=params)
    assert model.requests == []


async def test_parameters_of_custom_models_are_their_arguments(buses: pd.DataFrame) -> None:
    seen: list[float] = []
    answers = Answering()

    async def fn(model: Model, prompt: str) -> Completion:
        seen.append(model.args["heat"])
        wanted = "results" if '"results"' in prompt else "summary"
        return await answers.complete(ModelRequest((), schema={"properties": {wanted: {}}}))

    model = Model("mine", None, fn, cost=0, heat=0.5)
    l = session_with(buses, model, cache=False)  # noqa: E741
    await l.add("Late Buses", "Is a bus late?")
    assert set(seen) == {0.5}
    seen.clear()
    await l.score(params={"score": {"heat": 0.9}}, ignore_existing=False)
    assert seen.count(0.9) == 6
    with pytest.raises(UnknownName, match="Did you mean 'heat'"):
        await l.score(params={"heart": 1})


async def test_every_model_of_a_list_must_have_the_parameter(buses: pd.DataFrame) -> None:
    other = FunctionModel(lambda _: "", name="other")
    other.generation_params = frozenset({"heat"})
    l = session_with(buses, [Answering(), other, "local"])  # noqa: E741
    with pytest.raises(UnknownName, match="'other'"):
        await l.gen(params={"distill_filter": {"temperature": 0.3}})


async def test_the_local_engine_takes_no_parameters(buses: pd.DataFrame) -> None:
    l = wb.lloom(buses, "text", distill_model="local")  # noqa: E741
    with pytest.raises(InputError, match="local engine takes no generation parameters"):
        await l.gen(params={"distill_filter": {"temperature": 0.3}})


async def test_params_info_says_what_holds_and_where_it_comes_from(buses: pd.DataFrame) -> None:
    l = session_with(buses, Answering(name="answering", temperature=0.0))  # noqa: E741
    await l.gen(params={**COUNTS, "distill_filter": {"top_p": 0.5}})
    table = l.params_info().set_index(["operator", "name"])
    assert list(table.columns) == ["model", "value", "source", "description"]
    row = table.loc[("distill_filter", "top_p")]
    assert (row["model"], row["value"], row["source"]) == ("answering", 0.5, "operator")
    assert table.loc[("score", "temperature"), ["value", "source"]].tolist() == [0.0, "model"]
    assert table.loc[("score", "max_tokens"), ["value", "source"]].tolist() == [None, "provider"]
    assert table.loc[("distill_filter", "filter_n_quotes"), "source"] == "data"
    assert "longest reply" in table.loc[("score", "max_tokens"), "description"]


# --- prompts -------------------------------------------------------------------------------------------


def one_quote(ex: str, n_quotes: str) -> str:
    return f"Copy {n_quotes} quotes of: {ex}"


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("Copy {n_quotes} quotes of{seeding_phrase}: {ex}", id="template"),
        pytest.param(one_quote, id="function"),
        pytest.param(lambda **f: f"Copy {f['n_quotes']} quotes of: {f['ex']}", id="all-fields"),
        pytest.param(wb.Prompt(one_quote), id="prompt"),
    ],
)
async def test_prompts_are_templates_or_functions(buses: pd.DataFrame, prompt: Any) -> None:
    model = Answering()
    await session_with(buses, model).gen(params=COUNTS, custom_prompts={"distill_filter": prompt})
    asked = sorted(request.prompt for request in model.of("quotes"))
    assert asked == [f"Copy 2 quotes of: {text}" for text in buses["text"]]


async def test_any_operator_can_have_its_own_system_message(buses: pd.DataFrame) -> None:
    model = Answering()
    model.system_prompt = "You are careful."
    l = session_with(buses, model)  # noqa: E741
    await l.gen(params=COUNTS, custom_prompts={"synthesize": wb.Prompt(system="You are a sociologist.")})
    await l.score(custom_prompts={"score": wb.Prompt(system="You are a strict coder.")})
    assert {r.system for r in model.of("quotes")} == {"You are careful."}
    assert {r.system for r in model.of("patterns")} == {"You are a sociologist."}
    assert {r.system for r in model.of("results")} == {"You are a strict coder."}
    assert "criterion" in model.of("results")[0].prompt, "the prompt itself stays"


async def test_scoring_can_be_asked_in_other_words(buses: pd.DataFrame) -> None:
    model = Answering()
    l = session_with(buses, model)  # noqa: E741
    l.concepts.add("Late Buses", "Is a bus late?", active=True)

    def judge(documents: str, concepts: str, answer_form: str) -> str:
        return f"{concepts}\n{documents}\n{answer_form}"

    scores = await l.score(custom_prompts={"score": judge})
    assert scores is not None
    assert scores["score"].tolist() == [1.0] * 6
    assert all(r.prompt.startswith("C1. Late Buses: Is a bus late?\n<document") for r in model.of("results"))


def fails(ex: str) -> str:
    raise KeyError(ex)


@pytest.mark.parametrize(
    ("prompt", "error", "told"),
    [
        pytest.param(lambda words: words, UnknownName, "Known: ex, n_quotes", id="unknown-field"),
        pytest.param(lambda ex: None, PromptError, "must return the prompt as text", id="returns-nothing"),
        pytest.param(fails, PromptError, "failed with KeyError", id="raises"),
        pytest.param(lambda ex, /: ex, PromptError, "by name", id="positional"),
        pytest.param("Copy quotes", PromptError, r"lacks the fields \{ex\}", id="template"),
        pytest.param(3, InputError, "must be text, a function or a Prompt", id="number"),
        pytest.param(wb.Prompt(system=3), InputError, "system message", id="system"),  # type: ignore[arg-type]
    ],
)
async def test_prompts_that_cannot_be_used_are_refused(
    buses: pd.DataFrame, prompt: str | Callable[..., str], error: type[Exception], told: str
) -> None:
    model = Answering()
    with pytest.raises(error, match=told):
        await session_with(buses, model).gen(custom_prompts={"distill_filter": prompt})
    assert model.requests == []


def test_a_field_that_is_misspelt_is_told_from_other_words_in_braces(buses: pd.DataFrame) -> None:
    l = session_with(buses, "local")  # noqa: E741
    prompt = "{ex} {n_bullets} {n_words} {seeding_phrase} {answer_from}"
    with pytest.raises(UnknownName, match="Did you mean 'answer_form'"):
        l.validate_prompt("distill_summarize", prompt)
    l.validate_prompt("distill_summarize", prompt.replace("{answer_from}", '{"bullets": [{{first}}]}'))
    with pytest.raises(UnknownName, match=r"field.*'first'.*written twice: \{\{first\}\}"):
        l.validate_prompt("distill_summarize", prompt.replace("{answer_from}", '{"bullets": [{first}]}'))


def test_every_operator_shows_a_prompt_that_is_valid(buses: pd.DataFrame) -> None:
    l = session_with(buses, "local")  # noqa: E741
    steps = list(dict.fromkeys(l.params_info()["operator"])) or []
    for step in [*steps, "review_remove", "review_merge", "review_select", "score", "summarize_concept"]:
        l.validate_prompt(step, f"{l.show_prompt(step)}\nBe brief.")


def test_fallbacks_reach_operators_with_their_parameters(buses: pd.DataFrame) -> None:
    def broken(_: str) -> str:
        return "no JSON"

    first, second = FunctionModel(broken, name="first"), Answering(name="second")
    l = session_with(buses, Fallbacks((first, second, LocalModel())))  # noqa: E741
    l.concepts.add("Late Buses", "Is a bus late?", active=True)
    scores = l.sync.score(params={"temperature": 0.4})
    assert scores is not None
    assert scores["score"].tolist() == [1.0] * 6
    judged = [r for r in [*first.requests, *second.requests] if "results" in str(r.schema)]
    assert {dict(r.params)["temperature"] for r in judged} == {0.4}
    assert {r.prompt for r in first.requests} >= {r.prompt for r in second.requests}


# --- which steps there are -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindAuthors(FilterQuotes):
    """A new task with its own step, which `score` asks."""

    step: ClassVar[str] = "find_authors"
    stage: ClassVar[Stage] = "scoring"


def test_a_step_belongs_to_the_stage_that_its_task_names() -> None:
    assert set(GEN_STEPS) | set(SCORE_STEPS) == set(STEPS)
    assert SCORE_STEPS == ("score", "summarize_concept")
    added = steps_by_name(*STEPS.values(), Step("synth", FindAuthors("d1", "A text.")))
    assert added["find_authors"].example.stage == "scoring"
    assert "find_authors" not in [s for s, step in added.items() if step.example.stage == "generation"]


@pytest.mark.parametrize("missing", ["step", "stage"])
def test_a_task_that_lacks_its_step_or_stage_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(FindAuthors, missing, None)
    with pytest.raises(TypeError, match=f"FindAuthors must define its class attribute '{missing}'"):
        steps_by_name(Step("distill", FindAuthors("d1", "A text.")))


def test_a_stage_that_does_not_exist_is_refused_with_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FindAuthors, "stage", "scorring")
    with pytest.raises(TypeError, match="'generation', 'scoring', 'map', 'evaluation'"):
        steps_by_name(Step("distill", FindAuthors("d1", "A text.")))


def test_two_tasks_with_one_step_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FindAuthors, "step", "score")
    with pytest.raises(TypeError, match="ScoreDocuments and FindAuthors have the same step 'score'"):
        steps_by_name(*STEPS.values(), Step("score", FindAuthors("d1", "A text.")))


async def test_parameters_of_a_step_of_another_stage_are_refused_by_name(buses: pd.DataFrame) -> None:
    with pytest.raises(UnknownName, match="'summarize_concept'"):
        await session_with(buses, Answering()).gen(params={"summarize_concept": {"temperature": 0.3}})
    with pytest.raises(UnknownName, match="'distill_filter'"):
        await session_with(buses, Answering()).score(params={"distill_filter": {"temperature": 0.3}})


def test_a_template_takes_the_place_of_the_own_one_of_any_task() -> None:
    for step, operator in STEPS.items():
        task = operator.example
        names = " ".join(f"{{{name}}}" for name in task.template.fields)
        other = task.template.customised(f"In other words: {names}", step=step)
        assert task.with_template(other).prompt().startswith("In other words: ")
