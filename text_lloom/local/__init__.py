"""The local engine: every task answered by corpus statistics, with no key and no network."""
