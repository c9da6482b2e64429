"""The view in real hosts, in Chromium: JupyterLab with a kernel, and marimo."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from tests.ports import free_port
from tests.test_view_page import ATTACKS, MADE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 240.0
PATIENCE_MS = 120_000
CONNECTED = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
    const kernel = context?.session?.kernel;
    return Boolean(context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle');
}"""
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": True},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}
SESSION = """\
from tests.view_session import opened
l = opened()
view = l.vis(slice_col="area")
view"""


def require(package: str) -> None:
    """Skip, or fail where a skip is a failure, when a host is not installed."""
    try:
        __import__(package)
    except ImportError:
        reason = f"{package} is not installed: pip install -e '.[dev]'"
        if os.environ.get("LLOOM_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextlib.contextmanager
def serving(command: list[str], url: str, home: Path, folder: Path) -> Iterator[str]:
    """A server with a home of its own, until the block ends; then it and all that it started are ended."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "OPENAI"))
    }
    environment |= {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "xdg"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_DATA_HOME": str(home / "xdg-data"),
        "PYTHONPATH": str(ROOT),
        "LLOOM_REFUSE_PAID_CALLS": "1",
        "MARIMO_SKIP_UPDATE_CHECK": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = home / "server.log"
    with log.open("wb") as written:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=written, stderr=written, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(url, timeout=5).close()
                break
            assert server.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


@pytest.fixture(scope="module")
def jupyterlab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address and the folder of a JupyterLab."""
    require("jupyterlab")
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebooks")
    settings = home / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS))
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
        *("--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}", "--LabApp.news_url="),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with serving(command, f"http://127.0.0.1:{port}/api", home, folder) as url:
        yield url.removesuffix("/api"), folder


@pytest.fixture
def open_notebook(browser: Browser, jupyterlab: tuple[str, Path]) -> Iterator[Callable[..., Page]]:
    """Opens cells in JupyterLab and runs them; the page must have asked for nothing elsewhere."""
    address, folder = jupyterlab
    pages: list[tuple[Page, list[str]]] = []

    def opened(name: str, *cells: str, run: bool = True) -> Page:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(notebook, folder / f"{name}.ipynb")
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        pages.append((page, asked))
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
        # A run command before the kernel is connected would be dropped without a word.
        page.wait_for_function(CONNECTED, timeout=PATIENCE_MS)
        if run:
            command(page, "notebook:run-all-cells")
        return page

    yield opened
    for page, asked in pages:
        page.close()
        elsewhere = [
            url for url in asked if not url.startswith((address, "data:", "blob:", "ws://127.0.0.1"))
        ]
        assert elsewhere == []


def command(page: Page, name: str) -> None:
    """Start a command of JupyterLab; its promise may never end, so nobody waits for it."""
    page.evaluate(f"() => {{ void window.jupyterapp.commands.execute('{name}'); }}")


def printed(page: Page, wanted: str) -> None:
    """Wait for a line of output."""
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('.jp-OutputArea-output')]"
        ".some(output => output.innerText.includes(wanted))",
        arg=wanted,
    )


def test_a_click_in_jupyterlab_reaches_python_and_an_edit_in_python_reaches_the_view(
    open_notebook: Callable[..., Page], jupyterlab: tuple[str, Path]
) -> None:
    page = open_notebook(
        "click",
        SESSION,
        "import asyncio\nwhile not view.state.get('concept'): await asyncio.sleep(0.05)\n"
        "print('selected', view.selected()['doc_id'].tolist())\n"
        "l.rename('High fares', 'Dear tickets')\nprint('renamed')",
    )
    page.wait_for_selector(".lloom-root .lloom-matrix-cell")
    page.click(".lloom-matrix-concept >> text=High fares")
    printed(page, "selected ['d2', 'd3', 'd5']")
    printed(page, "renamed")
    page.wait_for_selector(".lloom-root >> text=Dear tickets")
    page.wait_for_selector(".lloom-root .lloom-row-text >> text=Café prices went up")
    page.keyboard.press("Escape")
    command(page, "docmanager:save")
    file, deadline = jupyterlab[1] / "click.ipynb", time.monotonic() + PATIENCE
    while "lloom-static" not in file.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline, "the notebook was not saved with the fallback"
        time.sleep(0.1)
    saved = nbformat.read(file, as_version=4)
    html = "".join(saved.cells[0].outputs[-1]["data"]["text/html"])
    assert "Late buses" in html
    assert not re.search(r"<script|\son\w+=|javascript:", html)


