"""Prompts that name columns of the documents, in every operator that asks about one document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from text_lloom.errors import ColumnNotFound, InputError, PromptError, StepFailed, UnknownName
from text_lloom.llm import Model

FRAME = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "text": ["No, never.", "Yes, since May.", "I do not know."],
        "asked": ["Is the bus on time?", "Do you own a car?", None],
        "wave": [1, 2, 2],
        "share": [0.5, None, 0.25],
        "at": pd.to_datetime(["2024-03-01", "2024-04-01", None]),
        "other question": ["x", "y", "z"],
    }
)
SCORE = "{concepts}\n{documents}\n{n_entries} {answer_form} {quote_rule}\nAsked: [{asked}] in wave [{wave}]"
FILTER = "{n_quotes} {seeding_phrase} {ex} Asked: [{asked}]"


class Log:
    """A model that notes the prompts and answers with nothing found."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, model: object, prompt: str) -> tuple[str, tuple[int, int]]:
        self.prompts.append(prompt)
        entry = {"document": "D1", "concept": "C1", "rationale": "", "answer": "E", "quote": ""}
        return json.dumps(
            {"results": [entry], "quotes": re.findall(r"No, never|Yes|I do not", prompt), "summary": "None."}
        ), (10, 10)


def session_of(log: Log, frame: pd.DataFrame = FRAME) -> wb.lloom:
    model = Model("log", lambda key: None, log, api_key="k", cost=0, concurrency=1)
    session = wb.lloom(frame, "text", "id", model, "local", "local", model, cache=False)
    session.concepts.add("Late buses", "Does the text say that buses run late?", active=True)
    return session


def filled(log: Log) -> list[str]:
    return sorted(prompt[prompt.index("Asked:") :] for prompt in log.prompts)


EXPECTED = [
    "Asked: [Do you own a car?] in wave [2]",
    "Asked: [Is the bus on time?] in wave [1]",
    "Asked: [] in wave [2]",
]


def test_scoring_fills_columns() -> None:
    log = Log()
    session_of(log).sync.score(custom_prompts={"score": SCORE}, confirm=False)
    assert filled(log) == EXPECTED


def test_later_scoring_fills_them_too_also_of_other_documents() -> None:
    log = Log()
    session = session_of(log)
    session.sync.score(custom_prompts={"score": SCORE}, confirm=False)
    log.prompts.clear()
    session.sync.add("Cars", "Does the text mention a car?", get_highlights=False, confirm=False)
    assert filled(log) == EXPECTED
    log.prompts.clear()
    other = pd.DataFrame({"id": ["a"], "text": ["Another."], "asked": ["Something else?"], "wave": [9]})
    session.sync.score(["Cars"], df=other, confirm=False)
    assert filled(log) == ["Asked: [Something else?] in wave [9]"]
    log.prompts.clear()
    session.sync.score(["Late buses"], ignore_existing=False, confirm=False)
    assert filled(log) == EXPECTED
    with pytest.raises(ColumnNotFound, match="asked"):
        session.sync.score(df=other.drop(columns="asked"), confirm=False)


def test_filtering_fills_columns() -> None:
    log = Log()
    session = session_of(log)
    with pytest.raises(StepFailed, match="synthesize"):
        session.sync.gen(
            params={"filter_n_quotes": 2},
            custom_prompts={"distill_filter": FILTER, "distill_summarize": None},
            debug=False,
            confirm=False,
        )
    log.prompts = [prompt for prompt in log.prompts if "Asked:" in prompt]
    assert filled(log) == ["Asked: [Do you own a car?]", "Asked: [Is the bus on time?]", "Asked: []"]


def test_a_prompt_function_takes_columns() -> None:
    def prompt(concepts: str, documents: str, asked: str, share: str, at: str) -> str:
        return f"{concepts} {documents} Asked: [{asked}] [{share}] [{at}]"

    log = Log()
    session_of(log).sync.score(custom_prompts={"score": prompt}, confirm=False)
    assert filled(log) == [
        "Asked: [Do you own a car?] [] [2024-04-01]",
        "Asked: [Is the bus on time?] [0.5] [2024-03-01]",
        "Asked: [] [0.25] []",
    ]


def test_braces_and_tags_in_a_column_are_text() -> None:
    log = Log()
    frame = FRAME.assign(asked="{concepts} </document> {wave}")
    session_of(log, frame).sync.score(custom_prompts={"score": SCORE}, confirm=False)
    assert all("Asked: [{concepts} ‹/document> {wave}]" in prompt for prompt in log.prompts)


def test_a_long_document_keeps_its_columns_in_every_part() -> None:
    log = Log()
    model = Model("log", lambda key: None, log, api_key="k", cost=0, context_window=1500)
    frame = pd.DataFrame({"id": ["a"], "text": ["Seat. " * 4000], "asked": ["Well?"], "wave": [1]})
    session = wb.lloom(frame, "text", "id", "local", "local", "local", model, cache=False)
    session.concepts.add("Late buses", "Does the text say that buses run late?", active=True)
    session.sync.score(custom_prompts={"score": SCORE}, confirm=False)
    assert set(filled(log)) == {"Asked: [Well?] in wave [1]"}
    assert len(log.prompts) > 1


def refused(step: str, prompt: str, **score: Any) -> Callable[[wb.lloom], object]:
    if step in ("score", "summarize_concept"):
        return lambda session: session.sync.score(custom_prompts={step: prompt}, confirm=False, **score)
    return lambda session: session.sync.gen(custom_prompts={step: prompt}, confirm=False, debug=False)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (refused("score", SCORE + " {askd}"), UnknownName, r"'askd'\. Did you mean 'asked'"),
        (refused("score", SCORE + " {speaker}"), UnknownName, r"'speaker'.*written twice.*asked.*wave"),
        (refused("score", SCORE + " {other question}"), PromptError, "rename"),
        (refused("score", SCORE, batch_size=2), InputError, r"asked, wave.*one document.*batch_size=2"),
        (refused("distill_filter", FILTER + " {speaker}"), UnknownName, "'speaker'"),
        (refused("synthesize", "{examples} {asked} {answer_form}"), (UnknownName, PromptError), "synthesize"),
        (refused("summarize_concept", "{passages} {asked}"), (UnknownName, PromptError), "summarize_concept"),
    ],
)
def test_a_field_that_cannot_be_filled_is_refused_before_anything_is_sent(
    call: Callable[[wb.lloom], object], error: type[Exception] | tuple[type[Exception], ...], said: str
) -> None:
    log = Log()
    with pytest.raises(error, match=said):
        call(session_of(log))
    assert log.prompts == []
