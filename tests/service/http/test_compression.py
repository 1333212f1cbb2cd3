"""gzip and deflate: a limit on the decompressed size of bodies, and answers compressed by Accept-Encoding."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadRequest, PayloadTooLarge, UnsupportedEncoding
from service.http.compression import (
    INLINE_BYTES,
    PIECE_BYTES,
    STEP_BYTES,
    check_encoding,
    compress,
    decompress,
    decompress_small,
)
from service.settings import Settings
from tests.support.asgi import call
from tests.support.bodies import as_json
from tests.support.models import digits
from tests.support.refusals import LIMITS, check_problem
from tests.support.server import Server

LIMIT = LIMITS["max_body_bytes"]
OCTETS = "application/octet-stream"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}
PACKERS = [(b"gzip", gzip.compress), (b"x-gzip", gzip.compress), (b"deflate", zlib.compress), (b"deflate", raw_deflate)]
UNPACKERS = {b"gzip": gzip.decompress, b"deflate": zlib.decompress, b"": bytes}


def unpacked(body: bytes, encoding: bytes, limit: int = 10**9) -> bytes:
    small = decompress_small(body, encoding, limit)
    held: list[int] = []
    whole = asyncio.run(decompress(body, encoding, limit, held.append))
    assert small in (whole, None)
    assert held[-1] + PIECE_BYTES >= len(body) + min(len(whole), limit)  # what is there was asked for before
    return whole


# -- bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "packer"), PACKERS)
@pytest.mark.parametrize(
    "size", [0, 1, 1000, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 3 * INLINE_BYTES, 2_000_003]
)
def test_what_was_packed_is_unpacked(encoding: bytes, packer: Any, size: int) -> None:
    for data in (bytes(size), bytes(i * i % 251 for i in range(size % 100_000)) * (1 + size // 100_000)):
        assert unpacked(packer(data), encoding) == data


@given(st.binary(max_size=300), st.sampled_from(PACKERS), st.data())
def test_a_damaged_body_is_rejected_or_whole(data: bytes, how: tuple[bytes, Any], draw: st.DataObject) -> None:
    """Any byte may be wrong, any end may be missing: the result is the original or an error."""
    encoding, packer = how
    packed = bytearray(packer(data))
    packed[draw.draw(st.integers(0, len(packed) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        found = unpacked(bytes(packed), encoding)
    except BadRequest:
        return
    assert found == data or packer is raw_deflate  # which has no checksum


@pytest.mark.parametrize(("encoding", "packer"), PACKERS)
def test_a_body_cut_short_or_continued_is_rejected(encoding: bytes, packer: Any) -> None:
    packed = packer(b"hello" * 1000)
    twice = [] if packer is gzip.compress else [packed + packed]  # only gzip may have several members
    for wrong in (packed[:-1], packed[: len(packed) // 2], packed[:1], packed + b"x", packed + packed[:-1], *twice):
        with pytest.raises(BadRequest, match=r"compressed"):
            unpacked(wrong, encoding)


@pytest.mark.parametrize("sizes", [(5, 5), (0, 7, 0), (100_000, 3), (3, 100_000, 3), (30_000,) * 30, (1,) * 2000])
def test_gzip_of_several_members(sizes: tuple[int, ...]) -> None:
    parts = [bytes([i % 251]) * size for i, size in enumerate(sizes)]
    packed, whole = b"".join(map(gzip.compress, parts)), b"".join(parts)
    assert unpacked(packed, b"gzip") == unpacked(packed, b"gzip", len(whole)) == whole
    with pytest.raises(PayloadTooLarge):
        unpacked(packed, b"gzip", len(whole) - 1)
    for wrong in (packed[:-1], packed + b"x", packed + gzip.compress(b"a")[:5]):
        with pytest.raises(BadRequest):
            unpacked(wrong, b"gzip")


@pytest.mark.parametrize("size", [STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 10_000_000])
def test_no_more_memory_is_asked_for_than_a_gzip_needs(size: int) -> None:
    """Or it would be refused half-way although all that it says it unpacks to is reserved."""
    body, held = gzip.compress(bytes(size)), []
    asyncio.run(decompress(body, b"gzip", 10**9, held.append))
    assert held[-1] == len(body) + size


def test_gzip_of_very_many_members_is_refused() -> None:
    with pytest.raises(BadRequest):
        unpacked(gzip.compress(b"") * 500_000, b"gzip")


@pytest.mark.parametrize(("encoding", "packer"), PACKERS)
@pytest.mark.parametrize("limit", [1, 1000, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 1_000_000])
def test_the_limit_counts_unpacked_bytes_to_the_byte(encoding: bytes, packer: Any, limit: int) -> None:
    assert len(unpacked(packer(bytes(limit)), encoding, limit)) == limit
    for more in (1, 2, 100_000):
        with pytest.raises(PayloadTooLarge, match=f"{limit:,} bytes"):
            unpacked(packer(bytes(limit + more)), encoding, limit)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_a_bomb_takes_no_more_memory_than_the_limit(encoding: bytes) -> None:
    """300 MB of zeros in 300 kB, under a limit of 1 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == b"gzip" else 15)
    bomb = b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(300)), packer.flush()])
    assert len(bomb) < 400_000
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            unpacked(bomb, encoding, 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "gzip, deflate", "gzip,gzip", "identity, gzip", "x" * 99])
def test_other_compressions_are_not_read(name: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip, deflate") as caught:
        check_encoding(name.encode())
    assert caught.value.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("name", ["gzip", "GZip", " gzip ", "x-gzip", "deflate", "Deflate"])
def test_names_of_compressions_in_any_case(name: str) -> None:
    assert check_encoding(name.encode()) == name.strip().lower().encode()
    assert check_encoding(b"identity") == check_encoding(b"") == b""


# -- through the doors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", CODINGS)
def test_predict_reads_compressed_bodies(app: FastAPI, coding: str) -> None:
    """The body is decompressed whatever its media type is."""
    pixels = digits(3, 1, 4)
    for body, kind in ((as_json(pixels), "application/json"), (pixels.tobytes(), OCTETS)):
        answer = call(app, body=CODINGS[coding](body), headers={"Content-Type": kind, "Content-Encoding": coding})
        assert answer.status == 200, answer.body
        assert [prediction["digit"] for prediction in answer.json()["predictions"]] == [3, 1, 4]


def test_a_compressed_body_over_the_socket_in_chunks(server: Server) -> None:
    packed = gzip.compress(as_json(digits(*range(10))))
    pieces = (packed[i : i + 50] for i in range(0, len(packed), 50))
    answer = server.client.post(
        "/predict", content=pieces, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    assert [prediction["digit"] for prediction in answer.json()["predictions"]] == list(range(10))


@pytest.mark.parametrize("coding", CODINGS)
def test_the_limit_of_the_service_counts_unpacked_bytes(strict_app: FastAPI, coding: str) -> None:
    headers = {"Content-Type": OCTETS, "Content-Encoding": coding}
    fits = call(strict_app, body=CODINGS[coding](bytes(LIMIT)), headers=headers)
    check_problem(fits.status, fits.headers, fits.body, 400, says="multiple of 784")  # refused for what is in it
    over = call(strict_app, body=CODINGS[coding](bytes(LIMIT + 1)), headers=headers)
    check_problem(over.status, over.headers, over.body, 413, says=f"{LIMIT:,} bytes")


def test_an_unknown_compression_is_rejected_before_the_body(strict_app: FastAPI) -> None:
    for value in ("br", "gzip, br"):
        answer = call(strict_app, body=b"anything", headers={"Content-Type": OCTETS, "Content-Encoding": value})
        check_problem(answer.status, answer.headers, answer.body, 415, says="gzip")
        assert answer.headers["accept-encoding"] == "gzip, deflate"


def test_a_body_compressed_twice_is_rejected_in_either_notation(server: Server) -> None:
    twice = gzip.compress(gzip.compress(digits(3).tobytes()))
    headers = [("Content-Type", OCTETS), ("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    answer = server.client.post("/predict", content=twice, headers=headers)
    check_problem(answer.status_code, answer.headers, answer.content, 415, says="gzip")


@pytest.mark.slow
def test_other_requests_pass_while_a_big_body_is_unpacked(app: FastAPI) -> None:
    """Decompression runs in a thread: the event loop keeps running."""

    async def turns() -> int:
        most = Settings().max_body_bytes
        task, count = asyncio.ensure_future(decompress(gzip.compress(bytes(most)), b"gzip", most, lambda _: None)), 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        assert len(await task) == most
        return count

    assert asyncio.run(turns()) > 10


# -- answers ----------------------------------------------------------------------------------------------------


def packed(body: bytes, accept: bytes) -> bytes:
    """The chosen coding; the body must survive it unchanged."""
    answer, coding = asyncio.run(compress(body, accept))
    assert UNPACKERS[coding](answer) == body
    assert not coding or len(body) < 100 or len(answer) < len(body)
    return coding


LONG = json.dumps(list(range(1000))).encode()


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"", b""),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"deflate", b"deflate"),
        (b"br", b""),
        (b"identity", b""),
        (b"*", b"gzip"),
        (b"gzip, deflate", b"gzip"),
        (b"deflate, gzip", b"deflate"),
        (b"gzip;q=0.5, deflate;q=0.9", b"deflate"),
        (b"gzip; q=0.5 , deflate ; q=0.4", b"gzip"),
        (b"gzip;q=0", b""),
        (b"gzip;q=0, deflate", b"deflate"),
        (b"gzip;q=0.000, br", b""),
        (b"br;q=1.0, gzip;q=0.8, *;q=0.1", b"gzip"),
        (b"gzip;q=nonsense, deflate", b"deflate"),
        (b",,;=,gzip", b"gzip"),
        (b"\xff\xfe", b""),
        (b"gzip;q=0,*", b"deflate"),
        (b"gzip;q=0, deflate;q=0, *", b""),
        (b"x-gzip;q=0, *", b"deflate"),
        (b"deflate;q=0, *;q=0.5", b"gzip"),
        (b"*;q=0", b""),
        (b"*;q=0, deflate", b"deflate"),
        (b"identity;q=1, gzip;q=0.1", b""),
        (b"identity;q=0.5, gzip;q=0.1, deflate;q=0.6", b"deflate"),
        (b"gzip;q=1.0, deflate;q=0.6, identity;q=0.3", b"gzip"),
        (b"gzip, identity", b"gzip"),
        (b"identity;q=0", b""),
        (b"identity, *;q=0", b""),
    ],
)
def test_the_coding_that_the_caller_prefers(accept: bytes, coding: bytes) -> None:
    assert packed(LONG, accept) == coding


def test_short_answers_are_compressed_only_if_one_coding_is_named() -> None:
    """HTTP libraries name all codings that they know by default; tritonclient names the one that its user chose."""
    assert packed(b"short", b"gzip") == b"gzip"
    assert packed(b"short", b"gzip, deflate") == b""
    assert packed(bytes(1023), b"gzip, deflate") == b""
    assert packed(bytes(1024), b"gzip, deflate") == b"gzip"


@pytest.mark.parametrize("size", [INLINE_BYTES, INLINE_BYTES + 1, 3_000_000])
def test_long_answers(size: int) -> None:
    for coding in (b"gzip", b"deflate"):
        assert packed(bytes(size), coding) == coding
