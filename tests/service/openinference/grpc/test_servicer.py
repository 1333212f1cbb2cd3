"""Each call of GRPCInferenceService answers as its HTTP route does; load and unload require the admin key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from tests.support.grpc_client import ADMIN_KEY, address, code_of, found, pixels, refused
from tests.support.models import digits, publish
from tests.support.server import Server
from tests.support.v2 import publish_with_lecture_output

WANTED = [3, 1, 4, 1, 5, 9, 2, 6]
KEY = {"authorization": f"Bearer {ADMIN_KEY}"}


def test_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "2")
    assert client.is_model_ready("digits", "stable")
    assert not client.is_model_ready("digits", "1")
    assert not client.is_model_ready("nothing")


def test_metadata_and_configuration_are_those_of_http(client: Any, running: Server) -> None:
    def over_http(path: str) -> Any:
        return running.client.get(path).json()

    server = over_http("/v2")
    found = client.get_server_metadata()
    assert (found.name, found.version, list(found.extensions)) == tuple(server.values())
    for path, version in (("", ""), ("/versions/2", "2"), ("/versions/stable", "stable")):
        model = over_http(f"/v2/models/digits{path}")
        found = client.get_model_metadata("digits", version)
        assert (found.name, found.platform, list(found.versions)) == ("digits", model["platform"], ["2"])
        assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
            ("pixels", "UINT8", [-1, 28, 28, 1])
        ]
        assert [(one.name, one.datatype, list(one.shape)) for one in found.outputs] == [
            (one["name"], one["datatype"], one["shape"]) for one in model["outputs"]
        ]
        wanted = over_http(f"/v2/models/digits{path}/config")
        config = client.get_model_config("digits", version).config
        assert (config.name, config.platform, config.backend) == ("digits", wanted["platform"], wanted["backend"])
        assert config.max_batch_size == wanted["max_batch_size"]
        assert config.input[0].data_type == model_config_pb2.TYPE_UINT8
        assert list(config.input[0].dims) == [28, 28, 1]
        assert list(config.version_policy.specific.versions) == [2]
    for call in (client.get_model_metadata, client.get_model_config):
        assert code_of(call, "nothing") == "NOT_FOUND"
        assert code_of(call, "digits", "1") == "NOT_FOUND"
        assert code_of(call, "") == "NOT_FOUND"


def test_statistics_add_up(client: Any, running: Server) -> None:
    def counted() -> tuple[int, int, int]:
        (one,) = client.get_inference_statistics("digits").model_stats
        assert (one.name, one.version) == ("digits", "2")
        runs = sum(batch.compute_infer.count for batch in one.batch_stats)
        assert one.execution_count == runs
        assert one.inference_count == sum(batch.batch_size * batch.compute_infer.count for batch in one.batch_stats)
        return one.inference_stats.success.count, one.inference_count, one.inference_stats.compute_infer.ns

    before = counted()
    for count in (1, 5, 100):
        client.infer("digits", pixels(digits(*[3] * count)))
    after = counted()
    assert (after[0] - before[0], after[1] - before[1]) == (3, 106)
    assert after[2] > before[2]
    assert {one.name for one in client.get_inference_statistics().model_stats} == {"digits", "shifted"}
    assert len(client.get_inference_statistics("digits", "2").model_stats) == 1
    assert code_of(client.get_inference_statistics, "nothing") == "NOT_FOUND"


def test_the_answer_names_model_and_version(client: Any) -> None:
    answer = client.infer("digits", pixels(digits(7)[..., None]), request_id="42").get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("digits", "2", "42")
    assert [(one.name, one.datatype, list(one.shape)) for one in answer.outputs] == [("probabilities", "FP32", [1, 10])]


def test_another_model(client: Any) -> None:
    assert found(client.infer("shifted", pixels(digits(*WANTED)))) == [(value + 1) % 10 for value in WANTED]


def test_an_answer_is_remembered_for_feedback(client: Any, running: Server) -> None:
    client.infer("digits", pixels(digits(8)), request_id="grpc-eight")
    kept = running.client.post("/feedback", json={"request_id": "grpc-eight", "label": 8})
    assert (kept.status_code, kept.json()["predicted"]) == (201, 8)


def test_unknown_models_and_versions(client: Any) -> None:
    assert "served: " in refused(client, "StatusCode.NOT_FOUND", pixels(digits(3)), "nothing")
    refused(client, "StatusCode.NOT_FOUND", pixels(digits(3)), "")
    assert "2 (stable)" in refused(client, "StatusCode.NOT_FOUND", pixels(digits(3)), version="1")


@pytest.mark.slow
def test_versions_and_labels(tmp_path: Path) -> None:
    """Version 1 is served; 2, whose answers are one higher, is a canary that gets 0 % of requests."""
    publish(tmp_path)
    publish(tmp_path, shift=1, promote=False)
    publish(tmp_path, shift=2, promote=False)
    RepositoryWriter(tmp_path).start_rollout("digits", RolloutPlan(2, percent=0))
    with (
        Server(tmp_path, grpc_port=0) as server,
        triton.InferenceServerClient(address(server)) as client,
    ):
        while not client.is_model_ready("digits", "canary"):
            assert server.process.poll() is None
        for version, shift in (("", 0), ("1", 0), ("2", 1), ("stable", 0), ("canary", 1)):
            assert found(client.infer("digits", pixels(digits(4)), model_version=version)) == [4 + shift], version
        for version in ("3", "99"):
            refused(client, "StatusCode.NOT_FOUND", pixels(digits(4)), version=version)


@pytest.mark.slow
def test_a_canary_answers_with_the_outputs_that_it_has(tmp_path: Path) -> None:
    """Only requests that name the lecture's output, which the canary lacks, are answered by the stable version."""
    publish_with_lecture_output(tmp_path)
    publish(tmp_path, promote=False)
    RepositoryWriter(tmp_path).start_rollout(
        "digits", RolloutPlan(2, percent=100, min_digits=10**9, max_disagreement=1)
    )
    with (
        Server(tmp_path, grpc_port=0) as server,
        triton.InferenceServerClient(address(server)) as client,
    ):
        while not client.is_model_ready("digits", "canary"):
            assert server.process.poll() is None
        for asked, version, names in (
            ([], "2", ["probabilities"]),
            (["probabilities"], "2", ["probabilities"]),
            (["lecture_output"], "1", ["lecture_output"]),
        ):
            wanted = [triton.InferRequestedOutput(name) for name in asked]
            answer = client.infer("digits", pixels(digits(4)), outputs=wanted).get_response()
            assert (answer.model_version, [one.name for one in answer.outputs]) == (version, names)


