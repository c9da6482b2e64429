"""One batch of texts as vectors: kept ones first, then a request with its limits and retries."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from text_lloom.errors import BadAnswer, LloomError
from text_lloom.llm.course import Course
from text_lloom.llm.model import Embedder, EmbedModel, OneTextAtATime
from text_lloom.llm.on_device import OnDeviceEmbedModel
from text_lloom.llm.request import with_retries
from text_lloom.llm.returned import Embeddings, as_embeddings
from text_lloom.llm.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["embed_batch", "in_batches", "keep_vectors", "kept_vectors"]

_BATCH_TOKENS = 200_000


async def kept_vectors(model: Embedder, texts: Sequence[str], run: Run) -> dict[str, NDArray[np.float32]]:
    """Vectors of texts that were embedded before."""
    if run.vectors is None or not isinstance(model, EmbedModel):
        return {}
    keys = dict(zip(texts, _vector_keys(model, texts), strict=True))
    found = await asyncio.to_thread(run.vectors.get_vectors, list(keys.values()))
    return {text: found[key] for text, key in keys.items() if key in found}


async def keep_vectors(
    model: Embedder, texts: Sequence[str], vectors: NDArray[np.float32], run: Run, step: str
) -> None:
    """Keep the vectors of texts, so that they are not asked for again."""
    if isinstance(model, EmbedModel) and run.vectors is not None:
        keyed = dict(zip(_vector_keys(model, texts), vectors, strict=True))
        await run.vectors.put_vectors(keyed, model=model.label, step=step)


def _vector_keys(model: EmbedModel, texts: Sequence[str]) -> list[str]:
    """What identifies the vectors of texts: service, model, parameters and text."""
    about = ["vector", model.provider_key, model.name, model.parameters]
    described = json.dumps(about, sort_keys=True, ensure_ascii=False, default=repr)
    start = hashlib.sha256(described.encode("utf-8", "surrogatepass"))
    keys = []
    for text in texts:
        digest = start.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        keys.append(digest.hexdigest())
    return keys


async def _call(model: Embedder, batch: list[str]) -> Embeddings:
    """What a model gives for one batch; a plain `embed_batch` of a user's class runs on a worker thread."""
    method: Callable[[Sequence[str]], object] = model.embed_batch
    is_plain = not inspect.iscoroutinefunction(method)
    given = await asyncio.to_thread(method, batch) if is_plain else method(batch)
    given = await given if inspect.isawaitable(given) else given
    found = as_embeddings(given, len(batch))
    if found is None:
        raise BadAnswer(
            f"Embedding model {model.name!r} must give one vector for each of {len(batch)} texts, all of one "
            f"length, but gave {_described(given)}."
        )
    return found


def _described(given: object) -> str:
    """What an embedding model gave, in a few words."""
    vectors = given.vectors if isinstance(given, Embeddings) else given
    if (shape := getattr(vectors, "shape", None)) is not None:
        return f"an array of the shape {tuple(shape)}"
    return f"{len(vectors)} of them" if isinstance(vectors, list) else f"a {type(vectors).__name__}"


async def embed_batch(
    model: Embedder,
    batch: list[str],
    run: Run,
    step: str,
    *,
    on_attempt: Callable[[], object] | None = None,
    course: Course | None = None,
) -> NDArray[np.float32]:
    """Vectors of one batch of texts, in order.

    Args:
        model: The embedding model.
        batch: As many texts as one call takes.
        run: Ledger, budget and so on.
        step: The step that asks.
        on_attempt: Called before each attempt.
        course: What it shares with the other batches of its step.
    """

    async def call() -> tuple[NDArray[np.float32], int | None]:
        if on_attempt is not None:
            on_attempt()
        found = await _call(model, batch)
        return found.vectors, found.in_tokens

    if isinstance(model, EmbedModel):
        tokens = 0 if isinstance(model, OnDeviceEmbedModel) else sum(map(model.count_tokens, batch))
        try:
            vectors = await with_retries(model, step, run, tokens=tokens, call=call, course=course)
        except OneTextAtATime:
            return await _embed_one_by_one(model, batch, run, step, course or Course())
    else:
        vectors, _ = await call()
    return vectors


async def _embed_one_by_one(
    model: EmbedModel, texts: Sequence[str], run: Run, step: str, course: Course
) -> NDArray[np.float32]:
    """Vectors of texts, each with a request of its own, and kept by itself."""
    import numpy as np

    async def embed(text: str) -> NDArray[np.float32] | None:
        try:
            part = await embed_batch(model, [text], run, step, course=course)
        except LloomError as error:
            course.stop(error)
            return None
        await keep_vectors(model, [text], part, run, step)
        return part

    async with asyncio.TaskGroup() as group:
        embedding = [group.create_task(embed(text)) for text in texts]
    if course.ended is not None:
        raise course.ended
    return np.concatenate([part for task in embedding if (part := task.result()) is not None])


def in_batches(texts: Sequence[str], model: EmbedModel) -> list[list[str]]:
    """Consecutive texts, as many as one call takes."""
    batches: list[list[str]] = []
    limits = [window.amount for window in model.limit.windows if window.unit == "tokens"]
    most, room = min([_BATCH_TOKENS, *limits]), 0
    for text in texts:
        tokens = 0 if isinstance(model, OnDeviceEmbedModel) else model.count_tokens(text)
        if not batches or len(batches[-1]) >= model.batch_size or tokens > room:
            batches.append([])
            room = most
        batches[-1].append(text)
        room -= tokens
    return batches
