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


def test_text_that_can_be_sent_is_let_through_at_once() -> None:
    """It is looked at for every prompt: replacing what is not there took a millisecond per document."""
    text = "Der 40er fährt über die Brücke – „wieder zu spät“. " * 20_000

    def seconds(of: object) -> float:
        began = time.perf_counter()
        assert of(text)  # type: ignore[operator]
        return time.perf_counter() - began

    encoding = min(seconds(str.encode) for _ in range(5))
    assert min(seconds(encodable) for _ in range(5)) < 20 * encoding
