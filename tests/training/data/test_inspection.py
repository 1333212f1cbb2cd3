"""What `python -m training data` prints about a data set."""

import hashlib
import io
from pathlib import Path

import numpy as np
from rich.console import Console

from tests.training.files import write_npz
from training.data import inspection
from training.data.digits import LabelledDigits


def test_every_digit_is_counted_in_its_part(tmp_path: Path, handwriting: LabelledDigits) -> None:
    file = write_npz(tmp_path / "mnist.npz", handwriting.pixels, handwriting.labels, test=297)
    console = Console(file=io.StringIO(), width=100)
    inspection.show(file, console)
    lines = console.file.getvalue().splitlines()
    rows = [line.replace("│", " ").split() for line in lines]
    training, test = np.bincount(handwriting.labels[:-297]), np.bincount(handwriting.labels[-297:])
    for digit in range(10):
        assert [str(digit), str(training[digit]), str(test[digit])] in rows
    assert ["all", "1,500", "297"] in rows
    assert lines[-1] == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  mnist.npz"


def test_unlabelled_digits_are_counted_in_all(kaggle: Path) -> None:
    console = Console(file=io.StringIO(), width=100)
    inspection.show(kaggle, console)
    rows = [line.replace("│", " ").split() for line in console.file.getvalue().splitlines()]
    assert ["all", "1,500", "297"] in rows
    assert any(row[-2:] == ["no", "label"] for row in rows)
