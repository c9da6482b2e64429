"""Estimates the cost of a step before it runs: tokens and US dollars, as a range per model and step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from text_lloom.concept import Concept
from text_lloom.corpus import Corpus, Document
from text_lloom.llm.batches import BATCH_PRICE
from text_lloom.llm.composite import Answerer, Fallbacks
from text_lloom.llm.control.prices import Price, dollars
from text_lloom.llm.control.tokens import count_tokens
from text_lloom.llm.dispatch.request_builder import tasks_sent
from text_lloom.llm.embed import HybridEmbedModel
from text_lloom.llm.model import Embedder, EmbedModel, Model, Solver
from text_lloom.operators.parameters import GenParameters
from text_lloom.operators.plan import FULLY_SHOWN
from text_lloom.tasks import (
    Candidate,
    FilterQuotes,
    Item,
    ReviewMerge,
    ReviewRemove,
    ScoreDocuments,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
    Task,
)

__all__ = [
    "Estimate",
    "StepEstimate",
    "estimate_embedding",
    "estimate_gen",
    "estimate_questions",
    "estimate_score",
]

_SAMPLE = 40
_SHORT, _LONG = 0.5, 1.3
_QUOTE_CHARACTERS = 160
_BULLET_TOKENS = 12
_ITEMS_PER_REQUEST = 32
_FOUND_PER_WANTED = 2.5
_REVIEW_ROUNDS = 4
_CHUNK = 40
_CENT = 0.01


class StepEstimate(NamedTuple):
    """The estimate of one step.

    Attributes:
        step: The step.
        model: The model's name.
        requests: Number of requests.
        in_tokens: Tokens of all prompts.
        out_low: Tokens of all replies if they are short.
        out_high: Tokens of all replies if they are long.
        usd_low: US dollars if replies are short, `None` when the price is unknown.
        usd_high: US dollars if replies are long, `None` when the price is unknown. With fallback models,
            the low amount uses the price of the first model and the high one the highest price.
        unpriced: Names of the models whose price is unknown.
    """

    step: str
    model: str
    requests: int
    in_tokens: int
    out_low: int
    out_high: int
    usd_low: float | None
    usd_high: float | None
    unpriced: tuple[str, ...] = ()


class Estimate(NamedTuple):
    """The estimates of several steps, in the order in which they run."""

    steps: tuple[StepEstimate, ...]

    def __repr__(self) -> str:
        return f"<{self.describe()}>"

    @property
    def usd_low(self) -> float:
        """The lower bound in US dollars, without models of unknown price."""
        return sum(step.usd_low or 0.0 for step in self.steps)

    @property
    def usd_high(self) -> float:
        """The upper bound in US dollars, without models of unknown price."""
        return sum(step.usd_high or 0.0 for step in self.steps)

    @property
    def tokens(self) -> int:
        """Tokens of prompts and long replies."""
        return sum(step.in_tokens + step.out_high for step in self.steps)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Names of models whose price is unknown."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.unpriced))

    @property
    def is_free(self) -> bool:
        """Whether all steps are known to be free."""
        return not self.unpriced and self.usd_high == 0

    def __add__(self, other: object) -> Estimate:
        if not isinstance(other, Estimate):
            return NotImplemented
        return Estimate(self.steps + other.steps)

    def describe(self, *, verbose: bool = False) -> str:
        """The estimate as text; `verbose` adds a line per step."""
        if self.is_free:
            text = "Estimated cost: $0 (no paid model)"
        else:
            text = f"Estimated cost: {_shown(self.usd_low)} to {_shown(self.usd_high)}"
            if self.unpriced:
                text += f" + unknown cost of {', '.join(self.unpriced)} (about {self.tokens:,} tokens in all)"
        if not verbose:
            return text
        lines = [
            f"  {s.step} ({s.model}): {s.requests:,} requests, {s.in_tokens:,} tokens in, "
            f"{s.out_low:,}–{s.out_high:,} out, {_usd(s)}"
            for s in self.steps
        ]
        return "\n".join([text, *lines])


def estimate_gen(
    corpus: Corpus,
    parameters: GenParameters,
    *,
    distill_model: Answerer,
    cluster_model: Embedder,
    synth_model: Answerer,
    auto_review: bool = True,
) -> Estimate:
    """Estimate concept generation, from the prompts of a sample of the documents."""
    n, target = len(corpus), parameters.target_n_concepts
    sample = _sample(corpus)
    quotes, bullets = parameters.filter_n_quotes, parameters.summ_n_bullets
    steps = []
    excerpts = [d.text for d in sample]
    if quotes > 1:
        steps.append(_step(distill_model, [FilterQuotes(d.id, d.text, quotes) for d in sample], n))
        excerpts = [d.text[: quotes * _QUOTE_CHARACTERS] for d in sample]
    tasks = [SummarizeDocument(d.id, text, bullets) for d, text in zip(sample, excerpts, strict=True)]
    steps.append(_step(distill_model, tasks, n))
    n_items = n * bullets
    steps += _embedding_steps(cluster_model, n_items * _BULLET_TOKENS)
    shown = n_items if n_items <= FULLY_SHOWN else int(math.sqrt(n_items * FULLY_SHOWN))
    requests = max(1, math.ceil(shown / _ITEMS_PER_REQUEST))
    item = Item(0, "seven words that say what someone wants")
    per_request = max(1, math.ceil(_FOUND_PER_WANTED * target / requests))
    synthesize = SynthesizeConcepts((item,) * min(_ITEMS_PER_REQUEST, n_items), per_request)
    steps.append(_step(synth_model, [synthesize], requests))
    if auto_review:
        found = max(2, int(_FOUND_PER_WANTED * target))
        candidate = Candidate(
            Concept("Four words for it", "Does the text say that something of this kind happened to it?"), 10
        )
        chunk = (candidate,) * min(found, _CHUNK)
        chunks = math.ceil(found / _CHUNK)
        steps.append(_step(synth_model, [ReviewRemove(chunk)], chunks))
        steps.append(_step(synth_model, [ReviewMerge(chunk, target)], chunks * _REVIEW_ROUNDS))
    return Estimate(tuple(steps))


def estimate_embedding(model: Embedder, texts: Sequence[str]) -> Estimate:
    """Estimate the embedding of texts, from the tokens of a sample of them.

    Args:
        model: The embedding model.
        texts: The texts.
    """
    sample = texts[:: max(1, len(texts) // _SAMPLE)]
    tokens = sum(count_tokens(text, model.name) for text in sample) * len(texts) // max(1, len(sample))
    return Estimate(tuple(_embedding_steps(model, tokens)))


def estimate_score(
    corpus: Corpus,
    model: Answerer,
    tasks: Sequence[ScoreDocuments],
    *,
    n_summaries: int,
    summary_model: Answerer | None = None,
    in_batch: bool = False,
) -> Estimate:
    """Estimate scoring, from the prompts of a sample of the tasks.

    Args:
        corpus: The documents.
        model: The model to ask.
        tasks: The tasks.
        n_summaries: How many concepts are summarized afterwards, always at the full price.
        summary_model: The model that summarizes, if not `model`.
        in_batch: Whether the tasks go through the Batch API, at half the price.
    """
    if not tasks:
        return Estimate(())
    step = max(1, len(tasks) // _SAMPLE)
    steps = [_step(model, tasks[::step], len(tasks), share=BATCH_PRICE if in_batch else 1.0)]
    if n_summaries:
        passages = tuple(text[:200] for text in corpus.texts[:20])
        concept = Concept("Four words for it", "Does the text say that this is so?")
        steps.append(_step(summary_model or model, [SummarizeConcept(concept, passages)], n_summaries))
    return Estimate(tuple(steps))


def estimate_questions(model: Answerer, tasks: Sequence[Task[Any]]) -> Estimate:
    """Estimate a question about each document, from the prompts of a sample of the documents."""
    step = max(1, len(tasks) // _SAMPLE)
    return Estimate((_step(model, tasks[::step], len(tasks)),))


def _sample(corpus: Corpus) -> list[Document]:
    documents = list(corpus)
    return documents[:: max(1, len(documents) // _SAMPLE)]


def _step(model: Answerer, sample: Sequence[Task[Any]], requests: int, *, share: float = 1.0) -> StepEstimate:
    """The estimate of a step, at a share of the model's price."""
    name = sample[0].step
    if isinstance(model, Solver):
        return StepEstimate(name, model.label, requests, 0, 0, 0, 0.0, 0.0)
    scale, n_sampled = requests / len(sample), len(sample)
    if isinstance(model, Model):
        sample = [sent for task in sample for sent in tasks_sent(task, model)]
        requests = round(requests * len(sample) / n_sampled)
    in_tokens = round(sum(model.count_tokens(task.prompt()) for task in sample) * scale)
    expected = sum(task.expected_tokens * task.answer_units() for task in sample) * scale
    low, high = round(_SHORT * expected), round(_LONG * expected)
    usd_high = _priced(model.cost, in_tokens, high, share)
    first = model.cost
    unpriced: tuple[str, ...] = () if usd_high is not None else (model.label,)
    if isinstance(model, Fallbacks):
        unpriced = model.unpriced
        first = None if unpriced else model.first_cost
    usd_low = _priced(first, in_tokens, low, share)
    return StepEstimate(name, model.label, requests, in_tokens, low, high, usd_low, usd_high, unpriced)


def _embedding_steps(model: Embedder, tokens: int) -> list[StepEstimate]:
    if isinstance(model, HybridEmbedModel):
        return [step for part in model.parts for step in _embedding_steps(part, tokens)]
    if not isinstance(model, EmbedModel):
        return [StepEstimate("cluster", model.name, 1, 0, 0, 0, 0.0, 0.0)]
    usd = _priced(model.cost, tokens, 0)
    requests = max(1, math.ceil(tokens / _BULLET_TOKENS / model.batch_size))
    unpriced = () if usd is not None else (model.label,)
    return [StepEstimate("cluster", model.label, requests, tokens, 0, 0, usd, usd, unpriced)]


def _priced(price: Price | None, in_tokens: int, out_tokens: int, share: float = 1.0) -> float | None:
    return None if price is None else share * price.of(in_tokens, out_tokens)


def _usd(step: StepEstimate) -> str:
    if step.usd_high is None or step.usd_low is None:
        return "cost unknown"
    return f"${step.usd_low:,.4f}–${step.usd_high:,.4f}"


def _shown(usd: float) -> str:
    """An estimated amount, rounded to cents; amounts below a cent keep more digits."""
    return f"${usd:,.2f}" if usd >= _CENT else dollars(usd)
