"""What is in the service image and what is not, and that it runs with everything taken away from it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.compose.engine import docker, free_port, inspect, logs, until
from tests.compose.stream import stream
from tests.support.server import ROOT

MOST_BYTES = 200_000_000
LOCKED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


def python(image: str, code: str) -> str:
    return docker("run", "--rm", *LOCKED, "--network", "none", "--entrypoint", "python", image, "-c", code)


def test_it_adds_at_most_200_megabytes_to_its_base(image: str, base_image: str) -> None:
    added = inspect(image)["Size"] - inspect(base_image)["Size"]
    print(f"the service image adds {added / 1e6:.1f} MB to its base")
    assert 100_000_000 < added <= MOST_BYTES


def test_no_tensorflow_no_installer_no_trainer(image: str) -> None:
    wanted = ["tensorflow", "keras", "tf2onnx", "onnx", "pip", "setuptools", "training", "pytest"]
    code = f"""
import importlib.util, sys
sys.path = [path for path in sys.path if path.startswith(("/opt", "/app"))]
print([name for name in {wanted} if importlib.util.find_spec(name)])
"""
    assert python(image, code) == "[]"


def test_no_compiler(image: str) -> None:
    code = "import shutil; print([n for n in ('gcc', 'cc', 'g++', 'c++', 'clang', 'ld', 'make') if shutil.which(n)])"
    assert python(image, code) == "[]"


def test_the_shipped_models_are_inside_for_everybody_to_read(image: str) -> None:
    found = json.loads(
        python(
            image,
            "import json, os, pathlib as p; print(json.dumps({str(f.relative_to('/app/models')): oct(f.stat().st_mode) "
            "for f in p.Path('/app/models').rglob('*')}))",
        )
    )
    shipped = {str(path.relative_to(ROOT / "models")) for path in (ROOT / "models").rglob("*")} - {"digits/.lock"}
    assert set(found) == shipped
    assert all(int(mode, 8) & 0o004 for mode in found.values())


def test_everything_is_compiled(image: str) -> None:
    """The root file system is read-only: what is not compiled now is compiled again at every start."""
    code = """
import pathlib, importlib.util
roots = [pathlib.Path("/app/service"), *pathlib.Path("/opt/venv/lib").glob("python3*/site-packages")]
sources = [source for root in roots for source in root.rglob("*.py")]
missing = [source for source in sources if not pathlib.Path(importlib.util.cache_from_source(str(source))).exists()]
print(len(sources) > 500, [str(m) for m in missing])
"""
    assert python(image, code) == "True []"


def test_labels_user_entry_and_health_check(image: str) -> None:
    config = inspect(image)["Config"]
    for name in ("title", "description", "version", "revision", "base.name"):
        assert config["Labels"][f"org.opencontainers.image.{name}"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", config["User"])
    assert config["Entrypoint"] == ["python", "-m", "service"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert "8000/tcp" in config["ExposedPorts"]


def test_no_secret_and_no_cache_in_its_history(image: str) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert not re.search(r"(?i)password|secret|token|proxy", history)
    assert python(image, "import os; print(os.path.exists('/root/.cache'))") == "False"


def test_flags_reach_it(image: str) -> None:
    assert "--models-dir" in docker("run", "--rm", *LOCKED, image, "--help")
    wrong = subprocess.run(["docker", "run", "--rm", *LOCKED, image, "--port", "x"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "DIGITS_PORT" in wrong.stderr


@pytest.mark.parametrize("user", ["10001:10001", "12345:54321"])
def test_it_serves_with_nothing_but_a_port(image: str, user: str) -> None:
    """As any user; without a writable file system, capabilities, or the models of this machine."""
    port = free_port()
    container = docker("run", "-d", *LOCKED, "--user", user, "-p", f"127.0.0.1:{port}:8000", image)
    try:
        until(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy")
        with stream(port) as asking:
            until(lambda: asking.answers > 50)
        asking.check()
        status = dict(
            line.split(":\t", 1)
            for line in docker("exec", container, "python", "-c", "print(open('/proc/1/status').read())").splitlines()
            if ":\t" in line
        )
        assert status["Name"] == "python"
        assert status["Uid"].split()[0] == user.split(":")[0]
        assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0" * 16
        assert status["NoNewPrivs"] == "1"
        written = "import pathlib; pathlib.Path('/app/x').write_text('x')"
        refused = subprocess.run(["docker", "exec", container, "python", "-c", written], capture_output=True, text=True)
        assert "Read-only file system" in refused.stderr
    finally:
        docker("stop", "-t", "40", container)
        said, code = logs(container), inspect(container)["State"]["ExitCode"]
        docker("rm", "-f", "-v", container)
    assert code == 0, said
    assert "All requests are answered" in said


def test_it_hears_sigterm_while_it_starts(image: str) -> None:
    """PID 1 has no default action for a signal: a service that does not listen from the start is killed in the end."""
    container = docker("run", "-d", *LOCKED, "--cpus", "0.1", image)
    try:
        until(lambda: "Found" in logs(container), every_s=0.02)
        docker("stop", "-t", "40", container)
        assert inspect(container)["State"]["ExitCode"] == 0, logs(container)
    finally:
        docker("rm", "-f", "-v", container)


def test_the_training_image_trains_and_has_no_cuda(training_image: str) -> None:
    assert "retrain" in docker("run", "--rm", *LOCKED, "--tmpfs", "/tmp", training_image, "--help")
    found = docker(
        *("run", "--rm", *LOCKED, "--tmpfs", "/tmp", "--entrypoint", "python", training_image, "-c"),
        "import os, tensorflow as tf; print(os.getuid(), tf.test.is_built_with_cuda(), tf.__version__)",
    )
    assert re.fullmatch(r"10001 False \d+\.\d+\.\d+", found.splitlines()[-1])
    print(f"the training image has {inspect(training_image)['Size'] / 1e6:,.0f} MB")


def test_the_dockerfile_is_the_one_of_this_checkout(image: str, checkout: Path) -> None:
    assert (checkout / "Dockerfile").read_text() == (ROOT / "Dockerfile").read_text()
