"""How the local engine reads text: sentences, clauses, words and what it knows of them."""

from __future__ import annotations

import gc
import time

import pytest

from text_lloom.local.naming import criterion, fitness, title
from text_lloom.local.reading import Reader
from text_lloom.local.sentences import split_clauses, split_long, split_sentences
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.local.words import key_of, root_of, tokenize
from text_lloom.quotes import Span


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "Dr. Okafor waited 2.5 hours at St. Mary's. Nobody came!",
            ["Dr. Okafor waited 2.5 hours at St. Mary's.", "Nobody came!"],
            id="abbreviations-and-decimals",
        ),
        pytest.param(
            "The bus was late, e.g. on Monday. it always is",
            ["The bus was late, e.g. on Monday.", "it always is"],
            id="lower-case-start",
        ),
        pytest.param(
            "See https://example.org/a.b?c=D. for the map. Thanks",
            ["See https://example.org/a.b?c=D. for the map.", "Thanks"],
            id="link",
        ),
        pytest.param(
            "📈 9,000 jobs added 📉 Rents down 3.5% 📈 Wages up",
            ["📈 9,000 jobs added", "📉 Rents down 3.5%", "📈 Wages up"],
            id="emoji-as-bullets",
        ),
        pytest.param("what a day 😀 Going home", ["what a day 😀", "Going home"], id="emoji-ends-sentence"),
        pytest.param("no full stop here", ["no full stop here"], id="no-punctuation"),
        pytest.param("Pros:\n- cheap\n- quiet", ["Pros:", "- cheap", "- quiet"], id="list"),
        pytest.param(
            "We study how people who share a small office agree on the\ntemperature. It is hard.",
            ["We study how people who share a small office agree on the\ntemperature.", "It is hard."],
            id="wrapped-lines",
        ),
        pytest.param(
            "Boxes can be moved.Lines cannot.", ["Boxes can be moved.", "Lines cannot."], id="glued"
        ),
        pytest.param("公交车晚点了。司机没有道歉！", ["公交车晚点了。", "司机没有道歉！"], id="chinese"),
        pytest.param("الحافلة متأخرة. هل من أحد؟ لا", ["الحافلة متأخرة.", "هل من أحد؟", "لا"], id="arabic"),
        pytest.param("", [], id="empty"),
        pytest.param(" \n\t ", [], id="blank"),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentences_cover_all_that_is_not_white_space() -> None:
    text = 'So... it broke (again!). "Why?" she asked — why?\n\n1. Call them\n2. Wait 😡😡 Then call'
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_clauses_end_at_punctuation_and_conjunctions() -> None:
    text = "The lift was broken, so I carried the pram because nobody helped"
    pieces = [text[a:b] for a, b in split_clauses(text, Span(0, len(text)))]
    assert pieces == ["The lift was broken", "so I carried the pram", "because nobody helped"]


@pytest.mark.parametrize(
    "text", ["so it goes, " * 60, "word " * 200, "x" * 900], ids=["clauses", "no-clauses", "no-spaces"]
)
def test_long_sentences_are_cut_into_pieces_that_fit(text: str) -> None:
    pieces = split_long(text, Span(0, len(text)), limit=100)
    assert all(0 < end - start <= 100 for start, end in pieces)
    assert "".join(text[a:b] for a, b in pieces).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        " " * 200_000,
        "." * 200_000,
        "😀" * 200_000,
        "a" * 200_000,
        "(" * 200_000,
        "a, " * 66_000,
        "\n" * 200_000,
        "<a" * 100_000,
        "@" * 200_000,
        "no stop at all " * 13_000,
        "中" * 200_000,
        "One. Two. " * 20_000,
    ],
    ids=[
        "spaces",
        "dots",
        "emoji",
        "one-word",
        "brackets",
        "commas",
        "lines",
        "tags",
        "at",
        "words",
        "han",
        "short",
    ],
)
def test_reading_200_kilobytes_is_fast(text: str) -> None:
    """Ten times the text takes ten times as long; what looks back at all of it would take a hundred times."""

    def seconds(text: str) -> float:
        gc.disable()  # what other tests left would be looked through, too
        try:
            began = time.process_time()
            reading = Reader()(text)
            for sentence in reading.sentences[:100]:
                split_clauses(text, Span(sentence.start, sentence.end))
            return time.process_time() - began
        finally:
            gc.enable()

    tenth = text[: len(text) // 10]
    assert min(seconds(text) for _ in range(2)) < 30 * max(0.005, min(seconds(tenth) for _ in range(5)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("buses", "bus"),
        ("Policies", "policy"),
        ("driving", "drives"),
        ("caring", "cares"),
        ("stopped", "stop"),
        ("women's", "woman"),
        ("controlled", "controls"),
        ("classes", "class"),
        ("rated", "rates"),
        ("ﬁelds", "field"),
    ],
    ids=lambda word: word,
)
def test_inflected_forms_share_a_key(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("caring", "car"), ("news", "new"), ("policy", "police"), ("bus", "bush"), ("late", "lately")],
)
def test_different_words_keep_different_keys(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize(("one", "other"), [("criticize", "criticism"), ("government", "governing")])
def test_derived_words_share_a_root(one: str, other: str) -> None:
    assert root_of(key_of(one)) == root_of(key_of(other))


def test_noise_is_not_content() -> None:
    text = "@ana www.shop.example/x <b>Great</b> &amp; cheap, write to a.b@mail.example #BigBus 42 20k"
    shown = [text[t.start : t.end] for t in tokenize(text) if t.content]
    assert shown == ["Great", "cheap", "write", "Big", "Bus"]


def test_function_words_of_the_language_of_the_text() -> None:
    text = "Der Bus kommt nicht, weil die Fahrer und die Stadt sich streiten"
    content = [text[t.start : t.end] for t in tokenize(text) if t.content]
    assert content == ["Bus", "kommt", "Fahrer", "Stadt", "streiten"]


COMMENTS = [
    "The night bus is always late and the driver never apologises.",
    "Night buses should run until three, the NHS staff need them.",
    "I waited for the night bus with two NHS nurses.",
    "Cycling on the main road is dangerous because of parked vans.",
    "The main road needs a cycle lane, parked vans block everything.",
    "They built a park near the river and my kids love it.",
]


def test_statistics_know_forms_and_phrases() -> None:
    statistics = CorpusStatistics(Reader().all(COMMENTS))
    assert statistics.document_frequency[key_of("buses")] == 3
    assert statistics.surface(key_of("nhs")) == "NHS"
    assert statistics.phrase_surface("night bus") == "night bus"
    assert statistics.idf(key_of("night")) < statistics.idf(key_of("river"))
    assert fitness("night bus", statistics) > fitness("always late", statistics)
    assert fitness("the bus", statistics) == fitness("of", statistics) == 0.0


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("cost of living", "Cost of Living"),
        ("NHS funding", "NHS Funding"),
        ("night buses and shifts", "Night Buses and Shifts"),
        ("covid-19 tests", "Covid-19 Tests"),
    ],
)
def test_title_case(phrase: str, name: str) -> None:
    assert title(phrase) == name


def test_criterion_is_one_question() -> None:
    assert (
        criterion("late buses", ["timetable", "late", "driver", "wait"])
        == "Does the text discuss late buses, in terms such as timetable, driver or wait?"
    )
    assert criterion("late buses", []) == "Does the text discuss late buses?"
