"""multipart/form-data -> the files in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import BadRequest, PayloadTooLarge

MAX_FIELDS = 100


async def files_of(body: bytes, headers: Headers, max_files: int) -> list[bytes]:
    """The content of each file, in order; other fields are ignored.

    Args:
        body: the multipart body (RFC 7578).
        headers: of the request; content-type names the boundary.
        max_files: largest number of files.

    Raises:
        BadRequest: no boundary, no closing boundary, no file, or not multipart.
        PayloadTooLarge: more than `max_files` files, or too many or too large other fields.
    """
    _, options = parse_options_header(headers["content-type"])
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BadRequest("The Content-Type names no boundary; let the client set it, as curl -F does.")
    if b"--" + boundary + b"--" not in body:  # the parser accepts a truncated body
        raise BadRequest("The multipart body has no closing boundary; it was truncated, send it again.")
    form = await _form(body, headers, max_files)
    try:
        files = [await file.read() for _, file in form.multi_items() if not isinstance(file, str)]
    finally:
        await form.close()
    if not files:
        raise BadRequest("The multipart body holds no file; send pictures, as curl -F file=@digit.png does.")
    return files


async def _form(body: bytes, headers: Headers, max_files: int) -> FormData:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(headers, stream(), max_files=max_files, max_fields=MAX_FIELDS)
    parser.spool_max_size = len(body) + 1  # no temporary files: the body is in memory, and the disk may be read-only
    try:
        return await parser.parse()
    except MultiPartException as error:
        if error.message.startswith(("Too many", "Part exceeded")):
            raise PayloadTooLarge(
                f"{error.message.rstrip('.')}. Send several requests, and pictures as files."
            ) from None
        raise BadRequest(f"The multipart body cannot be read: {error.message.rstrip('.')}.") from None
