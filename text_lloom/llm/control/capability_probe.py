"""What a service cannot do, learned once from its refusals.

`CapabilityProbe` sends the first request of a kind alone, so that a refusal costs one request and not many.
`refuses_form`, `refuses_many` and `refused_parameter` read what a refusal is about, and `SchemaSupport` keeps
which ways of asking for a schema are left.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Final, TypeVar

from text_lloom.errors import FormRefused, ModelError, ModelNotFound, PermanentError, TransientError
from text_lloom.llm.control.wordings import says

__all__ = [
    "CapabilityProbe",
    "SchemaSupport",
    "may_refuse",
    "refused_parameter",
    "refuses_form",
    "refuses_many",
]

T = TypeVar("T")

_LONGEST_PROBE = 0.25
_FORM: Final = re.compile(
    r"response_format|text\.format|json_schema|json_object|json (?:schema|mode)|structured[ _]output|"
    r"output_config|output_format|response_schema|responsejsonschema|response_json_schema|"
    r"response_?mime_?type|tool_choice|tool use|tools:|function calling"
)
_REFUSED: Final = re.compile(
    "unsupported|not support|unrecognized|unknown|unexpected|extra|not permitted|not allowed|not available|"
    "deprecated|forbidden"
)
_SCHEMA: Final = re.compile(
    "invalid (?:json )?schema|invalid_json_schema|schema is (?:invalid|too)|too many states|in context="
)
_MANY: Final = re.compile(
    r"(?<![\w.])(?P<quote>['\"`])n(?P=quote)|(?<![\w.'])n (?:must|should|has to|is not|cannot|= ?\d|[<>])|"
    r"(?:completion|one|single|multiple|several|many) (?:choices?|completions?|candidates?)|candidate_?count"
)
_MOST_SCHEMAS: Final = 256


class CapabilityProbe:
    """Sends the first request of a kind ahead of the others.

    A kind is what a service may refuse for all requests alike, such as a schema or a parameter. A refusal
    comes at once; a real answer may take longer, so the others wait for at most `longest_wait` seconds.
    """

    def __init__(self, *, longest_wait: float = _LONGEST_PROBE) -> None:
        self._longest_wait = longest_wait
        self._known: set[Hashable] = set()
        self._first: dict[Hashable, asyncio.Event] = {}
        self._in_flight: set[Hashable] = set()

    async def wait(self, kind: Hashable) -> None:
        """Wait until the first request of a kind is back, or be the first; call it before a start."""
        place = _on_this_loop(kind)
        while kind not in self._known:
            first = self._first.get(place)
            if first is None:
                self._first[place] = asyncio.Event()
                return
            try:
                async with asyncio.timeout(self._longest_wait):
                    await first.wait()
            except TimeoutError:
                self._known.add(kind)

    async def ahead(self, kind: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call once the first call of its kind is back.

        When the service refuses the form of the first, the next one is the first again.
        """
        place = _on_this_loop(kind)
        if kind not in self._known and place in self._in_flight:
            await self.wait(kind)
        if kind in self._known:
            return await call()
        first = self._first.setdefault(place, asyncio.Event())
        self._in_flight.add(place)
        is_known = True
        try:
            return await call()
        except FormRefused:
            is_known = False
            raise
        finally:
            if is_known:
                self._known.add(kind)
            self._in_flight.discard(place)
            self._first.pop(place, None)
            first.set()


class SchemaSupport:
    """How many of the ways to ask for a schema, from the strictest on, a service has refused.

    A schema that the service cannot take is asked for in the next way; other schemas are not affected.

    Args:
        ways: How many ways there are; the last one asks in words alone.

    Attributes:
        refused: How many ways were refused for every schema.
    """

    def __init__(self, ways: int) -> None:
        self._last = ways - 1
        self._schemas: dict[int, tuple[Mapping[str, object], int]] = {}
        self.refused = 0

    def refused_for(self, schema: Mapping[str, object] | None) -> int:
        """How many ways were refused for a schema; the same object is the same schema."""
        known = self._schemas.get(id(schema))
        return self.refused if known is None or known[0] is not schema else max(self.refused, known[1])

    def refuse(self, message: str, schema: Mapping[str, object] | None, way: int) -> bool:
        """Note that the service refused a way with a message; returns whether another way is left."""
        following = min(way + 1, self._last)
        if schema and _SCHEMA.search(message.lower()):
            if len(self._schemas) >= _MOST_SCHEMAS:
                self._schemas.clear()
            self._schemas[id(schema)] = (schema, max(self.refused_for(schema), following))
        else:
            self.refused = max(self.refused, following)
        return way < self._last


def may_refuse(found: ModelError, error: Exception) -> bool:
    """Whether an error may be about what the service cannot do; some say so with a status of 404 or 500.

    Args:
        found: The error, as it would be raised.
        error: What the client raised.
    """
    if type(found) in (PermanentError, ModelNotFound):
        return True
    return type(found) is TransientError and not isinstance(error, (OSError, ModelError))


def refuses_form(message: str) -> bool:
    """Whether a message says that the service cannot give replies in the requested form."""
    lowered = message.lower()
    return (_FORM.search(lowered) or _SCHEMA.search(lowered)) is not None or says("no form", message)


def refuses_many(message: str, *, named: str | None = None) -> bool:
    """Whether a message says that a request gets one reply only; `named` is the parameter that it names."""
    return named == "n" or _MANY.search(message.lower()) is not None


def refused_parameter(message: str, sent: Iterable[str], *, named: str | None = None) -> str | None:
    """The parameter that a message refuses, `None` if it says something else.

    Args:
        message: What the service said.
        sent: The parameters that were sent, by the names of the service.
        named: The parameter that the reply names in a field of its own.
    """
    lowered = message.lower()
    if _REFUSED.search(lowered) is None:
        return None
    known = list(sent)
    if named is not None and named.partition(".")[0] in known:
        return named.partition(".")[0]
    found = [name for name in known if re.search(rf"(?<![\w.]){re.escape(name.lower())}(?!\w)", lowered)]
    return max(found, key=len, default=None)


def _on_this_loop(kind: Hashable) -> Hashable:
    return (id(asyncio.get_running_loop()), kind)
