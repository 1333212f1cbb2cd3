"""Progress on the terminal: one line per epoch, and a bar within it, both in digits read correctly."""

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from training.config import TrainConfig
from training.train import train

MakeConfig = Callable[..., TrainConfig]


def test_every_epoch_is_reported_in_digits(tmp_path: Path, small_config: MakeConfig) -> None:
    console = Console(file=io.StringIO(), width=200)
    train(small_config(epochs=2, augment=False), tmp_path, console)
    lines = console.file.getvalue().splitlines()
    assert "1,350 digits to learn from, 150 held out" in lines[0]
    assert [line[:11] for line in lines[1:3]] == ["epoch   1/2", "epoch   2/2"]
    assert all(line.count("digits right") == 2 and "accuracy" not in line for line in lines[1:3])
    assert "of the held-out digits right" in lines[3]


def test_a_terminal_shows_a_bar_within_the_epoch(tmp_path: Path, small_config: MakeConfig) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    train(small_config(epochs=1), tmp_path, console)
    text = console.file.getvalue()
    assert "epoch 1/1  loss" in text
    assert "/43" in text  # 1,350 digits in batches of 32
    assert "digits right" in text
