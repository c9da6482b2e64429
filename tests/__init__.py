"""Tests of text_lloom."""
