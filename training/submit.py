"""Kaggle's submission file: ImageId,Label for every row of test.csv, read by the published model.

python -m training submit --data data/kaggle --out submission.csv
"""

from pathlib import Path

import pandas as pd

from service.model import Model
from training import data
from training.predict import predict


def submit(model: Model, source: Path, out: Path) -> int:
    """Write the file, whole or not at all, and return its number of rows. Raises DataError for a bad test.csv."""
    digits = data.load(source, "test")
    said = predict(model, digits.pixels).argmax(axis=1)
    table = pd.DataFrame({"ImageId": range(1, len(said) + 1), "Label": said})  # Kaggle counts from 1
    beside = out.with_name(f".{out.name}.tmp")
    table.to_csv(beside, index=False)
    beside.replace(out)
    return len(table)
