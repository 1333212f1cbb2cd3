"""Request ids: the caller's x-request-id if it is valid, else a new one that nobody can guess.

An id is the secret by which a prediction can be corrected, and so must not be found from other ids.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping

BYTES = 16
AT_ONCE = 256
VALID = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestIds:
    """Makes ids of 128 random bits, 32 hexadecimal digits. The system is asked for many at a time: it costs a call."""

    def __init__(self) -> None:
        self._unused: list[bytes] = []

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The id of an HTTP request. Header names are in lower case."""
        for name, value in headers:
            if name == b"x-request-id" and is_valid(value):
                return bytes(value)
        return self.new()

    def of_grpc(self, metadata: Mapping[str, str]) -> bytes:
        """The id of a gRPC call with this metadata."""
        given = metadata.get("x-request-id", "").encode()
        return given if is_valid(given) else self.new()

    def new(self) -> bytes:
        """A new id."""
        if not self._unused:
            digits = secrets.token_hex(AT_ONCE * BYTES).encode()
            self._unused = [digits[at : at + 2 * BYTES] for at in range(0, len(digits), 2 * BYTES)]
        return self._unused.pop()


def is_valid(given: bytes) -> bool:
    """Whether these bytes are a valid request id: 1 to 128 visible ASCII characters."""
    return VALID.fullmatch(given) is not None
