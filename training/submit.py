"""Kaggle's submission file: ImageId,Label for every row of test.csv, read by the published model.

python -m training submit --data data/kaggle --out submission.csv
"""

from pathlib import Path

from service.engine.model import Model
from training.data import loader
from training.errors import TrainingError
from training.predict import predict


def submit(model: Model, source: Path, out: Path) -> int:
    """Write the file, whole or not at all, and return its number of rows.

    Raises DataError for a bad test.csv, TrainingError where `out` cannot be a file.
    """
    if out.is_dir():
        raise TrainingError(f"{out} is a folder; give the file to write, such as {out / 'submission.csv'}.")
    digits = loader.load(source, "test")
    said = predict(model, digits.pixels).argmax(axis=1)
    rows = [f"{number},{digit}\n" for number, digit in enumerate(said, start=1)]  # Kaggle counts from 1
    _write("".join(["ImageId,Label\n", *rows]), out)
    return len(rows)


def _write(text: str, out: Path) -> None:
    """Beside, then renamed: a reader sees the old file or the new one, and a failure leaves neither half of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.tmp")
    try:
        beside.write_text(text)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
