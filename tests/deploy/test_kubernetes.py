"""The manifests: valid by the API's own JSON schemas, locked up, and in step with the service and its image."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi import FastAPI

from tests.deploy.files import DEPLOY, check_settings, documents
from tests.support.asgi import call

FOLDER = DEPLOY / "kubernetes"
MANIFESTS = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
NEWEST = ".".join(kubernetes_validate.latest_version().split(".")[:2])
VERSIONS = ["1.30", NEWEST]
LABELS = {"app.kubernetes.io/name": "digits"}
KSERVE_ONLY = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}


def only(path: Path) -> dict[str, Any]:
    (document,) = documents(path)
    return document


def deployment() -> dict[str, Any]:
    spec: dict[str, Any] = only(FOLDER / "deployment.yaml")["spec"]["template"]["spec"]
    return spec


def predictor() -> dict[str, Any]:
    spec: dict[str, Any] = only(DEPLOY / "kserve/inferenceservice.yaml")["spec"]["predictor"]
    return spec


PODS = {"kubernetes": deployment, "kserve": predictor}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_valid_by_the_apis_schema(path: Path, version: str) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_manifest_would_be_noticed(version: str) -> None:
    wrong = only(FOLDER / "deployment.yaml")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_kustomize_is_told_of_every_file() -> None:
    listed = only(FOLDER / "kustomization.yaml")
    assert sorted(listed["resources"]) == [path.name for path in MANIFESTS]
    assert {path.name for path in FOLDER.iterdir()} == {
        "kustomization.yaml",
        *listed["resources"],
        *listed["configMapGenerator"][0]["files"],
    }


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl here")
def test_what_kustomize_makes_of_it_is_valid() -> None:
    command = ["kubectl", "kustomize", str(FOLDER)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    kinds = set()
    for document in yaml.safe_load_all(made):
        kubernetes_validate.validate(document, NEWEST, strict=True)
        kinds.add(document["kind"])
    assert kinds == {
        *("Deployment", "Service", "PersistentVolumeClaim", "ConfigMap"),
        *("PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"),
    }


def test_selectors_mean_our_pods_and_no_others() -> None:
    """An empty selector means every pod of the namespace."""
    specs = {path.stem: only(path)["spec"] for path in MANIFESTS}
    assert specs["deployment"]["template"]["metadata"]["labels"] == LABELS
    assert specs["deployment"]["selector"]["matchLabels"] == LABELS
    assert specs["service"]["selector"] == LABELS
    assert specs["disruption"]["selector"]["matchLabels"] == LABELS
    assert specs["network"]["podSelector"]["matchLabels"] == LABELS
    assert specs["scaling"]["scaleTargetRef"]["name"] == only(FOLDER / "deployment.yaml")["metadata"]["name"]


def test_kserves_predictor_is_a_valid_pod() -> None:
    document = only(DEPLOY / "kserve/inferenceservice.yaml")
    assert (document["apiVersion"], document["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    spec = {key: value for key, value in predictor().items() if key not in KSERVE_ONLY}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": document["metadata"], "spec": spec}
    kubernetes_validate.validate(pod, NEWEST, strict=True)
    (container,) = spec["containers"]
    assert container["name"] == "kserve-container"
    assert len(container["ports"]) == 1, "Knative takes one port"
    assert {"STORAGE_URI", "DIGITS_MODELS_DIR"} <= {variable["name"] for variable in container["env"]}


@pytest.mark.parametrize("where", PODS)
def test_pods_are_locked_up(where: str) -> None:
    spec = PODS[where]()
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize("where", PODS)
def test_settings_exist_and_fit(where: str) -> None:
    spec = PODS[where]()
    container = spec["containers"][0]
    values = {one["name"]: one["value"] for one in container["env"] if "value" in one and one["name"] != "STORAGE_URI"}
    settings = check_settings(values)
    assert settings.drain_s < settings.grace_s < spec["terminationGracePeriodSeconds"]
    assert (
        settings.drain_s
        > container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]
    )


@pytest.mark.parametrize("where", PODS)
def test_probes_ask_what_is_answered(where: str, app: FastAPI) -> None:
    container = PODS[where]()["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe in container:
            assert call(app, "GET", container[probe]["httpGet"]["path"]).status == 200


@pytest.mark.parametrize("where", PODS)
def test_volumes_that_are_mounted_are_there(where: str) -> None:
    spec = PODS[where]()
    there = {volume["name"] for volume in spec["volumes"]}
    mounted = {
        mount["name"]
        for container in [*spec["containers"], *spec.get("initContainers", [])]
        for mount in container.get("volumeMounts", [])
    }
    assert mounted == there


# -- the models of an empty volume -----------------------------------------------------------------------------------


def seed(image: Path, volume: Path) -> str:
    command = [sys.executable, str(FOLDER / "seed.py"), str(image), str(volume)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_an_empty_volume_gets_the_images_models(models_dir: Path, tmp_path: Path) -> None:
    assert "digits: version 2" in seed(models_dir, tmp_path)
    for path in models_dir.rglob("[!.]*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(models_dir)).read_bytes() == path.read_bytes()
    assert not list(tmp_path.rglob(".*"))


def test_a_volume_that_has_models_keeps_them(models_dir: Path, tmp_path: Path) -> None:
    seed(models_dir, tmp_path)
    (tmp_path / "digits/current").write_text("1\n")
    assert seed(models_dir, tmp_path) == ""
    assert (tmp_path / "digits/current").read_text() == "1\n"


def test_a_copy_that_was_cut_off_is_finished(models_dir: Path, tmp_path: Path) -> None:
    """`current` comes last: without it nothing is served, and the next pod copies again."""
    (tmp_path / "digits/1").mkdir(parents=True)
    (tmp_path / "digits/1/model.onnx").write_bytes(b"half")
    seed(models_dir, tmp_path)
    card = json.loads((tmp_path / "digits/2/card.json").read_bytes())
    assert card["version"] == 2
    assert (tmp_path / "digits/1/model.onnx").read_bytes() == (models_dir / "digits/1/model.onnx").read_bytes()
