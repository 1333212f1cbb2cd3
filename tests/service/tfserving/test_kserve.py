"""KServe's own Python client, if it is installed (`pip install kserve`: heavy, and not among the tests' requirements),
and the calls that it makes, in any case.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.models import digits
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


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_the_client_works_unchanged(server: Server, protocol: str) -> None:
    kserve = pytest.importorskip("kserve", reason="kserve is not installed: its own client was NOT tried")

    async def steps() -> list[Any]:
        client = kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol=protocol))
        found = [await client.is_server_live(server.url), await client.is_model_ready(server.url, "digits")]
        if protocol == "v2":
            found.append(await client.is_server_ready(server.url))
            tensor = kserve.InferInput("pixels", [1, 28, 28], "UINT8", data=digits(3).ravel().tolist())
            asked: Any = kserve.InferRequest("digits", [tensor])
            answer = await client.infer(server.url, asked, model_name="digits")
            values = next(one.data for one in answer.outputs if one.name == "probabilities")
        else:
            asked = {"instances": digits(3).tolist()}
            values = (await client.infer(server.url, asked, model_name="digits"))["predictions"][0]
        await client.close()
        return [*found, max(range(10), key=values.__getitem__)]

    assert asyncio.run(steps()) == ([True] * 3 if protocol == "v2" else [True] * 2) + [3]
