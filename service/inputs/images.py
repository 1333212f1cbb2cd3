"""A picture file -> one digit as MNIST has it: uint8 (28, 28), bright ink on a dark ground. Knows files, not HTTP.

A 28x28 grey picture with a dark border is taken unchanged, bit for bit. Any other is turned upright, made grey, and
normalised as MNIST's digits were (mnist.py). Of several frames or pages the first is read.
"""

from __future__ import annotations

import re
import struct
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.concurrency import BIG_BYTES
from service.digits import SIDE, Pixels
from service.errors import BadRequest, PayloadTooLarge, Unavailable, UnsupportedMediaType
from service.inputs.mnist import ANALYSIS_SIDE, normalized
from service.inputs.picture_files import MAX_SCANS, BoundedReader, check_size, gif_size, has_many_scans, png_chunks

if TYPE_CHECKING:  # Pillow is imported with the first picture: a service that gets none does not pay for it
    from PIL.Image import Image

KINDS = re.compile(
    rb"(?P<Png>\x89PNG\r\n\x1a\n)|(?P<Jpeg>\xff\xd8\xff)|(?P<WebP>RIFF....WEBP)|(?P<Gif>GIF8[79]a)"
    rb"|(?P<Bmp>BM.{13}\0\0\0)|(?P<Tiff>II[*+]\0|MM\0[*+])",
    re.DOTALL,
)
READ = "PNG, JPEG, WebP, BMP, GIF or TIFF"
# the first bytes of every 28x28 PNG of 8-bit grey that is not interlaced
MNIST_PNG = bytes.fromhex("89504e470d0a1a0a 0000000d 49484452 0000001c 0000001c 0800000000 57668048")
ORIENTATION, TILE_WIDTH, TILE_HEIGHT = 0x0112, 322, 323
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation -> Image.Transpose
RANGES = (1, 255, 4095, 65535)  # possible values of white, if a sample has more than 8 bits
SMALL_PIXELS = 64 * 64


def decode_image(data: bytes, max_pixels: int = 16_000_000) -> Pixels:
    """The digit in a picture file.

    Args:
        data: the file.
        max_pixels: largest width x height to decode.

    Returns:
        uint8 (28, 28), bright ink on a dark ground.

    Raises:
        UnsupportedMediaType: not a picture, or of a format that is not read.
        BadRequest: empty, truncated or damaged.
        PayloadTooLarge: the header claims more than `max_pixels`; nothing was decoded.
        InvalidValue: there is no ink.
        Unavailable: Pillow, which is imported with the first picture, cannot be read now.
    """
    if not data:
        raise BadRequest(f"The picture is empty, 0 bytes; send a {READ} file.")
    kind = _kind(data)
    try:
        digit = _mnist_png(data) if data.startswith(MNIST_PNG) else None
        if digit is not None:
            return digit
        picture = _open(kind, data, max_pixels)
        grey = _upright(picture, _grey(picture))
        if picture.size == (SIDE, SIDE) and _is_grey(picture):
            digit = np.rint(np.asarray(grey, np.float32)).astype(np.uint8)
            if _is_dark(digit.tobytes()):
                return digit
    except (BadRequest, PayloadTooLarge):
        raise
    except Exception as error:  # Pillow raises exceptions of many types for damaged files
        if isinstance(error, ImportError) or getattr(error, "errno", None):  # the system's, not the file's
            raise Unavailable("Pictures cannot be read at present; the service is short of files or memory.") from error
        raise BadRequest(
            f"The {kind.upper()} picture is damaged, truncated or of an unsupported variant; send it again as PNG."
        ) from error
    return normalized(grey)


