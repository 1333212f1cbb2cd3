"""Request bodies of every kind that /predict reads, made from arrays of pixels."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]
Files = Sequence[tuple[str, bytes]]

BOUNDARY = "frontier"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def as_json(pixels: Pixels, **more: Any) -> bytes:
    """`{"instances": [...]}`, nested or flat as the array is."""
    return json.dumps({"instances": pixels.tolist(), **more}).encode()


def with_pixel(text: str, place: tuple[int, int, int] = (0, 3, 5), count: int = 1, flat: bool = False) -> bytes:
    """JSON of blank digits in which one pixel is replaced by `text`."""
    instances: list[Any] = np.zeros((count, 28, 28), int).tolist()
    n, row, column = place
    instances[n][row][column] = "HERE"
    if flat:
        instances = [[pixel for line in digit for pixel in line] for digit in instances]
    return json.dumps({"instances": instances}).replace('"HERE"', text).encode()


def as_npy(array: NDArray[Any], allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def npy_header(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A .npy file with the given header."""
    text = header.encode("latin-1") + b"\n"
    size = struct.pack("<H" if version[:1] == b"\x01" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + data


def npy_claiming(shape: str, dtype: str = "'|u1'", data: bytes = b"") -> bytes:
    return npy_header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}", data)


def as_csv(pixels: Pixels, header: bool = False, end: str = "\n") -> bytes:
    rows = [",".join(map(str, row)) for row in pixels.reshape(-1, 784).tolist()]
    names = [",".join(f"pixel{i}" for i in range(784))] if header else []
    return (end.join(names + rows) + end).encode()


def as_image(pixels: Pixels | Image.Image, kind: str = "png", **options: Any) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes of data do not fill."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def as_multipart(files: Files, fields: Sequence[tuple[str, str]] = (), end: bool = True) -> bytes:
    """multipart/form-data with `files` of (name, content); `end=False` leaves the closing boundary out."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields]
    parts += [
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    start = f"--{BOUNDARY}\r\n".encode()
    return b"".join(start + part for part in parts) + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


def on_paper(ink: Pixels, scale: int = 12) -> Pixels:
    """A digit as in a photo of paper: dark ink on white, enlarged, with a wide margin."""
    enlarged = np.kron(ink, np.ones((scale, scale), np.uint8))
    return np.pad(255 - enlarged, 3 * scale, constant_values=255)  # type: ignore[no-any-return]
