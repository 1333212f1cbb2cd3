"""The policy of a retraining survives in its run folder."""

from pathlib import Path

import pytest

from training.comparison import Allowance
from training.errors import RunError
from training.promotion_policy import PromotionPolicy

POLICY = PromotionPolicy("/srv/models", "digits", Allowance(0.2, 0.25), "the old one was trained on damaged data")


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    POLICY.save(tmp_path)
    assert PromotionPolicy.load(tmp_path) == POLICY


def test_a_run_of_train_has_no_policy(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"was started by `train`, not by `retrain`. Continue it with .* then export"):
        PromotionPolicy.load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "5", "{}", '{"models": "x", "name": "y", "allowance": 3}'])
def test_a_damaged_policy_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "terms.json").write_text(content)
    with pytest.raises(RunError, match=r"terms\.json cannot be read. Continue with .* then export"):
        PromotionPolicy.load(tmp_path)
