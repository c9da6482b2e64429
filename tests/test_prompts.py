"""Every prompt as it is sent, on documents written for this test; a change of wording shows up here.

After an intended change: LLOOM_WRITE_PROMPTS=1 python -m pytest tests/test_prompts.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.llm.dispatch.request_builder import with_feedback
from text_lloom.llm.messages import ModelRequest, as_messages
from text_lloom.tasks import (
    Candidate,
    FilterQuotes,
    Item,
    MapDocument,
    MatchConcepts,
    ReviewMerge,
    ReviewRemove,
    ScoreDocuments,
    SelectConcepts,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
    Task,
)

SNAPSHOTS = Path(__file__).parent / "prompts"

COMMENT = (
    'The 7:40 shows up "whenever it feels like it" 🙄 and the app {still} says on time.\n'
    "My daughter has been late for school twice this week. Put the money into drivers, not into posters!"
)
REPLY = "Bikes on the pavement again. Where else should they go? There is no lane & the cars do 60."
LATE = Concept("Late Buses", "Does the text complain that buses are late?", id="late")
UNSAFE = Concept("Unsafe Cycling", "Does the text say that cycling is dangerous?", id="unsafe")
NO_SHOW = Concept("Buses That Do Not Come", "Does the text report a bus that did not come?", id="no-show")
TOPIC = Concept("Transport", "Does the text discuss transport?", id="topic")
CANDIDATES = (Candidate(LATE, 9), Candidate(UNSAFE, 4), Candidate(NO_SHOW, 3), Candidate(TOPIC, 30))
ITEMS = (
    Item("a", "blames the operator for the bus that never comes"),
    Item("a", "daughter late for school because of the bus"),
    Item("c", "wants a bike lane separated from cars"),
    Item("d", "wants money spent on drivers, not posters"),
)

PROMPTS: dict[str, Task[Any]] = {
    "distill_filter": FilterQuotes("a", COMMENT, 3),
    "distill_filter_seed": FilterQuotes("a", COMMENT, 3, seed="reliability"),
    "distill_summarize": SummarizeDocument("a", COMMENT, 3, "up to 12"),
    "distill_summarize_seed": SummarizeDocument("a", COMMENT, 1, "up to 12", seed="reliability"),
    "synthesize": SynthesizeConcepts(ITEMS, 3),
    "synthesize_seed": SynthesizeConcepts(ITEMS, 1, seed="reliability"),
    "review_remove": ReviewRemove(CANDIDATES),
    "review_merge": ReviewMerge(CANDIDATES),
    "review_merge_target": ReviewMerge(CANDIDATES, target=2, seed="reliability"),
    "review_select": SelectConcepts(CANDIDATES, 2),
    "auto_eval": MatchConcepts(CANDIDATES[:2], (Candidate(NO_SHOW), Candidate(TOPIC))),
    "score": ScoreDocuments((Document("a", COMMENT), Document("b", REPLY)), (LATE, UNSAFE)),
    "score_no_highlights": ScoreDocuments((Document("a", COMMENT),), (LATE,), get_highlights=False),
    "summarize_concept": SummarizeConcept(
        LATE, (COMMENT, "Twenty minutes in the rain, again."), ("", "Waited long for the bus")
    ),
    "review_remove_seed": ReviewRemove(CANDIDATES, seed="reliability"),
    "map": MapDocument("a", COMMENT, "Who is to blame?"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_is_as_it_was(name: str) -> None:
    path, prompt = SNAPSHOTS / f"{name}.txt", PROMPTS[name].prompt()
    if os.environ.get("LLOOM_WRITE_PROMPTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(prompt, encoding="utf-8")
    assert prompt == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_holds_the_documents_unmangled_and_no_field_is_left(name: str) -> None:
    task = PROMPTS[name]
    prompt = task.prompt()
    for text in task.texts:
        assert text in prompt or " ".join(text.split()) in prompt
    instructions = prompt
    for text in (*task.texts, COMMENT, " ".join(COMMENT.split())):
        instructions = instructions.replace(text, "")
    for field in task.template.fields:
        assert f"{{{field}}}" not in instructions
    assert "{{" not in instructions


def test_a_second_try_shows_the_model_its_error() -> None:
    again = with_feedback(
        ModelRequest(as_messages("The question.")), ("no idea", "Expected a JSON object.")
    ).prompt
    assert again.startswith("The question.")
    assert "no idea" in again
    assert "Expected a JSON object." in again


def test_lines_of_one_document_are_told() -> None:
    def told(*doc_ids: str) -> str:
        task = SynthesizeConcepts(tuple(Item(d, f"line {n}") for n, d in enumerate(doc_ids)), 3)
        return task.fields()["same_document_phrase"]

    assert told("a", "b", "c") == ""
    assert told("a", "a", "a") == ""
    expected = " These lines come from the same document: 1, 3; 2, 4, 6."
    assert told("a", "b", "a", "b", "c", "b") == expected
