"""The service's answers compared with those of a real Triton, which record.py wrote to triton.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.oracle import compare, differences
from tests.oracle.calls import ADMIN_KEY, GRPC, HTTP
from tests.oracle.wire import Answer, ask_grpc, ask_http
from tests.support.grpc_client import grpc_port
from tests.support.models import publish
from tests.support.server import Server

pytestmark = pytest.mark.slow
RECORDING = json.loads((Path(__file__).parent / "triton.json").read_text())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Answer]]]:
    """Every call in the order of the recording: statistics and unloading depend on that order."""
    models = tmp_path_factory.mktemp("oracle")
    publish(models)
    publish(models)
    with Server(models, admin_key=ADMIN_KEY, grpc_port=0) as server:
        over_http = {call.name: ask_http(server.port, call) for call in HTTP}
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port(server)}") as channel:
            over_grpc = {call.name: ask_grpc(channel, call) for call in GRPC}
        yield {"http": over_http, "grpc": over_grpc}


def test_the_recording_has_every_call() -> None:
    assert list(RECORDING["http"]) == [call.name for call in HTTP]
    assert list(RECORDING["grpc"]) == [call.name for call in GRPC]


@pytest.mark.parametrize("name", [call.name for call in HTTP])
def test_http(ours: dict[str, dict[str, Answer]], name: str) -> None:
    judge(compare.http(RECORDING["http"][name], ours["http"][name]), differences.HTTP.get(name), ours["http"][name])


@pytest.mark.parametrize("name", [call.name for call in GRPC])
def test_grpc(ours: dict[str, dict[str, Answer]], name: str) -> None:
    judge(compare.grpc(RECORDING["grpc"][name], ours["grpc"][name]), differences.GRPC.get(name), ours["grpc"][name])


def judge(found: list[str], on_purpose: str | None, answer: Answer) -> None:
    """`on_purpose` is "difference: reason"; the difference must be among those found."""
    shown = "; ".join(found)
    assert "Traceback" not in str(answer)
    if on_purpose is None:
        assert not found, shown
    else:
        assert on_purpose.partition(": ")[0] in shown, (
            f"the intended difference is gone: {shown or 'it answers as Triton does'}"
        )


def test_every_intended_difference_belongs_to_a_call() -> None:
    assert differences.HTTP.keys() <= RECORDING["http"].keys()
    assert differences.GRPC.keys() <= RECORDING["grpc"].keys()
