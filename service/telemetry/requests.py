"""Records every answered request, of any protocol, in the metrics and in the access log."""

from __future__ import annotations

from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter

METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "gRPC"}
CLIENT_CLOSED_REQUEST = 499  # the caller disconnected before its answer; name and number as in nginx


class RequestTelemetry:
    """Records answered requests.

    Args:
        meter: counts every request.
        access: logs the requests whose status is at least its `from_status`.
    """

    __slots__ = ("_access", "_meter")

    def __init__(self, meter: Meter, access: AccessLog) -> None:
        self._meter = meter
        self._access = access

    def note(
        self, method: str, path: str, route: str, status: int, seconds: float, request_id: bytes, client: str = "-"
    ) -> None:
        """Record one answered request.

        Args:
            method, path: as sent by the caller, for the log.
            route: the pattern of the route, for the metrics: a path could be anything, and each would be a new series.
            status: HTTP status; a gRPC code is mapped to one.
            seconds: from the head of the request to the end of the answer.
            request_id: the value of x-request-id in the answer.
            client: its address, for the log.
        """
        self._meter.request(route, method if method in METHODS else "other", status, seconds)
        if status >= self._access.from_status:
            self._access.add(method, path, status, seconds, request_id.decode(), client)

    def event(self, kind: str, label: str = "") -> None:
        """Count what seldom happens and belongs to no request; `kind` is one of metrics.EVENTS."""
        self._meter.event(kind, label)
