"""What models share whose weights run in this process: packages, loading, identity, batches of requests."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from text_lloom.errors import InputError, LloomError, MissingPackage, ModelSetupError
from text_lloom.llm.completion import Completion, Embeddings
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import EmbedModel, Model
from text_lloom.llm.options import ModelOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LONG_TIMEOUT",
    "Batcher",
    "Job",
    "OnDeviceEmbedModel",
    "OnDeviceModel",
    "OnDeviceOptions",
    "check_packages",
    "fingerprint",
    "load_weights",
    "pick_device",
]

_MODULES: Final = {"sentence-transformers": "sentence_transformers", "llama-cpp-python": "llama_cpp"}
_DEVICES: Final = ("auto", "cpu", "cuda", "mps")


def check_packages(*packages: str, extra: str, purpose: str) -> None:
    """Refuse to go on when a package is missing, before anything is loaded or spent.

    Args:
        *packages: Names as they are installed by pip.
        extra: The extra of text_lloom that installs them.
        purpose: What needs them; the first words of the message.

    Raises:
        MissingPackage: Names the first missing package and what to run.
    """
    for package in packages:
        if importlib.util.find_spec(_MODULES.get(package, package)) is None:
            raise MissingPackage(package, extra=extra, purpose=purpose)


def fingerprint(source: str) -> str:
    """A hash of the files of a model, which changes when they do; `""` for an id on the hub.

    It covers names, sizes and times of the files, not their bytes, so that large models load at once.
    """
    path = Path(source).expanduser()
    if not path.exists():
        return ""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        about = file.stat()
        digest.update(f"{file.relative_to(path.parent)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def pick_device(name: str) -> str:
    """The device to run on: the one that is named; for `"auto"` a GPU if there is one, else the CPU.

    Raises:
        InputError: When the named device is unknown or not on this machine.
    """
    import torch

    kind = name.partition(":")[0]
    if kind not in _DEVICES:
        raise InputError(f"device={name!r} is unknown; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.")
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        return next(found for found in ("cuda", "mps", "cpu") if has[found])
    if not has[kind]:
        raise InputError(f"device={name!r} was asked for, but this machine has none. Use device='auto'.")
    return name


T = TypeVar("T")

LONG_TIMEOUT: Final = 3600.0
"""Seconds for one batch: a large model on a slow processor must not be asked again."""
_LINGER_SECONDS = 0.01
"""How long the first request of a batch waits for others that are being sent just now."""


class OnDeviceOptions(ModelOptions, total=False):
    """Options of language models of this machine: those of `ModelOptions`, and further ways of sampling."""

    min_p: float | None
    repetition_penalty: float | None


class OnDeviceModel(Model):
    """Base of the language models that need no server.

    A subclass sets `_batcher`, whose function works on the requests of a batch.
    """

    streams = True
    stays_on_loop = True
    loads_on_thread = True

    _batcher: Batcher
    adapter: str | None

    @property
    def provider_key(self) -> str:
        return f"on this machine: {type(self).__name__}"

    @property
    def parameters(self) -> Mapping[str, object]:
        return self._identity

    @cached_property
    def _identity(self) -> dict[str, object]:
        """What tells these weights and their use from others; computed when the model is first used."""
        adapter = None if self.adapter is None else [self.adapter, fingerprint(self.adapter)]
        return {"weights": fingerprint(self.name), "adapter": adapter, **self._settings()}

    @abstractmethod
    def _settings(self) -> dict[str, object]:
        """What shapes replies besides the weights and the generation parameters."""

    @abstractmethod
    def _token_ids(self, text: str) -> Sequence[int]:
        """The tokens of a text, by the loaded model."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text: exact once the model is loaded, an estimate before."""
        return len(self._token_ids(text)) if self._is_set_up else super().count_tokens(text)

    async def complete(self, request: ModelRequest) -> Completion:
        return await self._batcher.ask(request)


