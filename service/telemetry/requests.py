"""The one place where an answered request is noted, whatever its protocol: in the metrics, and in the access log."""

from __future__ import annotations

from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter

METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "gRPC"}
CLIENT_CLOSED_REQUEST = 499  # the caller went away before its answer; the name and number are nginx's


class RequestTelemetry:
    """What was answered, how, and how long it took.

    Args:
        meter: counts every request.
        access: logs those that its settings name.
    """

    __slots__ = ("_access", "_meter")

    def __init__(self, meter: Meter, access: AccessLog) -> None:
        self._meter = meter
        self._access = access

    def note(self, method: str, path: str, route: str, status: int, seconds: float, request_id: bytes) -> None:
        """Note one answer.

        Args:
            method, path: as the caller sent them, for the log.
            route: the route's pattern, for the metrics, which must not grow with what callers type.
            status: of HTTP; gRPC's codes in the terms of HTTP.
            seconds: from the head of the request to the end of the answer.
            request_id: as it was given to the caller.
        """
        self._meter.request(route, method if method in METHODS else "other", status, seconds)
        if status >= self._access.from_status:
            self._access.add(method, path, status, seconds, request_id.decode())

    def event(self, kind: str, label: str = "") -> None:
        """Count what seldom happens and belongs to no request; `kind` is one of metrics.EVENTS."""
        self._meter.event(kind, label)
