"""What bounds and counts requests: limits, concurrency, budget, retry, usage, prices, tokens."""
