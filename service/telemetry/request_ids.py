"""Request ids: the caller's x-request-id if it is valid, else a new one, unique across processes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from itertools import count

VALID = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestIds:
    """Makes ids such as 5f0c2a9be1d4-1a: a random prefix per process, then the number of the request in hexadecimal."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = count()

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The id of an HTTP request. Header names are in lower case."""
        for name, value in headers:
            if name == b"x-request-id" and VALID.fullmatch(value):
                return bytes(value)
        return self.new()

    def of_grpc(self, metadata: Mapping[str, str]) -> bytes:
        """The id of a gRPC call with this metadata."""
        given = metadata.get("x-request-id", "")
        return given.encode() if is_valid(given) else self.new()

    def new(self) -> bytes:
        """A new, unique id."""
        return b"%b-%x" % (self._prefix, next(self._numbers))


def is_valid(text: str) -> bool:
    """Whether a text is a valid request id: 1 to 128 visible ASCII characters."""
    return text.isascii() and bool(VALID.fullmatch(text.encode()))
