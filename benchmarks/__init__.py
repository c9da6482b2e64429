"""Benchmarks; each prints the figures or ratios of one run."""
