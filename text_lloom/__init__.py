"""Concept induction: from a column of text to named, scored concepts."""
