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
_DISTINCT = 600
_REPLIES_BEFORE_EACH_KILL = {
    "before the first reply": 0,
    "after the first reply": 1,
    "while replies of one round are written": 20,
    "early": 60,
    "in the middle": 100,
    "after the middle": 110,
    "late": 120,
    "at the end": 600,
}


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


def wait_for_replies(provider: FakeProvider, process: subprocess.Popen[str], replies: int) -> None:
    """Until a run has got so many more replies, or all that it needs."""
    paid = provider.stats(log=False).paid + replies
    while (counted := provider.stats(log=False)).paid < paid and process.poll() is None:
        if counted.paid - counted.duplicates == _DISTINCT:
            return
        time.sleep(0.02)


@pytest.mark.slow
def test_kill_9_at_any_moment(fake_provider: FakeProvider, tmp_path: Path) -> None:
    fake_provider.control(latency=0.2)
    cache, rng, kills = tmp_path / "cache", random.Random(4), len(_REPLIES_BEFORE_EACH_KILL)
    for replies in _REPLIES_BEFORE_EACH_KILL.values():
        process = run(fake_provider, cache, tmp_path / "killed.parquet")
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        wait_for_replies(fake_provider, process, replies)
        time.sleep(rng.uniform(0, 0.2) if 1 < replies < _DISTINCT else 0)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
        process.stdout.close()

    last = run(fake_provider, cache, tmp_path / "resumed.parquet")
    output, _ = last.communicate(timeout=4 * PATIENCE)
    assert last.returncode == 0
    stats = fake_provider.stats()
    scores = [entry for entry in stats.requests if entry.task == "score" and entry.status == 200]
    distinct = {entry.prompt_hash for entry in scores}
    assert len(distinct) == _DISTINCT
    assert len(scores) - len(distinct) <= kills * _CONCURRENCY
    assert int(output.split()[-1]) < _DISTINCT, "the last run found nothing in the journal"

    undisturbed = run(fake_provider, tmp_path / "other", tmp_path / "undisturbed.parquet")
    undisturbed.communicate(timeout=4 * PATIENCE)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "resumed.parquet").drop(columns="concept_id"),
        pd.read_parquet(tmp_path / "undisturbed.parquet").drop(columns="concept_id"),
    )


@pytest.mark.slow
def test_an_interrupt_stops_within_a_second_and_keeps_what_was_answered(
    fake_provider: FakeProvider, tmp_path: Path
) -> None:
    fake_provider.control(latency=1)
    began = time.monotonic()
    process = run(fake_provider, tmp_path / "cache", tmp_path / "never.parquet")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    starting = time.monotonic() - began
    while fake_provider.stats(log=False).paid < 3 * _CONCURRENCY:
        assert process.poll() is None
        time.sleep(0.05)
    fake_provider.control(latency=600)  # who waits for what is in flight does not come back
    while fake_provider.stats(log=False).counters["in_flight"] < _CONCURRENCY:
        assert process.poll() is None
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
    output, _ = last.communicate(timeout=4 * PATIENCE)
    assert int(output.split()[-1]) <= 601 - 2 * _CONCURRENCY
