"""How calls run: the event-loop thread, blocking functions, HTTP."""
