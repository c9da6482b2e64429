"""The flows that LLooM's documentation shows, as its users write them, on our own data."""

from __future__ import annotations

import asyncio
import inspect
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.concept_induction as ci
import text_lloom.workbench as wb
from tests.crowd import Crowd
from tests.fake_provider.fixtures import FakeProvider
from text_lloom.concept import Concept
from text_lloom.errors import InputError
from text_lloom.llm import EmbedModel, Model, OpenAIEmbedModel, OpenAIModel
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.session.batch import plan_cancel_batches
from text_lloom.session.edit import plan_add, plan_edit
from text_lloom.session.generate import plan_gen, plan_gen_auto, plan_select_auto
from text_lloom.session.map import plan_map
from text_lloom.session.score import plan_resume, plan_retry, plan_score
from text_lloom.testing import HashEmbedModel

SCORE_COLUMNS = [
    "doc_id",
    "text",
    "concept_id",
    "concept_name",
    "concept_prompt",
    "score",
    "rationale",
    "highlight",
    "concept_seed",
]
EXPORT_COLUMNS = ["concept", "criteria", "summary", "rep_examples", "prevalence", "n_matches", "highlights"]


@pytest.fixture(autouse=True)
def _paid_calls() -> Iterator[None]:
    before = allow_paid_calls(True)
    yield
    allow_paid_calls(before)


@pytest.fixture
def df(comments: pd.DataFrame) -> pd.DataFrame:
    return comments.assign(doc_id=range(100, 112))


def documented_models(fake_provider: FakeProvider, **options: Any) -> dict[str, Any]:
    """The models of the documentation, at the fake provider's address."""
    at = {"api_key": fake_provider.api_key, "base_url": fake_provider.base_url}
    mini = {"name": "gpt-4o-mini", "cost": (0.15 / 1_000_000, 0.6 / 1_000_000)}
    large = {"name": "gpt-4o", "cost": (2.5 / 1_000_000, 10 / 1_000_000)}
    options = {"context_window": 128_000, **options}
    return {
        "distill_model": OpenAIModel(**mini, **at, **options),
        "cluster_model": OpenAIEmbedModel(name="text-embedding-3-large", cost=0.13 / 1_000_000, **at),
        "synth_model": OpenAIModel(**large, **at, **options),
        "score_model": OpenAIModel(**mini, **at, **options),
    }


