"""The table of providers, what makes models from it, and one module per kind of provider."""
