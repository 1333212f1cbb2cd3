"""Calls that change something are refused where a web page of another origin makes a browser send them.

A browser sends a POST with plain text, or a form, to any address that a page names, without asking first (CORS only
keeps the answer from the page). It says from where: Sec-Fetch-Site, or on plain HTTP at least Origin.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.errors import Forbidden
from service.settings import Settings

OWN = (b"same-origin", b"none")  # the service's own page; typed by a person
FOREIGN = (
    "A web page of another origin sent this, and may not. Its origin can be allowed by DIGITS_CORS_ORIGINS; "
    "programs leave out Origin and Sec-Fetch-Site."
)


class Origins:
    """The origins whose pages may call.

    Args:
        settings: `cors_origins`.
    """

    def __init__(self, settings: Settings) -> None:
        self._allowed = {origin.strip().encode() for origin in settings.cors_origins.split(",") if origin}

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises Forbidden for a call that a page of a foreign origin made. Header names are in lower case."""
        origin = site = host = b""
        for name, value in headers:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"host":
                host = value
        if not origin and not site:
            return  # no browser
        if origin in self._allowed or b"*" in self._allowed or site in OWN:
            return
        if site or origin.partition(b"://")[2].lower() != host.lower():
            raise Forbidden(FOREIGN)
