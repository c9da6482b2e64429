"""Embedding many texts: batched, each distinct text once, blank texts as zero rows."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from text_lloom.errors import BadAnswer, ModelError, StepFailed
from text_lloom.llm.model import Embedder, EmbedModel, OneTextAtATime
from text_lloom.llm.request import first_error, with_retries
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
    kept = await _kept(model, distinct, run)
    missing = [text for text in distinct if text not in kept]
    batches = _batches(missing, model) if isinstance(model, EmbedModel) else [missing][: len(missing)]
    if run.progress is not None:
        run.progress.start(step, len(batches))

    async def embed(batch: list[str]) -> None:
        cut = [_cut(text, model) for text in batch] if isinstance(model, EmbedModel) else batch
        part = await _embed(model, cut, run, step)
        kept.update(zip(batch, part, strict=True))
        if isinstance(model, EmbedModel) and run.vectors is not None:
            keyed = {_vector_key(model, text): row for text, row in zip(batch, part, strict=True)}
            await run.vectors.put_vectors(keyed, model=model.label, step=step)
        if run.progress is not None:
            run.progress.advance()

    try:
        async with asyncio.TaskGroup() as group:
            for batch in batches:
                group.create_task(embed(batch))
    except BaseExceptionGroup as errors:
        error = first_error(errors)
        if isinstance(error, ModelError):
            raise StepFailed(f"{step}: the texts could not be embedded. {error}") from error
        raise error from None
    finally:
        if run.progress is not None:
            run.progress.finish()
    sizes = sorted({len(vector) for vector in kept.values()})
    if len(sizes) > 1:
        raise StepFailed(f"{step}: the embedding model gave vectors of different lengths: {sizes}.")
    embedded = np.zeros((len(texts), sizes[0]), np.float32)
    for i, text in enumerate(texts):
        if text in kept:
            embedded[i] = kept[text]
    return embedded


async def _kept(model: Embedder, texts: Sequence[str], run: Run) -> dict[str, NDArray[np.float32]]:
    """Vectors of texts that were embedded before."""
    if run.vectors is None or not isinstance(model, EmbedModel):
        return {}
    keys = {text: _vector_key(model, text) for text in texts}
    found = await asyncio.to_thread(run.vectors.get_vectors, list(keys.values()))
    return {text: found[key] for text, key in keys.items() if key in found}


def _vector_key(model: EmbedModel, text: str) -> str:
    content = ["vector", model.provider_key, model.name, model.parameters, text]
    described = json.dumps(content, sort_keys=True, ensure_ascii=False, default=repr)
    return hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()


async def _embed(model: Embedder, batch: list[str], run: Run, step: str) -> NDArray[np.float32]:
    async def call() -> tuple[NDArray[np.float32], int | None]:
        found = await model.embed_batch(batch)
        if len(found.vectors) != len(batch):
            raise BadAnswer(f"Expected {len(batch)} vectors, but got {len(found.vectors)}.")
        return found.vectors, found.in_tokens

    if isinstance(model, EmbedModel):
        tokens = sum(model.count_tokens(text) for text in batch)
        try:
            vectors = await with_retries(model, step, run, tokens=tokens, call=call)
        except OneTextAtATime:
            return await _embed_one_by_one(model, batch, run, step)
    else:
        vectors, _ = await call()
    return vectors


async def _embed_one_by_one(
    model: EmbedModel, texts: Sequence[str], run: Run, step: str
) -> NDArray[np.float32]:
    """Vectors of texts, each with a request of its own."""
    import numpy as np

    async with asyncio.TaskGroup() as group:
        embedding = [group.create_task(_embed(model, [text], run, step)) for text in texts]
    return np.concatenate([task.result() for task in embedding])


def _batches(texts: Sequence[str], model: EmbedModel) -> list[list[str]]:
    """Consecutive texts, as many as one call takes."""
    batches: list[list[str]] = []
    limits = [window.amount for window in model.limit.windows if window.unit == "tokens"]
    most, room = min([_BATCH_TOKENS, *limits]), 0
    for text in texts:
        tokens = model.count_tokens(text)
        if not batches or len(batches[-1]) >= model.batch_size or tokens > room:
            batches.append([])
            room = most
        batches[-1].append(text)
        room -= tokens
    return batches


def _cut(text: str, model: EmbedModel) -> str:
    window = model.context_window
    if window is None or len(text) <= window:
        return text
    tokens = model.count_tokens(text)
    return text if tokens <= window else text[: int(len(text) * 0.9 * window / tokens)]
