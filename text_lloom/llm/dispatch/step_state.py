"""What the requests of a step share, and what those of a session share."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from text_lloom.errors import InputError, LloomError
from text_lloom.llm.completion import Completion
from text_lloom.llm.control.budget import Budget, TokenBudget
from text_lloom.llm.control.retry import RetryPolicy
from text_lloom.llm.control.usage import Ledger
from text_lloom.llm.dispatch.request_builder import StepSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Failure", "Progress", "ReplyStore", "Run", "StepState", "VectorStore"]


@dataclass(slots=True)
class StepState:
    """What the requests of one step share.

    Attributes:
        sent: How many attempts there were.
        answered: How many of them gave an answer.
        ended: Why nothing more is sent; attempts in flight may finish.
    """

    sent: int = 0
    answered: int = 0
    ended: LloomError | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that could not be answered.

    Attributes:
        step: The step that asked.
        doc_ids: The documents asked about.
        concept_ids: The concepts asked about.
        kind: Class of the last error.
        reason: Its message.
        attempts: How many attempts were made.
        usd: What the attempts cost in US dollars, as far as prices are known.
    """

    step: str
    doc_ids: tuple[Hashable, ...]
    concept_ids: tuple[str, ...]
    kind: str
    reason: str
    attempts: int
    usd: float


class ReplyStore(Protocol):
    """Caches replies, so that none is paid for twice."""

    def get(self, key: str) -> Completion | None:
        """The cached reply, `None` if there is none."""

    async def put(
        self, key: str, completion: Completion, *, model: str, step: str, usd: float | None = None
    ) -> None:
        """Cache a reply; returns once it is stored durably."""

    def flight(
        self, key: str, *, on_wait: Callable[[], object] | None = None
    ) -> AbstractAsyncContextManager[Completion | None]:
        """Gives the cached reply, or `None` to the one request that may be sent for this key.

        Further requests of the key wait until that one ends; `on_wait` is called before they wait.
        """


class VectorStore(Protocol):
    """Caches embeddings, so that none is paid for twice."""

    def get_vectors(self, keys: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
        """The cached vectors, by key; keys without one are missing."""

    async def put_vectors(
        self, vectors: Mapping[str, NDArray[np.float32]], *, model: str, step: str = "cluster"
    ) -> None:
        """Cache vectors; returns once they are stored durably."""


class Progress(Protocol):
    """Receives the progress of a step."""

    def start(self, step: str, total: int) -> None:
        """A step of `total` questions begins."""

    def advance(self, n: int = 1) -> None:
        """`n` more questions have an answer or have failed."""

    def finish(self) -> None:
        """The step has ended."""


@dataclass(slots=True)
class Run:
    """What all requests of a session share.

    Attributes:
        ledger: Gets a row per attempt.
        budget: Limit in US dollars; `None` for no limit.
        token_budget: Limit in tokens; `None` for no limit.
        store: Cache of replies, if any.
        vectors: Cache of embeddings, if any.
        progress: Receives the progress of each step, if given.
        settings: Parameters, system message and prompt of each step.
        policy: How often and how long to retry.
        failures: Questions that could not be answered, in the order in which they failed.
        cut: Ids of documents that were cut to fit a context window, by step.
        random_state: Seed of the jitter between attempts.
        waited: Seconds that all requests together have waited for a rate limit.
        proven: By step and model, the settings of the latest answered request.
        jitter: Draws the waits between attempts, so that requests do not retry all at once.
    """

    ledger: Ledger = field(default_factory=Ledger)
    budget: Budget | None = None
    token_budget: TokenBudget | None = None
    store: ReplyStore | None = None
    vectors: VectorStore | None = None
    progress: Progress | None = None
    settings: dict[str, StepSettings] = field(default_factory=dict)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    failures: list[Failure] = field(default_factory=list)
    cut: dict[str, list[Hashable]] = field(default_factory=dict)
    random_state: int = 0
    waited: float = 0.0
    proven: dict[tuple[str, Hashable], StepSettings] = field(default_factory=dict)
    jitter: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.policy, RetryPolicy):
            raise InputError(
                f"retry={self.policy!r} must be a RetryPolicy, such as RetryPolicy(attempts=4) from "
                f"text_lloom.llm."
            )
        self.jitter = random.Random(self.random_state)

    def drop(self, failures: Iterable[Failure]) -> None:
        """Remove these failures from the list, and leave those of other steps alone."""
        dropped = {id(failure) for failure in failures}
        self.failures[:] = [failure for failure in self.failures if id(failure) not in dropped]
