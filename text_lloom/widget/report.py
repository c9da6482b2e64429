"""Static views without JavaScript: the concept matrix, the concept cards, the report as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cache, cached_property
from math import floor, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from text_lloom.analysis.prevalence import ConceptCount, NormBy, SliceCounts, count_by_slice, count_matches
from text_lloom.errors import ColumnNotFound, FileProblem, InputError
from text_lloom.quotes import locate_quote
from text_lloom.scores import OUTLIER_CRITERIA, OUTLIER_NAME

if TYPE_CHECKING:
    from jinja2 import Environment

    from text_lloom.analysis.slices import Slices
    from text_lloom.concept import Concept
    from text_lloom.corpus import Corpus
    from text_lloom.scores import ScoreTable

__all__ = ["StaticSelect", "StaticView", "select_html", "write_report"]

_LARGEST_RADIUS: Final = 13.0
_NEAR_MISS: Final = 0.5
_MOST_NEAR_MISSES: Final = 5
_MOST_EXAMPLES: Final = 5
_EXAMPLES_ON_A_CARD: Final = 3
_LONGEST_TEXT: Final = 1500
_LONGEST_EXAMPLE: Final = 400
_LONGEST_ON_A_CARD: Final = 180
_LONGEST_VALUE: Final = 120
_UNPRINTABLE: Final = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ud800-\\udfff]")
_MEASURES: Final = {
    None: "Circles and figures: documents that match.",
    "slice": "Circles and figures: share of a slice's scored documents that match.",
    "concept": "Circles and figures: share of a concept's matches that lie in each slice; "
    "under All, the number of matches, to a scale of its own.",
}


class _Figure(NamedTuple):
    """One cell of the matrix: its counts, the value shown, and the circle's radius in px (0 = no circle)."""

    n: int
    n_scored: int
    value: float
    radius: float


class _MatrixRow(NamedTuple):
    """A concept or the outliers: the figure of all documents, then one per slice."""

    name: str
    criteria: str
    figures: list[_Figure]


class _Passage(NamedTuple):
    """A document's text around its highlight, whole unless it is long."""

    before: str
    quote: str
    after: str
    length: int
    cut_front: bool
    cut_back: bool
    not_found: str


class _ShownDocument(NamedTuple):
    """One document in a list."""

    id: Hashable
    score: float
    passage: _Passage
    rationale: str
    fields: list[tuple[str, str]]


class _Section(NamedTuple):
    """What is shown about one concept."""

    prevalence: ConceptCount
    examples: list[_Passage]
    matching: list[_ShownDocument]
    near: list[_ShownDocument]
    n_near: int


class StaticView:
    """The matrix of concepts and slices, and the documents behind it, as HTML for a notebook.

    Its figures, in `counts`, are those of the moment at which it was created.

    Args:
        corpus: The documents.
        table: Their scores.
        concepts: Rows of the matrix, in order.
        slices: Columns of the matrix beside that of all documents, from `slice_documents`.
        norm_by: What a circle shows: matching documents (`None`), the share of the concept's matches
            (`concept`), or the share of the slice's documents (`slice`).
        threshold: The lowest score that is a match.
        show_highlights: Mark the passage that shows the concept in each document.
        cols_to_show: Metadata columns to show with each document.
        include_outliers: Add a row for the documents that match none of the concepts.
        max_documents: The most documents listed for each concept, 0 for the matrix alone.

    Raises:
        ColumnNotFound: When `cols_to_show` names a column that the frame does not have.
        UnknownName: When `norm_by` is neither `concept`, `slice` nor `None`.
        InputError: When `threshold` or `max_documents` is out of range.
    """

    def __init__(
        self,
        corpus: Corpus,
        table: ScoreTable,
        concepts: Sequence[Concept],
        slices: Slices | None = None,
        norm_by: NormBy | None = None,
        threshold: float = 1.0,
        show_highlights: bool = True,
        cols_to_show: Sequence[str] = (),
        *,
        include_outliers: bool = True,
        max_documents: int = 5,
    ) -> None:
        concepts = [replace(concept) for concept in concepts]
        self.counts = count_by_slice(
            table, concepts, slices, threshold=threshold, include_outliers=include_outliers
        )
        self.norm_by: NormBy | None = norm_by
        self._matrix = _matrix(self.counts, norm_by)
        reader = _Reader(corpus, table, threshold, max_documents, show_highlights, slices, cols_to_show)
        self._sections = reader.sections(concepts) if max_documents else []

    @cached_property
    def html(self) -> str:
        """The view as an HTML fragment with its style; all texts are escaped."""
        return _render("view.html", matrix=self._matrix, sections=self._sections, links=False)

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        slices = self.counts.slices
        by = f", {len(slices)} slices of {slices.column!r}" if slices is not None else ""
        totals = self.counts.concept_totals.tolist()
        rows = [f"  {n:>6,}  {c.name}" for n, c in zip(totals, self.counts.concepts, strict=True)]
        return "\n".join([f"<StaticView: {self._matrix['heading']}{by}>", *rows])


