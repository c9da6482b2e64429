"""Which requests go wrong and how: drawn from a hash, so that runs with one seed repeat."""

from __future__ import annotations

import json
import math
from hashlib import blake2b
from statistics import NormalDist
from typing import Any

from .knobs import Knobs

__all__ = ["draw", "fault_of", "latency_of", "spoiled"]

_REFUSAL = "I'm sorry, but I can't help with that request."


def draw(seed: int, key: str, attempt: int, use: str) -> float:
    """A number from 0 to 1 that depends on nothing but the arguments."""
    digest = blake2b(f"{seed}|{key}|{attempt}|{use}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def fault_of(knobs: Knobs, key: str, attempt: int) -> str:
    """The fault of an attempt, `""` when it goes well."""
    if knobs.fault_attempts is not None and attempt > knobs.fault_attempts:
        return ""
    drawn = draw(knobs.seed, key, attempt, "fault")
    for name in ("500", "429", "malformed", "drop", "hang", "length"):
        drawn -= getattr(knobs, f"p_{name}")
        if drawn < 0:
            return name
    return ""


def latency_of(knobs: Knobs, key: str, attempt: int) -> float:
    """Seconds until the reply; lognormal draws have the mean `latency`."""
    if not knobs.latency_sigma or not knobs.latency:
        return knobs.latency
    drawn = min(max(draw(knobs.seed, key, attempt, "latency"), 1e-9), 1 - 1e-9)
    sigma = knobs.latency_sigma
    return knobs.latency * math.exp(sigma * NormalDist().inv_cdf(drawn) - sigma**2 / 2)


def spoiled(text: str, knobs: Knobs, key: str, attempt: int) -> tuple[str, str]:
    """Kind and text of a reply that cannot be used."""
    kinds = knobs.malformed_kinds
    kind = kinds[int(draw(knobs.seed, key, attempt, "kind") * len(kinds))]
    match kind:
        case "refusal":
            return kind, _REFUSAL
        case "cut":
            return kind, text[: len(text) // 2]
        case "wrong_keys":
            return kind, json.dumps(_renamed(text))
        case "bad_fence":
            return kind, f"Sure! Here is the JSON:\n```json\n{text[:-1]}\n"
        case _:
            return kind, ""


def _renamed(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {"response": text}
    return (
        {f"my_{key}": value for key, value in content.items()}
        if isinstance(content, dict)
        else {"my": content}
    )
