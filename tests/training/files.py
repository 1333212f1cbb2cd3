"""Writes digits the way Kaggle, MNIST and Keras do, for tests that read them back or spoil them first."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PIXELS = [f"pixel{i}" for i in range(784)]


def csv_table(pixels: NDArray[np.uint8], labels: NDArray[np.uint8] | None) -> pd.DataFrame:
    """Kaggle's columns."""
    table = pd.DataFrame(pixels.reshape(len(pixels), 784), columns=PIXELS)
    if labels is not None:
        table.insert(0, "label", labels)
    return table


def write_kaggle(folder: Path, pixels: NDArray[np.uint8], labels: NDArray[np.uint8], unlabelled: int) -> Path:
    """train.csv, and test.csv with the last `unlabelled` digits."""
    folder.mkdir(parents=True, exist_ok=True)
    csv_table(pixels[:-unlabelled], labels[:-unlabelled]).to_csv(folder / "train.csv", index=False)
    csv_table(pixels[-unlabelled:], None).to_csv(folder / "test.csv", index=False)
    return folder


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """MNIST's own format, written here from its description and not with the code under test."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(
    folder: Path, pixels: NDArray[np.uint8], labels: NDArray[np.uint8], test: int, zipped: bool = False
) -> Path:
    """The four files; the last `test` digits are the test digits."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": slice(None, -test), "t10k": slice(-test, None)}
    for name, part in parts.items():
        for kind, array in (("images-idx3", pixels[part]), ("labels-idx1", labels[part])):
            data = idx_bytes(array)
            file = folder / f"{name}-{kind}-ubyte{'.gz' if zipped else ''}"
            file.write_bytes(gzip.compress(data) if zipped else data)
    return folder


def write_npz(file: Path, pixels: NDArray[np.uint8], labels: NDArray[np.uint8], test: int) -> Path:
    """Keras's mnist.npz."""
    np.savez(file, x_train=pixels[:-test], y_train=labels[:-test], x_test=pixels[-test:], y_test=labels[-test:])
    return file
