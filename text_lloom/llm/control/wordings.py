"""What servers say when they refuse, as one table: the wordings, who uses them, and where that can be read.

Statuses differ between servers for one and the same refusal, so the words decide. To add a wording, add a
line with a source. A pattern is looked for in lower case, and must not occur in other refusals.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Final, Literal, NamedTuple, TypeAlias

from text_lloom.llm.options import finite_number

__all__ = ["WORDINGS", "Meaning", "Wording", "says", "wait_in_fields", "wait_in_headers", "wait_in_words"]

Meaning: TypeAlias = Literal[
    "too long", "no money", "loading", "busy", "no system role", "only streams", "no form"
]


class Wording(NamedTuple):
    """Some words for a refusal.

    Attributes:
        meaning: What they mean.
        pattern: A regular expression for them, in lower case.
        source: Who uses them, and where that can be read: documentation, source code, or an issue.
    """

    meaning: Meaning
    pattern: str
    source: str


# One wording a line, however long.
# fmt: off
WORDINGS: Final = (
    Wording("too long", r"context[_ ]length|maximum context|context window|context size", "OpenAI, vLLM, SGLang, llama.cpp (exceed_context_size_error), Ollama, LM Studio"),
    Wording("too long", r"max_model_len|maximum model length|max(?:imum)?[_ ]seq(?:uence)?[_ ]len", "vLLM: --max-model-len; TensorRT-LLM; anomalyco/opencode#25230"),
    Wording("too long", r"inputs?`?(?: tokens)? (?:\+ `?max_new_tokens`? )?must (?:be <=|have less than)", "huggingface/text-generation-inference#628, #695: validation errors"),
    Wording("too long", r"max_(?:completion_)?tokens must be at least 1, got -", "vLLM: the prompt leaves no tokens; vllm-project/vllm#2418"),
    Wording("too long", r"context the overflows|context length of only", "LM Studio: lmstudio-ai/lmstudio-bug-tracker#237, #546"),
    Wording("too long", r"requested tokens \(\d+\) exceed|prompt exceeds n_ctx|exceed(?:s|ed)? (?:the )?context", "llama-cpp-python: abetlen/llama-cpp-python#416"),
    Wording("too long", r"(?:prompt|input|request|message)s?(?: \w+)? (?:is |are )?too (?:long|large)(?! for (?:the )?rate)", "Anthropic: prompt is too long; Bedrock: Input is too long for requested model; Groq: Request too large"),
    Wording("too long", r"too many (?:input )?tokens(?!,? please wait)(?! per)", "Bedrock and Cohere; with 'please wait' Bedrock means throttling: jin-bo/agentao#88"),
    Wording("too long", r"exceeds? (?:the )?max(?:imum)?[\w ]{0,24} (?:length|size|tokens?|number of tokens)|maximum number of (?:input )?tokens|exceeds the maximum number", "Gemini: The input token count (…) exceeds the maximum number of tokens allowed; OpenRouter: earendil-works/pi#4943"),
    Wording("too long", r"maximum (?:input|prompt|sequence|allowed input) length|maximum prompt length is", "xAI: This model's maximum prompt length is 131072 but the request contains …"),
    Wording("too long", r"(?:reduce|shorten) (?:the )?(?:length|size) of (?:the |your )?(?:messages?|prompt|input|completion)", "OpenAI, Groq: Please reduce the length of the messages or completion"),
    Wording("too long", r"too large for model with \d+ maximum", "Mistral: Prompt contains … tokens, too large for model with 32768 maximum context length"),
    Wording("too long", r"exceeded model token limit|range of input length should be|tokens in request more than max tokens", "Moonshot (Kimi); DashScope: Range of input length should be [1, 30720]; MiniMax"),
    Wording("too long", r"max_input_tokens|input tokens exceed|must be reduced in order to run|prompt exceeds max length|input length exceed", "Databricks; Azure: Input tokens exceed the configured limit; Together; Zhipu (code 1261); Ollama"),
    Wording("no money", r"insufficient_quota|credit balance is too low|credit_balance_too_low", "OpenAI: error codes; Anthropic: anthropics/claude-code#356"),
    Wording("no money", r"billing[_ ]hard[_ ]limit|billing_not_active|account is not active, please check your billing", "OpenAI: error codes; sbounmy/hongbao_bitcoin#497"),
    Wording("no money", r"insufficient[_ ](?:account )?(?:balance|credits?|funds)|insufficient_user_quota", "DeepSeek: 402 Insufficient Balance; OpenRouter: 402 Insufficient credits; one-api"),
    Wording("no money", r"arrearage|overdue[- ]payment|account is in good standing|in arrears", "DashScope: 400 Arrearage; HKUDS/nanobot#4048"),
    Wording("no money", r"allocationquota\.freetieronly|free (?:tier|quota) (?:of the model )?(?:has been |is )?exhausted", "DashScope: 403 AllocationQuota.FreeTierOnly"),
    Wording("no money", r"(?:used all|run out of|out of|no (?:remaining|more)|exhausted (?:all )?(?:your|its)) (?:available |your |the )?credits?\b|credits? (?:\w+ )?(?:depleted|exhausted)", "xAI: has either used all available credits or reached its monthly spending limit; makecindy/cindy#885"),
    Wording("no money", r"(?:monthly|your) spending limit|exceeded your monthly included credits|reached your specified api usage limits|spend(?:ing)? limit (?:has been )?reached", "xAI; Hugging Face: 402; Anthropic: workspace limits; Groq: spend limits"),
    Wording("no money", r"exceeded[_ ]?budget|budget has been exceeded|budget_exceeded", "LiteLLM: 400 ExceededBudget"),
    Wording("no money", r"billing_disabled|requires billing to be enabled|billing account .{0,40}(?:disabled|closed)", "Google: 403 BILLING_DISABLED"),
    Wording("no money", r"exceeded_current_quota_error|account .{0,60}is suspended|balance (?:is )?not enough", "Moonshot: 429 exceeded_current_quota_error, your account is suspended; SiliconFlow"),
    Wording("no money", r"余额不足|欠费|账户余额", "Zhipu: 429, code 1113; Volcengine, Baidu"),
    Wording("loading", r"(?<!failed: )(?<!error )\bloading (?:the )?model\b(?! (?:failed|error))", "llama.cpp: 503 Loading model, ggml-org/llama.cpp#8775; Ollama: llm server loading model"),
    Wording("loading", r"\bmodel\b.{0,120}\bis (?:currently |still |being )*load(?:ing|ed)\b(?! with)|\bmodel\b.{0,120}\bis not (?:yet (?:loaded|ready)|ready(?: yet)?)\b|model (?:\S+ )?loading, try", "Hugging Face: Model … is currently loading (estimated_time); KServe, Triton: model is not ready; huggingface_hub#1454"),
    Wording("loading", r"(?:server|engine|model|instance|container|replica|endpoint)s? (?:is |are )?(?:still |currently )?(?:starting(?: up)?|warming up|initiali[sz]ing|not ready yet|scaling up|waking up)|cold (?:start|boot)", "SGLang, llama-swap, RunPod, Hugging Face endpoints, Baseten"),
    Wording("busy", r"throttl(?:ing|ed)|too many requests|rate[- ]?limit(?:ed| exceeded| reached)|rate_limit_exceeded|requests? rate", "Bedrock: ThrottlingException (400); DashScope: Throttling.RateQuota; LiteLLM"),
    Wording("busy", r"(?:please )?(?:try|retry) (?:again )?(?:later|in a (?:few )?(?:moments?|minutes?|seconds?))|(?:currently |is )overloaded|server is busy|over capacity|no (?:healthy |available )?(?:deployments|capacity|slots?) available", "DeepSeek: server overloaded; TGI: Model is overloaded; LiteLLM: No deployments available; Groq: over capacity"),
    Wording("no system role", r"system (?:role|message|instruction|prompt)s?\b.{0,30}(?:not|n't|un|isn't) ?(?:be )?(?:supported|allowed|enabled|support)", "Gemma's template behind vLLM, SGLang, TGI: sgl-project/sglang#892, stanfordnlp/dspy#1627"),
    Wording("no system role", r"(?:does not|doesn't|not|cannot) (?:support|accept|allow|handle|have) (?:the |a |any )?['\"`]?system['\"`]?(?: role| messages?| prompts?| instructions?|['\"` ]|\.|\Z)", "OpenAI o1-mini: does not support 'system' with this model; Bedrock: This model doesn't support system messages"),
    Wording("no system role", r"developer (?:instruction|role|message)s? (?:is|are) not (?:enabled|supported)", "Google: Developer instruction is not enabled for models/gemma-3-27b-it"),
    Wording("no system role", r"roles must alternate|only (?:the )?user(?:,| and| or)[\w, ]{1,24} roles? (?:are|is) (?:supported|allowed)|got system\b", "Mistral and Gemma templates: SillyTavern/SillyTavern#4349, anomalyco/opencode#5034, EricLBuehler/mistral.rs#45"),
    Wording("no system role", r"(?:unsupported|invalid|unknown|unexpected|unrecognized)(?: message)? role:? ?['\"`]?(?:system|developer)|['\"`]?(?:system|developer)['\"`]? is not (?:a valid|an allowed|one of)", "FastChat; TensorRT-LLM; LiteLLM gateways"),
    Wording("only streams", r"only supports? (?:the )?stream|stream mode|non-?stream(?:ing)?\b.{0,24}(?:not|un|isn't) ?(?:supported|allowed|available)", "DashScope: This model only support stream mode, infiniflow/ragflow#5912, CherryHQ/cherry-studio#3192"),
    Wording("only streams", r"(?:stream(?:ing)?(?: mode)?) (?:is |parameter is )?(?:strongly )?(?:required|must be (?:enabled|set|true))|stream[`'\"]? must be (?:set to )?true|set [`'\"]?stream[`'\"]?(?: ?= ?| to )true|requires? stream|enable_thinking must be set to false for non-streaming|must be streamed", "Anthropic: streaming is required; DashScope (Qwen3): parameter.enable_thinking must be set to false for non-streaming calls; Codex gateways"),
    Wording("no form", r"grammar|samplers?\b|gbnf", "llama.cpp: Failed to initialize samplers, failed to parse grammar: ggml-org/llama.cpp#19051; TGI: Grammar is not supported"),
    Wording("no form", r"required for format|structured[_ ]outputs?|guided[_ ](?:decoding|json|generation|regex|choice)|constrained (?:decoding|generation)|json[_ -](?:mode|schema|object)", "Ollama: failed to load model vocabulary required for format; vLLM: guided_decoding"),
    Wording("no form", r"xgrammar|outlines|lm[- ]?format[- ]?enforcer|llguidance|unsupported schema|schema .{0,60}not (?:be )?supported", "vLLM, SGLang, TensorRT-LLM: back ends of constrained decoding"),
    Wording("no form", r"response[_ ]?(?:format|schema|mime_?type)|no endpoints found that support the requested parameters", "Groq, Together, DeepSeek, LM Studio: 'response_format.type' must be …; OpenRouter: 404"),
)
# fmt: on

_UNITS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART: Final = re.compile(
    r"\s*(?:,|and\b)?\s*(\d+(?:\.\d+)?)\s*"
    r"(milliseconds?|msecs?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)?(?![a-z])",
    re.IGNORECASE,
)
_FILLER: Final = r"(?:(?:in|after|for|about|at least|approximately|another|until|at|on|~|:|=)\s*)*"
_CUE: Final = re.compile(
    r"\b(?:retry|retrying|(?:try|send|call)(?: \w+){0,3} again|wait(?:ing)?|available again|resets?|reset)\b"
    rf"[\s:,]*{_FILLER}"
    r"(?:(?P<date>\d{4}-\d\d-\d\d[t ]\d\d:\d\d[\d:.]*\s?(?:z|utc|[+-]\d\d:?\d\d)?)|(?=\d))",
    re.IGNORECASE,
)
_WAIT_FIELDS: Final = re.compile(
    r"(?:retry_?(?:delay|after|in)|estimated_?time|wait_?(?:time|seconds)?)(?:_?(ms|milliseconds|seconds|secs|s))?"
)
_RESET_FIELDS: Final = re.compile(
    r"(?P<before>(?:x-|anthropic-)?rate-?limit-)(?:reset(?P<unit>(?:-[a-z-]+)?)|(?P<first>[a-z-]+)-reset)"
)
_EPOCH: Final = 1e9
_DEEPEST: Final = 6


def says(meaning: Meaning, message: str) -> bool:
    """Whether a message of a server says this."""
    return _pattern(meaning).search(message.lower()) is not None


@cache
def _pattern(meaning: Meaning) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{w.pattern})" for w in WORDINGS if w.meaning == meaning), re.DOTALL)


def wait_in_words(text: str) -> float | None:
    """Seconds from words such as "try again in 1h7m2.5s", "retry after 33 seconds", or a date."""
    for cue in _CUE.finditer(text):
        wait = _until(cue["date"]) if cue["date"] else _seconds(text[cue.end() :])
        if wait is not None:
            return wait
    return None


def wait_in_headers(headers: Mapping[str, object], *, is_limited: bool = True) -> float | None:
    """Seconds from headers: `retry-after-ms`, `Retry-After` (RFC 9110 §10.2.3), the resets of limits.

    A reset counts when nothing is left of its limit, or when nothing is said of that.

    Args:
        headers: The headers.
        is_limited: A limit was reached, so that resets of limits matter.
    """
    fields = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    with suppress(KeyError, ValueError):
        return float(fields["retry-after-ms"]) / 1000
    if (value := fields.get("retry-after")) is not None:
        with suppress(ValueError):
            return float(value)
        wait = _seconds(value) if value[:1].isdigit() else None
        return _until(value, said=fields.get("date")) if wait is None else wait
    if not is_limited:
        return None
    waits = []
    for name, value in fields.items():
        if (found := _RESET_FIELDS.fullmatch(name)) is None:
            continue
        before, unit = found["before"], (found["unit"] or "").removeprefix("-") or found["first"]
        left = fields.get(f"{before}remaining-{unit}" if unit else f"{before}remaining")
        left = fields.get(f"{before}{unit}-remaining", left) if unit else left
        if left is None or finite_number(_number(left)) == 0:
            waits.append(_reset(value, said=fields.get("date")))
    return max((wait for wait in waits if wait is not None), default=None)


def wait_in_fields(body: object) -> float | None:
    """Seconds from fields of an error: Google's `retryDelay`, Hugging Face's `estimated_time`, headers of a
    provider behind a gateway (OpenRouter).
    """
    for name, value in _fields(body, _DEEPEST):
        key = name.lower().replace("-", "_")
        if key == "headers" and isinstance(value, Mapping):
            if (wait := wait_in_headers(value)) is not None:
                return wait
        elif (found := _WAIT_FIELDS.fullmatch(key)) is not None:
            if isinstance(value, Mapping):  # a duration of protobuf
                value = value.get("seconds")
            in_ms = (found[1] or "").startswith("m")
            wait = finite_number(value) if not isinstance(value, str) else _seconds(value)
            if wait is not None:
                return wait / 1000 if in_ms else wait
    return None


def _fields(value: object, depth: int) -> Iterator[tuple[str, object]]:
    """The fields of a JSON value and of what is in it; texts that are JSON are looked into, too."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        with suppress(ValueError):
            value = json.loads(value)
    if depth and isinstance(value, Mapping):
        for name, part in value.items():
            yield str(name), part
            yield from _fields(part, depth - 1)
    elif depth and isinstance(value, list):
        for part in value:
            yield from _fields(part, depth - 1)


