"""JSON over HTTP, with little work per request.

For tens of thousands of requests the client itself becomes the limit: an SDK's request and response models
cost 1 to 4 ms of CPU per call, a bare `aiohttp` session about 0.2 ms (`docs/measurements.md`).
"""

from __future__ import annotations

import asyncio
import importlib
import io
import ipaddress
import json
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from text_lloom.errors import ModelSetupError

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "EventList",
    "HttpError",
    "JsonClient",
    "NoJson",
    "SendTracker",
    "is_loopback",
    "send_tracker",
    "stated_error",
]

_CONNECT_SECONDS = 30.0
_FILE_SECONDS = 1800.0
_KEEP_ALIVE_SECONDS = 60.0
_READ_AHEAD = 2**16
_LONGEST_EVENT = 2**23


class SendTracker:
    """Knows whether a request has been sent.

    Attributes:
        is_used: Whether the client calls `sent`; an SDK or a user's function does not.
        has_sent: Whether it has.
    """

    __slots__ = ("_on_sent", "has_sent", "is_used")

    def __init__(self, send_tracker: Callable[[], object]) -> None:
        self._on_sent = send_tracker
        self.is_used = self.has_sent = False

    def sent(self) -> None:
        """The request has been sent."""
        self.has_sent = True
        self._on_sent()

    @property
    def may_have_sent(self) -> bool:
        """Whether the provider may have received the request."""
        return self.has_sent or not self.is_used

    def is_lost_by(self, error: BaseException) -> bool:
        """Whether there may have been a reply that this error lost."""
        if self.is_used:
            return self.has_sent and not isinstance(error, HttpError)
        return isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower()


send_tracker: ContextVar[SendTracker | None] = ContextVar("send_tracker", default=None)
"""The tracker of the current task's request."""


class HttpError(Exception):
    """A reply with a status of 400 or more.

    Attributes:
        status_code: The status.
        headers: The headers of the reply.
        parameter: What the service refuses, if it names that.
        body: The reply, if it is JSON.
    """

    def __init__(
        self,
        status_code: int,
        message: str,
        headers: Mapping[str, str],
        *,
        parameter: str | None = None,
        body: object = None,
    ) -> None:
        super().__init__(message)
        self.body = body
        self.status_code = status_code
        self.headers = headers
        self.parameter = parameter


class NoJson(ValueError):
    """A reply that is not JSON, such as the page of a web site; `shown` is how it begins."""

    def __init__(self, url: object, received: bytes) -> None:
        self.shown = " ".join(received.decode("utf-8", "replace").split())[:100]
        super().__init__(
            f"{url} sent {self.shown!r} where JSON was expected, so this may be the wrong address"
        )


class EventList(list[dict[str, Any]]):
    """The events of a server that streams though nobody asked for that."""


