"""Digits that users corrected (POST /feedback), added to the digits to learn from and never to those held out.

python -m training retrain --feedback feedback.sqlite --feedback-weight 5
"""

from contextlib import closing
from pathlib import Path

import numpy as np

from service.feedback.store import FeedbackStore
from training.data.digits import Digits


def with_corrections(learn: Digits, held_out: Digits, file: Path, weight: int) -> tuple[Digits, dict[str, int]]:
    """The digits to learn from with the corrected ones behind them, each `weight` times; and how many, for the card.

    A correction of a digit that is held out is left out: the judge must not have been in the classroom.
    Raises FeedbackUnavailable where the file is not there or is no feedback file.
    """
    with closing(FeedbackStore(file)) as store:
        pixels, labels = store.digits()
    judges = {picture.tobytes() for picture in held_out.pixels}
    new = np.array([picture.tobytes() not in judges for picture in pixels], bool)
    pixels, labels = pixels[new].repeat(weight, axis=0), labels[new].repeat(weight)
    assert learn.labels is not None
    together = Digits(np.concatenate([learn.pixels, pixels]), np.concatenate([learn.labels, labels]), learn.files)
    return together, {"digits": int(new.sum()), "weight": weight, "left_out_as_held_out": int((~new).sum())}
