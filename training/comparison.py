"""Is a new version worse than the served one? Both read the same digits; a tolerance, and a little chance, is allowed.

Knows answers and labels; where the digits come from is retrain.py's business.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ONE_SIDED_95 = 1.645  # of 100 versions as good as the served one, about 95 are not turned away by bad luck


@dataclass(frozen=True)
class Allowance:
    """How many percentage points a new version may be worse.

    Chance needs a limit: on 30 digits it explains 3 points and more, and a version that much worse should stay out.
    """

    tolerance_points: float = 0.1
    most_chance_points: float = 0.5  # more than so many are never put down to chance

    def points(self, chance_points: float) -> float:
        """All in all, where chance alone explains so many."""
        return self.tolerance_points + min(chance_points, self.most_chance_points)

    def sentence(self, chance_points: float) -> str:
        """Both numbers, and which of them counted: "0.1 points are tolerated, and 0.36 that chance explains"."""
        tolerated = f"{self.tolerance_points:g} points are tolerated"
        if chance_points <= self.most_chance_points:
            return f"{tolerated}, and {chance_points:.2f} that chance explains, {self.most_chance_points:g} at most"
        return (
            f"{tolerated}, and {self.most_chance_points:g}, the most that are put down to chance, "
            f"which explains {chance_points:.2f}"
        )


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same digits; shares are 0 to 1, points are percentage points."""

    served: int  # the version served until now
    digits: int  # how many both have read
    left_out: int  # how many more were held out, but may have taught the served version
    fair: bool  # False where too few were left, so that all are compared and the served version is favoured
    accuracy: float
    served_accuracy: float
    chance_points: float  # how far chance alone may put a version back on so many digits

    @property
    def worse_by_points(self) -> float:
        """Above 0 if the new version is worse."""
        return 100 * (self.served_accuracy - self.accuracy)

    def not_worse(self, allowance: Allowance) -> bool:
        """Is the loss within what is allowed?"""
        return self.worse_by_points <= allowance.points(self.chance_points) + 1e-9  # 99.30 - 99.20 is 0.1 here


def compare(
    served: int, right: NDArray[np.bool_], served_right: NDArray[np.bool_], unseen: NDArray[np.bool_], enough: int = 100
) -> Comparison:
    """From three arrays (n,): what the new version read rightly, what the served one did, what neither learned from.

    With fewer than `enough` unseen digits there is no fair comparison; then all are taken, in favour of the served one.

    Chance: only digits that one version reads and the other does not can tell them apart. If both are equally good,
    each of these b + c digits falls either way like a coin, so the difference b - c has the deviation sqrt(b + c)
    (McNemar's test, 1947).
    """
    fair = bool(unseen.all() or unseen.sum() >= enough)
    chosen = unseen if fair else np.ones(len(right), bool)
    new, old = right[chosen], served_right[chosen]
    n = len(new)
    chance = 100 * ONE_SIDED_95 * math.sqrt(int((new != old).sum())) / n
    return Comparison(served, n, len(right) - n, fair, float(new.mean()), float(old.mean()), chance)
