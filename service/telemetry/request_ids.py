"""An id for every request: the caller's own where that is usable, else one that no other process gives."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from itertools import count

USABLE = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestIds:
    """Gives ids; the number behind the dash counts this process's requests."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = count()

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The id of the request with these headers, their names in lower case."""
        for name, value in headers:
            if name == b"x-request-id" and USABLE.fullmatch(value):
                return bytes(value)
        return self.new()

    def of_grpc(self, metadata: Mapping[str, str]) -> bytes:
        """The id of a call over gRPC with this metadata."""
        given = metadata.get("x-request-id", "")
        return given.encode() if usable(given) else self.new()

    def new(self) -> bytes:
        """An id that no other request has."""
        return b"%b-%x" % (self._prefix, next(self._numbers))


def usable(text: str) -> bool:
    """Whether a caller's text can be a request's id: 1 to 128 visible ASCII characters."""
    return text.isascii() and bool(USABLE.fullmatch(text.encode()))
