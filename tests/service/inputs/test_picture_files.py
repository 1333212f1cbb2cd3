"""What is read of a picture file before its pixels. That bombs and damaged files are refused: test_images.py."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest

from service.concurrency import WINDOW_BYTES
from service.errors import PayloadTooLarge
from service.inputs.picture_files import (
    MAX_PIECES,
    MAX_SCANS,
    BoundedReader,
    check_size,
    gif_size,
    has_many_scans,
    png_chunks,
)
from tests.support.bodies import as_image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SCAN = b"\xff\xda\0\x08\x01"


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_chunks_that_are_no_pixels_are_left_out() -> None:
    kinds = [b"IHDR", b"zTXt", b"iCCP", b"acTL", b"IDAT", b"tEXt", b"IEND"]
    data = SIGNATURE + b"".join(chunk(kind, kind) for kind in kinds)
    assert [kind for kind, _ in png_chunks(data)] == [b"IHDR", b"IDAT", b"IEND"]
    assert b"".join(whole for _, whole in png_chunks(data)) == b"".join(chunk(k, k) for k in kinds if k[:1] == b"I")


@pytest.mark.parametrize(
    "damaged",
    [
        chunk(b"IDAT", b"1")[:-1] + b"?" + chunk(b"IEND"),
        chunk(b"IDAT", b"1"),
        struct.pack(">I", 2**31) + b"IDAT",
        chunk(b"tEXt") * (MAX_PIECES + 1),
    ],
    ids=["a wrong checksum", "no end", "longer than the file", "too many"],
)
def test_damaged_chunks(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"checksum|no end"):
        list(png_chunks(SIGNATURE + damaged))


@pytest.mark.parametrize(
    ("screen", "frame", "size"),
    [((5, 6), (0, 0, 5, 6), (5, 6)), ((1, 1), (3, 4, 10, 20), (13, 24)), ((99, 1), (0, 0, 1, 99), (99, 99))],
)
@pytest.mark.parametrize("palette", [0, 0x80, 0x87])
def test_a_gif_is_as_large_as_its_screen_and_its_first_frame(
    screen: tuple[int, int], frame: tuple[int, ...], size: tuple[int, int], palette: int
) -> None:
    colours = bytes(3 << (palette & 7) + 1) if palette else b""
    remark = b"\x21\xfe\x03abc\x02de\0"
    data = b"GIF89a" + struct.pack("<HHBBB", *screen, palette, 0, 0) + colours + remark * 3
    assert gif_size(data + b"," + struct.pack("<4H", *frame) + b"\0") == size
    with pytest.raises((ValueError, IndexError, struct.error)):
        gif_size(data + b";")


@pytest.mark.parametrize("gap", [0, 1, WINDOW_BYTES - 3, WINDOW_BYTES + 7])
def test_scans_are_counted_across_windows(gap: int) -> None:
    few = (bytes(gap) + SCAN) * MAX_SCANS
    assert not has_many_scans(few)
    assert has_many_scans(few + bytes(gap) + SCAN)


def test_a_size_at_the_limit_and_over_it() -> None:
    check_size((1000, 1000), 10**6)
    with pytest.raises(PayloadTooLarge, match=r"1,001 x 1,000 pixels and at most 1,000,000"):
        check_size((1001, 1000), 10**6)


def test_a_file_has_a_limited_number_of_reads() -> None:
    file = BoundedReader(b"x" * 10)
    for _ in range(MAX_PIECES):
        file.read(0)
    with pytest.raises(ValueError, match="too many reads"):
        file.read(0)


class Counted(bytes):
    """Bytes that count how often they are read."""

    reads = 0

    def __getitem__(self, place: Any) -> Any:
        Counted.reads += 1
        return super().__getitem__(place)


def test_no_chunk_is_looked_for_behind_the_end_of_a_png() -> None:
    """100,000 empty looks behind the end of 212 bytes, whose header was damaged, held the event loop for 54 ms."""
    png = as_image(np.zeros((28, 28), np.uint8)).replace(b"IEND", b"iend")
    Counted.reads = 0
    with pytest.raises(ValueError, match="no end"):
        list(png_chunks(Counted(png)))
    assert Counted.reads < 30
