"""How large the output of a convolution or a pooling is: w_out = floor((w_in + 2p - k) / s) + 1 (the lecture, part 4).

p counts one side, as in the lecture; d2l.ai's p counts both. Where the division leaves a rest, the lecture rounds down:
the last columns of the input are then seen by no filter. cs231n calls such a combination invalid. Keras's padding
"same" asks for ceil(w_in / s) and pads as much as that needs, unequally where it has to.
"""

from __future__ import annotations


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Number of places that the filter takes along one axis.

    Args:
        size: pixels of the input.
        kernel: pixels of the filter.
        stride: pixels from one place to the next.
        padding: zeros added on each side.

    Raises:
        ValueError: the filter is larger than the padded input, or a size is not positive.
    """
    _check(size, kernel, stride)
    if padding < 0 or kernel > size + 2 * padding:
        raise ValueError(f"A filter of {kernel} does not fit into {size} pixels with {padding} zeros on each side.")
    return (size + 2 * padding - kernel) // stride + 1


def rest(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """How many columns at the end of the padded input no filter sees; 0 is what cs231n calls valid."""
    return (size + 2 * padding - kernel) % stride


def keeping_padding(kernel: int) -> int:
    """The padding with which stride 1 keeps the size, of an odd filter: VGG's 3x3 filters have 1."""
    if kernel % 2 == 0:
        raise ValueError(f"A filter of {kernel} would need half a zero more on one side than on the other.")
    return (kernel - 1) // 2


def same(size: int, kernel: int, stride: int = 1) -> tuple[int, int, int]:
    """Keras's padding "same": the output's size, the zeros before and the zeros behind; behind gets the odd one."""
    _check(size, kernel, stride)
    out = -(-size // stride)
    zeros = max(0, (out - 1) * stride + kernel - size)
    return out, zeros // 2, zeros - zeros // 2


def _check(*sizes: int) -> None:
    if min(sizes) < 1:
        raise ValueError("Sizes and strides are at least 1.")
