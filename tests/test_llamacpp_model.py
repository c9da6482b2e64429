"""GGUF models: requests as llama-cpp-python takes them, against a stand-in with its documented signature.

The package does not build everywhere, so `llama_cpp.Llama` is replaced by a class with the same arguments and
the same replies. What the stand-in does not know, it refuses.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import text_lloom.workbench as wb
from text_lloom.errors import ContextOverflow, InputError, MissingPackage, PermanentError, UnknownName
from text_lloom.llm import Completion, LlamaCppModel, Message, ModelRequest


class StandIn:
    """`llama_cpp.Llama` as far as it is used: words are tokens, replies are scripted."""

    made: list[StandIn]
    reply = "late again and again"

    def __init__(
        self,
        model_path: str,
        *,
        n_gpu_layers: int = 0,
        seed: int = 0,
        n_ctx: int = 512,
        n_batch: int = 512,
        n_threads: int | None = None,
        lora_path: str | None = None,
        chat_format: str | None = None,
        flash_attn: bool = False,
        verbose: bool = True,
    ) -> None:
        if not Path(model_path).read_bytes().startswith(b"GGUF"):
            raise ValueError(f"Failed to load model from file: {model_path}")
        self.settings = {
            "n_gpu_layers": n_gpu_layers,
            "n_threads": n_threads,
            "lora_path": lora_path,
            "chat_format": chat_format,
            "flash_attn": flash_attn,
            "verbose": verbose,
        }
        self.window = n_ctx or 8192
        self.asked: list[dict[str, Any]] = []
        self.busy = threading.Lock()
        StandIn.made.append(self)

    def n_ctx(self) -> int:
        return self.window

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        return [1] * (len(text.split()) + add_bos)

    def create_chat_completion(
        self,
        messages: list[dict[str, str]],
        temperature: float = 0.2,
        top_p: float = 0.95,
        top_k: int = 40,
        min_p: float = 0.05,
        stream: bool = False,
        stop: list[str] | str | None = None,
        seed: int | None = None,
        response_format: dict[str, Any] | None = None,
        max_tokens: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
    ) -> Any:
        assert self.busy.acquire(blocking=False), "a llama.cpp context answers one request at a time"
        try:
            self.asked.append({name: value for name, value in locals().items() if name != "self"})
            n = sum(len(message["content"].split()) for message in messages) + 4
            if n > self.window:
                raise ValueError(f"Requested tokens ({n}) exceed context window of {self.window}")
            if response_format is not None:
                text = json.dumps(_example(response_format["schema"], response_format["schema"]))
            else:
                text = self.reply
            words = text.split(" ")
            cut = max_tokens is not None and len(words) > max_tokens
            words = words[:max_tokens]
            reason = "length" if cut else "stop"
            if stream:
                return self._pieces(words, reason)
            return {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": " ".join(words)},
                        "logprobs": None,
                        "finish_reason": reason,
                    }
                ],
                "usage": {
                    "prompt_tokens": n,
                    "completion_tokens": len(words),
                    "total_tokens": n + len(words),
                },
            }
        finally:
            self.busy.release()

    def _pieces(self, words: list[str], reason: str) -> Iterator[dict[str, Any]]:
        yield {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
        for n, word in enumerate(words):
            piece = word if n == 0 else f" {word}"
            yield {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def _example(schema: dict[str, Any], whole: dict[str, Any]) -> Any:
    """A value that a grammar made from the schema could give."""
    if "$ref" in schema:
        return _example(whole["$defs"][schema["$ref"].rsplit("/", 1)[1]], whole)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: _example(part, whole) for name, part in schema["properties"].items()}
    if kind == "array":
        return [_example(schema["items"], whole)]
    return {"string": "D1", "integer": 1}[str(kind)]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    StandIn.made = []
    module = types.ModuleType("llama_cpp")
    module.Llama = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *a: module if name == "llama_cpp" else find(name, *a)
    )
    return StandIn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    return path


async def ask(model: LlamaCppModel, prompt: str, **more: Any) -> Completion:
    params = {**model.params, **more.pop("params", {})}
    return await model.reply_to(ModelRequest((Message(role="user", content=prompt),), params=params, **more))


async def test_a_request_as_the_package_takes_it(file: Path) -> None:
    model = LlamaCppModel(
        file, gpu_layers=12, threads=3, chat_format="chatml", adapter=file, model_kwargs={"flash_attn": True}
    )
    reply = await ask(
        model, "Why is the bus late?", params={"seed": 7, "repetition_penalty": 1.1, "stop": ["."]}
    )
    assert reply == Completion("late again and again", 9, 4, "stop")
    [loaded] = StandIn.made
    assert loaded.settings == {
        "n_gpu_layers": 12,
        "n_threads": 3,
        "lora_path": str(file),
        "chat_format": "chatml",
        "flash_attn": True,
        "verbose": False,
    }
    [asked] = loaded.asked
    assert asked["messages"] == [{"role": "user", "content": "Why is the bus late?"}]
    assert (asked["temperature"], asked["max_tokens"], asked["seed"]) == (0.0, 1024, 7)
    assert (asked["repeat_penalty"], asked["stop"]) == (1.1, ["."])
    assert model.context_window == 8192
    assert model.count_tokens("three short words") == 3
    assert model.is_free


async def test_a_schema_becomes_a_grammar(file: Path) -> None:
    schema = {"type": "object", "properties": {"stance": {"enum": ["for", "against"]}}}
    reply = await ask(LlamaCppModel(file), "Why?", schema=schema)
    assert json.loads(reply.text) == {"stance": "for"}
    assert StandIn.made[0].asked[0]["response_format"] == {"type": "json_object", "schema": schema}


async def test_requests_come_one_at_a_time(file: Path) -> None:
    model = LlamaCppModel(file)
    replies = await asyncio.gather(*(ask(model, f"Ticket {n}") for n in range(20)))
    assert {reply.text for reply in replies} == {"late again and again"}
    assert len(StandIn.made) == 1
    assert len(StandIn.made[0].asked) == 20


async def test_a_reply_can_be_read_as_it_comes(file: Path) -> None:
    pieces: list[str] = []
    reply = await ask(LlamaCppModel(file), "Why is it so?", on_chunk=pieces.append, params={"max_tokens": 3})
    assert pieces == ["late", " again", " and"]
    assert reply == Completion("late again and", 4, 3, "length")


async def test_errors_say_what_they_mean(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ContextOverflow, match=r"too long .*exceed context window of 16"):
        await ask(LlamaCppModel(file, context_window=16), "so many words " * 20)
    with pytest.raises(InputError, match=r"There is no GGUF file '.*nothing\.gguf'"):
        LlamaCppModel(tmp_path / "nothing.gguf")
    with pytest.raises(UnknownName, match="Did you mean 'temperature'"):
        LlamaCppModel(file, temprature=1)
    other = tmp_path / "other.gguf"
    other.write_bytes(b"something else")
    from text_lloom.errors import ModelSetupError

    with pytest.raises(ModelSetupError, match="could not be loaded: ValueError: Failed to load model"):
        await ask(LlamaCppModel(other), "Why?")

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Failed to parse grammar")

    model = LlamaCppModel(file)
    monkeypatch.setattr(StandIn, "create_chat_completion", refuse)
    with pytest.raises(PermanentError, match="refused the request: Failed to parse grammar"):
        await ask(model, "Why?")


def test_the_package_is_named_when_it_is_missing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(MissingPackage, match=r"'llama-cpp-python'.*pip install 'text_lloom\[llamacpp\]'"):
        LlamaCppModel(file)


@pytest.mark.corpora
async def test_the_whole_run(file: Path, corpora: Path) -> None:
    frame = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(30)
    model = LlamaCppModel(file)
    session = wb.lloom(
        frame, text_col="comment", id_col="doc_id", distill_model="local", cluster_model="local",
        synth_model="local", score_model=model,
    )  # fmt: skip
    await session.gen(debug=False)
    concepts = list(session.concepts)[:1]
    table = await session.score(c_ids=concepts, get_highlights=False)
    assert table is not None
    assert table["score"].tolist() == [1.0] * len(frame)
    assert not session.export_df().empty
    assert session.ledger.totals(step="score").usd == 0.0
