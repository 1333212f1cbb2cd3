"""Any picture -> one digit as MNIST has it: uint8 (28, 28), bright ink on a dark ground. It knows files, not HTTP.

A 28x28 grey picture whose border is dark is taken as it is, bit for bit. Any other goes MNIST's own way: upright, grey,
cropped to its ink, scaled to fit 20x20, placed by its centre of mass. Of several frames or pages the first is read.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.digits import SIDE, Pixels
from service.errors import BadRequest, InvalidValue, PayloadTooLarge, UnsupportedMediaType

if TYPE_CHECKING:  # Pillow is imported with the first picture: a service that gets none does not pay for it
    from PIL.Image import Image

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

KINDS = re.compile(
    rb"(?P<Png>\x89PNG\r\n\x1a\n)|(?P<Jpeg>\xff\xd8\xff)|(?P<WebP>RIFF....WEBP)|(?P<Gif>GIF8[79]a)"
    rb"|(?P<Bmp>BM.{13}\0\0\0)|(?P<Tiff>II[*+]\0|MM\0[*+])",
    re.DOTALL,
)
READ = "PNG, JPEG, WebP, BMP, GIF or TIFF"
# the head of every 28x28 PNG of 8-bit grey that is not interlaced
MNIST_PNG = bytes.fromhex("89504e470d0a1a0a 0000000d 49484452 0000001c 0000001c 0800000000 57668048")
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}
SCAN = re.compile(
    rb"\xff\xda\0(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)"
)  # a phone's film after the photo has \xff\xda too
MAX_SCANS = 64  # of a JPEG: ordinary ones have up to 18, and a kilobyte of them costs a second
MAX_PIECES = 100_000  # segments, chunks or reads of any file: millions of empty ones would take minutes
MAX_HEAD = 2**20  # bytes before the first frame of a GIF
ORIENTATION, TILE_WIDTH, TILE_HEIGHT = 0x0112, 322, 323
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation -> Image.Transpose
RANGES = (1, 255, 4095, 65535)  # what white may be, where a sample has more than 8 bits
SMALL_PIXELS = 64 * 64
INNER = 20
ANALYSIS_SIDE = 160  # pixels on the longer side of what is searched for ink
MAX_NOISE = 12  # grey levels of noise, more than any paper has
MIN_CONTRAST = 10  # grey levels by which ink must differ from its ground


def decode_image(data: bytes, max_pixels: int = 16_000_000) -> Pixels:
    """The digit in a picture file.

    Raises:
        UnsupportedMediaType: no picture, or none of a kind that is read.
        BadRequest: empty, cut off or damaged.
        PayloadTooLarge: its header claims more than `max_pixels`; nothing was decoded.
        InvalidValue: no ink.
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
    except Exception as error:  # a border too: what Pillow raises for a spoiled file is no closed list
        raise BadRequest(
            f"The {kind.upper()} picture is damaged, cut off or of a variety that is not read; send it again as PNG."
        ) from error
    return _as_mnist(grey)


def is_small(data: bytes) -> bool:
    """Whether decoding takes well under a millisecond: a PNG whose header claims few pixels, whatever its bytes."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 24:
        return False
    width, height = struct.unpack(">II", data[16:24])
    return bool(width * height <= SMALL_PIXELS)


def warm() -> None:
    """Imports Pillow and its readers now, about a tenth of a second, instead of with the first picture."""
    for kind in KINDS.groupindex:
        _reader(kind)


# -- files --------------------------------------------------------------------------------------------------------


def _kind(data: bytes) -> str:
    """By its first bytes: neither its name nor its media type counts."""
    found = KINDS.match(data)
    if not found or not found.lastgroup:
        raise UnsupportedMediaType(f"These bytes are no picture of a kind that is read here; send {READ}.")
    return found.lastgroup


def _reader(kind: str) -> Any:
    """Pillow's class for one kind. Image.open would load them all, and warn of large pictures by its own limit."""
    return getattr(import_module(f"PIL.{kind}ImagePlugin"), f"{kind}ImageFile")


