"""Quotes are found as the document has them, or said to be unverified."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text_lloom.quotes import QuoteMatch, encodable, locate_quote

DOCUMENT = (
    "“Never again,” she said — the  7:40\nwas late 🙄, and nobody\u00a0told us why… "
    "İstanbul is faster. Σίσυφος waits. مرحبا بالعالم. e\u0301t\u0301e {x} <b>bold</b> & \u200bmore"
)


@pytest.mark.parametrize(
    ("quote", "found", "match"),
    [
        pytest.param("was late 🙄", "was late 🙄", QuoteMatch.EXACT, id="exact"),
        pytest.param(
            '"Never again," she said', "“Never again,” she said", QuoteMatch.NORMALISED, id="quotation marks"
        ),
        pytest.param("the 7:40 was late", "the  7:40\nwas late", QuoteMatch.NORMALISED, id="white space"),
        pytest.param("said - the 7:40", "said — the  7:40", QuoteMatch.NORMALISED, id="dash"),
        pytest.param("NOBODY told us WHY", "nobody\u00a0told us why", QuoteMatch.NORMALISED, id="case"),
        pytest.param(
            "...nobody told us why...", "nobody\u00a0told us why", QuoteMatch.NORMALISED, id="ellipses"
        ),
        pytest.param(
            "is faster. Σίσυφος WAITS", "is faster. Σίσυφος waits", QuoteMatch.NORMALISED, id="after İ"
        ),
        pytest.param("مرحبا بالعالم", "مرحبا بالعالم", QuoteMatch.EXACT, id="right to left"),
        pytest.param("& more", "& \u200bmore", QuoteMatch.NORMALISED, id="invisible character"),
        pytest.param("{x} <b>bold</b>", "{x} <b>bold</b>", QuoteMatch.EXACT, id="markup"),
        pytest.param(
            "was late, and nobody told us",
            "was late 🙄, and nobody\u00a0told us",
            QuoteMatch.FUZZY,
            id="left out",
        ),
        pytest.param("The bus burned down yesterday", "", QuoteMatch.UNVERIFIED, id="invented"),
        pytest.param("  ", "", QuoteMatch.NONE, id="blank"),
    ],
)
def test_quote_is_located(quote: str, found: str, match: QuoteMatch) -> None:
    located = locate_quote(quote, DOCUMENT)
    assert (located.text, located.match) == (found, match)
    assert located.claimed == quote
    if found:
        assert DOCUMENT[located.start : located.end] == found


BUS_STOP = "We waited for forty minutes at the station, but the replacement bus never came to Millbrook."


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("waitd for forty minutes at the stati", "waited for forty minutes at the station"),
        ("aited for fourty minutes at the station", "waited for forty minutes at the station"),
        ("the replacment bus never came to Mill", "the replacement bus never came to Millbrook"),
        ("replacement buss never came to Millbrook.", "replacement bus never came to Millbrook."),
        ("We have waited for forty minutes at", "We waited for forty minutes at"),
    ],
    ids=["ends within a word", "begins within a word", "last word", "to the end", "from the beginning"],
)
def test_a_passage_that_is_found_approximately_has_whole_words(quote: str, found: str) -> None:
    located = locate_quote(quote, BUS_STOP)
    assert (located.text, located.match) == (found, QuoteMatch.FUZZY)
    assert BUS_STOP[located.start : located.end] == found


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("waited for oforty aminutes", "waited for forty minutes"),
        ("the raeeplacement bus", "the replacement bus"),
        ("station, but the replaciement", "station, but the replacement"),
        ("foru forty minutes at", "for forty minutes at"),
    ],
)
def test_letters_too_many_do_not_take_in_the_spaces_around(quote: str, found: str) -> None:
    located = locate_quote(quote, BUS_STOP)
    assert (located.text, located.match) == (found, QuoteMatch.FUZZY)
    assert BUS_STOP[located.start : located.end] == found


def test_words_at_the_ends_of_a_document_are_whole_too() -> None:
    document = "waited for forty minutes at the station"
    assert locate_quote("waitd for forty minutes at", document).text == "waited for forty minutes at"
    assert locate_quote("forty minuttes at the statio", document).text == "forty minutes at the station"
    assert locate_quote("aited for forti minutes", document).text == "waited for forty minutes"


@pytest.mark.parametrize(
    ("quote", "match"),
    [
        ("never cane to", QuoteMatch.FUZZY),
        ("never canes", QuoteMatch.UNVERIFIED),
        ("we walked for thirty minutes from the station", QuoteMatch.UNVERIFIED),
        (f"{BUS_STOP} And it rained all the while, too.", QuoteMatch.UNVERIFIED),
    ],
    ids=["twelve characters or more", "too short", "too different", "longer than the document"],
)
def test_only_near_quotes_are_found_approximately(quote: str, match: QuoteMatch) -> None:
    assert locate_quote(quote, BUS_STOP).match is match


@pytest.mark.parametrize(
    ("typed", "glyphs"),
    [
        ("'", "\u2018\u2019\u201a\u201b\u2032\u00b4`"),
        ('"', "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033"),
        ("-", "\u2010\u2011\u2012\u2013\u2014"),
    ],
    ids=["apostrophes", "quotation marks", "dashes"],
)
def test_each_glyph_is_as_good_as_the_one_on_the_keyboard(typed: str, glyphs: str) -> None:
    for glyph in glyphs:
        located = locate_quote(f"bus{typed}stop", f"at the bus{glyph}stop")
        assert (located.text, located.match) == (f"bus{glyph}stop", QuoteMatch.NORMALISED)


@pytest.mark.parametrize("char", "\u200b\u200c\u200d\u2060\ufeff\u00ad", ids=ascii)
def test_characters_that_nobody_sees_do_not_matter(char: str) -> None:
    assert locate_quote("the bus stop", f"at the bus{char} stop").text == f"the bus{char} stop"


def test_half_an_emoji_is_found_as_what_could_be_sent_of_it() -> None:
    """A model is sent, and quotes, a replacement character in its place."""
    for half in "\ud83d\ud800\udfff":
        located = locate_quote("late \ufffd again", f"It was late {half} again.")
        assert (located.text, located.match) == (f"late {half} again", QuoteMatch.NORMALISED)


@pytest.mark.parametrize(
    ("quote", "found", "match"),
    [
        ("  was late ", "was late", QuoteMatch.EXACT),
        ("'the bus was late'", "the bus was late", QuoteMatch.NORMALISED),
        ("…was late.", "was late", QuoteMatch.NORMALISED),
        ("«the bus was late»", "the bus was late", QuoteMatch.NORMALISED),
        ("was late\n\n and nobody", "was late and nobody", QuoteMatch.NORMALISED),
        ("...", "", QuoteMatch.UNVERIFIED),
        ("", "", QuoteMatch.NONE),
    ],
    ids=["spaces", "in quotes", "cut off", "guillemets", "line break", "nothing but dots", "empty"],
)
def test_what_surrounds_a_quote_is_ignored(quote: str, found: str, match: QuoteMatch) -> None:
    located = locate_quote(quote, "  On Monday the bus was late and nobody told us")
    assert (located.text, located.match, located.claimed) == (found, match, quote)
    if not found:
        assert (located.start, located.end) == (-1, -1)


def test_the_first_of_several_places_counts() -> None:
    document = "Late again. The bus was late again, and late again tomorrow."
    assert locate_quote("late again", document).start == document.index("late again")
    assert locate_quote("LATE AGAIN", document).start == 0


@given(st.text(max_size=200), st.data())
def test_any_part_of_a_document_is_found_whatever_its_typography(document: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(document)))
    end = data.draw(st.integers(start, len(document)))
    part = document[start:end]
    located = locate_quote(part.replace(" ", "\n").replace("'", "’"), document)
    if part.strip():
        assert located.match in (QuoteMatch.EXACT, QuoteMatch.NORMALISED)
        assert document[located.start : located.end] == located.text
    else:
        assert located.match is QuoteMatch.NONE


@given(st.text(max_size=120), st.text(max_size=400))
def test_what_is_located_is_always_part_of_the_document(quote: str, document: str) -> None:
    located = locate_quote(quote, document)
    assert located.text in document
    assert (located.start >= 0) == bool(located.text)


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_text_can_be_sent_and_is_changed_only_where_it_could_not(text: str) -> None:
    sent = encodable(text)
    assert sent.encode().decode() == sent
    assert sent == "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


def test_only_what_cannot_be_sent_is_replaced() -> None:
    assert encodable("late \ud83d\udfff \ue000\ud7ff 🚌") == "late \ufffd\ufffd \ue000\ud7ff 🚌"


def test_text_that_can_be_sent_is_let_through_at_once() -> None:
    """It is looked at for every prompt: replacing what is not there took a millisecond per document."""
    text = "Der 40er fährt über die Brücke – „wieder zu spät“. " * 20_000

    def seconds(of: object) -> float:
        began = time.perf_counter()
        assert of(text)  # type: ignore[operator]
        return time.perf_counter() - began

    encoding = min(seconds(str.encode) for _ in range(5))
    assert min(seconds(encodable) for _ in range(5)) < 20 * encoding
