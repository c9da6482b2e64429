"""Pictures of the view for a human to look at: `python -m tests.screenshots [folder] [name]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from tests.browser import ORIGIN, chromium, launch, serve_view

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER: Final = Path("lloom-out/screenshots")


class Shot(NamedTuple):
    """One picture: its name, the address of the page, the window, and what is done before it is taken."""

    name: str
    query: Mapping[str, Any]
    width: int = 1280
    height: int = 860
    before: Callable[[Page], object] | None = None


def _cell(page: Page) -> None:
    page.locator('[data-concept="concept-2"][data-slice="1"]').click()


def _document(page: Page) -> None:
    page.locator(".lloom-row").nth(1).click()
    page.locator(".lloom-pane-text").wait_for()


def _filters(page: Page) -> None:
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_role("group", name="party").get_by_label("Democratic").check()


def _scoring(page: Page) -> None:
    page.evaluate(
        "window.lloom.model.set('progress', { step: 'Score', done: 412, total: 2000, failures: 3, usd: 0.21,"
        " seconds: 40, cancellable: true })"
    )


_READING: Final = {"docs": 2000, "state": {"concept": "concept-1"}}
_MATRIX: Final = {"docs": 2000, "concepts": 12, "state": {"tab": "matrix"}}
SHOTS: Final = [
    Shot("overview-light", _READING),
    Shot("overview-dark", {**_READING, "dark": 1}),
    Shot("overview-two-concepts", {"docs": 300, "concepts": 2, "state": {"concept": "concept-0"}}),
    Shot("overview-sixty-concepts", {"docs": 3000, "concepts": 60, "state": {"concept": "concept-0"}}),
    Shot("all-documents", {"docs": 2000}),
    Shot("matrix-light", _MATRIX, before=_cell),
    Shot("matrix-dark", {**_MATRIX, "dark": 1}, before=_cell),
    Shot(
        "matrix-heat",
        {**_MATRIX, "state": {"tab": "matrix", "matrix": "heat", "norm": "slice"}},
        before=_cell,
    ),
    Shot(
        "matrix-heat-dark",
        {**_MATRIX, "dark": 1, "state": {"tab": "matrix", "matrix": "heat", "norm": "concept"}},
    ),
    Shot("matrix-sixty-concepts", {"docs": 3000, "concepts": 60, "slices": 8, "state": {"tab": "matrix"}}),
    Shot("matrix-narrow", {**_MATRIX, "state": {"tab": "matrix", "concept": "concept-2"}}, 360, 1300),
    Shot("document", _READING, before=_document),
    Shot("document-dark", {**_READING, "dark": 1}, before=_document),
    Shot("document-narrow", _READING, 360, 1300, _document),
    Shot("filters", {**_MATRIX, "state": {"tab": "matrix", "concept": "concept-0"}}, before=_filters),
    Shot(
        "search",
        {"docs": 2000, "state": {"concept": "concept-2", "show": "all", "query": "shelter", "slice": 0}},
    ),
    Shot("medium", _READING, 760, 1400),
    Shot("wide", {**_READING, "concepts": 16}, 1800, 860),
    Shot("scoring", _READING, before=_scoring),
    Shot("no-match", {**_READING, "state": {"concept": "concept-1", "query": "no such words"}}),
    Shot("no-slices", {"docs": 200, "slices": 0, "state": {"tab": "matrix"}}),
    Shot("hostile", {"docs": 200, "hostile": 1, "state": {"tab": "matrix", "concept": "concept-1"}}),
    Shot(
        "hostile-dark",
        {"docs": 200, "hostile": 1, "dark": 1, "state": {"concept": "concept-1"}},
        before=_document,
    ),
    *(
        Shot(
            f"{tab}{name}",
            {"docs": 2000, "concepts": 10, "state": {"tab": tab, "concept": "concept-1"}, **extra},
        )
        for tab in ("map", "overlap", "select", "history")
        for name, extra in (("-light", {}), ("-dark", {"dark": 1}))
    ),
]


def main(folder: Path = FOLDER, only: str = "") -> None:
    """Write the pictures whose name contains `only` into `folder`."""
    path = chromium()
    if path is None:
        sys.exit("Chromium or Playwright is not installed: apt install chromium, pip install playwright")
    folder.mkdir(parents=True, exist_ok=True)
    with launch(path) as browser:
        for shot in SHOTS:
            if only not in shot.name:
                continue
            page = browser.new_page(viewport={"width": shot.width, "height": shot.height})
            page.on("pageerror", lambda error, name=shot.name: print(f"{name}: {error}"))
            serve_view(page)
            query = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in shot.query.items()}
            page.goto(f"{ORIGIN}/?{urlencode(query)}")
            page.wait_for_selector(".lloom-root")
            if shot.before is not None:
                shot.before(page)
            page.wait_for_timeout(300)
            page.screenshot(path=folder / f"{shot.name}.png")
            page.close()
            print(folder / f"{shot.name}.png")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]), *sys.argv[2:3])
