"""The static matrix, cards and report: what a reader sees, and that text never becomes markup."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from text_lloom.analysis.slices import slice_documents
from text_lloom.concept import Concept
from text_lloom.corpus import Corpus
from text_lloom.errors import ColumnNotFound, FileProblem, InputError, UnknownName
from text_lloom.scores import Judgement, ScoreTable
from text_lloom.widget.report import StaticView, select_html, write_report

ROWS = [
    ("c1", "The bus was “late” again, so I missed my shift.", "Northgate", "2025-02-03"),
    ("c2", "Cycling is fine. Buses are late.", "Northgate", "2025-02-04"),
    ("c3", "More benches, please!", "Old Town", "2025-02-04"),
    ("c4", "مرحبا The last bus 🚌 leaves at seven & nobody knows why.", "Old Town", None),
]
SCORES = [1.0, 0.75, 0.0, 1.0]
HIGHLIGHTS = ['was "late" again', "Buses are late.", "", "leaves at seven & nobody"]

HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(1)>' {{ 7 * 7 }} &lt;b&gt; javascript:x"""

ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "span", "bdi", "a"),
    *("table", "thead", "tbody", "tr", "th", "td", "details", "summary", "article", "mark", "dl", "dt", "dd"),
    *("svg", "circle", "line"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "role", "tabindex", "dir", "href"),
    *("aria-label", "aria-hidden", "focusable", "scope", "rowspan", "colspan", "title"),
    *("viewbox", "width", "height", "r", "cx", "x1", "x2", "y1", "y2"),
}
VOID = {"meta"}


