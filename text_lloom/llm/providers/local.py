"""The local engine as a model: no key, no network, no language model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from text_lloom.llm.completion import Embeddings
from text_lloom.llm.model import Embedder, Solver
from text_lloom.tasks import Task

if TYPE_CHECKING:
    from text_lloom.local.engine import LocalEngine

__all__ = ["LocalEmbedModel", "LocalModel"]


class LocalModel(Solver):
    """Answers every task by corpus statistics: keyword-grade, deterministic and free.

    Args:
        background: Texts of the whole corpus, for term statistics.
    """

    name = "local"

    def __init__(self, background: Sequence[str] = ()) -> None:
        self._background = background
        self._engine: LocalEngine | None = None

    @property
    def engine(self) -> LocalEngine:
        """The engine, made when first needed."""
        if self._engine is None:
            from text_lloom.local.engine import LocalEngine

            self._engine = LocalEngine(self._background)
        return self._engine

    def can_solve(self, task_type: type[Task[Any]]) -> bool:
        from text_lloom.local.engine import LocalEngine

        return LocalEngine.can_solve(task_type)

    def solve(self, tasks: Sequence[Task[Any]]) -> list[object]:
        return self.engine.solve(tasks)

    def __repr__(self) -> str:
        return "LocalModel()"


class LocalEmbedModel(Embedder):
    """TF-IDF and truncated SVD over the texts themselves."""

    name = "local"

    def __init__(self, model: LocalModel | None = None) -> None:
        self._model = model or LocalModel()

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings(await asyncio.to_thread(self._model.engine.embed, list(texts)), 0)

    def __repr__(self) -> str:
        return "LocalEmbedModel()"
