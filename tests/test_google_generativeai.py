"""Code for Google's older package, as users of LLooM have it, as a custom model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.wire_servers.gemini_wire import GeminiWire
from tests.wire_servers.server import KEY, Fault, WireServer, running
from text_lloom.llm import EmbedModel, Model

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # the package says that it is no longer maintained
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def server() -> Iterator[WireServer]:
    pytest.importorskip("google.generativeai", reason="needs the package google-generativeai")
    with running(GeminiWire()) as found:
        yield found


async def test_an_async_function_around_the_blocking_client_runs_the_pipeline(
    server: WireServer, corpora: Path
) -> None:
    def set_up(api_key: str) -> Any:
        import google.generativeai as genai

        genai.configure(api_key=api_key, transport="rest", client_options={"api_endpoint": server.url})
        return genai

    async def call(model: Model, prompt: str) -> Any:
        client = model.client.GenerativeModel(model.name)
        response = client.generate_content(
            prompt, generation_config={"temperature": model.args["temperature"]}
        )
        usage = response.usage_metadata
        return response.text, (usage.prompt_token_count, usage.total_token_count)

    def embed(model: EmbedModel, texts: list[str]) -> Any:
        found = model.client.embed_content(model=f"models/{model.name}", content=texts)
        return found["embedding"], [0, 0]

    model = Model("gemini-1.5-flash", set_up, call, KEY, cost=0, rate_limit=(60, 1), temperature=0.0)
    embedder = EmbedModel("text-embedding-004", set_up, embed, KEY, batch_size=20, cost=0)
    df = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(12)
    server.faults.append(Fault("overloaded"))
    l = wb.lloom(df, "comment", "doc_id", model, embedder, model, model, cache=False)  # noqa: E741
    await l.gen(confirm=False)
    await l.select_auto(max_concepts=2)
    table = await l.score()
    assert table["score"].notna().all()
    assert len(l.export_df()) == 2
    assert l.ledger.totals().in_tokens > 0
