"""OpenAI, and every server that speaks its chat-completions and embeddings protocols."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from text_lloom.errors import AnswerRefused, InputError, ModelSetupError, PermanentError
from text_lloom.llm.asked import ModelRequest
from text_lloom.llm.limits import RateLimitSpec
from text_lloom.llm.model import EmbedModel, Model, limiter_of
from text_lloom.llm.portal import close_with
from text_lloom.llm.pricing import known_context_window, known_price
from text_lloom.llm.retry import as_model_error
from text_lloom.llm.returned import Completion, Embeddings
from text_lloom.llm.wire import JsonClient

__all__ = ["DEFAULT_MODELS", "DefaultModels", "OpenAIEmbedModel", "OpenAIModel", "read_completion"]


class DefaultModels(NamedTuple):
    """Names of the models used for each operator when a key is set and none is named."""

    distill: str
    cluster: str
    synth: str
    score: str


DEFAULT_MODELS: Final = DefaultModels("gpt-4o-mini", "text-embedding-3-large", "gpt-4o", "gpt-4o-mini")

_KEY_VARIABLE = "OPENAI_API_KEY"
_URL_VARIABLE = "OPENAI_BASE_URL"
_URL = "https://api.openai.com/v1"
_SYSTEM_PROMPT = "You are careful and exact, and answer in the form that is asked for."
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_PAUSE = 60.0
_FORMATS = ("json_schema", "json_object", "none")
_FORMAT_SIGNS = ("response_format", "json_schema", "json_object", "structured output")


class OpenAIModel(Model):
    """A chat model of OpenAI or of any compatible server.

    Args:
        name: Name of the model.
        api_key: The key; without one, the environment variable `OPENAI_API_KEY`, which is sent to OpenAI
            only and never to a `base_url`.
        base_url: Address of a compatible server, such as `http://localhost:8000/v1`.
        rate_limit: As for `Model`.
        context_window: In tokens; from the price list when not given and known.
        cost: `(input, output)` in USD per token; from the price list when not given and known.
        system_prompt: The system message.
        temperature: Sampling temperature; left out for models that refuse it.
        concurrency: As for `Model`.
        timeout: As for `Model`.
        **args: Passed on in every call, such as `seed=1` or `max_tokens=500`.
    """

    many_generations = True
    stays_on_loop = True

    def __init__(
        self,
        name: str = DEFAULT_MODELS.score,
        api_key: str | None = None,
        base_url: str | None = None,
        rate_limit: RateLimitSpec = None,
        context_window: int | None = None,
        cost: object = None,
        *,
        system_prompt: str = _SYSTEM_PROMPT,
        temperature: float | None = 0.0,
        concurrency: int | None = None,
        timeout: float = 120.0,
        **args: Any,
    ) -> None:
        listed = base_url is None
        super().__init__(
            name,
            None,
            None,
            _key(api_key, base_url),
            rate_limit,
            context_window or (known_context_window(name, "openai") if listed else None),
            cost if cost is not None or not listed else known_price(name, "openai"),
            concurrency=concurrency,
            timeout=timeout,
            **({} if temperature is None else {"temperature": temperature}),
            **args,
        )
        self.base_url = base_url
        self.system_prompt = system_prompt
        self._format = 0
        self._refused: set[str] = set()
        self._strict_schemas: dict[int, tuple[Mapping[str, object], dict[str, Any]]] = {}

    @property
    def provider_key(self) -> str:
        return f"openai:{self.base_url or ''}"

    def _set_up(self) -> Any:
        client = _make_client(self.api_key, self.base_url, self.timeout)
        close_with(self, client.close)
        return client

    async def complete(self, request: ModelRequest) -> Completion:
        while True:
            known, refused = self._format, len(self._refused)
            try:
                return read_completion(
                    await self.client.post(
                        "/chat/completions", self.request_body(request), on_headers=self._heed
                    )
                )
            except Exception as error:
                found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
                if not isinstance(found, PermanentError) or not self.adapt(str(error), request.schema, known):
                    raise found from None
                if (known, refused) == (self._format, len(self._refused)):
                    raise found from None

    def request_body(self, request: ModelRequest) -> dict[str, Any]:
        """What is sent to ask a request, as a JSON object."""
        body: dict[str, Any] = {"model": self.name, "messages": list(request.messages)}
        schema = request.schema
        if schema is not None and _FORMATS[self._format] == "json_schema":
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": self._strict(schema), "strict": True},
            }
        elif schema is not None and _FORMATS[self._format] == "json_object":
            body["response_format"] = {"type": "json_object"}
        body |= request.params
        if request.n > 1:
            body["n"] = request.n
        for name in self._refused:
            body.pop(name, None)
        return body

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Hold all requests of this model back when the provider says that none is left for a while."""
        if self.limit.windows:
            return
        for unit in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{unit}") == "0":
                seconds = seconds_of(headers.get(f"x-ratelimit-reset-{unit}", ""))
                if seconds:
                    limiter_of(self)[0].pause(min(seconds, _LONGEST_PAUSE))

    def _strict(self, schema: Mapping[str, object]) -> dict[str, Any]:
        """The strict form of a schema, made once per schema object."""
        known = self._strict_schemas.get(id(schema))
        if known is None or known[0] is not schema:
            known = self._strict_schemas[id(schema)] = (schema, strict_schema(schema))
        return known[1]

    @property
    def answer_format(self) -> int:
        """How answers are asked for: 0 as a JSON schema, 1 as a JSON object, 2 in words alone."""
        return self._format

    def adapt(self, message: str, schema: Mapping[str, object] | None, known: int) -> bool:
        """Remember what this server refuses; whether that leaves something else to try.

        Args:
            message: What the server said.
            schema: That of the request.
            known: The `answer_format` of the request.
        """
        lowered = message.lower()
        if schema is not None and any(sign in lowered for sign in _FORMAT_SIGNS):
            self._format = max(self._format, min(known + 1, len(_FORMATS) - 1))
            return True
        if "temperature" in lowered and "temperature" not in self._refused:
            self._refused.add("temperature")
            return True
        return False


