"""gzip and deflate: request bodies, whose size is limited while they are unpacked, and answers for those who ask.

Little work is done in place, much of it in a thread: zlib lets other threads run.
"""

from __future__ import annotations

import asyncio
import re
import zlib

from service.errors import BadRequest, PayloadTooLarge, UnsupportedEncoding

GZIP, ZLIB, RAW = 31, 15, -15  # what zlib calls window bits
NAMES = {b"gzip": GZIP, b"x-gzip": GZIP, b"deflate": ZLIB}
INLINE_BYTES = 64 * 1024
MOST_MEMBERS = 10_000  # of one gzip body, and so many milliseconds at most
MEMBER_BYTES = 1024  # that are tried at the start of each
WORTH_IT_BYTES = 1024
LEVEL = 1  # floats hardly shrink further, and this is the fastest
CODING = re.compile(rb"\s*([\w*-]+)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")


def check_encoding(encoding: bytes) -> bytes:
    """Content-Encoding -> gzip, x-gzip or deflate; empty for none of them. Raises UnsupportedEncoding."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return b""
    if name not in NAMES:
        said = encoding.decode("latin-1")[:40]
        raise UnsupportedEncoding(
            f"Bodies compressed as {said!r} are not read here; send gzip, deflate or no compression."
        )
    return name


async def decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    """A body without its compression.

    Args:
        body: as it came.
        encoding: what check_encoding said.
        limit: most bytes that may come out; no more than one byte beyond it is ever unpacked.

    Raises:
        BadRequest: not that compression, cut short, or with something behind its end.
        PayloadTooLarge: it unpacks to more than `limit` bytes.
    """
    if not encoding or not body:
        return body
    bits = _window_bits(body, encoding)
    begun, more = _unpack(body, bits, min(INLINE_BYTES, limit + 1)) if len(body) <= INLINE_BYTES else (b"", True)
    if more and len(begun) <= limit:
        begun, _ = await asyncio.to_thread(_unpack, body, bits, limit + 1)
    if len(begun) > limit:
        raise PayloadTooLarge(
            f"The body unpacks to more than the limit of {limit:,} bytes. Send fewer digits a request."
        )
    return begun


async def compress(body: bytes, accept: bytes) -> tuple[bytes, bytes]:
    """An answer in a coding that the caller accepts.

    Who asks for a single coding gets it. Who names several, as HTTP libraries do unasked, gets one where it pays.

    Returns:
        The body, and its Content-Encoding, empty where it is left as it is.
    """
    coding = _choose(accept)
    if not coding or (b"," in accept and len(body) < WORTH_IT_BYTES):
        return body, b""
    if len(body) > INLINE_BYTES:
        return await asyncio.to_thread(zlib.compress, body, LEVEL, NAMES[coding]), coding
    return zlib.compress(body, LEVEL, NAMES[coding]), coding


def _unpack(body: bytes, bits: int, most: int) -> tuple[bytes, bool]:
    """The first `most` bytes that a body unpacks to, and whether there may be more.

    gzip may have several members, one behind the other (RFC 1952, section 2.2).

    Raises:
        BadRequest: it is damaged, cut short, or goes on behind its end, or has too many members.
    """
    found: list[bytes] = []
    view, at, room = memoryview(body), 0, most
    for _ in range(MOST_MEMBERS if bits == GZIP else 1):
        reader, step = zlib.decompressobj(bits), MEMBER_BYTES
        while not reader.eof:
            if not room:  # which zlib would take for no limit
                return b"".join(found), True
            if at == len(body):
                raise BadRequest("The body ends before the end of its compressed data; send it again, whole.")
            piece, at, step = view[at : at + step], min(at + step, len(body)), 2 * step
            found.append(_read(reader, piece, room))
            room -= len(found[-1])
        at -= len(reader.unused_data)  # a copy: hence the steps
        if at == len(body):
            return b"".join(found), False
    raise BadRequest("The body goes on behind the end of its compressed data; send it again, whole.")


def _read(reader: zlib._Decompress, piece: memoryview, most: int) -> bytes:
    try:
        return reader.decompress(piece, most)
    except zlib.error:
        raise BadRequest("The body is not compressed as its Content-Encoding says, or it is damaged.") from None


def _window_bits(body: bytes, encoding: bytes) -> int:
    """What "deflate" means: a zlib stream, or, from clients who took the name literally, the bare compressed data."""
    zlib_header = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return RAW if encoding == b"deflate" and not zlib_header else NAMES[encoding]


def _choose(accept: bytes) -> bytes:
    """gzip or deflate, whichever Accept-Encoding prefers; empty where it wants neither, or rather none."""
    found = (CODING.fullmatch(item) for item in accept.lower().split(b","))
    named = {item[1]: float(item[2] or 1) for item in found if item}
    others, plain = named.pop(b"*", 0.0), named.pop(b"identity", 0.0)
    named.setdefault(b"gzip", named.get(b"x-gzip", others))  # * means those that are not named, and gzip has two names
    named.setdefault(b"deflate", others)
    best = max((name for name in named if name in NAMES), key=lambda name: named[name])  # of equals the first
    return best if named[best] > 0 and named[best] >= plain else b""