class StaticSelect:
    """Concepts as cards: name, criterion, examples, and whether the concept is selected."""

    def __init__(self, concepts: Sequence[Concept], corpus: Corpus) -> None:
        self._cards = [
            (replace(c), _examples(c, corpus, _EXAMPLES_ON_A_CARD, _LONGEST_ON_A_CARD)) for c in concepts
        ]
        n_active = sum(concept.active for concept in concepts)
        self._heading = f"{_plural(len(self._cards), 'concept')}, {n_active:,} selected"

    @cached_property
    def html(self) -> str:
        """The cards as an HTML fragment with its style; all texts are escaped."""
        return _render("select.html", cards=self._cards, heading=self._heading)

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        rows = [f"  [{'x' if concept.active else ' '}] {concept.name}" for concept, _ in self._cards]
        return "\n".join([f"<StaticSelect: {self._heading}>", *rows])


def select_html(concepts: Sequence[Concept], corpus: Corpus) -> StaticSelect:
    """The concepts as cards for a notebook without a widget.

    Args:
        concepts: Which concepts, in which order; those with `active` are marked.
        corpus: The documents, for up to three examples on each card.
    """
    return StaticSelect(concepts, corpus)


def write_report(
    path: str | Path,
    *,
    title: str,
    corpus: Corpus,
    table: ScoreTable,
    concepts: Sequence[Concept],
    slices: Slices | None = None,
    summary_lines: Sequence[str] = (),
    max_documents: int = 50,
    norm_by: NormBy | None = None,
    threshold: float = 1.0,
    show_highlights: bool = True,
    cols_to_show: Sequence[str] = (),
) -> Path:
    """Write the scored concepts as one HTML file that needs no network, script or kernel.

    Args:
        path: The file to write; an existing file is replaced once the new one is complete.
        title: Heading of the report.
        corpus: The documents.
        table: Their scores.
        concepts: Which concepts, in which order.
        slices: Columns of the matrix, from `slice_documents`.
        summary_lines: Lines at the top, such as `Models: …` or `Cost: …`; the text before the first colon
            is the label of the line.
        max_documents: The most matching documents listed for a concept, highest score first, and the most
            outliers.
        norm_by: As in `StaticView`.
        threshold: The lowest score that is a match. Near misses score at least .5, but less than this.
        show_highlights: Mark the passage that shows the concept.
        cols_to_show: Metadata columns to show with each document.

    Returns:
        The path of the file.

    Raises:
        FileProblem: When the file cannot be written.
        ColumnNotFound: When `cols_to_show` names a column that the frame does not have.
        InputError: When `threshold`, `norm_by` or `max_documents` is out of range.
    """
    counts = count_by_slice(table, concepts, slices, threshold=threshold)
    reader = _Reader(corpus, table, threshold, max_documents, show_highlights, slices, cols_to_show)
    page = _render(
        "report.html",
        title=title,
        summary=[line.partition(": ") for line in summary_lines],
        matrix=_matrix(counts, norm_by),
        sections=reader.sections(concepts),
        outliers=reader.outliers(concepts),
        n_outliers=counts.outliers.total if counts.outliers else 0,
        n_outlier_scored=counts.outliers.total_scored if counts.outliers else 0,
        links=True,
    )
    return _write(Path(path).expanduser(), page)


