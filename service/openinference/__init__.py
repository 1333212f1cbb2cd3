"""Inference by the Open Inference Protocol (V2) over HTTP: its documents, and nothing of routes or models."""
