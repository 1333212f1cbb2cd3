"""TLS from two files, which may change while the service runs, as those of cert-manager and certbot do."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import NoReturn

from service.errors import DigitsError
from service.repository.files import identity

log = logging.getLogger("service")

HANDSHAKE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0  # for a client to answer the end of a connection
CHECK_S = 2.0  # between two looks at the files
MAX_FILE_BYTES = 2**20


class Tls:
    """The certificate in force.

    Args:
        cert: PEM file with the certificate and the chain above it.
        key: PEM file with its private key, not encrypted.

    Attributes:
        context: for every connection over HTTP, at any time.
        pair: the contents of the key's and the certificate's file, for gRPC; another object once they have changed.

    Raises:
        DigitsError: they cannot be read, or do not belong together.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._files = cert, key
        self._seen = self._look()
        self._current, self.pair = self._load()
        self.context = _new_context()
        self.context.load_cert_chain(cert, key)
        self.context.sni_callback = self._choose  # called in each handshake, with a name or without

    def reload(self) -> None:
        """Take the files again if they have changed, off the event loop. Files that do not fit change nothing."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._current, self.pair = self._load()
        except DigitsError as error:
            log.error("The TLS certificate stays as it was: %s", error)
        else:
            log.info("A new TLS certificate is in force")

    def _choose(self, connection: ssl.SSLObject, *_: object) -> None:
        connection.context = self._current

    def _look(self) -> tuple[object, ...]:
        return tuple(map(identity, self._files))

    def _load(self) -> tuple[ssl.SSLContext, tuple[bytes, bytes]]:
        cert, key = self._files
        context = _new_context()
        try:
            context.load_cert_chain(cert, key, password=_refuse)
            return context, (_content(key), _content(cert))
        except ssl.SSLError as error:
            why = (error.reason or "unreadable").lower().replace("_", " ")
            raise DigitsError(f"DIGITS_TLS_CERT_PATH and DIGITS_TLS_KEY_PATH are no PEM pair ({why}).") from None
        except OSError as error:
            why = (error.strerror or "unreadable").lower()
            raise DigitsError(f"DIGITS_TLS_CERT_PATH or DIGITS_TLS_KEY_PATH cannot be read ({why}).") from None


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _refuse() -> NoReturn:
    """Without it OpenSSL would ask for the password at the terminal."""
    raise DigitsError("DIGITS_TLS_KEY_PATH is encrypted; give one that is not, readable by the service alone.")


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)
