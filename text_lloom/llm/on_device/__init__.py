"""Models whose weights run in this process."""
