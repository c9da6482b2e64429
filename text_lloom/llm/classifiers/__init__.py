"""Classifiers as score models."""
