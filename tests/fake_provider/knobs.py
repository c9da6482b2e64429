"""Everything that can be set about the server, at its start and while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal

__all__ = ["MALFORMED_KINDS", "Knobs"]

MALFORMED_KINDS: Final = ("refusal", "cut", "wrong_keys", "empty", "bad_fence")


@dataclass(frozen=True)
class Knobs:
    """How the server behaves.

    Attributes:
        latency: Mean seconds from the arrival of a request to its reply.
        latency_sigma: 0 for a fixed latency, else the sigma of the lognormal that it is drawn from.
        limit: `(n, seconds)`: more requests in a window of one model get 429.
        token_limit: The same for prompt tokens.
        limit_slack: Seconds by which the windows of both limits are shorter than told, for network jitter.
        max_in_flight: More requests at a time get 429.
        p_500: Share of requests that get 500 (and 503 in turn).
        p_429: Share of requests that get 429 although no limit was passed.
        p_malformed: Share of replies that cannot be used; they count as paid.
        p_drop: Share of requests whose connection is closed without a reply.
        p_hang: Share of requests that are answered only after `hang_seconds`.
        p_length: Share of replies cut in half, with the finish reason `length`; they count as paid.
        retry_after: The `Retry-After` of a 429 drawn by `p_429`; `None` to send none.
        hang_seconds: How long a request hangs.
        malformed_kinds: Which kinds of unusable replies there are, of `MALFORMED_KINDS`.
        fault_by: Draw faults by `prompt` and how often it came, or by the `ordinal` of the request.
        fault_attempts: Attempts of a prompt that can go wrong; later ones go well. `None` for all.
        fault_endpoints: Endpoints that have faults: `chat`, `embeddings`, `batch`.
        seed: Seed of faults and latencies.
        response_format: What is accepted: `any`, only `json_object`, or `none`.
        missing_models: Names that get 404.
        context_window: Longer prompts get 400, in tokens.
        batch_delay: Seconds until a batch is done.
        batch_end: How a batch ends: `completed`, `expired` or `failed` (refused as a whole).
        batch_share: Share of its requests that a batch answers before it expires.
        truth: Names of the concepts that a document meets, by its text; scores of these documents are A or E.
    """

    latency: float = 0.0
    latency_sigma: float = 0.0
    limit: tuple[int, float] | None = None
    token_limit: tuple[int, float] | None = None
    limit_slack: float = 0.0
    max_in_flight: int | None = None
    p_500: float = 0.0
    p_429: float = 0.0
    p_malformed: float = 0.0
    p_drop: float = 0.0
    p_hang: float = 0.0
    p_length: float = 0.0
    retry_after: float | None = 0.05
    hang_seconds: float = 5.0
    malformed_kinds: tuple[str, ...] = MALFORMED_KINDS
    fault_by: Literal["prompt", "ordinal"] = "prompt"
    fault_attempts: int | None = None
    fault_endpoints: tuple[str, ...] = ("chat", "embeddings")
    seed: int = 0
    response_format: Literal["any", "json_object", "none"] = "any"
    missing_models: tuple[str, ...] = ()
    context_window: int | None = None
    batch_delay: float = 0.2
    batch_end: Literal["completed", "expired", "failed"] = "completed"
    batch_share: float = 1.0
    truth: Mapping[str, Sequence[str]] | None = field(default=None, repr=False)

    def changed(self, changes: Mapping[str, Any]) -> Knobs:
        """These knobs with some of them set anew.

        Raises:
            ValueError: When a knob does not exist, or a value is none of those it can have.
        """
        known = {knob.name for knob in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise ValueError(f"Unknown knobs: {', '.join(unknown)}. Use one of {', '.join(sorted(known))}.")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
        }
        knobs = replace(self, **values)
        if wrong := set(knobs.malformed_kinds) - set(MALFORMED_KINDS):
            raise ValueError(f"Unknown malformed_kinds {sorted(wrong)}; there are {MALFORMED_KINDS}.")
        if knobs.fault_by not in ("prompt", "ordinal"):
            raise ValueError(f"fault_by is {knobs.fault_by!r}; it can be 'prompt' or 'ordinal'.")
        if knobs.batch_end not in ("completed", "expired", "failed"):
            raise ValueError(
                f"batch_end is {knobs.batch_end!r}; it can be 'completed', 'expired' or 'failed'."
            )
        if knobs.response_format not in ("any", "json_object", "none"):
            raise ValueError(f"response_format is {knobs.response_format!r}; any, json_object or none.")
        return knobs

    def as_json(self) -> dict[str, Any]:
        """All knobs but the truth, which may be large."""
        return {**asdict(replace(self, truth=None)), "truth": self.truth is not None}
