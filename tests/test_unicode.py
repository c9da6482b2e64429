"""The same words are the same in every form in which Unicode can write them."""

from __future__ import annotations

import unicodedata

import pytest

from text_lloom.quotes import QuoteMatch, locate_quote

SAME_WORDS = [
    pytest.param(
        "Le métro était très en retard à Montréal. Sièges sales.",
        "le métro était très en retard",
        id="French",
    ),
    pytest.param("Xe buýt lại đến trễ sáng nay.", "Xe buýt lại đến trễ", id="Vietnamese"),
    pytest.param("버스가 또 늦게 왔습니다. 요금도 비쌉니다.", "버스가 또 늦게 왔습니다", id="Korean"),
    pytest.param("बस बहुत देर से आई और सीटें गंदी थीं।", "सीटें गंदी थीं", id="Hindi"),
    pytest.param("รถเมล์มาช้ามาก ที่นั่งสกปรก", "ที่นั่งสกปรก", id="Thai"),
    pytest.param("Η στάση ήταν βρώμικη. Πάλι αργά.", "η στάση ήταν βρώμικη", id="Greek"),
]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize(("document", "quote"), SAME_WORDS)
def test_a_quote_is_found_in_every_normal_form(document: str, quote: str, form: str) -> None:
    given = unicodedata.normalize(form, document)
    for claimed in (unicodedata.normalize("NFC", quote), unicodedata.normalize("NFD", quote)):
        located = locate_quote(claimed, given)
        assert located.match in (QuoteMatch.EXACT, QuoteMatch.NORMALISED)
        assert located.text == given[located.start : located.end]
        assert unicodedata.normalize("NFC", located.text).casefold() == unicodedata.normalize(
            "NFC", quote.casefold()
        )


@pytest.mark.parametrize(
    ("document", "quote", "found"),
    [
        pytest.param("Ja: ｂｕｓが遅れた。", "busが遅れた", "ｂｕｓが遅れた", id="full width"),
        pytest.param("駅のﾊﾞｽが遅い", "駅のバスが", "駅のﾊﾞｽが", id="half width"),
        pytest.param("The of\ufb01ce was shut.", "office was", "of\ufb01ce was", id="ligature"),
        pytest.param("Die Straße war zu.", "DIE STRASSE", "Die Straße", id="sharp s"),
        pytest.param("Yine İSTANBUL geç kaldı", "istanbul geç kaldi", "İSTANBUL geç kaldı", id="Turkish i"),
        pytest.param("كان البـــاص مُتَأَخِّرًا", "الباص متأخرا", "البـــاص مُتَأَخِّرًا", id="tatweel and vowel points"),
        pytest.param("שָׁלוֹם לכולם", "שלום לכולם", "שָׁלוֹם לכולם", id="Hebrew points"),
        pytest.param("The ser\u00advice was late", "service was", "ser\u00advice was", id="soft hyphen"),
        pytest.param("The ser\u200bvice was late", "service was", "ser\u200bvice was", id="zero-width space"),
        pytest.param("می\u200cخواهم بروم", "میخواهم بروم", "می\u200cخواهم بروم", id="non-joiner"),
        pytest.param("\u2067הקו 5\u2069 איחר", "הקו 5 איחר", "הקו 5\u2069 איחר", id="direction marks"),
    ],
)
def test_a_passage_is_as_the_document_has_it(document: str, quote: str, found: str) -> None:
    located = locate_quote(quote, document)
    assert (located.text, located.match) == (found, QuoteMatch.NORMALISED)
    assert document[located.start : located.end] == found


def test_a_passage_that_is_found_approximately_keeps_whole_words_of_indic_scripts() -> None:
    document = unicodedata.normalize("NFD", "बस बहुत देर से आई और सीटें गंदी थीं")
    located = locate_quote("बहूत देर से आई और सीटे", document)
    assert located.text == "बहुत देर से आई और सीटें"