class _Reader:
    """Picks the documents to show and cuts their texts."""

    def __init__(
        self,
        corpus: Corpus,
        table: ScoreTable,
        threshold: float,
        most: int,
        show_highlights: bool,
        slices: Slices | None,
        cols_to_show: Sequence[str],
    ) -> None:
        if most < 0:
            raise InputError(f"max_documents={most!r} must be at least 0.")
        if isinstance(cols_to_show, str):
            raise InputError(
                f"cols_to_show={cols_to_show!r} must be a list: cols_to_show=[{cols_to_show!r}]."
            )
        for column in cols_to_show:
            if column not in corpus.frame.columns:
                raise ColumnNotFound(column, list(corpus.frame.columns), role="cols_to_show")
        sliced = [slices.column] if slices is not None and slices.column in corpus.metadata_cols else []
        apart = {corpus.id_col, corpus.text_col}
        self._columns = [c for c in dict.fromkeys([*sliced, *cols_to_show]) if c not in apart]
        self._corpus, self._table = corpus, table
        self._threshold, self._most, self._show_highlights = threshold, most, show_highlights

    def sections(self, concepts: Sequence[Concept]) -> list[_Section]:
        return [self._section(c) for c in count_matches(self._table, concepts, threshold=self._threshold)]

    def outliers(self, concepts: Sequence[Concept]) -> list[_ShownDocument]:
        rows = np.flatnonzero(self._table.outliers(concepts, threshold=self._threshold))
        return [self._document(row, float("nan")) for row in rows[: self._most].tolist()]

    def _section(self, count: ConceptCount) -> _Section:
        concept, scores = count.concept, self._table.scores(count.concept)
        rationales = self._table.rationales(concept)
        highlights = self._table.highlights(concept) if self._show_highlights else [""] * len(scores)
        near = (scores >= _NEAR_MISS) & (scores < self._threshold)

        def documents(chosen: np.typing.NDArray[np.bool_], most: int) -> list[_ShownDocument]:
            rows = np.flatnonzero(chosen)
            best = rows[np.argsort(-scores[rows], kind="stable")][:most].tolist()
            return [self._document(row, float(scores[row]), highlights[row], rationales[row]) for row in best]

        return _Section(
            count,
            _examples(concept, self._corpus, _MOST_EXAMPLES, _LONGEST_EXAMPLE),
            documents(scores >= self._threshold, self._most),
            documents(near, min(_MOST_NEAR_MISSES, self._most)),
            int(near.sum()),
        )

    def _document(self, row: int, score: float, highlight: str = "", rationale: str = "") -> _ShownDocument:
        import pandas as pd

        fields = []
        for column in self._columns:
            value = self._corpus.frame[column].iloc[row]
            gone = pd.api.types.is_scalar(value) and pd.isna(value)
            shown = "–" if gone else str(value).removesuffix(" 00:00:00")
            fields.append((str(column), _clip(shown, _LONGEST_VALUE)))
        passage = _passage(self._corpus.texts[row], highlight, _LONGEST_TEXT)
        return _ShownDocument(self._corpus.ids[row], score, passage, rationale, fields)


