"""Language models in GGUF files, run by llama.cpp in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Unpack

from text_lloom.errors import ContextOverflow, InputError, PermanentError
from text_lloom.llm.completion import Completion, Reply
from text_lloom.llm.on_device.base import (
    LONG_TIMEOUT,
    Batcher,
    Job,
    OnDeviceModel,
    OnDeviceOptions,
    check_packages,
    load_weights,
)
from text_lloom.llm.options import expand_options, generation_params

__all__ = ["LlamaCppModel"]

_NAMES: Final = {
    **{name: name for name in generation_params(OnDeviceOptions, lacking=["reasoning_effort"])},
    "repetition_penalty": "repeat_penalty",
}
"""Our names of generation parameters, and those of llama-cpp-python."""

_OVERFLOW = "exceed context window"
_LONGEST_REPLY = 1024


class LlamaCppModel(OnDeviceModel):
    """A language model in a GGUF file, run by llama-cpp-python on this machine; free.

    One request is worked on at a time. A grammar enforces a JSON schema; a pattern (`regex=`) is checked
    after the reply, since grammars of llama.cpp are not regular expressions.

    Args:
        path: The GGUF file.
        gpu_layers: How many layers run on a GPU; -1 for all, 0 for none.
        threads: Threads of the processor; half of its cores when not given.
        chat_format: Name of a chat format of llama-cpp-python; the file's own template when not given.
        adapter: A LoRA file to put on top.
        model_kwargs: Further arguments of `llama_cpp.Llama`.
        system_prompt: The system message, if any.
        **options: Generation parameters: `temperature` (0 when not given), `top_p`, `top_k`, `min_p`,
            `max_tokens` (1024 when not given), `stop`, `seed`, `presence_penalty`, `frequency_penalty`,
            `repetition_penalty`; and limits, see `ModelOptions`. Memory grows with `context_window`.

    Raises:
        MissingPackage: When llama-cpp-python is not installed.
        InputError: When there is no such file.
    """

    generation_params = frozenset(_NAMES)

    @expand_options(OnDeviceOptions, cost=0, concurrency=2, timeout=LONG_TIMEOUT)
    def __init__(
        self,
        path: str | Path,
        *,
        gpu_layers: int = -1,
        threads: int | None = None,
        chat_format: str | None = None,
        adapter: str | Path | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        system_prompt: str | None = None,
        **options: Unpack[OnDeviceOptions],
    ) -> None:
        check_packages("llama-cpp-python", extra="llamacpp", purpose="LlamaCppModel")
        file = Path(path).expanduser()
        if not file.is_file():
            raise InputError(f"There is no GGUF file {str(path)!r}.")
        super().__init__(str(file), **options)
        self.gpu_layers, self.threads = gpu_layers, threads
        self.chat_format = chat_format
        self.adapter = None if adapter is None else str(Path(adapter).expanduser())
        self.model_kwargs = dict(model_kwargs or {})
        self.system_prompt = system_prompt
        self._batcher = Batcher(self._answer, batch_size=1)

    def _settings(self) -> dict[str, object]:
        return {"chat_format": self.chat_format, "model": self.model_kwargs}

    def _token_ids(self, text: str) -> Sequence[int]:
        ids: list[int] = self.client.tokenize(text.encode("utf-8", "replace"), add_bos=False)
        return ids

    # What follows runs on the worker thread.

    def _set_up(self) -> Any:
        client = load_weights(self._load, self.label)
        if self.context_window is None:
            self.context_window = int(client.n_ctx())
        return client

    def _load(self) -> Any:
        from llama_cpp import Llama

        return Llama(
            model_path=self.name,
            n_ctx=self.context_window or 0,
            n_gpu_layers=self.gpu_layers,
            n_threads=self.threads,
            chat_format=self.chat_format,
            lora_path=self.adapter,
            verbose=False,
            **self.model_kwargs,
        )

    def _answer(self, jobs: Sequence[Job]) -> list[Completion | Exception]:
        [job] = jobs
        try:
            return [self._complete(job)]
        except ValueError as error:
            if _OVERFLOW in str(error):
                return [ContextOverflow(f"The prompt is too long for model {self.label!r}: {error}.")]
            return [PermanentError(f"Model {self.label!r} refused the request: {error}.")]

    def _complete(self, job: Job) -> Completion:
        request, on_text = job.request, job.on_text
        asked: dict[str, Any] = {"temperature": 0.0, "max_tokens": _LONGEST_REPLY}
        asked |= {_NAMES[name]: value for name, value in request.params.items() if value is not None}
        if request.schema is not None:
            asked["response_format"] = {"type": "json_object", "schema": dict(request.schema)}
        messages = [dict(message) for message in request.messages]
        if on_text is None:
            return _read_whole(self.client.create_chat_completion(messages=messages, **asked))
        chunks = self.client.create_chat_completion(messages=messages, stream=True, **asked)
        reply = _read_pieces(chunks, on_text, job)
        # Pieces come without usage, so the tokens of the messages are counted, without those of the template.
        prompt = "".join(message["content"] for message in request.messages)
        return Completion(
            reply.text, self.count_tokens(prompt), self.count_tokens(reply.text), reply.finish_reason
        )


def _read_whole(reply: Any) -> Completion:
    choice, usage = reply["choices"][0], reply.get("usage") or {}
    return Completion(
        choice["message"].get("content") or "",
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        choice.get("finish_reason"),
    )


def _read_pieces(chunks: Iterator[Any], on_text: Callable[[str], object], job: Job) -> Reply:
    text, reason = "", None
    for chunk in chunks:
        choice = chunk["choices"][0]
        reason = choice.get("finish_reason") or reason
        piece = choice["delta"].get("content") or ""
        if piece:
            text += piece
            on_text(piece)
        if job.abandoned:
            break
    return Reply(text, reason)
