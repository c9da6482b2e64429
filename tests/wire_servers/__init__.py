"""Servers on loopback that speak the wire formats of model providers, for tests through the real SDKs."""
