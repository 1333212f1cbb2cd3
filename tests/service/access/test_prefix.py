"""Behind nginx, below a path of its own, which it takes away or leaves: every page, file, call and link works."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.support.models import digits
from tests.support.ports import free_port
from tests.support.server import Server
from tests.support.waiting import until

CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
  fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    proxy_set_header Host $host:$server_port;
    location /digits/ {{ proxy_pass http://127.0.0.1:{service}/; proxy_set_header X-Forwarded-Prefix /digits; }}
    location /whole/ {{ proxy_pass http://127.0.0.1:{service}; }}
    location /evil/ {{ proxy_pass http://127.0.0.1:{service}/; proxy_set_header X-Forwarded-Prefix "//evil.example"; }}
  }}
}}
"""
PATHS = [
    "",
    "docs",
    "openapi.json",
    "static/app.js",
    "static/docs/swagger-ui-bundle.js",
    "models",
    "v2",
    "health/ready",
]


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The ports of nginx and of the service behind it."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        pytest.skip("needs nginx (apt-get install nginx-light)")
    port, service = free_port(), free_port()
    file = tmp_path / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=tmp_path, port=port, service=service))
    with subprocess.Popen([program, "-c", str(file), "-p", str(tmp_path)], stderr=subprocess.DEVNULL) as running:
        yield port, service
        running.terminate()


@pytest.mark.parametrize(
    ("settings", "prefix", "servers"),
    [
        ({}, "/digits", None),
        ({"trusted_proxies": "127.0.0.1"}, "/digits", "/digits"),
        ({"trusted_proxies": "127.0.0.1"}, "/evil", None),
        ({"root_path": "/digits"}, "/digits", "/digits"),
        ({"root_path": "/whole"}, "/whole", "/whole"),
    ],
)
def test_everything_works_below_a_path(
    nginx: tuple[int, int],
    models_dir: Path,
    tmp_path: Path,
    settings: dict[str, str],
    prefix: str,
    servers: str | None,
) -> None:
    port, service = nginx
    with (
        Server(models_dir, port=service, feedback_path=tmp_path / "f.sqlite", **settings),
        httpx.Client(base_url=f"http://127.0.0.1:{port}{prefix}") as client,
    ):
        until(lambda: client.get("/health/live").status_code == 200)
        for path in PATHS:
            assert client.get(f"/{path}").status_code == 200, path
        headers = {"content-type": "application/octet-stream"}
        assert client.post("/predict", content=digits(3).tobytes(), headers=headers).status_code == 200
        assert client.get("/nothing").status_code == 404
        described = client.get("/openapi.json").json()
        assert described.get("servers") == (servers and [{"url": servers}])
        assert "/predict" in described["paths"]


@pytest.mark.parametrize("text", ["digits", "/digits/", "//digits", "/../etc", "/a b", "/\u00e9", "/" + "a" * 100])
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        Settings(root_path=text)
