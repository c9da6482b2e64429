"""Embedding many texts: batched, each distinct text once, blank texts as zero rows."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from text_lloom.errors import ContextOverflow, LloomError, ModelError, PermanentError, StepFailed
from text_lloom.llm.course import Course, first_error
from text_lloom.llm.cutting import cut_texts
from text_lloom.llm.hybrid import HybridEmbedModel
from text_lloom.llm.model import Embedder, EmbedModel
from text_lloom.llm.retry import FATAL
from text_lloom.llm.run import Run
from text_lloom.llm.vectors import embed_batch, in_batches, keep_vectors, kept_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["embed_all"]

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
    sizes, course = {len(vector) for vector in kept.values()}, Course()
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
