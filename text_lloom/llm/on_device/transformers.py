"""Language models of transformers in this process, whose requests are generated in batches."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple, Unpack

from text_lloom.errors import ContextOverflow, InputError, ModelSetupError
from text_lloom.llm.completion import Completion
from text_lloom.llm.messages import Message, ModelRequest
from text_lloom.llm.on_device.base import (
    LONG_TIMEOUT,
    Batcher,
    Job,
    OnDeviceModel,
    OnDeviceOptions,
    check_packages,
    load_weights,
    pick_device,
)
from text_lloom.llm.on_device.constrained import Constraint, ConstraintMaker
from text_lloom.llm.on_device.generation import BatchRow, Generated, generate_rows, sampling_of, stops_of
from text_lloom.llm.options import expand_options, whole_number

__all__ = ["TransformersModel"]

_BITS = (None, 4, 8)
_PARAMS: Final = frozenset(
    ("max_tokens", "min_p", "repetition_penalty", "seed", "stop", "temperature", "top_k", "top_p")
)
_ROLES: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
_LONGEST_REPLY = 1024
_SPARE = 3
"""A reply in a requested form may be at least this many times as long as the shortest one."""
_SHORTEST_ROOM = 16
"""A prompt that leaves fewer tokens than this for a reply is too long."""


class _Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    window: int | None


class TransformersModel(OnDeviceModel):
    """A causal language model on this machine; free.

    Requests in flight are generated together, in batches of up to `batch_size`. With a schema or a pattern,
    decoding is constrained to it and a reply is always whole, however small the model. What is drawn for a
    request depends on its seed alone, not on what else is in its batch.

    Prompts go through the tokenizer's chat template. A tokenizer without one gets plain text: each message
    as `System: …`, `User: …` or `Assistant: …`, blank lines between them, and `Assistant:` at the end. A
    template that knows no system messages gets that message at the head of the first user message.

    Args:
        source: Folder of the model, or its id on the Hugging Face hub.
        adapter: Folder or id of a PEFT adapter, such as one of LoRA, put on top of the model.
        device: `"auto"` (a GPU if there is one), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        bits: 8 or 4 quantise the weights while they are loaded; needs a CUDA GPU and bitsandbytes.
        batch_size: The largest number of requests that are generated together.
        chat_template: A template in Jinja to use instead of the tokenizer's own.
        template_kwargs: Passed on to the template, such as `{"enable_thinking": False}`.
        trust_remote_code: Allow code that comes with the model to run on this machine.
        model_kwargs: Passed on to the loading of the weights, such as `{"dtype": "bfloat16"}` or
            `{"device_map": "auto"}`.
        tokenizer_kwargs: Passed on to the loading of the tokenizer.
        revision: Of a model on the hub.
        system_prompt: The system message, if any.
        **options: Generation parameters: `temperature` (0 when not given), `top_p`, `top_k`, `min_p`,
            `max_tokens` (when not given, 1024, or more if the requested form needs it), `stop`, `seed`,
            `repetition_penalty`; and limits, see `ModelOptions`. `concurrency` is two batches when not
            given, so that one waits while one is worked on.

    Raises:
        MissingPackage: When torch or transformers is not installed, or peft for an adapter.

    Example:
        model = TransformersModel("Qwen/Qwen3-4B-Instruct-2507", batch_size=16)
        l = wb.lloom(df, text_col="text", distill_model=model, synth_model=model, score_model=model)
    """

    many_generations = True
    constrains = True
    generation_params = _PARAMS

    @expand_options(OnDeviceOptions, cost=0, timeout=LONG_TIMEOUT)
    def __init__(
        self,
        source: str,
        *,
        adapter: str | None = None,
        device: str = "auto",
        bits: int | None = None,
        batch_size: int = 8,
        chat_template: str | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        revision: str | None = None,
        system_prompt: str | None = None,
        **options: Unpack[OnDeviceOptions],
    ) -> None:
        check_packages("torch", "transformers", extra="transformers", purpose="TransformersModel")
        if adapter is not None:
            check_packages("peft", extra="transformers", purpose="adapter=")
        if bits not in _BITS:
            raise InputError(f"bits={bits!r} must be 4, 8 or None.")
        batch = whole_number(batch_size, what="batch_size")
        options["concurrency"] = options.get("concurrency") or 2 * batch
        super().__init__(source, **options)
        self.adapter, self.device, self.bits = adapter, device, bits
        self.chat_template, self.template_kwargs = chat_template, dict(template_kwargs or {})
        self.trust_remote_code, self.revision = trust_remote_code, revision
        self.model_kwargs, self.tokenizer_kwargs = dict(model_kwargs or {}), dict(tokenizer_kwargs or {})
        self.system_prompt = system_prompt
        self.batch_size = batch
        sampling_of(self.params)  # refuses faulty values now
        self._batcher = Batcher(self._answer, batch_size=batch)

    def _settings(self) -> dict[str, object]:
        return {
            "bits": self.bits,
            "revision": self.revision,
            "model": self.model_kwargs,
            "tokenizer": self.tokenizer_kwargs,
            "template": [self.chat_template, self.template_kwargs],
        }

    def _token_ids(self, text: str) -> Sequence[int]:
        ids: list[int] = self.client.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    # What follows runs on the worker thread.

    def _set_up(self) -> Any:
        loaded = load_weights(self._load, self.label)
        if self.context_window is None:
            self.context_window = loaded.window
        return loaded

    def _load(self) -> _Loaded:
        import transformers

        shared = {"trust_remote_code": self.trust_remote_code, "revision": self.revision}
        kwargs = dict(self.model_kwargs)
        if self.bits is not None:
            kwargs["quantization_config"] = _quantisation(self.bits)
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.name, **shared, **self.tokenizer_kwargs)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token_id is None:
            raise ModelSetupError(
                f"The tokenizer of model {self.label!r} has no token for padding. Name one with "
                f"tokenizer_kwargs={{'pad_token': …}}."
            )
        model = transformers.AutoModelForCausalLM.from_pretrained(self.name, **shared, **kwargs)
        if self.adapter is not None:
            import peft

            model = peft.PeftModel.from_pretrained(model, self.adapter)
        if self.bits is None and "device_map" not in kwargs:
            model = model.to(pick_device(self.device))
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return _Loaded(model.eval(), tokenizer, None if positions is None else int(positions))

    @cached_property
    def _constraints(self) -> ConstraintMaker:
        loaded: _Loaded = self.client
        head = loaded.model.get_output_embeddings()
        # Quantised weights have a shape of their own.
        size = getattr(head, "out_features", None) or head.weight.shape[0]
        return ConstraintMaker(loaded.tokenizer, int(size))

    def _answer(self, jobs: Sequence[Job]) -> list[Completion | Exception]:
        answers: list[Completion | Exception | None] = [None] * len(jobs)
        rows: list[BatchRow] = []
        owner: list[int] = []
        for position, job in enumerate(jobs):
            try:
                made = self._rows(job)
            except Exception as error:
                answers[position] = error
            else:
                rows += made
                owner += [position] * len(made)
        generated = self._generate(rows)
        for position in range(len(jobs)):
            if answers[position] is None:
                mine = [n for n, whose in enumerate(owner) if whose == position]
                answers[position] = _completion([generated[n] for n in mine], rows[mine[0]])
        return [answer for answer in answers if answer is not None]

    def _generate(self, rows: Sequence[BatchRow]) -> list[Generated | Exception]:
        """The replies of some rows, in smaller parts if they do not fit into memory together."""
        import torch

        found: list[Generated | Exception] = []
        at, size = 0, max(self.batch_size, 1)
        while at < len(rows):
            part = rows[at : at + size]
            try:
                found += generate_rows(self.client.model, self.client.tokenizer, part)
            except torch.OutOfMemoryError:
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                if len(part) > 1:
                    size = len(part) // 2
                    continue
                found.append(
                    ContextOverflow(
                        f"The memory of the device is too small for a prompt of {len(part[0].tokens)} tokens "
                        f"to model {self.label!r}."
                    )
                )
            at += len(part)
        return found

    def _rows(self, job: Job) -> list[BatchRow]:
        """What is to be generated for a request, one row per reply."""
        request = job.request
        tokens = self._tokens(request.messages)
        sampling = sampling_of(request.params)
        constraint = self._constraint(request)
        needed = 0 if constraint is None else constraint.shortest
        max_tokens = self._room(request, len(tokens), max(_LONGEST_REPLY, _SPARE * needed))
        if constraint is not None and constraint.shortest > max_tokens:
            raise InputError(
                f"A reply in the wanted form has at least {constraint.shortest} tokens of model "
                f"{self.label!r}, but only {max_tokens} are allowed. Set max_tokens= higher."
            )
        return [
            BatchRow(
                tokens,
                max_tokens,
                sampling(n),
                constraint,
                stops_of(request.params.get("stop")),
                job.on_text if n == 0 else None,
                lambda: job.abandoned,
            )
            for n in range(request.n)
        ]

    def _tokens(self, messages: Sequence[Message]) -> list[int]:
        tokenizer = self.client.tokenizer
        template = self.chat_template or tokenizer.chat_template
        if template is None:
            text = "\n\n".join(f"{_ROLES[part['role']]}: {part['content']}" for part in messages)
            ids = tokenizer(f"{text}\n\n{_ROLES['assistant']}:", verbose=False)["input_ids"]
            return _without_end(list(ids), tokenizer)
        try:
            rendered = self._rendered(messages, template)
        except Exception as error:
            if messages[0]["role"] != "system":
                raise ModelSetupError(
                    f"The chat template of model {self.label!r} cannot be used: {error}. Give another one "
                    f"with chat_template=."
                ) from None
            rendered = self._rendered(_without_system(messages), template)
        return list(tokenizer(rendered, add_special_tokens=False, verbose=False)["input_ids"])

    def _rendered(self, messages: Sequence[Message], template: Any) -> str:
        text: str = self.client.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=template if self.chat_template is not None else None,
            tokenize=False,
            add_generation_prompt=True,
            **self.template_kwargs,
        )
        return text

    def _room(self, request: ModelRequest, prompt: int, usual: int) -> int:
        """How many tokens a reply may have; `usual` when the request does not say."""
        limit = whole_number(request.params.get("max_tokens") or usual, what="max_tokens")
        window = self.context_window
        if window is None:
            return limit
        if prompt + min(limit, _SHORTEST_ROOM) > window:
            raise ContextOverflow(
                f"The prompt has {prompt} tokens, but model {self.label!r} has a context window of {window}."
            )
        return min(limit, window - prompt)

    def _constraint(self, request: ModelRequest) -> Constraint | None:
        if request.schema is not None:
            return self._constraints.of_schema(request.schema)
        return None if request.regex is None else self._constraints.of_regex(request.regex)


def _completion(generated: Sequence[Generated | Exception], row: BatchRow) -> Completion | Exception:
    replies = [reply for reply in generated if isinstance(reply, Generated)]
    if len(replies) < len(generated):
        return next(reply for reply in generated if isinstance(reply, Exception))
    first, *others = replies
    return Completion(
        first.text,
        len(row.tokens),
        sum(reply.tokens for reply in replies),
        first.finish_reason,
        others=tuple(reply.text for reply in others),
    )


def _without_end(tokens: list[int], tokenizer: Any) -> list[int]:
    """A prompt without the token that some tokenizers put at the end of a text."""
    while tokens and tokens[-1] in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        tokens.pop()
    return tokens


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Messages with the system message at the head of the user's first one."""
    system, first, *others = messages
    joined = Message(role="user", content=f"{system['content']}\n\n{first['content']}")
    return [joined, *others]


def _quantisation(bits: int) -> Any:
    import torch
    import transformers

    has_package = importlib.util.find_spec("bitsandbytes") is not None
    if not torch.cuda.is_available() or not has_package:
        lacks = "CUDA GPU" if not torch.cuda.is_available() else "package bitsandbytes"
        raise ModelSetupError(
            f"bits={bits} needs a CUDA GPU and the package bitsandbytes (pip install bitsandbytes); this "
            f"machine has no {lacks}. Leave bits out, or choose a smaller model."
        )
    if bits == 8:
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
