"""docker-compose.yml as it is on a Swarm of one node: deployed, scaled and updated, start-first, under load."""

from __future__ import annotations

import json

from tests.compose.engine import Project, docker, run, until
from tests.compose.stream import stream


def tasks(state: str = "running") -> set[str]:
    """Tasks that are meant to run, and have come to do so."""
    lines = docker("service", "ps", "trial_service", "--filter", "desired-state=running", "--format", "{{json .}}")
    found = [json.loads(line) for line in lines.splitlines()]
    return {task["ID"] for task in found if task["CurrentState"].lower().startswith(state)}


def test_a_rolling_update_starts_first_and_nobody_notices(project: Project, haproxy_image: str, swarm: None) -> None:
    deploy = ["docker", "stack", "deploy", "-c", "docker-compose.yml", "-c", "tests/compose/swarm.yml", "trial"]
    run(*deploy, cwd=project.folder, **project.settings)
    try:
        docker("service", "scale", "--detach", "trial_service=2")
        first = until(lambda: len(tasks()) == 2 and tasks())
        with stream(project.port("BALANCER_")) as asking:
            until(lambda: asking.statuses[200] > 50, 120)
            asking.statuses.clear()  # the balancer may have been there before the service was
            asking.failures.clear()
            docker("tag", "digits-trial", "digits-trial:next")
            update = ["docker", "service", "update", "--detach=false", "--quiet", "--image", "digits-trial:next"]
            run(*update, "--env-add", "DIGITS_LOG_FORMAT=json", "trial_service", timeout_s=300)
            second = tasks()
            assert len(second) == 2
            assert not first & second
            before = asking.answers
            until(lambda: asking.answers > before + 50)
        asking.check()
        state = json.loads(docker("service", "inspect", "trial_service"))[0]
        assert state["UpdateStatus"]["State"] == "completed"
        assert state["Spec"]["UpdateConfig"]["Order"] == "start-first"
        container = state["Spec"]["TaskTemplate"]["ContainerSpec"]
        assert container["ReadOnly"]
        assert container["CapabilityDrop"] == ["ALL"]
    finally:
        docker("stack", "rm", "trial")
        until(lambda: not docker("ps", "-q", "--filter", "label=com.docker.stack.namespace=trial"))
