"""Resuming after a stop: failures stay listed until they have a score, and are asked in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from text_lloom import workbench as wb
from text_lloom.errors import BudgetReached, StepFailed
from text_lloom.llm import RetryPolicy
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.session.scorings import ScoringForm
from text_lloom.testing import FunctionModel

ONCE = RetryPolicy(attempts=1, re_asks=0)


@pytest.fixture(autouse=True)
def _paid_calls_allowed() -> Iterator[None]:
    before = allow_paid_calls(True)  # scripted models with a price; nothing is really paid
    yield
    allow_paid_calls(before)


def judge(prompt: str) -> dict[str, Any]:
    """No document matches a concept."""
    if "<document" not in prompt:
        return {"summary": "Nothing."}
    documents = sorted(set(re.findall(r'<document label="(D\d+)"', prompt)))
    concepts = sorted(set(re.findall(r"^(C\d+)\. ", prompt, re.MULTILINE)))
    return {
        "results": [
            {"document": d, "concept": c, "rationale": "why", "answer": "E"}
            for d in documents
            for c in concepts
        ]
    }


class Flaky(FunctionModel):
    """Cannot answer prompts with certain words, until it is mended."""

    def __init__(self, *words: str, **args: Any) -> None:
        super().__init__(self._judge, **args)
        self.words: tuple[str, ...] = words

    def _judge(self, prompt: str) -> object:
        if "<document" in prompt and any(word in prompt.split("<document")[1] for word in self.words):
            return "I would rather not say."
        return judge(prompt)

    def asked_since(self, mark: int) -> list[str]:
        """The prompts about documents, from the one at `mark` on."""
        return [prompt for prompt in self.prompts[mark:] if "<document" in prompt]


def session_of(comments: pd.DataFrame, model: Any, *, n_concepts: int = 1, **options: Any) -> wb.lloom:
    session = wb.lloom(comments, "text", "doc_id", "local", "local", "local", model, retry=ONCE, **options)
    for n in range(n_concepts):
        session.concepts.add(f"Concept {n}", f"Does the text complain about subject {n}?", active=True)
    return session


def score(session: wb.lloom, **options: Any) -> None:
    with pytest.warns(UserWarning, match="could not be answered"):
        session.sync.score(confirm=False, **options)


def missing(session: wb.lloom) -> int:
    return int(session.get_score_df()["score"].isna().sum())


def test_a_retry_that_is_stopped_loses_no_failure(comments: pd.DataFrame) -> None:
    model = Flaky("Mill Lane", "bike lane", cost=(1e-5, 1e-5), concurrency=1)
    session = session_of(comments, model)
    score(session)
    n = len(session.failures())
    assert n == missing(session) == 3
    model.words = ()
    session.budget = session.ledger.totals().usd + 0.007  # enough for one
    with pytest.warns(UserWarning, match="of the budget is left"), pytest.raises(BudgetReached):
        session.sync.retry_failures()
    assert 0 < missing(session) < n
    assert len(session.failures()) == missing(session)
    session.budget = 10
    mark, left = len(model.prompts), missing(session)
    assert session.sync.retry_failures() == 0
    assert len(model.asked_since(mark)) == left
    assert missing(session) == 0
    assert session.failures().empty


@pytest.mark.filterwarnings("ignore:.*could not be answered")
def test_documents_that_fail_piece_by_piece_do_not_end_a_scoring(comments: pd.DataFrame) -> None:
    """Two documents and eight concepts make sixteen pieces, none of which can be answered."""
    model = Flaky("Mill Lane", "Fares went")
    session = session_of(comments, model, n_concepts=8)
    for _ in range(2):
        frame = session.sync.score()
        assert frame is not None
        assert set(frame.loc[frame["score"].isna(), "doc_id"]) == {"d04", "d09"}
        assert len(session.failures()) == missing(session) == 16
    assert session.sync.retry_failures() == 16
    model.words = ()
    assert session.sync.retry_failures() == missing(session) == 0


@pytest.mark.filterwarnings("ignore:.*could not be answered")
def test_calling_again_asks_all_that_is_missing_and_gives_the_table(comments: pd.DataFrame) -> None:
    """Asking again about only ten documents that the model cannot answer does not count as an outage."""
    model = Flaky(*comments["text"].head(10))
    session = session_of(pd.concat([comments, comments.assign(doc_id=lambda c: c["doc_id"] + "x")]), model)
    for call in (session.sync.score, session.sync.resume):
        frame = call()
        assert frame is not None
        assert frame["score"].isna().sum() == len(session.failures()) == 20
    assert session.sync.retry_failures() == 20


@pytest.mark.filterwarnings("ignore:.*could not be answered")
def test_a_prompt_that_is_no_good_ends_a_scoring_although_another_was(comments: pd.DataFrame) -> None:
    model = Flaky()
    session = session_of(comments, model)
    session.sync.score()
    model.words = ("",)
    with pytest.raises(StepFailed):
        session.sync.score(
            ignore_existing=False, custom_prompts={"score": session.show_prompt("score") + "\nRhyme."}
        )


def test_a_model_that_answers_nothing_at_all_ends_a_scoring(comments: pd.DataFrame) -> None:
    model = Flaky("")
    with pytest.raises(StepFailed), pytest.warns(UserWarning, match="could not be answered"):
        session_of(comments.head(3), model, n_concepts=8).sync.score()
    assert len(model.prompts) < 3 + 3 * 8


def test_what_fails_again_is_listed_once(comments: pd.DataFrame) -> None:
    session = session_of(comments, Flaky("Mill Lane"))
    score(session)
    with pytest.warns(UserWarning, match="could not be answered"):
        assert session.sync.retry_failures() == 1
    score(session)
    assert len(session.failures()) == 1


def test_a_failure_that_a_later_score_mends_is_not_asked_again(comments: pd.DataFrame) -> None:
    model = Flaky("bike lane")
    session = session_of(comments, model)
    score(session)
    model.words = ()
    session.sync.score(confirm=False)
    assert session.failures().empty
    mark = len(model.prompts)
    assert session.sync.retry_failures() == 0
    assert model.prompts[mark:] == []


def test_a_retry_asks_about_the_quotes_that_were_asked_about(comments: pd.DataFrame, tmp_path: Path) -> None:
    model = Flaky("Mill Lane")
    session = session_of(comments, model)
    session._quotes = {i: [text[:20]] for i, text in zip(comments["doc_id"], comments["text"], strict=True)}
    model.words = ("Cycling on Mill Lane",)
    session._quotes[comments["doc_id"][4]] = ["Cycling on Mill Lane"]
    score(session, score_on="quotes", get_highlights=False)
    (failed,) = (prompt for prompt in model.asked_since(0) if "Cycling on Mill Lane" in prompt)
    path = session.save(tmp_path, "quotes")
    model.words = ()
    for going_on in (session, wb.load(path, score_model=model)):
        mark = len(model.prompts)
        assert going_on.sync.retry_failures() == 0
        assert model.asked_since(mark) == [failed]
    assert "frightening" not in failed


def test_a_retry_asks_about_the_documents_that_were_asked_about(
    comments: pd.DataFrame, tmp_path: Path
) -> None:
    model = Flaky()
    session = session_of(comments, model)
    session.sync.score(confirm=False)
    others = comments.assign(text=[f"Another view of matter {n}, in a few words." for n in range(12)])
    model.words = ("matter 7",)
    score(session, df=others)
    path = session.save(tmp_path, "other")
    model.words = ()
    mark = len(model.prompts)
    assert session.sync.retry_failures() == 0
    (prompt,) = model.asked_since(mark)
    assert "matter 7" in prompt
    assert session.failures().empty
    loaded = wb.load(path, score_model=model)
    with pytest.warns(UserWarning, match="other documents .* not saved"):
        assert loaded.sync.retry_failures() == 1
    assert len(loaded.failures()) == 1


def test_resuming_repeats_the_last_scoring(comments: pd.DataFrame, tmp_path: Path) -> None:
    model = Flaky(cost=(1e-5, 1e-5), concurrency=1)
    session = session_of(comments, model, n_concepts=2, budget=0.02)
    first, second = session.concepts.values()
    with pytest.warns(UserWarning, match="stops before"), pytest.raises(BudgetReached):
        session.sync.score([first.id], batch_size=2, get_highlights=False)
    done = len(model.asked_since(0))
    assert 0 < done < 6
    path = session.save(tmp_path, "stopped")
    for going_on in (session, wb.load(path, score_model=model, budget=1.0)):
        going_on.budget = 1.0
        mark = len(model.prompts)
        frame = going_on.sync.resume()
        assert frame is not None
        assert frame["score"].notna().all()
        assert set(frame["concept_id"]) == {first.id}
        asked = model.asked_since(mark)
        assert len(asked) == 6 - done
        assert all("subject 0" in prompt and "subject 1" not in prompt for prompt in asked)
        assert second.id not in going_on.table
        going_on.sync.resume()
        assert model.asked_since(mark) == asked


def test_resuming_a_second_look_asks_only_what_it_had_not_reached(comments: pd.DataFrame) -> None:
    model = Flaky(cost=(1e-5, 1e-5), concurrency=1)
    session = session_of(comments, model)
    session.sync.score(confirm=False)
    session.budget = session.ledger.totals().usd + 0.03
    mark = len(model.prompts)
    with pytest.warns(UserWarning, match="stops before"), pytest.raises(BudgetReached):
        session.sync.score(ignore_existing=False)
    again = len(model.asked_since(mark))
    assert 0 < again < 12
    session.budget = 10.0
    mark = len(model.prompts)
    session.sync.resume()
    assert len(model.asked_since(mark)) == 12 - again


def test_a_second_look_that_failed_stays_listed_beside_the_first_score(comments: pd.DataFrame) -> None:
    model = Flaky()
    session = session_of(comments, model)
    session.sync.score(confirm=False)
    model.words = ("Mill Lane",)
    score(session, ignore_existing=False)
    session.sync.score(confirm=False)  # asks nothing: all have scores
    assert len(session.failures()) == 1
    model.words = ()
    assert session.sync.retry_failures() == 0
    assert session.failures().empty


def test_a_retry_asks_with_the_parameters_of_its_scoring(comments: pd.DataFrame) -> None:
    model = Flaky("Mill Lane", temperature=0.7)
    session = session_of(comments, model)
    score(session, params={"temperature": 0.0})
    model.words = ()
    session.concepts.add("Fares", "Does the text complain about fares?", active=True)
    session.sync.score([session.concepts.active[-1].id], params={"temperature": 0.5}, confirm=False)
    mark = len(model.requests)
    assert session.sync.retry_failures() == 0
    assert {request.params["temperature"] for request in model.requests[mark : mark + 1]} == {0.0}


def test_failures_about_a_concept_that_is_gone_are_dropped(comments: pd.DataFrame) -> None:
    session = session_of(comments, Flaky("Mill Lane"), n_concepts=2)
    score(session, concepts_per_call=1)
    assert len(session.failures()) == 2
    gone = session.concepts.active[0]
    session.concepts.remove(gone.id)
    with pytest.warns(UserWarning, match="could not be answered"):
        assert session.sync.retry_failures() == 1


def test_arguments_may_be_numbers_of_numpy_and_are_kept_with_the_session(
    comments: pd.DataFrame, tmp_path: Path
) -> None:
    model = Flaky("Mill Lane")
    three: Any = np.int64(3)
    session = session_of(comments, model, n_concepts=2, random_state=three)
    score(
        session,
        batch_size=np.int64(2),
        concepts_per_call=np.int32(1),
        get_highlights=np.bool_(False),
        ignore_existing=np.bool_(True),
        poll_seconds=np.float32(5),
    )
    session.export_html(tmp_path / "page.html", max_docs=three)
    slices = session.slices("likes", max_slice_bins=three)
    assert slices is not None
    assert len(slices) == 3
    again = wb.load(session.save(tmp_path, "session"), score_model=model, retry=ONCE)
    assert again.random_state == 3
    assert again._scorings.last is not None
    assert again._scorings.last.form == ScoringForm(
        batch_size=2, concepts_per_call=1, get_highlights=False, poll_seconds=5.0
    )
