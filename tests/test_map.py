"""A user's own questions: typed, asked of every document, joined to the frame."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel, Field, RootModel

import text_lloom.workbench as wb
from text_lloom.errors import BudgetReached, InputError, LloomError, PromptError, UnknownName
from text_lloom.llm import Completion, Model, RetryPolicy, Solver
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.tasks import MapDocument, Task
from text_lloom.testing import FunctionModel


class Stance(enum.Enum):
    FOR = "for"
    AGAINST = "against"


class Demand(BaseModel):
    """What does this comment ask for?"""

    stance: Stance
    subject: Literal["buses", "bikes", "fares"]
    urgency: int | None = Field(default=None, description="1 to 5")
    quote: wb.Quote = ""


def document_in(prompt: str) -> str:
    return prompt.split("<document>\n")[1].split("\n</document>")[0]


def coder(prompt: str) -> dict[str, Any]:
    text = document_in(prompt).lower()
    subject = "buses" if "bus" in text else "fares" if "fare" in text or "ticket" in text else "bikes"
    first_words = " ".join(text.split()[:4])
    return {"stance": "against", "subject": subject, "urgency": 3, "quote": first_words}


def opened(df: pd.DataFrame, model: Any, **options: Any) -> wb.lloom:
    return wb.lloom(df, "text", "doc_id", "local", "local", "local", model, **options)


async def test_answers_are_joined_to_the_documents(comments: pd.DataFrame) -> None:
    model = FunctionModel(coder)
    found = await opened(comments, model).map(Demand)
    assert found is not None
    assert list(found.columns) == [*comments.columns, "stance", "subject", "urgency", "quote"]
    assert found["doc_id"].tolist() == comments["doc_id"].tolist()
    assert found["subject"].tolist() == ["buses"] * 4 + ["bikes"] * 4 + ["fares"] * 4
    assert found["stance"].tolist() == ["against"] * 12
    assert found["urgency"].sum() == 36
    assert all(quote in text for quote, text in zip(found["quote"], found["text"], strict=True))
    assert found["quote"][0] == "The 40 bus is", "in the document's own spelling"
    asked = model.requests[0]
    assert asked.schema == Demand.model_json_schema()
    assert "Question: What does this comment ask for?" in asked.prompt


async def test_a_quote_that_is_not_in_the_document_is_asked_for_again(comments: pd.DataFrame) -> None:
    tries: dict[str, int] = {}

    def invents(prompt: str) -> dict[str, Any]:
        text = document_in(prompt)
        tries[text] = tries.get(text, 0) + 1
        return coder(prompt) | ({"quote": "nobody ever said this sentence"} if tries[text] == 1 else {})

    model = FunctionModel(invents)
    found = await opened(comments, model).map(Demand)
    assert found is not None
    assert set(tries.values()) == {2}
    assert "does not stand in the document" in model.prompts[-1]
    assert found["quote"].notna().all()


async def test_failures_leave_gaps_and_are_listed(comments: pd.DataFrame) -> None:
    def sometimes(prompt: str) -> object:
        return "I would rather not say." if "rain" in prompt else coder(prompt)

    l = opened(comments, FunctionModel(sometimes))  # noqa: E741
    with pytest.warns(UserWarning, match="1 requests could not be answered"):
        found = await l.map(Demand)
    assert found is not None
    assert found["doc_id"].tolist() == comments["doc_id"].tolist()
    assert found.index[found["subject"].isna()].tolist() == [1]
    assert found["urgency"].isna().tolist() == [row == 1 for row in range(12)]
    assert l.failures()["doc_ids"].tolist() == [("d01",)]
    assert l.usage()["step"].unique().tolist() == ["map"]


@pytest.mark.parametrize(
    ("form", "reply", "value"),
    [
        pytest.param({}, " A bus is late. ", "A bus is late.", id="text"),
        pytest.param({"schema": Literal["yes", "no"]}, '{"answer": "yes"}', "yes", id="literal"),
        pytest.param({"schema": list[str]}, '{"answer": ["a", "b"]}', ["a", "b"], id="list"),
        pytest.param({"regex": "yes|no"}, "no", "no", id="regex"),
        pytest.param(
            {"schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
            '{"n": 3}',
            {"n": 3},
            id="schema",
        ),
    ],
)
async def test_a_question_can_be_text(comments: pd.DataFrame, form: Any, reply: str, value: object) -> None:
    found = await opened(comments, FunctionModel(lambda _: reply)).map("Is somebody late?", **form)
    assert found is not None
    assert found["answer"].tolist() == [value] * 12


async def test_prompts_can_name_the_columns_of_the_documents(comments: pd.DataFrame) -> None:
    model = FunctionModel(lambda _: '{"answer": "yes"}')
    session = opened(comments, model)
    await session.map(
        "Is somebody late?",
        Literal["yes", "no"],
        prompt="{area}, {likes} likes: {text}\n{question}",
        system="Be exact.",
    )
    first = max(model.requests, key=lambda request: comments["text"][0] in request.prompt)
    assert first.prompt.startswith(
        f"North, 0 likes: {comments['text'][0]}\nIs somebody late?\n\nAnswer with one JSON"
    )
    assert first.system == "Be exact."

    def shouted(text: str, area: str, form: str) -> str:
        return f"{area}: {text.upper()} {form}"

    model.requests.clear()
    await session.map("Is somebody late?", Literal["yes", "no"], prompt=shouted)
    assert any(r.prompt.startswith("NORTH"[:1] + "orth: THE 40 BUS") for r in model.requests)


async def test_braces_in_documents_are_left_alone() -> None:
    df = pd.DataFrame({"doc_id": ["a"], "text": ["The {area} of {text} is {{odd}}"], "area": ["{likes}"]})
    model = FunctionModel(lambda _: "ok")
    await opened(df, model).map("Why?", prompt="{area}|{text}")
    assert model.prompts == ["{likes}|The {area} of {text} is {{odd}}"]


async def test_a_column_with_gaps_leaves_its_place_blank() -> None:
    df = pd.DataFrame({"doc_id": ["a", "b"], "text": ["Late.", "Dear."], "area": ["North", None]})
    df["likes"] = pd.array([3, None], dtype="Int64")
    df["seen"] = pd.to_datetime(["2024-05-01", None])
    model = FunctionModel(lambda _: "ok")
    await opened(df, model).map("Why?", prompt="{area}|{likes}|{seen}|{text}")
    assert sorted(model.prompts) == ["North|3|2024-05-01|Late.", "|||Dear."]


async def test_an_empty_answer_is_none(comments: pd.DataFrame) -> None:
    replies = FunctionModel(lambda prompt: "" if "Mill Lane" in prompt else "A bus is late.")
    session = opened(comments, replies)
    with pytest.warns(UserWarning, match="The answer is empty"):
        found = await session.map("What is this about?")
    assert found is not None
    assert found["answer"].isna().tolist() == [i == 4 for i in range(12)]
    assert session.failures()["kind"].tolist() == ["BadAnswer"]


async def test_answers_of_every_shape_are_plain_in_the_table(comments: pd.DataFrame) -> None:
    class Mood(BaseModel):
        stance: Stance
        words: list[str] = Field(default_factory=list)

    class Deep(BaseModel):
        """What is in this comment?"""

        moods: list[Mood]
        best: Mood | None = None
        tags: set[str] = Field(default_factory=set)
        counts: dict[Stance, int] = Field(default_factory=dict)
        pair: tuple[Stance, int] | None = None

    said = {
        "moods": [{"stance": "for"}],
        "tags": ["b", "a"],
        "counts": {"against": 2},
        "pair": ["for", 1],
    }
    found = await opened(comments, FunctionModel(lambda _: said)).map(Deep)
    assert found is not None
    assert found.loc[0, "moods"] == [{"stance": "for", "words": []}]
    assert found.loc[0, "best"] is None
    assert found.loc[0, "tags"] == ["a", "b"]
    assert found.loc[0, "counts"] == {"against": 2}
    assert found.loc[0, "pair"] == ["for", 1]
    json.dumps(found.loc[0, ["moods", "tags", "counts", "pair"]].tolist())


@dataclass
class Named:
    stance: Stance
    places: list[Stance]


class Subjects(RootModel[list[Literal["buses", "bikes"]]]):
    """Which subjects are named?"""


@pytest.mark.parametrize(
    ("arguments", "said", "cell"),
    [
        pytest.param((Subjects,), {"answer": ["bikes"]}, ["bikes"], id="one-value"),
        pytest.param(
            ("Who?", Named),
            {"stance": "for", "places": ["against"]},
            {"stance": "for", "places": ["against"]},
            id="dataclass",
        ),
    ],
)
async def test_an_answer_that_is_no_record_stands_in_one_cell(
    comments: pd.DataFrame, arguments: tuple[Any, ...], said: object, cell: object
) -> None:
    found = await opened(comments, FunctionModel(lambda _: said)).map(*arguments)
    assert found is not None
    assert found["answer"].tolist() == [cell] * 12


async def test_a_list_of_models_answers_in_order_and_leaves_the_local_engine_out(
    comments: pd.DataFrame,
) -> None:
    first, second = FunctionModel(lambda _: "no JSON", name="a"), FunctionModel(coder, name="b")
    with pytest.warns(UserWarning, match="going on with model 'b'"):
        found = await opened(comments, [first, "local", second]).map(Demand)
    assert found is not None
    assert found["subject"].notna().all()
    assert len(second.requests) == 12


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        pytest.param({"question": 3}, InputError, "needs a question", id="number"),
        pytest.param({"question": " "}, InputError, "needs a question", id="blank"),
        pytest.param({"question": Demand, "schema": list[str]}, InputError, "says itself", id="two-forms"),
        pytest.param({"question": "Why?", "prompt": "{txt}"}, UnknownName, "Did you mean 'text'", id="field"),
        pytest.param({"question": "Why?", "prompt": "Why?"}, PromptError, r"\{text\}", id="no-text"),
        pytest.param({"question": "Why?", "prompt": lambda text: 1}, PromptError, "as text", id="function"),
        pytest.param(
            {"question": "Why?", "prompt": "{text} {my area}"}, PromptError, "'my_area'", id="blank-in-name"
        ),
        pytest.param({"question": "Why?", "prefix": 5}, InputError, "must be text", id="prefix"),
        pytest.param({"question": "Why?", "params": {"x": 1}}, InputError, "no parameter", id="params"),
        pytest.param({"question": "Why?", "model": "opnai:gpt"}, UnknownName, "'openai'", id="model"),
        pytest.param({"question": "Why?", "model": "local"}, InputError, "questions of your own", id="local"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    comments: pd.DataFrame, arguments: dict[str, Any], error: type[Exception], told: str
) -> None:
    asked: list[str] = []

    async def fn(_: Model, prompt: str) -> str:
        asked.append(prompt)
        return "ok"

    frame = comments.assign(**{"my area": comments["area"]})
    with pytest.raises(error, match=told):
        await opened(frame, Model("m", None, fn, cost=0)).map(**arguments)
    assert asked == []


async def test_a_question_needs_a_docstring_and_columns_of_its_own(comments: pd.DataFrame) -> None:
    class Silent(BaseModel):
        area: str

    class Taken(BaseModel):
        """Where does this happen?"""

        area: str

    session = opened(comments, FunctionModel(lambda _: {"area": "Mill Lane"}))
    with pytest.raises(InputError, match="Silent asks nothing"):
        await session.map(Silent)
    with pytest.raises(InputError, match="column 'area' already"):
        await session.map(Taken)
    found = await session.map(Taken, prefix="found_")
    assert found is not None
    assert found["found_area"].tolist() == ["Mill Lane"] * 12
    assert found["area"].tolist() == comments["area"].tolist()


def test_the_synchronous_twin_asks_the_same(comments: pd.DataFrame) -> None:
    session = opened(comments, FunctionModel(coder))
    found = session.sync.map(Demand, df=comments.head(2))
    assert found is not None
    assert len(found) == 2


async def test_a_budget_ends_a_question_and_a_second_try_goes_on(
    comments: pd.DataFrame, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def fn(_: Model, prompt: str) -> Completion:
        asked.append(prompt)
        return Completion(json.dumps(coder(prompt)), 100, 100, "stop")

    model = Model("priced", None, fn, cost=(0.001, 0.001), concurrency=1)
    allow_paid_calls(True)
    try:
        session = opened(comments, model, budget=1.5, cache=tmp_path / "kept")
        with pytest.raises(BudgetReached), pytest.warns(UserWarning, match=r"\$1\.50 of the budget is left"):
            await session.map(Demand, confirm=False)
        assert 0 < len(asked) < 12
        session.budget = 100.0
        found = await session.map(Demand, confirm=False)
    finally:
        allow_paid_calls(False)
    assert found is not None
    assert found["subject"].notna().all()
    assert len(asked) == 12
    assert session.ledger.totals(step="map").usd == pytest.approx(0.2 * 12)


class Tagger(Solver):
    """Like a token classifier behind a server: answers with spans, reads no prompt."""

    name = "tagger"

    def can_solve(self, task_type: type[Task[Any]]) -> bool:
        return issubclass(task_type, MapDocument)

    def solve(self, tasks: Sequence[Task[Any]]) -> list[object]:
        return [{"lines": [word for word in task.texts[0].split() if word.isdigit()]} for task in tasks]


async def test_a_solver_can_answer_with_columns_of_its_own(comments: pd.DataFrame) -> None:
    found = await opened(comments, "local").map("Which lines are named?", model=Tagger())
    assert found is not None
    assert found["lines"][0] == ["40"]
    assert found["lines"][1] == []


async def test_a_local_session_keeps_the_replies_of_another_model(
    comments: pd.DataFrame, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def fn(_: Model, prompt: str) -> str:
        asked.append(prompt)
        return json.dumps(coder(prompt))

    for _ in range(2):
        session = opened(comments, "local", cache=tmp_path / "kept")
        found = await session.map(Demand, model=Model("m", None, fn, cost=0))
        assert found is not None
        assert found["subject"].notna().all()
    assert len(asked) == 12


async def test_a_cancelled_question_keeps_its_replies(comments: pd.DataFrame, tmp_path: Path) -> None:
    asked: list[str] = []
    third = asyncio.Event()

    async def fn(_: Model, prompt: str) -> str:
        asked.append(prompt)
        if len(asked) == 3:
            loop.call_soon_threadsafe(third.set)
            await asyncio.sleep(60)
        return json.dumps(coder(prompt))

    loop = asyncio.get_running_loop()
    model = Model("m", None, fn, cost=0, concurrency=1)
    session = opened(comments, model, cache=tmp_path / "kept", retry=RetryPolicy(attempts=1))
    work = asyncio.create_task(session.map(Demand))
    await third.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    found = await session.map(Demand)
    assert found is not None
    assert found["subject"].notna().all()
    assert len(asked) == 13
    assert not issubclass(asyncio.CancelledError, LloomError)
