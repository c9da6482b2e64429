"""OpenAI's Batch API: files of requests that are answered within a day, at half the price.

A batch is paid for once it is created, so it must never be created twice: before another try, the provider is
asked whether the first one went through.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from text_lloom.errors import InputError, ModelNotFound, PermanentError, RateLimited, TransientError
from text_lloom.llm.completion import Completion
from text_lloom.llm.control.retry import RetryPolicy, as_model_error
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import Model
from text_lloom.llm.providers.openai_formats import read_completion

if TYPE_CHECKING:
    from text_lloom.llm.providers.openai import OpenAIModel

__all__ = [
    "BATCH_PRICE",
    "MOST_BYTES",
    "MOST_REQUESTS",
    "BatchEndpoint",
    "BatchFile",
    "BatchJob",
    "BatchLine",
    "BatchResult",
    "BatchStatus",
    "find_batch_endpoint",
    "need_batch_endpoint",
]

R = TypeVar("R")

BATCH_PRICE: Final = 0.5
"""What a request costs in a batch, as a share of its price when asked at once."""
MOST_REQUESTS: Final = 50_000
MOST_BYTES: Final = 200_000_000
"""Limits of one file (https://platform.openai.com/docs/guides/batch)."""

_PATH = "/v1/chat/completions"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_PAGE = 100
_MOST_PAGES = 20
# JSON leaves these characters as they are, but some programs end a line at them.
_LINE_ENDS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class BatchJob(NamedTuple):
    """One batch at the provider.

    Attributes:
        id: The provider's id; `""` while it is not known whether the batch was created.
        file_id: The provider's id of the file with the requests.
        model: Name of the model.
        created: When it was sent, seconds since the epoch.
        requests: Number of requests.
        state: One of the provider's: `validating`, `in_progress`, `finalizing`, `completed`, `failed`,
            `expired`, `cancelling` or `cancelled`; or `sent` before its first reply, `unknown` if the
            provider does not know the batch.
    """

    id: str
    file_id: str
    model: str
    created: float
    requests: int
    state: str


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What the provider says about a batch.

    Attributes:
        id: Its id.
        state: See `BatchJob`.
        done: Requests that were answered or have failed.
        output_file: Id of the file with the answers, if there are any yet.
        error_file: Id of the file with the requests that failed, if there are any yet.
        reason: What is wrong with the batch as a whole, `""` if nothing is.
    """

    id: str
    state: str
    done: int
    output_file: str | None
    error_file: str | None
    reason: str

    @property
    def has_ended(self) -> bool:
        """Whether there will be no further answers."""
        return self.state in _ENDED


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one request.

    Attributes:
        key: The request's `custom_id`.
        status: Its HTTP status; `None` if it was not tried.
        body: The reply.
        reason: Why it failed or was not tried, `""` otherwise.
    """

    key: str
    status: int | None
    body: Any
    reason: str


class BatchLine(NamedTuple):
    """One request of a file: its key, and the line with its end."""

    key: str
    content: bytes


def find_batch_endpoint(model: object, *, policy: RetryPolicy, jitter: random.Random) -> BatchEndpoint | None:
    """The Batch API of a model, `None` if it has none; arguments as for `BatchEndpoint`."""
    return model.batch_endpoint(policy=policy, jitter=jitter) if isinstance(model, Model) else None


def need_batch_endpoint(model: object, *, policy: RetryPolicy, jitter: random.Random) -> BatchEndpoint:
    """The Batch API of a model; arguments as for `BatchEndpoint`.

    Raises:
        InputError: When the model has none.
    """
    endpoint = find_batch_endpoint(model, policy=policy, jitter=jitter)
    if endpoint is not None:
        return endpoint
    named = getattr(model, "label", None) or type(model).__name__
    raise InputError(
        f"mode='batch' needs a score_model with a Batch API, which is an OpenAIModel with endpoint='chat', "
        f"but {named!r} is {_described(model)}. Use mode='live', or pass score_model=OpenAIModel(...)."
    )


def _described(model: object) -> str:
    endpoint = getattr(model, "endpoint", None)
    kind = type(model).__name__
    return f"a model of type {kind}" + (f" with endpoint={endpoint!r}" if isinstance(endpoint, str) else "")


class BatchFile:
    """The requests of one file, up to what the provider takes."""

    def __init__(self, *, most_requests: int = MOST_REQUESTS, most_bytes: int = MOST_BYTES) -> None:
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._lines: list[BatchLine] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: BatchLine) -> bool:
        """Add a request if there is room for it, and return whether there was; an empty file takes any."""
        is_full = len(self) >= self._most_requests or self._bytes + len(line.content) > self._most_bytes
        if self._lines and is_full:
            return False
        self._lines.append(line)
        self._bytes += len(line.content)
        return True

    @property
    def keys(self) -> list[str]:
        """The keys of its requests."""
        return [line.key for line in self._lines]

    @property
    def content(self) -> bytes:
        """What is uploaded."""
        return b"".join(line.content for line in self._lines)


