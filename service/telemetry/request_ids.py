"""An id for every request: the caller's own where that is usable, else one that no other process gives."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
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
        return b"%b-%x" % (self._prefix, next(self._numbers))
