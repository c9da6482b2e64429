"""Google's Gemini models, through the package `google-genai`: the Developer API and Vertex AI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from text_lloom.errors import AnswerRefused, TransientError
from text_lloom.llm.asked import ModelRequest
from text_lloom.llm.limits import RateLimitSpec
from text_lloom.llm.portal import close_with
from text_lloom.llm.pricing import known_context_window, known_price
from text_lloom.llm.providers.google_service import GoogleService
from text_lloom.llm.providers.sdk import SdkModel
from text_lloom.llm.returned import Completion

__all__ = ["GeminiModel"]

_SYSTEM_PROMPT = "You are careful and exact, and answer in the form that is asked for."
_NAMES: Final = {
    "max_tokens": "maxOutputTokens",
    "stop": "stopSequences",
    "reasoning_effort": "thinkingConfig",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "safety_settings": "safetySettings",
}
_FIELDS: Final = {"max_tokens": "max_output_tokens", "stop": "stop_sequences"}
_REASONS: Final = {"STOP": "stop", "MAX_TOKENS": "length"}
_DECLINED: Final = frozenset(
    {"BLOCKLIST", "MODEL_ARMOR", "PROHIBITED_CONTENT", "RECITATION", "SAFETY", "SPII"}
)
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Thinking tokens by effort for models before Gemini 3 (https://ai.google.dev/gemini-api/docs/openai)."""


class GeminiModel(SdkModel):
    """A Gemini model, at Google's Developer API or at Vertex AI.

    Args:
        name: Name of the model.
        api_key: The key; without one, `GEMINI_API_KEY` or `GOOGLE_API_KEY`, which is sent to Google only and
            never to a `base_url`. At Vertex AI, `None` uses Google's application default credentials.
        base_url: Address of another server that speaks Google's protocol.
        rate_limit: As for `Model`.
        context_window: In tokens; from the price list when not given and known.
        cost: `(input, output)` in USD per token; from the price list when not given and known. Thinking
            tokens are counted as output.
        vertex: Ask Vertex AI.
        project: Project at Vertex AI; else `GOOGLE_CLOUD_PROJECT`.
        location: Region at Vertex AI; else `GOOGLE_CLOUD_LOCATION`.
        credentials: Credentials for Vertex AI, of the package `google-auth`.
        system_prompt: The system message.
        concurrency: As for `Model`.
        timeout: As for `Model`.
        **args: Generation parameters for every call, such as `temperature=0` or `reasoning_effort="low"`.
    """

    ways = 3
    generation_params = frozenset(
        {
            "frequency_penalty",
            "max_tokens",
            "presence_penalty",
            "reasoning_effort",
            "safety_settings",
            "seed",
            "stop",
            "temperature",
            "top_k",
            "top_p",
        }
    )

    def __init__(
        self,
        name: str,
        api_key: str | None = None,
        base_url: str | None = None,
        rate_limit: RateLimitSpec = None,
        context_window: int | None = None,
        cost: object = None,
        *,
        vertex: bool = False,
        project: str | None = None,
        location: str | None = None,
        credentials: object = None,
        system_prompt: str | None = _SYSTEM_PROMPT,
        concurrency: int | None = None,
        timeout: float = 120.0,
        **args: Any,
    ) -> None:
        listed = base_url is None
        self._service = GoogleService(vertex, project, location, credentials, base_url)
        super().__init__(
            name,
            self._service.key(api_key),
            rate_limit,
            context_window or (known_context_window(name, "google") if listed else None),
            cost if cost is not None or not listed else known_price(name, "google"),
            system_prompt=system_prompt,
            concurrency=concurrency,
            timeout=timeout,
            params=args,
        )
        self.base_url = base_url
        self.many_generations = True

    @property
    def provider_key(self) -> str:
        return self._service.provider_key

    def _set_up(self) -> Any:
        client = self._service.client(self.api_key, self.timeout, purpose="GeminiModel")
        close_with(self, client.aio.aclose)
        return client

    def _wire_name(self, name: str) -> str:
        return _NAMES.get(name, name)

    async def _ask(self, request: ModelRequest) -> Completion:
        contents = [
            {"role": "model" if m["role"] == "assistant" else "user", "parts": [{"text": m["content"]}]}
            for m in request.messages
            if m["role"] != "system"
        ]
        if request.n > 1 and not self.many_generations:
            single = replace(request, n=1)
            return _together([await self._ask(single) for _ in range(request.n)])
        asked = {"model": self.name, "contents": contents, "config": self._config(request)}
        reply = _Reply()
        if request.on_chunk is None:
            reply.add(await self.client.aio.models.generate_content(**asked))
            return reply.completion()
        async for chunk in await self.client.aio.models.generate_content_stream(**asked):
            if piece := reply.add(chunk):
                request.on_chunk(piece)
        return reply.completion()

    def _learns(self, message: str, request: ModelRequest, way: int, left_out: frozenset[str]) -> bool:
        if request.n > 1 and "candidate" in message.lower():
            self.many_generations = False
            return True
        return super()._learns(message, request, way, left_out)

    def _config(self, request: ModelRequest) -> dict[str, Any]:
        """Fields of `GenerateContentConfig`."""
        params = {n: v for n, v in request.params.items() if self._takes(self._wire_name(n))}
        config: dict[str, Any] = {_FIELDS.get(name, name): value for name, value in params.items()}
        if isinstance(config.get("stop_sequences"), str):
            config["stop_sequences"] = [config["stop_sequences"]]
        if (effort := config.pop("reasoning_effort", None)) is not None:
            config["thinking_config"] = _thinking(self.name, str(effort))
        if request.system is not None:
            config["system_instruction"] = request.system
        if request.schema is not None and self._way(request) < 2:
            config["response_mime_type"] = "application/json"
            if self._way(request) == 0:
                config["response_json_schema"] = dict(request.schema)
        if request.n > 1:
            config["candidate_count"] = request.n
        return config