class BatchEndpoint:
    """The files and batches of one model's provider.

    `policy` says how often to try a call again, `jitter` draws the waits between tries.
    """

    def __init__(self, model: OpenAIModel, *, policy: RetryPolicy, jitter: random.Random) -> None:
        self.model, self._policy, self._jitter = model, policy, jitter

    def line(self, key: str, request: ModelRequest) -> BatchLine:
        """The line with the request that `OpenAIModel.complete` would send."""
        body = self.model.request_body(request)
        content = {"custom_id": key, "method": "POST", "url": _PATH, "body": body}
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        for character, escaped in _LINE_ENDS.items():
            text = text.replace(character, escaped)
        return BatchLine(key, text.encode("utf-8", "replace") + b"\n")

    def read(self, body: object) -> Completion:
        """The reply in the body of a result, as `OpenAIModel.complete` reads it.

        Raises:
            ModelError: When the body reports an error.
        """
        return read_completion(body)

    @property
    def answer_format(self) -> int:
        """The form in which the next batch asks for answers; see `OpenAIModel.answer_format`."""
        return self.model.answer_format

    def adapt(self, refusal: str, answer_format: int) -> None:
        """Have the next batch leave out what the provider refused.

        Args:
            refusal: The provider's message.
            answer_format: The `answer_format` of the refused request.
        """
        self.model.adapt(refusal, {}, answer_format)

    async def upload(self, content: bytes) -> str:
        """Upload a file of requests; returns its id.

        Raises:
            PermanentError: When the provider has no files or does not take this one.
        """
        try:
            reply = await self._tried(
                lambda: self.model.client.upload(
                    "/files", {"purpose": "batch"}, file_name="requests.jsonl", content=content
                )
            )
        except ModelNotFound as error:
            raise PermanentError(
                f"The server of model {self.model.label!r} seems to have no Batch API: {error} "
                f"Use mode='live'."
            ) from None
        return _text(reply, "id")

    async def create(self, file_id: str, *, is_new: bool = True) -> BatchStatus:
        """Create the batch of a file, but never a second one; `is_new` if this is the first attempt.

        Raises:
            PermanentError: When the provider refuses; there is no batch then.
            TransientError: When it cannot be reached; there may be a batch then.
        """
        body = {"input_file_id": file_id, "endpoint": _PATH, "completion_window": "24h"}
        tried = not is_new

        async def once() -> BatchStatus:
            nonlocal tried
            found = await self._find(file_id) if tried else None
            tried = True
            return found or _status(await self.model.client.post("/batches", body))

        try:
            return await self._tried(once)
        except ModelNotFound as error:
            raise PermanentError(f"The batch was not taken: {error} Use mode='live'.") from None

    async def status(self, job_id: str) -> BatchStatus:
        """The state of a batch.

        Raises:
            ModelNotFound: When the provider does not know it.
        """
        path = f"/batches/{quote(job_id, safe='')}"
        return _status(await self._tried(lambda: self.model.client.get(path)))

    async def cancel(self, job_id: str) -> BatchStatus:
        """Stop a batch, unless it has ended; its answers so far stay, and are paid for.

        Raises:
            ModelNotFound: When the provider does not know it.
        """
        path = f"/batches/{quote(job_id, safe='')}/cancel"
        try:
            return _status(await self._tried(lambda: self.model.client.post(path, {})))
        except ModelNotFound:
            raise
        except PermanentError:
            status = await self.status(job_id)
            if status.has_ended or status.state == "cancelling":
                return status
            raise

    async def results(self, status: BatchStatus) -> list[BatchResult]:
        """The results of a batch that has ended, as far as the provider gives them."""
        found: list[BatchResult] = []
        for file_id in (status.output_file, status.error_file):
            if file_id is not None:
                path = f"/files/{quote(file_id, safe='')}/content"
                content = await self._tried(lambda path=path: self.model.client.download(path))  # type: ignore[misc]
                found += await asyncio.to_thread(lambda content=content: list(_results(content)))  # type: ignore[misc]
        return found

    async def find(self, file_id: str) -> BatchStatus | None:
        """The batch of a file, `None` if it is not among the latest two thousand batches."""
        return await self._tried(lambda: self._find(file_id))

    async def _find(self, file_id: str) -> BatchStatus | None:
        after = ""
        for _ in range(_MOST_PAGES):
            page = await self.model.client.get(f"/batches?limit={_PAGE}{after}")
            listed = [entry for entry in page.get("data") or () if isinstance(entry, Mapping)]
            for entry in listed:
                if entry.get("input_file_id") == file_id:
                    return _status(entry)
            if not listed or not page.get("has_more"):
                break
            after = f"&after={quote(_text(listed[-1], 'id'), safe='')}"
        return None

    async def _tried(self, call: Callable[[], Awaitable[R]]) -> R:
        """The result of a call, after further tries when an error is transient."""
        model, policy = self.model, self._policy
        failed = 0
        while True:
            try:
                return await call()
            except Exception as error:
                found = as_model_error(error, model=model.label, timeout=model.timeout, redact=model.redact)
                failed += 1
                if not isinstance(found, TransientError) or failed >= policy.attempts:
                    raise found from None
                wait = found.retry_after or 0.0 if isinstance(found, RateLimited) else 0.0
                await asyncio.sleep(wait + policy.backoff(failed, self._jitter))


