"""A real browser for tests of the built view: Chromium, one per module, over a page with a mocked model."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

__all__ = ["PATIENCE_MS", "OpenView", "browser", "chromium", "launch", "open_view", "serve_view"]

OpenView = Callable[..., "Page"]

ROOT: Final = Path(__file__).resolve().parents[1]
PATIENCE_MS: Final = 60_000
"""Milliseconds after which a test gives up: far more than any machine needs."""
ORIGIN: Final = "http://view.test"
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FOLDERS: Final = {"page": ROOT / "tests" / "view_page", "static": ROOT / "text_lloom" / "widget" / "static"}
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """The installed Chromium, if there is one and Playwright can drive it."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium with a new profile, for the tests of one module."""
    path = chromium()
    if path is None:
        reason = "Chromium or Playwright is not installed: apt install chromium, pip install playwright"
        if os.environ.get("LLOOM_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with launch(path) as started:
        yield started


class launch:  # noqa: N801
    """Chromium while the block lasts."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> Browser:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=self._path, args=_ARGUMENTS)
        return self._browser

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.stop()


_LATE_BROWSER: Final = os.environ.get("LLOOM_LATE_BROWSER")
"""Milliseconds by which frames, scrolling and answers come late: finds tests, and code, that do not wait."""
_LATE: Final = """(() => {
    const frame = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (run) => frame(() => setTimeout(() => run(performance.now()), MS));
    window.cancelAnimationFrame = () => undefined;
    const listen = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (type, run, how) {
        const late = type === "scroll" ? (event) => setTimeout(() => run.call(this, event), MS) : run;
        return listen.call(this, type, late, how);
    };
    const Observer = window.ResizeObserver;
    window.ResizeObserver = class extends Observer {
        constructor(run) { super((...told) => setTimeout(() => run(...told), MS)); }
    };
})()"""


def serve_view(page: Page) -> list[str]:
    """Serve the test page and the built view from the disk to `page`; gives what else was asked for."""
    refused: list[str] = []

    def serve(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if not route.request.url.startswith(ORIGIN):
            refused.append(route.request.url)
            route.abort()
            return
        _, folder, name = ("/page/index.html" if path == "/" else path + "//").split("/", 2)
        file = _FOLDERS.get(folder, ROOT / "none") / name.strip("/")
        if file.is_file():
            route.fulfill(status=200, content_type=_TYPES[file.suffix], body=file.read_bytes())
        else:
            route.fulfill(status=404, body="")

    page.route("**/*", serve)
    return refused


@pytest.fixture
def open_view(browser: Browser) -> Iterator[OpenView]:
    """Opens the built view over a generated corpus.

    Keyword arguments go into the address (see `tests/view_page/page.js`): `docs`, `concepts`, `slices`,
    `state`, `hostile`, `theme`, `dark`, `two`, …; `width` and `height` are the window's. At the end of the
    test the page must have had no error and have asked for nothing outside.
    """
    opened: list[tuple[Page, list[str], list[str]]] = []

    def open_page(*, width: int = 1280, height: int = 900, **query: Any) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE_MS)
        if _LATE_BROWSER:
            page.add_init_script(_LATE.replace("MS", _LATE_BROWSER))
            query.setdefault("late", _LATE_BROWSER)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        opened.append((page, errors, serve_view(page)))
        written = {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in query.items()}
        page.goto(f"{ORIGIN}/?{urlencode(written)}")
        page.wait_for_selector(".lloom-root")
        return page

    yield open_page
    for page, errors, refused in opened:
        page.close()
        assert errors == []
        assert refused == []
