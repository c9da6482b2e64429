"""Texts cut to what an embedding model takes, and a word to the user about it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from text_lloom.llm.model import EmbedModel
from text_lloom.llm.on_device import OnDeviceEmbedModel
from text_lloom.quotes import encodable

__all__ = ["cut_texts"]

_SHOWN = 60
_STEP = 0.95


def cut_texts(model: EmbedModel, texts: Sequence[str], step: str) -> list[str]:
    """The texts, cut at the end where they are longer than the model takes; warns if any were.

    Token counts are exact for models on this machine and estimates for others. May load a model: call it
    on a worker thread.

    Args:
        model: The embedding model.
        texts: What is to be embedded.
        step: The step that asks, for the warning.
    """
    window = model.window if isinstance(model, OnDeviceEmbedModel) else model.context_window
    sendable = [encodable(text) for text in texts]
    if window is None:
        return sendable
    cut = [_cut(text, model, window) for text in sendable]
    changed = [text for text, shorter in zip(sendable, cut, strict=True) if shorter is not text]
    if changed:
        first = " ".join(changed[0][: 2 * _SHOWN].split())[:_SHOWN]
        texts_were = "1 text was" if len(changed) == 1 else f"{len(changed)} texts were"
        warnings.warn(
            f"{step}: {texts_were} longer than the {window} tokens that {model.label!r} takes and "
            f"cut at the end, for example {first!r}….",
            stacklevel=2,
        )
    return cut


def _cut(text: str, model: EmbedModel, window: int) -> str:
    """The longest beginning of a text that is known to fit."""
    if 2 * len(text.encode("utf-8")) < window:  # a token is at least a byte; some are always added
        return text
    tokens = model.count_tokens(text)
    shorter = text
    while tokens > window and len(shorter) > 1:
        shorter = shorter[: max(1, min(len(shorter) - 1, int(len(shorter) * _STEP * window / tokens)))]
        tokens = model.count_tokens(shorter)
    return shorter
