"""Reads and fetches digits: Kaggle's CSV, MNIST's IDX files, Keras's mnist.npz, and the digits that users corrected."""
