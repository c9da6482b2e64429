"""Requests in flight are answered together: a queue in front of a model that works in batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Gatherer", "Job"]

Q = TypeVar("Q")
R = TypeVar("R")

_LINGER_SECONDS = 0.01
"""How long the first request of a batch waits for others that are being sent just now."""


@dataclass(slots=True)
class Job(Generic[Q, R]):
    """A request that waits for its batch, or is in it.

    Attributes:
        request: What is asked.
        abandoned: Nobody waits for the answer any more, so work on it may stop.
    """

    request: Q
    future: Future[R] = field(default_factory=Future)
    abandoned: bool = False


class Gatherer(Generic[Q, R]):
    """Gathers requests into batches, and has one worker thread at a time answer them, batch after batch.

    Args:
        answer: Called on the worker thread with the jobs of a batch; gives their answers in order, an
            exception for a job that has none.
        batch_size: The largest number of jobs in a batch.
    """

    def __init__(
        self, answer: Callable[[Sequence[Job[Q, R]]], Sequence[R | Exception]], *, batch_size: int
    ) -> None:
        self._answer = answer
        self._batch_size = batch_size
        self._waiting: deque[Job[Q, R]] = deque()
        self._lock = threading.Lock()
        self._is_draining = False

    async def ask(self, request: Q) -> R:
        """The answer to a request, from the batch into which it comes.

        Cancelling drops a request that still waits, and marks one that is being answered as abandoned.
        """
        job: Job[Q, R] = Job(request)
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
            # Those who got an answer send their next request now: it should come into the next batch.
            if len(self._waiting) < self._batch_size:
                time.sleep(_LINGER_SECONDS)

    def _next_batch(self) -> list[Job[Q, R]]:
        batch: list[Job[Q, R]] = []
        with self._lock:
            while self._waiting and len(batch) < self._batch_size:
                job = self._waiting.popleft()
                if job.future.set_running_or_notify_cancel():
                    batch.append(job)
            if not batch:
                self._is_draining = False
        return batch