class Page(HTMLParser):
    """The elements, attributes and visible text of a page; fails on elements that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def radii(html: str) -> list[float]:
    """Radius of the circle of every cell of the matrix, 0 where none is drawn."""
    cells = re.findall(r"<td.*?</td>", html)
    found = [re.search(r'<circle r="([\d.]+)"', cell) for cell in cells]
    return [float(circle[1]) if circle else 0.0 for circle in found]


def figures(html: str) -> list[str]:
    return [unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?</td>", html)]


@pytest.fixture
def corpus() -> Corpus:
    frame = pd.DataFrame(ROWS, columns=["id", "text", "area", "sent"])
    return Corpus.from_frame(frame, text_col="text", id_col="id")


@pytest.fixture
def concepts() -> list[Concept]:
    return [
        Concept(
            "Late buses", "Does the text say that buses are late?", ["c1", "gone"], "They miss shifts.", True
        ),
        Concept("Praise", "Does the text praise something?"),
    ]


@pytest.fixture
def table(corpus: Corpus, concepts: list[Concept]) -> ScoreTable:
    table = ScoreTable(corpus)
    for document, score, highlight in zip(corpus, SCORES, HIGHLIGHTS, strict=True):
        table.put(concepts[0], document.id, Judgement(score, "The writer says so.", highlight))
        table.put(concepts[1], document.id, Judgement(0.0))
    return table


def report(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept], **options: object
) -> str:
    path = tmp_path / "report.html"
    fixed = {"title": "Bus survey", "corpus": corpus, "table": table, "concepts": concepts}
    assert write_report(path, **(fixed | options)) == path  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_the_matrix_shows_counts_of_all_and_of_each_slice(
    corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    view = StaticView(corpus, table, concepts, slice_documents(corpus, "area"))
    html = view._repr_html_()
    assert "4 documents, 2 concepts, match = score ≥ 1.0" in Page(html).text
    assert figures(html) == ["2", "1", "1", "0", "0", "0", "2", "1", "1"]
    heads = [th for th in Page(html).all("th") if th["scope"] == "col"]
    assert [th.get("title") for th in heads] == [None, None, "Northgate", "Old Town"]
    rows = [th["title"] for th in Page(html).all("th") if th["scope"] == "row"]
    assert rows[:2] == [concept.criteria for concept in concepts]


def test_the_area_of_a_circle_is_proportional_and_zero_draws_none(
    corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    view = StaticView(corpus, table, concepts, slice_documents(corpus, "area"), max_documents=0)
    late_all, late_north, _, praise_all, *_ = radii(view.html)
    assert late_all**2 / late_north**2 == pytest.approx(2, rel=1e-3)
    assert praise_all == 0


def test_shares_are_shown_in_per_cent(corpus: Corpus, table: ScoreTable, concepts: list[Concept]) -> None:
    slices = slice_documents(corpus, "area")
    by_slice = StaticView(corpus, table, concepts, slices, "slice", include_outliers=False).html
    assert figures(by_slice) == ["50%", "50%", "50%", "0%", "0%", "0%"]
    by_concept = StaticView(corpus, table, concepts, slices, "concept", include_outliers=False).html
    assert figures(by_concept) == ["2", "50%", "50%", "0", "–", "–"]


def test_a_rare_match_is_not_shown_as_none() -> None:
    corpus = Corpus.from_frame(pd.DataFrame({"text": ["The tram was full."] * 400}), text_col="text")
    concept, table = Concept("Full trams", "Is the tram full?"), ScoreTable(corpus)
    for i in range(400):
        table.put(concept, i, Judgement(1.0 if i == 7 else 0.0))
    assert figures(StaticView(corpus, table, [concept], norm_by="slice").html) == ["<1%", ">99%"]


def test_a_slice_called_all_is_a_column_of_its_own(table: ScoreTable, concepts: list[Concept]) -> None:
    frame = table.corpus.frame.assign(area=["All", "All", "x", "x"])
    corpus = Corpus.from_frame(frame, text_col="text", id_col="id")
    view = StaticView(corpus, table, concepts, slice_documents(corpus, "area"), include_outliers=False)
    assert figures(view.html)[:3] == ["2", "1", "1"]
    assert 'aria-label="All documents: 2 of 4 (50%)"' in view.html
    assert 'aria-label="All: 1 of 2 (50%)"' in view.html


def test_missing_scores_are_told_and_are_not_zeros(corpus: Corpus, table: ScoreTable) -> None:
    view = StaticView(corpus, table, [Concept("Noise", "Is it noisy?")])
    assert figures(view.html)[0] == "–"
    assert "4 scores of 4 are missing" in Page(view.html).text


def test_the_text_form_lists_the_concepts(corpus: Corpus, table: ScoreTable, concepts: list[Concept]) -> None:
    shown = repr(StaticView(corpus, table, concepts, slice_documents(corpus, "area")))
    assert "2 slices of 'area'" in shown
    assert re.search(r"2 +Late buses", shown)


def test_a_view_keeps_the_figures_of_its_moment(
    corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    view = StaticView(corpus, table, concepts)
    concepts[0].name = "Renamed"
    table.put(concepts[0], "c3", Judgement(1.0))
    assert "Renamed" not in view.html
    assert figures(view.html)[0] == "2"


def test_what_cannot_be_shown_is_refused(corpus: Corpus, table: ScoreTable, concepts: list[Concept]) -> None:
    with pytest.raises(ColumnNotFound, match="Did you mean 'area'"):
        StaticView(corpus, table, concepts, cols_to_show=["aera"])
    with pytest.raises(UnknownName, match="norm_by"):
        StaticView(corpus, table, concepts, norm_by="row")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_documents"):
        StaticView(corpus, table, concepts, max_documents=-1)


def test_the_report_marks_highlights_where_they_stand(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    html = report(tmp_path, corpus, table, concepts)
    assert "The bus <mark>was “late” again</mark>, so I missed my shift." in html
    assert "🚌 <mark>leaves at seven &amp; nobody</mark> knows why." in html
    assert "<mark>" not in report(tmp_path, corpus, table, concepts, show_highlights=False)


def test_a_quote_that_is_not_in_the_text_is_told(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    table.put(concepts[0], "c3", Judgement(1.0, "", "the trains were cancelled all week"))
    page = Page(report(tmp_path, corpus, table, concepts))
    assert "Quoted, but not found in the text: the trains were cancelled all week" in page.text


def test_the_report_tells_of_matches_near_misses_and_outliers(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    text = Page(
        report(
            tmp_path,
            corpus,
            table,
            concepts,
            slices=slice_documents(corpus, "area"),
            summary_lines=["Models: none", "Cost: 0.00 USD", "Read the documents."],
            cols_to_show=["sent"],
        )
    ).text
    order = ["Bus survey", "Models", "none", "Read the documents.", "Late buses", "They miss shifts."]
    order += ["Prevalence 50%, 95% interval 15% – 85% (2 of 4 scored documents)", "Representative examples"]
    order += [
        "Matching documents",
        "score 1.0",
        "c1",
        "area: Northgate",
        "sent: 2025-02-03",
        "The writer says so.",
    ]
    order += ["score 1.0", "c4", "sent: –", "Near misses", "score 0.75", "c2", "Praise"]
    order += ["2 documents of 4 scored match none of the concepts", "c2", "c3"]
    at = 0
    for piece in order:
        assert piece in text[at:], f"{piece!r} is missing or out of order"
        at = text.index(piece, at) + len(piece)


def test_matches_are_ordered_by_score_then_by_document(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    text = Page(report(tmp_path, corpus, table, concepts[:1], threshold=0.75, max_documents=2)).text
    assert "Matching documents, 2 of 3" in text
    listed = text[text.index("Matching documents") : text.index("Outliers")]
    assert re.findall(r"score [\d.]+\s*(c\d)", listed) == ["c1", "c4"]


def test_a_long_document_is_cut_around_its_highlight(tmp_path: Path) -> None:
    long = "Introduction words. " * 400 + "Here the tram was full of prams." + " Closing words follow." * 400
    corpus = Corpus.from_frame(pd.DataFrame({"text": [long]}), text_col="text")
    concept, table = Concept("Full trams", "Is the tram full?"), ScoreTable(corpus)
    table.put(concept, 0, Judgement(1.0, "", "the tram was full of prams"))
    html = report(tmp_path, corpus, table, [concept])
    assert "… " in html
    assert "<mark>the tram was full of prams</mark>. Closing" in html
    assert f"cut from {len(long):,} characters" in html
    assert len(Page(html).text) < 4000


def test_the_report_needs_no_network_and_no_script(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    html = report(tmp_path, corpus, table, concepts, slices=slice_documents(corpus, "area"))
    page = Page(html)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"https?://|@import|url\(", html)
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"] for link in page.all("a")} == {f"#{name}" for name in ids}


def test_only_our_own_elements_are_styled(corpus: Corpus, table: ScoreTable, concepts: list[Concept]) -> None:
    style = re.search(r"<style>(.*?)</style>", StaticView(corpus, table, concepts).html, re.S)
    assert style is not None
    selectors = re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media[^{]*\{", "", style[1]))
    for selector in ",".join(selectors).replace("}", "").split(","):
        assert selector.strip().startswith(".lloom-static"), selector


def test_hostile_text_stays_text_everywhere(tmp_path: Path) -> None:
    id_col, text_col, area = f"id {HOSTILE}", f"text {HOSTILE}", f"area {HOSTILE}"
    frame = pd.DataFrame(
        {
            id_col: [f"{HOSTILE}{i}" for i in range(4)],
            text_col: [f"{HOSTILE} the bus {HOSTILE}\x00\x1b {i}" for i in range(4)],
            area: [HOSTILE, f"{HOSTILE} two", "x", None],
        }
    )
    corpus = Corpus.from_frame(frame, text_col=text_col, id_col=id_col)
    concepts = [
        Concept(HOSTILE, HOSTILE, list(corpus.ids), HOSTILE, True, HOSTILE, id=HOSTILE),
        Concept(HOSTILE, f"{HOSTILE}?", [], HOSTILE),
    ]
    table = ScoreTable(corpus)
    for concept in concepts:
        for i, score in zip(corpus.ids, (1.0, 1.0, 0.75, 0.0), strict=True):
            quote = HOSTILE if score == 1 else f"{HOSTILE} which is nowhere in the text of this document"
            table.put(concept, i, Judgement(score, f"{HOSTILE} \ud83d", quote))
    slices = slice_documents(corpus, area)
    full = report(
        tmp_path,
        corpus,
        table,
        concepts,
        title=HOSTILE,
        slices=slices,
        summary_lines=[f"{HOSTILE}: {HOSTILE}", HOSTILE],
        cols_to_show=[area],
    )
    view = StaticView(corpus, table, concepts, slices, "slice", cols_to_show=[area]).html
    cards = select_html(concepts, corpus)._repr_html_()
    for html in (full, view, cards):
        page = Page(html)
        assert {tag for tag, _ in page.tags} <= ELEMENTS
        assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
        assert all((link["href"] or "").startswith("#") for link in page.all("a"))
        assert page.text.count(HOSTILE) >= 6
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", html)


def test_a_report_replaces_an_older_one_and_leaves_nothing_beside_it(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    report(tmp_path, corpus, table, concepts)
    assert "Second" in report(tmp_path, corpus, table, concepts, title="Second")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_says_where(
    tmp_path: Path, corpus: Corpus, table: ScoreTable, concepts: list[Concept]
) -> None:
    with pytest.raises(FileProblem, match="no_such_folder"):
        write_report(
            tmp_path / "no_such_folder" / "r.html", title="t", corpus=corpus, table=table, concepts=concepts
        )
    with pytest.raises(FileProblem):
        write_report(tmp_path, title="t", corpus=corpus, table=table, concepts=concepts)


def test_cards_show_examples_and_what_is_selected(corpus: Corpus, concepts: list[Concept]) -> None:
    cards = select_html(concepts, corpus)
    page = Page(cards._repr_html_())
    assert "2 concepts, 1 selected" in page.text
    assert ROWS[0][1] in page.text
    assert page.text.count("✓ selected") == 1
    assert repr(cards).splitlines()[1:] == ["  [x] Late buses", "  [ ] Praise"]


def test_nothing_scored_and_nothing_found_still_makes_a_report(tmp_path: Path, corpus: Corpus) -> None:
    table = ScoreTable(corpus)
    assert "0 concepts" in Page(report(tmp_path, corpus, table, [])).text
    assert "not scored" in Page(report(tmp_path, corpus, table, [Concept("Noise", "Is it noisy?")])).text
    assert "0 concepts, 0 selected" in select_html([], corpus)._repr_html_()
