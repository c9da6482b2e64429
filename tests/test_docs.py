"""The examples of the documentation run without changes."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.fake_provider.fixtures import FakeProvider
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.providers.registry import PROVIDERS, capability_table

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_first_example_of_the_readme_runs_as_a_script(tmp_path: Path) -> None:
    block = _BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    script = tmp_path / "example.py"
    script.write_text(block, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    ran = subprocess.run(
        [sys.executable, script.name],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    assert "n_matches" in ran.stdout
    assert "neighbourhood" in (tmp_path / "view.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["running.md", "models.md", "providers.md", "view.md"])
def test_examples_run(
    page: str,
    comments: pd.DataFrame,
    fake_provider: FakeProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GROQ_API_KEY", "MISTRAL_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_API_KEY"):
        monkeypatch.setenv(name, "sk-test-not-a-key")
    allow_paid_calls(True)  # the fake provider on this machine is the only one that is reached
    names: dict[str, Any] = {
        "df": comments,
        "base_url": fake_provider.base_url,
        "api_key": fake_provider.api_key,
    }
    blocks = _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert blocks

    async def run_all() -> None:
        """As a notebook does: one loop for all cells, `await` at the top level."""
        for number, block in enumerate(blocks, 1):
            code = compile(block, f"{page}, example {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await result

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        asyncio.run(run_all())


def test_the_table_of_providers_is_that_of_the_catalogue() -> None:
    """`LLOOM_WRITE_DOCS=1` writes it anew."""
    page = DOCS / "models.md"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- providers -->\n")
    _, _, after = rest.partition("<!-- /providers -->")
    wanted = f"{before}<!-- providers -->\n{capability_table(PROVIDERS)}\n<!-- /providers -->{after}"
    if os.environ.get("LLOOM_WRITE_DOCS"):
        page.write_text(wanted, encoding="utf-8")
        return
    told = "docs/models.md lists other providers. Run: LLOOM_WRITE_DOCS=1 python -m pytest tests/test_docs.py"
    assert text == wanted, told
