"""Picture files -> digits: what is taken unchanged, which formats are read, what is rejected, and at which cost."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.errors import BadRequest, DigitsError, InvalidValue, PayloadTooLarge, UnsupportedMediaType
from service.inputs.images import SMALL_PIXELS, decode_image, is_small
from tests.support.drawings import drawn, extent, file, likeness, on_paper, seven

Array = NDArray[Any]
Y, X = np.mgrid[:28, :28]
NOISE = np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, data: bytes | None = None) -> bytes:
    """By hand: 8-bit grey, with any chunks before the data, which is black unless given."""
    rows = zlib.compress((b"\0" + bytes(width)) * height) if data is None else data
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND")


def gif(screen: tuple[int, int], frame: tuple[int, int], before: bytes = b"") -> bytes:
    start = b"GIF89a" + struct.pack("<HHBBB", *screen, 0, 0, 0) + before
    return start + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x08\x02\0\0\0;"


def remarked(blocks: int) -> bytes:
    """A good GIF of one level a pixel, with a remark of so many full blocks before its frame."""
    data = file(NOISE, "GIF")
    return data[:781] + b"\x21\xfe" + (b"\xff" + bytes(255)) * blocks + b"\0" + data[781:]


def tiff(width: int, height: int, tile: tuple[int, int]) -> bytes:
    """Of one tile, compressed, as large as it likes."""
    data = zlib.compress(bytes(tile[0] * tile[1]), 9)
    longs = {256: width, 257: height, 322: tile[0], 323: tile[1], 324: 8, 325: len(data)}
    shorts = {258: 8, 259: 8, 262: 1, 277: 1}
    entries = [(tag, 4, 1, value) for tag, value in longs.items()] + [(t, 3, 1, v) for t, v in shorts.items()]
    folder = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + folder + bytes(4)


def many_scans(count: int) -> bytes:
    data = file(np.full((64, 64), 255, np.uint8), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def huge_webp(side: int) -> bytes:
    frames = [Image.new("RGBA", (4, 4), (n, n, n, 255)) for n in (0, 99)]
    data = bytearray(file(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    data[24:30] = (side - 1).to_bytes(3, "little") * 2
    return bytes(data)


# -- taken as it is -----------------------------------------------------------------------------------------------

GREY = np.zeros((28, 28), np.uint8)
GREY[4:24, 6:22] = np.random.default_rng(1).integers(0, 256, (20, 16))
BITS = (GREY > 127) * np.uint8(255)
COLOURS = Image.fromarray(GREY).convert("RGB")
TAGGED = PngInfo()
TAGGED.add_text("Title", "seven" * 1000, zip=True)

AS_IT_IS: dict[str, tuple[bytes, Array]] = {
    "L": (file(GREY), GREY),
    "L, uncompressed": (file(GREY, compress_level=0), GREY),
    "L, with text and a profile": (file(GREY, pnginfo=TAGGED, icc_profile=bytes(5000)), GREY),
    "L, in many small chunks": (
        png(28, 28, *(chunk(b"IDAT", bytes([byte])) for byte in zlib.compress(b"\0" * 811 + b"\7")), data=b""),
        np.where((X == 27) & (Y == 27), 7, 0),
    ),
    "LA": (file(Image.merge("LA", (Image.fromarray(GREY), Image.new("L", (28, 28), 255)))), GREY),
    "RGB": (file(COLOURS), GREY),
    "RGBA": (file(COLOURS.convert("RGBA")), GREY),
    "P": (file(Image.fromarray(GREY).convert("P")), GREY),
    "1": (file(Image.fromarray(BITS).convert("1")), BITS),
    "I;16": (file(GREY.astype(np.uint16) * 257), GREY),
    "I;16 that holds 8 bits": (file(GREY.astype(np.uint16)), GREY),
    "I": (file(GREY.astype(np.int32), "TIFF"), GREY),
    "F, 0 to 255": (file(GREY.astype(np.float32), "TIFF"), GREY),
    "F, 0 to 1": (file(GREY.astype(np.float32) / 255, "TIFF"), GREY),
    "TIFF": (file(GREY, "TIFF"), GREY),
    "TIFF, deflate": (file(GREY, "TIFF", compression="tiff_deflate"), GREY),
    "BMP": (file(GREY, "BMP"), GREY),
    "GIF": (file(GREY, "GIF"), GREY),
    "WebP": (file(COLOURS, "WEBP", lossless=True), GREY),
    "faint": (file(GREY // 64), GREY // 64),
    "almost bright": (file(np.where(X == Y, 0, 127).astype(np.uint8)), np.where(X == Y, 0, 127)),
    "an ink that crosses the border": (file(np.where(X < 5, 255, 0).astype(np.uint8)), np.where(X < 5, 255, 0)),
}


@pytest.mark.parametrize(("data", "expected"), AS_IT_IS.values(), ids=AS_IT_IS)
def test_a_grey_28x28_picture_on_a_dark_ground_is_taken_bit_for_bit(data: bytes, expected: Array) -> None:
    digit = decode_image(data)
    assert digit.dtype == np.uint8
    assert digit.shape == (28, 28)
    assert np.array_equal(digit, expected)


def test_a_jpeg_of_28x28_is_what_its_pixels_say() -> None:
    for picture in (Image.fromarray(GREY), COLOURS):
        data = file(picture, "JPEG", quality=90)
        assert np.array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data)).convert("L")))


def test_a_28x28_picture_that_is_turned_is_turned_back() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(decode_image(file(np.rot90(GREY), exif=exif)), GREY)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 200, 255)])
def test_a_coloured_28x28_picture_goes_the_way_of_any_other(colour: tuple[int, int, int]) -> None:
    corner = np.zeros((28, 28, 3), np.uint8)
    corner[1:11, 1:6] = colour
    assert extent(decode_image(file(corner))) == (20, 10)


def test_a_28x28_picture_on_a_bright_ground_goes_the_way_of_any_other() -> None:
    corner = on_paper(drawn((28, 28), (1, 1, 11, 6)))
    assert extent(decode_image(file(corner))) == (20, 10)
    centred = on_paper(drawn((28, 28), (4, 10, 24, 20)))
    assert np.abs(decode_image(file(centred)).astype(int) - (255 - centred)).mean() < 1


# -- every kind of file -------------------------------------------------------------------------------------------

PAGE = Image.fromarray(on_paper(seven()))
SEVEN = decode_image(file(PAGE))
INK = Image.fromarray(255 - np.asarray(PAGE))
BLACK, WHITE = Image.new("L", PAGE.size, 0), Image.new("L", PAGE.size, 255)

KINDS: dict[str, bytes] = {
    "RGB": file(PAGE.convert("RGB")),
    "blue ink": file(Image.merge("RGB", (PAGE, PAGE, WHITE))),
    "palette": file(PAGE.convert("RGB").quantize(8)),
    "palette with transparency": file(PAGE.convert("P"), transparency=255),
    "grey with a transparent level": file(
        Image.fromarray(np.where(seven() > 0, 9, 0).astype(np.uint8)), transparency=0
    ),
    "1-bit": file(PAGE.convert("1")),
    "16-bit": file(np.asarray(PAGE).astype(np.uint16) * 257),
    "12 of 16 bits": file(np.asarray(PAGE).astype(np.uint16) * 16),
    "16-bit, big-endian TIFF": file(Image.fromarray(np.asarray(PAGE).astype(">u2") * 257), "TIFF"),
    "32-bit": file(np.asarray(PAGE).astype(np.int32) * 70_000 - 9_000_000, "TIFF"),
    "float": file(np.asarray(PAGE).astype(np.float32) / 255, "TIFF"),
    "float, below 0": file(np.asarray(PAGE).astype(np.float32) - 100, "TIFF"),
    "LA": file(Image.merge("LA", (BLACK, INK))),
    "RGBA": file(Image.merge("RGBA", (BLACK, BLACK, BLACK, INK))),
    "RGBA, white where it is clear": file(Image.merge("RGBA", (PAGE, PAGE, PAGE, INK))),
    "CMYK JPEG as Adobe inverts it": file(PAGE.convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "CMYK TIFF": file(PAGE.convert("RGB").convert("CMYK"), "TIFF"),
    "YCbCr TIFF": file(PAGE.convert("RGB").convert("YCbCr"), "TIFF"),
    "JPEG": file(PAGE, "JPEG"),
    "progressive JPEG": file(PAGE.convert("RGB"), "JPEG", progressive=True),
    "large JPEG": file(PAGE.convert("RGB").resize((2400, 2400), Image.Resampling.NEAREST), "JPEG"),
    "JPEG and a film after it": file(PAGE, "JPEG") + b"\xff\xda" * 5000,
    "WebP": file(PAGE.convert("RGB"), "WEBP"),
    "WebP with alpha": file(Image.merge("RGBA", (BLACK, BLACK, BLACK, INK)), "WEBP", lossless=True),
    "BMP": file(PAGE, "BMP"),
    "1-bit BMP": file(PAGE.convert("1"), "BMP"),
    "GIF": file(PAGE, "GIF"),
    "TIFF, LZW": file(PAGE, "TIFF", compression="tiff_lzw"),
    "TIFF, fax": file(PAGE.convert("1"), "TIFF", compression="group4"),
    "BigTIFF": file(PAGE, "TIFF", big_tiff=True),
    "animated GIF": file(PAGE, "GIF", save_all=True, append_images=[BLACK, WHITE]),
    "animated PNG": file(PAGE, "PNG", save_all=True, append_images=[BLACK, WHITE]),
    "animated WebP": file(PAGE.convert("RGB"), "WEBP", save_all=True, append_images=[BLACK.convert("RGB")]),
    "GIF with a long remark": file(PAGE, "GIF", comment=b"seven " * 10_000),
    "TIFF of two pages": file(PAGE, "TIFF", save_all=True, append_images=[BLACK]),
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_every_kind_of_file_holds_the_same_digit(data: bytes) -> None:
    assert likeness(decode_image(data), SEVEN) > 0.97


def test_what_is_no_number_is_black() -> None:
    page = np.asarray(INK).astype(np.float32) / 255
    page[0, :3] = np.nan, -np.inf, np.nan
    assert likeness(decode_image(file(page, "TIFF")), SEVEN) > 0.9


TURNED = {
    1: PAGE,
    2: PAGE.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: PAGE.transpose(Image.Transpose.ROTATE_180),
    4: PAGE.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: PAGE.transpose(Image.Transpose.TRANSPOSE),
    6: PAGE.transpose(Image.Transpose.ROTATE_90),
    7: PAGE.transpose(Image.Transpose.TRANSVERSE),
    8: PAGE.transpose(Image.Transpose.ROTATE_270),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_orientation_is_obeyed(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode_image(file(TURNED[orientation].convert("RGB"), kind, exif=exif))
    assert likeness(found, SEVEN) > 0.99
    assert orientation == 1 or likeness(decode_image(file(TURNED[orientation])), SEVEN) < 0.9


@pytest.mark.slow
def test_many_threads_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        for found, data in zip(pool.map(decode_image, list(KINDS.values()) * 4), list(KINDS.values()) * 4, strict=True):
            assert np.array_equal(found, decode_image(data))


# -- refused ------------------------------------------------------------------------------------------------------

BOMB = zlib.compress(bytes(1_000_000), 9)

REFUSED: dict[str, tuple[bytes, type[DigitsError]]] = {
    "0 bytes": (b"", BadRequest),
    "text": (b"This is no picture, it is only called one.", UnsupportedMediaType),
    "text that starts like a BMP": (b"BM, said the file, and that was all it had to say.", UnsupportedMediaType),
    "one byte": (b"\x89", UnsupportedMediaType),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnsupportedMediaType),
    "PDF": (b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n", UnsupportedMediaType),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UnsupportedMediaType),
    "PPM": (b"P5 1 1 255 \0", UnsupportedMediaType),
    "sound in a RIFF": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(20), UnsupportedMediaType),
    "signature of a PNG": (file(GREY)[:8], BadRequest),
    "PNG cut in its head": (file(GREY)[:20], BadRequest),
    "PNG cut in its data": (file(NOISE)[:4000], BadRequest),
    "PNG cut before its end": (file(NOISE)[:-12], BadRequest),
    "28x28 PNG cut in its data": (file(GREY)[:90], BadRequest),
    "28x28 PNG of too few rows": (png(28, 28, data=zlib.compress(bytes(100))), BadRequest),
    "28x28 PNG of no data": (png(28, 28, data=b""), BadRequest),
    "28x28 PNG with a flipped bit": (file(GREY)[:80] + bytes([file(GREY)[80] ^ 1]) + file(GREY)[81:], BadRequest),
    "PNG with a flipped bit": (file(NOISE)[:4000] + bytes([file(NOISE)[4000] ^ 1]) + file(NOISE)[4001:], BadRequest),
    "28x28 PNG with a wrong checksum": (file(GREY)[:-13] + b"\0" + file(GREY)[-12:], BadRequest),
    "PNG with a wrong checksum": (file(NOISE)[:-13] + b"\0" + file(NOISE)[-12:], BadRequest),
    "PNG of no height": (png(28, 0), BadRequest),
    "PNG of endless chunks": (png(28, 28, chunk(b"teSt") * 200_000), BadRequest),
    "JPEG cut": (file(NOISE, "JPEG")[:900], BadRequest),
    "JPEG of endless segments": (b"\xff\xd8" + b"\xff\xe1\0\2" * 200_000 + file(NOISE, "JPEG")[2:], BadRequest),
    "JPEG of 1,000 scans": (many_scans(1000), BadRequest),
    "GIF cut": (file(NOISE, "GIF")[:1000], BadRequest),
    "GIF of no frame": (gif((28, 28), (28, 28))[:13] + b";", BadRequest),
    "GIF of endless remarks": (remarked(5000), BadRequest),
    "WebP cut": (file(Image.fromarray(NOISE).convert("RGB"), "WEBP")[:900], BadRequest),
    "BMP cut": (file(NOISE, "BMP")[:2000], BadRequest),
    "TIFF cut": (file(NOISE, "TIFF")[:2000], BadRequest),
    "Lab TIFF": (file(PAGE.convert("RGB").convert("LAB"), "TIFF"), BadRequest),
    "30,000 x 30,000 PNG": (png(30_000, 30_000, data=b""), PayloadTooLarge),
    "30,000 x 30,000 PNG, its header alone": (png(30_000, 30_000, data=b"")[:33], PayloadTooLarge),
    "2^31 x 2^31 PNG": (png(2**31 - 1, 2**31 - 1, data=b""), PayloadTooLarge),
    "GIF of a large screen": (gif((65_535, 65_535), (1, 1)), PayloadTooLarge),
    "GIF of a large frame": (gif((1, 1), (13_000, 13_000), b"\x21\xf9\4\x08\0\0\0\0"), PayloadTooLarge),
    "WebP, large": (huge_webp(13_000), PayloadTooLarge),
    "WebP, as large as can be": (huge_webp(16_384), PayloadTooLarge),
    "TIFF, large": (tiff(30_000, 30_000, (16, 16)), PayloadTooLarge),
    "TIFF of a large tile": (tiff(28, 28, (16_000, 16_000)), PayloadTooLarge),
    "JPEG, large": (
        file(np.zeros((17, 17), np.uint8), "JPEG").replace(b"\0\x11\0\x11", b"\xff\xdc\xff\xdc"),
        PayloadTooLarge,
    ),
    "BMP, large": (
        file(NOISE, "BMP").replace(struct.pack("<ii", 90, 90), struct.pack("<ii", 30_000, 30_000)),
        PayloadTooLarge,
    ),
    "all white, 28x28": (file(np.full((28, 28), 255, np.uint8)), InvalidValue),
    "all black, 28x28": (file(np.zeros((28, 28), np.uint8)), InvalidValue),
    "all grey, 28x28": (file(np.full((28, 28), 127, np.uint8)), InvalidValue),
    "all white": (file(WHITE), InvalidValue),
    "all black": (file(BLACK), InvalidValue),
    "all transparent": (file(Image.new("RGBA", (60, 60))), InvalidValue),
    "white on transparent": (file(Image.merge("LA", (WHITE, INK))), InvalidValue),
    "1x1, black": (file(np.zeros((1, 1), np.uint8)), InvalidValue),
    "1x1, white": (file(np.full((1, 1), 255, np.uint8)), InvalidValue),
    "a shadow and no digit": (file(on_paper(np.zeros((99, 99)), np.linspace(130, 250, 99))), InvalidValue),
    "paper and no digit": (
        file(np.random.default_rng(3).normal(200, 6, (300, 400)).astype(np.uint8), "JPEG"),
        InvalidValue,
    ),
    "constant and below 0": (file(np.full((30, 30), -5, np.float32), "TIFF"), InvalidValue),
}


@pytest.mark.parametrize(("data", "error"), REFUSED.values(), ids=REFUSED)
def test_refused_with_a_sentence(data: bytes, error: type[DigitsError]) -> None:
    with pytest.raises(DigitsError) as refusal:
        decode_image(data)
    assert refusal.type is error
    said = str(refusal.value)
    assert said[0].isupper()
    assert said.endswith(".")
    assert "send" in said or "save" in said
    assert not set(said) & set("\n/\\<>"), "no path and nothing of Pillow's"


def test_a_large_picture_is_told_the_limit_and_its_size() -> None:
    with pytest.raises(PayloadTooLarge, match=r"30,000 x 30,000 pixels and at most 16,000,000"):
        decode_image(REFUSED["30,000 x 30,000 PNG"][0])
    with pytest.raises(PayloadTooLarge, match=r"120 x 120 pixels and at most 14,399"):
        decode_image(file(PAGE), 14_399)
    assert np.array_equal(decode_image(file(PAGE), 14_400), SEVEN)


def test_text_and_profiles_cannot_be_bombs() -> None:
    more = [chunk(b"zTXt", b"k\0\0" + BOMB)] * 50 + [chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**7)))]
    for side in (28, 30):  # blank, and that is all that is found wrong
        with pytest.raises(InvalidValue):
            decode_image(png(side, side, *more))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux")
def test_bombs_cost_no_memory_and_pillow_waits_for_the_first_picture() -> None:
    """In a process of its own: peak memory after all that is refused, against that before."""
    bombs = [data for data, error in REFUSED.values() if error is PayloadTooLarge]
    bombs += [png(28, 28, chunk(b"zTXt", b"k\0\0" + BOMB) * 200), png(28, 28, data=zlib.compress(bytes(10**8), 9))]
    code = """if True:
        import resource, struct, sys
        from service.errors import DigitsError
        from service.inputs.images import decode_image
        assert "PIL" not in sys.modules
        before = 0
        while size := sys.stdin.buffer.read(4):
            data = sys.stdin.buffer.read(*struct.unpack(">I", size))
            try:
                decode_image(data)
            except DigitsError:
                before = before or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    # first a good file of each format: what Pillow's readers take once is not counted
    harmless = [file(NOISE, format) for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")] + [b"GIF89a"]
    given = b"".join(struct.pack(">I", len(data)) + data for data in harmless + bombs)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], input=given, capture_output=True, check=True)
    assert int(done.stdout) < 16 * 1024, "more than 16 MiB"


