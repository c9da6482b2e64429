"""What a session says of a forgotten `await`, of unknown concepts and of wrong arguments."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable

import pandas as pd
import pytest

import text_lloom.workbench as wb
from text_lloom.concept import Codebook
from text_lloom.errors import InputError, UnknownConcept


@pytest.fixture
def session(comments: pd.DataFrame) -> wb.lloom:
    made = wb.lloom(comments, "text", "doc_id", "local", "local", "local", "local")
    made.concepts.add("Late buses", "Does the text say that buses run late?")
    made.concepts.add("Kind drivers", "Does the text praise a driver?")
    return made


# --- a coroutine that nobody awaited --------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb",
    [
        lambda session: session.summary(verbose=False),
        lambda session: session.failures(),
        lambda session: session.change_criteria("Late buses", "Is a bus late?"),
        lambda session: session.sync.score(),
        lambda session: asyncio.run(session.score()),
    ],
)
def test_a_call_that_was_not_awaited_is_named_by_the_next_one(
    session: wb.lloom,
    verb: Callable[[wb.lloom], object],
) -> None:
    forgotten = session.gen(seed="buses")
    with pytest.warns(
        UserWarning, match=r"An earlier l\.gen\(…\) was not awaited.*await l\.gen.*l\.sync\.gen"
    ):
        verb(session)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verb(session)  # once is enough
    forgotten.close()


def test_each_forgotten_call_is_named(session: wb.lloom) -> None:
    forgotten = [session.score(), session.map("Which bus?")]
    with pytest.warns(UserWarning, match="not awaited") as told:
        session.usage()
    assert [str(one.message)[:22] for one in told] == ["An earlier l.score(…) ", "An earlier l.map(…) wa"]
    for one in forgotten:
        one.close()


async def test_calls_that_begin_later_or_together_are_not_forgotten(session: wb.lloom) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await asyncio.gather(session.score(), session.score(["Late buses"]))
        task = asyncio.create_task(session.score(score_all=True))
        session.usage()
        await task
        works = [session.score(), session.score()]
        for work in works:
            await work


def test_a_method_that_asks_models_is_still_known_as_one_to_await(session: wb.lloom) -> None:
    assert inspect.signature(session.score).parameters["batch_size"].default == 1
    work = session.score()
    assert asyncio.iscoroutine(work)
    assert work.__qualname__ == "lloom.score"
    work.close()


# --- names in messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda session: session.merge(["Late buses", "Kind drivers"], title="x"), r"lloom\.merge\(\)"),
        (lambda session: session.gen(sead="x"), r"lloom\.gen\(\)"),
        (lambda session: session.vis(slice="x"), r"lloom\.vis\(\)"),
        (
            lambda session: session.sync.gen(sead="x"),
            r"l\.sync\.gen\(\): got an unexpected keyword argument 'sead'",
        ),
        (
            lambda session: session.sync.add("Late"),
            r"l\.sync\.add\(\): missing a required argument: 'prompt'",
        ),
    ],
)
def test_pythons_own_messages_name_the_method_that_was_called(
    session: wb.lloom,
    call: Callable[[wb.lloom], object],
    said: str,
) -> None:
    with pytest.raises(TypeError, match=said):
        call(session)


# --- concepts by name ---------------------------------------------------------------------------------------


def test_a_concept_is_found_by_name_and_by_id(session: wb.lloom) -> None:
    late = session.concepts["Late buses"]
    assert (
        session.concepts[late.id]
        is late
        is session.concepts.find("Late buses")
        is session.concepts.get("Late buses")
    )
    assert "Late buses" in session.concepts
    assert late.id in session.concepts
    assert "Late" not in session.concepts
    assert session.concepts.get("Late") is None


def test_a_name_that_is_not_there_gets_the_nearest(session: wb.lloom) -> None:
    with pytest.raises(UnknownConcept, match=r"^Unknown concept 'Late busses'\. Did you mean 'Late buses'\?"):
        session.concepts["Late busses"]
    with pytest.raises(KeyError):
        session.concepts["Late busses"]
    with pytest.raises(UnknownConcept, match="Did you mean 'Kind drivers'"):
        session.merge(["Late buses", "Kind driver"])


def test_a_name_that_several_have_asks_for_the_id() -> None:
    book = Codebook()
    first, second = book.add("Fares", "Is the fare too high?"), book.add("Fares", "Is the fare fair?")
    with pytest.raises(InputError, match=f"2 concepts are called 'Fares'.*{first.id}, {second.id}"):
        book["Fares"]
    assert book[second.id] is second
    assert book.named("Fares") == [first, second]


def test_every_change_of_a_codebook_takes_names() -> None:
    book = Codebook()
    late = book.add("Late buses", "Late?")
    book.add("Crowded buses", "Crowded?")
    book.rename("Late buses", "Lateness")
    book.edit("Lateness", "Do buses run late?")
    assert book[late.id].criteria == "Do buses run late?"
    with pytest.raises(InputError, match="at least two different concepts, but got 1"):
        book.merge(["Lateness", late.id])
    book.split("Lateness", [("Late", "Late?"), ("Early", "Early?")])
    merged = book.merge(["Late", "Early"])
    assert [one.name for one in book.remove_all([merged.id, "Late", "Crowded buses"])] == [
        "Late",
        "Crowded buses",
    ]
    assert not book


# --- what is shown of an object -------------------------------------------------------------------------


def test_what_is_shown_of_an_object_is_short(session: wb.lloom) -> None:
    session.sync.score()
    for n in range(40):
        session.concepts.add(f"Concept number {n}", "Does the text mention it?")
    shown = [
        session,
        session.sync,
        session.corpus,
        session.table,
        session.concepts,
        session.concepts.events[0],
        session.ledger,
        session.estimate_score_cost(),
    ]
    for one in shown:
        assert 0 < len(repr(one)) < 300
        assert " object at 0x" not in repr(one)
    assert repr(session.corpus).startswith(f"<Corpus: {len(session.corpus)} documents in column 'text'")
    assert "and 32 more" in repr(session.concepts)
    assert repr(session.concepts.events[0]) == "<Event: add 'Late buses'>"


def test_code_that_does_not_await_has_all_verbs_that_edit(session: wb.lloom) -> None:
    session.sync.rename("Late buses", "Lateness")
    session.sync.change_criteria("Lateness", "Is a bus late?")
    session.sync.merge(["Lateness", "Kind drivers"])
    session.sync.undo()
    assert [one.name for one in session.concepts.values()] == ["Lateness", "Kind drivers"]
