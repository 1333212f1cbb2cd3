"""Nothing is imported once the service serves, except Pillow: an import needs a file, and there may be none to open."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.models import digit, digits, publish
from tests.support.server import PATIENCE_S, Server
from tests.support.v2 import document, tensor

QUIET_S = 3
KEY = "a key that is long enough"
IMPORTED = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)")
BODIES: list[tuple[bytes, dict[str, str]]] = [
    (b"", {}),
    (digit(3).tobytes(), {"Content-Type": "application/octet-stream"}),
    (digits(*[3] * 3000).tobytes(), {"Content-Type": "application/octet-stream"}),
    (gzip.compress(digit(3).tobytes()), {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}),
    (json.dumps({"instances": [[0] * 784] * 200}).encode(), {"Content-Type": "application/json"}),
    (json.dumps({"digit": digit(3).tolist(), "label": 3}).encode(), {"Content-Type": "application/json"}),
    (document(tensor(digits(1, 2))), {"Content-Type": "application/json"}),
    (b"{", {"Content-Type": "application/json"}),
    (b"1,2\n" * 3, {"Content-Type": "text/csv"}),
    (b"\x93NUMPY", {"Content-Type": "application/x-npy"}),
    (b"GIF89a", {"Content-Type": "image/gif"}),
    (b"--b\r\n", {"Content-Type": "multipart/form-data; boundary=b"}),
    ("é".encode("latin-1"), {"Content-Type": "text/weird; charset=latin-1"}),
]
PARAMETERS = {"name": "digits", "model": "digits", "version": "1", "number": "1"}


def imported(server: Server) -> list[str]:
    """What its processes have imported so far. Lines come one after another, so those of a last request end them."""
    return [found[1] for line in server._lines if (found := IMPORTED.search(line))]


def ask_everything(client: httpx.Client, calls: dict[str, Any]) -> None:
    for path, methods in calls.items():
        target = re.sub(r"\{(\w+)\}", lambda found: PARAMETERS.get(found[1], "digits"), path)
        for method in methods:
            for body, headers in BODIES if method in ("post", "put") else BODIES[:1]:
                for accept in ("*/*", "text/csv", "text/plain", "text/html"):
                    more = {"Accept": accept, "X-Admin-Key": KEY}
                    client.request(method, target, content=body, headers=headers | more)
    for path in ("/", "/docs", "/static/app.js", "/nothing", "/%ff%00", "/static/../x"):
        client.get(path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_no_module_is_imported_by_a_request(tmp_path: Path, workers: int) -> None:
    publish(tmp_path)
    publish(tmp_path, promote=False)
    settings = {"workers": workers, "admin_key": KEY, "watch_interval_s": 0.1}
    with Server(tmp_path, environ={"PYTHONPROFILEIMPORTTIME": "1"}, **settings) as server:
        before, now = -1, 0
        while now > before:  # until all have started: without a request, which would import what it needs
            before, now = now, (time.sleep(QUIET_S), len(imported(server)))[1]
        assert before > 500
        calls = server.client.get("/openapi.json").json()["paths"]
        for _ in range(workers):
            with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
                ask_everything(client, calls)
        server.stop()
        later = {name.split(".")[0] for name in imported(server)[before:]}
    assert later <= {"PIL", "numpy"}, imported(server)[before:]  # numpy.ma, with the first picture
