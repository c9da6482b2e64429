"""Google's models, at the Developer API or at Vertex AI, through the package `google-genai`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Unpack

from text_lloom.errors import AnswerRefused, ModelSetupError, TransientError, UnknownName
from text_lloom.llm.completion import Completion, Embeddings
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.options import (
    NO_KEY,
    SYSTEM_PROMPT,
    EmbedOptions,
    ModelOptions,
    checked_url,
    expand_options,
    generation_params,
    key_from,
    missing_key,
)
from text_lloom.llm.providers.sdk import SdkModel, add_list_price, embeddings_of, imported
from text_lloom.llm.runtime.event_loop import close_with
from text_lloom.llm.runtime.http import is_loopback

__all__ = ["GeminiEmbedModel", "GeminiModel", "GoogleConnection"]

_KEY_VARIABLES: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
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


@dataclass(frozen=True)
class GoogleConnection:
    """Where Google's models are asked, and as whom."""

    vertex: bool
    project: str | None
    location: str | None
    credentials: object = field(repr=False)
    base_url: str | None

    def __post_init__(self) -> None:
        checked_url(self.base_url)

    def key(self, api_key: str | None) -> str | None:
        """The key to send: the one given, or for the Developer API that of the environment."""
        return key_from(_KEY_VARIABLES, api_key, is_elsewhere=self.vertex or self.base_url is not None)

    @property
    def provider_key(self) -> str:
        """Identifies the service."""
        where = f"{self.project or ''}/{self.location or ''}" if self.vertex else ""
        return f"{'vertex' if self.vertex else 'gemini'}:{where}{self.base_url or ''}"

    def client(self, api_key: str | None, timeout: float, *, purpose: str) -> Any:
        """A client that leaves trying again to us.

        Raises:
            MissingPackage: Without the package.
            ModelSetupError: When it finds no key or no credentials.
        """
        genai = imported("google.genai", extra="gemini", purpose=purpose)
        if not self.vertex and not api_key and self.base_url is None:
            raise missing_key("Gemini", _KEY_VARIABLES)
        options: dict[str, Any] = {"timeout": round(1000 * timeout), "retry_options": {"attempts": 1}}
        if self.base_url is not None:
            options["base_url"] = self.base_url
            if is_loopback(self.base_url):  # the package's own client asks the environment's proxy
                httpx = imported("httpx", extra="gemini", purpose=purpose)
                options["httpx_async_client"] = httpx.AsyncClient(trust_env=False, timeout=timeout)
        settings: dict[str, Any] = {"vertexai": self.vertex, "http_options": options}
        if self.vertex and not api_key:
            settings |= {"project": self.project, "location": self.location, "credentials": self.credentials}
        else:
            settings["api_key"] = api_key or NO_KEY
        try:
            return genai.Client(**settings)
        except Exception as error:
            raise ModelSetupError(
                f"Google's client could not be made: {type(error).__name__}: {error}. Vertex AI needs "
                f"project=, location= and credentials (`gcloud auth application-default login`), or api_key=."
            ) from None


class GeminiOptions(ModelOptions, total=False):
    """Options of `GeminiModel`: those of `ModelOptions`, and parameters that only Google has."""

    safety_settings: Sequence[Mapping[str, object]] | None


