"""config.pbtxt: the folder of models is a repository that Triton Inference Server can serve as it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from service.repository.repository import Repository
from service.repository.rollout_plan import RolloutPlan
from service.repository.triton_config import as_pbtxt, complete, config
from service.repository.writer import RepositoryWriter
from tests.support.models import classifier, publish
from tests.support.repositories import triton_config
from tests.support.server import ROOT
from tests.support.v2 import publish_with_lecture_output


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    publish(root)
    publish(root, shift=1, promote=False)
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """Version 1 is served; 2, which answers one higher, is published."""
    return Path(shutil.copytree(published, tmp_path / "models"))


def parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("outputs", [["probabilities"], ["probabilities", "lecture_output"]])
@pytest.mark.parametrize("labels", [True, False])
def test_text_and_json_are_the_same_message(outputs: list[str], labels: bool) -> None:
    """Parsed with Triton's own protobuf, which knows every field."""
    settings = config("digits", [3, 12], outputs, labels)
    message = parsed(as_pbtxt(settings))
    assert message == json_format.ParseDict(settings, model_config_pb2.ModelConfig())
    assert [output.name for output in message.output] == outputs
    assert message.output[0].label_filename == ("labels.txt" if labels else "")
    assert list(message.version_policy.specific.versions) == [3, 12]


@pytest.mark.parametrize(("provider", "kind"), [("cpu", "KIND_CPU"), ("cuda", "KIND_GPU")])
def test_the_complete_configuration_only_adds_defaults(provider: str, kind: str) -> None:
    settings = config("digits", [1], ["probabilities"], most_rows=1000)
    full = complete(settings, provider)
    message = json_format.ParseDict(full, model_config_pb2.ModelConfig())
    assert (message.max_batch_size, full["instance_group"][0]["kind"]) == (1000, kind)
    assert {key: full[key] for key in settings if key not in ("input", "output", "dynamic_batching")} == {
        key: value for key, value in settings.items() if key not in ("input", "output", "dynamic_batching")
    }
    assert full["input"][0].items() >= settings["input"][0].items()


def test_text_is_quoted() -> None:
    assert parsed(as_pbtxt({"name": 'a"b\\c'})).name == 'a"b\\c'


def test_the_folder_is_a_repository_for_triton(root: Path) -> None:
    """Its documents want <name>/config.pbtxt and <name>/<version>/model.onnx."""
    found = triton_config(root)
    assert (found.name, found.platform, found.backend) == ("digits", "onnxruntime_onnx", "onnxruntime")
    assert found.max_batch_size > 1
    [pixels], [probabilities] = found.input, found.output
    assert (pixels.name, pixels.data_type, list(pixels.dims)) == ("pixels", model_config_pb2.TYPE_UINT8, [28, 28, 1])
    assert (probabilities.name, probabilities.data_type) == ("probabilities", model_config_pb2.TYPE_FP32)
    assert list(probabilities.dims) == [10]
    assert found.HasField("dynamic_batching")
    for version in found.version_policy.specific.versions:
        assert (root / "digits" / str(version) / found.default_model_filename).is_file()


def test_the_shipped_folder_is_one_too() -> None:
    """models/ as it lies in the repository, which the README says can be mounted into Triton."""
    shipped = ROOT / "models"
    found, repository = triton_config(shipped), Repository(shipped)
    current = repository.current("digits")
    assert (found.name, found.platform) == ("digits", "onnxruntime_onnx")
    assert list(found.version_policy.specific.versions) == [current]
    assert (shipped / "digits" / str(current) / found.default_model_filename).is_file()
    [pixels] = found.input
    assert (pixels.name, pixels.data_type, list(pixels.dims)) == ("pixels", model_config_pb2.TYPE_UINT8, [28, 28, 1])
    assert [one.name for one in found.output] == [one["name"] for one in repository.card("digits", current)["outputs"]]
    assert all(one.data_type == model_config_pb2.TYPE_FP32 for one in found.output)
    labels = (shipped / "digits" / found.output[0].label_filename).read_text().split()
    assert labels == repository.card("digits", current)["classes"] == list("0123456789")


def test_triton_serves_what_we_serve(root: Path) -> None:
    repository = RepositoryWriter(root)

    def served() -> list[int]:
        return list(triton_config(root).version_policy.specific.versions)

    assert served() == [1]
    publish(root, promote=False)
    assert served() == [1]
    repository.promote("digits", 3)
    assert served() == [3]
    repository.rollback("digits")
    assert served() == [1]
    plan = RolloutPlan(2)
    repository.start_rollout("digits", plan)
    assert served() == [1]
    repository.end_rollout("digits", plan, "promoted: fine")
    assert served() == [2]


def test_of_what_was_never_promoted_triton_serves_the_newest_at_that_time(tmp_path: Path) -> None:
    for version in (1, 2):
        publish(tmp_path, name="new", promote=False)
        assert list(triton_config(tmp_path, "new").version_policy.specific.versions) == [version]


def test_the_outputs_are_those_of_the_served_version(tmp_path: Path) -> None:
    publish_with_lecture_output(tmp_path)
    both = triton_config(tmp_path)
    assert [(one.name, list(one.dims)) for one in both.output] == [
        ("probabilities", [10]),
        ("lecture_output", [10, 10, 1]),
    ]
    labels = (tmp_path / "digits" / both.output[0].label_filename).read_text()
    assert labels.split("\n") == [*map(str, range(10)), ""]
    publish(tmp_path)
    assert [one.name for one in triton_config(tmp_path).output] == ["probabilities"]
    RepositoryWriter(tmp_path).rollback("digits")
    assert triton_config(tmp_path) == both


def test_the_configuration_is_not_rewritten_where_it_says_so_already(root: Path) -> None:
    path = root / "digits/config.pbtxt"
    before = path.stat()
    publish(root, promote=False)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize("wrong", [{"classes": 5}, {"outputs": [{}]}, {"outputs": ["x"]}, {"outputs": None}])
def test_a_strange_card_does_not_keep_a_model_from_being_published(tmp_path: Path, wrong: dict[str, Any]) -> None:
    assert RepositoryWriter(tmp_path).publish("digits", lambda _: classifier(), wrong) == 1
