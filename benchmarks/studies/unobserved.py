"""The service without metrics and logs, for observability.py. Importing this module removes them from the process."""

from __future__ import annotations

from typing import Any

from service.__main__ import main
from service.telemetry.logs import AccessLog
from service.telemetry.metrics import Meter
from service.telemetry.statistics import Statistics


def ignore(*_: Any) -> None:
    """Takes the place of a method that counts or logs."""


for kind, names in {
    Meter: ("request", "batch"),
    AccessLog: ("add", "write"),
    Statistics: ("executed", "answered", "failed", "converted"),
}.items():
    for name in names:
        if not hasattr(kind, name):
            raise AttributeError(f"{kind.__name__}.{name} does not exist: update the names in this module")
        setattr(kind, name, ignore)

if __name__ == "__main__":
    main()
