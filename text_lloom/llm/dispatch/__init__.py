"""The one dispatcher: work in, answers or failures out, in order."""
