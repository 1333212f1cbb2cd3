"""Metrics of a classifier from (probabilities, labels), with numpy alone.

Independent of any model: the same functions measure the exported graph, the served version and the numbers of a test.
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

    accuracy, log_loss (nats), ece (0 to 1), per_digit (precision, recall, n), confusion[label][predicted], n.
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


def confusion(predicted: NDArray[np.integer[Any]], labels: Labels) -> NDArray[np.int64]:
    """Counts (10, 10): the row is the label, the column the prediction. The diagonal counts the right answers."""
    table = np.zeros((10, 10), np.int64)
    np.add.at(table, (labels, predicted), 1)
    return table


def log_loss(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of -ln p(right digit), in nats: 0 is perfect, 2.303 = ln 10 is guessing among ten digits."""
    # The accuracy counts a 51 % answer and a 99.9 % answer alike; the log loss does not. A mistake made with 99.9 %
    # costs -ln 0.001 = 6.9, as much as about 690 right answers given with 99 %.
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(right, SMALLEST, 1.0)).mean())


def expected_calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Mean distance between confidence and accuracy over bins of confidence, weighted by their size.

    0.01 means that of 100 answers given with 97 % confidence, typically 96 to 98 are right (docs/lecture).
    """
    # Accuracy does not depend on it, but sending only the doubtful digits to a person does. Many networks are too
    # confident; dividing their logits by a fitted temperature above 1 cures that. The two shipped ones have an error of
    # 0.0014 and 0.0016 on MNIST's test digits, so no temperature is fitted.
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=right, minlength=ECE_BINS) - np.bincount(
        bins, weights=confidence, minlength=ECE_BINS
    )
    return float(np.abs(gaps).sum() / len(labels))


def per_digit(table: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Precision (the share of "4" answers that are 4s) and recall (the share of 4s that were found); None where 0/0."""
    predicted, actual, right = table.sum(axis=0), table.sum(axis=1), np.diag(table)
    return [
        {
            "digit": digit,
            "precision": _ratio(right[digit], predicted[digit]),
            "recall": _ratio(right[digit], actual[digit]),
            "n": int(actual[digit]),
        }
        for digit in range(10)
    ]


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def worst(probabilities: Probabilities, labels: Labels, count: int) -> NDArray[np.int64]:
    """Positions of the most confident mistakes, worst first: sorted by how far the right digit was behind."""
    predicted = probabilities.argmax(axis=1)
    lead = probabilities[np.arange(len(labels)), predicted] - probabilities[np.arange(len(labels)), labels]
    order = np.argsort(-lead, kind="stable")
    mistakes: NDArray[np.int64] = order[predicted[order] != labels[order]]
    return mistakes[:count]


def keras_accuracy(outputs: NDArray[np.floating[Any]], labels: Labels) -> float:
    """What Keras prints as "accuracy" for the lecture's head: outputs (n, 10, 10, 1) against labels (n,), 0 to 1.

    It says nothing about digits: it is 0.90 before anything has been learned and never more than 0.91 (docs/lecture).
    """
    # The last axis has length 1, so Keras assumes yes/no answers and compares cells: is the output above one half, as
    # the label's cell is? 90 of a label's 100 cells are 0, and an untrained softmax has all cells near 0.01: 90 of 100
    # "right". The 100 cells sum to 1, so at most one of them can rise above one half: 91 of 100 at best.
    cells = np.asarray(outputs).reshape(-1, 10, 10) > 0.5
    return float((cells == TWICE.encode(labels).astype(bool)).mean())
