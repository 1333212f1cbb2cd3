"""The loaded versions of the models. Protocols get predictions through inference.py only."""
