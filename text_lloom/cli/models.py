"""`lloom models`: what this machine can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from text_lloom.llm.control.prices import Price

__all__ = ["models"]


def models() -> None:
    """List the models that this machine can use."""
    from text_lloom.llm.providers.openai import DEFAULT_MODELS, OpenAIEmbedModel, OpenAIModel
    from text_lloom.llm.providers.registry import all_providers, availability_of

    found = [(provider, availability_of(provider)) for provider in all_providers()]
    width = max(len(provider.prefix) for provider, _ in found) + len(":<name>")
    for provider, availability in sorted(found, key=lambda pair: not pair[1].is_ready):
        by_name = provider.needs_name and (provider.model or provider.embed)
        spec = provider.prefix + (":<name>" if by_name else "")
        typer.echo(f"{spec:<{width}}  {availability.reason}")
        if provider.prefix != "openai":
            continue
        for name in dict.fromkeys((DEFAULT_MODELS.distill, DEFAULT_MODELS.synth)):
            known = OpenAIModel(name, api_key="-")
            context = f"context {known.context_window or 'unknown'} tokens"
            typer.echo(f"  openai:{name:<24} {_priced(known.cost)}, {context}")
        embedder = OpenAIEmbedModel(api_key="-")
        typer.echo(f"  openai:{embedder.name:<24} {_priced(embedder.cost)}, for --embed-model")
    typer.echo("Any other name works, too; its price is taken from the price list if it is there.")


def _priced(cost: Price | None) -> str:
    if cost is None:
        return "price unknown"
    return f"${cost.input * 1e6:,.2f} in, ${cost.output * 1e6:,.2f} out per million tokens"
