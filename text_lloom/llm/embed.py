"""Embedding many texts: batched, each distinct text once, blank texts as zero rows."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from text_lloom.errors import BadAnswer, ContextOverflow, LloomError, ModelError, PermanentError, StepFailed
from text_lloom.llm.completion import Embeddings, as_embeddings
from text_lloom.llm.composite import HybridEmbedModel
from text_lloom.llm.control.retry import FATAL
from text_lloom.llm.dispatch.attempt import with_retries
from text_lloom.llm.dispatch.step_state import Run, StepState, first_error
from text_lloom.llm.dispatch.truncate import cut_texts
from text_lloom.llm.model import Embedder, EmbedModel, OneTextAtATime
from text_lloom.llm.on_device.base import OnDeviceEmbedModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["embed_all", "embed_batch", "in_batches", "keep_vectors", "kept_vectors"]

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
    course: StepState | None = None,
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
            return await _embed_one_by_one(model, batch, run, step, course or StepState())
    else:
        vectors, _ = await call()
    return vectors


async def _embed_one_by_one(
    model: EmbedModel, texts: Sequence[str], run: Run, step: str, course: StepState
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


_CUT_ADVICE = " To have longer texts cut, say how many tokens the model takes, with context_window=."


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
    kept = await kept_vectors(model, list(dict.fromkeys(sent.values())), run)
    missing = [text for text in dict.fromkeys(sent.values()) if text not in kept]
    batches = [missing][: len(missing)]
    if isinstance(model, EmbedModel):  # counts the tokens of all texts
        batches = await asyncio.to_thread(in_batches, missing, model)
    sizes, course = {len(vector) for vector in kept.values()}, StepState()
    if run.progress is not None:
        run.progress.start(step, len(batches))

    async def embed(batch: list[str]) -> None:
        try:
            part = await embed_batch(model, batch, run, step, course=course)
            sizes.add(part.shape[1])
            _check_sizes(sizes, step, model)
        except LloomError as error:
            if isinstance(error, PermanentError) and not isinstance(error, FATAL) and len(batch) > 1:
                middle = len(batch) // 2  # servers take different numbers of texts, and refuse all for one
                await embed(batch[:middle])
                await embed(batch[middle:])
                return
            course.stop(error)  # what is in flight is being paid for, so it may end
            return
        kept.update(zip(batch, part, strict=True))
        await keep_vectors(model, batch, part, run, step)

    async def embed_counted(batch: list[str]) -> None:
        await embed(batch)
        if run.progress is not None:
            run.progress.advance()

    try:
        _check_sizes(sizes, step, model)
        async with asyncio.TaskGroup() as group:
            for batch in batches:
                group.create_task(embed_counted(batch))
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    finally:
        if run.progress is not None:
            run.progress.finish()
    if isinstance(course.ended, ModelError):
        advice = _CUT_ADVICE if isinstance(course.ended, ContextOverflow) else ""
        raise StepFailed(f"{step}: the texts could not be embedded. {course.ended}{advice}") from course.ended
    if course.ended is not None:
        raise course.ended
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
