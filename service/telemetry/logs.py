"""Log lines for people (text) or machines (JSON), on standard error. A line for each refusal; for each answer if asked.

Request lines are gathered and written together twice a second: a write for each would cost more than the model does.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime

import orjson

from service.settings import Settings

TEXT = "%(asctime)s %(levelname)-7s %(message)s"
MOST_LINES = 10_000


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the trace of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def set_up(settings: Settings) -> None:
    """Send all log records, uvicorn's too, to standard error in the chosen form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)


class AccessLog:
    """Request lines: refusals and failures always, answers where `access_log` is on."""

    def __init__(self, settings: Settings) -> None:
        self._json = settings.log_format == "json"
        self.from_status = 100 if settings.access_log else 400
        if settings.log_level == "error":
            self.from_status = 500
        self._lines: list[str] = []
        self._lost = 0

    def add(self, method: str, path: str, status: int, seconds: float, request_id: str) -> None:
        """Note one request. More than 10,000 lines between two writes are counted and not kept."""
        if len(self._lines) >= MOST_LINES:
            self._lost += 1
            return
        now = time.time()
        if self._json:
            line = {"time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"), "level": "info"}
            line |= {"method": method, "path": path, "request_id": request_id}
            self._lines.append(orjson.dumps(line | {"status": status, "ms": round(seconds * 1000, 3)}).decode())
        else:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            path = path.encode("unicode_escape").decode()
            self._lines.append(f"{stamp} {method} {path} {status} {seconds * 1000:.1f} ms {request_id}")

    def write(self) -> None:
        """Write what was gathered."""
        if self._lost:
            self._lines.append(f"{self._lost} more request lines were not kept")
            self._lost = 0
        if self._lines:
            lines, self._lines = self._lines, []
            sys.stderr.write("\n".join(lines) + "\n")
