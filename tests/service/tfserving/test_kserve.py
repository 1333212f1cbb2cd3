"""The calls that KServe's own Python client makes; the client itself is tried by `make client-test`."""

from __future__ import annotations

import pytest

from tests.support.server import Server


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.5"])
def test_a_program_that_asks_for_the_root_learns_that_the_server_is_alive(server: Server, accept: str) -> None:
    answer = server.client.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.json(), answer.headers["vary"]) == (200, {"status": "alive"}, "Accept")


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
def test_a_browser_gets_the_page(server: Server, accept: str) -> None:
    answer = server.client.get("/", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>")


def test_the_models_are_listed(server: Server) -> None:
    assert server.client.get("/v1/models").json() == {"models": ["digits", "shifted"]}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/health/ready",
        "/v1/models",
        "/v1/models/digits",
        "/v1/models/digits/metadata",
        "/v1/models/digits/versions/2",
        "/v1/models/digits/labels/stable",
        "/v1/models/nothing",
        "/v1/models/digits:predict",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/digits",
        "/v2/models/digits/ready",
        "/v2/models/digits/config",
        "/v2/models/digits/versions/2",
        "/v2/models/stats",
        "/v2/models/digits/infer",
        "/v2/nothing",
    ],
)
def test_head_is_get_without_the_body(server: Server, path: str) -> None:
    head, get = server.client.head(path), server.client.get(path)
    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers.get("allow") == get.headers.get("allow")
    assert head.content == b""
