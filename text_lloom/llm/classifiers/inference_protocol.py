"""Classifiers behind the Open Inference Protocol v2: KServe, MLServer, Triton, Seldon, …

A classifier of texts scores documents on concepts; one of tokens gives labelled spans.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack
from urllib.parse import quote, urlsplit

from text_lloom.errors import (
    InputError,
    LloomError,
    ModelError,
    ModelNotFound,
    PermanentError,
    TransientError,
)
from text_lloom.llm.classifiers.classifier import STEPS, BatchClassify, Classifier, Labels
from text_lloom.llm.classifiers.outputs import (
    Activation,
    ClassSelection,
    LabelledSpan,
    Offsets,
    Tensor,
    pick_output,
    read_outputs,
    read_probabilities,
    read_spans,
    text_tensor,
)
from text_lloom.llm.completion import Embeddings
from text_lloom.llm.control.rate_limits import RateLimitSpec
from text_lloom.llm.control.retry import as_model_error
from text_lloom.llm.dispatch.dispatcher import ALL_OR_NOTHING
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import Read, TextReader, read_texts
from text_lloom.llm.model import EmbedModel
from text_lloom.llm.options import EmbedOptions
from text_lloom.llm.runtime.event_loop import close_with, run_async, run_sync
from text_lloom.llm.runtime.http import JsonClient, NoJson
from text_lloom.tasks import ScoreDocuments, Task
from text_lloom.tasks.map import MAP_STEP, MapDocument

__all__ = ["InferenceProtocolModel"]

_ACTIVATIONS = ("none", "softmax", "sigmoid")
_UNKNOWN_MODEL = ("unknown model", "not found", "no such model", "is not ready")
_ENDPOINT = re.compile(r"/v2(?:/models/.*)?\Z")
"""What people copy with an address, and we append ourselves."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class InferenceProtocolModel(Classifier):
    """A classifier on a server that speaks the Open Inference Protocol v2, as `score_model` or for `map`.

    The probability of a class is the score of its concept: from `steps[0]` on it is 1 (a match), then .75,
    .5, .25 and 0. Highlights are empty, since a classifier quotes nothing. A classifier of tokens answers
    `l.map(question, model=…)` with the spans of each document that it has labelled, as a list of
    `{"label", "start", "end", "text", "score"}`.

    Args:
        url: Address of the server, such as `http://localhost:8080`; without `/v2`.
        name: Name of the model on the server.
        labels: Which class stands for which concept: concept name or id → the index of the class or its
            name; or a list of concept names in the order of the model's classes. Left out for a token
            classifier, which scores nothing and answers `l.map`.
        classes: Names of all classes of the model, in order; needed when `labels` names classes and the
            server answers with numbers.
        version: Of the model; the server's choice when not given.
        output: Name of the output to ask for, such as `predict_proba`; the one that the server gives when
            it is clear which.
        input_name: Name of the input.
        column: Send texts as `[n, 1]` instead of `[n]`.
        content_type: How MLServer reads the bytes; `None` leaves it out.
        activation: `"softmax"` or `"sigmoid"` when the server gives raw scores instead of probabilities.
        steps: From which probabilities on a document scores 1, .75, .5 and .25. With
            `(0.5, 0.5, 0.5, 0.5)` a document either matches or does not.
        offsets: For a token classifier that gives one class per token: a function that gives the first and
            the last position (exclusive) of each token of a text.
        outside: The class of tokens that belong to nothing.
        parameters: Sent with each request, as the `parameters` of the protocol.
        headers: Sent with each request, such as a host name for KServe.
        api_key: Sent as a bearer token.
        batch_size: Texts in one request.
        rate_limit: As in `ModelOptions`.
        concurrency: The largest number of requests in flight.
        timeout: Seconds after which a request is given up and tried again.

    Example:
        model = InferenceProtocolModel(
            "http://localhost:8080", "toxicity", labels={"Insults": 1}, output="predict_proba"
        )
        l = wb.lloom(df, text_col="text", score_model=model)
    """

    def __init__(
        self,
        url: str,
        name: str,
        labels: Labels | None = None,
        *,
        classes: Sequence[str] = (),
        version: str | None = None,
        output: str | None = None,
        input_name: str = "text",
        column: bool = False,
        content_type: str | None = "str",
        activation: Activation = "none",
        steps: Sequence[float] = STEPS,
        offsets: Offsets | None = None,
        outside: str = "O",
        parameters: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        batch_size: int = 64,
        rate_limit: RateLimitSpec = None,
        concurrency: int | None = 8,
        timeout: float = 60.0,
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise InputError(f"activation={activation!r} must be 'none', 'softmax' or 'sigmoid'.")
        if isinstance(classes, str):
            raise InputError(f"classes={classes!r} must be a list of names.")
        super().__init__(name, labels=labels, steps=steps)
        self.classes = tuple(classes)
        self.offsets, self.outside = offsets, outside
        self._served = _Served(
            _base_url(url),
            name,
            api_key,
            ClassSelection(self.columns, self.classes),
            _Query(
                version,
                output,
                input_name,
                column,
                content_type,
                activation,
                dict(parameters or {}),
                dict(headers or {}),
            ),
            batch_size=batch_size,
            rate_limit=rate_limit,
            concurrency=concurrency,
            timeout=timeout,
        )

    @property
    def probabilities(self) -> EmbedModel:
        return self._served

    async def ready(self, *, wait: float = 0.0) -> None:
        """Check that server and model are ready; `sync_ready` is its twin.

        Args:
            wait: Seconds for which to go on asking until they are.

        Raises:
            ModelNotFound: When the server knows no such model.
            TransientError: When the server cannot be reached, or it or the model is not ready in time.
        """
        await run_async(self._served.ready(wait))

    def sync_ready(self, *, wait: float = 0.0) -> None:
        """As `ready`, without `await`."""
        run_sync(self._served.ready(wait))

    def can_solve(self, task_type: type[Task[Any]]) -> bool:
        return issubclass(task_type, ScoreDocuments if self.labels else MapDocument)

    async def classify(
        self, tasks: Sequence[Task[Any]], *, run: Run, on_answer: Callable[[int, Any], None]
    ) -> LloomError | None:
        questions = [task for task in tasks if isinstance(task, MapDocument)]
        if self.labels or len(questions) < len(tasks):
            return await super().classify(tasks, run=run, on_answer=on_answer)
        blank: list[LabelledSpan] = []
        return await BatchClassify(
            self._span_reader(), questions, _listed, blank=blank, run=run, on_answer=on_answer
        ).all()

    async def spans(self, texts: Sequence[str]) -> list[list[LabelledSpan]]:
        """The labelled spans of each text, by a token classifier.

        Raises:
            ModelError: When the server refuses, fails, or sends something else.
        """
        found: dict[str, list[LabelledSpan]] = {}

        def keep(texts: list[str], spans: list[LabelledSpan] | LloomError, _: int) -> None:
            if not isinstance(spans, LloomError):
                found.update(dict.fromkeys(texts, spans))

        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        ended = await run_async(
            read_texts(
                self._span_reader(), distinct, keep, run=Run(), step=MAP_STEP, give_up_after=ALL_OR_NOTHING
            )
        )
        if ended is not None:
            raise ended
        return [found.get(text, []) for text in texts]

    def _span_reader(self) -> _SpanReader:
        return _SpanReader(self._served, self.classes, self.offsets, self.outside)

    def __repr__(self) -> str:
        return f"InferenceProtocolModel({self._served.url!r}, {self.name!r}, labels={self.labels!r})"


class _SpanReader(TextReader[list[LabelledSpan]]):
    """Reads the labelled spans of texts."""

    def __init__(
        self, served: _Served, classes: Sequence[str], offsets: Offsets | None, outside: str
    ) -> None:
        super().__init__(served)
        self._served, self._classes, self._offsets, self._outside = served, classes, offsets, outside

    async def read(self, batch: list[str]) -> Read[list[LabelledSpan]]:
        tensor = await self._served.infer(batch)
        spans = read_spans(tensor, batch, classes=self._classes, offsets=self._offsets, outside=self._outside)
        return Read(spans, None)


def _listed(task: MapDocument, found: Sequence[list[LabelledSpan]]) -> list[dict[str, object]]:
    return [span._asdict() for spans in found for span in spans]


@dataclass(frozen=True)
class _Query:
    """How the server is asked, and how its reply is read; as `InferenceProtocolModel` documents it."""

    version: str | None
    output: str | None
    input_name: str
    column: bool
    content_type: str | None
    activation: Activation
    parameters: Mapping[str, object]
    headers: Mapping[str, str]


class _Served(EmbedModel):
    """The probabilities of the wanted classes, as rows that are batched, limited, retried and kept."""

    def __init__(
        self,
        url: str,
        name: str,
        api_key: str | None,
        selection: ClassSelection,
        query: _Query,
        **options: Unpack[EmbedOptions],
    ) -> None:
        options["cost"] = 0
        super().__init__(
            name,
            api_key=api_key,
            version=query.version,
            classes=[selection.columns, selection.classes],
            output=query.output,
            input_name=query.input_name,
            activation=query.activation,
            parameters=query.parameters,
            **options,
        )
        self.url, self._selection, self._query = url, selection, query
        version_path = "" if query.version is None else f"/versions/{quote(query.version, safe='')}"
        self._path = f"/v2/models/{quote(name, safe='')}{version_path}"

    @property
    def provider_key(self) -> str:
        return f"inference protocol:{self.url}"

    def _set_up(self) -> Any:
        key = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        client = JsonClient(self.url, headers={**self._query.headers, **key}, timeout=self.timeout)
        close_with(self, client.close)
        return client

    async def embed_batch(self, texts: Sequence[str]) -> Embeddings:
        tensor = await self.infer(texts)
        activation = self._query.activation
        return Embeddings(
            read_probabilities(tensor, len(texts), self._selection, activation=activation), None
        )

    async def infer(self, texts: Sequence[str]) -> Tensor:
        """The output for some texts.

        Raises:
            ModelError: When the server refuses, fails, or sends something else.
        """
        query = self._query
        tensor = text_tensor(query.input_name, texts, column=query.column, content_type=query.content_type)
        body: dict[str, object] = {"inputs": [tensor]}
        if query.output is not None:
            body["outputs"] = [{"name": query.output}]
        if query.parameters:
            body["parameters"] = query.parameters
        try:
            reply = await self.client.post(f"{self._path}/infer", body)
        except NoJson as error:
            raise TransientError(
                f"The server of model {self.label!r} sent no JSON but {error.shown!r}. Is {self.url} the "
                f"address of an inference server?"
            ) from None
        except Exception as error:
            raise self._understood(error) from None
        return pick_output(read_outputs(reply), query.output)

    async def ready(self, wait: float) -> None:
        """Return once the server and the model are ready, or raise after `wait` seconds."""
        deadline, pause = time.monotonic() + wait, _FIRST_PAUSE
        while True:
            try:
                await self._check("/v2/health/ready", "server")
                await self._check(f"{self._path}/ready", "model")
                return
            except ModelError as error:
                if isinstance(error, PermanentError) and not wait:
                    raise
                if time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _check(self, path: str, what: str) -> None:
        """Ask whether something is ready. The status says so; bodies differ, and may be empty."""
        try:
            async with asyncio.timeout(self.timeout):
                body: bytes = await self.client.download(path)
        except Exception as error:
            raise self._understood(error) from None
        said = body.decode("utf-8", "replace").replace(" ", "").lower()
        if '"ready":false' in said or '"live":false' in said:
            raise TransientError(f"The {what} of model {self.label!r} at {self.url} is not ready.")

    def _understood(self, error: Exception) -> ModelError:
        """The error of this package for what a server or the connection to it says."""
        found = as_model_error(error, model=self.label, timeout=self.timeout, redact=self.redact)
        status = getattr(error, "status_code", None)
        lowered = str(error).lower()
        if type(found) is ModelNotFound and "model" not in lowered:
            return ModelNotFound(f"{found} If the name is right, the address {self.url} may not be.")
        if status == 400 and any(sign in lowered for sign in _UNKNOWN_MODEL):
            return ModelNotFound(
                f"The server {self.url} knows no model {self.name!r}, or has not loaded it: "
                f"{self.redact(str(error))[:200]}. Check the name."
            )
        return found


def _base_url(url: str) -> str:
    if (
        not isinstance(url, str)
        or urlsplit(url).scheme not in ("http", "https")
        or not urlsplit(url).hostname
    ):
        raise InputError(
            f"url={url!r} must be the address of an inference server, such as 'http://localhost:8080'."
        )
    if urlsplit(url).username or urlsplit(url).password:
        raise InputError("url= must not hold a name or password; give api_key= or headers=.")
    return _ENDPOINT.sub("", url.rstrip("/"))