class GeminiModel(SdkModel):
    """A Gemini model, at Google's Developer API or at Vertex AI.

    Args:
        name: Name of the model.
        api_key: The key; without one, `GEMINI_API_KEY` or `GOOGLE_API_KEY`, which is sent to Google only and
            never to a `base_url`. At Vertex AI, `None` uses Google's application default credentials.
        base_url: Address of another server that speaks Google's protocol.
        vertex: Ask Vertex AI.
        project: Project at Vertex AI; else `GOOGLE_CLOUD_PROJECT`.
        location: Region at Vertex AI; else `GOOGLE_CLOUD_LOCATION`.
        credentials: Credentials for Vertex AI, of the package `google-auth`.
        system_prompt: The system message.
        **options: Limits, price, and generation parameters such as `reasoning_effort="low"`; see
            `ModelOptions`. Thinking tokens are counted as output.
    """

    generation_params = generation_params(GeminiOptions)

    @expand_options(GeminiOptions)
    def __init__(
        self,
        name: str,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        vertex: bool = False,
        project: str | None = None,
        location: str | None = None,
        credentials: object = None,
        system_prompt: str | None = SYSTEM_PROMPT,
        **options: Unpack[GeminiOptions],
    ) -> None:
        self._connection = GoogleConnection(vertex, project, location, credentials, base_url)
        if base_url is None:
            add_list_price(options, name, "google")
        super().__init__(name, self._connection.key(api_key), system_prompt=system_prompt, **options)
        self.base_url = base_url
        self.many_generations = True

    @property
    def provider_key(self) -> str:
        return self._connection.provider_key

    def _set_up(self) -> Any:
        client = self._connection.client(self.api_key, self.timeout, purpose="GeminiModel")
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
        reader = _CandidateReader()
        if request.on_chunk is None:
            reader.add(await self.client.aio.models.generate_content(**asked))
            return reader.completion()
        async for chunk in await self.client.aio.models.generate_content_stream(**asked):
            if piece := reader.add(chunk):
                request.on_chunk(piece)
        return reader.completion()

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
class _CandidateReader:
    """Reads the candidates of a reply, whole or from the chunks of a stream."""

    texts: dict[int, list[str]] = field(default_factory=dict)
    thoughts: list[str] = field(default_factory=list)
    reasons: dict[int, str | None] = field(default_factory=dict)
    blocked: str | None = None
    in_tokens: int | None = None
    out_tokens: int | None = None
    model: str | None = None
    cached: int | None = None

    def add(self, chunk: Any) -> str:
        """Take a reply or a part of one; gives the text that it adds to the first candidate."""
        usage, feedback = chunk.usage_metadata, chunk.prompt_feedback
        if usage is not None:
            self.in_tokens = usage.prompt_token_count or self.in_tokens
            written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
            if usage.total_token_count and self.in_tokens:
                written = max(written, usage.total_token_count - self.in_tokens)
            self.out_tokens = written or self.out_tokens
            self.cached = usage.cached_content_token_count or self.cached
        if feedback is not None and feedback.block_reason is not None:
            self.blocked = _name(feedback.block_reason)
        self.model = chunk.model_version or self.model
        new = ""
        for candidate in chunk.candidates or ():
            index = candidate.index or 0
            parts = candidate.content.parts if candidate.content is not None else None
            piece = "".join(part.text or "" for part in parts or () if not part.thought)
            self.texts.setdefault(index, []).append(piece)
            if index == 0:
                self.thoughts += [part.text or "" for part in parts or () if part.thought]
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
        counts = {"in_tokens": self.in_tokens, "out_tokens": self.out_tokens}
        if not self.texts:
            raise TransientError("The server sent a reply with no candidate in it.", **counts)
        if first is None:
            raise TransientError("The reply ended before it was whole.", **counts)
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
            reasoning="".join(self.thoughts) or None,
            cached_tokens=self.cached,
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


class GeminiEmbedModel(EmbedModel):
    """An embedding model of Google, at its Developer API or at Vertex AI.

    Args:
        name: Name of the model.
        api_key: As for `GeminiModel`.
        base_url: Address of another server that speaks Google's protocol.
        task_type: What the vectors are for, such as `"CLUSTERING"`, for models that ask for it.
        vertex: Ask Vertex AI; `project`, `location` and `credentials` are as for `GeminiModel`.
        project: Project at Vertex AI.
        location: Region at Vertex AI.
        credentials: Credentials for Vertex AI.
        **options: Limits, price, size of a batch; see `EmbedOptions`.
    """

    @expand_options(EmbedOptions, batch_size=100, concurrency=4, context_window=2048)
    def __init__(
        self,
        name: str = "gemini-embedding-001",
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        task_type: str | None = None,
        vertex: bool = False,
        project: str | None = None,
        location: str | None = None,
        credentials: object = None,
        **options: Unpack[EmbedOptions],
    ) -> None:
        for given in options:
            if given not in EmbedOptions.__annotations__:
                raise UnknownName(given, EmbedOptions.__annotations__, what="argument of GeminiEmbedModel:")
        self._connection = GoogleConnection(vertex, project, location, credentials, base_url)
        if base_url is None:
            add_list_price(options, name, "google")
        config = {"output_dimensionality": options.pop("dimensions", None), "task_type": task_type}
        sent: dict[str, Any] = {field: value for field, value in config.items() if value is not None}
        super().__init__(name, api_key=self._connection.key(api_key), **options, **sent)
        self.base_url = base_url

    @property
    def provider_key(self) -> str:
        return self._connection.provider_key

    def _set_up(self) -> Any:
        client = self._connection.client(self.api_key, self.timeout, purpose="GeminiEmbedModel")
        close_with(self, client.aio.aclose)
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        contents = [{"role": "user", "parts": [{"text": text}]} for text in texts]
        reply = await self.client.aio.models.embed_content(
            model=self.name, contents=contents, config=dict(self.args)
        )
        embeddings = reply.embeddings or ()
        counted = getattr(getattr(reply, "usage_metadata", None), "prompt_token_count", None)
        if not counted:
            statistics = [getattr(found.statistics, "token_count", None) for found in embeddings]
            counted = int(sum(count or 0 for count in statistics))
        return embeddings_of([(None, found.values) for found in embeddings], len(texts), counted)
