"""Measurements that anyone can repeat; each prints ratios or figures of one run."""
