"""How far the rate limits of models are used up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from text_lloom.llm.engine import Answerer
from text_lloom.llm.fallback import Fallbacks
from text_lloom.llm.model import Embedder, EmbedModel, Model, limiter_of
from text_lloom.llm.redis_limits import SharedLimiter

__all__ = ["rate_status"]


async def rate_status(models: Iterable[Answerer | Embedder]) -> list[dict[str, object]]:
    """One entry per model and limit; see `lloom.rate_status`. Must run on the portal's loop."""
    now = asyncio.get_running_loop().time()
    rows: list[dict[str, object]] = []
    parts = dict.fromkeys(part for named in models for part in _remote(named))
    for model in parts:
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


def _remote(model: Answerer | Embedder) -> Iterator[Model | EmbedModel]:
    if isinstance(model, Fallbacks):
        for part in model.models:
            yield from _remote(part)
    elif isinstance(model, (Model, EmbedModel)):
        yield model
