"""requirements/sbom.py refuses a list that leaves out a package or a licence; `make sbom` checks the one it makes."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from tests.support.requirements import packages

ROOT = Path(__file__).parents[1]
SBOM = runpy.run_path(str(ROOT / "requirements/sbom.py"))
LICENSED = {"name": "prometheus_client", "licenses": [{"license": {"id": "MIT"}}]}


def test_what_is_locked_for_the_image_must_be_in_it() -> None:
    assert SBOM["missing"]({"components": [LICENSED]}, {"prometheus-client", "numpy"}) == [
        "numpy is locked for the image and not in the list"
    ]
    everywhere = SBOM["locked"]()
    assert {"onnxruntime", "numpy", "grpcio", "fastapi"} <= everywhere
    assert "colorama" not in everywhere  # for Windows only


def test_a_package_without_a_licence_is_named() -> None:
    document = {"components": [LICENSED, {"name": "protobuf"}, {"name": "new"}]}
    (fault,) = SBOM["unlicensed"](SBOM["with_licences"](document))
    assert fault.startswith("new states no licence: ")


def test_the_list_is_made_of_the_files_that_the_image_installs() -> None:
    (files,) = re.findall(r"cat (.*) > image\.txt", (ROOT / "Dockerfile").read_text())
    assert files.split() == [f"{name}.txt" for name in SBOM["IMAGE"]]
    assert SBOM["READ"].keys() <= {name for file in files.split() for name in packages(ROOT / "requirements" / file)}
