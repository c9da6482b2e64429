"""The HTTP server around the provider."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiohttp import web

from .batches import Batches
from .log import Entry
from .protocol import ApiError, check_key
from .provider import Provider

__all__ = ["make_app"]

_LARGEST_BODY = 512 * 1024 * 1024
_MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-large", "text-embedding-3-small")


def make_app(provider: Provider) -> web.Application:
    """The application: OpenAI's endpoints below /v1, and /_control, /_reset, /_stats."""
    app = web.Application(client_max_size=_LARGEST_BODY)
    routes, batches = _Routes(provider), Batches(provider)
    app.router.add_post("/v1/chat/completions", routes.chat)
    app.router.add_post("/v1/embeddings", routes.embeddings)
    app.router.add_get("/v1/models", routes.models)
    app.router.add_get("/v1/models/{id}", routes.model)
    app.router.add_post("/_control", routes.control)
    app.router.add_post("/_reset", routes.reset)
    app.router.add_get("/_stats", routes.stats)
    batches.add_routes(app.router)
    app.on_cleanup.append(batches.close)
    return app


class _Routes:
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def chat(self, request: web.Request) -> web.Response:
        return await self._serve(request, "chat")

    async def embeddings(self, request: web.Request) -> web.Response:
        return await self._serve(request, "embeddings")

    async def _serve(self, request: web.Request, endpoint: str) -> web.Response:
        log = self._provider.log
        entry = log.arrive(endpoint)
        try:
            return await self._exchange(request, entry)
        except ApiError as error:
            entry.status, entry.outcome = error.status, error.outcome
            return error_response(error)
        finally:
            log.leave(entry)

    async def _exchange(self, request: web.Request, entry: Entry) -> web.Response:
        provider = self._provider
        body = _json(await request.read())
        asked = provider.admit(entry, body, request.headers.get("Authorization", ""))
        # The reply is made half-way through the wait: neither does its making add to the latency, nor do
        # others of a burst seem to arrive later because of it.
        await asyncio.sleep(asked.latency / 2)
        failed: ApiError | None = None
        content = b""
        if asked.fault != "drop":
            try:
                content = json.dumps(provider.reply(entry, asked)).encode()
            except ApiError as error:
                failed = error
        outcome, entry.outcome = entry.outcome, ""
        status, entry.status = entry.status, 0
        await asyncio.sleep(max(0.0, entry.arrived + asked.latency - time.monotonic()))
        transport = request.transport
        if asked.fault == "drop":
            entry.outcome = "drop"
            if transport is not None:
                transport.abort()
            return web.Response()
        if transport is None or transport.is_closing():
            entry.outcome = "gone"
            return web.Response()
        if failed is not None:
            raise failed
        entry.outcome, entry.status = outcome, status
        headers = {"x-request-id": f"req_{entry.ordinal}", **asked.headers}
        return web.Response(body=content, content_type="application/json", headers=headers)

    async def models(self, request: web.Request) -> web.Response:
        try:
            check_key(request.headers.get("Authorization", ""))
        except ApiError as error:
            return error_response(error)
        missing = self._provider.knobs.missing_models
        known = [_model(name) for name in _MODELS if name not in missing]
        return web.json_response({"object": "list", "data": known})

    async def model(self, request: web.Request) -> web.Response:
        return web.json_response(_model(request.match_info["id"]))

    async def control(self, request: web.Request) -> web.Response:
        try:
            knobs = self._provider.control(_json(await request.read()))
        except (ValueError, TypeError, ApiError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(knobs.as_json())

    async def reset(self, _: web.Request) -> web.Response:
        self._provider.reset()
        return web.json_response({})

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response(self._provider.stats(with_log=request.query.get("log") != "0"))


def error_response(error: ApiError) -> web.Response:
    """The error in OpenAI's form."""
    return web.json_response(error.body, status=error.status, headers=error.headers)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "test"}


def _json(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "We could not parse the JSON body of your request.")
    return body
