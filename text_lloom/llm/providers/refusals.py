"""What a service does not take, read from how it says so."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["refused_parameter", "refuses_form"]

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


def refuses_form(message: str) -> bool:
    """Whether a service says that it cannot keep replies in the wanted form."""
    lowered = message.lower()
    return any(sign in lowered for sign in _FORM_SIGNS)


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
