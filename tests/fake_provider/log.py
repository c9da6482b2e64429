"""What the server saw: one entry per request, and the counts made of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Entry", "Log", "Window"]


@dataclass(slots=True)
class Entry:
    """One request, as the server saw it.

    Attributes:
        ordinal: Number of the request, from 0.
        endpoint: `chat`, `embeddings` or `batch`.
        arrived: Seconds on the server's monotonic clock.
        left: The same clock when the reply was handed over; 0 while it is in work.
        model: The model asked.
        task: The task recognised, `""` for none.
        prompt_hash: Hash of model and messages or input, as sent.
        attempt: How often the same question had come by then, this time included; asking again is the same.
        asked_again: Whether the prompt came back with an earlier answer.
        in_tokens: Tokens of the prompt, if it was read.
        out_tokens: Tokens of the reply.
        status: HTTP status, 0 when the connection was dropped.
        outcome: `answered`, or what went wrong: the fault, `window`, `in_flight`, `auth`, `not_found`,
            `refused`, `gone` (the client had left before the reply).
        fault: The fault drawn, with the kind of a malformed reply after a colon.
    """

    ordinal: int
    endpoint: str
    arrived: float
    left: float = 0.0
    model: str = ""
    task: str = ""
    prompt_hash: str = ""
    attempt: int = 0
    asked_again: bool = False
    in_tokens: int = 0
    out_tokens: int = 0
    status: int = 0
    outcome: str = ""
    fault: str = ""


@dataclass(slots=True)
class Log:
    """All requests since the last reset."""

    entries: list[Entry] = field(default_factory=list)
    in_flight: int = 0
    high_water: int = 0

    def arrive(self, endpoint: str) -> Entry:
        """A request has come in."""
        entry = Entry(len(self.entries), endpoint, time.monotonic())
        self.entries.append(entry)
        self.in_flight += 1
        self.high_water = max(self.high_water, self.in_flight)
        return entry

    def leave(self, entry: Entry) -> None:
        """A request is over."""
        entry.left = time.monotonic()
        self.in_flight -= 1

    def counters(self) -> dict[str, Any]:
        """Counts over all entries; `paid` are replies with status 200, used or not."""
        paid = [entry for entry in self.entries if entry.status == 200]
        answered = Counter(entry.prompt_hash for entry in paid if entry.endpoint != "batch")
        return {
            "requests": len(self.entries),
            "paid": len(paid),
            "paid_in_tokens": sum(entry.in_tokens for entry in paid),
            "paid_out_tokens": sum(entry.out_tokens for entry in paid),
            "duplicates": sum(n - 1 for n in answered.values()),
            "in_flight": self.in_flight,
            "high_water": self.high_water,
            "by_outcome": dict(Counter(entry.outcome or "in_work" for entry in self.entries)),
            "by_task": dict(Counter(entry.task or entry.endpoint for entry in self.entries)),
            "by_status": dict(Counter(str(entry.status) for entry in self.entries)),
        }

    def as_json(self) -> list[dict[str, Any]]:
        """All entries, in the order of arrival."""
        return [asdict(entry) for entry in self.entries]


class Window:
    """A limit of `amount` in any window of `seconds`; what it refuses does not count."""

    def __init__(self, amount: int, seconds: float, slack: float) -> None:
        self.amount, self.seconds, self._length = amount, seconds, seconds - slack
        self._taken: deque[tuple[float, int]] = deque()
        self._used = 0

    @property
    def remaining(self) -> int:
        """What is left of the window at the last call."""
        return max(0, self.amount - self._used)

    def wait(self, now: float, weight: int) -> float:
        """Seconds until `weight` fits into the limit, 0 if it does now."""
        while self._taken and self._taken[0][0] <= now - self._length:
            self._used -= self._taken.popleft()[1]
        if self._used + weight <= self.amount:
            return 0.0
        missing = self._used + weight - self.amount
        for at, freed in self._taken:
            missing -= freed
            if missing <= 0:
                return max(0.001, at + self._length - now)
        return self.seconds

    def take(self, now: float, weight: int) -> None:
        """Count a request in."""
        self._taken.append((now, weight))
        self._used += weight

    def reset_in(self, now: float) -> float:
        """Seconds until the whole window is free."""
        return max(0.0, self._taken[-1][0] + self._length - now) if self._taken else 0.0
