"""The state of a view: plain values, checked, and the documents that it selects."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.view_session import NAN, SCORES, documents, opened
from text_lloom.errors import InputError, UnknownName
from text_lloom.widget.folding import fold
from text_lloom.widget.selection import is_within
from text_lloom.widget.state import DEFAULT_STATE, check_state

WRONG = {
    "key": ({"treshold": 0.5}, UnknownName, "Did you mean 'threshold'"),
    "tab": ({"tab": "matrixx"}, UnknownName, "Did you mean 'matrix'"),
    "threshold-high": ({"threshold": 1.5}, InputError, "above 0 and at most 1"),
    "threshold-zero": ({"threshold": 0}, InputError, "above 0 and at most 1"),
    "threshold-text": ({"threshold": "1"}, InputError, "must be a number"),
    "score": ({"scores": [0.6]}, InputError, "1, .75, .5, .25, 0 or None"),
    "scores-text": ({"scores": "1"}, InputError, "must be a list"),
    "slice": ({"slice": -1}, InputError, "at least 0"),
    "row-sort": ({"row_sort": {"by": "size"}}, UnknownName, "prevalence"),
    "doc-sort-key": ({"doc_sort": {"by": "score", "down": True}}, UnknownName, "descending"),
    "columns": ({"columns": ["area"]}, InputError, "must be a dict"),
    "column-key": ({"columns": {"area": {"value": ["North"]}}}, UnknownName, "Did you mean 'values'"),
    "contains": ({"columns": {"area": {"contains": None}}}, InputError, "must be text"),
    "lasso": ({"lasso": [[0, 1, 2]]}, InputError, "a point"),
    "lasso-nan": ({"lasso": [[0, NAN]]}, InputError, "must be a number"),
    "query": ({"query": None}, InputError, "must be text"),
    "color": ({"color": "red"}, UnknownName, "column:<name>"),
    "no-dict": ("matrix", InputError, "a dict"),
}


@pytest.mark.parametrize(("state", "error", "told"), WRONG.values(), ids=WRONG)
def test_what_is_no_state_is_refused_with_what_would_be(state: Any, error: type, told: str) -> None:
    view = opened().vis()
    before = view.state
    with pytest.raises(error, match=told):
        view.state = check_state(state)
    with pytest.raises(Exception, match=r".+"):
        view.state = state
    assert view.state == before


def test_a_state_can_be_read_written_as_json_and_set_again() -> None:
    session = opened()
    view = session.vis(slice_col="area", norm_by="slice", threshold=0.75)
    late = view.score_ids[0]
    assert view.state == {"threshold": 0.75, "norm": "slice", "tab": "matrix"}
    view.state = {**view.state, "concept": late, "slice": 0, "columns": {"likes": {"min": 5}}}
    rows = view.selected()["doc_id"].tolist()
    assert rows == ["d7", "d2"]
    again = session.vis(slice_col="area")
    again.state = json.loads(json.dumps(view.state))
    assert again.selected()["doc_id"].tolist() == rows


def test_the_code_of_a_view_gets_the_same_selection() -> None:
    session = opened()
    view = session.vis(slice_col="likes", slice_bounds=[0, 30, 70])
    view.state = {
        "concept": view.score_ids[1],
        "query": 'ticket\'s "cost"\n',
        "columns": {"remark": {"contains": "\\ 'quoted'"}},
        "show": "all",
        "document": 3,
    }
    assert "document" not in view.python()
    names = {"l": session}
    code = view.python()
    exec(compile(code.replace("view.selected()", "rows = view.selected()"), "copied", "exec"), names)
    pd.testing.assert_frame_equal(names["rows"], view.selected())
    assert f"# {'High fares'!r}" in code


SELECTIONS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "nothing": ({}, [0, 1, 2, 3, 4, 5, 6, 7]),
    "matches": ({"concept": "Late buses"}, [0, 1, 3, 7]),
    "threshold": ({"concept": "Late buses", "threshold": 0.75}, [0, 1, 3, 7, 2]),
    "non-matches": ({"concept": "Late buses", "show": "non-matches"}, [2, 4, 5, 6]),
    "not-scored-is-no-non-match": ({"concept": "High fares", "show": "non-matches"}, [0, 1, 4, 6]),
    "all": ({"concept": "High fares", "show": "all"}, [2, 3, 5, 0, 1, 4, 6, 7]),
    "outliers": ({"concept": "outliers"}, [4, 6]),
    "outliers-lower": ({"concept": "outliers", "threshold": 0.5}, [4, 6]),
    "score": ({"concept": "Late buses", "show": "all", "scores": [0.75, 0]}, [2, 4, 5, 6]),
    "not-scored": ({"concept": "High fares", "show": "all", "scores": [None]}, [7]),
    "also": ({"concept": "Late buses", "also": ["High fares"]}, [3]),
    "slice": ({"slice": 1}, [1, 5, 6]),
    "slices": ({"slices": [1, 2]}, [1, 3, 5, 6]),
    "values": ({"columns": {"area": {"values": ["South", None]}}}, [1, 3, 5, 6]),
    "unknown-value": ({"columns": {"area": {"values": ["Sout"]}}}, []),
    "range": ({"columns": {"likes": {"min": 20, "max": 50}}}, [2, 3, 5]),
    "dates": ({"columns": {"sent": {"min": 1714953600000}}}, [5, 6]),
    "text-values": ({"columns": {"remark": {"values": ["Remark number 4"]}}}, [4]),
    "number-values": ({"columns": {"likes": {"values": ["20", "70", None]}}}, [2, 4, 7]),
    "date-values": ({"columns": {"sent": {"values": ["2024-05-02"]}}}, [1]),
    "contains": ({"columns": {"remark": {"contains": " NUMBER  6 "}}}, [6]),
    "contains-label": (
        {"columns": {"area": {"contains": "th"}, "likes": {"contains": "0", "max": 20}}},
        [0, 1, 2],
    ),
    "contains-nothing": ({"columns": {"area": {"contains": " "}}}, [0, 1, 2, 3, 4, 5, 6, 7]),
    "query": ({"query": "BUS  is\nlate"}, [0, 2]),
    "query-folds": ({"query": "strasse"}, [7]),
    "query-rtl": ({"query": "الحافلات"}, [3]),
    "gone": ({"concept": "no such concept"}, [0, 1, 2, 3, 4, 5, 6, 7]),
    "by-likes": ({"doc_sort": {"by": "column:likes", "descending": True}}, [7, 6, 5, 3, 2, 1, 0, 4]),
    "by-likes-up": ({"doc_sort": {"by": "column:likes"}}, [0, 1, 2, 3, 5, 6, 7, 4]),
    "by-text": ({"doc_sort": {"by": "text"}}, [5, 2, 4, 6, 7, 0, 1, 3]),
    "by-id-down": ({"doc_sort": {"by": "id", "descending": True}}, [7, 6, 5, 4, 3, 2, 1, 0]),
    "by-slice": ({"doc_sort": {"by": "slice"}}, [0, 2, 4, 7, 1, 5, 6, 3]),
}


@pytest.mark.parametrize(("state", "rows"), SELECTIONS.values(), ids=SELECTIONS)
def test_a_state_selects_these_documents(state: dict[str, Any], rows: list[int]) -> None:
    session = opened()
    view = session.vis(slice_col="area")
    ids = {concept["name"]: concept["id"] for concept in view.concepts}
    if state.get("concept") in ids:
        state = {**state, "concept": ids[state["concept"]]}
    view.state = state | {"also": [ids[name] for name in state.get("also", ())]}
    selected = view.selected()
    assert selected["doc_id"].tolist() == [f"d{row}" for row in rows]
    assert selected["text"].tolist() == [documents()["text"][row] for row in rows]


def test_the_selection_has_all_columns_scores_and_what_was_judged() -> None:
    session = opened()
    view = session.vis()
    assert list(view.selected().columns) == [*documents().columns, "Late buses", "High fares"]
    view.state = {"concept": view.score_ids[1], "show": "all", "doc_sort": {"by": "row"}}
    selected = view.selected()
    assert list(selected.columns)[-2:] == ["rationale", "highlight"]
    np.testing.assert_array_equal(selected["High fares"], SCORES["High fares"])
    assert selected["highlight"][2] == "Café prices went up 👩‍👩‍👧"
    assert selected["rationale"][7] == ""
    pd.testing.assert_series_equal(selected["likes"], documents()["likes"])


def test_names_that_clash_with_columns_stay_apart() -> None:
    session = opened({"area": [1] * 8, "text": [0] * 8, "same": [1] * 8})
    session.concepts.add("same", "Is it the same?", active=True)
    view = session.vis()
    view.state = {"concept": view.score_ids[0]}
    selected = view.selected()
    assert selected["area"].tolist()[:2] == ["North", "South"]
    assert selected["area_"].tolist() == [1.0] * 8
    assert selected["text_"].tolist() == [0.0] * 8


# --- one rule ------------------------------------------------------------------------------------------


def plain_rule(state: dict[str, Any], session: Any, ids: list[str]) -> list[int]:
    """The rule of docs/view-protocol.md, one document at a time."""
    frame, rows = session.corpus.frame, []
    scores = {i: session.table.scores(session.concepts[i]) for i in ids}
    threshold = state.get("threshold", 1.0)
    for row in range(len(frame)):
        concept, passes = state.get("concept"), True
        if concept == "outliers":
            known = [scores[i][row] for i in ids if scores[i][row] == scores[i][row]]
            passes = bool(known) and all(score < threshold for score in known)
        elif concept is not None and state.get("show", "matches") != "all":
            score = scores[concept][row]
            is_match = score == score and score >= threshold
            passes = (
                is_match if state.get("show", "matches") == "matches" else score == score and not is_match
            )
        if state.get("scores") and concept in ids:
            score = scores[concept][row]
            passes &= (None if score != score else float(score)) in state["scores"]
        for i in state.get("also", ()):
            passes &= bool(scores[i][row] >= threshold)
        for name, wanted in state.get("columns", {}).items():
            value = frame[name][row]
            gone = pd.isna(value)
            if wanted.get("values"):
                passes &= (None if gone else value) in wanted["values"]
            if "contains" in wanted:
                passes &= not gone and fold(wanted["contains"]) in fold(str(value))
            if "min" in wanted:
                passes &= not gone and value >= wanted["min"]
            if "max" in wanted:
                passes &= not gone and value <= wanted["max"]
        if state.get("query", "").strip():
            passes &= fold(state["query"]) in fold(frame["text"][row])
        if passes:
            rows.append(row)
    return rows


grades = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, NAN])
areas = st.sampled_from(["North", "South", None])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_state_selects_what_the_rule_says(data: st.DataObject) -> None:
    n = data.draw(st.integers(3, 12))
    frame = pd.DataFrame(
        {
            "doc_id": range(n),
            "text": data.draw(
                st.lists(
                    st.sampled_from(["Bus late", "bus  LATE", "ﬁne", "Fine day"]), min_size=n, max_size=n
                )
            ),
            "area": data.draw(st.lists(areas, min_size=n, max_size=n)),
            "likes": data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5, NAN]), min_size=n, max_size=n)),
        }
    ).astype({"likes": "float64", "area": object})
    columns = st.lists(grades, min_size=n, max_size=n).filter(lambda values: any(v == v for v in values))
    session = opened({"One": data.draw(columns), "Two": data.draw(columns)}, {}, frame)
    ids = list(session.concepts)
    chosen: dict[str, Any] = {
        "concept": data.draw(st.sampled_from([None, "outliers", *ids])),
        "threshold": data.draw(st.sampled_from([0.25, 0.6, 0.75, 1.0])),
        "show": data.draw(st.sampled_from(["matches", "non-matches", "all"])),
        "scores": data.draw(st.lists(st.sampled_from([1.0, 0.5, 0.0, None]), max_size=2)),
        "also": data.draw(st.lists(st.sampled_from(ids), max_size=1)),
        "query": data.draw(st.sampled_from(["", "bus late", "FINE"])),
        "columns": data.draw(
            st.sampled_from(
                [
                    {},
                    {"area": {"values": ["North", None]}},
                    {"area": {"contains": "SOUTH"}},
                    {"likes": {"min": 1.0}},
                    {"likes": {"min": 0.0, "max": 1.0}},
                ]
            )
        ),
        "doc_sort": {"by": "row", "descending": False},
    }
    view = session.vis()
    view.state = chosen
    assert view.selected()["doc_id"].tolist() == plain_rule(chosen, session, ids)
    down = data.draw(st.booleans())
    view.state = {**chosen, "doc_sort": {"by": "column:likes", "descending": down}}
    likes = view.selected()["likes"]
    known = likes.dropna().tolist()
    assert known == sorted(known, reverse=down)
    assert likes.isna().tolist() == sorted(likes.isna().tolist()), "what has no value comes last"
    assert sorted(view.selected()["doc_id"]) == plain_rule(chosen, session, ids)


def test_a_lasso_takes_the_points_inside() -> None:
    session = opened()
    view = session.vis()
    view.state = {"lasso": [[-2, -2], [2, -2], [2, 2], [-2, 2]]}
    assert view.selected().empty, "nothing is laid out yet"
    places = session.map_layout()
    assert len(view.selected()) == places["x"].notna().sum()
    x, y = places["x"].to_numpy(), places["y"].to_numpy()
    view.state = {"lasso": [[-2, -2], [0, -2], [0, 2], [-2, 2]], "doc_sort": {"by": "row"}}
    assert view.selected()["doc_id"].tolist() == places["doc_id"][x < 0].tolist()
    assert 0 < len(view.selected()) < 8
    star = np.array([[0, 1], [-0.6, -0.8], [0.95, 0.3], [-0.95, 0.3], [0.6, -0.8]])
    assert is_within(star, np.array([0.0, 0.0, np.nan]), np.array([0.0, 0.9, 0.0])).tolist() == [
        False,
        True,
        False,
    ], "by the even-odd rule the middle of a star is outside"
    assert y.shape == (8,)


def test_the_defaults_are_a_state_themselves() -> None:
    assert check_state(DEFAULT_STATE) == dict(DEFAULT_STATE)
