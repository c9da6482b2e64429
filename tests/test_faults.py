"""A provider that fails in every way: nothing is invented, nothing is lost, nothing is miscounted."""

from __future__ import annotations

import warnings
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from tests.fake_provider.fixtures import FakeProvider
from text_lloom import workbench as wb
from text_lloom.llm import OpenAIModel, RetryPolicy

CONCEPTS = [
    ("Unreliable Buses", "Does the text complain that buses are late or do not come?"),
    ("Unsafe Cycling", "Does the text say that cycling is dangerous?"),
    ("Parking and Shops", "Does the text say that shops need parking places?"),
    ("Fares", "Does the text complain about the price of tickets?"),
]


def scored(provider: FakeProvider, *, timeout: float = 20.0) -> tuple[wb.lloom, pd.DataFrame]:
    """A session with 200 documents scored on four concepts, one by one: 800 requests."""
    model = OpenAIModel("gpt-4o-mini", provider.api_key, provider.base_url, cost=0, timeout=timeout)
    df = pd.read_csv(str(files("text_lloom") / "data" / "transport_comments.csv"))
    session = wb.lloom(
        df,
        "text",
        "comment_id",
        model,
        "local",
        model,
        model,
        cache=False,
        retry=RetryPolicy(base=0.02, longest=0.3),
    )
    for name, criteria in CONCEPTS:
        session.concepts.add(name, criteria, active=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*could not be answered", category=UserWarning)
        frame = session.sync.score(concepts_per_call=1)
    assert frame is not None
    return session, frame


@pytest.mark.slow
def test_faults_change_no_score_and_lose_none_silently(fake_provider: FakeProvider) -> None:
    _, undisturbed = scored(fake_provider)
    fake_provider.reset()
    fake_provider.control(
        p_500=0.20,
        p_429=0.10,
        retry_after=0.05,
        p_malformed=0.05,
        p_drop=0.02,
        p_hang=0.01,
        hang_seconds=30,
        seed=5,
    )
    session, frame = scored(fake_provider, timeout=2.0)
    stats = fake_provider.stats()
    for outcome in ("500", "429", "malformed", "drop"):
        assert stats.outcome(outcome) > 5, f"the server hardly ever answered with {outcome}"

    assert len(frame) == 800
    scores = frame["score"].to_numpy()
    missing = np.isnan(scores)
    assert (scores[~missing] == undisturbed["score"].to_numpy()[~missing]).all()

    failures = session.failures()
    listed = {
        (doc_id, concept_id)
        for step, doc_ids, concept_ids in zip(
            failures["step"], failures["doc_ids"], failures["concept_ids"], strict=True
        )
        for doc_id in doc_ids
        for concept_id in concept_ids
        if step == "score"
    }
    unscored = set(zip(frame["comment_id"][missing], frame["concept_id"][missing], strict=True))
    assert unscored == listed
    assert failures["reason"].str.len().gt(10).all()
    assert len(unscored) <= 8, "a single re-ask leaves at most about 5 % of 5 % unanswered"

    paid = [entry for entry in stats.requests if entry.status == 200]
    totals = session.ledger.totals()
    assert totals.in_tokens == sum(entry.in_tokens for entry in paid)
    assert totals.out_tokens == sum(entry.out_tokens for entry in paid)
