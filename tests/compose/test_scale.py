"""The profile `scale`: three replicas behind a balancer, of which one is killed and all are replaced, under load."""

from __future__ import annotations

import subprocess

from tests.compose.engine import COMPOSE, Project, healthy, inspect, logs, run, until
from tests.compose.stream import stream


def test_replicas_die_and_are_replaced_and_nobody_notices(project: Project, haproxy_image: str) -> None:
    project.up("balancer", "replica", profile="scale")
    first = set(project.containers("replica", "scale"))
    assert len(first) == 3
    with stream(project.port("BALANCER_"), clients=6) as asking:
        until(lambda: asking.answers > 100)
        killed = sorted(first)[0]
        subprocess.run(["kill", "-9", str(inspect(killed)["State"]["Pid"])], check=True)
        before = asking.answers
        until(lambda: inspect(killed)["RestartCount"] == 1)
        until(lambda: healthy(killed) and asking.answers > before + 200)
        print(f"killed one at {before} answers")

        before = asking.answers
        run("deploy/scale/replace", cwd=project.folder, COMPOSE=" ".join(COMPOSE), timeout_s=600)
        print(f"replaced all within {asking.answers - before} answers")
        second = set(project.containers("replica", "scale"))
        assert len(second) == 3
        assert not first & second
        before = asking.answers
        until(lambda: asking.answers > before + 100)
    asking.check()


def test_the_balancer_says_so_where_no_replica_is_left(project: Project, haproxy_image: str) -> None:
    project.up("balancer", "replica", profile="scale")
    with stream(project.port("BALANCER_"), clients=2) as asking:
        until(lambda: asking.statuses[200] > 20)
        project.compose("--profile", "scale", "stop", "replica")
        until(lambda: asking.statuses[503] > 5)
    assert set(asking.statuses) == {200, 503}
    for container in project.containers("replica", "scale"):
        assert inspect(container)["State"]["ExitCode"] == 0, logs(container)
