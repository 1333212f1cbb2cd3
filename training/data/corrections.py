"""Digits whose labels users corrected (POST /feedback), as additional training digits.

python -m training retrain --feedback feedback.sqlite --feedback-weight 5
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.feedback.store import FeedbackStore
from training.data.digits import Digits, LabelledDigits


@dataclass(frozen=True)
class Corrections:
    """Corrected digits, each repeated `weight` times, and how many of them were used."""

    digits: LabelledDigits  # (count * weight) digits
    count: int  # different digits, before they are repeated
    weight: int
    left_out: int  # corrections of held-out digits, which are not used

    @property
    def counts(self) -> dict[str, int]:
        """The numbers as result.json and the model's card keep them."""
        return {"digits": self.count, "weight": self.weight, "left_out_as_held_out": self.left_out}


def read(file: Path, held_out: Digits, weight: int) -> Corrections:
    """All corrections in the feedback file, except those of held-out digits.

    A correction of a held-out digit is left out: a model that was trained on the digits that judge it looks better
    than it is. Repeating a digit `weight` times has the same effect as multiplying its loss by `weight`: a handful of
    corrections would otherwise be lost among 54,000 digits. Raises FeedbackUnavailable where the file is missing or
    is not a feedback file.
    """
    with closing(FeedbackStore(file)) as store:
        pixels, labels = store.digits()
    judging = {picture.tobytes() for picture in held_out.pixels}
    new = np.array([picture.tobytes() not in judging for picture in pixels], bool)
    repeated = LabelledDigits(pixels[new].repeat(weight, axis=0), labels[new].repeat(weight))
    return Corrections(repeated, int(new.sum()), weight, int((~new).sum()))
