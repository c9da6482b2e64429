"""The views of a session: the live widget, static HTML, the standalone page and the report."""
