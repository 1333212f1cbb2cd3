"""Lists the service image's Python packages, with licences, as CycloneDX 1.6: make sbom. Runs in .venv/tools.

    .venv/tools/bin/python requirements/sbom.py PYTHON OUTPUT    PYTHON: of an environment with the image's packages

Ends with 1, and says why, where the list is not valid, a locked package is missing in it or a licence is not known.
Python itself and Debian's packages are the base image's: they are not listed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMAGE = ("service", "grpc")  # the files of the service image, as in the Dockerfile
READ = {"protobuf": "BSD-3-Clause", "pysimdjson": "MIT"}  # from their licence files: their metadata have none of SPDX


def main(python: str, output: Path) -> int:
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", python, "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--mc-type", "application", "--output-reproducible", "--validate", "--output-file", str(output)]
    subprocess.run(command, check=True)
    document = with_licences(json.loads(output.read_text()))
    output.write_text(json.dumps(document, indent=1) + "\n")
    faults = [*invalid(output), *missing(document, locked()), *unlicensed(document)]
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        return 1
    print(f"{output}: {len(document['components'])} packages, each with a licence")
    return 0


def locked() -> set[str]:
    """The packages that the image has on every machine: those without a marker."""
    text = "".join((ROOT / f"requirements/{name}.txt").read_text() for name in IMAGE)
    return set(re.findall(r"^([a-z0-9-]+)==\S+ \\$", text, re.MULTILINE))


def with_licences(document: dict[str, Any]) -> dict[str, Any]:
    for component in document["components"]:
        if not component.get("licenses") and component["name"] in READ:
            component["licenses"] = [{"license": {"id": READ[component["name"]], "acknowledgement": "concluded"}}]
    return document


def missing(document: dict[str, Any], packages: set[str]) -> list[str]:
    there = {re.sub(r"[-_.]+", "-", component["name"]).lower() for component in document["components"]}
    return [f"{name} is locked for the image and not in the list" for name in sorted(packages - there)]


def unlicensed(document: dict[str, Any]) -> list[str]:
    return [
        f"{component['name']} states no licence: read its licence file, and name it in READ of requirements/sbom.py"
        for component in document["components"]
        if not component.get("licenses")
    ]


def invalid(output: Path) -> list[str]:
    """What CycloneDX's own schema says against the file."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(output.read_text())
    return [] if error is None else [f"{output} is not CycloneDX 1.6: {str(error)[:300]}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
