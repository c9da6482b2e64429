"""Sends texts to a model in batches; each distinct text is sent once, unless its result is in the cache.

`embed_all` gets vectors; classifiers get probabilities or labelled spans, all through `read_texts`.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

from text_lloom.errors import (
    BadAnswer,
    ContextOverflow,
    InputError,
    LloomError,
    ModelError,
    PermanentError,
    StepFailed,
)
from text_lloom.llm.cache.keys import vector_keys
from text_lloom.llm.completion import Completion, Embeddings, as_embeddings
from text_lloom.llm.dispatch.dispatcher import ALL_OR_NOTHING, Dispatcher, Work
from text_lloom.llm.dispatch.request_builder import cut_texts
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.model import Embedder, EmbedModel, OneTextAtATime
from text_lloom.llm.options import finite_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["HybridEmbedModel", "Read", "TextReader", "VectorReader", "embed_all", "read_texts"]

R = TypeVar("R")

_BATCH_TOKENS = 200_000
_CUT_ADVICE = " To cut longer texts, give the number of tokens that the model takes, with context_window=."


class Read(NamedTuple, Generic[R]):
    """The results for a batch of texts, and the tokens that the provider counted."""

    results: Sequence[R]
    in_tokens: int | None


class TextReader(ABC, Generic[R]):
    """Gets a result for each text of a batch."""

    def __init__(self, model: EmbedModel) -> None:
        self.model = model

    @abstractmethod
    async def read(self, batch: list[str]) -> Read[R]:
        """The result for each text of a batch, in one attempt."""

    async def kept(self, texts: Sequence[str], run: Run) -> Mapping[str, R]:
        """Cached results, by text."""
        return {}

    async def keep(self, batch: Sequence[str], found: Sequence[R], run: Run, step: str) -> None:
        """Cache results."""


OnFound: TypeAlias = Callable[[list[str], "R | LloomError", int], None]
"""Gets texts that share one result, the result or the error, and the number of attempts."""


async def read_texts(
    reader: TextReader[R],
    texts: Sequence[str],
    on_found: OnFound[R],
    *,
    run: Run,
    step: str,
    give_up_after: int,
    on_batches: Callable[[int], object] | None = None,
    on_batch: Callable[[], object] | None = None,
) -> LloomError | None:
    """Get a result for each text: from the cache, or in batches, under the model's limits, with retries.

    Texts that are longer than the model takes are cut at the end, with a warning. A batch that the server
    refuses is halved until the text at fault is found.

    Args:
        reader: Reads a batch.
        texts: Distinct texts, none blank.
        on_found: Called as soon as a text has a result or an error.
        run: Ledger, budget, cache and so on.
        step: The step that asks.
        give_up_after: This many failures before the first success end the step; see `Dispatcher`.
        on_batches: Called with the number of batches before the first is sent.
        on_batch: Called when all texts of a batch are done.

    Returns:
        Why the step ended before all texts were read; `None` when they were.

    Raises:
        ModelError: When the model could not be loaded.
    """
    model = reader.model
    whole: dict[str, list[str]] = {}
    for text, sent in zip(texts, await asyncio.to_thread(cut_texts, model, texts, step), strict=True):
        whole.setdefault(sent, []).append(text)
    kept = await reader.kept(list(whole), run)
    for sent, found in kept.items():
        on_found(whole[sent], found, 0)
    missing = [sent for sent in whole if sent not in kept]
    batches = await asyncio.to_thread(_in_batches, missing, model)  # counts the tokens of all texts
    if on_batches is not None:
        on_batches(len(batches))
    if not batches:
        return None
    reading = _Reading(reader, whole, on_found, on_batch, run, step)
    dispatcher = Dispatcher(model, step, run, give_up_after=give_up_after)
    return await dispatcher.do([_Batch(reading, batch, _Left(len(batch))) for batch in batches])


def _in_batches(texts: Sequence[str], model: EmbedModel) -> list[list[str]]:
    """Consecutive texts, as many per batch as one call takes."""
    batches: list[list[str]] = []
    limits = [window.amount for window in model.limit.windows if window.unit == "tokens"]
    most, room = min([_BATCH_TOKENS, *limits]), 0
    for text in texts:
        tokens = model.count_tokens(text) if model.counts_tokens else 0
        if not batches or len(batches[-1]) >= model.batch_size or tokens > room:
            batches.append([])
            room = most
        batches[-1].append(text)
        room -= tokens
    return batches


class _Reading(Generic[R]):
    """What the batches of one step have in common."""

    def __init__(
        self,
        reader: TextReader[R],
        whole: Mapping[str, list[str]],
        on_found: OnFound[R],
        on_batch: Callable[[], object] | None,
        run: Run,
        step: str,
    ) -> None:
        self.reader, self.whole, self.run, self.step = reader, whole, run, step
        self.on_found, self.on_batch = on_found, on_batch
        self.attempts = dict.fromkeys(whole, 0)


@dataclass(slots=True)
class _Left:
    """The number of texts of a batch without a result so far."""

    texts: int


class _Batch(Work[Sequence[R]]):
    """The texts of one request: a batch, or a part of one that was split."""

    def __init__(self, reading: _Reading[R], texts: list[str], left: _Left) -> None:
        self._reading, self._texts, self._left = reading, texts, left
        self._found: Sequence[R] = ()

    def count_tokens(self) -> int:
        model = self._reading.reader.model
        return sum(map(model.count_tokens, self._texts)) if model.counts_tokens else 0

    async def send(self, problem: tuple[str, str] | None) -> Completion:
        for text in self._texts:
            self._reading.attempts[text] += 1
        self._found, in_tokens = await self._reading.reader.read(self._texts)
        return Completion("", in_tokens, 0)

    def read(self, completion: Completion) -> Sequence[R]:
        return self._found

    async def keep(self, answer: Sequence[R], run: Run) -> None:
        await self._reading.reader.keep(self._texts, answer, run, self._reading.step)

    def smaller(self, error: LloomError) -> Sequence[Work[Sequence[R]]]:
        if isinstance(error, OneTextAtATime):
            return [_Batch(self._reading, [text], self._left) for text in self._texts]
        if not isinstance(error, PermanentError) or len(self._texts) < 2:
            return ()
        middle = len(self._texts) // 2  # servers limit the number of texts, and refuse all because of one
        parts = self._texts[:middle], self._texts[middle:]
        return [_Batch(self._reading, part, self._left) for part in parts]

    def deliver(self, answer: Sequence[R], *, kept: Completion | None = None) -> None:
        self._hand_out(answer)

    def fail(self, error: LloomError) -> None:
        self._hand_out([error] * len(self._texts))

    def _hand_out(self, results: Sequence[R | LloomError]) -> None:
        reading = self._reading
        for text, result in zip(self._texts, results, strict=True):
            reading.on_found(reading.whole[text], result, reading.attempts[text])
        self._left.texts -= len(self._texts)
        if not self._left.texts and reading.on_batch is not None:
            reading.on_batch()


class VectorReader(TextReader["NDArray[np.float32]"]):
    """Gets the vectors of texts; the vectors of a classifier are probabilities."""

    async def read(self, batch: list[str]) -> Read[NDArray[np.float32]]:
        found = await _embedded(self.model, batch)
        return Read(list(found.vectors), found.in_tokens)

    async def kept(self, texts: Sequence[str], run: Run) -> dict[str, NDArray[np.float32]]:
        if run.vectors is None:
            return {}
        keys = dict(zip(texts, vector_keys(self.model, texts), strict=True))
        found = await asyncio.to_thread(run.vectors.get_vectors, list(keys.values()))
        return {text: found[key] for text, key in keys.items() if key in found}

    async def keep(
        self, batch: Sequence[str], found: Sequence[NDArray[np.float32]], run: Run, step: str
    ) -> None:
        if run.vectors is not None:
            keyed = dict(zip(vector_keys(self.model, batch), found, strict=True))
            await run.vectors.put_vectors(keyed, model=self.model.label, step=step)


async def embed_all(
    model: Embedder, texts: Sequence[str], *, run: Run, step: str = "cluster"
) -> NDArray[np.float32]:
    """Vectors of texts, one row per text, in order.

    Equal texts are embedded once, blank ones give a row of zeros, and texts that are longer than the model
    takes are cut at the end, with a warning.

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
    vectors: dict[str, NDArray[np.float32]] = {}
    sizes: set[int] = set()

    def keep(texts: list[str], found: NDArray[np.float32] | LloomError, _: int) -> None:
        if not isinstance(found, LloomError):
            sizes.add(len(found))
            _check_sizes(sizes, step, model)
            vectors.update(dict.fromkeys(texts, found))

    progress = run.progress
    try:
        ended: LloomError | None = None
        if isinstance(model, EmbedModel):
            ended = await read_texts(
                _SameLength(model, sizes),
                distinct,
                keep,
                run=run,
                step=step,
                give_up_after=ALL_OR_NOTHING,
                on_batches=None if progress is None else lambda n: progress.start(step, n),
                on_batch=None if progress is None else progress.advance,
            )
        else:
            for text, vector in zip(distinct, (await _embedded(model, distinct)).vectors, strict=True):
                keep([text], vector, 1)
    except ModelError as error:
        ended = error
    finally:
        if progress is not None:
            progress.finish()
    if isinstance(ended, ModelError):
        advice = _CUT_ADVICE if isinstance(ended, ContextOverflow) else ""
        raise StepFailed(f"{step}: the texts could not be embedded. {ended}{advice}") from ended
    if ended is not None:
        raise ended
    [size] = sizes
    embedded = np.zeros((len(texts), size), np.float32)
    for i, text in enumerate(texts):
        if text in vectors:
            embedded[i] = vectors[text]
    return embedded


