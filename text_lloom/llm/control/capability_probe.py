"""What a server does not take: learned from its refusals, once, by the request that goes ahead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Final, TypeVar

from text_lloom.errors import FormRefused

__all__ = ["CapabilityProbe", "Ways", "refused_parameter", "refuses_form", "refuses_many"]

T = TypeVar("T")

_LONGEST_PROBE = 0.25


class CapabilityProbe:
    """Sends the first request of a kind ahead.

    What a server refuses (a schema, a parameter) is known from its first refusal, which comes at once. If
    all requests of a step were sent by then, each would be refused and sent again.

    Args:
        patience: Seconds that the others wait at most. A real answer may take longer than a refusal.
    """

    def __init__(self, *, patience: float = _LONGEST_PROBE) -> None:
        self._patience = patience
        self._back: set[Hashable] = set()
        self._first: dict[Hashable, asyncio.Event] = {}
        self._out: set[Hashable] = set()

    async def wait(self, kind: Hashable) -> None:
        """Wait until the first request of a kind is back, or be the first; before a start is asked for.

        Args:
            kind: What may be refused for all requests of the kind.
        """
        place = _place(kind)
        while kind not in self._back:
            first = self._first.get(place)
            if first is None:
                self._first[place] = asyncio.Event()
                return
            try:
                async with asyncio.timeout(self._patience):
                    await first.wait()
            except TimeoutError:
                self._back.add(kind)

    async def ahead(self, kind: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, after the first call of its kind has come back.

        When the service refuses the form of the first, the next one is the first again.

        Args:
            kind: What may be refused for all requests of the kind.
            call: Makes the call.
        """
        place = _place(kind)
        if kind not in self._back and place in self._out:
            await self.wait(kind)
        if kind in self._back:
            return await call()
        first = self._first.setdefault(place, asyncio.Event())
        self._out.add(place)
        is_back = True
        try:
            return await call()
        except FormRefused:
            is_back = False
            raise
        finally:
            if is_back:
                self._back.add(kind)
            self._out.discard(place)
            self._first.pop(place, None)
            first.set()


def _place(kind: Hashable) -> Hashable:
    """A kind on this event loop."""
    return (id(asyncio.get_running_loop()), kind)


_FORM_SIGNS = (
    "response_format",
    "text.format",
    "json_schema",
    "json_object",
    "json schema",
    "json mode",
    "structured output",
    "structured_output",
    "output_config",
    "output_format",
    "response_schema",
    "responsejsonschema",
    "response_json_schema",
    "response_mime_type",
    "responsemimetype",
    "tool_choice",
    "tool use",
    "tools:",
    "function calling",
)
_REFUSED_SIGNS = (
    "unsupported",
    "not support",
    "unrecognized",
    "unknown",
    "unexpected",
    "extra",
    "not permitted",
    "not allowed",
    "not available",
    "deprecated",
    "forbidden",
)
_SCHEMA_SIGNS = (
    "invalid schema",
    "invalid json schema",
    "invalid_json_schema",
    "schema is invalid",
    "schema is too",
    "too many states",
    "in context=",
)
_MANY: Final = re.compile(
    r"(?<![\w.])(?P<quote>['\"`])n(?P=quote)|(?<![\w.'])n (?:must|should|has to|is not|cannot|= ?\d|[<>])|"
    r"(?:completion|one|single|multiple|several|many) (?:choices?|completions?|candidates?)|candidate_?count"
)
_MOST_SCHEMAS: Final = 256


class Ways:
    """In which way a form is asked for, the strictest first, as far as a service has not refused it.

    A schema that a service cannot take is asked for in the next way; other schemas are not affected.

    Args:
        count: How many ways there are, the last being in words alone.

    Attributes:
        refused: How many ways were refused for every schema.
    """

    def __init__(self, count: int) -> None:
        self._last = count - 1
        self._schemas: dict[int, tuple[Mapping[str, object], int]] = {}
        self.refused = 0

    def of(self, schema: Mapping[str, object] | None) -> int:
        """How many ways were refused for a schema, 0 for none; the same object is the same schema."""
        known = self._schemas.get(id(schema))
        return self.refused if known is None or known[0] is not schema else max(self.refused, known[1])

    def refuse(self, message: str, schema: Mapping[str, object] | None, way: int) -> bool:
        """Note that a way was refused; gives whether there is another one.

        Args:
            message: What the service said.
            schema: What was asked for; an empty one stands for all.
            way: The way in which it was asked for.
        """
        following = min(way + 1, self._last)
        if schema and any(sign in message.lower() for sign in _SCHEMA_SIGNS):
            if len(self._schemas) >= _MOST_SCHEMAS:
                self._schemas.clear()
            self._schemas[id(schema)] = (schema, max(self.of(schema), following))
        else:
            self.refused = max(self.refused, following)
        return way < self._last


def refuses_form(message: str) -> bool:
    """Whether a service says that it cannot keep replies in the wanted form."""
    lowered = message.lower()
    return any(sign in lowered for sign in (*_FORM_SIGNS, *_SCHEMA_SIGNS))


def refuses_many(message: str, *, named: str | None = None) -> bool:
    """Whether a service says that it gives one reply to a request only; `named` is the parameter it named."""
    return named == "n" or _MANY.search(message.lower()) is not None


def refused_parameter(message: str, sent: Iterable[str], *, named: str | None = None) -> str | None:
    """The parameter that a service says it does not take, `None` if it says something else.

    Args:
        message: What it said.
        sent: Names of the parameters that were sent, as the service calls them.
        named: The parameter that it named by itself.
    """
    lowered = message.lower()
    if not any(sign in lowered for sign in _REFUSED_SIGNS):
        return None
    known = list(sent)
    if named is not None and named.partition(".")[0] in known:
        return named.partition(".")[0]
    found = [name for name in known if re.search(rf"(?<![\w.]){re.escape(name.lower())}(?!\w)", lowered)]
    return max(found, key=len, default=None)
