"""Figures from scored tables."""
