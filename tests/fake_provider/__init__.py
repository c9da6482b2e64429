"""An OpenAI-compatible server for tests and benchmarks, which answers from the text that it is sent.

Run it with `python -m tests.fake_provider --port 0`; in Python use `tests.fake_provider.fixtures`.
"""
