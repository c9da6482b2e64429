"""Nothing in a reply can make a table unwritable."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.wire_servers.scripted import ScriptedServer, completion, scripted
from text_lloom.llm import OpenAIModel, RetryPolicy

QUICK = RetryPolicy(attempts=2, base=0.001)
pytestmark = pytest.mark.filterwarnings("ignore:.* could not be answered:UserWarning")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("Late.")) as found:
        yield found


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cs", "Cc") and c not in "\t\n\r" for c in text)


ODD = [
    pytest.param("\\ud83d", id="first-half"),
    pytest.param("\\ude00", id="second-half"),
    pytest.param("\\ude00\\ud83d", id="halves-in-the-wrong-order"),
    pytest.param("\\u0000", id="nul"),
    pytest.param("\\u001b[31m", id="escape"),
    pytest.param("\\b\\f", id="backspace-and-form-feed"),
    pytest.param("\\u0085\\u009b", id="C1"),
    pytest.param("\\uffff", id="no-character"),
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("is_escaped", [True, False], ids=["in-json", "as-it-is"])
def test_every_export_of_scores_is_writable(
    server: ScriptedServer, odd: str, is_escaped: bool, tmp_path: Path
) -> None:
    text = '{"results": [{"document": 1, "concept": 1, "rationale": "a %s b", "answer": "A", "quote": "%s"}]}'
    server.reply = lambda _: completion(text.replace("%s", odd if is_escaped else json.loads(f'"{odd}"')))
    frame = pd.DataFrame({"id": [1, 2], "text": ["bus one is late", "bus two is late"]})
    for _ in range(2):  # the second time, replies come from the journal
        asked = OpenAIModel("m", "sk-some-key", f"{server.url}/v1", cost=0)
        session = wb.lloom(
            frame, "text", "id", "local", "local", "local", asked, cache=tmp_path / "journal.sqlite"
        )
        session.concepts.add("Late", "Is the bus late?", active=True)
        scores = session.sync.score(confirm=False)
        assert scores.score.tolist() == [1.0, 1.0]
        assert all(is_harmless(cell) for cell in scores.to_numpy().ravel() if isinstance(cell, str))
        scores.to_csv(tmp_path / "scores.csv")
        session.export_df().to_csv(tmp_path / "concepts.csv")
        (tmp_path / "all.json").write_text(json.dumps(session.export_json(), default=str), "utf-8")
        session.export_html(tmp_path / "view.html")
        session.write_report(tmp_path / "report.html")
        session.save(tmp_path)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("late \ud83d\ude00 bus", "late 😀 bus"),
        ("late \ud83d bus", "late \ufffd bus"),
        ("late\x00\x1b bus\x0bstop", "late bus stop"),
        ("late\tbus\r\nstop 🚌\u200d", "late\tbus\r\nstop 🚌\u200d"),
    ],
    ids=["pair", "half", "controls", "nothing"],
)
async def test_a_plain_reply_is_harmless_too(
    server: ScriptedServer, text: str, read: str, tmp_path: Path
) -> None:
    server.reply = lambda _: completion(text)
    asked = OpenAIModel("m", "sk-some-key", f"{server.url}/v1", cost=0)
    for _ in range(2):
        assert (await asked.call("Which bus?", cache=tmp_path / "journal.sqlite")).text == read


async def test_a_reply_that_was_kept_before_is_made_harmless(server: ScriptedServer, tmp_path: Path) -> None:
    from text_lloom.llm import Completion
    from text_lloom.llm.cache.journal import open_journal
    from text_lloom.llm.cache.keys import request_key
    from text_lloom.llm.dispatch.request_builder import build_request
    from text_lloom.llm.messages import as_messages

    asked = OpenAIModel("m", "sk-some-key", f"{server.url}/v1", cost=0)
    journal = open_journal(tmp_path / "journal.sqlite")
    assert journal is not None
    key = request_key(asked, build_request(asked, as_messages("Which bus?")), sample=0)
    await journal.put(key, Completion("The \ud83d 40\0"), model="m", step="call")
    reply = await asked.call("Which bus?", cache=tmp_path / "journal.sqlite")
    assert (reply.text, reply.cached) == ("The \ufffd 40", True)


async def test_what_a_server_says_in_an_error_is_harmless(server: ScriptedServer) -> None:
    said: Any = (400, {"error": {"message": "bad \ud83d \0 request"}})
    server.reply = lambda _: said
    asked = OpenAIModel("m", "sk-some-key", f"{server.url}/v1", cost=0)
    [error] = await asked.call_many(["Which bus?"], cache=False, retry=QUICK)
    assert "bad" in str(error)
    assert is_harmless(str(error))
