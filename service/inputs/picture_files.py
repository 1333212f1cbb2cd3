"""What a picture file claims and holds, read before any memory is reserved for its pixels, and always within bounds."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from itertools import islice

from service.concurrency import WINDOW_BYTES
from service.errors import PayloadTooLarge

PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}
# start of a scan with a plausible length: motion photos append a video, in which \xff\xda occurs too
SCAN = re.compile(rb"\xff\xda\0(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
SCAN_BYTES = 5  # that SCAN matches
MAX_SCANS = 64  # of a JPEG: usual files have up to 18, and one kilobyte of scans can cost a second
MAX_PIECES = 100_000  # segments, chunks or reads of a file: millions of empty ones would take minutes
MAX_HEAD = 2**20  # bytes before the first frame of a GIF


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that make up the picture, checksums verified. Text, profiles and animation, which may be decompression
    bombs, are left out.
    """
    at = 8
    for _ in range(MAX_PIECES):
        if at >= len(png):
            break
        kind, end = png[at + 4 : at + 8], at + 12 + int.from_bytes(png[at : at + 4], "big")
        if kind in PNG_CHUNKS:
            if end > len(png) or zlib.crc32(png[at + 4 : end - 4]) != int.from_bytes(png[end - 4 : end], "big"):
                raise ValueError("checksum")
            yield kind, png[at:end]
        if kind == b"IEND":
            return
        at = end
    raise ValueError("no end")


def gif_size(data: bytes) -> tuple[int, int]:
    """Width and height of the screen or the first frame, for which Pillow allocates memory while opening the file."""
    head = data[:MAX_HEAD]
    at = 13 + (3 << (head[10] & 7) + 1 if head[10] & 128 else 0)
    while head[at] == 0x21:  # an extension: blocks that start with their length, the last one empty
        at += 2
        while head[at]:
            at += head[at] + 1
        at += 1
    if head[at] != 0x2C:
        raise ValueError("no frame")
    width, height, left, top, across, down = struct.unpack("<HH", head[6:10]) + struct.unpack_from("<4H", head, at + 1)
    return max(width, left + across), max(height, top + down)


def has_many_scans(jpeg: bytes) -> bool:
    """Searched in windows: a regular expression holds the GIL from start to end."""
    count = 0
    for start in range(0, len(jpeg), WINDOW_BYTES):
        found = SCAN.finditer(jpeg, start, start + WINDOW_BYTES + SCAN_BYTES - 1)
        count += sum(1 for _ in islice(found, MAX_SCANS + 1))
        if count > MAX_SCANS:
            return True
    return False


def check_size(size: tuple[int, ...], max_pixels: int) -> None:
    """Raises PayloadTooLarge where a width and a height make more than `max_pixels`."""
    width, height = size
    if width * height > max_pixels:
        raise PayloadTooLarge(
            f"The picture is {width:,} x {height:,} pixels and at most {max_pixels:,} are read; send it smaller."
        )


class BoundedReader(io.BytesIO):
    """A file with a limited number of reads, so that no header can make Pillow read for minutes."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_PIECES:
            raise ValueError("too many reads")
        return super().read(size)
