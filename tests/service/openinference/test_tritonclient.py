"""Triton's own Python clients, from PyPI and unchanged, against the service on a port."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

from service.engine.model import Model
from tests.support.bodies import as_image, on_paper
from tests.support.models import digit, digits, publish, written
from tests.support.server import Server
from tests.support.v2 import publish_with_lecture_output, with_lecture_output

pytestmark = pytest.mark.slow

KEY = {"Authorization": "Bearer open sesame, please"}
OUTPUTS = ["probabilities", "lecture_output"]


@pytest.fixture(scope="module")
def root(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits` has the lecture's output, `pictures` reads handwriting, `spare` may be unloaded."""
    root = tmp_path_factory.mktemp("triton") / "models"
    publish_with_lecture_output(root, shift=3)
    publish_with_lecture_output(root)
    shutil.copytree(models_dir / "digits", root / "pictures")
    publish(root, name="spare")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    with Server(root, admin_key="open sesame, please", feedback_path=root / "f.sqlite") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


@pytest.fixture(scope="module")
def model() -> Model:
    """The served model, to be run without the service."""
    return Model.load(with_lecture_output())


def values(count: int) -> list[int]:
    return [i * i % 10 for i in range(count)]


def pixels_input(pixels: Any, binary: bool) -> triton.InferInput:
    return triton.InferInput("pixels", list(pixels.shape), "UINT8").set_data_from_numpy(pixels, binary_data=binary)


def requested(binary: bool, *names: str) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names or OUTPUTS]


def check(result: Any, model: Model, pixels: Any, *names: str) -> None:
    """The model's own numbers, bit by bit if they were sent as bytes, and no other output."""
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"]) == ("digits", "2")
    assert [one["name"] for one in answer["outputs"]] == list(names or OUTPUTS)
    for name in names or OUTPUTS:
        wanted = model.predict(pixels) if name == "probabilities" else model.lecture_output(pixels)
        found = result.as_numpy(name)
        assert (found.dtype, found.shape) == (np.float32, wanted.shape)
        assert np.array_equal(found, wanted)


# -- what it says of itself -------------------------------------------------------------------------------------


def test_health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() is True
    assert client.is_server_ready() is True
    assert client.is_model_ready("digits") is True
    assert client.is_model_ready("digits", "2") is True
    assert client.is_model_ready("digits", "stable") is True
    assert client.is_model_ready("digits", "1") is False
    assert client.is_model_ready("nothing") is False


