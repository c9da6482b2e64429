"""The files and batches endpoints: chat requests as JSON lines, answered after a while."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .protocol import ApiError, check_key
from .provider import Provider

__all__ = ["Batches"]

_STEPS = 20


@dataclass(slots=True)
class _Batch:
    """One batch and what it has made so far."""

    body: dict[str, Any]
    lines: list[dict[str, Any]]
    authorization: str
    output: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


class Batches:
    """Files and batches, kept in memory."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._batches: dict[str, _Batch] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the endpoints."""
        router.add_post("/v1/files", self._upload)
        router.add_get("/v1/files/{id}", self._file)
        router.add_delete("/v1/files/{id}", self._delete)
        router.add_get("/v1/files/{id}/content", self._content)
        router.add_post("/v1/batches", self._create)
        router.add_get("/v1/batches", self._list)
        router.add_get("/v1/batches/{id}", self._batch)
        router.add_post("/v1/batches/{id}/cancel", self._cancel)

    async def close(self, _: web.Application) -> None:
        """Stop the batches in work."""
        for task in self._running.values():
            task.cancel()

    async def _upload(self, request: web.Request) -> web.Response:
        _check(request)
        form = await request.post()
        sent = form.get("file")
        if not isinstance(sent, web.FileField):
            raise _refused("A multipart field 'file' is needed.")
        return web.json_response(self._keep(sent.file.read(), sent.filename, str(form.get("purpose"))))

    async def _file(self, request: web.Request) -> web.Response:
        return web.json_response(self._found(request)[0])

    async def _delete(self, request: web.Request) -> web.Response:
        known, _ = self._found(request)
        del self._files[known["id"]]
        return web.json_response({"id": known["id"], "object": "file", "deleted": True})

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self._found(request)[1], content_type="application/octet-stream")

    async def _create(self, request: web.Request) -> web.Response:
        _check(request)
        wanted = await request.json()
        if wanted.get("input_file_id") not in self._files:
            raise _refused(f"No such File object: {wanted.get('input_file_id')}")
        if wanted.get("endpoint") != "/v1/chat/completions":
            raise _refused(f"Invalid endpoint: {wanted.get('endpoint')}")
        _, content = self._files[wanted["input_file_id"]]
        lines = [json.loads(line) for line in content.splitlines() if line.strip()]
        ids = [line.get("custom_id") for line in lines]
        if len(set(ids)) < len(ids):
            raise _refused("The custom_id of each line must be unique.")
        now = int(time.time())
        body = {
            "id": f"batch_{len(self._batches):08d}",
            "object": "batch",
            "endpoint": wanted["endpoint"],
            "input_file_id": wanted["input_file_id"],
            "completion_window": wanted.get("completion_window", "24h"),
            "status": "validating",
            "created_at": now,
            "expires_at": now + 86_400,
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "metadata": wanted.get("metadata"),
        }
        batch = self._batches[body["id"]] = _Batch(body, lines, request.headers.get("Authorization", ""))
        self._running[body["id"]] = asyncio.create_task(self._run(batch))
        return web.json_response(body)

    async def _list(self, request: web.Request) -> web.Response:
        _check(request)
        known = [batch.body for batch in reversed(self._batches.values())]
        return web.json_response({"object": "list", "data": known, "has_more": False})

    async def _batch(self, request: web.Request) -> web.Response:
        _check(request)
        return web.json_response(self._wanted(request).body)

    async def _cancel(self, request: web.Request) -> web.Response:
        _check(request)
        batch = self._wanted(request)
        if batch.body["status"] not in ("validating", "in_progress"):
            raise _refused(f"Cannot cancel a batch with status '{batch.body['status']}'.")
        batch.body |= {"status": "cancelling", "cancelling_at": int(time.time())}
        answered = dict(batch.body)
        self._running[batch.body["id"]].cancel()
        return web.json_response(answered)

    async def _run(self, batch: _Batch) -> None:
        knobs = self._provider.knobs
        if knobs.batch_end == "failed":
            message = "Enqueued token limit reached for this model in organization org-test."
            problem = {"code": "token_limit_exceeded", "message": message, "param": None, "line": None}
            batch.body["errors"] = {"object": "list", "data": [problem]}
            self._finish(batch, "failed")
            return
        began, delay = time.monotonic(), knobs.batch_delay
        batch.body |= {"status": "in_progress", "in_progress_at": int(time.time())}
        wanted = len(batch.lines)
        if knobs.batch_end == "expired":
            wanted = int(wanted * knobs.batch_share)
        try:
            for step in range(1, _STEPS + 1):
                await asyncio.sleep(max(0.0, began + delay * step / _STEPS - time.monotonic()))
                done = len(batch.output) + len(batch.errors)
                for number in range(done, wanted * step // _STEPS):
                    self._answer(batch, batch.lines[number])
            if knobs.batch_end == "expired":
                self._leave(batch, batch.lines[wanted:])
            self._finish(batch, knobs.batch_end)
        except asyncio.CancelledError:
            self._finish(batch, "cancelled")

    def _leave(self, batch: _Batch, lines: list[dict[str, Any]]) -> None:
        message = "This request could not be executed before the completion window expired."
        for line in lines:
            batch.errors.append(
                {
                    "id": f"batch_req_{line.get('custom_id')}",
                    "custom_id": line.get("custom_id"),
                    "response": None,
                    "error": {"code": "batch_expired", "message": message},
                }
            )
        batch.body["request_counts"] |= {"failed": len(batch.errors)}

    def _answer(self, batch: _Batch, line: dict[str, Any]) -> None:
        log = self._provider.log
        entry = log.arrive("batch")
        try:
            asked = self._provider.admit(entry, line["body"], batch.authorization)
            status, body = 200, self._provider.reply(entry, asked)
        except ApiError as error:
            entry.status, entry.outcome = error.status, error.outcome
            status, body = error.status, error.body
        finally:
            log.leave(entry)
        request_id = f"req_{entry.ordinal}"
        answered = {
            "id": f"batch_req_{entry.ordinal:08d}",
            "custom_id": line.get("custom_id"),
            "response": {"status_code": status, "request_id": request_id, "body": body},
            "error": None,
        }
        (batch.output if status == 200 else batch.errors).append(answered)
        counts = {"completed": len(batch.output), "failed": len(batch.errors)}
        batch.body["request_counts"] |= counts

    def _finish(self, batch: _Batch, status: str) -> None:
        for name, rows in (("output", batch.output), ("error", batch.errors)):
            if rows:
                content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
                kept = self._keep(content, f"{batch.body['id']}_{name}.jsonl", "batch_output")
                batch.body[f"{name}_file_id"] = kept["id"]
        batch.body |= {"status": status, f"{status}_at": int(time.time())}

    def _keep(self, content: bytes, name: str, purpose: str) -> dict[str, Any]:
        known = {
            "id": f"file-{len(self._files):08d}",
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self._files[str(known["id"])] = (known, content)
        return known

    def _found(self, request: web.Request) -> tuple[dict[str, Any], bytes]:
        _check(request)
        found = self._files.get(request.match_info["id"])
        if found is None:
            raise _refused(f"No such File object: {request.match_info['id']}", 404)
        return found

    def _wanted(self, request: web.Request) -> _Batch:
        found = self._batches.get(request.match_info["id"])
        if found is None:
            raise _refused(f"No batch found with id '{request.match_info['id']}'.", 404)
        return found


def _check(request: web.Request) -> None:
    try:
        check_key(request.headers.get("Authorization", ""))
    except ApiError as error:
        raise _as_http(error) from None


def _refused(message: str, status: int = 400) -> web.HTTPException:
    return _as_http(ApiError(status, message))


def _as_http(error: ApiError) -> web.HTTPException:
    kinds = {400: web.HTTPBadRequest, 401: web.HTTPUnauthorized, 404: web.HTTPNotFound}
    return kinds[error.status](text=json.dumps(error.body), content_type="application/json")
