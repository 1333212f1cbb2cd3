"""The pictures can be drawn for every outcome."""

from pathlib import Path

import numpy as np
from PIL import Image

from training import plots
from training.data.digits import Digits


def test_pictures_of_a_perfect_model(tmp_path: Path, handwriting: Digits) -> None:
    """No mistakes to draw is no reason to fail, and neither is a history of one epoch."""
    labels = handwriting.labels[:20]
    plots.worst_mistakes(handwriting.pixels[:20], labels, np.eye(10)[labels], "perfect", tmp_path / "mistakes.png")
    plots.confusion_matrix(np.diag(np.arange(10)), "perfect", tmp_path / "confusion.png")
    row = {"epoch": 1, "loss": 0.5, "val_loss": 0.4, "digit_accuracy": 0.8, "val_digit_accuracy": 0.9}
    plots.curves([row], 1, tmp_path / "curves.png")
    for file in tmp_path.iterdir():
        with Image.open(file) as picture:
            picture.load()