def test_metadata_and_config(client: triton.InferenceServerClient) -> None:
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    for version in ("", "2"):
        told = client.get_model_metadata("digits", version)
        assert told["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}]
        assert [one["name"] for one in told["outputs"]] == OUTPUTS
        assert client.get_model_config("digits", version)["max_batch_size"] > 1


def test_unknown_models_and_versions_are_404(client: triton.InferenceServerClient) -> None:
    for call in (
        lambda: client.get_model_metadata("nothing"),
        lambda: client.get_model_config("digits", "7"),
        lambda: client.get_inference_statistics("nothing"),
        lambda: client.infer("nothing", [pixels_input(digits(1), True)]),
    ):
        with pytest.raises(InferenceServerException) as caught:
            call()
        assert caught.value.status() == "404"
        assert caught.value.message().endswith(".")
        assert "exception occurred in the client" not in caught.value.message()


def test_unsupported_extensions_are_rejected_as_the_client_expects(
    client: triton.InferenceServerClient,
) -> None:
    for call in (client.get_trace_settings, client.get_log_settings, client.get_system_shared_memory_status):
        with pytest.raises(InferenceServerException) as caught:
            call()
        assert caught.value.status() == "404"


# -- infer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False])
@pytest.mark.parametrize("version", ["", "2", "stable"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
def test_json_and_binary_in_and_out(
    client: triton.InferenceServerClient,
    model: Model,
    binary_input: bool,
    binary_output: bool,
    version: str,
    shape: tuple[int, ...],
) -> None:
    pixels = digits(*values(12)).reshape(12, *shape)
    one = [pixels_input(pixels, binary_input)]
    result = client.infer("digits", one, version, outputs=requested(binary_output), request_id="7")
    check(result, model, pixels)
    assert result.get_response()["id"] == "7"


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 300, 1000])
@pytest.mark.parametrize("binary", [True, False])
def test_from_one_to_a_thousand_digits(
    client: triton.InferenceServerClient, model: Model, count: int, binary: bool
) -> None:
    pixels = digits(*values(count)).reshape(-1, 28, 28, 1)
    result = client.infer("digits", [pixels_input(pixels, binary)], outputs=requested(binary, "probabilities"))
    check(result, model, pixels, "probabilities")


def test_the_client_s_default_call(client: triton.InferenceServerClient, model: Model) -> None:
    """No outputs named: all of them, binary. MLServer rejects this call."""
    pixels = digits(4, 2).reshape(2, 28, 28, 1)
    check(client.infer("digits", [pixels_input(pixels, True)]), model, pixels)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("count", [1, 200])
def test_compression_both_ways(
    client: triton.InferenceServerClient,
    model: Model,
    binary: bool,
    request_coding: str | None,
    response_coding: str | None,
    count: int,
) -> None:
    pixels = digits(*values(count))
    result = client.infer(
        "digits",
        [pixels_input(pixels, binary)],
        outputs=requested(binary),
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding,
    )
    check(result, model, pixels)


def test_parameters_that_mean_nothing_here(client: triton.InferenceServerClient, model: Model) -> None:
    pixels = digits(9)
    result = client.infer(
        "digits",
        [pixels_input(pixels, True)],
        sequence_id=7,
        sequence_start=True,
        sequence_end=True,
        priority=3,
        timeout=10_000_000,
        parameters={"note": "x", "number": 1, "flag": True},
    )
    check(result, model, pixels)


@pytest.mark.parametrize("binary", [True, False])
def test_classification(client: triton.InferenceServerClient, model: Model, binary: bool) -> None:
    pixels = digits(3, 8)
    asked = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)]
    found = client.infer("digits", [pixels_input(pixels, binary)], outputs=asked).as_numpy("probabilities")
    assert found.shape == (2, 3)
    texts = [text.decode() if isinstance(text, bytes) else text for text in found[:, 0].tolist()]
    assert texts == [f"{row.max():f}:{value}:{value}" for row, value in zip(model.predict(pixels), (3, 8), strict=True)]


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_pictures(client: triton.InferenceServerClient, shape: tuple[int, ...]) -> None:
    paper = on_paper(written()[7])
    files = [as_image(digit(3)), as_image(paper), as_image(paper, "jpeg", quality=90)]
    sent = np.array(files, np.object_).reshape(shape)
    texts = np.array([base64.b64encode(file) for file in files], np.object_).reshape(shape)
    for array, binary in ((sent, True), (texts, False)):
        one = triton.InferInput("image", list(shape), "BYTES").set_data_from_numpy(array, binary_data=binary)
        found = client.infer("pictures", [one]).as_numpy("probabilities")
        assert found.argmax(axis=1).tolist() == [3, 7, 7]


def test_an_error_says_why(client: triton.InferenceServerClient) -> None:
    floats = np.zeros((1, 28, 28, 1), np.float32)
    one = triton.InferInput("pixels", [1, 28, 28, 1], "FP32").set_data_from_numpy(floats)
    with pytest.raises(InferenceServerException, match="is FP32; it must be UINT8") as caught:
        client.infer("digits", [one])
    assert caught.value.status() == "400"


def test_raw_requests(server: Server, model: Model) -> None:
    """A header of 0 and the pixels, nothing else; the answer read by the client's own parser."""
    pixels = digits(*values(5))
    answer = server.client.post(
        "/v2/models/digits/infer", content=pixels.tobytes(), headers={"Inference-Header-Content-Length": "0"}
    )
    length = int(answer.headers["inference-header-content-length"])
    check(triton.InferResult.from_response_body(answer.content, header_length=length), model, pixels)


def test_async_infer(server: Server, model: Model) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=8) as client:
        asked = [digits(*values(1 + i)) for i in range(24)]
        waiting = [client.async_infer("digits", [pixels_input(pixels, True)]) for pixels in asked]
        for request, pixels in zip(waiting, asked, strict=True):
            check(request.get_result(), model, pixels)


def test_32_threads_of_clients(server: Server, model: Model) -> None:
    """Concurrent callers get their own digits."""

    def client_thread(number: int) -> None:
        with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            for i in range(6):
                pixels = digits(*[(number + j) % 10 for j in range(1 + (number * i) % 40)])
                binary = (number + i) % 2 == 0
                check(client.infer("digits", [pixels_input(pixels, binary)], outputs=requested(binary)), model, pixels)

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(client_thread, range(32)))


