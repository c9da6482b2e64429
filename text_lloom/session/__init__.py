"""A session: its state, and its steps."""
