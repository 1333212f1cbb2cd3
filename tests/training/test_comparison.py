"""When a new version counts as worse: tolerance, chance, and digits that the served one was trained on."""

import numpy as np
import pytest

from training.comparison import Allowance, Comparison, compare


@pytest.mark.parametrize(
    ("new", "old", "tolerance", "chance", "fine"),
    [
        (0.9930, 0.9920, 0.0, 0.0, True),
        (0.9930, 0.9930, 0.0, 0.0, True),
        (0.9929, 0.9930, 0.0, 0.0, False),
        (0.9920, 0.9930, 0.1, 0.0, True),  # exactly the tolerance, whatever float64 makes of 99.30 - 99.20
        (0.9919, 0.9930, 0.1, 0.0, False),
        (0.9900, 0.9930, 0.1, 0.2, True),
        (0.9899, 0.9930, 0.1, 0.2, False),
        (0.5000, 0.9930, 50.0, 0.0, True),
    ],
)
def test_tolerance_and_chance_are_in_points(
    new: float, old: float, tolerance: float, chance: float, fine: bool
) -> None:
    assert Comparison(1, 4200, 0, True, new, old, chance).not_worse(Allowance(tolerance)) is fine


@pytest.mark.parametrize(
    ("digits", "lost", "won", "allowance", "fine"),
    [
        (856, 16, 7, Allowance(), False),  # 1.05 points worse, within the 0.92 that chance explains and 0.1
        (856, 10, 5, Allowance(), True),  # 0.58 points worse
        (856, 10, 5, Allowance(0.1, 0.4), False),
        (30, 1, 0, Allowance(), False),  # 3.33 points worse, one digit
        (30, 1, 0, Allowance(0.1, 100), True),
        (10_000, 8, 6, Allowance(0.0), True),  # 0.02 points worse
        (10_000, 8, 6, Allowance(0.0, 0.0), False),
        (10_000, 7, 7, Allowance(0.0, 0.0), True),
    ],
)
def test_chance_excuses_so_much_and_no_more(digits: int, lost: int, won: int, allowance: Allowance, fine: bool) -> None:
    right, served = np.ones(digits, bool), np.ones(digits, bool)
    right[:lost], served[lost : lost + won] = False, False
    assert compare(1, right, served, np.ones(digits, bool)).not_worse(allowance) is fine


def test_the_sentence_says_which_number_counted() -> None:
    assert Allowance(0.1, 0.5).sentence(0.357) == (
        "0.1 points are tolerated, and 0.36 that chance explains, 0.5 at most"
    )
    assert Allowance(0.0, 0.5).sentence(3.7) == (
        "0 points are tolerated, and 0.5, the most that is attributed to chance, which explains 3.70"
    )


def test_chance_by_hand() -> None:
    """Of 1,000 digits the new version loses 16 and wins 9: 0.7 points worse; sqrt(25) = 5 digits, times 1.645."""
    right, served = np.ones(1000, bool), np.ones(1000, bool)
    right[:16], served[16:25] = False, False
    found = compare(3, right, served, np.ones(1000, bool))
    assert (found.served, found.digits, found.left_out, found.fair) == (3, 1000, 0, True)
    assert found.worse_by_points == pytest.approx(0.7)
    assert found.chance_points == pytest.approx(0.8225)
    assert found.not_worse(Allowance(0.0, 1.0))
    right[30:60] = False
    assert not compare(3, right, served, np.ones(1000, bool)).not_worse(Allowance(0.1, 100))


def test_an_equally_good_version_is_seldom_turned_away_and_a_worse_one_mostly() -> None:
    """Two readers that err on their own: at 1 % each about 5 in 100 are turned away, at 2 % against 1 % nearly all."""
    rng = np.random.default_rng(0)
    everything = np.ones(4200, bool)

    def turned_away(errors: float) -> float:
        trials = [compare(1, rng.random(4200) > errors, rng.random(4200) > 0.01, everything) for _ in range(400)]
        return float(np.mean([not trial.not_worse(Allowance(0.0)) for trial in trials]))

    assert 0.01 < turned_away(0.01) < 0.08
    assert turned_away(0.02) > 0.95


def test_only_unseen_digits_count_where_there_are_enough() -> None:
    unseen = np.arange(1000) < 120
    right, served = np.ones(1000, bool), np.ones(1000, bool)
    right[200:400] = False  # the new version fails on digits that the served one knows by heart
    found = compare(1, right, served, unseen)
    assert (found.digits, found.left_out, found.fair, found.worse_by_points) == (120, 880, True, 0.0)
    found = compare(1, right, served, np.arange(1000) < 99)
    assert (found.digits, found.left_out, found.fair) == (1000, 0, False)
    assert found.worse_by_points == pytest.approx(20)


def test_a_small_set_that_nobody_has_learned_from_is_fair() -> None:
    assert compare(1, np.ones(20, bool), np.ones(20, bool), np.ones(20, bool)).fair
