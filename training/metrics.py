"""How good are these probabilities? Every figure from (probabilities, labels) with numpy alone.

Knows nothing of models: the same functions judge the exported graph, the served version and a test's made-up numbers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.heads import TWICE

ECE_BINS = 15  # equal widths of confidence, as in Guo et al. 2017, "On Calibration of Modern Neural Networks"
SMALLEST = 1e-15  # a probability of 0 for the right digit would make the log loss infinite

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.uint8]


def measure(probabilities: Probabilities, labels: Labels) -> dict[str, Any]:
    """All figures as JSON-ready numbers; probabilities (n, 10), labels (n,) uint8.

    accuracy, log_loss (nats), ece (0 to 1), per_digit (precision, recall, n), confusion[label][said], n.
    """
    table = confusion(probabilities.argmax(axis=1), labels)
    return {
        "n": len(labels),
        "accuracy": float(np.trace(table) / table.sum()),
        "log_loss": log_loss(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
        "per_digit": per_digit(table),
        "confusion": table.tolist(),
    }


def confusion(said: NDArray[np.integer[Any]], labels: Labels) -> NDArray[np.int64]:
    """Counts (10, 10): row = what it is, column = what was said. The diagonal is right."""
    table = np.zeros((10, 10), np.int64)
    np.add.at(table, (labels, said), 1)
    return table


def log_loss(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of -ln p(right digit), in nats: 0 is perfect, 2.303 is guessing, one confident mistake costs a lot."""
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(right, SMALLEST, 1.0)).mean())


def expected_calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Mean distance between confidence and accuracy over bins of confidence, weighted by their size.

    0.01 means: when the model says 97 %, it is right in 96 to 98 of 100 cases.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=right, minlength=ECE_BINS) - np.bincount(
        bins, weights=confidence, minlength=ECE_BINS
    )
    return float(np.abs(gaps).sum() / len(labels))


def per_digit(table: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Precision (of those called a 4, how many are) and recall (of the 4s, how many were found), None where 0/0."""
    said, are, right = table.sum(axis=0), table.sum(axis=1), np.diag(table)
    return [
        {
            "digit": digit,
            "precision": _ratio(right[digit], said[digit]),
            "recall": _ratio(right[digit], are[digit]),
            "n": int(are[digit]),
        }
        for digit in range(10)
    ]


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def worst(probabilities: Probabilities, labels: Labels, count: int) -> NDArray[np.int64]:
    """Places of the mistakes the model was surest of, worst first: by how far the right digit was behind."""
    said = probabilities.argmax(axis=1)
    lead = probabilities[np.arange(len(labels)), said] - probabilities[np.arange(len(labels)), labels]
    order = np.argsort(-lead, kind="stable")
    return order[said[order] != labels[order]][:count]


def keras_accuracy(outputs: NDArray[np.floating[Any]], labels: Labels) -> float:
    """What Keras prints as "accuracy" for the lecture's head: (n, 10, 10, 1) against labels (n,).

    The last axis is 1, so Keras takes it for yes/no answers and counts cells: above one half, or not, as the label has
    it. 90 of a label's 100 cells are 0, and a softmax over 100 cells can lift at most one above one half: the figure
    is 0.90 before anything has been learned and never more than 0.91. It says nothing about digits.
    """
    cells = np.asarray(outputs).reshape(-1, 10, 10) > 0.5
    return float((cells == TWICE.encode(labels).astype(bool)).mean())
