"""The figures against scikit-learn's, and against sums done by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from training.metrics import expected_calibration_error, measure, worst

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 10, 500).astype(np.uint8)
PROBABILITIES = RNG.dirichlet(np.ones(10), 500).astype(np.float32)
PROBABILITIES[np.arange(400), LABELS[:400]] += 2
PROBABILITIES /= PROBABILITIES.sum(axis=1, keepdims=True)
SAID = PROBABILITIES.argmax(axis=1)


def test_against_scikit_learn() -> None:
    found = measure(PROBABILITIES, LABELS)
    exact = PROBABILITIES.astype(np.float64)
    assert found["n"] == 500
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(LABELS, SAID))
    assert found["log_loss"] == pytest.approx(sk.log_loss(LABELS, exact / exact.sum(axis=1, keepdims=True)), rel=1e-6)
    assert found["confusion"] == sk.confusion_matrix(LABELS, SAID, labels=range(10)).tolist()
    precision, recall, _, counts = sk.precision_recall_fscore_support(LABELS, SAID, labels=range(10))
    for digit, row in enumerate(found["per_digit"]):
        assert row["digit"] == digit
        assert row["precision"] == pytest.approx(precision[digit])
        assert row["recall"] == pytest.approx(recall[digit])
        assert row["n"] == counts[digit]


def test_calibration_error_by_hand() -> None:
    """Four answers at 0.95, three of them right: off by 0.2. Four at 0.55, two right: off by 0.05."""
    probabilities = np.zeros((8, 10))
    probabilities[:4, 0], probabilities[:4, 1] = 0.95, 0.05
    probabilities[4:, 0], probabilities[4:, 1] = 0.55, 0.45
    labels = np.array([0, 0, 0, 1, 0, 0, 1, 1], np.uint8)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.125)


def test_a_digit_that_does_not_occur_has_no_recall() -> None:
    rows = measure(np.eye(10)[[0, 1, 1]], np.array([0, 1, 1], np.uint8))["per_digit"]
    assert (rows[5]["precision"], rows[5]["recall"], rows[5]["n"]) == (None, None, 0)
    assert (rows[1]["precision"], rows[1]["recall"], rows[1]["n"]) == (1.0, 1.0, 2)


def test_a_sure_mistake_has_a_finite_log_loss() -> None:
    assert measure(np.eye(10)[[3]], np.array([4], np.uint8))["log_loss"] == pytest.approx(34.54, abs=0.01)


def test_the_worst_mistakes_come_first() -> None:
    places = worst(PROBABILITIES, LABELS, 20)
    assert (SAID[places] != LABELS[places]).all()
    lead = PROBABILITIES[places].max(axis=1) - PROBABILITIES[places, LABELS[places]]
    assert (np.diff(lead) <= 0).all()
    everything = worst(PROBABILITIES, LABELS, 500)
    assert len(everything) == (SAID != LABELS).sum()