class JsonClient:
    """Exchanges JSON and files with one service, over connections that are kept open.

    Each event loop gets a session of its own.

    Args:
        base_url: Address to which paths are appended.
        headers: Sent with every request, such as the key.
        timeout: Seconds for a whole request.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str], timeout: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Content-Type": "application/json", **headers}
        self._timeout = timeout
        self._proxy = _proxy_for(self._base_url)
        self._sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession]
        self._sessions = weakref.WeakKeyDictionary()
        importlib.import_module("aiohttp")  # now, so that the first request does not wait for it

    def __repr__(self) -> str:
        return f"JsonClient({self._base_url!r})"

    async def post(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        on_headers: Callable[[Mapping[str, str]], object] | None = None,
    ) -> Any:
        """The JSON value that the service replies with; `on_headers` gets the headers of the reply.

        Server-sent events, if they come instead, are an `EventList`.

        Raises:
            HttpError: For a status of 400 or more.
            NoJson: When the reply is something else.
            ModelSetupError: When the service redirects to another address.
            OSError: When the service cannot be reached, or the connection breaks.
            TimeoutError: When it does not reply in time.
        """
        async with self._posted(path, body) as reply:
            received = await _content(reply)
            if on_headers is not None:
                on_headers(reply.headers)
            return _json(reply, received)

    async def events(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        on_headers: Callable[[Mapping[str, str]], object] | None = None,
    ) -> AsyncIterator[Any]:
        """The JSON values of a reply that comes as server-sent events; see `post`.

        A server that does not stream sends one JSON value, which is the only event then.

        Raises:
            HttpError: For a status of 400 or more, or for an event with an error.
            NoJson: When the reply is something else.
        """
        async with self._posted(path, body, read_bufsize=_LONGEST_EVENT) as reply:
            if reply.status >= 300:
                await _content(reply)
            if on_headers is not None:
                on_headers(reply.headers)
            if reply.content_type == "application/json":
                received = await reply.read()
                event = _event(_json(reply, received), reply.headers)
                if not isinstance(event, dict):
                    raise NoJson(reply.url, received)
                yield event
                return
            no_event, is_stream = b"", False
            async for line in reply.content:
                if not line.startswith(b"data:"):
                    no_event = no_event or line.strip()
                    continue
                text, is_stream = line[5:].strip(), True
                if text == b"[DONE]":
                    return
                try:
                    event = json.loads(text)
                except ValueError:
                    raise ValueError(f"a part of the stream is not JSON: {text[:100]!r}") from None
                if isinstance(event, dict):
                    yield _event(event, reply.headers)
            if no_event and not is_stream:
                raise NoJson(reply.url, no_event)

    async def get(self, path: str) -> Any:
        """The JSON value at a path; raises as `post`."""
        async with self._session().get(
            self._base_url + path, proxy=self._proxy, allow_redirects=False
        ) as reply:
            return _json(reply, await _content(reply))

    async def download(self, path: str) -> bytes:
        """The content of a file, within half an hour; raises as `post`."""
        async with self._session().get(
            self._base_url + path, proxy=self._proxy, timeout=_for_files(), allow_redirects=False
        ) as reply:
            return await _content(reply)

    async def upload(self, path: str, fields: Mapping[str, str], *, file_name: str, content: bytes) -> Any:
        """Post a form with a file, within half an hour; returns the JSON reply, and raises as `post`."""
        import aiohttp

        form = aiohttp.FormData(fields)
        form.add_field("file", io.BytesIO(content), filename=file_name, content_type="application/jsonl")
        payload = form()
        headers = {"Content-Type": payload.headers["Content-Type"]}
        async with self._session().post(
            self._base_url + path,
            data=payload,
            headers=headers,
            proxy=self._proxy,
            timeout=_for_files(),
            allow_redirects=False,
        ) as reply:
            return _json(reply, await _content(reply))

    async def close(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    def _posted(
        self, path: str, body: Mapping[str, object], *, read_bufsize: int = _READ_AHEAD
    ) -> aiohttp.client._RequestContextManager:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        tracker = send_tracker.get()
        if tracker is not None:
            tracker.is_used = True
        return self._session().post(
            self._base_url + path,
            data=content.encode("utf-8", "replace"),
            proxy=self._proxy,
            trace_request_ctx=tracker,
            allow_redirects=False,
            read_bufsize=read_bufsize,
        )

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            import aiohttp

            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_on_sent)
            session = self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=_CONNECT_SECONDS),
                trace_configs=[trace],
            )
        return session


async def _content(reply: aiohttp.ClientResponse) -> bytes:
    received = await reply.read()
    if 300 <= reply.status < 400:
        # Documents and keys go to the address that was given, and nowhere else.
        raise ModelSetupError(
            f"{reply.url} redirects ({reply.status}) to {reply.headers.get('Location', 'another address')}. "
            f"Nothing was sent there; give that address as base_url= if you trust it."
        )
    if reply.status >= 400:
        raise _http_error(reply.status, received, reply.headers)
    return received


def _json(reply: aiohttp.ClientResponse, received: bytes) -> Any:
    try:
        return json.loads(received)
    except ValueError:
        events = _events(received, reply.headers)
        if not events:
            raise NoJson(reply.url, received) from None
        return events


def _events(received: bytes, headers: Mapping[str, str]) -> EventList:
    """The events in a reply, none when it is something else."""
    events = EventList()
    for line in received.splitlines():
        if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
            try:
                event = json.loads(line[5:])
            except ValueError:
                continue
            if isinstance(event, dict):
                events.append(_event(event, headers))
    return events


def _event(event: Any, headers: Mapping[str, str]) -> Any:
    """The event; raises the error that it states, if any."""
    if isinstance(event, dict) and event.get("error"):
        raise stated_error(event, headers) or _http_error(500, json.dumps(event).encode(), headers)
    return event


def stated_error(content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> HttpError | None:
    """The error in a reply with status 200, if it states the status that it should have."""
    error = content.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    if not isinstance(code, int) or not 400 <= code < 600:
        return None
    return _http_error(code, json.dumps({"error": error}).encode(), headers or {})


def _for_files() -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=_FILE_SECONDS, sock_connect=_CONNECT_SECONDS)


async def _on_sent(_: object, context: SimpleNamespace, __: object) -> None:
    tracker = context.trace_request_ctx
    if tracker is not None:
        tracker.sent()


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine, which no proxy can reach."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        mapped = getattr(address, "ipv4_mapped", None) or address
        return bool(mapped.is_loopback or mapped.is_unspecified)
    return False


def _proxy_for(url: str) -> str | None:
    """The proxy for an address by the environment, which aiohttp would read anew for each request."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if not parts.hostname or is_loopback(url) or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _http_error(status: int, received: bytes, headers: Mapping[str, str]) -> HttpError:
    """The error in a reply: in OpenAI's form, in those of similar servers, or as plain text."""
    text = received.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, list):  # Google wraps its errors in a list
        content = next((part for part in content if isinstance(part, dict)), None)
    said = content if isinstance(content, dict) else {}
    error = said.get("error") or said
    if isinstance(error, list):
        error = next((part for part in error if isinstance(part, dict)), "; ".join(map(str, error[:5])))
    if isinstance(error, dict):
        detail = error.get("detail")
        problems = "; ".join(map(_problem, detail[:5])) if isinstance(detail, list) else detail
        if message := error.get("message") or problems or error.get("msg"):
            code = error.get("code") or error.get("type")
            named = f"{message} ({code})" if code else str(message)
            metadata = error.get("metadata")
            if isinstance(metadata, dict) and metadata.get("raw"):  # what the provider behind a gateway said
                named = f"{named}: {str(metadata['raw'])[:500]}"
            parameter = error.get("param")
            given = parameter if isinstance(parameter, str) else None
            return HttpError(status, named, headers, parameter=given, body=content)
    if isinstance(error, str):
        kind = said.get("error_type") or said.get("message") or said.get("detail")
        shown = f"{error} ({kind})" if isinstance(kind, str) else error
        return HttpError(status, shown, headers, body=content)
    shown = " ".join(text.split())[:300] or f"HTTP status {status}"
    return HttpError(status, shown, headers, body=content)


def _problem(detail: object) -> str:
    """One problem with a request's body, as FastAPI reports it."""
    if not isinstance(detail, dict):
        return str(detail)
    where = detail.get("loc")
    place = ".".join(map(str, where)) if isinstance(where, list) else ""
    return f"{place}: {detail.get('msg', '')}" if place else str(detail.get("msg", detail))
