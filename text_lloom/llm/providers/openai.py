"""Models of OpenAI, and of every server that speaks its protocols: chat, completions, embeddings."""

from __future__ import annotations

import base64
import random
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, Unpack

from text_lloom.errors import BadAnswer, FormRefused, InputError, ModelError, PermanentError, UnknownName
from text_lloom.llm.batches import BatchEndpoint
from text_lloom.llm.completion import Completion, Embeddings, in_order
from text_lloom.llm.control.capability_probe import (
    SchemaSupport,
    may_refuse,
    refused_parameter,
    refuses_form,
    refuses_many,
)
from text_lloom.llm.control.retry import RetryPolicy, as_model_error
from text_lloom.llm.control.wordings import says
from text_lloom.llm.dispatch.attempt import limiter_of
from text_lloom.llm.messages import ModelRequest
from text_lloom.llm.model import EmbedModel, Model
from text_lloom.llm.options import SYSTEM_PROMPT, EmbedOptions, ModelOptions, expand_options
from text_lloom.llm.providers.openai_formats import ANSWER_FORMATS, FORMATS
from text_lloom.llm.providers.servers import Presets, ServerConnection
from text_lloom.llm.providers.table import CompatibleServer
from text_lloom.llm.runtime.event_loop import close_with
from text_lloom.llm.runtime.http import EventList, stated_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_MODELS",
    "DefaultModels",
    "Endpoint",
    "OpenAIEmbedModel",
    "OpenAIEmbedOptions",
    "OpenAIModel",
    "OpenAIOptions",
]

Endpoint: TypeAlias = Literal["chat", "responses", "completions"]


class DefaultModels(NamedTuple):
    """Names of the models used for each operator when a key is set and none is named."""

    distill: str
    cluster: str
    synth: str
    score: str


DEFAULT_MODELS: Final = DefaultModels("gpt-4o-mini", "text-embedding-3-large", "gpt-4o", "gpt-4o-mini")

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_PAUSE: Final = 60.0
_NO_STREAM: Final = re.compile(r"\bstream(?:ing|ed)?\b(?!_)")
_TEMPERATURE: Final = 0.0
_COMPLETION_TOKENS: Final = 2048
"""The largest number of tokens of a plain completion; servers cut after 16 when none is stated."""
_NEVER_LEFT_OUT: Final = frozenset({"model", "messages", "input", "prompt", "instructions", "stream", "n"})
_LONGEST_NAMES: Final = ("max_tokens", "max_completion_tokens")


class OpenAIOptions(ModelOptions, total=False):
    """Options of `OpenAIModel`: those of `ModelOptions`, and parameters that only some servers have."""

    chat_template_kwargs: Mapping[str, object] | None
    logit_bias: Mapping[str, float] | None
    metadata: Mapping[str, str] | None
    min_p: float | None
    models: Sequence[str] | None
    prompt_cache_key: str | None
    prompt_mode: str | None
    provider: Mapping[str, object] | None
    random_seed: int | None
    reasoning: Mapping[str, object] | None
    reasoning_format: str | None
    repeat_penalty: float | None
    repetition_penalty: float | None
    safe_prompt: bool | None
    safety_identifier: str | None
    service_tier: str | None
    store: bool | None
    verbosity: str | None


_RARE: Final = frozenset(OpenAIOptions.__annotations__) - frozenset(ModelOptions.__annotations__)