def _mnist_png(data: bytes) -> Pixels | None:
    """The commonest picture, faster than by Pillow's reader. None: transparent, turned or on a bright ground."""
    from PIL import Image

    chunks = list(_chunks(data))
    if {kind for kind, _ in chunks} & {b"tRNS", b"eXIf"}:
        return None
    packed = b"".join([chunk[8:-4] for kind, chunk in chunks if kind == b"IDAT"])
    raw = Image.frombytes("L", (SIDE, SIDE), packed, "zip", "L", 0).tobytes()
    return np.frombuffer(raw, np.uint8).reshape(SIDE, SIDE) if _is_dark(raw) else None


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What makes up the picture, checksums checked; text, profiles and animation, which may be bombs, are left out."""
    at = 8
    for _ in range(MAX_PIECES):
        kind, end = png[at + 4 : at + 8], at + 12 + int.from_bytes(png[at : at + 4], "big")
        if kind in PNG_CHUNKS:
            if end > len(png) or zlib.crc32(png[at + 4 : end - 4]) != int.from_bytes(png[end - 4 : end], "big"):
                raise ValueError("checksum")
            yield kind, png[at:end]
        if kind == b"IEND":
            return
        at = end
    raise ValueError("no end")


def _open(kind: str, data: bytes, max_pixels: int) -> Any:
    """The loaded picture. Every size that a file can claim is checked before Pillow makes room for it."""
    from PIL.Image import DecompressionBombError

    if kind == "Png":
        _check_size(struct.unpack(">II", data[16:24]), max_pixels)
        data = data[:8] + b"".join(chunk for _, chunk in _chunks(data))
    elif kind == "Gif":
        _check_size(_gif_size(data), max_pixels)
    elif kind == "Jpeg" and len(SCAN.findall(data)) > MAX_SCANS:
        raise BadRequest(f"The JPEG picture has more than {MAX_SCANS} scans; save it again as an ordinary JPEG or PNG.")
    try:
        picture = _reader(kind)(BoundedReader(data))
    except DecompressionBombError as error:
        said = f"The picture is far over the {max_pixels:,} pixels that are read; send it smaller."
        raise PayloadTooLarge(said) from error
    _check_size(picture.size, max_pixels)
    if kind == "Tiff":
        _check_size((picture.tag_v2.get(TILE_WIDTH, 1), picture.tag_v2.get(TILE_HEIGHT, 1)), max_pixels)
    if kind == "Jpeg" and picture.size != (SIDE, SIDE):
        picture.draft("L", (4 * ANALYSIS_SIDE, 4 * ANALYSIS_SIDE))  # decodes a large photo at 1/2, 1/4 or 1/8
    picture.load()
    return picture


class BoundedReader(io.BytesIO):
    """A file that no header can make Pillow read on and on."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_PIECES:
            raise ValueError("too many pieces")
        return super().read(size)