class OpenAIEmbedModel(EmbedModel):
    """An embedding model of OpenAI or of any compatible server.

    Args:
        name: Name of the model.
        api_key: The key; without one, the environment variable `OPENAI_API_KEY`.
        base_url: Address of a compatible server.
        batch_size: The largest number of texts in one call.
        rate_limit: As for `Model`.
        cost: USD per token; from the price list when not given and known.
        context_window: In tokens; from the price list when not given and known.
        concurrency: As for `Model`.
        timeout: As for `Model`.
        **args: Passed on in every call, such as `dimensions=256`.
    """

    def __init__(
        self,
        name: str = DEFAULT_MODELS.cluster,
        api_key: str | None = None,
        base_url: str | None = None,
        batch_size: int = 512,
        rate_limit: RateLimitSpec = None,
        cost: object = None,
        context_window: int | None = None,
        *,
        concurrency: int | None = 8,
        timeout: float = 120.0,
        **args: Any,
    ) -> None:
        listed = base_url is None
        super().__init__(
            name,
            None,
            None,
            _key(api_key, base_url),
            batch_size,
            rate_limit,
            cost if cost is not None or not listed else known_price(name, "openai"),
            context_window or (known_context_window(name, "openai") if listed else None),
            concurrency=concurrency,
            timeout=timeout,
            **args,
        )
        self.base_url = base_url

    @property
    def provider_key(self) -> str:
        return f"openai:{self.base_url or ''}"

    def _set_up(self) -> Any:
        client = _make_client(self.api_key, self.base_url, self.timeout)
        close_with(self, client.close)
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        import numpy as np

        body = {"model": self.name, "input": list(texts), "encoding_format": "base64", **self.args}
        reply = await self.client.post("/embeddings", body)
        rows = sorted(reply["data"], key=lambda row: row.get("index", 0))
        vectors = np.stack([_vector(row["embedding"]) for row in rows])
        tokens = (reply.get("usage") or {}).get("prompt_tokens")
        return Embeddings(vectors, tokens or None)


def seconds_of(duration: str) -> float:
    """Seconds in a duration as OpenAI's headers state it, such as `6m0s`, `1.5s` or `120ms`; 0 if unclear."""
    parts = _DURATION.findall(duration.strip())
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != duration.strip():
        return 0.0
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def strict_schema(schema: Mapping[str, object]) -> dict[str, Any]:
    """A JSON schema in the strict subset: every object closed, every property required, no defaults."""

    def closed(node: Any) -> Any:
        if isinstance(node, list):
            return [closed(part) for part in node]
        if not isinstance(node, Mapping):
            return node
        kept = {key: closed(value) for key, value in node.items() if key not in ("default", "title")}
        properties = node.get("properties")
        if isinstance(properties, Mapping):
            kept["properties"] = {name: closed(value) for name, value in properties.items()}
            kept["required"] = list(properties)
            kept["additionalProperties"] = False
        return kept

    result: dict[str, Any] = closed(schema)
    return result


def _key(api_key: str | None, base_url: str | None) -> str | None:
    """The key to send; the one in the environment goes to OpenAI only, never to another server."""
    if api_key is not None and not isinstance(api_key, str):
        raise InputError(f"api_key must be a string, but is {type(api_key).__name__}.")
    if base_url is not None:
        return api_key or "EMPTY"
    return api_key or os.environ.get(_KEY_VARIABLE)


def _make_client(api_key: str | None, base_url: str | None, timeout: float) -> JsonClient:
    if not api_key:
        raise ModelSetupError(
            f"No OpenAI key was found. Set the environment variable {_KEY_VARIABLE}, or pass api_key=. "
            f"(Without a key, the local engine runs: leave the models out.)"
        )
    address = base_url or os.environ.get(_URL_VARIABLE) or _URL
    return JsonClient(address, headers={"Authorization": f"Bearer {api_key}"}, timeout=timeout)


def read_completion(reply: Any) -> Completion:
    """The completion in a server's reply.

    Raises:
        AnswerRefused: When the model declined.
        PermanentError: When the reply is something else.
    """
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not choices:
        raise PermanentError(f"The server sent no chat completion but: {str(reply)[:200]}")
    message = choices[0].get("message") or {}
    reason = choices[0].get("finish_reason")
    text = message.get("content") or ""
    others = tuple((choice.get("message") or {}).get("content") or "" for choice in choices[1:])
    if reason == "content_filter" or message.get("refusal"):
        raise AnswerRefused(f"The model declined to answer: {message.get('refusal') or 'content filter'}.")
    usage = reply.get("usage") or {}
    return Completion(text, usage.get("prompt_tokens"), usage.get("completion_tokens"), reason, None, others)


def _vector(embedding: str | list[float]) -> Any:
    import numpy as np

    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4").astype(np.float32)
    return np.asarray(embedding, dtype=np.float32)