def _matrix(counts: SliceCounts, norm_by: NormBy | None) -> dict[str, Any]:
    """The variables of the matrix template.

    All circles have the same scale, so that any two can be compared. There are two exceptions with a scale
    of their own: the counts of all documents if the rest are shares of a concept, and outliers so many
    that all other circles would be too small to see.
    """
    heads = [(concept.name, concept.criteria) for concept in counts.concepts]
    if counts.outliers is not None:
        heads.append((OUTLIER_NAME, OUTLIER_CRITERIA))
    matches, scored, values = counts.grid(norm_by)
    n, k = counts.n_documents, len(counts.concepts)
    radii, outliers_apart = np.zeros_like(values), False
    for columns in [slice(1), slice(1, None)] if norm_by == "concept" else [slice(None)]:
        largest = np.nanmax(values[:k, columns], initial=0.0)
        most_outlying = np.nanmax(values[k:, columns], initial=0.0)
        outliers_apart |= bool(most_outlying > largest > 0)
        for part, whole in ((slice(k), largest), (slice(k, None), max(largest, most_outlying))):
            shares = np.nan_to_num(values[part, columns]) / (whole or 1.0)
            radii[part, columns] = _LARGEST_RADIUS * np.sqrt(shares)
    rows = [
        _MatrixRow(*head, [_Figure(*figure) for figure in zip(*figures, strict=True)])
        for head, *figures in zip(
            heads, matches.tolist(), scored.tolist(), values.tolist(), radii.round(3).tolist(), strict=True
        )
    ]
    heading = f"{_plural(n, 'document')}, {_plural(k, 'concept')}, match = score ≥ {float(counts.threshold)}"
    return {
        "heading": heading,
        "measure": _MEASURES[norm_by],
        "norm_by": norm_by,
        "counts": counts,
        "n_missing": n * k - int(counts.concept_scored.sum()),
        "outliers_apart": outliers_apart,
        "labels": counts.slices.labels if counts.slices is not None else (),
        "rows": rows[:k],
        "outliers": rows[-1] if counts.outliers is not None else None,
    }


def _examples(concept: Concept, corpus: Corpus, most: int, longest: int) -> list[_Passage]:
    known = [i for i in concept.example_ids if i in corpus.position]
    return [_passage(corpus.text_of(i), "", longest) for i in known[:most]]


def _passage(text: str, highlight: str, longest: int) -> _Passage:
    """The text split at its highlight; a long text is cut to about `longest` characters around it."""
    located = locate_quote(highlight, text)
    start, end = max(located.start, 0), max(located.end, 0)
    first, last = 0, len(text)
    if len(text) > longest:
        lead = max(0, (longest - (end - start)) // 3)
        first = _word_start(text, max(0, min(start - lead, len(text) - longest)))
        last = min(len(text), first + longest)
        last = last if last == len(text) else _word_start(text, last)
    quote_end = min(end, last)
    return _Passage(
        before=text[first:start] if end else "",
        quote=text[start:quote_end],
        after=text[quote_end if end else first : last],
        length=len(text),
        cut_front=first > 0,
        cut_back=last < len(text),
        not_found=highlight.strip() if located.start < 0 else "",
    )


def _word_start(text: str, near: int) -> int:
    """The start of the word at an offset, or the offset itself if that word is long."""
    return text.rfind(" ", max(0, near - 30), near) + 1 or near


def _clip(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest].rstrip()}…"


def _percent(share: float) -> str:
    """A share in whole per cent; `0%` and `100%` mean exactly none and all."""
    if isnan(share):
        return "–"
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{floor(100 * share + 0.5)}%"


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _printable(value: object) -> object:
    """Text with U+FFFD in place of characters that HTML cannot have: lone surrogates, control characters."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value)) if is_text else value


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("text_lloom.widget"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clip": _clip, "percent": _percent, "plural": _plural}
    return environment


def _render(template: str, **fields: object) -> str:
    return _environment().get_template(template).render(**fields)


def _write(path: Path, page: str) -> Path:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FileProblem(f"The report cannot be written to {path}: {error.strerror or error}.") from error
    return path
