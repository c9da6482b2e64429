"""Sends requests to models: the dispatcher, attempts, and building requests."""
