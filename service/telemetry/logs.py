"""Logs on standard error, as text or JSON. Each error response has a line; with DIGITS_ACCESS_LOG every response has.

Request lines are gathered and written twice per second: one write per request would cost more than the model does.
All lines are written by one thread (log_writer.py).
"""

from __future__ import annotations

import logging
import time
import warnings
from datetime import UTC, datetime

import orjson

from service.settings import Settings
from service.telemetry.log_writer import LogWriter

TEXT = "%(asctime)s %(levelname)-7s %(message)s"
STAMP = "%Y-%m-%d %H:%M:%SZ"  # UTC
MAX_LINES = 10_000
MAX_REFUSALS = 1000  # where only errors are logged: whoever sends nothing else must not fill the disk
MAX_WARNING = 200  # characters
MAX_PATH = 200  # characters of a path that a request line shows: a path may have 64 KiB
FLUSH_S = 1.0
WRITER = LogWriter()


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the traceback of an exception."""

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


class QueuedHandler(logging.Handler):
    """Formats records in the thread that logs them, and has them written by the log writer's."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            WRITER.put(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - a line that cannot be formatted must not fail what logs it
            self.handleError(record)


def set_up(settings: Settings) -> None:
    """Send all log records, including uvicorn's, to standard error in the chosen format."""
    handler = QueuedHandler()
    text = logging.Formatter(TEXT, STAMP)
    text.converter = time.gmtime
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else text)
    warnings.showwarning = _log_warning
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)


def _log_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """A library's warning, without the path of its file."""
    logging.getLogger("service").warning("%s: %s", category.__name__, str(message)[:MAX_WARNING])


def flush() -> None:
    """Before the process ends: wait until all lines are written, but not for ever, since the reader may be blocked."""
    WRITER.flush(FLUSH_S)


def dropped_lines() -> int:
    """Lines that this process did not write, because of its reader or because there were too many."""
    return WRITER.dropped


class AccessLog:
    """Buffered request lines: error responses always, all responses if `access_log` is on.

    Attributes:
        from_status: responses with this status or a higher one are logged.
        max_lines: between two writes, half a second apart.
    """

    def __init__(self, settings: Settings) -> None:
        self._json = settings.log_format == "json"
        self.from_status = 100 if settings.access_log else 400
        if settings.log_level == "error":
            self.from_status = 500
        self.max_lines = MAX_LINES if settings.access_log else MAX_REFUSALS
        self._lines: list[str] = []
        self._dropped = 0

    def add(self, method: str, path: str, status: int, seconds: float, request_id: str, client: str = "-") -> None:
        """Add the line of one request. Beyond `max_lines` between two writes, lines are only counted."""
        if len(self._lines) >= self.max_lines:
            self._dropped += 1
            return
        now, path = time.time(), path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}..."
        if self._json:
            line = {"time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"), "level": "info"}
            line |= {"client": client, "method": method, "path": path, "request_id": request_id}
            self._lines.append(orjson.dumps(line | {"status": status, "ms": round(seconds * 1000, 3)}).decode())
        else:
            stamp = time.strftime(STAMP, time.gmtime(now))
            path = path.encode("unicode_escape").decode()
            self._lines.append(f"{stamp} {client} {method} {path} {status} {seconds * 1000:.1f} ms {request_id}")

    def write(self) -> None:
        """Hand the buffered lines to the log writer."""
        if self._dropped:
            WRITER.drop(self._dropped)
            self._lines.append(f"{self._dropped} more request lines were dropped")
            self._dropped = 0
        if self._lines:
            lines, self._lines = self._lines, []
            WRITER.put("\n".join(lines) + "\n")
