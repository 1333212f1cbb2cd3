"""MNIST's normalisation: any grey picture of a digit becomes the 28x28 pixels that MNIST would have of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from service.errors import InvalidValue
from service.inputs.mnist import normalized
from tests.support.drawings import (
    WRITTEN,
    Array,
    centre,
    drawn,
    enlarged,
    extent,
    file,
    likeness,
    on_paper,
    seven,
)


def digit_of(page: Array) -> Array:
    return normalized(Image.fromarray(page))


def test_bright_on_dark_and_dark_on_bright_are_the_same_digit() -> None:
    for digit in WRITTEN:
        page = np.pad(on_paper(enlarged(digit)), 60, constant_values=255)
        assert likeness(digit_of(page), digit_of(255 - page)) > 0.99


@pytest.mark.parametrize(
    ("paper", "ink"), [(255, 0), (0, 255), (110, 30), (90, 200), (200, 255), (40, 0), (255, 225)], ids=str
)
def test_ink_is_whatever_differs_from_the_border(paper: int, ink: int) -> None:
    page = np.where(seven() > 0, ink, paper).astype(np.uint8)
    assert likeness(digit_of(page), digit_of(on_paper(seven()))) > 0.99


@given(
    st.tuples(st.integers(30, 300), st.integers(30, 300)),
    st.lists(st.tuples(*[st.floats(0.02, 0.98)] * 4), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=100)
def test_centred_by_mass_and_never_cut_off(shape: tuple[int, int], corners: list[tuple[float, ...]]) -> None:
    """A few bars anywhere: all of the 20x20 is there, and centred unless that would push it over the border."""
    boxes = []
    for y1, x1, y2, x2 in corners:
        top, bottom = sorted((int(y1 * shape[0]), int(y2 * shape[0])))
        left, right = sorted((int(x1 * shape[1]), int(x2 * shape[1])))
        boxes.append((top, left, bottom + 2, right + 2))
    page = np.pad(on_paper(drawn(shape, *boxes)), 5, constant_values=255)
    digit = digit_of(page)
    assert digit.max() == 255
    height, width = extent(digit)
    assert max(height, width) <= 20
    rows, columns = np.nonzero(digit)
    free = (rows.min() > 0, rows.max() < 27, columns.min() > 0, columns.max() < 27)
    y, x = centre(digit)
    assert abs(y - 14) <= 1 or not all(free[:2])
    assert abs(x - 14) <= 1 or not all(free[2:])


@pytest.mark.parametrize("turns", range(4))
def test_a_heavy_end_does_not_push_the_other_one_out(turns: int) -> None:
    anvil = np.rot90(drawn((200, 200), (20, 96, 180, 104), (165, 20, 180, 180)), turns)
    digit = digit_of(on_paper(anvil))
    assert extent(digit) == (20, 20)
    assert np.any([digit[0].any(), digit[-1].any(), digit[:, 0].any(), digit[:, -1].any()])


@pytest.mark.parametrize(("height", "width"), [(200, 100), (100, 200), (200, 20), (50, 200), (120, 120), (7, 3)])
def test_the_aspect_is_kept(height: int, width: int) -> None:
    page = on_paper(drawn((height + 80, width + 300), (30, 250, 30 + height, 250 + width)))
    longer = max(height, width)
    assert extent(digit_of(page)) == pytest.approx((20 * height / longer, 20 * width / longer), abs=1)


@pytest.mark.parametrize("side", [8, 16, 28, 40, 300, 900])
def test_any_size(side: int) -> None:
    for digit in WRITTEN[:5]:
        small, usual = (np.pad(on_paper(enlarged(digit, s)), s // 4, constant_values=255) for s in (side, 200))
        assert likeness(digit_of(small), digit_of(usual)) > (0.75 if side < 28 else 0.95)


def test_a_small_digit_in_a_large_picture() -> None:
    page = np.full((1500, 2000), 255, np.uint8)
    page[1300:1340, 100:140] = on_paper(enlarged(WRITTEN[3], 40))
    assert likeness(digit_of(page), digit_of(on_paper(np.pad(enlarged(WRITTEN[3]), 60)))) > 0.95


def test_a_thin_line_becomes_as_bright_as_a_stroke_of_mnist() -> None:
    picture = Image.new("L", (1000, 1000), 255)
    ImageDraw.Draw(picture).line([(200, 150), (800, 150), (400, 850)], fill=0, width=2)
    digit = normalized(picture)
    assert digit.max() == 255
    assert digit[digit > 0].mean() > 100
    assert extent(digit)[0] == 20


@pytest.mark.parametrize("number", range(10))
def test_a_phone_photo_of_paper(number: int) -> None:
    """Uneven light, noise, soft ink and JPEG compression, with a few specks of dirt."""
    random = np.random.default_rng(number)
    ink = np.zeros((480, 640))
    top, left = random.integers(0, 280), random.integers(0, 440)
    ink[top : top + 200, left : left + 200] = enlarged(WRITTEN[number])
    y, x = np.mgrid[0:1:480j, 0:1:640j]
    photo = on_paper(ink, 230 - 80 * x - 20 * y * y, pen=0.35) + random.normal(0, 6, ink.shape)
    for _ in range(5):
        spot = random.integers(0, 470), random.integers(0, 630)
        photo[spot[0] : spot[0] + 4, spot[1] : spot[1] + 4] = 40
    found = normalized(Image.open(io.BytesIO(file(np.clip(photo, 0, 255).astype(np.uint8), "JPEG", quality=60))))
    clean = digit_of(np.pad(on_paper(enlarged(WRITTEN[number])), 40, constant_values=255))
    assert likeness(found, clean) > 0.95
    assert (found == 0).mean() > 0.4


def test_cut_out_to_the_last_pixel() -> None:
    """As programs crop that search a page for digits: strokes touch the border on all sides."""
    for digit in WRITTEN:
        ink = np.clip(enlarged(digit) * 4 - 1.5, 0, 1)
        rows, columns = np.nonzero(ink > 0.5)
        tight = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        wide = digit_of(np.pad(on_paper(ink), 40, constant_values=255))
        assert likeness(digit_of(on_paper(tight)), wide) > 0.95


@pytest.mark.parametrize(("area", "kept"), [(10, True), (9, False)])
def test_components_smaller_than_a_tenth_of_the_largest_are_dirt(area: int, kept: bool) -> None:
    """Areas are counted in cells of 4x4 pixels that are full."""
    ink = drawn((160, 160), (40, 40, 80, 80), (120, 120, 124, 120 + 4 * area))
    alone = digit_of(on_paper(drawn((160, 160), (40, 40, 80, 80))))
    assert np.array_equal(digit_of(on_paper(ink)), alone) is not kept


@pytest.mark.parametrize("level", [0, 127, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (300, 200)])
def test_a_page_without_ink_is_rejected(level: int, shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidValue, match="No ink") as error:
        digit_of(np.full(shape, level, np.uint8))
    assert error.value.field == "image"


def test_floats_are_grey_levels_too() -> None:
    page = on_paper(seven())
    assert np.array_equal(digit_of(page.astype(np.float32)), digit_of(page))
