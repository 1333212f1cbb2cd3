"""What one run learns from and what it is judged by: the split, with the corrected digits among those to learn from.

Ready before the run folder is made, so that data or feedback that cannot be used leave no folder behind.
"""

from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.data.corrections import with_corrections
from training.data.digits import Digits, split


@dataclass(frozen=True)
class Lesson:
    """The digits of one run."""

    learn: Digits  # the corrected ones among them
    held_out: Digits
    corrections: dict[str, int]  # how many were added, for the card; empty where no feedback was given

    def sentence(self) -> str:
        """How many there are, for a terminal."""
        added, weight = self.corrections.get("digits", 0), self.corrections.get("weight", 0)
        counted = f"{len(self.learn) - added * weight:,} digits to learn from, {len(self.held_out):,} held out"
        return counted + (f"\nand {added:,} corrected digits, {weight} times each" if self.corrections else "")


def prepare(config: TrainConfig, digits: Digits) -> Lesson:
    """Split as the configuration says and add the feedback. Raises DataError or FeedbackUnavailable."""
    # 90 % to learn from, 10 % held out to see whether what was learned holds for digits never learned from.
    learn, held_out = split(digits, config.validation_share, config.split_seed)
    if not config.feedback:
        return Lesson(learn, held_out, {})
    learn, corrections = with_corrections(learn, held_out, Path(config.feedback), config.feedback_weight)
    return Lesson(learn, held_out, corrections)
