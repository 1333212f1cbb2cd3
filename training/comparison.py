"""Decides whether a new version is worse than the served one, beyond a tolerance and beyond chance.

Both versions read the same digits. This file knows only which answers were right; retrain.py chooses the digits.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ONE_SIDED_95 = 1.645  # normal quantile: of 100 versions as good as the served one, about 95 pass


@dataclass(frozen=True)
class Allowance:
    """How many percentage points a new version may be worse and still be promoted.

    The allowance for chance needs a limit: on 30 digits chance explains 3 points and more, and a version that is 3
    points worse should not be promoted.
    """

    tolerance_points: float = 0.1
    most_chance_points: float = 0.5  # the largest difference that is ever attributed to chance

    def points(self, chance_points: float) -> float:
        """The allowed difference in all, where chance explains `chance_points`."""
        return self.tolerance_points + min(chance_points, self.most_chance_points)

    def sentence(self, chance_points: float) -> str:
        """The allowance in words: "0.1 points are tolerated, and 0.36 that chance explains, 0.5 at most"."""
        tolerated = f"{self.tolerance_points:g} points are tolerated"
        if chance_points <= self.most_chance_points:
            return f"{tolerated}, and {chance_points:.2f} that chance explains, {self.most_chance_points:g} at most"
        return (
            f"{tolerated}, and {self.most_chance_points:g}, the most that is attributed to chance, "
            f"which explains {chance_points:.2f}"
        )


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same digits; shares are 0 to 1, points are percentage points."""

    served: int  # the version that was served before
    digits: int  # read by both versions
    left_out: int  # also held out, but the served version may have been trained on them
    fair: bool  # False where too few were left; then all are compared, which favours the served version
    accuracy: float
    served_accuracy: float
    chance_points: float  # how much worse an equally good version may look by chance

    @property
    def worse_by_points(self) -> float:
        """Percentage points; above 0 if the new version is worse."""
        return 100 * (self.served_accuracy - self.accuracy)

    def not_worse(self, allowance: Allowance) -> bool:
        """Whether the difference is within the allowance."""
        return self.worse_by_points <= allowance.points(self.chance_points) + 1e-9  # 99.30 - 99.20 counts as 0.1


def compare(
    served: int, right: NDArray[np.bool_], served_right: NDArray[np.bool_], unseen: NDArray[np.bool_], enough: int = 100
) -> Comparison:
    """Compare from three arrays (n,): was the new version right, was the served one, and was neither trained on it.

    With fewer than `enough` unseen digits a fair comparison is not possible; then all digits are compared.
    """
    # Digits that both versions read correctly, or both incorrectly, cannot tell the two apart. Say only the new version
    # is right on b digits, and only the served one on c. If both versions are equally good, each of these b + c digits
    # falls to either side like a coin, so b - c has the standard deviation sqrt(b + c) (McNemar's test, 1947).
    fair = bool(unseen.all() or unseen.sum() >= enough)
    chosen = unseen if fair else np.ones(len(right), bool)
    new, old = right[chosen], served_right[chosen]
    n = len(new)
    chance = 100 * ONE_SIDED_95 * math.sqrt(int((new != old).sum())) / n
    return Comparison(served, n, len(right) - n, fair, float(new.mean()), float(old.mean()), chance)