@pytest.fixture
def openai_models(fake_provider: FakeProvider) -> dict[str, Any]:
    return documented_models(fake_provider)


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Someone is there and answers every question with yes."""
    asked: list[str] = []

    def reply(question: str = "") -> str:
        asked.append(question)
        return "y"

    monkeypatch.setattr("text_lloom.session.spend.is_interactive", lambda: True)
    monkeypatch.setattr("builtins.input", reply)
    return asked


def check_scores(scores: pd.DataFrame | None, df: pd.DataFrame, n_concepts: int) -> pd.DataFrame:
    assert scores is not None
    assert list(scores.columns) == SCORE_COLUMNS
    assert len(scores) == len(df) * n_concepts
    assert scores["doc_id"].dtype == df["doc_id"].dtype
    assert scores["doc_id"].tolist() == df["doc_id"].tolist() * n_concepts
    assert scores["text"].tolist() == df["text"].tolist() * n_concepts
    assert scores["score"].dtype == np.float64
    assert set(scores["score"]) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert all(quote in text for quote, text in zip(scores["highlight"], scores["text"], strict=True))
    return scores


# --- getting started -----------------------------------------------------------------------------------


async def test_getting_started(
    df: pd.DataFrame,
    fake_provider: FakeProvider,
    questions: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    openai_models = documented_models(fake_provider, rate_limit=(300, 10))
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741

    await l.gen(seed="public transport")
    assert questions == ["Proceed with generation? (y/n): "]
    shown = capsys.readouterr().out
    assert "Estimated cost: $" in shown
    assert "gpt-4o-mini" in shown
    n = len(l.concepts)
    assert n >= 2
    assert all(concept.seed == "public transport" for concept in l.concepts.values())

    l.select()
    chosen = list(l.concepts.values())[:2]
    l.select(*(concept.name for concept in chosen))
    l.show_selected()
    shown = capsys.readouterr().out
    assert "Active concepts (n=2):" in shown
    assert all(f"- {concept.name}: {concept.criteria}" in shown for concept in chosen)

    score_df = check_scores(await l.score(), df, 2)
    assert questions[1:] == ["Proceed with scoring? (y/n): "]
    assert score_df["concept_id"].unique().tolist() == [concept.id for concept in chosen]
    assert score_df["concept_seed"].unique().tolist() == ["public transport"]
    pd.testing.assert_frame_equal(l.get_score_df(), score_df)
    assert len(await l.score()) == len(score_df)
    assert len(questions) == 2, "what is scored already costs nothing and asks nothing"

    export = l.export_df()
    assert list(export.columns) == EXPORT_COLUMNS
    assert export["concept"].tolist() == [concept.name for concept in chosen]
    totals = (score_df["score"] >= 1).groupby(score_df["concept_id"], sort=False).sum()
    assert export["n_matches"].tolist() == totals.tolist()
    with_outliers = l.export_df(include_outliers=True)
    assert with_outliers["concept"].tolist() == [*export["concept"], "Outlier"]
    exported = json.loads(l.export_json())
    assert [(item["name"], item["n"]) for item in exported] == list(
        zip(export["concept"], export["n_matches"], strict=True)
    )

    added = await l.add(name="Dangerous cycling", prompt="Does the text say that cycling is dangerous?")
    check_scores(added, df, 1)
    assert l.get_score_df()["concept_name"].nunique() == 3

    l.summary()
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("Total time:", "Total cost: $", "Tokens:", "distill", "score"))
    summary = l.summary(return_vals=True)
    assert summary is not None
    total_time, total_cost, total_tokens, in_tokens, out_tokens, unpriced = summary
    assert total_time > 0
    assert total_cost > 0
    assert total_tokens == in_tokens + out_tokens > 0
    assert unpriced == 0

    l.save(folder=str(tmp_path), file_name="my_session")
    again = wb.load(tmp_path / "my_session.lloom")
    pd.testing.assert_frame_equal(again.get_score_df(), l.get_score_df())
    assert again.summary(return_vals=True) == l.summary(return_vals=True)
    assert openai_models["score_model"].api_key.encode() not in (tmp_path / "my_session.lloom").read_bytes()


async def test_gen_auto(df: pd.DataFrame, openai_models: dict[str, Any], questions: list[str]) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    score_df = await l.gen_auto(max_concepts=2, seed="public transport")
    check_scores(score_df, df, 2)
    assert len(l.concepts.active) == 2
    assert questions == ["Proceed with generation and scoring? (y/n): "]


async def test_vis(df: pd.DataFrame) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id")  # noqa: E741
    await l.add("Buses", "Does the text mention a bus?")
    await l.add("Fares", "Does the text mention fares or tickets?")

    overall = l.vis()
    assert [concept["name"] for concept in overall.concepts] == ["Buses", "Fares"]
    assert overall.counts.slices is None
    by_name = l.vis(slice_col="area")
    assert by_name.counts.slices.labels == ("North", "South")
    assert by_name.counts.slice_sizes.tolist() == [8, 4]
    by_number = l.vis(slice_col="likes", max_slice_bins=3)
    assert len(by_number.counts.slices) == 3
    assert by_number.counts.slice_sizes.tolist() == [4, 4, 4]
    bounded = l.vis(slice_col="likes", slice_bounds=[0, 50, 110])
    assert bounded.counts.slices.labels == ("0 – 50", "50 – 110")
    assert bounded.counts.slice_sizes.tolist() == [6, 6]

    matches = (l.get_score_df()["score"] >= 1).to_numpy().reshape(2, 12)
    north = (df["area"] == "North").to_numpy()
    per_concept = l.vis(slice_col="area", norm_by="concept").counts.normalised("concept")
    per_slice = l.vis(slice_col="area", norm_by="slice").counts.normalised("slice")
    assert per_concept[:, 0].tolist() == [(row & north).sum() / row.sum() for row in matches]
    assert per_slice[:, 0].tolist() == [(row & north).sum() / 8 for row in matches]

    shown = l.vis(cols_to_show=["likes"], slice_col="area", show_highlights=False)
    assert shown.about["shown_columns"] == ["likes"]
    exported = l.vis(slice_col="area", export_df=True, include_outliers=True)
    assert list(exported.columns) == EXPORT_COLUMNS
    assert exported["concept"].tolist() == ["Buses", "Fares", "Outlier"]
    assert l.vis().about["shown_columns"] == [], "columns of an earlier view do not come back"


def test_estimates_and_parameters(
    df: pd.DataFrame, openai_models: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    generation = l.estimate_gen_cost()
    assert 0 < generation.usd_low < generation.usd_high < 1
    scoring = l.estimate_score_cost(n_concepts=3)
    assert 0 < scoring.usd_low < scoring.usd_high < 1
    assert "Scoring 3 concepts for 12 documents" in capsys.readouterr().out
    assert l.estimate_score_cost(n_concepts=30).usd_high > 3 * scoring.usd_high
    assert l.estimate_gen_cost(params={"filter_n_quotes": 4}, verbose=True).usd_high > generation.usd_high
    assert "distill_filter (gpt-4o-mini)" in capsys.readouterr().out

    params = l.auto_suggest_parameters(sample_size=5, target_n_concepts=7)
    assert set(params) == {"filter_n_quotes", "summ_n_bullets", "synth_n_concepts", "target_n_concepts"}
    assert params["target_n_concepts"] == 7
    l.sync.gen(params=params, confirm=False, debug=False)
    assert 1 <= len(l.concepts) <= 7


@pytest.mark.parametrize("step", ["distill_filter", "distill_summarize", "synthesize"])
async def test_custom_prompts(
    df: pd.DataFrame, openai_models: dict[str, Any], fake_provider: FakeProvider, step: str
) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    shown = l.show_prompt(step)
    custom = f"You work for a bus company.\n{shown}"
    l.validate_prompt(step, custom)
    params = {"filter_n_quotes": 2}
    await l.gen(custom_prompts={step: custom}, params=params, debug=False, confirm=False)
    assert len(l.concepts) >= 1
    assert fake_provider.stats().paid > 0
    assert {attempt.step for attempt in l.ledger.attempts} >= {"distill_filter", "distill_summarize"}


@pytest.mark.parametrize(
    ("left_out", "asked"),
    [
        pytest.param(["distill_filter"], {"distill_summarize"}, id="filter"),
        pytest.param(["distill_summarize"], {"distill_filter"}, id="summarize"),
        pytest.param(["distill_filter", "distill_summarize"], set(), id="both"),
    ],
)
async def test_a_distill_step_can_be_left_out(
    df: pd.DataFrame, openai_models: dict[str, Any], left_out: list[str], asked: set[str]
) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    await l.gen(
        custom_prompts=dict.fromkeys(left_out),
        params={"filter_n_quotes": 2},
        debug=False,
        confirm=False,
    )
    steps = {attempt.step for attempt in l.ledger.attempts}
    assert {step for step in steps if step.startswith("distill")} == asked
    assert len(l.concepts) >= 1


async def test_concepts_of_concepts(df: pd.DataFrame, openai_models: dict[str, Any]) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    await l.gen(n_synth=2, debug=False, confirm=False)
    known = set(df["doc_id"])
    assert all(set(concept.example_ids) <= known for concept in l.concepts.values())
    assert l.concept_history[0]
    assert len(l.concepts) >= 1


async def test_review_does_not_depend_on_debug(df: pd.DataFrame, openai_models: dict[str, Any]) -> None:
    steps = []
    for debug in (False, True):
        l = wb.lloom(df=df, text_col="text", id_col="doc_id", cache=False, **openai_models)  # noqa: E741
        await l.gen(debug=debug, confirm=False)
        steps.append({attempt.step for attempt in l.ledger.attempts})
    assert steps[0] == steps[1]
    assert "review_remove" in steps[0]
    plain = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)
    await plain.gen(auto_review=False, debug=False, confirm=False)
    assert not any(attempt.step.startswith("review") for attempt in plain.ledger.attempts)


async def test_select_auto_selects_no_more_than_asked_for(
    df: pd.DataFrame, openai_models: dict[str, Any]
) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    await l.gen(debug=False, confirm=False)
    l.select(*l.concepts)
    await l.select_auto(max_concepts=1)
    assert len(l.concepts.active) == 1


def test_submit_explains_itself(df: pd.DataFrame) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id")  # noqa: E741
    with pytest.raises(InputError, match="export_html"):
        l.submit()


# --- the operators -------------------------------------------------------------------------------------


async def test_operators_one_by_one(df: pd.DataFrame, openai_models: dict[str, Any]) -> None:
    chat, embedder = openai_models["distill_model"], openai_models["cluster_model"]
    synth = openai_models["synth_model"]

    quotes = await ci.distill_filter(df, "text", "doc_id", model=chat, n_quotes=2, seed="transport")
    assert list(quotes.columns) == ["doc_id", "text"]
    texts = dict(zip(df["doc_id"], df["text"], strict=True))
    assert all(
        line in texts[doc_id]
        for doc_id, lines in zip(quotes["doc_id"], quotes["text"], strict=True)
        for line in lines.splitlines()
    )
    bullets = await ci.distill_summarize(
        quotes, "text", "doc_id", model=chat, n_bullets="1-2", n_words_per_bullet="5-8"
    )
    assert set(bullets["doc_id"]) == set(quotes["doc_id"])
    clusters = await ci.cluster(bullets, "text", "doc_id", embed_model=embedder)
    assert len(clusters) == len(bullets)
    assert clusters["cluster_id"].tolist() == sorted(clusters["cluster_id"])
    concepts, concept_df = await ci.synthesize(
        clusters, "text", "doc_id", model=synth, n_concepts=5, embed_model=embedder
    )
    assert concepts
    assert list(concept_df.columns) == ["doc_id", "text", "concept_id", "concept_name", "concept_prompt"]
    assert set(concept_df["concept_id"]) == set(concepts)
    reviewed = await ci.review(concepts, concept_df, model=synth, target=4)
    assert 1 <= len(reviewed.concepts) <= 4
    assert set(reviewed.concept_df["concept_id"]) <= set(reviewed.concepts)

    scores = await ci.score_concepts(
        df, "text", "doc_id", reviewed.concepts, model=chat, batch_size=5, get_highlights=True
    )
    check_scores(scores, df, len(reviewed.concepts))
    kept = ci.refine(scores, reviewed.concepts, generic_threshold=1.1, rare_threshold=0)
    assert kept == reviewed.concepts
    left = ci.loop(scores, "text", "doc_id")
    matched = set(scores.loc[scores["score"] >= 1, "doc_id"])
    if left is not None:
        assert list(left.columns) == ["doc_id", "text"]
        assert set(left["doc_id"]).issuperset(set(df["doc_id"]) - matched)
    one = next(iter(reviewed.concepts.values()))
    found = await ci.auto_eval(
        {"known": {"name": one.name, "prompt": one.criteria}}, list(reviewed.concepts.values()), synth
    )
    assert found.coverage == 1.0
    assert one.id in found.matches["known"]


def test_refine_and_loop_on_a_table() -> None:
    concepts = {name: Concept(name, f"Does it mention {name}?", id=name) for name in ("all", "some", "none")}
    score = {"all": [1, 1, 1, 1], "some": [1, 0, 0.75, 0], "none": [0, 0, 0, 0]}
    table = pd.DataFrame(
        [
            {"key": doc, "body": f"text {doc}", "concept_id": name, "score": float(values[doc])}
            for name, values in score.items()
            for doc in range(4)
        ]
    )
    assert list(ci.refine(table, concepts)) == ["some"]
    left = ci.loop(table, "body", "key")
    assert left is not None
    assert left["key"].tolist() == [1, 2, 3]


# --- custom models -------------------------------------------------------------------------------------


def post(base_url: str, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{base_url}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        content: dict[str, Any] = json.loads(reply.read())
    return content


def fake_sdk(fake_provider: FakeProvider) -> Any:
    """A module as SDKs are: configured once for the whole process, then asked without a client."""
    state = {"key": ""}

    class GenerativeModel:
        def __init__(self, name: str) -> None:
            self.name = name

        def generate_content(self, prompt: str) -> Any:
            messages = [{"role": "user", "content": prompt}]
            body = {"model": self.name, "messages": messages}
            reply = post(fake_provider.base_url, "/chat/completions", state["key"], body)
            usage = reply["usage"]
            return SimpleNamespace(
                text=reply["choices"][0]["message"]["content"],
                usage_metadata=SimpleNamespace(
                    prompt_token_count=usage["prompt_tokens"],
                    candidates_token_count=usage["completion_tokens"],
                ),
            )

    def embed_content(model: str, content: list[str]) -> dict[str, Any]:
        assert isinstance(content, list)
        body = {"model": model, "input": content}
        reply = post(fake_provider.base_url, "/embeddings", state["key"], body)
        return {"embedding": [row["embedding"] for row in reply["data"]]}

    return SimpleNamespace(
        configure=lambda api_key: state.update(key=api_key),
        GenerativeModel=GenerativeModel,
        embed_content=embed_content,
    )


@pytest.mark.parametrize(
    ("cost", "usd"),
    [
        pytest.param([1e-6, 2e-6], lambda i, o: i * 1e-6 + o * 2e-6, id="list"),
        pytest.param((1e-6, 2e-6), lambda i, o: i * 1e-6 + o * 2e-6, id="tuple"),
        pytest.param(1e-6, lambda i, o: (i + o) * 1e-6, id="number"),
    ],
)
async def test_custom_models_around_a_module(
    df: pd.DataFrame, fake_provider: FakeProvider, cost: Any, usd: Any
) -> None:
    sdk = fake_sdk(fake_provider)
    prepared: list[str] = []

    def setup_sdk(api_key: str) -> None:
        prepared.append(api_key)
        sdk.configure(api_key=api_key)

    async def call_sdk(model: Model, prompt: str) -> tuple[str, tuple[int, int]]:
        reply = sdk.GenerativeModel(model.name).generate_content(prompt)
        usage = reply.usage_metadata
        return reply.text, (usage.prompt_token_count, usage.candidates_token_count)

    def embed_sdk(model: EmbedModel, texts: list[str]) -> tuple[Any, list[int]]:
        return sdk.embed_content(model=model.name, content=texts)["embedding"], [0, 0]

    chat = Model(
        name="other-flash",
        setup_fn=setup_sdk,
        fn=call_sdk,
        api_key=fake_provider.api_key,
        cost=cost,
        rate_limit=(300, 10),
        context_window=1_000_000,
    )
    embedder = EmbedModel(
        name="other-embedding",
        setup_fn=setup_sdk,
        fn=embed_sdk,
        api_key=fake_provider.api_key,
        cost=0,
        batch_size=5,
    )
    l = wb.lloom(  # noqa: E741
        df=df,
        text_col="text",
        id_col="doc_id",
        distill_model=chat,
        cluster_model=embedder,
        synth_model=chat,
        score_model=chat,
    )
    score_df = await l.gen_auto(max_concepts=2, debug=False, confirm=False)
    check_scores(score_df, df, 2)
    assert chat.client is None
    assert prepared == [fake_provider.api_key] * 2, "each model is set up once"
    summary = l.summary(return_vals=True)
    assert summary is not None
    asked = [attempt for attempt in l.ledger.attempts if attempt.model == "other-flash"]
    tokens = sum(a.in_tokens for a in asked), sum(a.out_tokens for a in asked)
    assert summary.total_cost == pytest.approx(usd(*tokens))
    assert {attempt.model for attempt in l.ledger.attempts} == {"other-flash", "other-embedding"}
    assert fake_provider.api_key not in f"{l.models!r}{l!r}"


async def test_custom_models_around_a_blocking_client(df: pd.DataFrame, fake_provider: FakeProvider) -> None:
    import openai

    clients: list[openai.OpenAI] = []

    def setup_client(api_key: str) -> openai.OpenAI:
        clients.append(openai.OpenAI(api_key=api_key, base_url=fake_provider.base_url))
        return clients[-1]

    async def call_client(model: Model, prompt: str) -> tuple[str, list[int]]:
        reply = model.client.chat.completions.create(
            model=model.name,
            messages=[
                {"role": "system", "content": model.args["system_prompt"]},
                {"role": "user", "content": prompt},
            ],
            temperature=model.args["temperature"],
        )
        return reply.choices[0].message.content, [reply.usage.prompt_tokens, reply.usage.completion_tokens]

    words = HashEmbedModel()

    def embed_array(model: EmbedModel, texts: list[str]) -> tuple[list[list[float]], list[int]]:
        vectors = words._embed(model, texts).vectors
        assert isinstance(vectors, np.ndarray)
        return vectors.tolist(), [0, 0]

    chat = Model(
        "mistral-small",
        setup_client,
        call_client,
        fake_provider.api_key,
        cost=[0, 0],
        context_window=8000,
        system_prompt="Answer as asked.",
        temperature=0,
    )
    embedder = EmbedModel(name="", setup_fn=None, fn=embed_array, cost=(0))
    l = wb.lloom(  # noqa: E741
        df=df,
        text_col="text",
        id_col="doc_id",
        distill_model=chat,
        cluster_model=embedder,
        synth_model=chat,
        score_model=chat,
    )
    try:
        await l.gen(debug=False)
        l.select(*l.concepts)
        check_scores(await l.score(), df, len(l.concepts))
    finally:
        for client in clients:
            client.close()
    assert len(clients) == 1
    assert l.summary(return_vals=True).total_cost == 0


@pytest.mark.parametrize("kind", ["async-around-blocking", "plain", "native-async"])
def test_thirty_slow_calls_take_the_time_of_one(kind: str) -> None:
    answer = json.dumps({"results": [{"document": "D1", "concept": "C1", "answer": "E"}]})
    crowd = Crowd(30)

    async def blocking(model: Model, prompt: str) -> str:
        crowd.meet()
        return answer

    def plain(model: Model, prompt: str) -> str:
        crowd.meet()
        return answer

    async def native(model: Model, prompt: str) -> str:
        await crowd.meet_async()
        return answer

    function = {"async-around-blocking": blocking, "plain": plain, "native-async": native}[kind]
    frame = pd.DataFrame({"text": [f"Bus number {n} is late." for n in range(30)]})
    l = wb.lloom(frame, "text", score_model=Model("slow", fn=function, cost=0))  # noqa: E741
    scores = l.sync.add("Trams", "Does the text mention a tram?")
    assert crowd.is_complete, "all are in flight together"
    assert scores is not None
    assert (scores["score"] == 0).all()


# --- loops, scripts, sessions --------------------------------------------------------------------------


def test_several_runs_in_a_row(df: pd.DataFrame, openai_models: dict[str, Any]) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    for _ in range(3):
        asyncio.run(l.gen(debug=False, confirm=False))
    l.select(*l.concepts)
    check_scores(asyncio.run(l.score(confirm=False)), df, len(l.concepts))
    l.sync.gen(debug=False, confirm=False)
    assert len(l.concepts) >= 1


async def test_the_synchronous_twin_inside_a_running_loop(
    df: pd.DataFrame, openai_models: dict[str, Any]
) -> None:
    assert asyncio.get_running_loop().is_running()
    l = wb.lloom(df=df, text_col="text", id_col="doc_id", **openai_models)  # noqa: E741
    l.sync.gen(debug=False, confirm=False)
    l.select(*l.concepts)
    check_scores(l.sync.score(confirm=False), df, len(l.concepts))
    await l.gen(debug=False, confirm=False)


PLANS: dict[str, Callable[..., object]] = {
    "gen": plan_gen,
    "gen_auto": plan_gen_auto,
    "select_auto": plan_select_auto,
    "add": plan_add,
    "edit": plan_edit,
    "score": plan_score,
    "map": plan_map,
    "cancel_batches": plan_cancel_batches,
    "retry_failures": plan_retry,
    "resume": plan_resume,
    "auto_eval": wb.lloom.auto_eval,
}


@pytest.mark.parametrize("name", PLANS)
def test_synchronous_twins_take_the_same_arguments(df: pd.DataFrame, name: str) -> None:
    l = wb.lloom(df=df, text_col="text", id_col="doc_id")  # noqa: E741
    own = {verb for verb, twin in vars(l.sync).items() if verb[0] != "_" and twin != getattr(l, verb)}
    assert own == PLANS.keys(), "the other methods of l.sync are those of the session"
    method, twin = getattr(l, name), getattr(l.sync, name)
    _, *planned = inspect.signature(PLANS[name]).parameters.values()
    assert [(p.name, p.kind, p.default) for p in planned] == [
        (p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()
    ]
    assert inspect.iscoroutinefunction(inspect.unwrap(method))
    assert not inspect.iscoroutinefunction(twin)
    assert twin.__doc__ == method.__doc__
    assert name == twin.__name__


def test_two_sessions_at_once_keep_apart(df: pd.DataFrame, openai_models: dict[str, Any]) -> None:
    first = wb.lloom(df=df.head(6), text_col="text", id_col="doc_id", **openai_models)
    second = wb.lloom(df=df.tail(6), text_col="text", id_col="doc_id", **openai_models)

    async def both() -> None:
        await asyncio.gather(first.gen(debug=False, confirm=False), second.gen(debug=False, confirm=False))
        await asyncio.gather(
            first.add("Buses", "Does the text mention a bus?", confirm=False),
            second.add("Fares", "Does the text mention fares?", confirm=False),
        )

    asyncio.run(both())
    assert set(first.get_score_df()["concept_name"]) == {"Buses"}
    assert set(second.get_score_df()["doc_id"]) == set(df["doc_id"].tail(6))
    totals = [session.ledger.totals().requests for session in (first, second)]
    assert all(total > 0 for total in totals)
    assert first.ledger is not second.ledger


def test_the_same_input_gives_the_same_concepts(df: pd.DataFrame, openai_models: dict[str, Any]) -> None:
    runs = []
    for _ in range(2):
        l = wb.lloom(  # noqa: E741
            df=df, text_col="text", id_col="doc_id", random_state=7, cache=False, **openai_models
        )
        scores = l.sync.gen_auto(max_concepts=3, debug=False, confirm=False)
        runs.append(([(c.id, c.name, c.criteria) for c in l.concepts.values()], scores))
    assert runs[0][0] == runs[1][0]
    pd.testing.assert_frame_equal(runs[0][1], runs[1][1])
