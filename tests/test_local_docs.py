"""The examples of the page on local models run as they stand, on tiny models."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.inference_server import Reply, inference_server, output, outputs
from tests.tiny_models import save_language_model, save_sentence_transformer

PAGE = Path(__file__).resolve().parents[1] / "docs" / "local-models.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def answer(texts: list[str]) -> Reply:
    rows = [[0.9, 0.05, 0.05] if "bus" in text.lower() else [0.05, 0.9, 0.05] for text in texts]
    return outputs(output("predict_proba", [len(texts), 3], "FP64", rows))


def tag(texts: list[str]) -> Reply:
    found = [[{"entity_group": "WAY", "score": 0.9, "word": "bus"}] if "bus" in t else [] for t in texts]
    return outputs(output("output", [len(texts), 1], "BYTES", [json.dumps(part) for part in found]))


@pytest.mark.torch
def test_examples_run(comments: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 4
    with inference_server(answer) as server:
        server.answers["tagger"] = tag
        names: dict[str, Any] = {
            "df": comments[["doc_id", "text"]],
            "language_model": str(save_language_model(tmp_path / "lm")),
            "sentence_model": str(save_sentence_transformer(tmp_path / "st")),
            "classifier_url": server.url,
        }

        async def run_all() -> None:
            for number, block in enumerate(blocks, 1):
                code = compile(block, f"example {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
                result = eval(code, names)
                if inspect.iscoroutine(result):
                    await result

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning)
            asyncio.run(run_all())
    assert names["reply"].out_tokens > 0
    assert names["table"]["answer"][0][0]["text"] == "bus"
    assert names["l"].concepts
