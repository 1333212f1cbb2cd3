"""The models folder on disk."""
