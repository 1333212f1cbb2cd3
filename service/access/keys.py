"""API keys: named secrets with scopes. The service knows only their SHA-256, since they are random and long.

They come from a file, which may change while the service runs, and from the environment, which may not.
DIGITS_ADMIN_KEY is one more key, named admin.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hmac import compare_digest
from pathlib import Path
from typing import Literal

from service.access.key_file import Entry, entries_of_text, read
from service.errors import DigitsError
from service.repository.files import identity
from service.settings import Settings

log = logging.getLogger("service")

Scope = Literal["predict", "feedback", "admin"]
ADMIN = "admin"
HEADERS = (b"x-admin-key", b"x-api-key", b"authorization")  # the first one that is there counts
HEADER_NAMES = frozenset(HEADERS)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is in force.

    Attributes:
        name: for logs and limits.
        scopes: what it opens; admin opens everything.
        expires: the last day on which it is in force, in UTC.
    """

    name: str
    scopes: frozenset[str]
    expires: date | None = None
    digest: bytes = field(default=b"", repr=False)

    def opens(self, scope: Scope) -> bool:
        """Whether calls of this scope are open to it."""
        return scope in self.scopes or ADMIN in self.scopes

    @property
    def expired(self) -> bool:
        return self.expires is not None and datetime.now(UTC).date() > self.expires


class Keys:
    """The keys in force.

    Args:
        settings: `admin_key`, `keys`, `keys_path`.

    Attributes:
        in_force: keys by the SHA-256 of their secrets; another mapping after each change.
        required: whether predictions and feedback need a key.
        any: whether there is any key, so that it is worth looking for one in a request.

    Raises:
        DigitsError: the file or the variable cannot be read; the sentence says why.
    """

    def __init__(self, settings: Settings) -> None:
        self._fixed: dict[bytes, Key] = {}
        if settings.admin_key:
            digest = hashlib.sha256(settings.admin_key.get_secret_value().encode()).digest()
            self._fixed[digest] = Key(ADMIN, frozenset((ADMIN,)), digest=digest)
        if settings.keys:
            self._fixed |= _in_force(entries_of_text(settings.keys.get_secret_value()))
        self._path: Path | None = settings.keys_path
        self._identity = identity(self._path) if self._path else None
        self.in_force: Mapping[bytes, Key] = self._fixed | (_in_force(read(self._path)) if self._path else {})
        self.required = bool(settings.keys or self._path)
        self.any = self.required or bool(self._fixed)

    @property
    def opens_admin(self) -> bool:
        """Whether there is a key with which admin calls can be made, or one may come."""
        return self._path is not None or any(ADMIN in key.scopes for key in self.in_force.values())

    def find(self, secret: bytes) -> Key | None:
        """The key with this secret; None if there is none, or if it has expired."""
        digest = hashlib.sha256(secret).digest()
        key = self.in_force.get(digest)
        return None if key is None or not compare_digest(key.digest, digest) or key.expired else key

    def reload(self) -> None:
        """Read the file again if it has changed, off the event loop. One that cannot be read changes nothing."""
        if self._path is None:
            return
        found = identity(self._path)
        if found == self._identity:
            return
        try:
            keys = self._fixed | _in_force(read(self._path))
        except DigitsError as error:
            log.error("The API keys stay as they were: %s", error)
        else:
            log.info("%d API keys are in force", len(keys))
            self.in_force = keys
        self._identity = found


def secret_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The key that a request carries: X-Admin-Key, X-API-Key, Authorization: Bearer, or Basic's password; or empty.

    Args:
        headers: of HTTP, or metadata of gRPC; names in lower case.
    """
    sent = {name: value for name, value in headers if name in HEADER_NAMES}
    for name in HEADERS:
        if value := sent.get(name):
            return _credentials(value) if name == b"authorization" else value
    return b""


def _credentials(value: bytes) -> bytes:
    scheme, _, rest = value.partition(b" ")
    scheme = scheme.lower()
    if scheme == b"bearer":
        return rest
    if scheme == b"basic":  # as tritonclient's plugin BasicAuth sends it; the user's name does not matter
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


def _in_force(entries: Iterable[Entry]) -> dict[bytes, Key]:
    digests = ((bytes.fromhex(entry.sha256), entry) for entry in entries)
    return {digest: Key(entry.name, frozenset(entry.scopes), entry.expires, digest) for digest, entry in digests}