# -- aio --------------------------------------------------------------------------------------------------------


def test_the_aio_client(server: Server, model: Model) -> None:
    async def all_of_it() -> None:
        async with aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("digits")
            assert not await client.is_model_ready("nothing")
            assert (await client.get_server_metadata())["name"] == "digit-recognizer"
            assert (await client.get_model_metadata("digits"))["versions"] == ["2"]
            assert (await client.get_model_config("digits"))["name"] == "digits"
            assert (await client.get_inference_statistics("digits"))["model_stats"][0]["version"] == "2"
            assert {"digits", "pictures", "spare"} == {one["name"] for one in await client.get_model_repository_index()}
            with pytest.raises(InferenceServerException, match="served") as caught:
                await client.infer("nothing", [pixels_input(digits(1), True)])
            assert caught.value.status() == "404"

    asyncio.run(all_of_it())


def test_the_aio_client_loads_and_unloads(server: Server) -> None:
    async def all_of_it() -> None:
        async with aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            with pytest.raises(InferenceServerException) as caught:
                await client.unload_model("spare")
            assert caught.value.status() == "401"
            for _ in range(2):
                await client.unload_model("spare", headers=dict(KEY))
                assert await client.is_model_ready("spare") is False
                with pytest.raises(InferenceServerException, match="unloaded"):
                    await client.infer("spare", [pixels_input(digits(1), True)])
                await client.load_model("spare", headers=dict(KEY))
                assert await client.is_model_ready("spare") is True
                result = await client.infer("spare", [pixels_input(digits(1), True)])
                assert result.as_numpy("probabilities").argmax() == 1
            with pytest.raises(InferenceServerException, match="config"):
                await client.load_model("spare", headers=dict(KEY), config="{}")

    asyncio.run(all_of_it())


@pytest.mark.slow
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_the_aio_client_infers_many_at_once(server: Server, model: Model, coding: str | None) -> None:
    async def many() -> None:
        async with aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:

            async def one(i: int) -> None:
                pixels = digits(*values(1 + 3 * i))
                result = await client.infer(
                    "digits",
                    [pixels_input(pixels, i % 2 == 0)],
                    "2" if i % 3 else "",
                    outputs=requested(i % 4 < 2),
                    headers={},
                    request_compression_algorithm=coding,
                    response_compression_algorithm=coding,
                )
                check(result, model, pixels)

            await asyncio.gather(*map(one, range(40)))

    asyncio.run(many())


# -- statistics and the repository ------------------------------------------------------------------------------


def test_statistics(client: triton.InferenceServerClient) -> None:
    [before] = client.get_inference_statistics("digits", "2")["model_stats"]
    for count in (1, 5):
        client.infer("digits", [pixels_input(digits(*values(count)), True)])
    [after] = client.get_inference_statistics("digits")["model_stats"]
    assert after["inference_count"] - before["inference_count"] == 6
    assert after["execution_count"] - before["execution_count"] == 2
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        was, now = (one["inference_stats"][part] for one in (before, after))
        assert now["count"] - was["count"] == 2
        assert now["ns"] > was["ns"]
    assert {one["name"] for one in client.get_inference_statistics()["model_stats"]} == {"digits", "pictures", "spare"}


def test_index_load_and_unload(client: triton.InferenceServerClient) -> None:
    def state() -> str:
        index = client.get_model_repository_index()
        return str(next(one["state"] for one in index if one["name"] == "spare"))

    pixels = digits(2)
    for call in (client.unload_model, client.load_model):
        for headers, status in ((None, "401"), ({"Authorization": "Bearer wrong"}, "401")):
            with pytest.raises(InferenceServerException) as caught:
                call("spare", headers=headers)
            assert caught.value.status() == status
    assert state() == "READY"
    client.unload_model("spare", headers=dict(KEY))
    assert state() == "UNAVAILABLE"
    assert client.is_model_ready("spare") is False
    with pytest.raises(InferenceServerException, match="unloaded"):
        client.infer("spare", [pixels_input(pixels, True)])
    client.load_model("spare", headers=dict(KEY))
    assert client.is_model_ready("spare") is True
    assert client.infer("spare", [pixels_input(pixels, True)]).as_numpy("probabilities").argmax() == 2
    with pytest.raises(InferenceServerException, match="config"):
        client.load_model("spare", headers=dict(KEY), config="{}")
