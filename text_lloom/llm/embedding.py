"""Embedding many texts: batched, each distinct text once, blank texts as zero rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from text_lloom.errors import BadAnswer, ModelError, StepFailed
from text_lloom.llm.model import Embedder, EmbedModel
from text_lloom.llm.request import with_retries
from text_lloom.llm.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["embed_all"]

_BATCH_TOKENS = 200_000


async def embed_all(
    model: Embedder, texts: Sequence[str], *, run: Run, step: str = "cluster"
) -> NDArray[np.float32]:
    """Vectors of texts, one row per text, in order.

    Args:
        model: The embedding model.
        texts: Any number of texts; equal ones are embedded once, blank ones give a zero row.
        run: Ledger, budget and so on.
        step: The step that asks.

    Returns:
        Shape `(len(texts), dimensions)`; `(n, 1)` of zeros when every text is blank.

    Raises:
        StepFailed: When a batch could not be embedded.
    """
    import numpy as np

    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    if not distinct:
        return np.zeros((len(texts), 1), np.float32)
    batches = [distinct]
    if isinstance(model, EmbedModel):
        distinct_cut = [_cut(text, model) for text in distinct]
        batches = _batches(distinct_cut, model)
    if run.progress is not None:
        run.progress.start(step, len(batches))
    try:
        parts = await asyncio.gather(*(_embed(model, batch, run, step) for batch in batches))
    except ModelError as error:
        raise StepFailed(f"{step}: the texts could not be embedded. {error}") from error
    finally:
        if run.progress is not None:
            run.progress.finish()
    sizes = sorted({part.shape[1] for part in parts})
    if len(sizes) > 1:
        raise StepFailed(f"{step}: the embedding model gave vectors of different lengths: {sizes}.")
    vectors = np.concatenate(parts)
    row = {text: i for i, text in enumerate(distinct)}
    embedded = np.zeros((len(texts), vectors.shape[1]), np.float32)
    for i, text in enumerate(texts):
        if text in row:
            embedded[i] = vectors[row[text]]
    return embedded


async def _embed(model: Embedder, batch: list[str], run: Run, step: str) -> NDArray[np.float32]:
    async def call() -> tuple[NDArray[np.float32], int | None]:
        found = await model.embed_batch(batch)
        if len(found.vectors) != len(batch):
            raise BadAnswer(f"Expected {len(batch)} vectors, but got {len(found.vectors)}.")
        return found.vectors, found.in_tokens

    if isinstance(model, EmbedModel):
        tokens = sum(model.count_tokens(text) for text in batch)
        vectors = await with_retries(model, step, run, tokens=tokens, call=call)
    else:
        vectors, _ = await call()
    if run.progress is not None:
        run.progress.advance()
    return vectors


def _batches(texts: Sequence[str], model: EmbedModel) -> list[list[str]]:
    """Consecutive texts, as many as one call takes."""
    batches: list[list[str]] = []
    room = 0
    for text in texts:
        tokens = model.count_tokens(text)
        if not batches or len(batches[-1]) >= model.batch_size or tokens > room:
            batches.append([])
            room = _BATCH_TOKENS
        batches[-1].append(text)
        room -= tokens
    return batches


def _cut(text: str, model: EmbedModel) -> str:
    window = model.context_window
    if window is None or len(text) <= window:
        return text
    tokens = model.count_tokens(text)
    return text if tokens <= window else text[: int(len(text) * 0.9 * window / tokens)]