class OnDeviceEmbedModel(EmbedModel):
    """Base of the embedding models that need no server: free, with exact token counts.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        batch_size: The largest number of texts that go through the model together.
        context_window: In tokens; the model's own when not given.
        **args: What else shapes the vectors.
    """

    counts_tokens = False
    loads_on_thread = True

    def __init__(
        self, source: str, *, batch_size: int, context_window: int | None = None, **args: Any
    ) -> None:
        super().__init__(
            source, batch_size=batch_size, cost=0, context_window=context_window, timeout=LONG_TIMEOUT, **args
        )
        self._given_window = context_window

    @abstractmethod
    def load(self) -> Any:
        """The loaded model; called once, on a worker thread."""

    @abstractmethod
    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of some texts, shape `(texts, dimensions)`."""

    @abstractmethod
    def own_window(self) -> int | None:
        """The longest text that the loaded model takes, in tokens."""

    @property
    def window(self) -> int | None:
        """The longest text that is embedded whole, in tokens. Loads the model when none was given."""
        return self._given_window if self._given_window is not None else self.own_window()

    @property
    def provider_key(self) -> str:
        return f"on this machine: {type(self).__name__}"

    @property
    def parameters(self) -> Mapping[str, object]:
        return self._identity

    @cached_property
    def _identity(self) -> dict[str, object]:
        """What tells these vectors from those of other weights; computed when the model is first used."""
        return {**self.args, "weights": fingerprint(self.name)}

    def _set_up(self) -> Any:
        return load_weights(self.load, self.label)

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> Embeddings:
        return Embeddings(self.encode(texts), sum(map(self.count_tokens, texts)))


@dataclass(slots=True)
class Job:
    """A request that waits for its batch, or is in it.

    Attributes:
        request: What is asked.
        on_text: Called on the worker thread with each piece of the reply, if the request streams.
        abandoned: Nobody waits for the answer any more, so work on it may stop.
    """

    request: ModelRequest
    on_text: Callable[[str], object] | None
    future: Future[Completion] = field(default_factory=Future)
    abandoned: bool = False


AnswerBatch: TypeAlias = Callable[[Sequence[Job]], Sequence[Completion | Exception]]


class Batcher:
    """Gathers requests into batches, which one worker thread at a time answers.

    Args:
        answer: Called on the worker thread with the jobs of a batch; returns their answers in order, an
            exception for a job that has none.
        batch_size: The largest number of jobs in a batch.
    """

    def __init__(self, answer: AnswerBatch, *, batch_size: int) -> None:
        self._answer = answer
        self._batch_size = batch_size
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self._is_draining = False

    async def ask(self, request: ModelRequest) -> Completion:
        """The answer to a request, from the batch that it joins.

        Cancelling drops a request that still waits, and marks one that is being answered as abandoned.
        """
        job = Job(request, _on_this_loop(request.on_chunk))
        with self._lock:
            self._waiting.append(job)
            starts = not self._is_draining
            self._is_draining = True
        if starts:
            # A daemon, so that a process that ends does not wait for a long reply.
            threading.Thread(target=self._drain, name="lloom-batch", daemon=True).start()
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.abandoned = True
            raise

    def _drain(self) -> None:
        """Answer batches until none waits."""
        time.sleep(_LINGER_SECONDS)
        while batch := self._next_batch():
            try:
                answers = self._answer(batch)
            except Exception as error:
                answers = [error] * len(batch)
            for job, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception):
                    job.future.set_exception(answer)
                else:
                    job.future.set_result(answer)
            # Those who got an answer send their next request now, which should join the next batch.
            if len(self._waiting) < self._batch_size:
                time.sleep(_LINGER_SECONDS)

    def _next_batch(self) -> list[Job]:
        batch: list[Job] = []
        with self._lock:
            while self._waiting and len(batch) < self._batch_size:
                job = self._waiting.popleft()
                if job.future.set_running_or_notify_cancel():
                    batch.append(job)
            if not batch:
                self._is_draining = False
        return batch


def load_weights(load: Callable[[], T], label: str) -> T:
    """What a function loads from disk or from the hub, with an error that says what to do.

    Raises:
        ModelSetupError: When it cannot be loaded.
    """
    try:
        return load()
    except LloomError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise ModelSetupError(
            f"Model {label!r} could not be loaded: {reason}. Give the folder that holds the model, or its id "
            f"on the Hugging Face hub (which needs a network the first time)."
        ) from error


def _on_this_loop(on_chunk: Callable[[str], object] | None) -> Callable[[str], object] | None:
    """A function for other threads that calls another one on this event loop."""
    if on_chunk is None:
        return None
    loop = asyncio.get_running_loop()
    return lambda piece: loop.call_soon_threadsafe(on_chunk, piece)
