"""The path below which a proxy serves this service. Its pages need not know it, since all their links are relative.

Only the description of the API names it, for those who make clients from it. Requests are answered with the prefix and
without it, whether the proxy takes it away or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from service.access.client import Addresses
from service.settings import PREFIX, Settings

FORWARDED = b"x-forwarded-prefix"
DESCRIPTION = "/openapi.json"


class Prefix:
    """Takes the prefix away from paths, and puts it into the description.

    Args:
        settings: `root_path`; empty: what a trusted proxy says in X-Forwarded-Prefix, for the description alone.
        addresses: of trusted proxies.

    Attributes:
        possible: whether there may be one; otherwise `apply` can be left out.
    """

    def __init__(self, settings: Settings, addresses: Addresses) -> None:
        self._root = settings.root_path
        self._addresses = addresses
        self.possible = bool(self._root) or addresses.any_trusted

    def apply(self, scope: MutableMapping[str, Any]) -> None:
        """Change the scope of a request."""
        path: str = scope["path"]
        if self._root and (path == self._root or path.startswith(f"{self._root}/")):
            path = scope["path"] = path[len(self._root) :] or "/"
        if path == DESCRIPTION:  # FastAPI makes a server of it; elsewhere Starlette's routes would take it amiss
            scope["root_path"] = self._root or self._forwarded(scope)

    def _forwarded(self, scope: Mapping[str, Any]) -> str:
        peer = scope.get("client")
        if peer and self._addresses.trust(peer[0]):
            for name, value in scope["headers"]:
                text = value.decode("latin-1").rstrip("/")
                if name == FORWARDED and re.fullmatch(PREFIX, text):
                    return str(text)
        return ""
