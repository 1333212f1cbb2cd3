"""Keys and limits per client, as gRPC clients meet them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from tritonclient.grpc.auth import BasicAuth
from tritonclient.http.auth import BasicAuth as HttpBasicAuth
from tritonclient.utils import InferenceServerException

from tests.support.grpc_client import address, code_of, found, pixels
from tests.support.models import digits
from tests.support.server import Server

SHOP, BOSS = "the key of a shop", "the key of a boss"


def entry(name: str, scope: str, secret: str) -> str:
    return f"{name}:{scope}:{hashlib.sha256(secret.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def keyed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = f"{entry('shop', 'predict', SHOP)},{entry('boss', 'admin', BOSS)}"
    folder = tmp_path_factory.mktemp("keyed")
    more = {"feedback_path": folder / "f.sqlite", "wrong_keys_per_min": 20, "model": "digits"}
    with Server(models, grpc_port=0, keys=keys, **more) as server:
        yield server


@pytest.fixture
def client(keyed: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(address(keyed)) as made:
        yield made


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {SHOP}"}, {"x-api-key": SHOP}])
def test_a_key_in_the_metadata(client: Any, headers: dict[str, str]) -> None:
    assert found(client.infer("digits", pixels(digits(3)), headers=headers)) == [3]
    assert client.get_model_metadata("digits", headers=headers).name == "digits"


def test_tritons_plugin_for_both_protocols(keyed: Server, client: Any) -> None:
    client.register_plugin(BasicAuth("anybody", SHOP))
    assert found(client.infer("digits", pixels(digits(3)))) == [3]
    with triton_http.InferenceServerClient(f"127.0.0.1:{keyed.port}") as http:
        http.register_plugin(HttpBasicAuth("anybody", SHOP))
        one = triton_http.InferInput("pixels", [1, 28, 28, 1], "UINT8")
        one.set_data_from_numpy(digits(3).reshape(1, 28, 28, 1))
        assert http.infer("digits", [one]).as_numpy("probabilities").argmax() == 3


def test_without_a_key_only_health_is_answered(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    calls = [
        lambda: client.infer("digits", pixels(digits(3))),
        lambda: client.get_server_metadata(),
        lambda: client.get_model_metadata("digits"),
        lambda: client.get_model_config("digits"),
        lambda: client.get_inference_statistics(),
        lambda: client.get_model_repository_index(),
        lambda: client.load_model("digits"),
    ]
    for call in calls:
        assert code_of(call) == "UNAUTHENTICATED"
    answers: list[Any] = []
    client.start_stream(lambda result, error: answers.append(error or result))
    with suppress(InferenceServerException):  # the stream may have ended already
        client.async_stream_infer("digits", pixels(digits(3)))
    client.stop_stream()
    assert "UNAUTHENTICATED" in str(answers[0].status())


def test_scopes(client: Any) -> None:
    assert code_of(client.load_model, "digits", headers={"x-api-key": SHOP}) == "PERMISSION_DENIED"
    client.load_model("digits", headers={"x-api-key": BOSS})
    assert found(client.infer("digits", pixels(digits(3)), headers={"x-api-key": BOSS})) == [3]


def test_guesses_are_slowed_down(models: Path, tmp_path: Path) -> None:
    more = {"feedback_path": tmp_path / "f.sqlite", "wrong_keys_per_min": 3, "keys": entry("shop", "predict", SHOP)}
    with Server(models, grpc_port=0, **more) as server, triton.InferenceServerClient(address(server)) as client:
        codes = [code_of(client.infer, "digits", pixels(digits(3)), headers={"x-api-key": str(n)}) for n in range(6)]
    assert codes == ["UNAUTHENTICATED"] * 3 + ["RESOURCE_EXHAUSTED"] * 3


def test_digits_per_second(models: Path, tmp_path: Path) -> None:
    limits = {"feedback_path": tmp_path / "f.sqlite", "client_digits_per_s": 2}
    with Server(models, grpc_port=0, **limits) as server, triton.InferenceServerClient(address(server)) as client:
        assert found(client.infer("digits", pixels(digits(*[3] * 20)))) == [3] * 20
        with pytest.raises(InferenceServerException, match="20 digits in 10 seconds") as error:
            client.infer("digits", pixels(digits(*[3] * 20)))
        assert error.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        answers: list[Any] = []
        client.start_stream(lambda result, error: answers.append(error or result))
        client.async_stream_infer("digits", pixels(digits(*[3] * 20)))
        client.stop_stream()
        assert "20 digits" in str(answers[0])
