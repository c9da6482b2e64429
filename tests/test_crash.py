"""A scoring run that is killed again and again pays only for what was in flight."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.crowd import PATIENCE
from tests.fake_provider.fixtures import FakeProvider

_CONCURRENCY = 16
_KILLS = 25


def run(provider: FakeProvider, cache: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.scoring_run", provider.base_url, provider.api_key]
    root = Path(__file__).resolve().parents[1]
    return subprocess.Popen(
        [*command, str(cache), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
    )


def wait_for_replies(provider: FakeProvider, paid: int) -> None:
    """Until the server has given so many replies; a run that is done gives no more."""
    deadline = time.monotonic() + 3
    while provider.stats(log=False).paid < paid and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.slow
def test_kill_9_at_random_moments(fake_provider: FakeProvider, tmp_path: Path) -> None:
    fake_provider.control(latency=0.2)
    cache, rng, kills = tmp_path / "cache", random.Random(4), 0
    while kills < _KILLS:
        process = run(fake_provider, cache, tmp_path / "killed.parquet")
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        wait_for_replies(fake_provider, fake_provider.stats(log=False).paid + rng.randint(1, 40))
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        process.stdout.close()
        kills += 1

    last = run(fake_provider, cache, tmp_path / "resumed.parquet")
    output, _ = last.communicate(timeout=60)
    assert last.returncode == 0
    stats = fake_provider.stats()
    scores = [entry for entry in stats.requests if entry.task == "score" and entry.status == 200]
    distinct = {entry.prompt_hash for entry in scores}
    assert len(distinct) == 600
    assert len(scores) - len(distinct) <= kills * _CONCURRENCY
    assert int(output.split()[-1]) < 600, "the last run found nothing in the journal"

    undisturbed = run(fake_provider, tmp_path / "other", tmp_path / "undisturbed.parquet")
    undisturbed.communicate(timeout=60)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "resumed.parquet").drop(columns="concept_id"),
        pd.read_parquet(tmp_path / "undisturbed.parquet").drop(columns="concept_id"),
    )


@pytest.mark.slow
def test_an_interrupt_stops_within_a_second_and_keeps_what_was_answered(
    fake_provider: FakeProvider, tmp_path: Path
) -> None:
    fake_provider.control(latency=0.3)
    began = time.monotonic()
    process = run(fake_provider, tmp_path / "cache", tmp_path / "never.parquet")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    starting = time.monotonic() - began
    while fake_provider.stats(log=False).paid < 3 * _CONCURRENCY:
        time.sleep(0.05)
    fake_provider.control(latency=600)  # who waits for what is in flight does not come back
    while fake_provider.stats(log=False).counters["in_flight"] < _CONCURRENCY:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.wait(timeout=PATIENCE)
    assert time.monotonic() - began < 1 + starting, "a second, and no longer than this machine takes to start"
    process.stdout.close()
    before = fake_provider.stats(log=False).counters["requests"]
    fake_provider.control(latency=0)
    time.sleep(0.5)
    assert fake_provider.stats(log=False).counters["requests"] == before, (
        "requests went on after the interrupt"
    )
    last = run(fake_provider, tmp_path / "cache", tmp_path / "resumed.parquet")
    output, _ = last.communicate(timeout=60)
    assert int(output.split()[-1]) <= 601 - 2 * _CONCURRENCY
