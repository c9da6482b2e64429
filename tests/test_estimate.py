"""What a step will cost, before it is run: requests, tokens and dollars, and the words that say so."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL
from text_lloom.concept import Concept
from text_lloom.corpus import Corpus
from text_lloom.llm import EmbedModel, Fallbacks, HybridEmbedModel, Model
from text_lloom.operators.estimate import (
    Estimate,
    StepEstimate,
    estimate_embedding,
    estimate_gen,
    estimate_questions,
    estimate_score,
)
from text_lloom.operators.parameters import GenParameters
from text_lloom.operators.score import plan_scoring
from text_lloom.tasks import FilterQuotes, MapDocument, SummarizeDocument
from text_lloom.testing import FunctionModel, HashEmbedModel, TaskModel

COMMENT = "The 40 bus is late every single morning and nobody at the stop tells us why."
PRICE = (3e-6, 7e-6)


def corpus_of(n: int, text: str = COMMENT) -> Corpus:
    frame = pd.DataFrame({"doc_id": [f"d{i:05d}" for i in range(n)], "text": [text] * n})
    return wb.lloom(frame, "text", "doc_id", **LOCAL).corpus


def reader(name: str = "reader", cost: Any = PRICE) -> Model:
    return FunctionModel(lambda _: "{}", name=name, cost=cost)


def generation(
    n: int, parameters: GenParameters, *, auto_review: bool = True, text: str = COMMENT, **models: Any
) -> dict[str, StepEstimate]:
    given: dict[str, Any] = {
        "distill_model": reader(),
        "cluster_model": HashEmbedModel(cost=2e-6),
        "synth_model": reader("writer"),
        **models,
    }
    estimate = estimate_gen(corpus_of(n, text), parameters, auto_review=auto_review, **given)
    return {step.step: step for step in estimate.steps}


# --- generation ----------------------------------------------------------------------------------------


def test_generation_is_estimated_step_by_step() -> None:
    steps = generation(20, GenParameters(3, 2, 10, 8))
    assert list(steps) == [
        *("distill_filter", "distill_summarize", "cluster", "synthesize", "review_remove", "review_merge")
    ]
    assert {name: step.requests for name, step in steps.items()} == {
        "distill_filter": 20,
        "distill_summarize": 20,
        "cluster": math.ceil(40 / HashEmbedModel().batch_size),
        "synthesize": 2,
        "review_remove": 1,
        "review_merge": 4,
    }
    assert [steps[name].model for name in ("distill_filter", "cluster", "synthesize", "review_merge")] == [
        *("reader", "hashed-words", "writer", "writer")
    ]


def test_documents_that_are_not_filtered_and_concepts_that_are_not_reviewed_cost_nothing() -> None:
    assert list(generation(20, GenParameters(1, 2, 10, 8))) == [
        *("distill_summarize", "cluster", "synthesize", "review_remove", "review_merge")
    ]
    assert list(generation(20, GenParameters(2, 2, 10, 8), auto_review=False)) == [
        *("distill_filter", "distill_summarize", "cluster", "synthesize")
    ]


def test_prompts_are_counted_and_replies_are_a_range_around_their_usual_length() -> None:
    steps = generation(20, GenParameters(3, 2, 10, 8))
    model, filtering = reader(), FilterQuotes("d", COMMENT, 3)
    step = steps["distill_filter"]
    assert step.in_tokens == 20 * model.count_tokens(filtering.prompt())
    usual = 20 * 3 * FilterQuotes.expected_tokens
    assert (step.out_low, step.out_high) == (round(0.5 * usual), round(1.3 * usual))
    assert step.usd_low == pytest.approx(step.in_tokens * 3e-6 + step.out_low * 7e-6)
    assert step.usd_high == pytest.approx(step.in_tokens * 3e-6 + step.out_high * 7e-6)
    summing_up = steps["distill_summarize"]
    assert summing_up.in_tokens == 20 * model.count_tokens(SummarizeDocument("d", COMMENT, 2).prompt())
    assert summing_up.out_high == round(1.3 * 20 * 2 * SummarizeDocument.expected_tokens)


def test_bullets_are_made_of_quotes_so_long_documents_cost_no_more_to_sum_up() -> None:
    long, model = COMMENT * 60, reader()
    filtered = generation(20, GenParameters(3, 2, 10, 8), text=long)["distill_summarize"]
    whole = generation(20, GenParameters(1, 2, 10, 8), text=long)["distill_summarize"]
    assert filtered.in_tokens == 20 * model.count_tokens(SummarizeDocument("d", long[:480], 2).prompt())
    assert whole.in_tokens == 20 * model.count_tokens(SummarizeDocument("d", long, 2).prompt())


@pytest.mark.parametrize(
    ("n", "bullets", "requests"),
    [
        pytest.param(16, 2, 1, id="one-request"),
        pytest.param(17, 2, 2, id="one-more-item"),
        pytest.param(400, 5, math.ceil(2000 / 32), id="all-shown"),
        pytest.param(600, 5, math.ceil(math.isqrt(3000 * 2000) / 32), id="a-part-shown"),
    ],
)
def test_requests_grow_with_the_items_and_more_slowly_beyond_two_thousand(
    n: int, bullets: int, requests: int
) -> None:
    steps = generation(n, GenParameters(1, bullets, 10, 8))
    assert steps["synthesize"].requests == requests
    assert steps["cluster"].in_tokens == n * bullets * 12
    assert steps["cluster"].usd_low == steps["cluster"].usd_high == pytest.approx(n * bullets * 12 * 2e-6)


@pytest.mark.parametrize(("target", "rounds"), [(8, 1), (16, 1), (17, 2), (49, 4)])
def test_review_is_estimated_for_more_concepts_than_are_wanted(target: int, rounds: int) -> None:
    steps = generation(20, GenParameters(1, 2, 10, target))
    assert steps["review_remove"].requests == rounds
    assert steps["review_merge"].requests == 4 * rounds
    fewer = generation(20, GenParameters(1, 2, 10, 4))
    assert steps["review_merge"].in_tokens > fewer["review_merge"].in_tokens
    assert steps["synthesize"].out_high > fewer["synthesize"].out_high


def test_a_corpus_is_estimated_from_a_sample() -> None:
    few, many = generation(40, GenParameters(3, 2, 10, 8)), generation(4000, GenParameters(3, 2, 10, 8))
    assert many["distill_filter"].in_tokens == 100 * few["distill_filter"].in_tokens
    assert many["distill_filter"].out_high == 100 * few["distill_filter"].out_high
    mixed = pd.DataFrame({"doc_id": range(400), "text": [COMMENT, COMMENT * 9] * 200})
    corpus = wb.lloom(mixed, "text", "doc_id", **LOCAL).corpus
    tasks = [MapDocument(d.id, d.text, "Which bus is it about?") for d in corpus]
    model = reader()
    true = sum(model.count_tokens(task.prompt()) for task in tasks)
    [step] = estimate_questions(model, tasks[1:]).steps
    assert step.requests == 399
    assert step.in_tokens == pytest.approx(true, rel=0.5)


# --- scoring, maps and embeddings ----------------------------------------------------------------------


def scoring(n: int = 30, n_concepts: int = 3, **options: Any) -> Estimate:
    corpus = corpus_of(n)
    concepts = [
        Concept(f"Late buses {k}", "Does the text say that a bus is late?") for k in range(n_concepts)
    ]
    tasks = plan_scoring(list(corpus), concepts, concepts_per_call=2)
    options = {"n_summaries": n_concepts, "model": reader(), **options}
    return estimate_score(corpus, options.pop("model"), tasks, **options)


def test_scoring_is_estimated_with_a_summary_of_each_concept() -> None:
    judging, summing_up = scoring().steps
    assert (judging.step, judging.requests) == ("score", 60)
    assert judging.out_high == round(1.3 * 60 * 30 * 3)
    assert (summing_up.step, summing_up.requests) == ("summarize_concept", 3)
    assert summing_up.in_tokens > 3 * 20 * reader().count_tokens(COMMENT) * 0.9
    [alone] = scoring(n_summaries=0).steps
    assert alone == judging
    assert estimate_score(corpus_of(1), reader(), [], n_summaries=3).steps == ()


def test_a_batch_costs_half_but_summaries_do_not() -> None:
    live, batch = scoring(), scoring(in_batch=True)
    for kind in ("usd_low", "usd_high"):
        assert getattr(batch.steps[0], kind) == pytest.approx(getattr(live.steps[0], kind) / 2)
        assert getattr(batch.steps[1], kind) == pytest.approx(getattr(live.steps[1], kind))
    assert batch.tokens == live.tokens


def test_another_model_may_sum_up() -> None:
    judging, summing_up = scoring(summary_model=reader("writer", (1e-3, 1e-3))).steps
    assert (judging.model, summing_up.model) == ("reader", "writer")
    assert summing_up.usd_low is not None
    assert summing_up.usd_low > 0.1


def test_several_models_in_turn_cost_between_the_first_and_the_dearest() -> None:
    cheap, dear = reader("cheap", (1e-6, 2e-6)), reader("dear", (5e-6, 9e-6))
    step = scoring(model=Fallbacks((cheap, dear)), n_summaries=0).steps[0]
    assert step.usd_low == pytest.approx(step.in_tokens * 1e-6 + step.out_low * 2e-6)
    assert step.usd_high == pytest.approx(step.in_tokens * 5e-6 + step.out_high * 9e-6)
    assert step.unpriced == ()
    unknown = scoring(model=Fallbacks((cheap, reader("house", None))), n_summaries=0).steps[0]
    assert (unknown.usd_low, unknown.usd_high, unknown.unpriced) == (None, None, ("house",))


def test_embeddings_are_estimated_from_the_tokens_of_a_sample() -> None:
    model = EmbedModel("embedder", fn=lambda _, texts: texts, cost=1e-6, batch_size=10)
    [few] = estimate_embedding(model, [COMMENT] * 10).steps
    [many] = estimate_embedding(model, [COMMENT] * 1000).steps
    assert many.in_tokens == 100 * few.in_tokens
    assert many.requests == math.ceil(many.in_tokens / 12 / 10)
    assert many.usd_high == pytest.approx(many.in_tokens * 1e-6)
    assert (many.out_low, many.out_high) == (0, 0)
    [none] = estimate_embedding(model, []).steps
    assert (none.in_tokens, none.requests) == (0, 1)


def test_each_part_of_a_hybrid_embedding_is_estimated() -> None:
    parts = [EmbedModel(f"part-{n}", fn=lambda _, texts: texts, cost=n * 1e-6) for n in (1, 2)]
    steps = estimate_embedding(HybridEmbedModel(*parts), [COMMENT] * 10).steps
    assert [step.model for step in steps] == ["part-1", "part-2"]
    assert steps[1].usd_high == pytest.approx(2 * (steps[0].usd_high or 0))
    unknown = EmbedModel("house-vectors", fn=lambda _, texts: texts)
    [step] = estimate_embedding(unknown, [COMMENT]).steps
    assert (step.usd_low, step.usd_high, step.unpriced) == (None, None, ("house-vectors",))


def test_what_answers_without_a_prompt_is_free() -> None:
    estimate = scoring(model=TaskModel({"score": lambda _: []}))
    assert estimate.is_free
    assert (estimate.tokens, estimate.usd_high, estimate.unpriced) == (0, 0, ())
    assert estimate.steps[0].requests == 60
    steps = generation(
        20,
        GenParameters(3, 2, 10, 8),
        cluster_model=wb.lloom(pd.DataFrame({"text": [COMMENT] * 4}), "text", **LOCAL).models.cluster,
    )
    assert (steps["cluster"].requests, steps["cluster"].in_tokens, steps["cluster"].usd_high) == (1, 0, 0.0)


# --- in words ------------------------------------------------------------------------------------------

FREE = StepEstimate("cluster", "local", 1, 0, 0, 0, 0.0, 0.0)
PAID = StepEstimate("score", "reader", 1200, 50_000, 3000, 7800, 0.004, 1.5)
CHEAP = StepEstimate("summarize_concept", "reader", 2, 900, 70, 182, 0.0004, 0.0009)
UNKNOWN = StepEstimate("map", "house", 12, 100, 5, 13, None, None, ("house",))


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param((FREE,), "Estimated cost: $0 (no paid model)", id="free"),
        pytest.param((FREE, PAID), "Estimated cost: $0.0040 to $1.50", id="paid"),
        pytest.param((CHEAP,), "Estimated cost: $0.000400 to $0.000900", id="cheap"),
        pytest.param(
            (PAID, UNKNOWN, UNKNOWN),
            "Estimated cost: $0.0040 to $1.50 + unknown cost of house (about 58,026 tokens in all)",
            id="unknown",
        ),
        pytest.param(
            (FREE, UNKNOWN),
            "Estimated cost: $0.00 to $0.00 + unknown cost of house (about 113 tokens in all)",
            id="unknown-alone",
        ),
    ],
)
def test_an_estimate_says_what_it_knows(steps: tuple[StepEstimate, ...], told: str) -> None:
    estimate = Estimate(steps)
    assert estimate.describe() == told
    assert estimate.is_free == (steps == (FREE,))


def test_a_verbose_estimate_has_a_line_for_each_step() -> None:
    estimate = Estimate((PAID,)) + Estimate((UNKNOWN,))
    first, *lines = estimate.describe(verbose=True).splitlines()
    assert first == estimate.describe()
    assert lines == [
        "  score (reader): 1,200 requests, 50,000 tokens in, 3,000–7,800 out, $0.0040–$1.5000",
        "  map (house): 12 requests, 100 tokens in, 5–13 out, cost unknown",
    ]
    assert (estimate.usd_low, estimate.usd_high, estimate.unpriced) == (0.004, 1.5, ("house",))