@dataclass
class _Reply:
    """The candidates of a reply, read whole or put together from the chunks of a stream."""

    texts: dict[int, list[str]] = field(default_factory=dict)
    reasons: dict[int, str | None] = field(default_factory=dict)
    blocked: str | None = None
    in_tokens: int | None = None
    out_tokens: int | None = None
    model: str | None = None

    def add(self, chunk: Any) -> str:
        """Take a reply or a part of one; gives the text that it adds to the first candidate."""
        usage, feedback = chunk.usage_metadata, chunk.prompt_feedback
        if usage is not None:
            self.in_tokens = usage.prompt_token_count or self.in_tokens
            written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
            self.out_tokens = written or self.out_tokens
        if feedback is not None and feedback.block_reason is not None:
            self.blocked = _name(feedback.block_reason)
        self.model = chunk.model_version or self.model
        new = ""
        for candidate in chunk.candidates or ():
            index = candidate.index or 0
            parts = candidate.content.parts if candidate.content is not None else None
            piece = "".join(part.text or "" for part in parts or () if not part.thought)
            self.texts.setdefault(index, []).append(piece)
            self.reasons[index] = _name(candidate.finish_reason) or self.reasons.get(index)
            new += piece if index == 0 else ""
        return new

    def completion(self) -> Completion:
        """The whole reply.

        Raises:
            AnswerRefused: When the prompt or the reply was blocked.
            TransientError: When there is no reply, or it ended before it was whole.
        """
        first = self.reasons.get(0)
        if self.blocked is not None or first in _DECLINED:
            raise AnswerRefused(
                f"The model declined to answer: {self.blocked or first}.",
                in_tokens=self.in_tokens,
                out_tokens=self.out_tokens,
            )
        if not self.texts:
            raise TransientError("The server sent a reply with no candidate in it.")
        if first is None:
            raise TransientError("The reply ended before it was whole.")
        texts = ["".join(self.texts[index]) for index in sorted(self.texts)]
        reasons = [self.reasons[index] for index in sorted(self.texts)]
        named = [None if reason is None else _REASONS.get(reason, reason.lower()) for reason in reasons]
        return Completion(
            texts[0],
            self.in_tokens,
            self.out_tokens,
            named[0],
            others=tuple(texts[1:]),
            model=self.model,
            other_reasons=tuple(named[1:]),
        )


def _together(replies: Sequence[Completion]) -> Completion:
    """The replies to one request that was asked several times, as of one request."""
    first, *others = replies
    return replace(
        first,
        in_tokens=sum(reply.in_tokens or 0 for reply in replies) or None,
        out_tokens=sum(reply.out_tokens or 0 for reply in replies) or None,
        others=tuple(reply.text for reply in others),
        other_reasons=tuple(reply.finish_reason for reply in others),
    )


def _name(value: Any) -> str | None:
    """The name of one of the package's enumerations."""
    return None if value is None else str(getattr(value, "value", value))


def _thinking(model: str, effort: str) -> Mapping[str, object]:
    """How a model is told how much to think."""
    if model.startswith(("gemini-1", "gemini-2")) or effort == "none":
        return {"thinking_budget": _BUDGETS.get(effort, -1)}
    return {"thinking_level": effort.upper()}
