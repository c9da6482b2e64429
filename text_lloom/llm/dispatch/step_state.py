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
    """What the requests of one step know of each other.

    Attributes:
        sent: How many attempts there were.
        answered: How many of them gave an answer.
        ended: Why nothing more is sent; attempts that are out may end.
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
        attempts: How many tries were made.
        usd: What the tries cost in US dollars, as far as prices are known.
    """

    step: str
    doc_ids: tuple[Hashable, ...]
    concept_ids: tuple[str, ...]
    kind: str
    reason: str
    attempts: int
    usd: float


class ReplyStore(Protocol):
    """Keeps replies, so that none is paid twice."""

    def get(self, key: str) -> Completion | None:
        """The reply kept under a key."""

    async def put(
        self, key: str, completion: Completion, *, model: str, step: str, usd: float | None = None
    ) -> None:
        """Keep a reply; returns once it is safe."""

    def flight(
        self, key: str, *, on_wait: Callable[[], object] | None = None
    ) -> AbstractAsyncContextManager[Completion | None]:
        """Gives the kept reply, or `None` to the one request of that key that may be made now.

        Further requests of the key wait until that one is over; `on_wait` is called before they do.
        """


class VectorStore(Protocol):
    """Keeps embeddings, so that none is paid twice."""

    def get_vectors(self, keys: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
        """The vectors kept under these keys, as far as there are any."""

    async def put_vectors(
        self, vectors: Mapping[str, NDArray[np.float32]], *, model: str, step: str = "cluster"
    ) -> None:
        """Keep vectors; returns once they are safe."""


class Progress(Protocol):
    """Is told how a step gets on."""

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
        budget: Never passed, if given.
        token_budget: Never passed, if given.
        store: Replies kept from before, if given.
        vectors: Embeddings kept from before, if given.
        progress: Told how each step gets on, if given.
        settings: How the operators ask, by step.
        policy: How often to try.
        failures: Questions that could not be answered, in the order in which they were given up.
        cut: Ids of documents that were cut to fit a context window, by step.
        random_state: Seed of the jitter between tries.
        waited: Seconds that all requests together have waited for a rate limit.
        proven: By step and model, how it asked when there was last an answer.
        jitter: Draws the waits between tries, so that no two requests wait alike.
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
        """Take failures out of the list; those that other steps list at the same time stay."""
        dropped = {id(failure) for failure in failures}
        self.failures[:] = [failure for failure in self.failures if id(failure) not in dropped]
