"""Sessions for the tests of the view: real-looking comments with scores that are set by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

import text_lloom.workbench as wb
from text_lloom.concept import Concept
from text_lloom.quotes import locate_quote
from text_lloom.scores import Judgement

TEXTS = [
    "The 40 bus is late every single morning 😀 and nobody tells us why.",
    "Twenty minutes in the rain because the bus simply did not come.",
    "Café prices went up 👩‍👩‍👧 and so did the bus fare; the bus is late, too.",
    "خط الحافلات متأخر دائمًا والتذاكر غالية.",
    "Cycling on Mill Lane is frightening, the cars pass far too close.",
    "A monthly ticket costs more than my phone and my gym together.",
    "Paint is not protection. Cars park in the bike lane all day.",
    "STRASSE oder Straße: der Bus kommt zu spät.",
]


def documents() -> pd.DataFrame:
    """Eight comments with metadata of every kind, some of it missing."""
    return pd.DataFrame(
        {
            "doc_id": [f"d{n}" for n in range(8)],
            "text": TEXTS,
            "area": ["North", "South", "North", None, "North", "South", "South", "North"],
            "likes": [0, 10, 20, 30, None, 50, 60, 70],
            "sent": pd.to_datetime([f"2024-05-0{n + 1}" for n in range(7)] + [None]),
            "remark": [f"Remark number {n}" for n in range(8)],
        }
    )


def opened(
    scores: Mapping[str, Sequence[float]] | None = None,
    quotes: Mapping[str, Sequence[str]] | None = None,
    frame: pd.DataFrame | None = None,
    **options: Any,
) -> wb.lloom:
    """A session on the local engine; one concept per key of `scores`, `NaN` = not scored."""
    session = wb.lloom(documents() if frame is None else frame, "text", "doc_id", **LOCAL, **options)
    for name, values in (SCORES if scores is None else scores).items():
        concept = session.concepts.add(name, f"Does the text speak of {name.lower()}?", active=True)
        put(session, concept, values, (QUOTES if quotes is None else quotes).get(name, ()))
    return session


def put(session: wb.lloom, concept: Concept, values: Sequence[float], quotes: Sequence[str] = ()) -> None:
    """Scores of a concept, with quotes where there are any."""
    for row, value in enumerate(values):
        if value != value:
            continue
        quote = locate_quote(quotes[row] if row < len(quotes) else "", session.corpus.texts[row])
        judgement = Judgement(value, f"Because {value}.", quote.text, quote.match, quote.claimed)
        session.table.put(concept, session.corpus.ids[row], judgement)


NAN = float("nan")
LOCAL: dict[str, Any] = dict.fromkeys(
    ("distill_model", "cluster_model", "synth_model", "score_model"), "local"
)
SCORES = {
    "Late buses": [1, 1, 0.75, 1, 0, 0, 0, 1],
    "High fares": [0, 0, 1, 1, 0, 1, 0, NAN],
}
QUOTES = {
    "Late buses": ["bus is late every single morning 😀", "", "the bus is late", "خط الحافلات متأخر دائمًا"],
    "High fares": ["", "", "Café prices went up 👩‍👩‍👧", "it says nothing of the kind at all, really"],
}
