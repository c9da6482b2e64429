"""Views and exports of a session: the workbench, the select view, the standalone page, the report, tables."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from text_lloom.errors import ColumnNotFound, InputError
from text_lloom.session.edit import Editing
from text_lloom.session.spend import summary_lines
from text_lloom.session.view_host import SessionHost

if TYPE_CHECKING:
    import pandas as pd

    from text_lloom.analysis.dates import DateOrder, SliceUnit
    from text_lloom.analysis.prevalence import NormBy
    from text_lloom.analysis.slices import Slices
    from text_lloom.widget.host import ViewOptions
    from text_lloom.widget.view import ConceptView

__all__ = ["Viewing"]


class Viewing(Editing):
    """A session with views and exports."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._host = SessionHost(self)

    def select(self, *concepts: str | Sequence[str], theme: str = "auto") -> ConceptView:
        """Show the concepts as cards to select and edit, and select those that are named.

        Args:
            *concepts: Names or ids of the concepts to select, also as a list; without any, the selection
                does not change.
            theme: `"auto"` follows the notebook; `"light"` or `"dark"`.

        Raises:
            UnknownName: When no concept has that name or id.
        """
        if concepts:
            named: list[str] = []
            for part in concepts:
                named.extend(part if isinstance(part, (list, tuple)) else [str(part)])
            self._need_concepts()
            chosen = {
                concept.id for one in named for concept in self.concepts.named(one) or [self.concepts[one]]
            }
            for concept in self.concepts.values():
                concept.active = concept.id in chosen
            self._changed()
        from text_lloom.widget.host import ViewOptions

        return self._open_view(
            "select", ViewOptions(), state={"tab": "select"}, theme=theme, call="l.select()"
        )

    def vis(
        self,
        cols_to_show: Sequence[str] = (),
        slice_col: str | None = None,
        max_slice_bins: int | None = None,
        slice_bounds: Sequence[float] | None = None,
        show_highlights: bool = True,
        norm_by: NormBy | None = None,
        export_df: bool = False,
        include_outliers: bool = False,
        *,
        threshold: float = 1.0,
        theme: str = "auto",
        slice_sep: str | None = None,
        slice_unit: SliceUnit | None = None,
        date_order: DateOrder | None = None,
    ) -> ConceptView | pd.DataFrame:
        """Show the workbench view: concepts, slices and the documents behind them.

        See `docs/view.md`. The view updates while `score()` runs.

        Args:
            cols_to_show: Columns to show with the documents; the view can show any other column, too.
            slice_col: Column by whose values the documents are grouped.
            max_slice_bins: The largest number of groups; by default 5 for numbers, 24 for dates, 40 for
                other values.
            slice_bounds: Bounds of the groups for a numeric column, such as `[0, 10, 50]`.
            show_highlights: Mark the highlights in the documents.
            norm_by: `"concept"` (share of the concept's matches per slice), `"slice"` (share of the
                slice's documents that match) or `None` (counts); can be changed in the view.
            export_df: Return the export table instead of the view.
            include_outliers: Add the documents that match no concept to the export table; the view
                always shows them.
            threshold: Smallest score of a match; can be changed in the view.
            theme: `"auto"` follows the notebook; `"light"` or `"dark"`.
            slice_sep: The character between several answers in one cell; `""` groups whole values. The
                view groups documents by combination of answers; `l.slices` counts each answer.
            slice_unit: The period of a group of dates: `"day"`, `"week"`, `"month"`, `"quarter"` or
                `"year"`; by default the finest that gives at most `max_slice_bins` groups.
            date_order: What comes first in dates such as `03/04/2023`: `"day"`, `"month"` or `"year"`.

        Raises:
            InputError: When there are no concepts, or a column or option does not exist.
        """
        if export_df:
            return self.export_df(include_outliers=include_outliers, threshold=threshold)
        from text_lloom.analysis.prevalence import check_norm, check_threshold
        from text_lloom.widget.host import ViewOptions

        self._need_concepts()
        check_norm(norm_by)
        check_threshold(threshold)
        is_scored = any(concept.id in self.table for concept in self.concepts.values())
        given = {
            "slice_col": (slice_col, None),
            "max_slice_bins": (max_slice_bins, None),
            "slice_bounds": (slice_bounds if slice_bounds is None else list(slice_bounds), None),
            "show_highlights": (show_highlights, True),
            "slice_sep": (slice_sep, None),
            "slice_unit": (slice_unit, None),
            "date_order": (date_order, None),
        }
        state: dict[str, Any] = {"threshold": threshold, "norm": norm_by}
        state["tab"] = ("overview" if slice_col is None else "matrix") if is_scored else "select"
        return self._open_view(
            "view",
            ViewOptions(
                slices=_one_each(
                    self.slices(
                        slice_col,
                        max_slice_bins=max_slice_bins,
                        slice_bounds=slice_bounds,
                        slice_sep=slice_sep,
                        slice_unit=slice_unit,
                        date_order=date_order,
                    )
                ),
                shown_columns=self._columns_to_show(cols_to_show),
                show_highlights=show_highlights,
            ),
            state=state,
            theme=theme,
            call=_call("l.vis", given),
        )

    def export_html(
        self,
        path: str | Path,
        *,
        max_docs: int | None = None,
        include_text: bool = True,
        slice_col: str | None = None,
        cols_to_show: Sequence[str] = (),
        title: str = "Concepts",
        threshold: float = 1.0,
        max_slice_bins: int | None = None,
        slice_sep: str | None = None,
        slice_unit: SliceUnit | None = None,
        date_order: DateOrder | None = None,
    ) -> Path:
        """Write the view as one self-contained page for any browser, without editing.

        The page makes no requests and needs neither a network nor a kernel. A page of more than 50 MB
        causes a warning.

        Args:
            path: Path of the file; an existing file is replaced when the new one is complete.
            max_docs: The largest number of documents; if there are more, the page shows an evenly spaced
                sample and says so.
            include_text: `False` leaves out texts, quotes and rationales; figures, names, criteria and
                metadata stay.
            slice_col: Column by whose values the documents are grouped.
            cols_to_show: Columns to show with the documents.
            title: Title of the page.
            threshold: Smallest score of a match, when the page opens.
            max_slice_bins: As for `vis`.
            slice_sep: As for `vis`.
            slice_unit: As for `vis`.
            date_order: As for `vis`.

        Returns:
            The path of the file.

        Raises:
            InputError: When nothing is scored yet, or a column does not exist.
            FileProblem: When the file cannot be written.
        """
        from text_lloom.analysis.prevalence import check_threshold
        from text_lloom.widget.export import write_page
        from text_lloom.widget.host import ViewOptions

        self._scored()
        check_threshold(threshold)
        options = ViewOptions(
            title=title,
            slices=_one_each(
                self.slices(
                    slice_col,
                    max_slice_bins=max_slice_bins,
                    slice_sep=slice_sep,
                    slice_unit=slice_unit,
                    date_order=date_order,
                )
            ),
            shown_columns=self._columns_to_show(cols_to_show),
        )
        return write_page(
            path,
            self._host.snapshot(options),
            state={"threshold": threshold, "tab": "overview" if slice_col is None else "matrix"},
            max_docs=max_docs,
            include_text=include_text,
            fallback=self._static_html(options),
        )

    def slices(
        self,
        slice_col: str | None,
        *,
        max_slice_bins: int | None = None,
        slice_bounds: Sequence[float] | None = None,
        slice_sep: str | None = None,
        slice_unit: SliceUnit | None = None,
        date_order: DateOrder | None = None,
    ) -> Slices | None:
        """The documents grouped by a column, `None` for no column; see `slice_documents`."""
        if slice_col is None:
            if slice_bounds is not None:
                raise InputError(f"slice_bounds={slice_bounds!r} needs slice_col, a numeric column.")
            for option, given in (("slice_unit", slice_unit), ("date_order", date_order)):
                if given is not None:
                    raise InputError(f"{option}={given!r} needs slice_col, a column of dates.")
            return None
        from text_lloom.analysis.slices import slice_documents

        return slice_documents(
            self.corpus,
            slice_col,
            max_slice_bins=max_slice_bins,
            slice_bounds=slice_bounds,
            slice_sep=slice_sep,
            slice_unit=slice_unit,
            date_order=date_order,
        )

    def export_df(self, include_outliers: bool = False, *, threshold: float = 1.0) -> pd.DataFrame:
        """One row per scored concept.

        Args:
            include_outliers: Add a row for the documents that match no concept.
            threshold: Smallest score of a match.

        Returns:
            Columns `concept`, `criteria`, `summary`, `rep_examples` (texts), `prevalence` (share of the
            documents), `n_matches`, `highlights` (up to three).
        """
        from text_lloom.analysis.prevalence import export_frame

        return export_frame(
            self.table,
            self._scored(),
            threshold=threshold,
            include_outliers=include_outliers,
            random_state=self.random_state,
        )

    def export_documents(self, path: str | Path | None = None) -> pd.DataFrame:
        """One row per document: all columns of your table, and a column of scores per scored concept.

        Args:
            path: A `.csv` or `.xlsx` file to write as well, for a spreadsheet program. Cells that it would
                run as a formula are written as text.

        Returns:
            The table; scores are float64, `NaN` where not scored.

        Raises:
            InputError: When nothing is scored yet.
            FileProblem: When the file cannot be written.
        """
        frame = self.table.documents_frame(self._scored())
        if path is not None:
            from text_lloom.storage.sheets import write_sheet

            write_sheet(frame, path)
        return frame

    def export_json(self, threshold: float = 1.0) -> str:
        """The scored concepts as a JSON list of `name`, `criteria`, `summary`, `seed` and `n` matches."""
        from text_lloom.analysis.prevalence import count_matches

        exported = [
            {
                "name": count.concept.name,
                "criteria": count.concept.criteria,
                "summary": count.concept.summary,
                "seed": count.concept.seed,
                "n": count.n_matches,
            }
            for count in count_matches(self.table, self._scored(), threshold=threshold)
        ]
        return json.dumps(exported, ensure_ascii=False)

    def write_report(
        self,
        path: str | Path,
        *,
        title: str = "Concepts",
        slice_col: str | None = None,
        max_slice_bins: int | None = None,
        slice_sep: str | None = None,
        slice_unit: SliceUnit | None = None,
        date_order: DateOrder | None = None,
    ) -> Path:
        """Write one self-contained HTML page with the matrix, the concepts and their documents."""
        from text_lloom.widget.report import write_report

        return write_report(
            path,
            title=title,
            corpus=self.corpus,
            table=self.table,
            concepts=self._scored(),
            slices=self.slices(
                slice_col,
                max_slice_bins=max_slice_bins,
                slice_sep=slice_sep,
                slice_unit=slice_unit,
                date_order=date_order,
            ),
            summary_lines=summary_lines(self.ledger, self.time, verbose=False),
        )

    def _open_view(
        self,
        kind: Literal["view", "select"],
        options: ViewOptions,
        *,
        state: Mapping[str, Any],
        theme: str,
        call: str,
    ) -> ConceptView:
        from text_lloom.widget.view import ConceptView

        view = ConceptView(
            self._host,
            options,
            kind=kind,
            state=state,
            theme=theme,
            call=call,
            fallback=lambda: self._static_html(options),
        )
        self._host.attach(view)
        return view

    def _static_html(self, options: ViewOptions) -> str:
        """The HTML for a saved notebook: the matrix, or the concepts before they are scored."""
        from text_lloom.widget.report import StaticView, select_html

        if not any(concept.id in self.table for concept in self.concepts.values()):
            return select_html(list(self.concepts.values()), self.corpus).html
        concepts, slices = self._scored(), options.slices
        return StaticView(self.corpus, self.table, concepts, slices=slices, max_documents=0).html

    def _columns_to_show(self, cols_to_show: Sequence[str]) -> tuple[str, ...]:
        """The names of the columns in the view.

        Raises:
            ColumnNotFound: When the frame has no such column.
        """
        if isinstance(cols_to_show, str):
            raise InputError(
                f"cols_to_show={cols_to_show!r} must be a list: cols_to_show=[{cols_to_show!r}]."
            )
        known = self.corpus.metadata_cols
        for column in cols_to_show:
            if column not in self.corpus.frame.columns:
                raise ColumnNotFound(column, list(self.corpus.frame.columns), role="cols_to_show")
        names = self._host.reader.columns.names
        return tuple(names[known.index(column)] for column in dict.fromkeys(cols_to_show) if column in known)


def _one_each(slices: Slices | None) -> Slices | None:
    """Slices of which each document is in one, as the view needs them."""
    if slices is None or slices.combined is None:
        return slices
    warnings.warn(
        f"The view groups documents by combination of answers in {slices.column!r}. l.slices() and "
        f"l.write_report() count each answer.",
        stacklevel=3,
    )
    return slices.combined


def _call(method: str, given: Mapping[str, tuple[object, object]]) -> str:
    """A call as Python code, without arguments that have their default."""
    arguments = [f"{name}={value!r}" for name, (value, default) in given.items() if value != default]
    return f"{method}({', '.join(arguments)})"
