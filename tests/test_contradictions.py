"""Replies that contradict themselves are asked again, and never give a score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.wire_servers.scripted import ScriptedServer, completion, scripted
from text_lloom.errors import BadAnswer
from text_lloom.llm import OpenAIModel, RetryPolicy

pytestmark = pytest.mark.filterwarnings("ignore:.* could not be answered:UserWarning")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _: completion("")) as found:
        yield found


def entry(answer: str, document: object = "D1", concept: object = "C1") -> dict[str, Any]:
    return {"document": document, "concept": concept, "rationale": "", "answer": answer, "quote": ""}


def results(*entries: dict[str, Any]) -> str:
    return json.dumps({"results": entries})


def scored(server: ScriptedServer, replies: list[str], concepts: int = 1) -> tuple[list[float], int]:
    """The scores that these replies give, the last of which is repeated, and the number of failures."""
    server.reply = lambda _: completion(replies.pop(0) if len(replies) > 1 else replies[0])
    asked = OpenAIModel("m", "sk-some-key", f"{server.url}/v1", cost=0)
    frame = pd.DataFrame({"id": [1], "text": ["The tram is clean."]})
    session = wb.lloom(frame, "text", "id", "local", "local", "local", asked, cache=False)
    for n in range(concepts):
        session.concepts.add(f"Late {n}", f"Does the text say that bus {n} is late?", active=True)
    scores = session.sync.score(confirm=False).score.tolist()
    return scores, int((session.failures()["step"] == "score").sum())


TWICE = '{"results": [{"document": "D1", "concept": "C1", "answer": "A", "quote": "", "answer": "E"}]}'


@pytest.mark.parametrize(
    "doubtful",
    [
        pytest.param(results(entry("A"), entry("E")), id="A-then-E"),
        pytest.param(results(entry("E"), entry("A")), id="E-then-A"),
        pytest.param(results(entry("A"), entry("E", "1", "1")), id="other-labels"),
        pytest.param(results(entry("B", 1, 1), entry("D", "D1: tram", "C1")), id="near-answers"),
        pytest.param(TWICE, id="key-twice"),
        pytest.param(results(entry("A or E")), id="two-letters"),
        pytest.param(results(entry("(A)/(E)")), id="two-letters-in-parentheses"),
    ],
)
def test_a_contradiction_is_asked_again(server: ScriptedServer, doubtful: str) -> None:
    assert scored(server, [doubtful, results(entry("E"))]) == ([0.0], 0)
    assert len(server.bodies) == 2
    scores, failures = scored(server, [doubtful])
    assert (pd.isna(scores[0]), failures) == (True, 1)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(results(entry("E"), {**entry("E"), "rationale": "trams"}), id="same-answer"),
        pytest.param(results(entry("e - another subject")), id="with-words"),
        pytest.param(results(entry("E, A bus is not named")), id="article"),
    ],
)
def test_what_agrees_is_taken(server: ScriptedServer, reply: str) -> None:
    assert scored(server, [reply]) == ([0.0], 0)
    assert len(server.bodies) == 1


def test_one_contradiction_among_several_entries_is_named(server: ScriptedServer) -> None:
    mixed = results(entry("A"), entry("B", concept="C2"), entry("E", concept="C2"))
    assert scored(server, [mixed, results(entry("A"), entry("E", concept="C2"))], 2) == ([1.0, 0.0], 0)
    assert "D1 on C2 (B and E)" in server.bodies[1]["messages"][-1]["content"]


async def test_a_form_of_the_users_own_has_no_key_twice(server: ScriptedServer) -> None:
    server.reply = lambda _: completion('{"late": true, "late": false}')
    asked = OpenAIModel("m", "sk-some-key", f"{server.url}/v1", cost=0)
    with pytest.raises(BadAnswer, match='"late" twice'):
        await asked.call("Which?", dict[str, bool], cache=False, retry=RetryPolicy(base=0.001))
