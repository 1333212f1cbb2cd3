"""Rules that all decoders share: how many digits, rounding, and pixels that were divided by 255."""

from __future__ import annotations

import numpy as np
import pytest

from service.errors import InvalidValue, PayloadTooLarge
from service.inputs.pixels import check_count, rounded


def test_the_limit_itself_is_allowed() -> None:
    check_count(5, 5)
    with pytest.raises(PayloadTooLarge, match="6 digits in one request; at most 5"):
        check_count(6, 5)


@pytest.mark.parametrize("shape", [(784,), (28, 28), (3, 784), (3, 28, 28)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_keeps_the_shape(shape: tuple[int, ...], dtype: type) -> None:
    found = rounded(np.full(shape, 12.6, dtype), "instances")
    assert (found.shape, found.dtype) == (shape, np.uint8)
    assert (found == 13).all()


@pytest.mark.parametrize(("number", "pixel"), [(0.0, 0), (0.5, 0), (1.5, 2), (2.5, 2), (254.5, 254), (255.0, 255)])
def test_halves_go_to_the_even_number(number: float, pixel: int) -> None:
    digit = np.full(784, 200.0)
    digit[0] = number
    assert rounded(digit, "digit")[0] == pixel


@pytest.mark.parametrize("largest", [1e-6, 0.5, 1.0])
def test_a_digit_divided_by_255_is_named(largest: float) -> None:
    digits = np.full((4, 784), 200.0)
    digits[2] = np.linspace(0, largest, 784)
    with pytest.raises(InvalidValue, match=r"^instances\[12\] lies between 0 and 1") as error:
        rounded(digits, "instances", first=10)
    assert error.value.field == "instances"
    with pytest.raises(InvalidValue, match=r"^instances\[2\] lies") as error:
        rounded(digits[2], "instances[2]")
    assert error.value.field == "instances[2]"


def test_only_zeros_and_ones_are_not_taken_for_divided() -> None:
    assert rounded(np.eye(28), "digit").sum() == 28
    assert rounded(np.zeros((2, 784)), "digit").sum() == 0
