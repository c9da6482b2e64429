"""The custom models of LLooM's documentation, and a subclass, through the whole pipeline.

The documented code keeps its structure: a setup function, and an `async` call function around the client of
the package. Its errors are corrected: names that are imported in another function, the total number of tokens
in place of those of the reply, a cost that is not a pair.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import types
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.fake_provider.answers import answer
from tests.fake_provider.fixtures import FakeProvider
from tests.fake_provider.prompts import understand
from text_lloom.llm import Completion, EmbedModel, Model, ModelRequest
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.testing import HashEmbedModel

KEY = "AIza-0123456789abcdef"


class BlockingGemini(types.ModuleType):
    """Stands in for the package `google.generativeai`, which blocks and is no longer maintained."""

    def __init__(self) -> None:
        super().__init__("google.generativeai")
        self.keys: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self.prompt_tokens = self.reply_tokens = 0

    def configure(self, *, api_key: str) -> None:
        self.keys.append(api_key)

    def GenerativeModel(self, name: str) -> Any:  # noqa: N802
        return types.SimpleNamespace(generate_content=self._generate, model_name=f"models/{name}")

    def embed_content(self, *, model: str, content: list[str]) -> dict[str, Any]:
        assert model == "models/embedding-001"
        return {"embedding": HashEmbedModel()._embed(None, content).vectors.tolist()}  # type: ignore[arg-type]

    def _generate(self, prompt: str) -> Any:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        time.sleep(0.03)
        found = answer(understand(prompt))
        assert found is not None, prompt[:200]
        text = json.dumps(found, ensure_ascii=False)
        usage = types.SimpleNamespace(
            prompt_token_count=len(prompt) // 4,
            candidates_token_count=len(text) // 4,
            total_token_count=len(prompt) // 4 + len(text) // 4,
        )
        self.prompt_tokens += usage.prompt_token_count
        self.reply_tokens += usage.candidates_token_count
        self.in_flight -= 1
        return types.SimpleNamespace(text=text, usage_metadata=usage)


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> BlockingGemini:
    package, google = BlockingGemini(), types.ModuleType("google")
    google.generativeai = package  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.generativeai", package)
    return package


@pytest.fixture
def posts(corpora: Path) -> pd.DataFrame:
    """Forty real comments."""
    df = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(40)
    return df[["doc_id", "comment"]].rename(columns={"comment": "text"})


def setup_gemini(api_key: str) -> Any:
    import google.generativeai as genai

    genai.configure(api_key=api_key)
    return genai.GenerativeModel("gemini-1.5-flash")


async def call_gemini(model: Model, prompt: str) -> tuple[str, tuple[int, int]]:
    res = model.client.generate_content(prompt)
    usage = res.usage_metadata
    return res.text, (usage.prompt_token_count, usage.candidates_token_count)


def setup_gemini_embed(api_key: str) -> Any:
    import google.generativeai as genai

    genai.configure(api_key=api_key)
    return genai


def call_gemini_embed(model: EmbedModel, texts: list[str]) -> tuple[list[list[float]], tuple[int, int]]:
    found = model.client.embed_content(model=model.name, content=texts)
    return found["embedding"], (0, 0)


@pytest.mark.corpora
def test_gemini_as_in_the_documentation(gemini: BlockingGemini, posts: pd.DataFrame) -> None:
    usd = (0.35 / 1_000_000, 1.05 / 1_000_000)
    chat = Model("gemini-1.5-flash", setup_gemini, call_gemini, KEY, rate_limit=(300, 10), cost=usd)
    embedder = EmbedModel(
        "models/embedding-001", setup_gemini_embed, call_gemini_embed, KEY, batch_size=100, cost=0
    )
    allow_paid_calls(True)
    l = wb.lloom(posts, "text", "doc_id", chat, embedder, chat, chat)  # noqa: E741
    l.sync.gen(seed="women", debug=False, confirm=False)
    l.select(*list(l.concepts)[:3])
    scores = l.sync.score(confirm=False)
    assert scores is not None
    assert len(scores) == 40 * 3
    assert scores["score"].notna().all()
    exported = l.export_df()
    assert len(exported) == 3
    assert exported["n_matches"].sum() > 0
    summary = l.summary(return_vals=True)
    assert summary is not None
    asked = [attempt for attempt in l.ledger.attempts if attempt.model == "gemini-1.5-flash"]
    tokens = sum(a.in_tokens for a in asked), sum(a.out_tokens for a in asked)
    assert tokens == (gemini.prompt_tokens, gemini.reply_tokens)
    assert summary.total_cost == pytest.approx(gemini.prompt_tokens * usd[0] + gemini.reply_tokens * usd[1])
    assert gemini.most_in_flight > 4, "a client that blocks does not block the others"
    assert set(gemini.keys) == {KEY}
    assert KEY not in f"{l!r}{l.models!r}{l.usage()}"


def setup_llm_fn(api_key: str) -> Any:
    from openai import AsyncOpenAI

    server, _, key = api_key.partition(" ")
    return AsyncOpenAI(api_key=key, base_url=server)


async def call_llm_fn(model: Model, prompt: str) -> tuple[str, list[int]]:
    res = await model.client.chat.completions.create(
        model=model.name,
        messages=[
            {"role": "system", "content": model.args["system_prompt"]},
            {"role": "user", "content": prompt},
        ],
        temperature=model.args["temperature"],
    )
    return res.choices[0].message.content, [res.usage.prompt_tokens, res.usage.completion_tokens]


@pytest.mark.corpora
def test_vllm_through_an_openai_client_as_in_the_documentation(
    fake_provider: FakeProvider, posts: pd.DataFrame
) -> None:
    model = Model(
        name="mistralai/Mistral-7B-Instruct-v0.2",
        setup_fn=setup_llm_fn,
        fn=call_llm_fn,
        api_key=f"{fake_provider.base_url} {fake_provider.api_key}",
        rate_limit=(300, 10),
        cost=(0, 0),
        context_window=8000,
        temperature=0,
        system_prompt="You are a helpful assistant who helps with identifying patterns in text examples.",
    )
    l = wb.lloom(posts, "text", "doc_id", model, HashEmbedModel(), model, model)  # noqa: E741
    l.sync.gen(params={"distill_summarize": {"temperature": 0.7}}, debug=False)
    l.select(*list(l.concepts)[:2])
    scores = l.sync.score()
    assert scores is not None
    assert scores["score"].notna().all()
    assert len(l.export_df()) == 2
    entries = [entry for entry in fake_provider.stats().requests if entry.endpoint == "chat"]
    asked = [attempt for attempt in l.ledger.attempts if attempt.model == model.name]
    assert sum(a.in_tokens for a in asked) == sum(entry.in_tokens for entry in entries)
    assert sum(a.out_tokens for a in asked) == sum(entry.out_tokens for entry in entries)


class Reader(Model):
    """A model that is a class: the same answers, from the whole request."""

    def complete(self, request: ModelRequest) -> Completion:  # type: ignore[override]
        found = answer(understand(request.prompt))
        text = json.dumps(found, ensure_ascii=False)
        return Completion(text, len(request.prompt) // 4, len(text) // 4, "stop")


class WordVectors(EmbedModel):
    """An embedding model that is a class."""

    async def embed_batch(self, texts: Any) -> Any:
        return HashEmbedModel()._embed(self, list(texts))


@pytest.mark.corpora
def test_subclasses_run_the_whole_pipeline(posts: pd.DataFrame) -> None:
    model = Reader("reader", cost=0)
    l = wb.lloom(posts, "text", "doc_id", model, WordVectors("words", cost=0), model, model)  # noqa: E741
    scores = l.sync.gen_auto(max_concepts=2, debug=False)
    assert scores is not None
    assert len(scores) == 40 * 2
    assert scores["score"].notna().all()
    assert len(l.export_df()) == 2


class TwoMethods(Model):
    """One method gives the pieces of a reply, the other the whole."""

    streams = True

    async def complete(self, request: ModelRequest) -> Completion:
        text = ""
        async for piece in self.pieces(request):
            if request.on_chunk is not None:
                request.on_chunk(piece)
            text += piece
        return Completion(text, len(request.text) // 4, len(text) // 4, "stop")

    async def pieces(self, request: ModelRequest) -> AsyncIterator[str]:
        found = answer(understand(request.prompt))
        text = "Forty-two." if found is None else json.dumps(found, ensure_ascii=False)
        for at in range(0, len(text), 20):
            await asyncio.sleep(0)
            yield text[at : at + 20]


@pytest.mark.corpora
def test_a_subclass_with_two_methods_streams_and_runs_the_whole_pipeline(posts: pd.DataFrame) -> None:
    model, pieces = TwoMethods("two", cost=0), list[str]()
    reply = model.sync.call([{"role": "user", "content": "What is six times seven?"}], on_chunk=pieces.append)
    assert reply.text == "".join(pieces) == "Forty-two."
    l = wb.lloom(posts, "text", "doc_id", model, HashEmbedModel(), model, model)  # noqa: E741
    scores = l.sync.gen_auto(max_concepts=2, debug=False)
    assert scores is not None
    assert scores["score"].notna().all()
    assert len(l.export_df()) == 2