class OpenAIModel(Presets, Model):
    """A model of OpenAI or of any server that speaks its protocol.

    Args:
        name: Name of the model; `"name@http://host:8000/v1"` names its server, too.
        api_key: The key; without one, that of the server's own environment variable, such as
            `OPENAI_API_KEY`, which is sent to that provider only and never to another `base_url`.
        base_url: Address of a compatible server, such as `http://localhost:8000/v1`.
        system_prompt: The system message.
        endpoint: `"chat"`, `"responses"` or `"completions"` (one text in, one text out).
        server: The kind of server: `"openai"`, a name such as `"groq"` or `"ollama"`, for which there are
            methods, too (`OpenAIModel.groq("llama-3.3-70b-versatile")`), or a `CompatibleServer`.
        api_version: For Azure, such as `"2024-10-21"`.
        extra_body: Further fields of every request that only this server knows.
        **options: Limits, price, and generation parameters such as `max_tokens=500`; see `ModelOptions`.
            `temperature` is 0 when not given, and is left out for models that refuse it.
    """

    stays_on_loop = True
    streams = True
    learns = True

    @expand_options(OpenAIOptions, hidden=_RARE, temperature=_TEMPERATURE)
    def __init__(
        self,
        name: str = DEFAULT_MODELS.score,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        system_prompt: str = SYSTEM_PROMPT,
        endpoint: Endpoint = "chat",
        server: str | CompatibleServer = "openai",
        api_version: str | None = None,
        extra_body: Mapping[str, object] | None = None,
        **options: Unpack[OpenAIOptions],
    ) -> None:
        if endpoint not in FORMATS:
            raise UnknownName(endpoint, FORMATS, what="endpoint")
        if endpoint == "completions":
            options.setdefault("max_tokens", _COMPLETION_TOKENS)
        if options.get("temperature") is None:
            options.pop("temperature", None)
        self._connection = connection = ServerConnection(server, name, api_key, base_url, api_version)
        self.endpoint, self._format = endpoint, FORMATS[endpoint]
        self.many_generations = self._format.many
        self._longest = "max_tokens" if connection.is_unknown else connection.server.longest
        extra_params = connection.server.params | ({"top_k"} if connection.is_unknown else set())
        self.generation_params = self._format.params | extra_params
        options["cost"] = connection.price(options.get("cost"))
        options["context_window"] = connection.window(options.get("context_window"))
        super().__init__(connection.name, api_key=connection.key, **options)
        self.base_url = connection.base_url
        self.system_prompt = system_prompt
        if extra_body is not None and not isinstance(extra_body, Mapping):
            raise InputError(f"extra_body={extra_body!r} must be fields and values, such as {{'top_k': 40}}.")
        self.extra_body = dict(extra_body or {})
        self._schemas = SchemaSupport(len(ANSWER_FORMATS))
        self._in_pieces = True
        self._only_in_pieces = False
        self._takes_system = True
        self._left_out: set[str] = set()

    @property
    def provider_key(self) -> str:
        key = self._connection.provider_key
        return key if self.endpoint == "chat" else f"{key} {self.endpoint}"

    @property
    def parameters(self) -> Mapping[str, object]:
        return self.extra_body

    def batch_endpoint(self, *, policy: RetryPolicy, jitter: random.Random) -> BatchEndpoint | None:
        return BatchEndpoint(self, policy=policy, jitter=jitter) if self.endpoint == "chat" else None

    def _set_up(self) -> Any:
        client = self._connection.client(self.timeout)
        close_with(self, client.close)
        return client

    async def complete(self, request: ModelRequest) -> Completion:
        if request.n > 1 and not self.many_generations:
            request = replace(request, n=1)
        known, body = self._schemas.refused_for(request.schema), self.request_body(request)
        try:
            if body.get("stream"):
                completion = await self._stream(request.on_chunk, body)
            else:
                path = self._format.path + self._connection.query
                reply = await self.client.post(path, body, on_headers=self._on_headers)
                completion = self._read_whole(reply, request.on_chunk)
        except Exception as error:
            found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
            if self._learns(error, found, request, body, known):
                raise FormRefused(str(found)) from None
            raise self._connection.advised(found, error) from None
        if completion.usd is None or self._connection.server.reports_cost:
            return completion
        return replace(completion, usd=None)  # an amount of unknown meaning

    async def _stream(self, on_chunk: Callable[[str], object] | None, body: Mapping[str, Any]) -> Completion:
        """The reply to a request for a stream, whose text goes to `on_chunk` in pieces."""
        path, was_sent = self._format.path + self._connection.query, False
        pieces = self._format.pieces()
        async for event in self.client.events(path, body, on_headers=self._on_headers):
            piece = pieces.add(event)
            if piece and on_chunk is not None:
                on_chunk(piece)
                was_sent = True
        completion = pieces.completion()
        if on_chunk is not None and not was_sent and completion.text:
            on_chunk(completion.text)
        return completion

    def _read_whole(self, reply: object, on_chunk: Callable[[str], object] | None) -> Completion:
        """A reply that came whole, or as a stream nobody asked for; given to `on_chunk` at once."""
        if isinstance(reply, EventList):
            pieces = self._format.pieces()
            for event in reply:
                pieces.add(event)
            completion = pieces.completion()
        else:
            completion = self._format.read(reply)
        if on_chunk is not None and completion.text:
            on_chunk(completion.text)
        return completion

    def request_body(self, request: ModelRequest) -> dict[str, Any]:
        """What is sent to ask a request, as a JSON object."""
        answer_format = ANSWER_FORMATS[self._schemas.refused_for(request.schema)]
        if not self._takes_system:
            request = request.without_system()
        body = self._format.body(self.name, request, answer_format=answer_format, longest=self._longest)
        if request.regex is not None and self._connection.server.patterns:
            body["structured_outputs"] = {"regex": request.regex}
        if (request.on_chunk is not None and self._in_pieces) or self._only_in_pieces:
            body["stream"] = True
            if self.endpoint != "responses":
                body["stream_options"] = {"include_usage": True}
        for name in self._left_out:
            body.pop(name, None)
        return body | self.extra_body

    def _on_headers(self, headers: Mapping[str, str]) -> None:
        """Pause all requests of this model when the provider says that none is left until a reset."""
        if self.limit.windows:
            return
        for unit in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{unit}") == "0":
                seconds = seconds_of(headers.get(f"x-ratelimit-reset-{unit}", ""))
                if seconds:
                    limiter_of(self)[0].pause(min(seconds, _LONGEST_PAUSE))

    @property
    def answer_format(self) -> int:
        """How answers are asked for: 0 as a JSON schema, 1 as a JSON object, 2 in words alone."""
        return self._schemas.refused

    def _learns(
        self, error: Exception, found: ModelError, request: ModelRequest, body: Mapping[str, Any], known: int
    ) -> bool:
        """Whether a refusal leaves something else to try."""
        if not may_refuse(found, error):  # a key, a length: nothing to learn from
            return False
        said = str(error)
        if request.system is not None and says("no system role", said) and _has_system(body):
            self._takes_system = False
            return True
        if not body.get("stream") and says("only streams", said):
            self._only_in_pieces = True
            return True
        if type(found) is not PermanentError:
            is_form = request.schema is not None and refuses_form(said)
            return is_form and self._schemas.refuse(said, request.schema, known)
        parameter = getattr(error, "parameter", None)
        if request.n > 1 and refuses_many(str(error), named=parameter):
            self.many_generations = False
            return True
        if "stream" in body and (parameter == "stream" or _NO_STREAM.search(str(error).lower())):
            self._in_pieces = False
            return True
        adapted = self.adapt(str(error), request.schema, known, sent=body, parameter=parameter)
        return adapted and self.request_body(request) != body

    def adapt(
        self,
        message: str,
        schema: Mapping[str, object] | None,
        known: int,
        *,
        sent: Mapping[str, Any] | None = None,
        parameter: str | None = None,
    ) -> bool:
        """Remember what this server refuses; whether that leaves something else to try.

        Args:
            message: What the server said.
            schema: That of the request.
            known: The `answer_format` of the request, or of requests with this schema.
            sent: What was sent; what the model sends in every request when not given.
            parameter: The parameter that the server named by itself.
        """
        if schema is not None and refuses_form(message):
            return self._schemas.refuse(message, schema, known)
        body = self.params if sent is None else sent
        if body.get("temperature") == _TEMPERATURE and "temperature" in message.lower():
            self._left_out.add("temperature")  # ours, not the user's: whatever is wrong with it
            return True
        removable = [name for name in body if name not in _NEVER_LEFT_OUT]
        refused = refused_parameter(message, removable, named=parameter)
        if refused is None or refused in self.extra_body:
            return False
        if refused in _LONGEST_NAMES and self.endpoint == "chat":
            other = _LONGEST_NAMES[1 - _LONGEST_NAMES.index(refused)]
            if self._longest == refused and (other in message or refused == "max_completion_tokens"):
                self._longest = other
            return True
        self._left_out.add(refused)
        if refused in body and (refused, body[refused]) != ("temperature", _TEMPERATURE):
            warnings.warn(
                f"Model {self.label!r} refuses the parameter {refused!r}, so it is left out.", stacklevel=2
            )
        return True