def test_documents_are_read_and_labelled_while_a_cell_is_running(open_notebook: Callable[..., Page]) -> None:
    page = open_notebook(
        "busy",
        SESSION,
        "import time\nprint('begins', flush=True)\nend = time.monotonic() + 60\n"
        "while len(l.labels()) < 1 and time.monotonic() < end: time.sleep(0.05)\n"
        "print('labels', l.labels()[['doc_id', 'verdict']].values.tolist())",
        run=False,
    )
    # JupyterLab sends messages past a running cell only once the view has been connected.
    command(page, "notebook:run-cell-and-select-next")
    page.wait_for_selector(".lloom-root .lloom-row-text >> text=40 bus is late")
    page.wait_for_function(CONNECTED)
    command(page, "notebook:run-cell")
    printed(page, "begins")
    page.click(".lloom-matrix-concept >> text=Late buses")
    page.click(".lloom-root .lloom-row >> nth=0")
    page.wait_for_selector(".lloom-root .lloom-pane-text")
    page.keyboard.press("y")
    printed(page, "labels [['d0', 'right']]")
    assert page.locator(".jp-Notebook .jp-Cell").count() == 2, "no key of the view reached the notebook"


def test_the_view_fills_in_and_cancels_while_a_cell_scores(open_notebook: Callable[..., Page]) -> None:
    page = open_notebook(
        "scoring",
        "import time, warnings\n"
        "import text_lloom.workbench as wb\n"
        "from tests.view_session import LOCAL, documents\n"
        "from text_lloom.testing import FunctionModel\n"
        "def judge(prompt):\n"
        "    time.sleep(0.4)\n"
        "    judged = {'document': 1, 'concept': 1, 'answer': 'A', 'rationale': 'so', 'quote': ''}\n"
        "    return {'results': [judged]}\n"
        "import pandas as pd\n"
        "many = pd.concat([documents()] * 20, ignore_index=True).drop(columns='doc_id')\n"
        "model = FunctionModel(judge, concurrency=1)\n"
        "l = wb.lloom(many, 'text', **(LOCAL | {'score_model': model}), cache=False)\n"
        "_ = l.concepts.add('Late buses', 'Is a bus late?', active=True)\n"
        "l.vis()",
        "warnings.simplefilter('ignore')\n"
        "scores = await l.score(confirm=False)\n"
        "print('ended', 0 < scores['score'].notna().sum() < 160)",
    )
    page.wait_for_selector(".lloom-root .lloom-progress")
    page.wait_for_selector(".lloom-root .lloom-progress >> text=/[1-9]\\d* of 160/")
    page.click(".lloom-root .lloom-progress >> text=Cancel")
    printed(page, "ended True")
    page.wait_for_selector(".lloom-root .lloom-progress", state="detached")


def test_hostile_text_is_shown_as_text_in_jupyterlab(open_notebook: Callable[..., Page]) -> None:
    page = open_notebook(
        "hostile",
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.test_view_page import hostile_session\n"
        "l = hostile_session()\ncolumns = l.corpus.metadata_cols\n"
        "view = l.vis(slice_col=columns[0], cols_to_show=columns)\n"
        "view.state = {'concept': view.score_ids[0], 'tab': 'matrix', 'document': 1}\nview",
    )
    page.wait_for_selector(".lloom-root .lloom-pane-text")
    seen = page.inner_text(".lloom-root")
    for tab in ("overview", "overlap", "select", "history"):
        page.click(f".lloom-root [data-tab={tab}]")
        page.wait_for_selector(f".lloom-root [data-tab={tab}][aria-selected=true]")
        seen += page.inner_text(".lloom-root")
    assert page.evaluate("window.__ran ?? null") is None
    assert page.locator(".lloom-root").locator(MADE).count() == 0
    assert f"The bus is late {ATTACKS[1]} and wet." in seen
    for attack in ATTACKS:
        assert f"Name {' '.join(attack.split())}" in " ".join(seen.split())


def test_the_view_works_in_marimo(browser: Browser, tmp_path: Path) -> None:
    require("marimo")
    app = tmp_path / "app.py"
    app.write_text(
        "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _():\n"
        "    from tests.view_session import opened\n"
        "    import marimo as mo\n"
        "    session = opened()\n"
        "    view = mo.ui.anywidget(session.vis(slice_col='area'))\n"
        "    view\n"
        "    return mo, session, view\n\n\n@app.cell\ndef _(mo, view):\n"
        "    view.value\n"
        "    mo.md(f\"selected {' '.join(view.widget.selected()['doc_id'])}\")\n"
        "    return\n\n\nif __name__ == '__main__':\n    app.run()\n"
    )
    port = free_port()
    arguments = ["run", str(app), "--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port)]
    home = tmp_path / "home"
    home.mkdir()
    url = f"http://127.0.0.1:{port}/health"
    with serving([sys.executable, "-m", "marimo", *arguments], url, home, tmp_path):
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector(".lloom-root .lloom-matrix-cell")
        page.click(".lloom-matrix-concept >> text=High fares")
        page.wait_for_selector(".lloom-root .lloom-row-text >> text=Café prices went up")
        page.wait_for_selector("text=selected d2 d3 d5")
        page.close()
