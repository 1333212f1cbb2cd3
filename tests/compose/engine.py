"""The engine as these trials use it: docker and Compose as a person calls them, and waiting until something holds."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any


def _knows(plugin: str) -> bool:
    """Whether the docker command has buildx, or Compose 2; if not, what came before them is used."""
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", plugin, "version"], capture_output=True).returncode == 0


COMPOSE = ["docker", "compose"] if _knows("compose") else ["docker-compose"]
BUILDER = {} if _knows("buildx") else {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}


def run(*command: str, cwd: Path | None = None, timeout_s: float = 1200, **variables: str) -> str:
    """What a command prints. A failure shows everything that it said."""
    environment = os.environ | BUILDER | variables
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def docker(*arguments: str, timeout_s: float = 120) -> str:
    return run("docker", *arguments, timeout_s=timeout_s)


def build(dockerfile: Path, tag: str, base: str) -> str:
    arguments = ["--network", "host", "--build-arg", f"PYTHON_IMAGE={base}", "-q", "-t", tag, "-f", str(dockerfile)]
    docker("build", *arguments, str(dockerfile.parent), timeout_s=1200)
    return tag


def inspect(what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", what))[0]
    return found


def logs(container: str) -> str:
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def call(port: int, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
    """Status and body of one request, over a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], patience_s: float = 90, every_s: float = 0.1) -> Any:
    """The first answer that is not empty."""
    end = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < end, f"it did not happen within {patience_s} s"
        time.sleep(every_s)
    return found


class Project:
    """The Compose project of a checkout.

    Attributes:
        settings: what its .env says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = (folder / ".env").read_text().splitlines()
        self.settings = dict(line.split("=", 1) for line in lines)

    def compose(self, *arguments: str, timeout_s: float = 1800) -> str:
        return run(*COMPOSE, *arguments, cwd=self.folder, timeout_s=timeout_s)

    def up(self, *services: str, profile: str = "") -> None:
        """Start, and wait until every container with a health check is healthy."""
        self.compose(*(["--profile", profile] if profile else []), "up", "-d", *services)
        for container in self.containers(profile=profile):
            if inspect(container)["State"].get("Health"):
                until(lambda container=container: healthy(container))

    def containers(self, service: str = "", profile: str = "") -> list[str]:
        chosen = ["--profile", profile] if profile else []
        return self.compose(*chosen, "ps", "-q", *([service] if service else [])).split()

    def port(self, name: str = "") -> int:
        return int(self.settings[f"{name}PORT"])

    def down(self) -> None:
        profiles = [word for name in ("training", "scale", "monitoring") for word in ("--profile", name)]
        self.compose(*profiles, "down", "--volumes", "--timeout", "40", "--remove-orphans")


def healthy(container: str) -> bool:
    return bool(inspect(container)["State"]["Health"]["Status"] == "healthy")
