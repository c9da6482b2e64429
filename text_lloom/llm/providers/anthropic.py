"""Anthropic's models, through the package `anthropic`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Unpack

from text_lloom.errors import AnswerRefused, PermanentError, TransientError
from text_lloom.llm.completion import Completion
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.options import (
    NO_KEY,
    SYSTEM_PROMPT,
    ModelOptions,
    checked_url,
    expand_options,
    generation_params,
    key_from,
    missing_key,
)
from text_lloom.llm.providers.sdk import SdkModel, add_list_price, imported
from text_lloom.llm.runtime.event_loop import close_with
from text_lloom.llm.runtime.http import is_loopback

__all__ = ["AnthropicModel"]

_KEY_VARIABLES: Final = ("ANTHROPIC_API_KEY",)
_MAX_TOKENS: Final = 8192
_LONGEST: Final = re.compile(r"max_tokens: \d+ > (\d+)")
_REASONS: Final = {
    "end_turn": "stop",
    "tool_use": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
_TOOL: Final = "answer"


class AnthropicOptions(ModelOptions, total=False):
    """Options of `AnthropicModel`: those of `ModelOptions`, and parameters that only Anthropic has."""

    metadata: Mapping[str, str] | None
    service_tier: str | None
    thinking: Mapping[str, object] | None


class AnthropicModel(SdkModel):
    """A model of Anthropic.

    A request with a schema asks for structured output. Models that refuse that are made to call a tool, and
    those that refuse the tool are asked in words.

    Args:
        name: Name of the model.
        api_key: The key; without one, `ANTHROPIC_API_KEY`, which is sent to Anthropic only and never to a
            `base_url`.
        base_url: Address of another server that speaks Anthropic's protocol.
        system_prompt: The system message.
        **options: Limits, price, and generation parameters such as `temperature=0` (which newer models
            refuse) or `thinking={"type": "disabled"}`; see `ModelOptions`. `max_tokens`
            includes thinking and is 8192 when not given.
    """

    generation_params = generation_params(
        AnthropicOptions, lacking=("frequency_penalty", "presence_penalty", "seed")
    )

    @expand_options(AnthropicOptions)
    def __init__(
        self,
        name: str,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        system_prompt: str | None = SYSTEM_PROMPT,
        **options: Unpack[AnthropicOptions],
    ) -> None:
        self.base_url = checked_url(base_url, ending="/v1")
        if self.base_url is None:
            add_list_price(options, name, "anthropic")
        if options.get("max_tokens") is None:
            options.pop("max_tokens", None)
        key = key_from(_KEY_VARIABLES, api_key, is_elsewhere=self.base_url is not None)
        super().__init__(name, key, system_prompt=system_prompt, **options)
        self._longest: int | None = None

    @property
    def provider_key(self) -> str:
        return f"anthropic:{self.base_url or ''}"

    def _set_up(self) -> Any:
        anthropic = imported("anthropic", extra="anthropic", purpose="AnthropicModel")
        if not self.api_key and self.base_url is None:
            raise missing_key("Anthropic", _KEY_VARIABLES)
        client = anthropic.AsyncAnthropic(
            api_key=self.api_key or NO_KEY,
            base_url=self.base_url,
            max_retries=0,
            timeout=self.timeout,
            http_client=_http_client(anthropic, self.base_url),
        )
        close_with(self, client.close)
        return client

    def _wire_name(self, name: str) -> str:
        return {"stop": "stop_sequences", "reasoning_effort": "effort"}.get(name, name)

    async def _ask(self, request: ModelRequest) -> Completion:
        body, reader = self._body(request), _MessageReader()
        if request.on_chunk is None:
            reader.read(await self.client.messages.create(**body))
            return reader.completion()
        stream = await self.client.messages.create(**body, stream=True)
        try:
            async for event in stream:
                if piece := reader.add(event):
                    request.on_chunk(piece)
        finally:
            await stream.close()
        return reader.completion()

    def _learns(self, message: str, request: ModelRequest, way: int, left_out: frozenset[str]) -> bool:
        if (found := _LONGEST.search(message)) is not None and self._longest != int(found[1]):
            self._longest = int(found[1])
            return True
        return super()._learns(message, request, way, left_out)

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        """Arguments of `messages.create`."""
        params: dict[str, Any] = {
            name: value for name, value in request.params.items() if self._takes(self._wire_name(name))
        }
        most = int(params.pop("max_tokens", None) or _MAX_TOKENS)
        said = [message for message in request.messages if message["role"] != "system"]
        longest = most if self._longest is None else min(most, self._longest)
        body: dict[str, Any] = {"model": self.name, "max_tokens": longest, "messages": said}
        if request.system is not None:
            body["system"] = request.system
        if (stop := params.pop("stop", None)) is not None:
            body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
        output: dict[str, Any] = {}
        if (effort := params.pop("reasoning_effort", None)) is not None:
            output["effort"] = effort
        if request.schema is not None and self._way(request) == 0:
            output["format"] = {"type": "json_schema", "schema": _transformed(request.schema)}
        elif request.schema is not None and self._way(request) == 1:
            tool = {
                "name": _TOOL,
                "description": "Gives the answer.",
                "input_schema": _transformed(request.schema),
            }
            body |= {"tools": [tool], "tool_choice": {"type": "tool", "name": _TOOL}}
        # What the package has no argument for: older models take it, newer ones refuse it.
        body["extra_body"] = params | ({"output_config": output} if output else {})
        return body


@dataclass
class _MessageReader:
    """Reads a message, whole or from the events of a stream."""

    pieces: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    reason: str | None = None
    explanation: str | None = None
    in_tokens: int | None = None
    out_tokens: int | None = None
    model: str | None = None
    cached: int | None = None
    written: int | None = None

    def read(self, message: Any) -> None:
        """Take a whole message.

        Raises:
            PermanentError: When it is something else, as from a server that speaks another protocol.
        """
        if getattr(message, "content", None) is None:
            raise PermanentError(
                f"The server sent no message but: {str(message)[:200]}. Does it speak Anthropic's protocol?"
            )
        self._start(message)
        self.out_tokens = getattr(message.usage, "output_tokens", None)
        for block in message.content:
            if block.type == "text":
                self.pieces.append(block.text)
            elif block.type == "tool_use" and block.name == _TOOL:
                self.pieces.append(json.dumps(block.input, ensure_ascii=False))
            elif block.type == "thinking":
                self.thoughts.append(block.thinking)
        self._end(message)

    def add(self, event: Any) -> str:
        """Take one event of a stream; gives the text that it adds."""
        piece = ""
        if event.type == "message_start":
            self._start(event.message)
        elif event.type == "content_block_delta":
            piece = getattr(event.delta, "text", None) or getattr(event.delta, "partial_json", None) or ""
            self.pieces.append(piece)
            self.thoughts.append(getattr(event.delta, "thinking", None) or "")
        elif event.type == "message_delta":
            self.out_tokens = getattr(event.usage, "output_tokens", None)
            self._end(event.delta)
        return piece

    def completion(self) -> Completion:
        """The whole reply.

        Raises:
            AnswerRefused: When the model declined.
            TransientError: When it ended before it was whole.
        """
        if self.reason is None:
            raise TransientError(
                "The reply ended before it was whole.", in_tokens=self.in_tokens, out_tokens=self.out_tokens
            )
        if self.reason == "refusal":
            raise AnswerRefused(
                f"The model declined to answer: {self.explanation or 'refusal'}.",
                in_tokens=self.in_tokens,
                out_tokens=self.out_tokens,
            )
        reason = _REASONS.get(self.reason, self.reason)
        text = "".join(self.pieces)
        thoughts = "".join(self.thoughts) or None
        return Completion(
            text,
            self.in_tokens,
            self.out_tokens,
            reason,
            model=self.model,
            reasoning=thoughts,
            cached_tokens=self.cached,
            cache_write_tokens=self.written,
        )

    def _start(self, message: Any) -> None:
        self.model = message.model
        if (usage := message.usage) is not None and usage.input_tokens is not None:
            self.cached, self.written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
            self.in_tokens = usage.input_tokens + (self.cached or 0) + (self.written or 0)

    def _end(self, ending: Any) -> None:
        self.reason = ending.stop_reason
        details = getattr(ending, "stop_details", None)
        self.explanation = getattr(details, "explanation", None)


def _http_client(anthropic: Any, base_url: str | None) -> Any:
    """The package's client over aiohttp, which is lighter; `None` for its default where that is not there."""
    is_near = base_url is not None and is_loopback(base_url)
    settings: dict[str, Any] = {"trust_env": False} if is_near else {}  # else it asks the environment's proxy
    try:
        return anthropic.DefaultAioHttpClient(**settings)
    except (AttributeError, RuntimeError):
        return anthropic.DefaultAsyncHttpxClient(**settings) if is_near else None


def _transformed(schema: Mapping[str, object]) -> dict[str, Any]:
    """A schema in the form that Anthropic takes: closed objects, few keywords."""
    import anthropic

    transformed: dict[str, Any] = anthropic.transform_schema(dict(schema))
    return transformed
