"""The models that the options of a command name."""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

from text_lloom.errors import InputError

__all__ = ["ChosenModels", "chosen_models"]

_KEY_VARIABLE = "LLOOM_API_KEY"


class ChosenModels(NamedTuple):
    """Who is asked: models, or strings that name them.

    Attributes:
        chat: Reads, synthesizes and scores.
        embedder: Embeds.
    """

    chat: Any
    embedder: Any


def chosen_models(
    model: str, embed_model: str | None, base_url: str | None, price: str | None
) -> ChosenModels:
    """The chat and the embedding model that the options name.

    Args:
        model: `--model`.
        embed_model: `--embed-model`.
        base_url: `--base-url`.
        price: `--price-per-million`.

    Raises:
        InputError: When an option cannot be read, or does not go with the others.
    """
    from text_lloom.llm.providers.openai import DEFAULT_MODELS
    from text_lloom.llm.providers.registry import embedder_from, model_from

    provider = _checked_spec("--model", model)
    embed_provider = None if embed_model is None else _checked_spec("--embed-model", embed_model)
    if base_url is not None and provider != "openai":
        raise InputError(f"--base-url needs --model openai:<name>, but the model is {model}.")
    if provider == "local":
        if price is not None:
            raise InputError(
                "--price-per-million needs a paid --model, such as openai:<name>, but the model is local."
            )
        return ChosenModels(model, embed_model or "local")
    cost = _cost(price)
    server: dict[str, Any] = {}
    if base_url is not None:
        server = {"base_url": base_url, "api_key": os.environ.get(_KEY_VARIABLE)}
    priced: dict[str, Any] = {} if cost is None else {"cost": cost}
    chat = model_from(model, role="--model", **server, **priced)
    if embed_model is None:
        embed_model = f"openai:{DEFAULT_MODELS.cluster}" if provider == "openai" and not server else "local"
    if embed_provider == "openai":
        free: dict[str, Any] = {"cost": 0} if cost == (0.0, 0.0) else {}
        return ChosenModels(chat, embedder_from(embed_model, role="--embed-model", **server, **free))
    return ChosenModels(chat, embed_model)


def _checked_spec(option: str, spec: str) -> str:
    """The provider that an option names; the command line uses a paid model only when one is named."""
    from text_lloom.llm.providers.registry import provider_of

    prefix, _, name = spec.partition(":")
    if ":" not in spec and prefix != "local":
        raise InputError(f"{option} {spec}: expected 'local' or '<provider>:<name>', such as openai:{spec}.")
    provider = provider_of(prefix, role=option, kind="chat" if option == "--model" else "embeddings")
    prefix = provider.prefix
    if not name and prefix != "local" and provider.needs_name | (prefix == "openai"):
        raise InputError(f"{option} {spec}: write {prefix}:<name>, such as {prefix}:{provider.example}.")
    return prefix


def _cost(price: str | None) -> tuple[float, float] | None:
    """USD per token in and out, from USD per million tokens."""
    if price is None:
        return None
    try:
        numbers = [float(part) / 1e6 for part in price.split(",")]
        if 1 <= len(numbers) <= 2 and all(0 <= number < math.inf for number in numbers):
            return numbers[0], numbers[-1]
    except ValueError:
        pass
    raise InputError(
        f"--price-per-million {price}: expected US dollars per million tokens in and out, such as "
        f"0.15,0.6, or 0."
    )
