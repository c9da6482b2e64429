"""The view over a large corpus in Chromium: bytes sent, first paint, filters, sorting, pages, rows.

    python -m benchmarks.view [--documents 100000] [--concepts 20] [--slices 6] [--repeats 5]

The built widget uses the real traits and message handlers of a session; a browser binding replaces only the
notebook. Times are measured in the page, from the action to the first frame that shows its result. Figures
are the best, median and worst of several. Needs Chromium and the dev extra.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import statistics
import sys
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

import text_lloom.workbench as wb
from text_lloom.quotes import QuoteMatch
from text_lloom.scores import ScoreColumn, ScoreTable
from text_lloom.widget.handlers import Desk, answer
from text_lloom.widget.selection import select_rows
from text_lloom.widget.snapshot import CorpusReader
from text_lloom.widget.state import read_state

if TYPE_CHECKING:
    from text_lloom.widget.view import ConceptView

_ORIGINAL = "LLooM 0.8.2 at 2,000 documents: 70 MB sent (recorded)"
_STATIC = Path(__file__).resolve().parents[1] / "text_lloom" / "widget" / "static"
_PAGE = """<!doctype html><meta charset="utf-8"><title>view</title>
<link rel="stylesheet" href="/widget.css"><style>body { margin: 0 }</style>
<div id="view"></div>
<script type="module">
import widget from "/widget.js";
const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const frame = () => new Promise((done) => requestAnimationFrame(() => done(performance.now())));
const listeners = new Map();
const emit = (event, ...values) => (listeners.get(event) ?? []).forEach((listener) => listener(...values));
const traits = await (await fetch("/traits.json")).json();
for (const name of ["scores", "slice_codes"]) {
  traits[name] = new DataView(await (await fetch(`/${name}.bin`)).arrayBuffer());
}
const model = {
  get: (name) => traits[name],
  set(name, value) { traits[name] = value; emit(`change:${name}`); },
  save_changes() {},
  on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
  off: (event, listener) =>
    listeners.set(event, (listeners.get(event) ?? []).filter((other) => other !== listener)),
  async send(content) {
    const reply = await window.answer(JSON.stringify({ content, state: traits.state }));
    emit("msg:custom", reply.content, reply.buffers.map((text) => new DataView(bytes(text).buffer)));
  },
};
window.view = {
  async timed(act, isDone) {
    await frame();
    const began = performance.now();
    act();
    for (;;) {
      const now = await frame();
      if (isDone()) return now - began;
      if (now - began > 20000) throw new Error(`not done: ${isDone}`);
    }
  },
  open: () => view.timed(
    () => widget.render({ model, el: document.getElementById("view") }),
    () => document.querySelectorAll(".lloom-matrix-cell").length > 0,
  ),
  state: (change, isDone) => view.timed(() => model.set("state", { ...traits.state, ...change }), isDone),
  shows: (title, row) =>
    (document.querySelector(".lloom-documents-title")?.textContent ?? "").startsWith(title) &&
    document.querySelector(".lloom-row")?.dataset.row === String(row),
  loaded: () =>
    document.querySelector(".lloom-row .lloom-row-text") && !document.querySelector(".lloom-row [aria-busy]"),
  rows: () => document.querySelectorAll(".lloom-row").length,
  nodes: () => document.querySelectorAll("*").length,
};
window.ready = true;
</script>"""


class Figure(NamedTuple):
    """One measure: its name, the best, median and worst time, and the target, all in ms."""

    name: str
    best: float
    median: float
    worst: float
    target: float


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--documents", type=int, default=100_000)
    options.add_argument("--concepts", type=int, default=20)
    options.add_argument("--slices", type=int, default=6)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--map", action="store_true", help="also compute the map (takes a minute)")
    chosen = options.parse_args()
    session = _session(chosen.documents, chosen.concepts, chosen.slices)
    began = time.perf_counter()
    view = session.vis(slice_col="area")
    opened = time.perf_counter() - began
    sent = _sent(view)
    total = sum(map(len, sent.values()))
    n, k, s = chosen.documents, chosen.concepts, chosen.slices
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{n:,} documents × {k} concepts × {s} slices, {os.cpu_count()} cores{load}")
    print(f"  l.vis() in Python: {opened * 1000:,.0f} ms")
    print(f"  sent: {total / 1e6:.2f} MB (want ≤ 3), of it scores {len(sent['scores']) / 1e6:.2f} MB")
    print(f"  original: {_ORIGINAL}")
    figures, rows, nodes = _in_browser(view, sent, chosen.repeats)
    for figure in figures:
        print(
            f"  {figure.name}: best {figure.best:,.0f} ms, median {figure.median:,.0f} ms, worst "
            f"{figure.worst:,.0f} ms (want < {figure.target:,.0f})"
        )
    print(f"  rows in the page: {rows} of {n:,}; elements: {nodes:,}")
    if chosen.map:
        began, busy = time.perf_counter(), time.process_time()
        session.map_layout()
        seconds, worked = time.perf_counter() - began, time.process_time() - busy
        print(f"  map, once: {seconds:,.0f} s, of it {worked:,.0f} s of processor time")
    missed = [f.name for f in figures if f.median >= f.target] + (["bytes sent"] if total > 3e6 else [])
    print(f"  missed: {', '.join(missed) or 'nothing'}")
    sys.exit(bool(missed))


def _session(n: int, n_concepts: int, n_slices: int) -> wb.lloom:
    """A session over random combinations of sentences of the sample corpus, with random scores."""
    draw, rng = random.Random(0), np.random.default_rng(0)
    sample = pd.read_csv(str(files("text_lloom") / "data" / "transport_comments.csv"))
    sentences = [part for text in sample["text"] for part in text.split(". ")]
    frame = pd.DataFrame(
        {
            "id": [f"doc-{row:06d}" for row in range(n)],
            "text": [". ".join(draw.choices(sentences, k=5)) for _ in range(n)],
            "area": rng.choice([f"Area {letter}" for letter in "ABCDEFGHIJKLMNOP"[:n_slices]], n),
            "likes": rng.integers(0, 5000, n),
            "mode": rng.choice(["bus", "car", "bike", "walk"], n),
        }
    )
    local: dict[str, Any] = dict.fromkeys(
        ("distill_model", "cluster_model", "synth_model", "score_model"), "local"
    )
    session = wb.lloom(frame, "text", "id", **local)
    columns = []
    for number in range(n_concepts):
        name = f"Concept number {number + 1}"
        concept = session.concepts.add(name, f"Does the text speak of matter {number + 1}?", active=True)
        shares = np.array([0.7, 0.08, 0.07, 0.05, 0.1])
        score = rng.choice([0, 0.25, 0.5, 0.75, 1.0], n, p=shares).astype(np.float32)
        quotes = [text[:60] if value else "" for text, value in zip(frame["text"], score, strict=True)]
        match = [QuoteMatch.EXACT if quote else QuoteMatch.NONE for quote in quotes]
        said = ["The comment says so in its first words." if value else "" for value in score]
        columns.append(ScoreColumn(concept.id, concept.criteria, score, said, quotes, match, quotes))
    session.table = ScoreTable.restore(session.corpus, columns)
    return session


def _sent(view: ConceptView) -> dict[str, bytes]:
    """The data sent when the view opens, by trait; without the built code."""
    state = view.get_state()
    return {
        name: bytes(value) if isinstance(value, (bytes, memoryview)) else json.dumps(value).encode()
        for name, value in state.items()
        if name not in ("_esm", "_css")
    }


def _in_browser(view: ConceptView, sent: dict[str, bytes], repeats: int) -> tuple[list[Figure], int, int]:
    from tests.browser import chromium, launch

    path = chromium()
    if path is None:
        sys.exit("Chromium or Playwright is not installed: apt install chromium, pip install playwright")
    names = [name for name in sent if not name.startswith("_") and name not in ("scores", "slice_codes")]
    traits = "{" + ",".join(f"{json.dumps(name)}:{sent[name].decode()}" for name in names) + "}"
    bodies = {
        "/": (_PAGE.encode(), "text/html"),
        "/traits.json": (traits.encode(), "application/json"),
        "/scores.bin": (sent["scores"], "application/octet-stream"),
        "/slice_codes.bin": (sent["slice_codes"], "application/octet-stream"),
        "/widget.js": ((_STATIC / "widget.js").read_bytes(), "text/javascript"),
        "/widget.css": ((_STATIC / "widget.css").read_bytes(), "text/css"),
    }

    def answered(_: object, asked: str) -> dict[str, Any]:
        request = json.loads(asked)
        desk = Desk(view.snapshot, request["state"], view._host, view._options, "l.vis()")
        reply = answer(request["content"], desk)
        buffers = [base64.b64encode(buffer).decode() for buffer in reply.buffers]
        return {"content": reply.content, "buffers": buffers}

    with launch(path) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.expose_binding("answer", answered)

        def serve(route: Any) -> None:
            body, kind = bodies[route.request.url.removeprefix("http://view.test")]
            route.fulfill(body=body, content_type=kind)

        page.route("http://view.test/**", serve)
        first = []
        for _ in range(max(1, repeats // 2)):
            page.goto("http://view.test/")
            page.wait_for_function("window.ready")
            first.append(page.evaluate("view.open()"))
        figures = [Figure("first paint after the data has arrived", *_summed_up(first), 1000)]

        state = dict(view.state)
        # Expected values come from another reader, so that the measured one has nothing cached.
        beside = replace(view.snapshot, reader=CorpusReader(view.snapshot.corpus))

        def change(*states: dict[str, Any]) -> list[float]:
            """Times until the page shows what Python selects for the same state."""
            times: list[float] = []
            for changes in states:
                state.update(changes)
                rows = select_rows(read_state(state), beside)
                page.wait_for_function("view.loaded()")
                wanted = [state, f"{len(rows):,} of {n:,}", int(rows[0])]
                times.append(page.evaluate("([s, t, r]) => view.state(s, () => view.shows(t, r))", wanted))
            return times

        n, concepts, some = len(view.snapshot.corpus), view.score_ids, range(1, repeats + 1)
        words = ("bus", "ticket", "station", "cycle", "rain", "car", "price", "lane")
        modes, sorts = ("bus", "car", "bike", "walk"), ("column:likes", "text", "column:mode", "id")
        cases: list[tuple[str, float, list[dict[str, Any]]]] = [
            ("concept", 100, [{"concept": concepts[i % len(concepts)]} for i in some]),
            ("threshold", 100, [{"threshold": (0.75, 0.5, 0.25, 1.0)[i % 4]} for i in some]),
            ("cell of the matrix", 100, [{"slice": i % 5} for i in some]),
            (
                "filter by a category",
                100,
                [{"slice": None, "columns": {"mode": {"values": [modes[i % 4]]}}} for i in some],
            ),
            ("filter by a range", 100, [{"columns": {"likes": {"min": 100 * i, "max": 4000}}} for i in some]),
            ("all documents", 100, [{"concept": None, "columns": {}, "show": "all"}]),
            ("search, the first one", 2000, [{"query": "late"}]),
            ("search", 250, [{"query": words[i % 8]} for i in some]),
            ("no search", 100, [{"query": ""}]),
            ("sort, the first time by a column", 1000, [{"doc_sort": {"by": by}} for by in sorts]),
            ("sort", 100, [{"doc_sort": {"by": sorts[i % 4], "descending": i % 8 < 4}} for i in some]),
        ]
        figures += [Figure(name, *_summed_up(change(*states)), most) for name, most, states in cases]
        first_row = "document.querySelector('.lloom-row')?.dataset.row"
        scroller = "[...document.querySelectorAll('.lloom-root *')].filter(e => e.scrollHeight > 100000 && e.scrollHeight > e.clientHeight + 1000 && getComputedStyle(e).overflowY !== 'visible')[0]"  # noqa: E501
        pages = []
        for i in range(repeats):
            page.wait_for_function("view.loaded()")
            at = (i + 1) / (repeats + 1)
            pages.append(
                page.evaluate(
                    f"([at]) => {{ const s = {scroller}; window.first = {first_row}; return view.timed(() => "
                    f"{{ s.scrollTop = at * s.scrollHeight; }}, () => {first_row} !== window.first && "
                    f"view.loaded()); }}",
                    [at],
                )
            )
        figures.append(Figure("page of documents", *_summed_up(pages), 100))
        return figures, page.evaluate("view.rows()"), page.evaluate("view.nodes()")


def _summed_up(times: list[float]) -> tuple[float, float, float]:
    return min(times), statistics.median(times), max(times)


if __name__ == "__main__":
    main()
