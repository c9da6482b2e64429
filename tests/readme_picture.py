"""The picture of the README, from the sample corpus: `python -m tests.readme_picture`."""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import pandas as pd

import text_lloom.workbench as wb
from tests.browser import chromium, launch

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "view.png"


def main() -> None:
    """Write the picture."""
    path = chromium()
    if path is None:
        sys.exit("Chromium or Playwright is not installed: apt install chromium, pip install playwright")
    comments = pd.read_csv(str(files("text_lloom") / "data" / "transport_comments.csv"))
    session = wb.lloom(comments, "text", "comment_id", "local", "local", "local", "local")
    session.sync.gen(debug=False)
    session.sync.select_auto(12)
    session.sync.score()
    view = session.vis(slice_col="neighbourhood", theme="light")
    view.state = {**view.state, "concept": view.score_ids[2]}
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, launch(path) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 780})
        page.goto(view.to_html(Path(folder) / "view.html").as_uri())
        page.wait_for_selector(".lloom-row-text")
        page.wait_for_timeout(300)
        page.screenshot(path=PICTURE)
    print(PICTURE)


if __name__ == "__main__":
    main()
