"""Replies that are nearly JSON are understood; those that are not are never made into an answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import BadAnswer
from text_lloom.quotes import harmless
from text_lloom.scores import ANSWER_SCORES
from text_lloom.tasks import ScoreDocuments, SummarizeDocument

TEXT = "The 40 bus is late every single morning, and nobody tells us why."
SCORE = ScoreDocuments((Document("d", TEXT),), (Concept("Late", "Late?", id="c"),))
BULLETS = SummarizeDocument("d", TEXT, 4)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=60).filter(
    lambda text: bool(harmless(text).strip().lstrip("-•* "))
)


def score_reply(**entry: object) -> str:
    return json.dumps({"results": [{"document": "D1", "concept": "C1", **entry}]})


@given(st.sampled_from("ABCDE"), st.text(max_size=80), st.sampled_from(["", TEXT, TEXT[4:30], "invented"]))
def test_a_valid_reply_is_read_as_it_is(answer: str, rationale: str, quote: str) -> None:
    [scored] = SCORE.parse(score_reply(answer=answer, rationale=rationale, quote=quote))
    assert scored.judgement.score == ANSWER_SCORES[answer]
    assert scored.judgement.highlight in TEXT
    assert scored.judgement.rationale == " ".join(harmless(rationale).split())


@given(
    st.lists(WORDS, min_size=1, max_size=4), st.sampled_from(["```json\n{}\n```", "```\n{}\n```", "  {}\n"])
)
def test_fences_and_blanks_around_json_do_not_matter(bullets: list[str], around: str) -> None:
    reply = json.dumps({"bullets": bullets}, ensure_ascii=False)
    assert BULLETS.parse(around.replace("{}", reply)) == BULLETS.parse(reply)


PLAIN = st.text(
    st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\"), min_size=1
).filter(lambda text: bool(text.strip().lstrip("-•* ")))
"""No control characters and backslashes: the repair library mixes their escapes up in broken JSON."""


@given(st.lists(PLAIN, min_size=1, max_size=4), st.integers(0, 200))
def test_a_reply_cut_anywhere_gives_a_prefix_of_its_bullets_or_an_error(bullets: list[str], at: int) -> None:
    whole = BULLETS.parse(json.dumps({"bullets": bullets}))
    try:
        found = BULLETS.parse(json.dumps({"bullets": bullets})[:at])
    except BadAnswer:
        return
    assert found[:-1] == whole[: len(found) - 1]


@given(st.text(max_size=300))
def test_prose_is_never_a_score(reply: str) -> None:
    if '"answer"' not in reply:
        with pytest.raises(BadAnswer):
            SCORE.parse(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "I am sorry, but I cannot help with that.",
        "",
        "null",
        "[]",
        '"{broken"',
        "{broken",
        '{"results": []}',
        '{"results": [{"document": "D1", "concept": "C1", "answer": "F"}]}',
        '{"results": [{"document": "D1", "concept": "C1", "answer": "ABC"}]}',
        '{"results": [{"document": "D2", "concept": "C1", "answer": "A"}]}',
        '{"results": {"answer": "A"}}',
    ],
)
def test_what_does_not_answer_the_question_is_refused(reply: str) -> None:
    with pytest.raises(BadAnswer) as refused:
        SCORE.parse(reply)
    assert len(str(refused.value)) > 15


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ('{"results": [{"document": "D1", "concept": "C1", "answer": "B: mostly"}]}', 0.75),
        ('{"results": [{"document": 1, "concept": "c1", "answer": "(a)"}]}', 1.0),
        ("{'results': [{'document': 'D1', 'concept': 'C1', 'answer': 'E'}]}", 0.0),
        ('{"results": [{"document": "D1", "concept": "C1", "answer": "C",}],}', 0.5),
        ('Here you are: {"results": [{"document": "D1", "concept": "C1", "answer": "D"}]}', 0.25),
        ('[{"document": "D1", "concept": "C1", "answer": "A"}]', 1.0),
    ],
    ids=["words after the letter", "labels", "single quotes", "trailing commas", "prose before", "bare list"],
)
def test_near_misses_are_understood(reply: str, score: float) -> None:
    [scored] = SCORE.parse(reply)
    assert scored.judgement.score == score
