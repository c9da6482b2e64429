"""Free models with scripted answers for tests, and a switch that refuses paid calls.

from text_lloom.testing import ScriptedModel, refuse_paid_calls

model = ScriptedModel({"quotes": ["late again"]}, {"quotes": ["never on time"]})
with refuse_paid_calls():
    l = wb.lloom(df, text_col="text", distill_model=model)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from text_lloom.llm.completion import Completion, Embeddings
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import EmbedModel, Model, Solver
from text_lloom.tasks import Task

__all__ = ["FunctionModel", "HashEmbedModel", "ScriptedModel", "TaskModel", "refuse_paid_calls"]

Script: TypeAlias = Mapping[str, object] | Sequence[object] | str

_WORD = re.compile(r"\w+")
_DIMENSIONS = 64


class FunctionModel(Model):
    """A free model that computes its replies with a function of the prompt.

    Args:
        function: Takes the prompt and returns the reply as text or as a JSON value, or raises.
        name: Name of the model.
        **args: As for `Model`.

    Attributes:
        requests: Every request that was received, in order.
        prompts: The text of each.
    """

    keeps_replies = False

    def __init__(self, function: Callable[[str], object], *, name: str = "scripted", **args: Any) -> None:
        args.setdefault("cost", 0)
        super().__init__(name, **args)
        self.function = function
        self.requests: list[ModelRequest] = []

    @property
    def prompts(self) -> list[str]:
        """The text of every request that was received, in order."""
        return [request.text for request in self.requests]

    async def complete(self, request: ModelRequest) -> Completion:
        self.requests.append(request)
        prompt = request.text
        reply = self.function(prompt)
        if isinstance(reply, Completion):
            return reply
        text = reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
        return Completion(text, len(prompt) // 4, len(text) // 4, "stop")


class ScriptedModel(FunctionModel):
    """A free model that returns prepared replies, one after the other.

    Args:
        *replies: Texts, JSON values or exceptions, in order. The last one is repeated.
        name: Name of the model.
        **args: As for `Model`.
    """

    def __init__(self, *replies: object, name: str = "scripted", **args: Any) -> None:
        if not replies:
            raise ValueError("ScriptedModel needs at least one reply.")
        self._replies = list(replies)
        super().__init__(self._next, name=name, **args)

    def enqueue(self, *replies: object) -> None:
        """Append these replies."""
        self._replies.extend(replies)

    def _next(self, _: str) -> object:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply


class TaskModel(Solver):
    """A free model that answers tasks with functions of the task, without a prompt.

    Args:
        answers: Step (such as `"score"`) → function that takes the task and returns its answer.
        fallback: Answers the steps without a function; if not given, these raise an error.
        name: Name of the model.

    Attributes:
        tasks: Every task that was received, in order.
    """

    def __init__(
        self,
        answers: Mapping[str, Callable[[Any], object]],
        *,
        fallback: Solver | None = None,
        name: str = "tasks",
    ) -> None:
        self.name = name
        self.tasks: list[Task[Any]] = []
        self._answers = dict(answers)
        self._fallback = fallback

    def can_solve(self, task_type: type[Task[Any]]) -> bool:
        return task_type.step in self._answers or self._fallback is not None

    def solve(self, tasks: Sequence[Task[Any]]) -> list[object]:
        return [self._solve(task) for task in tasks]

    def _solve(self, task: Task[Any]) -> object:
        self.tasks.append(task)
        answer = self._answers.get(task.step)
        if answer is not None:
            return answer(task)
        if self._fallback is None:
            raise TypeError(f"This TaskModel has no answer for the step {task.step!r}.")
        return self._fallback.solve([task])[0]


class HashEmbedModel(EmbedModel):
    """A free embedding model: hashed bags of words, so that texts with shared words are similar.

    Args:
        dimensions: Length of the vectors.
        **args: As for `EmbedModel`.
    """

    def __init__(self, *, dimensions: int = _DIMENSIONS, **args: Any) -> None:
        args.setdefault("cost", 0)
        args.setdefault("name", "hashed-words")
        super().__init__(fn=self._embed, **args)
        self.dimensions = dimensions

    def _embed(self, _: EmbedModel, texts: list[str]) -> Embeddings:
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.lower()):
                digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                number = int.from_bytes(digest, "big")
                vectors[row, number % self.dimensions] += 1.0 if number >> 40 & 1 else -1.0
        norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
        unit = (vectors / norms).astype(np.float32)
        return Embeddings(unit, sum(len(text) // 4 for text in texts))


@contextmanager
def refuse_paid_calls() -> Iterator[None]:
    """Refuse calls to models that are not known to be free, in all sessions of the process.

    A refused call raises `PaidCallRefused` before anything is sent. The environment variable
    `LLOOM_REFUSE_PAID_CALLS=1` does the same for a whole run.
    """
    before = allow_paid_calls(False)
    try:
        yield
    finally:
        allow_paid_calls(before)
