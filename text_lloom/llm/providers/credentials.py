"""Keys and addresses of providers, as users and the environment give them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from text_lloom.errors import InputError, ModelSetupError

__all__ = ["NO_KEY", "checked_url", "key_from", "missing_key"]

NO_KEY: Final = "EMPTY"
"""The key that is sent when there is none: servers on the user's machines take any."""


def key_from(variables: Sequence[str], api_key: str | None, *, is_elsewhere: bool = False) -> str | None:
    """The key that was given, or that of the first of the environment variables that is set.

    Args:
        variables: Environment variables of the provider.
        api_key: The key that was given, if any.
        is_elsewhere: The address is not the provider's own, so that no key of the environment may go there.

    Raises:
        InputError: When the key is not a string.
    """
    if api_key is not None and not isinstance(api_key, str):
        raise InputError(f"api_key must be a string, but is {type(api_key).__name__}.")
    given = (api_key or "").strip()
    if given or is_elsewhere:
        return given or None
    return next((key for name in variables if (key := os.environ.get(name, "").strip())), None)


def missing_key(provider: str, variables: Sequence[str]) -> ModelSetupError:
    """The error that says which key is missing, and how to give it."""
    variable = variables[0] if variables else "…"
    return ModelSetupError(
        f"No {provider} key was found. Set the environment variable {variable}, or pass api_key=. "
        f"(Without a key, the local engine runs: leave the models out.)"
    )


def checked_url(base_url: str | None, *, ending: str = "") -> str | None:
    """An address that was given, without the ending that the package adds itself.

    Raises:
        InputError: When it is not an address.
    """
    if base_url is None:
        return None
    if not isinstance(base_url, str) or urlsplit(base_url).scheme not in ("http", "https"):
        raise InputError(f"base_url={base_url!r} must be an address such as http://localhost:8000.")
    return base_url.rstrip("/").removesuffix(ending)
