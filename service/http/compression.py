"""gzip and deflate: decompresses request bodies up to a size limit, and compresses answers as Accept-Encoding asks.

Small bodies are processed on the event loop, large ones in a thread: zlib releases the GIL.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

from service.errors import BadRequest, PayloadTooLarge, UnsupportedEncoding

GZIP, ZLIB, RAW = 31, 15, -15  # zlib's window bits
NAMES = {b"gzip": GZIP, b"x-gzip": GZIP, b"deflate": ZLIB}
INLINE_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024
INLINE_PIECES = 100  # a body of a thousand members takes milliseconds
STEP_BYTES = 4 * 2**20
MAX_MEMBERS = 10_000  # of one gzip body, and so many milliseconds at most
MEMBER_BYTES = 1024  # that are tried at the start of each
MIN_BYTES = 1024
MAX_CODINGS = 50  # of an Accept-Encoding; more are not looked at
LEVEL = 1  # the fastest; higher levels hardly shrink floats further
CODING = re.compile(rb"\s*([\w*-]+)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")


def check_encoding(encoding: bytes) -> bytes:
    """Content-Encoding -> gzip, x-gzip or deflate; empty for no compression. Raises UnsupportedEncoding."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return b""
    if name not in NAMES:
        shown = encoding.decode("latin-1")[:40]
        raise UnsupportedEncoding(
            f"The Content-Encoding {shown!r} is not supported; send gzip, deflate or no compression."
        )
    return name


def decompress_small(body: bytes, encoding: bytes, limit: int) -> bytes | None:
    """The whole of a body that is small when decompressed, too; None for all others. Arguments and errors as below."""
    if len(body) > INLINE_BYTES:
        return None
    found = BytesIO()
    for count, piece in enumerate(_pieces(body, _window_bits(body, encoding))):
        found.write(piece)
        _check_size(found.tell(), limit)
        if found.tell() > INLINE_BYTES or count > INLINE_PIECES:
            return None
    return found.getvalue()


def promised_bytes(body: bytes, encoding: bytes) -> int:
    """How many bytes a body says that it unpacks to, at its end (RFC 1952, section 2.3.1); 0 where it does not say."""
    return 0 if encoding == b"deflate" else int.from_bytes(body[-4:], "little")


async def decompress(body: bytes, encoding: bytes, limit: int, hold: Callable[[int], None]) -> bytes:
    """Decompress a body, in threads, in steps of 4 MiB.

    Args:
        body: as received.
        encoding: the result of check_encoding.
        limit: maximum size of the result in bytes; at most 64 KiB more are ever decompressed.
        hold: called before each step, with the bytes that there will be: of the body and of what it unpacks to.

    Raises:
        BadRequest: the data have another format, are truncated, or continue after their end.
        PayloadTooLarge: the result exceeds `limit` bytes.
        Exception: whatever `hold` raises.
    """
    found, pieces = BytesIO(), _pieces(body, _window_bits(body, encoding))
    promised = promised_bytes(body, encoding)

    def step(end: int) -> bool:
        for piece in pieces:
            found.write(piece)
            _check_size(found.tell(), limit)
            if found.tell() > end:
                return True
        return False

    more = True
    while more:
        end = (size := found.tell()) + STEP_BYTES
        if promised and size <= promised:
            end = min(end, promised)
        hold(len(body) + min(end, limit))
        more = await asyncio.to_thread(step, end)
    return found.getvalue()  # makes no copy


async def compress(body: bytes, accept: bytes) -> tuple[bytes, bytes]:
    """Compress an answer as Accept-Encoding allows.

    A client that names one coding gets it. One that names several, as HTTP libraries do by default, gets one only for
    bodies of at least MIN_BYTES.

    Returns:
        The body, and its Content-Encoding, which is empty if the body is not compressed.
    """
    coding = _choose(accept)
    if not coding or (b"," in accept and len(body) < MIN_BYTES):
        return body, b""
    if len(body) > INLINE_BYTES:
        return await asyncio.to_thread(zlib.compress, body, LEVEL, NAMES[coding]), coding
    return zlib.compress(body, LEVEL, NAMES[coding]), coding


def _pieces(body: bytes, bits: int) -> Iterator[bytes]:
    """What a body unpacks to, in pieces of at most 64 KiB.

    gzip may have several members, one behind the other (RFC 1952, section 2.2).

    Raises:
        BadRequest: it is damaged, cut short, or goes on behind its end, or has too many members.
    """
    view, at = memoryview(body), 0
    for _ in range(MAX_MEMBERS if bits == GZIP else 1):
        reader, step = zlib.decompressobj(bits), MEMBER_BYTES
        rest: memoryview | bytes = b""
        piece = b""
        while not reader.eof:
            if not rest and len(piece) < PIECE_BYTES:  # a full piece: zlib may have more without more input
                if at == len(body):
                    raise BadRequest("The compressed body is truncated; send it again, complete.")
                rest, at, step = view[at : at + step], min(at + step, len(body)), min(2 * step, PIECE_BYTES)
            piece = _read(reader, rest, PIECE_BYTES)
            rest = reader.unconsumed_tail  # a copy, and so is unused_data: hence the steps
            yield piece
        at -= len(reader.unused_data)
        if at == len(body):
            return
    raise BadRequest("The compressed body continues after the end of its compressed data; send it again, complete.")


def _read(reader: zlib._Decompress, piece: memoryview | bytes, most: int) -> bytes:
    try:
        return reader.decompress(piece, most)
    except zlib.error:
        raise BadRequest("The body is not compressed as its Content-Encoding says, or it is damaged.") from None


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise PayloadTooLarge(
            f"The body decompresses to more than the limit of {limit:,} bytes. Send fewer digits per request."
        )


def _window_bits(body: bytes, encoding: bytes) -> int:
    """zlib's window bits. "deflate" means a zlib stream (RFC 9110), but some clients send raw deflate data."""
    zlib_header = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return RAW if encoding == b"deflate" and not zlib_header else NAMES[encoding]


def _choose(accept: bytes) -> bytes:
    """gzip or deflate, whichever Accept-Encoding prefers; empty if it prefers no compression."""
    found = (CODING.fullmatch(item) for item in accept.lower().split(b",", MAX_CODINGS)[:MAX_CODINGS])
    named = {item[1]: float(item[2] or 1) for item in found if item}
    others, plain = named.pop(b"*", 0.0), named.pop(b"identity", 0.0)
    named.setdefault(b"gzip", named.get(b"x-gzip", others))  # * is any coding not named; x-gzip is gzip
    named.setdefault(b"deflate", others)
    best = max((name for name in named if name in NAMES), key=lambda name: named[name])  # the first of equals
    return best if named[best] > 0 and named[best] >= plain else b""
