"""multipart/form-data (RFC 7578) -> the files in it.

The body is in memory, so its parts are found by searching for the boundary, and nothing is copied or decoded but the
files. Parsers for streams look at each byte in Python, a second per megabyte, and decode text in any charset that the
client names, some of which take quadratic time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO

from python_multipart.multipart import parse_options_header

from service.concurrency import WINDOW_BYTES, cooperate
from service.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

MAX_FIELDS = 100  # besides files
MAX_FIELD_BYTES = 2**20
MAX_HEAD_BYTES = 2048  # of one part, and of the Content-Type
MAX_BOUNDARY_BYTES = 200  # RFC 2046 allows 70
CHARSETS = {b"", b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin-1", b"latin1"}

Part = tuple[bytes, slice]  # head, and where the content is


async def files_of(body: bytes, content_type: str, max_files: int) -> list[bytes]:
    """The content of each file, in order; other fields are ignored.

    Args:
        body: the multipart body.
        content_type: the header's value, which names the boundary.
        max_files: largest number of files.

    Raises:
        BadRequest: no boundary, no closing boundary, no file, or not multipart.
        PayloadTooLarge: more than `max_files` files, or too many or too large other fields.
        UnsupportedMediaType: it names a charset other than UTF-8 and Latin-1.
    """
    files: list[bytes] = []
    fields = 0
    for part in _parts(body, _boundary(content_type)):
        await asyncio.sleep(0)
        if part is None:
            continue
        head, content = part
        if b"filename" in _disposition(head):
            files.append(await _copied(body, content))
        else:
            fields += 1
            _check_field(fields, content.stop - content.start)
        if len(files) > max_files:
            raise PayloadTooLarge(f"Too many files, more than {max_files}. Send several requests.")
    if not files:
        raise BadRequest("The multipart body holds no file; send pictures, as curl -F file=@digit.png does.")
    return files


async def _copied(body: bytes, content: slice) -> bytes:
    """A part of the body, copied window by window: a large one at once would hold up the event loop."""
    whole, starts = BytesIO(), range(content.start, content.stop, WINDOW_BYTES)
    await cooperate(whole.write(body[start : min(start + WINDOW_BYTES, content.stop)]) for start in starts)
    return whole.getvalue()


def _boundary(content_type: str) -> bytes:
    options = {}
    if len(content_type) <= MAX_HEAD_BYTES:
        options = parse_options_header(content_type)[1]
    charset: bytes = options.get(b"charset", b"")
    if charset.lower() not in CHARSETS:
        raise UnsupportedMediaType("The form's charset is not supported; send utf-8, or leave the charset out.")
    boundary: bytes = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadRequest("The Content-Type names no boundary; let the client set it, as curl -F does.")
    return boundary


def _parts(body: bytes, boundary: bytes) -> Iterator[Part | None]:
    """Each part; None after each window that was searched."""
    delimiter = b"\r\n--" + boundary
    start = 2 if body.startswith(b"\r\n") else 0
    if not body.startswith(delimiter[2:], start):
        raise BadRequest("The multipart body cannot be read: it does not begin with the Content-Type's boundary.")
    at = start + len(delimiter) - 2
    while body[at : at + 2] != b"--":
        head_end = body.find(b"\r\n\r\n", at, at + MAX_HEAD_BYTES)
        if body[at : at + 2] != b"\r\n" or head_end < 0:
            raise BadRequest(
                f"The multipart body cannot be read: a boundary without a head of at most {MAX_HEAD_BYTES:,} bytes."
            )
        content, end = head_end + 4, -1
        for end in _search(body, delimiter, content):
            if end < 0:
                yield None
        yield body[at + 2 : head_end], slice(content, end)
        at = end + len(delimiter)


def _search(body: bytes, delimiter: bytes, start: int) -> Iterator[int]:
    """Where it is, at last; -1 after each window without it. Raises BadRequest if it does not come."""
    while start < len(body):
        end = start + WINDOW_BYTES
        found = body.find(delimiter, start, end + len(delimiter) - 1)
        yield found
        if found >= 0:
            return
        start = end
    raise BadRequest("The multipart body has no closing boundary; it was truncated, send it again.")


def _disposition(head: bytes) -> dict[bytes, bytes]:
    """The parameters of a part's Content-Disposition: name, filename."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            options: dict[bytes, bytes] = parse_options_header(value)[1]
            if b"name" in options:
                return options
    raise BadRequest("The multipart body cannot be read: a part has no Content-Disposition with a name.")


def _check_field(count: int, size: int) -> None:
    if count > MAX_FIELDS:
        raise PayloadTooLarge(f"Too many fields, more than {MAX_FIELDS}. Send pictures as files.")
    if size > MAX_FIELD_BYTES:
        raise PayloadTooLarge(f"A form field has more than {MAX_FIELD_BYTES:,} bytes. Send pictures as files.")
