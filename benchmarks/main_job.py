"""The main job against a server with 200 ms replies: wall time, requests, tokens and memory per step.

    python -m benchmarks.main_job [--documents CSV --text-col comment --id-col doc_id] [--latency 0.2]

Without a file the bundled sample corpus is used. For comparison, LLooM 0.8.2.1 took 118 s for 200
documents and 8 concepts against a server with the same latency (38 s to generate, 80 s to score).
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from importlib.resources import files
from pathlib import Path

import pandas as pd

from tests.fake_provider.fixtures import FakeProvider, running_fake_provider
from text_lloom import workbench as wb
from text_lloom.llm import OpenAIEmbedModel, OpenAIModel

_SAMPLE = files("text_lloom") / "data" / "transport_comments.csv"


def main() -> None:
    """Run the job once and print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--documents", type=Path)
    options.add_argument("--text-col", default="text")
    options.add_argument("--id-col", default="comment_id")
    options.add_argument("--latency", type=float, default=0.2, help="seconds per reply")
    options.add_argument("--concepts", type=int, default=8)
    options.add_argument("--concepts-per-call", type=int, default=8)
    given = options.parse_args()
    frame = pd.read_csv(given.documents or str(_SAMPLE))
    with running_fake_provider(latency=given.latency) as provider:
        measure(frame, provider, given)


def measure(frame: pd.DataFrame, provider: FakeProvider, given: argparse.Namespace) -> None:
    """Generate, select and score, and print what it took."""
    key, url = provider.api_key, provider.base_url
    chat = OpenAIModel("gpt-4o-mini", api_key=key, base_url=url, cost=(0.15e-6, 0.6e-6))
    embedder = OpenAIEmbedModel("text-embedding-3-large", api_key=key, base_url=url, cost=0.13e-6)
    began = time.perf_counter()
    session = wb.lloom(frame, given.text_col, given.id_col, chat, embedder, chat, chat)
    session.sync.gen(debug=False, confirm=False)
    generated = time.perf_counter()
    session.sync.select_auto(given.concepts)
    session.sync.score(confirm=False, concepts_per_call=given.concepts_per_call)
    ended = time.perf_counter()
    rows = []
    for (step, _), seconds in session.time.items():
        totals = [session.ledger.totals(step=name) for name in _ledger_steps(step)]
        rows.append(
            {
                "step": step,
                "seconds": round(seconds, 2),
                "requests": sum(t.requests for t in totals),
                "tokens in": sum(t.in_tokens for t in totals),
                "tokens out": sum(t.out_tokens for t in totals),
                "USD": round(sum(t.usd for t in totals), 4),
            }
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stats = provider.stats(log=False)
    print(pd.DataFrame(rows).to_string(index=False))
    print(
        f"{len(frame)} documents x {len(session.concepts.active)} concepts, {given.latency:g} s per reply: "
        f"generate {generated - began:.1f} s, score {ended - generated:.1f} s, together "
        f"{ended - began:.1f} s; "
        f"{stats.paid} replies, at most {stats.high_water} at a time; peak memory {peak:.0f} MB; "
        f"{len(session.failures())} failures"
    )


def _ledger_steps(step: str) -> tuple[str, ...]:
    return ("review_remove", "review_merge") if step == "review" else (step,)


if __name__ == "__main__":
    warnings.simplefilter("default")
    main()
