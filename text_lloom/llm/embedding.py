"""Embedding many texts: batched, each distinct text once, blank texts as zero rows."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from text_lloom.errors import BadAnswer, ModelError, StepFailed
from text_lloom.llm.cutting import cut_texts
from text_lloom.llm.hybrid import HybridEmbedModel
from text_lloom.llm.model import Embedder, EmbedModel, OneTextAtATime
from text_lloom.llm.request import first_error, with_retries
from text_lloom.llm.returned import Embeddings, as_embeddings
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
        texts: Any number of texts; equal ones are embedded once, blank ones give a zero row, and those
            that are longer than the model takes are cut at the end, with a warning.
        run: Ledger, budget and so on.
        step: The step that asks.

    Returns:
        Shape `(len(texts), dimensions)`; `(n, 1)` of zeros when every text is blank.

    Raises:
        StepFailed: When a batch could not be embedded, or when vectors have different lengths.
    """
    import numpy as np

    if isinstance(model, HybridEmbedModel):
        return await _side_by_side(model, texts, run, step)
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    if not distinct:
        return np.zeros((len(texts), 1), np.float32)
    sent = await _as_sent(model, distinct, step)
    kept = await _kept(model, list(dict.fromkeys(sent.values())), run)
    missing = [text for text in dict.fromkeys(sent.values()) if text not in kept]
    batches = _batches(missing, model) if isinstance(model, EmbedModel) else [missing][: len(missing)]
    sizes = {len(vector) for vector in kept.values()}
    if run.progress is not None:
        run.progress.start(step, len(batches))

    async def embed(batch: list[str]) -> None:
        part = await _embed(model, batch, run, step)
        sizes.add(part.shape[1])
        _check_sizes(sizes, step, model)
        kept.update(zip(batch, part, strict=True))
        if isinstance(model, EmbedModel) and run.vectors is not None:
            keyed = {_vector_key(model, text): row for text, row in zip(batch, part, strict=True)}
            await run.vectors.put_vectors(keyed, model=model.label, step=step)
        if run.progress is not None:
            run.progress.advance()

    try:
        _check_sizes(sizes, step, model)
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
    embedded = np.zeros((len(texts), *sizes), np.float32)
    for i, text in enumerate(texts):
        if text in sent:
            embedded[i] = kept[sent[text]]
    return embedded


def _check_sizes(sizes: Collection[int], step: str, model: Embedder) -> None:
    """Stop at the first batch whose vectors are not as long as the others, which may be kept from before."""
    if len(sizes) > 1:
        raise StepFailed(
            f"{step}: the embedding model {model.name!r} gave vectors of different lengths: {sorted(sizes)}. "
            f"If the model behind this name has changed, remove its kept vectors with `lloom cache clear`."
        )


async def _side_by_side(
    model: HybridEmbedModel, texts: Sequence[str], run: Run, step: str
) -> NDArray[np.float32]:
    """Vectors of all parts, each row scaled to the part's weight, one beside the other."""
    import numpy as np

    columns = []
    for part, weight in zip(model.parts, model.weights, strict=True):
        vectors = await embed_all(part, texts, run=run, step=step)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        columns.append(vectors * np.divide(weight, norms, out=np.zeros_like(norms), where=norms > 0))
    joined: NDArray[np.float32] = np.concatenate(columns, axis=1, dtype=np.float32)
    return joined


async def _as_sent(model: Embedder, texts: Sequence[str], step: str) -> dict[str, str]:
    """By text, what is embedded for it: the text itself, or the part of it that the model takes.

    Raises:
        StepFailed: When the model could not be loaded.
    """
    if not isinstance(model, EmbedModel):
        return {text: text for text in texts}
    try:
        cut = await asyncio.to_thread(cut_texts, model, texts, step)
    except ModelError as error:
        raise StepFailed(f"{step}: the texts could not be embedded. {error}") from error
    return dict(zip(texts, cut, strict=True))


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


async def _call(model: Embedder, batch: list[str]) -> Embeddings:
    """What a model gives for one batch; a plain `embed_batch` of a user's class runs on a worker thread."""
    method: Callable[[Sequence[str]], object] = model.embed_batch
    is_plain = not inspect.iscoroutinefunction(method)
    given = await asyncio.to_thread(method, batch) if is_plain else method(batch)
    found = as_embeddings(await given if inspect.isawaitable(given) else given, len(batch))
    if found is None:
        raise BadAnswer(
            f"Embedding model {model.name!r} gave no {len(batch)} vectors for {len(batch)} texts."
        )
    return found


async def _embed(model: Embedder, batch: list[str], run: Run, step: str) -> NDArray[np.float32]:
    async def call() -> tuple[NDArray[np.float32], int | None]:
        found = await _call(model, batch)
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