class _SameLength(VectorReader):
    """Gets vectors, and does not cache a batch whose vectors differ in length from the others."""

    def __init__(self, model: EmbedModel, sizes: set[int]) -> None:
        super().__init__(model)
        self._sizes = sizes

    async def keep(
        self, batch: Sequence[str], found: Sequence[NDArray[np.float32]], run: Run, step: str
    ) -> None:
        self._sizes.update(map(len, found))
        _check_sizes(self._sizes, step, self.model)
        await super().keep(batch, found, run, step)


def _check_sizes(sizes: set[int], step: str, model: Embedder) -> None:
    """Stop when vectors differ in length; some may come from the cache."""
    if len(sizes) > 1:
        raise StepFailed(
            f"{step}: the embedding model {model.name!r} gave vectors of different lengths: {sorted(sizes)}. "
            f"If the model behind this name has changed, clear its cached vectors with `lloom cache clear`."
        )


class HybridEmbedModel(Embedder):
    """Joins embedding models: each part's rows are scaled to length 1, weighted, and concatenated.

    With weights `w` the cosine similarity of two texts is the mean of the parts' cosine similarities,
    weighted by `w²`. Each part has its own batches, limits, price and cache.

    Args:
        *parts: At least two embedding models.
        weights: One positive number per part; all equal if not given.

    Example:
        HybridEmbedModel(SentenceTransformerEmbedModel("all-MiniLM-L6-v2"), SparseEmbedModel())
    """

    def __init__(self, *parts: Embedder, weights: Sequence[float] | None = None) -> None:
        for part in parts:
            if not isinstance(part, Embedder):
                raise InputError(
                    f"HybridEmbedModel joins embedding models, but got {type(part).__name__}: {part!r}."
                )
        if len(parts) < 2:
            raise InputError(f"HybridEmbedModel needs at least two embedding models, but got {len(parts)}.")
        given = [1.0] * len(parts) if weights is None else [finite_number(weight) for weight in weights]
        if len(given) != len(parts) or any(weight is None or weight <= 0 for weight in given):
            raise InputError(f"weights={weights!r} must be {len(parts)} positive numbers, one for each part.")
        self.parts: tuple[Embedder, ...] = parts
        self.weights: tuple[float, ...] = tuple(weight for weight in given if weight is not None)
        self.name = "+".join(part.name for part in parts)

    @classmethod
    def named(cls, parts: str) -> HybridEmbedModel:
        """The model of a string such as `"hybrid:st:all-MiniLM-L6-v2+sparse"`, with equal weights."""
        from text_lloom.llm.providers.registry import embedder_from

        specs = [part.strip() for part in parts.split("+")]
        if len(specs) < 2 or not all(specs):
            raise InputError(
                f"'hybrid:{parts}': expected embedding models joined by +, such as "
                f"'hybrid:st:all-MiniLM-L6-v2+sparse'."
            )
        return cls(*(embedder_from(spec) for spec in specs))

    @property
    def label(self) -> str:
        """The names of the parts."""
        return self.name

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of some texts, outside any session: without cache and ledger."""
        return Embeddings(await embed_all(self, texts, run=Run()))

    def __repr__(self) -> str:
        weights = ", ".join(f"{weight:g}" for weight in self.weights)
        return f"HybridEmbedModel({', '.join(map(repr, self.parts))}, weights=({weights}))"


async def _side_by_side(
    model: HybridEmbedModel, texts: Sequence[str], run: Run, step: str
) -> NDArray[np.float32]:
    """Vectors of all parts, concatenated, with each part's rows scaled to its weight."""
    import numpy as np

    columns = []
    for part, weight in zip(model.parts, model.weights, strict=True):
        vectors = await embed_all(part, texts, run=run, step=step)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        columns.append(vectors * np.divide(weight, norms, out=np.zeros_like(norms), where=norms > 0))
    joined: NDArray[np.float32] = np.concatenate(columns, axis=1, dtype=np.float32)
    return joined


async def _embedded(model: Embedder, batch: list[str]) -> Embeddings:
    """The vectors of one batch; a plain (not async) `embed_batch` runs on a worker thread."""
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
    vectors = given.vectors if isinstance(given, Embeddings) else given
    if (shape := getattr(vectors, "shape", None)) is not None:
        return f"an array of the shape {tuple(shape)}"
    return f"{len(vectors)} of them" if isinstance(vectors, list) else f"a {type(vectors).__name__}"
