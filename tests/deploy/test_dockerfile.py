"""The Dockerfile and what helps it, without an engine; tests/compose builds it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, ROOT, check_settings, environment, lineage, stages
from tests.support.requirements import packages

TEXT = (ROOT / "Dockerfile").read_text()
FINAL = ("service", "training", "service-gpu")


def test_bases_are_arguments_pinned_by_tag() -> None:
    defaults = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", TEXT, re.M))
    assert defaults.keys() == {"PYTHON_IMAGE"}
    for image in defaults.values():
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-[\w.-]+", image)
    named = {part.split()[0] for part in stages().values()}
    assert named == {"${PYTHON_IMAGE}", "base", "serving", "service"}


def test_a_build_without_a_target_makes_the_service() -> None:
    last = TEXT.rstrip().splitlines()[-1]
    assert last == "FROM service"
    before = list(stages())[: list(stages()).index("service")]
    assert before == ["requirements", "wheels", "files", "base", "serving"], (
        "the old builder makes every stage above the target"
    )


@pytest.mark.parametrize("name", FINAL)
def test_commands_are_in_exec_form_and_users_are_numbers(name: str) -> None:
    stage = lineage(name)
    assert re.findall(r"^USER (.*)$", stage, re.M) == ["10001:10001"]
    entries = re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK.* CMD) (.*)$", stage, re.M)
    assert entries
    assert all(entry.startswith('["python"') or entry == '["--help"]' for entry in entries)
    assert not re.search(r"curl|wget|sudo", stage)
    for label in ("title", "description", "version", "revision", "base.name"):
        assert stage.count(f" org.opencontainers.image.{label}=") == 1
    assert stage.count("HEALTHCHECK") == (0 if name == "training" else 1)


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_settings_of_the_image_work(name: str) -> None:
    settings = check_settings(environment(name))
    assert settings.host == "0.0.0.0"
    assert settings.drain_s < settings.grace_s


def test_wheels_come_before_source() -> None:
    assert "COPY --from=requirements" in stages()["wheels"]
    assert "COPY service" not in stages()["wheels"]
    service = stages()["service"]
    assert service.index("--from=wheels") < service.index("--from=files")
    assert stages()["service-gpu"].index("--from=wheels-gpu") < stages()["service-gpu"].index("--from=files")
    assert stages()["training"].index("--from=wheels-training") < stages()["training"].index("COPY service")


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_the_service_has_no_line_that_runs(name: str) -> None:
    """Its layers are taken over from stages that are thrown away, compilers' friends and caches with them."""
    assert not re.search(r"^RUN", lineage(name), re.M)


def test_no_image_has_an_installer() -> None:
    for name in FINAL:
        assert "pip" not in lineage(name)


def test_the_builder_is_sent_what_it_copies_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for words in re.findall(r"^COPY (?!--from)(.*) \S+$", "\n".join(stages().values()), re.M)
        for word in words.split()
    }
    assert sent == {"/".join(word.split("/")[:2]) if word.startswith("deploy") else word for word in copied}
    for name in sent:
        assert (ROOT / name).exists()


def test_each_image_installs_the_locked_wheels_with_their_hashes(tmp_path: Path) -> None:
    """`sed` says nothing where it finds nothing: tensorflow would come with CUDA, onnxruntime twice."""
    for path in (ROOT / "requirements").glob("*.txt"):
        shutil.copy(path, tmp_path)
    (script,) = re.findall(r"^RUN (.*)$", stages()["requirements"], re.M)
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True)
    service, gpu, training = (packages(tmp_path / f"image{end}.txt") for end in ("", "-gpu", "-training"))
    assert service == packages(ROOT / "requirements/service.txt") | packages(ROOT / "requirements/grpc.txt")
    assert service - gpu == {"onnxruntime"}
    assert "onnxruntime-gpu" in gpu
    trainer = packages(ROOT / "requirements/service.txt") | packages(ROOT / "requirements/training.txt")
    assert trainer ^ training == {"tensorflow", "tensorflow-cpu"}
    for stage, end in (("wheels", ""), ("wheels-gpu", "-gpu"), ("wheels-training", "-training")):
        (install,) = re.findall(r"install (.*)$", stages()[stage].partition("pip --python")[2], re.M)
        assert "--only-binary :all:" in install
        assert install.endswith(f"--require-hashes -r image{end}.txt")


def test_slimming_takes_what_is_not_loaded_and_nothing_else(tmp_path: Path) -> None:
    packages = tmp_path / "lib/python3.11/site-packages"
    stays = ["numpy/_core/multiarray.py", "numpy/testing/__init__.py", "onnxruntime/capi/libonnxruntime.so.1.32.0"]
    goes = ["numpy/_core/tests/test_x.py", "numpy/f2py/x.py", "onnxruntime/transformers/a/b.py", "uvloop/loop.pyi"]
    programs = ["bin/python", "bin/python3", "bin/uvicorn", "bin/activate"]
    for name in [*stays, *goes]:
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("")
    (tmp_path / "bin").mkdir()
    for name in programs:
        (tmp_path / name).write_text("")
    subprocess.run([sys.executable, str(DEPLOY / "image/slim.py"), str(tmp_path)], check=True)
    assert [(packages / name).exists() for name in stays] == [True] * len(stays)
    assert [(packages / name).exists() for name in goes] == [False] * len(goes)
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["python", "python3"]
