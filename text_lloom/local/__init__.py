"""The local engine: every task answered by corpus statistics, with no key and no network."""

from text_lloom.local.engine import LocalEngine

__all__ = ["LocalEngine"]