def test_a_first_picture_when_no_file_can_be_opened_is_not_called_damaged() -> None:
    code = """if True:
        import resource, sys
        from service.errors import Unavailable
        from service.inputs.images import decode_image
        picture, limits = sys.stdin.buffer.read(), resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        try:
            decode_image(picture)
        except Unavailable:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            print(decode_image(picture).sum())
    """
    done = subprocess.run([sys.executable, "-c", code], input=file(NOISE, "JPEG"), capture_output=True, check=True)
    assert int(done.stdout) > 0


@pytest.mark.parametrize(
    ("width", "height", "small"),
    [(28, 28, True), (64, 64, True), (SMALL_PIXELS, 1, True), (65, 64, False), (1, 0, True)],
)
def test_small_is_what_the_header_of_a_png_claims(width: int, height: int, small: bool) -> None:
    assert is_small(png(width, height, data=b"")) is small


@pytest.mark.parametrize("data", [b"", file(GREY)[:23], file(GREY, "JPEG"), file(GREY, "GIF"), file(GREY, "BMP")])
def test_other_files_are_never_small(data: bytes) -> None:
    assert not is_small(data)


# -- whatever comes -----------------------------------------------------------------------------------------------

SIGNATURES = [b"", *(data[:40] for data in KINDS.values()), *(data[:8] for data in KINDS.values())]


