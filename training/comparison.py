"""Is a new version worse than the served one? Both read the same digits, and the tolerance and chance are allowed for.

Knows answers and labels; where the digits come from is retrain.py's business.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ONE_SIDED_95 = 1.645  # of 100 versions as good as the served one, about 95 are not turned away by bad luck


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

    def not_worse(self, tolerance_points: float) -> bool:
        """Is the loss within the tolerance and what chance explains?"""
        return self.worse_by_points <= tolerance_points + self.chance_points + 1e-9  # 99.30 - 99.20 is 0.1 here


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
