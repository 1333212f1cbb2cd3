"""Metrics, statistics, logs, request ids, and what workers tell each other."""
