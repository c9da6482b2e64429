"""The switch that refuses paid calls, for tests."""

from __future__ import annotations

import os
from typing import Protocol

from text_lloom.errors import PaidCallRefused
from text_lloom.llm.control.prices import Price

__all__ = ["allow_paid_calls", "check_allowed"]

_VARIABLE = "LLOOM_REFUSE_PAID_CALLS"
_refused = False


class _Priced(Protocol):
    @property
    def label(self) -> str: ...

    @property
    def cost(self) -> Price | None: ...

    @property
    def is_free(self) -> bool: ...


def allow_paid_calls(allowed: bool) -> bool:
    """Allow or refuse calls to models that are not known to be free; returns the previous setting."""
    global _refused
    before, _refused = not _refused, not allowed
    return before


def check_allowed(model: _Priced) -> None:
    """Refuse a call to a model that is not known to be free, if paid calls are refused.

    Raises:
        PaidCallRefused: When they are, by `allow_paid_calls(False)` or the environment variable
            `LLOOM_REFUSE_PAID_CALLS=1`.
    """
    refused = _refused or os.environ.get(_VARIABLE, "") not in ("", "0")
    if refused and not model.is_free:
        raise PaidCallRefused(
            f"Model {model.label!r} is not known to be free (cost={model.cost}), and paid calls are refused. "
            f"Give the model cost=0 if it is free."
        )
