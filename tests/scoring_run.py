"""A scoring run in another process, for tests that kill it.

python -m tests.scoring_run URL KEY CACHE OUT
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import pandas as pd

from text_lloom import workbench as wb
from text_lloom.llm import OpenAIModel

CONCEPTS = [
    ("Unreliable Buses", "Does the text complain that buses are late or do not come?"),
    ("Unsafe Cycling", "Does the text say that cycling is dangerous?"),
    ("Parking and Shops", "Does the text say that shops need parking places?"),
]


def main(base_url: str, api_key: str, cache: str, out: str) -> None:
    """Score the sample corpus on three concepts, one by one: 600 requests, 16 at a time."""
    model = OpenAIModel("gpt-4o-mini", api_key, base_url, cost=0, concurrency=16)
    df = pd.read_csv(str(files("text_lloom") / "data" / "transport_comments.csv"))
    session = wb.lloom(df, "text", "comment_id", "local", "local", "local", model, cache=Path(cache))
    for name, criteria in CONCEPTS:
        session.concepts.add(name, criteria, active=True)
    print("started", flush=True)
    frame = session.sync.score(concepts_per_call=1)
    assert frame is not None
    frame.to_parquet(out)
    print(session.ledger.totals().requests, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:5])