def survives(data: bytes) -> None:
    """A digit, or a refusal that is the caller's to mend: any other exception fails the test."""
    with suppress(BadRequest, UnsupportedMediaType, PayloadTooLarge, InvalidValue):
        digit = decode_image(data, 50_000)
        assert digit.dtype == np.uint8
        assert digit.shape == (28, 28)


@pytest.mark.slow
@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
@settings(deadline=None, max_examples=300)
def test_random_bytes_are_refused_or_read(start: bytes, rest: bytes) -> None:
    survives(start + rest)


@pytest.mark.slow
@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=4),
    st.floats(0, 1),
)
@settings(deadline=None, max_examples=400)
def test_damaged_pictures_are_refused_or_read(kind: str, spots: list[tuple[float, bytes]], end: float) -> None:
    data = bytearray(KINDS[kind])
    assume(len(data) < 50_000)
    for place, other in spots:  # more often near the start, where the header is
        at = int(place**3 * (len(data) - 1))
        data[at : at + len(other)] = other
    survives(bytes(data[: int(len(data) * (1 - end**4))]))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from(["sparse", "noise", "few"]))
@settings(deadline=None, max_examples=150)
def test_any_pixels_are_a_digit_or_have_no_ink(width: int, height: int, seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width), np.uint8)
    if kind != "noise":
        pixels = np.where(random.random(pixels.shape) < (0.1 if kind == "few" else 0.005), pixels, 255).astype(np.uint8)
    survives(file(pixels))
