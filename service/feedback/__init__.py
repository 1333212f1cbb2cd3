"""Corrected digits, recent predictions, drift."""
