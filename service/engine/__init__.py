"""The live versions of the models, and the one door to an answer: inference.py."""
