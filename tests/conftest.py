"""Fixtures of all tests: the corpora next to the repository, no keys, no paid calls."""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd
import pytest

from tests.browser import browser, open_view
from tests.fake_provider.fixtures import fake_provider, fake_provider_process
from text_lloom.testing import refuse_paid_calls

__all__ = ["browser", "fake_provider", "fake_provider_process", "open_view"]

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "data"


_LOCAL_MODELS = ("torch", "transformers", "sentence_transformers", "model2vec", "outlines_core", "peft")


_LONGEST: Final = ("test_view_hosts.py", "test_real_corpora.py", "test_crash.py", "test_redis_limits.py")
"""On several processes these files come first: at the end, one would keep the other processes waiting."""


def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-xdist give out files in the order of the collection."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, on a process of pytest-xdist."""
    if hasattr(config, "workerinput"):
        order = {name: number for number, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs models on this machine where their packages are absent, and say which."""
    if item.get_closest_marker("torch") is None:
        return
    missing = [name for name in _LOCAL_MODELS if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"needs {', '.join(missing)}: pip install 'text_lloom[local,transformers]'"
        if os.environ.get("LLOOM_REQUIRE_TORCH"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_CLOUD_PROJECT",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "LLOOM_API_KEY",
        "LLOOM_CACHE",
        "LLOOM_REDIS_ON_OUTAGE",
        "LLOOM_REDIS_SHARE",
        "LLOOM_REDIS_URL",
        "LLOOM_REFUSE_PAID_CALLS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with refuse_paid_calls():
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_for_the_collector() -> Iterator[None]:
    """Coroutines that nobody awaited, and the like, fail the last test rather than go unnoticed."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with the real corpora."""
    if not CORPORA.is_dir():
        reason = f"the real corpora are not at {CORPORA.parent.name}/{CORPORA.name} beside the repository"
        if os.environ.get("LLOOM_REQUIRE_CORPORA"):
            pytest.fail(reason)
        pytest.skip(reason)
    return CORPORA


@pytest.fixture
def comments() -> pd.DataFrame:
    """Twelve short comments on three subjects, with metadata."""
    texts = [
        "The 40 bus is late every single morning and nobody tells us why.",
        "Twenty minutes in the rain because the bus simply did not come.",
        "Buses bunch up: three at once, then none for half an hour.",
        "My bus was cancelled twice this week, so I was late for work.",
        "Cycling on Mill Lane is frightening, the cars pass far too close.",
        "We need a protected bike lane before somebody gets killed.",
        "Paint is not protection. Cars park in the bike lane all day.",
        "I would cycle to school if there were a safe lane.",
        "A monthly ticket costs more than my phone and my gym together.",
        "Fares went up again and the service got worse.",
        "Single tickets are too expensive for families like ours.",
        "Please cap the daily fare so that two trips do not cost a fortune.",
    ]
    return pd.DataFrame(
        {
            "doc_id": [f"d{n:02d}" for n in range(12)],
            "text": texts,
            "area": ["North", "South", "North"] * 4,
            "likes": list(range(0, 120, 10)),
        }
    )
