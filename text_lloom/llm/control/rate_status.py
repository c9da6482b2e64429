"""How far the rate limits of models are used up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from text_lloom.llm.classifiers.classifier import Classifier
from text_lloom.llm.composite import Answerer, single_models
from text_lloom.llm.control.redis_limiter import SharedLimiter
from text_lloom.llm.dispatch.attempt import limiter_of
from text_lloom.llm.model import Embedder, EmbedModel, Model

__all__ = ["RATE_COLUMNS", "rate_status"]

RATE_COLUMNS = (
    "model",
    "limit",
    "unit",
    "seconds",
    "used",
    "remaining",
    "seconds_until_free",
    "waiting",
    "in_flight",
    "concurrency",
)
"""The columns of `lloom.rate_status`."""


async def rate_status(models: Iterable[Answerer | Embedder]) -> list[dict[str, object]]:
    """One entry per model and limit; see `lloom.rate_status`. Must run on the portal's loop."""
    now = asyncio.get_running_loop().time()
    rows: list[dict[str, object]] = []
    limited = {model.limiter_key: model for named in models for model in _limited(named)}
    for model in limited.values():
        limiter, gate = limiter_of(model)
        load = {"in_flight": gate.in_flight, "concurrency": gate.limit}
        states = await limiter.status() if isinstance(limiter, SharedLimiter) else limiter.status(now)
        if not states:
            rows.append({"model": model.label, **load})
        for state in states:
            rows.append(
                {
                    "model": model.label,
                    "limit": state.window.amount,
                    "unit": state.window.unit,
                    "seconds": state.window.seconds,
                    "used": state.used,
                    "remaining": state.remaining,
                    "seconds_until_free": state.seconds_until_free,
                    "waiting": state.waiting,
                    **load,
                }
            )
    return rows


def _limited(named: Answerer | Embedder) -> Iterator[Model | EmbedModel]:
    """The models of a service whose starts are counted."""
    for model in single_models(named):
        if isinstance(model, Classifier):
            yield model.probabilities
        elif isinstance(model, (Model, EmbedModel)):
            yield model
