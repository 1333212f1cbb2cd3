"""docker-compose.yml and what is added to it: every setting has its way in, everything is locked up, Swarm takes it."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.deploy.files import (
    BASE,
    DEPLOY,
    OVERRIDE,
    ROOT,
    SETTINGS,
    check_settings,
    compose,
    environment,
    lineage,
    stages,
)

# Where things are inside the container: set by the image, and nothing that a .env should change
FIXED = {"DIGITS_HOST", "DIGITS_PORT", "DIGITS_MODELS_DIR", "DIGITS_FEEDBACK_PATH", "DIGITS_RUN_DIR"}
SERVING = ("service", "service-gpu", "replica")
SERVICES = compose()["services"]
EXAMPLE = (ROOT / ".env.example").read_text()


def defaulted(value: str | None) -> str | None:
    """What Compose makes of ${NAME:-default} where NAME is not set."""
    return value and re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def names_in_example() -> list[str]:
    return re.findall(r"^#([A-Z_]+)=\S+$", EXAMPLE, re.M)


def test_the_example_names_every_setting_once() -> None:
    names = names_in_example()
    assert len(names) == len(set(names))
    assert {name for name in names if name.startswith("DIGITS_")} == SETTINGS


def test_the_example_shows_values_that_work() -> None:
    check_settings(dict(re.findall(r"^#(DIGITS_\w+)=(\S+)$", EXAMPLE, re.M)))


def test_the_example_says_what_the_image_has() -> None:
    found = {name: value for value, name in re.findall(r"\[image\] (\S+)\n#(DIGITS_\w+)", EXAMPLE)}
    assert found == environment("service")


def test_the_example_names_every_variable_of_the_compose_files() -> None:
    text = (ROOT / BASE).read_text() + (ROOT / OVERRIDE).read_text()
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    assert defaults.keys() == set(re.findall(r"\$\{([A-Z_]+)", text))
    shown = dict(re.findall(r"^#([A-Z_]+)=(\S+)$", EXAMPLE, re.M))
    image = environment("service")
    assert defaults == {name: image.get(name, value) for name, value in shown.items() if name in defaults}
    assert {name for name in shown if not name.startswith("DIGITS_")} <= defaults.keys()


@pytest.mark.parametrize("name", SERVING)
def test_every_setting_gets_in(name: str) -> None:
    given = SERVICES[name]["environment"]
    assert not given.keys() - SETTINGS
    missing = SETTINGS - FIXED - given.keys()
    assert missing == (set() if name == "service" else {"DIGITS_GRPC_PORT", "DIGITS_PROVIDER"})
    check_settings({key: defaulted(value) for key, value in given.items() if value is not None})


@pytest.mark.parametrize("name", SERVING)
def test_no_setting_of_the_image_is_taken_away(name: str) -> None:
    """A name without a value, which is set nowhere, unsets what the image has set: so those have the image's value."""
    image = environment("service-gpu" if "gpu" in name else "service")
    given = SERVICES[name]["environment"]
    assert {key: defaulted(given[key]) for key in given.keys() & image.keys()} == {
        key: value for key, value in image.items() if key in given
    }


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "grafana"])
def test_everything_is_locked_up(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["restart"] == ("no" if name == "training" else "unless-stopped")
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", SERVING)
def test_whoever_serves_is_given_time_to_leave(name: str) -> None:
    grace = float(environment("service-gpu" if "gpu" in name else "service")["DIGITS_GRACE_S"])
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > grace


def test_without_a_profile_the_service_alone_starts() -> None:
    assert [name for name, service in SERVICES.items() if not service.get("profiles")] == ["service"]
    assert {one for service in SERVICES.values() for one in service.get("profiles", [])} == {
        *("training", "gpu", "monitoring", "scale")
    }


def test_no_two_take_the_same_port() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    published = re.findall(r":-(\d+)\}:\d+", " ".join(ports))
    assert len(published) == len(ports) == len(set(published))
    assert "${PORT:-8000}:8000" in ports


def test_all_mount_the_same_models_and_feedback() -> None:
    for name in (*SERVING, "training"):
        assert {"./models:/app/models", "feedback:/feedback"} <= {str(volume) for volume in SERVICES[name]["volumes"]}


def test_files_that_are_mounted_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if str(volume).startswith("./deploy"):
                assert (ROOT / str(volume).split(":")[0]).exists(), volume


def test_builds_name_stages_and_arguments_of_the_dockerfile() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for service in SERVICES.values():
        if build := service.get("build"):
            assert build["target"] in stages()
            for name, value in build["args"].items():
                assert f"ARG {name}={re.search(r':-(.*)}', value)[1]}\n" in text  # type: ignore[index]


def test_the_probe_is_the_images() -> None:
    test = SERVICES["service"]["healthcheck"]["test"]
    assert re.sub(r"\s+", " ", str(test[1:])).replace("'", '"') in lineage("service").replace("CMD ", "")


def test_swarm_takes_the_first_file() -> None:
    """`docker stack deploy` refuses a file with a key that it does not know, and profiles are one."""
    allowed = {
        *("image", "build", "user", "ports", "environment", "volumes", "read_only", "cap_drop", "security_opt"),
        *("restart", "stop_grace_period", "healthcheck", "logging", "deploy"),
    }
    document = yaml.safe_load((ROOT / BASE).read_text())
    assert set(document) == {"services", "volumes"}
    assert document["services"].keys() == {"service"}
    assert document["services"]["service"].keys() <= allowed
    update = document["services"]["service"]["deploy"]["update_config"]
    assert (update["order"], update["failure_action"]) == ("start-first", "rollback")


COMPOSES = [["docker-compose"], ["docker", "compose"]]


@pytest.mark.parametrize("command", COMPOSES, ids=" ".join)
def test_compose_takes_both(command: list[str]) -> None:
    """Parsing needs no engine."""
    if not shutil.which(command[0]) or subprocess.run([*command, "version"], capture_output=True).returncode:
        pytest.skip(f"there is no {' '.join(command)} here")
    profiles = [word for name in ("training", "gpu", "monitoring", "scale") for word in ("--profile", name)]
    done = subprocess.run([*command, *profiles, "config"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    merged: dict[str, Any] = yaml.safe_load(done.stdout)
    assert merged["services"].keys() == SERVICES.keys()


def test_the_balancers_configuration_is_valid() -> None:
    if not shutil.which("haproxy"):
        pytest.skip("there is no haproxy here")
    done = subprocess.run(["haproxy", "-c", "-f", str(DEPLOY / "scale/haproxy.cfg")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_balancer_asks_who_is_there() -> None:
    configuration = (DEPLOY / "scale/haproxy.cfg").read_text()
    assert "server-template replica 10 replica:8000 " in configuration
    assert "bind :8080" in configuration
    assert "uri /health/ready" in configuration


@pytest.mark.parametrize("path", ["deploy/scale/haproxy.cfg", "tests/compose/swarm.cfg"])
def test_the_balancer_keeps_whole_requests_so_that_it_can_send_them_again(path: str) -> None:
    """Without the first, a request whose body is a packet of its own is lost with the replica that had its head."""
    configuration = (ROOT / path).read_text()
    assert "    option http-buffer-request\n" in configuration
    assert "retry-on conn-failure empty-response" in configuration