def is_small(data: bytes) -> bool:
    """Whether decoding takes well under a millisecond: a small PNG whose header claims at most 64x64 pixels."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or not 24 <= len(data) <= BIG_BYTES:
        return False
    width, height = struct.unpack(">II", data[16:24])
    return bool(width * height <= SMALL_PIXELS)


# -- files --------------------------------------------------------------------------------------------------------


def _kind(data: bytes) -> str:
    """File format by its first bytes (Pillow's name of it); the Content-Type may be wrong."""
    found = KINDS.match(data)
    if not found or not found.lastgroup:
        raise UnsupportedMediaType(f"These bytes are not a picture in a supported format; send {READ}.")
    return found.lastgroup


def _reader(kind: str) -> Any:
    """Pillow's class for one format. Image.open would import all formats, and warn about its own size limit."""
    return getattr(import_module(f"PIL.{kind}ImagePlugin"), f"{kind}ImageFile")


def _mnist_png(data: bytes) -> Pixels | None:
    """Fast path for MNIST's own pictures. None if the picture is transparent, rotated or on a bright ground."""
    from PIL import Image

    chunks = list(png_chunks(data))
    if {kind for kind, _ in chunks} & {b"tRNS", b"eXIf"}:
        return None
    packed = b"".join([chunk[8:-4] for kind, chunk in chunks if kind == b"IDAT"])
    raw = Image.frombytes("L", (SIDE, SIDE), packed, "zip", "L", 0).tobytes()
    return np.frombuffer(raw, np.uint8).reshape(SIDE, SIDE) if _is_dark(raw) else None


def _open(kind: str, data: bytes, max_pixels: int) -> Any:
    """The decoded picture. Every size that a file can claim is checked before Pillow allocates memory for it."""
    from PIL.Image import DecompressionBombError

    if kind == "Png":
        check_size(struct.unpack(">II", data[16:24]), max_pixels)
        data = data[:8] + b"".join(chunk for _, chunk in png_chunks(data))
    elif kind == "Gif":
        check_size(gif_size(data), max_pixels)
    elif kind == "Jpeg" and has_many_scans(data):
        raise BadRequest(f"The JPEG picture has more than {MAX_SCANS} scans; save it again as an ordinary JPEG or PNG.")
    try:
        picture = _reader(kind)(BoundedReader(data))
    except DecompressionBombError as error:
        raise PayloadTooLarge(f"The picture has far more than {max_pixels:,} pixels; send it smaller.") from error
    check_size(picture.size, max_pixels)
    if kind == "Tiff":
        check_size((picture.tag_v2.get(TILE_WIDTH, 1), picture.tag_v2.get(TILE_HEIGHT, 1)), max_pixels)
    if kind == "Jpeg" and picture.size != (SIDE, SIDE):
        picture.draft("L", (4 * ANALYSIS_SIDE, 4 * ANALYSIS_SIDE))  # decodes large photos at 1/2, 1/4 or 1/8
    picture.load()
    return picture


# -- grey ---------------------------------------------------------------------------------------------------------


def _grey(picture: Any) -> Image:
    """Grey levels 0-255, mode "L" or "F"; transparency is composed over white."""
    from PIL import Image

    if picture.mode[0] in "IF":
        return Image.fromarray(_levels(np.asarray(picture)))
    if not picture.has_transparency_data:
        return picture.convert("L")  # type: ignore[no-any-return]
    layers = picture.convert("RGBA")
    paper = Image.new("L", picture.size, 255)
    paper.paste(layers.convert("L"), mask=layers.getchannel("A"))
    return paper


def _levels(samples: NDArray[Any]) -> NDArray[np.float32]:
    """16-bit, 32-bit and float samples -> 0-255, by the smallest of RANGES that holds them all, else by min and max."""
    samples = np.where(np.isfinite(samples), samples, 0).clip(-1e30, 1e30).astype(np.float32)
    low, high = float(samples.min()), float(samples.max())
    for white in RANGES:
        if low >= 0 and high <= white:
            return samples * np.float32(255 / white)
    return (samples - np.float32(low)) * np.float32(255 / max(high - low, 1e-30))


def _upright(picture: Any, grey: Image) -> Image:
    """Applies the orientation in the EXIF data."""
    turn = TURNS.get(picture.getexif().get(ORIENTATION))
    return grey if turn is None else grey.transpose(turn)  # type: ignore[arg-type]


def _is_grey(picture: Any) -> bool:
    if picture.mode[0] in "1LIF":
        return True
    colours = np.asarray(picture.convert("RGB"))
    return bool((colours == colours[..., :1]).all())


def _is_dark(raw: bytes) -> bool:
    """Whether the median of the border of 28x28 bytes is below 128, and not all bytes are equal. (numpy is slower.)"""
    if raw.count(raw[0]) == len(raw):
        return False  # one level everywhere is not a digit
    border = raw[:SIDE] + raw[-SIDE:] + raw[::SIDE] + raw[SIDE - 1 :: SIDE]
    return sorted(border)[len(border) // 2] < 128