def _has_system(body: Mapping[str, Any]) -> bool:
    """Whether a request has a system message apart from what is asked."""
    return "instructions" in body or any(part["role"] == "system" for part in body.get("messages", ()))


class OpenAIEmbedOptions(EmbedOptions, total=False):
    """Options of `OpenAIEmbedModel`: those of `EmbedOptions`, and fields that are sent with every call."""

    encoding_format: str | None
    input_type: str | None
    truncate: str | None
    user: str | None


class OpenAIEmbedModel(Presets, EmbedModel):
    """An embedding model of OpenAI or of any server that speaks its protocol.

    Args:
        name: Name of the model; `"name@http://host:8000/v1"` names its server, too.
        api_key: As for `OpenAIModel`.
        base_url: Address of a compatible server.
        server: As for `OpenAIModel`; `OpenAIEmbedModel.mistral("mistral-embed")`.
        api_version: For Azure, such as `"2024-10-21"`.
        **options: Limits, price, size of a batch (what the server takes, when not given); see
            `EmbedOptions`. Anything else is sent with every call, such as `dimensions=256`; servers have
            more such fields than are listed, and ignore those that they do not know.

    Raises:
        UnknownName: For a name that is nearly a known one.
    """

    @expand_options(OpenAIEmbedOptions, concurrency=8)
    def __init__(
        self,
        name: str = DEFAULT_MODELS.cluster,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        server: str | CompatibleServer = "openai",
        api_version: str | None = None,
        **options: Unpack[OpenAIEmbedOptions],
    ) -> None:
        self._connection = connection = ServerConnection(server, name, api_key, base_url, api_version)
        if options.get("batch_size") is None:
            options["batch_size"] = connection.server.embed_batch
        options["cost"] = connection.price(options.get("cost"))
        options["context_window"] = connection.window(options.get("context_window"))
        super().__init__(connection.name, api_key=connection.key, **options)
        self.base_url = connection.base_url

    @property
    def provider_key(self) -> str:
        return self._connection.provider_key

    def _set_up(self) -> Any:
        client = self._connection.client(self.timeout)
        close_with(self, client.close)
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        body: dict[str, Any] = {"model": self.name, "input": list(texts)}
        if self._connection.server.packed_vectors:
            body["encoding_format"] = "base64"
        try:
            reply = await self.client.post("/embeddings" + self._connection.query, body | dict(self.args))
        except Exception as error:
            found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
            raise self._connection.advised(found, error) from None
        return _read_embeddings(reply, len(texts))