def _status(reply: Any) -> BatchStatus:
    counts = reply.get("request_counts") or {}
    listed = (reply.get("errors") or {}).get("data") or ()
    reasons = [
        str(entry["message"]) for entry in listed if isinstance(entry, Mapping) and entry.get("message")
    ]
    return BatchStatus(
        id=_text(reply, "id"),
        state=_text(reply, "status"),
        done=int(counts.get("completed") or 0) + int(counts.get("failed") or 0),
        output_file=reply.get("output_file_id") or None,
        error_file=reply.get("error_file_id") or None,
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _results(content: bytes) -> Iterator[BatchResult]:
    """The results in a file; lines that cannot be read are left out."""
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
            key = entry["custom_id"]
        except (ValueError, TypeError, KeyError):
            continue
        if not isinstance(key, str):
            continue
        response, error = entry.get("response"), entry.get("error")
        if isinstance(response, Mapping) and isinstance(response.get("status_code"), int):
            status, body = response["status_code"], response.get("body")
            yield BatchResult(key, status, body, "" if status < 400 else _error_message(body))
        else:
            yield BatchResult(key, None, None, _error_message({"error": error}))


def _error_message(body: object) -> str:
    error = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(error, Mapping):
        code = error.get("code") or error.get("type")
        message = str(error.get("message") or "no reason was given")
        return f"{message} ({code})" if code else message
    return " ".join(str(error or body or "no reason was given").split())[:300]


def _text(reply: Any, name: str) -> str:
    value = reply.get(name) if isinstance(reply, Mapping) else None
    if not isinstance(value, str) or not value:
        raise PermanentError(f"The provider's reply has no {name!r}: {str(reply)[:200]}")
    return value
