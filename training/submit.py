"""Writes Kaggle's submission file: ImageId,Label for every row of test.csv, as the published model reads it.

python -m training submit --data data/kaggle --out submission.csv
"""

from pathlib import Path

from service.engine.model import Model
from training.data import loader
from training.errors import TrainingError
from training.predict import predict


def submit(model: Model, source: Path, out: Path) -> int:
    """Write the file, completely or not at all, and return its number of rows.

    Raises DataError for a damaged test.csv, TrainingError where `out` is a folder.
    """
    if out.is_dir():
        raise TrainingError(f"{out} is a folder; give the file to write, such as {out / 'submission.csv'}.")
    digits = loader.load(source, "test")
    predicted = predict(model, digits.pixels).argmax(axis=1)
    rows = [f"{number},{digit}\n" for number, digit in enumerate(predicted, start=1)]  # Kaggle counts from 1
    _write("".join(["ImageId,Label\n", *rows]), out)
    return len(rows)


def _write(text: str, out: Path) -> None:
    """Write a temporary file, then rename it: a reader sees the old file or the new one, never half of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
