"""Documents that are longer than a model's context window: read in parts, cut with a mark, or refused."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import text_lloom.workbench as wb
from text_lloom.cli import app
from text_lloom.errors import ContextOverflow, InputError, UnknownName
from text_lloom.llm import Model, OpenAIModel
from text_lloom.windows import split_windows

DULL = "The seats are dirty and the tickets are dear. "
LATE = "My bus was late every single day. "
Reply = tuple[str, tuple[int, int]]


class Reader:
    """A model that reads what it is sent, and finds late buses in it; `log` has the texts of each request."""

    def __init__(self, *, most: int | None = None, read: Callable[[int], int] | None = None) -> None:
        self.log: list[list[str]] = []
        self._most, self._read = most, read

    def __call__(self, model: object, prompt: str) -> Reply:
        tokens = len(prompt) // 4
        if self._most is not None and tokens > self._most:
            raise ContextOverflow(f"maximum context length is {self._most} tokens")
        documents = re.findall(r'<document label="(D\d+)">\n(.*?)\n</document>', prompt, re.DOTALL)
        concepts = re.findall(r"^(C\d+)\. ", prompt, re.MULTILINE)
        self.log.append([text for _, text in documents])
        entries = [
            {
                "document": label,
                "concept": concept,
                "rationale": "late" if LATE.strip() in text else "other",
                "answer": "A" if LATE.strip() in text else "E",
                "quote": LATE.strip() if LATE.strip() in text else "",
            }
            for label, text in documents
            for concept in concepts
        ]
        reply = json.dumps({"results": entries} if documents else {"summary": "Late buses."})
        return reply, (tokens if self._read is None else self._read(tokens), 20)


def session_of(reader: Reader, *texts: str, window: int | None = 2000) -> wb.lloom:
    model = Model("reader", lambda key: None, reader, api_key="k", cost=0, context_window=window)
    frame = pd.DataFrame({"id": [f"d{n}" for n in range(len(texts))], "text": texts})
    session = wb.lloom(frame, "text", "id", "local", "local", "local", model, cache=False)
    session.concepts.add("Late buses", "Does the text say that buses run late?", active=True)
    return session


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(DULL * 400 + LATE, id="at-the-end"),
        pytest.param(LATE + DULL * 400, id="at-the-beginning"),
        pytest.param(DULL * 173 + LATE + DULL * 227, id="in-the-middle"),
        pytest.param(DULL.replace(". ", " ") * 300 + LATE, id="without-sentences"),
        pytest.param("x" * 20_000 + ". " + LATE, id="without-blanks"),
        pytest.param("座席が汚い。" * 1500 + LATE, id="without-spaces"),
    ],
)
def test_a_passage_is_found_wherever_it_stands(text: str) -> None:
    reader = Reader()
    session = session_of(reader, text, "A short one.")
    scores = session.sync.score(confirm=False)
    assert scores is not None
    assert scores["score"].tolist() == [1.0, 0.0]
    assert scores["highlight"].tolist()[0] == LATE.strip()
    assert re.fullmatch(r"Part \d+ of \d+: late", scores["rationale"].tolist()[0])
    assert scores["rationale"].tolist()[1] == "other"
    assert session.failures().empty


def test_the_parts_hold_the_whole_document_and_fit() -> None:
    reader = Reader(most=2000)
    text = "".join(f"Sentence number {n} is about seats. " for n in range(700))
    session_of(reader, text).sync.score(confirm=False)
    parts = [texts[0] for texts in reader.log if texts]
    assert len(parts) > 3
    for n in range(700):
        assert any(f"Sentence number {n} is about seats." in part for part in parts)


def test_documents_that_share_a_request_are_read_apart_if_they_are_too_long_together() -> None:
    reader = Reader()
    session = session_of(reader, DULL * 80, DULL * 300 + LATE, DULL * 60 + LATE)
    scores = session.sync.score(batch_size=3, confirm=False)
    assert scores is not None
    assert scores["score"].tolist() == [0.0, 1.0, 1.0]
    assert [rationale[:4] == "Part" for rationale in scores["rationale"]] == [False, True, False]


def test_a_window_that_is_smaller_than_known_is_found_out() -> None:
    reader = Reader(most=1500)
    scores = session_of(reader, DULL * 800 + LATE, LATE, window=None).sync.score(confirm=False)
    assert scores is not None
    assert scores["score"].tolist() == [1.0, 1.0]
    assert re.fullmatch(r"Part (\d+) of \1: late", scores["rationale"].tolist()[0])


def test_a_part_that_fails_leaves_the_document_without_a_score() -> None:
    calls: list[int] = []

    def call(model: object, prompt: str) -> Reply:
        calls.append(1)
        if "Sentence 300." in prompt:
            return "no JSON", (10, 10)
        return Reader()(model, prompt)

    model = Model("m", lambda key: None, call, api_key="k", cost=0, context_window=2000)
    text = "".join(f"Sentence {n}. " for n in range(1500))
    session = wb.lloom(pd.DataFrame({"text": [text, LATE]}), "text", None, "local", "local", "local", model)
    session.concepts.add("Late buses", "Does the text say that buses run late?", active=True)
    with pytest.warns(UserWarning, match="could not be answered"):
        scores = session.sync.score(confirm=False)
    assert scores is not None
    assert scores["score"].isna().tolist() == [True, False]
    failures = session.failures()
    assert failures["doc_ids"].tolist() == [(0,)]
    assert re.match(r"Part \d+ of \d+: ", failures["reason"].tolist()[0])


def test_cut_documents_are_marked_and_listed() -> None:
    session = session_of(Reader(), DULL * 400 + LATE, LATE)
    with pytest.warns(
        UserWarning, match="1 documents were too long for the model and were cut at the end: 'd0'"
    ):
        scores = session.sync.score(confirm=False, long_documents="cut")
    assert scores is not None
    assert scores["score"].tolist() == [0.0, 1.0]
    first, second = scores["rationale"]
    assert re.fullmatch(r"Only the first \d+ % of the document was read. other", first)
    assert second == "late"


def test_refused_documents_cost_nothing_and_have_no_score() -> None:
    reader = Reader()
    session = session_of(reader, DULL * 400 + LATE, LATE)
    with pytest.warns(UserWarning, match="1 requests could not be answered"):
        scores = session.sync.score(confirm=False, long_documents="refuse")
    assert scores is not None
    assert scores["score"].isna().tolist() == [True, False]
    assert [len(texts[0]) for texts in reader.log if texts] == [len(LATE)]
    [failure] = session.failures().to_dict("records")
    assert failure["doc_ids"] == ("d0",)
    assert "long_documents='windows'" in failure["reason"]


def test_the_estimate_counts_the_parts() -> None:
    reader = Reader()
    session = session_of(reader, "".join(f"Sentence number {n} is about seats. " for n in range(700)))
    requests = session.estimate_score_cost().steps[0].requests
    session.sync.score(confirm=False)
    assert requests == len([texts for texts in reader.log if texts]) > 5


@pytest.mark.parametrize("given", ["window", "", None, 3])
def test_another_value_is_refused(given: object) -> None:
    with pytest.raises(UnknownName, match=r"Unknown long_documents.*windows"):
        session_of(Reader(), LATE).sync.score(confirm=False, long_documents=given)  # type: ignore[arg-type]


def test_a_batch_refuses_what_it_would_cut(tmp_path: Path) -> None:
    model = OpenAIModel("gpt-4o-mini", "sk-test", "http://127.0.0.1:9/v1", cost=0, context_window=2000)
    frame = pd.DataFrame({"text": [DULL * 400, LATE]})
    session = wb.lloom(frame, "text", None, "local", "local", "local", model, cache=tmp_path / "cache.db")
    session.concepts.add("Late buses", "Does the text say that buses run late?", active=True)
    with pytest.raises(InputError, match=r"1 documents are longer.*mode='live', or long_documents='cut'"):
        session.sync.score(confirm=False, mode="batch")


# --- a server that reads less than it is sent -----------------------------------------------------------


def test_a_server_that_reads_less_than_it_is_sent_gives_no_scores() -> None:
    reader = Reader(read=lambda tokens: min(tokens, 1024))
    session = session_of(reader, DULL * 800 + LATE, LATE, window=None)
    with pytest.warns(UserWarning, match="could not be answered"):
        scores = session.sync.score(confirm=False)
    assert scores is not None
    assert scores["score"].isna().tolist() == [True, False]
    [failure] = session.failures().to_dict("records")
    assert failure["kind"] == "PromptCut"
    assert re.search(r"read 1,024 of about [\d,]+ tokens.*num_ctx.*context_window=1024", failure["reason"])
    assert len([texts for texts in reader.log if texts]) == 2, "asking again would not help"


def test_the_remedy_of_that_message_helps() -> None:
    reader = Reader(read=lambda tokens: min(tokens, 1024))
    scores = session_of(reader, DULL * 800 + LATE, LATE, window=1024).sync.score(confirm=False)
    assert scores is not None
    assert scores["score"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("share", [0.6, 0.8, 1.4])
def test_another_way_of_counting_tokens_is_no_cut(share: float) -> None:
    reader = Reader(read=lambda tokens: int(share * tokens))
    scores = session_of(reader, DULL * 800 + LATE, window=None).sync.score(confirm=False)
    assert scores is not None
    assert scores["score"].tolist() == [1.0]


def test_a_count_that_is_always_the_same_is_no_cut() -> None:
    scores = session_of(Reader(read=lambda _: 7), DULL * 800 + LATE, window=None).sync.score(confirm=False)
    assert scores is not None
    assert scores["score"].tolist() == [1.0]


# --- windows ----------------------------------------------------------------------------------------------


@given(st.lists(st.characters(codec="utf-8"), max_size=400, unique=True), st.integers(10, 60))
def test_windows_hold_all_of_a_text_in_order(characters: list[str], size: int) -> None:
    text, at = "".join(characters), 0
    for window in split_windows(text, size):
        assert len(window) <= size
        found = text.find(window)
        assert 0 <= found <= at
        at = found + len(window)
    assert at == len(text)


def test_windows_end_and_begin_at_sentences() -> None:
    text = "".join(f"This is sentence {n} of it. " for n in range(100))
    windows = split_windows(text, 400)
    assert all(window.rstrip().endswith("of it.") for window in windows)
    assert all(window.lstrip().startswith("This is") for window in windows)
    numbers = [set(re.findall(r"\d+ of", window)) for window in windows]
    assert all(first & second for first, second in itertools.pairwise(numbers))


# --- the command line ---------------------------------------------------------------------------------------


def test_the_command_line_has_the_option(tmp_path: Path) -> None:
    table, codebook = tmp_path / "t.csv", tmp_path / "c.csv"
    pd.DataFrame({"text": [LATE, DULL]}).to_csv(table, index=False)
    pd.DataFrame({"name": ["Late"], "criteria": ["Is a bus late?"]}).to_csv(codebook, index=False)
    words = ["score", str(codebook), str(table), "--text-col", "text", "--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, [*words, "--long-documents", "half"])
    assert refused.exit_code != 0
    assert "windows" in refused.output
    assert CliRunner().invoke(app, [*words, "--long-documents", "refuse"]).exit_code == 0
