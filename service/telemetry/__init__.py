"""Metrics, statistics, logs, request ids, and the state that worker processes share."""