def _check_size(size: tuple[int, ...], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PayloadTooLarge(
            f"The picture is {width:,} x {height:,} pixels and at most {max_pixels:,} are read; send it smaller."
        )


def _gif_size(data: bytes) -> tuple[int, int]:
    """Of the screen or of the first frame, which Pillow would make room for while opening the file."""
    head = data[:MAX_HEAD]
    at = 13 + (3 << (head[10] & 7) + 1 if head[10] & 128 else 0)
    while head[at] == 0x21:  # an extension: its blocks, each after its length, to an empty one
        at += 2
        while head[at]:
            at += head[at] + 1
        at += 1
    if head[at] != 0x2C:
        raise ValueError("no frame")
    width, height, left, top, across, down = struct.unpack("<HH", head[6:10]) + struct.unpack_from("<4H", head, at + 1)
    return max(width, left + across), max(height, top + down)


# -- grey ---------------------------------------------------------------------------------------------------------


def _grey(picture: Any) -> Image:
    """0 to 255, bytes or floats, with transparency over white."""
    from PIL import Image

    if picture.mode[0] in "IF":
        return Image.fromarray(_levels(np.asarray(picture)))
    if not picture.has_transparency_data:
        return picture.convert("L")  # type: ignore[no-any-return]
    layers = picture.convert("RGBA")
    paper = Image.new("L", picture.size, 255)
    paper.paste(layers.convert("L"), mask=layers.getchannel("A"))
    return paper


def _levels(samples: NDArray[Any]) -> Floats:
    """16-bit, 32-bit and float samples, by the least range that holds them all."""
    samples = np.where(np.isfinite(samples), samples, 0).clip(-1e30, 1e30).astype(np.float32)
    low, high = float(samples.min()), float(samples.max())
    for white in RANGES:
        if low >= 0 and high <= white:
            return samples * np.float32(255 / white)
    return (samples - np.float32(low)) * np.float32(255 / max(high - low, 1e-30))


def _upright(picture: Any, grey: Image) -> Image:
    turn = TURNS.get(picture.getexif().get(ORIENTATION))
    return grey if turn is None else grey.transpose(turn)  # type: ignore[arg-type]


def _is_grey(picture: Any) -> bool:
    if picture.mode[0] in "1LIF":
        return True
    colours = np.asarray(picture.convert("RGB"))
    return bool((colours == colours[..., :1]).all())


def _is_dark(raw: bytes) -> bool:
    """Whether most of the border of 28x28 pixels is nearer to black, and there is anything else: bytes, because arrays
    as small are slower."""
    if raw.count(raw[0]) == len(raw):
        return False  # one level all over is no digit, whatever its size
    border = raw[:SIDE] + raw[-SIDE:] + raw[::SIDE] + raw[SIDE - 1 :: SIDE]
    return sorted(border)[len(border) // 2] < 128


# -- ink ----------------------------------------------------------------------------------------------------------


def _as_mnist(picture: Image) -> Pixels:
    """Looks at the whole, then closer and closer while the ink fills less than half of it."""
    from PIL import Image

    while True:
        step = -(-max(picture.size) // ANALYSIS_SIDE)
        ink, sure = _ink(np.asarray(picture.reduce(step), np.float32))
        left, top, right, bottom = _box(sure)
        size = max(right - left, bottom - top)
        if step == 1 or size * 2 > max(ink.shape):
            break
        rim = size // 10 + 2
        left, top = max(0, left - rim) * step, max(0, top - rim) * step
        right, bottom = min(picture.width, (right + rim) * step), min(picture.height, (bottom + rim) * step)
        picture = picture.crop((left, top, right, bottom))
    fit = [max(1, round(length * INNER / size)) for length in (right - left, bottom - top)]
    drawn = Image.fromarray(ink).resize((fit[0], fit[1]), Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    return _placed(np.asarray(drawn))


def _ink(levels: Floats) -> tuple[Floats, Mask]:
    """How much ink each pixel has, 0 to 1 and nothing off the strokes; and which pixels are surely of a stroke."""
    ground, noise = _ground(levels)
    contrast = levels - ground
    if -contrast.min() > contrast.max():  # ink is what differs most from the border
        contrast = -contrast
    least = max(5 * min(noise, MAX_NOISE), MIN_CONTRAST)
    strong = np.sort(contrast[contrast > least])
    if not strong.size:
        raise InvalidValue("No ink was found in the picture; send a digit that stands out from its ground.", "image")
    full = strong[int(0.9 * (strong.size - 1))]
    sure = _without_specks(contrast > max(least, 0.35 * full))
    around = np.pad(sure, 1)
    around = sure | around[:-2, 1:-1] | around[2:, 1:-1] | around[1:-1, :-2] | around[1:-1, 2:]
    return np.where(around, np.clip(contrast / full, 0, 1), 0).astype(np.float32), sure


def _ground(levels: Floats) -> tuple[Floats, float]:
    """Paper is never evenly lit: a quadratic surface through the picture's border, and the noise about it."""
    y, x = np.mgrid[-1 : 1 : levels.shape[0] * 1j, -1 : 1 : levels.shape[1] * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y][: 6 if max(levels.shape) > 2 * SIDE else 1])
    edge = np.ones(levels.shape, bool)
    edge[3:-3, 3:-3] = False
    some = edge.sum() // 600 + 1
    border, basis = levels[edge][::some], terms[:, edge][:, ::some]
    surface, noise = _fitted(border, basis, lambda off: 1 / np.maximum(off, 1))
    if noise > MAX_NOISE:  # no paper is so rough: strokes cross the border, and the calmer half of it is the ground
        surface, noise = _fitted(border, basis, lambda off: off <= np.median(off) + 1)
    return np.tensordot(surface, terms, 1), noise


def _fitted(border: Floats, basis: Floats, trust: Callable[[Floats], NDArray[Any]]) -> tuple[Floats, float]:
    """Least squares again and again, each time trusting a pixel by how far it was off; and what is off in the end."""
    surface = np.zeros(len(basis))
    surface[0] = np.median(border)
    for _ in range(7):
        off = np.abs(border - surface @ basis)
        if np.median(off) == 0:
            break  # drawn, not photographed: one level, and nothing to fit
        weighted = basis * trust(off)
        surface = np.linalg.solve(weighted @ basis.T + 1e-6 * np.eye(len(basis)), weighted @ border)
    return surface, 1.4826 * float(np.median(np.abs(border - surface @ basis)))


def _without_specks(inked: Mask) -> Mask:
    """Leaves out islands of less than a tenth of the largest, on a grid of 4x4 pixels. Each cell takes the highest
    number about it, and then that cell's own, until an island has one number."""
    height, width = -(-inked.shape[0] // 4), -(-inked.shape[1] // 4)
    grid = np.zeros((height * 4, width * 4), bool)
    grid[: inked.shape[0], : inked.shape[1]] = inked
    weight = grid.reshape(height, 4, width, 4).sum((1, 3))
    number = np.arange((height + 2) * (width + 2)).reshape(height + 2, width + 2) * np.pad(weight > 0, 1)
    while True:
        tall = np.maximum(number[1:-1], np.maximum(number[:-2], number[2:]))
        wide = np.maximum(tall[:, 1:-1], np.maximum(tall[:, :-2], tall[:, 2:]))
        found = number.ravel()[wide * (weight > 0)]
        if np.array_equal(found, number[1:-1, 1:-1]):
            break
        number[1:-1, 1:-1] = found
    sizes = np.bincount(found.ravel(), weight.ravel())
    kept: Mask = (sizes * 10 >= sizes.max())[found].repeat(4, 0).repeat(4, 1)
    return inked & kept[: inked.shape[0], : inked.shape[1]]


def _box(inked: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _placed(drawn: Floats) -> Pixels:
    """Strokes made as bright as MNIST's, however thin they were, and their centre of mass put on pixel (14, 14)."""
    drawn = np.maximum(drawn, 0)
    strokes = np.sort(drawn[drawn > 0.05 * drawn.max()])
    drawn = np.minimum(drawn / strokes[int(0.8 * (strokes.size - 1))], 1)
    digit = np.zeros((SIDE, SIDE), np.uint8)
    place = []
    for length, profile in zip(drawn.shape, (drawn.sum(1), drawn.sum(0)), strict=True):
        wanted = round(14 - float(profile @ np.arange(length) / profile.sum()))
        start = min(max(0, wanted), SIDE - length)  # a heavy end must not push the other one out
        place.append(slice(start, start + length))
    digit[tuple(place)] = np.rint(drawn * 255)
    return digit
