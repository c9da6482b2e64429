"""`lloom cache`: what it says of the kept replies, which of them it deletes, what it exports."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.test_cli import assert_refused, lloom
from text_lloom.cli import app
from text_lloom.llm.cache import Journal, open_journal
from text_lloom.llm.completion import Completion

REPLIES = {
    "gpt-4o-mini": [
        Completion("The bus is late.", 1200, 30, "stop", 0.25),
        Completion("Fares", 800, 20, "stop"),
    ],
    "claude-haiku": [Completion("Nobody cycles here.", 50, 7, "stop", 0.5)],
}
"""Three replies by two models, of which one has no known price."""
AGES = {"gpt-4o-mini-0": 100.0, "claude-haiku-0": 100.0, "gpt-4o-mini-1": 2.0}
"""How many days ago each was kept."""


@pytest.fixture
def journal() -> Iterator[Journal]:
    """The journal of this machine, with replies that are some days old."""
    journal = open_journal()
    assert journal is not None
    for model, replies in REPLIES.items():
        for n, reply in enumerate(replies):
            asyncio.run(journal.put(f"{model}-{n}", reply, model=model, step="score"))
    journal.close()
    with sqlite3.connect(journal.path) as file:
        file.executemany(
            "UPDATE replies SET at = at - ?, used = used - ? WHERE key = ?",
            [(days * 86_400, days * 86_400, key) for key, days in AGES.items()],
        )
    file.close()
    yield journal
    journal.close()


def kept(journal: Journal) -> set[str]:
    return {key for key in AGES if journal.get(key) is not None}


def answered(answer: str, *arguments: object) -> Result:
    """The command with an answer to its question."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=answer)


def test_info_tells_what_is_kept_of_each_model_and_what_it_cost(journal: Journal) -> None:
    result = lloom("cache", "info")
    assert result.exit_code == 0, result.output
    first, *models = result.stdout.splitlines()
    found = re.fullmatch(r"(.*): 3 replies and vectors, ([\d.]+) MB", first)
    assert found is not None, first
    assert found[1] == str(journal.path)
    assert float(found[2]) == pytest.approx(journal.info().bytes / 1e6, abs=0.06)
    assert sorted(models) == [
        "  claude-haiku: 1 replies, 50 tokens in, 7 out, $0.50",
        "  gpt-4o-mini: 2 replies, 2,000 tokens in, 50 out, $0.25",
    ]
    assert result.stderr == ""


def test_info_warns_of_a_file_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLOOM_CACHE", str(tmp_path / "occupied" / "journal.sqlite"))
    (tmp_path / "occupied").write_text("", encoding="utf-8")
    result = lloom("cache", "info")
    assert result.exit_code == 0, result.output
    assert "Warning: " in result.stderr
    assert "cannot be used" in result.stderr


@pytest.mark.parametrize(
    ("options", "left"),
    [
        pytest.param([], set(), id="all"),
        pytest.param(["--model", "claude-haiku"], {"gpt-4o-mini-0", "gpt-4o-mini-1"}, id="model"),
        pytest.param(["--older-than", 90], {"gpt-4o-mini-1"}, id="days"),
        pytest.param(["--older-than", "1.5"], set(), id="part-of-a-day"),
        pytest.param(["--older-than", 101], set(AGES), id="nothing-so-old"),
        pytest.param(
            ["--model", "gpt-4o-mini", "--older-than", 90], {"claude-haiku-0", "gpt-4o-mini-1"}, id="both"
        ),
    ],
)
def test_clear_deletes_what_its_options_say(journal: Journal, options: list[object], left: set[str]) -> None:
    result = lloom("cache", "clear", "--yes", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Deleted {3 - len(left)} replies.\n"
    assert kept(journal) == left


def test_clear_asks_first(journal: Journal) -> None:
    declined = answered("n\n", "cache", "clear")
    assert declined.exit_code == 1
    assert "Delete cached replies? [y/N]" in declined.output
    assert kept(journal) == set(AGES)
    agreed = answered("y\n", "cache", "clear", "--model", "claude-haiku")
    assert agreed.exit_code == 0, agreed.output
    assert "Deleted 1 replies." in agreed.stdout
    assert kept(journal) == {"gpt-4o-mini-0", "gpt-4o-mini-1"}


def test_a_negative_age_is_wrong_usage(journal: Journal) -> None:
    assert_refused(lloom("cache", "clear", "--yes", "--older-than", "-1"), "--older-than", status=2)
    assert kept(journal) == set(AGES)


def test_export_writes_every_reply(journal: Journal, tmp_path: Path) -> None:
    out = tmp_path / "replies.jsonl"
    result = lloom("cache", "export", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Wrote 3 replies to {out}.\n"
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {record["text"] for record in records} == {"The bus is late.", "Fares", "Nobody cycles here."}
    assert_refused(lloom("cache", "export", tmp_path / "no" / "replies.jsonl"), "could not be exported")


@pytest.mark.parametrize(
    "command", [["info"], ["clear", "--yes"], ["export", "out.jsonl"]], ids=lambda c: c[0]
)
def test_a_cache_that_is_off_says_what_turned_it_off(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLOOM_CACHE", "0")
    assert_refused(lloom("cache", *command), "LLOOM_CACHE=0 is set")


@pytest.mark.parametrize("command", ["info", "clear", "export"])
def test_help_of_the_cache_has_an_example(command: str) -> None:
    assert f"Example: lloom cache {command}" in lloom("cache", command, "--help").stdout