def _seconds(text: str) -> float | None:
    """Seconds from a duration at the beginning of a text; a number alone is of seconds."""
    total, at = None, 0
    while (part := _PART.match(text, at)) is not None:
        unit = (part[2] or "").lower()
        if not unit and total is not None:
            break
        kind = "ms" if unit.startswith(("ms", "milli")) else unit[:1] or "s"
        total, at = (total or 0.0) + float(part[1]) * _UNITS[kind], part.end()
        if not unit:
            break
    return total


def _reset(value: str, *, said: str | None) -> float | None:
    """Seconds until a reset, from a duration, seconds, a point in time since 1970, or a date."""
    number = _number(value)
    if number is None:
        wait = _seconds(value) if re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ms|[dhms]))+", value) else None
        return _until(value, said=said) if wait is None else wait
    if number > 1000 * _EPOCH:
        number /= 1000
    return max(0.0, number - time.time()) if number > _EPOCH else number


def _until(date: str, *, said: str | None = None) -> float | None:
    """Seconds until a date, by the clock of the server if it says what that shows."""
    until = _timestamp(date)
    now = None if said is None else _timestamp(said)
    return None if until is None else until - (time.time() if now is None else now)


def _timestamp(date: str) -> float | None:
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(date).timestamp()
    with suppress(ValueError):
        found = datetime.fromisoformat(re.sub(r"\s*(?:utc|z)\Z", "+00:00", date.strip().lower()))
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    return None


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return finite_number(float(text))
    return None
