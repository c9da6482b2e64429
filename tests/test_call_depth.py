"""How deep a question is handed on: our own frames between `l.score()` and the client that sends it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest

import text_lloom
from tests.fake_provider.fixtures import FakeProvider
from text_lloom import workbench as wb
from text_lloom.llm import OpenAIModel
from text_lloom.llm.runtime.event_loop import run_sync
from text_lloom.llm.runtime.http import JsonClient

PACKAGE = str(Path(text_lloom.__file__).parent)
MOST_BETWEEN = 12


def frames_of(coroutine: Any) -> Iterator[FrameType]:
    """The frames of a coroutine that waits, outermost first."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            yield frame
        coroutine = getattr(coroutine, "cr_await", None)


def frames_down_to(frame: FrameType | None) -> list[FrameType]:
    """A frame and those that called it, outermost first."""
    found: list[FrameType] = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found[::-1]


def names_in_package(frames: Iterator[FrameType] | list[FrameType]) -> list[str]:
    """Our functions among these frames, without those that run the event loop's thread."""
    return [
        f"{Path(frame.f_code.co_filename).relative_to(PACKAGE)}:{frame.f_code.co_qualname}"
        for frame in frames
        if frame.f_code.co_filename.startswith(PACKAGE)
        and not frame.f_code.co_qualname.startswith("_EventLoopThread.")
    ]


class CallChain:
    """Follows a request back through the tasks that led to it.

    Attributes:
        names: Our functions between the caller's and the HTTP client, outermost first.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.caller: asyncio.Task[Any] | None = None
        self._parents: dict[asyncio.Task[Any], asyncio.Task[Any] | None] = {}
        send = JsonClient.post

        async def set_factory(factory: Any) -> None:
            asyncio.get_running_loop().set_task_factory(factory)

        def create(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> Any:
            task = asyncio.Task(work, loop=loop, **options)
            self._parents[task] = asyncio.current_task(loop)
            return task

        async def post(client: JsonClient, path: str, body: Any, **options: Any) -> Any:
            if not self.names:
                self.names = self._chain(sys._getframe(1))
                self.names = [*await self._callers_chain(), *self.names]
            return await send(client, path, body, **options)

        monkeypatch.setattr(JsonClient, "post", post)
        run_sync(set_factory(create))
        self.stop = lambda: run_sync(set_factory(None))

    def _chain(self, frame: FrameType) -> list[str]:
        names = names_in_package(frames_down_to(frame))
        task = asyncio.current_task()
        while (task := self._parents.get(task)) is not None:
            names = [*names_in_package(frames_of(task.get_coro())), *names]
        return names

    async def _callers_chain(self) -> list[str]:
        """The functions that the caller's task waits in; read on its own loop, where it has to be waiting."""
        caller = self.caller
        assert caller is not None

        async def read() -> list[str]:
            return names_in_package(frames_of(caller.get_coro()))

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(read(), caller.get_loop()))


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[CallChain]:
    found = CallChain(monkeypatch)
    yield found
    found.stop()


async def test_a_question_is_handed_on_by_few_functions(
    comments: pd.DataFrame, fake_provider: FakeProvider, chain: CallChain
) -> None:
    model = OpenAIModel("gpt-4o-mini", fake_provider.api_key, fake_provider.base_url, cost=0)
    l = wb.lloom(comments.head(1), "text", "doc_id", "local", "local", "local", model)  # noqa: E741
    l.concepts.add("Late buses", "Does the text say that buses run late?", active=True)
    chain.caller = asyncio.current_task()
    assert await l.score() is not None
    caller, *between = chain.names
    assert caller == "workbench.py:lloom.score"
    assert "llm/ask.py:ask_all" in between
    assert len(between) <= MOST_BETWEEN, between
