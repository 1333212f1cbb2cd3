"""TensorFlow Serving's status and metadata calls, word for word as its documentation prints them."""

from __future__ import annotations

import pytest

from tests.support.server import Server

OK = {"error_code": "OK", "error_message": ""}


@pytest.mark.parametrize("path", ["", "/versions/2", "/labels/stable"])
def test_status(server: Server, path: str) -> None:
    answer = server.client.get(f"/v1/models/digits{path}")
    assert answer.status_code == 200
    found = answer.json()
    if not path:  # what KServe's InferenceRESTClient(protocol="v1").is_model_ready reads
        assert (found.pop("name"), found.pop("ready")) == ("digits", True)
    assert found == {"model_version_status": [{"version": "2", "state": "AVAILABLE", "status": OK}]}


@pytest.mark.parametrize("path", ["", "/versions/2", "/labels/stable"])
def test_metadata(server: Server, path: str) -> None:
    answer = server.client.get(f"/v1/models/digits{path}/metadata").json()
    assert answer["model_spec"] == {"name": "digits", "signature_name": "", "version": "2"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    pixels, probabilities = signature["inputs"]["pixels"], signature["outputs"]["probabilities"]
    assert pixels["dtype"] == "DT_UINT8"
    assert [axis["size"] for axis in pixels["tensor_shape"]["dim"]] == ["-1", "28", "28", "1"]
    assert probabilities["dtype"] == "DT_FLOAT"
    assert [axis["size"] for axis in probabilities["tensor_shape"]["dim"]] == ["-1", "10"]


def test_the_documents_describe_these_calls(server: Server) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}", "/v1/models/{name}/labels/{label}"):
        assert {"get"} == paths[path].keys() == paths[f"{path}/metadata"].keys()
        for verb in ("predict", "classify", "regress"):
            assert {"post"} == paths[f"{path}:{verb}"].keys()


@pytest.mark.parametrize("call", ["", "/metadata"])
def test_a_number_is_no_label_and_a_label_no_number(server: Server, call: str) -> None:
    for path in ("labels/2", "labels/02", "versions/stable"):
        answer = server.client.get(f"/v1/models/digits/{path}{call}")
        assert answer.status_code == 404, path
        assert list(answer.json()) == ["error"]
    answer = server.client.post("/v1/models/digits/labels/2:predict", json={"instances": [[0] * 784]})
    assert answer.status_code == 404
    assert "2 (stable)" in answer.json()["error"]


@pytest.mark.parametrize("verb", ["predict", "classify", "regress", "explain"])
@pytest.mark.parametrize("path", ["", "digits/versions/", "digits/labels/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_verb_without_a_name_is_404(server: Server, method: str, path: str, verb: str) -> None:
    answer = server.client.request(method, f"/v1/models/{path}:{verb}", json={"instances": [[0] * 784]})
    assert answer.status_code == 404
    assert f":{verb}" in answer.json()["error"]
