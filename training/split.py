"""The digits of one run: those it is trained on, those held out to evaluate it, and the test digits of the data set.

Built once per run, before the run folder, so that unusable data or feedback leave no folder behind. Training, export
and the decision about promotion all use the same object: the files are read once.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.config import TrainConfig
from training.data import corrections, loader
from training.data.corrections import Corrections
from training.data.digits import Digits, LabelledDigits
from training.errors import DataError


@dataclass(frozen=True)
class Split:
    """The parts of one data set, and the corrected digits that are added for training."""

    source: Path  # the folder or file that was read
    training: LabelledDigits  # 90 %; the corrected digits are not among them
    held_out: LabelledDigits  # 10 %, never trained on: they choose the best epoch and evaluate the model
    test: LabelledDigits | None  # the data set's own test digits, which MNIST has; used by export only
    corrections: Corrections | None = None

    @classmethod
    def of(cls, digits: Digits, source: Path, config: TrainConfig) -> "Split":
        """The split of `digits`, read from `source`. Raises DataError where they or the test digits cannot be used."""
        training, held_out = split(digits, config.validation_share, config.split_seed)
        test = loader.load(source, "test").labelled() if loader.has_labelled_test(source) else None
        return cls(source, training, held_out, test)

    def with_corrections(self, config: TrainConfig) -> "Split":
        """The same split, with the corrected digits of the configuration. Raises FeedbackUnavailable."""
        if not config.feedback:
            return self
        return replace(self, corrections=corrections.read(Path(config.feedback), self.held_out, config.feedback_weight))

    def to_learn(self) -> LabelledDigits:
        """Everything that is trained on: the training digits, then the corrected ones."""
        if self.corrections is None:
            return self.training
        added = self.corrections.digits
        pixels = np.concatenate([self.training.pixels, added.pixels])
        labels = np.concatenate([self.training.labels, added.labels])
        return LabelledDigits(pixels, labels, self.training.files)

    def sentence(self) -> str:
        """The number of digits in each part, for the terminal."""
        counted = f"{len(self.training):,} digits to learn from, {len(self.held_out):,} held out"
        if self.corrections is None:
            return counted
        return f"{counted}\nand {self.corrections.count:,} corrected digits, {self.corrections.weight} times each"


def split(digits: Digits, share: float, random_state: int) -> tuple[LabelledDigits, LabelledDigits]:
    """The lecture's train_test_split: (training, held out), each in shuffled order (docs/lecture).

    Raises DataError where there are no labels, or too few digits to hold some out.
    """
    from sklearn.model_selection import train_test_split

    labelled = digits.labelled()
    if len(digits) < 10:
        raise DataError(f"{digits.names}: only {len(digits)} digits; at least 10 are needed to hold some out.")
    # A network with 228,036 parameters can learn 37,800 digits by heart. Only digits that it was never trained on show
    # whether it reads handwriting: test_size=0.1 keeps 4,200 of Kaggle's 42,000 for that.
    # random_state=2 is the lecture's seed. It makes the shuffling repeatable: every run, the export and a later
    # evaluation hold out the same digits, so two models can be compared on digits that neither was trained on.
    training, held_out = train_test_split(np.arange(len(digits)), test_size=share, random_state=random_state)
    return labelled.take(training), labelled.take(held_out)