def _read_embeddings(reply: object, n: int) -> Embeddings:
    """The vectors in a reply, in the order of the texts.

    Raises:
        BadAnswer: When there are not `n` vectors of one length.
    """
    import numpy as np

    content = reply if isinstance(reply, Mapping) else {}
    rows = content.get("data")
    if (error := stated_error(content)) is not None:
        raise error
    if not isinstance(rows, list) or not all(isinstance(r, Mapping) and "embedding" in r for r in rows):
        raise BadAnswer(f"The server sent no embeddings but: {str(reply)[:200]}")
    ordered = in_order([(row.get("index"), row["embedding"]) for row in rows], n)
    vectors = [_vector(embedding) for embedding in ordered]
    if len(lengths := {len(vector) for vector in vectors}) != 1:
        raise BadAnswer(f"The provider sent vectors of different lengths: {sorted(lengths)}.")
    usage = content.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return Embeddings(np.stack(vectors), tokens or None)


def _vector(embedding: object) -> NDArray[np.float32]:
    import numpy as np

    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding), dtype="<f4").astype(np.float32)
        return np.asarray(embedding, dtype=np.float32).reshape(-1)
    except (TypeError, ValueError):
        raise BadAnswer(f"The provider sent {str(embedding)[:80]!r} where a vector was expected.") from None


def seconds_of(duration: str) -> float:
    """Seconds in a duration as OpenAI's headers state it, such as `6m0s`, `1.5s` or `120ms`; 0 if unclear."""
    parts = _DURATION.findall(duration.strip())
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != duration.strip():
        return 0.0
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
