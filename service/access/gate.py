"""The one place that decides who may call what, and how often: keys, scopes, and limits per client."""

from __future__ import annotations

import re

from service.access.client import Addresses, Client, Headers, network_of
from service.access.guesses import Guesses
from service.access.keys import Keys, Scope, secret_in
from service.access.quota import Quotas
from service.errors import Forbidden, NotFound, Unauthorized
from service.settings import Settings

OPEN = frozenset({"/", "/docs", "/openapi.json", "/favicon.ico", "/metrics"})  # what needs no key: pages, metrics,
OPEN_BELOW = ("/static/", "/health/", "/v2/health/")  # and health
UNCOUNTED = ("/health/", "/v2/health/", "/metrics")
MAX_KNOWN = 1000  # clients whose keys need not be looked up again
ADMIN_PATH = re.compile(r"/models/.*/(promote|rollback)|/v2/repository/models/.*/(load|unload)")
SEND = "send one as Authorization: Bearer KEY, or as X-API-Key: KEY"
ADMIN_OFF = (
    "Admin calls are off; start the service with DIGITS_ADMIN_KEY, or with a key that has the scope admin, "
    "to switch them on."
)


class Gate:
    """Lets requests in. Used on the event loop alone, except for `keys.reload`.

    Args:
        settings: of keys, limits per client and trusted proxies.

    Attributes:
        addresses: finds clients behind proxies.
        keys: those in force.
        quotas: limits per client.
        open: every request may pass, and nobody needs to know who sent it: `enter` can be left out.

    Raises:
        DigitsError: the keys cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.addresses = Addresses(settings)
        self.keys = Keys(settings)
        self.quotas = Quotas(settings)
        self._guesses = Guesses(settings.wrong_keys_per_min)
        self._known: dict[tuple[str, bytes], Client] = {}  # who sends predictions, by address and secret
        self._known_by = self.keys.in_force
        limited = self.quotas.requests or self.quotas.digits
        self.open = not (self.keys.required or limited or self.addresses.any_trusted)

    def client(self, peer: str, headers: Headers) -> Client:
        """Who sent a request. A key that it carries is looked up only when it is needed.

        Args:
            peer: address of the connection.
            headers: of HTTP, or metadata of gRPC; names in lower case.
        """
        address = self.addresses.of(peer, headers) if self.addresses.any_trusted else peer
        return Client(address, network_of(address), secret_in(headers) if self.keys.any else b"")

    async def enter(self, client: Client, scope: Scope | None) -> None:
        """Let a request pass, and count it.

        Args:
            client: who sent it; gets its key, if one is required.
            scope: what its key must have, where keys are required; None: it needs none, and is not counted either.

        Raises:
            Unauthorized, Forbidden, TooManyRequests
        """
        if scope is None:
            return
        if self.keys.required:
            self.require(client, scope)
        if self.quotas.requests:
            await self.quotas.requests.take(client.name)

    def enter_at_once(self, peer: str, headers: Headers) -> Client | None:
        """The same for a prediction, without waiting and without a refusal; None: `enter` has to decide, or to refuse.

        It does not count the request: `spend` does.
        """
        address = self.addresses.of(peer, headers) if self.addresses.any_trusted else peer
        secret = secret_in(headers) if self.keys.required else b""
        if self._known_by is not self.keys.in_force:
            self._known, self._known_by = {}, self.keys.in_force
        client = self._known.get((address, secret)) or self._meet(address, secret)
        if client and client.key and (client.key.expired or self._guesses.suspect(network_of(address))):
            return None
        return client

    def _meet(self, address: str, secret: bytes) -> Client | None:
        """Who may predict, remembered for the next time; None: nobody whose key allows it."""
        client = Client(address, network_of(address), secret)
        if self.keys.required:
            key = self.keys.find(secret)
            if key is None or not key.opens("predict") or self._guesses.suspect(client.name):
                return None
            self._guesses.right(client.name, key.name)
            client.key, client.name = key, f"key {key.name}"
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[address, secret] = client
        return client

    def spend(self, client: Client, digits: int) -> bool:
        """Count one request with so many digits, without waiting; False: `enter` has to decide, or to refuse."""
        quotas = self.quotas
        if quotas.requests and not quotas.requests.spend(client.name, 1):
            return False
        return quotas.digits is None or quotas.digits.spend(client.name, digits)

    def require(self, client: Client, scope: Scope) -> None:
        """Let only a key with this scope pass.

        Raises:
            Unauthorized: there is no key, or it is none of this service.
            Forbidden: it has not this scope, or no key has.
            TooManyRequests: wrong keys came from this address, too many.
        """
        if scope == "admin" and not self.keys.opens_admin:
            raise Forbidden(ADMIN_OFF)
        key = client.key
        if key is None:
            if not client.secret:
                raise Unauthorized(f"This call needs a key with the scope {scope}; {SEND}.")
            network, key = network_of(client.address), self.keys.find(client.secret)
            self._guesses.check(network, key.name if key else None)
            if key is None:
                self._guesses.wrong(network)
                raise Unauthorized("The key is wrong, revoked or expired.")
            self._guesses.right(network, key.name)
            client.key, client.name = key, f"key {key.name}"
        if not key.opens(scope):
            raise Forbidden(f"The key {key.name} has not the scope {scope}.")

    def has(self, client: Client, scope: Scope) -> bool:
        """Whether the client's key has this scope. Wrong keys count as guesses."""
        if not client.secret:
            return False
        try:
            self.require(client, scope)
        except (Unauthorized, Forbidden):
            return False
        return True


class Ports:
    """Which port answers which HTTP paths, where admin calls and metrics have one of their own.

    Args:
        settings: `admin_port`, `metrics`.

    Attributes:
        matter: whether `check` can refuse anything.
    """

    def __init__(self, settings: Settings) -> None:
        self._admin_port = settings.admin_port
        self._metrics = settings.metrics
        self.matter = self._admin_port is not None or not self._metrics

    def check(self, path: str, server: tuple[str, int | None] | None) -> None:
        """Raises NotFound where this port does not answer this path. `server`: the address that was connected to."""
        if path == "/metrics" and not self._metrics:
            raise NotFound("Metrics are off; DIGITS_METRICS=true switches them on.")
        if self._admin_port is None or path.startswith(UNCOUNTED[:2]):
            return
        is_admin = path == "/metrics" or ADMIN_PATH.fullmatch(path) is not None
        if (server is not None and server[1] == self._admin_port) != is_admin:
            raise NotFound("This port does not answer this: admin calls and metrics have a port of their own.")


def scope_of(path: str) -> Scope | None:
    """What a key must have for an HTTP path, where keys are required: None for pages, health and metrics.

    Admin calls require their own scope in any case, at their routes.
    """
    if path in OPEN or path.startswith(OPEN_BELOW):
        return None
    return "feedback" if path == "/feedback" or path.startswith("/feedback/") else "predict"
