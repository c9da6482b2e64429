"""The same words are the same in every form in which Unicode can write them."""

from __future__ import annotations

import unicodedata

import pandas as pd
import pytest

import text_lloom.workbench as wb
from text_lloom.analysis.layout import word_vectors
from text_lloom.analysis.slices import slice_documents
from text_lloom.corpus import Corpus
from text_lloom.local.words import tokenize
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


FRENCH = [
    ("Le tramway était bondé à Orléans", "Encore un tramway bondé ce matin", "Un tramway bondé, encore raté"),
    ("La bibliothèque ferme trop tôt", "Bibliothèque fermée le samedi", "Une bibliothèque fermée en été"),
    ("Le café du lycée est très cher", "Un café cher et mauvais", "Des prix élevés au café du lycée"),
]
HINDI = [
    ("बस बहुत देर से आई", "आज फिर बस देर से आई", "बस देर से चलती है"),
    ("सीटें बहुत गंदी थीं", "गंदी सीटें और टूटी खिड़की", "सीटें फिर गंदी मिलीं"),
    ("टिकट बहुत महँगा है", "महँगा टिकट कोई नहीं लेता", "टिकट का दाम बढ़ गया"),
]
VIETNAMESE = [
    ("Xe buýt lại đến trễ", "Xe buýt trễ nửa giờ", "Sáng nay xe buýt đến trễ"),
    ("Ghế ngồi quá bẩn", "Ghế bẩn và rách", "Hôm nay ghế vẫn bẩn"),
    ("Giá vé tăng quá cao", "Vé tăng giá mỗi năm", "Sinh viên không trả nổi giá vé"),
]


@pytest.mark.parametrize(
    ("groups", "name"), [(FRENCH, "Café"), (HINDI, "गंदी"), (VIETNAMESE, "Ghế")], ids=["fr", "hi", "vi"]
)
def test_the_local_engine_finds_the_same_in_composed_and_decomposed_text(
    groups: list[tuple[str, ...]], name: str
) -> None:
    texts = [f"{groups[i % 3][i // 3 % 3]}. {groups[i % 3][(i + 1) // 2 % 3]}." for i in range(36)]
    results = []
    for form in ("NFC", "NFD"):
        given = [unicodedata.normalize(form, text) for text in texts]
        df = pd.DataFrame({"id": range(len(given)), "text": given})
        session = wb.lloom(df, "text", "id", "local", "local", "local", "local", cache=False)
        session.sync.gen(debug=False, confirm=False)
        names = [concept.name for concept in session.concepts.values()]
        concept = session.concepts.add(name, f"Does the text mention {name}?")
        scores = session.sync.score(c_ids=[concept.id], confirm=False)
        assert all(shown in text for text, shown in zip(scores.text, scores.highlight, strict=True) if shown)
        assert set(scores.text) == set(given)
        results.append((names, scores.score.tolist(), sorted(map(bool, scores.highlight))))
    assert results[0] == results[1]
    assert 1.0 in results[0][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("सीटें गंदी थीं", ["सीटें", "गंदी", "थीं"]),
        ("இருக்கை அழுக்கு", ["இருக்கை", "அழுக்கு"]),
        ("বাস দেরিতে আসে", ["বাস", "দেরিতে", "আসে"]),
        ("مُتَأَخِّر جدا", ["مُتَأَخِّر", "جدا"]),
        ("de\u0301ja\u0300 vu", ["de\u0301ja\u0300", "vu"]),
    ],
    ids=["Hindi", "Tamil", "Bengali", "Arabic", "French"],
)
def test_marks_belong_to_their_word(text: str, words: list[str]) -> None:
    assert [text[token.start : token.end] for token in tokenize(text)] == words


def test_pairs_of_thai_characters_keep_their_marks() -> None:
    text = "ที่นั่ง"
    assert [text[token.start : token.end] for token in tokenize(text)] == ["ที่นั่", "นั่ง"]


def test_word_vectors_of_a_map_are_the_same_in_every_normal_form() -> None:
    texts = [text for group in (*FRENCH, *HINDI, *VIETNAMESE) for text in group]
    composed, decomposed = (
        word_vectors([unicodedata.normalize(form, text) for text in texts]) for form in ("NFC", "NFD")
    )
    assert composed.any()
    assert (composed == decomposed).all()


def test_values_that_differ_in_normal_form_alone_are_one_slice() -> None:
    towns = pd.DataFrame({"town": ["Orl\u00e9ans", "Orle\u0301ans", "Lyon"], "text": ["a b", "c d", "e f"]})
    corpus = Corpus.from_frame(towns, text_col="text")
    assert list(slice_documents(corpus, "town").labels) == ["Lyon", "Orl\u00e9ans"]