def test_index(client: Any) -> None:
    found = {(one.name, one.version): one.state for one in client.get_model_repository_index().models}
    assert found == {("digits", "1"): "UNAVAILABLE", ("digits", "2"): "READY", ("shifted", "1"): "READY"}


def test_unload_and_load(client: Any) -> None:
    client.unload_model("shifted", headers=KEY)
    assert not client.is_model_ready("shifted")
    assert client.is_server_ready()
    assert code_of(client.infer, "shifted", pixels(digits(3))) in ("UNAVAILABLE", "NOT_FOUND")
    states = {one.name: one.state for one in client.get_model_repository_index().models}
    assert states["shifted"] == "UNAVAILABLE"
    client.load_model("shifted", headers=KEY)
    assert client.is_model_ready("shifted")
    assert client.infer("shifted", pixels(digits(3))).as_numpy("probabilities").argmax() == 4
    assert code_of(client.load_model, "nothing", headers=KEY) == "NOT_FOUND"
    assert code_of(client.load_model, "digits", headers=KEY, config="{}") == "INVALID_ARGUMENT"


def test_the_aio_client_unloads_and_loads(running: Server) -> None:
    async def all_of_it() -> None:
        async with triton_aio.InferenceServerClient(address(running)) as client:
            with pytest.raises(InferenceServerException) as caught:
                await client.unload_model("shifted")
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
            await client.unload_model("shifted", headers=KEY)
            assert not await client.is_model_ready("shifted")
            await client.load_model("shifted", headers=KEY)
            assert await client.is_model_ready("shifted")

    asyncio.run(all_of_it())


@pytest.mark.slow
def test_processes_can_be_started_beside_it(client: Any) -> None:
    """Each load validates the version in another process; gRPC's fork handlers made those crash now and then."""
    for _ in range(12):
        client.unload_model("shifted", headers=KEY)
        client.load_model("shifted", headers=KEY)


@pytest.mark.slow
def test_load_and_unload_require_the_admin_key(client: Any, models: Path) -> None:
    for call in (client.load_model, client.unload_model):
        assert code_of(call, "digits") == "UNAUTHENTICATED"
        assert code_of(call, "digits", headers={"authorization": "Bearer wrong"}) == "UNAUTHENTICATED"
    assert client.is_model_ready("digits")
    with Server(models, grpc_port=0) as keyless, triton.InferenceServerClient(address(keyless)) as other:
        assert code_of(other.unload_model, "digits", headers=KEY) == "PERMISSION_DENIED"
